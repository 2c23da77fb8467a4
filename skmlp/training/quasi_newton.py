"""Training by L-BFGS: all data at once, an iteration counts as an epoch."""

import math
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import global_norm
from skmlp.optim.lbfgs import minimize_lbfgs
from skmlp.training.batches import Data
from skmlp.training.engine import Buffers
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, Row, StopReason
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan
from skmlp.training.progress import ProgressTracker
from skmlp.training.state import TrainingState

__all__ = ["run_lbfgs"]


def run_lbfgs(
    objective: Objective,
    state: TrainingState,
    data: Data,
    plan: Plan,
    criterion: Criterion | None = None,
    *,
    max_fun: int,
    tol: float,
    on_epoch_end: OnEpochEnd | None = None,
    monitor: Monitor | None = None,
) -> Result:
    """Train by L-BFGS on all data at once; an iteration counts as an epoch.

    Parameters
    ----------
    objective : Objective
    state : TrainingState
        Its parameters, in float64, are changed in place; after an interruption they are those of the last iteration.
    data : Data
    plan : Plan
        Of which `max_epochs` limits the iterations, and `max_seconds` their time.
    criterion : Criterion, optional
        As for :func:`~skmlp.training.loop.train`, but `fallback` is ignored. Without validation, the last iteration is
        always the best.
    max_fun : int
        The largest number of evaluations of the objective.
    tol : float
        Training has converged when no entry of the gradient is larger.
    on_epoch_end : callable, optional
        As for :func:`~skmlp.training.loop.train`.
    monitor : Monitor, optional
        Observes iterations: the gradient at the new point, and the step to it.

    Raises
    ------
    NonFiniteError
        If the loss is infinite or NaN at the start.
    """
    criterion = replace(criterion or Criterion(), fallback=None)
    run = _LBFGSRun(objective, state, data, plan, criterion, on_epoch_end, monitor)
    vector = state.params.vector
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            found = minimize_lbfgs(
                run.value_and_gradient,
                vector,
                max_iter=plan.max_epochs,
                max_fun=max_fun,
                tol=tol,
                on_iteration=run.end_iteration,
            )
        except KeyboardInterrupt:
            run.tracker.restore_best("interrupted")
            return Result("interrupted", run.n_iter, best_epoch=run.tracker.best.epoch)
    vector[...] = found.params
    if run.n_iter == 0:
        run.record(is_last=True)  # the start was a minimum already
    # Training that ended by itself, at the start, did not run out of time.
    reason: StopReason = (run.stop_reason or "callback") if found.reason == "stopped" else found.reason
    run.tracker.restore_best(reason)
    return Result(reason, found.n_iter, found.message, run.tracker.best.epoch)


@dataclass
class _LBFGSRun:
    """What happens in each evaluation of the objective, and after each iteration."""

    objective: Objective
    state: TrainingState
    data: Data
    plan: Plan
    criterion: Criterion
    on_epoch_end: OnEpochEnd | None
    monitor: Monitor | None
    n_iter: int = 0
    stop_reason: StopReason | None = None

    def __post_init__(self) -> None:
        self.tracker = ProgressTracker(self.objective.network, self.state, self.criterion, by_training_loss=False)
        self._buffers = Buffers(self.objective, self.state.params, self.data.n_samples)
        self._point = self.state.params.like()
        self._row: Row = {}  # of the last evaluation
        self._begun = self._started = perf_counter()

    def value_and_gradient(self, vector: FloatArray) -> tuple[float, FloatArray]:
        point, grad, workspace = self._point, self._buffers.grad, self._buffers.workspace
        point.vector[...] = vector
        X, y, weight = self.data
        loss, penalty = self.objective.value_and_gradient(point, X, y, weight, workspace, grad)
        norm = global_norm(grad.vector)
        if not self._row and not math.isfinite(loss + norm):
            place = self.objective.find_non_finite(point, X, grad, workspace, loss + penalty)
            raise NonFiniteError(f"{place} became infinite or NaN at step 1")
        self._row = {"loss": loss + penalty, "train_loss": loss, "penalty": penalty, "gradient_norm": norm}
        return loss + penalty, grad.vector

    def end_iteration(self, vector: FloatArray, value: float) -> bool:
        # The line search ends at the point it accepts, so the last evaluation is that of this iteration.
        self.n_iter += 1
        params, n_samples, monitor, observed = self.state.params, self.data.n_samples, self.monitor, False
        if monitor is not None:
            monitor.begin_epoch(1, n_samples)
            layer_outputs = partial(self.objective.network.layer_outputs, self._buffers.workspace)
            observed = monitor.before_update(params, self._buffers.grad, layer_outputs, n_samples)
        params.vector[...] = vector
        if monitor is not None and observed:
            monitor.after_update(params, self._row["gradient_norm"])
        return self.record(is_last=self.n_iter == self.plan.max_epochs)

    def record(self, *, is_last: bool) -> bool:
        """Finish the row of an iteration, and tell whether training should end."""
        row = {**self._row, "learning_rate": math.nan, "clipped_fraction": 0.0}
        value, limit = self.tracker.judge(row, self.n_iter), self.plan.max_seconds
        now = perf_counter()
        if self.criterion.early_stopping and self.state.plateau.update(value):
            self.stop_reason = "converged"
        elif limit is not None and now - self._begun >= limit:
            self.stop_reason = "max_time"
        seconds, self._started = now - self._started, now
        row |= {"seconds": seconds, "samples_per_second": self.data.n_samples / max(seconds, 1e-9)}
        ends = self.stop_reason is not None
        stopped = self.on_epoch_end is not None and self.on_epoch_end(row, is_last or ends)
        return stopped or ends
