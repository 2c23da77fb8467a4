"""Which part of the vector a link acts on, and at which learning rate.

Where arrays have learning rates of their own, the state has groups, each with a factor on the network's rate::

    "groups": [{"factor": 1.0, "runs": [[0, 96], [128, 130]], "floats": [{}, ...]}, ...]

A run is a stretch of the vector. The floats of the links' states are kept per group, since they may depend on the
learning rate; the arrays of all groups lie side by side, as the parameters do. For a solver that works on whole
matrices the state has their places and shapes, too::

    "matrices": [[0, 8, 12], ...]
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.optim.solvers.transform import Numbers, State, Transform

__all__ = ["Layout", "floats_of", "group_by_rate", "part_of", "pieces_of", "prepare_groups", "runs_of"]

# Of each array, in the order of the vector: start, stop, rate factor, and the shape of a hidden layer's weight matrix.
Layout = Sequence[tuple[int, int, float, tuple[int, ...] | None]]


def group_by_rate(arrays: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Return the factor and the runs of each group, adjacent arrays as one run; empty if all factors are 1.

    `arrays` has start, stop and factor of each array.
    """
    runs: dict[float, list[list[int]]] = {}
    for start, stop, factor in arrays:
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


def pieces_of(state: State, size: int) -> Iterator[tuple[int, int, int, tuple[int, ...] | None]]:
    """Cut the runs around the matrices; yield start, stop, the number of the group, and the shape if it is a matrix."""
    for start, stop, group in runs_of(state, size):
        position = start
        for first, *shape in state.get("matrices", ()):
            if start <= first < stop:
                if position < first:
                    yield position, first, group, None
                position = first + prod(shape)
                yield first, position, group, tuple(shape)
        if position < stop:
            yield position, stop, group, None


def part_of(params: FloatArray, link: Transform, state: State) -> FloatArray:
    """Return the parameters that a link acts on, side by side."""
    if link.acts_on == "all":
        return params
    if link.acts_on == "weights":
        return params[: state["n_weights"]]
    wants_matrices = link.acts_on == "matrices"
    pieces = pieces_of({"matrices": state.get("matrices", ())}, params.size)
    parts = [params[start:stop] for start, stop, _, shape in pieces if (shape is not None) == wants_matrices]
    return np.concatenate([params[:0], *parts])


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
