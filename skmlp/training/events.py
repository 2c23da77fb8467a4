"""What a training reports: a row for each epoch, and why it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["NonFiniteError", "OnEpochEnd", "Result", "Row", "StopReason"]

Row = dict[str, float]
OnEpochEnd = Callable[[Row, bool], bool]
StopReason = Literal["max_iter", "max_time", "max_fun", "converged", "callback", "interrupted", "non_finite", "failed"]


class NonFiniteError(ArithmeticError):
    """A loss, gradient or parameter became infinite or NaN; the message says where and at which step."""


@dataclass(frozen=True)
class Result:
    """Why training ended.

    Attributes
    ----------
    reason : StopReason
    n_epochs : int
        Number of epochs done.
    detail : str
        A message, for ``"non_finite"`` and for L-BFGS.
    best_epoch : int
        The epoch with the best validation score, without validation with the lowest training loss; 0 if none was
        better than the weights before training.
    engine : str
        ``"compiled"``, or ``"numpy: "`` and the reason why not compiled.
    """

    reason: StopReason
    n_epochs: int
    detail: str = ""
    best_epoch: int = 0
    engine: str = ""
