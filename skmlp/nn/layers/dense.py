"""The dense layer ``z = a W + b``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.compiled.products import error_signal, forward, weight_gradient
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.parameters import ParameterShape
from skmlp.nn.products import matmul

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Layer):
    r"""Every output is a weighted sum of every input, plus a bias.

    .. math::
        z = a W + b, \qquad
        \frac{\partial L}{\partial W} = a^T \delta, \qquad
        \frac{\partial L}{\partial b} = 1^T \delta, \qquad
        \frac{\partial L}{\partial a} = \delta W^T

    with the error signal :math:`\delta = \partial L / \partial z`, samples in rows.

    Parameters
    ----------
    n_in, n_out : int
    gain : float, default=1.0
        A constant g in :math:`z = g\, a W + b`. The neural tangent parametrization has :math:`g = 1 / \sqrt{n_{in}}`
        and weights of unit variance, so that one learning rate suits layers of any width (Jacot, Gabriel and Hongler,
        2018, arXiv 1806.07572).
    bias_rate : float, default=1.0
        The learning rate of the biases is the network's times this factor.
    """

    n_in: int
    n_out: int
    gain: float = 1.0
    bias_rate: float = 1.0
    needs_output = False
    symbol = "z"

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("weights", (self.n_in, self.n_out), "weight"),
            ParameterShape("biases", (self.n_out,), "bias", self.bias_rate),
        )

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        z = np.empty((n_samples, self.n_out), dtype)
        ones = np.ones(n_samples, dtype)
        input_delta = np.empty((n_samples, 0 if is_first else self.n_in), dtype)
        return z, ones, input_delta

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        z = memory[0]
        if isinstance(x, np.ndarray):
            matmul(x, params["weights"], z)
        else:
            z[...] = x @ params["weights"]  # sparse
        if self.gain != 1.0:
            z *= self.gain
        z += params["biases"]
        return z

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
        _, ones, input_delta = memory
        if grads is not None:
            np.matmul(ones, delta, out=grads["biases"])  # column sums, several times faster than delta.sum(axis=0)
        if self.gain != 1.0:
            delta *= self.gain
        if grads is not None:
            if isinstance(x, np.ndarray):
                matmul(x.T, delta, grads["weights"])
            else:
                grads["weights"][...] = x.T @ delta
        if not needs_input_delta:
            return delta
        if input_delta.shape[1] != self.n_in:  # the first layer
            input_delta = np.empty((len(delta), self.n_in), delta.dtype)
        return matmul(delta, params["weights"].T, input_delta)

    def kernels(self) -> Kernels:
        if self.gain == 1.0:
            return Kernels(_forward, _backward, uses_products=True)
        memory = ((self.n_out,),)
        return Kernels(_scaled_forward, _scaled_backward, memory=memory, settings=(self.gain,), uses_products=True)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        return [
            Quantity(f"W_{number}", "", "weights", trace.params["weights"]),
            Quantity(f"b_{number}", "", "biases", trace.params["biases"]),
            Quantity(
                f"z_{number}", f"{self._gain}{sources[0]} W_{number} + b_{number}", "pre-activations", trace.output
            ),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        weight = f"W_{number}"
        formula = f"{self._gain}{sources[0]}^T {signal}{trace.penalty(weight)}"
        gradients = [
            Quantity(f"dL/d{weight}", formula, "gradient of the weights", trace.grads["weights"]),
            Quantity(f"dL/db_{number}", f"1^T {signal}", "gradient of the biases", trace.grads["biases"]),
        ]
        return gradients, (f"{self._gain}{signal} {weight}^T",)

    @property
    def _gain(self) -> str:
        """The gain in formulas."""
        return "" if self.gain == 1.0 else f"{self.gain:.4g} "


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    forward(inputs[0], params[0], params[1], out, memory[-1], settings[-1])


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    weight_gradient(inputs[0], delta, grads[0], grads[1], memory[-1], settings[-1])
    if input_deltas[0].shape[0] > 0:
        error_signal(delta, params[0], input_deltas[0], memory[-1], settings[-1])


def _scaled_forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    gain, biases, divided = settings[0], params[1], memory[0]
    for unit in range(divided.size):
        divided[unit] = biases[unit] / gain
    forward(inputs[0], params[0], divided, out, memory[-1], settings[-1])
    for row in range(out.shape[0]):
        for unit in range(out.shape[1]):
            out[row, unit] *= gain


def _scaled_backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    gain = settings[0]
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            delta[row, unit] *= gain
    weight_gradient(inputs[0], delta, grads[0], grads[1], memory[-1], settings[-1])
    for unit in range(delta.shape[1]):
        grads[1][unit] /= gain  # the sums of the error signals themselves
    if input_deltas[0].shape[0] > 0:
        error_signal(delta, params[0], input_deltas[0], memory[-1], settings[-1])
