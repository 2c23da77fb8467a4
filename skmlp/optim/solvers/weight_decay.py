"""Decoupled weight decay, for any solver."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from skmlp._configurable import Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, State, Transform

__all__ = ["DecayWeights", "WithWeightDecay"]


@dataclass
class DecayWeights(Transform):
    """Decoupled weight decay before the step: ``p = (1 - learning_rate * weight_decay) p`` (Loshchilov, Hutter, 2019).

    Not the same as an L2 penalty, whose gradient an adaptive rule would rescale. Biases are not decayed.
    """

    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.01
    acts_on = "weights"

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return (1.0 - learning_rate * self.weight_decay,)

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        params *= numbers[0]

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        return g, numbers[0] * p, state


@dataclass
class WithWeightDecay(Solver):
    r"""Any solver with decoupled weight decay: first :math:`p \leftarrow (1 - \eta \lambda) p`, then the solver's step.

    Parameters
    ----------
    solver : Solver
    weight_decay : float or scheduled value, default=0.01
        :math:`\lambda`, non-negative; applied to weights, not to biases.

    References
    ----------
    Loshchilov and Hutter (2019), arXiv 1711.05101.
    """

    solver: Solver
    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.01

    @property
    def links(self) -> Sequence[Transform]:
        return (DecayWeights(self.weight_decay), *self.solver.links)

    def rate_factor(self, factor: float, shape: tuple[int, ...] | None) -> float:
        return self.solver.rate_factor(factor, shape)
