"""Learning-rate schedules: what the rate becomes after an epoch, and what to do when progress stops.

To add one, subclass :class:`Schedule` and put the class into :data:`SCHEDULES`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from skmlp._configurable import Configurable

__all__ = ["SCHEDULES", "Adaptive", "ConstantRate", "InverseScaling", "Schedule"]


class Schedule(Configurable, ABC):
    """A rule for the learning rate. It holds settings; the current rate is passed in."""

    def start(self, initial: float, samples_seen: int) -> float:
        """Return the rate of the first epoch of a training; `samples_seen` counts what came before it."""
        return initial

    @abstractmethod
    def after_epoch(self, initial: float, current: float, samples_seen: int) -> float:
        """Return the rate of the next epoch, after training on `samples_seen` samples in all."""

    def on_plateau(self, current: float) -> float | None:
        """Return the rate to go on with when progress has stopped, or None to end the training."""
        return None


@dataclass
class ConstantRate(Schedule):
    """The same rate throughout."""

    def after_epoch(self, initial: float, current: float, samples_seen: int) -> float:
        return initial


@dataclass
class InverseScaling(Schedule):
    """``initial / (t + 1) ** power_t``, t counting the samples seen, as scikit-learn's ``"invscaling"``.

    Samples, not steps: the rate changes once an epoch, whatever the batch size, and falls fast. With 600 samples and
    ``power_t=0.5`` the second epoch already runs at 1/24 of the initial rate.

    Parameters
    ----------
    power_t : float, default=0.5
        Non-negative.
    """

    power_t: float = 0.5

    def __post_init__(self) -> None:
        self._check_range("power_t", 0.0)

    def start(self, initial: float, samples_seen: int) -> float:
        return initial / float((samples_seen + 1) ** self.power_t)

    def after_epoch(self, initial: float, current: float, samples_seen: int) -> float:
        return self.start(initial, samples_seen)


@dataclass
class Adaptive(Schedule):
    """Divide the rate by `factor` whenever progress has stopped, until it is at most `minimum`; then end.

    Parameters
    ----------
    factor : float, default=5.0
        More than 1.
    minimum : float, default=1e-6
        Positive.
    """

    factor: float = 5.0
    minimum: float = 1e-6

    def __post_init__(self) -> None:
        self._check_range("factor", 1.0, low_open=True)
        self._check_range("minimum", 0.0, low_open=True)

    def after_epoch(self, initial: float, current: float, samples_seen: int) -> float:
        return current

    def on_plateau(self, current: float) -> float | None:
        return None if current <= self.minimum else current / self.factor


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": ConstantRate,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
}
