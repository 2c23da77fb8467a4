"""The run: which trainings are to be done, and each in a process of its own."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.run import describe_machine
from benchmarks.tables import methods, results
from benchmarks.worker import busy_seconds

POOLS = ("OPENBLAS", "OMP", "MKL", "NUMBA")
WATCHED = 0.5  # seconds before a training, for the work of other processes


@dataclass(frozen=True)
class Piece:
    """One training: a set, a seed and a method, with all that determines its result."""

    set: str
    seed: int
    method: str
    version: str
    max_rows: int
    cores: int
    data: str


def available(names: Iterable[str]) -> tuple[dict[str, methods.Method], dict[str, str]]:
    """Return the methods that can run here, and the reasons why the others cannot."""
    found = {name: methods.find(name) for name in names}
    reasons = {name: reason for name, method in found.items() if (reason := method.why_not())}
    return {name: method for name, method in found.items() if name not in reasons}, reasons


def pieces(
    usable: dict[str, methods.Method], sets: Sequence[str], seeds: Sequence[int] | None, **rest: Any
) -> Iterator[Piece]:
    """Yield the trainings: for each seed all methods, for each method all sets.

    Without `seeds` they are 0, 1 and 2, but for the methods that have their own.
    """
    versions = {name: method.version() for name, method in usable.items()}
    chosen = {name: seeds if seeds is not None else (method.seeds or (0, 1, 2)) for name, method in usable.items()}
    for seed in sorted({seed for own in chosen.values() for seed in own}):
        for name in usable:
            if seed in chosen[name]:
                for table in sets:
                    yield Piece(table, seed, name, versions[name], **rest)


def remaining(
    wanted: Iterable[Piece], stored: Iterable[results.Record], *, any_version: bool = False, retry: bool = False
) -> list[Piece]:
    """Return the trainings that are not stored.

    Parameters
    ----------
    wanted : iterable of Piece
    stored : iterable of dict
        Records of the results file.
    any_version : bool, default=False
        Count a training with another version of the method, too.
    retry : bool, default=False
        Do not count those that failed.
    """

    def same(key: results.Key) -> tuple[Any, ...]:
        return (*key[:3], key[4]) if any_version else key

    done = {same(results.key(record)) for record in stored if not (retry and "failed" in record)}
    return [piece for piece in wanted if same(results.key(asdict(piece))) not in done]


def train(piece: Piece, limit: float) -> dict[str, Any]:
    """Return the reply of the process, which is ended after `limit` seconds."""
    environment = {
        **os.environ,
        **{f"{pool}_NUM_THREADS": str(piece.cores) for pool in POOLS},
        "PYTHONDONTWRITEBYTECODE": "",  # bytecode is cached, as in an installation
    }
    command = [sys.executable, "-m", "benchmarks.tables.worker", json.dumps(asdict(piece))]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,  # so that its own processes end with it
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:g} s"}
    finally:
        if process.poll() is None:
            end(process)
    if not output.strip():
        return {"failed": f"the process ended with code {process.returncode}"}
    reply: dict[str, Any] = json.loads(output.splitlines()[-1])
    return reply


def end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def busy_cores() -> float | None:
    """Return the number of cores that are busy while this process sleeps; None if unknown."""
    busy, started = busy_seconds(), time.perf_counter()
    time.sleep(WATCHED)
    found = (busy_seconds() - busy) / (time.perf_counter() - started)
    return found if found == found else None


def run(todo: Sequence[Piece], path: Path, limit: float) -> None:
    """Do the trainings, and print and store each."""
    cpu = describe_machine()["cpu"]
    for number, piece in enumerate(todo, 1):
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        before = busy_cores()
        reply = train(piece, limit)
        record = {
            **{name: value for name, value in asdict(piece).items() if name != "data"},
            "date": dt.datetime.now().isoformat(timespec="seconds"),
            "cpu": cpu,
            "load_average": load,
            "busy_before": before,
            **reply,
        }
        results.append(path, record)
        print(f"{number}/{len(todo)} {line(record)}", flush=True)


def line(record: results.Record) -> str:
    """Return a record for the terminal."""
    name = f"{record['set']}, seed {record['seed']}, {record['method']}"
    if "failed" in record:
        return f"{name}: failed, {record['failed']}"
    shown = (f"{score} {value:.4f}" for score, value in record["scores"].items() if value is not None)
    return f"{name}: {', '.join(shown)}, fit {record['fit_seconds']:.1f} s"
