"""Ranks, wins and ties of methods over sets and seeds.

A comparison of methods uses only the sets on which all of them ran, and there only the seeds that all of them have.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

from scipy.stats import rankdata

from benchmarks.tables.results import Record

Metric = Literal["score", "loss", "auc"]
Values = dict[str, dict[str, dict[int, float]]]  # of a set, a method and a seed

NAMES: dict[Metric, dict[str, str]] = {
    "score": {"classification": "accuracy", "regression": "r2"},
    "loss": {"classification": "log_loss", "regression": "rmse"},
    "auc": {"classification": "auc"},
}
COVERAGE = 0.5  # fraction of the sets that a method must have run on to be ranked
SHIFT = 0.01  # of errors before their geometric mean, so that a set without errors does not decide it


class Tally(NamedTuple):
    """How often a method is better than another, worse, and neither."""

    wins: int
    losses: int
    ties: int


def ran(records: Iterable[Record]) -> list[Record]:
    """Return the records without those that failed."""
    return [record for record in records if "failed" not in record]


def collect(records: Iterable[Record], metric: Metric) -> Values:
    """Return the values of a metric; losses are negative, so that more is always better."""
    found: Values = {}
    sign = -1.0 if metric == "loss" else 1.0
    for record in ran(records):
        value = record["scores"].get(NAMES[metric].get(record["task"], ""))
        if value is not None:
            found.setdefault(record["set"], {}).setdefault(record["method"], {})[record["seed"]] = sign * value
    return found


def measured(records: Iterable[Record], name: str) -> Values:
    """Return the values of a measurement such as "fit_seconds"."""
    found: Values = {}
    for record in ran(records):
        if record[name] is not None:
            found.setdefault(record["set"], {}).setdefault(record["method"], {})[record["seed"]] = record[name]
    return found


def methods_of(values: Values) -> list[str]:
    """Return the methods that ran on any set, in the order of the records."""
    return list(dict.fromkeys(method for methods in values.values() for method in methods))


def covering(values: Values) -> list[str]:
    """Return the methods that ran on at least half of the sets; the others would leave too few to compare."""
    counts = {method: sum(method in methods for methods in values.values()) for method in methods_of(values)}
    return [method for method, count in counts.items() if count >= COVERAGE * len(values)]


def repeated(values: Values, methods: Sequence[str]) -> list[str]:
    """Return those of the methods that have more than one seed on at least half of their sets."""

    def often(method: str) -> bool:
        counts = [len(seeds[method]) for seeds in values.values() if method in seeds]
        return sum(count > 1 for count in counts) >= COVERAGE * max(1, len(counts))

    return [method for method in methods if often(method)]


def common_means(values: Values, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the mean over the seeds that all methods have, for each set on which all ran."""
    found = {}
    for name, own in values.items():
        if methods and all(method in own for method in methods):
            seeds = set.intersection(*(set(own[method]) for method in methods))
            if seeds:
                found[name] = {method: statistics.fmean(own[method][seed] for seed in seeds) for method in methods}
    return found


def mean_ranks(values: Values, methods: Sequence[str]) -> dict[str, float]:
    """Return the mean rank of each method; 1 is the best, equal values have the mean of their ranks."""
    rows = [[-own[method] for method in methods] for own in common_means(values, methods).values()]
    if not rows:
        return {}
    ranks = [rankdata(row) for row in rows]
    return {method: float(statistics.fmean(row[place] for row in ranks)) for place, method in enumerate(methods)}


def noise(own: dict[str, dict[int, float]]) -> float:
    """Return the noise of a difference between two methods on a set, for one seed.

    For each pair of methods with at least two seeds in common it is the standard deviation of their differences over
    these seeds (n - 1); over the pairs it is the median, which has more degrees of freedom than a pair of its own and
    which one erratic method does not decide. NaN without such a pair.
    """
    deviations = []
    for first, second in combinations(own.values(), 2):
        seeds = first.keys() & second.keys()
        if len(seeds) > 1:
            deviations.append(statistics.stdev(first[seed] - second[seed] for seed in seeds))
    return statistics.median(deviations) if deviations else math.nan


def tally(values: Values, first: str, second: str) -> Tally:
    """Return in how many sets the first method is better, worse, or neither.

    On k common seeds the mean difference must exceed 2 noise / sqrt(k), with the noise of one seed. If that is unknown,
    every difference counts.
    """
    wins = losses = ties = 0
    for own in values.values():
        if first not in own or second not in own:
            continue
        seeds = own[first].keys() & own[second].keys()
        if not seeds:
            continue
        difference = statistics.fmean(own[first][seed] - own[second][seed] for seed in seeds)
        spread = noise(own)
        least = 0.0 if math.isnan(spread) else 2.0 * spread / math.sqrt(len(seeds))
        if abs(difference) <= least:
            ties += 1
        elif difference > 0.0:
            wins += 1
        else:
            losses += 1
    return Tally(wins, losses, ties)


def mean_errors(records: Iterable[Record], methods: Sequence[str], task: str) -> dict[str, float]:
    """Return the shifted geometric mean of the errors: 1 - accuracy, or RMSE / standard deviation = sqrt(1 - R2)."""
    values = collect((record for record in ran(records) if record["task"] == task), "score")
    means = common_means(values, methods)
    if not means:
        return {}

    def error(score: float) -> float:
        return max(0.0, 1.0 - score) if task == "classification" else math.sqrt(max(0.0, 1.0 - score))

    def average(method: str) -> float:
        return math.exp(statistics.fmean(math.log(error(own[method]) + SHIFT) for own in means.values())) - SHIFT

    return {method: average(method) for method in methods}


def geometric_means(values: Values, methods: Sequence[str]) -> dict[str, float]:
    """Return the geometric mean over the common sets."""
    means = common_means(values, methods)
    if not means:
        return {}
    return {
        method: math.exp(statistics.fmean(math.log(max(own[method], 1e-9)) for own in means.values()))
        for method in methods
    }


def summary(values: dict[int, float]) -> tuple[float, float]:
    """Return the mean over seeds and its standard error; NaN with one seed."""
    found: list[Any] = list(values.values())
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    return statistics.fmean(found), error
