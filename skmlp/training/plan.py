"""What is asked of a training: how long it may last, and what its epochs are judged by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data

__all__ = ["Criterion", "Plan", "Validation"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How training goes through the data, and for how long at most.

    Attributes
    ----------
    batch_size : int
        Samples per mini-batch; at most the number of samples counts.
    max_epochs : int
    length : int or None
        Epochs of the whole training, which the progress of schedules and the choice of the engine refer to. If None,
        schedules do not know the length, and the engine is chosen for `max_epochs`.
    max_seconds : float or None
        Time limit. Training ends after the step in which it is reached.
    shuffle : bool
        Whether each epoch visits the samples in a new order.
    samples_per_epoch : int or None
        How many samples the rows of the data stand for, if duplicates were merged.
    """

    batch_size: int
    max_epochs: int
    length: int | None = None
    max_seconds: float | None = None
    shuffle: bool = True
    samples_per_epoch: int | None = None


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


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What epochs are judged by, and which weights training ends with.

    Attributes
    ----------
    validation : Validation or None
        Evaluated after every epoch. Without it epochs are judged by their training loss.
    early_stopping : bool
        Whether progress means a better validation score, not a lower training loss.
    restore_best : bool
        Whether training ends with the weights of the best epoch. With validation, an interrupted training always does.
    fallback : ndarray of shape (n_parameters,) or None
        A copy of the weights from before training, if they are worth returning to.

    Raises
    ------
    ValueError
        For early stopping without validation.
    """

    validation: Validation | None = None
    early_stopping: bool = False
    restore_best: bool = False
    fallback: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.early_stopping and self.validation is None:
            raise ValueError("early_stopping goes by the validation score: pass validation, or early_stopping=False.")
