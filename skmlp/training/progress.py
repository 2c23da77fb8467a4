"""Judges every epoch: which one was the best, and whether there is progress."""

import math
from dataclasses import dataclass

from skmlp._typing import FloatArray
from skmlp.training.best_weights import BestValidatedWeights, BestWeights
from skmlp.training.events import Row
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState
from skmlp.training.validation import Validation

__all__ = ["Criterion", "ProgressTracker"]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What epochs are judged by, and which weights remain at the end.

    Attributes
    ----------
    validation : Validation or None
        Evaluated after every epoch. Without it epochs are judged by their training loss.
    early_stopping : bool
        Whether progress means a better validation score instead of a lower training loss.
    restore_best : bool
        Whether training ends with the weights of the best epoch. With validation it does so after an interruption in
        any case.
    fallback : ndarray of shape (n_parameters,) or None
        A copy of the weights before training, if these are good enough to return to.

    Raises
    ------
    ValueError
        For early stopping without validation.
    """

    validation: Validation | None = None
    early_stopping: bool = False
    restore_best: bool = False
    fallback: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.early_stopping and self.validation is None:
            raise ValueError("early_stopping goes by the validation score: pass validation, or early_stopping=False.")


class ProgressTracker:
    """Judges every epoch.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
    criterion : Criterion
    is_single : bool
        Whether there is only one epoch, so that its weights are not compared with others.

    Attributes
    ----------
    best : BestWeights
    """

    def __init__(self, recipe: Recipe, state: TrainingState, criterion: Criterion, *, is_single: bool) -> None:
        self._recipe, self._state, self._criterion = recipe, state, criterion
        self._validated = None if criterion.validation is None else BestValidatedWeights()
        self.best = self._validated or BestWeights(criterion.fallback)
        self._before: FloatArray | None = None
        if self._validated is None and not is_single:
            self._before = state.eval_params.vector.copy()
        if self._validated is not None and criterion.fallback is not None:
            value = self._validated.update_validated(*self._validate(), 0, "before this training", criterion.fallback)
            if criterion.early_stopping:
                state.plateau.best = min(state.plateau.best, value)

    def _validate(self) -> tuple[float, float]:
        assert self._criterion.validation is not None
        return self._criterion.validation.evaluate(self._recipe.objective.network, self._state.eval_params)

    def begin_epoch(self) -> None:
        """Remember the weights before the epoch, which its training loss belongs to."""
        if self._before is not None:
            self._before[...] = self._state.eval_params.vector

    def end_epoch(self, row: Row, epoch: int) -> bool:
        """Add the validation to the row of an epoch, and tell whether training should continue."""
        value, state = row["loss"], self._state
        if self._validated is not None:
            loss, score = self._validate()
            row |= {"validation_loss": loss, "validation_score": score}
            plateau = state.plateau if self._criterion.early_stopping else None
            description = f"of epoch {epoch}, the best one,"
            judged = self._validated.update_validated(
                loss, score, epoch, description, state.eval_params.vector, plateau
            )
            value = value if plateau is None else judged
        elif self._before is not None:
            self.best.update(value, epoch, f"from before epoch {epoch}, the best one,", self._before)
        return self._continues(row.get("validation_loss", row["loss"]), value)

    def _continues(self, loss: float, value: float) -> bool:
        """Tell whether training should continue; a schedule that reacts to the loss is told it.

        A schedule that lasts for the whole training is not cut short when the training loss stops falling: its learning
        rate may be low for a while, and is at the end.
        """
        state, schedule = self._state, self._recipe.schedule
        schedule.observe(loss, state.schedule_memory)
        if not state.plateau.update(value):
            return True
        if schedule.on_plateau(state.learning_rate, state.schedule_memory):
            state.plateau.count = 0
            return True
        return schedule.ignores_plateau and not self._criterion.early_stopping

    def failed_epoch(self) -> Row:
        """Return the row of an epoch that ended in a non-finite value: its numbers are NaN."""
        names = ["loss", "train_loss", "penalty", "gradient_norm", "clipped_share"]
        names += [] if self._validated is None else ["validation_loss", "validation_score"]
        return {**dict.fromkeys(names, math.nan), "learning_rate": self._state.learning_rate}

    def restore_best(self, reason: str) -> None:
        """Restore the best weights, if training that ended for this reason should have them."""
        best = self.best
        if best.vector is None:
            return
        # A fallback that no epoch was compared with is not better: after a single epoch without validation, say.
        was_compared = best.value < math.inf
        interrupted = reason == "interrupted" and self._validated is not None
        if reason == "non_finite" or (was_compared and (self._criterion.restore_best or interrupted)):
            self._state.reset_params(best.vector)
