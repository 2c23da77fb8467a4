r"""Every activation as one function from z to :math:`\sigma(z)` and :math:`\sigma'(z)`.

The formulas are those of :mod:`skmlp.nn.activations`. To add one: write the function, give it a number, a line in
:func:`activate`, and one in the table of :mod:`skmlp.training.compiled_arrays`.
"""

import math
from collections.abc import Callable
from typing import Any

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.jit import exact, inlined
from skmlp.compiled.fast_maths import exp, expm1, log_1_plus_exp, logistic, tanh

__all__ = [
    "GELU",
    "GELU_TANH",
    "IDENTITY",
    "LEAKY_RELU",
    "LOGISTIC",
    "MISH",
    "N_CONSTANTS",
    "RELU",
    "SCALED_ELU",
    "SILU",
    "SOFTPLUS",
    "TANH",
    "activate",
]

IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, SCALED_ELU, GELU, GELU_TANH, SILU, SOFTPLUS, MISH = range(11)

# Functions get constants in the array's dtype, since arithmetic with a Python float would be in double precision:
# 0, 1/2, 1, and two of their own.
N_CONSTANTS = 5

Constants = Any  # a tuple of five floats


@exact
def _identity(z: Any, constants: Constants) -> Any:
    return z, constants[2]


@exact
def _logistic(z: Any, constants: Constants) -> Any:
    a = logistic(z)
    return a, a * (constants[2] - a)


@exact
def _tanh(z: Any, constants: Constants) -> Any:
    a = tanh(z)
    return a, constants[2] - a * a


# Conditions are written so that NaN, for which none holds, is passed on.
@exact
def _relu(z: Any, constants: Constants) -> Any:
    zero, _, one, _, _ = constants
    return zero if z <= zero else z, zero if z <= zero else one


@exact
def _leaky_relu(z: Any, constants: Constants) -> Any:
    zero, _, one, slope, _ = constants
    return slope * z if z <= zero else z, slope if z <= zero else one


@exact
def _scaled_elu(z: Any, constants: Constants) -> Any:
    zero, _, _, slope, depth = constants
    below = depth * expm1(zero if z > zero else z)
    return below if z <= zero else slope * z, below + depth if z <= zero else slope


@exact
def _gelu(z: Any, constants: Constants) -> Any:
    _, half, one, sqrt_half, density_at_0 = constants
    distribution = half * (one + type(z)(math.erf(z * sqrt_half)))
    return z * distribution, distribution + z * density_at_0 * exp(-half * z * z)


@exact
def _gelu_tanh(z: Any, constants: Constants) -> Any:
    _, half, one, c, k = constants
    cubic = k * z * z
    u = half + half * tanh(c * z * (one + cubic))
    return z * u, u + (z + z) * u * (one - u) * c * (one + cubic + cubic + cubic)


@exact
def _silu(z: Any, constants: Constants) -> Any:
    s = logistic(z)
    return z * s, s + z * s * (constants[2] - s)


@exact
def _softplus(z: Any, constants: Constants) -> Any:
    return log_1_plus_exp(z), logistic(z)


@exact
def _mish(z: Any, constants: Constants) -> Any:
    # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2) with e = exp(z); from 20 on it is 1.
    _, half, one, _, _ = constants
    two = one + one
    bound = (two + half) * (two + two) * two
    e = exp(bound if z > bound else z)
    n = e * (e + two)
    t = n / (n + two)
    return z * t, t + z * (e / (one + e)) * (one - t) * (one + t)


@inlined
def _apply(
    function: Callable[..., Any], constants: AnyArray, z: FloatArray, biases: FloatArray, slopes: FloatArray
) -> None:
    """Apply a function to every element; once for each function, because it is part of the loop."""
    own = (constants[0], constants[1], constants[2], constants[3], constants[4])
    for row in range(z.shape[0]):
        for unit in range(z.shape[1]):
            z[row, unit], slopes[row, unit] = function(z[row, unit] + biases[unit], own)


@exact
def activate(number: int, constants: AnyArray, z: FloatArray, biases: FloatArray, slopes: FloatArray) -> None:
    r"""Write :math:`\sigma(z + b)` into `z` and :math:`\sigma'(z + b)` into `slopes`.

    Parameters
    ----------
    number : int
        Of the activation.
    constants : ndarray of shape (N_CONSTANTS,)
    z, slopes : ndarray of shape (n_samples, n_units)
    biases : ndarray of shape (n_units,)
    """
    if number == IDENTITY:
        _apply(_identity, constants, z, biases, slopes)
    elif number == LOGISTIC:
        _apply(_logistic, constants, z, biases, slopes)
    elif number == TANH:
        _apply(_tanh, constants, z, biases, slopes)
    elif number == RELU:
        _apply(_relu, constants, z, biases, slopes)
    elif number == LEAKY_RELU:
        _apply(_leaky_relu, constants, z, biases, slopes)
    elif number == SCALED_ELU:
        _apply(_scaled_elu, constants, z, biases, slopes)
    elif number == GELU:
        _apply(_gelu, constants, z, biases, slopes)
    elif number == GELU_TANH:
        _apply(_gelu_tanh, constants, z, biases, slopes)
    elif number == SILU:
        _apply(_silu, constants, z, biases, slopes)
    elif number == SOFTPLUS:
        _apply(_softplus, constants, z, biases, slopes)
    else:
        _apply(_mish, constants, z, biases, slopes)
