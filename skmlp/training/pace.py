"""What each step is taken with: the learning rate, and settings that follow a schedule, at the time of the step."""

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.objective import Objective
from skmlp.optim.clipping import Clip
from skmlp.optim.schedules import Time

if TYPE_CHECKING:
    from skmlp.training.trainer import Trainer, TrainingState

__all__ = ["Pace"]

# How many times a training looks ahead at what follows a schedule; short ones do so at every step.
LOOKS = 100


class Pace:
    """The time of a training, and what follows from it.

    Parameters
    ----------
    trainer : Trainer
    state : TrainingState
        Its counters are moved on.
    steps_per_epoch : int
    length : int or None
        Epochs of the whole training; None when it is unknown.
    max_seconds : float or None
        Time allowed. Progress is then the share of the time or of the epochs that is used up, whichever is larger.

    Raises
    ------
    ValueError
        When a setting that follows a schedule, or the factor of the learning rate, leaves its range on the way.

    Attributes
    ----------
    varies : bool
        Whether anything changes within an epoch.
    objective : Objective
    clip : Clip or None
        As they are at this time.
    time : tuple of Time
        What the solver's settings follow; empty when none of them follows anything.
    """

    def __init__(
        self,
        trainer: "Trainer",
        state: "TrainingState",
        steps_per_epoch: int,
        length: int | None,
        max_seconds: float | None,
    ) -> None:
        self._trainer, self._state = trainer, state
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = None if length is None else steps_per_epoch * length
        self._followers = trainer.followers
        self._steps_at_epoch = state.step
        self._seconds, self._started = max_seconds, 0.0 if max_seconds is None else perf_counter()
        self.varies = trainer.schedule.per_step or bool(self._followers)
        self.objective: Objective = trainer.objective
        self.clip: Clip | None = trainer.clip
        self.time: tuple[()] | tuple[Time] = ()
        if self.varies:
            self._check_the_way()

    @property
    def is_over(self) -> bool:
        """Whether the time allowed is used up."""
        return self._seconds is not None and perf_counter() - self._started >= self._seconds

    def begin_epoch(self) -> None:
        """Set what the epoch, or its first step, is taken with."""
        self._steps_at_epoch = self._state.step
        self.begin_step()

    def begin_step(self) -> None:
        """Set the learning rate and the settings for the step that comes."""
        trainer, state = self._trainer, self._state
        time = self._at(state.step)
        state.learning_rate = self._rate(time)
        if "objective" in self._followers:
            self.objective = trainer.objective.at(time)
        if "clip" in self._followers and trainer.clip is not None:
            self.clip = trainer.clip.at(time)
        if "solver" in self._followers:
            self.time = (time,)

    def end_step(self) -> None:
        """Count a step."""
        self._state.step += 1

    def next_rates(self, n_steps: int) -> FloatArray:
        """Return the learning rates of the next steps."""
        if not self.varies:
            return np.full(n_steps, self._state.learning_rate)
        first = self._state.step
        return np.array([self._rate(self._at(step)) for step in range(first, first + n_steps)])

    def end_steps(self, n_steps: int, rates: FloatArray) -> None:
        """Count steps that were taken together, at the first of these learning rates."""
        self._state.step += n_steps
        self._state.learning_rate = float(rates[min(n_steps, rates.size - 1)])

    def end_epoch(self) -> None:
        """Count an epoch."""
        self._state.epoch += 1

    def _check_the_way(self) -> None:
        """Look ahead, so that what cannot work is refused before anything has changed."""
        trainer, state = self._trainer, self._state
        n_steps = self._steps_per_epoch if self._total_steps is None else self._total_steps - state.step
        last = max(0, n_steps - 1)
        ahead = sorted({last * share // LOOKS for share in range(LOOKS + 1)})
        times = [self._time(state.step + steps, state.epoch + steps / self._steps_per_epoch) for steps in ahead]
        if self._seconds is not None and self._total_steps is not None:
            times.append(times[-1]._replace(progress=1.0))
        followers: list[Any] = [getattr(trainer, name) for name in self._followers]
        for time in times:
            trainer.schedule.factor(time)
            try:
                for each in followers:
                    each.at(time)
            except ValueError as error:
                raise ValueError(
                    f"{error} That is what its schedule makes of it after {time.step} steps (epoch {time.epoch:.4g}): "
                    "choose a smaller value, or a schedule that keeps it in its range."
                ) from None

    def _time(self, step: int, epoch: float) -> Time:
        progress = None if self._total_steps is None else step / self._total_steps
        return Time(step, epoch, progress, self._state.samples_seen)

    def _rate(self, time: Time) -> float:
        scale = self._state.schedule_memory.get("scale", 1.0)
        return self._trainer.learning_rate_init * self._trainer.schedule.factor(time) * scale

    def _at(self, step: int) -> Time:
        """Return the time of a step of this epoch."""
        fraction = (step - self._steps_at_epoch) / self._steps_per_epoch
        time = self._time(step, self._state.epoch + fraction)
        if self._seconds is None or time.progress is None:
            return time
        in_seconds = (perf_counter() - self._started) / self._seconds
        return time._replace(progress=min(1.0, max(time.progress, in_seconds)))
