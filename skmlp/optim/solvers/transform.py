"""What a link of a chain is, and the functions that links share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray

__all__ = ["ScaleByLearningRate", "Transform"]

State = dict[str, Any]
# Floats, or arrays of shape (n_steps,).
Numbers = tuple[Any, ...]


class Transform(Configurable, ABC):
    """A link of a chain.

    Attributes
    ----------
    acts_on : {"all", "weights", "matrices", "others"}
        The parameters that the link sees: all; the leading part of the vector, which holds the weights; the weight
        matrices of hidden layers, each as a whole, of shape (n_in, n_out); or all but these.
    ahead : str or None
        The name of an array of the state, if the link averages: the parameters minus it are those to predict with.
    kernel : callable or None
        ``kernel(g, p, state, numbers) -> (update, parameter, state)`` is the rule for one parameter, in plain Python
        that numba can compile: `g` the incoming update, `p` the parameter, `state` a tuple of the values of this
        parameter in the order of the arrays from `init`, `numbers` the tuple that `prepare` returned. All are scalars
        of one dtype; ``type(g)(0.5)`` is a constant of it. A static method. Without one, or with one inherited by a
        class that overrides `init`, `prepare` or `apply`, steps are computed with NumPy.
    """

    acts_on: ClassVar[Literal["all", "weights", "matrices", "others"]] = "all"
    ahead: ClassVar[str | None] = None
    kernel: ClassVar[Callable[..., Any] | None] = None

    def init(self, params: FloatArray) -> State:
        """Return the state before the first step: arrays of the shape of `params`, and floats.

        `params` are the parameters that the link acts on, as one vector.
        """
        return {}

    def scratch_size(self, shape: tuple[int, ...]) -> int:
        """Return how many numbers of working memory `apply` needs for a block of this shape: by default its size."""
        return prod(shape)

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        """Compute the numbers of a step that are the same for all parameters; may update the floats in `state`.

        Where arrays have different learning rates it is called for each rate, with floats of its own.

        Parameters
        ----------
        state : dict
            The floats of the state; its arrays may be missing.
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
            The block; `scratch` is free to use. Of a link that acts on matrices, `updates`, `params` and the arrays of
            the state have the shape (n_in, n_out) of one, and `scratch` is of shape (scratch_size,).
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
