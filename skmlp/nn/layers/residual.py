"""The residual connection: a block's input is added to its output."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.compiled.maths import flat
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views

__all__ = ["Residual"]


@dataclass(frozen=True)
class Residual(Layer):
    r""":math:`a' = a + a_0`, with the input :math:`a_0` of the block of `span` layers that ends in a.

    Backwards the error signal goes both ways unchanged:
    :math:`\partial L/\partial a = \partial L/\partial a_0 = \partial L/\partial a'`, so that it reaches the early
    layers of a deep network whatever the blocks do to it.

    Parameters
    ----------
    n_out : int
        Width of the block's input and output.
    span : int
        Number of layers in the block.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, arXiv 1512.03385.
    """

    n_out: int
    span: int
    needs_output = False
    symbol = "a'"

    def __post_init__(self) -> None:
        if self.span < 1:
            raise ValueError(f"The span of a residual connection must be at least 1 layer. Got {self.span!r} instead.")

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.n_out, self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        return np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_out), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        """Return the sum of `x`, here the pair of the block's output and input."""
        block_output, block_input = x
        np.add(block_output, block_input, out=memory[0])
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
    ) -> tuple[FloatArray, FloatArray]:
        memory[1][...] = delta  # a copy, since the layers of the block overwrite delta
        return delta, memory[1]

    def kernels(self) -> Kernels:
        return Kernels(_forward, _backward, writes_delta_in_place=True)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [Quantity(f"a'_{number}", " + ".join(sources), "with the block's input", trace.output)]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        return [], (None, None)


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    block_output, block_input, total_output = flat(inputs[0]), flat(inputs[1]), flat(out)
    for i in range(total_output.size):
        total_output[i] = block_output[i] + block_input[i]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    signal, of_output, of_input = flat(delta), flat(input_deltas[0]), flat(input_deltas[1])
    for i in range(of_output.size):
        of_output[i] = signal[i]
    for i in range(of_input.size):
        of_input[i] = signal[i]
