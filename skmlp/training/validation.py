"""Held-out data to judge the parameters by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data

__all__ = ["Validation"]


@dataclass(frozen=True)
class Validation:
    """Held-out data, with the loss and the score to evaluate on it.

    Attributes
    ----------
    data : Data
    loss : Loss
        Without regularization such as label smoothing.
    score : callable or None
        ``score(params, raw) -> float``, higher is better, with the raw outputs of `params` on the data; NaN if it is
        undefined. With None the score is the negative loss.
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
