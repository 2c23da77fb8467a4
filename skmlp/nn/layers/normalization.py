r"""Normalization: units brought to mean 0 and variance 1, then to a scale and an offset that are trained.

.. math:: \hat z = \frac{z - \mu}{\sqrt{v + \epsilon}}, \qquad z' = \gamma \odot \hat z + \beta

with mean :math:`\mu` and variance v over the batch (one pair for each unit) or over the units (one for each sample).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.compiled.rounding import allow_reassociation
from skmlp.nn.layers.base import Batch, Kernels, Layer, LayerTrace, Quantity
from skmlp.nn.parameters import ParameterShape

__all__ = [
    "NORMALIZATIONS",
    "BatchNorm",
    "BatchNormalization",
    "LayerNorm",
    "LayerNormalization",
    "Normalization",
]


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

    def initialize(self, params: Mapping[str, FloatArray]) -> None:
        params["scale"][...] = 1.0
        params["running_variance"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        weights = np.empty((n_samples, 1), dtype)
        deviation = np.empty((1, self.n_out), dtype)
        return out, scratch, weights, deviation, _memory_of_z_hat(self, n_samples, dtype)

    def forward(
        self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...], batch: Batch | None = None
    ) -> FloatArray:
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
        params: Mapping[str, FloatArray],
        grads: Mapping[str, FloatArray] | None,
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
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
            _batch_forward,
            _batch_backward,
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
        return _describe_forward(number, self.epsilon, trace, over, mean, variance, z_hat)

    def describe_backward(
        self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace
    ) -> tuple[list[Quantity], tuple[str | None, ...]]:
        gradients, z_hat, deviation = _describe_backward(number, self.epsilon, signal, trace)
        weights = "1 / S" if trace.batch is None or trace.batch.normalized_weights is None else "(s / S)"
        inner = f"{signal} - {weights} * (dL/dbeta_{number} + {z_hat} * dL/dgamma_{number})"
        return gradients, (f"gamma_{number} / {deviation} * ({inner})",)

    def z_hat(self, x: FloatArray, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the normalized input of the last pass in training, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


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

    def initialize(self, params: Mapping[str, FloatArray]) -> None:
        params["scale"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        deviation = np.empty((n_samples, 1), dtype)
        return out, scratch, deviation, _memory_of_z_hat(self, n_samples, dtype)

    def forward(
        self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...], batch: Batch | None = None
    ) -> FloatArray:
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
        params: Mapping[str, FloatArray],
        grads: Mapping[str, FloatArray] | None,
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
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
        return Kernels(
            _layer_forward, _layer_backward, memory=memory, settings=(self.epsilon,), writes_delta_in_place=True
        )

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        x = trace.x[0]
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
        z_hat = (x - mean) / trace.memory[2]
        return _describe_forward(number, self.epsilon, trace, "the units of each row", mean, variance, z_hat)

    def describe_backward(
        self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace
    ) -> tuple[list[Quantity], tuple[str | None, ...]]:
        gradients, z_hat, deviation = _describe_backward(number, self.epsilon, signal, trace)
        formula = f"(d - mean(d) - {z_hat} * mean(d * {z_hat})) / {deviation}, d = gamma_{number} * {signal}"
        return gradients, (formula,)

    def z_hat(self, x: FloatArray, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the normalized input of the last pass, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


def _memory_of_z_hat(layer: Layer, n_samples: int, dtype: DTypeLike) -> FloatArray:
    """Return the memory for the normalized input; none where it overwrites the input."""
    return np.empty((n_samples, 0 if layer.consumes_input else layer.n_out), dtype)


def _batch_forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
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


def _batch_backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
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


@allow_reassociation
def _layer_forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
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
def _layer_backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
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


def _describe_forward(
    number: int,
    epsilon: float,
    trace: LayerTrace,
    over: str,
    mean: FloatArray,
    variance: FloatArray,
    z_hat: FloatArray,
) -> list[Quantity]:
    return [
        Quantity(f"mu_{number}", f"mean of z_{number}", f"over {over}", mean),
        Quantity(f"v_{number}", f"mean of (z_{number} - mu_{number})^2", f"over {over}", variance),
        Quantity(
            f"z_hat_{number}", f"(z_{number} - mu_{number}) / sqrt(v_{number} + {epsilon:g})", "normalized", z_hat
        ),
        Quantity(f"gamma_{number}", "", "scales", trace.params["scale"]),
        Quantity(f"beta_{number}", "", "offsets", trace.params["offset"]),
        Quantity(
            f"z'_{number}", f"gamma_{number} * z_hat_{number} + beta_{number}", "scaled and shifted", trace.output
        ),
    ]


def _describe_backward(number: int, epsilon: float, signal: str, trace: LayerTrace) -> tuple[list[Quantity], str, str]:
    """Return the gradients of scales and offsets, and what the normalized input and its deviation are called."""
    z_hat, grads = f"z_hat_{number}", trace.grads
    gradients = [
        Quantity(f"dL/dgamma_{number}", f"1^T ({signal} * {z_hat})", "gradient of the scales", grads["scale"]),
        Quantity(f"dL/dbeta_{number}", f"1^T {signal}", "gradient of the offsets", grads["offset"]),
    ]
    return gradients, z_hat, f"sqrt(v_{number} + {epsilon:g})"


class Normalization(Configurable):
    """A kind of normalization between dense layers and their activations."""

    @abstractmethod
    def layer(self, n_units: int) -> Layer:
        """Return the layer for that many units, which comes after a dense layer and so may consume its input."""


@dataclass
class BatchNorm(Normalization):
    """Settings of :class:`BatchNormalization`.

    Parameters
    ----------
    momentum : float, default=0.1
        How far a batch moves the running averages, in (0, 1].
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check_range("momentum", 0.0, 1.0, low_open=True, high_open=False)
        self._check_range("epsilon", 0.0, low_open=True)

    def layer(self, n_units: int) -> Layer:
        return BatchNormalization(n_units, self.momentum, self.epsilon, consumes_input=True)


@dataclass
class LayerNorm(Normalization):
    """Settings of :class:`LayerNormalization`.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check_range("epsilon", 0.0, low_open=True)

    def layer(self, n_units: int) -> Layer:
        return LayerNormalization(n_units, self.epsilon, consumes_input=True)


NORMALIZATIONS: dict[str, type[Normalization]] = {"batch": BatchNorm, "layer": LayerNorm}
