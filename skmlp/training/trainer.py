"""The training loop: epochs, batches, steps. It knows objectives and solvers, and nothing of estimators."""

import copy
import math
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from time import perf_counter
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.constraints import limit_norms
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import global_norm, non_finite_parameters
from skmlp.optim.clipping import Clip
from skmlp.optim.schedules import Schedule
from skmlp.optim.solvers import Solver
from skmlp.training.batches import Batches, Data
from skmlp.training.engine import choose_steps
from skmlp.training.events import NonFiniteError, OnEpochEnd, Result, Row
from skmlp.training.monitor import Monitor
from skmlp.training.pace import Pace
from skmlp.training.steps import Buffers, Evaluation, Steps, Sums
from skmlp.training.stopping import Plateau
from skmlp.training.validation import Best, BestValidated, Validation

__all__ = ["Trainer", "TrainingState", "copy_state"]


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
        Of the last step.
    plateau : Plateau
    samples_seen : int
    step, epoch : int
        Counted since schedules were last started.
    schedule_memory : dict
        What a schedule remembers that reacts to the loss.
    dropout_rng : numpy.random.Generator
        The stream of dropout.
    average : Parameters or None
        The average of the parameters over the steps, when there is one.
    is_long : bool
        Whether the training has once been long enough for compiled steps. It stays so: a training that goes on with
        what is left of it has the same steps.
    """

    params: Parameters
    solver_state: dict[str, Any]
    rng: np.random.Generator
    learning_rate: float
    plateau: Plateau
    samples_seen: int = 0
    step: int = 0
    epoch: int = 0
    schedule_memory: dict[str, float] = field(default_factory=dict)
    dropout_rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    average: Parameters | None = None
    is_long: bool = False

    @property
    def in_use(self) -> Parameters:
        """The parameters to predict with: the average, when there is one."""
        return self.params if self.average is None else self.average

    def settle(self, vector: FloatArray | None = None) -> None:
        """Go on from `vector`, by default from the parameters in use; an average begins anew."""
        self.params.vector[...] = self.in_use.vector if vector is None else vector
        self.average = None


@dataclass(frozen=True)
class Trainer:
    """Mini-batch gradient descent with any solver.

    Parameters
    ----------
    objective : Objective
    solver : Solver
    schedule : Schedule
    learning_rate_init : float
    clip : Clip, optional
        What becomes of large gradients.
    max_norm : float, optional
        The largest norm of a unit's incoming weights; see :func:`~skmlp.nn.constraints.limit_norms`.
    averaging : float, optional
        Decay d of the average of the parameters: after the first step it is equal to them, then
        ``average = d * average + (1 - d) * params``.
    """

    objective: Objective
    solver: Solver
    schedule: Schedule
    learning_rate_init: float
    clip: Clip | None = None
    max_norm: float | None = None
    averaging: float | None = None

    @cached_property
    def followers(self) -> frozenset[str]:
        """Which of ``"objective"``, ``"solver"`` and ``"clip"`` have settings that follow a schedule."""
        follows = {
            "objective": self.objective.is_scheduled,
            "solver": bool(self.solver.scheduled()),
            "clip": self.clip is not None and bool(self.clip.scheduled()),
        }
        return frozenset(name for name, does in follows.items() if does)

    @property
    def steps_are_plain(self) -> bool:
        """Whether a step is a gradient and the solver's update, and nothing else: then a call can take many."""
        return self.clip is None and self.max_norm is None and self.averaging is None and not self.followers

    def run(
        self,
        state: TrainingState,
        data: Data,
        *,
        batch_size: int,
        max_epochs: int,
        length: int | None = None,
        max_seconds: float | None = None,
        shuffle: bool = True,
        validation: Validation | None = None,
        early_stopping: bool = False,
        restore_best: bool = False,
        keep_start: bool = False,
        start: FloatArray | None = None,
        on_epoch_end: OnEpochEnd | None = None,
        buffers: Buffers | None = None,
        samples_per_epoch: int | None = None,
        monitor: Monitor | None = None,
        n_threads: int = 1,
    ) -> Result:
        """Train from `state`, which is changed in place.

        Parameters
        ----------
        state : TrainingState
        data : Data
        batch_size : int
            Rows a step, clipped to the number of samples.
        max_epochs : int
        length : int, optional
            Epochs of the whole training, which schedules' progress and the choice of the engine refer to; by default
            schedules do not know it, and the engine is chosen for `max_epochs`.
        max_seconds : float, optional
            Ends the training after the step in which that time is over.
        shuffle : bool, default=True
            Visit the rows in a new order each epoch.
        validation : Validation, optional
            Evaluated after every epoch.
        early_stopping : bool, default=False
            Progress is that of the validation score, not of the training loss.
        restore_best : bool, default=False
            Leave the parameters of the epoch with the best validation score, without validation with the lowest
            training loss. With validation an interruption does so in any case.
        keep_start : bool, default=False
            Treat the parameters in `state` as good ones to fall back on: what an earlier training left.
        start : ndarray of shape (n_parameters,), optional
            A copy of the parameters in use that the caller has already, so that `keep_start` needs no other one.
        on_epoch_end : callable, optional
            ``on_epoch_end(row, is_last)`` receives the epoch's row of the history, and whether training ends with
            it anyway; True ends the training.
        buffers : Buffers, optional
            Memory of an earlier call on the same objective.
        samples_per_epoch : int, optional
            What an epoch adds to ``state.samples_seen``, when duplicates in `data` were merged.
        monitor : Monitor, optional
            Observes steps; ready to tell of an epoch when `on_epoch_end` is called.
        n_threads : int, default=1
            Compiled steps may share the rows of a batch between so many threads.

        Returns
        -------
        result : Result

        Raises
        ------
        NonFiniteError
            When a loss or gradient is infinite or NaN before there were good parameters to keep.
        ValueError
            When batch normalization meets batches of one row, a setting leaves its range on its schedule, or there is
            nothing to stop early by.
        """
        self._check(batch_size, samples_per_epoch or data.n_samples, validation, early_stopping=early_stopping)
        smallest = 2 if self.objective.network.couples_rows else 1
        batches = Batches(data, min(batch_size, data.n_samples), shuffle=shuffle, smallest=smallest)
        buffers = buffers or Buffers(self.objective, state.params, batches.largest)
        steps, engine = choose_steps(self, state, batches, buffers, n_threads, length or max_epochs, max_seconds)
        pace = Pace(self, state, batches.n_batches, length, max_seconds)
        best = Best() if validation is None else BestValidated()
        if keep_start:
            self._keep_start(state, best, validation, start, early_stopping=early_stopping)
        before_epoch = state.in_use.vector.copy() if validation is None and max_epochs > 1 else None

        ended = partial(Result, engine=engine)
        result = ended("max_iter", max_epochs)
        # Overflow shows as a non-finite loss or gradient in the very step, and is reported there.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for epoch in range(1, max_epochs + 1):
                started = perf_counter()
                n_samples = samples_per_epoch or data.n_samples
                if before_epoch is not None:
                    before_epoch[...] = state.in_use.vector
                try:
                    row, n_seen = self._run_epoch(state, steps, batches, pace, monitor)
                except KeyboardInterrupt:
                    result = ended("interrupted", epoch - 1)
                    break
                except NonFiniteError as event:
                    if best.vector is None:
                        raise
                    row = _lost_epoch(state, validation)
                    result = ended("non_finite", epoch, f"{event} in epoch {epoch}; the weights {best.what} are kept")
                else:
                    n_samples = round(n_samples * n_seen / data.n_samples)
                    state.samples_seen += n_samples
                    value = self._judge(
                        state, row, epoch, best, validation, before_epoch, early_stopping=early_stopping
                    )
                    if not self._progresses(state, row, value, early_stopping=early_stopping):
                        result = ended("converged", epoch)
                    elif pace.is_over:
                        result = ended("max_time", epoch)
                row["seconds"] = perf_counter() - started
                row["samples_per_second"] = n_samples / max(row["seconds"], 1e-9)
                ends = result.reason != "max_iter"
                stop = on_epoch_end is not None and on_epoch_end(row, ends or epoch == max_epochs)
                if ends:
                    break
                if stop:
                    result = ended("callback", epoch)
                    break
        if result.reason == "non_finite":
            state.solver_state = self.solver.init(state.params.trained, state.params.n_weights)
        if _goes_back(result, best, validation, restore_best=restore_best):
            state.settle(best.vector)
        return result if best.epoch == 0 else replace(result, best_epoch=best.epoch)

    def _check(self, batch_size: int, n_samples: int, validation: Validation | None, *, early_stopping: bool) -> None:
        """Raise ValueError for what cannot be trained."""
        if early_stopping and validation is None:
            raise ValueError("early_stopping goes by the validation score: pass validation, or early_stopping=False.")
        if self.objective.network.couples_rows and min(batch_size, n_samples) < 2:
            raise ValueError(
                "Batch normalization needs at least 2 rows in a batch to have a variance, got one sample. "
                "Use more rows or larger batches, or layer normalization."
            )

    def _keep_start(
        self,
        state: TrainingState,
        best: Best,
        validation: Validation | None,
        start: FloatArray | None,
        *,
        early_stopping: bool,
    ) -> None:
        """Offer the parameters that training starts from as the best ones so far."""
        what, vector = "before this training", state.in_use.vector if start is None else start
        if validation is None or not isinstance(best, BestValidated):
            best.offer(math.inf, 0, what, vector, is_copy=start is not None)
            return
        loss, score = validation.evaluate(self.objective.network, state.in_use)
        value = best.offer_validated(loss, score, 0, what, vector)
        if early_stopping:
            state.plateau.best = min(state.plateau.best, value)

    def _judge(
        self,
        state: TrainingState,
        row: Row,
        epoch: int,
        best: Best,
        validation: Validation | None,
        before_epoch: FloatArray | None,
        *,
        early_stopping: bool,
    ) -> float:
        """Add the validation after an epoch to its row, and offer the parameters that its value belongs to.

        Returns what progress is measured by, lower is better.
        """
        if validation is not None and isinstance(best, BestValidated):
            loss, score = validation.evaluate(self.objective.network, state.in_use)
            row |= {"validation_loss": loss, "validation_score": score}
            plateau = state.plateau if early_stopping else None
            what = f"of epoch {epoch}, the best one,"
            value = best.offer_validated(loss, score, epoch, what, state.in_use.vector, plateau)
            return value if early_stopping else row["loss"]
        if before_epoch is not None:
            best.offer(row["loss"], epoch, f"from before epoch {epoch}, the best one,", before_epoch)
        return row["loss"]

    def _progresses(self, state: TrainingState, row: Row, value: float, *, early_stopping: bool) -> bool:
        """Tell whether there is reason to go on; a schedule that reacts to the loss takes note of it.

        A schedule that runs over the whole training is not cut short where the training loss stands still: its rate
        may be low on the way, and is at the end.
        """
        self.schedule.observe(row.get("validation_loss", row["loss"]), state.schedule_memory)
        if not state.plateau.update(value):
            return True
        if self.schedule.on_plateau(state.learning_rate, state.schedule_memory):
            state.plateau.count = 0
            return True
        return self.schedule.ignores_plateau and not early_stopping

    def _run_epoch(
        self, state: TrainingState, steps: Steps, batches: Batches, pace: Pace, monitor: Monitor | None
    ) -> tuple[Row, int]:
        """Do one pass over the batches, or as much of it as there is time for.

        Returns the means over the epoch, weighted by the batches' weights, and the number of rows seen.
        """
        sums, n_clipped = Sums(), 0
        if monitor is not None:
            monitor.begin_epoch(batches.n_batches, batches.data.n_samples)
        pace.begin_epoch()
        steps.begin_epoch()
        while steps.n_left > 0:
            n_steps = self._n_together(steps, monitor)
            if n_steps > 1:
                self._take_steps(state, steps, n_steps, pace, sums, monitor)
            else:
                n_clipped += self._take_step(state, steps, pace, sums, monitor)
            if pace.is_over and sums.n_steps > 0:  # batches of weight zero are no steps
                break
        pace.end_epoch()
        if not math.isfinite(global_norm(state.params.vector)):
            raise NonFiniteError(f"{non_finite_parameters(state.params)} became infinite or NaN at step {sums.n_steps}")
        train_loss, mean_penalty = sums.loss / sums.weight, sums.penalty / sums.weight
        row = {
            "loss": train_loss + mean_penalty,
            "train_loss": train_loss,
            "penalty": mean_penalty,
            "learning_rate": sums.learning_rate / sums.n_steps if pace.varies else state.learning_rate,
            "gradient_norm": sums.norm / sums.n_steps,
            "clipped_share": n_clipped / sums.n_steps,
        }
        return row, sums.n_rows

    def _n_together(self, steps: Steps, monitor: Monitor | None) -> int:
        """Return how many steps can be taken in one call, since nothing else happens between them."""
        if not self.steps_are_plain:
            return 1
        n_steps = min(steps.n_together, steps.n_left)
        return n_steps if monitor is None else min(n_steps, monitor.n_ahead)

    def _take_steps(
        self, state: TrainingState, steps: Steps, n_steps: int, pace: Pace, sums: Sums, monitor: Monitor | None
    ) -> None:
        """Take several steps in one call."""
        n_left, n_before, rates = steps.n_left, sums.n_steps, pace.next_rates(n_steps)
        try:
            last = steps.run(rates, sums)
        finally:
            n_done = n_left - steps.n_left
            pace.end_steps(n_done, rates)
            if monitor is not None:
                monitor.pass_over(sums.n_steps - n_before)
        if n_done < n_steps:
            if monitor is not None:
                monitor.before_update(state.params, steps.grad, steps.units, last.n_rows, is_lost=True)
            raise _lost(steps, self.objective, last, sums)

    def _take_step(self, state: TrainingState, steps: Steps, pace: Pace, sums: Sums, monitor: Monitor | None) -> bool:
        """Take a step, with all that happens in it, and tell whether the gradient was clipped."""
        params = state.params
        if pace.varies and sums.n_rows > 0:
            pace.begin_step()
        step = steps.evaluate(pace.objective)
        sums.n_rows += step.n_rows
        if step.weight == 0.0:
            pace.end_step()
            return False
        is_finite = math.isfinite(step.loss + step.norm)
        observed = monitor is not None and monitor.before_update(
            params, steps.grad, steps.units, step.n_rows, is_lost=not is_finite
        )
        if not is_finite:
            raise _lost(steps, pace.objective, step, sums)
        clipped = pace.clip is not None and pace.clip.clip(steps.grad.trained, *steps.arrays, step.norm)
        steps.update(state.learning_rate, pace.time)
        if self.max_norm is not None:
            limit_norms(params.weights, self.max_norm)
        if monitor is not None and observed:
            monitor.after_update(params, step.norm)
        if self.averaging is not None:
            _move_average(state, self.averaging, scratch=steps.grad.vector)
        sums.add(step, state.learning_rate)
        pace.end_step()
        return clipped


def _lost(steps: Steps, objective: Objective, last: Evaluation, sums: Sums) -> NonFiniteError:
    """Return the error for a batch whose loss or gradient is not finite, after the steps in `sums`."""
    place = steps.find_non_finite(objective, last.loss + last.penalty)
    return NonFiniteError(f"{place} became infinite or NaN at step {sums.n_steps + 1}")


def _goes_back(result: Result, best: Best, validation: Validation | None, *, restore_best: bool) -> bool:
    """Tell whether training ends with the best parameters instead of the last ones."""
    if best.vector is None:
        return False
    # A start that nothing was compared with is no better: after a single epoch without validation, say.
    was_compared = best.value < math.inf
    interrupted = result.reason == "interrupted" and validation is not None
    return result.reason == "non_finite" or (was_compared and (restore_best or interrupted))


def _move_average(state: TrainingState, decay: float, scratch: FloatArray) -> None:
    """Move the average towards the parameters after a step; `scratch` is overwritten."""
    if state.average is None:
        state.average = state.params.on(state.params.vector.copy())
        return
    np.subtract(state.params.vector, state.average.vector, out=scratch)
    scratch *= 1.0 - decay
    state.average.vector += scratch


def _lost_epoch(state: TrainingState, validation: Validation | None) -> Row:
    """Return the row of an epoch that ended in a non-finite value: its numbers are NaN."""
    names = ["loss", "train_loss", "penalty", "gradient_norm", "clipped_share"]
    names += ["validation_loss", "validation_score"] if validation is not None else []
    return {**dict.fromkeys(names, math.nan), "learning_rate": state.learning_rate}


def copy_state(state: TrainingState) -> TrainingState:
    """Return an independent copy: a checkpoint."""
    average = state.average
    return replace(
        state,
        params=state.params.on(state.params.vector.copy()),
        solver_state=copy.deepcopy(state.solver_state),
        rng=copy.deepcopy(state.rng),
        plateau=copy.copy(state.plateau),
        schedule_memory=dict(state.schedule_memory),
        dropout_rng=copy.deepcopy(state.dropout_rng),
        average=None if average is None else average.on(average.vector.copy()),
    )
