"""The weights of the best epoch so far."""

import math

import numpy as np

from skmlp._typing import FloatArray
from skmlp.training.stopping import Plateau

__all__ = ["BestValidatedWeights", "BestWeights"]


class BestWeights:
    """The weights of the best epoch so far, to restore later.

    Parameters
    ----------
    fallback : ndarray, optional
        Weights to keep until there is an epoch with a value; not overwritten.

    A validation score belongs to the weights after the epoch. A training loss was measured during the epoch, starting
    from the weights before it, so it is those that it belongs to: the later ones may have diverged.

    Attributes
    ----------
    value : float
        The lowest value so far; infinite before the first number.
    epoch : int
        The epoch it belongs to; 0 for the weights before training.
    description : str
        Which weights these are, for messages.
    vector : ndarray or None
        The weights.
    """

    def __init__(self, fallback: FloatArray | None = None) -> None:
        self.value = math.inf
        self.epoch = 0
        self.description = "before this training"
        self.vector = fallback
        self._memory: FloatArray | None = None

    def update(self, value: float, epoch: int, description: str, vector: FloatArray) -> None:
        """Keep a copy of `vector` if `value` is the lowest so far; NaN is the worst value."""
        if value < self.value or self.vector is None:
            self.value, self.epoch, self.description = math.inf if math.isnan(value) else value, epoch, description
            if self._memory is None:
                self._memory = np.empty_like(vector)
            self._memory[...] = vector
            self.vector = self._memory


class BestValidatedWeights(BestWeights):
    """The weights of the best epoch by the validation score.

    Once a score is undefined, all epochs are judged by their validation loss, earlier ones included.

    Attributes
    ----------
    by_loss : bool
        Whether a score was undefined, so that the loss decides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_loss = False
        self._losses: list[float] = []
        self._best_by_loss = BestWeights()

    def update_validated(
        self,
        loss: float,
        score: float,
        epoch: int,
        description: str,
        vector: FloatArray,
        plateau: Plateau | None = None,
    ) -> float:
        """Keep a copy of `vector` if it is the best so far, and return the value of the epoch, lower is better.

        `plateau` counts the epochs without progress in these values, if anything does; the caller updates it. When the
        criterion changes from score to loss, it counts the earlier epochs again.
        """
        self._best_by_loss.update(loss, epoch, description, vector)
        if not self.by_loss and math.isnan(score) and math.isfinite(loss):
            self.by_loss = True
            if plateau is not None:
                plateau.restart(self._losses)
        self._losses.append(loss)
        if not self.by_loss:
            self.update(-score, epoch, description, vector)
            return -score
        best = self._best_by_loss
        self.value, self.epoch, self.description, self.vector = best.value, best.epoch, best.description, best.vector
        return loss
