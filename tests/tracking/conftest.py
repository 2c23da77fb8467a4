"""Fixtures of the tracking tests: a client in memory, a SQLite store, a real server, a line to it that can be cut."""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

if importlib.util.find_spec("mlflow") is None:
    collect_ignore_glob = ["test_*.py"]  # mlflow is not installed: pip install -e '.[mlflow]'

# mlflow.set_tracking_uri and set_experiment leave these behind.
LEFT_BEHIND = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")
IGNORED = (
    "ignore::DeprecationWarning",  # MLflow 3.17 uses deprecated parts of SQLAlchemy and others
    "ignore::FutureWarning:mlflow",
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning",  # few epochs on purpose
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for each in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(each), append=False)


@pytest.fixture(autouse=True)
def mlflow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, and restore MLflow's global state afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in LEFT_BEHIND:
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None:
        while mlflow.active_run() is not None:
            mlflow.end_run()
        mlflow.set_tracking_uri(None)
        mlflow.tracking.fluent._active_experiment_id = None
    for name in LEFT_BEHIND:
        os.environ.pop(name, None)


# ---------------------------------------------------------------------- what a store holds


class Runs:
    """Reads runs through a client: ``mlflow.MlflowClient`` or :class:`FakeClient`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def all(self, experiment: str = "test") -> list[Any]:
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        return list(self.client.search_runs([found.experiment_id], order_by=["attributes.start_time"]))

    @staticmethod
    def parent(run: Any) -> Any:
        return run.data.tags.get("mlflow.parentRunId")

    def top(self, experiment: str = "test") -> Any:
        (run,) = (run for run in self.all(experiment) if self.parent(run) is None)
        return run

    def children(self, experiment: str = "test") -> list[Any]:
        top = self.top(experiment)
        runs = [run for run in self.all(experiment) if run.info.run_id != top.info.run_id]
        assert {self.parent(run) for run in runs} <= {top.info.run_id}
        return runs

    def curve(self, run: Any, metric: str = "loss/train") -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def steps(self, run: Any) -> list[int]:
        """Return the stored epochs of a run; an epoch stored twice appears twice."""
        return [step for step, _ in self.curve(run)]

    def files(self, run: Any, folder: str | None = None) -> list[str]:
        return sorted(each.path for each in self.client.list_artifacts(run.info.run_id, folder))

    def text(self, run: Any, path: str) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, path)).read_text(encoding="utf-8")

    def assert_complete(self, runs: list[Any], n_epochs: int = 4) -> None:
        """Check that the runs are finished and hold every epoch exactly once."""
        for run in runs:
            assert run.info.status == "FINISHED"
            assert self.steps(run) == list(range(1, n_epochs + 1))


class Page(list[Any]):
    token = None


class FakeClient:
    """The part of ``mlflow.MlflowClient`` that tracking uses, in memory, with MLflow's own checks of what it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.n_metrics = 0
        self._lock = threading.RLock()
        self._experiments: dict[str, Any] = {}
        self._runs: dict[str, Any] = {}
        self._points: dict[str, dict[tuple[Any, ...], Any]] = {}
        self.create_experiment("Default")

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(found):
            return found

        def locked(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.calls.append(name)
                return found(*args, **kwargs)

        return locked

    def create_experiment(self, name: str) -> str:
        experiment_id = str(len(self._experiments))
        self._experiments[experiment_id] = SimpleNamespace(
            experiment_id=experiment_id, name=name, lifecycle_stage="active", tags={}
        )
        return experiment_id

    def get_experiment(self, experiment_id: str) -> Any:
        return self._experiments[experiment_id]

    def get_experiment_by_name(self, name: str) -> Any:
        return next((each for each in self._experiments.values() if each.name == name), None)

    def search_experiments(self, **_: Any) -> list[Any]:
        return [each for each in reversed(self._experiments.values()) if each.lifecycle_stage == "active"]

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self._experiments[experiment_id].tags[key] = value

    def delete_experiment(self, experiment_id: str) -> None:
        self._experiments[experiment_id].lifecycle_stage = "deleted"

    def create_run(self, experiment_id: str, start_time: int = 0, tags: Any = None, run_name: str = "") -> Any:
        info = SimpleNamespace(
            run_id=uuid4().hex,
            run_name=run_name,
            experiment_id=experiment_id,
            status="RUNNING",
            start_time=start_time,
            lifecycle_stage="active",
        )
        data = SimpleNamespace(metrics={}, params={}, tags=dict(tags or {}))
        run = SimpleNamespace(info=info, data=data, inputs=SimpleNamespace(dataset_inputs=[]))
        self._runs[info.run_id], self._points[info.run_id] = run, {}
        return run

    def get_run(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

        if run_id not in self._runs:
            raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
        return self._runs[run_id]

    def search_runs(self, experiment_ids: list[str], filter_string: str = "", **how: Any) -> Page:
        runs = [run for run in self._runs.values() if run.info.experiment_id in experiment_ids]
        for key, value in re.findall(r"tags\.`(.+?)` = '(.*?)'", filter_string):
            runs = [run for run in runs if run.data.tags.get(key) == value]
        runs = sorted(runs, key=lambda run: run.info.start_time, reverse="DESC" in how.get("order_by", [""])[0])
        return Page(runs[: how.get("max_results")])

    def update_run(self, run_id: str, status: str) -> None:
        self._runs[run_id].info.status = status

    def set_terminated(self, run_id: str, status: str = "FINISHED", end_time: int | None = None) -> None:
        self._runs[run_id].info.status = status

    def delete_run(self, run_id: str) -> None:
        del self._runs[run_id]

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._runs[run_id].data.tags[key] = value

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self._runs[run_id].data.params[key] = value

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
        from mlflow.utils import validation

        metrics, params, tags = validation._validate_batch_log_data(metrics, params, tags)
        validation._validate_batch_log_limits(metrics, params, tags)
        data = self._runs[run_id].data
        for param in params:
            if data.params.get(param.key, param.value) != param.value:
                raise MlflowException("Changing param values is not allowed", INVALID_PARAMETER_VALUE)
        self.n_metrics += len(metrics)
        data.params.update({param.key: param.value for param in params})
        data.tags.update({tag.key: tag.value for tag in tags})
        for point in metrics:
            data.metrics[point.key] = point.value
            self._points[run_id][point.key, point.timestamp, point.step, str(point.value)] = point

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        return [point for point in self._points[run_id].values() if point.key == key]

    def log_inputs(self, run_id: str, datasets: Any) -> None:
        self._runs[run_id].inputs.dataset_inputs.extend(datasets)

    def log_artifact(self, run_id: str, path: str, folder: str | None = None) -> None:
        target = self.folder / run_id / (folder or "")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)

    def list_artifacts(self, run_id: str, folder: str | None = None) -> list[Any]:
        root = self.folder / run_id
        found = (root / (folder or "")).iterdir() if root.exists() else ()
        return [SimpleNamespace(path=path.relative_to(root).as_posix()) for path in found]

    def download_artifacts(self, run_id: str, path: str) -> str:
        return str(self.folder / run_id / path)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """A client in memory that all fits of this process send to, without pictures in their artifacts."""
    from skmlp.tracking import hooks, sender
    from skmlp.tracking.store import NotYetError, Store

    client = FakeClient(tmp_path / "artifacts of the fake")

    class InProcess(Store):
        is_server, silence = False, ""

        def __init__(self, uri: str | None) -> None:
            super().__init__(uri or "fake")
            self._client = client

        def is_reachable(self) -> bool:
            return True

        def send(self, record: Any) -> None:
            """Wait for a run that another thread is about to create, as RemoteStore does."""
            deadline = time.monotonic() + sender.PARENT_TIMEOUT
            while True:
                self.wait = time.monotonic() < deadline
                try:
                    super().send(record)
                except NotYetError:
                    time.sleep(0.01)
                else:
                    return

        def reconnected(self) -> "InProcess":
            return self

    monkeypatch.setattr(hooks, "RemoteStore", InProcess)
    monkeypatch.setattr("skmlp.tracking.artifacts._figures", lambda *_: ())
    return client


@pytest.fixture
def runs(fake: FakeClient) -> Runs:
    """Reads what fits have stored in memory."""
    return Runs(fake)


@pytest.fixture
def nothing_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the servers that did not answer earlier tests."""
    from skmlp.tracking.outbox import Outbox

    monkeypatch.setattr(Outbox, "_given_up", {})


# ---------------------------------------------------------------------- real stores


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, to be copied: creating them takes MLflow a second and a half."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with contextlib.chdir(path.parent):  # where MLflow puts the artifacts of the default experiment
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def _shared_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("shared") / "mlflow.db"
    shutil.copy(empty_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def sqlite_uri(_shared_store: str) -> Iterator[str]:
    """A SQLite store without experiments but the default one: shared, as connecting to another one takes long."""
    from mlflow import MlflowClient

    yield _shared_store
    client = MlflowClient(_shared_store)
    for experiment in client.search_experiments():
        if not experiment.name.startswith(("Default", "old-")):
            client.rename_experiment(experiment.experiment_id, f"old-{uuid4().hex}")


@pytest.fixture
def sqlite_runs(sqlite_uri: str) -> Runs:
    """Reads a SQLite store, which is MLflow's current one."""
    import mlflow

    mlflow.set_tracking_uri(sqlite_uri)
    return Runs(mlflow.MlflowClient(sqlite_uri))


class Server:
    """A tracking server over a SQLite store, started and ended as ``python -m skmlp.tracking dashboard`` does it."""

    def __init__(self, folder: Path, empty_store: Path) -> None:
        from skmlp.tracking import dashboard

        shutil.copy(empty_store, folder / "server.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        with contextlib.chdir(folder):
            self.process = dashboard._start_server(f"sqlite:///{folder / 'server.db'}", self.port)
        dashboard._wait_until_healthy(self.process, self.uri)

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        os.killpg(self.process.pid, number)


@pytest.fixture(scope="session")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server."""
    from skmlp.tracking import dashboard

    running = Server(tmp_path_factory.mktemp("server"), empty_store)
    yield running
    dashboard._end(running.process)
    assert running.process.returncode is not None


@pytest.fixture
def server_runs(server: Server) -> Runs:
    """Reads what the server has stored."""
    from mlflow import MlflowClient

    return Runs(MlflowClient(server.uri))


class Line:
    """A proxy of a server that can be cut and can lose the answer to a request, like a server that dies.

    Unlike a server, it restarts without delay.
    """

    def __init__(self, server: Server) -> None:
        self._server_port = server.port
        self._sockets: list[socket.socket] = []
        self.loses_answer_to = b""
        self._ignored: socket.socket | None = None
        self.port = 0
        self.connect()

    def connect(self) -> None:
        """Listen, at the same address as before the line was cut."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Close all connections, and refuse new ones."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [near, far]
                threading.Thread(target=self._forward, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(far, near, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_answer and source is self._ignored:
                    break
                if not is_answer and self.loses_answer_to and self.loses_answer_to in data:
                    self.loses_answer_to, self._ignored = b"", target
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    """A line to the server."""
    open_line = Line(server)
    yield open_line
    open_line.cut()
