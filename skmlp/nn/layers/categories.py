"""Categories: from codes to numbers, one-hot or by learned embeddings.

The codes of all columns count through: those of the second column begin where those of the first one end. Code 0 stands
for a category that was not seen in training, in any column. Codes are whole numbers in an array of floats, which is
exact up to 16 million of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable, Range
from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Batch, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.parameters import ParameterShape

__all__ = ["CategoryEmbedding", "EmbedCategories", "OneHot"]


@dataclass(frozen=True)
class OneHot(Layer):
    """A 1 in the column of each category of a row, and 0 elsewhere; only 0 for a category not seen in training.

    Parameters
    ----------
    n_in : int
        Columns of codes.
    n_out : int
        Categories of all columns together.
    """

    n_in: int
    n_out: int
    needs_output = False
    symbol = "h"

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        return np.empty((n_samples, self.n_out), dtype), np.zeros((n_samples, 0 if is_first else self.n_in), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        out = memory[0]
        out[...] = 0.0
        rows, columns = np.nonzero(x)
        out[rows, x[rows, columns].astype(np.intp) - 1] = 1.0
        return out

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
    ) -> FloatArray:
        return _no_delta(self, delta, memory, needs_input_delta=needs_input_delta)

    def kernels(self) -> Kernels:
        return Kernels(_forward, _backward)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [Quantity("h", f"one-hot({sources[0]})", "one-hot categories", trace.output)]


@dataclass(frozen=True)
class CategoryEmbedding(Layer):
    r"""A learned vector in place of each category: row c of a table E for code c, and 0 for code 0.

    The vectors of all columns stand side by side. Backwards :math:`\partial L/\partial E_c` is the sum of the error
    signals of all places where the code is c.

    Parameters
    ----------
    n_in : int
        Columns of codes.
    n_categories : int
        Categories of all columns together.
    dimension : int
        Length of a vector.
    """

    n_in: int
    n_categories: int
    dimension: int
    needs_output = False
    symbol = "e"

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return self.n_in * self.dimension

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (ParameterShape("table", (self.n_categories, self.dimension), "factor"),)

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["table"][...] = rng.standard_normal(params["table"].shape)

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        return np.empty((n_samples, self.n_out), dtype), np.zeros((n_samples, 0 if is_first else self.n_in), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        codes = x.astype(np.intp)
        vectors = memory[0].reshape(len(x), self.n_in, self.dimension)
        params["table"].take(codes - 1, axis=0, out=vectors, mode="wrap")  # code 0 takes any row
        vectors[codes == 0] = 0.0
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
    ) -> FloatArray:
        if grads is not None:
            codes = x.astype(np.intp).ravel()
            known = codes > 0
            grads["table"][...] = 0.0
            np.add.at(grads["table"], codes[known] - 1, delta.reshape(-1, self.dimension)[known])
        return _no_delta(self, delta, memory, needs_input_delta=needs_input_delta)

    def kernels(self) -> Kernels:
        return Kernels(_embedding_forward, _embedding_backward)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [
            Quantity("E", "", "vectors of the categories", trace.params["table"]),
            Quantity("e", f"rows {sources[0]} of E", "embedded categories", trace.output),
        ]


@dataclass
class EmbedCategories(Configurable):
    """Which categories are embedded, and with how many numbers; the others are one-hot.

    Parameters
    ----------
    dimension : int, default=8
        Length of the vector of a category, at least 1.
    min_categories : int, default=9
        Columns with fewer categories are one-hot, at least 3: two categories are one column in any case.
    """

    dimension: Annotated[int, Range("[1, inf)")] = 8
    min_categories: Annotated[int, Range("[3, inf)")] = 9


def _no_delta(layer: Layer, delta: FloatArray, memory: Memory, *, needs_input_delta: bool) -> FloatArray:
    """Return the error signal of codes, which is 0: nothing can be differentiated with respect to them."""
    if not needs_input_delta:
        return delta
    if memory[1].shape[1] != layer.n_in:  # the first layer
        return np.zeros((len(delta), layer.n_in), delta.dtype)
    memory[1][...] = 0.0
    return memory[1]


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, zero, one = inputs[0], out.dtype.type(0.0), out.dtype.type(1.0)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = zero
        for column in range(x.shape[1]):
            code = int(x[row, column])
            if code > 0:
                out[row, code - 1] = one


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    input_delta, zero = input_deltas[0], delta.dtype.type(0.0)
    for row in range(input_delta.shape[0]):
        for column in range(input_delta.shape[1]):
            input_delta[row, column] = zero


def _embedding_forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, table, zero = inputs[0], params[0], out.dtype.type(0.0)
    dimension = table.shape[1]
    for row in range(out.shape[0]):
        for column in range(x.shape[1]):
            code, first = int(x[row, column]), column * dimension
            for k in range(dimension):
                out[row, first + k] = table[code - 1, k] if code > 0 else zero


def _embedding_backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, d_table, zero, input_delta = inputs[0], grads[0], delta.dtype.type(0.0), input_deltas[0]
    dimension = d_table.shape[1]
    for code in range(d_table.shape[0]):
        for k in range(dimension):
            d_table[code, k] = zero
    for row in range(delta.shape[0]):
        for column in range(x.shape[1]):
            code, first = int(x[row, column]), column * dimension
            if code > 0:
                for k in range(dimension):
                    d_table[code - 1, k] += delta[row, first + k]
    for row in range(input_delta.shape[0]):
        for column in range(input_delta.shape[1]):
            input_delta[row, column] = zero
