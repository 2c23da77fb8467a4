"""The kinds of layers a network is made of, one a file."""

from skmlp.nn.layers.activation import ActivationLayer
from skmlp.nn.layers.base import Layer, TrainingPass
from skmlp.nn.layers.dense import Dense
from skmlp.nn.layers.dropout import Dropout
from skmlp.nn.layers.normalization import (
    NORMALIZATIONS,
    BatchNorm,
    BatchNormalization,
    LayerNorm,
    LayerNormalization,
    Normalization,
)
from skmlp.nn.layers.residual import Residual

__all__ = [
    "NORMALIZATIONS",
    "ActivationLayer",
    "BatchNorm",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Layer",
    "LayerNorm",
    "LayerNormalization",
    "Normalization",
    "Residual",
    "TrainingPass",
]
