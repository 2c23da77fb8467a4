"""The process that sends records: its answers, its end, its environment, and second attempts."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from skmlp.tracking import sender as sender_module
from skmlp.tracking.journal import CreateRun, EndRun, Log
from skmlp.tracking.sender import RemoteStore, SendError


def _create(run: str = "run", parent: str | None = None, wait: float = 0.0) -> CreateRun:
    return CreateRun(run, run, "test", None, parent, 1, {}, wait)


def _runs(uri: str) -> list[Any]:
    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name("test").experiment_id]))


def test_a_created_run_is_known_by_its_mlflow_id(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    store.send(Log("run", [["m", 1.0, 5, 1]], {"p": "v"}))
    (run,) = _runs(sqlite_uri)
    assert store.runs == {"run": run.info.run_id}
    assert run.data.metrics == {"m": 1.0}


def test_an_error_says_whether_the_record_can_be_sent_again(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    with pytest.raises(SendError, match="KeyError") as unknown:
        store.send(Log("unknown", [["m", 1.0, 5, 1]]))
    assert not unknown.value.transient
    store.send(_create())
    with pytest.raises(SendError, match=r"the metric 'm'.*nonnegative") as refused:
        store.send(Log("run", [["m", 1.0, -5, 1]]))
    assert not refused.value.transient
    assert len(refused.value.refused) == 1
    store.send(Log("run", [["m", 1.0, 5, 1]]))  # the process still works


class FakeProcess:
    has_ended = False

    def ask(self, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        assert not self.has_ended
        return {"uri": request["uri"], "runs": {"run": "id"}}

    def kill(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        assert self.has_ended


def test_only_a_busy_process_is_ended_and_the_next_record_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    sender: Any = sender_module._Sender()
    monkeypatch.setattr(sender_module, "_sender", sender)
    monkeypatch.setattr(sender_module, "_Process", FakeProcess)
    store = RemoteStore("store")
    store.send(_create())
    process = sender._process
    store.reconnected()  # no answer is awaited
    assert not process.has_ended
    with sender._one_at_a_time:  # as while an answer is awaited
        other = store.reconnected()
    assert process.has_ended
    other.send(Log("run", [["m", 1.0, 5, 1]]))
    assert sender._process is not process
    assert other.runs == {"run": "id"}


def test_a_second_attempt_finds_the_run_of_the_first(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an attempt whose answer was lost."""
    store = RemoteStore(sqlite_uri)
    ask = sender_module._sender.ask

    def lost(request: dict[str, Any]) -> dict[str, Any]:
        ask(request)
        raise SendError("no answer", transient=True)

    with monkeypatch.context() as patch:
        patch.setattr(sender_module._sender, "ask", lost)
        with pytest.raises(SendError, match="no answer"):
            store.send(_create())
    assert store.runs == {}
    store.send(_create())
    (run,) = _runs(sqlite_uri)
    assert store.runs == {"run": run.info.run_id}


def test_a_record_is_sent_to_the_current_store(sqlite_uri: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may have been started before the user chose a store."""
    RemoteStore(sqlite_uri).send(_create("before"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # where the default store would be another one
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri)
    store = RemoteStore(None)
    store.send(_create("after"))
    assert store.uri == sqlite_uri
    assert {run.info.run_name for run in _runs(sqlite_uri)} == {"before", "after"}


def test_the_default_store_is_in_the_current_folder(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        RemoteStore(None).send(_create(name))
        assert [run.info.run_name for run in _runs(f"sqlite:///{tmp_path / name / 'mlflow.db'}")] == [name]


def test_waiting_for_a_run_does_not_block_its_creation(sqlite_uri: str) -> None:
    """Both use the same process, and the one that waits was first."""
    waiting, making = RemoteStore(sqlite_uri), RemoteStore(sqlite_uri)
    thread = threading.Thread(target=waiting.send, args=(_create(wait=60.0),))
    thread.start()
    making.send(_create())
    thread.join(60.0)
    assert not thread.is_alive()
    (run,) = _runs(sqlite_uri)
    assert waiting.runs == making.runs == {"run": run.info.run_id}


def test_a_child_waits_for_its_parent(sqlite_uri: str) -> None:
    child, parent = RemoteStore(sqlite_uri), RemoteStore(sqlite_uri)
    thread = threading.Thread(target=child.send, args=(_create("child", "parent"),))
    thread.start()
    parent.send(_create("parent"))
    thread.join(60.0)
    runs = {run.info.run_name: run for run in _runs(sqlite_uri)}
    assert runs["child"].data.tags["mlflow.parentRunId"] == runs["parent"].info.run_id


def test_the_wait_for_a_parent_is_limited(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "PARENT_TIMEOUT", 0.5)
    store = RemoteStore(sqlite_uri)
    store.send(_create("child", "missing"))
    assert "mlflow.parentRunId" not in _runs(sqlite_uri)[0].data.tags


def test_the_source_tag_is_the_program_of_the_user(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    RemoteStore(sqlite_uri).send(_create())
    assert _runs(sqlite_uri)[0].data.tags["mlflow.source.name"] == "train.py"
    assert os.getpid() != sender_module._sender._process.popen.pid  # type: ignore[union-attr]


def test_a_fork_waits_for_the_start_of_a_process() -> None:
    """Otherwise the child would inherit locks of the standard library that are never released in it."""
    sender = sender_module._Sender()
    with sender._starting:
        fork = threading.Thread(target=sender.before_fork)
        fork.start()
        fork.join(0.05)
        assert fork.is_alive()
    fork.join()
    assert not sender._starting.acquire(blocking=False)  # no start while the process is being copied
    sender.after_fork()
    assert sender._starting.acquire(blocking=False)


def test_forks_are_blocked_during_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = sender_module._Sender()
    held: list[bool] = []

    def start() -> Any:
        held.append(sender._starting.locked())
        raise SendError("no process", transient=False)

    monkeypatch.setattr(sender, "_start", start)
    with pytest.raises(SendError, match="no process"):
        sender.ask({})
    assert held == [True]
    assert not sender._starting.locked()


def test_the_process_does_not_import_modules_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("getpass", "random", "skmlp"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('imported').touch()\n")
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tmp_path))
    sender = sender_module._Sender()
    monkeypatch.setattr(sender_module, "_sender", sender)
    away = RemoteStore("http://127.0.0.1:9")
    assert not away.is_reachable()
    assert "refused" in away.silence  # answered after all imports
    process = sender._process
    assert process is not None
    sender.end()
    process.close()
    assert process.popen.poll() is not None
    assert not (tmp_path / "imported").exists()


def test_the_working_folder_is_last_in_the_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "first"), "", *sys.path])
    path = sender_module._import_path()
    assert path[0] == str(tmp_path / "first")
    assert path.index(str(tmp_path)) > path.index(os.path.dirname(os.__file__))  # the working folder
    assert set(filter(None, sys.path)) <= set(path)
    monkeypatch.setattr(sender_module.skmlp, "__file__", str(tmp_path / "skmlp" / "__init__.py"))
    assert sender_module._import_path()[0] == str(tmp_path)  # otherwise another skmlp could be imported


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to others")
def test_ctrl_c_does_not_end_the_process(sqlite_uri: str) -> None:
    """A terminal sends it to all processes of its group."""
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    process = sender_module._sender._process
    assert process is not None
    assert os.getpgid(process.popen.pid) != os.getpgid(0)
    process.popen.send_signal(signal.SIGINT)
    store.send(EndRun("run", "KILLED", 9))
    assert sender_module._sender._process is process
    assert [run.info.status for run in _runs(sqlite_uri)] == ["KILLED"]


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to others")
def test_open_runs_of_a_killed_process_end_as_killed(sqlite_uri: str) -> None:
    # For the sending process SIGTERM and SIGKILL are the same: its input ends.
    code = (
        "import os, signal, sys\n"
        "from skmlp.tracking.journal import AdoptRun, CreateRun, EndRun, Log\n"
        "from skmlp.tracking.sender import RemoteStore\n"
        "store = RemoteStore(sys.argv[1])\n"
        "for run in ('done', 'running', 'mine'):\n"
        "    store.send(CreateRun(run, run, 'test', None, None, 1, {}))\n"
        "store.send(EndRun('done', 'FINISHED', 5))\n"
        "store.send(EndRun('mine', 'RUNNING', 5))\n"
        "store.send(AdoptRun('foreign', store.runs['mine']))\n"
        "store.send(Log('foreign', tags={'a': 'b'}))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, sqlite_uri], check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGTERM, ended.stderr
    expected = {"done": "FINISHED", "running": "KILLED", "mine": "RUNNING"}  # the process that owns it ends it
    deadline = time.monotonic() + 60.0
    while (found := {run.info.run_name: run.info.status for run in _runs(sqlite_uri)}) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    running = next(run for run in _runs(sqlite_uri) if run.info.run_name == "running")
    assert running.data.tags["skmlp.error"] == "the training process was killed"


def test_a_probe_is_answered_while_a_record_is_sent(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    with sender_module._sender._one_at_a_time:
        assert store.is_reachable()
        away = RemoteStore("http://127.0.0.1:9")  # nothing listens on the discard port
        assert not away.is_reachable()
    assert "refused" in away.silence


def test_a_probe_uses_the_current_environment(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    RemoteStore(sqlite_uri).send(_create())
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", "no-such-certificate.pem")
    asked = RemoteStore("https://127.0.0.1:9")
    assert not asked.is_reachable()
    assert "no-such-certificate.pem" in asked.silence


def test_a_deleted_working_folder_does_not_matter(sqlite_uri: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    RemoteStore(sqlite_uri).send(_create())
    monkeypatch.chdir(tmp_path)
    assert len(_runs(sqlite_uri)) == 1
