"""Parallel branches: layers side by side on one input, whose outputs are concatenated."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views

__all__ = ["Concatenate", "Parallel"]


class Parallel:
    """Branches of layers that have one input; what follows gets their outputs side by side.

    Parameters
    ----------
    *branches : sequence of Layer
        At least two. An empty branch passes its input on.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.layers import Dense, Parallel
    >>> from skmlp.nn.network import Network
    >>> network = Network([Parallel([Dense(3, 4)], []), Dense(7, 2)])
    >>> network.predict(network.parameters(), np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(self, *branches: "Sequence[Layer | Parallel]") -> None:
        if len(branches) < 2:
            raise ValueError(f"Parallel branches must be at least 2. Got {len(branches)} instead.")
        self.branches = branches


@dataclass(frozen=True)
class Concatenate(Layer):
    """The columns of several inputs side by side. :class:`Parallel` branches end in it.

    Parameters
    ----------
    sizes : tuple of int
        The numbers of columns.
    """

    sizes: tuple[int, ...]
    needs_output = False
    symbol = "c"

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return sum(self.sizes)

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return sum(self.sizes)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.sizes

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        deltas = [np.empty((n_samples, size), dtype) for size in self.sizes]
        return np.empty((n_samples, self.n_out), dtype), *deltas

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        for part, columns in zip(x, self._columns(), strict=True):
            memory[0][:, columns] = part if isinstance(part, np.ndarray) else part.toarray()
        return memory[0]

    def backward(
        self,
        params: Views,
        grads: Views | None,
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: Memory,
        batch: Batch | None = None,
        *,
        needs_input_delta: bool = True,
    ) -> tuple[FloatArray, ...]:
        for part, columns in zip(memory[1:], self._columns(), strict=True):
            part[...] = delta[:, columns]
        return memory[1:]

    def _columns(self) -> list[slice]:
        return [slice(*bounds) for bounds in pairwise(accumulate(self.sizes, initial=0))]

    def kernels(self) -> Kernels:
        return Kernels(_forward, _backward)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [Quantity(f"c_{number}", f"[{', '.join(sources)}]", "side by side", trace.output)]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        return [], tuple(f"columns of {source} in {signal}" for source in sources)


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    begin = 0
    for x in inputs:
        for row in range(out.shape[0]):
            for column in range(x.shape[1]):
                out[row, begin + column] = x[row, column]
        begin += x.shape[1]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    begin = 0
    for input_delta, x in zip(input_deltas, inputs):  # noqa: B905 - numba knows no strict
        for row in range(input_delta.shape[0]):
            for column in range(x.shape[1]):
                input_delta[row, column] = delta[row, begin + column]
        begin += x.shape[1]
