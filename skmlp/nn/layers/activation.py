"""The layer that applies an activation to every element."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.activations import Activation
from skmlp.nn.layers.base import Layer

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

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        derivative = np.empty((n_samples, self.n_out), dtype)
        in_place = self.activation.in_place
        a = np.empty((n_samples, 0 if in_place and self.consumes_input else self.n_out), dtype)
        z = np.empty((n_samples, 0 if in_place or self.consumes_input else self.n_out), dtype)
        return derivative, a, z

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        out: FloatArray = x if self.activation.in_place and self.consumes_input else memory[1]
        self.activation.forward(x, out)
        return out

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
        delta *= self._derivative(x, output, memory)
        return delta

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        delta *= self._derivative(x, output, memory)  # once for all signals: it may overwrite x
        return delta

    def _derivative(self, x: FloatArray, output: FloatArray, memory: tuple[FloatArray, ...]) -> FloatArray:
        derivative, _, z = memory
        if self.activation.in_place:
            z = output
        elif self.consumes_input:
            z = x
        else:  # the activation may overwrite z
            z[...] = x
        self.activation.derivative(z, output, derivative)
        return derivative

    def slopes(self, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the derivative of every element that the last backward pass computed."""
        return memory[0]
