r"""Deviances with the log link, for counts and amounts.

In the descriptions `y` is a target and :math:`\mu = e^{raw}` the prediction; every loss is a sum over the targets of a
sample.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from scipy import special

from skmlp._configurable import Range
from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import exp, expm1
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.intercepts import weighted_mean


class _Deviance(Loss):
    """A deviance with the log link, which predicts the mean."""

    link = "exp"

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        mean = weighted_mean(y, sample_weight)
        # A mean that is not positive has no logarithm: half an event in all samples takes its place.
        return np.log(np.where(mean > 0.0, mean, 0.5 / len(y)))


@dataclass
class PoissonDeviance(_Deviance):
    """Half Poisson deviance with the log link: ``sum_k y_k log(y_k / mu_k) - y_k + mu_k``, ``mu = exp(raw)``.

    The gradient is ``mu - y``. Domain: ``y >= 0``. The best constant raw output is the logarithm of the mean, or of
    ``0.5 / n_samples`` when all targets are 0.
    """

    domain = "y >= 0"
    formula = "sum_k y log(y / prediction) - y + prediction"
    derivative_formula = "(prediction - y)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # As y log y - y raw - y + exp(raw), which is exact where the prediction rounds to 0.
        np.exp(raw, out=out)
        terms = special.xlogy(y, y)
        terms -= y * raw
        out -= y
        terms += out
        return terms.sum(axis=1)

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        derivative = exp(raw) - y
        entropy = y * np.log(y) if y > type(raw)(0.0) else y
        return entropy - y * raw + derivative, derivative

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all(y >= 0))


@dataclass
class GammaDeviance(_Deviance):
    """Half gamma deviance with the log link: ``sum_k log(mu_k / y_k) + y_k / mu_k - 1``, ``mu = exp(raw)``.

    For positive targets whose standard deviation is proportional to their mean, such as amounts of money. It depends
    on the ratio ``y / mu`` alone; the gradient is ``1 - y / mu``. Domain: ``y > 0``. The best constant raw output is
    the logarithm of the mean.
    """

    domain = "y > 0"
    formula = "sum_k log(prediction / y) + y / prediction - 1"
    derivative_formula = "(1 - y / prediction)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # With t = log(y / mu): exp(t) - 1 - t, which is exact near its minimum, too.
        terms = np.log(y)
        terms -= raw
        np.expm1(terms, out=out)
        np.subtract(out, terms, out=terms)
        np.negative(out, out=out)
        return terms.sum(axis=1)

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        t = np.log(y) - raw
        excess = expm1(t)
        return excess - t, -excess

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all(y > 0))


def _tweedie_kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
    a, b, lowest = settings
    zero = type(raw)(0.0)
    y_term = y * exp(b * raw) if y != zero else zero
    mu_term = exp(a * raw)
    base = lowest if y < lowest else y
    return base**a / (a * b) - y_term / b + mu_term / a, mu_term - y_term


@dataclass
class TweedieDeviance(_Deviance):
    r"""Half Tweedie deviance with the log link, for a variance proportional to the mean to the power p.

    .. math::
        \frac{\max(y, 0)^{2-p}}{(1-p)(2-p)} - \frac{y \mu^{1-p}}{1-p} + \frac{\mu^{2-p}}{2-p}, \qquad \mu = e^{raw},

    summed over the targets; the gradient is :math:`\mu^{2-p} - y \mu^{1-p}`. Powers 1 and 2 are the limits
    :class:`PoissonDeviance` and :class:`GammaDeviance`, power 0 is the half squared error of :math:`\mu`. Powers
    between 1 and 2 are for sums of a random number of positive amounts, with exact zeros, such as claims per year. With
    powers closer to 1 or 2 than 0.001 the value, not the gradient, loses digits. The best constant raw output is the
    logarithm of the mean, or of ``0.5 / n_samples`` when the mean is not positive.

    Parameters
    ----------
    power : float, default=1.5
        The power p, any number. It determines the domain: all real numbers up to 0, ``y >= 0`` below 2, ``y > 0``
        from 2 on.

    References
    ----------
    Jørgensen (1987), "Exponential Dispersion Models", Journal of the Royal Statistical Society B 49.
    """

    power: Annotated[float, Range("(-inf, inf)")] = 1.5

    @property
    def domain(self) -> str:  # type: ignore[override]
        """The targets that the power allows, in words."""
        return "all real numbers" if self.power <= 0.0 else "y >= 0" if self.power < 2.0 else "y > 0"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if self.power in _LIMITS:
            return _LIMITS[self.power].loss_and_gradient(y, raw, out)
        a, b = 2.0 - self.power, 1.0 - self.power
        y_term = np.multiply(raw, b)
        np.exp(y_term, out=y_term, where=y != 0.0)  # 0 times a power that overflows is 0
        y_term *= y
        np.multiply(raw, a, out=out)
        np.exp(out, out=out)
        # For power 0 the constant makes it a squared error, of negative targets, too.
        constant = (y if self.power == 0.0 else np.maximum(y, 0.0)) ** a
        constant /= a * b
        constant -= y_term / b
        constant += out / a
        out -= y_term
        return constant.sum(axis=1)

    @property
    def kernel(self) -> Any:
        """The kernel for the power."""
        return _LIMITS[self.power].kernel if self.power in _LIMITS else _tweedie_kernel

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        if self.power in _LIMITS:
            return ()
        return 2.0 - self.power, 1.0 - self.power, -math.inf if self.power == 0.0 else 0.0

    def in_domain(self, y: AnyArray) -> bool:
        return bool(self.power <= 0.0 or np.all(y >= 0.0 if self.power < 2.0 else y > 0.0))


_LIMITS = {1.0: PoissonDeviance(), 2.0: GammaDeviance()}


LOSSES |= {"poisson": PoissonDeviance(), "gamma": GammaDeviance(), "tweedie": TweedieDeviance()}
