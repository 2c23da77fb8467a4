r"""Normalization: units brought to mean 0 and variance 1, then to a scale and an offset that are trained.

.. math:: \hat z = \frac{z - \mu}{\sqrt{v + \epsilon}}, \qquad z' = \gamma \odot \hat z + \beta

with mean :math:`\mu` and variance v over the batch (one pair for each unit) or over the units (one for each sample).
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Layer, LayerTrace, Quantity

__all__ = ["NORMALIZATIONS", "Normalization", "describe_gradients", "describe_statistics", "memory_of_z_hat"]

NORMALIZATIONS: "dict[str, type[Normalization]]" = {}


class Normalization(Configurable):
    """A kind of normalization between dense layers and their activations.

    ``class BatchNorm(Normalization, name="batch")`` gives it a name.
    """

    registry = NORMALIZATIONS

    @abstractmethod
    def layer(self, n_units: int) -> Layer:
        """Return the layer for that many units, which comes after a dense layer and so may consume its input."""


def memory_of_z_hat(layer: Layer, n_samples: int, dtype: DTypeLike) -> FloatArray:
    """Return the memory for the normalized input; none where it overwrites the input."""
    return np.empty((n_samples, 0 if layer.consumes_input else layer.n_out), dtype)


def describe_statistics(
    number: int,
    epsilon: float,
    trace: LayerTrace,
    over: str,
    mean: FloatArray,
    variance: FloatArray,
    z_hat: FloatArray,
) -> list[Quantity]:
    """Return what a normalization computes in the forward pass."""
    return [
        Quantity(f"mu_{number}", f"mean of z_{number}", f"over {over}", mean),
        Quantity(f"v_{number}", f"mean of (z_{number} - mu_{number})^2", f"over {over}", variance),
        Quantity(
            f"z_hat_{number}", f"(z_{number} - mu_{number}) / sqrt(v_{number} + {epsilon:g})", "normalized", z_hat
        ),
        Quantity(f"gamma_{number}", "", "scales", trace.params["scale"]),
        Quantity(f"beta_{number}", "", "offsets", trace.params["offset"]),
        Quantity(
            f"z'_{number}", f"gamma_{number} * z_hat_{number} + beta_{number}", "scaled and shifted", trace.output
        ),
    ]


def describe_gradients(number: int, epsilon: float, signal: str, trace: LayerTrace) -> tuple[list[Quantity], str, str]:
    """Return the gradients of scales and offsets, and what the normalized input and its deviation are called."""
    z_hat, grads = f"z_hat_{number}", trace.grads
    gradients = [
        Quantity(f"dL/dgamma_{number}", f"1^T ({signal} * {z_hat})", "gradient of the scales", grads["scale"]),
        Quantity(f"dL/dbeta_{number}", f"1^T {signal}", "gradient of the offsets", grads["offset"]),
    ]
    return gradients, z_hat, f"sqrt(v_{number} + {epsilon:g})"
