r"""Measures of parameters, gradients and activations: pure functions on arrays.

The noise of gradients follows from those of two successive batches. Let :math:`g_i` be their gradients and :math:`B_i`
their sizes, G the gradient over all N samples, and :math:`\Sigma` the covariance of the gradients of single samples.
Batches of one epoch have no sample in common, and the parameters hardly change from one step to the next, so that

.. math::
    E[g_1 \cdot g_2] = \lVert G \rVert^2 - \frac{\operatorname{tr} \Sigma}{N - 1}, \qquad
    E \lVert g_i \rVert^2 - E[g_1 \cdot g_2] = \frac{N}{N - 1} \frac{\operatorname{tr} \Sigma}{B_i} .

Batches of two epochs are independent, as with an infinite N.

To add a statistic to what ``monitor=True`` records, write its function here and its line in
:class:`skmlp.training.monitor.Monitor`; histories, frames and MLflow take it up by its name.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import BoolArray, FloatArray
from skmlp.nn.parameters import Parameters

# The quantiles that draw a distribution as nested bands: the extremes, the median, and what lies within half, one and
# one and a half standard deviations of a normal distribution.
BANDS = (0.0, 0.0668, 0.1587, 0.3085, 0.5, 0.6915, 0.8413, 0.9332, 1.0)


def global_norm(vector: FloatArray) -> float:
    """Return the Euclidean norm; infinite or NaN exactly when an entry is."""
    with np.errstate(over="ignore", invalid="ignore"):
        squared = float(np.dot(vector, vector))
    if 1e-30 < squared < math.inf:
        return math.sqrt(squared)
    # The squares may have overflowed or underflowed: scale by the largest entry.
    largest = float(np.abs(vector).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(vector.astype(np.float64) / largest))


def layer_norms(params: Parameters) -> list[float]:
    """Return the Euclidean norm of each dense layer's weights (or of their gradient), from input to output.

    The tiny gradients of a vanishing network do not round to zero.
    """
    return [global_norm(weights.reshape(-1)) for weights in params.weights]


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient; NaN where the denominator is not positive."""
    return numerator / denominator if denominator > 0.0 else math.nan


def mean_and_deviation(values: FloatArray, norm: float | None = None) -> tuple[float, float]:
    r"""Return the mean m and the standard deviation :math:`\sqrt{\lVert v \rVert^2 / n - m^2}`.

    `norm` is the Euclidean norm of the values, if it is known.
    """
    mean = float(np.add.reduce(values)) / values.size
    rms = (global_norm(values) if norm is None else norm) / math.sqrt(values.size)
    if rms < 10.0 * abs(mean):  # the difference would have lost digits
        return mean, global_norm(values - values.dtype.type(mean)) / math.sqrt(values.size)
    return mean, math.sqrt(rms - abs(mean)) * math.sqrt(rms + abs(mean))  # the squares could overflow


def largest_magnitude(values: FloatArray) -> float:
    """Return the largest absolute value; NaN when there is a NaN."""
    return max(float(np.maximum.reduce(values)), -float(np.minimum.reduce(values)))


def zero_fraction(values: FloatArray) -> float:
    """Return the fraction of entries that are exactly zero."""
    return 1.0 - int(np.count_nonzero(values)) / values.size


def count_non_finite(values: FloatArray) -> int:
    """Return the number of entries that are infinite or NaN."""
    return values.size - int(np.count_nonzero(np.isfinite(values)))


def inner_product(a: FloatArray, b: FloatArray, size: float = 1.0) -> float:
    """Return the inner product of two vectors, also when the product of their norms, `size`, is tiny or huge."""
    if 1e-30 < size < 1e30:
        return float(np.dot(a, b))
    return float(np.dot(a.astype(np.float64), b.astype(np.float64)))


def sign_flip_fraction(gradient: FloatArray, previous: FloatArray) -> float:
    """Return the fraction of entries whose sign is the opposite of the previous one's; a zero has no sign."""
    flips = np.signbit(gradient) != np.signbit(previous)
    flips &= gradient != 0.0
    flips &= previous != 0.0
    return int(np.count_nonzero(flips)) / gradient.size


def signal_to_noise(signal: FloatArray, noise: FloatArray) -> FloatArray:
    r"""Return :math:`\lVert G \rVert^2 / (\operatorname{tr} \Sigma / B)` from estimates of both.

    It is about 0, and by chance negative, where noise hides the signal; infinite without noise; NaN with neither.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(signal, noise)


def noise_scale(signal: FloatArray, trace: FloatArray) -> FloatArray:
    r"""Return :math:`\operatorname{tr} \Sigma / \lVert G \rVert^2`, the batch size at which signal and noise are equal.

    Smaller batches are mostly noise, larger ones mostly repeat themselves. It is infinite where noise hides the signal,
    and NaN where there is neither. From estimates of both; see McCandlish, Kaplan, Amodei et al. (2018), "An empirical
    model of large-batch training", arXiv 1812.06162, section 2.2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(trace, np.maximum(signal, 0.0))


def inactive_units(slopes: FloatArray) -> BoolArray:
    r"""Return which units (columns) have :math:`\sigma'(z) = 0` for every sample (row), and so pass on no gradient."""
    return np.logical_not(slopes.any(axis=0))


def saturated_fraction(slopes: FloatArray, steepest: float | None) -> float:
    """Return the fraction of slopes below 5 % of the `steepest` possible one; NaN for activations without one.

    For tanh these are outputs beyond 0.975, for logistic below 0.013 or above 0.987.
    """
    if steepest is None:
        return math.nan
    return float(np.count_nonzero(slopes < 0.05 * steepest)) / slopes.size


def band_quantiles(values: FloatArray) -> FloatArray:
    """Return the nine quantiles ``BANDS`` of `values`, each the entry of nearest rank."""
    ranks = np.rint(np.multiply(BANDS, values.size - 1)).astype(np.intp)
    return np.sort(values)[ranks]


def non_finite_place(params: Parameters, activations: Sequence[Any], grad: Parameters, loss: float = 0.0) -> str:
    """Say in words where the first infinite or NaN value of a pass arose, for example ``"the output of layer 2 of 3"``.

    `activations` are what ``Network.forward`` returned, `loss` is the value of the objective. Dense layers are counted
    from 1; the last one is the output layer.
    """
    n_layers = len(params.weights)
    place = non_finite_parameters(params) or non_finite_output(params, activations)
    if place is not None:
        return place
    if not math.isfinite(loss):
        return f"the loss after layer {n_layers} of {n_layers}"
    for number, views in reversed(list(zip(grad.layer_numbers, grad.layers, strict=True))):
        if not all(np.isfinite(values).all() for values in views.values()):
            return f"the gradient of layer {number} of {n_layers}"
    return "the loss"


def non_finite_output(params: Parameters, activations: Sequence[Any]) -> str | None:
    """Say in words which layer's output is infinite or NaN first; None if none is."""
    n_layers = len(params.weights)
    for number, output in zip(params.layer_numbers, activations[1:], strict=True):
        if not np.isfinite(output).all():
            return f"the output of layer {number} of {n_layers}"
    return None


def non_finite_parameters(params: Parameters) -> str | None:
    """Say in words which parameters are infinite or NaN first, from input to output; None if none are."""
    n_layers = len(params.weights)
    for number, views in zip(params.layer_numbers, params.layers, strict=True):
        for name, values in views.items():
            if not np.isfinite(values).all():
                return f"the {name} of layer {number} of {n_layers}"
    return None
