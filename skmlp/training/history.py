"""The history of a training: a row for each epoch, and one for each epoch that was monitored."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from skmlp._typing import AnyArray

__all__ = ["HISTORY_LIMIT", "History", "Observations", "append_row", "empty_history", "mean_observations"]

# The largest number of rows. Calls of partial_fit beyond it drop the oldest.
HISTORY_LIMIT = 10_000

History = dict[str, list[float]]

_ALWAYS = (
    "loss",
    "train_loss",
    "penalty",
    "learning_rate",
    "gradient_norm",
    "clipped_fraction",
    "seconds",
    "samples_per_second",
)
_WITH_VALIDATION = ("validation_loss", "validation_score")


def empty_history(*, validation: bool) -> History:
    """Return a history without rows, with columns for the validation loss and score if there is validation data."""
    return {name: [] for name in (*_ALWAYS, *(_WITH_VALIDATION if validation else ()))}


def append_row(history: History, row: Mapping[str, float]) -> None:
    """Append an epoch, and drop the oldest one if there are too many.

    A column is NaN for epochs that lack it.
    """
    n_before = len(history["loss"])
    if not history.keys() >= row.keys():
        history |= {name: [nan] * n_before for name in row if name not in history}
    for name, column in history.items():
        column.append(row.get(name, nan))
    if n_before >= HISTORY_LIMIT:
        for column in history.values():
            del column[: n_before + 1 - HISTORY_LIMIT]


class Observations:
    """A table with the numbers of the monitored epochs and their statistics; a cell holds an array.

    Parameters
    ----------
    columns : dict of str to array-like
        The first rows, or arrays of length 0 with the shapes of the cells.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._memory: dict[str, AnyArray] = {name: np.array(column) for name, column in columns.items()}
        self._n_rows = len(self._memory["epoch"])

    @property
    def columns(self) -> dict[str, AnyArray]:
        """An array for each column, ``"epoch"`` first; views that do not change when rows are appended."""
        rows = slice(max(0, self._n_rows - HISTORY_LIMIT), self._n_rows)
        return {name: memory[rows] for name, memory in self._memory.items()}

    def append(self, epoch: int, cells: Mapping[str, AnyArray]) -> None:
        """Append an epoch, and drop the oldest ones if there are too many."""
        if self._n_rows == len(self._memory["epoch"]):
            self._grow()
        for name, cell in {"epoch": epoch, **cells}.items():
            self._memory[name][self._n_rows] = cell
        self._n_rows += 1

    def _grow(self) -> None:
        """Double the memory, so that appending n rows copies about n rows."""
        kept = self.columns
        self._n_rows = min(self._n_rows, HISTORY_LIMIT)
        for name, column in kept.items():
            self._memory[name] = np.empty((2 * self._n_rows + 8, *column.shape[1:]), column.dtype)
            self._memory[name][: self._n_rows] = column


def mean_observations(tables: Sequence[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return the means of what was observed in several trainings, one row for each epoch observed in any of them.

    A cell is the mean of those that are not NaN. Trainings of networks with another number of layers than the first
    one's are left out.

    Parameters
    ----------
    tables : sequence of dict
        The columns of :class:`Observations`.
    """
    shapes = {name: column.shape[1:] for name, column in tables[0].items()}
    alike = [each for each in tables if all(each[name].shape[1:] == shape for name, shape in shapes.items())]
    epochs: AnyArray = np.unique(np.concatenate([each["epoch"] for each in alike]))
    means = {"epoch": epochs}
    for name in shapes.keys() - {"epoch"}:
        cells = np.full((len(alike), len(epochs), *shapes[name]), nan)
        for table, rows in zip(alike, cells, strict=True):
            rows[np.searchsorted(epochs, table["epoch"])] = table[name]
        known = ~np.isnan(cells)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[name] = np.where(known, cells, 0.0).sum(axis=0) / known.sum(axis=0)
    return {name: means[name] for name in shapes}
