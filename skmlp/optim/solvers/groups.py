"""Groups of parameters whose learning rates differ: each group has a factor on the network's learning rate.

A state has groups only where there is a factor other than 1::

    "groups": [{"factor": 1.0, "runs": [[0, 96], [128, 130]], "floats": [{}, ...]}, ...]

A run is a stretch of the flat vector. The floats of the links' states are kept per group, since they may depend on the
learning rate; the arrays of all groups lie side by side, as the parameters do.
"""

from collections.abc import Sequence
from typing import Any

from skmlp.optim.solvers.transform import Numbers, State, Transform

__all__ = ["Layout", "floats_of", "group_by_rate", "prepare_groups", "runs_of"]

# The start, the stop and the rate factor of each array, in the order of the vector.
Layout = Sequence[tuple[int, int, float]]


def group_by_rate(layout: Layout) -> list[dict[str, Any]]:
    """Return the factor and the runs of each group, adjacent arrays as one run; empty if all factors are 1."""
    runs: dict[float, list[list[int]]] = {}
    for start, stop, factor in layout:
        of_factor = runs.setdefault(factor, [])
        if of_factor and of_factor[-1][1] == start:
            of_factor[-1][1] = stop
        elif start < stop:
            of_factor.append([start, stop])
    found = {factor: of_factor for factor, of_factor in runs.items() if of_factor}
    return [] if found.keys() <= {1.0} else [{"factor": factor, "runs": found[factor]} for factor in found]


def runs_of(state: State, size: int) -> list[tuple[int, int, int]]:
    """Return where each run of a vector of `size` parameters starts and stops, and the number of its group."""
    if "groups" not in state:
        return [(0, size, 0)]
    return sorted(
        (start, stop, number) for number, group in enumerate(state["groups"]) for start, stop in group["runs"]
    )


def floats_of(state: State) -> list[tuple[float, list[State]]]:
    """Return the rate factor of each group, and the floats of each link; without groups with its arrays."""
    if "groups" not in state:
        return [(1.0, state["links"])]
    return [(group["factor"], group["floats"]) for group in state["groups"]]


def prepare_groups(links: Sequence[Transform], state: State, count: Any, learning_rate: Any) -> list[list[Numbers]]:
    """Return what :meth:`Transform.prepare` of each link returns, for each group."""
    return [
        [link.prepare(own, count, factor * learning_rate) for link, own in zip(links, floats, strict=True)]
        for factor, floats in floats_of(state)
    ]
