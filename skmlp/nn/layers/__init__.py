"""The kinds of layers a network is made of, one a file."""

from skmlp.nn.layers.activation import ActivationLayer
from skmlp.nn.layers.base import Layer
from skmlp.nn.layers.dense import Dense

__all__ = ["ActivationLayer", "Dense", "Layer"]
