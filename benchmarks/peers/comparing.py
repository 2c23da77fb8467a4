"""Functions that compare the peers in a row of the speed benchmark.

A row is one network with one number of threads, as ``benchmarks.run`` stores it: its description, and under ``peers``
the measurements of each, or why it was skipped.
"""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from scipy import stats

PLAIN = " plain"  # suffix of a peer that trains without the row's option
LIMIT = "limit"
OURS = ("skmlp", "skmlp-numpy")
PAIRS = {"sklearn-frame": "skmlp-frame"}  # compared with each other, on the same input

Row = dict[str, Any]


def ran(row: Row, peer: str) -> bool:
    """Return whether the row has times of the peer."""
    return "seconds" in row["peers"].get(peer, {})


def step_seconds(row: Row, peer: str) -> list[float]:
    """Return the seconds per step of each training."""
    entry = row["peers"][peer]
    steps = [epochs * row["steps_per_epoch"] for epochs in entry["epochs"]]
    return [seconds / count for seconds, count in zip(entry["seconds"], steps, strict=True)]


def median_step(row: Row, peer: str) -> float:
    """Return the median seconds per step."""
    return statistics.median(step_seconds(row, peer))


def ratio(row: Row, peer: str, base: str) -> float | None:
    """Return the time of the peer's steps as a multiple of the base's, the median over turns."""
    if not (ran(row, peer) and ran(row, base)):
        return None
    pairs = zip(step_seconds(row, peer), step_seconds(row, base), strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def start_up(row: Row, peer: str) -> float:
    """Return the seconds of importing the peer and of what its first training needs beyond an epoch."""
    entry = row["peers"][peer]
    epoch = median_step(row, peer) * row["steps_per_epoch"]
    return float(entry["import_seconds"] + max(0.0, entry["first_seconds"] - epoch))


def cold_seconds(row: Row, peer: str, steps: float) -> float:
    """Return the seconds for `steps` steps in a new process."""
    return start_up(row, peer) + steps * median_step(row, peer)


def break_even(row: Row, peer: str, base: str = "skmlp") -> float:
    """Return after how many steps in a new process the peer overtakes the base: 0 at once, inf never."""
    lead = start_up(row, peer) - start_up(row, base)
    gain = median_step(row, base) - median_step(row, peer)
    if gain <= 0.0:
        return math.inf
    return max(0.0, lead / gain)


def loss_difference(ours: list[float], theirs: list[float]) -> float | None:
    """Return the relative difference of our mean loss if it exceeds 2 % and is significant; else None.

    Welch's test at the level of 0.1 %, because many rows are compared.
    """
    if min(len(ours), len(theirs)) < 3:
        return None
    mean = statistics.mean(theirs)
    difference = statistics.mean(ours) - mean
    if abs(difference) <= 0.02 * abs(mean) or stats.ttest_ind(ours, theirs, equal_var=False).pvalue > 0.001:
        return None
    return difference / mean


def base_for(peer: str, base: str = "skmlp") -> str:
    """Return what the peer is compared with if the others are compared with `base`."""
    return base + PLAIN if peer.endswith(PLAIN) else PAIRS.get(peer, base)


def differing_losses(row: Row) -> Iterator[tuple[str, float]]:
    """Yield the peers whose final loss differs from skmlp's, with the difference of skmlp."""
    for peer, entry in row["peers"].items():
        base = base_for(peer)
        if row["option"] or peer in (*OURS, LIMIT, *PAIRS.values()) or not (ran(row, peer) and ran(row, base)):
            continue
        difference = loss_difference(row["peers"][base]["loss"], entry["loss"])
        if difference is not None:
            yield peer, difference


def busy_cores(row: Row) -> float:
    """Return how many cores other processes kept busy during the row's trainings; NaN if unknown."""
    entries = [entry for peer, entry in row["peers"].items() if ran(row, peer)]
    seconds, others = (sum(sum(entry[name]) for entry in entries) for name in ("seconds", "others"))
    return max(0.0, others / seconds) if entries else math.nan


def geometric_mean(values: Iterable[float]) -> float:
    """Return the mean for ratios."""
    return math.exp(statistics.mean(map(math.log, values)))
