"""A learned scale for each input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.parameters import ParameterShape

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale(Layer):
    r"""Every input times a number that is learned: :math:`x' = x \odot s`, with s = 1 at the start.

    With a learning rate above the network's, it soon makes inputs that do not matter small.

    .. math::
        \frac{\partial L}{\partial s} = \sum_i \delta_i \odot x_i, \qquad
        \frac{\partial L}{\partial x} = \delta \odot s

    Parameters
    ----------
    n_out : int
    rate_factor : float, default=6.0
        The learning rate of s is the network's times this factor, positive.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv 2407.04491.
    """

    n_out: int
    rate_factor: float = 6.0
    needs_output = False
    symbol = "x'"

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (ParameterShape("scale", (self.n_out,), "scale", self.rate_factor),)

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["scale"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        return np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_out), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        return np.multiply(x, params["scale"], out=memory[0])

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
            np.multiply(x, delta, out=memory[1])
            np.sum(memory[1], axis=0, out=grads["scale"])
        if needs_input_delta:
            delta *= params["scale"]
        return delta

    def kernels(self) -> Kernels:
        return Kernels(_forward, _backward, writes_delta_in_place=True)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [
            Quantity("s", "", "scales of the inputs", trace.params["scale"]),
            Quantity(f"{sources[0]}'", f"{sources[0]} * s", "scaled inputs", trace.output),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        formula = f"1^T ({signal} * {sources[0]})"
        return [Quantity("dL/ds", formula, "gradient of the scales", trace.grads["scale"])], (f"{signal} * s",)


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, scale = inputs[0], params[0]
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = x[row, column] * scale[column]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    x, scale, d_scale, input_delta = inputs[0], params[0], grads[0], input_deltas[0]
    zero = delta.dtype.type(0.0)
    for column in range(d_scale.size):
        d_scale[column] = zero
    for row in range(delta.shape[0]):
        for column in range(delta.shape[1]):
            d_scale[column] += delta[row, column] * x[row, column]
        if input_delta.shape[0] > 0:
            for column in range(delta.shape[1]):
                input_delta[row, column] = delta[row, column] * scale[column]
