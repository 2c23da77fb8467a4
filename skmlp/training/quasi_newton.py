"""Training by L-BFGS: all data at once, an iteration counts as an epoch."""

import math
from functools import partial
from time import perf_counter

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import global_norm
from skmlp.optim.lbfgs import minimize_lbfgs
from skmlp.training.batches import Data
from skmlp.training.best_weights import BestValidatedWeights
from skmlp.training.engine import Buffers
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, Row, StopReason
from skmlp.training.monitor import Monitor
from skmlp.training.stopping import Plateau
from skmlp.training.validation import Validation

__all__ = ["run_lbfgs"]


def run_lbfgs(
    objective: Objective,
    params: Parameters,
    data: Data,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    validation: Validation | None = None,
    early_stopping: Plateau | None = None,
    restore_best: bool = False,
    max_seconds: float | None = None,
    on_epoch_end: OnEpochEnd | None = None,
    monitor: Monitor | None = None,
) -> Result:
    """Train by L-BFGS on all data at once; an iteration counts as an epoch.

    Parameters
    ----------
    objective : Objective
    params : Parameters, float64
        Changed in place; after an interruption it holds the last iteration's values.
    data : Data
    max_iter, max_fun : int
        Limits on iterations and evaluations.
    tol : float
        On the largest entry of the gradient.
    validation : Validation, optional
        Evaluated after every iteration.
    early_stopping : Plateau, optional
        Ends the training when the validation score makes no progress by it.
    restore_best : bool, default=False
        Leave the parameters of the iteration with the best validation score, as an interruption does in any case.
        Without validation the last ones are always the best.
    max_seconds : float, optional
        Ends the training after the iteration in which that time is over.
    on_epoch_end : callable, optional
        As for :func:`~skmlp.training.loop.train`.
    monitor : Monitor, optional
        Observes iterations: the gradient at the new point, and the way to it.

    Raises
    ------
    NonFiniteError
        When the loss is infinite or NaN at the start.
    ValueError
        When there is nothing to stop early by.
    """
    if early_stopping is not None and validation is None:
        raise ValueError("early_stopping goes by the validation score: pass validation, or early_stopping=None.")
    buffers = Buffers(objective, params, data.n_samples)
    point = params.like()
    n_iter = n_evaluations = 0
    last: Row = {}
    begun = started = perf_counter()
    best = BestValidatedWeights()
    own_reason: StopReason | None = None

    def value_and_gradient(vector: FloatArray) -> tuple[float, FloatArray]:
        nonlocal n_evaluations
        n_evaluations += 1
        point.vector[...] = vector
        X, y, weight = data
        loss, penalty = objective.value_and_gradient(point, X, y, weight, buffers.workspace, buffers.grad)
        norm = global_norm(buffers.grad.vector)
        if n_evaluations == 1 and not math.isfinite(loss + norm):
            place = objective.find_non_finite(point, X, buffers.grad, buffers.workspace, loss + penalty)
            raise NonFiniteError(f"{place} became infinite or NaN at step 1")
        last.update(loss=loss + penalty, train_loss=loss, penalty=penalty, gradient_norm=norm)
        return loss + penalty, buffers.grad.vector

    def record(*, is_last: bool) -> bool:
        nonlocal started, own_reason
        row = {**last, "learning_rate": math.nan, "clipped_share": 0.0}
        if validation is not None:
            loss, score = validation.evaluate(objective.network, params)
            row |= {"validation_loss": loss, "validation_score": score}
            what = f"of iteration {n_iter}"
            value = best.update_validated(loss, score, n_iter, what, params.vector, early_stopping)
            if early_stopping is not None and early_stopping.update(value):
                own_reason = "converged"
        now = perf_counter()
        if own_reason is None and max_seconds is not None and now - begun >= max_seconds:
            own_reason = "max_time"
        seconds, started = now - started, now
        row |= {"seconds": seconds, "samples_per_second": data.n_samples / max(seconds, 1e-9)}
        stop = on_epoch_end is not None and on_epoch_end(row, is_last or own_reason is not None)
        return stop or own_reason is not None

    def on_iteration(vector: FloatArray, value: float) -> bool:
        # The line search ends at the point it accepts, so the last evaluation is this iteration's.
        nonlocal n_iter
        n_iter += 1
        observed = False
        if monitor is not None:
            monitor.begin_epoch(1, data.n_samples)
            units = partial(objective.network.units, buffers.workspace)
            observed = monitor.before_update(params, buffers.grad, units, data.n_samples)
        params.vector[...] = vector
        if monitor is not None and observed:
            monitor.after_update(params, last["gradient_norm"])
        return record(is_last=n_iter == max_iter)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            found = minimize_lbfgs(
                value_and_gradient,
                params.vector,
                max_iter=max_iter,
                max_fun=max_fun,
                tol=tol,
                on_iteration=on_iteration,
            )
        except KeyboardInterrupt:
            found = None
    if found is not None:
        params.vector[...] = found.params
    if n_iter == 0 and found is not None:
        record(is_last=True)  # the start was a minimum already; say what the loss is there
    if best.vector is not None and (restore_best or found is None):
        params.vector[...] = best.vector
    if found is None:
        return Result("interrupted", n_iter, best_epoch=best.epoch)
    # What ended by itself, at the start, did not run out of time.
    reason: StopReason = (own_reason or "callback") if found.reason == "stopped" else found.reason
    return Result(reason, found.n_iter, found.message, best.epoch)
