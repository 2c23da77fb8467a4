r"""Schedules that run once over the whole training, from its first step to its last.

In the formulas :math:`t` is the fraction of the training done, from 0 to 1. Where the length of the training is
unknown, as in ``partial_fit``, `horizon` gives it: :math:`t = \min(1, step / horizon)`.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

from skmlp._configurable import NonNegative, Positive, Range
from skmlp.optim.schedules.base import Schedule, Scheduled, Time, elapsed

__all__ = ["Cosine", "CosineLog", "FlatCosine", "Linear", "OneCycle", "Polynomial"]


class ProgressSchedule(Schedule):
    """Base of the schedules over the whole training: `factor` is `curve` of the fraction of the training done.

    A subclass has a field `horizon`, the length of the schedule in steps. If it is given, the length of the training
    may be unknown; after `horizon` steps the factor is constant.
    """

    horizon: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon is not None:
            self._check_range("horizon", "[1, inf)", kind=int)

    @abstractmethod
    def curve(self, t: float) -> float:
        """Return the factor when a fraction `t`, in [0, 1], of the training is done."""

    @property
    def needs_horizon(self) -> bool:
        return self.horizon is None

    def factor(self, time: Time) -> float:
        return self.curve(elapsed(self, time, "progress", self.horizon))


@dataclass
class Linear(ProgressSchedule, name="linear"):
    """A straight line: ``start + (end - start) * t``.

    Parameters
    ----------
    start, end : float, default=1.0, 0.0
        The first and the last factor, non-negative.
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    torch's ``LinearLR``.
    """

    start: NonNegative = 1.0
    end: NonNegative = 0.0
    horizon: int | None = None

    def curve(self, t: float) -> float:
        # Weights rather than a slope: exact at both ends and never below zero by rounding.
        return self.start * (1.0 - t) + self.end * t


@dataclass
class Polynomial(ProgressSchedule, name="polynomial"):
    r"""Polynomial decay: :math:`end + (1 - end)(1 - t)^{power}`.

    Parameters
    ----------
    power : float, default=2.0
        Positive; 1 is a straight line.
    end : float, default=0.0
        The last factor, non-negative.
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    torch's ``PolynomialLR`` and Keras's ``PolynomialDecay``, which have ``power=1`` by default.
    """

    power: Positive = 2.0
    end: NonNegative = 0.0
    horizon: int | None = None

    def curve(self, t: float) -> float:
        return self.end + (1.0 - self.end) * float((1.0 - t) ** self.power)


@dataclass
class Cosine(ProgressSchedule, name="cosine"):
    r"""Half a cosine from 1 to `end`: :math:`end + \frac{1 - end}{2}(1 + \cos \pi t)`.

    Parameters
    ----------
    end : float, default=0.0
        The last factor, non-negative.
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    Loshchilov and Hutter (2017), arXiv 1608.03983; torch's ``CosineAnnealingLR``.

    Examples
    --------
    >>> from skmlp.optim import Cosine, Time
    >>> [round(Cosine().factor(Time(progress=t)), 3) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    >>> Cosine(horizon=200).factor(Time(step=100))
    0.5
    """

    end: NonNegative = 0.0
    horizon: int | None = None

    def curve(self, t: float) -> float:
        return _half_cosine(1.0, self.end, t)


@dataclass
class FlatCosine(ProgressSchedule, name="flat_cosine"):
    r"""The initial value, then half a cosine down to 0.

    1 for :math:`t < flat`, then :math:`\frac12 (1 + \cos(\pi (t - flat) / (1 - flat)))`.

    Parameters
    ----------
    flat : float, default=0.5
        The fraction of the training with the initial value, in [0, 1).
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    fastai's ``fit_flat_cos``; Holzmüller, Grinsztajn and Steinwart (2024), arXiv 2407.04491, ``flat_cos`` with 0.5.
    """

    flat: Annotated[float, Range("[0.0, 1.0)")] = 0.5
    horizon: int | None = None

    def curve(self, t: float) -> float:
        return _half_cosine(1.0, 0.0, max(0.0, (t - self.flat) / (1.0 - self.flat)))


@dataclass
class CosineLog(ProgressSchedule, name="coslog"):
    r"""Cosine cycles, each twice as long as the one before: :math:`\frac12 (1 - \cos(2\pi \log_2(1 + (2^n - 1) t)))`.

    The first step has a rate of 0. With 4 cycles the factor is 0 at 0, 1/15, 3/15, 7/15 and 1, and 1 at about 0.028,
    0.122, 0.310 and 0.688.

    Parameters
    ----------
    n_cycles : int, default=4
        :math:`n`, at least 1.
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by Default", arXiv 2407.04491, ``coslog``.
    """

    n_cycles: Annotated[int, Range("[1, inf)")] = 4
    horizon: int | None = None

    @property
    def pauses(self) -> tuple[float, ...]:
        longest = 2.0**self.n_cycles - 1.0
        return tuple((2.0**n - 1.0) / longest for n in range(1, self.n_cycles + 1))

    def curve(self, t: float) -> float:
        cycles = math.log2(1.0 + (2.0**self.n_cycles - 1.0) * t)
        return 0.5 * (1.0 - math.cos(2.0 * math.pi * cycles))


@dataclass
class OneCycle(ProgressSchedule, name="one_cycle"):
    r"""One cycle: up from `start` to the initial value, then down to `end`, in two half cosines.

    It rises while :math:`t < peak`. The initial value, here the largest, can be several times a good constant rate.
    :meth:`momentum` is the opposite cycle for the momentum. torch's ``OneCycleLR`` counts from the first step to the
    last: with ``pct_start=p`` and T steps it is ``OneCycle((p * T - 1) / (T - 1), horizon=T - 1)``, about
    ``OneCycle(p)``.

    Parameters
    ----------
    peak : float, default=0.3
        The fraction of the training after which the factor is 1, in (0, 1).
    start, end : float, default=1/25, 1/250000
        The first and the last factor, non-negative.
    horizon : int, optional
        Length in steps, at least 1; the whole training by default.

    References
    ----------
    Smith and Topin (2018), "Super-Convergence", arXiv 1708.07120; torch's ``OneCycleLR``.
    """

    peak: Annotated[float, Range("(0.0, 1.0)")] = 0.3
    start: NonNegative = 1 / 25
    end: NonNegative = 1 / 25e4
    horizon: int | None = None

    @classmethod
    def momentum(
        cls, low: float = 0.85, high: float = 0.95, peak: float = 0.3, horizon: int | None = None
    ) -> Scheduled:
        """Return the momentum for this cycle of the learning rate: from `high` to `low` at its peak, and back.

        Parameters
        ----------
        low, high : float, default=0.85, 0.95
            ``0 < low <= high < 1``.
        peak, horizon
            As for the learning rate.

        Examples
        --------
        >>> from skmlp.optim import SGD, OneCycle, Time
        >>> solver = SGD(momentum=OneCycle.momentum())
        >>> [round(solver.momentum.at(Time(progress=t)), 3) for t in (0.0, 0.3, 1.0)]
        [0.95, 0.85, 0.95]
        """
        if not 0.0 < low <= high < 1.0:
            raise ValueError(
                f"'low' and 'high' of OneCycle.momentum must have 0 < low <= high < 1. Got {low!r}, {high!r}."
            )
        return Scheduled(low, cls(peak, start=high / low, end=high / low, horizon=horizon))

    def curve(self, t: float) -> float:
        if t < self.peak:
            return _half_cosine(self.start, 1.0, t / self.peak)
        return _half_cosine(1.0, self.end, (t - self.peak) / (1.0 - self.peak))


def _half_cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * t))
