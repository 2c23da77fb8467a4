"""Adagrad, and Adadelta, which replaces its sum of squares by an average."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import NonNegative, Positive, Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, ScaleByLearningRate, State, Transform, accumulate, denominator

__all__ = ["Adadelta", "Adagrad"]


@dataclass
class ScaleByAdagrad(Transform):
    """``s = s + g^2``; passes on ``g / (sqrt(s + epsilon_root) + epsilon)`` (Duchi, Hazan and Singer, 2011)."""

    initial_accumulator: float = 0.0
    epsilon: float = 1e-10
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"squares": np.full_like(params, self.initial_accumulator)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return self.epsilon_root, self.epsilon

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        np.multiply(updates, updates, out=scratch)
        state["squares"] += scratch
        denominator(state["squares"], scratch, *numbers)
        updates /= scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        inside, outside = numbers
        squares = state[0] + g * g
        return g / (np.sqrt(squares + inside) + outside), p, (squares,)


@dataclass
class ScaleByAdadelta(Transform):
    """Passes on ``d = g sqrt(u + epsilon) / sqrt(nu + epsilon)`` (Zeiler, 2012).

    u and nu are the averages of ``d^2`` and ``g^2``.
    """

    decay: float = 0.9
    epsilon: float = 1e-6

    def init(self, params: FloatArray) -> State:
        return {"nu": np.zeros_like(params), "squared_updates": np.zeros_like(params)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return self.decay, 1.0 - self.decay, self.epsilon

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        nu, squared_updates = state["nu"], state["squared_updates"]
        decay, rest, epsilon = numbers
        np.multiply(updates, updates, out=scratch)
        accumulate(nu, scratch, decay, rest, scratch)
        denominator(nu, scratch, epsilon, 0.0)
        updates /= scratch
        denominator(squared_updates, scratch, epsilon, 0.0)
        updates *= scratch
        np.multiply(updates, updates, out=scratch)
        accumulate(squared_updates, scratch, decay, rest, scratch)

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        nu, squared_updates = state
        decay, rest, epsilon = numbers
        nu = decay * nu + rest * (g * g)
        update = g / np.sqrt(nu + epsilon) * np.sqrt(squared_updates + epsilon)
        return update, p, (nu, decay * squared_updates + rest * (update * update))


@dataclass
class Adagrad(Solver, name="adagrad"):
    r"""Gradient over the root of the sum s of all squared gradients so far.

    :math:`p \leftarrow p - \eta\, g / (\sqrt{s + \epsilon_{root}} + \epsilon)`. The step size never stops shrinking; a
    learning rate of 1e-2 is usual.

    Parameters
    ----------
    initial_accumulator : float, default=0.0
        The value :math:`s` starts from, non-negative.
    epsilon, epsilon_root : float, default=1e-10, 0.0
        Added outside and inside the root, non-negative.

    References
    ----------
    Duchi, Hazan and Singer (2011), JMLR 12.
    """

    initial_accumulator: NonNegative = 0.0
    epsilon: NonNegative = 1e-10
    epsilon_root: NonNegative = 0.0

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAdagrad(self.initial_accumulator, self.epsilon, self.epsilon_root), ScaleByLearningRate())


@dataclass
class Adadelta(Solver, name="adadelta"):
    r"""Steps in the parameters' own units.

    :math:`p \leftarrow p - \eta\, g \sqrt{u + \epsilon} / \sqrt{\nu + \epsilon}`; u and :math:`\nu` are the
    averages of the squared steps and gradients. The paper has no learning rate: use 1.

    Parameters
    ----------
    decay : float, default=0.9
        In [0, 1).
    epsilon : float, default=1e-6
        Inside both roots, positive.

    References
    ----------
    Zeiler (2012), arXiv 1212.5701.
    """

    decay: Annotated[float, Range("[0.0, 1.0)")] = 0.9
    epsilon: Positive = 1e-6

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAdadelta(self.decay, self.epsilon), ScaleByLearningRate())
