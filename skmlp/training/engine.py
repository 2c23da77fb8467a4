"""What the training loop asks of an engine, which computes the steps: NumPy or compiled functions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import is_
from typing import Any, NamedTuple, Protocol

from skmlp._typing import FloatArray
from skmlp.nn.network import LayerOutput
from skmlp.nn.objective import Objective, ObjectiveWorkspace
from skmlp.nn.parameters import Parameters
from skmlp.optim.schedules import Time
from skmlp.training.clock import StepClock

__all__ = ["Buffers", "Evaluation", "StepEngine", "Sums"]


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
    """Sums over the steps of an epoch.

    Attributes
    ----------
    loss, penalty : float
        Multiplied by the weight of each batch.
    weight, norm, learning_rate : float
    n_steps, n_clipped, n_rows : int
    """

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

    def as_tuple(self) -> tuple[float, ...]:
        """Return the sums in the order of the attributes."""
        counts = self.n_steps, self.n_clipped, self.n_rows
        return self.loss, self.penalty, self.weight, self.norm, self.learning_rate, *counts

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


class StepEngine(Protocol):
    """Computes the steps of one training.

    The loop either evaluates the next batch, clips the gradient in `grad` and asks for the update, or has several
    steps run at once.

    Attributes
    ----------
    name : str
        ``"compiled"``, or ``"numpy: "`` and the reason.
    grad : Parameters
        The gradient of the last evaluation.
    n_left : int
        Number of batches left in the epoch.
    max_fused_steps : int
        How many steps :meth:`run` can take at once; 1 if it cannot take the steps of this recipe.
    """

    name: str
    grad: Parameters
    n_left: int
    max_fused_steps: int

    def begin_epoch(self) -> None:
        """Begin a pass over the data, in a new order if samples are shuffled."""

    def evaluate(self, objective: Objective) -> Evaluation:
        """Evaluate the objective and its gradient on the next batch."""

    def update(self, learning_rate: float, time: Time | None) -> None:
        """Let the solver update the parameters with the gradient in `grad`.

        Parameters
        ----------
        learning_rate : float
        time : Time or None
            Of the step, if a setting of the solver follows a schedule.
        """

    def run(self, clock: StepClock, n_steps: int, sums: Sums) -> Evaluation:
        """Take a step on each of the next `n_steps` batches, add them to `sums`, and move `clock` on.

        It stops before a step whose loss or gradient is not finite; that batch then still counts as left.

        Returns
        -------
        last : Evaluation
            Of the last batch evaluated.
        """

    def layer_outputs(self) -> list[LayerOutput]:
        """Return the outputs of each dense layer in the last evaluation."""

    def find_non_finite(self, objective: Objective, value: float) -> str:
        """Describe where the infinite or NaN value of the last evaluation arose; `value` is the objective's."""
