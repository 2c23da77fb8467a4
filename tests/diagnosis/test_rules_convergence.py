"""Rules about divergence, learning rates, too few epochs and plateaus."""

import math

import numpy as np
import pytest

from skmlp.diagnosis import Evidence
from skmlp.diagnosis.convergence import diverged, learning_rate_too_high, learning_rate_too_low, not_converged, plateau
from skmlp.nn.activations import LeakyReLU

RULES = pytest.mark.parametrize(
    "rule", [diverged, learning_rate_too_high, learning_rate_too_low, not_converged, plateau]
)
BELOW, ABOVE = 0.999, 1.001


@RULES
def test_nothing_is_found_in_a_healthy_training(rule, records):
    assert list(rule(records())) == []
    assert list(rule(records(stop_reason="max_iter"))) == []
    assert list(rule(records(monitor=dict.fromkeys(records().monitor), data_summary={}))) == []


@RULES
@pytest.mark.parametrize(
    "history",
    [
        {},
        {"train_loss": [], "learning_rate": [], "gradient_norm": [], "validation_loss": []},
        {"train_loss": [1.0], "learning_rate": [0.1], "gradient_norm": [1.0]},
        {"train_loss": [1.0, math.nan, math.inf], "learning_rate": [math.nan] * 3},
        {"train_loss": [math.nan] * 20, "validation_loss": [math.nan] * 20},
        {"train_loss": [0.0] * 20, "learning_rate": [0.1] * 20},
    ],
    ids=["nothing", "no epoch", "one epoch", "L-BFGS to NaN", "NaN", "perfect from the start"],
)
def test_missing_records_give_no_finding(rule, history):
    monitor, summary = {"epoch": [1], "update_ratio_max": [[math.nan, math.nan]]}, {"baseline_loss": math.nan}
    for reason in ("", "converged", "max_iter", "max_time", "callback", "failed"):
        assert list(rule(Evidence(history, stop_reason=reason))) == []
        assert list(rule(Evidence(history, monitor, data_summary=summary, stop_reason=reason))) == []


# ---------------------------------------------------------------------- diverged


def test_finding_of_divergence_names_place_evidence_and_remedies(records, only):
    bad = np.zeros((5, 3))
    bad[-1] = [3.0, 7.0, 0.0]
    message = "the gradient of layer 2 became infinite or NaN at step 40 in epoch 12; the weights of epoch 3 are kept"
    finding = only(diverged(records((), {"gradient_nonfinite": bad}, stop_reason="non_finite", stop_message=message)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("diverged", "severe", 2, 12)
    assert finding.message == "During training, the gradient of layer 2 became infinite or NaN at step 40 in epoch 12."
    assert finding.evidence == {"n_epochs": 12.0, "step": 40.0, "bad_gradients": 10.0}
    # The factor is at most 0.3, although an update ratio of 0.01 is fine.
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(3e-4)}
    assert finding.remedies[1].params == {"gradient_clip": 1.0}
    assert "lr_find" in finding.remedies[2].text


def test_diverged_takes_the_layer_from_the_stop_message(records, only):
    told = "the output of layer 2 of 3 became infinite or NaN at step 5 in epoch 3; the weights of epoch 2 are kept"
    bad = {"gradient_nonfinite": [5.0, 5.0, 5.0]}
    finding = only(diverged(records(monitor=bad, stop_reason="non_finite", stop_message=told)))
    assert finding.layer == 2
    assert finding.message == "During training, the output of layer 2 of 3 became infinite or NaN at step 5 in epoch 3."
    assert finding.evidence["bad_gradients"] == 15.0
    finding = only(diverged(records(monitor={"gradient_nonfinite": None}, stop_reason="non_finite")))
    assert (finding.layer, "bad_gradients" in finding.evidence) == (None, False)


def test_diverged_considers_the_last_training_only(records, only):
    finding = only(diverged(records(stop_reason="non_finite", n_iter=4)))
    assert (finding.epoch, finding.evidence["n_epochs"]) == (4, 4.0)


# ---------------------------------------------------------------------- too high


def _jumping(records, *, ratio=0.5, peak=2.0, last=2.0, **others):
    """Return evidence of a loss that rises to `peak` and ends at `last`; that of a constant prediction is 1."""
    loss = [1.0, 0.9, peak, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, last]
    data_summary = {**records().data_summary, "baseline_loss": 1.0}
    return records({"train_loss": loss}, {"update_ratio_max": ratio}, **{"data_summary": data_summary, **others})


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        ({}, "severe"),
        ({"ratio": 0.2 * BELOW}, None),
        ({"ratio": 0.2}, None),
        ({"ratio": 0.2 * ABOVE}, "severe"),
        ({"peak": 1.3 * BELOW, "last": 0.5}, None),
        ({"peak": 1.3 * ABOVE, "last": 0.5}, "warning"),
        ({"last": 0.9 * BELOW}, "warning"),
        ({"last": 0.9 * ABOVE}, "severe"),
        ({"last": math.inf}, "severe"),
        ({"last": math.nan, "peak": 0.9}, "severe"),
        ({"ratio": math.nan}, None),
        ({"ratio": 0.0}, None),
    ],
)
def test_learning_rate_too_high_is_found_beyond_its_thresholds(change, severity, records):
    found = list(learning_rate_too_high(_jumping(records, **change)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_finding_of_too_high_a_learning_rate_names_place_evidence_and_remedies(records, only):
    ratios = np.full((5, 3), 0.05)
    ratios[2] = [0.1, 0.8, 0.4]  # monitored in epoch 3; the median is 0.4
    ratios[3] = [9.0, 0.1, 0.1]  # large in one layer only
    finding = only(learning_rate_too_high(_jumping(records, ratio=ratios)))
    expected = ("learning_rate_too_high", "severe", None, 3)
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == expected
    assert finding.evidence == pytest.approx({"largest_update_ratio": 0.4, "loss_rose_to": 2.0})
    # Reduces the first update ratio from 0.05 to 0.01.
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(2e-4)}
    assert finding.remedies[1].params == {"gradient_clip": 1.0}


@pytest.mark.parametrize(
    ("ratio", "rate", "better"), [(0.25, 0.3, 0.01), (4e3, 0.3, 3e-4), (0.0101, 0.1, 0.03), (math.nan, 0.1, 0.01)]
)
def test_the_recommended_lower_rate_gives_update_ratios_of_one_hundredth(ratio, rate, better, records, only):
    ratios = np.full((5, 3), 0.5)
    ratios[:, :] = [[ratio], [0.5], [0.5], [0.5], [0.5]]
    if math.isnan(ratio):
        ratios[:] = math.nan
    evidence = records(
        monitor={"update_ratio_max": ratios}, params={"learning_rate_init": rate}, stop_reason="non_finite"
    )
    assert only(diverged(evidence)).remedies[0].params == {"learning_rate_init": pytest.approx(better)}


def test_the_current_learning_rate_is_the_largest_of_the_history_if_no_parameter_is_known(records, only):
    rates = [0.01, 0.02, *[0.005] * 10]
    evidence = records({"learning_rate": rates}, {"update_ratio_max": None}, params={}, stop_reason="non_finite")
    assert only(diverged(evidence)).remedies[0].params == {"learning_rate_init": pytest.approx(2e-3)}
    evidence = records({"learning_rate": None}, {"update_ratio_max": None}, params={}, stop_reason="non_finite")
    assert only(diverged(evidence)).remedies[0].params == {"learning_rate_init": pytest.approx(1e-4)}


def test_infinite_update_ratios_count_as_too_large(records, only):
    ratios = np.full((5, 3), 0.3)
    ratios[1] = math.inf
    finding = only(learning_rate_too_high(_jumping(records, ratio=ratios)))
    assert finding.evidence["largest_update_ratio"] == pytest.approx(0.3)
    assert finding.epoch == 1


def test_learning_rate_is_too_high_if_no_loss_is_finite(records, only):
    finding = only(learning_rate_too_high(records({"train_loss": math.nan}, {"update_ratio_max": 0.5})))
    assert (finding.severity, finding.evidence["loss_rose_to"]) == ("severe", math.inf)


def _by_losses(loss, baseline=None):
    data_summary = {} if baseline is None else {"baseline_loss": baseline}
    return Evidence({"train_loss": loss, "learning_rate": [0.1] * len(loss)}, data_summary=data_summary)


@pytest.mark.parametrize(
    ("n_jumps", "height", "found"), [(2, 0.21, False), (3, 0.21, True), (3, 0.19, False), (5, 0.21, True)]
)
def test_without_statistics_the_loss_must_jump_in_more_than_a_fifth_of_the_epochs(n_jumps, height, found):
    """There are ten differences between epochs; a jump exceeds a fifth of the first loss, which is 2."""
    loss = [2.0]
    for step in range(10):
        rises = step % 2 == 1 and step < 2 * n_jumps
        loss.append(loss[-1] + 2.0 * height if rises else loss[-1] - 0.1)
    assert len(list(learning_rate_too_high(_by_losses(loss)))) == found


def test_learning_rate_too_high_finding_without_statistics(only):
    finding = only(learning_rate_too_high(_by_losses([1.0, 0.5, 4.0, 0.8, 3.0], baseline=2.0)))
    assert finding.evidence == {"fraction_of_rising_epochs": 0.5, "loss_rose_to": 2.0}
    assert (finding.severity, finding.epoch) == ("severe", 3)
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(0.01)}
    assert finding.message == "The loss jumps instead of falling."
    assert only(learning_rate_too_high(_by_losses([1.0, 0.5, 4.0, 0.8], baseline=2.0))).severity == "warning"


@pytest.mark.parametrize("loss", [[0.0, 1e10, 0.0, 1e10], [1.0, 0.0, 3e38, 0.5]])
def test_learning_rate_too_high_with_a_loss_of_zero(loss, only):
    assert only(learning_rate_too_high(_by_losses(loss))).code == "learning_rate_too_high"


def test_losses_below_zero_are_not_compared_by_ratio(records):
    """A negative log-likelihood can be negative; then the ratio of two losses has no meaning."""
    falling = [2.0, 0.5, -1.0, -2.0, -2.5, -3.0, -3.2, -3.3, -3.35, -3.4, -3.42, -3.43]
    evidence = records({"train_loss": falling}, {"update_ratio_max": 0.5}, data_summary={"baseline_loss": -2.9})
    assert list(learning_rate_too_high(evidence)) == []
    assert list(learning_rate_too_high(_by_losses([-1.0 - 0.1 * epoch for epoch in range(10)]))) == []
    (jumping,) = learning_rate_too_high(_by_losses([-1.0, -2.0, 3.0, -2.0, 3.0]))
    assert math.isnan(jumping.evidence["loss_rose_to"])


def test_without_a_learning_rate_neither_rule_finds_anything(records):
    for rates in (math.nan, None):
        evidence = _jumping(records)
        history = {**evidence.history, "learning_rate": [] if rates is None else [rates] * 12}
        assert (
            list(learning_rate_too_high(Evidence(history, evidence.monitor, data_summary=evidence.data_summary))) == []
        )
        slow = records({"learning_rate": rates, "gradient_norm": 1.0}, {"update_ratio_max": 1e-6})
        assert list(learning_rate_too_low(slow)) == []


# ---------------------------------------------------------------------- too low


def _slow(records, *, ratio=1e-5, last=1.0, first=1.0, **others):
    norms = [first, *[1.0] * 10, last]
    return records({"gradient_norm": norms}, {"update_ratio_max": ratio}, **others)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"ratio": 1e-4 * BELOW}, True),
        ({"ratio": 1e-4}, False),
        ({"ratio": 0.0}, True),
        ({"ratio": math.nan}, False),
        ({"last": 0.5}, True),
        ({"last": 0.5 * BELOW}, False),
        ({"last": math.nan}, False),
        ({"first": math.nan}, False),
        ({"first": 0.0}, False),
        ({"first": math.inf, "last": math.inf}, False),
    ],
)
def test_learning_rate_too_low_is_found_beyond_its_thresholds(change, found, records):
    assert len(list(learning_rate_too_low(_slow(records, **change)))) == found


def test_finding_of_too_low_a_learning_rate_names_place_evidence_and_remedies(records, only):
    ratios = np.full((5, 3), 1e-6)
    ratios[1] = [7e-3, 3e-5, 2e-5]  # their median is 3e-5
    ratios[4] = math.nan
    finding = only(learning_rate_too_low(_slow(records, ratio=ratios, last=0.8)))
    expected = ("learning_rate_too_low", "warning", None, 1)
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == expected
    assert finding.evidence == pytest.approx({"largest_update_ratio": 3e-5, "gradient_last_over_first": 0.8})
    # Increases the update ratio from 3e-5 to 3e-3.
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(0.1)}
    assert "lr_find" in finding.remedies[1].text


@pytest.mark.parametrize(("ratio", "better"), [(9.9e-5, 0.03), (1e-5, 0.3), (1e-7, 1.0), (0.0, 1.0)])
def test_the_recommended_higher_rate_is_ten_to_a_thousand_times_the_current_one(ratio, better, records, only):
    finding = only(learning_rate_too_low(_slow(records, ratio=ratio)))
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(better)}


def test_learning_rate_too_low_needs_update_ratios_and_gradient_norms(records):
    assert list(learning_rate_too_low(_slow(records, ratio=None))) == []
    assert list(learning_rate_too_low(records({"gradient_norm": None}, {"update_ratio_max": 1e-6}))) == []


# ---------------------------------------------------------------------- not converged


def _falling(records, *, last=0.9, name="train_loss", history=(), **others):
    """Return evidence of a loss of 1 that is `last` in the last quarter."""
    columns = {"validation_loss": None, name: [1.0] * 9 + [last] * 3, **dict(history)}
    return records(columns, **{"stop_reason": "max_iter", "params": {"max_iter": 12}, **others})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"last": 0.9749}, True),  # 0.0251 in a quarter of the epochs is 0.1004 in all
        ({"last": 0.9751}, False),
        ({"last": 1.5}, False),
        ({"last": math.nan}, False),
        ({"last": math.inf}, False),
        ({"stop_reason": "max_time"}, True),
        ({"stop_reason": "max_fun"}, True),
        ({"stop_reason": "converged"}, False),
        ({"stop_reason": "callback"}, False),
        ({"stop_reason": "interrupted"}, False),
        ({"data_summary": {"baseline_loss": 0.9 / 0.02 * BELOW}}, True),
        ({"data_summary": {"baseline_loss": 0.9 / 0.02 * ABOVE}}, False),  # the loss is good enough
        ({"data_summary": {"baseline_loss": math.inf}}, True),
    ],
)
def test_lack_of_convergence_is_found_beyond_its_thresholds(change, found, records):
    assert len(list(not_converged(_falling(records, **change)))) == found


def test_finding_of_lack_of_convergence_names_place_evidence_and_remedies(records, only):
    finding = only(not_converged(_falling(records)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("not_converged", "warning", None, 12)
    assert finding.evidence == pytest.approx({"to_gain": 0.4, "n_epochs": 12.0, "last_loss": 0.9})
    assert "ended by max_iter" in finding.message
    assert "about 40%" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [
        {"max_iter": 60},
        {"max_iter": 60, "early_stopping": True},
    ]
    assert "about 100%" in only(not_converged(_falling(records, last=0.1))).message


@pytest.mark.parametrize(
    ("stop_reason", "params", "longer"),
    [
        ("max_time", {"max_time": 2.5, "max_iter": 9}, {"max_time": 12.5}),
        ("max_fun", {"max_fun": 15_000}, {"max_fun": 75_000}),
        ("max_iter", {}, {}),
    ],
)
def test_not_converged_recommends_raising_the_limit_that_was_reached(stop_reason, params, longer, records, only):
    finding = only(not_converged(_falling(records, stop_reason=stop_reason, params=params)))
    assert finding.remedies[0].params == longer
    assert finding.remedies[1].params == {**longer, "early_stopping": True}


def test_not_converged_prefers_the_validation_loss(records):
    falls, stands = [1.0] * 9 + [0.9] * 3, 1.0
    assert list(not_converged(_falling(records, history={"validation_loss": stands}))) == []
    (finding,) = not_converged(_falling(records, last=1.0, history={"validation_loss": falls}))
    assert finding.evidence["last_loss"] == 0.9


def test_not_converged_needs_the_lowest_loss_at_the_end(records):
    loss = [1.0, 0.5, *[1.0] * 7, *[0.9] * 3]
    assert list(not_converged(_falling(records, history={"train_loss": loss}))) == []


def test_not_converged_needs_two_epochs(only):
    history = {"train_loss": [1.0, 0.9]}
    assert only(not_converged(Evidence(history, stop_reason="max_iter"))).evidence["to_gain"] == pytest.approx(0.2)
    assert list(not_converged(Evidence({"train_loss": [0.9]}, stop_reason="max_iter"))) == []
    assert list(not_converged(Evidence(history, stop_reason="max_iter", n_iter=1))) == []


# ---------------------------------------------------------------------- plateau


def _flat(n_flat, n_epochs=12, *, value=1.0, baseline=1.0, start=(), **others):
    """Return evidence of the losses in `start`, then `n_flat` times `value`, then 0.5."""
    loss = [*start, *[value] * n_flat]
    loss += [0.5] * (n_epochs - len(loss))
    return Evidence({"train_loss": loss}, data_summary={"baseline_loss": baseline}, **others)


@pytest.mark.parametrize(
    ("evidence", "found"),
    [
        (_flat(12), True),
        (_flat(9), True),  # three of the last six
        (_flat(8), False),
        (_flat(6, start=[0.5] * 6), True),
        (_flat(5, start=[0.5] * 7), False),
        (_flat(10, 10), True),
        (_flat(9, 9), False),
        (_flat(12, value=1.0199), True),
        (_flat(12, value=1.0201), False),
        (_flat(12, value=0.9801), True),
        (_flat(12, value=0.9799), False),
        (_flat(12, baseline=0.0, value=0.0), False),
        (_flat(12, baseline=math.nan), False),
        (_flat(12, baseline=math.inf), False),
        (_flat(12, baseline=-1.0, value=-1.0), False),
        (_flat(12, value=math.nan), False),
        (_flat(12, value=math.inf), False),
    ],
)
def test_plateau_is_found_beyond_its_thresholds(evidence, found):
    assert len(list(plateau(evidence))) == found


def test_finding_of_a_plateau_names_place_evidence_and_remedies(only):
    params = {"activation": "relu", "learning_rate_init": 0.002}
    finding = only(plateau(_flat(7, value=2.02, baseline=2.0, start=[9.0, 4.0, 2.5, 0.5, 0.5], params=params)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("plateau", "warning", None, 6)
    assert finding.evidence == pytest.approx({"fraction_of_epochs": 7 / 12, "loss": 2.02, "constant": 2.0})
    assert finding.remedies[0].params == {"solver": "adam"}
    assert finding.remedies[1].params == {"learning_rate_init": pytest.approx(0.02)}
    assert finding.remedies[2].params == {}


@pytest.mark.parametrize(
    ("activation", "saturates"),
    [
        ("logistic", True),
        ("tanh", True),
        (["relu", "tanh"], True),
        (("relu", "gelu"), False),
        (None, False),
        (LeakyReLU(0.2), False),
        ([LeakyReLU(0.2), "logistic"], True),
    ],
)
def test_plateau_recommends_relu_for_saturating_activations_and_adam_otherwise(activation, saturates, only):
    remedy = only(plateau(_flat(12, params={"activation": activation}))).remedies[0]
    assert remedy.params == ({"activation": "relu", "weight_init": "auto"} if saturates else {"solver": "adam"})
