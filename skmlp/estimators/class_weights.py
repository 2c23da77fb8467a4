"""Class weights as sample weights."""

from numbers import Real
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.estimators.targets import LabelTargets


def weigh_classes(
    class_weight: Any, y: AnyArray, sample_weight: FloatArray | None, targets: LabelTargets
) -> FloatArray:
    """Return the sample weights times the weights of the rows' classes, in float64; `y` is encoded."""
    if targets.kind == "multilabel":
        raise ValueError(
            "class_weight is for targets with one class per row, but y is multilabel. "
            "Set class_weight=None, and weight the rows with sample_weight."
        )
    codes = targets.codes(y)
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
            f"The sum of the sample weights with class_weight={class_weight!r} must be finite, got inf. "
            "Divide all weights by the largest one."
        )
    if not weight.any():
        raise ValueError(f"With class_weight={class_weight!r} all sample weights are zero.")
    return weight


def _balanced(codes: IntArray, sample_weight: FloatArray | None, n_classes: int) -> FloatArray:
    """Return weights that give all classes the same total weight; a class without samples gets 1."""
    total = np.bincount(codes, weights=sample_weight, minlength=n_classes).astype(np.float64)
    present = total > 0.0
    per_class = np.ones(n_classes)
    per_class[present] = total.sum() / (present.sum() * total[present])
    return per_class


def _given(class_weight: dict[Any, float], classes: list[Any]) -> FloatArray:
    """Return the weight of each class, 1 for classes that are not in the dict.

    As in scikit-learn, the dict may have classes that y lacks if it has all classes of y: part of the data may lack a
    class.
    """
    unknown = [label for label in class_weight if label not in classes]
    if unknown and not set(classes) <= class_weight.keys():
        raise ValueError(f"class_weight has the classes {unknown}, which are not in y: its classes are {classes}.")
    for label, weight in class_weight.items():
        if not isinstance(weight, Real) or not 0.0 <= float(weight) < np.inf:
            raise ValueError(
                f"The weights in class_weight must be non-negative, finite numbers. Got {weight!r} for {label!r}."
            )
    return np.array([class_weight.get(label, 1.0) for label in classes], dtype=np.float64)
