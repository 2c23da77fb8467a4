"""When the members of a tabular estimator stop: at a pause of the schedule, before predictions get worse.

Networks that train for too long on noisy data predict worse. In a pause the learning rate is about 0, and the networks
are as good as trained. The losses of rows that a member did not train on tell whether to go on after it.
"""

import math

import numpy as np

from skmlp._typing import FloatArray

__all__ = ["PauseChooser", "fraction_to_hold_out"]

# The fraction of the rows that one member holds out of its training: so few that it hardly matters, while those of all
# members together are enough to judge by. A few members hold out more.
OF_ONE, OF_ALL, LARGEST = 0.05, 0.4, 0.2

# With fewer held-out rows of all members, nothing can be said.
FEWEST_ROWS = 50


def fraction_to_hold_out(n_members: int, n_samples: int) -> float:
    """Return the fraction of the rows that each member holds out; 0 where the rows are too few."""
    fraction = min(LARGEST, max(OF_ONE, OF_ALL / n_members))
    return fraction if n_members * math.floor(fraction * n_samples) >= FEWEST_ROWS else 0.0


class PauseChooser:
    """Chooses the last pause whose losses are not significantly above the lowest ones.

    The mean of several networks is the better for training longer than is best for each of them. So a pause counts as
    worse only if its losses exceed those of the best pause by more than the standard error of their difference, row by
    row.

    """

    def __init__(self) -> None:
        self._lowest: FloatArray | None = None

    def is_worse(self, losses: FloatArray, weight: FloatArray | None) -> bool:
        """Judge the next pause: tell whether it is significantly worse than the best one, so that training may end.

        Parameters
        ----------
        losses : ndarray of shape (n_rows,)
            Of the same rows at every pause. Other rows begin a new comparison.
        weight : ndarray of shape (n_rows,) or None
            Of the rows.
        """
        if self._lowest is None or len(self._lowest) != len(losses):
            self._lowest = losses
            return False
        if not np.isfinite(losses).all():
            return True
        difference = losses.astype(np.float64) - self._lowest
        w = np.ones(len(losses)) if weight is None else weight.astype(np.float64)
        mean = np.average(difference, weights=w)
        error = math.sqrt(np.sum((w * (difference - mean)) ** 2)) / w.sum()
        if mean > error:
            return True
        if mean < 0.0:
            self._lowest = losses
        return False
