"""Rules about gradients that vanish, explode or are mostly noise."""

import math

import numpy as np
import pytest

from skmlp.diagnosis import Evidence
from skmlp.diagnosis.gradients import exploding_gradients, small_batch, vanishing_gradients
from skmlp.optim import ScheduleFreeAdamW

RULES = pytest.mark.parametrize("rule", [vanishing_gradients, exploding_gradients, small_batch])
BELOW, ABOVE = 0.999, 1.001


@RULES
def test_nothing_is_found_in_a_healthy_training(rule, records):
    assert list(rule(records())) == []


@RULES
@pytest.mark.parametrize(
    "bare",
    [
        Evidence({}),
        Evidence({"train_loss": [1.0]}, params={"batch_size": 1}),
        Evidence({"train_loss": [], "gradient_norm": []}, {"epoch": []}),
        Evidence({"train_loss": [1.0, 0.5]}, {"epoch": [1, 2], "gradient_norm": [[1.0], [1.0]]}),
        Evidence({"train_loss": [1.0]}, {"epoch": [1], "gradient_snr": [[0.01]]}, {"batch_size": 1}),
        Evidence({"train_loss": [1.0]}, {"gradient_norm": [[1e-9, 1.0]], "gradient_snr": [[0.01]]}, {"batch_size": 1}),
    ],
    ids=["nothing", "no statistics", "no epoch", "one layer", "no gradient norms", "statistics without their epochs"],
)
def test_missing_records_give_no_finding(rule, bare):
    assert list(rule(bare)) == []


# ---------------------------------------------------------------------- vanishing


@pytest.mark.parametrize(
    ("ratio", "severity"),
    [
        (1e-3 * ABOVE, None),
        (1e-3 * BELOW, "warning"),
        (1e-4 * ABOVE, "warning"),
        (1e-4 * BELOW, "severe"),
        (1e-30, "severe"),
        (0.0, None),
    ],
)
def test_vanishing_gradients_are_found_beyond_their_thresholds(ratio, severity, records):
    found = list(vanishing_gradients(records(monitor={"gradient_norm": [2.0 * ratio, 1e-9, 2.0]})))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_finding_of_vanishing_gradients_names_place_evidence_and_remedies(records, only):
    norms = np.full((5, 3), 2.0)
    norms[1:, 0] = [1e-3, 2e-3, 4e-4, 1e-3]  # from the second monitored epoch on
    finding = only(vanishing_gradients(records(monitor={"gradient_norm": norms}, weights=[])))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("vanishing_gradients", "warning", 1, 2)
    assert finding.evidence == pytest.approx({"first_over_last": 5e-4, "first_layer_norm": 1e-3, "n_layers": 3})
    assert "5.0e-04 times" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [
        {"activation": "relu", "weight_init": "auto"},
        {"normalization": "batch"},
        {"residual": True},
    ]


@pytest.mark.parametrize(("n_small", "found"), [(2, False), (3, True)])
def test_vanishing_gradients_must_last_for_most_epochs(n_small, found, records):
    norms = np.ones((5, 3))
    norms[:n_small, 0] = 1e-5
    assert bool(list(vanishing_gradients(records(monitor={"gradient_norm": norms})))) is found


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_vanishing_gradients_ignore_epochs_without_finite_norms(broken, records, only):
    norms = np.ones((5, 3))
    norms[:, 0] = 1e-5
    norms[3:] = broken
    norms[2, 2] = 0.0  # an infinite ratio
    finding = only(vanishing_gradients(records(monitor={"gradient_norm": norms})))
    assert finding.evidence["first_over_last"] == pytest.approx(1e-5)
    assert list(vanishing_gradients(records(monitor={"gradient_norm": broken}))) == []


def test_vanishing_gradients_consider_the_last_training_only(records, only):
    norms = np.ones((5, 3))
    norms[:3, 0] = 1e-6
    healthy_at_last = records(monitor={"gradient_norm": norms}, n_iter=7)  # epochs 6 to 12
    assert list(vanishing_gradients(healthy_at_last)) == []
    norms[3:, 0] = 1e-6
    finding = only(vanishing_gradients(records(monitor={"gradient_norm": norms}, n_iter=7)))
    assert finding.epoch == 1  # the sixth of all epochs
    norms[-1] = math.nan
    at_the_border = records(monitor={"gradient_norm": norms}, n_iter=6)  # epochs 7 to 12, without epoch 6
    assert at_the_border.monitored_epochs.tolist() == [6]
    assert list(vanishing_gradients(at_the_border)) == []


@pytest.mark.parametrize(("sizes", "possible"), [((8, 6), False), ((8, 8), True), ((4, 8, 8, 2), True), ((8,), False)])
def test_residual_connections_are_recommended_only_for_neighbours_of_equal_size(sizes, possible, records, only):
    weights = [np.ones(shape) for shape in zip((4, *sizes), (*sizes, 4), strict=True)]
    finding = only(vanishing_gradients(records(monitor={"gradient_norm": [1e-5, 1.0, 1.0]}, weights=weights)))
    assert ({"residual": True} in [remedy.params for remedy in finding.remedies]) is possible


# ---------------------------------------------------------------------- exploding


def _norms(largest, *, at=4):
    """Return the gradient's norm in 12 epochs, with the largest one in epoch `at`."""
    return [largest if epoch == at else 3.0 for epoch in range(1, 13)]


@pytest.mark.parametrize(
    ("largest", "severity"),
    [(100.0 * BELOW, None), (100.0, "warning"), (1e4, "warning"), (1e4 * ABOVE, "severe")],
)
@pytest.mark.parametrize(
    ("data_summary", "scale"),
    [({"feature_std": np.ones(2), "baseline_loss": 50.0}, 50.0), ({"baseline_loss": 0.01}, 1.0), ({}, 1.0)],
    ids=["in units of a large loss", "a small loss does not count", "without data_summary"],
)
def test_exploding_gradients_are_found_beyond_their_thresholds(largest, severity, data_summary, scale, records):
    found = list(exploding_gradients(records({"gradient_norm": _norms(scale * largest)}, data_summary=data_summary)))
    assert [(finding.severity, finding.epoch) for finding in found] == ([(severity, 4)] if severity else [])


def test_finding_of_exploding_gradients_names_place_evidence_and_remedies(records, only):
    largest = np.ones((5, 3))
    largest[3, 1] = 600.0
    data_summary = {**records().data_summary, "baseline_loss": 2.2}
    evidence = records(
        {"gradient_norm": _norms(660.0, at=5)}, {"gradient_norm_max": largest}, data_summary=data_summary
    )
    finding = only(exploding_gradients(evidence))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("exploding_gradients", "warning", 2, 5)
    assert finding.evidence == pytest.approx({"largest_norm": 660.0, "median_norm": 3.0, "over_baseline_loss": 300.0})
    assert "6.6e+02" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"gradient_clip": 1.0}, {"normalization": "batch"}]


@pytest.mark.parametrize(("at", "start"), [(1, True), (2, False)])
def test_default_weights_are_recommended_if_gradients_explode_in_the_first_epoch(at, start, records, only):
    large = {"gradient_norm": _norms(500.0, at=at)}
    for usual in ("auto", "glorot_uniform", "glorot_normal"):
        finding = only(exploding_gradients(records(large, params={"weight_init": usual})))
        assert finding.remedies[0].params == {"gradient_clip": 1.0}
    finding = only(exploding_gradients(records(large, params={"weight_init": "he_normal"})))
    assert finding.remedies[0].params == ({"weight_init": "auto"} if start else {"gradient_clip": 1.0})


def test_scaling_is_recommended_first_if_the_inputs_are_unknown(records, only):
    finding = only(
        exploding_gradients(records({"gradient_norm": 500.0}, data_summary={}, params={"weight_init": "normal"}))
    )
    assert finding.remedies[0].scale_inputs
    assert finding.remedies[1].params == {"weight_init": "auto"}


def test_exploding_gradients_have_no_layer_without_statistics(records, only):
    finding = only(exploding_gradients(records({"gradient_norm": _norms(500.0)}, {"gradient_norm_max": None})))
    assert finding.layer is None
    assert finding.epoch == 4


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_layer_with_a_non_finite_norm_is_the_exploding_one(broken, records, only):
    largest = np.full((5, 3), 1e6)
    largest[4, 0] = broken
    norms = [*[500.0] * 11, broken]
    finding = only(exploding_gradients(records({"gradient_norm": norms}, {"gradient_norm_max": largest})))
    assert finding.layer == 1
    assert finding.evidence["largest_norm"] == 500.0
    assert list(exploding_gradients(records({"gradient_norm": broken}))) == []


def test_exploding_gradients_are_found_in_a_single_epoch(only):
    finding = only(
        exploding_gradients(Evidence({"gradient_norm": [2e4]}, {"epoch": [1], "gradient_norm_max": [[7.0]]}))
    )
    assert (finding.severity, finding.layer, finding.epoch) == ("severe", 1, 1)


def test_remedies_suit_the_solver(records, only):
    """L-BFGS has neither clipping nor mini-batches, and a batch of one sample has no variance."""
    for params in ({"solver": "lbfgs"}, {"solver": "adam", "batch_size": 1}):
        exploding = only(exploding_gradients(records({"gradient_norm": 500.0}, params=params)))
        assert {"normalization": "layer"} in [remedy.params for remedy in exploding.remedies]
        assert ({"gradient_clip": 1.0} in [remedy.params for remedy in exploding.remedies]) is ("batch_size" in params)
        vanishing = only(vanishing_gradients(records(monitor={"gradient_norm": [1e-5, 1.0, 1.0]}, params=params)))
        assert vanishing.remedies[1].params == {"normalization": "layer"}


# ---------------------------------------------------------------------- small batches


def _noisy(records, *, batch_size=4, signal=0.05, last=0.5):
    """Return evidence of a gradient that is mostly noise and stays at `last` of its largest norm."""
    norms = [2.0] * 11 + [2.0 * last]
    return records(
        {"gradient_norm": norms}, {"gradient_snr": signal}, params={"batch_size": batch_size}, data_summary={}
    )


def test_finding_of_a_small_batch_names_place_evidence_and_remedies(records, only):
    finding = only(small_batch(_noisy(records)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("small_batch", "warning", None, 1)
    expected = {"batch_size": 4.0, "signal_to_noise": 0.05, "last_over_largest_norm": 0.5}
    assert finding.evidence == pytest.approx(expected)
    assert "a mini-batch of 4 " in finding.message
    # The noise scale is 4 / 0.05 = 80 samples; 64 is the nearest power of two.
    assert [dict(remedy.params) for remedy in finding.remedies] == [
        {"batch_size": 64},
        {"learning_rate": "cosine"},
        {"averaging": 0.99},
    ]


@pytest.mark.parametrize("solver", ["schedule_free_adamw", ScheduleFreeAdamW()])
def test_a_solver_that_averages_is_not_to_average_twice(records, only, solver):
    evidence = _noisy(records)
    evidence.params["solver"] = solver
    assert "averaging" not in [name for remedy in only(small_batch(evidence)).remedies for name in remedy.params]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"batch_size": 31}, True),
        ({"batch_size": 32}, False),
        ({"batch_size": np.int64(31)}, True),
        ({"batch_size": "auto"}, False),
        ({"batch_size": None}, False),
        ({"signal": 0.1 * BELOW}, True),
        ({"signal": 0.1 * ABOVE}, False),
        ({"last": 0.1 * ABOVE}, True),
        ({"last": 0.1 * BELOW}, False),
        ({"last": math.nan}, False),
    ],
)
def test_small_batch_is_found_beyond_its_thresholds(change, found, records):
    assert len(list(small_batch(_noisy(records, **change)))) == found


def test_the_recommended_batch_is_not_larger_than_the_data(records, only):
    evidence = records(
        {"gradient_norm": 1.0}, {"gradient_snr": 0.01}, params={"batch_size": 4}, data_summary={"n_samples": 50}
    )
    assert only(small_batch(evidence)).remedies[0].params == {"batch_size": 50}


@pytest.mark.parametrize(
    ("batch_size", "signal", "better"),
    [(1, 0.09, 32), (2, 0.001, 256), (4, 0.0, 256), (4, -0.01, 256), (9, 0.09, 128), (31, 0.0999, 256)],
)
def test_the_recommended_batch_is_the_noise_scale_within_limits(batch_size, signal, better, records, only):
    finding = only(small_batch(_noisy(records, batch_size=batch_size, signal=signal)))
    assert finding.remedies[0].params == {"batch_size": better}


def test_small_batch_considers_the_first_half_of_the_epochs_known_in_all_layers(records, only):
    signal = np.full((5, 3), 5.0)
    signal[0] = [9.0, math.nan, 9.0]  # not known in all layers
    signal[1], signal[2] = 0.03, [0.01, 0.02, 0.12]
    finding = only(small_batch(_noisy(records, signal=signal)))
    assert finding.evidence["signal_to_noise"] == pytest.approx((0.03 + 0.05) / 2)
    assert list(small_batch(_noisy(records, signal=[math.nan, 0.01, 0.01]))) == []
    late = np.array([9.0, 9.0, 0.01, 0.01, 0.01])[:, np.newaxis]  # as in every training that converges
    assert list(small_batch(_noisy(records, signal=late))) == []


@pytest.mark.parametrize("norm", [0.0, math.nan, math.inf])
def test_small_batch_needs_finite_gradient_norms(norm, records):
    evidence = records({"gradient_norm": norm}, {"gradient_snr": 0.01}, params={"batch_size": 2})
    assert list(small_batch(evidence)) == []
