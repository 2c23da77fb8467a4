r"""Losses for numbers that depend on the residual alone: squared, absolute and robust errors.

In the descriptions `y` is a target and `raw` the raw output for it; every loss is a sum over the targets of a sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._configurable import Positive
from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import expm1, tanh
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.intercepts import weighted_mean, weighted_quantiles


@dataclass
class SquaredError(Loss):
    """Half squared error with the identity link: ``1/2 sum_k (raw_k - y_k)^2``; gradient ``raw - y``.

    The best constant prediction is the mean.
    """

    is_equivariant = True
    formula = "1/2 sum_k (prediction - y)^2"
    derivative_formula = "(prediction - y)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        loss: FloatArray = np.einsum("ij,ij->i", out, out)
        loss *= 0.5
        return loss

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            weight = weights[row]
            squares = weight - weight
            for output in range(raw.shape[1]):
                residual = raw[row, output] - y[row, output]
                squares += residual * residual
                out[row, output] = weight * residual
            total += 0.5 * weight * squares
        return total

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        return weighted_mean(y, sample_weight)


class _RobustLoss(Loss):
    """A loss that grows linearly for large residuals, for which the median is a good constant prediction."""

    is_equivariant = True

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        return weighted_quantiles(y, 0.5, sample_weight)


@dataclass
class AbsoluteError(_RobustLoss):
    """Absolute error with the identity link: ``sum_k |raw_k - y_k|``; gradient ``sign(raw - y)``, 0 at the kink.

    It predicts the median; the best constant prediction is the lower median.
    """

    formula = "sum_k |prediction - y|"
    derivative_formula = "sign(prediction - y)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        loss: FloatArray = np.abs(out).sum(axis=1)
        np.sign(out, out=out)
        return loss

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        real, residual = type(raw), raw - y
        zero, one = real(0.0), real(1.0)
        return abs(residual), one if residual > zero else -one if residual < zero else residual


@dataclass
class Huber(_RobustLoss):
    """Squared error for small residuals, absolute error beyond `delta`: outliers have a bounded influence.

    With ``r = raw - y`` it is ``sum_k r_k^2 / 2`` where ``|r| <= delta``, else ``delta (|r| - delta / 2)``; the
    gradient is ``r``, clipped to ``[-delta, delta]``. The best constant prediction lies between the median and the
    mean and has no closed form; the median is used instead.

    Parameters
    ----------
    delta : float, default=1.0
        The residual where the loss becomes linear, positive, in the units of the targets.

    References
    ----------
    Huber (1964), "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35.
    """

    delta: Positive = 1.0
    formula = "sum_k c (prediction - y) - c^2 / 2, c = the residual, clipped to [-delta, delta]"
    derivative_formula = "c"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        clipped = np.clip(out, -self.delta, self.delta)
        # In both parts: clipped * r - clipped^2 / 2.
        loss: FloatArray = np.einsum("ij,ij->i", clipped, out)
        loss -= 0.5 * np.einsum("ij,ij->i", clipped, clipped)
        out[...] = clipped
        return loss

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return (self.delta,)

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        residual, delta = raw - y, settings[0]
        clipped = delta if residual > delta else -delta if residual < -delta else residual
        return clipped * residual - type(raw)(0.5) * clipped * clipped, clipped


@dataclass
class LogCosh(_RobustLoss):
    """A smooth relative of Huber's loss: ``sum_k log cosh(raw_k - y_k)``; gradient ``tanh(raw - y)``.

    About ``r^2 / 2`` for small residuals and ``|r| - log 2`` for large ones. The best constant prediction lies between
    the median and the mean and has no closed form; the median is used instead.
    """

    formula = "sum_k log cosh(prediction - y)"
    derivative_formula = "tanh(prediction - y)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        # log cosh(r) = log(1 + 2 sinh(r / 2)^2) keeps all digits of small residuals. Beyond 20 the loss is linear
        # to the last bit of a float64, so sinh is evaluated up to there only and cannot overflow.
        beyond = np.abs(out)
        terms = np.minimum(beyond, 20.0)
        beyond -= terms
        terms *= 0.5
        np.sinh(terms, out=terms)
        np.square(terms, out=terms)
        terms *= 2.0
        np.log1p(terms, out=terms)
        terms += beyond
        np.tanh(out, out=out)
        return terms.sum(axis=1)

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        real, residual = type(raw), raw - y
        half, one, bound = real(0.5), real(1.0), real(20.0)
        magnitude = abs(residual)
        near = bound if magnitude > bound else magnitude
        # cosh(r) - 1 = (e^r - 1)^2 / (2 e^r).
        u = expm1(near)
        return _log_1_plus(half * u * (u / (one + u))) + (magnitude - near), tanh(residual)


def _log_1_plus(x: Any) -> Any:
    """Return ``log(1 + x)`` with all digits of a small `x` (Kahan): the rounding of 1 + x cancels."""
    one = type(x)(1.0)
    rounded = one + x
    return x if rounded == one else np.log(rounded) * (x / (rounded - one))


LOSSES |= {"squared_error": SquaredError(), "absolute_error": AbsoluteError(), "huber": Huber(), "log_cosh": LogCosh()}
