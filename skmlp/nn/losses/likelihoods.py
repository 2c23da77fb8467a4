"""Negative log-likelihoods of distributions with several predicted parameters."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import exp
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.intercepts import RESOLUTION, weighted_mean
from skmlp.nn.losses.links import diagonal

_LOG_2_PI = math.log(2.0 * math.pi)


@dataclass
class GaussianNLL(Loss):
    r"""Negative log-likelihood of a normal distribution whose mean and variance are both predicted.

    .. math:: \tfrac12 \bigl(\log 2\pi + s + (y - \mu)^2 e^{-s}\bigr), \qquad s = \log \sigma^2,

    summed over the targets. The columns of `raw` are all means, then all log variances s. The gradient is
    :math:`(\mu - y) e^{-s}` and :math:`\tfrac12 (1 - (y - \mu)^2 e^{-s})`. The best constants are the mean and the
    logarithm of the variance, which is bounded below by the float32 resolution of the targets (0 if all targets are 0).

    References
    ----------
    Nix and Weigend (1994), "Estimating the mean and variance of the target probability distribution", ICNN.
    """

    is_equivariant = True

    def n_raw(self, n_outputs: int) -> int:
        return 2 * n_outputs

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        n_outputs = raw.shape[1] // 2
        mean, log_variance = raw[:, :n_outputs], raw[:, n_outputs:]
        d_mean, d_log_variance = out[:, :n_outputs], out[:, n_outputs:]
        np.subtract(mean, y, out=d_mean)
        inverse_std = np.multiply(log_variance, -0.5)
        np.exp(inverse_std, out=inverse_std, where=d_mean != 0.0)  # an exact hit stays 0, however small the variance
        d_mean *= inverse_std
        np.multiply(d_mean, d_mean, out=d_log_variance)
        loss: FloatArray = d_log_variance.sum(axis=1)
        loss += log_variance.sum(axis=1)
        loss += n_outputs * _LOG_2_PI
        loss *= 0.5
        d_mean *= inverse_std
        d_log_variance *= -0.5
        d_log_variance += 0.5
        return loss

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real, n_outputs = raw.dtype.type, y.shape[1]
        zero, half = real(0.0), real(0.5)
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            weight, loss = weights[row], zero
            for output in range(n_outputs):
                residual, log_variance = raw[row, output] - y[row, output], raw[row, n_outputs + output]
                # An exact hit stays 0, however small the variance.
                inverse_std = exp(-half * log_variance) if residual != zero else zero
                scaled = residual * inverse_std
                loss += scaled * scaled + log_variance + real(_LOG_2_PI)
                out[row, output] = weight * (scaled * inverse_std)
                out[row, n_outputs + output] = weight * (half - half * scaled * scaled)
            total += weight * (half * loss)
        return total

    def predict(self, raw: FloatArray) -> FloatArray:
        """Return the means, of shape (n_samples, n_outputs)."""
        return raw[:, : raw.shape[1] // 2]

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the means, which do not depend on the log variances."""
        return diagonal(np.ones_like(raw))[:, : raw.shape[1] // 2]

    def predict_std(self, raw: FloatArray) -> FloatArray:
        """Return the standard deviations, of shape (n_samples, n_outputs)."""
        std = np.multiply(raw[:, raw.shape[1] // 2 :], 0.5)
        np.exp(std, out=std)
        return std

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        mean = weighted_mean(y, sample_weight)
        variance = weighted_mean((y - mean) ** 2, sample_weight)
        np.maximum(variance, (RESOLUTION * mean) ** 2, out=variance)
        return np.concatenate([mean, np.log(np.where(variance > 0.0, variance, 1.0))])


LOSSES |= {"gaussian_nll": GaussianNLL()}
