"""The records in which a fit is told to MLflow: plain data, so that they cross processes and survive in a file.

Everything the tracking writes is one of the records below. A fit puts them into an outbox, in order; a store sends
them; what cannot be sent goes to a file and is sent from there later. Runs are named by an identifier of our own
(`run`), known at once and without asking the server; the store knows which MLflow run stands behind it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "AdoptRun",
    "Artifact",
    "CreateRun",
    "EndRun",
    "Log",
    "LogChildren",
    "LogDataset",
    "Opening",
    "Record",
    "TrainingFiles",
    "as_dict",
    "dump",
    "from_dict",
    "load",
    "now",
]


def now() -> int:
    """Return the time in milliseconds since the epoch, MLflow's unit."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class CreateRun:
    """A run begins.

    Attributes
    ----------
    run : str
        Identifier; stored with the run as the tag ``skmlp.id``.
    name : str
        Shown in the list of runs.
    experiment : str or None
        The experiment's name, made if there is none of that name; None with `experiment_id` given.
    experiment_id : str or None
        Without name and ID the experiment is the parent's.
    parent : str or None
        Identifier of the run this one is nested in.
    start : int
        Milliseconds since the epoch.
    tags : dict of str
    patience : float
        Seconds to wait for somebody else, who is about to create the same run, before doing it.
    resume, within : str or None
        MLflow's ID of a run to go on with instead, or to be nested in, if it is there and in `experiment`, should that
        be given.
    """

    run: str
    name: str
    experiment: str | None
    experiment_id: str | None
    parent: str | None
    start: int
    tags: dict[str, str]
    patience: float = 0.0
    resume: str | None = None
    within: str | None = None


@dataclass(frozen=True)
class AdoptRun:
    """An MLflow run that is there already is meant by `run`.

    Attributes
    ----------
    run, run_id : str
        Our identifier and MLflow's.
    foreign : bool
        Somebody else's run, whose parameters stand as they are.
    """

    run: str
    run_id: str
    foreign: bool = True


@dataclass(frozen=True)
class LogChildren:
    """Metrics for the runs nested in `run`, by the value of their tag ``skmlp.child``; as many as there are."""

    run: str
    metrics: dict[str, list[list[Any]]]


@dataclass(frozen=True)
class Log:
    """Metrics as ``[key, value, milliseconds, step]``, parameters and tags."""

    run: str
    metrics: list[list[Any]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LogDataset:
    """The data a run was trained on: name, digest, schema and profile as MLflow's dataset entity has them."""

    run: str
    name: str
    digest: str
    schema: str
    profile: str


@dataclass(frozen=True)
class Artifact:
    """A file of a run: `content` is text, or base64 when `binary`."""

    run: str
    path: str
    content: str
    binary: bool = False


@dataclass(frozen=True)
class TrainingFiles:
    """A fit's history, statistics and configuration, of which the sender makes tables and pictures.

    Attributes
    ----------
    run : str
    title : str
        Of the report.
    history, monitor : dict of lists
        As the estimator's ``history_`` and ``monitor_``.
    configuration, facts : dict
        For ``config.json``, and to stand beside the pictures.
    diagnosis : list of dict
        As :meth:`skmlp.diagnosis.Diagnosis.to_dicts` gives it.
    diagnosis_html : str
        The same to be read.
    """

    run: str
    title: str
    history: dict[str, list[Any]]
    monitor: dict[str, list[Any]]
    configuration: dict[str, Any]
    facts: dict[str, str]
    diagnosis: list[dict[str, Any]]
    diagnosis_html: str


@dataclass(frozen=True)
class EndRun:
    """A run ends with status ``"FINISHED"``, ``"FAILED"`` or ``"KILLED"``.

    With `children`, those of its children that are still running end with it: nobody else will end them.
    """

    run: str
    status: str
    end: int
    children: bool = False


Opening = CreateRun | AdoptRun
Record = Opening | Log | LogChildren | LogDataset | Artifact | TrainingFiles | EndRun

_KINDS = {
    kind.__name__: kind for kind in (CreateRun, AdoptRun, Log, LogChildren, LogDataset, Artifact, TrainingFiles, EndRun)
}


def as_dict(record: Record) -> dict[str, Any]:
    """Return the record as a dict for JSON; nothing in it is copied."""
    return {"record": type(record).__name__, **vars(record)}


def from_dict(values: Mapping[str, Any]) -> Record:
    """Undo :func:`as_dict`."""
    fields = dict(values)
    record: Record = _KINDS[fields.pop("record")](**fields)
    return record


def dump(record: Record) -> str:
    """Return the record as one line of JSON."""
    return json.dumps(as_dict(record))


def load(line: str) -> Record:
    """Undo :func:`dump`."""
    return from_dict(json.loads(line))
