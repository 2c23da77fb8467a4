"""Update rules, each in one pass over the parameters.

The formulas are those of :mod:`skmlp.optim.solvers`; `numbers` holds what they need in a step.
"""

from math import sqrt

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled.jit import exact

__all__ = ["ADAM", "MOMENTUM", "NESTEROV", "PLAIN", "RMSPROP", "update"]

PLAIN, MOMENTUM, NESTEROV, RMSPROP, ADAM = range(5)


@exact
def update(
    number: int,
    settings: FloatArray,
    count: int,
    learning_rate: float,
    params: FloatArray,
    grad: FloatArray,
    first: FloatArray,
    second: FloatArray,
) -> None:
    """Take a step, on any stretch of the vector.

    Parameters
    ----------
    number : int
    settings : ndarray of shape (4,), float64
        Adam: beta_1, beta_2, epsilon, epsilon_root; RMSProp: 0, decay, epsilon, epsilon_root; SGD: momentum.
    count : int
        Of the step, from 1.
    learning_rate : float
    params : ndarray of shape (n,)
        Changed in place.
    grad : ndarray of shape (n,)
        Kept.
    first, second : ndarray of shape (n,) or (0,)
        The state: the velocity or the first moment, and the second moment. Changed in place.
    """
    real = params.dtype.type
    rate = real(learning_rate)
    if number == PLAIN:
        for i in range(params.size):
            params[i] -= rate * grad[i]
    elif number == MOMENTUM:
        momentum = real(settings[0])
        for i in range(params.size):
            first[i] = momentum * first[i] - rate * grad[i]
            params[i] += first[i]
    elif number == NESTEROV:
        momentum = real(settings[0])
        for i in range(params.size):
            step = rate * grad[i]
            first[i] = momentum * first[i] - step
            params[i] += momentum * first[i] - step
    elif number == RMSPROP:
        decay, rest = real(settings[1]), real(1.0 - settings[1])
        epsilon, epsilon_root = real(settings[2]), real(settings[3])
        for i in range(params.size):
            second[i] = decay * second[i] + rest * grad[i] * grad[i]
            params[i] -= rate * grad[i] / (np.sqrt(second[i] + epsilon_root) + epsilon)
    else:
        beta_1, beta_2, epsilon, epsilon_root = settings
        beta, rest = real(beta_1), real(1.0 - beta_1)
        decay, rest_of_squares = real(beta_2), real(1.0 - beta_2)
        unbiased = real(learning_rate / (1.0 - beta_1**count))
        # sqrt(nu / c + epsilon_root) = sqrt(nu + c epsilon_root) / sqrt(c)
        correction = 1.0 - beta_2**count
        scale, outside, inside = real(1.0 / sqrt(correction)), real(epsilon), real(correction * epsilon_root)
        for i in range(params.size):
            first[i] = beta * first[i] + rest * grad[i]
            second[i] = decay * second[i] + rest_of_squares * grad[i] * grad[i]
            params[i] -= unbiased * first[i] / (scale * np.sqrt(second[i] + inside) + outside)
