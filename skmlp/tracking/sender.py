"""A process of its own that talks to MLflow, so that the training thread does not pay for it.

MLflow's client is Python through and through: in a thread beside the training it would take the interpreter away from
it, a tenth of a millisecond for every value sent to a SQLite store, and its locks would be in the way of a fork. The
process is started when the first record is sent, serves all fits of the process that started it, and ends with it.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

from skmlp.tracking.journal import AdoptRun, CreateRun, Record, as_dict, from_dict
from skmlp.tracking.store import NotYetError, Store, default_uri, is_reachable, is_server, is_transient, origin

__all__ = ["RemoteStore", "SendError", "main"]

# Seconds in which a run's parent should appear that another process creates, and between two looks for it.
PARENT_PATIENCE, LOOK_INTERVAL = 5.0, 0.25


class SendError(Exception):
    """A record was not taken.

    Attributes
    ----------
    transient : bool
        Whether the same may succeed later.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class RemoteStore:
    """A store reached through the sending process; see :class:`~skmlp.tracking.store.Store`.

    Parameters
    ----------
    uri : str or None
        Tracking URI; None for MLflow's default, which is known after the first record.
    """

    def __init__(self, uri: str | None) -> None:
        self.asked_uri = uri
        self.uri = uri or "MLflow's default store"
        self.runs: dict[str, str] = {}
        self._foreign: set[str] = set()
        self._attempted: set[str] = set()

    @property
    def is_server(self) -> bool:
        """True for a tracking server, which may be away, hang or come back."""
        return is_server(self.uri)

    def is_reachable(self) -> bool:
        """Ask a server whether it is alive; other stores always count as reachable."""
        return is_reachable(self.uri)

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
            # MLflow's settings, and what paths are relative to, may have changed since the process was started.
            "settings": {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")},
            "folder": os.getcwd(),
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


class _Sender:
    """The process, and the pipes to it."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._starting = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._complaints: IO[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises
        ------
        SendError
            When the answer is an error, or there is none.
        """
        with self._one_at_a_time:
            process = self._process
            if process is None or process.poll() is not None:
                with self._starting:
                    self._clean_up()
                    process = self._process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except (OSError, ValueError):  # the pipe is broken or closed
                line = ""
            if not line:
                raise SendError(f"the process that sends to MLflow has ended. {self._last_words()}", transient=True)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SendError(answer["error"], transient=answer["transient"])
        return answer

    def _start(self) -> "subprocess.Popen[str]":
        code = f"from {__name__} import main; main()"
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (read when the process has ended)
        try:
            return subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
                encoding="utf-8",
                # What can be imported here can be imported there.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        except (OSError, ValueError, TypeError) as error:
            raise SendError(f"cannot start {sys.executable!r} to send to MLflow: {error}", transient=False) from error

    def _clean_up(self) -> None:
        """Close what belonged to a process that has ended."""
        process = self._process
        for file in (process.stdin, process.stdout, self._complaints) if process is not None else ():
            with suppress(OSError):  # a last line that nobody reads any more
                file.close()  # type: ignore[union-attr]

    def _last_words(self) -> str:
        assert self._complaints is not None
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._one_at_a_time.locked()

    def end(self) -> None:
        """Kill the process; whoever waits for an answer hears that there is none."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def before_fork(self) -> None:
        """Let a start come to its end: the child would inherit the locks that the standard library holds in it."""
        self._starting.acquire()

    def after_fork(self) -> None:
        """Allow starts again, in the process that forked."""
        self._starting.release()

    def forget(self) -> None:
        """Leave the process to the parent of this forked one."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                os.close(pipe.fileno())  # type: ignore[union-attr]
        self.__init__()  # type: ignore[misc]


_sender = _Sender()
atexit.register(_sender.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_sender.before_fork, after_in_parent=_sender.after_fork, after_in_child=_sender.forget)


# ------------------------------------------------------------------ in the process


def main() -> None:
    """Answer requests, a line each, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    stores: dict[tuple[str | None, str], Store] = {}
    for line in requests:
        try:
            answer = _carry_out(json.loads(line), stores)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "transient": is_transient(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _carry_out(request: dict[str, Any], stores: dict[tuple[str | None, str], Store]) -> dict[str, Any]:
    os.chdir(request["folder"])
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        if name not in request["settings"]:
            del os.environ[name]
    os.environ.update(request["settings"])
    place = (request["uri"], request["folder"])
    if place not in stores:
        stores[place] = Store(request["uri"] or default_uri())
    store, record = stores[place], from_dict(request["record"])
    store.runs = request["runs"]
    store.foreign = {record.run} if request["foreign"] else set()
    store.retry = request["look_first"]
    store.wait = request["wait"]
    try:
        store.send(record)
    except NotYetError:
        return {"not_yet": True}
    return {"uri": store.uri, "runs": store.runs}
