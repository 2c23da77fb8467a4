"""Predictions of any estimator on a grid of two features."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skmlp._typing import AnyArray, FloatArray, IntArray

# Margin around the data on each side, relative to their range.
MARGIN = 0.08


class PredictionGrid:
    """Samples of the form of `X` that differ in two features only."""

    def __init__(self, X: Any, features: Any, resolution: int) -> None:
        if hasattr(X, "to_pandas"):
            X = X.to_pandas()
        elif not hasattr(X, "iloc"):
            X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        self._is_frame = hasattr(X, "iloc")
        if X.ndim != 2 or X.shape[1] < 2:
            raise ValueError(f"X must be two-dimensional with at least two features. Got an array of shape {X.shape}.")
        self._X = X
        self._features = _columns(X, features)
        names = [X.columns[column] if self._is_frame else f"Feature {column}" for column in self._features]
        self.names = (str(names[0]), str(names[1]))
        chosen = X.iloc[:, self._features] if self._is_frame else X[:, self._features]
        try:
            self.points = _as_floats(chosen)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The features {self.names} must be numerical to be drawn on axes.") from error
        self.x0, self.x1 = (_span(values, resolution) for values in self.points.T)

    def rows(self) -> Any:
        """Return the samples row by row of the grid, in the container of `X`."""
        first, second = (values.ravel() for values in np.meshgrid(self.x0, self.x1))
        if not self._is_frame:
            grid = np.tile(_median(self._X), (len(first), 1))
            grid[:, self._features[0]], grid[:, self._features[1]] = first, second
            return grid
        import pandas as pd

        columns = {name: _typical(self._X.iloc[:, index], len(first)) for index, name in enumerate(self._X.columns)}
        for index, values in zip(self._features, (first, second), strict=True):
            columns[self._X.columns[index]] = values
        return pd.DataFrame(columns)


def _columns(X: Any, features: Any) -> list[int]:
    """Return the indices of the two features."""
    known = list(getattr(X, "columns", ()))
    chosen = list(features) if isinstance(features, tuple | list) else []
    found = []
    for feature in chosen:
        if isinstance(feature, str) and feature in known:
            found.append(known.index(feature))
        elif isinstance(feature, Integral) and not isinstance(feature, bool) and 0 <= int(feature) < X.shape[1]:
            found.append(int(feature))
    if len(chosen) != 2 or len(set(found)) != 2:
        names = " or column names" if known else ""
        raise ValueError(
            f"The 'features' parameter must be two different column indices of X in the range [0, {X.shape[1] - 1}]"
            f"{names}. Got {features!r} instead."
        )
    return found


def _as_floats(chosen: Any) -> FloatArray:
    """Return an array or frame as floats, NaN for a missing value."""
    floats: FloatArray
    if hasattr(chosen, "iloc"):
        floats = chosen.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        floats = np.asarray(chosen, dtype=np.float64)
    return floats


def _median(X: AnyArray) -> FloatArray:
    """Return the median of each feature, NaN if it has no finite value, in the dtype of `X` if that is a float."""
    X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
    median: FloatArray = np.array([np.nanmedian(column) if np.isfinite(column).any() else np.nan for column in X.T])
    return median.astype(X.dtype)


def _typical(column: Any, n_rows: int) -> Any:
    """Return a column of `n_rows` times the median, or the most frequent value if the column is not numerical."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(column) and not is_bool_dtype(column):
        return np.full(n_rows, float(column.median()))
    most_frequent = column.mode() if column.notna().any() else column
    return most_frequent.take(np.zeros(n_rows, dtype=int)).reset_index(drop=True)


def _span(values: FloatArray, resolution: int) -> FloatArray:
    """Return equally spaced values over the range of `values` with a margin."""
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    margin = MARGIN * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, resolution)


def predict(estimator: Any, rows: Any) -> tuple[AnyArray, FloatArray | None, AnyArray | None]:
    """Return predictions; those of a classifier are class indices, with their probabilities and the classes."""
    predicted = np.asarray(estimator.predict(rows))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if predicted.ndim != 1:
        raise ValueError(
            f"The estimator predicts {predicted.shape[1]} targets, but only one can be drawn. Fit it to a single "
            "column of y."
        )
    if not is_classifier(estimator):
        return predicted.astype(np.float64), None, None
    classes = np.asarray(estimator.classes_)
    indices = _indices(predicted, classes)
    if not hasattr(estimator, "predict_proba"):
        return indices, None, classes
    probabilities = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    return indices, probabilities[np.arange(len(indices)), indices], classes


def _indices(labels: AnyArray, classes: AnyArray) -> IntArray:
    """Return the index of each label in the classes; raise ValueError for an unknown label."""
    index_of = {label: index for index, label in enumerate(classes.tolist())}
    unknown = sorted({str(label) for label in labels.tolist() if label not in index_of})
    if unknown:
        raise ValueError(f"y has classes unknown to the estimator: {', '.join(unknown[:5])}.")
    return np.array([index_of[label] for label in labels.tolist()], dtype=np.int64)


def encode_targets(y: Any, classes: AnyArray | None, n_samples: int) -> AnyArray:
    """Return targets as floats, or as indices into the classes."""
    y = column_or_1d(y)
    check_consistent_length(range(n_samples), y)
    return y.astype(np.float64) if classes is None else _indices(y, classes)
