"""The sending process and the store behind it: answers, ends, second attempts, and runs that nobody else ends."""

import os
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
from skmlp.tracking.journal import CreateRun, EndRun, Log, LogChildren
from skmlp.tracking.sender import RemoteStore, SendError
from skmlp.tracking.store import RefusedError, Store, valid_name


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
    with pytest.raises(SendError, match=r"the metric 'm'.*nonnegative") as refused:
        store.send(Log("run", [["m", 1.0, -5, 1]]))
    assert not refused.value.transient
    assert len(refused.value.left_out) == 1
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
    assert process.popen.poll() is None
    with sender._one_at_a_time:  # as while an answer is waited for
        other = store.reconnected()
    assert process.popen.poll() is not None
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


def test_nobody_waits_for_ever(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "PARENT_PATIENCE", 0.5)
    store = RemoteStore(sqlite_uri)
    store.send(_create("child", "nobody"))
    assert "mlflow.parentRunId" not in _runs(sqlite_uri)[0].data.tags


def test_the_users_program_is_the_source(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    RemoteStore(sqlite_uri).send(_create())
    assert _runs(sqlite_uri)[0].data.tags["mlflow.source.name"] == "train.py"
    assert os.getpid() != sender_module._sender._process.popen.pid  # type: ignore[union-attr]


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


def test_the_process_imports_nothing_from_the_working_folder(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("getpass", "random", "skmlp"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('imported').touch()\n")
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(tmp_path))
    sender_module._sender.end()
    RemoteStore(sqlite_uri).send(_create())
    assert len(_runs(sqlite_uri)) == 1
    assert not (tmp_path / "imported").exists()


def test_what_can_be_imported_here_can_be_imported_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "first"), "", *sys.path])
    path = sender_module._import_path()
    assert path[0] == str(tmp_path / "first")
    assert path.index(str(tmp_path)) > path.index(os.path.dirname(os.__file__))  # the working folder
    assert set(filter(None, sys.path)) <= set(path)
    monkeypatch.setattr(sender_module.skmlp, "__file__", str(tmp_path / "skmlp" / "__init__.py"))
    assert sender_module._import_path()[0] == str(tmp_path)  # else another skmlp might be imported there


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to others")
def test_ctrl_c_leaves_the_process_alone(sqlite_uri: str) -> None:
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
def test_runs_that_a_killed_process_left_open_end_as_killed(sqlite_uri: str) -> None:
    # To the sending process SIGTERM and SIGKILL are the same: nothing more comes from the other end.
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
    expected = {"done": "FINISHED", "running": "KILLED", "mine": "RUNNING"}  # whose run it is sees to it
    deadline = time.monotonic() + 60.0
    while (found := {run.info.run_name: run.info.status for run in _runs(sqlite_uri)}) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # between two looks, for as long as it takes
    running = next(run for run in _runs(sqlite_uri) if run.info.run_name == "running")
    assert running.data.tags["skmlp.error"] == "the process that trained was ended"


def test_a_server_can_be_asked_while_a_record_is_on_its_way(sqlite_uri: str) -> None:
    store = RemoteStore(sqlite_uri)
    store.send(_create())
    with sender_module._sender._one_at_a_time:
        assert store.is_reachable()
        away = RemoteStore("http://127.0.0.1:9")  # nothing listens on the discard port
        assert not away.is_reachable()
    assert "refused" in away.silence


def test_the_environment_of_this_moment_counts(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    RemoteStore(sqlite_uri).send(_create())
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", "no-such-certificate.pem")
    asked = RemoteStore("https://127.0.0.1:9")
    assert not asked.is_reachable()
    assert "no-such-certificate.pem" in asked.silence


def test_a_working_folder_that_is_gone_does_not_matter(sqlite_uri: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    RemoteStore(sqlite_uri).send(_create())
    monkeypatch.chdir(tmp_path)
    assert len(_runs(sqlite_uri)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "scale(all)__with_mean",
        "f1 (macro)",
        "a//b",
        "/a",
        "../a",
        "a/",
        ".",
        "",
        "%",
        "a\nb",
        "a" * 300,
        "loss/train",
        "a:b",
        "Größe",
        ".hidden",
        "a.b-c d_e/f",
    ],
)
def test_names_become_what_mlflow_allows(name: str) -> None:
    from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_param_name

    new = valid_name(name)
    _validate_param_name(new)
    assert new
    assert "\n" not in new
    assert len(new) <= MAX_ENTITY_KEY_LENGTH
    assert valid_name(new) == new


def test_names_that_are_allowed_stay_and_others_stay_different() -> None:
    for name in ("loss/train", "grad_norm/layer_01", "a.b-c d_e/f", ".hidden", "Größe"):
        assert valid_name(name) == name
    assert valid_name("scale(all)").startswith("scale_all_-")
    names = ["scale(all)", "scale[all]", "scale_all_", "a" * 300, "a" * 301, "/a", "a", "a//b", "a/b", "", "."]
    assert len({valid_name(name) for name in names}) == len(names)


def test_a_forbidden_name_costs_nothing(sqlite_uri: str) -> None:
    store = Store(sqlite_uri)
    store.send(CreateRun("run", "x" * 300, "test", None, None, 1, {"a (b)": "tag"}))
    store.send(Log("run", [["score (%)", 1.0, 5, 1], ["m", 2.0, 5, 1]], {"scale(all)": "1", "p": "2"}, {"#": "3"}))
    (run,) = _runs(sqlite_uri)
    assert run.data.metrics == {valid_name("score (%)"): 1.0, "m": 2.0}
    assert run.data.params == {valid_name("scale(all)"): "1", "p": "2"}
    assert (run.data.tags[valid_name("a (b)")], run.data.tags[valid_name("#")]) == ("tag", "3")


def test_what_is_refused_is_left_out_alone(sqlite_uri: str) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    store.send(Log("run", params={"p": "1"}))
    with pytest.raises(RefusedError) as refused:
        store.send(
            Log("run", [["bad", 1.0, -5, 1], ["bad", 1.0, -5, 2], ["m", 2.0, 5, 1]], {"p": "2", "q": "3"}, {"t": "4"})
        )
    assert [reason.partition(" (")[0] for reason in refused.value.left_out] == ["the metric 'bad'", "the parameter 'p'"]
    assert refused.value.n_metrics == 2
    (run,) = _runs(sqlite_uri)
    assert run.data.metrics == {"m": 2.0}
    assert run.data.params == {"p": "1", "q": "3"}
    assert run.data.tags["t"] == "4"


def test_a_run_that_takes_nothing_refuses_whole(sqlite_uri: str) -> None:
    """It may be restored, and takes everything then."""
    store = Store(sqlite_uri)
    store.send(_create())
    MlflowClient(sqlite_uri).delete_run(store.runs["run"])
    with pytest.raises(Exception, match="must be in the 'active' state"):
        store.send(Log("run", [["m", 1.0, 5, 1]]))


def test_one_refused_child_does_not_cost_the_others(sqlite_uri: str) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    for number in "01":
        store.send(CreateRun(number, number, "test", None, "run", 1, {"skmlp.child": number}))
    with pytest.raises(RefusedError, match="the metric 'score/test'"):
        store.send(LogChildren("run", {"0": [["score/test", 1.0, -1, 0]], "1": [["score/test", 2.0, 1, 0]]}))
    with pytest.raises(RefusedError, match="the metric 'score/test'"):
        store.send(LogChildren("run", {"1": [["score/test", 1.0, -1, 0]], "0": [["score/test", 2.0, 1, 0]]}))
    assert [run.data.metrics.get("score/test") for run in _runs(sqlite_uri)].count(2.0) == 2


def test_an_older_server_gets_shorter_values(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(sqlite_uri)
    store.send(_create())
    monkeypatch.setattr("mlflow.utils.validation.MAX_PARAM_VAL_LENGTH", 500)
    monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")
    store.send(Log("run", params={"long": "x" * 9000, "short": "y"}))
    assert _runs(sqlite_uri)[0].data.params == {"long": "x" * 250, "short": "y"}
