"""Focal losses: log losses that reduce the weight of samples that are already classified well."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._configurable import NonNegative
from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import exp, log_1_plus_exp, logistic
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.classification import ProbabilisticBinaryLoss, ProbabilisticMulticlassLoss
from skmlp.nn.losses.links import LOGISTIC, SOFTPLUS


@dataclass
class _WithGamma(Loss):
    """The setting of both focal losses."""

    gamma: NonNegative = 2.0

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return (self.gamma,)


def _focal(z: FloatArray, gamma: float, out: FloatArray) -> FloatArray:
    """Return ``-(1 - p)^gamma log p`` for ``p = logistic(z)`` and write the derivative with respect to z into `out`."""
    p = LOGISTIC(z)
    np.negative(z, out=z)
    loss = SOFTPLUS(z)
    LOGISTIC.forward(z, out)  # 1 - p, without cancellation
    weight = out**gamma
    p *= loss
    p *= gamma
    out += p
    out *= weight
    np.negative(out, out=out)
    loss *= weight
    return loss


def _focal_kernel(z: Any, gamma: Any) -> tuple[Any, Any]:
    """Return the same two values for one z."""
    loss, rest = log_1_plus_exp(-z), logistic(-z)
    weight = rest**gamma
    return weight * loss, -weight * (rest + gamma * logistic(z) * loss)


@dataclass
class FocalLoss(_WithGamma, ProbabilisticBinaryLoss):
    r"""Focal loss with the logistic link, for independent yes-or-no targets.

    :math:`\sum_k -(1 - p_k)^\gamma \log p_k`, where p is the predicted probability of the right answer for target k, in
    {0, 1}. With ``z = (2 y - 1) raw``, so that ``p = logistic(z)``, the gradient with respect to z is
    :math:`-(1 - p)^\gamma (1 - p - \gamma p \log p)`. For rare positives among many easy negatives. The output biases
    start at the log-odds of a yes, as the paper recommends; for gamma 0 they are the best constant.

    Parameters
    ----------
    gamma : float, default=2.0
        Non-negative; larger values give easy samples less weight, 0 gives :class:`BinaryLogLoss`.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár (2017), "Focal Loss for Dense Object Detection", arXiv 1708.02002.
    """

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        sign = 2.0 * y - 1.0
        loss: FloatArray = _focal(sign * raw, self.gamma, out).sum(axis=1)
        out *= sign
        return loss

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        sign = y + y - type(raw)(1.0)
        loss, derivative = _focal_kernel(sign * raw, settings[0])
        return loss, sign * derivative

    def multiclass(self) -> Loss:
        return MultinomialFocalLoss(self.gamma)


@dataclass
class MultinomialFocalLoss(_WithGamma, ProbabilisticMulticlassLoss):
    r"""Focal loss with the softmax link, for one of several classes.

    :math:`-(1 - p_y)^\gamma \log p_y` with ``p = softmax(raw)`` and class codes y. It is :class:`FocalLoss` of
    ``z = raw_y - logsumexp_{k != y} raw_k``, the lead over all rivals, since ``p_y = logistic(z)``: the gradient with
    respect to ``raw_y`` is that with respect to z; its negative is distributed over the rivals by their softmax.

    Parameters
    ----------
    gamma : float, default=2.0
        Non-negative; larger values give easy samples less weight, 0 gives :class:`MultinomialLogLoss`.
    """

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if raw.shape[1] == 1:  # no rivals: the loss is 0 everywhere
            out[...] = 0.0
            return np.zeros_like(raw[:, 0])
        rows = np.arange(raw.shape[0])
        out[...] = raw
        out[rows, y] = -np.inf
        strongest = out.max(axis=1)
        out -= strongest[:, np.newaxis]
        np.exp(out, out=out)
        total = out.sum(axis=1)
        lead = raw[rows, y]
        lead -= strongest
        lead -= np.log(total)
        derivative = np.empty_like(lead)
        loss = _focal(lead, self.gamma, derivative)
        out *= (-derivative / total)[:, np.newaxis]
        out[rows, y] = derivative
        return loss

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real, n_classes = raw.dtype.type, raw.shape[1]
        gamma = real(settings[0])
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            weight, code = weights[row], y[row]
            if n_classes == 1:  # no rivals: the loss is 0 everywhere
                out[row, 0] = real(0.0)
                continue
            strongest = raw[row, 1 if code == 0 else 0]
            for k in range(n_classes):
                if k != code and raw[row, k] > strongest:
                    strongest = raw[row, k]
            out[row, code] = rivals = real(0.0)
            for k in range(n_classes):
                if k != code:
                    out[row, k] = exp(raw[row, k] - strongest)
                    rivals += out[row, k]
            loss, derivative = _focal_kernel(raw[row, code] - strongest - np.log(rivals), gamma)
            total += weight * loss
            for k in range(n_classes):
                out[row, k] *= -weight * derivative / rivals
            out[row, code] = weight * derivative
        return total


LOSSES |= {"focal": FocalLoss(), "multiclass_focal": MultinomialFocalLoss()}
