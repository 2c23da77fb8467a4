"""A chain of links on the arrays of a training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.optim.schedules import Time
from skmlp.optim.solvers.groups import pieces_of, prepare_groups
from skmlp.optim.solvers.transform import State, Transform

__all__ = ["Chain"]

# A chain works on this many elements at a time: five float32 arrays of that length stay in the second-level cache.
BLOCK = 16_384


class Chain:
    """Links on arrays that are cut into blocks, which stay in the cache from link to link.

    A matrix is one block if there are links that work on whole matrices.

    Parameters
    ----------
    links : sequence of Transform
    params, grad : ndarray of shape (n_parameters,)
    state : dict
        From :meth:`Solver.init`.
    """

    def __init__(self, links: Sequence[Transform], params: FloatArray, grad: FloatArray, state: State) -> None:
        self._links, self._state, self._params, self._grad = list(links), state, params, grad
        blocks = [
            (begin, min(begin + size, stop), group, shape)
            for start, stop, group, shape in pieces_of(state, params.size)
            for size in [BLOCK if shape is None else stop - start]
            for begin in range(start, stop, size)
        ]
        sizes = [
            link.scratch_size(shape or (stop - start,))
            for start, stop, _, shape in blocks
            for link in links
            if self._n_seen(link, start, stop, is_matrix=shape is not None) > 0
        ]
        self._scratch = np.empty(max(sizes, default=0), params.dtype)
        self._positions = [0] * len(self._links)  # of the next block in the arrays of each link's state
        self._blocks = [
            (params[start:stop], grad[start:stop], group, self._arguments(start, stop, shape))
            for start, stop, group, shape in blocks
        ]

    def _arguments(self, start: int, stop: int, shape: tuple[int, ...] | None) -> list[tuple[int, Any, Any, Any, Any]]:
        """Return which links act on a block, by number, and what :meth:`Transform.apply` of each gets."""
        found = []
        for number, link in enumerate(self._links):
            n = self._n_seen(link, start, stop, is_matrix=shape is not None)
            if n == 0:
                continue
            position = self._positions[number]
            self._positions[number] += n
            link_state = self._state["links"][number]
            arrays = {
                name: values[position : position + n]
                for name, values in link_state.items()
                if isinstance(values, np.ndarray)
            }
            updates, params, scratch = self._grad[start : start + n], self._params[start : start + n], self._scratch[:n]
            if link.acts_on == "matrices" and shape is not None:
                arrays = {name: values.reshape(shape) for name, values in arrays.items()}
                updates, params = updates.reshape(shape), params.reshape(shape)
                scratch = self._scratch[: link.scratch_size(shape)]
            found.append((number, updates, params, arrays, scratch))
        return found

    def _n_seen(self, link: Transform, start: int, stop: int, *, is_matrix: bool) -> int:
        """Return how many of the leading elements of a block a link acts on."""
        if link.acts_on == "weights":
            n_weights: int = self._state["n_weights"]
            return max(0, min(stop, n_weights) - start)
        return stop - start if link.acts_on == "all" or (link.acts_on == "matrices") == is_matrix else 0

    def step(self, learning_rate: float, time: Time | None = None) -> None:
        """Take one step; see :meth:`Solver.update`."""
        state, links = self._state, self._links
        state["count"] += 1
        if time is not None:
            links = [link.at(time) for link in links]
        numbers = prepare_groups(links, state, state["count"], learning_rate)
        for p, u, group, arguments in self._blocks:
            for number, updates, params, arrays, scratch in arguments:
                links[number].apply(updates, params, arrays, scratch, numbers[group][number])
            np.add(p, u, out=p)
