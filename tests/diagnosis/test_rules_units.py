"""Rules about units that are dead, saturated, copies of each other or unused."""

import math
from itertools import pairwise

import numpy as np
import pytest

from skmlp.diagnosis import Evidence
from skmlp.diagnosis.units import dead_units, fraction_of_copies, saturated_units, symmetric_units, unused_capacity

RULES = pytest.mark.parametrize("rule", [dead_units, saturated_units, symmetric_units, unused_capacity])
NONE = math.nan


@RULES
def test_nothing_is_found_in_a_healthy_training(rule, records):
    assert list(rule(records())) == []


@RULES
@pytest.mark.parametrize(
    "bare",
    [
        Evidence({}),
        Evidence({"train_loss": [1.0]}, {"epoch": [], "dead_fraction": [], "saturated_fraction": []}),
        Evidence({"train_loss": [1.0]}, {"dead_fraction": [[1.0]], "saturated_fraction": [[1.0]]}),
        Evidence({"train_loss": [1.0]}, {"epoch": [1], "dead_fraction": [[NONE]], "saturated_fraction": [[NONE]]}),
        Evidence(
            {"train_loss": [1.0]}, weights=[np.ones((2, 1))], biases=[np.ones(1)], data_summary={"unit_spread": []}
        ),
    ],
    ids=["nothing", "no epoch", "statistics without their epochs", "an output layer alone", "no hidden layer"],
)
def test_missing_records_give_no_finding(rule, bare):
    assert list(rule(bare)) == []


# ---------------------------------------------------------------------- dead


@pytest.mark.parametrize(
    ("fraction", "severity"), [(0.499, None), (0.5, "warning"), (0.899, "warning"), (0.9, "severe"), (1.0, "severe")]
)
def test_dead_units_are_found_beyond_their_thresholds(fraction, severity, records):
    dead = np.tile([0.1, 0.1, NONE], (5, 1))
    dead[-1, 1] = fraction
    assert [f.severity for f in dead_units(records(monitor={"dead_fraction": dead}))] == [severity] * bool(severity)
    dead[-1, 1], dead[:-1, 1] = 0.0, 1.0  # dead only before the end
    assert list(dead_units(records(monitor={"dead_fraction": dead}))) == []


def test_finding_of_dead_units_names_place_evidence_and_remedies(records, only):
    dead = np.tile([0.55, 0.2, NONE], (5, 1))
    dead[2:, 1] = 0.75  # monitored in epoch 3
    params = {"learning_rate_init": 0.02, "bias_init": "auto"}
    finding = only(dead_units(records(monitor={"dead_fraction": dead}, params=params)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("dead_units", "warning", 2, 3)
    assert finding.evidence == {"dead_fraction": 0.75, "at_the_start": 0.2}
    assert finding.message.startswith("75% of the units of layer 2 ")
    assert [dict(remedy.params) for remedy in finding.remedies] == [
        {"learning_rate_init": pytest.approx(0.002)},
        {"activation": "leaky_relu"},
        {"normalization": "batch"},
    ]


@pytest.mark.parametrize(
    ("params", "first"),
    [
        ({"bias_init": "normal"}, {"bias_init": "auto"}),
        ({}, {"bias_init": "auto"}),
        ({"bias_init": "auto"}, {"weight_init": "auto"}),
        ({"bias_init": "zeros"}, {"weight_init": "auto"}),
    ],
)
def test_default_initial_values_are_recommended_if_units_are_dead_from_the_start(params, first, records, only):
    finding = only(dead_units(records(monitor={"dead_fraction": [0.95, 0.2, NONE]}, params=params)))
    assert (finding.layer, finding.epoch, finding.severity) == (1, 1, "severe")
    assert finding.remedies[0].params == first


def test_without_a_known_learning_rate_a_tenth_of_the_default_is_recommended(records, only):
    dead = np.tile([0.1, 0.1, NONE], (5, 1))
    dead[-1, 0] = 0.6
    finding = only(dead_units(records(monitor={"dead_fraction": dead}, params={})))
    assert finding.remedies[0].params == {"learning_rate_init": pytest.approx(1e-4)}
    assert finding.epoch == 12


def test_dead_units_consider_the_last_training_only(records):
    dead = np.tile([0.1, 0.1, NONE], (5, 1))
    dead[:, 0] = [0.9, 0.9, 0.9, 0.7, 0.7]
    (finding,) = dead_units(records(monitor={"dead_fraction": dead}, n_iter=7))
    assert finding.evidence == {"dead_fraction": 0.7, "at_the_start": 0.7}
    assert finding.epoch == 1


# ---------------------------------------------------------------------- saturated


@pytest.mark.parametrize(
    ("fraction", "severity"), [(0.499, None), (0.5, "warning"), (0.949, "warning"), (0.95, "severe"), (1.0, "severe")]
)
def test_saturated_units_are_found_beyond_their_thresholds(fraction, severity, records):
    found = list(saturated_units(records(monitor={"saturated_fraction": [0.2, fraction, NONE]})))
    assert [finding.severity for finding in found] == [severity] * bool(severity)


def test_finding_of_saturated_units_names_place_evidence_and_remedies(records, only):
    saturated = np.tile([0.55, 0.2, NONE], (5, 1))
    saturated[1:, 1] = [0.3, 0.8, 0.7, 0.6]
    finding = only(saturated_units(records(monitor={"saturated_fraction": saturated})))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("saturated_units", "warning", 2, 3)
    assert finding.evidence == {"saturated_fraction": 0.7, "at_the_start": 0.2}  # the median of 0.8, 0.7 and 0.6
    assert finding.message.startswith("70% of the outputs of layer 2 ")
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"normalization": "batch"}, {"activation": "relu"}]


def test_saturated_units_consider_the_second_half_of_the_training(records):
    early = np.array([0.9, 0.9, 0.1, 0.1, 0.9])[:, np.newaxis]  # the median of the last three is 0.1
    assert list(saturated_units(records(monitor={"saturated_fraction": early}))) == []
    late = np.array([0.1, 0.1, 0.9, 0.9, 0.1])[:, np.newaxis]
    assert len(list(saturated_units(records(monitor={"saturated_fraction": late})))) == 1


@pytest.mark.parametrize(
    ("weight_init", "at_the_start", "blamed"),
    [("normal", 0.5, True), ("normal", 0.49, False), ("auto", 0.9, False), ("glorot_uniform", 0.9, False)],
)
def test_default_weights_are_recommended_if_units_start_saturated(weight_init, at_the_start, blamed, records, only):
    saturated = np.tile([0.6, 0.2, NONE], (5, 1))
    saturated[0, 0] = at_the_start
    finding = only(
        saturated_units(records(monitor={"saturated_fraction": saturated}, params={"weight_init": weight_init}))
    )
    assert finding.layer == 1
    assert (finding.remedies[0].params == {"weight_init": "auto"}) is blamed


def test_dead_and_saturated_units_are_found_in_a_single_epoch(only):
    monitor = {"epoch": [1], "dead_fraction": [[0.9, NONE]], "saturated_fraction": [[0.9, NONE]]}
    evidence = Evidence({"train_loss": [1.0]}, monitor)
    for rule in (dead_units, saturated_units):
        finding = only(rule(evidence))
        assert (finding.layer, finding.epoch) == (1, 1)


def test_remedies_suit_the_solver(records, only):
    for params in ({"solver": "lbfgs"}, {"batch_size": 1}):
        for rule, name in ((dead_units, "dead_fraction"), (saturated_units, "saturated_fraction")):
            finding = only(rule(records(monitor={name: [0.9, 0.1, NONE]}, params=params)))
            assert {"normalization": "layer"} in [remedy.params for remedy in finding.remedies]


# ---------------------------------------------------------------------- symmetric


def _fraction_of_copies_by_all_pairs(weights, biases):
    """Return the fraction of units that are copies of another one, comparing all pairs."""
    incoming = [np.append(column, bias) for column, bias in zip(weights.T, biases, strict=True)]
    largest = max(np.linalg.norm(unit) for unit in incoming)
    found = 0
    for i, unit in enumerate(incoming):
        others = [other for j, other in enumerate(incoming) if j != i and np.linalg.norm(other) > 1e-6 * largest]
        if np.linalg.norm(unit) > 1e-6 * largest:
            found += any(np.linalg.norm(unit - other) <= 1e-3 * np.linalg.norm(unit) for other in others)
    return found / len(incoming)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fraction_of_copies_equals_that_of_a_comparison_of_all_pairs(seed, dtype):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((6, 12))
    weights[:, 1] = weights[:, 0]
    weights[:, 3] = weights[:, 2] * (1.0 + 5e-4)
    weights[:, 5] = weights[:, 4] * (1.0 + 3e-3)
    weights[:, 7] = -weights[:, 6]
    weights[:, 8] = weights[:, 9] = 0.0
    weights[:, 10] = weights[:, 11]  # different biases
    biases = np.zeros(12)
    biases[10] = 0.5
    weights, biases = weights.astype(dtype), biases.astype(dtype)
    assert fraction_of_copies(weights, biases) == _fraction_of_copies_by_all_pairs(weights, biases) == 4 / 12


@pytest.mark.parametrize(
    ("weights", "biases", "fraction"),
    [
        (np.zeros((3, 4)), np.arange(4.0), 1.0),
        (np.full((3, 4), 1e-200), np.zeros(4), 1.0),
        (np.ones((3, 1)), np.ones(1), 0.0),
        (np.full((3, 4), math.nan), np.zeros(4), 0.0),
        (np.full((3, 4), math.inf), np.zeros(4), 0.0),
        (np.eye(4), np.zeros(4), 0.0),
    ],
    ids=["zeros", "too small to square", "one unit", "NaN", "infinite", "all different"],
)
def test_fraction_of_copies_in_extreme_cases(weights, biases, fraction):
    assert fraction_of_copies(weights, biases) == fraction


def _with_copies(records, layer, n_copies, n_units=8):
    """Return evidence of a network with `n_copies` equal units in a hidden layer, counted from 1."""
    rng = np.random.default_rng(0)
    sizes = (4, n_units, n_units, 3)
    weights = [rng.standard_normal(shape) for shape in pairwise(sizes)]
    biases = [rng.standard_normal(size) for size in sizes[1:]]
    weights[layer - 1][:, :n_copies] = weights[layer - 1][:, :1]
    biases[layer - 1][:n_copies] = biases[layer - 1][0]
    return records(weights=weights, biases=biases)


@pytest.mark.parametrize("layer", [1, 2])
def test_finding_of_symmetric_units_names_place_evidence_and_remedies(layer, records, only):
    finding = only(symmetric_units(_with_copies(records, layer, 5)))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("symmetric_units", "severe", layer, 1)
    assert finding.evidence == {"fraction_of_copies": 0.625, "n_units": 8}
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"weight_init": "auto"}]
    assert list(symmetric_units(_with_copies(records, layer, 4))) == []  # exactly half


def test_equal_output_units_are_not_symmetric_units(records):
    assert list(symmetric_units(_with_copies(records, 3, 3))) == []


def test_only_the_first_symmetric_layer_is_found(records, only):
    evidence = records(
        weights=[np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 1))], biases=[np.zeros(3), np.zeros(4), 0]
    )
    assert only(symmetric_units(evidence)).layer == 1


# ---------------------------------------------------------------------- unused


def _with_unused(records, strengths):
    """Return evidence of a second hidden layer whose units have these contributions to the output."""
    outgoing = np.zeros((len(strengths), 2))
    outgoing[:, 0], outgoing[:, 1] = 3.0, 4.0  # of norm 5
    weights = [np.ones((4, 3)), np.ones((3, len(strengths))), outgoing]
    return records(weights=weights, data_summary={"unit_spread": [np.ones(3), np.array(strengths) / 5.0]})


@pytest.mark.parametrize(
    ("n_idle", "strength", "n_used"), [(4, 0.00999, 4), (4, 0.01001, None), (3, 0.0, None), (7, 1e-3, 1), (5, 0.0, 3)]
)
def test_unused_capacity_is_found_beyond_its_thresholds(n_idle, strength, n_used, records):
    strengths = [20.0] * (8 - n_idle) + [20.0 * strength] * n_idle
    found = list(unused_capacity(_with_unused(records, strengths)))
    if n_used is None:
        assert found == []
        return
    (finding,) = found
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("unused_capacity", "info", 2, None)
    assert finding.evidence == {"n_units": 8, "n_used": n_used}
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"hidden_layer_sizes": (3, n_used)}]


def test_unused_capacity_is_found_in_each_layer(records):
    spreads = [np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])]
    weights = [np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 1))]
    found = list(unused_capacity(records(weights=weights, data_summary={"unit_spread": spreads})))
    assert [finding.layer for finding in found] == [1, 2]
    assert [finding.remedies[0].params["hidden_layer_sizes"] for finding in found] == [(1, 4), (3, 1)]


@pytest.mark.parametrize("strengths", [[0.0] * 8, [math.nan] * 8, [math.inf] + [0.0] * 7], ids=str)
def test_unused_capacity_needs_a_finite_positive_contribution(strengths, records):
    assert list(unused_capacity(_with_unused(records, strengths))) == []


def test_unused_capacity_ignores_an_infinite_spread(records):
    evidence = _with_unused(records, [math.inf, 1.0])
    evidence.weights[-1][0] = 0.0
    assert list(unused_capacity(evidence)) == []


@pytest.mark.parametrize(("residual", "params"), [(False, {"hidden_layer_sizes": (8, 2)}), (True, {})])
def test_the_smaller_network_keeps_equal_neighbours_for_residual_connections(residual, params, records, only):
    weights = [np.ones((4, 8)), np.ones((8, 8)), np.ones((8, 1))]
    spreads = [np.ones(8), np.array([1.0, 1.0, *[0.0] * 6])]
    evidence = records(weights=weights, data_summary={"unit_spread": spreads}, params={"residual": residual})
    assert only(unused_capacity(evidence)).remedies[0].params == params


def test_fraction_of_copies_among_many_units():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 2500))
    weights[:, rng.permutation(2500)[:900]] = [[0.3], [-0.2], [0.1]]
    assert fraction_of_copies(weights, np.zeros(2500)) == 900 / 2500
    twins = np.repeat(rng.standard_normal((5, 300)), 2, axis=1)[:, rng.permutation(600)]
    assert fraction_of_copies(twins, np.zeros(600)) == 1.0
    assert (
        fraction_of_copies(1e-30 * rng.standard_normal((5, 300)).astype(np.float32), np.zeros(300, np.float32)) == 0.0
    )
