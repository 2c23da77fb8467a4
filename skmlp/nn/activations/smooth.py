"""Smooth relatives of relu."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from skmlp._typing import FloatArray
from skmlp.compiled.maths import erf, exp, log_1_plus_exp, logistic, tanh
from skmlp.nn.activations.base import ACTIVATIONS, Activation
from skmlp.nn.activations.sigmoids import Logistic

# Python floats: a NumPy float64 would turn float32 arithmetic into float64.
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_GELU_C = math.sqrt(2.0 / math.pi)
_GELU_K = 0.044715

_LOGISTIC = Logistic()


def _gelu_kernel(z: Any, settings: Any) -> tuple[Any, Any]:
    real = type(z)
    half, one = real(0.5), real(1.0)
    distribution = half * (one + erf(z * real(_SQRT_HALF)))
    return z * distribution, distribution + z * real(_DENSITY_AT_0) * exp(-half * z * z)


def _gelu_tanh_kernel(z: Any, settings: Any) -> tuple[Any, Any]:
    real = type(z)
    half, one, c = real(0.5), real(1.0), real(_GELU_C)
    cubic = real(_GELU_K) * z * z
    u = half + half * tanh(c * z * (one + cubic))
    return z * u, u + (z + z) * u * (one - u) * c * (one + cubic + cubic + cubic)


@dataclass
class GELU(Activation):
    r"""``sigma(z) = z Phi(z)`` with the normal distribution function, exactly or by its tanh approximation.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        ``"none"``: :math:`\Phi(z) = (1 + \operatorname{erf}(z / \sqrt 2)) / 2`, ``sigma' = Phi(z) + z phi(z)``.
        ``"tanh"``: :math:`\Phi(z) \approx (1 + \tanh(\sqrt{2/\pi}\,(z + 0.044715 z^3))) / 2`, which is faster.

    References
    ----------
    Hendrycks and Gimpel (2016), "Gaussian Error Linear Units", arXiv 1606.08415.
    """

    approximate: Literal["none", "tanh"] = "none"
    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        self._distribution(z, out)
        out *= z

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        if self.approximate == "none":
            np.multiply(z, z, out=out)
            out *= -0.5
            np.exp(out, out=out)
            out *= _DENSITY_AT_0
            out *= z  # z phi(z)
            self._distribution(z, z)
            out += z
        else:
            # With u = (1 + tanh(s)) / 2 and s = c (z + k z^3):  sigma' = u + 2 a (1 - u) s', s' = c (1 + 3 k z^2).
            # Written as 1 + (1 - u)(2 a s' - 1) it needs no third array.
            self._distribution(z, out)
            np.subtract(1.0, out, out=out)
            np.multiply(z, z, out=z)
            z *= 6.0 * _GELU_C * _GELU_K
            z += 2.0 * _GELU_C
            z *= a
            z -= 1.0
            out *= z
            out += 1.0

    @property
    def kernel(self) -> Any:
        """The kernel of the chosen form."""
        return _gelu_kernel if self.approximate == "none" else _gelu_tanh_kernel

    def _distribution(self, z: FloatArray, out: FloatArray) -> None:
        """Write Phi(z) into `out`, which may be `z` for the exact form only."""
        if self.approximate == "none":
            np.multiply(z, _SQRT_HALF, out=out)
            special.erf(out, out=out)
        else:
            np.multiply(z, z, out=out)
            out *= _GELU_C * _GELU_K
            out += _GELU_C
            out *= z
            np.tanh(out, out=out)
        out += 1.0
        out *= 0.5


@dataclass
class SiLU(Activation):
    """``sigma(z) = z s`` with ``s = 1 / (1 + exp(-z))`` (swish); ``sigma' = s + a (1 - s)``.

    References
    ----------
    Elfwing, Uchibe and Doya (2018), arXiv 1702.03118.
    """

    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        _LOGISTIC.forward(z, out)
        out *= z

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        _LOGISTIC.forward(z, out)
        np.subtract(1.0, out, out=z)
        z *= a
        out += z

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        s = logistic(z)
        return z * s, s + z * s * (type(z)(1.0) - s)


@dataclass
class Softplus(Activation):
    """``sigma(z) = log(1 + exp(z))``, a smooth relu; ``sigma' = 1 / (1 + exp(-z)) = 1 - exp(-a)``."""

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        # max(z, 0) + log(1 + exp(-|z|)) cannot overflow.
        np.abs(z, out=out)
        np.negative(out, out=out)
        np.exp(out, out=out)
        np.log1p(out, out=out)
        np.add(out, z, out=out, where=z > 0.0)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.negative(a, out=out)
        np.expm1(out, out=out)
        np.negative(out, out=out)

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        return log_1_plus_exp(z), logistic(z)


_SOFTPLUS = Softplus()


@dataclass
class Mish(Activation):
    """``sigma(z) = z t`` with ``t = tanh(softplus(z))``; ``sigma' = t + z s (1 - t^2)``, s the logistic function.

    References
    ----------
    Misra (2019), "Mish: A Self Regularized Non-Monotonic Activation Function", arXiv 1908.08681.
    """

    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        _SOFTPLUS.forward(z, out)
        np.tanh(out, out=out)
        out *= z

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        t = np.empty_like(z)
        _SOFTPLUS.forward(z, t)
        np.tanh(t, out=t)
        _LOGISTIC.forward(z, out)
        out *= z
        np.multiply(t, t, out=z)
        np.subtract(1.0, z, out=z)
        out *= z
        out += t

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2) with e = exp(z); from z = 20 on it rounds to 1.
        real = type(z)
        one, two, bound = real(1.0), real(2.0), real(20.0)
        e = exp(bound if z > bound else z)
        n = e * (e + two)
        t = n / (n + two)
        return z * t, t + z * (e / (one + e)) * (one - t) * (one + t)


ACTIVATIONS |= {
    "gelu": GELU(),
    "gelu_tanh": GELU(approximate="tanh"),
    "silu": SiLU(),
    "softplus": Softplus(),
    "mish": Mish(),
}
