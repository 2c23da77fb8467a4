"""When the members of a tabular estimator stop: at a pause of the schedule, before predictions get worse.

Networks that train for too long on noisy data predict worse. In a pause the learning rate is about 0, and the networks
are as good as trained. The losses of rows that members did not train on tell whether to go on after it.
"""

import math

import numpy as np

from skmlp._typing import FloatArray

__all__ = [
    "PauseChooser",
    "fraction_to_hold_out",
    "group_members",
    "losses_of_all",
]

# Members that hold out the same rows, so that their mean can be judged on them.
GROUP = 4

# The rows that all groups together hold out, as a fraction: an eighth, more where that is less than 200 rows; and the
# least for one group.
OF_ALL, MOST_OF_ALL, OF_GROUP = 0.125, 0.4, 0.05
WANTED_ROWS = 200

# With fewer held-out rows nothing can be said, and more say no more.
FEWEST_ROWS, MOST_ROWS = 20, 10_000


def group_members(n_members: int) -> list[int]:
    """Return the number of the group of each member."""
    n_groups = max(1, n_members // GROUP)
    return [member * n_groups // n_members for member in range(n_members)]


def fraction_to_hold_out(n_groups: int, n_samples: int) -> float:
    """Return the fraction of the rows that each group holds out; 0 where the rows are too few."""
    of_all = min(MOST_OF_ALL, max(OF_ALL, WANTED_ROWS / n_samples))
    fraction = min(max(OF_GROUP, of_all / n_groups), MOST_ROWS / (n_groups * n_samples))
    return fraction if n_groups * math.floor(fraction * n_samples) >= FEWEST_ROWS else 0.0


def losses_of_all(of_one: FloatArray, of_group: FloatArray, group_size: int, n_members: int) -> FloatArray:
    r"""Return what the losses of the mean of all members would be on rows that only one group of them holds out.

    The mean of k members with errors of mean e and variance v has the squared error :math:`e^2 + v / k`, so that the
    losses of one member (on average) and of the mean of a group tell both. For the log loss that is an approximation.
    """
    if group_size == 1:
        return of_one
    reduction = (1.0 - 1.0 / n_members) / (1.0 - 1.0 / group_size)
    return of_one - reduction * (of_one - of_group)


class PauseChooser:
    """Chooses the pause with the lowest losses, and tells when to look no further.

    Attributes
    ----------
    is_best : bool
        Whether the last pause is the best so far.
    is_over : bool
        Whether it and the one before are both significantly worse than the best one: the mean difference of the losses,
        row by row, is more than its standard error. One alone may be followed by better ones.
    """

    def __init__(self) -> None:
        self._lowest: FloatArray | None = None
        self._n_worse = 0
        self.is_best, self.is_over = False, False

    def judge(self, losses: FloatArray, weight: FloatArray | None) -> None:
        """Judge the next pause.

        Parameters
        ----------
        losses : ndarray of shape (n_rows,)
            Of the same rows at every pause. Other rows begin a new comparison.
        weight : ndarray of shape (n_rows,) or None
            Of the rows.
        """
        if self._lowest is None or len(self._lowest) != len(losses):
            mean = error = 0.0
        elif not np.isfinite(losses).all():
            mean, error = math.inf, 0.0
        else:
            difference = losses.astype(np.float64) - self._lowest
            w = np.ones(len(losses)) if weight is None else weight.astype(np.float64)
            mean = float(np.average(difference, weights=w))
            error = math.sqrt(np.sum((w * (difference - mean)) ** 2)) / float(w.sum())
        self._n_worse = self._n_worse + 1 if mean > error else 0
        self.is_best, self.is_over = mean <= 0.0, self._n_worse > 1
        if self.is_best:
            self._lowest = losses
