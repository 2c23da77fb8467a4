"""The first client of a store: several processes at once, and one that is killed while it makes the tables."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from skmlp.tracking import clients
from skmlp.tracking.clients import new_client

# Wait for the others, so that all begin at the same moment.
BEGIN = (
    "import sys\n"
    "import mlflow.store.tracking.sqlalchemy_store\n"
    "from skmlp.tracking.clients import new_client\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
    "new_client(sys.argv[1]).create_experiment(sys.argv[2])\n"
)


def test_several_processes_make_one_whole_store(tmp_path: Path) -> None:
    """The same file by a relative and by an absolute address."""
    uris = ["sqlite:///mlflow.db", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, uri, f"number {i}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, uri in enumerate(uris)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, complaints = process.communicate(timeout=300.0)
        assert process.returncode == 0, complaints
    names = {each.name for each in MlflowClient(uris[1]).search_experiments()}
    assert names == {"Default", "number 0", "number 1"}
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process is killed while MLflow makes the tables, one after the other."""
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


def test_another_file_of_this_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_one_waits_for_the_other(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with clients._alone("address"):
            order.append("second")

    thread = threading.Thread(target=second)
    with clients._alone("address"), clients._alone("another address"):
        thread.start()
        thread.join(3 * clients.LOOK_INTERVAL)
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
def test_files_of_addresses(uri: str, name: str | None, tmp_path: Path) -> None:
    assert clients._sqlite_file(uri) == (None if name is None else tmp_path / name)
