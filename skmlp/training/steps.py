"""How the steps of an epoch are computed: here with NumPy, in :mod:`skmlp.training.compiled_steps` in machine code."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.network import Units
from skmlp.nn.objective import Objective, ObjectiveWorkspace
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import global_norm
from skmlp.optim.schedules import Time
from skmlp.training.batches import Batches, Data

if TYPE_CHECKING:
    from skmlp.training.trainer import Trainer, TrainingState

__all__ = ["Buffers", "Evaluation", "Steps", "Sums"]


class Evaluation(NamedTuple):
    """The objective on a batch.

    Attributes
    ----------
    n_rows : int
    weight : float
        Of the batch. With weight 0 the rest has no meaning.
    loss, penalty : float
    norm : float
        Of the gradient.
    """

    n_rows: int
    weight: float
    loss: float = 0.0
    penalty: float = 0.0
    norm: float = 0.0


class Sums:
    """What is added up over the steps of an epoch.

    Attributes
    ----------
    loss, penalty : float
        Times the batches' weights.
    weight, norm, learning_rate : float
    n_steps, n_rows : int
    """

    def __init__(self) -> None:
        self.loss = self.penalty = self.weight = self.norm = self.learning_rate = 0.0
        self.n_steps = self.n_rows = 0

    def add(self, step: Evaluation, learning_rate: float) -> None:
        """Add a step that was taken."""
        self.loss += step.weight * step.loss
        self.penalty += step.weight * step.penalty
        self.weight += step.weight
        self.norm += step.norm
        self.learning_rate += learning_rate
        self.n_steps += 1

    def as_array(self) -> FloatArray:
        """Return the sums in the order of the attributes."""
        counts = float(self.n_steps), float(self.n_rows)
        return np.array([self.loss, self.penalty, self.weight, self.norm, self.learning_rate, *counts])

    def set(self, sums: FloatArray) -> None:
        """Replace the sums by others, in that order."""
        self.loss, self.penalty, self.weight, self.norm, self.learning_rate, n_steps, n_rows = sums.tolist()
        self.n_steps, self.n_rows = int(n_steps), int(n_rows)


class Buffers:
    """The gradient and the workspace of a training, to be used again by the next one on the same network.

    Attributes
    ----------
    n_samples : int
        The largest batch they are for.
    grad : Parameters
    compiled : object
        What compiled steps keep; None without.
    """

    def __init__(self, objective: Objective, params: Parameters, n_samples: int) -> None:
        self._objective = objective
        self.n_samples = n_samples
        self.grad = params.like()
        self.compiled: Any = None
        self._prepared: dict[str, tuple[Any, FloatArray, dict[str, Any], Any]] = {}

    @cached_property
    def workspace(self) -> ObjectiveWorkspace:
        """The memory for passes with NumPy."""
        return self._objective.workspace(self.n_samples, self.grad.vector.dtype)

    def prepared(self, name: str, trainer: "Trainer", state: "TrainingState", make: Callable[[], Any]) -> Any:
        """Return what `make` makes of a trainer's solver and its state: again what it made of the same ones before."""
        vector, solver_state = state.params.vector, state.solver_state
        kept = self._prepared.get(name)
        if kept is None or kept[0] is not trainer or kept[1] is not vector or kept[2] is not solver_state:
            kept = self._prepared[name] = trainer, vector, solver_state, make()
        return kept[3]


class Steps:
    """The steps of an epoch.

    Parameters
    ----------
    trainer : Trainer
    state : TrainingState
        Changed by steps.
    batches : Batches
    buffers : Buffers

    Attributes
    ----------
    n_left : int
        Batches that are left of the epoch.
    n_together : int
        How many steps :meth:`run` may take in one call.
    grad : Parameters
        Of the last evaluation.
    arrays : pair of lists of ndarray
        Every trained array of the gradient and of the parameters, where gradients are clipped.
    """

    n_together = 1

    def __init__(self, trainer: "Trainer", state: "TrainingState", batches: Batches, buffers: Buffers) -> None:
        self._state, self._batches, self._buffers, self._solver = state, batches, buffers, trainer.solver
        self._trainer = trainer
        self._network = trainer.objective.network
        self.grad = buffers.grad
        clips = trainer.clip is not None
        self.arrays = (self.grad.trained_arrays, state.params.trained_arrays) if clips else ([], [])
        self._epoch: Iterator[Data] = iter(())
        self._X = batches.data.X
        self.n_left = 0

    def begin_epoch(self) -> None:
        """Begin a pass over the data, in a new order where rows are shuffled."""
        self._epoch, self.n_left = self._batches.epoch(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        """Evaluate the objective and its gradient on the next batch."""
        self.n_left -= 1
        X, y, weight = next(self._epoch)
        self._X, n_rows = X, X.shape[0]
        total = float(n_rows if weight is None else weight.sum(dtype=np.float64))
        if total == 0.0:  # nobody in this batch counts; its mean loss is undefined
            return Evaluation(n_rows, 0.0)
        grad = self.grad
        loss, penalty = objective.value_and_gradient(
            self._state.params, X, y, weight, self._buffers.workspace, grad, self._state.dropout_rng
        )
        return Evaluation(n_rows, total, loss, penalty, global_norm(grad.trained))

    def update(self, learning_rate: float, time: tuple[()] | tuple[Time]) -> None:
        """Take the step for the gradient of the last evaluation."""
        self._step(learning_rate, *time)

    def run(self, learning_rates: FloatArray, sums: Sums) -> Evaluation:
        """Take a step on each of the next batches, one for each learning rate, where `n_together` allows it.

        It ends at a batch whose loss or gradient is not finite; that batch is still among those that are left.

        Returns
        -------
        last : Evaluation
            Of the last batch.
        """
        raise NotImplementedError("NumPy takes one step at a time.")

    @cached_property
    def _step(self) -> Callable[..., None]:
        state = self._state

        def prepare() -> Callable[..., None]:
            return self._solver.on(state.params.trained, self.grad.trained, state.solver_state)

        step: Callable[..., None] = self._buffers.prepared("step", self._trainer, state, prepare)
        return step

    def units(self) -> list[Units]:
        """Return what the last evaluation left of each dense layer's units."""
        return self._network.units(self._buffers.workspace)

    def find_non_finite(self, objective: Objective, value: float) -> str:
        """Say in words where the infinite or NaN value of the last evaluation arose."""
        params, buffers = self._state.params, self._buffers
        return objective.find_non_finite(params, self._X, self.grad, buffers.workspace, value)
