"""Markdown tables and a plot of stored results."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.report import digits, table
from benchmarks.tables import methods as known
from benchmarks.tables import ranking
from benchmarks.tables.ranking import Metric, Values
from benchmarks.tables.results import Record
from benchmarks.tables.sets import BY_NAME

PURPOSES = {"development": "Development sets", "final": "Final sets"}
METRICS: dict[Metric, str] = {"score": "accuracy or R2", "loss": "log loss or RMSE", "auc": "AUC"}
DISTURBED = 0.2  # cores kept busy by other processes
RULES = """\
Means over seeds; ± is their standard error. A rank is that of the mean within a set, 1 is the best; ranks, errors and
times are means over the sets on which all methods of the table ran, there over the seeds that all of them have. Error
is the geometric mean of 1 - accuracy, nRMSE that of RMSE / standard deviation of the target, both shifted by 0.01.

A difference on a set is a tie unless it exceeds 2 s / sqrt(k): k is the number of seeds that both methods have, s the
noise of a difference for one seed, the median over all pairs of methods of the standard deviation over seeds of their
differences on this set. Splits of different seeds overlap, so s understates the noise between independent samples.

Seconds are those of a new process with the library imported; what a library compiles when it is first used is part of
them. Memory is the growth of the peak during fit and prediction."""


def write(records: list[Record], folder: Path, reference: str | None = None) -> str:
    """Write ``tables.md`` and, if matplotlib is installed, ``tables.png``; return the text."""
    text = markdown(records, reference)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.md").write_text(text, encoding="utf-8")
    try:
        plot(records, folder / "tables.png")
    except ImportError as error:
        print(f"no plot: {error}")
    return text


def markdown(records: list[Record], reference: str | None = None) -> str:
    """Return all tables."""
    lines = ["# Public tables", "", *conditions(records), "", RULES, ""]
    for purpose, title in PURPOSES.items():
        own = [record for record in records if BY_NAME[record["set"]].purpose == purpose]
        if ranking.ran(own):
            lines += [f"## {title}", "", *sizes(own), *comparison(own, reference), *in_detail(own)]
    return "\n".join(lines)


def conditions(records: list[Record]) -> list[str]:
    """Return versions, notes on methods, limits, disturbed trainings and failures."""
    done = ranking.ran(records)
    if not done:
        return ["No training is stored."]
    versions = {record["method"]: record["version"] for record in done}
    libraries = sorted({f"{name} {version}" for record in done for name, version in record["versions"].items()})
    dates = sorted({record["date"][:10] for record in done})
    busy = sum(is_disturbed(record) for record in done)
    cpus, cores, rows = (
        " or ".join(f"{value:,}" if isinstance(value, int) else value for value in sorted({r[name] for r in done}))
        for name in ("cpu", "cores", "max_rows")
    )
    lines = [
        f"{len(done)} trainings, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, with at most {rows} rows. "
        f"Processor: {cpus}. Cores of each training: {cores}. In {busy} trainings other processes kept more than "
        f"{DISTURBED} cores busy, so that their times are too long.",
        "",
        f"{', '.join(libraries)}.",
        "",
    ]
    notes = {method: known.find(method).note for method in versions}
    lines += [f"- {name} {versions[name]}{': ' * bool(note)}{note}" for name, note in notes.items()]
    lines += [
        f"- {record['method']} failed on {record['set']}, seed {record['seed']}: {record['failed']}"
        for record in records
        if "failed" in record
    ]
    return lines


def sizes(records: list[Record]) -> list[str]:
    """Return a row for each set: its task and its rows, columns and classes, and the package that holds it."""
    last = {record["set"]: record for record in ranking.ran(records)}
    rows = [
        [
            name,
            last[name]["task"],
            *(f"{last[name][size]:,}" for size in ("n_train", "n_test", "n_features")),
            str(last[name]["n_classes"] or "-"),
            entry.package,
        ]
        for name, entry in BY_NAME.items()
        if name in last
    ]
    return table("set | task | training rows | test rows | columns | classes | package", rows)


def is_disturbed(record: Record) -> bool:
    """Return whether other processes were busy just before or during the training."""
    return max(record["busy_before"] or 0.0, record["others"] or 0.0) > DISTURBED


def comparison(records: list[Record], reference: str | None) -> list[str]:
    """Return ranks, errors, times, and wins, first of the methods with several seeds, then of all."""
    values = ranking.collect(records, "score")
    every = ranking.covering(values)
    several = ranking.repeated(values, every)
    lines: list[str] = []
    for methods, title in ((several, "on all their seeds"), (every, "on the seeds that all have")):
        if len(methods) > 1 and (methods is several or methods != several):
            shared = ranking.common_means(values, methods)
            lines += [f"### {len(methods)} methods on {len(shared)} sets, {title}", ""]
            lines += overview(records, methods, reference)
    left_out = [method for method in ranking.methods_of(values) if method not in every]
    if left_out:
        lines += [f"Not compared, since they ran on less than half of the sets: {', '.join(left_out)}.", ""]
    for metric in ("score", "loss") if len(every) > 1 else ():
        lines += [f"### Wins, losses and ties by {METRICS[metric]}", "", *tallies(records, metric, every)]
    return lines


def base_of(methods: Sequence[str], reference: str | None) -> str:
    """Return the method whose times are 1."""
    return next(name for name in (reference or known.OURS, known.OURS, "hgb", methods[0]) if name in methods)


def overview(records: list[Record], methods: Sequence[str], reference: str | None) -> list[str]:
    """Return a row for each method, the best mean rank first."""
    base = base_of(methods, reference)
    ranks = {metric: ranking.mean_ranks(ranking.collect(records, metric), methods) for metric in METRICS}
    errors = [ranking.mean_errors(records, methods, task) for task in ("classification", "regression")]
    times = [
        {method: value / found[base] for method, value in found.items()}
        for found in (
            ranking.geometric_means(ranking.measured(records, name), methods)
            for name in ("fit_seconds", "predict_seconds")
        )
    ]

    def shown(found: dict[str, float], method: str, decimals: int) -> str:
        return f"{found[method]:.{decimals}f}" if method in found else "-"

    rows = [
        [
            method,
            *(shown(ranks[metric], method, 2) for metric in METRICS),
            *(shown(found, method, 4) for found in errors),
            *(digits(found.get(method)) for found in times),
        ]
        for method in sorted(methods, key=lambda method: ranks["score"].get(method, math.inf))
    ]
    heads = [f"rank by {title}" for title in METRICS.values()]
    header = ["method", *heads, "error", "nRMSE", f"fit time / {base}", f"predict time / {base}"]
    return table(" | ".join(header), rows)


def tallies(records: list[Record], metric: Metric, methods: Sequence[str]) -> list[str]:
    """Return the wins-losses-ties of each row's method against each column's."""
    values = ranking.collect(records, metric)

    def cell(first: str, second: str) -> str:
        return "" if first == second else "-".join(map(str, ranking.tally(values, first, second)))

    rows = [[first, *(cell(first, second) for second in methods)] for first in methods]
    return table(" | ".join(["", *methods]), rows)


def in_detail(records: list[Record]) -> list[str]:
    """Return a table for each metric and measurement, with a row for each set."""
    lines = []
    methods = list(dict.fromkeys(record["method"] for record in records))
    for metric, title in METRICS.items():
        values = ranking.collect(records, metric)
        lines += [f"### {title[0].upper()}{title[1:]}", "", *by_set(values, methods, score_cell(metric), best=True)]
    for name, title in (("fit_seconds", "Seconds to fit"), ("predict_seconds", "Seconds to predict the test rows")):
        lines += [f"### {title}", "", *by_set(ranking.measured(records, name), methods, seconds_cell)]
    memory = ranking.measured(records, "memory")
    return [*lines, "### Memory, MB", "", *by_set(memory, methods, lambda values: digits(mean(values) / 1e6))]


def mean(values: dict[int, float]) -> float:
    return ranking.summary(values)[0]


def seconds_cell(values: dict[int, float]) -> str:
    return digits(mean(values))


def score_cell(metric: Metric) -> Callable[[dict[int, float]], str]:
    """Return the formatter of values over seeds: four decimals for scores, four significant digits for losses."""

    def cell(values: dict[int, float]) -> str:
        center, error = ranking.summary(values)
        # An RMSE has the scale of the target.
        decimals = 4 if metric != "loss" or not center else max(0, 3 - math.floor(math.log10(abs(center))))
        spread = "" if math.isnan(error) else f" ± {error:.{decimals}f}"
        return f"{abs(center) if metric == 'loss' else center:.{decimals}f}{spread}"

    return cell


def by_set(
    values: Values, methods: Sequence[str], cell: Callable[[dict[int, float]], str], *, best: bool = False
) -> list[str]:
    """Return a row for each set and a column for each method; the highest mean is bold if `best`."""
    rows = []
    for name in (name for name in BY_NAME if name in values):
        own = values[name]
        means = {method: mean(seeds) for method, seeds in own.items()}
        top = max(means.values()) if best else math.inf
        cells = {method: f"**{cell(seeds)}**" if means[method] == top else cell(seeds) for method, seeds in own.items()}
        rows.append([name, *(cells.get(method, "-") for method in methods)])
    return table(" | ".join(["set", *methods]), rows)


def points(records: Iterable[Record]) -> dict[str, tuple[float, float]]:
    """Return the geometric mean of the seconds to fit, and the mean rank by score, of each method that is compared."""
    records = list(records)
    values = ranking.collect(records, "score")
    methods = ranking.covering(values)
    seconds = ranking.geometric_means(ranking.measured(records, "fit_seconds"), methods)
    return {method: (seconds[method], rank) for method, rank in ranking.mean_ranks(values, methods).items()}


def plot(records: list[Record], path: Path) -> None:
    """Draw the mean rank of the methods over their time, for both purposes."""
    from matplotlib.figure import Figure

    panels = {
        title: points(record for record in records if BY_NAME[record["set"]].purpose == purpose)
        for purpose, title in PURPOSES.items()
    }
    panels = {title: found for title, found in panels.items() if found}
    if not panels:
        return
    figure = Figure(figsize=(5.5 * len(panels), 4.5), layout="constrained")
    for axes, (title, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for method, (seconds, rank) in found.items():
            is_ours = method.startswith(known.OURS)
            axes.plot(seconds, rank, "D" if is_ours else "o", color="tab:red" if is_ours else "tab:blue")
            axes.annotate(method, (seconds, rank), xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set(title=title, xlabel="seconds to fit, geometric mean", ylabel="mean rank by accuracy or R2")
        axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.invert_yaxis()
        axes.grid(color="0.9")
    figure.savefig(path, dpi=110)
