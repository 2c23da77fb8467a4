"""A separate process that calls MLflow, so that the calls do not slow down the training.

MLflow's client is pure Python. In a thread of the training process it would hold the interpreter's lock, for a tenth
of a millisecond per value in a SQLite store, and its own locks would make forks unsafe. The process is started with the
first record, serves all fits of the process that started it, and ends with it.

Requests and answers are numbered lines of JSON in pipes. Records are processed one after the other; meanwhile, a server
can be probed.
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
from collections.abc import Sequence
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

# Seconds to wait for a parent run that another process creates, and between two attempts.
PARENT_TIMEOUT, RETRY_INTERVAL = 5.0, 0.25
# Seconds for the first answer, for which the process must import MLflow.
START_TIMEOUT = 60.0
# Seconds for the process to finish after the end of the process that it serves.
END_TIMEOUT = 30.0


class SendError(Exception):
    """A record could not be sent, or only without the `refused` items. If `transient`, another attempt may succeed."""

    def __init__(self, message: str, *, transient: bool, refused: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.transient = transient
        self.refused = refused


class RemoteStore:
    """A store in the sending process; see :class:`~skmlp.tracking.store.Store`.

    Parameters
    ----------
    uri : str or None
        None for MLflow's default, whose address is known after the first record.

    Attributes
    ----------
    silence : str
        Why the server did not answer the last probe; empty if it did.
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
        """True for a tracking server, which may be unreachable."""
        return is_server(self.uri)

    def is_reachable(self) -> bool:
        """Probe a server; other stores are always reachable."""
        if not self.is_server:
            return True
        try:
            answer = _sender.probe({"probe": self.uri, **_environment()})
        except SendError as error:
            self.silence = str(error)
            # Without a process no server can be probed, and sending raises the error.
            return not error.transient
        self.silence = masked(answer.get("why") or "")
        return not self.silence

    def reconnected(self) -> "RemoteStore":
        """Return a store that replaces this one. End the process if it is busy, perhaps in a call that hangs."""
        if _sender.is_busy:
            _sender.end()
        other = RemoteStore(self.asked_uri)
        other.uri, other.runs, other._foreign, other._attempted = self.uri, self.runs, self._foreign, self._attempted
        return other

    def send(self, record: Record) -> None:
        """Send a record, or raise SendError."""
        if isinstance(record, AdoptRun):
            self.runs[record.run] = record.run_id
            if record.foreign:
                self._foreign.add(record.run)
            return
        if isinstance(record, CreateRun):
            if record.run in self.runs:
                return
            # User and program of this process, not of the sending one.
            record = replace(record, tags={**origin(), **record.tags})
        about = (record.run, getattr(record, "parent", None))
        request = {
            "record": as_dict(record),
            "uri": self.asked_uri,
            **_environment(),
            "runs": {run: self.runs[run] for run in about if run is not None and run in self.runs},
            "foreign": record.run in self._foreign,
            # An earlier attempt may have succeeded although its answer was lost.
            "look_first": record.run in self._attempted,
        }
        if isinstance(record, CreateRun):
            self._attempted.add(record.run)
        # Waiting in the sending process would block the creation of the run.
        wait = max(record.wait, PARENT_TIMEOUT) if isinstance(record, CreateRun) else 0.0
        deadline = time.monotonic() + wait
        while (answer := _sender.ask({**request, "wait": time.monotonic() < deadline})).get("not_yet"):
            time.sleep(RETRY_INTERVAL)
        self.uri = answer["uri"]
        self.runs |= answer["runs"]
        if isinstance(record, CreateRun) and self.runs.get(record.run) == record.resume is not None:
            self._foreign.add(record.run)


def _environment() -> dict[str, Any]:
    """Return the current environment and folder, which may have changed since the process was started.

    The environment contains MLflow's settings, certificates and proxies; paths are relative to the folder.
    """
    return {"environment": dict(os.environ), "folder": _working_folder()}


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return None


def _import_path() -> list[str]:
    """Return the import path for the process, with the same folders as in this process.

    The folder of the script and the working folder, which Python puts first, come last, since a ``random.py`` there
    would be imported instead of the module that MLflow needs. The folder of skmlp itself keeps its place.
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
        self._errors = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (read when the process has ended)
        self.popen = subprocess.Popen(
            [sys.executable, "-P", "-c", code],  # -P: import nothing from the working folder before that
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Unbuffered: a fork could copy the lock of a buffer while the thread below holds it.
            bufsize=0,
            # Ctrl-C in a terminal should only interrupt the training, which then sends more records.
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
        """Send a request and return the answer, or None if the process has ended.

        Raise ``queue.Empty`` if there is none within `timeout` seconds, or ``START_TIMEOUT`` for the first one.
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
            return answer.get(timeout=timeout and max(timeout, 0.0 if self._has_answered else START_TIMEOUT))
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
        """Distribute the answers."""
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

    def last_error(self) -> str:
        """Return the last line of the standard error of the process."""
        with suppress(ValueError):  # closed, since another process was started
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def kill(self) -> None:
        """End the process; pending requests return None."""
        self.popen.kill()
        self.popen.wait()

    def close(self) -> None:
        """Close the files of an ended process, except for the pipe that the receiving thread closes."""
        for file in (self.popen.stdin, self._errors):
            with suppress(OSError):
                file.close()  # type: ignore[union-attr]

    def close_copies(self) -> None:
        """Close the copies of the pipes in a forked process."""
        self.close()
        self.popen.stdout.close()  # type: ignore[union-attr]


class _Sender:
    """The sending process of this process, which is started when needed."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._starting = threading.Lock()
        self._process: _Process | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a record and return the answer, or raise SendError."""
        with self._one_at_a_time:
            return self._ask(request, None)

    def probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Probe a server, also while a record is sent. Raise SendError if there is no answer."""
        return self._ask(request, 3 * PROBE_TIMEOUT)

    def _ask(self, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        process = self._running_process()
        try:
            answer = process.ask(request, timeout)
        except queue.Empty:
            raise SendError("the probe was not answered in time", transient=True) from None
        if answer is None:
            last_error = masked(process.last_error())
            raise SendError(f"the process that sends to MLflow has ended. {last_error}", transient=True)
        if "error" in answer:
            raise SendError(masked(answer["error"]), transient=answer["transient"], refused=answer["refused"])
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
        """Whether the answer to a record is pending."""
        return self._one_at_a_time.locked()

    def end(self) -> None:
        """Kill the process; pending requests raise SendError."""
        process = self._process
        if process is not None:
            process.kill()

    def before_fork(self) -> None:
        """Wait for a start: the child would inherit the locks that the standard library holds meanwhile."""
        self._starting.acquire()

    def after_fork(self) -> None:
        """Allow starts again in the parent process."""
        self._starting.release()

    def forget(self) -> None:
        """Forget the process of the parent in a forked process."""
        if self._process is not None:
            self._process.close_copies()
        self.__init__()  # type: ignore[misc]


_sender = _Sender()
atexit.register(_sender.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_sender.before_fork, after_in_parent=_sender.after_fork, after_in_child=_sender.forget)


def main() -> None:
    """Answer requests, one per line, in the sending process until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process ends this one
    handler = _RequestHandler(os.dup(1))
    os.dup2(2, 1)  # output of libraries must not be mixed with answers
    with suppress(Exception):  # the first record reports the reason
        # Imported before there are threads, which could see modules that are not complete.
        import mlflow
        import mlflow.utils.credentials
        import mlflow.utils.rest_utils  # noqa: F401
    worker = threading.Thread(target=handler.process_records, daemon=True)
    worker.start()
    with os.fdopen(os.dup(0), encoding="utf-8") as requests:
        for line in requests:
            try:
                request = json.loads(line)
            except ValueError:  # incomplete, since the other process was killed
                break
            if "record" in request:
                handler.records.put(request)
            else:
                threading.Thread(target=handler.answer_probe, args=(request,), daemon=True).start()
    # The training process was killed: otherwise it would have ended this one.
    handler.records.put(None)
    worker.join(END_TIMEOUT)
    os._exit(0)  # also during a call that MLflow would retry for minutes


class _RequestHandler:
    """The stores of the sending process, and the runs that have begun and not ended."""

    def __init__(self, answers: int) -> None:
        self.records: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self._answering = threading.Lock()
        self._adopting = threading.Lock()
        self._stores: dict[tuple[str | None, str | None], Store] = {}
        self._open: dict[str, tuple[Store, str]] = {}

    def process_records(self) -> None:
        """Process one record after the other, and finally end the runs that are still open."""
        try:
            self._process_records()
            self._end_open_runs()
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # pending requests in the other process return None

    def _process_records(self) -> None:
        while (request := self.records.get()) is not None:
            try:
                answer = self._process(request)
            except Exception as error:
                said = str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
                refused = getattr(error, "refused", [])
                answer = {"error": said, "transient": is_transient(error), "refused": refused}
            self._answer(request, answer)

    def _end_open_runs(self) -> None:
        for run, (store, run_id) in self._open.items():
            with suppress(Exception):  # there is no one to report to
                store.runs = {run: run_id}
                store.send(Log(run, tags={"skmlp.error": "the training process was killed"}))
                store.send(EndRun(run, "KILLED", now()))

    def answer_probe(self, request: dict[str, Any]) -> None:
        """Answer why a server is unreachable, or None."""
        try:
            self._adopt_environment(request)
            why = why_unreachable(request["probe"])
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        self._answer(request, {"why": why})

    def _answer(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        with self._answering, suppress(OSError):  # the other process has ended
            self._answers.write(json.dumps({"number": request["number"], **answer}) + "\n")
            self._answers.flush()

    def _adopt_environment(self, request: dict[str, Any]) -> None:
        """Use folder and environment of the training process."""
        environment = request["environment"]
        with self._adopting:
            if request["folder"] is not None:
                os.chdir(request["folder"])
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})

    def _process(self, request: dict[str, Any]) -> dict[str, Any]:
        self._adopt_environment(request)
        key = (request["uri"], request["folder"])
        if key not in self._stores:
            self._stores[key] = Store(request["uri"] or default_uri())
        store, record = self._stores[key], from_dict(request["record"])
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
