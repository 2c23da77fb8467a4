"""Judges every epoch: what it is worth, which one was the best, and whether there is progress."""

import math

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.network import Network
from skmlp.optim.schedules import Schedule
from skmlp.training.events import Row, StopReason
from skmlp.training.history import empty_history
from skmlp.training.plan import Criterion
from skmlp.training.state import TrainingState

__all__ = ["BestWeights", "ProgressTracker"]


class BestWeights:
    """The weights of the best epoch so far, to restore later.

    Parameters
    ----------
    fallback : ndarray, optional
        Weights from before training, to return to as long as there are no better ones. They are not overwritten.

    Attributes
    ----------
    value : float
        The lowest value so far; infinite before the first number.
    epoch : int
        The epoch it belongs to; 0 for the weights from before training.
    vector : ndarray or None
        The weights.
    """

    def __init__(self, fallback: FloatArray | None = None) -> None:
        self.value = math.inf
        self.epoch = 0
        self.vector = fallback
        self._memory: FloatArray | None = None

    def update(self, value: float, epoch: int, vector: FloatArray) -> None:
        """Keep a copy of `vector` if `value` is the lowest so far, or the first one; NaN is the highest."""
        if value < self.value or self.vector is None:
            self.value, self.epoch = math.inf if math.isnan(value) else value, epoch
            if self._memory is None:
                self._memory = np.empty_like(vector)
            self._memory[...] = vector
            self.vector = self._memory


class ProgressTracker:
    """Judges every epoch, and keeps the weights of the best one.

    A validation score belongs to the weights after the epoch. A training loss is measured during the epoch, starting
    from the weights before it, and belongs to those: the weights after it may have diverged.

    Parameters
    ----------
    network : Network
    state : TrainingState
        Its plateau counts the epochs without progress.
    criterion : Criterion
    by_training_loss : bool, default=True
        Whether, without validation, the epoch with the lowest training loss is the best one.

    Attributes
    ----------
    best : BestWeights
    """

    def __init__(
        self, network: Network, state: TrainingState, criterion: Criterion, *, by_training_loss: bool = True
    ) -> None:
        self._network, self._state, self._criterion = network, state, criterion
        self._validation = criterion.validation
        self._before: FloatArray | None = None
        if self._validation is None:
            self.best = BestWeights(criterion.fallback)
            if by_training_loss:
                self._before = state.eval_params.vector.copy()
            return
        self._losses: list[float] = []
        self.best, self._best_by_loss = BestWeights(), BestWeights()
        if criterion.fallback is not None:
            value = self._validate({}, 0)
            if criterion.early_stopping:
                state.plateau.best = min(state.plateau.best, value)

    def begin_epoch(self) -> None:
        """Remember the weights before the epoch."""
        if self._before is not None:
            self._before[...] = self._state.eval_params.vector

    def judge(self, row: Row, epoch: int) -> float:
        """Add the validation loss and score to the row of an epoch, and keep its weights if they are the best so far.

        Returns the value that progress is measured by, lower is better.
        """
        if self._validation is not None:
            value = self._validate(row, epoch)
            return value if self._criterion.early_stopping else row["loss"]
        if self._before is not None:
            self.best.update(row["loss"], epoch, self._before)
        return row["loss"]

    def _validate(self, row: Row, epoch: int) -> float:
        """Validate the weights after an epoch.

        Once a score is undefined, all epochs are judged by their validation loss, earlier ones included.
        """
        assert self._validation is not None
        params = self._state.eval_params
        loss, score = self._validation.evaluate(self._network, params)
        row |= {"validation_loss": loss, "validation_score": score}
        self._best_by_loss.update(loss, epoch, params.vector)
        if self.best is not self._best_by_loss:
            if not math.isnan(score) or not math.isfinite(loss):
                self._losses.append(loss)
                self.best.update(-score, epoch, params.vector)
                return -score
            self.best = self._best_by_loss
            if self._criterion.early_stopping:
                self._state.plateau.restart(self._losses)
        return loss

    def continues(self, schedule: Schedule, row: Row, value: float) -> bool:
        """Tell whether training should continue after an epoch of this value.

        Training on a schedule for its whole length does not end when the training loss stops falling: the learning rate
        may be low for a while, and is low at the end.
        """
        state = self._state
        schedule.observe(row.get("validation_loss", row["loss"]), state.schedule_memory)
        if not state.plateau.update(value):
            return True
        if schedule.on_plateau(state.learning_rate, state.schedule_memory):
            state.plateau.count = 0
            return True
        return schedule.ignores_plateau and not self._criterion.early_stopping

    def failed_epoch(self) -> Row:
        """Return the row of an epoch that ended with a non-finite value: its numbers are NaN."""
        names = empty_history(validation=self._validation is not None)
        return {**dict.fromkeys(names, math.nan), "learning_rate": self._state.learning_rate}

    def describe_best(self) -> str:
        """Return which weights are the best ones, to be put after "the weights"."""
        if self.best.epoch == 0:
            return "before this training"
        return f"{'from before' if self._validation is None else 'of'} epoch {self.best.epoch}, the best one,"

    def restore_best(self, reason: StopReason) -> None:
        """Restore the best weights, if training that ended for this reason should leave them."""
        best, interrupted = self.best, reason == "interrupted" and self._validation is not None
        if best.vector is None:
            return
        # Weights that no epoch was compared with are not better: the fallback after a single epoch, say.
        was_compared = best.value < math.inf
        if reason == "non_finite" or (was_compared and (self._criterion.restore_best or interrupted)):
            self._state.reset_params(best.vector)
