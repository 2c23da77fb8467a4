"""Write the history to a file while it grows."""

import csv
import io
import json
import math
import os
from abc import abstractmethod
from typing import Any

from skmlp.callbacks._files import append_lines, remove_stale, sync, temporary_beside
from skmlp.callbacks._observing import EpochCallback, Fit, FitObserver
from skmlp.training.history import empty_history

__all__ = ["HistoryWriter"]

_WHICH = ("run", "fit", "epoch")


class HistoryWriter(EpochCallback):
    """Append a row to a CSV or JSON lines file after each epoch.

    For ``set_callbacks`` of an skmlp estimator, or of the outermost estimator around it: a pipeline or a search, whose
    worker processes write to the same file. Each row is one line, written at once in append mode under a file lock, so
    that lines of several processes do not mix, and an epoch is in the file as soon as it has ended.

    A row has these columns, then those of ``history_``:

    - ``run``: eight characters that tell one outermost fit (a search with all its folds) from another;
    - ``fit``: ``"fit"``, or in a search ``"cv7"`` for the fit ``candidate * n_splits + split`` and ``"refit"``;
    - ``epoch``: from 1, counted on under ``warm_start``.

    An existing file is added to; a last line that a killed process left unfinished is removed first. When the disk is
    full, the file keeps its whole lines, the fit goes on with one warning, and rows are added later if there is space
    again. A CSV file has its columns in the first line, those of validation among them in any
    case; numbers that are missing or not finite are empty there, and null in JSON.

    Parameters
    ----------
    path : str or path
        Ends with ``.csv`` or ``.jsonl``; folders are made as needed.

    Raises
    ------
    ValueError
        When `path` ends otherwise. In the fit, which it costs a warning: when there is a CSV file with other columns.

    Examples
    --------
    >>> import os, tempfile
    >>> import pandas as pd
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.callbacks import HistoryWriter
    >>> X, y = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "history.csv")
    >>> model = MLPClassifier((16,), n_iter_no_change=2, tol=0.1, random_state=0)
    >>> model = model.set_callbacks(HistoryWriter(path)).fit(X, y)
    >>> pd.read_csv(path)["loss"].tolist() == model.history_["loss"]
    True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = os.path.abspath(path)
        self.is_csv = self.path.lower().endswith(".csv")
        if not self.is_csv and not self.path.lower().endswith(".jsonl"):
            raise ValueError(f"path must end with .csv or .jsonl, which chooses the format, got {os.fspath(path)!r}.")

    def _observe(self, fit: Fit) -> FitObserver:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if self.is_csv:
            return _CsvRows(fit, self.path)
        return _JsonRows(fit, self.path)


class _Rows(FitObserver):
    """Appends a line an epoch; the two formats differ in what is in it."""

    def __init__(self, fit: Fit, path: str) -> None:
        super().__init__(fit)
        self.path = path
        self.unwritten: list[str] = []

    @abstractmethod
    def encode(self, row: dict[str, Any]) -> str:
        """Return the line."""

    @abstractmethod
    def is_whole(self, line: bytes) -> bool:
        """Tell whether the last line of the file lacks a line break and nothing else."""

    def epoch_ended(self, fitted_estimator: Any) -> bool:
        fit = self.fit
        numbers = {name: float(value) if math.isfinite(value) else None for name, value in fit.row.items()}
        self.unwritten.append(self.encode({"run": fit.run, "fit": fit.name, "epoch": fit.epoch, **numbers}))
        try:
            append_lines(self.path, "".join(self.unwritten).encode(), self.is_whole)
        except OSError as error:
            self.warn_once(
                f"{self.path} could not be written ({type(error).__name__}: {error}). The fit goes on and tries again "
                "after each epoch, without another warning; rows that are missing are added then."
            )
        else:
            self.unwritten.clear()
        return False


class _JsonRows(_Rows):
    def encode(self, row: dict[str, Any]) -> str:
        return json.dumps(row) + "\n"

    def is_whole(self, line: bytes) -> bool:
        try:
            json.loads(line)
        except ValueError:
            return False
        return True


class _CsvRows(_Rows):
    def __init__(self, fit: Fit, path: str) -> None:
        super().__init__(fit, path)
        history = fit.estimator.history_
        _create(path, _csv_line([*_WHICH, *dict.fromkeys([*empty_history(validation=True), *history])]))
        with open(path, "rb") as file:
            self.first_line = file.readline()
        self.columns = next(csv.reader([self.first_line.decode()]), [])
        missing = {*_WHICH, *history} - set(self.columns)
        if missing:
            raise ValueError(
                f"{path} exists and has no columns {sorted(missing)}: nothing is written in this fit. "
                "Choose another path, or one that ends with .jsonl, where rows may have different columns."
            )

    def encode(self, row: dict[str, Any]) -> str:
        return _csv_line([row.get(name) for name in self.columns])

    def is_whole(self, line: bytes) -> bool:
        """Tell so of the names of the columns only: a number that is cut off is a number."""
        return line == self.first_line


def _csv_line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _create(path: str, content: str) -> None:
    """Make a file that has its first line from the start, unless there is one: others may add to it at once."""
    if os.path.exists(path):
        return
    remove_stale(os.path.dirname(path))
    with temporary_beside(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(content)
        sync(temporary)
        try:
            os.link(temporary, path)  # unlike a renaming, fails when another process was faster
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.replace(temporary, path)
