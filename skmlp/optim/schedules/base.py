"""What a schedule is: a factor as a function of time; and a value that follows one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Literal, NamedTuple

from skmlp._configurable import Configurable, Range

__all__ = ["SCHEDULES", "Schedule", "Scheduled", "Time"]

Unit = Literal["epoch", "step"]


class Time(NamedTuple):
    """A moment of a training, just before a step.

    Parameters
    ----------
    step : int, default=0
        Steps done before this one in this training.
    epoch : float, default=0.0
        Epochs done, with the fraction of the current one.
    progress : float or None, default=None
        Fraction of the training done, in [0, 1]; None where its length is unknown, as in ``partial_fit``.
    samples : int, default=0
        Samples seen in all trainings, before this epoch.
    """

    step: int = 0
    epoch: float = 0.0
    progress: float | None = None
    samples: int = 0


SCHEDULES: "dict[str, type[Schedule]]" = {}


class Schedule(Configurable, ABC):
    """A rule for a value that changes during the training: a factor on its initial value, as a function of time.

    The learning rate of a step is ``initial * schedule.factor(time) * memory.get("scale", 1.0)``. A schedule holds
    settings only, so that any number of trainings can use one object. Rules that react to the monitored value keep
    numbers in `memory`, a dict that the caller holds, stores and passes in.

    ``0.9 * schedule`` makes a :class:`Scheduled` value, for momentum, weight decay, dropout or label smoothing.

    To add one, subclass this and write `factor`. ``class MySchedule(Schedule, name="my_schedule")`` also puts the class
    into :data:`SCHEDULES`.

    Attributes
    ----------
    per_step : bool
        Whether the factor changes within an epoch.
    """

    registry = SCHEDULES
    per_step = True
    # An array times a schedule is an error, not an array of scheduled values; for a NumPy number, NumPy then calls
    # our __rmul__.
    __array_ufunc__ = None

    @property
    def needs_horizon(self) -> bool:
        """Whether `factor` needs ``time.progress``, and so a training of known length."""
        return False

    @property
    def ignores_plateau(self) -> bool:
        """Whether training continues to the end of the schedule, even if the training loss stops improving.

        If so, reaching the last epoch causes no warning.
        """
        return self.needs_horizon

    @property
    def pauses(self) -> tuple[float, ...]:
        """The fractions of the training after which it may end, since the factor is low; the last one is 1."""
        return (1.0,)

    @abstractmethod
    def factor(self, time: Time) -> float:
        """Return the factor on the initial value at `time`: finite and non-negative.

        Raises
        ------
        ValueError
            If the schedule needs to know the length of the training and ``time.progress`` is None.
        """

    def new_memory(self) -> dict[str, float]:
        """Return the memory of `observe` and `on_plateau` at the start of a training; numbers only."""
        return {}

    def observe(self, value: float, memory: dict[str, float]) -> None:
        """Record the monitored value after an epoch.

        Parameters
        ----------
        value : float
            Lower is better; NaN is no improvement.
        memory : dict
            From `new_memory`; changed in place.
        """
        return

    def on_plateau(self, current: float, memory: dict[str, float]) -> bool:
        """Decide what happens after ``n_iter_no_change`` epochs without improvement.

        Parameters
        ----------
        current : float
            The current learning rate.
        memory : dict
            From `new_memory`; changed in place.

        Returns
        -------
        go_on : bool
            True to continue, with a smaller ``memory["scale"]``. False ends the training, unless `ignores_plateau`.
        """
        return False

    def __mul__(self, value: float) -> "Scheduled":
        if isinstance(value, Real) and not isinstance(value, bool):
            return Scheduled(float(value), self)
        return NotImplemented

    __rmul__ = __mul__


@dataclass
class Scheduled(Configurable):
    """A value that follows a schedule: ``value * schedule.factor(time)``. ``0.15 * FlatCosine()`` makes one.

    Parameters
    ----------
    value : float
        The value where the factor is 1.
    schedule : Schedule
        Not one that reacts to the monitored value (:class:`Adaptive`, :class:`ReduceOnPlateau`): those are for the
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

    value: Annotated[float, Range("(-inf, inf)")]
    schedule: Schedule

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.schedule, Schedule):
            raise self._invalid("schedule", "an instance of 'Schedule'")
        if self.schedule.new_memory():
            raise self._invalid("schedule", "a function of time, not a rule for the learning rate alone")

    @property
    def needs_horizon(self) -> bool:
        """Whether `at` needs ``time.progress``, and so a training of known length."""
        return self.schedule.needs_horizon

    def at(self, time: Time) -> float:  # type: ignore[override]
        """Return the value at `time`."""
        return self.value * float(self.schedule.factor(time))


def elapsed(
    schedule: Schedule, time: Time, unit: str, horizon: int | None = None, remedy: str = "set `horizon` (in steps)"
) -> float:
    """Return the steps or epochs done, or the fraction done of `horizon` steps or of the training, at most 1."""
    if unit != "progress":
        return float(time.step if unit == "step" else time.epoch)
    if horizon is not None:
        return min(1.0, float(time.step) / horizon)
    if time.progress is None:
        raise ValueError(
            f"{type(schedule).__name__} depends on the progress of the training, and the length of this training is "
            f"unknown: {remedy}, or use a schedule that counts epochs or steps."
        )
    return min(1.0, float(time.progress))
