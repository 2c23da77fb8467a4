"""The sending process and the store behind it: answers, ends, second attempts, and runs that nobody else ends."""

import os
import threading
from typing import Any

import pytest
from mlflow import MlflowClient

from skmlp.tracking import sender as sender_module
from skmlp.tracking.journal import CreateRun, EndRun, Log
from skmlp.tracking.sender import RemoteStore, SendError
from skmlp.tracking.store import Store


def _create(run: str = "run", parent: str | None = None, patience: float = 0.0, start: int = 1) -> CreateRun:
    return CreateRun(run, run, "test", None, parent, start, {}, patience)


def _runs(uri: str) -> list[Any]:
    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name("test").experiment_id]))


def test_a_run_is_made_and_known(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    store.send(Log("run", [["m", 1.0, 5, 1]], {"p": "v"}))
    (run,) = _runs(sqlite_uri)
    assert store.runs == {"run": run.info.run_id}
    assert run.data.metrics == {"m": 1.0}


def test_a_refusal_is_an_error_that_says_whether_to_try_again(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    with pytest.raises(SendError, match="KeyError") as unknown:
        store.send(Log("nobody", [["m", 1.0, 5, 1]]))
    assert not unknown.value.transient
    store.send(_create())
    with pytest.raises(SendError, match="Invalid value") as refused:
        store.send(Log("run", [["bad name!", 1.0, 5, 1]]))
    assert not refused.value.transient
    store.send(Log("run", [["m", 1.0, 5, 1]]))  # it goes on


def test_a_process_that_ended_is_replaced(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    process = sender_module._sender._process
    assert process is not None
    sender_module._sender.end()
    store.send(Log("run", [["m", 1.0, 5, 1]]))
    assert sender_module._sender._process is not process
    assert _runs(sqlite_uri)[0].data.metrics == {"m": 1.0}


def test_only_a_process_that_does_something_is_ended(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    sender = sender_module._sender
    process = sender._process
    assert process is not None
    RemoteStore("http://127.0.0.1:9").reconnected()  # nothing was asked of that server
    assert process.poll() is None
    with sender._one_at_a_time:  # as while an answer is waited for
        other = store.reconnected()
    assert process.poll() is not None
    other.send(Log("run", [["m", 1.0, 5, 1]]))
    assert _runs(sqlite_uri)[0].data.metrics == {"m": 1.0}


def test_a_second_attempt_finds_what_the_first_made(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the first may have been lost."""
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


def test_settings_of_this_moment_count(sqlite_uri: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may be older than the user's choice of a store."""
    RemoteStore(sqlite_uri).send(_create("before"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # where the default store would be another one
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri)
    store = RemoteStore(None)
    store.send(_create("after"))
    assert store.uri == sqlite_uri
    assert {run.info.run_name for run in _runs(sqlite_uri)} == {"before", "after"}


def test_the_default_store_is_in_the_folder_of_this_moment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        RemoteStore(None).send(_create(name))
        assert [run.info.run_name for run in _runs(f"sqlite:///{tmp_path / name / 'mlflow.db'}")] == [name]


def test_what_still_runs_ends_with_its_parent(sqlite_uri: str) -> None:
    store = Store(sqlite_uri)
    for run, parent in (("parent", None), ("done", "parent"), ("running", "parent"), ("other", None)):
        store.send(_create(run, parent))
    store.send(EndRun("done", "FINISHED", 5))
    store.send(EndRun("parent", "KILLED", 9, children=True))
    statuses = {run.info.run_name: run.info.status for run in _runs(sqlite_uri)}
    assert statuses == {"parent": "KILLED", "done": "FINISHED", "running": "KILLED", "other": "RUNNING"}


def test_two_that_lose_their_patience_keep_one_run(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look, find nothing, and make the run: the later one goes."""
    first, second = Store(sqlite_uri), Store(sqlite_uri)
    find, looks = Store._find, []

    def late(self: Store, run: str, experiment_id: str) -> str | None:
        looks.append(1)
        if len(looks) == 1:  # between the second one's look and its creation
            first.send(_create())
            return None
        return find(self, run, experiment_id)

    monkeypatch.setattr(Store, "_find", late)
    second.send(_create(patience=0.1, start=2))
    (run,) = _runs(sqlite_uri)
    assert first.runs == second.runs == {"run": run.info.run_id}


def test_waiting_for_a_run_lets_the_one_who_makes_it_through(sqlite_uri: str) -> None:
    """Both use the same sending process; the one that waits has asked first."""
    waiting, making = RemoteStore(sqlite_uri), RemoteStore(sqlite_uri)
    thread = threading.Thread(target=waiting.send, args=(_create(patience=60.0),))
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


def test_nobody_waits_for_ever(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create("child", "nobody"))
    assert "mlflow.parentRunId" not in _runs(sqlite_uri)[0].data.tags


def test_the_users_program_is_the_source(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    RemoteStore(sqlite_uri).send(_create())
    assert _runs(sqlite_uri)[0].data.tags["mlflow.source.name"] == "train.py"
    assert os.getpid() != sender_module._sender._process.pid  # type: ignore[union-attr]


def test_a_fork_waits_until_a_process_has_been_started() -> None:
    """Otherwise the child would inherit locks of the standard library that nobody releases in it."""
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


def test_a_start_holds_up_forks(monkeypatch: pytest.MonkeyPatch) -> None:
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
