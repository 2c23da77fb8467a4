"""What is wrong with the data: inputs or targets far from unit size, constant features, a rare class."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmlp._typing import BoolArray
from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.nn.losses import LOSSES, Loss

__all__ = ["class_imbalance", "constant_inputs", "for_unscaled_target", "unscaled_inputs", "unscaled_target"]

# Root mean square of the largest feature; beyond the second pair it is severe.
LARGE, SMALL, HUGE = 10.0, 0.1, 1000.0
# Standard deviation of the target.
LARGE_TARGET, SMALL_TARGET = 30.0, 0.1
# Rows of the smallest class as a share of what each would have if all were equal, and the share of them recognised.
RARE, RECOGNISED = 0.3, 0.7


def unscaled_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find features far from unit size."""
    if "feature_std" not in evidence.facts:
        return
    mean, deviation = (np.asarray(evidence.facts[name]) for name in ("feature_mean", "feature_std"))
    sizes = np.hypot(mean, deviation)
    varying = sizes[~_is_constant(evidence)]
    if not varying.size or SMALL <= sizes.max() <= LARGE:
        return
    largest, name = float(sizes.max()), evidence.feature(int(sizes.argmax()))
    yield Finding(
        "unscaled_inputs",
        "severe" if largest > HUGE else "warning",
        f"The features are of sizes from {varying.min():.2g} to {largest:.2g} ({name}). A network wants about 1.",
        {"largest": largest, "smallest": float(varying.min())},
        remedies=(Remedy("Scale them: make_pipeline(StandardScaler(), ...)", scale_inputs=True),),
    )


def constant_inputs(evidence: Evidence) -> Iterator[Finding]:
    """Find features with one value only."""
    is_constant = _is_constant(evidence)
    constant = np.flatnonzero(is_constant)
    if not constant.size or evidence.facts.get("n_samples", 2) < 2:
        return
    shown = ", ".join(map(evidence.feature, constant[:5])) + (", ..." if constant.size > 5 else "")
    yield Finding(
        "constant_inputs",
        "info" if constant.size < is_constant.size else "severe",
        f"{constant.size} of {is_constant.size} features have the same value in all rows ({shown}): they "
        "add nothing but weights.",
        {"n_constant": float(constant.size), "n_features": float(is_constant.size)},
        remedies=(Remedy("Leave them out: make_pipeline(VarianceThreshold(), ...)"),),
    )


def _is_constant(evidence: Evidence) -> BoolArray:
    """Tell which features have one value only; without a look at all rows, which have no deviation."""
    without_deviation = np.asarray(evidence.facts.get("feature_std", ())) == 0.0
    is_constant: BoolArray = np.asarray(evidence.facts.get("constant", without_deviation), dtype=bool)
    return is_constant


def unscaled_target(evidence: Evidence) -> Iterator[Finding]:
    """Find numbers to predict that are far from unit size."""
    deviation = np.asarray(evidence.facts.get("target_std", ()), dtype=np.float64)
    deviation = deviation[deviation > 0.0]
    if not deviation.size or (deviation.min() >= SMALL_TARGET and deviation.max() <= LARGE_TARGET):
        return
    size = float(deviation.max() if deviation.max() > LARGE_TARGET else deviation.min())
    yield Finding(
        "unscaled_target",
        "warning",
        f"The target has a standard deviation of {size:.2g}: penalty, tolerance and steps are made for about 1.",
        {"target_std": size},
        remedies=(for_unscaled_target(evidence.params.get("loss")),),
    )


def for_unscaled_target(loss: Any) -> Remedy:
    """Return the remedy that the loss allows: of deviances, zero has to stay where it is."""
    chosen = LOSSES.get(loss) if isinstance(loss, str) else loss
    if isinstance(chosen, Loss) and not chosen.is_equivariant:
        return Remedy("Divide the target by a number of its size")
    return Remedy("Train on a standardised target", {"standardize_target": True})


def class_imbalance(evidence: Evidence) -> Iterator[Finding]:
    """Find a class of few rows that are not recognised."""
    share = np.asarray(evidence.facts.get("class_share", ()))
    recall = np.asarray(evidence.facts.get("class_recall", ()))
    if np.count_nonzero(share > 0.0) < 2 or evidence.params.get("class_weight") is not None:
        return
    present = np.where(share > 0.0, share, np.inf)
    rare = int(present.argmin())
    if present[rare] * np.count_nonzero(share) >= RARE or not recall[rare] < RECOGNISED:
        return
    # Smoothing labels is for the log loss only.
    smoothing = {"label_smoothing": 0.0} if evidence.params.get("label_smoothing", 0.0) != 0.0 else {}
    name = evidence.class_names[rare] if len(evidence.class_names) > rare else rare
    yield Finding(
        "class_imbalance",
        "warning",
        f"Class {name!r} has {share[rare]:.1%} of the rows, of which the network recognises {recall[rare]:.0%}: "
        "the loss is that of the others.",
        {"share": float(share[rare]), "recall": float(recall[rare])},
        remedies=(
            Remedy("Let all classes count the same", {"class_weight": "balanced"}),
            Remedy("Let hard rows count more", {"loss": "focal", **smoothing}),
        ),
    )
