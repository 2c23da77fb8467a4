"""Layer normalization: over the units of each sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Positive
from skmlp._typing import FloatArray
from skmlp.compiled.rounding import allow_reassociation
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.layers.normalization import Normalization, describe_gradients, describe_statistics, memory_of_z_hat
from skmlp.nn.parameters import ParameterShape

__all__ = ["LayerNorm", "LayerNormalization"]


@dataclass(frozen=True)
class LayerNormalization(Layer):
    r"""Normalize each sample over the units of the layer, in training and prediction alike.

    Backwards, with :math:`\hat\delta = \gamma \odot \delta` and means over the units:
    :math:`\partial L/\partial z = (\hat\delta - \overline{\hat\delta} - \hat z\, \overline{\hat\delta \odot \hat z})
    / \sqrt{v + \epsilon}`.

    Parameters
    ----------
    n_out : int
    epsilon : float
    consumes_input : bool, default=False
        Keep :math:`\hat z` in the place of z, which saves an array.

    References
    ----------
    Ba, Kiros and Hinton (2016), "Layer normalization", arXiv 1607.06450.
    """

    n_out: int
    epsilon: float = 1e-5
    consumes_input: bool = False
    needs_output = False
    symbol = "z'"

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("scale", (self.n_out,), "scale"),
            ParameterShape("offset", (self.n_out,), "offset"),
        )

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["scale"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        deviation = np.empty((n_samples, 1), dtype)
        return out, scratch, deviation, memory_of_z_hat(self, n_samples, dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        out, scratch, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        np.subtract(x, x.mean(axis=1, keepdims=True), out=z_hat)
        np.multiply(z_hat, z_hat, out=scratch)
        np.mean(scratch, axis=1, keepdims=True, out=deviation)
        deviation += self.epsilon
        np.sqrt(deviation, out=deviation)
        z_hat /= deviation
        np.multiply(z_hat, params["scale"], out=out)
        out += params["offset"]
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
        _, scratch, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        if grads is not None:
            np.einsum("ij,ij->j", delta, z_hat, out=grads["scale"])
            np.sum(delta, axis=0, out=grads["offset"])
        delta *= params["scale"]
        np.multiply(delta, z_hat, out=scratch)
        np.multiply(z_hat, scratch.mean(axis=1, keepdims=True), out=scratch)
        scratch += delta.mean(axis=1, keepdims=True)
        delta -= scratch
        delta /= deviation
        return delta

    def kernels(self) -> Kernels:
        memory = ((-1, self.n_out), (-1, 1))
        return Kernels(_forward, _backward, memory=memory, settings=(self.epsilon,), writes_delta_in_place=True)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        x = trace.x[0]
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
        z_hat = (x - mean) / trace.memory[2]
        return describe_statistics(number, self.epsilon, trace, "the units of each row", mean, variance, z_hat)

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        gradients, z_hat, deviation = describe_gradients(number, self.epsilon, signal, trace)
        formula = f"(d - mean(d) - {z_hat} * mean(d * {z_hat})) / {deviation}, d = gamma_{number} * {signal}"
        return gradients, (formula,)

    def z_hat(self, x: FloatArray, memory: Memory) -> FloatArray:
        """Return the normalized input of the last pass, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


@allow_reassociation
def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    z, (scale, offset), (z_hat, deviation) = inputs[0], params, memory
    epsilon, n_units = settings[0], z.dtype.type(z.shape[1])
    for row in range(z.shape[0]):
        mean = epsilon - epsilon
        for unit in range(z.shape[1]):
            mean += z[row, unit]
        mean /= n_units
        variance = epsilon - epsilon
        for unit in range(z.shape[1]):
            centred = z[row, unit] - mean
            z_hat[row, unit] = centred
            variance += centred * centred
        root = np.sqrt(variance / n_units + epsilon)
        deviation[row, 0] = root
        for unit in range(z.shape[1]):
            z_hat[row, unit] /= root
            out[row, unit] = z_hat[row, unit] * scale[unit] + offset[unit]


@allow_reassociation
def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    (scale, _), (d_scale, d_offset), (z_hat, deviation) = params, grads, memory
    zero, n_units, input_delta = settings[0] - settings[0], delta.dtype.type(delta.shape[1]), input_deltas[0]
    for unit in range(delta.shape[1]):
        d_scale[unit] = d_offset[unit] = zero
    for row in range(delta.shape[0]):
        mean, mean_along = zero, zero
        for unit in range(delta.shape[1]):
            d_scale[unit] += delta[row, unit] * z_hat[row, unit]
            d_offset[unit] += delta[row, unit]
            scaled = delta[row, unit] * scale[unit]
            delta[row, unit] = scaled
            mean += scaled
            mean_along += scaled * z_hat[row, unit]
        mean /= n_units
        mean_along /= n_units
        if input_delta.shape[0] > 0:
            for unit in range(delta.shape[1]):
                input_delta[row, unit] = (delta[row, unit] - mean - z_hat[row, unit] * mean_along) / deviation[row, 0]


@dataclass
class LayerNorm(Normalization, name="layer"):
    """Settings of :class:`LayerNormalization`.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    epsilon: Positive = 1e-5

    def layer(self, n_units: int) -> Layer:
        return LayerNormalization(n_units, self.epsilon, consumes_input=True)
