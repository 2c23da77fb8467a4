"""Solvers for compiled steps: the chain of their links' kernels, and the numbers that these are given in each step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled.entries import Entry
from skmlp.compiled.kernels import kernel_of
from skmlp.compiled.program import address
from skmlp.optim.schedules import Time
from skmlp.optim.solvers import Solver
from skmlp.optim.solvers.groups import floats_of, prepare_groups, runs_of

__all__ = ["CompiledSolver", "compiled_solver", "has_kernels"]


def compiled_solver(solver: Solver, state: dict[str, Any], params: FloatArray) -> "CompiledSolver | None":
    """Return the compiled form of a solver on its state; None when one of its links has none."""
    kernels = _kernels(solver)
    return CompiledSolver(solver, state, params, kernels) if kernels else None


def has_kernels(solver: Solver) -> bool:
    """Tell whether a solver has a compiled form."""
    return bool(_kernels(solver))


def _kernels(solver: Solver) -> list[Any]:
    """Return the kernels of a solver's links; an empty list when it has no compiled form."""
    links = solver.links
    kernels = [kernel_of(link, "kernel", ("init", "prepare", "apply")) for link in links]
    element_by_element = all(link.acts_on in ("all", "weights") for link in links)
    return kernels if type(solver).update is Solver.update and element_by_element and all(kernels) else []


class CompiledSolver:
    """A solver on its state.

    Attributes
    ----------
    entry : Entry
        The function that updates a part of the parameters.
    table : ndarray, int64
        Where the arrays of the state are.
    runs : ndarray of shape (n_runs, 3), int64
        Where each run of parameters with one learning rate starts and stops, and the first of its numbers.
    address : int
        Of that function, once it is loaded.
    n_numbers : int
        How many numbers there are in a step: those that the function is given, for each group of parameters.
    """

    def __init__(self, solver: Solver, state: dict[str, Any], params: FloatArray, kernels: Sequence[Any]) -> None:
        self._solver, self._state = solver, state
        shape, places, groups = [], [], floats_of(state)
        for link, link_state, floats in zip(solver.unscheduled().links, state["links"], groups[0][1], strict=True):
            arrays = [value for value in link_state.values() if isinstance(value, np.ndarray)]
            places += [(address(array), -1, 1) for array in arrays]
            shape.append((len(arrays), len(link.prepare(dict(floats), 1, 1.0)), link.acts_on == "weights"))
        self.entry = Entry(type(solver).__name__, "solver", tuple(kernels), tuple(shape), params.dtype.name)
        self.table = np.array(places or [(0, 0, 0)], np.int64)
        self.address = 0
        n_each = sum(count for _, count, _ in shape)
        self.n_numbers = len(groups) * n_each
        runs = [(start, stop, group * n_each) for start, stop, group in runs_of(state, params.size)]
        self.runs = np.array(runs, np.int64)

    def numbers(self, learning_rates: FloatArray, times: Sequence[Time] = ()) -> FloatArray:
        """Return the numbers of the next steps, of shape (n_steps, n_numbers); times are given if settings change."""
        n_steps, count = len(learning_rates), self._state["count"]
        found = np.empty((n_steps, self.n_numbers))
        if times:
            for step, (time, rate) in enumerate(zip(times, learning_rates.tolist(), strict=True)):
                self._prepare(found[step : step + 1], self._solver.at(time), count + 1 + step, rate)
        elif n_steps == 1:
            self._prepare(found, self._solver, count + 1, float(learning_rates[0]))
        else:
            self._prepare(found, self._solver, np.arange(count + 1, count + 1 + n_steps), learning_rates)
        return found

    def _prepare(self, out: FloatArray, solver: Solver, count: Any, learning_rate: Any) -> None:
        groups = prepare_groups(solver.links, self._state, count, learning_rate)
        values = (value for numbers in groups for of_link in numbers for value in of_link)
        for column, value in enumerate(values):
            out[:, column] = value
