"""Sending of records to an MLflow store. Only this module calls MLflow's client during a fit."""

import base64
import getpass
import hashlib
import os
import posixpath
import re
import sys
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from skmlp.tracking.addresses import is_server, masked
from skmlp.tracking.artifacts import files_of_training
from skmlp.tracking.clients import new_client
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

# Tag with the identifier of a run, by which a second attempt to create the run finds the first one.
ID_TAG = "skmlp.id"
PARENT_TAG = "mlflow.parentRunId"
# Tag that identifies a run among the children of its parent.
CHILD_TAG = "skmlp.child"
# Seconds for a server to answer a probe.
PROBE_TIMEOUT = 2.0

# Codes of MLflow's exceptions that are about the state of the server, not about the request.
_TRANSIENT = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "CANCELLED",
}
# Codes that are about the content of a request.
_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
# Values of parameters and tags are truncated here, else the server would reject them; older servers allow less.
_PARAM_LENGTH, _TAG_LENGTH, _SHORT_LENGTH = 6000, 5000, 250
_KINDS = {"metrics": "metric", "params": "parameter", "tags": "tag"}
# Forbidden characters in names, and the maximum length.
_FORBIDDEN = re.compile(r"[^/\w.\- ]" if os.name == "nt" else r"[^/\w.\- :]")
_NAME_LENGTH = 250


def is_transient(error: Exception) -> bool:
    """Return whether the same call may succeed later."""
    if hasattr(error, "transient"):
        return bool(error.transient)
    code = getattr(error, "error_code", None)
    return code in _TRANSIENT if isinstance(code, str) else isinstance(error, OSError)


def default_uri() -> str:
    """Return MLflow's current tracking URI."""
    import mlflow

    uri: str = mlflow.get_tracking_uri()
    return uri


def why_unreachable(uri: str) -> str | None:
    """Probe a server; return why it does not answer, or None if it does.

    The probe uses the certificates, users and proxies of MLflow's own calls, but has a short timeout, while they retry
    for minutes. Other stores are always reachable.
    """
    if not is_server(uri):
        return None
    try:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request
    except ImportError:  # undocumented, and moved in another version
        return None
    try:
        login = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        response = http_request(  # type: ignore[no-untyped-call]
            login, "/health", "GET", max_retries=0, timeout=PROBE_TIMEOUT, raise_on_status=False
        )
    except Exception as error:
        cause: BaseException = error
        while (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        return masked(str(cause)) or type(cause).__name__
    # Other errors are answers of the server, for example that a password is missing.
    is_gateway_error = response.status_code in (502, 503, 504)
    return f"HTTP status {response.status_code}" if is_gateway_error else None


class NotYetError(Exception):
    """A run that another process is about to create does not exist yet."""


class RefusedError(Exception):
    """The store refused some items of a record, `n_metrics` of them metric values. It has taken the others."""

    transient = False

    def __init__(self, refused: list[str], n_metrics: int = 0) -> None:
        super().__init__("; ".join(refused))
        self.refused = refused
        self.n_metrics = n_metrics


class Store:
    """An MLflow store, with the IDs of its runs by identifier.

    Attributes
    ----------
    retry : bool
        Look for a run before creating it: an earlier attempt may have succeeded although its answer was lost.
    wait : bool
        Raise NotYetError when a run is missing that another process is about to create. The caller tries again, and
        between two attempts the other process can use the store.
    """

    def __init__(self, uri: str, *, retry: bool = False) -> None:
        self.uri = uri
        self.retry = retry
        self.wait = False
        self.runs: dict[str, str] = {}
        self.foreign: set[str] = set()
        self._experiments: dict[str, str] = {}
        self._client: Any = None

    def send(self, record: Record) -> None:
        """Process a record.

        Raise RefusedError when the store takes only a part of it, and KeyError when its run was never created.
        """
        if self._client is None:
            self._client = new_client(self.uri)
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
                self._log_children(record)
            case LogDataset():
                self._log_dataset(record)
            case Artifact():
                self._log_artifact(record)
            case TrainingFiles():
                for each in files_of_training(record):
                    self.send(each)
            case EndRun():
                self._end(record)

    def _create(self, record: CreateRun) -> None:
        if record.run in self.runs:
            return
        named = self._named_run(record)
        if named is not None and record.resume is not None:
            self._resume(record.run, named.info.run_id)
            return
        experiment_id = named.info.experiment_id if named is not None else self._experiment_of(record)
        may_exist = record.wait > 0.0
        if self.retry or may_exist:
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
        if self.wait and (may_exist or (record.parent is not None and parent is None)):
            raise NotYetError(record.run)
        run = self._client.create_run(
            experiment_id, start_time=record.start, tags=_tags(tags), run_name=record.name[:_NAME_LENGTH]
        )
        first: str = run.info.run_id
        if may_exist:  # another process may have stopped waiting at the same time
            first = self._find(record.run, experiment_id) or first
            if first != run.info.run_id:
                self._client.delete_run(run.info.run_id)
        self.runs[record.run] = first

    def _named_run(self, record: CreateRun) -> Any:
        """Return the run to resume or to nest in, or None if it does not exist or is in another experiment."""
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
        """Use an existing run for `run`, and tag it, since nested runs look for it by its tag."""
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
        """Return MLflow's ID of the first run with this identifier."""
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
            try:
                self._experiments[name] = (
                    experiment.experiment_id if experiment else self._client.create_experiment(name)
                )
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

    def _log(self, record: Log) -> None:
        from mlflow.entities import Param, RunTag

        run_id = self.runs[record.run]
        params = {valid_name(key): value[:_PARAM_LENGTH] for key, value in record.params.items()}
        if params and record.run in self.foreign:
            # Parameters cannot be changed, and one conflict would reject the others.
            existing = self._client.get_run(run_id).data.params
            params = {key: value for key, value in params.items() if key not in existing}
        self._log_batch(
            run_id,
            metrics=_metrics(record.metrics),
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in _tags(record.tags).items()],
        )

    def _log_children(self, record: LogChildren) -> None:
        refused: dict[str, None] = {}
        for child in self._children(record.run):
            metrics = record.metrics.get(child.data.tags.get(CHILD_TAG, ""), ())
            if metrics:
                try:
                    self._log_batch(child.info.run_id, metrics=_metrics(metrics))
                except RefusedError as error:
                    refused |= dict.fromkeys(error.refused)
        if refused:
            raise RefusedError(list(refused))

    def _log_batch(self, run_id: str, **batch: list[Any]) -> None:
        """Log metrics, parameters and tags; if some are refused, log the others."""
        try:
            self._client.log_batch(run_id, **batch)
        except Exception as error:
            if not (_is_refusal(error) and self._client.get_run(run_id).info.lifecycle_stage == "active"):
                raise
            self._log_one_by_one(run_id, batch)

    def _log_one_by_one(self, run_id: str, batch: dict[str, list[Any]]) -> None:
        """Log each parameter, each tag and all values of each metric separately."""
        refused, n_metrics = [], 0
        for kind, items in batch.items():
            for key in dict.fromkeys(item.key for item in items):
                values = [item for item in items if item.key == key]
                reason = self._refusal(run_id, kind, values)
                if reason is not None:
                    refused.append(f"the {_KINDS[kind]} {key!r} ({reason})")
                    n_metrics += len(values) if kind == "metrics" else 0
        if refused:
            raise RefusedError(refused, n_metrics)

    def _refusal(self, run_id: str, kind: str, items: list[Any]) -> str | None:
        """Log items of one name, truncated if necessary; return why they are refused, or None if they are not."""
        try:
            self._client.log_batch(run_id, **{kind: items})
        except Exception as error:
            if not _is_refusal(error):
                raise
            if kind == "metrics" or len(items[0].value) <= _SHORT_LENGTH:
                return _first_line(error)
            short = type(items[0])(items[0].key, items[0].value[:_SHORT_LENGTH])
            return self._refusal(run_id, kind, [short])
        return None

    def _log_dataset(self, record: LogDataset) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow requires a source, which arrays and frames do not have.
        dataset = Dataset(
            name=record.name,
            digest=record.digest,
            source_type="code",
            source='{"tags": {}}',
            schema=record.schema,
            profile=record.profile,
        )
        context = InputTag("mlflow.data.context", "training")
        try:
            self._client.log_inputs(self.runs[record.run], datasets=[DatasetInput(dataset, [context])])
        except Exception as error:
            if not _is_refusal(error):
                raise
            raise RefusedError([f"the dataset ({_first_line(error)})"]) from error

    def _log_artifact(self, record: Artifact) -> None:
        folder, _, name = record.path.rpartition("/")
        content = base64.b64decode(record.content) if record.binary else record.content.encode()
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, name)
            file.write_bytes(content)
            self._client.log_artifact(self.runs[record.run], str(file), folder or None)


def _is_refusal(error: Exception) -> bool:
    """Return whether a call failed because of its content, not because of the state of the store."""
    return getattr(error, "error_code", None) in _REFUSALS


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return masked(lines[0])[:200]


@lru_cache(maxsize=10_000)
def valid_name(name: str) -> str:
    """Return `name`, or a similar name that MLflow allows for a metric, a parameter or a tag.

    MLflow allows letters, digits, spaces and ``/_.-:`` (no colon on Windows), and only normalized paths, for example
    without ``//``. The replacement ends with a digest of `name`, so that different names remain different.
    """
    allowed = _FORBIDDEN.sub("_", name)
    path = posixpath.normpath(allowed)
    if name == allowed == path and not path.startswith(("/", "..")) and path != "." and len(name) <= _NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{path.lstrip('/.')[: _NAME_LENGTH - 7]}-{digest}"


def _metrics(rows: Iterable[list[Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(valid_name(key), value, timestamp, step) for key, value, timestamp, step in rows]


def origin() -> dict[str, str]:
    """Return the tags with the user and the program, as MLflow sets them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # unknown user in a container
        user = "unknown"
    source = sys.argv[0] if sys.argv and sys.argv[0] else sys.executable
    return {"mlflow.user": user, "mlflow.source.name": source, "mlflow.source.type": "LOCAL"}


def _tags(tags: dict[str, str]) -> dict[str, str]:
    return {valid_name(key): value[:_TAG_LENGTH] for key, value in tags.items()}
