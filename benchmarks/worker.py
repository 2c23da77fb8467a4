"""The worker process of the speed benchmark: it trains one case by one peer on request.

    python -m benchmarks.worker PEER THREADS

Requests are lines of JSON on standard input, replies go to standard output. A request names a method of Worker and its
arguments; the reply to a failure is ``{"skipped": reason}``. Each case has a process of its own, so that earlier ones
do not affect its figures.
"""

import ctypes
import importlib
import json
import math
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.cases import Case, final_loss, make_data
from benchmarks.peers import PEERS, Entry

STAT, STATUS = Path("/proc/stat"), Path("/proc/self/status")


class Worker:
    """The three requests, in this order; `train` can be repeated."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def load(self) -> dict[str, Any]:
        """Import the peer; NumPy is imported already."""
        started = perf_counter()
        importlib.import_module(self.entry.imports)
        return {"seconds": perf_counter() - started}

    def prepare(self, case: list[Any]) -> dict[str, Any]:
        """Make the data and build the peer; the second is timed."""
        self.case = Case(*(tuple(value) if isinstance(value, list) else value for value in case))
        module = importlib.import_module(f"benchmarks.peers.{self.entry.module}")
        self.data = make_data(self.case, self.entry.form)
        self.baseline = forget_peak()
        started = perf_counter()
        self.peer = module.Peer(self.case, self.data, **self.entry.options)
        return {"seconds": perf_counter() - started}

    def train(self, epochs: int, seed: int) -> dict[str, Any]:
        """Train a new network.

        The reply has the seconds, the processor time of other processes meanwhile, the number of epochs, the final
        loss, and the growth of memory so far.
        """
        self.peer.start(seed)
        busy, own, started = busy_seconds(), process_time(), perf_counter()
        done = self.peer.train(epochs)
        seconds = perf_counter() - started
        others = busy_seconds() - busy - (process_time() - own)
        # Read before the prediction, which needs memory of its own; valid for the first training.
        growth = None if self.baseline is None else resident("VmHWM") - self.baseline
        predicted = self.peer.predict()
        loss = None if predicted is None else final_loss(self.case, self.data.y, predicted)
        return {"seconds": seconds, "others": others, "epochs": done, "loss": loss, "memory": growth}


def busy_seconds() -> float:
    """Return the busy seconds of all cores since the system started, stolen time included; NaN if unknown."""
    if not STAT.exists():
        return math.nan
    user, nice, system, _idle, _wait, irq, soft_irq, steal = map(int, STAT.read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def resident(field: str) -> int:
    """Return bytes of resident memory: "VmRSS" now, "VmHWM" at its peak."""
    return next(1024 * int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(field))


def forget_peak() -> int | None:
    """Return free memory to the system, reset the peak, and return the memory in use; None if not on Linux."""
    if not STATUS.exists():
        return None
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def restrict_to_cores(count: int) -> None:
    """Run on the first cores only, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def main() -> None:
    """Reply to requests until standard input ends."""
    name, threads = sys.argv[1:]
    restrict_to_cores(int(threads))
    worker = Worker(PEERS[name])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            reply = {"skipped": f"{type(error).__name__}: {error}".strip().splitlines()[0]}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
