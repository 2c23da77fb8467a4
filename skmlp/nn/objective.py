r"""What training minimizes: the mean loss of a network on a batch, plus a penalty on its weights.

.. math::
    J = \frac{1}{\sum_i s_i} \Bigl( \sum_i s_i \, \ell(y_i, raw_i) + \frac{\alpha}{2} \sum_l \lVert W_l \rVert^2
    + \alpha_1 \sum_l \lVert W_l \rVert_1 \Bigr)

with sample weights :math:`s_i` (1 by default). The gradient is exactly the gradient of this number. Training, L-BFGS,
``loss_and_gradients`` and the gradient check all evaluate this one function.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.layers import Batch
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network, Workspace
from skmlp.nn.parameters import Parameters
from skmlp.nn.statistics import non_finite_output, non_finite_place

__all__ = ["Objective", "ObjectiveWorkspace", "Value", "strongest_penalty"]


# Rows of a batch that are evaluated at a time.
BLOCK_ROWS = 1024


@cache
def strongest_penalty(dtype: np.dtype[Any]) -> float:
    """Return the largest factor of a penalty: the fourth root of the type's largest number."""
    largest = float(np.finfo(dtype).max)
    return math.sqrt(math.sqrt(largest))


class Value(NamedTuple):
    """The objective in its two parts."""

    loss: float
    penalty: float


@dataclass(frozen=True)
class Objective:
    """Mean loss and penalties over a network.

    Parameters
    ----------
    network : Network
    loss : Loss
    alpha : float
        Strength of the penalty, divided by the sum of the batch's sample weights as in scikit-learn: the smaller
        the batch, the stronger a given `alpha`.
    alpha_l1 : float
        Strength of the penalty on absolute values, likewise. Its gradient at a weight of 0 is taken as 0.
    """

    network: Network
    loss: Loss
    alpha: float = 0.0
    alpha_l1: float = 0.0

    @property
    def is_scheduled(self) -> bool:
        """Whether settings of the network or the loss follow a schedule."""
        return self.network.is_scheduled or bool(self.loss.scheduled())

    def at(self, time: Any) -> "Objective":
        """Return the objective as it is at a time of the training, for the same workspaces."""
        network = self.network.at(time) if self.network.is_scheduled else self.network
        return replace(self, network=network, loss=self.loss.at(time))

    def workspace(self, n_samples: int, dtype: DTypeLike) -> "ObjectiveWorkspace":
        """Return the memory for batches of `n_samples` rows.

        Larger ones are evaluated in blocks, unless their rows depend on each other.
        """
        rows = n_samples if self.network.couples_rows else min(n_samples, BLOCK_ROWS)
        return ObjectiveWorkspace(self.network, rows, dtype)

    def value_and_gradient(
        self,
        params: Parameters,
        X: Any,
        y: AnyArray,
        sample_weight: FloatArray | None,
        workspace: "ObjectiveWorkspace",
        grad: Parameters,
        rng: np.random.Generator | None = None,
    ) -> Value:
        """Return the objective on a batch and write its gradient into `grad`.

        Parameters
        ----------
        params : Parameters
            Batch normalization updates its statistics among them.
        X : ndarray or CSR matrix of shape (n_samples, n_features)
        y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
            What the loss takes.
        sample_weight : ndarray of shape (n_samples,) or None
            Non-negative, with a positive sum.
        workspace : ObjectiveWorkspace
        grad : Parameters
            Every entry is overwritten.
        rng : numpy.random.Generator, optional
            The stream of dropout; needed by networks that have it.

        Returns
        -------
        value : Value
            Mean loss and penalty, as Python floats.
        """
        n_samples, rows = X.shape[0], workspace.n_samples
        total = float(n_samples if sample_weight is None else sample_weight.sum(dtype=np.float64))
        if n_samples <= rows:
            loss = self._loss_and_gradient(params, X, y, sample_weight, total, workspace, grad, rng)
        else:
            # Blocks of rows stay in the cache, and memory stays bounded however large the batch is.
            loss = 0.0
            for start in range(0, n_samples, rows):
                block = slice(start, start + rows)
                weight = None if sample_weight is None else sample_weight[block]
                part = grad if start == 0 else workspace.block_gradient(grad)
                loss += self._loss_and_gradient(params, X[block], y[block], weight, total, workspace, part, rng)
                if part is not grad:
                    grad.vector += part.vector
        return Value(loss, self._add_penalty(params, total, workspace, grad))

    def _loss_and_gradient(
        self,
        params: Parameters,
        X: Any,
        y: AnyArray,
        sample_weight: FloatArray | None,
        total: float,
        workspace: "ObjectiveWorkspace",
        grad: Parameters,
        rng: np.random.Generator | None,
    ) -> float:
        """Return what these rows add to the mean loss over the weight `total`, and write its gradient into `grad`."""
        dtype = params.vector.dtype
        weights = None if sample_weight is None else (sample_weight / total).astype(dtype, copy=False)
        batch = Batch(rng, weights, total) if self.network.has_modes else None
        activations = self.network.forward(params, X, workspace, batch)
        delta = workspace.raw_delta[: X.shape[0]]
        losses = self.loss.loss_and_gradient(y, activations[-1], delta)
        if weights is None:
            loss = float(losses.sum(dtype=np.float64)) / total
            delta *= 1.0 / total
        else:
            loss = float(np.dot(losses, weights))
            delta *= weights[:, np.newaxis]
        self.network.backward(params, activations, delta, workspace, grad, batch)
        return loss

    def find_non_finite(
        self, params: Parameters, X: Any, grad: Parameters, workspace: "ObjectiveWorkspace", loss: float = 0.0
    ) -> str:
        """Say in words where the infinite or NaN value of the last evaluation, whose value was `loss`, arose."""
        activations: list[Any] = []
        for start in range(0, X.shape[0], workspace.n_samples):
            activations = self.network.forward(params, X[start : start + workspace.n_samples], workspace)
            if non_finite_output(params, activations) is not None:
                break
        return non_finite_place(params, activations, grad, loss)

    def _add_penalty(
        self, params: Parameters, total: float, workspace: "ObjectiveWorkspace", grad: Parameters
    ) -> float:
        """Add ``(alpha W + alpha_l1 sign(W)) / total`` to the gradient and return the penalty."""
        if self.alpha == 0.0 and self.alpha_l1 == 0.0:
            return 0.0
        weights, weight_grad = params.vector[: params.n_weights], grad.vector[: params.n_weights]
        scratch = workspace.scratch(weights)
        alpha, alpha_l1 = self._strengths(total, weights.dtype)
        penalty = 0.0
        if self.alpha != 0.0:
            np.multiply(weights, alpha, out=scratch)
            weight_grad += scratch
            penalty += 0.5 * float(np.dot(weights, scratch))
        if self.alpha_l1 != 0.0:
            np.sign(weights, out=scratch)
            scratch *= alpha_l1
            weight_grad += scratch
            penalty += float(np.dot(weights, scratch))
        return penalty

    def _strengths(self, total: float, dtype: np.dtype[Any]) -> tuple[float, float]:
        """Return `alpha` and `alpha_l1` over the total weight, limited to what squares do not overflow from.

        From the limit on, the penalty outweighs any loss, so that a larger one would learn the same: zero weights.
        """
        largest = strongest_penalty(dtype)
        return min(self.alpha / total, largest), min(self.alpha_l1 / total, largest)

    def value(self, params: Parameters, X: Any, y: AnyArray, sample_weight: FloatArray | None = None) -> Value:
        """Return the objective alone, in blocks of rows so that memory stays bounded."""
        losses = self.loss.loss(y, self.network.predict(params, X))
        total = float(losses.shape[0] if sample_weight is None else sample_weight.sum(dtype=np.float64))
        loss = float(losses.sum(dtype=np.float64) if sample_weight is None else np.dot(losses, sample_weight))
        penalty = 0.0
        weights = params.vector[: params.n_weights]
        alpha, alpha_l1 = self._strengths(total, weights.dtype)
        if self.alpha != 0.0:
            penalty += 0.5 * alpha * float(np.dot(weights, weights))
        if self.alpha_l1 != 0.0:
            penalty += alpha_l1 * float(np.abs(weights).sum(dtype=np.float64))
        return Value(loss / total, penalty)


class ObjectiveWorkspace(Workspace):
    """A network's memory, plus what the penalty and batches of several blocks need, made when first used."""

    _scratch: FloatArray | None = None
    _block_gradient: Parameters | None = None

    def scratch(self, like: FloatArray) -> FloatArray:
        """Return an array of the shape and dtype of `like`, the same one each time."""
        if self._scratch is None or self._scratch.shape != like.shape:
            self._scratch = np.empty_like(like)
        return self._scratch

    def block_gradient(self, like: Parameters) -> Parameters:
        """Return memory for a second gradient, the same each time."""
        if self._block_gradient is None:
            self._block_gradient = like.like()
        return self._block_gradient
