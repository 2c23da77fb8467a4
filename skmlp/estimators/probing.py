"""What a look at the data and at the fitted network tells, beyond what training itself recorded.

:mod:`skmlp.diagnosis` judges by it. A sample of the rows is enough, so that it costs next to nothing.
"""

from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.estimators.state import Model
from skmlp.training.batches import Data

__all__ = ["probe"]

# Rows looked at, at most; fewer where they are so wide that a dense copy would not be small.
ROWS, ELEMENTS = 500, 1_000_000


def probe(model: Model, data: Data) -> dict[str, Any]:
    """Return numbers and arrays that describe rows, targets and what the network makes of them.

    Parameters
    ----------
    model : Model
    data : Data
        Rows and targets as the network is trained on.

    Returns
    -------
    facts : dict
        ``n_samples``, and from a sample of the rows ``feature_mean``, ``feature_std``, ``loss`` (mean, without
        penalty) and ``baseline_loss`` (of the best constant prediction); ``unit_spread``, a list with the standard
        deviation of each unit's output for each hidden layer; for numbers ``target_mean`` and ``target_std``; for
        classes ``class_share``, and from the sample ``class_recall``, the share of each class that is recognised.
    """
    n_samples, n_features = data.X.shape
    sample = data.take(_spread(n_samples, min(ROWS, max(1, ELEMENTS // n_features)))).in_one_type()
    X, y, weight = sample
    features = np.asarray(X if isinstance(X, np.ndarray) else X.toarray(), np.float64)
    workspace = model.network.workspace(len(y), model.dtype)
    with np.errstate(all="ignore"):
        raw = model.network.forward(model.params, X, workspace)[-1]
        units = [unit.outputs.std(axis=0, dtype=np.float64) for unit in model.network.units(workspace)[:-1]]
        constant = np.broadcast_to(model.loss.constant(y, weight, raw.shape[1]).astype(raw.dtype), raw.shape)
        facts: dict[str, Any] = {
            "n_samples": n_samples,
            "feature_mean": features.mean(axis=0),
            "feature_std": features.std(axis=0),
            "loss": float(np.average(model.loss.loss(y, raw), weights=weight)),
            "baseline_loss": float(np.average(model.loss.loss(y, constant.copy()), weights=weight)),
            "unit_spread": units,
        }
        if not model.loss.is_classification:
            return facts | {"target_mean": y.mean(axis=0), "target_std": y.std(axis=0)}
        return facts | _classes(model, data.y, y, raw)


def _spread(n_samples: int, n_rows: int) -> IntArray:
    """Return the numbers of at most `n_rows` rows, evenly spread from the first to the last."""
    rows: IntArray = np.linspace(0, n_samples - 1, min(n_samples, n_rows)).round().astype(int)
    return rows


def _classes(model: Model, every_y: AnyArray, y: AnyArray, raw: FloatArray) -> dict[str, Any]:
    """Return the shares of the classes and of each the part that is recognised; nothing for several labels."""
    if every_y.ndim > 1 and every_y.shape[1] > 1:
        return {}
    if raw.shape[1] == 1:  # yes or no
        codes, predicted, n_classes = y.reshape(-1).astype(int), (raw[:, 0] > 0.0).astype(int), 2
    else:
        codes, predicted, n_classes = y.reshape(-1).astype(int), raw.argmax(axis=1), raw.shape[1]
    counts = np.bincount(every_y.reshape(-1).astype(int), minlength=n_classes)
    seen = np.bincount(codes, minlength=n_classes)
    found = np.bincount(codes[codes == predicted], minlength=n_classes)
    recall = np.divide(found, seen, out=np.full(n_classes, np.nan), where=seen > 0)
    return {"class_share": counts / counts.sum(), "class_recall": recall}
