"""Write the history to a file during training."""

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
    worker processes write to the same file. A row is written as soon as its epoch has ended, under a file lock, so that
    lines of several processes do not mix.

    A row has these columns, then those of ``history_``:

    - ``run``: eight characters that identify the outermost fit (a search with all its folds);
    - ``fit``: ``"fit"``, or in a search ``"cv7"`` for the fit ``candidate * n_splits + split`` and ``"refit"``;
    - ``epoch``: from 1; with ``warm_start`` it continues.

    Rows are appended to an existing file, after the removal of an incomplete last line of a killed process. When the
    disk is full, the file keeps its complete lines, the fit continues with one warning, and the missing rows are
    appended when there is space again. The first line of a CSV file has the names of the columns, always including
    those of validation. Values that are missing or not finite are empty in CSV and null in JSON.

    Parameters
    ----------
    path : str or path
        Ends with ``.csv`` or ``.jsonl``; folders are created as needed.

    Raises
    ------
    ValueError
        When `path` has another ending. During the fit, as a warning: when an existing CSV file has other columns.

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
            raise ValueError(
                f"The 'path' parameter of HistoryWriter must end with .csv or .jsonl. Got {os.fspath(path)!r} instead."
            )

    def _observe(self, fit: Fit) -> FitObserver:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if self.is_csv:
            return _CsvRows(fit, self.path)
        return _JsonRows(fit, self.path)


class _Rows(FitObserver):
    """Appends a line per epoch; subclasses define the format."""

    def __init__(self, fit: Fit, path: str) -> None:
        super().__init__(fit)
        self.path = path
        self.unwritten: list[str] = []

    @abstractmethod
    def encode(self, row: dict[str, Any]) -> str:
        """Return the line of an epoch."""

    @abstractmethod
    def is_complete(self, line: bytes) -> bool:
        """Return whether a last line without a line break is complete otherwise."""

    def epoch_ended(self, fitted_estimator: Any) -> bool:
        fit = self.fit
        numbers = {name: float(value) if math.isfinite(value) else None for name, value in fit.row.items()}
        self.unwritten.append(self.encode({"run": fit.run, "fit": fit.name, "epoch": fit.epoch, **numbers}))
        try:
            append_lines(self.path, "".join(self.unwritten).encode(), self.is_complete)
        except OSError as error:
            self.warn_once(
                f"Cannot write to {self.path} ({type(error).__name__}: {error}). The fit continues and tries again "
                "after each epoch, without another warning; missing rows are appended then."
            )
        else:
            self.unwritten.clear()
        return False


class _JsonRows(_Rows):
    def encode(self, row: dict[str, Any]) -> str:
        return json.dumps(row) + "\n"

    def is_complete(self, line: bytes) -> bool:
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
                f"{path} exists and does not have the columns {sorted(missing)}. Nothing is written in this fit. "
                "Choose another path, or one that ends with .jsonl, where rows may have different columns."
            )

    def encode(self, row: dict[str, Any]) -> str:
        return _csv_line([row.get(name) for name in self.columns])

    def is_complete(self, line: bytes) -> bool:
        """Return whether it is the header: truncated rows may look complete."""
        return line == self.first_line


def _csv_line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _create(path: str, content: str) -> None:
    """Create a file with its first line atomically, unless it exists: others may append to it immediately."""
    if os.path.exists(path):
        return
    remove_stale(os.path.dirname(path))
    with temporary_beside(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(content)
        sync(temporary)
        try:
            os.link(temporary, path)  # unlike renaming, fails when another process was faster
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.replace(temporary, path)
