"""One flat vector for all parameters, and the views into it that the layers work on.

Optimizers, checkpoints and averages see one array; layers see matrices. Nothing is ever packed or unpacked: a view
shares its memory with the vector, so writing to either writes to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray

__all__ = ["ParameterShape", "Parameters"]


@dataclass(frozen=True)
class ParameterShape:
    """What a layer says about one of its parameter arrays."""

    name: str
    shape: tuple[int, ...]
    is_weight: bool


class Parameters:
    """A flat vector with a dict of named views for each layer.

    Parameters
    ----------
    shapes : sequence of sequences of ParameterShape
        The arrays of each layer. In the vector, the weights of all layers come first, then everything else, so
        that a penalty on weights acts on one slice.
    vector : ndarray of shape (n_parameters,), optional
        The memory to use; by default new zeros of `dtype`.
    dtype : dtype, default=float32

    Attributes
    ----------
    vector : ndarray of shape (n_parameters,)
    n_weights : int
        ``vector[:n_weights]`` holds all weights.
    layers : list of dict
        ``layers[l][name]``: a view of the vector.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[ParameterShape]],
        vector: FloatArray | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = {True: 0, False: 0}
        for spec in (spec for layer in shapes for spec in layer):
            sizes[spec.is_weight] += prod(spec.shape)
        self.n_weights = sizes[True]
        n_parameters = sizes[True] + sizes[False]
        self.vector: FloatArray = np.zeros(n_parameters, dtype) if vector is None else vector
        if self.vector.shape != (n_parameters,):
            raise ValueError(f"The vector has shape {self.vector.shape}; these layers need ({n_parameters},).")
        self.shapes = shapes
        start = {True: 0, False: self.n_weights}
        self.layers: list[dict[str, FloatArray]] = []
        for layer in shapes:
            views = {}
            for spec in layer:
                stop = start[spec.is_weight] + prod(spec.shape)
                views[spec.name] = self.vector[start[spec.is_weight] : stop].reshape(spec.shape)
                start[spec.is_weight] = stop
            self.layers.append(views)

    def on(self, vector: FloatArray) -> "Parameters":
        """Return the same views over another vector."""
        return Parameters(self.shapes, vector)

    def like(self) -> "Parameters":
        """Return the same views over new memory, uninitialised."""
        return self.on(np.empty_like(self.vector))

    @property
    def weights(self) -> list[FloatArray]:
        """The weight matrix of each dense layer, of shape (n_in, n_out)."""
        return [layer["weights"] for layer in self.layers if "weights" in layer]

    @property
    def biases(self) -> list[FloatArray]:
        """The bias vector of each dense layer, of shape (n_out,)."""
        return [layer["biases"] for layer in self.layers if "biases" in layer]
