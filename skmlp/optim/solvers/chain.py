"""A chain of links on the arrays of a training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.optim.schedules import Time
from skmlp.optim.solvers.groups import prepare_groups, runs_of
from skmlp.optim.solvers.transform import State, Transform

__all__ = ["Chain"]

# A chain works on this many elements at a time: five float32 arrays of that length stay in the second-level cache.
BLOCK = 16_384


class Chain:
    """Links on arrays that are cut into blocks, which stay in the cache from link to link.

    Parameters
    ----------
    links : sequence of Transform
    params, grad : ndarray of shape (n_parameters,)
    state : dict
        From :meth:`Solver.init`.
    """

    def __init__(self, links: Sequence[Transform], params: FloatArray, grad: FloatArray, state: State) -> None:
        self._links, self._state = list(links), state
        self._n_weights = state["n_weights"]
        self._scratch = np.empty(min(params.size, BLOCK), params.dtype)
        self._blocks: list[tuple[FloatArray, FloatArray, int, list[tuple[Any, Any, Any, Any]]]] = []
        for start, stop, group in runs_of(state, params.size):
            for begin in range(start, stop, BLOCK):
                end = min(begin + BLOCK, stop)
                p, u = params[begin:end], grad[begin:end]
                arguments = [
                    self._arguments(link, link_state, p, u, begin)
                    for link, link_state in zip(self._links, state["links"], strict=True)
                ]
                self._blocks.append((p, u, group, arguments))

    def _arguments(self, link: Transform, link_state: State, p: FloatArray, u: FloatArray, begin: int) -> Any:
        """Return what :meth:`Transform.apply` gets for the block that begins there: updates, params, state, scratch."""
        n = min(p.size, max(0, self._n_weights - begin)) if link.weights_only else p.size
        arrays = {
            name: values[begin : begin + n] for name, values in link_state.items() if isinstance(values, np.ndarray)
        }
        return u[:n], p[:n], arrays, self._scratch[:n]

    def step(self, learning_rate: float, time: Time | None = None) -> None:
        """Take one step; see :meth:`Solver.update`."""
        state, links = self._state, self._links
        state["count"] += 1
        if time is not None:
            links = [link.at(time) for link in links]
        numbers = prepare_groups(links, state, state["count"], learning_rate)
        for p, u, group, arguments in self._blocks:
            for link, (updates, params, arrays, scratch), own in zip(links, arguments, numbers[group], strict=True):
                link.apply(updates, params, arrays, scratch, own)
            np.add(p, u, out=p)
