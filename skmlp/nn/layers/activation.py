"""The layer that applies an activation to every element."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.compiled.kernels import kernel_of
from skmlp.compiled.maths import flat
from skmlp.nn.activations import Activation
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views

__all__ = ["ActivationLayer"]


@dataclass(frozen=True)
class ActivationLayer(Layer):
    r"""Elementwise :math:`a = \sigma(z)`.

    Backwards :math:`\partial L/\partial z = \partial L/\partial a \odot \sigma'(z)`.

    Parameters
    ----------
    n_out : int
    activation : Activation
    consumes_input : bool, default=False
        Overwrite z, which saves an array and the time to fill it.
    """

    n_out: int
    activation: Activation
    consumes_input: bool = False
    symbol = "a"

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        derivative = np.empty((n_samples, self.n_out), dtype)
        in_place = self.activation.in_place
        a = np.empty((n_samples, 0 if in_place and self.consumes_input else self.n_out), dtype)
        z = np.empty((n_samples, 0 if in_place or self.consumes_input else self.n_out), dtype)
        return derivative, a, z

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        out: FloatArray = x if self.activation.in_place and self.consumes_input else memory[1]
        self.activation.forward(x, out)
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
        derivative, _, z = memory
        if self.activation.in_place:
            z = output
        elif self.consumes_input:
            z = x
        else:  # the activation may overwrite z
            z[...] = x
        self.activation.derivative(z, output, derivative)
        delta *= derivative
        return delta

    def derivatives(self, memory: Memory) -> FloatArray:
        """Return the derivative of every element that the last backward pass computed."""
        return memory[0]

    def kernels(self) -> Kernels | None:
        kernel = kernel_of(self.activation, "kernel", ("forward", "derivative"))
        if kernel is None:
            return None
        return Kernels(
            _forward(kernel),
            _backward,
            memory=((-1, self.n_out),),
            settings=self.activation.kernel_settings,
            writes_delta_in_place=True,
        )

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [Quantity(f"a_{number}", f"{self.activation.label}({sources[0]})", "activations", trace.output)]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        name, formula = f"sigma'_{number}", f"{self.activation.label}'({sources[0]})"
        derivative = Quantity(name, formula, "derivatives of the activation", self.derivatives(trace.memory))
        return [derivative], (f"{signal} * {name}",)


@cache
def _forward(kernel: Any) -> Any:
    def forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        z, a, derivative = flat(inputs[0]), flat(out), flat(memory[0])
        for i in range(a.size):
            a[i], derivative[i] = kernel(z[i], settings)

    return forward


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    signal, derivative, input_delta = flat(delta), flat(memory[0]), flat(input_deltas[0])
    for i in range(input_delta.size):
        input_delta[i] = signal[i] * derivative[i]
