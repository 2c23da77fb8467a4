"""When training has stopped making progress."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

__all__ = ["Plateau"]


@dataclass
class Plateau:
    """Counts epochs without improvement, as scikit-learn does.

    An epoch counts as an improvement when its value is below the best so far by at least `tol`; the best is then
    kept exactly. Training has stopped making progress after *more than* `patience` epochs in a row without one.

    Parameters
    ----------
    tol : float
        Non-negative.
    patience : float
        ``n_iter_no_change``: a whole number or infinity.
    best : float, default=inf
        Lowest value so far.
    count : int, default=0
        Epochs in a row without improvement.
    """

    tol: float
    patience: float
    best: float = inf
    count: int = 0

    def update(self, value: float) -> bool:
        """Take an epoch's value (lower is better) and tell whether progress has stopped; NaN is no improvement."""
        self.count = 0 if value <= self.best - self.tol else self.count + 1
        if value < self.best:
            self.best = value
        return self.count > self.patience

    def restart(self, values: Iterable[float]) -> None:
        """Count from the beginning, with the values that earlier epochs have by another measure."""
        self.best, self.count = inf, 0
        for value in values:
            self.update(value)
