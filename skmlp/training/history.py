"""What is recorded of every epoch, and of those that were observed."""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from skmlp._typing import AnyArray

__all__ = ["HISTORY_LIMIT", "History", "Observations", "append_row", "empty_history"]

# Rows kept under endless partial_fit; the oldest go first.
HISTORY_LIMIT = 10_000

History = dict[str, list[float]]

_ALWAYS = (
    "loss",
    "train_loss",
    "penalty",
    "learning_rate",
    "gradient_norm",
    "clipped_share",
    "seconds",
    "samples_per_second",
)
_WITH_VALIDATION = ("validation_loss", "validation_score")


def empty_history(*, validation: bool) -> History:
    """Return a history without rows; ``validation_loss`` and ``validation_score`` only with validation data."""
    return {name: [] for name in (*_ALWAYS, *(_WITH_VALIDATION if validation else ()))}


def append_row(history: History, row: Mapping[str, float]) -> None:
    """Append one epoch, and forget the oldest epochs beyond the limit.

    A column that is new in this row begins with NaN for the epochs before; one that the row lacks goes on with NaN.
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
    """A table with an array in every cell: the epochs' numbers, and of each what was observed.

    Parameters
    ----------
    columns : dict of str to array-like
        Rows to begin with, or arrays of length 0 that tell the shapes of the cells.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._memory: dict[str, AnyArray] = {name: np.array(column) for name, column in columns.items()}
        self._n_rows = self._capacity

    @property
    def columns(self) -> dict[str, AnyArray]:
        """An array with one entry a row for each column, ``"epoch"`` first; views that later rows do not change."""
        rows = slice(max(0, self._n_rows - HISTORY_LIMIT), self._n_rows)
        return {name: memory[rows] for name, memory in self._memory.items()}

    def append(self, epoch: int, cells: Mapping[str, AnyArray]) -> None:
        """Append an epoch; beyond the limit the oldest ones are forgotten."""
        if self._n_rows == self._capacity:
            self._make_room()
        for name, cell in {"epoch": epoch, **cells}.items():
            self._memory[name][self._n_rows] = cell
        self._n_rows += 1

    @property
    def _capacity(self) -> int:
        return len(self._memory["epoch"])

    def _make_room(self) -> None:
        """Move the rows to twice the memory, so that appending n rows copies about n."""
        kept = self.columns
        self._n_rows = min(self._n_rows, HISTORY_LIMIT)
        for name, column in kept.items():
            self._memory[name] = np.empty((2 * self._n_rows + 8, *column.shape[1:]), column.dtype)
            self._memory[name][: self._n_rows] = column
