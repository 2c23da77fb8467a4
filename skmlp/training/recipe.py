"""What a training is: the objective to minimize, and the rules of a step."""

from dataclasses import dataclass
from functools import cached_property

from skmlp.nn.objective import Objective
from skmlp.optim.clipping import Clip
from skmlp.optim.schedules import Schedule
from skmlp.optim.solvers import Solver

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Mini-batch gradient descent with any solver. Nothing in it changes during training.

    A step computes the gradient of the objective on a mini-batch, clips it, lets the solver update the parameters,
    limits the weight norms and updates the average, in this order.

    Attributes
    ----------
    objective : Objective
    solver : Solver
    schedule : Schedule
        Of the learning rate.
    learning_rate_init : float
        The learning rate where the schedule's factor is 1.
    clip : Clip or None
        The gradient clipping rule.
    max_norm : float or None
        The largest norm of a unit's incoming weights; see :func:`~skmlp.nn.weight_norms.limit_norms`.
    averaging : float or None
        Decay d of the average of the parameters over the steps: it starts as the parameters after the first step, then
        ``average = d * average + (1 - d) * params``. Not for a solver that averages by itself.

    Raises
    ------
    ValueError
        If parameters would be averaged twice.
    """

    objective: Objective
    solver: Solver
    schedule: Schedule
    learning_rate_init: float
    clip: Clip | None = None
    max_norm: float | None = None
    averaging: float | None = None

    def __post_init__(self) -> None:
        if self.averaging is not None and self.solver_averages:
            raise ValueError(
                f"{type(self.solver).__name__} averages the parameters by itself: averaging must be None. "
                f"Got {self.averaging!r} instead."
            )

    @cached_property
    def solver_averages(self) -> bool:
        """Whether the solver averages the parameters by itself."""
        return self.solver.averages

    @cached_property
    def scheduled_settings(self) -> frozenset[str]:
        """Which of ``"objective"`` and ``"solver"`` have settings that follow a schedule."""
        is_scheduled = {"objective": self.objective.is_scheduled, "solver": bool(self.solver.scheduled())}
        return frozenset(name for name, follows in is_scheduled.items() if follows)
