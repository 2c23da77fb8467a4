"""The file of records that could not be sent, and its replay."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skmlp.tracking.addresses import masked, masked_errors
from skmlp.tracking.journal import AdoptRun, CreateRun, Log, Opening, Record, as_dict, from_dict
from skmlp.tracking.store import RefusedError, Store, default_uri, is_transient

__all__ = ["Replayed", "Spool", "files_of", "merge", "replay"]


class Spool:
    """A file of records, one per line, after a header with the store they are for.

    File and folder are created with the first record. Only their owner can read them, and a password in the address of
    the store is not stored. By `session`, the identifier of the outermost fit, :func:`files_of` finds the files of its
    worker processes.
    """

    def __init__(self, folder: str | Path, uri: str | None, session: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        # Process ID and random digits distinguish fits that begin in the same second.
        self.path = Path(folder, f"{stamp}-{os.getpid()}-{os.urandom(3).hex()}.jsonl").absolute()
        self.header = json.dumps({"tracking_uri": masked(uri) if uri else uri, "session": session})

    def write(self, records: Iterable[Record]) -> None:
        """Append all records, or on an OSError none."""
        lines = [json.dumps(as_dict(record)) for record in records]
        if not lines:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == 0:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lines.insert(0, self.header)
        try:
            with open(self.path, "a", encoding="utf-8", opener=_for_owner_only) as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())  # some errors, as of a full disk, only occur here
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def files_of(folder: str | Path, session: str) -> list[Path]:
    """Return the files of the outermost fit `session` in `folder`."""
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
    """The result of a replay.

    Attributes
    ----------
    runs : dict
        MLflow's run IDs by identifier.
    n_metrics : int
        Number of metric values sent.
    rejected : list of str
        What was not sent, with the reasons.
    """

    runs: dict[str, str] = field(default_factory=dict)
    n_metrics: int = 0
    rejected: list[str] = field(default_factory=list)


def replay(path: str | Path, *, tracking_uri: str | None = None) -> Replayed:
    """Send the records of a file, or of all files in a folder.

    A second replay of the same file has no effect: runs are found by their identifiers, and MLflow stores a metric with
    the same value, step and time only once. The files are not deleted.

    Parameters
    ----------
    path : str or path
        A file named in a warning, ``skmlp-mlflow-spool/<time>-<process>-<random>.jsonl``, or its folder. A search with
        worker processes may write several files.
    tracking_uri : str, optional
        The store; by default the one that the records are for. If its address contains a password, which is not stored
        in the file, pass the address or set MLflow's tracking URI.

    Returns
    -------
    replayed : Replayed

    Raises
    ------
    ValueError
        When the file is not one of unsent records, or the password of the store is not known.
    mlflow.exceptions.MlflowException
        When the store does not answer. Replaying again is safe.

    Examples
    --------
    >>> from skmlp.tracking import replay
    >>> replay("skmlp-mlflow-spool/20261124-101500-4711-a1b2c3.jsonl")  # doctest: +SKIP
    Replayed(runs={...}, n_metrics=5000, rejected=[])
    """
    is_folder = Path(path).is_dir()
    files = sorted(Path(path).glob("*.jsonl")) if is_folder else [Path(path)]
    replayed = Replayed()
    by_store: dict[str, list[Record]] = {}
    for file in files:
        try:
            uri, records, unreadable = _read(file)
        except ValueError as error:
            if not is_folder:
                raise
            replayed.rejected.append(str(error))  # the other files are sent nevertheless
            continue
        by_store.setdefault(tracking_uri or _with_password(uri, file), []).extend(records)
        replayed.rejected.extend(unreadable)
    n_metrics = 0
    for uri, records in by_store.items():
        store = Store(uri, retry=True)
        for record in _ordered(records):
            try:
                with masked_errors():
                    store.send(record)
            except RefusedError as error:
                replayed.rejected.extend(f"{item} of run {record.run}" for item in error.refused)
                n_metrics -= error.n_metrics
            except Exception as error:
                if is_transient(error):
                    raise
                replayed.rejected.append(masked(f"{type(record).__name__} of run {record.run}: {error}"))
                continue
            n_metrics += len(record.metrics) if isinstance(record, Log) else 0
        replayed.runs.update(store.runs)
    return Replayed(replayed.runs, n_metrics, replayed.rejected)


def _with_password(uri: str | None, file: Path) -> str:
    """Return the address that a file's records are for; a password is taken from MLflow's tracking URI."""
    if uri is None:
        return default_uri()
    if "***" not in uri:
        return uri
    current = default_uri()
    if masked(current) != uri:
        raise ValueError(
            f"The records in {file} are for {uri}, whose password was not stored. Set MLFLOW_TRACKING_URI to the "
            "complete address, or pass it as tracking_uri."
        )
    return current


def _read(path: Path) -> tuple[str | None, list[Record], list[str]]:
    """Return address and records of a file, and messages about incomplete lines."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        uri: str | None = json.loads(lines[0])["tracking_uri"]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a file of unsent records. Pass a file named in a warning of skmlp.tracking."
        ) from error
    records, unreadable = [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            unreadable.append(f"line {number} of {path} is damaged")
    return uri, records, unreadable


def _ordered(records: list[Record]) -> list[Record]:
    """Sort the records that create or adopt runs to the front, outer runs before inner ones.

    The values of a full buffer are in the file before their run, and the file of a worker may be read before that of
    the process that created the parent.
    """
    openings: list[Opening] = [record for record in records if isinstance(record, CreateRun | AdoptRun)]
    openings.sort(key=lambda record: (isinstance(record, CreateRun), getattr(record, "start", 0)))
    others = [record for record in records if not isinstance(record, CreateRun | AdoptRun)]
    return [*openings, *merge(others)]


def merge(records: Iterable[Record], limit: int = 1000) -> list[Record]:
    """Join the `Log` records of each run, up to `limit` metrics each, and keep the order within each run.

    MLflow stores 1000 metrics in hardly more time than one.
    """
    merged: list[Record] = []
    open_at: dict[str, int] = {}  # run -> index in `merged` of its last Log
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
