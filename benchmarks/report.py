"""Tables and plot of a stored run of the speed benchmark.

    python -m benchmarks.report [benchmarks/results/speed.json] [--docs docs]

Writes ``speed.md`` and ``speed.png`` next to the stored run; with ``--docs`` also the shorter tables between the
markers of ``benchmarks.md`` in that folder, and the plot into its ``images``. The time of a step is the median over
trainings, a ratio the median over pairs of trainings of the same turn.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.comparing import (
    LIMIT,
    OURS,
    PAIRS,
    PLAIN,
    Row,
    base_for,
    break_even,
    busy_cores,
    cold_seconds,
    differing_losses,
    geometric_mean,
    median_step,
    ran,
    ratio,
    start_up,
)

WIDTHS = {"up to 128 wide": (0, 128), "256 and wider": (129, math.inf)}

Result = dict[str, Any]


def digits(value: float | None) -> str:
    """Return a number with three significant digits and without an exponent."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def table(header: str, rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table, followed by an empty one; nothing without rows."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return [f"| {header} |", "|" + "---|" * (header.count("|") + 1), *lines, ""] if lines else []


def names(rows: Iterable[Row]) -> list[str]:
    """Return the peers that ran in any of the rows."""
    return list(dict.fromkeys(peer for row in rows for peer in row["peers"] if ran(row, peer)))


def summary(rows: list[Row]) -> list[str]:
    """Return a comparison by number of threads, width and peer, and the final losses that differ."""
    cells = []
    for threads in sorted({row["threads"] for row in rows}):
        for width, (low, high) in WIDTHS.items():
            group = [row for row in rows if row["threads"] == threads and low <= row["width"] <= high]
            for ours in OURS:
                for peer in names(group):
                    base = base_for(peer, ours)
                    both = [row for row in group if ran(row, base) and ran(row, peer) and not row["option"]]
                    is_listed = peer in (*OURS[: OURS.index(ours) + 1], LIMIT, *PAIRS.values())
                    is_listed |= peer in PAIRS and ours != OURS[0]
                    if both and not is_listed:
                        cells.append([str(threads), width, base, peer, *compared(both, peer, base)])
    header = (
        "threads | networks | ours | peer | geometric mean | least | in | rows behind | with start-up | caught after"
    )
    differences = [
        f"- {row['name']}, threads {row['threads']}: skmlp's is {difference:+.1%} from {peer}'s"
        for row in rows
        for peer, difference in differing_losses(row)
    ]
    if differences:
        differences = ["Final losses that differ by more than 2 % and by more than chance:", "", *differences, ""]
    return [*table(header, cells), *differences]


def compared(rows: list[Row], peer: str, base: str) -> list[str]:
    """Return the cells of the comparison: the peer's times as multiples of the base's."""
    ratios = {row["name"]: ratio(row, peer, base) or math.nan for row in rows}
    least = min(ratios, key=ratios.__getitem__)
    cold = []
    for row in rows:
        steps = row["epochs"] * row["steps_per_epoch"]
        cold.append(cold_seconds(row, peer, steps) / cold_seconds(row, base, steps))
    catches = [steps for row in rows if math.isfinite(steps := break_even(row, peer, base))]
    ends = dict.fromkeys(f"{steps:,.0f}" for steps in (min(catches), max(catches))) if catches else {}
    return [
        digits(geometric_mean(ratios.values())),
        digits(ratios[least]),
        least,
        f"{sum(value < 1.0 for value in ratios.values())} of {len(rows)}",
        digits(geometric_mean(cold)),
        f"{' to '.join(ends)} steps" if ends else "never",
    ]


def overview(rows: list[Row]) -> list[str]:
    """Return a table of the rows without an option: our time per step, and the peers' as multiples of it."""
    rows = [row for row in rows if ran(row, "skmlp") and not row["option"]]
    peers = [peer for peer in names(rows) if peer not in ("skmlp", LIMIT, *PAIRS.values())]
    cells = []
    for row in rows:
        step = median_step(row, "skmlp")
        ours = (1e6 * step, row["batch_size"] / step, ratio(row, "skmlp", LIMIT))
        cells.append([row["name"], *map(digits, ours), *(digits(ratio(row, peer, base_for(peer))) for peer in peers)])
    return table(" | ".join(["network", "skmlp, µs a step", "rows a second", "/ limit", *peers]), cells)


def details(rows: list[Row]) -> list[str]:
    """Return a table with a line for each row and peer."""
    header = "network | peer | µs a step | rows a second | / limit | / skmlp | / skmlp-numpy | start-up, s"
    header += " | catches skmlp after | peak memory, MB | final loss"
    return table(header, ([row["name"], peer, *cells] for row in rows for peer, cells in row_cells(row)))


def row_cells(row: Row) -> Iterator[tuple[str, list[str]]]:
    """Yield the cells of each peer in the detailed table."""
    different = dict(differing_losses(row))
    for peer, entry in row["peers"].items():
        if not ran(row, peer):
            yield peer, [f"skipped: {entry['skipped']}", *[""] * 8]
            continue
        step, base = median_step(row, peer), base_for(peer)
        is_rival = ran(row, base) and peer.removesuffix(PLAIN) not in (*OURS, LIMIT, *PAIRS.values())
        catches = break_even(row, peer, base) if is_rival else math.inf
        loss = "-"
        if None not in entry["loss"]:
            spread = f" ± {statistics.stdev(entry['loss']):.1g}" if len(entry["loss"]) > 1 else ""
            loss = f"{statistics.mean(entry['loss']):.4g}{spread}"
            loss += f" (skmlp's {different[peer]:+.1%})" if peer in different else ""
        bases = (LIMIT, base, "" if peer in PAIRS else base_for(peer, OURS[1]))
        ratios = (ratio(row, peer, other) for other in bases)
        memory = None if entry["memory"] is None else entry["memory"] / 1e6
        yield (
            peer,
            [
                *map(digits, (1e6 * step, row["batch_size"] / step, *ratios)),
                f"{start_up(row, peer):.2f}",
                "-" if math.isinf(catches) else f"{catches:,.0f} steps",
                digits(memory),
                loss,
            ],
        )


def beginnings(rows: list[Row]) -> list[str]:
    """Return a table of the start-up of each peer in a new process, medians over the rows."""
    rows = [row for row in rows if not row["option"]]
    cells = []
    for peer in names(rows):
        if peer != LIMIT:
            own = [row for row in rows if ran(row, peer)]
            imports = [row["peers"][peer]["import_seconds"] for row in own]
            once = [start_up(row, peer) - seconds for row, seconds in zip(own, imports, strict=True)]
            medians = (f"{statistics.median(values):.2f}" for values in (imports, once))
            cells.append([peer, *medians, f"{max(once):.2f}"])
    return table("peer | import, s | the first training beyond its epoch, s | at most", cells)


def option_costs(rows: list[Row]) -> list[str]:
    """Return a table of what options add to the steps of each peer."""
    cells = []
    for row in rows:
        for peer in row["peers"]:
            times = ratio(row, peer, peer + PLAIN)
            if row["option"] and times is not None:
                steps = (1e6 * median_step(row, which) for which in (peer + PLAIN, peer))
                cells.append([row["name"], peer, *map(digits, steps), f"{times - 1.0:+.1%}"])
    return table("network | peer | µs a step without | with | added", cells)


def markdown(result: Result, *, in_full: bool) -> str:
    """Return the tables; the detailed ones only if `in_full`."""
    machine, rows = result["machine"], result["rows"]
    # The process that sends to MLflow is not other work.
    busy = [busy_cores(row) for row in rows if row["option"] != "tracking"] or [math.nan]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    warning = " The figures of the quick mode mean little." if result["quick"] else ""
    lines = [
        f"{result['date']}: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {versions}, NumPy with {machine['blas']}. "
        f"Each peer trained {result['repeats']} times in each row; other work kept {statistics.mean(busy):.1f} cores "
        f"busy meanwhile, in the worst row {max(busy):.1f}.{warning}",
        "",
        *summary(rows),
        *beginnings(rows),
    ]
    for threads in sorted({row["threads"] for row in rows}):
        own = [row for row in rows if row["threads"] == threads]
        for title, part in (("", overview(own)), (", options", option_costs(own)), (", in full", details(own))):
            if part and (in_full or title != ", in full"):
                lines += [f"### {threads} thread{'s' * (threads > 1)}{title}", "", *part]
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """Draw the time of the steps of each peer as a multiple of the time of the matrix products."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [row for row in rows if ran(row, LIMIT) and not row["option"]]
    threads = sorted({row["threads"] for row in rows})
    cases = list(dict.fromkeys(row["name"] for row in rows))
    if not cases:
        return
    peers = [peer for peer in names(rows) if peer != LIMIT]
    figure = Figure(figsize=(3.0 + 5.0 * len(threads), 1.6 + 0.6 * len(cases)), layout="constrained")
    panels = figure.subplots(1, len(threads), sharex=True, sharey=True, squeeze=False)[0]
    for panel, count in zip(panels, threads, strict=True):
        panel.set(title=f"{count} thread{'s' * (count > 1)}", xlabel="time a step / time of its matrix products")
        own = [row for row in rows if row["threads"] == count]
        for index, peer in enumerate(peers):
            points = [(ratio(row, peer, LIMIT), cases.index(row["name"])) for row in own if ran(row, peer)]
            # Peers are shifted vertically, so that equal times do not hide each other.
            shift = 0.8 * ((index + 0.5) / len(peers) - 0.5)
            style = {"color": mpl.colormaps["tab10"](index), "marker": "os^vD<>Pp*"[index % 10], "markersize": 4}
            panel.plot([x for x, _ in points], [y + shift for _, y in points], linestyle="", label=peer, **style)
        for line in range(len(cases) + 1):
            panel.axhline(line - 0.5, color="0.88", linewidth=0.8, zorder=0)
        panel.axvline(1.0, color="0.5", linewidth=1.0, zorder=0)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(axis="x", color="0.9")
    panels[0].set(yticks=range(len(cases)), yticklabels=cases, ylim=(len(cases) - 0.5, -0.5))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)


def write(result: Result, folder: Path) -> None:
    """Write ``speed.md`` and, if matplotlib is installed, ``speed.png`` into the folder."""
    (folder / "speed.md").write_text(markdown(result, in_full=True), encoding="utf-8")
    try:
        plot(result["rows"], folder / "speed.png")
    except ImportError as error:
        print(f"no plot: {error}")


def insert(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers ``<!-- name:begin -->`` and ``<!-- name:end -->``."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end) or begin in rest or end in before + after:
        raise ValueError(f"The page must have one line {begin} and after it one line {end}.")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stored", type=Path, nargs="?", default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--docs", type=Path, help="the folder of benchmarks.md")
    options = parser.parse_args()
    result = json.loads(options.stored.read_text(encoding="utf-8"))
    write(result, options.stored.parent)
    if options.docs:
        image = options.docs / "images" / "speed.png"
        plot(result["rows"], image)
        picture = "![Time a step as a multiple of the time of its matrix products](images/speed.png)"
        page = options.docs / "benchmarks.md"
        text = insert(page.read_text(encoding="utf-8"), "speed", f"{markdown(result, in_full=False)}\n{picture}")
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
