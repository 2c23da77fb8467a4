"""Rules about unscaled inputs and targets, constant features and rare classes."""

import math

import numpy as np
import pytest

from skmlp.diagnosis import Evidence
from skmlp.diagnosis.dataset import class_imbalance, constant_inputs, unscaled_inputs, unscaled_target
from skmlp.nn.losses import GammaDeviance, Huber

RULES = pytest.mark.parametrize("rule", [unscaled_inputs, constant_inputs, unscaled_target, class_imbalance])
BELOW, ABOVE = 0.999, 1.001


@RULES
def test_nothing_is_found_in_a_healthy_training(rule, records):
    assert list(rule(records())) == []
    assert list(rule(records(data_summary={"target_mean": np.zeros(1), "target_std": np.ones(1)}))) == []


@RULES
def test_without_a_data_summary_nothing_is_found(rule, records):
    assert list(rule(Evidence({}))) == []
    assert list(rule(records(data_summary={}))) == []


def _features(mean, std, **others):
    return Evidence({}, data_summary={"feature_mean": np.array(mean), "feature_std": np.array(std)}, **others)


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("size", "severity"),
    [
        (0.1 * BELOW, "warning"),
        (0.1, None),
        (10.0, None),
        (10.0 * ABOVE, "warning"),
        (1000.0, "warning"),
        (1000.0 * ABOVE, "severe"),
        (1e-9, "warning"),
    ],
)
def test_unscaled_inputs_are_found_beyond_their_thresholds(size, severity):
    found = list(unscaled_inputs(_features([0.0, 0.0], [0.05, size])))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_finding_of_unscaled_inputs_names_place_evidence_and_remedies(only):
    evidence = _features([30.0, 0.0, 7.0], [40.0, 0.02, 0.0])
    finding = only(unscaled_inputs(evidence))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("unscaled_inputs", "warning", None, None)
    # The size is the root mean square, here of mean 30 and deviation 40. Constant features are ignored.
    assert finding.evidence == pytest.approx({"largest": 50.0, "smallest": 0.02})
    assert "from 0.02 to 50 (column 0)" in finding.message
    (remedy,) = finding.remedies
    assert remedy.scale_inputs
    named = _features([0.0, 30.0, 7.0], [0.02, 40.0, 0.0], feature_names=np.array(["a", "mass", "c"], object))
    assert "(mass)" in only(unscaled_inputs(named)).message


def test_a_large_constant_feature_is_unscaled_if_another_feature_varies(only):
    assert only(unscaled_inputs(_features([500.0, 0.0], [0.0, 1.0]))).evidence == {"largest": 500.0, "smallest": 1.0}
    assert list(unscaled_inputs(_features([500.0, 3.0], [0.0, 0.0]))) == []  # constant_inputs


def test_features_whose_square_overflows_are_unscaled(only):
    finding = only(unscaled_inputs(_features([3e200, 0.0], [4e200, 1.0])))
    assert finding.evidence == pytest.approx({"largest": 5e200, "smallest": 1.0})


def test_finding_of_constant_inputs_names_place_evidence_and_remedies(only):
    finding = only(constant_inputs(_features(np.zeros(9), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("constant_inputs", "info", None, None)
    assert finding.evidence == {"n_constant": 7.0, "n_features": 9.0}
    assert "7 of 9 features" in finding.message
    assert "(column 0, column 2, column 4, column 5, column 6, ...)" in finding.message
    (remedy,) = finding.remedies
    assert "VarianceThreshold" in remedy.text
    five = only(constant_inputs(_features(np.zeros(6), [0.0] * 5 + [1.0], feature_names=list("abcdef"))))
    assert "(a, b, c, d, e)" in five.message
    assert list(constant_inputs(_features([5.0, 5.0], [1e-3, 1.0]))) == []


def test_constant_inputs_are_severe_if_all_features_are_constant(only):
    assert only(constant_inputs(_features([1.0, 2.0], [0.0, 0.0]))).severity == "severe"


def test_constant_flags_take_precedence_over_sampled_deviations(only):
    data_summary = {"feature_mean": np.zeros(3), "feature_std": np.array([0.0, 3e-17, 1.0]), "n_samples": 9}
    finding = only(
        constant_inputs(Evidence({}, data_summary={**data_summary, "constant": np.array([False, True, False])}))
    )
    assert "(column 1)" in finding.message
    assert list(constant_inputs(Evidence({}, data_summary={**data_summary, "constant": np.zeros(3, bool)}))) == []


def test_a_single_sample_gives_no_constant_inputs():
    data_summary = {"feature_mean": np.zeros(2), "feature_std": np.zeros(2), "n_samples": 1}
    assert list(constant_inputs(Evidence({}, data_summary=data_summary))) == []


def test_small_variation_around_a_large_mean_is_not_constant():
    assert list(constant_inputs(_features([1e6], [1e-2]))) == []


# ---------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("deviation", "found"), [(30.0, False), (30.0 * ABOVE, True), (0.1 * ABOVE, False), (0.1 * BELOW, True)]
)
def test_unscaled_target_is_found_beyond_its_thresholds(deviation, found, records):
    assert len(list(unscaled_target(records(data_summary={"target_std": np.array([1.0, deviation])})))) == found


def test_finding_of_an_unscaled_target_names_place_evidence_and_remedies(records, only):
    finding = only(unscaled_target(records(data_summary={"target_std": np.array([77.0])})))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("unscaled_target", "warning", None, None)
    assert finding.evidence == {"target_std": 77.0}
    assert "standard deviation of 77" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"standardize_target": True}]
    both = only(unscaled_target(records(data_summary={"target_std": np.array([1e-3, 0.5, 400.0])})))
    assert both.evidence == {"target_std": 400.0}
    small = only(unscaled_target(records(data_summary={"target_std": np.array([1e-3, 0.5, 0.0])})))
    assert small.evidence == {"target_std": 1e-3}


@pytest.mark.parametrize("deviation", [[0.0], [], [math.nan], 0.0])
def test_a_constant_target_is_not_unscaled(deviation, records):
    assert list(unscaled_target(records(data_summary={"target_std": np.array(deviation)}))) == []


@pytest.mark.parametrize(
    ("loss", "allowed"),
    [
        ("squared_error", True),
        ("huber", True),
        (Huber(0.1), True),
        ((np.subtract, np.subtract), True),
        ("poisson", False),
        (GammaDeviance(), False),
    ],
)
def test_standardizing_the_target_is_recommended_only_if_the_loss_allows_it(loss, allowed, records, only):
    finding = only(unscaled_target(records(params={"loss": loss}, data_summary={"target_std": np.array([100.0])})))
    assert finding.remedies[0].params == ({"standardize_target": True} if allowed else {})
    assert len(finding.remedies) == 1


# ---------------------------------------------------------------------- classes


def _classes(fraction, recall, params=None, names=("cold", "hot", "mild")):
    data_summary = {"class_fraction": np.array(fraction), "class_recall": np.array(recall)}
    return Evidence({}, params=params or {}, data_summary=data_summary, class_names=names)


@pytest.mark.parametrize(
    ("fraction", "recall", "found"),
    [(0.0999, 0.6999, True), (0.1001, 0.0, False), (0.05, 0.7, False), (0.05, 0.0, True), (0.05, math.nan, False)],
)
def test_class_imbalance_is_found_beyond_its_thresholds(fraction, recall, found):
    """With three classes, a class is rare below 0.3 times a third of the samples."""
    evidence = _classes([0.5, fraction, 0.5 - fraction], [0.9, recall, 0.9])
    assert len(list(class_imbalance(evidence))) == found


@pytest.mark.parametrize(
    ("n_classes", "fraction", "found"), [(2, 0.1499, 1), (2, 0.1501, 0), (10, 0.0299, 1), (10, 0.0301, 0)]
)
def test_rarity_is_relative_to_the_number_of_classes_present(n_classes, fraction, found):
    fractions = [fraction, *[(1.0 - fraction) / (n_classes - 1)] * (n_classes - 1), 0.0, 0.0]
    assert len(list(class_imbalance(_classes(fractions, [0.1] * len(fractions), names=())))) == found


def test_finding_of_class_imbalance_names_place_evidence_and_remedies(only):
    finding = only(class_imbalance(_classes([0.92, 0.05, 0.03], [1.0, 0.1, 0.25])))
    assert (finding.code, finding.severity, finding.layer, finding.epoch) == ("class_imbalance", "warning", None, None)
    assert finding.evidence == {"fraction": 0.03, "recall": 0.25}
    assert "Class 'mild' makes up 3.0% of the samples and has a recall of 25%" in finding.message
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"class_weight": "balanced"}, {"loss": "focal"}]
    assert "Class 2 makes" in only(class_imbalance(_classes([0.92, 0.05, 0.03], [1.0, 0.1, 0.25], names=()))).message
    numbered = only(class_imbalance(_classes([0.97, 0.03], [1.0, 0.25], names=[3, 7])))
    assert "Class 7 makes" in numbered.message


def test_a_class_without_samples_is_not_rare():
    assert list(class_imbalance(_classes([0.6, 0.0, 0.4], [1.0, math.nan, 1.0]))) == []


@pytest.mark.parametrize(("fraction", "recall"), [([1.0], [1.0]), ([], []), ([0.0, 0.0], [math.nan, math.nan])])
def test_fewer_than_two_classes_are_not_imbalanced(fraction, recall):
    assert list(class_imbalance(_classes(fraction, recall))) == []


def test_class_weights_suppress_class_imbalance():
    for weight in ("balanced", {0: 1.0, 1: 5.0}):
        assert list(class_imbalance(_classes([0.97, 0.03], [1.0, 0.0], {"class_weight": weight}))) == []


def test_the_focal_loss_remedy_disables_label_smoothing(only):
    """`fit` accepts label smoothing with the log loss only."""
    finding = only(class_imbalance(_classes([0.97, 0.03], [1.0, 0.0], {"label_smoothing": 0.1})))
    assert finding.remedies[1].params == {"loss": "focal", "label_smoothing": 0.0}
