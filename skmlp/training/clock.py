"""The time of a training: the learning rate of each step, and the settings that follow a schedule."""

from time import perf_counter

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.objective import Objective
from skmlp.optim.schedules import Time
from skmlp.training.plan import Plan
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["StepClock"]

# At how many times schedules are checked before training; shorter trainings check every step.
N_CHECKS = 100


class StepClock:
    """Tells the time of each step, and what schedules make of it.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
        It counts the steps, the epochs and the samples. Its learning rate is updated.
    plan : Plan
        Progress is the fraction of its length, or of its time limit if that is larger.
    steps_per_epoch : int

    Attributes
    ----------
    varies : bool
        Whether the learning rate or a setting changes within an epoch.
    objective : Objective
        With the settings of the present step.
    solver_time : Time or None
        The time of the present step, if a setting of the solver follows a schedule.

    Raises
    ------
    ValueError
        If a scheduled setting, or the factor on the learning rate, leaves its range during the training.
    """

    def __init__(self, recipe: Recipe, state: TrainingState, plan: Plan, steps_per_epoch: int) -> None:
        self._recipe, self._state = recipe, state
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = None if plan.length is None else steps_per_epoch * plan.length
        self._first_step_of_epoch = state.step
        self._max_seconds, self._started = plan.max_seconds, 0.0 if plan.max_seconds is None else perf_counter()
        self._paused: float | None = None
        self.varies = recipe.schedule.per_step or bool(recipe.scheduled_settings)
        self.objective: Objective = recipe.objective
        self.solver_time: Time | None = None
        if self.varies:
            self._check_schedules()

    @property
    def is_over(self) -> bool:
        """Whether the time limit is reached."""
        return self._max_seconds is not None and perf_counter() - self._started >= self._max_seconds

    @property
    def progress(self) -> float:
        """The fraction of the training that is done; 0 where its length is unknown."""
        return self._at(self._state.step).progress or 0.0

    def pause(self) -> None:
        """Stop counting seconds, while other trainings have their turn."""
        if self._max_seconds is not None:
            self._paused = perf_counter()

    def resume(self) -> None:
        """Count seconds again; if there was no pause, from now on."""
        if self._max_seconds is not None:
            self._started += perf_counter() - (self._paused or self._started)
            self._paused = None

    def begin_epoch(self) -> None:
        """Set the learning rate and the settings of the epoch, or of its first step."""
        self._first_step_of_epoch = self._state.step
        self.begin_step()

    def begin_step(self) -> None:
        """Set the learning rate and the settings of the next step."""
        recipe, state = self._recipe, self._state
        time = self._at(state.step)
        state.learning_rate = self._learning_rate(time)
        if "objective" in recipe.scheduled_settings:
            self.objective = recipe.objective.at(time)
        if "solver" in recipe.scheduled_settings:
            self.solver_time = time

    def next_times(self, n_steps: int) -> list[Time]:
        """Return the times of the next steps."""
        first = self._state.step
        return [self._at(step) for step in range(first, first + n_steps)]

    def next_learning_rates(self, n_steps: int) -> FloatArray:
        """Return the learning rates of the next steps."""
        if not self.varies:
            return np.full(n_steps, self._state.learning_rate)
        return np.array([self._learning_rate(time) for time in self.next_times(n_steps)])

    def _check_schedules(self) -> None:
        """Evaluate the schedules at times to come, so that an invalid value is an error before training begins."""
        recipe, state = self._recipe, self._state
        n_steps = self._steps_per_epoch if self._total_steps is None else self._total_steps - state.step
        last = max(0, n_steps - 1)
        ahead = sorted({last * check // N_CHECKS for check in range(N_CHECKS + 1)})
        times = [self._time(state.step + steps, state.epoch + steps / self._steps_per_epoch) for steps in ahead]
        if self._max_seconds is not None and self._total_steps is not None:
            times.append(times[-1]._replace(progress=1.0))
        for time in times:
            recipe.schedule.factor(time)
            try:
                for name in recipe.scheduled_settings:
                    getattr(recipe, name).at(time)
            except ValueError as error:
                raise ValueError(
                    f"{error} That is the value its schedule gives after {time.step} steps (epoch {time.epoch:.4g}): "
                    "choose a smaller value, or a schedule that keeps it in its range."
                ) from None

    def _time(self, step: int, epoch: float) -> Time:
        progress = None if self._total_steps is None else step / self._total_steps
        return Time(step, epoch, progress, self._state.samples_seen)

    def _learning_rate(self, time: Time) -> float:
        scale = self._state.schedule_memory.get("scale", 1.0)
        return self._recipe.learning_rate_init * self._recipe.schedule.factor(time) * scale

    def _at(self, step: int) -> Time:
        """Return the time of a step of this epoch."""
        fraction = (step - self._first_step_of_epoch) / self._steps_per_epoch
        time = self._time(step, self._state.epoch + fraction)
        if self._max_seconds is None or time.progress is None:
            return time
        in_seconds = ((self._paused or perf_counter()) - self._started) / self._max_seconds
        return time._replace(progress=min(1.0, max(time.progress, in_seconds)))
