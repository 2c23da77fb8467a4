"""Measures of parameters, gradients and activations, per layer: pure functions on arrays.

To add a statistic to what ``monitor=True`` records, write its function here and its line in
:class:`skmlp.training.monitor.Monitor`; histories, frames and MLflow take it up by its name.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import BoolArray, FloatArray
from skmlp.nn.parameters import Parameters

__all__ = [
    "BANDS",
    "band_quantiles",
    "global_norm",
    "inactive_units",
    "layer_norms",
    "non_finite_output",
    "non_finite_parameters",
    "non_finite_place",
    "ratios",
    "saturated_fraction",
]

# The quantiles that draw a distribution as nested bands: the extremes, the median, and what lies within half, one and
# one and a half standard deviations of a normal distribution.
BANDS = (0.0, 0.0668, 0.1587, 0.3085, 0.5, 0.6915, 0.8413, 0.9332, 1.0)

# A unit of a bounded activation is saturated where its slope is below this share of the steepest one.
SATURATED_BELOW = 0.05


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


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the quotients; NaN where a denominator is zero."""
    return [a / b if b > 0.0 else math.nan for a, b in zip(numerators, denominators, strict=True)]


def inactive_units(slopes: FloatArray) -> BoolArray:
    r"""Return which units have :math:`\sigma'(z) = 0` for every sample, and so pass on no gradient.

    Parameters
    ----------
    slopes : ndarray of shape (n_samples, n_units)
        :math:`\sigma'(z)`.

    Returns
    -------
    inactive : ndarray of bool, of shape (n_units,)
    """
    inactive: BoolArray = np.logical_not(slopes.any(axis=0))
    return inactive


def saturated_fraction(slopes: FloatArray, steepest: float | None) -> float:
    """Return the share of slopes below 5 % of the `steepest` possible one; NaN for activations without one.

    For tanh these are outputs beyond 0.975, for logistic below 0.013 or above 0.987.
    """
    if steepest is None:
        return math.nan
    return float(np.count_nonzero(slopes < SATURATED_BELOW * steepest)) / slopes.size


def band_quantiles(values: FloatArray) -> list[float]:
    """Return the nine quantiles ``BANDS`` of `values`, each the entry of nearest rank."""
    ordered = np.sort(values)
    return [float(ordered[round(share * (ordered.size - 1))]) for share in BANDS]


def non_finite_place(params: Parameters, activations: Sequence[Any], grad: Parameters, loss: float = 0.0) -> str:
    """Say in words where the first infinite or NaN value of a pass arose.

    Parameters
    ----------
    params, grad : Parameters
    activations : list
        What ``Network.forward`` returned.
    loss : float, default=0.0
        The value of the objective.

    Returns
    -------
    place : str
        For example ``"the output of layer 2 of 3"``; layers are dense layers counted from 1, the last one being
        the output layer.
    """
    n_layers = len(params.weights)
    place = non_finite_parameters(params) or non_finite_output(params, activations)
    if place is not None:
        return place
    if not math.isfinite(loss):
        return f"the loss after layer {n_layers} of {n_layers}"
    for number, views in reversed(list(enumerate((views for views in grad.layers if "weights" in views), start=1))):
        if not all(np.isfinite(values).all() for values in views.values()):
            return f"the gradient of layer {number} of {n_layers}"
    return "the loss"


def non_finite_output(params: Parameters, activations: Sequence[Any]) -> str | None:
    """Say in words which layer's output is infinite or NaN first; None if none is."""
    n_layers = len(params.weights)
    number = 0
    for views, output in zip(params.layers, activations[1:], strict=True):
        number += "weights" in views
        if not np.isfinite(output).all():
            return f"the output of layer {number} of {n_layers}"
    return None


def non_finite_parameters(params: Parameters) -> str | None:
    """Say in words which parameters are infinite or NaN first, from input to output; None if none are."""
    n_layers = len(params.weights)
    number = 0
    for views in params.layers:
        number += "weights" in views
        for name, values in views.items():
            if not np.isfinite(values).all():
                return f"the {name} of layer {number} of {n_layers}"
    return None
