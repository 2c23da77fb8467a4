"""The table of the stored measurements."""

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.report import digits, table

HEADS = ("situation", "package", "time", "/ skmlp", "rows a second", "peak memory, MB")
WIDTHS = (40, 14, 10, 8, 14, 16)

Row = dict[str, Any]


def duration(seconds: float) -> str:
    """Return a time with three significant digits, in s, ms or µs."""
    factor, unit = next(
        ((factor, unit) for factor, unit in ((1.0, "s"), (1e-3, "ms")) if seconds >= factor), (1e-6, "µs")
    )
    return f"{digits(seconds / factor)} {unit}"


def row_cells(row: Row) -> Iterator[list[str]]:
    """Yield a line for each package: medians over the rounds; the ratio is the median over pairs of rounds."""
    ours = row["packages"].get("skmlp", {})
    for package, entry in row["packages"].items():
        if "failed" in entry:
            yield [row["name"], package, f"failed: {entry['failed']}", "", "", ""]
            continue
        seconds = statistics.median(entry["seconds"])
        pairs = zip(entry["seconds"], ours.get("seconds", ()), strict=False)
        ratios = [their / our for their, our in pairs]
        memory = None if None in entry["memory"] else statistics.median(entry["memory"]) / 1e6
        yield [
            row["name"],
            package,
            duration(seconds),
            digits(statistics.median(ratios)) if ratios else "-",
            f"{entry['rows'] / seconds:,.0f}" if entry["rows"] else "-",
            "-" if memory is None else f"{memory:,.1f}",
        ]


def row_as_text(cells: list[str] | tuple[str, ...]) -> str:
    """Return a line for the terminal."""
    name, package, *rest = cells
    first = f"{name:{WIDTHS[0]}}  {package:{WIDTHS[1]}}"
    return first + "".join(f"{cell:>{width}}  " for cell, width in zip(rest, WIDTHS[2:], strict=True)).rstrip()


def markdown(result: dict[str, Any]) -> str:
    """Return a description of the machine, and the table."""
    machine, rows = result["machine"], result["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    others = [row["others"] for row in rows] or [0.0]
    steps = "Steps of skmlp are compiled by numba." if result["compiled"] else "Steps of skmlp are NumPy's."
    warning = " The figures of the quick mode mean little." if result["quick"] else ""
    skipped = [f"- {name}: skipped, {reason}" for name, reason in result["left_out"].items()]
    lines = [
        f"{result['date']}: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {versions}, NumPy with {machine['blas']}. {steps} "
        f"Threads of a process: {result['threads']}. Other work kept {statistics.mean(others):.1f} cores busy "
        f"meanwhile, in the worst row {max(others):.1f}.{warning}",
        "",
        *table(" | ".join(HEADS), (cells for row in rows for cells in row_cells(row))),
        *skipped,
    ]
    return "\n".join(lines).rstrip() + "\n"
