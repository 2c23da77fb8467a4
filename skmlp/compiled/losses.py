"""Losses with their gradients, each in one pass over the rows.

The formulas are those of :mod:`skmlp.nn.losses`. `targets` are matrices, `codes` class codes; a loss reads one of the
two.
"""

from math import log
from typing import Any

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.jit import exact, inlined
from skmlp.compiled.fast_maths import exp, log_1_plus_exp, logistic

__all__ = ["BINARY_LOG_LOSS", "MULTINOMIAL_LOG_LOSS", "SQUARED_ERROR", "loss_and_error_signal"]

SQUARED_ERROR, BINARY_LOG_LOSS, MULTINOMIAL_LOG_LOSS = range(3)


@inlined
def loss_and_error_signal(
    number: int,
    smoothing: float,
    targets: FloatArray,
    codes: AnyArray,
    shares: FloatArray,
    raw: FloatArray,
    delta: FloatArray,
    bias_gradient: FloatArray,
) -> float:
    """Return the rows' losses, each times its share, and write the gradient of that sum.

    Parameters
    ----------
    number : int
    smoothing : float
        Of the labels.
    targets : ndarray of shape (n_samples, n_outputs)
    codes : ndarray of shape (n_samples,)
    shares : ndarray of shape (n_samples,)
        Of each row in the batch's weight.
    raw : ndarray of shape (n_samples, n_outputs)
    delta : ndarray of shape (n_samples, n_outputs)
        Receives the gradient with respect to `raw`.
    bias_gradient : ndarray of shape (n_outputs,)
        Receives its sum over the rows.
    """
    if number == SQUARED_ERROR:
        loss = _squared_error(targets, shares, raw, delta)
    elif number == BINARY_LOG_LOSS:
        loss = _binary_log_loss(smoothing, targets, shares, raw, delta)
    else:
        loss = _multinomial_log_loss(smoothing, codes, shares, raw, delta)
    bias_gradient[:] = 0.0
    for row in range(delta.shape[0]):
        for output in range(delta.shape[1]):
            bias_gradient[output] += delta[row, output]
    return loss


@exact
def _squared_error(targets: FloatArray, shares: FloatArray, raw: FloatArray, delta: FloatArray) -> float:
    total = 0.0
    for row in range(raw.shape[0]):
        share = shares[row]
        squares = share - share
        for output in range(raw.shape[1]):
            residual = raw[row, output] - targets[row, output]
            squares += residual * residual
            delta[row, output] = share * residual
        total += 0.5 * share * squares
    return total


@exact
def _binary_log_loss(
    smoothing: float, targets: FloatArray, shares: FloatArray, raw: FloatArray, delta: FloatArray
) -> float:
    real = raw.dtype.type
    kept, shift, zero = real(1.0 - smoothing), real(0.5 * smoothing), real(0.0)
    # All rows as one: with few outputs a loop over a row is too short to compute many elements at once.
    x, y, out = raw.reshape(raw.size), targets.reshape(raw.size), delta.reshape(raw.size)
    for i in range(x.size):
        # For a confident right answer the second term is exactly 0.
        magnitude = abs(x[i])
        out[i] = log_1_plus_exp(-magnitude) + ((magnitude if x[i] > zero else zero) - (kept * y[i] + shift) * x[i])
    total = 0.0
    for row in range(raw.shape[0]):
        loss = zero
        for output in range(raw.shape[1]):
            loss += delta[row, output]
        total += shares[row] * loss
    for i in range(x.size):
        out[i] = logistic(x[i]) - (kept * y[i] + shift)
    for row in range(raw.shape[0]):
        for output in range(raw.shape[1]):
            delta[row, output] *= shares[row]
    return total


@exact
def _multinomial_log_loss(
    smoothing: float, codes: AnyArray, shares: FloatArray, raw: FloatArray, delta: FloatArray
) -> float:
    real, n_classes = raw.dtype.type, raw.shape[1]
    for row in range(raw.shape[0]):
        largest = _largest(raw, row)
        for k in range(n_classes):
            delta[row, k] = raw[row, k] - largest
    exponentials = delta.reshape(delta.size)
    for i in range(exponentials.size):
        exponentials[i] = exp(exponentials[i])
    total = 0.0
    for row in range(raw.shape[0]):
        share, code = shares[row], codes[row]
        normalizer = delta[row, 0]
        for k in range(1, n_classes):
            normalizer += delta[row, k]
        largest = _largest(raw, row)
        target_raw = raw[row, code] - largest
        if smoothing != 0.0:
            mean = 0.0
            for k in range(n_classes):
                mean += (raw[row, k] - largest) / n_classes
            target_raw = real((1.0 - smoothing) * target_raw + smoothing * mean)
        total += share * (log(normalizer) - target_raw)
        factor, rest = share / normalizer, real(share * smoothing / n_classes)
        for k in range(n_classes):
            delta[row, k] = delta[row, k] * factor - rest
        delta[row, code] -= real(share * (1.0 - smoothing))
    return total


@exact
def _largest(matrix: FloatArray, row: int) -> Any:
    largest = matrix[row, 0]
    for column in range(1, matrix.shape[1]):
        largest = matrix[row, column] if matrix[row, column] > largest else largest
    return largest
