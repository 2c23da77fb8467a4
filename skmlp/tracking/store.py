"""Sending records to an MLflow store: the only place where the tracking of a fit calls MLflow's client."""

import base64
import getpass
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from skmlp.tracking.artifacts import files_of_training
from skmlp.tracking.journal import (
    AdoptRun,
    Artifact,
    CreateRun,
    EndRun,
    Log,
    LogChildren,
    LogDataset,
    Record,
    TrainingFiles,
)

__all__ = [
    "CHILD_TAG",
    "ID_TAG",
    "PROBE_TIMEOUT",
    "NotYetError",
    "Store",
    "default_uri",
    "is_reachable",
    "is_server",
    "is_transient",
    "origin",
]

# Where a run keeps our identifier, by which a second attempt to create it finds the first.
ID_TAG = "skmlp.id"
PARENT_TAG = "mlflow.parentRunId"
# Which of its parent's children a run is.
CHILD_TAG = "skmlp.child"
# Seconds a server has for answering that it is alive.
PROBE_TIMEOUT = 2.0

# Codes of MLflow's exceptions that speak of the server's state, not of the request.
_TRANSIENT = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "CANCELLED",
}
# Values of parameters and tags are cut here rather than rejected by the server.
_PARAM_LENGTH, _TAG_LENGTH = 6000, 5000


def is_transient(error: Exception) -> bool:
    """Tell whether the same call may succeed later."""
    if hasattr(error, "transient"):
        return bool(error.transient)
    code = getattr(error, "error_code", None)
    return code in _TRANSIENT if isinstance(code, str) else isinstance(error, OSError)


def default_uri() -> str:
    """Return where MLflow stores without being told."""
    import mlflow

    uri: str = mlflow.get_tracking_uri()
    return uri


def is_server(uri: str) -> bool:
    """Tell whether a tracking URI is that of a server."""
    return uri.startswith(("http://", "https://"))


def is_reachable(uri: str) -> bool:
    """Ask a server whether it is alive; other stores always count as reachable.

    The question is cheap and has a short time limit, while MLflow's own calls go on trying for minutes.
    """
    if not is_server(uri):
        return True
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT):
            return True
    except urllib.error.HTTPError:
        return True  # somebody answered
    except (OSError, ValueError):
        return False


class NotYetError(Exception):
    """A run that somebody else is about to make is not there yet."""


class Store:
    """One MLflow store, and which of its runs stand behind our identifiers.

    Parameters
    ----------
    uri : str
        Tracking URI.
    client_factory : callable, optional
        ``client_factory(uri)`` returns what to use for a ``mlflow.MlflowClient``.
    retry : bool, default=False
        Look for a run before creating it: an earlier attempt may have succeeded unnoticed.
    wait : bool, default=False
        Refuse to go on without a run that somebody else is about to make. Who asks again lets others come between,
        perhaps the one who makes it.
    """

    def __init__(
        self,
        uri: str,
        client_factory: Callable[[str], Any] | None = None,
        *,
        retry: bool = False,
        wait: bool = False,
    ) -> None:
        self.uri = uri
        self.retry = retry
        self.wait = wait
        self.runs: dict[str, str] = {}
        self.foreign: set[str] = set()
        self._experiments: dict[str, str] = {}
        self._client_factory = client_factory or _new_client
        self._client: Any = None

    def send(self, record: Record) -> None:
        """Carry out one record.

        Raises
        ------
        KeyError
            When the record is about a run that was never created.
        NotYetError
            See `wait`.
        mlflow.exceptions.MlflowException
            When the store rejects it or does not answer.
        """
        if self._client is None:
            self._client = self._client_factory(self.uri)
        match record:
            case CreateRun():
                self._create(record)
            case AdoptRun():
                self.runs[record.run] = record.run_id
                if record.foreign:
                    self.foreign.add(record.run)
            case Log():
                self._log(record)
            case LogChildren():
                for child in self._children(record.run):
                    metrics = record.metrics.get(child.data.tags.get(CHILD_TAG, ""), ())
                    if metrics:
                        self._client.log_batch(child.info.run_id, metrics=_metrics(metrics))
            case LogDataset():
                self._log_dataset(record)
            case Artifact():
                self._log_artifact(record)
            case TrainingFiles():
                for each in files_of_training(record):
                    self.send(each)
            case EndRun():
                self._end(record)

    # ------------------------------------------------------------------ beginning and ending runs

    def _create(self, record: CreateRun) -> None:
        if record.run in self.runs:
            return
        named = self._named_run(record)
        if named is not None and record.resume is not None:
            self._resume(record.run, named.info.run_id)
            return
        experiment_id = named.info.experiment_id if named is not None else self._experiment_of(record)
        others_may = record.patience > 0.0
        if self.retry or others_may:
            found = self._find(record.run, experiment_id)
            if found is not None:
                self.runs[record.run] = found
                return
        tags = {ID_TAG: record.run, **origin(), **record.tags}
        parent = None
        if record.parent is not None:
            parent = self.runs.get(record.parent) or self._find(record.parent, experiment_id)
        elif named is not None:
            parent = named.info.run_id
        if parent is not None:
            tags[PARENT_TAG] = parent
        if self.wait and (others_may or (record.parent is not None and parent is None)):
            raise NotYetError(record.run)
        run = self._client.create_run(experiment_id, start_time=record.start, tags=_cut(tags), run_name=record.name)
        first: str = run.info.run_id
        if others_may:  # another process may have lost its patience at the same time
            first = self._find(record.run, experiment_id) or first
            if first != run.info.run_id:
                self._client.delete_run(run.info.run_id)
        self.runs[record.run] = first

    def _named_run(self, record: CreateRun) -> Any:
        """Return the run to go on with or to be nested in; None if there is none, or in another experiment."""
        run_id = record.resume or record.within
        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except Exception as error:
            if is_transient(error):
                raise
            return None
        if run.info.lifecycle_stage != "active":
            return None
        if record.experiment not in (None, self._client.get_experiment(run.info.experiment_id).name):
            return None
        return run

    def _resume(self, run: str, run_id: str) -> None:
        """Let a run that is there stand for `run`, whose nested runs may look for it by its tag."""
        self._client.update_run(run_id, status="RUNNING")
        self._client.set_tag(run_id, ID_TAG, run)
        self.runs[run] = run_id
        self.foreign.add(run)

    def _experiment_of(self, record: CreateRun) -> str:
        if record.experiment_id is not None:
            return record.experiment_id
        if record.experiment is None and record.parent in self.runs:
            experiment_id: str = self._client.get_run(self.runs[record.parent]).info.experiment_id
            return experiment_id
        return self._experiment_id(record.experiment or "Default")

    def _find(self, run: str, experiment_id: str) -> str | None:
        """Return MLflow's ID of the first run with our identifier."""
        found = self._client.search_runs(
            [experiment_id], f"tags.`{ID_TAG}` = '{run}'", order_by=["attributes.start_time ASC"], max_results=1
        )
        return found[0].info.run_id if found else None

    def _children(self, run: str) -> list[Any]:
        run_id = self.runs[run]
        experiment_id = self._client.get_run(run_id).info.experiment_id
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'", max_results=1000, page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _experiment_id(self, name: str) -> str:
        if name not in self._experiments:
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                try:
                    self._experiments[name] = self._client.create_experiment(name)
                    return self._experiments[name]
                except Exception:
                    experiment = self._client.get_experiment_by_name(name)  # another process was faster
                    if experiment is None:
                        raise
            self._experiments[name] = experiment.experiment_id
        return self._experiments[name]

    def _end(self, record: EndRun) -> None:
        if record.children:
            for child in self._children(record.run):
                if child.info.status == "RUNNING":
                    self._client.set_terminated(child.info.run_id, status=record.status, end_time=record.end)
        self._client.set_terminated(self.runs[record.run], status=record.status, end_time=record.end)

    # ------------------------------------------------------------------ what runs hold

    def _log(self, record: Log) -> None:
        from mlflow.entities import Param, RunTag

        run_id = self.runs[record.run]
        params = record.params
        if params and record.run in self.foreign:
            # Parameters cannot be changed, and one clash would reject the rest: what its owner logged stands.
            there = self._client.get_run(run_id).data.params
            params = {key: value for key, value in params.items() if key not in there}
        self._client.log_batch(
            run_id,
            metrics=_metrics(record.metrics),
            params=[Param(key, value[:_PARAM_LENGTH]) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in _cut(record.tags).items()],
        )

    def _log_dataset(self, record: LogDataset) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # The source is code, not a file or a table: arrays and frames do not tell where they are from.
        dataset = Dataset(
            name=record.name,
            digest=record.digest,
            source_type="code",
            source='{"tags": {}}',
            schema=record.schema,
            profile=record.profile,
        )
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self.runs[record.run], datasets=[DatasetInput(dataset, [context])])

    def _log_artifact(self, record: Artifact) -> None:
        folder, _, name = record.path.rpartition("/")
        content = base64.b64decode(record.content) if record.binary else record.content.encode()
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, name)
            file.write_bytes(content)
            self._client.log_artifact(self.runs[record.run], str(file), folder or None)


def _metrics(rows: Iterable[list[Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(key, value, timestamp, step) for key, value, timestamp, step in rows]


def _new_client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def origin() -> dict[str, str]:
    """Return the tags by which MLflow's interface shows who ran what."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        user = "unknown"
    source = sys.argv[0] if sys.argv and sys.argv[0] else sys.executable
    return {"mlflow.user": user, "mlflow.source.name": source, "mlflow.source.type": "LOCAL"}


def _cut(tags: dict[str, str]) -> dict[str, str]:
    return {key: value[:_TAG_LENGTH] for key, value in tags.items()}
