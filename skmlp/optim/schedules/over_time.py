r"""Schedules that count epochs, steps or samples. The length of the training may be unknown.

In the formulas :math:`t` is the number of epochs (with the fraction of the current one) or steps done before this step.
"""

import bisect
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Annotated, Any, Literal

from skmlp._configurable import NonNegative, Positive, Range
from skmlp.optim.schedules.base import Schedule, Time, Unit, elapsed

__all__ = [
    "ConstantRate",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "InverseScaling",
    "InverseTime",
    "Piecewise",
    "StepDecay",
]


class CountSchedule(Schedule):
    """Base of the schedules that count epochs or steps: `factor` is `curve` of that number.

    A subclass has a field `unit`. With epochs, the fraction of the current one is included, so that the factor can
    change at every step.
    """

    unit: Unit

    @abstractmethod
    def curve(self, t: float) -> float:
        """Return the factor after `t` epochs or steps."""

    def factor(self, time: Time) -> float:
        return self.curve(elapsed(self, time, self.unit))


@dataclass
class ConstantRate(Schedule, name="constant"):
    """The same value throughout: a factor of 1."""

    per_step = False

    def factor(self, time: Time) -> float:
        return 1.0


@dataclass
class StepDecay(CountSchedule, name="step"):
    r"""Multiply by `decay` after every `every` epochs: :math:`\gamma^{\lfloor t / every \rfloor}`.

    Parameters
    ----------
    every : float, default=30.0
        Epochs or steps from one decay to the next, positive.
    decay : float, default=0.1
        :math:`\gamma`, in (0, 1].
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    torch's ``StepLR``; He, Zhang, Ren and Sun (2016), arXiv 1512.03385, section 3.4, divide by 10 every 30 epochs.
    """

    every: Positive = 30.0
    decay: Annotated[float, Range("(0.0, 1.0]")] = 0.1
    unit: Unit = "epoch"

    def curve(self, t: float) -> float:
        return float(self.decay ** (t // self.every))


@dataclass
class Piecewise(CountSchedule, name="piecewise"):
    """A piecewise constant factor: ``factors[i]``, where ``i`` is the number of boundaries reached.

    Parameters
    ----------
    boundaries : sequence of float, default=(100, 150)
        Epochs or steps at which the next factor begins, positive and strictly increasing.
    factors : sequence of float, default=(1.0, 0.1, 0.01)
        Factors on the initial value, one more than boundaries, finite and non-negative.
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    torch's ``MultiStepLR``, which states the ratios of these factors; Keras's ``PiecewiseConstantDecay``.
    """

    boundaries: Sequence[float] = (100, 150)
    factors: Sequence[float] = (1.0, 0.1, 0.01)
    unit: Unit = "epoch"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("boundaries", "factors"):
            self._check_numbers(name)
        if not all(early < late for early, late in pairwise((0.0, *self.boundaries))):
            raise self._invalid("boundaries", "positive and strictly increasing")
        if len(self.factors) != len(self.boundaries) + 1:
            n_factors = len(self.boundaries) + 1
            raise self._invalid("factors", f"a sequence of {n_factors} numbers, one more than 'boundaries'")

    def _check_numbers(self, name: str) -> None:
        """Store a setting as a tuple, or raise an error unless it is a sequence of finite, non-negative numbers."""
        given = getattr(self, name)
        try:
            numbers: tuple[Any, ...] = tuple(given)
        except TypeError:
            numbers = (None,)
        if not all(isinstance(number, Real) and 0.0 <= float(number) < math.inf for number in numbers):
            raise self._invalid(name, "a sequence of finite, non-negative numbers")
        # A tuple: scikit-learn's clone requires that construction returns the object it was given.
        object.__setattr__(self, name, numbers)

    def curve(self, t: float) -> float:
        return float(self.factors[bisect.bisect_right(self.boundaries, t)])


@dataclass
class Exponential(CountSchedule, name="exponential"):
    r"""Exponential decay: :math:`\max(\gamma^t, minimum)`.

    With ``unit="epoch"`` the factor falls within an epoch too. torch's ``ExponentialLR`` changes only between epochs,
    where the two agree.

    Parameters
    ----------
    decay : float, default=0.95
        :math:`\gamma`, the factor of one epoch or step, in (0, 1].
    minimum : float, default=0.0
        The smallest factor, in [0, 1].
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    torch's ``ExponentialLR``; Keras's ``ExponentialDecay``.
    """

    decay: Annotated[float, Range("(0.0, 1.0]")] = 0.95
    minimum: Annotated[float, Range("[0.0, 1.0]")] = 0.0
    unit: Unit = "epoch"

    def curve(self, t: float) -> float:
        return max(float(self.decay**t), self.minimum)


@dataclass
class InverseTime(CountSchedule, name="inverse_time"):
    r"""A slow decay: :math:`1 / (1 + decay \cdot t)^{power}`.

    With ``0.5 < power <= 1`` the rates fulfil the conditions of stochastic approximation: their sum diverges, the sum
    of their squares converges.

    Parameters
    ----------
    decay : float, default=0.1
        Per epoch or step, non-negative.
    power : float, default=1.0
        Non-negative.
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    Robbins and Monro (1951), Annals of Mathematical Statistics 22; Keras's ``InverseTimeDecay``.
    """

    decay: NonNegative = 0.1
    power: NonNegative = 1.0
    unit: Unit = "epoch"

    def curve(self, t: float) -> float:
        return float((1.0 + self.decay * t) ** -self.power)


@dataclass
class CosineRestarts(CountSchedule, name="cosine_restarts"):
    r"""Half a cosine from 1 to `end`, repeated (SGDR).

    :math:`end + \frac{1 - end}{2} (1 + \cos(\pi\, t_i / T_i))`, where :math:`t_i` is the time since the last restart
    and :math:`T_i = period \cdot period\_factor^i` the length of this period.

    Parameters
    ----------
    period : float, default=10.0
        Length of the first period in epochs or steps, positive.
    period_factor : float, default=1.0
        How much longer each period is than the one before, at least 1; 2 is usual.
    end : float, default=0.0
        The factor just before a restart, non-negative.
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    Loshchilov and Hutter (2017), arXiv 1608.03983; torch's ``CosineAnnealingWarmRestarts``.
    """

    period: Positive = 10.0
    period_factor: Annotated[float, Range("[1.0, inf)")] = 1.0
    end: NonNegative = 0.0
    unit: Unit = "epoch"

    def curve(self, t: float) -> float:
        period = self.period
        if self.period_factor == 1.0:
            t %= period
        while t >= period:  # exact for whole periods, where a logarithm may be one off
            t -= period
            period *= self.period_factor
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * t / period))


@dataclass
class Cyclic(CountSchedule, name="cyclic"):
    r"""Cycles from `low` up to the initial value and down again, in straight lines.

    :math:`low + (1 - low)\, a\, (1 - |2x - 1|)`, where :math:`x` is the fraction of the current cycle and the height
    :math:`a` is

    ================  ===================================================
    ``triangular``    1
    ``triangular2``   halved after every cycle: :math:`2^{-\lfloor t / period \rfloor}`
    ``exponential``   :math:`decay^t`
    ================  ===================================================

    The initial value is the top of the first cycle.

    Parameters
    ----------
    low : float, default=0.25
        The factor at the start of a cycle, in [0, 1].
    period : float, default=8.0
        Length of a cycle, up and down, in epochs or steps, positive.
    shape : {"triangular", "triangular2", "exponential"}, default="triangular"
    decay : float, default=0.99
        Only used by ``"exponential"``: the factor on the height after each epoch or step, in (0, 1].
    unit : {"epoch", "step"}, default="epoch"

    References
    ----------
    Smith (2017), arXiv 1506.01186; torch's ``CyclicLR``, whose ``exp_range`` is ``"exponential"`` here.
    """

    low: Annotated[float, Range("[0.0, 1.0]")] = 0.25
    period: Positive = 8.0
    shape: Literal["triangular", "triangular2", "exponential"] = "triangular"
    decay: Annotated[float, Range("(0.0, 1.0]")] = 0.99
    unit: Unit = "epoch"

    def curve(self, t: float) -> float:
        height = 1.0
        if self.shape == "triangular2":
            height = 2.0 ** -(t // self.period)
        elif self.shape == "exponential":
            height = self.decay**t
        x = (t % self.period) / self.period
        return self.low + (1.0 - self.low) * height * (1.0 - abs(2.0 * x - 1.0))


@dataclass
class InverseScaling(Schedule, name="invscaling"):
    r""":math:`1 / (t + 1)^{power\_t}`, t counting the samples seen, as scikit-learn's ``"invscaling"``.

    Samples, not steps: the rate changes once per epoch, for any batch size, and falls fast. With 600 samples
    and ``power_t=0.5``, the rate of the second epoch is 1/24 of the initial one. :class:`InverseTime` counts epochs.

    Parameters
    ----------
    power_t : float, default=0.5
        Non-negative.
    """

    power_t: NonNegative = 0.5
    per_step = False

    def factor(self, time: Time) -> float:
        return float((time.samples + 1.0) ** -self.power_t)
