"""Measures of parameters and gradients, per layer: pure functions on :class:`~skmlp.nn.parameters.Parameters`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.parameters import Parameters

__all__ = ["global_norm", "layer_norms", "non_finite_output", "non_finite_parameters", "non_finite_place"]


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

    Computed in float64, so that the tiny gradients of a vanishing network do not round to zero.
    """
    return [float(np.linalg.norm(weights.astype(np.float64))) for weights in params.weights]


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
