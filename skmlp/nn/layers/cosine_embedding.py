"""Cosine embedding: each number and cosines of it, every one of them with a scale and an offset of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Positive, Range
from skmlp._typing import FloatArray
from skmlp.compiled.maths import cos_and_sin, flat
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.layers.numeric_embedding import NumericEmbedding
from skmlp.nn.parameters import ParameterShape

__all__ = ["Cosine", "CosineEmbedding"]

# Initial frequencies beyond so many standard deviations are drawn again.
FARTHEST = 3.0


@dataclass(frozen=True)
class CosineEmbedding(Layer):
    r"""The feature and cosines of it, scaled and shifted, without a product that mixes them.

    For feature j and k = 1, ..., m, with m + 1 numbers for each feature

    .. math::
        u_{0j} = x_j, \qquad u_{kj} = \cos z_{kj}, \qquad z_{kj} = 2 \pi (w_{kj} x_j + b_{kj}), \qquad
        e_{kj} = r_{kj} u_{kj} + c_{kj} .

    The output has :math:`e_0` of all features, then :math:`e_1`, and so on. Backwards, with the error signal
    :math:`\delta` of e

    .. math::
        \frac{\partial L}{\partial r} = \sum \delta \odot u, \quad
        \frac{\partial L}{\partial c} = \sum \delta, \quad
        \frac{\partial L}{\partial b_k} = \sum \tau_k, \quad
        \frac{\partial L}{\partial w_k} = \sum x \odot \tau_k, \quad
        \tau_k = -2 \pi \sin z_k \odot r_k \odot \delta_k

    and :math:`\partial L / \partial x = r_0 \odot \delta_0 + \sum_k w_k \odot \tau_k`.

    Parameters
    ----------
    n_in : int
        Features.
    dimension : int, default=8
        m + 1.
    sigma : float, default=0.3
        Standard deviation of the initial frequencies w, before those beyond three times of it are drawn again. The
        phases b, the scales r and the offsets c are 0: a network starts from its biases alone, which must not be 0,
        and takes up features as they help.
    """

    n_in: int
    dimension: int = 8
    sigma: float = 0.3
    needs_output = False
    starts_at_zero = True
    symbol = "e"

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return self.n_in * self.dimension

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        cosines, numbers = (self.dimension - 1, self.n_in), (self.dimension, self.n_in)
        return (
            ParameterShape("frequencies", cosines, "scale"),
            ParameterShape("phases", cosines, "offset"),
            ParameterShape("scales", numbers, "scale"),
            ParameterShape("offsets", numbers, "offset"),
        )

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        params["frequencies"][...] = self.sigma * _truncated_normal(rng, params["frequencies"].shape)
        for name in ("phases", "scales", "offsets"):
            params[name][...] = 0.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        angles = np.empty((n_samples, self.dimension - 1, self.n_in), dtype)
        output = np.empty((n_samples, self.n_out), dtype)
        input_delta = np.empty((n_samples, 0 if is_first else self.n_in), dtype)
        return angles, np.empty_like(angles), output, input_delta

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        angles, cosines, out, _ = memory
        np.multiply(x[:, np.newaxis, :], params["frequencies"], out=angles)
        angles += params["phases"]
        angles *= 2.0 * math.pi
        np.cos(angles, out=cosines)
        numbers = self._numbers(out)
        numbers[:, 0], numbers[:, 1:] = x, cosines
        numbers *= params["scales"]
        numbers += params["offsets"]
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
        angles, cosines, _, input_delta = memory
        signals, frequencies = self._numbers(delta), params["frequencies"]
        if grads is not None:
            np.sum(signals, axis=0, out=grads["offsets"])
            np.einsum("ij,ij->j", signals[:, 0], x, out=grads["scales"][0])
            np.einsum("ikj,ikj->kj", signals[:, 1:], cosines, out=grads["scales"][1:])
        elif not needs_input_delta:
            return delta
        of_turns = np.sin(angles, out=angles)
        of_turns *= signals[:, 1:]
        of_turns *= (-2.0 * math.pi) * params["scales"][1:]
        if grads is not None:
            np.sum(of_turns, axis=0, out=grads["phases"])
            np.einsum("ij,ikj->kj", x, of_turns, out=grads["frequencies"])
        if not needs_input_delta:
            return delta
        if input_delta.shape[1] != self.n_in:  # the first layer
            input_delta = np.empty((len(x), self.n_in), delta.dtype)
        np.einsum("ikj,kj->ij", of_turns, frequencies, out=input_delta)
        input_delta += signals[:, 0] * params["scales"][0]
        return input_delta

    def _numbers(self, array: FloatArray) -> FloatArray:
        """Return a view of an output or its error signal with the numbers of a feature along the second axis."""
        return array.reshape(len(array), self.dimension, self.n_in)

    def kernels(self) -> Kernels:
        n_cosines = (self.dimension - 1) * self.n_in
        return Kernels(_forward, _backward, memory=((-1, n_cosines), (-1, n_cosines)), settings=(2.0 * math.pi,))

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        params, x = trace.params, sources[0]
        return [
            Quantity("w", "", "frequencies", params["frequencies"]),
            Quantity("b", "", "phases, in turns", params["phases"]),
            Quantity("r", "", "scales", params["scales"]),
            Quantity("c", "", "offsets", params["offsets"]),
            Quantity("e", f"r * [{x}, cos(2 pi ({x} w + b))] + c", "embedded numbers", trace.output),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        x, grads = sources[0], trace.grads
        tau = f"-2 pi sin(2 pi ({x} w + b)) * r * {signal}"
        gradients = [
            Quantity("dL/dr", f"1^T ({signal} * [{x}, cos(2 pi ({x} w + b))])", "gradient of the scales",
                     grads["scales"]),
            Quantity("dL/dc", f"1^T {signal}", "gradient of the offsets", grads["offsets"]),
            Quantity("dL/db", f"1^T tau, tau = {tau}", "gradient of the phases", grads["phases"]),
            Quantity("dL/dw", f"{x}^T tau", "gradient of the frequencies", grads["frequencies"]),
        ]  # fmt: skip
        return gradients, (f"r {signal} + w tau",)


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Draw from the normal distribution between -`FARTHEST` and `FARTHEST`."""
    values = rng.standard_normal(shape)
    while (beyond := np.abs(values) > FARTHEST).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
    return values


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    (x,), (frequencies, phases, scales, offsets), (cosines, sines) = inputs, params, memory
    turn, n_cosines, n_features = settings[0], frequencies.shape[0], frequencies.shape[1]
    for row in range(out.shape[0]):
        for k in range(n_cosines):
            for feature in range(n_features):
                angle = turn * (x[row, feature] * frequencies[k, feature] + phases[k, feature])
                sines[row, k * n_features + feature] = angle
    # Loops as long as can be: what is left over of a loop over vectors is computed one by one.
    of_cosines, of_sines = flat(cosines), flat(sines)
    for i in range(of_cosines.size):
        of_cosines[i], of_sines[i] = cos_and_sin(of_sines[i])
    scale, offset = flat(scales), flat(offsets)
    for row in range(out.shape[0]):
        for feature in range(n_features):
            out[row, feature] = x[row, feature] * scale[feature] + offset[feature]
        for i in range(cosines.shape[1]):
            out[row, n_features + i] = cosines[row, i] * scale[n_features + i] + offset[n_features + i]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    (x,), (input_delta,), (cosines, sines), (frequencies, _, scales, _) = inputs, input_deltas, memory, params
    d_frequencies, d_phase, d_scale, d_offset = grads[0], flat(grads[1]), flat(grads[2]), flat(grads[3])
    turn, zero, scale, n_features = settings[0], delta.dtype.type(0.0), flat(scales), x.shape[1]
    for i in range(d_scale.size):
        d_scale[i] = d_offset[i] = zero
    for i in range(d_phase.size):
        d_phase[i] = zero
    for k in range(d_frequencies.shape[0]):
        for feature in range(n_features):
            d_frequencies[k, feature] = zero
    for row in range(delta.shape[0]):
        # Short loops, since the compiler checks the arrays of each.
        for i in range(d_offset.size):
            d_offset[i] += delta[row, i]
        for feature in range(n_features):
            d_scale[feature] += delta[row, feature] * x[row, feature]
        for i in range(cosines.shape[1]):
            d_scale[n_features + i] += delta[row, n_features + i] * cosines[row, i]
        for i in range(cosines.shape[1]):  # the error signals of w x + b take the place of the sines
            sines[row, i] *= -turn * (delta[row, n_features + i] * scale[n_features + i])
        for i in range(cosines.shape[1]):
            d_phase[i] += sines[row, i]
        for k in range(d_frequencies.shape[0]):
            for feature in range(n_features):
                d_frequencies[k, feature] += x[row, feature] * sines[row, k * n_features + feature]
    for row in range(input_delta.shape[0]):
        for feature in range(n_features):
            input_delta[row, feature] = delta[row, feature] * scale[feature]
        for k in range(frequencies.shape[0]):
            for feature in range(n_features):
                input_delta[row, feature] += sines[row, k * n_features + feature] * frequencies[k, feature]


@dataclass
class Cosine(NumericEmbedding, name="cosine"):
    """Cosines of learned frequencies beside the feature, each scaled and shifted: the embedding of TabPack.

    See :class:`CosineEmbedding`.

    Parameters
    ----------
    dimension : int, default=8
        Numbers for each feature, the feature itself among them; at least 2.
    sigma : float, default=0.3
        Standard deviation of the initial frequencies, positive. Larger ones fit finer patterns in a feature.

    References
    ----------
    "TabPack" (2026), arXiv 2607.05380.
    """

    dimension: Annotated[int, Range("[2, inf)")] = 8
    sigma: Positive = 0.3

    def layer(self, n_features: int) -> Layer:
        return CosineEmbedding(n_features, self.dimension, self.sigma)
