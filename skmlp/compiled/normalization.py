r"""Normalization of units over the batch, or over the units of a sample.

The formulas are those of :mod:`skmlp.nn.layers.normalization`. What comes of z is the product of scale and z_hat; the
offset is added together with the activation, as biases are.
"""

from math import sqrt

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled.jit import exact, reordering

__all__ = ["BATCH", "LAYER", "NONE", "backward_batch", "backward_layer", "forward_batch", "forward_layer"]

NONE, BATCH, LAYER = range(3)


@exact
def forward_batch(
    z: FloatArray,
    biases: FloatArray,
    scale: FloatArray,
    shares: FloatArray,
    total: float,
    settings: FloatArray,
    z_hat: FloatArray,
    deviation: FloatArray,
    running_mean: FloatArray,
    running_variance: FloatArray,
) -> None:
    """Write the normalized units into `z_hat`, their multiples into `z`, and move the running averages.

    Parameters
    ----------
    z, z_hat : ndarray of shape (n_samples, n_units)
    biases, scale, running_mean, running_variance : ndarray of shape (n_units,)
    shares : ndarray of shape (n_samples,)
        Of the samples in the batch's weight.
    total : float
        That weight.
    settings : ndarray of shape (2,), float64
        Epsilon and momentum.
    deviation : ndarray of shape (2 n_units,)
        Receives the deviation of each unit; the other half is scratch.
    """
    real, n_units = z.dtype.type, z.shape[1]
    variance, mean = deviation[:n_units], deviation[n_units:]
    variance[:] = mean[:] = 0.0
    for row in range(z.shape[0]):
        for unit in range(n_units):
            z[row, unit] += biases[unit]
            mean[unit] += shares[row] * z[row, unit]
    for row in range(z.shape[0]):
        for unit in range(n_units):
            centred = z[row, unit] - mean[unit]
            z_hat[row, unit] = centred
            variance[unit] += shares[row] * (centred * centred)
    epsilon, momentum = real(settings[0]), real(settings[1])
    unbiased = real(total / (total - 1.0) if total >= 2.0 else 1.0)
    for unit in range(n_units):
        running_mean[unit] += momentum * (mean[unit] - running_mean[unit])
        running_variance[unit] += momentum * (unbiased * variance[unit] - running_variance[unit])
        deviation[unit] = np.sqrt(variance[unit] + epsilon)
    for row in range(z.shape[0]):
        for unit in range(n_units):
            z_hat[row, unit] /= deviation[unit]
            z[row, unit] = z_hat[row, unit] * scale[unit]


@exact
def backward_batch(
    delta: FloatArray,
    z_hat: FloatArray,
    scale: FloatArray,
    shares: FloatArray,
    deviation: FloatArray,
    scale_gradient: FloatArray,
    offset_gradient: FloatArray,
    bias_gradient: FloatArray,
) -> None:
    """Turn the error signal behind the normalization into the one before; write the gradients of scale and biases.

    `offset_gradient`, the sum of `delta`, is there already.
    """
    n_units = delta.shape[1]
    scale_gradient[:] = bias_gradient[:] = 0.0
    for row in range(delta.shape[0]):
        for unit in range(n_units):
            scale_gradient[unit] += delta[row, unit] * z_hat[row, unit]
    for row in range(delta.shape[0]):
        for unit in range(n_units):
            common = shares[row] * (offset_gradient[unit] + z_hat[row, unit] * scale_gradient[unit])
            signal = (delta[row, unit] - common) * (scale[unit] / deviation[unit])
            delta[row, unit] = signal
            bias_gradient[unit] += signal


@reordering
def forward_layer(
    z: FloatArray,
    biases: FloatArray,
    scale: FloatArray,
    settings: FloatArray,
    z_hat: FloatArray,
    deviation: FloatArray,
) -> None:
    """Write the normalized units into `z_hat`, their multiples into `z`, and each sample's deviation."""
    real, n_units = z.dtype.type, z.shape[1]
    for row in range(z.shape[0]):
        mean = real(0.0)
        for unit in range(n_units):
            z[row, unit] += biases[unit]
            mean += z[row, unit]
        mean /= real(n_units)
        variance = real(0.0)
        for unit in range(n_units):
            centred = z[row, unit] - mean
            z_hat[row, unit] = centred
            variance += centred * centred
        deviation[row] = sqrt(variance / real(n_units) + real(settings[0]))
        for unit in range(n_units):
            z_hat[row, unit] /= deviation[row]
            z[row, unit] = z_hat[row, unit] * scale[unit]


@reordering
def backward_layer(
    delta: FloatArray,
    z_hat: FloatArray,
    scale: FloatArray,
    deviation: FloatArray,
    scale_gradient: FloatArray,
    bias_gradient: FloatArray,
) -> None:
    """Turn the error signal behind the normalization into the one before; write the gradients of scale and biases."""
    real, n_units = delta.dtype.type, delta.shape[1]
    scale_gradient[:] = bias_gradient[:] = 0.0
    for row in range(delta.shape[0]):
        mean, mean_along = real(0.0), real(0.0)
        for unit in range(n_units):
            scale_gradient[unit] += delta[row, unit] * z_hat[row, unit]
            scaled = delta[row, unit] * scale[unit]
            delta[row, unit] = scaled
            mean += scaled
            mean_along += scaled * z_hat[row, unit]
        mean /= real(n_units)
        mean_along /= real(n_units)
        for unit in range(n_units):
            signal = (delta[row, unit] - mean - z_hat[row, unit] * mean_along) / deviation[row]
            delta[row, unit] = signal
            bias_gradient[unit] += signal
