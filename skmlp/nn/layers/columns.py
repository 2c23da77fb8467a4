"""Some columns of the input, for a branch of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views

__all__ = ["Columns"]


@dataclass(frozen=True)
class Columns(Layer):
    """The columns from `start` up to `stop`. A branch of parallel layers begins with it.

    Parameters
    ----------
    n_in : int
    start, stop : int
    """

    n_in: int
    start: int
    stop: int
    needs_output = False
    symbol = "x"

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return self.stop - self.start

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        columns = np.empty((n_samples, self.n_out), dtype)
        return columns, np.empty((n_samples, 0 if is_first else self.n_in), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        memory[0][...] = x[:, self.start : self.stop]
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
        if not needs_input_delta:
            return delta
        input_delta = memory[1] if memory[1].shape[1] == self.n_in else np.empty((len(delta), self.n_in), delta.dtype)
        input_delta[...] = 0.0
        input_delta[:, self.start : self.stop] = delta
        return input_delta

    def kernels(self) -> Kernels:
        return Kernels(_forward, _backward, settings=(float(self.start),))

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        name = f"{sources[0]}[{self.start}:{self.stop}]"
        return [Quantity(name, f"columns {self.start} to {self.stop - 1} of {sources[0]}", "columns", trace.output)]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        return [], (f"{signal} in columns {self.start} to {self.stop - 1}, else 0",)


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, start = inputs[0], int(settings[0])
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = x[row, start + column]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    input_delta, start, zero = input_deltas[0], int(settings[0]), delta.dtype.type(0.0)
    for row in range(input_delta.shape[0]):
        for column in range(input_delta.shape[1]):
            input_delta[row, column] = zero
        for column in range(delta.shape[1]):
            input_delta[row, start + column] = delta[row, column]
