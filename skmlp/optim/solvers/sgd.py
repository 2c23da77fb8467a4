"""Gradient descent, with momentum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, ScaleByLearningRate, State, Transform

__all__ = ["SGD", "Trace"]


@dataclass
class Trace(Transform):
    """Momentum: ``v = momentum * v + g``; passes on v, or with Nesterov's look-ahead ``momentum * v + g``."""

    momentum: Annotated[float, Range("[0.0, 1.0]", may_be_scheduled=True)] = 0.9
    nesterov: bool = False

    def init(self, params: FloatArray) -> State:
        return {"velocity": np.zeros_like(params)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return self.momentum, float(bool(self.nesterov))

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        velocity, (momentum, nesterov) = state["velocity"], numbers
        velocity *= momentum
        velocity += updates
        if nesterov:
            np.multiply(velocity, momentum, out=scratch)
            updates += scratch
        else:
            updates[...] = velocity

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        momentum, nesterov = numbers
        velocity = momentum * state[0] + g
        return momentum * velocity + g if nesterov else velocity, p, (velocity,)


@dataclass
class SGD(Solver, name="sgd"):
    r"""Gradient descent with momentum: :math:`v \leftarrow \mu v - \eta g`, :math:`p \leftarrow p + v`.

    With Nesterov's look-ahead :math:`p \leftarrow p + \mu v - \eta g`. The learning rate is inside the velocity, as in
    scikit-learn and Keras: after a change of the rate, the velocity keeps steps taken at the old one. torch keeps it
    outside; for a constant rate both are the same.

    Parameters
    ----------
    momentum : float or scheduled value, default=0.9
        In [0, 1]. 0 is plain gradient descent.
    nesterovs_momentum : bool, default=True
        Only used with momentum.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), ICML.
    """

    momentum: Annotated[float, Range("[0.0, 1.0]", may_be_scheduled=True)] = 0.9
    nesterovs_momentum: bool = True

    @property
    def links(self) -> Sequence[Transform]:
        if self.momentum == 0.0:
            return (ScaleByLearningRate(),)
        return (ScaleByLearningRate(), Trace(self.momentum, self.nesterovs_momentum))
