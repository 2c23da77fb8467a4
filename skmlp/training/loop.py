"""The training loop. Fit, partial_fit, warm starts, refits and the learning-rate range test all use it."""

from time import perf_counter

import numpy as np

from skmlp.training.batches import Batches, Data
from skmlp.training.clock import StepClock
from skmlp.training.engine import Buffers
from skmlp.training.engine_choice import choose_engine
from skmlp.training.epoch import EpochRunner
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, StopReason
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan
from skmlp.training.progress import ProgressTracker
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["train"]


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
    criterion = criterion or Criterion()
    batches = _make_batches(recipe, data, plan)
    buffers = buffers or Buffers(recipe.objective, state.params, batches.largest)
    engine = choose_engine(recipe, state, batches, buffers, plan, n_threads)
    clock = StepClock(recipe, state, plan, batches.n_batches)
    tracker = ProgressTracker(recipe.objective.network, state, criterion, by_training_loss=plan.max_epochs > 1)
    epochs = EpochRunner(recipe, state, batches, engine, clock, monitor)
    # An overflow becomes a non-finite loss or gradient in the same step, which reports it.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        reason, n_epochs, detail = _run_epochs(recipe, state, data, plan, epochs, clock, tracker, on_epoch_end)
    if reason == "non_finite":
        state.solver_state = recipe.solver.init(state.params.trained, state.params.n_weights)
    tracker.restore_best(reason)
    return Result(reason, n_epochs, detail, tracker.best.epoch, engine.name)


def _make_batches(recipe: Recipe, data: Data, plan: Plan) -> Batches:
    n_samples = plan.samples_per_epoch or data.n_samples
    couples_rows = recipe.objective.network.couples_rows
    if couples_rows and min(plan.batch_size, n_samples) < 2:
        raise ValueError(
            "Batch normalization needs at least 2 rows in a batch to have a variance, got one sample. "
            "Use more rows or larger batches, or layer normalization."
        )
    batch_size = min(plan.batch_size, data.n_samples)
    return Batches(data, batch_size, shuffle=plan.shuffle, smallest=2 if couples_rows else 1)


def _run_epochs(
    recipe: Recipe,
    state: TrainingState,
    data: Data,
    plan: Plan,
    epochs: EpochRunner,
    clock: StepClock,
    tracker: ProgressTracker,
    on_epoch_end: OnEpochEnd | None,
) -> tuple[StopReason, int, str]:
    """Train until there is a reason to stop; return it, the number of epochs, and details."""
    for epoch in range(1, plan.max_epochs + 1):
        started, n_samples = perf_counter(), plan.samples_per_epoch or data.n_samples
        reason: StopReason | None = None
        detail = ""
        tracker.begin_epoch()
        try:
            row, n_rows = epochs.run()
        except KeyboardInterrupt:
            return "interrupted", epoch - 1, ""
        except NonFiniteError as error:
            if tracker.best.vector is None:
                raise
            row, reason = tracker.failed_epoch(), "non_finite"
            detail = f"{error} in epoch {epoch}; the weights {tracker.describe_best()} are kept"
        else:
            n_samples = round(n_samples * n_rows / data.n_samples)
            state.samples_seen += n_samples
            value = tracker.judge(row, epoch)
            if not tracker.continues(recipe.schedule, row, value):
                reason = "converged"
            elif clock.is_over:
                reason = "max_time"
        row["seconds"] = perf_counter() - started
        row["samples_per_second"] = n_samples / max(row["seconds"], 1e-9)
        is_last = reason is not None or epoch == plan.max_epochs
        if on_epoch_end is not None and on_epoch_end(row, is_last):
            reason = reason or "callback"
        if reason is not None:
            return reason, epoch, detail
    return "max_iter", plan.max_epochs, ""
