"""A function as a schedule, a warm-up before any schedule, and the schedule object for a user's choice."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from skmlp._configurable import Range
from skmlp.optim.schedules.base import SCHEDULES, Schedule, Time, elapsed

__all__ = ["FunctionSchedule", "Warmup", "as_schedule"]


@dataclass
class FunctionSchedule(Schedule):
    """Any function as a schedule.

    Parameters
    ----------
    function : callable
        ``function(t) -> factor``, finite and non-negative. It is pickled with the estimator, so it must be a
        function of a module, not a lambda.
    of : {"progress", "step", "epoch"}, default="progress"
        What `t` is: the fraction of the training done, or the number of steps or epochs done.
    horizon : int, optional
        Only used with ``of="progress"``: length in steps, at least 1; the whole training by default.

    Raises
    ------
    ValueError
        From `factor`, if the function does not return a finite, non-negative number.
    """

    function: Callable[[float], float]
    of: Literal["progress", "step", "epoch"] = "progress"
    horizon: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise self._invalid("function", "callable")
        if self.horizon is not None:
            self._check_range("horizon", "[1, inf)", kind=int)

    @property
    def needs_horizon(self) -> bool:
        return self.of == "progress" and self.horizon is None

    def factor(self, time: Time) -> float:
        t = elapsed(self, time, self.of, self.horizon)
        given = self.function(t)
        try:
            factor = float(given)
        except (TypeError, ValueError):
            factor = math.nan
        if not 0.0 <= factor < math.inf:
            raise ValueError(
                "A schedule's factor must be a finite, non-negative number. The function "
                f"{getattr(self.function, '__qualname__', repr(self.function))} gave {given!r} for {self.of} {t}."
            )
        return factor


@dataclass
class Warmup(Schedule, name="warmup"):
    r"""A linear warm-up, then another schedule.

    During the warm-up :math:`(start + (1 - start)\, t / duration) f(0)`, with :math:`f` the schedule that follows. Its
    time (steps, epochs, progress) starts at the end of the warm-up, as with torch's ``SequentialLR``. So
    ``Warmup("cosine")`` warms up to the full rate, and the cosine ends with the training. Samples (``"invscaling"``)
    are counted from the start.

    Parameters
    ----------
    schedule : str or Schedule or callable, default="constant"
        The schedule after the warm-up. A rule that reacts to the monitored value (``"reduce_on_plateau"``) observes the
        epochs of the warm-up, too.
    duration : float, default=0.05
        Length of the warm-up: a fraction of the training, in [0, 1); or epochs, non-negative; or steps, at least 1.
    start : float, default=0.1
        The factor at the first step, relative to that at the end of the warm-up, in [0, 1]. With 0 the first step
        changes nothing.
    unit : {"progress", "epoch", "step"}, default="progress"
        The unit of `duration`. ``"progress"`` needs a training of known length.

    References
    ----------
    Goyal et al. (2017), arXiv 1706.02677, section 2.2.

    Examples
    --------
    >>> from skmlp.optim import Time, Warmup
    >>> schedule = Warmup("cosine", duration=0.2)
    >>> schedule
    Warmup(schedule=Cosine(end=0.0, horizon=None), duration=0.2, start=0.1, unit='progress')
    >>> [round(schedule.factor(Time(progress=t)), 3) for t in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.1, 0.55, 1.0, 0.5, 0.0]
    """

    schedule: Schedule | str | Callable[[float], float] = "constant"
    duration: float = 0.05
    start: Annotated[float, Range("[0.0, 1.0]")] = 0.1
    unit: Literal["progress", "epoch", "step"] = "progress"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.schedule = as_schedule(self.schedule)
        intervals = {"progress": "[0.0, 1.0)", "epoch": "[0.0, inf)", "step": "[1.0, inf)"}
        self._check_range("duration", intervals[self.unit])

    @property
    def _following(self) -> Schedule:
        return as_schedule(self.schedule)

    @property
    def needs_horizon(self) -> bool:
        return self.unit == "progress" or self._following.needs_horizon

    @property
    def ignores_plateau(self) -> bool:
        return self._following.ignores_plateau

    def factor(self, time: Time) -> float:
        now = elapsed(self, time, self.unit, remedy="give `duration` in steps, with unit='step'")
        if now >= self.duration:
            return self._following.factor(self._time_since_warmup(time, now))
        start = time._replace(step=0, epoch=0.0, progress=None if time.progress is None else 0.0)
        done = now / self.duration
        return (self.start * (1.0 - done) + done) * self._following.factor(start)

    def _time_since_warmup(self, time: Time, now: float) -> Time:
        """Return the time as the following schedule counts it, from the end of the warm-up."""
        fraction = 1.0 - self.duration / now if now > 0.0 else 1.0  # of the time so far
        # Exact in the unit of the warm-up: a schedule of whole epochs must not get 29.999...
        epoch = time.epoch - self.duration if self.unit == "epoch" else time.epoch * fraction
        progress = time.progress
        if progress is not None:
            done, left = fraction * progress, 1.0 - progress
            progress = done / (done + left) if left > 0.0 else 1.0
        return time._replace(step=round(time.step * fraction), epoch=epoch, progress=progress)

    def new_memory(self) -> dict[str, float]:
        return self._following.new_memory()

    def observe(self, value: float, memory: dict[str, float]) -> None:
        self._following.observe(value, memory)

    def on_plateau(self, current: float, memory: dict[str, float]) -> bool:
        return self._following.on_plateau(current, memory)


def as_schedule(choice: Any, power_t: float | None = None) -> Schedule:
    """Return the schedule object for a name, a function or an object.

    Parameters
    ----------
    choice : str or Schedule or callable
        A name of :data:`SCHEDULES`, with default settings; an object; or a function of the progress of the training.
    power_t : float, optional
        The exponent of ``"invscaling"``.

    Returns
    -------
    schedule : Schedule

    Raises
    ------
    ValueError
        If `choice` is none of these.
    """
    if isinstance(choice, Schedule):
        return choice
    if isinstance(choice, str) and choice in SCHEDULES:
        if choice == "invscaling" and power_t is not None:
            return SCHEDULES[choice](power_t)  # type: ignore[call-arg]
        return SCHEDULES[choice]()
    if callable(choice) and not isinstance(choice, type):
        return FunctionSchedule(choice)
    raise ValueError(
        f"A schedule must be a str among {{{', '.join(map(repr, SCHEDULES))}}}, an instance of 'Schedule' or a "
        f"function of the progress. Got {choice!r} instead."
    )
