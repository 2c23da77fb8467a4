"""The residual connection: a block's input is added to its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Layer

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

    def __post_init__(self) -> None:
        if self.span < 1:
            raise ValueError(f"The span of a residual connection must be at least 1 layer. Got {self.span!r} instead.")

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        return np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_out), dtype)

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the sum of `x`, here the pair of the block's output and input."""
        output, block_input = x
        np.add(output, block_input, out=memory[0])
        return memory[0]

    def backward(
        self,
        params: Mapping[str, FloatArray],
        grads: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
        *,
        is_first: bool,
    ) -> FloatArray:
        memory[1][...] = delta  # what the block's input gets besides; the layers in between overwrite delta
        return delta

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        return delta  # whoever calls it brings the same to the block's input

    def skipped(self, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the error signal that goes past the block, as the last backward pass left it."""
        return memory[1]
