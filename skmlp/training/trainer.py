"""The training loop: epochs, batches, steps. It knows objectives and solvers, and nothing of estimators."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.objective import Objective, ObjectiveWorkspace
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import global_norm, non_finite_parameters
from skmlp.optim.schedules import Schedule
from skmlp.optim.solvers import Solver
from skmlp.training.batches import Batches, Data
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, Row
from skmlp.training.monitor import Monitor
from skmlp.training.stopping import Plateau

__all__ = ["Buffers", "Trainer", "TrainingState", "Validation", "copy_state"]


@dataclass
class TrainingState:
    """Everything that changes in training. A copy of it is a checkpoint: going on from it is as never having stopped.

    Attributes
    ----------
    params : Parameters
    solver_state : dict
    rng : numpy.random.Generator
        The stream of the shuffling.
    learning_rate : float
        Of the next epoch.
    plateau : Plateau
    samples_seen : int
    """

    params: Parameters
    solver_state: dict[str, Any]
    rng: np.random.Generator
    learning_rate: float
    plateau: Plateau
    samples_seen: int = 0


@dataclass(frozen=True)
class Validation:
    """Held-out data, with the score to judge predictions by (higher is better)."""

    data: Data
    score: Callable[[AnyArray, FloatArray, FloatArray | None], float]

    def evaluate(self, objective: Objective, params: Parameters) -> tuple[float, float]:
        """Return the mean loss without penalty, and the score, from one forward pass."""
        X, y, weight = self.data
        raw = objective.network.predict(params, X)
        losses = objective.loss.loss(y, raw)
        loss = losses.sum(dtype=np.float64) if weight is None else np.dot(losses, weight)
        return float(loss) / self.data.total_weight, float(self.score(y, raw, weight))


class _Best:
    """The parameters of the best epoch so far, to go back to.

    A validation score is that of the parameters after the epoch. A training loss was measured during the epoch, on
    the way from the parameters before it, so those belong to it: what came after may have been thrown far off.
    """

    def __init__(self) -> None:
        self.value = math.inf
        self.what = ""
        self.vector: FloatArray | None = None

    def offer(self, value: float, what: str, vector: FloatArray) -> None:
        """Keep a copy of `vector` if `value` is the lowest so far; NaN is worse than any number."""
        if value < self.value or self.vector is None:
            self.value, self.what = math.inf if math.isnan(value) else value, what
            self.vector = vector.copy() if self.vector is None else self.vector
            self.vector[...] = vector


@dataclass(frozen=True)
class Trainer:
    """Mini-batch gradient descent with any solver.

    Parameters
    ----------
    objective : Objective
    solver : Solver
    schedule : Schedule
    learning_rate_init : float
    """

    objective: Objective
    solver: Solver
    schedule: Schedule
    learning_rate_init: float

    def run(
        self,
        state: TrainingState,
        data: Data,
        *,
        batch_size: int,
        max_epochs: int,
        shuffle: bool = True,
        validation: Validation | None = None,
        keep_start: bool = False,
        on_epoch_end: OnEpochEnd | None = None,
        buffers: "Buffers | None" = None,
        samples_per_epoch: int | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """Train from `state`, which is changed in place.

        Parameters
        ----------
        state : TrainingState
        data : Data
        batch_size : int
            Rows a step, clipped to the number of samples.
        max_epochs : int
        shuffle : bool, default=True
            Visit the rows in a new order each epoch.
        validation : Validation, optional
            Ends the training by its score instead of the training loss, and leaves the best epoch's parameters.
        keep_start : bool, default=False
            Treat the parameters in `state` as good ones to fall back on: what an earlier training left.
        on_epoch_end : callable, optional
            ``on_epoch_end(row, is_last)`` receives the epoch's row of the history, and whether training ends with
            it anyway; True ends the training.
        buffers : Buffers, optional
            Memory of an earlier call on the same objective.
        samples_per_epoch : int, optional
            What an epoch adds to ``state.samples_seen``, when duplicates in `data` were merged.
        monitor : Monitor, optional
            Observes steps; ready to tell of an epoch when `on_epoch_end` is called.

        Returns
        -------
        result : Result

        Raises
        ------
        NonFiniteError
            When a loss or gradient is infinite or NaN before there were good parameters to keep.
        """
        batches = Batches(data, min(batch_size, data.n_samples), shuffle=shuffle)
        buffers = buffers or Buffers(self.objective, state.params, batches.batch_size)
        best = _Best()
        if keep_start:
            value = math.inf
            if validation is not None:
                value = -validation.evaluate(self.objective, state.params)[1]
                state.plateau.best = min(state.plateau.best, value)
            best.offer(value, "before this training", state.params.vector)
        before_epoch = state.params.vector.copy() if validation is None and max_epochs > 1 else None

        result = Result("max_iter", max_epochs)
        # Overflow shows as a non-finite loss or gradient in the very step, and is reported there.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for epoch in range(1, max_epochs + 1):
                started = perf_counter()
                if before_epoch is not None:
                    before_epoch[...] = state.params.vector
                try:
                    row = self._run_epoch(state, batches, buffers, monitor)
                except KeyboardInterrupt:
                    result = Result("interrupted", epoch - 1)
                    break
                except NonFiniteError as event:
                    if best.vector is None:
                        raise
                    row = _lost_epoch(state, validation)
                    result = Result("non_finite", epoch, f"{event} in epoch {epoch}; the weights {best.what} are kept")
                else:
                    state.samples_seen += samples_per_epoch or data.n_samples
                    if validation is not None:
                        loss, score = validation.evaluate(self.objective, state.params)
                        row |= {"validation_loss": loss, "validation_score": score}
                        best.offer(-score, f"of epoch {epoch}, the best one,", state.params.vector)
                    elif before_epoch is not None:
                        best.offer(row["loss"], f"from before epoch {epoch}, the best one,", before_epoch)
                    if not self._progresses(state, row):
                        result = Result("converged", epoch)
                row["seconds"] = perf_counter() - started
                row["samples_per_second"] = (samples_per_epoch or data.n_samples) / max(row["seconds"], 1e-9)
                ends = result.reason != "max_iter"
                stop = on_epoch_end is not None and on_epoch_end(row, ends or epoch == max_epochs)
                if ends:
                    break
                if stop:
                    result = Result("callback", epoch)
                    break
        if result.reason == "non_finite":
            state.solver_state = self.solver.init(state.params.vector, state.params.n_weights)
        if best.vector is not None and (validation is not None or result.reason == "non_finite"):
            state.params.vector[...] = best.vector
        return result

    def _progresses(self, state: TrainingState, row: Row) -> bool:
        """Set the next epoch's learning rate, and tell whether there is reason to go on."""
        monitored = -row["validation_score"] if "validation_score" in row else row["loss"]
        exhausted = state.plateau.update(monitored)
        state.learning_rate = self.schedule.after_epoch(
            self.learning_rate_init, state.learning_rate, state.samples_seen
        )
        if not exhausted:
            return True
        next_rate = self.schedule.on_plateau(state.learning_rate)
        if next_rate is None:
            return False
        state.learning_rate = next_rate
        state.plateau.count = 0
        return True

    def _run_epoch(
        self, state: TrainingState, batches: Batches, buffers: "Buffers", monitor: Monitor | None = None
    ) -> Row:
        """Do one pass over the batches; return the means over the epoch, weighted by the batches' weights."""
        params, grad, workspace = state.params, buffers.grad, buffers.workspace
        value_and_gradient, update = self.objective.value_and_gradient, self.solver.update
        loss_sum = penalty_sum = weight_sum = norm_sum = 0.0
        n_steps = 0
        if monitor is not None:
            monitor.begin_epoch()
        for X, y, weight in batches.epoch(state.rng):
            batch_weight = float(X.shape[0] if weight is None else weight.sum(dtype=np.float64))
            if batch_weight == 0.0:
                continue  # nobody in this batch counts; its mean loss is undefined
            loss, penalty = value_and_gradient(params, X, y, weight, workspace, grad)
            norm = global_norm(grad.vector)
            if not math.isfinite(loss + norm):
                place = self.objective.find_non_finite(params, X, grad, workspace, loss + penalty)
                raise NonFiniteError(f"{place} became infinite or NaN at step {n_steps + 1}")
            observer = monitor if monitor is not None and monitor.begin_step() else None
            if observer is not None:
                observer.before_update(params, grad, self.objective.slopes(X.shape[0], workspace))
            update(params.vector, grad.vector, state.solver_state, state.learning_rate)
            if observer is not None:
                observer.after_update(params)
            loss_sum += batch_weight * loss
            penalty_sum += batch_weight * penalty
            weight_sum += batch_weight
            norm_sum += norm
            n_steps += 1
        if not math.isfinite(global_norm(params.vector)):
            raise NonFiniteError(f"{non_finite_parameters(params)} became infinite or NaN at step {n_steps}")
        train_loss, mean_penalty = loss_sum / weight_sum, penalty_sum / weight_sum
        return {
            "loss": train_loss + mean_penalty,
            "train_loss": train_loss,
            "penalty": mean_penalty,
            "learning_rate": state.learning_rate,
            "gradient_norm": norm_sum / n_steps,
        }


def _lost_epoch(state: TrainingState, validation: Validation | None) -> Row:
    """Return the row of an epoch that ended in a non-finite value: its numbers are NaN."""
    names = ["loss", "train_loss", "penalty", "gradient_norm"]
    names += ["validation_loss", "validation_score"] if validation is not None else []
    return {**dict.fromkeys(names, math.nan), "learning_rate": state.learning_rate}


class Buffers:
    """The gradient and the workspace of a training, to be used again by the next one on the same network."""

    def __init__(self, objective: Objective, params: Parameters, n_samples: int) -> None:
        self.n_samples = n_samples
        self.grad = params.like()
        self.workspace: ObjectiveWorkspace = objective.workspace(n_samples, params.vector.dtype)


def copy_state(state: TrainingState) -> TrainingState:
    """Return an independent copy: a checkpoint."""
    return TrainingState(
        params=state.params.on(state.params.vector.copy()),
        solver_state=copy.deepcopy(state.solver_state),
        rng=copy.deepcopy(state.rng),
        learning_rate=state.learning_rate,
        plateau=copy.copy(state.plateau),
        samples_seen=state.samples_seen,
    )
