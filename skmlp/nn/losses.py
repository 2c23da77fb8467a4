r"""Losses on raw outputs.

A loss takes the network's last pre-activations (`raw`) and owns the link that turns them into predictions:
identity, exponential, logistic or softmax. So the gradient with respect to `raw`, the error signal
:math:`\delta_L` that backpropagation starts from, is `prediction - target` in every case, and nothing is ever
clipped: log-probabilities come from `raw` directly and stay finite where probabilities round to 0 or 1.

To add a loss, subclass :class:`Loss` and put an instance into :data:`LOSSES`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.activations import ACTIVATIONS

__all__ = ["LOSSES", "BinaryLogLoss", "Loss", "MultinomialLogLoss", "PoissonDeviance", "SquaredError"]


class Loss(Configurable, ABC):
    """A loss with its link function.

    Attributes
    ----------
    link : str
        The output activation: ``"identity"``, ``"exp"``, ``"logistic"`` or ``"softmax"``.
    domain : str
        The targets it is defined for, in words.
    """

    link: ClassVar[str]
    domain: ClassVar[str] = "all real numbers"

    @abstractmethod
    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        """Return each sample's loss and write its gradient with respect to `raw` into `out`.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)
            Targets; for :class:`MultinomialLogLoss` the class codes, of shape (n_samples,).
        raw : ndarray of shape (n_samples, n_outputs)
            The network's outputs before the link. Kept.
        out : ndarray of shape (n_samples, n_outputs)
            Receives ``d loss / d raw``.

        Returns
        -------
        loss : ndarray of shape (n_samples,)
            Summed over the outputs.
        """

    @abstractmethod
    def predict(self, raw: FloatArray) -> FloatArray:
        """Apply the link: the expected target for each row of `raw`, of the same shape."""

    def loss(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return each sample's loss, of shape (n_samples,)."""
        return self.loss_and_gradient(y, raw, np.empty_like(raw))

    def gradient(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return ``d loss / d raw``, of shape (n_samples, n_outputs)."""
        out = np.empty_like(raw)
        self.loss_and_gradient(y, raw, out)
        return out

    def in_domain(self, y: AnyArray) -> bool:
        """Tell whether the loss is defined for every target in `y`."""
        return True


@dataclass
class SquaredError(Loss):
    """Half squared error with the identity link: ``1/2 sum_k (raw_k - y_k)^2``; gradient ``raw - y``."""

    link = "identity"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        loss: FloatArray = np.einsum("ij,ij->i", out, out)
        loss *= 0.5
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        return raw


@dataclass
class PoissonDeviance(Loss):
    """Half Poisson deviance with the log link: ``sum_k y_k log(y_k / mu_k) - y_k + mu_k``, ``mu = exp(raw)``.

    The gradient is ``mu - y``. Domain: ``y >= 0``. Written as ``y log y - y raw - y + exp(raw)``, so that it is
    exact where mu rounds to 0.
    """

    link = "exp"
    domain = "y >= 0"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.exp(raw, out=out)
        terms = special.xlogy(y, y)
        terms -= y * raw
        out -= y
        terms += out
        loss: FloatArray = terms.sum(axis=1)
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        return np.exp(raw)

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all(y >= 0))


@dataclass
class BinaryLogLoss(Loss):
    """Log loss with the logistic link, one independent yes-or-no question per output (binary, multilabel).

    ``sum_k log(1 + exp(raw_k)) - y_k raw_k`` for targets in {0, 1}; gradient ``p - y`` with ``p = logistic(raw)``.
    """

    link = "logistic"
    domain = "0 <= y <= 1"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # As log(1 + exp(-|raw|)) + (1[raw > 0] - y) raw: for a confident right answer the second term is exactly 0.
        terms = np.abs(raw)
        np.negative(terms, out=terms)
        np.exp(terms, out=terms)
        np.log1p(terms, out=terms)
        np.subtract(raw > 0.0, y, out=out)
        out *= raw
        terms += out
        ACTIVATIONS["logistic"].forward(raw, out)
        out -= y
        loss: FloatArray = terms.sum(axis=1)
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        return ACTIVATIONS["logistic"](raw)

    def log_predict(self, raw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``log(1 - p)`` and ``log p``, finite wherever `raw` is."""
        softplus = ACTIVATIONS["softplus"]
        return -softplus(raw), -softplus(-raw)

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y >= 0) & (y <= 1)))


@dataclass
class MultinomialLogLoss(Loss):
    """Log loss (cross-entropy) with the softmax link, for one of several classes.

    ``logsumexp(raw) - raw[y]`` for class codes y in {0, ..., n_outputs - 1}, of shape (n_samples,); the gradient
    is ``p - onehot(y)`` with ``p = softmax(raw)``.
    """

    link = "softmax"
    domain = "class codes 0, ..., n_outputs - 1"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # One row for each class: reductions over classes then run along contiguous memory, twice as fast.
        p = raw.T.copy()
        p -= p.max(axis=0)
        own = y, np.arange(raw.shape[0])
        own_raw = p[own]
        np.exp(p, out=p)
        total = p.sum(axis=0)
        p /= total
        p[own] -= 1.0
        out[...] = p.T
        loss: FloatArray = np.log(total)
        loss -= own_raw
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        p: FloatArray = raw - raw.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def log_predict(self, raw: FloatArray) -> FloatArray:
        """Return ``log p``, finite wherever `raw` is."""
        log_p: FloatArray = raw - raw.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        return log_p

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.issubdtype(y.dtype, np.integer) and np.all(y >= 0))


LOSSES: dict[str, Loss] = {
    "squared_error": SquaredError(),
    "poisson": PoissonDeviance(),
    "binary_log_loss": BinaryLogLoss(),
    "log_loss": MultinomialLogLoss(),
}
