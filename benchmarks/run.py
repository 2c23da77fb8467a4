"""Time of a training step of skmlp, scikit-learn, PyTorch, JAX and of its matrix products alone, interleaved.

    python -m benchmarks.run [--threads 1 2] [--only TEXT ...] [--peers NAME ...] [--repeats 5] [--quick] [--resume]

Every peer trains the same network on the same data for the same number of epochs, in a process of its own on as many
cores as threads. The processes take turns, one training each, in an order that rotates, so that changes of the
machine's speed affect all of them, and sleep before each turn, so that threads of others no longer spin. Repeat r uses
seed r. The work of other processes is measured and printed; two threads need an otherwise idle machine. Imports, and
what the first training needs beyond the others (mostly compiling), are timed separately.

Results are written to ``speed.json`` in the output folder after each case, and from there to the table and the plot of
``benchmarks.report``. Peers that are not installed, or fail, are skipped, with the reason.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

import skmlp
from benchmarks import report
from benchmarks.cases import CASES, Case
from benchmarks.peers import PEERS, environment
from benchmarks.peers.comparing import PLAIN, busy_cores

PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "pandas", "torch", "jax", "jaxlib", "mlflow")
RECORDED = ("seconds", "others", "epochs", "loss")  # of each training
PAUSE = 0.1  # seconds; threads of OpenBLAS and OpenMP spin for less than that after their last work
DISTURBED = 0.2  # cores that other processes keep busy beyond the spare ones


class Process:
    """A worker process that replies to requests."""

    def __init__(self, peer: str, threads: int, cache: str) -> None:
        self.spare_cores = max(0, (os.cpu_count() or 1) - threads)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(PEERS[peer], threads, cache),
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Return the reply to a request."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        try:
            self.popen.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.popen.stdin.flush()
            line = self.popen.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"skipped": f"the process ended with code {self.popen.wait()}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.popen.kill()
        self.popen.communicate()


def entrants(case: Case, peers: list[str]) -> Iterator[tuple[str, str, Case]]:
    """Yield label, peer and case of those that take part; with an option, each also trains without it."""
    for peer in peers:
        if PEERS[peer].trains(case):
            yield peer, peer, case
            if case.option:
                yield peer + PLAIN, peer, case._replace(option="")


def measure(
    case: Case, threads: int, peers: list[str], cache: str, *, repeats: int, epochs: int, patience: int
) -> dict[str, Any]:
    """Return a row: the description of the case and the measurements of each entrant."""
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers: dict[str, Process] = {}
        for label, peer, own_case in entrants(case, peers):
            worker = stack.enter_context(Process(peer, threads, cache))
            found[label] = set_up(worker, own_case)
            if "skipped" not in found[label]:
                workers[label] = worker
        for seed in range(repeats):
            order = list(workers)
            for label in order[seed % len(order) :] + order[: seed % len(order)] if order else ():
                reply = take_turn(workers[label], epochs, seed, patience)
                if "skipped" in reply:
                    found[label] = reply
                    del workers[label]
                    continue
                for name in RECORDED:
                    found[label][name].append(reply[name])
    row = {
        "name": case.name,
        "threads": threads,
        "rows": case.n_samples,
        "batch_size": case.batch_size,
        "steps_per_epoch": case.n_batches,
        "width": max(case.hidden),
        "option": case.option,
        "epochs": epochs,
    }
    return {**row, "peers": found}


def take_turn(worker: Process, epochs: int, seed: int, patience: int) -> dict[str, Any]:
    """Return the reply to a training; one that other work disturbed is repeated up to `patience` times."""
    for _ in range(1 + patience):
        time.sleep(PAUSE)
        reply = worker.ask("train", epochs=epochs, seed=seed)
        if "skipped" in reply or not reply["others"] > (worker.spare_cores + DISTURBED) * reply["seconds"]:
            break
    return reply


def set_up(worker: Process, case: Case) -> dict[str, Any]:
    """Import and build the peer and train for an epoch; return the times, with empty lists for the next ones."""
    entry: dict[str, Any] = {}
    for step, request in (("load", {}), ("prepare", {"case": case}), ("train", {"epochs": 1, "seed": 0})):
        time.sleep(PAUSE)
        reply = worker.ask(step, **request)
        if "skipped" in reply:
            return reply
        entry[f"{step}_seconds"] = reply["seconds"]
    return {
        "import_seconds": entry["load_seconds"],
        "first_seconds": entry["prepare_seconds"] + entry["train_seconds"],
        "memory": reply["memory"],
        **{name: [] for name in RECORDED},
    }


def row_as_text(row: dict[str, Any]) -> str:
    """Return a row with details for the terminal."""
    heads = ("µs a step", "rows/s", "/limit", "/skmlp", "/numpy", "start, s", "catches after", "MB", "  final loss")
    widths = (10, 12, 8, 8, 8, 9, 17, 7, 0)

    def line(name: str, cells: Iterable[str]) -> str:
        joined = "".join(f"{cell:>{width}}  " for cell, width in zip(cells, widths, strict=True))
        return f"  {name:24}{joined}".rstrip()

    lines = [line(peer, cells) for peer, cells in report.row_cells(row)]
    title = f"{row['name']}, threads {row['threads']}; other work kept {busy_cores(row):.1f} cores busy"
    return "\n".join([title, line("", heads), *lines, ""])


def describe_machine() -> dict[str, Any]:
    """Return processor, system and versions."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    versions = {"skmlp": skmlp.__version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": f"{blas['name']} {blas['version']}",
        "versions": versions,
    }


def chosen(names: Sequence[str]) -> list[Case]:
    """Return the cases with these names; for a name that no case has, those that contain it."""
    known = {case.name for case in CASES}
    return [
        case for case in CASES if any(case.name == name or (name not in known and name in case.name) for name in names)
    ]


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=[""], help="only cases with these names, or that contain one")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--repeats", type=int, default=5, help="trainings of each peer in each row")
    parser.add_argument("--patience", type=int, default=1, help="times to repeat a training that other work disturbed")
    parser.add_argument("--quick", action="store_true", help="two short repeats, as a test")
    parser.add_argument("--resume", action="store_true", help="measure only rows that are not stored yet")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    repeats, patience = (min(2, options.repeats), 0) if options.quick else (options.repeats, options.patience)
    options.output.mkdir(parents=True, exist_ok=True)
    stored = options.output / "speed.json"
    result: dict[str, Any] = {
        "date": dt.date.today().isoformat(),
        "quick": options.quick,
        "repeats": repeats,
        "machine": describe_machine(),
        "rows": [],
    }
    if options.resume and stored.exists():
        result = json.loads(stored.read_text())
    order = {case.name: place for place, case in enumerate(CASES)}
    done = {(row["name"], row["threads"]) for row in result["rows"]}
    for threads in options.threads:
        # An empty cache for numba and torch: the first case shows the cost of compiling.
        with tempfile.TemporaryDirectory() as cache:
            for case in chosen(options.only):
                if (case.name, threads) in done:
                    continue
                epochs = max(1, case.epochs // 10) if options.quick else case.epochs
                row = measure(case, threads, options.peers, cache, repeats=repeats, epochs=epochs, patience=patience)
                result["rows"].append(row)
                result["rows"].sort(key=lambda row: (row["threads"], order.get(row["name"], len(order))))
                stored.write_text(json.dumps(result, indent=1) + "\n")
                print(row_as_text(row), flush=True)
    print("\n".join(report.summary(result["rows"])))
    report.write(result, options.output)


if __name__ == "__main__":
    main()
