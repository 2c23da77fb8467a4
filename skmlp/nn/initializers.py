r"""Initial weights: random, and of a size that preserves the size of signals and gradients from layer to layer.

A layer :math:`z = a W` with independent weights of variance :math:`v` multiplies the variance of the signal by
:math:`n_{in} v` in the forward pass and that of the gradient by :math:`n_{out} v` in the backward pass. Glorot's rule
makes the average of both factors 1, LeCun's rule the forward one; He's rule doubles it, because relu halves it. Weights
must be random because equal weights would get equal gradients and stay equal.

An initializer is any callable ``(rng, n_in, n_out, dtype) -> array of shape (n_in, n_out)``. To add one by name,
put it into :data:`INITIALIZERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable, Positive
from skmlp._typing import FloatArray

Initializer = Callable[[np.random.Generator, int, int, DTypeLike], FloatArray]


@dataclass
class VarianceScaling(Configurable):
    """Independent weights of mean 0 and variance ``scale / n``.

    Parameters
    ----------
    scale : float, default=1.0
        The variance times n, positive.
    mode : {"fan_in", "fan_out", "fan_avg"}, default="fan_avg"
        n is the number of the layer's inputs, of its outputs, or the average of both.
    distribution : {"uniform", "normal"}, default="uniform"
        Uniform within ``sqrt(3 scale / n)`` of zero, or normal.

    References
    ----------
    Glorot and Bengio (2010), AISTATS; He, Zhang, Ren and Sun (2015), arXiv 1502.01852;
    LeCun, Bottou, Orr and Mueller (1998), "Efficient BackProp".
    """

    scale: Positive = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_avg"
    distribution: Literal["uniform", "normal"] = "uniform"

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike) -> FloatArray:
        n = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2.0}[self.mode]
        std = np.sqrt(self.scale / n)
        # Always drawn in float64, so that float32 and float64 networks start with the same weights.
        if self.distribution == "normal":
            weights = std * rng.standard_normal((n_in, n_out))
        else:
            weights = rng.uniform(-np.sqrt(3.0) * std, np.sqrt(3.0) * std, (n_in, n_out))
        return weights.astype(dtype, copy=False)


@dataclass
class Orthogonal(Configurable):
    """A random matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    With a gain of 1 it preserves norms exactly, not only on average: those of signals where ``n_in <= n_out``, those of
    error signals where ``n_in >= n_out``.

    Parameters
    ----------
    gain : float, default=1.0
        Positive.

    References
    ----------
    Saxe, McClelland and Ganguli (2014), arXiv 1312.6120.
    """

    gain: Positive = 1.0

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike) -> FloatArray:
        tall = rng.standard_normal((max(n_in, n_out), min(n_in, n_out)))
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
        weights = self.gain * (q if n_in >= n_out else q.T)
        return np.ascontiguousarray(weights, dtype=dtype)


@dataclass
class Normal(Configurable):
    """Independent normal numbers of mean 0, whatever the sizes of the layer: suitable for biases.

    Parameters
    ----------
    std : float, default=1.0
        The standard deviation, positive.
    """

    std: Positive = 1.0

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike) -> FloatArray:
        return (self.std * rng.standard_normal((n_in, n_out))).astype(dtype, copy=False)


@dataclass
class Constant(Configurable):
    """All weights equal to `value`: suitable for biases, not for weights, which would stay equal."""

    value: float = 0.0

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike) -> FloatArray:
        return np.full((n_in, n_out), self.value, dtype=dtype)


INITIALIZERS: dict[str, Initializer] = {
    "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "fan_avg", "normal"),
    "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "he_normal": VarianceScaling(2.0, "fan_in", "normal"),
    "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "fan_in", "normal"),
    "orthogonal": Orthogonal(),
    "normal": Normal(),
    "zeros": Constant(0.0),
}
