"""The outbox, with stores in memory that hang, fail, refuse or are away."""

import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from skmlp.tracking import outbox as outbox_module
from skmlp.tracking.journal import AdoptRun, Artifact, CreateRun, EndRun, Log, as_dict, from_dict
from skmlp.tracking.outbox import Outbox
from skmlp.tracking.spool import Spool, files_of, merge


class FakeStore:
    """Takes records in memory; `block`, `error` and `reachable` decide how it behaves."""

    is_server = True

    def __init__(self, uri="http://fake"):
        self.uri = uri
        self.runs = {}
        self.sent = []
        self.calls = 0
        self.reachable = True
        self.error = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.first_only = False
        self.silence = ""

    def reconnected(self):
        other = FakeStore(self.uri)
        other.runs, other.sent = self.runs, self.sent
        return other

    def is_reachable(self):
        return self.reachable

    def send(self, record):
        self.calls += 1
        self.entered.set()
        self.gate.wait(60.0)
        if self.error is not None and (error := self.error(record)) is not None:
            raise error
        if isinstance(record, CreateRun):
            self.runs[record.run] = f"mlflow-{record.run}"
        if isinstance(record, AdoptRun):
            self.runs[record.run] = record.run_id
        if record.run not in self.runs:
            raise KeyError(record.run)
        self.sent.append(record)

    @property
    def metrics(self):
        return [tuple(metric) for record in self.sent if isinstance(record, Log) for metric in record.metrics]


class TransientError(OSError):
    pass


class RefusedError(Exception):
    error_code = "INVALID_PARAMETER_VALUE"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(outbox_module, "PAUSE", 0.02)
    monkeypatch.setattr(Outbox, "_given_up", {})


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", "http://fake", "session")


def _create(run="run"):
    return CreateRun(run, "name", "experiment", None, None, 0, {})


def _epochs(n, run="run", n_metrics=3, first=0):
    return [Log(run, [[f"m{k}", float(k), 5, epoch] for k in range(n_metrics)]) for epoch in range(first, first + n)]


def _put(box, *records):
    for record in records:
        box.put(record)


def _spilled(spool):
    lines = spool.path.read_text().splitlines()
    assert json.loads(lines[0]) == {"tracking_uri": "http://fake", "session": "session"}
    return [from_dict(json.loads(line)) for line in lines[1:]]


def test_all_records_are_sent_in_order_and_in_few_calls(store, spool):
    box = Outbox(store, spool)
    epochs = _epochs(1000)
    _put(box, _create(), *epochs, EndRun("run", "FINISHED", 9))
    unsent = box.close(30.0)
    assert unsent.n_spilled == unsent.n_lost == 0
    assert not spool.path.exists()
    assert isinstance(store.sent[0], CreateRun)
    assert isinstance(store.sent[-1], EndRun)
    assert store.metrics == [tuple(metric) for record in epochs for metric in record.metrics]
    assert all(len(record.metrics) <= 1000 for record in store.sent if isinstance(record, Log))
    assert store.calls <= 3000 / 1000 + 10


def test_put_does_not_wait_for_a_hanging_store(store, spool):
    store.gate.clear()
    box = Outbox(store, spool)
    _put(box, _create())
    assert store.entered.wait(10.0)
    started = time.perf_counter()
    _put(box, *_epochs(1000))
    assert time.perf_counter() - started < 5.0  # waiting would take a minute
    store.reachable = False
    unsent = box.close(30.0)
    assert unsent.reasons == ["http://fake does not answer"]
    assert sum(len(r.metrics) for r in _spilled(spool) if isinstance(r, Log)) == 3000
    store.gate.set()


def test_a_server_that_is_away_at_first_receives_all_records(store, spool):
    store.reachable = False
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(10))
    assert store.calls == 0
    store.reachable = True
    assert box.close(30.0).n_spilled == 0
    assert len(store.metrics) == 30


def test_a_call_with_a_transient_error_is_repeated(store, spool):
    failures = iter([TransientError("away"), TransientError("away")])
    store.error = lambda record: next(failures, None)
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(10))
    assert box.close(30.0).n_spilled == 0
    assert len(store.metrics) == 30


def test_another_thread_takes_over_from_a_stuck_call(store, spool):
    """MLflow's client may sleep for minutes before a retry although the server is back."""
    box = Outbox(store, spool)
    _put(box, _create())
    box.flush(30.0)
    store.gate.clear()
    _put(box, *_epochs(10), EndRun("run", "FINISHED", 9))
    unsent = box.close(30.0)
    assert unsent.n_spilled == 0
    assert sorted(set(store.metrics)) == sorted(store.metrics)
    assert len(store.metrics) == 30
    assert isinstance(store.sent[-1], EndRun)
    store.gate.set()


class PartlyRefusedError(RefusedError):
    refused = ("the parameter 'bad' (no)",)


def test_refused_items_are_reported_once_and_not_written_to_the_file(store, spool):
    store.error = lambda record: PartlyRefusedError("no") if isinstance(record, Log) and record.params else None
    box = Outbox(store, spool)
    _put(box, _create(), Log("run", [], {"bad": "x"}))
    box.flush(30.0)
    _put(box, Log("run", [], {"bad": "x"}))
    unsent = box.close(30.0)
    assert unsent.refused == ["the parameter 'bad' (no)"]
    assert unsent.n_spilled == unsent.n_lost == 0
    assert not spool.path.exists()


def test_a_record_refused_as_a_whole_is_written_to_the_file(store, spool):
    store.error = lambda record: RefusedError("no") if isinstance(record, Log) else None
    box = Outbox(store, spool)
    _put(box, _create(), Log("run", [["m", 1.0, 0, 0]], {"p": "x"}))
    unsent = box.close(30.0)
    assert _spilled(spool)[-1] == Log("run", [["m", 1.0, 0, 0]], {"p": "x"})
    assert unsent.reasons == ["RefusedError: no"]


def test_records_of_a_refused_run_are_written_to_the_file_with_it(store, spool):
    store.error = lambda record: RefusedError("no") if isinstance(record, CreateRun) else None
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(3))
    box.close(30.0)
    kinds = [type(record) for record in _spilled(spool)]
    assert kinds[0] is CreateRun
    assert Log in kinds


def test_the_file_names_the_existing_runs_of_its_records(store, spool):
    box = Outbox(store, spool)
    _put(box, _create())
    box.flush(30.0)
    store.reachable = False
    _put(box, *_epochs(2), EndRun("run", "FINISHED", 9))
    unsent = box.close(30.0)
    kept = _spilled(spool)
    assert kept[0] == AdoptRun("run", "mlflow-run")
    assert isinstance(kept[-1], EndRun)
    assert unsent.n_spilled == 2  # the values in one record, and the end
    assert files_of(spool.path.parent, "session") == [spool.path]
    assert files_of(spool.path.parent, "another") == []


def test_at_most_capacity_metrics_are_in_memory_while_the_server_is_away(store, spool):
    store.reachable = False
    box = Outbox(store, spool, capacity=300)
    epochs = _epochs(1000)
    _put(box, _create(), *epochs)
    assert box._n_metrics <= 300
    store.reachable = True
    unsent = box.close(30.0)
    kept = [tuple(metric) for record in _spilled(spool) if isinstance(record, Log) for metric in record.metrics]
    assert unsent.n_spilled > 0
    assert sorted(kept + store.metrics) == sorted(tuple(metric) for record in epochs for metric in record.metrics)


def test_records_without_a_writable_folder_are_reported_as_lost(store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", "http://fake", "session")
    store.reachable = False
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(3))
    unsent = box.close(30.0)
    assert unsent.n_lost == 2
    assert any("NotADirectoryError" in reason for reason in unsent.reasons)


def test_records_in_a_deleted_folder_are_reported_as_lost(store, spool):
    store.reachable = False
    box = Outbox(store, spool, capacity=5)
    _put(box, _create(), *_epochs(3))  # too many values to wait in memory
    assert spool.path.exists()
    shutil.rmtree(spool.path.parent)
    unsent = box.close(30.0)
    assert unsent.n_lost > 0
    assert f"{spool.path} was deleted" in unsent.reasons
    assert any(isinstance(record, CreateRun) for record in _spilled(spool))  # later records are in a new one
    assert unsent.n_spilled == len(_spilled(spool))
    shutil.rmtree(spool.path.parent)
    assert box.flush(1.0).n_spilled == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_can_read_the_file(tmp_path):
    spool = Spool(tmp_path / "spool", "http://me:secret@fake", "session")
    umask = os.umask(0)
    try:
        spool.write([_create()])
    finally:
        os.umask(umask)
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700


def test_a_full_disk_leaves_the_complete_lines(spool, monkeypatch):
    spool.write([_create()])
    before = spool.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.write(_epochs(5))
    assert spool.path.read_bytes() == before


def test_a_second_fit_does_not_wait_for_an_unreachable_server_again(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "PAUSE", 2.0)
    now = [100.0]
    Outbox._given_up["http://fake"] = 90.0
    store = FakeStore()
    store.reachable = False
    box = Outbox(store, Spool(tmp_path, "http://fake", "session"), clock=lambda: now[0])
    _put(box, _create())
    started = time.perf_counter()
    assert box.close(30.0).n_spilled == 1
    assert time.perf_counter() - started < 1.6  # less than one pause


def test_an_interrupted_wait_writes_all_records_to_the_file(store, spool, monkeypatch):
    store.reachable = False
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(3))

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "is_reachable", lambda: interrupt() if threading.current_thread() is main else False)
    main = threading.current_thread()
    with pytest.raises(KeyboardInterrupt):
        box.close(30.0)
    assert len(_spilled(spool)) == 2


def test_run_id_waits_for_the_run(store, spool):
    box = Outbox(store, spool)
    assert box.run_id("run", 1.0) is None  # no creation is pending
    _put(box, _create())
    assert box.run_id("run", 30.0) == "mlflow-run"
    box.close(1.0)


def test_run_id_does_not_wait_for_a_server_that_is_away(store, spool):
    store.reachable = False
    box = Outbox(store, spool)
    _put(box, _create())
    started = time.perf_counter()
    assert box.run_id("run", 60.0) is None
    assert time.perf_counter() - started < 30.0
    box.close(1.0)


def test_from_dict_reverses_as_dict():
    records = [
        _create(),
        AdoptRun("run", "id", foreign=False),
        Log("run", [["m", float("nan"), 1, 2]], {"p": "ä"}, {"t": "\n"}),
        Artifact("run", "a/b.txt", "x"),
        EndRun("run", "KILLED", 3, children=True),
    ]
    for record in records:
        line = json.dumps(as_dict(record))
        assert repr(from_dict(json.loads(line))) == repr(record)


def test_merge_keeps_the_order_within_each_run():
    records = [*_epochs(2, "a"), *_epochs(2, "b"), EndRun("a", "FINISHED", 0), *_epochs(1, "a", first=2)]
    merged = merge(records, limit=5)
    for run in "ab":
        mine = [m[3] for record in merged if record.run == run and isinstance(record, Log) for m in record.metrics]
        assert mine == sorted(mine)
        assert len(mine) == {"a": 9, "b": 6}[run]
    assert all(len(record.metrics) <= 5 for record in merged if isinstance(record, Log))
    place = [type(record) for record in merged if record.run == "a"]
    assert place.index(EndRun) == len(place) - 2


def test_close_ends_the_thread_and_leaves_no_folder(store, spool):
    box = Outbox(store, spool)
    _put(box, _create(), *_epochs(3))
    box.close(30.0)
    box._thread.join(10.0)
    assert not box._thread.is_alive()
    assert not Path(spool.path.parent).exists()
