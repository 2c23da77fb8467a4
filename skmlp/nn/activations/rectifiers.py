"""Activations that are linear for positive inputs: relu and its variants."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from skmlp._configurable import NonNegative, Range
from skmlp._typing import FloatArray
from skmlp.compiled.maths import expm1
from skmlp.nn.activations.base import ACTIVATIONS, Activation

# Arrays up to this number of elements stay in the cache.
_CACHED = 32_768


@dataclass
class ReLU(Activation):
    """``sigma(z) = max(0, z)``, ``sigma' = 1 where z > 0, else 0``."""

    in_place = True
    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        # NumPy's loop over two arrays is faster than its loop over an array and a number. One row of zeros is enough
        # where a whole array of them would not stay in the cache.
        np.maximum(z, np.zeros(z.shape if z.size <= _CACHED else z.shape[-1:], z.dtype), out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.greater(a, 0.0, out=out)

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        real = type(z)
        zero, one = real(0.0), real(1.0)
        return zero if z <= zero else z, zero if z <= zero else one


@dataclass
class LeakyReLU(Activation):
    """``sigma(z) = z where z > 0, else negative_slope * z``: the gradient of a unit is never exactly zero.

    Parameters
    ----------
    negative_slope : float, default=0.01
        Slope for negative values, in [0, 1).
    """

    negative_slope: Annotated[float, Range("[0.0, 1.0)")] = 0.01
    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        np.multiply(z, self.negative_slope, out=out)
        np.maximum(out, z, out=out)  # slope < 1, so the larger of the two is the right branch

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.greater(z, 0.0, out=out)
        out *= 1.0 - self.negative_slope
        out += self.negative_slope

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return (self.negative_slope,)

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        real, slope = type(z), settings[0]
        zero, one = real(0.0), real(1.0)
        return slope * z if z <= zero else z, slope if z <= zero else one


class _ExponentialUnit(Activation):
    """``sigma(z) = slope z where z > 0, else depth (exp(z) - 1)``; the two numbers are the kernel settings."""

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        slope, depth = self.kernel_settings
        np.minimum(z, 0.0, out=out)
        np.expm1(out, out=out)
        out *= depth
        np.multiply(z, slope, out=out, where=z > 0.0)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        slope, depth = self.kernel_settings
        np.add(a, depth, out=out)
        np.copyto(out, slope, where=z > 0.0)

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        slope, depth = settings
        zero = type(z)(0.0)
        below = depth * expm1(zero if z > zero else z)
        return below if z <= zero else slope * z, below + depth if z <= zero else slope


@dataclass
class ELU(_ExponentialUnit):
    """``sigma(z) = z where z > 0, else alpha (exp(z) - 1)``, ``sigma' = 1 where z > 0, else a + alpha``.

    Parameters
    ----------
    alpha : float, default=1.0
        Non-negative; the function tends to ``-alpha`` for very negative inputs.

    References
    ----------
    Clevert, Unterthiner and Hochreiter (2016), arXiv 1511.07289.
    """

    alpha: NonNegative = 1.0
    initializer = "he_normal"

    @property
    def kernel_settings(self) -> tuple[float, float]:
        return 1.0, self.alpha


@dataclass
class SELU(_ExponentialUnit):
    """``lambda * ELU(z)`` with the two constants that keep mean 0 and variance 1 from layer to layer.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter (2017), "Self-Normalizing Neural Networks", arXiv 1706.02515.
    """

    initializer = "lecun_normal"
    scale: ClassVar[float] = 1.0507009873554804934193349852946
    alpha: ClassVar[float] = 1.6732632423543772848170429916717

    @property
    def kernel_settings(self) -> tuple[float, float]:
        return self.scale, self.scale * self.alpha


ACTIVATIONS |= {"relu": ReLU(), "leaky_relu": LeakyReLU(), "elu": ELU(), "selu": SELU()}
