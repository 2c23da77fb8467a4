"""RMSProp, also centered and with momentum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import NonNegative, Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.sgd import Trace
from skmlp.optim.solvers.transform import Numbers, ScaleByLearningRate, State, Transform, accumulate, denominator

__all__ = ["RMSProp"]


@dataclass
class ScaleByRMS(Transform):
    """``nu = decay nu + (1 - decay) g^2``; passes on ``g / (sqrt(nu + epsilon_root) + epsilon)`` (Hinton, 2012)."""

    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"nu": np.zeros_like(params)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return self.decay, 1.0 - self.decay, self.epsilon_root, self.epsilon

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        decay, rest, inside, outside = numbers
        np.multiply(updates, updates, out=scratch)
        accumulate(state["nu"], scratch, decay, rest, scratch)
        denominator(state["nu"], scratch, inside, outside)
        updates /= scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        decay, rest, inside, outside = numbers
        nu = decay * state[0] + rest * (g * g)
        return g / (np.sqrt(nu + inside) + outside), p, (nu,)


@dataclass
class ScaleByCenteredRMS(ScaleByRMS):
    """As :class:`ScaleByRMS`, with the variance ``nu - mu^2`` in place of the second moment (Graves, 2013)."""

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params), "nu": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        mu, nu = state["mu"], state["nu"]
        decay, rest, inside, outside = numbers
        accumulate(mu, updates, decay, rest, scratch)
        np.multiply(updates, updates, out=scratch)
        accumulate(nu, scratch, decay, rest, scratch)
        np.multiply(mu, mu, out=scratch)
        np.subtract(nu, scratch, out=scratch)
        np.maximum(scratch, 0.0, out=scratch)  # rounding can make the variance negative
        denominator(scratch, scratch, inside, outside)
        updates /= scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        decay, rest, inside, outside = numbers
        mu = decay * state[0] + rest * g
        nu = decay * state[1] + rest * (g * g)
        variance = max(nu - mu * mu, type(g)(0))
        return g / (np.sqrt(variance + inside) + outside), p, (mu, nu)


@dataclass
class RMSProp(Solver, name="rmsprop"):
    r"""Gradient over its root mean square.

    :math:`p \leftarrow p - \eta\, g / (\sqrt{\nu + \epsilon_{root}} + \epsilon)` with
    :math:`\nu \leftarrow \rho \nu + (1 - \rho) g^2`. ``epsilon=0, epsilon_root=1e-8`` is the textbook form with epsilon
    inside the root. A learning rate of 1e-3 to 1e-2 is usual.

    Parameters
    ----------
    decay : float, default=0.99
        :math:`\rho`, in [0, 1).
    epsilon, epsilon_root : float, default=1e-8, 0.0
        Added outside and inside the root, non-negative.
    momentum : float or scheduled value, default=0.0
        Momentum on the scaled gradient, in [0, 1].
    centered : bool, default=False
        Divide by the standard deviation instead of the root mean square.

    References
    ----------
    Tieleman and Hinton (2012), Coursera lecture 6.5; Graves (2013), arXiv 1308.0850.
    """

    decay: Annotated[float, Range("[0.0, 1.0)")] = 0.99
    epsilon: NonNegative = 1e-8
    epsilon_root: NonNegative = 0.0
    momentum: Annotated[float, Range("[0.0, 1.0]", may_be_scheduled=True)] = 0.0
    centered: bool = False

    @property
    def links(self) -> Sequence[Transform]:
        scale = ScaleByCenteredRMS if self.centered else ScaleByRMS
        momentum = (Trace(self.momentum),) if self.momentum != 0.0 else ()
        return (scale(self.decay, self.epsilon, self.epsilon_root), *momentum, ScaleByLearningRate())
