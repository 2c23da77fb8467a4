"""Input checks: scikit-learn's, with a shortcut for input that needs none of its conversions.

``validate_data`` takes about 100 microseconds for any size of input, several times as long as predicting one row. It
returns a plain array of the right type and shape with finite numbers unchanged, so such input skips it. All other
input, and every error, goes through it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from reprlib import repr as repr_of
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import _safe_indexing, check_array, column_or_1d
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    _check_y,
    _get_feature_names,
    _num_samples,
    check_consistent_length,
    validate_data,
)

from skmlp._typing import FloatArray
from skmlp.estimators.reporting import warn_caller
from skmlp.estimators.table_inputs import TableInputs
from skmlp.tables import may_have_categories

# Parameters that need the columns of X.
_OF_COLUMNS = ("scaling", "numeric_embedding", "categorical_embedding", "input_scale")

# Names of rows, targets and weights in error messages: the arguments of fit.
Names = tuple[str, str, str]
FITTED: Names = ("X", "y", "sample_weight")
OWN_VALIDATION: Names = ("X_val", "y_val", "sample_weight_val")


@contextmanager
def naming(name: str, value: Any, usual: str = "") -> Iterator[None]:
    """Make errors of the body name the argument, and the first entry of its `value` that is not a number.

    `usual` is the name that scikit-learn's errors use.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        error.args = (_explained(str(error), name, value, usual),)
        raise


def _explained(message: str, name: str, value: Any, usual: str) -> str:
    if "Complex data not supported" in message:
        message = "Complex data not supported."  # without the data
    if usual != name:
        message = message.replace(f"Input {usual} ", f"Input {name} ")
    if re.search(r"could not convert|float\(\) argument|^Complex|could not be promoted", message):
        message = f"{message.rstrip('.')}. {name} must hold real numbers{_where_not(value)}."
    is_named = re.search(rf"\b{name}\b|^\w+=|^categorical_features ", message)  # or blames a parameter
    return message if is_named else f"{name}: {message}"


def _where_not(value: Any) -> str:
    """Say which column of `value` does not hold real numbers, if any, and what to do."""
    frame = getattr(value, "columns", None) is not None
    for label, column in _columns(value):
        if getattr(getattr(column, "dtype", None), "kind", "O") in "biuf":
            continue
        found = next((each for each in np.asarray(column, dtype=object).tolist() if not _is_number(each)), None)
        if found is not None:
            where = f", but {'it' if label is None else f'column {label!r}'} holds {repr_of(found)}"
            advice = "; encode it, for example with sklearn's OneHotEncoder in a ColumnTransformer, or drop it"
            return where + (advice if frame else "")
    return ""


def _columns(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return the columns of a frame or array with their names or indices; the label of a single column is None."""
    names = getattr(value, "columns", None)
    if names is not None:
        for index, name in enumerate(names):
            yield name, value.iloc[:, index] if hasattr(value, "iloc") else value[name]
        return
    try:
        array = np.asarray(value.data if sparse.issparse(value) else value)  # type: ignore[attr-defined]
    except ValueError:  # rows of different lengths
        return
    if array.ndim == 2:
        yield from enumerate(array.T)
    else:
        yield None, array.reshape(-1)


def _is_number(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":  # missing values have an error of their own
        return True
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def validate_rows(estimator: Any, X: Any, dtype: Any) -> Any:
    """Return `X` for a fitted estimator, as a C-ordered array or CSR matrix of `dtype`."""
    plain = _plain_rows(estimator, X, dtype)
    if plain is not None:
        return plain
    # Numbers too large for float32 overflow to infinity, which is reported.
    with naming("X", X, "X"), np.errstate(over="ignore"):
        return validate_data(estimator, X, accept_sparse="csr", dtype=dtype, order="C", reset=False)


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, dtype: Any, *, y_numeric: bool, reset: bool, names: Names = FITTED
) -> tuple[Any, Any]:
    """Return `X` as :func:`validate_rows` does, and `y` as an array, a column vector flattened with a warning.

    With `reset`, ``n_features_in_`` and ``feature_names_in_`` are set; else they are checked. `dtype` may be a list:
    X then keeps its dtype if it is in the list. Error messages use `names`.
    """
    if not reset and type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iuf":
        plain = _plain_rows(estimator, X, dtype)
        if plain is not None and len(y) == len(plain) and (y.dtype.kind != "f" or isfinite(y.sum())):
            return plain, y
    rows, targets = X, y
    try:
        with np.errstate(over="ignore", invalid="ignore"):
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
    except (ValueError, TypeError) as error:
        name, value, usual = _at_fault(error, rows, targets, dtype, names)
        with naming(name, value, usual):
            if "too large for dtype('float32')" in str(error):
                advice = 'If its numbers are finite, scale it, or compute in float64 with dtype="float64".'
                raise ValueError(f"{error} {advice}") from None
            raise
    return X, _as_vector(y, targets, names)


def _at_fault(error: Exception, X: Any, y: Any, dtype: Any, names: Names) -> tuple[str, Any, str]:
    """Return the name, the value and scikit-learn's name of the argument with the error."""
    if "inconsistent numbers of samples" in str(error):
        return f"{names[0]} and {names[1]}", None, ""
    try:
        with np.errstate(all="ignore"):
            check_array(X, accept_sparse="csr", dtype=dtype, input_name="X")
    except (ValueError, TypeError):
        return names[0], X, "X"
    is_of_rows = re.match(r"X |(The f|F)eature names", str(error))  # are invalid, or not those of the fitted estimator
    return (names[0], X, "X") if is_of_rows else (names[1], y, "y")


def validate_weight(sample_weight: Any, X: Any, name: str = "sample_weight") -> FloatArray | None:
    """Return the weights in float64; negative weights, none above zero or an infinite sum raise ValueError."""
    if sample_weight is None:
        return None
    with naming(name, sample_weight, "sample_weight"), np.errstate(over="ignore"):
        weight: FloatArray = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError(
                "Sample weights must contain at least one positive weight; all of them are zero. "
                f"Omit {name} to weight all rows equally."
            )
        if not isfinite(weight.sum()):
            raise ValueError(
                f"The sum of {name} must be finite, got inf: the largest weight is {weight.max():.3g}. "
                "Divide all weights by the largest one."
            )
    return weight


def _plain_rows(estimator: Any, X: Any, dtype: Any) -> FloatArray | None:
    """Return `X` converted to `dtype` if it would pass scikit-learn's checks without warning, else None."""
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
        # A finite sum means that every number is finite; if only the sum overflows, the full checks decide.
        return converted if isfinite(converted.sum()) else None


def table_parameter(estimator: Any) -> str | None:
    """Return the parameter that makes the network read X as a table, whatever X is; None if there is none."""
    chosen = estimator.categorical_features
    if chosen is not None and not (isinstance(chosen, str) and chosen == "from_dtype"):
        return "categorical_features"
    if estimator.missing != "error":
        return "missing"
    return next((name for name in _OF_COLUMNS if getattr(estimator, name) is not None), None)


def learn_table(estimator: Any, X: Any, sample_weight: Any = None, name: str = "X") -> TableInputs | None:
    """Return what there is to learn about `X` as a table; None if the network can read it as it is.

    With ``categorical_features="from_dtype"`` it can if no column has text or a data type made for categories: columns
    of booleans alone are numbers, as in scikit-learn. Rows of weight zero are not looked at.
    """
    parameter, chosen = table_parameter(estimator), estimator.categorical_features
    if parameter is None and (chosen is None or not may_have_categories(X)):
        return None
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed for {name}, but {parameter}={getattr(estimator, str(parameter))!r} needs dense "
            "data. Use '.toarray()' to convert to a dense numpy array."
        )
    with naming(name, X):
        table = TableInputs.learn(
            _rows_that_count(X, sample_weight),
            categorical_features=chosen,
            max_categories=estimator.max_categories,
            missing=estimator.missing,
            scaling=estimator.scaling,
            embed=estimator.categorical_embedding,
            name=name,
        )
    return table if parameter is not None or table.has_categories else None


def _rows_that_count(X: Any, sample_weight: Any) -> Any:
    """Return the rows of a positive weight, or `X` itself if that is all; invalid weights are reported later."""
    if sample_weight is None:
        return X
    try:
        counts = np.asarray(sample_weight, np.float64) > 0.0
        is_valid = counts.ndim == 1 and counts.any() and _num_samples(X) == len(counts)
    except (TypeError, ValueError):
        return X
    return _safe_indexing(X, np.flatnonzero(counts)) if is_valid and not counts.all() else X


def encode_rows(estimator: Any, table: TableInputs, X: Any, dtype: Any, name: str = "X") -> FloatArray:
    """Return `X` for a fitted estimator as the array that its network reads.

    Columns with names are found by them. Where only the training table or only `X` has names, there is scikit-learn's
    warning.
    """
    if not hasattr(estimator, "feature_names_in_") or _get_feature_names(X) is None:
        _check_feature_names(estimator, X, reset=False)
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. Use '.toarray()' to convert to a dense "
            "numpy array."
        )
    with naming(name, X):
        try:
            rows = table.rows(X, dtype, name)
        except ValueError as error:
            words = re.sub("X has (.*)TableEncoder", rf"{name} has \1{type(estimator).__name__}", str(error))
            error.args = (words,)
            raise
    if len(rows) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape=(0, {estimator.n_features_in_})) while a minimum of 1 is required by "
            f"{type(estimator).__name__}."
        )
    return rows


def encode_rows_and_targets(
    estimator: Any, table: TableInputs, X: Any, y: Any, dtype: Any, *, y_numeric: bool, reset: bool, names: Names
) -> tuple[FloatArray, Any]:
    """Return `X` as the array that the network reads, and `y` as :func:`validate_rows_and_targets` does."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    with naming(names[1], y, "y"), np.errstate(over="ignore", invalid="ignore"):
        targets = _check_y(y, multi_output=True, y_numeric=y_numeric, estimator=estimator)
    if reset:
        _check_feature_names(estimator, X, reset=True)
        estimator.n_features_in_ = len(table.encoder.columns)
    if isinstance(dtype, list):  # X may choose, if it has a single dtype
        dtype = next((each for each in dtype if getattr(X, "dtype", None) == each), dtype[0])
    rows = encode_rows(estimator, table, X, dtype, names[0])
    with naming(f"{names[0]} and {names[1]}", None):
        check_consistent_length(rows, targets)
    return rows, _as_vector(targets, y, names)


def _as_vector(y: Any, given: Any, names: Names) -> Any:
    """Return `y` with a single column flattened, with a warning."""
    if y.ndim == 2 and y.shape[1] == 1:
        with naming(names[1], given, "y"):
            y = column_or_1d(y)
        warn_caller(
            "A column-vector y was passed when a 1d array was expected. "
            "Please change the shape of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
        )
    return y
