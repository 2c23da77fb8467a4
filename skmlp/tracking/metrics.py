"""From an epoch's row to MLflow's metrics: names begin with the quantity, by which MLflow's user interface groups them.

A column of ``history_`` that is not listed here keeps its name.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["best_values", "epoch_metrics", "layer_metrics", "layer_name", "mean_of_last"]

# Column of history_ -> metric.
HISTORY = {
    "train_loss": "loss/train",
    "penalty": "loss/penalty",
    "validation_loss": "loss/validation",
    "held_out_loss": "loss/held_out",
    "train_score": "score/train",
    "validation_score": "score/validation",
    "best_member_score": "score/best_member",
    "learning_rate": "optim/learning_rate",
    "clipped_fraction": "optim/clipped_fraction",
    "gradient_norm": "grad_norm/global",
    "seconds": "time/epoch_seconds",
    "samples_per_second": "time/samples_per_second",
    "effective_step": "optim/effective_step",
    "gradient_ratio": "grad_norm/first_over_last",
    "noise_scale": "noise_scale/global",
}
# The sum of train_loss and penalty.
OMITTED = {"loss"}


def layer_name(layer: int) -> str:
    """Return the name of the dense layer with this index from 0, with two digits since MLflow sorts names as text."""
    return f"layer_{layer + 1:02d}"


def epoch_metrics(history: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the metrics of the last epoch in `history`.

    Values that are not finite are omitted, except for the training loss: in a diverged epoch it is NaN, a gap in the
    chart, and ``health/nonfinite`` is 1.
    """
    metrics = {}
    for column, values in history.items():
        if column not in OMITTED and math.isfinite(values[-1]):
            metrics[HISTORY.get(column, column)] = float(values[-1])
    if not math.isfinite(history["train_loss"][-1]):
        metrics |= {"loss/train": math.nan, "health/nonfinite": 1.0}
    return metrics


def layer_metrics(monitor: Mapping[str, Any]) -> dict[str, float]:
    """Return the per-layer metrics of the last monitored epoch in `monitor`, with "grad" for "gradient"."""
    metrics = {}
    for statistic, values in monitor.items():
        if np.ndim(values) != 2:  # epoch numbers and quantiles
            continue
        section = statistic.replace("gradient", "grad").replace("largest", "absmax")
        for layer, value in enumerate(values[-1]):
            if math.isfinite(value):
                metrics[f"{section}/{layer_name(layer)}"] = float(value)
    return metrics


def mean_of_last(monitors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last epoch observed in any of several networks, as one row with the means of those that have it.

    Networks with another number of layers than the first one, and quantiles, are left out.
    """
    last = max((int(each["epoch"][-1]) for each in monitors if len(each["epoch"])), default=0)
    names = [name for name, values in monitors[0].items() if np.ndim(values) == 2]
    n_layers = monitors[0][names[0]].shape[1]
    recent = [each for each in monitors if len(each["epoch"]) and each["epoch"][-1] == last]
    rows = [[each[name][-1] for name in names] for each in recent if each[names[0]].shape[1] == n_layers]
    if not rows:
        return {"epoch": np.empty(0, int)}
    cells = np.array(rows)
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, cells, 0.0).sum(axis=0) / known.sum(axis=0)
    return {"epoch": np.array([last]), **{name: mean[np.newaxis] for name, mean in zip(names, means, strict=True)}}


def best_values(history: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the best epoch's values as ``best_*`` metrics; MLflow itself shows the last values.

    The best epoch is that of the highest validation score, or of the lowest loss without validation.
    """
    if "validation_score" in history:
        ranked = [-score for score in history["validation_score"]]
    else:
        ranked = history["loss"]
    finite = [index for index, value in enumerate(ranked) if math.isfinite(value)]
    if not finite:
        return {}
    best = min(finite, key=lambda index: ranked[index])
    named = {"train_loss": "best_loss", "validation_loss": "best_validation_loss"}
    named["validation_score"] = "best_validation_score"
    values = {metric: float(history[column][best]) for column, metric in named.items() if column in history}
    return {"best_epoch": float(best + 1), **values}
