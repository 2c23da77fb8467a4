"""The engine that computes the steps with NumPy."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from skmlp.nn.network import LayerOutput
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import global_norm
from skmlp.optim.schedules import Time
from skmlp.training.batches import Batches, Data
from skmlp.training.clock import StepClock
from skmlp.training.engine import Buffers, Evaluation, Sums
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["NumpyEngine"]


class NumpyEngine:
    """Computes the steps with NumPy, one at a time.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
        Updated by the steps.
    batches : Batches
    buffers : Buffers
    name : str, default="numpy"
        ``"numpy: "`` and the reason why not compiled.
    """

    max_fused_steps = 1

    def __init__(
        self, recipe: Recipe, state: TrainingState, batches: Batches, buffers: Buffers, name: str = "numpy"
    ) -> None:
        self._recipe, self._state, self._batches, self._buffers = recipe, state, batches, buffers
        self.name = name
        self.grad = buffers.grad
        self._epoch: Iterator[Data] = iter(())
        self._X = batches.data.X
        self.n_left = 0

    def begin_epoch(self) -> None:
        self._epoch, self.n_left = self._batches.epoch(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        self.n_left -= 1
        X, y, weight = next(self._epoch)
        self._X, n_rows = X, X.shape[0]
        total = float(n_rows if weight is None else weight.sum(dtype=np.float64))
        if total == 0.0:  # the weighted mean of the loss is undefined
            return Evaluation(n_rows, 0.0)
        state, grad = self._state, self.grad
        loss, penalty = objective.value_and_gradient(
            state.params, X, y, weight, self._buffers.workspace, grad, state.dropout_rng
        )
        return Evaluation(n_rows, total, loss, penalty, global_norm(grad.trained))

    def update(self, learning_rate: float, time: Time | None) -> None:
        self._update(learning_rate, *(() if time is None else (time,)))

    def run(self, clock: StepClock, n_steps: int, sums: Sums) -> Evaluation:
        raise NotImplementedError("The NumPy engine takes one step at a time.")

    @cached_property
    def _update(self) -> Callable[..., None]:
        recipe, params, solver_state = self._recipe, self._state.params, self._state.solver_state
        update: Callable[..., None] = self._buffers.keep(
            "update",
            (recipe, params.vector, solver_state),
            lambda: recipe.solver.on(params.trained, self.grad.trained, solver_state),
        )
        return update

    def layer_outputs(self) -> list[LayerOutput]:
        return self._recipe.objective.network.layer_outputs(self._buffers.workspace)

    def find_non_finite(self, objective: Objective, value: float) -> str:
        return objective.find_non_finite(self._state.params, self._X, self.grad, self._buffers.workspace, value)
