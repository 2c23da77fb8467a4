r"""What a solver is: a chain of links that turn a gradient into a step, and the registry of solvers by name.

A link transforms a vector of updates in place: the first link of a chain receives the gradient, and the output of the
last one is added to the parameters. Links hold settings only. What changes from step to step is in a state dict of
arrays and floats that the caller keeps, so that it can be copied, pickled and resumed.

A link works element by element and has two forms of the same rule: `apply` for arrays (NumPy), and `kernel` for one
parameter (compiled steps). In the formulas :math:`g` is the incoming update, :math:`t` counts steps from 1, and
:math:`\eta` is the learning rate. `epsilon` is added outside the square root and `epsilon_root` inside it, both after
bias correction.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.optim.schedules import Time

__all__ = ["SOLVERS", "ScaleByLearningRate", "Solver", "Transform"]

State = dict[str, Any]
# Floats, or arrays of shape (n_steps,).
Numbers = tuple[Any, ...]

# A chain works on this many elements at a time: five float32 arrays of that length stay in the second-level cache.
BLOCK = 16_384


class Transform(Configurable, ABC):
    """A link of a chain.

    Attributes
    ----------
    weights_only : bool
        Whether the link sees only the leading part of the vector, which holds the weights.
    kernel : callable or None
        ``kernel(g, p, state, numbers) -> (update, parameter, state)`` is the rule for one parameter, in plain Python
        that numba can compile: `g` the incoming update, `p` the parameter, `state` a tuple of the values of this
        parameter in the order of the arrays from `init`, `numbers` the tuple that `prepare` returned. All are scalars
        of one dtype; ``type(g)(0.5)`` is a constant of it. A static method. Without one, or with one inherited by a
        class that overrides `init`, `prepare` or `apply`, steps are computed with NumPy.
    """

    weights_only = False
    kernel: ClassVar[Callable[..., Any] | None] = None

    def init(self, params: FloatArray) -> State:
        """Return the state before the first step: arrays of the shape of `params`, and floats."""
        return {}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        """Compute the numbers of a step that are the same for all parameters; may update the floats in `state`.

        Parameters
        ----------
        state : dict
        count : int or ndarray of shape (n_steps,)
            Of the step, from 1; or of several steps that follow each other.
        learning_rate : float or ndarray of shape (n_steps,)

        Returns
        -------
        numbers : tuple of float
            For several steps, each entry may be an array of shape (n_steps,).
        """
        return ()

    @abstractmethod
    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        """Change `updates` and the arrays of `state` in place, on any block of the vector.

        Parameters
        ----------
        updates, params, scratch : ndarray of shape (n,)
            The block; `scratch` is free to use.
        state : dict
            The same block of the state's arrays.
        numbers : tuple of float
            From `prepare`, for one step.
        """


@dataclass
class ScaleByLearningRate(Transform):
    r"""``updates = -learning_rate * g``: downhill."""

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return (-learning_rate,)

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        updates *= numbers[0]

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        return numbers[0] * g, p, state


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
        """Take one step; see :meth:`Solver.update`."""
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


SOLVERS: "dict[str, type[Solver]]" = {}


class Solver(Configurable, ABC):
    """An update rule ``params += chain(grad)``.

    To add one, subclass this and write `links`. ``class MySolver(Solver, name="my_solver")`` also puts the class into
    :data:`SOLVERS`, so that estimators know it by its name.
    """

    registry = SOLVERS

    @property
    @abstractmethod
    def links(self) -> Sequence[Transform]:
        """The chain, from the gradient to what is added to the parameters."""

    def init(self, params: FloatArray, n_weights: int | None = None) -> State:
        """Return the state before the first step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
        n_weights : int, optional
            How many leading entries are weights, for weight decay; all by default.

        Returns
        -------
        state : dict
            ``{"count": 0, "n_weights": ..., "links": [...]}``, numbers and arrays only. A deep copy of it and a copy
            of the parameters are a checkpoint.
        """
        return {
            "count": 0,
            "n_weights": params.size if n_weights is None else n_weights,
            "links": [link.init(params) for link in self.links],
        }

    def accepts(self, state: State) -> bool:
        """Tell whether `state` has the arrays that this solver keeps, so that training can continue from it."""
        wanted = [sorted(link.init(np.empty(0))) for link in self.links]
        return [sorted(link_state) for link_state in state.get("links", ())] == wanted and "count" in state

    def update(
        self, params: FloatArray, grad: FloatArray, state: State, learning_rate: float, time: Time | None = None
    ) -> None:
        """Take one step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
            Changed in place.
        grad : ndarray of shape (n_parameters,)
            Overwritten; afterwards it holds what was added to `params`.
        state : dict
            From :meth:`init`; changed in place.
        learning_rate : float
        time : Time, optional
            The time of the step, for scheduled settings.
        """
        Chain(self.links, params, grad, state).step(learning_rate, time)

    def on(self, params: FloatArray, grad: FloatArray, state: State) -> Callable[..., None]:
        """Return :meth:`update` for these arrays, prepared for many steps: ``step(learning_rate[, time])``."""
        if type(self).update is not Solver.update:
            return partial(self.update, params, grad, state)
        return Chain(self.links, params, grad, state).step


def accumulate(average: FloatArray, values: FloatArray, decay: float, rest: float, scratch: FloatArray) -> None:
    """``average = decay * average + rest * values``; `values` may be `scratch`."""
    average *= decay
    np.multiply(values, rest, out=scratch)
    average += scratch


def denominator(squares: FloatArray, out: FloatArray, inside: float, outside: float) -> None:
    """``out = sqrt(squares + inside) + outside``."""
    if inside == 0.0:
        np.sqrt(squares, out=out)
    else:
        np.add(squares, inside, out=out)
        np.sqrt(out, out=out)
    out += outside


def root(x: Any) -> Any:
    """Return the square root of a float as a Python float, or that of an array."""
    return math.sqrt(x) if isinstance(x, float) else np.sqrt(x)


def power(base: float, exponent: Any) -> Any:
    """Return a power of a float; for an array of exponents an array, each with the bits of a single power."""
    if isinstance(exponent, np.ndarray):  # NumPy's own loop may round differently
        return np.array([base**each for each in exponent.tolist()])
    return base**exponent
