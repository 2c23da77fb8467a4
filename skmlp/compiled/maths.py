r"""Elementary functions for kernels.

A kernel is the compiled form of an operation, such as :math:`(\sigma(z), \sigma'(z))`, written in plain Python. As
defined here the functions take NumPy scalars, so that a kernel runs without numba. When a kernel is compiled, the
versions of :mod:`skmlp.compiled.fast_maths` take their place, which have no branches and no calls, so that a loop over
an array computes several elements at once.
"""

import math
from typing import Any

import numpy as np

__all__ = ["cos_and_sin", "erf", "exp", "expm1", "flat", "log_1_plus_exp", "logistic", "tanh"]


def exp(x: Any) -> Any:
    """Return the exponential."""
    return np.exp(x)


def expm1(x: Any) -> Any:
    """Return ``exp(x) - 1``, accurate for small `x`."""
    return np.expm1(x)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent."""
    return np.tanh(x)


def logistic(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``."""
    one = type(x)(1.0)
    return one / (one + np.exp(-x))


def log_1_plus_exp(x: Any) -> Any:
    """Return ``log(1 + exp(x))``, which does not overflow."""
    return np.logaddexp(type(x)(0.0), x)


def cos_and_sin(x: Any) -> tuple[Any, Any]:
    """Return the cosine and the sine of an angle in radians."""
    return np.cos(x), np.sin(x)


def erf(x: Any) -> Any:
    """Return the error function of a scalar, in its own type."""
    return type(x)(math.erf(x))


def flat(array: Any) -> Any:
    """Return a view of an array in C order with one axis. In kernels, `reshape` and `ravel` cannot be compiled."""
    return array.reshape(array.size)
