"""A bounded buffer for the records of a fit, and the thread that sends them.

Putting a record takes microseconds and never fails. The thread sends few large batches and waits while a server is
unreachable. Records that are not sent when the fit ends are written to a file.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar

from skmlp.tracking.addresses import masked
from skmlp.tracking.journal import AdoptRun, CreateRun, Log, Record
from skmlp.tracking.spool import Spool, merge
from skmlp.tracking.store import is_transient

__all__ = ["BATCH", "CAPACITY", "Outbox", "Unsent"]

# Metrics per call, MLflow's limit.
BATCH = 1000
# Metrics in memory, about 30 MB; more are written to the file.
CAPACITY = 200_000
# Seconds after which an incomplete batch is sent. They increase, so that the first values appear soon and a long fit
# makes few calls.
FIRST_INTERVAL, MAX_INTERVAL = 1.0, 30.0
# Seconds between attempts to reach a server.
PAUSE = 1.0
# Attempts to send a record that a reachable store fails to take.
ATTEMPTS = 3
# Pauses without progress after which a call counts as stuck although the server answers: MLflow's client may sleep for
# minutes before it retries a call.
STUCK = 3
# Seconds for which an unreachable server is remembered and given up sooner.
REMEMBERED = 60.0


@dataclass
class Unsent:
    """Numbers of records that an outbox wrote to the file `path` and lost, refused items, and different errors."""

    path: str
    n_spilled: int = 0
    n_lost: int = 0
    refused: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add_reason(self, error: object) -> None:
        """Add an error unless it is known."""
        reason = masked(f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error))
        reason = reason if len(reason) < 500 else f"{reason[:500]} ..."
        if reason not in self.reasons and len(self.reasons) < 10:
            self.reasons.append(reason)

    def add_refused(self, items: list[str]) -> None:
        """Add refused items that are not known; a metric may be refused in every epoch."""
        self.refused.extend(masked(item) for item in items if masked(item) not in self.refused)


class Outbox:
    """Buffer, thread and file of one fit. `capacity` is the number of metrics in memory."""

    # URI of a server -> when it was last given up, so that a search does not wait for it in every fit.
    _given_up: ClassVar[dict[str, float]] = {}

    def __init__(
        self, store: Any, spool: Spool, *, capacity: int = CAPACITY, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._spool = spool
        self._capacity = capacity
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[Record] = []
        self._in_flight: list[Record] = []
        self._n_metrics = 0
        self._n_sent = 0
        self._due = 0.0
        self._interval = FIRST_INTERVAL
        self._send_now = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.unsent = Unsent(str(spool.path))

    def put(self, record: Record) -> None:
        """Add a record, without waiting."""
        with self._changed:
            if not self._waiting:
                self._due = self._clock() + self._interval
            self._waiting.append(record)
            if isinstance(record, Log):
                self._n_metrics += len(record.metrics)
                if self._n_metrics > self._capacity:
                    self._spill_values()
            elif isinstance(record, CreateRun):
                self._send_now = True  # a run appears on the dashboard as soon as it begins
            if self._thread is None:
                self._start_thread(self._store)
            elif self._send_now or self._n_metrics >= BATCH or len(self._waiting) == 1:
                self._changed.notify_all()

    def run_id(self, run: str, timeout: float = 0.0) -> str | None:
        """Return MLflow's ID of a run, or None; wait for its creation as long as the store is reachable."""
        deadline = self._clock() + timeout
        with self._changed:
            while run not in self._store.runs and self._pending() and (left := deadline - self._clock()) > 0.0:
                self._changed.wait(min(PAUSE, left))
                if run not in self._store.runs and not self._unlocked(self._store.is_reachable):
                    break
            found: str | None = self._store.runs.get(run)
            return found

    @property
    def uri(self) -> str:
        """The address of the store."""
        return str(self._store.uri)

    def flush(self, timeout: float) -> Unsent:
        """Wait until everything is sent, and write the rest to the file after `timeout` seconds.

        An unreachable server is given up after two probes, long before a large `timeout`.
        """
        with self._changed:
            try:
                self._wait_until_sent(timeout)
            finally:  # also when the user interrupts the wait
                if self._pending():
                    self._spill(merge([*self._in_flight, *self._waiting], BATCH))
                    # The thread may still be in a call, whose result is ignored.
                    self._in_flight, self._waiting, self._n_metrics = [], [], 0
                    self._store = self._store.reconnected()
                self._check_file()
        return self.unsent

    def close(self, timeout: float) -> Unsent:
        """Flush, and end the thread."""
        unsent = self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return unsent

    def _pending(self) -> bool:
        return bool(self._waiting or self._in_flight)

    def _wait_until_sent(self, timeout: float) -> None:
        now = self._clock()
        deadline, uri = now + timeout, self._store.uri
        max_silent = 1 if now - self._given_up.get(uri, -REMEMBERED) < REMEMBERED else 2
        silent = stuck = 0
        while self._pending():
            self._send_now = True
            self._changed.notify_all()
            n_sent = self._n_sent
            left = deadline - self._clock()
            if left <= 0.0:
                self.unsent.add_reason(f"not sent within {timeout:g} seconds")
                return
            pause = min(PAUSE, left)
            if self._changed.wait_for(lambda: not self._pending(), pause if max_silent > 1 else pause / 10):
                return
            if self._n_sent > n_sent:
                silent = stuck = 0
            elif self._unlocked(self._store.is_reachable):
                silent, stuck, max_silent = 0, stuck + 1, 2
                if stuck == STUCK and self._store.is_server:
                    self._start_thread(self._store.reconnected())
            else:
                silent += 1
                if silent >= max_silent:
                    self._given_up[uri] = self._clock()
                    why = f" ({self._store.silence})" if self._store.silence else ""
                    self.unsent.add_reason(f"{uri} does not answer{why}")
                    return

    def _unlocked(self, ask: Callable[[], bool]) -> bool:
        """Call a function that may take long, without the lock."""
        self._changed.release()
        try:
            return ask()
        finally:
            self._changed.acquire()

    def _start_thread(self, store: Any) -> None:
        """Start the thread that sends. A previous one is stuck in a call, and ends after it."""
        self._store = store
        self._thread = threading.Thread(target=self._work, args=(store,), name="skmlp-tracking", daemon=True)
        self._thread.start()

    def _is_current(self) -> bool:
        return self._thread is threading.current_thread()

    def _work(self, store: Any) -> None:
        while True:
            with self._changed:
                while self._is_current() and not self._in_flight and not self._is_due():
                    if self._closed:
                        return
                    self._changed.wait(self._due - self._clock() if self._waiting else None)
                if not self._is_current():
                    return
                if not self._in_flight:
                    self._in_flight = merge(self._waiting, BATCH)
                    self._waiting, self._n_metrics, self._send_now = [], 0, False
                    self._interval = min(2 * self._interval, MAX_INTERVAL)
            self._send_all(store)

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return self._send_now or self._closed or self._n_metrics >= BATCH or self._clock() >= self._due

    def _send_all(self, store: Any) -> None:
        """Send the records in flight, in order."""
        attempts = 0
        while (record := self._next()) is not None:
            if not store.is_reachable():
                with self._changed:
                    self._changed.wait(PAUSE)
                continue
            try:
                store.send(record)
            except Exception as error:
                attempts += 1
                if is_transient(error) and attempts < ATTEMPTS:
                    continue
                self._reject(record, error)
            attempts = 0
            self._remove(record)

    def _next(self) -> Record | None:
        with self._changed:
            return self._in_flight[0] if self._in_flight and self._is_current() else None

    def _remove(self, record: Record) -> None:
        with self._changed:
            if self._in_flight and self._in_flight[0] is record:
                del self._in_flight[0]
                self._n_sent += 1
                self._changed.notify_all()

    def _reject(self, record: Record, error: Exception) -> None:
        """Write a record that was not taken to the file, unless it was refused."""
        refused = getattr(error, "refused", [])
        with self._changed:
            if not self._is_current():
                return
            if refused:
                self.unsent.add_refused(refused)
            else:
                self.unsent.add_reason(error)
                self._spill([record])

    def _spill_values(self) -> None:
        """Write the values in memory to the file; keep the few records that create and end runs."""
        values = [record for record in self._waiting if isinstance(record, Log)]
        self._waiting = [record for record in self._waiting if not isinstance(record, Log)]
        self._n_metrics = 0
        self.unsent.add_reason(f"more than {self._capacity} values were waiting to be sent")
        self._spill(merge(values, BATCH))

    def _spill(self, records: list[Record]) -> None:
        runs = {record.run for record in records if not isinstance(record, CreateRun | AdoptRun)}
        runs |= {record.parent for record in records if isinstance(record, CreateRun) and record.parent}
        self._check_file()
        known = [AdoptRun(run, self._store.runs[run]) for run in sorted(runs) if run in self._store.runs]
        try:
            self._spool.write([*known, *records])
        except OSError as error:
            self.unsent.n_lost += len(records)
            self.unsent.add_reason(error)
        else:
            self.unsent.n_spilled += len(records)

    def _check_file(self) -> None:
        """Count the records in the file as lost if it was deleted."""
        if self.unsent.n_spilled and not self._spool.path.exists():
            self.unsent.add_reason(f"{self._spool.path} was deleted")
            self.unsent.n_lost += self.unsent.n_spilled
            self.unsent.n_spilled = 0
