"""The training loop. Fit, partial_fit, warm starts, refits and the learning-rate range test all use it."""

import math
from time import perf_counter

import numpy as np

from skmlp._typing import IntArray
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import global_norm, non_finite_parameters
from skmlp.nn.weight_norms import limit_norms
from skmlp.training.batches import Batches, Data
from skmlp.training.clock import StepClock
from skmlp.training.engine import Buffers, Evaluation, Sums
from skmlp.training.engine_choice import choose_engine
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, Row, StopReason
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan
from skmlp.training.progress import ProgressTracker
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["EpochRunner", "Training", "train"]


def train(
    recipe: Recipe,
    state: TrainingState,
    data: Data,
    plan: Plan,
    criterion: Criterion | None = None,
    *,
    on_epoch_end: OnEpochEnd | None = None,
    monitor: Monitor | None = None,
    buffers: Buffers | None = None,
    n_threads: int = 1,
) -> Result:
    """Train from `state`, which is changed in place.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
    data : Data
    plan : Plan
    criterion : Criterion, optional
        What epochs are judged by; by default the training loss, and training ends with the last weights.
    on_epoch_end : callable, optional
        ``on_epoch_end(row, is_last)`` receives the epoch's row of the history, and whether training ends with this
        epoch anyway. If it returns True, training ends.
    monitor : Monitor, optional
        Observes steps. When `on_epoch_end` is called, it has the statistics of the epoch.
    buffers : Buffers, optional
        Memory of an earlier training with the same objective.
    n_threads : int, default=1
        How many threads the compiled engine may use.

    Returns
    -------
    result : Result

    Raises
    ------
    NonFiniteError
        If a loss or gradient is infinite or NaN before there are good weights to return to.
    ValueError
        If batch normalization meets batches of one sample, or a scheduled setting leaves its range.
    """
    training = Training(recipe, state, data, plan, criterion, monitor=monitor, buffers=buffers, n_threads=n_threads)
    while training.reason is None:
        row = training.advance()
        if row is not None and on_epoch_end is not None and on_epoch_end(row, training.reason is not None):
            training.stop("callback")
    return training.finish()


class Training:
    """A training that advances epoch by epoch, so that several can take turns.

    Parameters are those of :func:`train`, and `rows`, the indices of the rows of the data to use. From the first call
    of :meth:`advance` to that of :meth:`finish`, the `state` belongs to the training.

    Attributes
    ----------
    reason : StopReason or None
        Why training ended; None as long as it continues.
    n_epochs : int
        Number of epochs done.
    clock : StepClock
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        data: Data,
        plan: Plan,
        criterion: Criterion | None = None,
        *,
        monitor: Monitor | None = None,
        buffers: Buffers | None = None,
        n_threads: int = 1,
        rows: IntArray | None = None,
    ) -> None:
        self._recipe, self._state, self._plan = recipe, state, plan
        self._epochs = EpochRunner(recipe, state, data, plan, monitor, buffers, n_threads, rows)
        self.clock = self._epochs.clock
        self._tracker = ProgressTracker(
            recipe.objective.network, state, criterion or Criterion(), by_training_loss=plan.max_epochs > 1
        )
        self.reason: StopReason | None = None
        self.n_epochs = 0
        self._detail = ""

    @property
    def pauses(self) -> tuple[float, ...]:
        """See :attr:`skmlp.optim.schedules.Schedule.pauses`."""
        return self._recipe.schedule.pauses

    def advance(self) -> Row | None:
        """Train for an epoch and judge it; return its row of the history, or None if the user interrupts it.

        Raises
        ------
        NonFiniteError
            If a loss or gradient is infinite or NaN before there are good weights to return to.
        """
        started, epoch, tracker = perf_counter(), self.n_epochs + 1, self._tracker
        tracker.begin_epoch()
        # An overflow becomes a non-finite loss or gradient in the same step, which reports it.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                row = self._epochs.run()
            except KeyboardInterrupt:
                self.reason = "interrupted"
                return None
            except NonFiniteError as error:
                if tracker.best.vector is None:
                    raise
                row, self.reason = tracker.failed_epoch(), "non_finite"
                self._detail = f"{error} in epoch {epoch}; the weights {tracker.describe_best()} are kept"
            else:
                value = tracker.judge(row, epoch)
                if not tracker.continues(self._recipe.schedule, row, value):
                    self.reason = "converged"
                elif self.clock.is_over:
                    self.reason = "max_time"
        self.n_epochs = epoch
        row["seconds"] = perf_counter() - started
        row["samples_per_second"] = self._epochs.n_samples / max(row["seconds"], 1e-9)
        if self.reason is None and epoch == self._plan.max_epochs:
            self.reason = "max_iter"
        return row

    def stop(self, reason: StopReason) -> None:
        """End the training, if it has not ended for another reason than its planned length."""
        if self.reason in (None, "max_iter"):
            self.reason = reason

    def finish(self) -> Result:
        """Leave the weights that training ends with in the state, and return the result."""
        assert self.reason is not None
        state, tracker = self._state, self._tracker
        if self.reason == "non_finite":
            params = state.params
            state.solver_state = self._recipe.solver.init(params.trained, params.n_weights, params.layout)
        tracker.restore_best(self.reason)
        return Result(self.reason, self.n_epochs, self._detail, tracker.best.epoch, self._epochs.engine.name)


class EpochRunner:
    """Trains epoch by epoch, with the arguments of :func:`train`.

    Attributes
    ----------
    engine : NumpyEngine
    clock : StepClock
    n_samples : int
        Samples that the last epoch trained on; those of a whole epoch if it failed.
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        data: Data,
        plan: Plan,
        monitor: Monitor | None,
        buffers: Buffers | None,
        n_threads: int,
        rows: IntArray | None = None,
    ) -> None:
        self._recipe, self._state, self._monitor = recipe, state, monitor
        n_rows, network = data.n_samples if rows is None else len(rows), recipe.objective.network
        self._samples_per_epoch = self.n_samples = plan.samples_per_epoch or n_rows
        if network.couples_rows and min(plan.batch_size, self.n_samples) < 2:
            raise ValueError(
                "Batch normalization needs at least 2 rows in a batch to have a variance, got one sample. "
                "Use more rows or larger batches, or layer normalization."
            )
        batch_size, smallest = min(plan.batch_size, n_rows), 2 if network.couples_rows else 1
        self._batches = Batches(data, batch_size, shuffle=plan.shuffle, smallest=smallest, rows=rows)
        buffers = buffers or Buffers(recipe.objective, state.params, self._batches.largest)
        self.engine = choose_engine(recipe, state, self._batches, buffers, plan, n_threads)
        self.clock = StepClock(recipe, state, plan, self._batches.n_batches)
        self._ahead = recipe.solver.ahead(state.solver_state) if recipe.solver_averages else None
        if self._ahead is not None:
            state.start_average(self._ahead)
        clips = recipe.clip is not None
        self._clipped = (self.engine.grad.trained_arrays, state.params.trained_arrays) if clips else ([], [])

    def run(self) -> Row:
        """Train for one epoch, or until the time limit.

        Returns
        -------
        row : dict
            Means over the epoch, the losses weighted by the weight of each batch.

        Raises
        ------
        NonFiniteError
            If a loss, a gradient or the parameters become infinite or NaN.
        """
        try:
            return self._run()
        finally:  # also when the user interrupts
            if self._ahead is not None:
                self._state.follow_average(self._ahead)

    def _run(self) -> Row:
        engine, clock, params, sums = self.engine, self.clock, self._state.params, Sums()
        n_rows = self._batches.n_samples
        self.n_samples = self._samples_per_epoch
        if self._monitor is not None:
            self._monitor.begin_epoch(self._batches.n_batches, n_rows)
        clock.begin_epoch()
        engine.begin_epoch()
        while engine.n_left > 0:
            n_steps = self._n_fused_steps()
            if n_steps > 1:
                self._take_fused_steps(n_steps, sums)
            else:
                self._take_step(sums)
            if clock.is_over and sums.n_steps > 0:  # skipped batches do not count
                break
        self._state.epoch += 1
        if not math.isfinite(global_norm(params.vector)):
            raise NonFiniteError(f"{non_finite_parameters(params)} became infinite or NaN at step {sums.n_steps}")
        self.n_samples = round(self._samples_per_epoch * sums.n_rows / n_rows)
        self._state.samples_seen += self.n_samples
        return self._means(sums)

    def _means(self, sums: Sums) -> Row:
        train_loss, penalty = sums.loss / sums.weight, sums.penalty / sums.weight
        varies = self.clock.varies
        return {
            "loss": train_loss + penalty,
            "train_loss": train_loss,
            "penalty": penalty,
            "learning_rate": sums.learning_rate / sums.n_steps if varies else self._state.learning_rate,
            "gradient_norm": sums.norm / sums.n_steps,
            "clipped_fraction": sums.n_clipped / sums.n_steps,
        }

    def _n_fused_steps(self) -> int:
        """Return how many steps the engine can take at once, none of which is monitored."""
        n_steps = self.engine.max_fused_steps
        if n_steps > 1:
            n_steps = min(n_steps, self.engine.n_left)
        return n_steps if self._monitor is None else min(n_steps, self._monitor.n_unobserved)

    def _take_fused_steps(self, n_steps: int, sums: Sums) -> None:
        """Take several steps with one call of the engine."""
        engine, monitor = self.engine, self._monitor
        n_left, n_before = engine.n_left, sums.n_steps
        try:
            last = engine.run(self.clock, n_steps, sums)
        finally:
            if monitor is not None:
                monitor.skip(sums.n_steps - n_before)
        if n_left - engine.n_left < n_steps:
            if monitor is not None:
                monitor.before_update(
                    self._state.params, engine.grad, engine.layer_outputs, last.n_rows, is_non_finite=True
                )
            raise self._non_finite(self._recipe.objective, last, sums)

    def _take_step(self, sums: Sums) -> None:
        """Take a single step, or skip a batch whose weight is 0."""
        recipe, state, engine, clock, monitor = self._recipe, self._state, self.engine, self.clock, self._monitor
        params = state.params
        if clock.varies and sums.n_rows > 0:
            clock.begin_step()
        step = engine.evaluate(clock.objective)
        sums.n_rows += step.n_rows
        if step.weight == 0.0:
            state.step += 1
            return
        is_finite = math.isfinite(step.loss + step.norm)
        observed = monitor is not None and monitor.before_update(
            params, engine.grad, engine.layer_outputs, step.n_rows, is_non_finite=not is_finite
        )
        if not is_finite:
            raise self._non_finite(clock.objective, step, sums)
        clipped = recipe.clip is not None and recipe.clip.clip(engine.grad.trained, *self._clipped, step.norm)
        engine.update(state.learning_rate, clock.solver_time)
        if recipe.max_norm is not None:
            limit_norms(params.weights, recipe.max_norm)
        if monitor is not None and observed:
            monitor.after_update(params, step.norm)
        if recipe.averaging is not None:
            state.update_average(recipe.averaging, scratch=engine.grad.vector)
        sums.add(step, state.learning_rate, clipped=clipped)
        state.step += 1

    def _non_finite(self, objective: Objective, last: Evaluation, sums: Sums) -> NonFiniteError:
        """Return the error for a batch whose loss or gradient is not finite, after the steps in `sums`."""
        place = self.engine.find_non_finite(objective, last.loss + last.penalty)
        return NonFiniteError(f"{place} became infinite or NaN at step {sums.n_steps + 1}")
