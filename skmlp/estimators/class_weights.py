"""Weights of the classes, as one weight for each row."""

from numbers import Real
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.estimators.targets import LabelTargets

__all__ = ["weigh_classes"]


def weigh_classes(
    class_weight: Any, y: AnyArray, sample_weight: FloatArray | None, targets: LabelTargets
) -> FloatArray:
    """Return the sample weights times the weights of the rows' classes, in float64.

    Parameters
    ----------
    class_weight : dict or "balanced"
    y : ndarray
        Encoded targets.
    sample_weight : ndarray of shape (n_samples,) or None
    targets : LabelTargets

    Raises
    ------
    ValueError
        For multilabel targets, unknown classes, and weights that are no weights.
    """
    if targets.kind == "multilabel":
        raise ValueError(
            "class_weight is for targets with one class a row, and y is multilabel: a row has many. "
            "Set class_weight=None, and weigh the rows with sample_weight."
        )
    codes = y if targets.kind == "multiclass" else (y[:, 0] > 0.5).astype(int)
    if isinstance(class_weight, str):
        per_class = _balanced(codes, sample_weight, len(targets.classes))
    else:
        per_class = _given(class_weight, targets.classes.tolist())
    weight: FloatArray = per_class[codes]
    if sample_weight is not None:
        weight = weight * sample_weight
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"The sum of the weights that class_weight={class_weight!r} gives the rows must be finite, "
            "got inf. Divide all weights by the largest one."
        )
    if not weight.any():
        raise ValueError(f"class_weight={class_weight!r} leaves no row in y with a weight above zero.")
    return weight


def _balanced(codes: IntArray, sample_weight: FloatArray | None, n_classes: int) -> FloatArray:
    """Return weights that make all classes weigh the same, by share of the weight; a class without any gets 1."""
    total = np.bincount(codes, weights=sample_weight, minlength=n_classes).astype(np.float64)
    present = total > 0.0
    per_class = np.ones(n_classes)
    per_class[present] = total.sum() / (present.sum() * total[present])
    return per_class


def _given(class_weight: dict[Any, float], classes: list[Any]) -> FloatArray:
    """Return the weight of each class, 1 where the dict is silent.

    As in scikit-learn it may name more than y has, as a part of the data may lack a class, if it names all of y's.
    """
    unknown = [label for label in class_weight if label not in classes]
    if unknown and not set(classes) <= class_weight.keys():
        raise ValueError(f"class_weight names {unknown}, which y has not: the classes are {classes}.")
    for label, weight in class_weight.items():
        if not isinstance(weight, Real) or not 0.0 <= float(weight) < np.inf:
            raise ValueError(
                f"The weights in class_weight must be non-negative, finite numbers; of {label!r} it is {weight!r}."
            )
    return np.array([class_weight.get(label, 1.0) for label in classes], dtype=np.float64)
