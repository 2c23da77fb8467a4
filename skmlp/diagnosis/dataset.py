"""Rules about the data: unscaled inputs or targets, constant features, a rare class."""

from collections.abc import Iterator

import numpy as np

from skmlp._typing import BoolArray
from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.remedies import scale_inputs, scale_target
from skmlp.diagnosis.rules import rule

# Root mean square of the largest feature. Initial weights are made for 1; a factor of 10 either way is learned quickly.
INPUT_RANGE, SEVERE_INPUT = (0.1, 10.0), 1000.0
# Standard deviation of the target. Large ones give large gradients, small ones fall below the tolerance.
TARGET_RANGE = (0.1, 30.0)
# Size of the smallest class relative to that of equally large classes, and its recall.
RARE, LOW_RECALL = 0.3, 0.7


@rule(rank=20)
def unscaled_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find features whose size is far from 1; that of categories is NaN."""
    summary = evidence.data_summary
    if "feature_std" not in summary:
        return
    sizes = np.hypot(np.asarray(summary["feature_mean"]), np.asarray(summary["feature_std"]))
    varying = sizes[~_is_constant(evidence) & ~np.isnan(sizes)]
    if not varying.size or INPUT_RANGE[0] <= np.nanmax(sizes) <= INPUT_RANGE[1]:
        return
    smallest, largest = float(varying.min()), float(np.nanmax(sizes))
    name = evidence.feature_name(int(np.nanargmax(sizes)))
    yield Finding(
        "unscaled_inputs",
        "severe" if largest > SEVERE_INPUT else "warning",
        f"The sizes of the features range from {smallest:.2g} to {largest:.2g} ({name}); they should be about 1.",
        {"largest": largest, "smallest": smallest},
        remedies=(scale_inputs(evidence),),
    )


@rule(rank=200)
def constant_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find features with a single value."""
    is_constant = _is_constant(evidence)
    constant = np.flatnonzero(is_constant)
    if not constant.size or evidence.data_summary.get("n_samples", 2) < 2:
        return
    names = ", ".join(map(evidence.feature_name, constant[:5])) + (", ..." if constant.size > 5 else "")
    yield Finding(
        "constant_inputs",
        "info" if constant.size < is_constant.size else "severe",
        f"{constant.size} of {is_constant.size} features have the same value in all samples ({names}); they carry no "
        "information.",
        {"n_constant": float(constant.size), "n_features": float(is_constant.size)},
        remedies=(
            Remedy("Remove them" + ("" if evidence.reads_table else ": make_pipeline(VarianceThreshold(), ...)")),
        ),
    )


def _is_constant(evidence: Evidence) -> BoolArray:
    """Tell which features have a single value; if only some samples are known, those without deviation."""
    without_deviation = np.asarray(evidence.data_summary.get("feature_std", ())) == 0.0
    is_constant: BoolArray = np.asarray(evidence.data_summary.get("constant", without_deviation), dtype=bool)
    return is_constant


@rule(rank=30)
def unscaled_target(evidence: Evidence) -> Iterator[Finding]:
    """Find a numerical target whose standard deviation is far from 1."""
    deviation = np.asarray(evidence.data_summary.get("target_std", ()), dtype=np.float64)
    deviation = deviation[deviation > 0.0]
    low, high = TARGET_RANGE
    if not deviation.size or (deviation.min() >= low and deviation.max() <= high):
        return
    worst = float(deviation.max() if deviation.max() > high else deviation.min())
    yield Finding(
        "unscaled_target",
        "warning",
        f"The target has a standard deviation of {worst:.2g}; the default penalty, tolerance and learning rate suit 1.",
        {"target_std": worst},
        remedies=(scale_target(evidence.params.get("loss")),),
    )


@rule(
    rank=180,
    explained_by=("vanishing_gradients", "dead_units", "underfitting", "plateau", "learning_rate_too_low"),
)
def class_imbalance(evidence: Evidence) -> Iterator[Finding]:
    """Find a rare class with a low recall."""
    fraction = np.asarray(evidence.data_summary.get("class_fraction", ()))
    recall = np.asarray(evidence.data_summary.get("class_recall", ()))
    n_classes = np.count_nonzero(fraction > 0.0)
    if n_classes < 2 or evidence.params.get("class_weight") is not None:
        return
    rarest = int(np.where(fraction > 0.0, fraction, np.inf).argmin())
    if fraction[rarest] * n_classes >= RARE or not recall[rarest] < LOW_RECALL:
        return
    name = evidence.class_names[rarest] if len(evidence.class_names) > rarest else rarest
    # fit accepts label smoothing with the log loss only.
    no_smoothing = {"label_smoothing": 0.0} if evidence.params.get("label_smoothing", 0.0) != 0.0 else {}
    yield Finding(
        "class_imbalance",
        "warning",
        f"Class {name!r} makes up {fraction[rarest]:.1%} of the samples and has a recall of {recall[rarest]:.0%}: the "
        "other classes dominate the loss.",
        {"fraction": float(fraction[rarest]), "recall": float(recall[rarest])},
        remedies=(
            Remedy("Give all classes the same total weight", {"class_weight": "balanced"}),
            Remedy("Give misclassified samples more weight", {"loss": "focal", **no_smoothing}),
        ),
    )
