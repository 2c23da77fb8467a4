"""Detects when training no longer makes progress."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

__all__ = ["Plateau"]


@dataclass
class Plateau:
    """Counts epochs without improvement, as scikit-learn does.

    The value of an epoch is an improvement if it is below the best one so far by at least `tol`. Training no longer
    makes progress after *more than* `patience` epochs in a row without improvement.

    Parameters
    ----------
    tol : float
        Non-negative.
    patience : float
        ``n_iter_no_change``, an integer or infinity.
    best : float, default=inf
        The lowest value so far.
    count : int, default=0
        Epochs in a row without improvement.
    """

    tol: float
    patience: float
    best: float = inf
    count: int = 0

    def update(self, value: float) -> bool:
        """Count an epoch with this value, lower is better, and tell whether progress has stopped.

        NaN is no improvement.
        """
        self.count = 0 if value <= self.best - self.tol else self.count + 1
        if value < self.best:
            self.best = value
        return self.count > self.patience

    def restart(self, values: Iterable[float]) -> None:
        """Count the earlier epochs again, with their values by another criterion."""
        self.best, self.count = inf, 0
        for value in values:
            self.update(value)
