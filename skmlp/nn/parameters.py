"""One flat vector for all parameters, and the views into it that the layers work on.

Optimizers, checkpoints and averages see one array; layers see matrices. Nothing is ever packed or unpacked: a view
shares its memory with the vector, so writing to either writes to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray

__all__ = ["ParameterShape", "Parameters"]

_ORDER = ("weight", "offset", "statistic")


@dataclass(frozen=True)
class ParameterShape:
    """What a layer says about one of its parameter arrays.

    Attributes
    ----------
    name : str
    shape : tuple of int
    kind : {"weight", "offset", "statistic"}
        Weights are penalised and decayed, offsets (biases, scales) only trained, statistics neither: they are running
        averages of what passes through.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["weight", "offset", "statistic"]


class Parameters:
    """A flat vector with a dict of named views for each layer.

    Parameters
    ----------
    shapes : sequence of sequences of ParameterShape
        The arrays of each layer. In the vector, the weights of all layers come first, then the offsets, then the
        statistics, so that a penalty on weights acts on one slice and a solver on another.
    vector : ndarray of shape (n_parameters,), optional
        The memory to use; by default new zeros of `dtype`.
    dtype : dtype, default=float32

    Attributes
    ----------
    vector : ndarray of shape (n_parameters,)
    n_weights, n_trained : int
        ``vector[:n_weights]`` holds all weights, ``vector[:n_trained]`` all that is trained.
    trained : ndarray of shape (n_trained,)
        That part, a view; without statistics the vector itself.
    layers : list of dict
        ``layers[l][name]``: a view of the vector.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[ParameterShape]],
        vector: FloatArray | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = dict.fromkeys(_ORDER, 0)
        for spec in (spec for layer in shapes for spec in layer):
            sizes[spec.kind] += prod(spec.shape)
        self.n_weights = sizes["weight"]
        self.n_trained = sizes["weight"] + sizes["offset"]
        n_parameters = self.n_trained + sizes["statistic"]
        self.vector: FloatArray = np.zeros(n_parameters, dtype) if vector is None else vector
        if self.vector.shape != (n_parameters,):
            raise ValueError(f"The vector has shape {self.vector.shape}; these layers need ({n_parameters},).")
        self.trained = self.vector if sizes["statistic"] == 0 else self.vector[: self.n_trained]
        self.shapes = shapes
        start = {"weight": 0, "offset": self.n_weights, "statistic": self.n_trained}
        self.layers: list[dict[str, FloatArray]] = []
        for layer in shapes:
            views = {}
            for spec in layer:
                stop = start[spec.kind] + prod(spec.shape)
                views[spec.name] = self.vector[start[spec.kind] : stop].reshape(spec.shape)
                start[spec.kind] = stop
            self.layers.append(views)

    @property
    def trained_arrays(self) -> list[FloatArray]:
        """Every trained array, layer by layer."""
        return [
            views[spec.name]
            for specs, views in zip(self.shapes, self.layers, strict=True)
            for spec in specs
            if spec.kind != "statistic"
        ]

    def on(self, vector: FloatArray) -> "Parameters":
        """Return the same views over another vector."""
        return Parameters(self.shapes, vector)

    def like(self) -> "Parameters":
        """Return the same views over new memory, uninitialised."""
        return self.on(np.empty_like(self.vector))

    @property
    def statistics(self) -> FloatArray:
        """What is not trained, of shape (n_statistics,): a view."""
        return self.vector[self.n_trained :]

    @property
    def weights(self) -> list[FloatArray]:
        """The weight matrix of each dense layer, of shape (n_in, n_out)."""
        return [layer["weights"] for layer in self.layers if "weights" in layer]

    @property
    def biases(self) -> list[FloatArray]:
        """The bias vector of each dense layer, of shape (n_out,)."""
        return [layer["biases"] for layer in self.layers if "biases" in layer]
