"""Summary of the data and of the fitted network's outputs, for :mod:`skmlp.diagnosis`.

It is computed from a sample of the rows, which makes it cheap.
"""

from typing import Any

import numpy as np

from skmlp._typing import AnyArray, BoolArray, FloatArray, IntArray
from skmlp.estimators.model import Model
from skmlp.training.batches import Data

# Maximum number of rows in the sample, and of elements in a dense copy of it.
ROWS, ELEMENTS = 500, 1_000_000
# Loss of the best constant prediction below which nearly all rows have one class, and standard deviation of numbers,
# relative to their mean, below which they count as constant.
CERTAIN, CONSTANT = 1e-3, 1e-6


def summarize_data(model: Model, data: Data) -> dict[str, Any]:
    """Return numbers and arrays that describe features, targets and the outputs of the network.

    They are ``n_samples``; ``constant``, of bool, which features have a single value; and from a sample of the rows
    ``feature_mean``, ``feature_std``, ``loss`` (mean, without penalty), ``baseline_loss`` (of the best constant
    prediction) and ``is_scale`` (whether other losses can be measured by it); ``unit_spread``, for each hidden layer
    the standard deviation of each unit's output; for regression ``target_mean`` and ``target_std``; for classification
    ``class_fraction``, the fraction of all rows in each class, and, from the sample, ``class_recall``.
    """
    X, y, weight = data.take(_spread(data)).in_one_type()
    workspace = model.network.workspace(len(y), model.dtype)
    with np.errstate(all="ignore"):
        features = X if isinstance(X, np.ndarray) else X.toarray()
        mean, deviation = _mean_and_deviation(features, weight)
        raw = model.network.forward(model.params, X, workspace)[-1]
        units = [_mean_and_deviation(layer.outputs, weight)[1] for layer in model.network.layer_outputs(workspace)[:-1]]
        baseline = _constant_losses(model, y, weight)
        summary: dict[str, Any] = {
            "n_samples": data.n_samples,
            "feature_mean": mean,
            "feature_std": deviation,
            "constant": _constant(data.X, np.ptp(features, axis=0) == 0.0),
            "loss": float(np.average(model.loss.loss(y, raw), weights=weight)),
            "baseline_loss": float(np.average(baseline, weights=weight)),
            "is_scale": _is_scale(model, y, weight, baseline),
            "unit_spread": units,
        }
        if not model.loss.is_classification:
            mean, deviation = _mean_and_deviation(y, weight)
            return summary | {"target_mean": mean, "target_std": deviation}
        return summary | _classes(data, y, weight, raw)


def constant_loss(model: Model, data: Data) -> float:
    """Return the mean loss of the best constant prediction for a sample of the rows."""
    rows = _spread(data)
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    y = data.y[rows]
    with np.errstate(all="ignore"):
        return float(np.average(_constant_losses(model, y, weight), weights=weight))


def _constant_losses(model: Model, y: AnyArray, weight: FloatArray | None) -> FloatArray:
    """Return the loss of the best constant prediction for each row."""
    constant = model.loss.fit_intercept_only(y, weight, model.network.n_out).astype(model.dtype)
    return model.loss.loss(y, np.tile(constant, (len(y), 1)))


def _is_scale(model: Model, y: AnyArray, weight: FloatArray | None, baseline: FloatArray) -> bool:
    """Tell whether other losses can be measured by the loss of the best constant prediction.

    They cannot if the loss of a row can be negative, or if the targets hardly vary, where it is a rounding error.
    """
    if model.loss.is_classification:
        varies = np.average(baseline, weights=weight) > CERTAIN
    else:
        mean, deviation = _mean_and_deviation(y, weight)
        varies = (deviation > CONSTANT * np.abs(mean)).any()
    return bool(varies and baseline.min() >= 0.0)


def _spread(data: Data) -> IntArray:
    """Return the indices of a sample of the rows with a positive weight."""
    counting = np.arange(data.n_samples) if data.sample_weight is None else np.flatnonzero(data.sample_weight)
    spread: IntArray = counting[evenly_spread(len(counting), data.X.shape[1])]
    return spread


def evenly_spread(n_rows: int, n_columns: int) -> IntArray:
    """Return the indices of a sample of rows, from the first to the last one."""
    n_sampled = min(n_rows, ROWS, max(1, ELEMENTS // n_columns))
    return np.linspace(0, n_rows - 1, n_sampled).round().astype(int)


def _mean_and_deviation(values: FloatArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and standard deviation of each column, in float64."""
    values = np.asarray(values, np.float64)
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))


def _constant(X: Any, candidates: BoolArray) -> BoolArray:
    """Return which features have one value in all rows, given those that have one in the sample."""
    if not isinstance(X, np.ndarray):
        empty: BoolArray = candidates & (np.bincount(X.indices, minlength=X.shape[1]) == 0)
        return empty
    constant = candidates.copy()
    for column in np.flatnonzero(candidates):
        constant[column] = bool((X[:, column] == X[0, column]).all())
    return constant


def _classes(data: Data, y: AnyArray, weight: FloatArray | None, raw: FloatArray) -> dict[str, Any]:
    """Return the fraction and the recall of each class; nothing for multilabel targets."""
    if data.y.ndim > 1 and data.y.shape[1] > 1:
        return {}
    codes = y.reshape(-1).astype(int)
    if raw.shape[1] == 1:  # yes or no
        predicted, n_classes = (raw[:, 0] > 0.0).astype(int), 2
    else:
        predicted, n_classes = raw.argmax(axis=1), raw.shape[1]
    hit = codes == predicted
    seen = np.bincount(codes, weight, n_classes)
    found = np.bincount(codes[hit], None if weight is None else weight[hit], n_classes)
    counts = np.bincount(data.y.reshape(-1).astype(int), data.sample_weight, n_classes)
    recall = np.divide(found, seen, out=np.full(n_classes, np.nan), where=seen > 0)
    return {"class_fraction": counts / counts.sum(), "class_recall": recall}
