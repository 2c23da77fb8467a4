"""The file that keeps what could not be sent, and sending it from there."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skmlp.tracking.journal import AdoptRun, CreateRun, Log, Opening, Record, dump, load
from skmlp.tracking.store import Store, default_uri, is_transient

__all__ = ["Replayed", "Spool", "files_of", "merge", "replay"]


class Spool:
    """A file of records, one a line, after a first line that says where they were to go.

    The file appears with the first record written; the folder is made when needed.

    Parameters
    ----------
    folder : str or path
    uri : str or None
        Tracking URI the records were meant for; None for MLflow's default.
    session : str
        Identifier of the outermost fit, by which :func:`files_of` finds what its worker processes have written.
    """

    def __init__(self, folder: str | Path, uri: str | None, session: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        # The process and a random part keep fits apart that begin in the same second.
        self.path = Path(folder, f"{stamp}-{os.getpid()}-{os.urandom(3).hex()}.jsonl").absolute()
        self.header = json.dumps({"tracking_uri": uri, "session": session})

    def write(self, records: Iterable[Record]) -> None:
        """Append records: all of them, or on an error none.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        lines = [dump(record) for record in records]
        if not lines:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines.insert(0, self.header)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())  # a full disk shows here, not at the next restart
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise


def files_of(folder: str | Path, session: str) -> list[Path]:
    """Return the files in `folder` that belong to the outermost fit `session`."""
    found = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        try:
            with path.open(encoding="utf-8") as file:
                header = json.loads(file.readline())
        except (OSError, ValueError):
            continue
        if isinstance(header, dict) and header.get("session") == session:
            found.append(path)
    return found


@dataclass(frozen=True)
class Replayed:
    """What a replay sent.

    Attributes
    ----------
    runs : dict
        MLflow's run ID by our identifier.
    n_metrics : int
        Values sent.
    rejected : list of str
        Why the store refused a record, where it did; the rest was sent.
    """

    runs: dict[str, str] = field(default_factory=dict)
    n_metrics: int = 0
    rejected: list[str] = field(default_factory=list)


def replay(path: str | Path, *, tracking_uri: str | None = None) -> Replayed:
    """Send what a file of unsent records holds, or all files of a folder.

    Sending a file again changes nothing: runs are found by their identifier, and MLflow stores the same value of a
    metric at the same step and time once. The files are left where they are.

    Parameters
    ----------
    path : str or path
        A file that a warning named, ``skmlp-mlflow-spool/<time>-<process>-<random>.jsonl``, or the folder. A search
        with worker processes may have left several files: replay the folder.
    tracking_uri : str, optional
        Where to send it, if not to where it was to go at first.

    Returns
    -------
    replayed : Replayed

    Raises
    ------
    ValueError
        When a file is not one of unsent records.
    mlflow.exceptions.MlflowException
        When the store does not answer; what was sent before stays sent, and replaying again is safe.

    Examples
    --------
    >>> from skmlp.tracking import replay
    >>> replay("skmlp-mlflow-spool/20261124-101500-4711-a1b2c3.jsonl")  # doctest: +SKIP
    Replayed(runs={...}, n_metrics=5000, rejected=[])
    """
    files = sorted(Path(path).glob("*.jsonl")) if Path(path).is_dir() else [Path(path)]
    by_store: dict[str, list[Record]] = {}
    for file in files:
        uri, records = _read(file)
        by_store.setdefault(tracking_uri or uri or default_uri(), []).extend(records)
    replayed = Replayed()
    n_metrics = 0
    for uri, records in by_store.items():
        store = Store(uri, retry=True)
        for record in _ordered(records):
            try:
                store.send(record)
            except Exception as error:
                if is_transient(error):
                    raise
                replayed.rejected.append(f"{type(record).__name__} of run {record.run}: {error}")
            else:
                n_metrics += len(record.metrics) if isinstance(record, Log) else 0
        replayed.runs.update(store.runs)
    return Replayed(replayed.runs, n_metrics, replayed.rejected)


def _read(path: Path) -> tuple[str | None, list[Record]]:
    try:
        with path.open(encoding="utf-8") as file:
            uri: str | None = json.loads(next(file))["tracking_uri"]
            return uri, [load(line) for line in file]
    except (StopIteration, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a file of unsent records. Pass one that a warning of skmlp.tracking named."
        ) from error


def _ordered(records: list[Record]) -> list[Record]:
    """Put what makes runs known first, outer runs before inner ones.

    Values pushed out of a full buffer stand in the file before the run they belong to, and a worker's file may be
    read before that of the process that made the parent.
    """
    openings: list[Opening] = [record for record in records if isinstance(record, CreateRun | AdoptRun)]
    openings.sort(key=lambda record: (isinstance(record, CreateRun), getattr(record, "start", 0)))
    others = [record for record in records if not isinstance(record, CreateRun | AdoptRun)]
    return [*openings, *merge(others)]


def merge(records: Iterable[Record], limit: int = 1000) -> list[Record]:
    """Join the `Log` records of each run, up to `limit` metrics in one, keeping every run's order.

    MLflow takes 1000 metrics in nearly the time of one.
    """
    merged: list[Record] = []
    open_at: dict[str, int] = {}  # run -> index in `merged` of the Log that still takes values
    for record in records:
        if not isinstance(record, Log):
            open_at.pop(record.run, None)
            merged.append(record)
            continue
        place = open_at.get(record.run)
        into = merged[place] if place is not None else None
        if isinstance(into, Log) and len(into.metrics) + len(record.metrics) <= limit:
            into.metrics.extend(record.metrics)
            into.params.update(record.params)
            into.tags.update(record.tags)
        else:
            open_at[record.run] = len(merged)
            merged.append(Log(record.run, list(record.metrics), dict(record.params), dict(record.tags)))
    return merged
