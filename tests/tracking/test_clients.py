"""The first client of a store: several processes at once, and one that is killed while it creates the tables."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from skmlp.tracking import clients
from skmlp.tracking.clients import new_client

# With a client that creates its tables slowly, and rejects those that another one is creating, as MLflow's does.
CREATE = """
import sys, time, types
from pathlib import Path

class Client:
    def __init__(self, tracking_uri):
        path = Path(tracking_uri.removeprefix("sqlite:///"))
        if not path.exists():
            path.write_text("half")
            time.sleep(0.5)
            path.write_text("whole")
        assert path.read_text() == "whole"

    def search_experiments(self, **_):
        pass

sys.modules["mlflow"] = types.SimpleNamespace(MlflowClient=Client)
from skmlp.tracking.clients import new_client
print("ready", flush=True); sys.stdin.readline()
new_client(sys.argv[1])
"""


def test_processes_that_begin_at_once_create_one_complete_store(tmp_path: Path) -> None:
    uris = ["sqlite:///mlflow.db", f"sqlite:///{tmp_path / 'mlflow.db'}"]  # the same file
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for uri in uris
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=300.0)
        assert process.returncode == 0, errors
    assert (tmp_path / "mlflow.db").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_killed_process_leaves_no_incomplete_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow creates the tables one after the other."""
    file = tmp_path / "mlflow.db"

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            assert not file.exists()
            Path(tracking_uri.removeprefix("sqlite:///")).write_text("half of it")

        def search_experiments(self, **_: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("mlflow.MlflowClient", Client)
    with pytest.raises(KeyboardInterrupt):
        new_client(f"sqlite:///{file}")
    assert not file.exists()


def test_an_existing_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_text("new")
    target.write_text("old")
    for _ in ("links", "no links"):
        with pytest.raises(FileExistsError):
            clients._move_unless_there(source, target)
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    assert target.read_text() == "old"
    target.unlink()
    clients._move_unless_there(source, target)
    assert target.read_text() == "new"


def test_the_lock_of_an_address_excludes_others_of_the_same_address(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with clients._exclusive("address"):
            order.append("second")

    thread = threading.Thread(target=second)
    with clients._exclusive("address"), clients._exclusive("another address"):
        thread.start()
        thread.join(3 * clients.LOCK_INTERVAL)
        order.append("first")
    thread.join(60.0)
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////tmp/a.db", "/tmp/a.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("sqlite:///a.db?mode=ro", None),
        ("sqlite:///file:a.db", None),
        ("postgresql://host/db", None),
        ("./mlruns", None),
    ],
)
def test_sqlite_file_of_an_address(uri: str, name: str | None, tmp_path: Path) -> None:
    assert clients._sqlite_file(uri) == (None if name is None else tmp_path / name)
