"""A warning about validation data on another scale than the training data."""

from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators.data_summary import evenly_spread
from skmlp.estimators.reporting import warn_caller
from skmlp.training.batches import Data

# Fewest rows to compare.
FEWEST = 20
# Columns are compared by medians and median absolute deviations, which are robust to outliers and heavy tails. A column
# has another scale if the deviation of validation data from the training median is this many times the deviation of
# training data (more for one or two columns, which may drift), ...
FAR, FAR_ALONE = 5.0, 20.0
# ... or if validation data lie near the training median, with a deviation below this fraction of the training data's.
SHRUNK = 0.1
# The fractions of columns for which one of the two must hold: some may drift, and validation data may vary less.
MANY, NEARLY_ALL = 1 / 3, 0.9


def warn_about_scales(estimator: Any, training: Data, own: Data) -> None:
    """Warn when X_val, or y_val of a regressor, is on another scale than the training data."""
    table = estimator._table
    if table is None:
        found = _difference(training.X, own.X, [repr(name) for name in getattr(estimator, "feature_names_in_", ())])
    else:  # categories have no scale
        names = table.number_names
        found = _difference(training.X[:, : len(names)], own.X[:, : len(names)], list(map(repr, names)))
    if found:
        warn_caller(
            f"X_val is on another scale than X: {found}. Validation on it means little. Transform it as X is "
            'transformed; a Pipeline does so with transform_input=["X_val"] and metadata routing enabled.',
            UserWarning,
        )
    found = _difference(training.y, own.y, []) if estimator._y_numeric else ""
    if found:
        warn_caller(
            f"y_val is on another scale than y: {found}. Validation on it means little. Transform it as y is "
            "transformed, or use standardize_target=True in place of a transformer of y.",
            UserWarning,
        )


def _difference(training: Any, own: Any, names: list[str]) -> str:
    """Say in how many columns `own` has another scale, with the worst one; empty if there are too few to warn."""
    if training.shape[1] == 0:
        return ""
    rows, others = _some_of(training), _some_of(own)
    if min(len(rows), len(others)) < FEWEST:
        return ""
    (median, spread), (own_median, own_spread) = _median_and_spread(rows), _median_and_spread(others)
    distance = np.median(np.abs(others - median), axis=0)
    known = spread > 0.0  # other columns are nearly constant and have no scale
    out = known & (distance > (FAR if known.sum() > 2 else FAR_ALONE) * spread)
    if not out.any() or out.sum() < MANY * known.sum():
        out |= known & (own_spread > 0.0) & (own_spread < SHRUNK * spread) & (distance < 0.5 * spread)
        if not out.any() or out.sum() < NEARLY_ALL * known.sum():
            return ""
    ratio = np.ones(len(out))
    np.divide(np.maximum(distance, own_spread), spread, out=ratio, where=out)
    column = int(np.abs(np.log(ratio)).argmax())
    return (
        f"it differs in {out.sum()} of {known.sum()} columns, most of all in column "
        f"{names[column] if names else column}, which is {median[column]:.3g} +- {spread[column]:.3g} where the "
        f"network is trained and {own_median[column]:.3g} +- {own_spread[column]:.3g} here"
    )


def _median_and_spread(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    median = np.median(rows, axis=0)
    return median, np.median(np.abs(rows - median), axis=0)


def _some_of(values: Any) -> FloatArray:
    """Return a sample of the rows, evenly spread, in float64."""
    values = values.reshape(-1, 1) if values.ndim == 1 else values
    chosen: Any = values[evenly_spread(*values.shape)]
    rows: AnyArray = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
    return rows.astype(np.float64)
