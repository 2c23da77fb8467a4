"""The scores of predictions for the test rows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, log_loss, r2_score, roc_auc_score, root_mean_squared_error

SMALLEST = 1e-7  # probability; one wrong row with probability 0 must not decide the log loss
Array = npt.NDArray[Any]


def score(y: Array, predicted: Array, n_classes: int) -> dict[str, float | None]:
    """Return accuracy, log loss and area under the ROC curve, or R2 and RMSE.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        The targets; indices of classes in classification.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities, or outputs in regression.
    n_classes : int
        0 in regression.

    Raises
    ------
    ValueError
        If a prediction is not finite.
    """
    if not np.all(np.isfinite(predicted)):
        raise ValueError("A prediction is not finite.")
    if not n_classes:
        return {"r2": float(r2_score(y, predicted)), "rmse": float(root_mean_squared_error(y, predicted))}
    clipped = np.clip(predicted.astype(np.float64), SMALLEST, 1.0)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(y, predicted.argmax(axis=1))),
        "log_loss": float(log_loss(y, clipped, labels=np.arange(n_classes))),
        "auc": area(y, clipped),
    }


def area(y: Array, probabilities: Array) -> float | None:
    """Return the area under the ROC curve, the plain mean over the classes that the rows have.

    With two classes it is that of the second; without at least two in the rows there is none.
    """
    n_classes = probabilities.shape[1]
    areas = [
        float(roc_auc_score(y == index, probabilities[:, index]))
        for index in ([1] if n_classes == 2 else range(n_classes))
        if 0 < np.count_nonzero(y == index) < len(y)
    ]
    return math.fsum(areas) / len(areas) if areas else None


def in_all_classes(probabilities: Array, classes: Array, n_classes: int) -> Array:
    """Return probabilities with a column for each class; those that the model did not see have probability 0."""
    complete = np.zeros((len(probabilities), n_classes))
    complete[:, np.asarray(classes, dtype=np.intp)] = probabilities
    return complete
