"""Batch normalization: over the rows of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Positive, Range
from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.layers.normalization import Normalization, describe_gradients, describe_statistics, memory_of_z_hat
from skmlp.nn.parameters import ParameterShape

__all__ = ["BatchNorm", "BatchNormalization"]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    r"""Normalize each unit over the batch; in prediction by running averages of what the batches had.

    With the normalized sample weights :math:`w_i`, which sum to 1 (1/n without sample weights),
    :math:`\mu = \sum_i w_i z_i` and :math:`v = \sum_i w_i (z_i - \mu)^2`. Backwards, with :math:`\delta = \partial L /
    \partial z'`:

    .. math::
        \frac{\partial L}{\partial \gamma} = \sum_i \delta_i \odot \hat z_i, \qquad
        \frac{\partial L}{\partial \beta} = \sum_i \delta_i, \qquad
        \frac{\partial L}{\partial z_i} = \frac{\gamma}{\sqrt{v + \epsilon}} \odot
        \Bigl(\delta_i - w_i \frac{\partial L}{\partial \beta} - w_i \hat z_i \odot
        \frac{\partial L}{\partial \gamma}\Bigr)

    After each batch the running averages move by `momentum` towards :math:`\mu` and the unbiased variance
    :math:`v \, s / (s - 1)`, s being the sum of the sample weights (the biased one where s < 2), as in torch. So a
    weight of 2 is the row twice.

    Parameters
    ----------
    n_out : int
    momentum : float
    epsilon : float
    consumes_input : bool, default=False
        Keep :math:`\hat z` in the place of z, which saves an array.

    References
    ----------
    Ioffe and Szegedy (2015), "Batch normalization", ICML, arXiv 1502.03167.
    """

    n_out: int
    momentum: float = 0.1
    epsilon: float = 1e-5
    consumes_input: bool = False
    has_modes = True
    couples_rows = True
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
            ParameterShape("running_mean", (self.n_out,), "statistic"),
            ParameterShape("running_variance", (self.n_out,), "statistic"),
        )

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["scale"][...] = 1.0
        params["running_variance"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        weights = np.empty((n_samples, 1), dtype)
        deviation = np.empty((1, self.n_out), dtype)
        return out, scratch, weights, deviation, memory_of_z_hat(self, n_samples, dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        out, scratch, weights, deviation, _ = memory
        if batch is None:
            np.subtract(x, params["running_mean"], out=out)
            out *= params["scale"] / np.sqrt(params["running_variance"] + self.epsilon)
            out += params["offset"]
            return out
        z_hat = self.z_hat(x, memory)
        weights[:, 0] = 1.0 / x.shape[0] if batch.normalized_weights is None else batch.normalized_weights
        mean = weights[:, 0] @ x
        np.subtract(x, mean, out=z_hat)
        np.multiply(z_hat, z_hat, out=scratch)
        variance = weights[:, 0] @ scratch
        np.sqrt(variance + self.epsilon, out=deviation[0])
        z_hat /= deviation
        np.multiply(z_hat, params["scale"], out=out)
        out += params["offset"]
        total = batch.total_weight
        unbiased = total / (total - 1.0) if total >= 2.0 else 1.0
        for name, now in (("running_mean", mean), ("running_variance", unbiased * variance)):
            average = params[name]
            average += self.momentum * (now - average)
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
        if batch is None:
            delta *= params["scale"] / np.sqrt(params["running_variance"] + self.epsilon)
            return delta
        _, scratch, weights, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        grads = grads or {name: np.empty_like(values) for name, values in params.items()}
        d_scale, d_offset = grads["scale"], grads["offset"]
        np.einsum("ij,ij->j", delta, z_hat, out=d_scale)
        np.sum(delta, axis=0, out=d_offset)
        grads["running_mean"][...] = grads["running_variance"][...] = 0.0
        np.multiply(z_hat, d_scale, out=scratch)
        scratch += d_offset
        scratch *= weights
        delta -= scratch
        delta *= params["scale"] / deviation[0]
        return delta

    def kernels(self) -> Kernels:
        memory = ((-1, self.n_out), (2, self.n_out))
        return Kernels(
            _forward,
            _backward,
            memory=memory,
            settings=(self.epsilon, self.momentum),
            writes_delta_in_place=True,
        )

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        weights = None if trace.batch is None else trace.batch.normalized_weights
        mean = np.average(trace.x[0], axis=0, weights=weights)
        variance = np.average((trace.x[0] - mean) ** 2, axis=0, weights=weights)
        over = "the rows" if weights is None else "the rows, by their weights"
        z_hat = (trace.x[0] - mean) / trace.memory[3]
        return describe_statistics(number, self.epsilon, trace, over, mean, variance, z_hat)

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        gradients, z_hat, deviation = describe_gradients(number, self.epsilon, signal, trace)
        weights = "1 / S" if trace.batch is None or trace.batch.normalized_weights is None else "(s / S)"
        inner = f"{signal} - {weights} * (dL/dbeta_{number} + {z_hat} * dL/dgamma_{number})"
        return gradients, (f"gamma_{number} / {deviation} * ({inner})",)

    def z_hat(self, x: FloatArray, memory: Memory) -> FloatArray:
        """Return the normalized input of the last pass in training, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    z, (scale, offset, running_mean, running_variance), (z_hat, statistics) = inputs[0], params, memory
    epsilon, momentum = settings
    n_rows, n_units, zero = z.shape[0], z.shape[1], epsilon - epsilon
    for unit in range(n_units):
        statistics[0, unit] = statistics[1, unit] = zero  # the variance, later its root, and the mean
    for row in range(n_rows):
        for unit in range(n_units):
            statistics[1, unit] += weights[row] * z[row, unit]
    for row in range(n_rows):
        for unit in range(n_units):
            centred = z[row, unit] - statistics[1, unit]
            z_hat[row, unit] = centred
            statistics[0, unit] += weights[row] * (centred * centred)
    unbiased = z.dtype.type(total / (total - 1.0) if total >= 2.0 else 1.0)
    for unit in range(n_units):
        running_mean[unit] += momentum * (statistics[1, unit] - running_mean[unit])
        running_variance[unit] += momentum * (unbiased * statistics[0, unit] - running_variance[unit])
        statistics[0, unit] = np.sqrt(statistics[0, unit] + epsilon)
    for row in range(n_rows):
        for unit in range(n_units):
            z_hat[row, unit] /= statistics[0, unit]
            out[row, unit] = z_hat[row, unit] * scale[unit] + offset[unit]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    (scale, _, _, _), (d_scale, d_offset, _, _), (z_hat, statistics) = params, grads, memory
    zero = settings[0] - settings[0]
    for unit in range(delta.shape[1]):
        d_scale[unit] = d_offset[unit] = zero
    for row in range(delta.shape[0]):
        for unit in range(delta.shape[1]):
            d_scale[unit] += delta[row, unit] * z_hat[row, unit]
            d_offset[unit] += delta[row, unit]
    input_delta = input_deltas[0]
    for row in range(input_delta.shape[0]):
        for unit in range(delta.shape[1]):
            common = weights[row] * (d_offset[unit] + z_hat[row, unit] * d_scale[unit])
            input_delta[row, unit] = (delta[row, unit] - common) * (scale[unit] / statistics[0, unit])


@dataclass
class BatchNorm(Normalization, name="batch"):
    """Settings of :class:`BatchNormalization`.

    Parameters
    ----------
    momentum : float, default=0.1
        How far a batch moves the running averages, in (0, 1].
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    momentum: Annotated[float, Range("(0.0, 1.0]")] = 0.1
    epsilon: Positive = 1e-5

    def layer(self, n_units: int) -> Layer:
        return BatchNormalization(n_units, self.momentum, self.epsilon, consumes_input=True)
