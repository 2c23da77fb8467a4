"""What a schedule is: a factor as a function of time; and a value that follows one."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

from skmlp._configurable import Configurable

__all__ = [
    "UNITS",
    "OverTime",
    "OverTraining",
    "Schedule",
    "Scheduled",
    "Time",
    "check_choice",
    "check_whole",
    "elapsed",
    "share_done",
]

UNITS = ("epoch", "step")


class Time(NamedTuple):
    """A moment of a training, just before a step.

    Parameters
    ----------
    step : int, default=0
        Steps done before this one in this training.
    epoch : float, default=0.0
        Epochs done, with the fraction of the present one.
    progress : float or None, default=None
        Share of the training done, in [0, 1]; None where its length is unknown, as in ``partial_fit``.
    samples : int, default=0
        Samples seen in all trainings, before this epoch.
    """

    step: int = 0
    epoch: float = 0.0
    progress: float | None = None
    samples: int = 0


class _PlainNumbers(Configurable):
    """Settings none of which follows a schedule: they make up one."""

    def _check_range(self, name: str, low: float, high: float = float("inf"), **ends: bool) -> None:
        value = getattr(self, name)
        if isinstance(value, Scheduled):
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} must be a plain number, not one that follows a "
                f"schedule itself. Got {value!r} instead."
            )
        super()._check_range(name, low, high, **ends)


class Schedule(_PlainNumbers, ABC):
    """A rule for a value that changes during the training: a factor on its initial value, as a function of time.

    The rate of a step is ``initial * schedule.factor(time) * memory.get("scale", 1.0)``. A schedule holds settings
    only, so that one object can serve any number of trainings. Rules that react to what the training achieves keep
    numbers in `memory`, a dict that the caller holds, stores and passes in.

    ``0.9 * schedule`` makes a :class:`Scheduled` value: momentum, weight decay and other settings can follow a schedule
    just as the learning rate does.

    To add one, subclass this and write `factor`; put the class into :data:`SCHEDULES` to give it a name.
    """

    # An array times a schedule is an error, not an array of scheduled values; a NumPy number times one is left to us.
    __array_ufunc__ = None

    @property
    def needs_horizon(self) -> bool:
        """Whether `factor` needs ``time.progress``, and so a training of known length."""
        return False

    @property
    def ignores_plateau(self) -> bool:
        """Whether training is meant to last as long as the schedule.

        Neither does a training loss that stands still end it early then, nor is it an accident to reach the last epoch.
        """
        return self.needs_horizon

    @property
    def per_step(self) -> bool:
        """Whether the factor changes within an epoch."""
        return True

    @abstractmethod
    def factor(self, time: Time) -> float:
        """Return the factor on the initial value at `time`: finite and non-negative.

        Raises
        ------
        ValueError
            If the schedule needs to know the length of the training and ``time.progress`` is None.
        """

    def new_memory(self) -> dict[str, float]:
        """Return what `observe` and `on_plateau` remember, at the start of a training; numbers only."""
        return {}

    def observe(self, value: float, memory: dict[str, float]) -> None:
        """Take note of the monitored value after an epoch.

        Parameters
        ----------
        value : float
            Lower is better; NaN is no improvement.
        memory : dict
            From `new_memory`; changed in place.
        """
        return

    def on_plateau(self, current: float, memory: dict[str, float]) -> bool:
        """Decide what happens when progress has stopped for ``n_iter_no_change`` epochs.

        Parameters
        ----------
        current : float
            The present rate.
        memory : dict
            From `new_memory`; changed in place.

        Returns
        -------
        go_on : bool
            True to go on, with ``memory["scale"]`` lowered. False, unless a rule says otherwise, ends the training.
        """
        return False

    def __mul__(self, value: float) -> "Scheduled":
        if isinstance(value, Real) and not isinstance(value, bool):
            return Scheduled(float(value), self)
        return NotImplemented

    __rmul__ = __mul__


@dataclass
class Scheduled(_PlainNumbers):
    """A value that follows a schedule: ``value * schedule.factor(time)``. ``0.15 * FlatCosine()`` makes one.

    Parameters
    ----------
    value : float
        The value where the factor is 1.
    schedule : Schedule
        Not one that reacts to the monitored value (:class:`Adaptive`, :class:`ReduceOnPlateau`): those steer the
        learning rate only.

    Examples
    --------
    >>> from skmlp.optim import Linear, Time
    >>> momentum = 0.9 * Linear(start=0.5, end=1.0)
    >>> momentum
    Scheduled(value=0.9, schedule=Linear(start=0.5, end=1.0, horizon=None))
    >>> momentum.at(Time(progress=0.0)), momentum.at(Time(progress=1.0))
    (0.45, 0.9)
    """

    value: float
    schedule: Schedule

    def __post_init__(self) -> None:
        self._check_range("value", -math.inf, low_open=True)
        if not isinstance(self.schedule, Schedule):
            raise ValueError(
                f"The 'schedule' parameter of Scheduled must be an instance of 'Schedule'. Got {self.schedule!r} "
                "instead."
            )
        if self.schedule.new_memory():
            raise ValueError(
                f"The 'schedule' parameter of Scheduled must be a function of time. Got {self.schedule!r}, which "
                "reacts to the monitored value: give it as `learning_rate`."
            )

    @property
    def needs_horizon(self) -> bool:
        """Whether `at` needs ``time.progress``, and so a training of known length."""
        return self.schedule.needs_horizon

    def at(self, time: Time) -> float:  # type: ignore[override]
        """Return the value at `time`."""
        return self.value * float(self.schedule.factor(time))


class OverTime(Schedule):
    """Base of the schedules that count epochs or steps: `factor` is `curve` of that count.

    A subclass has a field `unit`. An epoch counts by its fraction too, so that the factor may change at every step.
    """

    unit: str

    def __post_init__(self) -> None:
        check_choice(self, "unit", UNITS)

    @abstractmethod
    def curve(self, t: float) -> float:
        """Return the factor after `t` epochs or steps."""

    def factor(self, time: Time) -> float:
        return self.curve(elapsed(time, self.unit))


class OverTraining(Schedule):
    """Base of the schedules that run once over the whole training: `factor` is `curve` of the share done.

    A subclass has a field `horizon`, the length of the schedule in steps: with it the schedule works without a known
    length of the training, and stays at its end from there on.
    """

    horizon: int | None

    def __post_init__(self) -> None:
        if self.horizon is not None:
            check_whole(self, "horizon")

    @abstractmethod
    def curve(self, t: float) -> float:
        """Return the factor when the share `t`, in [0, 1], is done."""

    @property
    def needs_horizon(self) -> bool:
        return self.horizon is None

    def factor(self, time: Time) -> float:
        return self.curve(share_done(self, time, self.horizon))


def elapsed(time: Time, unit: str) -> float:
    """Return the epochs or steps done."""
    return float(time.step if unit == "step" else time.epoch)


def share_done(
    schedule: Schedule, time: Time, horizon: int | None = None, way_out: str = "give `horizon` (in steps)"
) -> float:
    """Return the share of the horizon, or of the training, done; an error names the way out where that is unknown."""
    if horizon is not None:
        return min(1.0, float(time.step) / horizon)
    if time.progress is None:
        raise ValueError(
            f"{type(schedule).__name__} follows the share of the training done, and the length of this training is not "
            f"known: {way_out}, or use a schedule that counts epochs or steps."
        )
    return min(1.0, float(time.progress))


def check_choice(settings: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise an error unless the setting `name` is one of some strings."""
    value = getattr(settings, name)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"The {name!r} parameter of {type(settings).__name__} must be a str among "
            f"{{{', '.join(map(repr, choices))}}}. Got {value!r} instead."
        )


def check_whole(settings: Any, name: str, low: int = 1) -> None:
    """Store the setting `name` as a Python int, or raise an error unless it is a whole number from `low` on."""
    value = getattr(settings, name)
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(
            f"The {name!r} parameter of {type(settings).__name__} must be an int in the range [{low}, inf). "
            f"Got {value!r} instead."
        )
    object.__setattr__(settings, name, int(value))
