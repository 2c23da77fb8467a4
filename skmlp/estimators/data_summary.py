"""Summary of the data and of the fitted network's outputs, for :mod:`skmlp.diagnosis`.

It is computed from a sample of the rows, which makes it cheap.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, BoolArray, FloatArray, IntArray
from skmlp.estimators.model import Model
from skmlp.estimators.table_inputs import TableInputs
from skmlp.nn.losses import Loss
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
        raw = model.network.forward(model.params, X, workspace)[-1]
        units = [_mean_and_deviation(layer.outputs, weight)[1] for layer in model.network.layer_outputs(workspace)[:-1]]
        inputs = _summarize_inputs(data, X, weight)
        return inputs | _summarize_outputs(model.loss, data, y, weight, raw) | {"unit_spread": units}


def summarize_mean(
    models: Sequence[Model], data: Data, loss: Loss, mean_raw: Callable[[list[FloatArray]], FloatArray]
) -> dict[str, Any]:
    """Return what :func:`summarize_data` does, but for ``unit_spread``, for the mean of several networks.

    `mean_raw` returns the raw outputs of the mean from those of the networks, and `loss` is its loss.
    """
    X, y, weight = data.take(_spread(data)).in_one_type()
    with np.errstate(all="ignore"):
        raw = mean_raw([model.network.predict(model.params, X) for model in models])
        return _summarize_inputs(data, X, weight) | _summarize_outputs(loss, data, y, weight, raw)


def by_column(summary: dict[str, Any], table: TableInputs) -> dict[str, Any]:
    """Return a summary with the columns of the user's table in place of those of the encoded one.

    The sizes are those of the numbers, after scaling, and NaN for all other columns. A column is constant if it had a
    single value in training and so is not encoded.
    """
    n_columns, numbers = len(table.encoder.columns), list(table.encoder.number_inputs)
    constant = np.zeros(n_columns, dtype=bool)
    constant[list(table.encoder.dropped)] = True
    described = {**summary, "constant": constant}
    for name in ("feature_mean", "feature_std"):
        described[name] = np.full(n_columns, np.nan)
        described[name][numbers] = summary[name][: len(numbers)]
    return described


def _summarize_inputs(data: Data, X: Any, weight: FloatArray | None) -> dict[str, Any]:
    """Return the numbers about the features; `X` are the rows of the sample."""
    features = X if isinstance(X, np.ndarray) else X.toarray()
    mean, deviation = _mean_and_deviation(features, weight)
    return {
        "n_samples": data.n_samples,
        "feature_mean": mean,
        "feature_std": deviation,
        "constant": _constant(data.X, np.ptp(features, axis=0) == 0.0),
    }


def _summarize_outputs(
    loss: Loss, data: Data, y: AnyArray, weight: FloatArray | None, raw: FloatArray
) -> dict[str, Any]:
    """Return the numbers about the targets and the raw outputs of the sample."""
    baseline = _constant_losses(loss, y, weight, raw.shape[1], raw.dtype)
    summary: dict[str, Any] = {
        "loss": float(np.average(loss.loss(y, raw), weights=weight)),
        "baseline_loss": float(np.average(baseline, weights=weight)),
        "is_scale": _is_scale(loss, y, weight, baseline),
    }
    if not loss.is_classification:
        mean, deviation = _mean_and_deviation(y, weight)
        return summary | {"target_mean": mean, "target_std": deviation}
    return summary | _classes(data, y, weight, raw)


def constant_loss(model: Model, data: Data) -> float:
    """Return the mean loss of the best constant prediction for a sample of the rows."""
    rows = _spread(data)
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    y = data.y[rows]
    with np.errstate(all="ignore"):
        losses = _constant_losses(model.loss, y, weight, model.network.n_out, model.dtype)
        return float(np.average(losses, weights=weight))


def _constant_losses(
    loss: Loss, y: AnyArray, weight: FloatArray | None, n_out: int, dtype: np.dtype[Any]
) -> FloatArray:
    """Return the loss of the best constant prediction for each row."""
    constant = loss.fit_intercept_only(y, weight, n_out).astype(dtype)
    return loss.loss(y, np.tile(constant, (len(y), 1)))


def _is_scale(loss: Loss, y: AnyArray, weight: FloatArray | None, baseline: FloatArray) -> bool:
    """Tell whether other losses can be measured by the loss of the best constant prediction.

    They cannot if the loss of a row can be negative, or if the targets hardly vary, where it is a rounding error.
    """
    if loss.is_classification:
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
