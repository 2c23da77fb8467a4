"""A rule for :class:`skmlp.callbacks.StopWhen`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from skmlp._configurable import Configurable, Range

__all__ = ["TargetLoss"]


@dataclass(frozen=True)
class TargetLoss(Configurable):
    """Stop when a loss is at most `loss`.

    Parameters
    ----------
    loss : float
        The target, inclusive. It can be negative: some losses are.
    column : str, default="train_loss"
        A column of ``history_``.

    Raises
    ------
    ValueError
        When `loss` is not a number, or NaN.

    Examples
    --------
    >>> from skmlp.callbacks import TargetLoss
    >>> TargetLoss(0.1)({"train_loss": [0.4, 0.09]})
    True
    """

    loss: Annotated[float, Range("[-inf, inf)")]
    column: str = "train_loss"

    def __call__(self, history: Mapping[str, Sequence[float]]) -> bool:
        """Return whether the last epoch reached the target."""
        return bool(history[self.column][-1] <= self.loss)
