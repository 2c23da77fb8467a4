"""Rules about overfitting, underfitting and undefined scores."""

import math

import numpy as np
import pytest

from skmlp.diagnosis import Evidence
from skmlp.diagnosis.fit import overfitting, undefined_score, underfitting
from skmlp.optim.schedules import Cosine

BELOW, ABOVE = 0.999, 1.001
RULES = pytest.mark.parametrize("rule", [overfitting, undefined_score, underfitting])


@RULES
def test_nothing_is_found_in_a_healthy_training(rule, records):
    assert list(rule(records())) == []
    assert list(rule(records({"validation_loss": None}))) == []


@RULES
@pytest.mark.parametrize(
    "history",
    [
        {},
        {"train_loss": [], "validation_loss": []},
        {"train_loss": [1.0], "validation_loss": [1.0]},
        {"train_loss": [1.0, 0.5], "validation_loss": [math.nan, math.nan]},
        {"train_loss": [1.0, math.nan], "validation_loss": [1.0, 5.0]},
        {"validation_loss": [1.0, 5.0]},
        {"train_loss": [0.5], "validation_loss": [1.0, 5.0]},
    ],
    ids=["nothing", "no epoch", "one epoch", "no score", "NaN at last", "no training loss", "columns do not fit"],
)
def test_missing_records_give_no_finding(rule, history):
    assert list(rule(Evidence(history))) == []
    assert list(rule(Evidence(history, data_summary={"baseline_loss": 2.0}))) == []
    assert list(rule(Evidence(history, data_summary={"baseline_loss": math.nan}))) == []


# ---------------------------------------------------------------------- overfitting


def _rising(records, *, last=1.3, best=4, lowest=1.0, history=(), **others):
    """Return evidence of a validation loss that is lowest in epoch `best` and ends at `last`."""
    validation = [2.0 * lowest] * 12
    validation[best - 1], validation[-1] = lowest, last
    return records({"validation_loss": validation, **dict(history)}, **others)


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        ({"last": 1.2}, None),
        ({"last": 1.2 * ABOVE}, "warning"),
        ({"last": 2.0}, "warning"),
        ({"last": 2.0 * ABOVE}, "severe"),
        ({"last": 2.0 * ABOVE, "best": 6}, "severe"),
        ({"last": 2.0 * ABOVE, "best": 7}, "warning"),  # not in the first half
        ({"last": 5.0, "restored": True}, "info"),
        ({"last": math.inf}, "severe"),
        ({"last": math.nan}, None),
        ({"last": 5.0, "lowest": 0.0}, None),
        ({"last": 5.0, "lowest": -1.0}, None),
    ],
)
def test_overfitting_is_found_beyond_its_thresholds(change, severity, records):
    found = list(overfitting(_rising(records, **change)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_finding_of_overfitting_names_place_evidence_and_remedies(records, only):
    finding = only(overfitting(_rising(records, last=1.5, params={"alpha": 0.003})))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("overfitting", "warning", None, 4)
    assert finding.evidence == pytest.approx({"last_over_lowest": 1.5, "lowest": 1.0, "training_loss": 0.172})
    assert "lowest in epoch 4 and ended 1.5 times as high, while the training loss kept falling." in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [
        {"early_stopping": True},
        {"alpha": pytest.approx(0.3)},
        {"dropout": 0.3},
    ]


@pytest.mark.parametrize(("params", "stronger"), [({"alpha": 0.0}, 0.01), ({"alpha": 1e-4}, 0.01), ({}, 0.01)])
def test_overfitting_recommends_a_hundredfold_penalty_of_at_least_one_hundredth(params, stronger, records, only):
    assert only(overfitting(_rising(records, params=params))).remedies[1].params == {"alpha": pytest.approx(stronger)}


def test_overfitting_recommends_no_early_stopping_if_the_best_weights_were_kept(records, only):
    finding = only(overfitting(_rising(records, restored=True)))
    assert "the weights of the best epoch were kept" in finding.message
    assert [list(remedy.params) for remedy in finding.remedies] == [["alpha"], ["dropout"]]


def test_no_overfitting_if_the_training_loss_rises_too(records):
    loss = [0.5] * 12
    loss[-1] = 0.5 * ABOVE
    assert list(overfitting(_rising(records, history={"train_loss": loss}))) == []
    loss[-1] = 0.5
    assert len(list(overfitting(_rising(records, history={"train_loss": loss})))) == 1


def test_overfitting_ignores_epochs_without_a_finite_validation_loss(records, only):
    validation = [math.nan, 3.0, -math.inf, 1.0, math.nan, *[2.0] * 7]
    finding = only(overfitting(records({"validation_loss": validation})))
    assert finding.epoch == 4
    assert finding.evidence["last_over_lowest"] == 2.0


def test_overfitting_considers_the_last_training_only(records, only):
    finding = only(overfitting(_rising(records, best=8, n_iter=6)))  # epochs 7 to 12
    assert finding.epoch == 2
    earlier = _rising(records, best=2, n_iter=6, last=2.0)
    assert list(overfitting(earlier)) == []


def test_no_dropout_is_recommended_for_lbfgs(records, only):
    finding = only(overfitting(_rising(records, params={"solver": "lbfgs"})))
    assert [list(remedy.params) for remedy in finding.remedies] == [["early_stopping"], ["alpha"]]


# ---------------------------------------------------------------------- underfitting


def _held_down(records, *, relative=0.9, penalty=0.31, norms=1.0, **others):
    """Return evidence of a loss relative to that of a constant and of a penalty relative to the first objective."""
    history = {"train_loss": [1.9] * 11 + [2.0 * relative], "penalty": [penalty] + [0.0] * 11, "loss": 1.0}
    return records(history, {"weight_norm": norms}, **{"data_summary": {"baseline_loss": 2.0}, **others})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"penalty": 0.299}, False),
        ({"penalty": 0.301}, True),
        ({"penalty": math.nan}, False),
        ({"penalty": math.inf}, False),
        ({"relative": 0.8 * BELOW}, False),
        ({"relative": 0.8 * ABOVE}, True),
        ({"relative": 1.5 * BELOW}, True),
        ({"relative": 1.5 * ABOVE}, False),
        ({"relative": math.nan}, False),
        ({"relative": math.inf}, False),
        ({"data_summary": {}}, False),
        ({"data_summary": {"baseline_loss": 0.0}}, False),
        ({"data_summary": {"baseline_loss": math.nan}}, False),
    ],
)
def test_underfitting_is_found_beyond_its_thresholds(change, found, records):
    assert len(list(underfitting(_held_down(records, **change)))) == found


@pytest.mark.parametrize(("shrank_to", "found"), [(0.3 * BELOW, True), (0.3 * ABOVE, False), (math.nan, False)])
def test_underfitting_is_found_by_shrunken_weights(shrank_to, found, records):
    norms = np.tile([3.0, 4.0, 12.0], (5, 1))  # total norm 13
    norms[-1] = [0.0, 13.0 * shrank_to, 0.0]
    found_ones = list(underfitting(_held_down(records, penalty=0.0, norms=norms)))
    assert len(found_ones) == found
    if found:
        assert found_ones[0].evidence["weights_shrank_to"] == pytest.approx(shrank_to)


def test_finding_of_underfitting_names_place_evidence_and_remedies(records, only):
    finding = only(underfitting(_held_down(records, norms=None, params={"alpha": 10.0})))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("underfitting", "warning", None, 1)
    assert finding.evidence == pytest.approx(
        {"loss_over_constant": 0.9, "penalty_fraction": 0.31, "weights_shrank_to": 1}
    )
    assert "The penalty keeps the weights too small: the training loss is 90% of" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"alpha": 1e-4}]


@pytest.mark.parametrize(
    ("params", "weaker"),
    [
        ({"alpha": 1e-3}, [{"alpha": 0.0}]),
        ({"alpha": 0.0011}, [{"alpha": 1e-4}]),
        ({}, [{"alpha": 0.0}]),
        ({"alpha": 0.0, "alpha_l1": 2.0}, [{"alpha_l1": 0.0}]),
        ({"alpha": 1e-4, "alpha_l1": 0.0, "weight_decay": 0.5}, [{"weight_decay": None}]),
        ({"weight_decay": Cosine() * 0.5}, [{"weight_decay": None}]),
        ({"alpha": 5.0, "max_norm": 0.1}, [{"alpha": 1e-4}, {"max_norm": None}]),
        ({"weight_decay": None, "max_norm": None}, [{"alpha": 0.0}]),
    ],
)
def test_underfitting_recommends_reducing_the_penalties_in_use(params, weaker, records, only):
    finding = only(underfitting(_held_down(records, params=params)))
    assert [dict(remedy.params) for remedy in finding.remedies] == weaker


@pytest.mark.parametrize(
    ("relative", "width", "found"),
    [(0.31, 3, True), (0.29, 3, False), (0.31, 4, False), (1.6, 1, True), (0.31, 1, True)],
)
def test_underfitting_is_found_by_a_narrow_hidden_layer(relative, width, found, records):
    weights = [np.ones((5, 100)), np.ones((100, width)), np.ones((width, 3))]
    evidence = _held_down(records, relative=relative, penalty=0.0, weights=weights)
    findings = list(underfitting(evidence))
    assert len(findings) == found
    if found:
        assert findings[0].evidence == pytest.approx({"loss_over_constant": relative, "n_units": width})
        assert f"of {width} unit{'s' * (width > 1)} is" in findings[0].message
        assert findings[0].remedies[0].params == {"hidden_layer_sizes": (100, 64)}


def test_a_narrow_output_layer_is_no_underfitting(records):
    weights = [np.ones((5, 100)), np.ones((100, 1))]
    assert list(underfitting(_held_down(records, penalty=0.0, weights=weights))) == []
    assert list(underfitting(_held_down(records, penalty=0.0, weights=[np.ones((5, 1))]))) == []


def test_without_a_recorded_penalty_there_is_no_underfitting(records):
    evidence = records({"train_loss": 1.8, "penalty": None}, data_summary={"baseline_loss": 2.0})
    assert list(underfitting(evidence)) == []
    evidence = records({"train_loss": 1.8, "loss": None}, data_summary={"baseline_loss": 2.0})
    assert list(underfitting(evidence)) == []


def test_undefined_score_counts_epochs(records):
    score = [math.nan, 0.5, math.nan, *[0.6] * 9]
    (finding,) = undefined_score(records({"validation_score": score}))
    assert finding.evidence == {"n_undefined": 2.0, "n_epochs": 12.0}
    assert finding.epoch == 1


def test_a_score_is_not_undefined_if_the_loss_is_nan_too(records):
    lost = [*[0.5] * 11, math.nan]
    assert list(undefined_score(records({"validation_score": lost, "validation_loss": lost}))) == []
