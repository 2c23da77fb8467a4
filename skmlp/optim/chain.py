"""The links of a solver, applied one after the other to blocks of the vector."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.optim.schedules import Time
from skmlp.optim.transforms import Transform

__all__ = ["Chain"]

# Elements a chain works on at a time: five float32 arrays of that length stay in the second-level cache.
BLOCK = 16_384


class Chain:
    """Links on arrays that are cut into blocks, which stay in the cache from link to link.

    Parameters
    ----------
    links : sequence of Transform
    params, grad : ndarray of shape (n_parameters,)
    state : dict
        From :meth:`~skmlp.optim.solvers.Solver.init`.
    """

    def __init__(self, links: Sequence[Transform], params: FloatArray, grad: FloatArray, state: dict[str, Any]) -> None:
        self._links, self._state = list(links), state
        n_weights, scratch = state["n_weights"], np.empty(min(params.size, BLOCK), params.dtype)
        self._blocks: list[tuple[FloatArray, FloatArray, list[tuple[Any, Any, Any, Any]]]] = []
        for start in range(0, params.size, BLOCK):
            p, u = params[start : start + BLOCK], grad[start : start + BLOCK]
            arguments: list[tuple[Any, Any, Any, Any]] = []
            for link, link_state in zip(self._links, state["links"], strict=True):
                stop = min(p.size, max(0, n_weights - start)) if link.weights_only else p.size
                arrays = {
                    name: values[start : start + stop]
                    for name, values in link_state.items()
                    if isinstance(values, np.ndarray)
                }
                arguments.append((u[:stop], p[:stop], arrays, scratch[:stop]))
            self._blocks.append((p, u, arguments))

    def step(self, learning_rate: float, time: Time | None = None) -> None:
        """Take one step; see :meth:`~skmlp.optim.solvers.Solver.update`."""
        state, links = self._state, self._links
        state["count"] += 1
        if time is not None:
            links = [link.at(time) for link in links]
        numbers = [
            link.prepare(link_state, state["count"], learning_rate)
            for link, link_state in zip(links, state["links"], strict=True)
        ]
        for p, u, arguments in self._blocks:
            for link, (updates, params, arrays, scratch), own_numbers in zip(links, arguments, numbers, strict=True):
                link.apply(updates, params, arrays, scratch, own_numbers)
            np.add(p, u, out=p)
