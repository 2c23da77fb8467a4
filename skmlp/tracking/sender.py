"""A process of its own that talks to MLflow, so that the training thread does not pay for it.

MLflow's client is Python through and through: in a thread beside the training it would take the interpreter away from
it, a tenth of a millisecond for every value sent to a SQLite store, and its locks would be in the way of a fork. The
process is started when the first record is sent, serves all fits of the process that started it, and ends with it.

Requests and answers are lines of JSON with a number, in pipes. Records are carried out one after the other. Whether a
server is alive can be asked meanwhile.
"""

import atexit
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import skmlp
from skmlp.tracking.addresses import is_server, masked
from skmlp.tracking.journal import AdoptRun, CreateRun, EndRun, Log, Record, as_dict, from_dict, now
from skmlp.tracking.store import (
    PROBE_TIMEOUT,
    NotYetError,
    RefusedError,
    Store,
    default_uri,
    is_transient,
    origin,
    why_unreachable,
)

__all__ = ["RemoteStore", "SendError", "main"]

# Seconds in which a run's parent should appear that another process creates, and between two looks for it.
PARENT_PATIENCE, LOOK_INTERVAL = 5.0, 0.25
# Seconds that the process has for its first answer, to which it must import MLflow.
START_PATIENCE = 60.0
# Seconds in which the process comes to an end after the one it serves has ended.
END_PATIENCE = 30.0


class SendError(Exception):
    """A record was not taken.

    Attributes
    ----------
    transient : bool
        Whether the same may succeed later.
    left_out : list of str
        What MLflow refuses, if it has taken all the rest.
    """

    def __init__(self, message: str, *, transient: bool, left_out: list[str] | None = None) -> None:
        super().__init__(message)
        self.transient = transient
        self.left_out = left_out or []


class RemoteStore:
    """A store reached through the sending process; see :class:`~skmlp.tracking.store.Store`.

    Parameters
    ----------
    uri : str or None
        Tracking URI; None for MLflow's default, which is known after the first record.

    Attributes
    ----------
    silence : str
        Why the server did not answer when it was last asked.
    """

    def __init__(self, uri: str | None) -> None:
        self.asked_uri = uri
        self.uri = uri or "MLflow's default store"
        self.silence = ""
        self.runs: dict[str, str] = {}
        self._foreign: set[str] = set()
        self._attempted: set[str] = set()

    @property
    def is_server(self) -> bool:
        """True for a tracking server, which may be away, hang or come back."""
        return is_server(self.uri)

    def is_reachable(self) -> bool:
        """Ask a server whether it is alive; other stores always count as reachable."""
        if not self.is_server:
            return True
        try:
            answer = _sender.probe({"probe": self.uri, **_surroundings()})
        except SendError as error:
            self.silence = str(error)
            # Without a process nothing can be asked: sending says what is wrong.
            return not error.transient
        self.silence = masked(answer.get("why") or "")
        return not self.silence

    def reconnected(self) -> "RemoteStore":
        """End the process in the middle of what it does, if it does anything, and return a store that goes on.

        A server that does not even answer a probe is asked for nothing; the process then lives on for others.
        """
        if _sender.is_busy:
            _sender.end()
        other = RemoteStore(self.asked_uri)
        other.uri, other.runs, other._foreign, other._attempted = self.uri, self.runs, self._foreign, self._attempted
        return other

    def send(self, record: Record) -> None:
        """Carry out one record.

        Raises
        ------
        SendError
            When it was not taken.
        """
        if isinstance(record, AdoptRun):
            self.runs[record.run] = record.run_id
            if record.foreign:
                self._foreign.add(record.run)
            return
        if isinstance(record, CreateRun):
            if record.run in self.runs:
                return
            # Who runs what: this process, not the sending one.
            record = replace(record, tags={**origin(), **record.tags})
        about = (record.run, getattr(record, "parent", None))
        request = {
            "record": as_dict(record),
            "uri": self.asked_uri,
            **_surroundings(),
            "runs": {run: self.runs[run] for run in about if run is not None and run in self.runs},
            "foreign": record.run in self._foreign,
            # An attempt that ended without an answer may have succeeded.
            "look_first": record.run in self._attempted,
        }
        if isinstance(record, CreateRun):
            self._attempted.add(record.run)
        # Waiting in the sending process would keep out the one that is waited for.
        patience = max(record.patience, PARENT_PATIENCE) if isinstance(record, CreateRun) else 0.0
        deadline = time.monotonic() + patience
        while (answer := _sender.ask({**request, "wait": time.monotonic() < deadline})).get("not_yet"):
            time.sleep(LOOK_INTERVAL)
        self.uri = answer["uri"]
        self.runs |= answer["runs"]
        if isinstance(record, CreateRun) and self.runs.get(record.run) == record.resume is not None:
            self._foreign.add(record.run)


def _surroundings() -> dict[str, Any]:
    """Return what counts at this moment, as the process may have been started before the user chose it.

    MLflow's settings, certificates and proxies are in the environment; paths are relative to the folder.
    """
    return {"environment": dict(os.environ), "folder": _working_folder()}


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return None


def _import_path() -> list[str]:
    """Return where the process looks for modules: what can be imported here can be imported there.

    Python puts the script's or the working folder first, where a ``random.py`` would stand for the one that MLflow
    needs. They come last; but the folder that skmlp itself comes from keeps its place.
    """
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None) if getattr(main, "__spec__", None) is None else None  # not with -m
    last = {os.path.realpath(folder) for folder in (_working_folder(), script and os.path.dirname(script)) if folder}
    last -= {os.path.realpath(Path(skmlp.__file__).parents[1])}
    path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str) and entry]
    return sorted(path, key=lambda entry: os.path.realpath(entry) in last)


class _Process:
    """A sending process; several requests may wait for its answers at the same time."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {_import_path()!r}; from {__name__} import main; main()"
        self._complaints = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (read when the process has ended)
        self.popen = subprocess.Popen(
            [sys.executable, "-P", "-c", code],  # -P: nothing is imported from the working folder before that
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            # Plain descriptors: a buffer has a lock, which a fork would copy while the thread below holds it.
            bufsize=0,
            # Ctrl-C in a terminal is for the training alone, which then has something to tell.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._awaited: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._has_answered = self._is_silent = False
        threading.Thread(target=self._receive, name="skmlp-tracking-answers", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self._is_silent or self.popen.poll() is not None

    def ask(self, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Send a request and return the answer; None when the process has ended.

        Raises
        ------
        queue.Empty
            When there is no answer within `timeout` seconds, more for the first one.
        """
        answer: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        number = next(self._numbers)
        line = json.dumps({**request, "number": number}).encode() + b"\n"
        with self._lock:
            if self._is_silent:
                return None
            self._awaited[number] = answer
        try:
            self._write(line)
            return answer.get(timeout=timeout and max(timeout, 0.0 if self._has_answered else START_PATIENCE))
        except (OSError, ValueError):  # the pipe is broken or closed
            return None
        finally:
            with self._lock:
                self._awaited.pop(number, None)

    def _write(self, line: bytes) -> None:
        assert self.popen.stdin is not None
        with self._writing:
            while line:
                line = line[os.write(self.popen.stdin.fileno(), line) :]

    def _receive(self) -> None:
        """Hand on the answers."""
        assert self.popen.stdout is not None
        rest = b""
        with self.popen.stdout as pipe, suppress(OSError):
            while chunk := os.read(pipe.fileno(), 1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    answer = json.loads(line)
                    with self._lock:
                        awaited = self._awaited.get(answer["number"])
                    self._has_answered = True
                    if awaited is not None:
                        awaited.put(answer)
        with self._lock:
            self._is_silent = True
            for awaited in self._awaited.values():
                awaited.put(None)

    def last_words(self) -> str:
        """Return the last line that the process complained in."""
        with suppress(ValueError):  # closed, as there is another process already
            self._complaints.seek(0)
            lines = self._complaints.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def kill(self) -> None:
        """End the process; whoever waits for an answer hears that there is none."""
        self.popen.kill()
        self.popen.wait()

    def close(self) -> None:
        """Close what the process has no use for any more. The thread that reads its answers sees to that pipe."""
        for file in (self.popen.stdin, self._complaints):
            with suppress(OSError):
                file.close()  # type: ignore[union-attr]

    def close_copies(self) -> None:
        """Close this forked process's copies of the pipes."""
        self.close()
        self.popen.stdout.close()  # type: ignore[union-attr]


class _Sender:
    """The sending process of this process, started when it is needed."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._starting = threading.Lock()
        self._process: _Process | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a record and return the answer.

        Raises
        ------
        SendError
            When the answer is an error, or there is none.
        """
        with self._one_at_a_time:
            return self._ask(request, None)

    def probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask whether a server is alive, whatever else the process does.

        Raises
        ------
        SendError
            When there is no answer.
        """
        return self._ask(request, 3 * PROBE_TIMEOUT)

    def _ask(self, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        process = self._running_process()
        try:
            answer = process.ask(request, timeout)
        except queue.Empty:
            raise SendError("the question was not answered in time", transient=True) from None
        if answer is None:
            words = masked(process.last_words())
            raise SendError(f"the process that sends to MLflow has ended. {words}", transient=True)
        if "error" in answer:
            raise SendError(masked(answer["error"]), transient=answer["transient"], left_out=answer["left_out"])
        return answer

    def _running_process(self) -> _Process:
        with self._starting:
            if self._process is None or self._process.has_ended:
                if self._process is not None:
                    self._process.close()
                self._process = self._start()
            return self._process

    def _start(self) -> _Process:
        try:
            return _Process()
        except (OSError, ValueError, TypeError) as error:
            raise SendError(f"cannot start {sys.executable!r} to send to MLflow: {error}", transient=False) from error

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._one_at_a_time.locked()

    def end(self) -> None:
        """Kill the process; whoever waits for an answer hears that there is none."""
        process = self._process
        if process is not None:
            process.kill()

    def before_fork(self) -> None:
        """Let a start come to its end: the child would inherit the locks that the standard library holds in it."""
        self._starting.acquire()

    def after_fork(self) -> None:
        """Allow starts again, in the process that forked."""
        self._starting.release()

    def forget(self) -> None:
        """Leave the process to the parent of this forked one."""
        if self._process is not None:
            self._process.close_copies()
        self.__init__()  # type: ignore[misc]


_sender = _Sender()
atexit.register(_sender.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_sender.before_fork, after_in_parent=_sender.after_fork, after_in_child=_sender.forget)


# ------------------------------------------------------------------ in the process


def main() -> None:
    """Answer requests, a line each, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training ends this process when all is sent
    desk = _Desk(os.dup(1))
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    with suppress(Exception):  # who uses it hears the reason
        # Threads that import the same modules at the same time may see them half made.
        import mlflow
        import mlflow.utils.credentials
        import mlflow.utils.rest_utils  # noqa: F401
    worker = threading.Thread(target=desk.carry_out_records, daemon=True)
    worker.start()
    with os.fdopen(os.dup(0), encoding="utf-8") as requests:
        for line in requests:
            try:
                request = json.loads(line)
            except ValueError:  # torn, as the other process was killed while it wrote
                break
            if "record" in request:
                desk.records.put(request)
            else:
                threading.Thread(target=desk.answer_probe, args=(request,), daemon=True).start()
    # The process that trained has ended, and not as usual: then it would have ended this one.
    desk.records.put(None)
    worker.join(END_PATIENCE)
    os._exit(0)  # also when a call to a server that is away would go on for minutes


class _Desk:
    """What the sending process knows: stores, and runs that have begun and not ended."""

    def __init__(self, answers: int) -> None:
        self.records: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self._answering = threading.Lock()
        self._settling = threading.Lock()
        self._stores: dict[tuple[str | None, str | None], Store] = {}
        self._open: dict[str, tuple[Store, str]] = {}

    def carry_out_records(self) -> None:
        """Carry out one record after the other; at the end, end the runs that nobody else will end."""
        try:
            self._carry_out_records()
            self._end_open_runs()
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # who waits for an answer hears that there will be none

    def _carry_out_records(self) -> None:
        while (request := self.records.get()) is not None:
            try:
                answer = self._carry_out(request)
            except Exception as error:
                said = str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
                left_out = getattr(error, "left_out", [])
                answer = {"error": said, "transient": is_transient(error), "left_out": left_out}
            self._answer(request, answer)

    def _end_open_runs(self) -> None:
        for run, (store, run_id) in self._open.items():
            with suppress(Exception):  # nobody is there to be told
                store.runs = {run: run_id}
                store.send(Log(run, tags={"skmlp.error": "the process that trained was ended"}))
                store.send(EndRun(run, "KILLED", now()))

    def answer_probe(self, request: dict[str, Any]) -> None:
        """Tell why a server cannot be reached, or that it can."""
        try:
            self._settle(request)
            why = why_unreachable(request["probe"])
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        self._answer(request, {"why": why})

    def _answer(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        with self._answering, suppress(OSError):  # nobody reads any more
            self._answers.write(json.dumps({"number": request["number"], **answer}) + "\n")
            self._answers.flush()

    def _settle(self, request: dict[str, Any]) -> None:
        """Take over folder and environment of the process that trains."""
        environment = request["environment"]
        with self._settling:
            if request["folder"] is not None:
                os.chdir(request["folder"])
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})

    def _carry_out(self, request: dict[str, Any]) -> dict[str, Any]:
        self._settle(request)
        place = (request["uri"], request["folder"])
        if place not in self._stores:
            self._stores[place] = Store(request["uri"] or default_uri())
        store, record = self._stores[place], from_dict(request["record"])
        store.runs = request["runs"]
        store.foreign = {record.run} if request["foreign"] else set()
        store.retry = request["look_first"]
        store.wait = request["wait"]
        try:
            store.send(record)
        except NotYetError:
            return {"not_yet": True}
        if isinstance(record, EndRun):
            self._open.pop(record.run, None)
        elif record.run in store.runs and not request["foreign"]:
            self._open[record.run] = (store, store.runs[record.run])
        return {"uri": store.uri, "runs": store.runs}
