"""Held-out data, and the parameters that did best on it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data
from skmlp.training.stopping import Plateau

__all__ = ["Best", "BestValidated", "Validation"]


@dataclass(frozen=True)
class Validation:
    """Held-out data, and what to judge parameters by on them.

    Attributes
    ----------
    data : Data
    loss : Loss
        Without what only helps training, such as label smoothing.
    score : callable or None
        ``score(params, raw) -> float``, higher is better, for the raw outputs of `params` on the data; NaN where it is
        not defined. None judges by the loss: the score is minus the loss.
    """

    data: Data
    loss: Loss
    score: Callable[[Parameters, FloatArray], float] | None = None

    def evaluate(self, network: Network, params: Parameters) -> tuple[float, float]:
        """Return the mean loss without penalty, and the score."""
        X, y, weight = self.data
        raw = network.predict(params, X)
        losses = self.loss.loss(y, raw)
        total = losses.sum(dtype=np.float64) if weight is None else np.dot(losses, weight)
        loss = float(total) / self.data.total_weight
        return loss, -loss if self.score is None else float(self.score(params, raw))


class Best:
    """The parameters of the best epoch so far, to go back to.

    A validation score is that of the parameters after the epoch. A training loss was measured during the epoch, on
    the way from the parameters before it, so those belong to it: what came after may have been thrown far off.

    Attributes
    ----------
    value : float
        Lowest value so far; infinite before there was a number.
    epoch : int
        The epoch it belongs to; 0 for what there was before.
    what : str
        The parameters in words.
    vector : ndarray or None
    """

    def __init__(self) -> None:
        self.value = math.inf
        self.epoch = 0
        self.what = ""
        self.vector: FloatArray | None = None
        self._memory: FloatArray | None = None

    def offer(self, value: float, epoch: int, what: str, vector: FloatArray, *, is_copy: bool = False) -> None:
        """Keep a copy of `vector`, or itself if it is one, if `value` is the lowest so far; NaN is the worst."""
        if value < self.value or self.vector is None:
            self.value, self.epoch, self.what = math.inf if math.isnan(value) else value, epoch, what
            if is_copy:
                self.vector = vector
                return
            if self._memory is None:
                self._memory = np.empty_like(vector)
            self._memory[...] = vector
            self.vector = self._memory


class BestValidated(Best):
    """The parameters of the best epoch by the validation score.

    From the first score that is not defined on, all epochs are judged by their validation loss, the earlier ones too.

    Attributes
    ----------
    by_loss : bool
        Whether a score was not defined, so that the loss decides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_loss = False
        self._losses: list[float] = []
        self._best_by_loss = Best()

    def offer_validated(
        self, loss: float, score: float, epoch: int, what: str, vector: FloatArray, plateau: Plateau | None = None
    ) -> float:
        """Keep a copy of `vector` if it is the best so far, and return what the epoch is judged by, lower is better.

        `plateau` is what counts epochs without progress, if that is on the validation data. It is to be updated with
        the returned value. When the judgement changes from score to loss, it counts the earlier epochs again.
        """
        self._best_by_loss.offer(loss, epoch, what, vector)
        if not self.by_loss and math.isnan(score) and math.isfinite(loss):
            self.by_loss = True
            if plateau is not None:
                plateau.restart(self._losses)
        self._losses.append(loss)
        if not self.by_loss:
            self.offer(-score, epoch, what, vector)
            return -score
        best = self._best_by_loss
        self.value, self.epoch, self.what, self.vector = best.value, best.epoch, best.what, best.vector
        return loss
