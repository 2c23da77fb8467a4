"""A ready rule for :class:`skmlp.callbacks.StopWhen`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skmlp._configurable import Configurable

__all__ = ["TargetLoss"]


@dataclass(frozen=True)
class TargetLoss(Configurable):
    """Enough when a loss is at most `loss`.

    Parameters
    ----------
    loss : float
        The target, inclusive; negative ones are possible with some losses.
    column : str, default="train_loss"
        A column of ``history_``.

    Raises
    ------
    ValueError
        When `loss` is no number, or NaN.

    Examples
    --------
    >>> from skmlp.callbacks import TargetLoss
    >>> TargetLoss(0.1)({"train_loss": [0.4, 0.09]})
    True
    """

    loss: float
    column: str = "train_loss"

    def __post_init__(self) -> None:
        self._check_range("loss", float("-inf"))

    def __call__(self, history: Mapping[str, Sequence[float]]) -> bool:
        """Tell whether the last epoch was good enough."""
        return bool(history[self.column][-1] <= self.loss)
