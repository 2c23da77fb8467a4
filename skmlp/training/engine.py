"""Engines compute the steps of a training: here with NumPy, in :mod:`skmlp.training.compiled_engine` with numba."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.network import LayerOutput
from skmlp.nn.objective import Objective, ObjectiveWorkspace
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import global_norm
from skmlp.optim.schedules import Time
from skmlp.training.batches import Batches, Data
from skmlp.training.clock import StepClock
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["Buffers", "Evaluation", "NumpyEngine", "Sums"]


class Evaluation(NamedTuple):
    """The objective on a mini-batch.

    Attributes
    ----------
    n_rows : int
    weight : float
        Sum of the sample weights. If it is 0, the other numbers are meaningless.
    loss, penalty : float
    norm : float
        Of the gradient, before clipping.
    """

    n_rows: int
    weight: float
    loss: float = 0.0
    penalty: float = 0.0
    norm: float = 0.0


@dataclass(slots=True)
class Sums:
    """Sums over the steps of an epoch; those of the losses are weighted by the weight of each batch."""

    loss: float = 0.0
    penalty: float = 0.0
    weight: float = 0.0
    norm: float = 0.0
    learning_rate: float = 0.0
    n_steps: int = 0
    n_clipped: int = 0
    n_rows: int = 0

    def add(self, step: Evaluation, learning_rate: float, *, clipped: bool) -> None:
        """Add a step."""
        self.loss += step.weight * step.loss
        self.penalty += step.weight * step.penalty
        self.weight += step.weight
        self.norm += step.norm
        self.learning_rate += learning_rate
        self.n_steps += 1
        self.n_clipped += clipped

    def set(self, sums: FloatArray) -> None:
        """Replace the sums by others, in the order of the attributes."""
        self.loss, self.penalty, self.weight, self.norm, self.learning_rate, *counts = sums.tolist()
        self.n_steps, self.n_clipped, self.n_rows = map(int, counts)


class Buffers:
    """Memory that successive trainings of the same network share.

    Parameters
    ----------
    objective : Objective
    params : Parameters
    n_samples : int
        The largest batch.

    Attributes
    ----------
    n_samples : int
    grad : Parameters
    """

    def __init__(self, objective: Objective, params: Parameters, n_samples: int) -> None:
        self._objective = objective
        self.n_samples = n_samples
        self.grad = params.like()
        self._kept: dict[str, tuple[tuple[Any, ...], Any]] = {}

    @cached_property
    def workspace(self) -> ObjectiveWorkspace:
        """Memory of the NumPy engine."""
        return self._objective.workspace(self.n_samples, self.grad.vector.dtype)

    def keep(self, name: str, made_from: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what `make` returns, or what it returned last time if `made_from` has the same objects as then."""
        kept = self._kept.get(name)
        if kept is None or not all(map(is_, kept[0], made_from)):
            kept = self._kept[name] = made_from, make()
        return kept[1]


class NumpyEngine:
    """Computes the steps with NumPy, one at a time.

    The loop evaluates the next batch, clips the gradient in `grad` and asks for the update. Where `max_fused_steps`
    allows, it has several steps run at once instead.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
        Updated by the steps.
    batches : Batches
    buffers : Buffers
    name : str, default="numpy"

    Attributes
    ----------
    name : str
        ``"compiled"``, or ``"numpy: "`` and the reason why not compiled.
    grad : Parameters
        The gradient of the last evaluation.
    n_left : int
        Number of batches left in the epoch.
    max_fused_steps : int
        How many steps :meth:`run` can take at once; 1 if it cannot take the steps of this recipe.
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
        """Begin a pass over the data, in a new order if samples are shuffled."""
        self._epoch, self.n_left = self._batches.epoch(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        """Evaluate the objective and its gradient on the next batch."""
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
        """Let the solver update the parameters with the gradient in `grad`.

        The `time` of the step is given if a setting of the solver follows a schedule.
        """
        self._update(learning_rate, *(() if time is None else (time,)))

    @cached_property
    def _update(self) -> Callable[..., None]:
        recipe, params, solver_state = self._recipe, self._state.params, self._state.solver_state
        update: Callable[..., None] = self._buffers.keep(
            "update",
            (recipe, params.vector, solver_state),
            lambda: recipe.solver.on(params.trained, self.grad.trained, solver_state),
        )
        return update

    def run(self, clock: StepClock, n_steps: int, sums: Sums) -> Evaluation:
        """Take a step on each of the next `n_steps` batches, add them to `sums`, count them, and return the last.

        It stops before a step whose loss or gradient is not finite, and returns that one; its batch still counts as
        left.
        """
        raise NotImplementedError("The NumPy engine takes one step at a time.")

    def layer_outputs(self) -> list[LayerOutput]:
        """Return the outputs of each dense layer in the last evaluation."""
        return self._recipe.objective.network.layer_outputs(self._buffers.workspace)

    def find_non_finite(self, objective: Objective, value: float) -> str:
        """Describe where the infinite or NaN value of the last evaluation arose; `value` is the objective's."""
        return objective.find_non_finite(self._state.params, self._X, self.grad, self._buffers.workspace, value)
