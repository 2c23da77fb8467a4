"""The weights of the best epoch so far."""

import math

import numpy as np

from skmlp._typing import FloatArray

__all__ = ["BestWeights"]


class BestWeights:
    """The weights of the best epoch so far, to restore later.

    Parameters
    ----------
    fallback : ndarray, optional
        Weights from before training, to return to as long as there are no better ones. They are not overwritten.

    Attributes
    ----------
    value : float
        The lowest value so far; infinite before the first number.
    epoch : int
        The epoch it belongs to; 0 for the weights from before training.
    vector : ndarray or None
        The weights.
    """

    def __init__(self, fallback: FloatArray | None = None) -> None:
        self.value = math.inf
        self.epoch = 0
        self.vector = fallback
        self._memory: FloatArray | None = None

    def update(self, value: float, epoch: int, vector: FloatArray) -> None:
        """Keep a copy of `vector` if `value` is the lowest so far, or the first one; NaN is the highest."""
        if value < self.value or self.vector is None:
            self.value, self.epoch = math.inf if math.isnan(value) else value, epoch
            if self._memory is None:
                self._memory = np.empty_like(vector)
            self._memory[...] = vector
            self.vector = self._memory
