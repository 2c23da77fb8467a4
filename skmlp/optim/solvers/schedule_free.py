r"""Schedule-free AdamW: an average of all steps in place of momentum and of a learning-rate schedule.

There are three sequences of parameters. The steps are taken by :math:`z`; :math:`x` is the weighted average of all
:math:`z` so far, with which one predicts; gradients are taken at :math:`y = (1 - \beta_1) z + \beta_1 x` between them.
The vector that a solver updates is :math:`y`. Beside it the state keeps how far :math:`y` is ahead of :math:`x`, which
is all that is needed to compute the other two. It is zero at the start and shifts with the parameters, so that the
state remains valid when weights are set or restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import NonNegative, Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import Numbers, State, Transform, accumulate, denominator, power, root

__all__ = ["ScheduleFreeAdamW"]


@dataclass
class ScaleByRootMeanSquare(Transform):
    r"""``nu = beta_2 nu + (1 - beta_2) g^2``; passes on :math:`g / (\sqrt{\nu / (1 - \beta_2^t)} + \epsilon)`."""

    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: FloatArray) -> State:
        return {"nu": np.zeros_like(params)}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        scale = root(1.0 - power(self.beta_2, count))
        return self.beta_2, 1.0 - self.beta_2, scale * self.epsilon, scale

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        beta_2, rest_2, outside, scale = numbers
        np.multiply(updates, updates, out=scratch)
        accumulate(state["nu"], scratch, beta_2, rest_2, scratch)
        denominator(state["nu"], scratch, 0.0, outside)
        updates /= scratch
        updates *= scale

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        beta_2, rest_2, outside, scale = numbers
        nu = beta_2 * state[0] + rest_2 * (g * g)
        return scale * g / (np.sqrt(nu) + outside), p, (nu,)


@dataclass
class AddDecayedWeights(Transform):
    """Passes on ``g + weight_decay * p`` for weights: a decay that the links behind it scale like the gradient."""

    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.01
    acts_on = "weights"

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        return (self.weight_decay,)

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        np.multiply(params, numbers[0], out=scratch)
        updates += scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        return g + numbers[0] * p, p, state


@dataclass
class StepAndAverage(Transform):
    r"""Step with :math:`z`, average in :math:`x`, and pass on how :math:`y` moves (Defazio et al., 2024, eq. 3 to 5).

    :math:`z \leftarrow z - \eta_t g` and :math:`x \leftarrow (1 - c_t) x + c_t z`. With :math:`a = y - x`, so that
    :math:`z = x + a / (1 - \beta_1)`, this is

    .. math::
        u = a - (1 - \beta_1) \eta_t g, \qquad
        a' = (1 - c_t) u, \qquad
        y' = y + \tfrac{c_t}{1 - \beta_1} u + a' - a.

    The weight of a step in the average is :math:`t^r \max_{i \le t} \eta_i^p`, and :math:`c_t` is its fraction of the
    sum of all weights so far. The learning rate :math:`\eta_t` grows linearly during the warm-up.
    """

    beta_1: float = 0.9
    warmup_steps: int = 0
    r: float = 0.0
    weight_lr_power: float = 2.0
    ahead = "ahead"

    def init(self, params: FloatArray) -> State:
        return {"ahead": np.zeros_like(params), "largest_rate": 0.0, "sum_of_weights": 0.0}

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        rate = learning_rate * np.minimum(1.0, count / max(1, self.warmup_steps))
        fraction: Any
        if isinstance(count, np.ndarray):
            fraction = self._fractions(state, count.tolist(), np.broadcast_to(rate, count.shape).tolist())
        else:
            rate = float(rate)
            fraction = self._fractions(state, [count], [rate]).item()
        return (1.0 - self.beta_1) * rate, fraction / (1.0 - self.beta_1), 1.0 - fraction

    def _fractions(self, state: State, counts: list[int], rates: list[float]) -> FloatArray:
        """Return the fraction of each of these steps in the average after it; 0 as long as the rate is 0."""
        found = np.zeros(len(counts))
        for step, (count, rate) in enumerate(zip(counts, rates, strict=True)):
            largest = state["largest_rate"] = max(state["largest_rate"], rate)
            weight = float(count) ** self.r * largest**self.weight_lr_power
            total = state["sum_of_weights"] = state["sum_of_weights"] + weight
            if total > 0.0:
                found[step] = weight / total
        return found

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        ahead, (rate, of_step, kept) = state["ahead"], numbers
        updates *= rate
        np.subtract(ahead, updates, out=scratch)
        np.multiply(scratch, of_step, out=updates)
        updates -= ahead
        np.multiply(scratch, kept, out=ahead)
        updates += ahead

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        before, (rate, of_step, kept) = state[0], numbers
        moved = before - rate * g
        ahead = kept * moved
        return of_step * moved - before + ahead, p, (ahead,)


@dataclass
class ScheduleFreeAdamW(Solver, name="schedule_free_adamw"):
    r"""AdamW whose steps are averaged, so that it needs neither a learning-rate schedule nor the number of steps.

    With :math:`\hat g = g / (\sqrt{\hat\nu} + \epsilon) + \lambda y`, where :math:`g` is the gradient at
    :math:`y = (1 - \beta_1) z + \beta_1 x`:

    .. math::
        z \leftarrow z - \eta \hat g, \qquad
        x \leftarrow (1 - c_t)\, x + c_t\, z, \qquad
        c_t = \frac{w_t}{\sum_{i \le t} w_i}, \qquad
        w_t = t^r \max_{i \le t} \eta_i^p .

    Training updates :math:`y`; estimators predict, validate and end with the average :math:`x`. Use a constant learning
    rate, one to ten times that of AdamW, as in the reference implementation. In ``partial_fit`` the average goes on
    over all calls. The running averages of batch normalization are those of the network at :math:`y`, and `max_norm`
    limits :math:`y`.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Weight of the average in the point where gradients are taken, in [0, 1): it takes the place of momentum. Values
        up to 0.98 may help in long trainings.
    beta_2 : float, default=0.999
        Decay rate of the second moment, in [0, 1).
    epsilon : float, default=1e-8
        Added outside the root, non-negative.
    weight_decay : float or scheduled value, default=0.0
        :math:`\lambda`, non-negative; applied to weights, not to biases.
    warmup_steps : int, default=0
        Number of steps in which the learning rate grows linearly, non-negative.
    r : float, default=0.0
        Power of the step number in the weights of the average, in [0, 10]: with larger values early steps count less.
    weight_lr_power : float, default=2.0
        :math:`p`, the power of the learning rate in the weights of the average, in [0, 10].

    References
    ----------
    Defazio, Yang, Khaled, Mishchenko, Mehta and Cutkosky (2024), "The Road Less Scheduled", arXiv 2405.15682; the
    authors' implementation, version 1.4 of the package schedulefree.

    Examples
    --------
    The average is what to predict with. Minimizing a quadratic function:

    >>> import numpy as np
    >>> from skmlp.optim import ScheduleFreeAdamW
    >>> y, solver = np.array([-1.5, 2.0]), ScheduleFreeAdamW()
    >>> state = solver.init(y)
    >>> for _ in range(1000):
    ...     solver.update(y, 2.0 * (y - [1.0, 3.0]), state, learning_rate=0.1)
    >>> x = y - solver.ahead(state)
    >>> x.round(2)
    array([1., 3.])
    """

    beta_1: Annotated[float, Range("[0.0, 1.0)")] = 0.9
    beta_2: Annotated[float, Range("[0.0, 1.0)")] = 0.999
    epsilon: NonNegative = 1e-8
    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.0
    warmup_steps: Annotated[int, Range("[0, inf)")] = 0
    r: Annotated[float, Range("[0.0, 10.0]")] = 0.0
    weight_lr_power: Annotated[float, Range("[0.0, 10.0]")] = 2.0

    @property
    def links(self) -> Sequence[Transform]:
        decay = (AddDecayedWeights(self.weight_decay),) if self.weight_decay != 0.0 else ()
        average = StepAndAverage(self.beta_1, self.warmup_steps, self.r, self.weight_lr_power)
        return (ScaleByRootMeanSquare(self.beta_2, self.epsilon), *decay, average)
