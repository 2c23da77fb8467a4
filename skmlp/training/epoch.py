"""One epoch of training: a pass over the mini-batches, step by step."""

import math

from skmlp.nn.objective import Objective
from skmlp.nn.statistics import global_norm, non_finite_parameters
from skmlp.nn.weight_norms import limit_norms
from skmlp.training.batches import Batches
from skmlp.training.clock import StepClock
from skmlp.training.engine import Evaluation, StepEngine, Sums
from skmlp.training.events import NonFiniteError, Row
from skmlp.training.monitor import Monitor
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["EpochRunner"]


class EpochRunner:
    """Trains epoch by epoch.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
        Updated by the steps.
    batches : Batches
    engine : StepEngine
    clock : StepClock
    monitor : Monitor, optional
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        batches: Batches,
        engine: StepEngine,
        clock: StepClock,
        monitor: Monitor | None = None,
    ) -> None:
        self._recipe, self._state, self._batches = recipe, state, batches
        self._engine, self._clock, self._monitor = engine, clock, monitor
        clips = recipe.clip is not None
        self._clipped = (engine.grad.trained_arrays, state.params.trained_arrays) if clips else ([], [])

    def run(self) -> tuple[Row, int]:
        """Train for one epoch, or until the time limit.

        Returns
        -------
        row : dict
            Means over the epoch, the losses weighted by the weight of each batch.
        n_rows : int
            Number of rows seen.

        Raises
        ------
        NonFiniteError
            If a loss, a gradient or the parameters become infinite or NaN.
        """
        engine, clock, sums = self._engine, self._clock, Sums()
        if self._monitor is not None:
            self._monitor.begin_epoch(self._batches.n_batches, self._batches.data.n_samples)
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
        clock.end_epoch()
        params = self._state.params
        if not math.isfinite(global_norm(params.vector)):
            raise NonFiniteError(f"{non_finite_parameters(params)} became infinite or NaN at step {sums.n_steps}")
        return self._means(sums), sums.n_rows

    def _means(self, sums: Sums) -> Row:
        train_loss, penalty = sums.loss / sums.weight, sums.penalty / sums.weight
        varies = self._clock.varies
        return {
            "loss": train_loss + penalty,
            "train_loss": train_loss,
            "penalty": penalty,
            "learning_rate": sums.learning_rate / sums.n_steps if varies else self._state.learning_rate,
            "gradient_norm": sums.norm / sums.n_steps,
            "clipped_share": sums.n_clipped / sums.n_steps,
        }

    def _n_fused_steps(self) -> int:
        """Return how many steps the engine can take at once, none of which is monitored."""
        n_steps = self._engine.max_fused_steps
        if n_steps > 1:
            n_steps = min(n_steps, self._engine.n_left)
        return n_steps if self._monitor is None else min(n_steps, self._monitor.n_unobserved)

    def _take_fused_steps(self, n_steps: int, sums: Sums) -> None:
        """Take several steps with one call of the engine."""
        engine, monitor = self._engine, self._monitor
        n_left, n_before = engine.n_left, sums.n_steps
        try:
            last = engine.run(self._clock, n_steps, sums)
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
        recipe, state, engine, clock, monitor = self._recipe, self._state, self._engine, self._clock, self._monitor
        params = state.params
        if clock.varies and sums.n_rows > 0:
            clock.begin_step()
        step = engine.evaluate(clock.objective)
        sums.n_rows += step.n_rows
        if step.weight == 0.0:
            clock.end_step()
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
        clock.end_step()

    def _non_finite(self, objective: Objective, last: Evaluation, sums: Sums) -> NonFiniteError:
        """Return the error for a batch whose loss or gradient is not finite, after the steps in `sums`."""
        place = self._engine.find_non_finite(objective, last.loss + last.penalty)
        return NonFiniteError(f"{place} became infinite or NaN at step {sums.n_steps + 1}")
