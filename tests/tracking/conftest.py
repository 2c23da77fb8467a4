"""What the tests of the tracking start by themselves: SQLite stores, and a real server on the loopback address."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("mlflow") is None:
    collect_ignore_glob = ["test_*.py"]  # mlflow is not installed: pip install -e '.[mlflow]'

# mlflow.set_tracking_uri and set_experiment leave these behind.
LEFT_BEHIND = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")
# MLflow 3.17 uses parts of SQLAlchemy and others that are on their way out; none of it is ours.
IGNORED = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning:mlflow",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for each in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(each), append=False)


@pytest.fixture(autouse=True)
def mlflow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, and leave MLflow's global state as it was."""
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


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables: making them takes MLflow a second and a half."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def sqlite_uri(_empty_store: Path, tmp_path: Path) -> str:
    """A new SQLite store."""
    shutil.copy(_empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


class Server:
    """A tracking server of two processes over a SQLite store, which can be killed and started again."""

    def __init__(self, folder: Path, empty_store: Path) -> None:
        self.folder = folder
        self.store = f"sqlite:///{folder / 'server.db'}"
        shutil.copy(empty_store, folder / "server.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **quiet}, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 120.0
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start:\n{(self.folder / 'server.log').read_text()}")
            time.sleep(0.2)  # between two looks, for as long as it takes

    def answers(self) -> bool:
        """Return whether it is there."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2.0):
                return True
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Take it away without a warning."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def server(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs."""
    running = Server(tmp_path_factory.mktemp("server"), _empty_store)
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def _mortal_server(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), _empty_store)
    yield running
    running.kill()


@pytest.fixture
def own_server(_mortal_server: Server) -> Server:
    """A server that runs and may be killed or stopped; started anew for the next test if it was."""
    if not _mortal_server.answers():
        _mortal_server.kill()
        _mortal_server.start()
    return _mortal_server


@pytest.fixture
def stopped_server(_mortal_server: Server) -> Server:
    """A server that does not run yet. It takes seconds to start, so the tests that begin with it come first."""
    _mortal_server.kill()
    return _mortal_server
