"""Lion: the sign of an averaged gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, ScaleByLearningRate, State, Transform
from skmlp.optim.solvers.weight_decay import DecayWeights

__all__ = ["Lion"]


@dataclass
class ScaleByLion(Transform):
    """Passes on ``sign(beta_1 mu + (1 - beta_1) g)``, then ``mu = beta_2 mu + (1 - beta_2) g`` (Chen et al., 2023)."""

    beta_1: float = 0.9
    beta_2: float = 0.99

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return 1.0 - self.beta_1, 1.0 - self.beta_2

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        mu, (rest_1, rest_2) = state["mu"], numbers
        np.subtract(updates, mu, out=scratch)  # both averages are mu plus a multiple of this difference
        np.multiply(scratch, rest_1, out=updates)
        updates += mu
        np.sign(updates, out=updates)
        scratch *= rest_2
        mu += scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        mu, (rest_1, rest_2) = state[0], numbers
        difference = g - mu
        return np.sign(mu + rest_1 * difference), p, (mu + rest_2 * difference,)


@dataclass
class Lion(Solver, name="lion"):
    r"""The sign of an averaged gradient: :math:`p \leftarrow p - \eta\, sign(\beta_1 \mu + (1 - \beta_1) g)`.

    Every parameter moves by exactly the learning rate, so use about a tenth of Adam's.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.99
        Weights of the old average in the step and in the new average, in [0, 1).
    weight_decay : float or scheduled value, default=0.0
        Decoupled, non-negative; ten times AdamW's is usual.

    References
    ----------
    Chen et al. (2023), "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675.
    """

    beta_1: Annotated[float, Range("[0.0, 1.0)")] = 0.9
    beta_2: Annotated[float, Range("[0.0, 1.0)")] = 0.99
    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.0

    @property
    def links(self) -> Sequence[Transform]:
        decay = (DecayWeights(self.weight_decay),) if self.weight_decay != 0.0 else ()
        return (*decay, ScaleByLion(self.beta_1, self.beta_2), ScaleByLearningRate())
