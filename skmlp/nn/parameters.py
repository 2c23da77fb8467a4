"""One flat vector for all parameters, and the views into it that the layers work on.

Optimizers, checkpoints and averages see one array; layers see matrices. Nothing is ever packed or unpacked: a view
shares its memory with the vector, so writing to either writes to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray

__all__ = ["ParameterShape", "Parameters", "Span"]

Role = Literal["weight", "bias", "factor", "scale", "offset", "statistic"]

# Where in the vector the arrays of a role lie: weights and factors are penalized, statistics are not trained.
_WEIGHTS, _FACTORS, _OTHERS, _STATISTICS = range(4)
_PLACES: dict[str, int] = {
    "weight": _WEIGHTS,
    "factor": _FACTORS,
    "bias": _OTHERS,
    "scale": _OTHERS,
    "offset": _OTHERS,
    "statistic": _STATISTICS,
}


@dataclass(frozen=True)
class ParameterShape:
    """What a layer says about one of its parameter arrays.

    Attributes
    ----------
    name : str
        Its name within the layer; nothing outside the layer depends on it.
    shape : tuple of int
    role : {"weight", "bias", "factor", "scale", "offset", "statistic"}
        A weight is the matrix of shape (n_in, n_out) that connects the layer's inputs and outputs: penalized, decayed,
        monitored, one of ``coefs_``. A bias, of shape (n_out,), goes with it. A factor is anything else that is
        penalized and decayed. Scales and offsets are trained, and nothing else. Statistics are not trained: they are
        running averages of what passes through, or were learned from the data before training.
    rate_factor : float, default=1.0
        The learning rate of the array is the network's times this factor, positive.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    rate_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.role not in _PLACES:
            raise ValueError(
                f"The role of the parameter {self.name!r} must be one of {list(_PLACES)}. Got {self.role!r} instead."
            )
        if not self.rate_factor > 0.0:
            raise ValueError(
                f"The rate_factor of the parameter {self.name!r} must be positive. Got {self.rate_factor!r} instead."
            )


@dataclass(frozen=True)
class Span:
    """Where an array lies in the flat vector.

    Attributes
    ----------
    start, stop : int
    spec : ParameterShape
    """

    start: int
    stop: int
    spec: ParameterShape


class Parameters:
    """A flat vector with a dict of named views for each layer.

    Parameters
    ----------
    shapes : sequence of sequences of ParameterShape
        The arrays of each layer. In the vector, the weights of all layers come first, then factors, then what else is
        trained, then the statistics, so that a penalty acts on one slice and a solver on another.
    vector : ndarray of shape (n_parameters,), optional
        The memory to use; by default new zeros of `dtype`.
    dtype : dtype, default=float32

    Attributes
    ----------
    vector : ndarray of shape (n_parameters,)
    n_weights, n_trained : int
        ``vector[:n_weights]`` holds all that is penalized, ``vector[:n_trained]`` all that is trained.
    trained : ndarray of shape (n_trained,)
        That part, a view; without statistics the vector itself.
    layers : list of dict
        ``layers[l][name]``: a view of the vector.
    spans : list of Span
        Every array, in the order of the vector.
    """

    def __init__(
        self,
        shapes: Sequence[Sequence[ParameterShape]],
        vector: FloatArray | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = [0] * len(set(_PLACES.values()))
        for spec in (spec for layer in shapes for spec in layer):
            sizes[_PLACES[spec.role]] += prod(spec.shape)
        self.n_weights = sizes[_WEIGHTS] + sizes[_FACTORS]
        self.n_trained = self.n_weights + sizes[_OTHERS]
        n_parameters = sum(sizes)
        self.vector: FloatArray = np.zeros(n_parameters, dtype) if vector is None else vector
        if self.vector.shape != (n_parameters,):
            raise ValueError(f"The vector has shape {self.vector.shape}; these layers need ({n_parameters},).")
        self.trained = self.vector if sizes[_STATISTICS] == 0 else self.vector[: self.n_trained]
        self.shapes = shapes
        starts = [0, sizes[_WEIGHTS], self.n_weights, self.n_trained]
        self.layers: list[dict[str, FloatArray]] = []
        spans: list[Span] = []
        for layer in shapes:
            views = {}
            for spec in layer:
                place = _PLACES[spec.role]
                stop = starts[place] + prod(spec.shape)
                views[spec.name] = self.vector[starts[place] : stop].reshape(spec.shape)
                spans.append(Span(starts[place], stop, spec))
                starts[place] = stop
            self.layers.append(views)
        self.spans = sorted(spans, key=lambda span: span.start)

    @property
    def layout(self) -> list[tuple[int, int, float, tuple[int, ...] | None]]:
        """What a solver has to know of every trained array, in the order of the vector.

        That is its start, stop and rate factor, and its shape if it is a weight of a hidden layer, else None. Weights
        of the last layer that has any are not hidden.
        """
        weights = [span.start for span in self.spans if span.spec.role == "weight"]
        of_layers = [sum(spec.role == "weight" for spec in layer) for layer in self.shapes]
        hidden = set(weights[: len(weights) - next((n for n in reversed(of_layers) if n > 0), 0)])
        return [
            (span.start, span.stop, span.spec.rate_factor, span.spec.shape if span.start in hidden else None)
            for span in self.spans
            if span.stop <= self.n_trained
        ]

    @property
    def trained_arrays(self) -> list[FloatArray]:
        """Every trained array, layer by layer."""
        return self.of_role(*(role for role in _PLACES if role != "statistic"))

    @property
    def layer_numbers(self) -> list[int]:
        """Of each layer the number of the last one up to it that has weights, from 1."""
        return list(accumulate(int(any(spec.role == "weight" for spec in layer)) for layer in self.shapes))

    def of_role(self, *roles: str) -> list[FloatArray]:
        """Return the arrays that have one of these roles, layer by layer."""
        return [
            views[spec.name]
            for specs, views in zip(self.shapes, self.layers, strict=True)
            for spec in specs
            if spec.role in roles
        ]

    def on(self, vector: FloatArray) -> "Parameters":
        """Return the same views over another vector."""
        return Parameters(self.shapes, vector)

    def like(self) -> "Parameters":
        """Return the same views over new memory, uninitialized."""
        return self.on(np.empty_like(self.vector))

    @property
    def statistics(self) -> FloatArray:
        """What is not trained, of shape (n_statistics,): a view."""
        return self.vector[self.n_trained :]

    @property
    def weights(self) -> list[FloatArray]:
        """The weight matrix of each dense layer, of shape (n_in, n_out)."""
        return self.of_role("weight")

    @property
    def biases(self) -> list[FloatArray]:
        """The bias vector of each dense layer, of shape (n_out,)."""
        return self.of_role("bias")
