"""Input checks: scikit-learn's, with a short cut for input that needs none of its conversions.

``validate_data`` takes about 100 microseconds whatever the size, several times as long as a prediction for one row. A
plain array of the right type and shape whose numbers are finite passes it unchanged, so it may as well not go there.
Everything else does, and every error comes from there.
"""

from math import isfinite
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from skmlp._typing import FloatArray
from skmlp.estimators.reporting import warn_caller

__all__ = ["validate_rows", "validate_rows_and_targets", "validate_weight"]


def validate_rows(estimator: Any, X: Any, dtype: Any) -> Any:
    """Return `X` for a fitted estimator, as a C-ordered array or CSR matrix of `dtype`."""
    plain = _plain_rows(estimator, X, dtype)
    if plain is not None:
        return plain
    with np.errstate(over="ignore"):  # numbers too large for float32 become infinite and are reported as that
        return validate_data(estimator, X, accept_sparse="csr", dtype=dtype, order="C", reset=False)


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, dtype: Any, *, y_numeric: bool, reset: bool
) -> tuple[Any, Any]:
    """Return `X` as :func:`validate_rows` does, and `y` as an array, a column vector flattened with a warning.

    With `reset`, ``n_features_in_`` and ``feature_names_in_`` are set; else they are checked. `dtype` may be a list,
    then X keeps its dtype if it is in the list.
    """
    if not reset and type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iuf":
        plain = _plain_rows(estimator, X, dtype)
        if plain is not None and len(y) == len(plain) and (y.dtype.kind != "f" or isfinite(y.sum())):
            return plain, y
    try:
        with np.errstate(over="ignore"):
            X, y = validate_data(
                estimator,
                X,
                y,
                accept_sparse="csr",
                dtype=dtype,
                order="C",
                multi_output=True,
                y_numeric=y_numeric,
                reset=reset,
            )
    except ValueError as error:
        if "too large for dtype('float32')" not in str(error):
            raise
        advice = 'If its numbers are finite, scale it, or compute in float64 with dtype="float64".'
        raise ValueError(f"{error} {advice}") from None
    if y.ndim == 2 and y.shape[1] == 1:
        warn_caller(
            "A column-vector y was passed when a 1d array was expected. "
            "Please change the shape of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
        )
        y = column_or_1d(y)
    return X, y


def validate_weight(sample_weight: Any, X: Any) -> FloatArray | None:
    """Return the weights in float64; negative weights, none above zero or an infinite sum raise ValueError."""
    if sample_weight is None:
        return None
    weight: FloatArray = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError(
            "Sample weights must contain at least one positive weight; all of them are zero. "
            "Leave sample_weight out to weigh all rows equally."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not isfinite(total):
        raise ValueError(
            f"The sum of sample_weight must be finite, got {total}: the largest weight is {weight.max():.3g}. "
            "Divide all weights by the largest one."
        )
    return weight


def _plain_rows(estimator: Any, X: Any, dtype: Any) -> FloatArray | None:
    """Return `X` converted to `dtype` if scikit-learn's checks would pass it without a word, else None."""
    if (
        type(X) is not np.ndarray
        or X.ndim != 2
        or X.dtype.kind != "f"
        or X.shape[0] == 0
        or X.shape[1] != estimator.n_features_in_
        or "feature_names_in_" in vars(estimator)
    ):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        converted: FloatArray = np.ascontiguousarray(X, dtype=dtype)
        # The sum is finite only if every number is; when it merely overflows, the full checks decide.
        return converted if isfinite(converted.sum()) else None
