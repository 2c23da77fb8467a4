"""The records that tracking sends to MLflow: plain data, which can be sent to another process and stored in a file.

A fit puts records into an outbox, in order, and a store sends them; records that cannot be sent are written to a file
and sent later. `run` is an identifier of our own, which is known before the server has created the run; the store maps
it to MLflow's ID.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def now() -> int:
    """Return the time in milliseconds since the epoch, MLflow's unit."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class CreateRun:
    """Create a run with `run` as its tag ``skmlp.id``.

    Attributes
    ----------
    experiment, experiment_id : str or None
        Name of the experiment, which is created if needed, or its ID. By default that of the parent.
    parent : str or None
        Identifier of the parent run.
    start : int
        Start time in milliseconds since the epoch.
    wait : float
        Seconds to wait for another process that is about to create the same run.
    resume, within : str or None
        MLflow's ID of an existing run to use instead, or as the parent. It is ignored if it does not exist or is not in
        `experiment`.
    """

    run: str
    name: str
    experiment: str | None
    experiment_id: str | None
    parent: str | None
    start: int
    tags: dict[str, str]
    wait: float = 0.0
    resume: str | None = None
    within: str | None = None


@dataclass(frozen=True)
class AdoptRun:
    """Use the existing run with MLflow's ID `run_id` for `run`.

    A `foreign` run was not created by skmlp, so that its parameters must not be changed.
    """

    run: str
    run_id: str
    foreign: bool = True


@dataclass(frozen=True)
class LogChildren:
    """Log metrics to the existing runs nested in `run`, by the value of their tag ``skmlp.child``."""

    run: str
    metrics: dict[str, list[list[Any]]]


@dataclass(frozen=True)
class Log:
    """Log metrics as ``[key, value, milliseconds, step]``, parameters and tags."""

    run: str
    metrics: list[list[Any]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LogDataset:
    """Log the training data: name, digest, schema and profile of MLflow's dataset entity."""

    run: str
    name: str
    digest: str
    schema: str
    profile: str


@dataclass(frozen=True)
class Artifact:
    """Store a file with a run; `content` is text, or base64 if `binary`."""

    run: str
    path: str
    content: str
    binary: bool = False


@dataclass(frozen=True)
class TrainingFiles:
    """Store history, statistics and configuration of a fit; the sending process creates tables and figures from them.

    `title`, `facts` and `diagnosis_html` are for the report, `configuration` and `diagnosis` for JSON files. `tables`
    are further ones, by name, with ``columns`` and ``rows``. `members` are the losses of the members of a tabular
    estimator, for the picture of the history.
    """

    run: str
    title: str
    history: dict[str, list[Any]]
    monitor: dict[str, list[Any]]
    configuration: dict[str, Any]
    facts: dict[str, str]
    diagnosis: list[dict[str, Any]]
    diagnosis_html: str
    tables: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    members: list[dict[str, list[float]]] = field(default_factory=list)


@dataclass(frozen=True)
class EndRun:
    """End a run with status ``"FINISHED"``, ``"FAILED"`` or ``"KILLED"``.

    With `children`, its children that are still running end with the same status.
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
    """Return the record as a dict for JSON, without copies of its values."""
    return {"record": type(record).__name__, **vars(record)}


def from_dict(values: Mapping[str, Any]) -> Record:
    """Return the record of a dict from :func:`as_dict`."""
    fields = dict(values)
    if "patience" in fields:  # the name of `wait` in files that earlier versions wrote
        fields["wait"] = fields.pop("patience")
    record: Record = _KINDS[fields.pop("record")](**fields)
    return record
