"""What a training tells the outside: a row for every epoch, and why it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["NonFiniteError", "OnEpochEnd", "Result", "Row", "StopReason"]

Row = dict[str, float]
OnEpochEnd = Callable[[Row, bool], bool]
StopReason = Literal["max_iter", "max_time", "max_fun", "converged", "callback", "interrupted", "non_finite", "failed"]


class NonFiniteError(ArithmeticError):
    """A loss, gradient or parameter became infinite or NaN; the message names the place and the step."""


@dataclass(frozen=True)
class Result:
    """Why training ended.

    Attributes
    ----------
    reason : str
        ``"max_iter"``, ``"max_time"``, ``"max_fun"``, ``"converged"``, ``"callback"``, ``"interrupted"``,
        ``"non_finite"`` or ``"failed"``.
    n_epochs : int
        Epochs done.
    detail : str
        More in words, for ``"non_finite"`` and for L-BFGS.
    best_epoch : int
        The one with the best validation score, without validation with the lowest training loss; 0 when that is what
        there was before.
    engine : str
        What took the steps: ``"compiled"``, or ``"numpy: "`` and why not the compiled steps.
    """

    reason: StopReason
    n_epochs: int
    detail: str = ""
    best_epoch: int = 0
    engine: str = ""
