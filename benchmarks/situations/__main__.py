"""Measure and store the situations; see the docstring of the package."""

import argparse
import datetime as dt
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import benchmarks.situations
from benchmarks.report import insert
from benchmarks.run import describe_machine
from benchmarks.situations.measuring import CASES, PACKAGES, Case
from benchmarks.situations.table import HEADS, markdown, row_as_text, row_cells
from benchmarks.worker import busy_seconds
from skmlp import compiled

MEMORY = Path("/proc/meminfo")
POOLS = ("OPENBLAS", "OMP", "MKL", "NUMBA")


def in_new_process(case: Case, package: str) -> dict[str, Any]:
    """Return the measurements of a new process, or why it failed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(case.measure, package, **case.arguments).result()
        except Exception as error:  # of the package, or because the process was killed
            return {"failed": f"{type(error).__name__}: {error}".strip().splitlines()[0]}


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return a row: the measurements of each package, and how many cores other work kept busy meanwhile."""
    found: dict[str, dict[str, Any]] = {package: {"seconds": [], "memory": []} for package in PACKAGES}
    busy, own, started = busy_seconds(), computed(), perf_counter()
    for turn in range(rounds):
        order = [package for package in found if "failed" not in found[package]]
        for package in order[turn % len(order) :] + order[: turn % len(order)] if order else ():
            reply = in_new_process(case, package)
            if "failed" in reply:
                found[package] = reply
                continue
            found[package]["rows"] = reply["rows"]
            for name in ("seconds", "memory"):
                found[package][name].append(reply[name])
    others = (busy_seconds() - busy - (computed() - own)) / (perf_counter() - started)
    return {"name": case.name, "others": max(0.0, others), "packages": found}


def computed() -> float:
    """Return the processor time of this process and of its ended children."""
    return sum(os.times()[:4])


def free_memory() -> int | None:
    """Return the bytes available without swapping; None if unknown."""
    if not MEMORY.exists():
        return None
    lines = MEMORY.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def main() -> None:
    """Measure, print and store; or write the documentation."""
    parser = argparse.ArgumentParser(
        description=benchmarks.situations.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--quick", action="store_true", help="one round, without the longest case")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, help="measure nothing: write the stored table into this folder")
    options = parser.parse_args()
    stored = options.output / "situations.json"
    if options.docs:
        result = json.loads(stored.read_text(encoding="utf-8"))
        page = options.docs / "benchmarks.md"
        page.write_text(insert(page.read_text(encoding="utf-8"), "situations", markdown(result)), encoding="utf-8")
        return
    options.output.mkdir(parents=True, exist_ok=True)
    # Inherited by all processes, those of a search included.
    os.environ |= {f"{pool}_NUM_THREADS": str(options.threads) for pool in POOLS}
    os.environ["PYTHONWARNINGS"] = "ignore"  # one epoch does not converge
    result = {
        "date": dt.date.today().isoformat(),
        "quick": options.quick,
        "threads": options.threads,
        "compiled": not compiled.why_not(),
        "machine": describe_machine(),
        "rows": [],
        "left_out": {},
    }
    print(row_as_text(HEADS))
    for case in CASES:
        if options.only not in case.name or (options.quick and not case.in_quick):
            continue
        free = free_memory()
        if free is not None and free < case.free_bytes:
            result["left_out"][case.name] = f"it needs {case.free_bytes / 1e9:g} GB of free memory"
        else:
            row = measure(case, 1 if options.quick else case.rounds)
            result["rows"].append(row)
            print("\n".join(map(row_as_text, row_cells(row))), flush=True)
        stored.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (options.output / "situations.md").write_text(markdown(result), encoding="utf-8")
    for name, reason in result["left_out"].items():
        print(f"{name}: skipped, {reason}")


if __name__ == "__main__":
    main()
