r"""Activation functions :math:`a = \sigma(z)` and their derivatives :math:`\sigma'(z)`.

Every activation is one small class. To add one, subclass :class:`Activation` (or wrap two functions in a
:class:`FunctionActivation`), then :func:`register_activation` it: the name works in every estimator, and the
registration has checked that the derivative is right.

Both methods write into arrays they are handed, so that a training step allocates nothing. At a kink the
derivative is the one from the left (``relu'(0) = 0``), as in torch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import special

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "FunctionActivation",
    "Identity",
    "LeakyReLU",
    "Logistic",
    "Mish",
    "ReLU",
    "SiLU",
    "Softplus",
    "Tanh",
    "check_derivative",
    "register_activation",
]


class Activation(Configurable, ABC):
    """An elementwise function with its derivative.

    Attributes
    ----------
    in_place : bool
        True when the derivative can be had from the output alone. Then `forward` is called with `out` being
        `z`, `derivative` receives the output for both `z` and `a`, and a layer keeps one array instead of two.
    initializer : str
        The name of the weight initializer that ``weight_init="auto"`` picks in front of this activation.
    steepest : float or None
        The largest slope of an activation that flattens out on both sides, by which a unit counts as saturated; None
        for the others.
    """

    in_place: ClassVar[bool] = False
    steepest: ClassVar[float | None] = None
    initializer: ClassVar[str] = "glorot_uniform"

    @abstractmethod
    def forward(self, z: FloatArray, out: FloatArray) -> None:
        """Write ``sigma(z)`` into `out`; `z` is kept unless it is `out`."""

    @abstractmethod
    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        """Write ``sigma'(z)`` into `out`, given ``a = sigma(z)``.

        `z` is this activation's own storage from `forward` to here and may be overwritten; `a` may not,
        because the next layer's weight gradient reads it.
        """

    def __call__(self, z: AnyArray) -> FloatArray:
        """Return ``sigma(z)`` as a new array."""
        z = np.array(z, dtype=np.result_type(z, np.float32))
        out = np.empty_like(z)
        self.forward(z, out)
        return out

    def gradient(self, z: AnyArray) -> FloatArray:
        """Return ``sigma'(z)`` as a new array."""
        a = self(z)
        z = a if self.in_place else np.array(z, dtype=a.dtype)
        out = np.empty_like(a)
        self.derivative(z, a, out)
        return out


@dataclass
class Identity(Activation):
    """``sigma(z) = z``: a linear layer."""

    in_place = True

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        if out is not z:
            out[...] = z

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        out[...] = 1.0


@dataclass
class Logistic(Activation):
    """``sigma(z) = 1 / (1 + exp(-z))``, ``sigma' = a (1 - a) <= 1/4``: the sigmoid, which saturates on both sides."""

    in_place = True
    steepest = 0.25

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        # exp(-z) overflows to infinity for very negative z, where 1 / (1 + inf) = 0 is the right value.
        with np.errstate(over="ignore"):
            np.negative(z, out=out)
            np.exp(out, out=out)
            out += 1.0
            np.reciprocal(out, out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.subtract(1.0, a, out=out)
        out *= a


@dataclass
class Tanh(Activation):
    """``sigma(z) = tanh(z)``, ``sigma' = 1 - a^2``."""

    in_place = True
    steepest = 1.0

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        np.tanh(z, out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.multiply(a, a, out=out)
        np.subtract(1.0, out, out=out)


@dataclass
class ReLU(Activation):
    """``sigma(z) = max(0, z)``, ``sigma' = 1 where z > 0, else 0``."""

    in_place = True
    initializer = "he_normal"

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        # Zeros, because NumPy's loop over two arrays is faster than the one over an array and a number; a row of them
        # where they would leave the cache.
        np.maximum(z, np.zeros(z.shape if z.size <= _CACHED else z.shape[-1:], z.dtype), out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.greater(a, 0.0, out=out)


@dataclass
class LeakyReLU(Activation):
    """``sigma(z) = z where z > 0, else negative_slope * z``: units cannot die.

    Parameters
    ----------
    negative_slope : float, default=0.01
        Slope for negative values, in [0, 1).
    """

    negative_slope: float = 0.01
    initializer = "he_normal"

    def __post_init__(self) -> None:
        self._check_range("negative_slope", 0.0, 1.0)

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        np.multiply(z, self.negative_slope, out=out)
        np.maximum(out, z, out=out)  # slope < 1, so the larger of the two is the right branch

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.greater(z, 0.0, out=out)
        out *= 1.0 - self.negative_slope
        out += self.negative_slope


@dataclass
class ELU(Activation):
    """``sigma(z) = z where z > 0, else alpha (exp(z) - 1)``, ``sigma' = 1 where z > 0, else a + alpha``.

    Parameters
    ----------
    alpha : float, default=1.0
        Minus the value for very negative inputs, non-negative.

    References
    ----------
    Clevert, Unterthiner and Hochreiter (2016), arXiv 1511.07289.
    """

    alpha: float = 1.0
    initializer = "he_normal"

    def __post_init__(self) -> None:
        self._check_range("alpha", 0.0)

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        _scaled_elu(z, out, 1.0, self.alpha)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        _scaled_elu_derivative(z, a, out, 1.0, self.alpha)


@dataclass
class SELU(Activation):
    """``lambda * ELU(z)`` with the two constants that keep mean 0 and variance 1 from layer to layer.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter (2017), "Self-Normalizing Neural Networks", arXiv 1706.02515.
    """

    initializer = "lecun_normal"
    scale: ClassVar[float] = 1.0507009873554804934193349852946
    alpha: ClassVar[float] = 1.6732632423543772848170429916717

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        _scaled_elu(z, out, self.scale, self.scale * self.alpha)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        _scaled_elu_derivative(z, a, out, self.scale, self.scale * self.alpha)


def _scaled_elu(z: FloatArray, out: FloatArray, slope: float, depth: float) -> None:
    """Write ``slope * z where z > 0, else depth * (exp(z) - 1)`` into `out`."""
    np.minimum(z, 0.0, out=out)
    np.expm1(out, out=out)
    out *= depth
    np.multiply(z, slope, out=out, where=z > 0.0)


def _scaled_elu_derivative(z: FloatArray, a: FloatArray, out: FloatArray, slope: float, depth: float) -> None:
    """Write ``slope where z > 0, else a + depth`` into `out`."""
    np.add(a, depth, out=out)
    np.copyto(out, slope, where=z > 0.0)


@dataclass
class GELU(Activation):
    r"""``sigma(z) = z Phi(z)`` with the normal distribution function, exactly or by its tanh approximation.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        ``"none"``: :math:`\Phi(z) = (1 + \operatorname{erf}(z / \sqrt 2)) / 2`, ``sigma' = Phi(z) + z phi(z)``.
        ``"tanh"``: :math:`\Phi(z) \approx (1 + \tanh(\sqrt{2/\pi}\,(z + 0.044715 z^3))) / 2`, about four times faster.

    References
    ----------
    Hendrycks and Gimpel (2016), "Gaussian Error Linear Units", arXiv 1606.08415.
    """

    approximate: Literal["none", "tanh"] = "none"
    initializer = "he_normal"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise ValueError(
                "The 'approximate' parameter of GELU must be a str among {'none', 'tanh'}. "
                f"Got {self.approximate!r} instead."
            )

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
            # With u = (1 + tanh(s)) / 2 and s = c (z + k z^3):  sigma' = u + 2 a (1 - u) s', s' = c (1 + 3 k z^2),
            # written as 1 + (1 - u)(2 a s' - 1) to need no third array.
            self._distribution(z, out)
            np.subtract(1.0, out, out=out)
            np.multiply(z, z, out=z)
            z *= 6.0 * _GELU_C * _GELU_K
            z += 2.0 * _GELU_C
            z *= a
            z -= 1.0
            out *= z
            out += 1.0

    def _distribution(self, z: FloatArray, out: FloatArray) -> None:
        """Write Phi(z) into `out`, which may be `z`."""
        if self.approximate == "none":
            np.multiply(z, _SQRT_HALF, out=out)
            special.erf(out, out=out)
        elif out is z:
            raise AssertionError("the tanh form reads z after writing out")
        else:
            np.multiply(z, z, out=out)
            out *= _GELU_C * _GELU_K
            out += _GELU_C
            out *= z
            np.tanh(out, out=out)
        out += 1.0
        out *= 0.5


# Elements that stay in the cache.
_CACHED = 32_768

# Python floats: a NumPy float64 would turn float32 arithmetic into float64.
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_GELU_C = math.sqrt(2.0 / math.pi)
_GELU_K = 0.044715


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


@dataclass
class FunctionActivation(Activation):
    """An activation made of two functions, for :func:`register_activation` and for ``activation=`` directly.

    Parameters
    ----------
    name : str
        A short name for representations and error messages.
    function : callable
        ``function(z, out)`` writes ``sigma(z)`` into `out`.
    function_derivative : callable
        ``function_derivative(z, a, out)`` writes ``sigma'(z)`` into `out`, given ``a = sigma(z)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.activations import FunctionActivation, check_derivative
    >>> def sine(z, out): np.sin(z, out=out)
    >>> def cosine(z, a, out): np.cos(z, out=out)
    >>> activation = FunctionActivation("sine", sine, cosine)
    >>> check_derivative(activation) < 1e-6
    True
    """

    name: str
    function: Callable[[FloatArray, FloatArray], object]
    function_derivative: Callable[[FloatArray, FloatArray, FloatArray], object]

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        self.function(z, out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        self.function_derivative(z, a, out)


_LOGISTIC = Logistic()
_SOFTPLUS = Softplus()

ACTIVATIONS: dict[str, Activation] = {
    "identity": Identity(),
    "logistic": _LOGISTIC,
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "elu": ELU(),
    "selu": SELU(),
    "gelu": GELU(),
    "gelu_tanh": GELU(approximate="tanh"),
    "silu": SiLU(),
    "softplus": _SOFTPLUS,
    "mish": Mish(),
}


def check_derivative(activation: Activation, *, tolerance: float = 1e-6) -> float:
    """Compare an activation's derivative with central differences of its forward function.

    Parameters
    ----------
    activation : Activation
        The activation to check, at 401 points of [-6, 6] that avoid kinks at whole numbers.
    tolerance : float, default=1e-6
        The largest difference allowed, relative to ``1 + |derivative|``.

    Returns
    -------
    error : float
        The largest difference found.

    Raises
    ------
    ValueError
        When the difference exceeds `tolerance` or is not a number; names the point and both values.
    """
    z = np.linspace(-6.0, 6.0, 401) + 0.0123
    step = 1e-5
    numeric = (activation(z + step) - activation(z - step)) / (2.0 * step)
    analytic = activation.gradient(z)
    error = np.abs(analytic - numeric) / (1.0 + np.abs(numeric))
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    if not error[worst] <= tolerance:
        raise ValueError(
            f"The derivative of {activation!r} is wrong: at z = {z[worst]:.6g} it gives {analytic[worst]:.9g}, "
            f"central differences of the function give {numeric[worst]:.9g}."
        )
    return float(error[worst])


def register_activation(name: str, activation: Activation) -> Activation:
    """Make `activation` available by `name` in every estimator of this process, after checking its derivative.

    Parameters
    ----------
    name : str
        The name to use for ``activation=``. An existing name is refused.
    activation : Activation
        For example a :class:`FunctionActivation`. Worker processes of a search import their own registry:
        register at import time of a module, or pass the object itself as ``activation=``.

    Returns
    -------
    activation : Activation

    Raises
    ------
    ValueError
        When the name is taken or :func:`check_derivative` fails.
    """
    if name in ACTIVATIONS:
        raise ValueError(f"An activation named {name!r} exists already; choose another name.")
    check_derivative(activation)
    ACTIVATIONS[name] = activation
    return activation
