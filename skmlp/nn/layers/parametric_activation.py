"""The layer that applies a parametric activation: one with a trained number for each unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.compiled.kernels import kernel_of
from skmlp.nn.activations import Activation, Parametric
from skmlp.nn.layers.activation import ActivationLayer
from skmlp.nn.layers.base import Batch, Described, Kernels, LayerTrace, Memory, Quantity, Views
from skmlp.nn.parameters import ParameterShape

__all__ = ["ParametricActivation", "activation_layer"]


@dataclass(frozen=True)
class ParametricActivation(ActivationLayer):
    r"""Elementwise :math:`a = z + \kappa \odot (\sigma(z) - z)` with a number :math:`\kappa` for each unit.

    Backwards

    .. math::
        \frac{\partial L}{\partial z} = \frac{\partial L}{\partial a} \odot (1 + \kappa \odot (\sigma'(z) - 1)), \qquad
        \frac{\partial L}{\partial \kappa} = 1^T \Bigl(\frac{\partial L}{\partial a} \odot (\sigma(z) - z)\Bigr) .

    :math:`\kappa` starts at 1. Its learning rate is a tenth of the network's.

    Parameters
    ----------
    n_out : int
    activation : Activation
        :math:`\sigma`, or :class:`~skmlp.nn.activations.Parametric` with it.
    consumes_input : bool, default=False
        Overwrite z.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", NeurIPS, arXiv 2407.04491.
    """

    needs_output = False

    def __post_init__(self) -> None:
        if not isinstance(self.activation, Parametric):
            object.__setattr__(self, "activation", Parametric(self.activation))

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (ParameterShape("blend", (self.n_out,), "scale", rate_factor=0.1),)

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["blend"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        # The derivative; sigma(z); the output, or a copy of z where the output overwrites it; scratch memory.
        return tuple(np.empty((n_samples, self.n_out), dtype) for _ in range(4))

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        _, sigma, other, _ = memory
        if self.consumes_input:
            other[...] = x
        z, out = (other, x) if self.consumes_input else (x, other)
        self.activation.forward(z, sigma)
        np.subtract(sigma, z, out=out)
        out *= params["blend"]
        out += other if self.consumes_input else x
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
        derivative, sigma, other, scratch = memory
        z = other if self.consumes_input else x
        if grads is not None:
            np.subtract(sigma, z, out=scratch)
            np.einsum("ij,ij->j", delta, scratch, out=grads["blend"])
        scratch[...] = sigma if self.activation.in_place else z  # the activation may overwrite it
        self.activation.derivative(scratch, sigma, derivative)
        derivative -= 1.0
        derivative *= params["blend"]
        derivative += 1.0
        delta *= derivative
        return delta

    def kernels(self) -> Kernels | None:
        kernel = kernel_of(self.activation, "kernel", ("forward", "derivative"))
        if kernel is None:
            return None
        return Kernels(
            _forward(kernel),
            _backward,
            memory=((-1, self.n_out), (-1, self.n_out)),
            settings=self.activation.kernel_settings,
            writes_delta_in_place=True,
        )

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        z, sigma = sources[0], f"{self._label}({sources[0]})"
        return [
            Quantity(f"kappa_{number}", "", "of the activation", trace.params["blend"]),
            Quantity(f"a_{number}", f"{z} + kappa_{number} * ({sigma} - {z})", "activations", trace.output),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        z, name, kappa = sources[0], f"sigma'_{number}", f"kappa_{number}"
        formula, gradient = f"1 + {kappa} * ({self._label}'({z}) - 1)", f"1^T ({signal} * ({self._label}({z}) - {z}))"
        quantities = [
            Quantity(name, formula, "derivatives of the activation", self.derivatives(trace.memory)),
            Quantity(f"dL/d{kappa}", gradient, f"gradient of {kappa}", trace.grads["blend"]),
        ]
        return quantities, (f"{signal} * {name}",)

    @property
    def _label(self) -> str:
        assert isinstance(self.activation, Parametric)
        return self.activation.inner.label


@cache
def _forward(kernel: Any) -> Any:
    def forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        z, (blend,), (derivative, difference) = inputs[0], params, memory
        one = z.dtype.type(1.0)
        for row in range(out.shape[0]):
            for unit in range(out.shape[1]):
                own, kappa = z[row, unit], blend[unit]
                sigma, slope = kernel(own, settings)
                difference[row, unit] = sigma - own
                derivative[row, unit] = one + kappa * (slope - one)
                out[row, unit] = own + kappa * (sigma - own)

    return forward


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    (d_blend,), (derivative, difference) = grads, memory
    zero = delta.dtype.type(0.0)
    for unit in range(delta.shape[1]):
        d_blend[unit] = zero
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            d_blend[unit] += delta[row, unit] * difference[row, unit]
    input_delta = input_deltas[0]
    for row in range(input_delta.shape[0]):
        for unit in range(delta.shape[1]):
            input_delta[row, unit] = delta[row, unit] * derivative[row, unit]


def activation_layer(n_out: int, activation: Activation, *, consumes_input: bool = False) -> ActivationLayer:
    """Return the layer that applies an activation: the parametric one for a parametric activation."""
    kind = ParametricActivation if isinstance(activation, Parametric) else ActivationLayer
    return kind(n_out, activation, consumes_input=consumes_input)
