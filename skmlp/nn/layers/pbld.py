"""PBLD, the numeric embedding of RealMLP: cosines of learned frequencies, mixed, beside the number itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Positive, Range
from skmlp._typing import FloatArray
from skmlp.compiled.maths import cos_and_sin
from skmlp.compiled.rounding import allow_reassociation
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.layers.numeric_embedding import NumericEmbedding
from skmlp.nn.parameters import ParameterShape

__all__ = ["PBLD", "PBLDLayer"]


@dataclass(frozen=True)
class PBLDLayer(Layer):
    r"""Periodic, bias, linear, dense: a few mixtures of cosines of each feature, beside the feature.

    For feature j with F frequencies and m mixtures

    .. math::
        z_j = 2 \pi x_j w_j + b_j \in \mathbb{R}^F, \qquad
        e_j = \cos(z_j) V_j + c_j \in \mathbb{R}^m, \qquad
        out = [e_1, \dots, e_d, x_1, \dots, x_d]

    Backwards, with the error signal :math:`\delta_j` of :math:`e_j`

    .. math::
        \frac{\partial L}{\partial V_j} = \cos(z_j)^T \delta_j, \quad
        \frac{\partial L}{\partial z_j} = -\sin(z_j) \odot \delta_j V_j^T, \quad
        \frac{\partial L}{\partial w_j} = \sum 2 \pi x_j \frac{\partial L}{\partial z_j}, \quad
        \frac{\partial L}{\partial x_j} = \delta_{x_j} + 2 \pi w_j \cdot \frac{\partial L}{\partial z_j}

    Parameters
    ----------
    n_in : int
        Features.
    n_frequencies : int, default=16
        F.
    n_mixtures : int, default=3
        m.
    sigma : float, default=0.1
        Standard deviation of the initial frequencies w. The phases b are uniform in a whole turn, V and c in
        :math:`\pm 1 / \sqrt F`.
    rate_factor : float, default=0.1
        The learning rate of all parameters is the network's times this factor.
    """

    n_in: int
    n_frequencies: int = 16
    n_mixtures: int = 3
    sigma: float = 0.1
    rate_factor: float = 0.1
    needs_output = False
    symbol = "e"

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return self.n_in * (self.n_mixtures + 1)

    @property
    def n_numbers(self) -> int:
        return self.n_out + 10 * self.n_in * self.n_frequencies  # a cosine or sine takes as long as several products

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        d, rate = self.n_in, self.rate_factor
        return (
            ParameterShape("frequencies", (d, self.n_frequencies), "factor", rate),
            ParameterShape("phases", (d, self.n_frequencies), "offset", rate),
            ParameterShape("mixing", (d * self.n_mixtures, self.n_frequencies), "factor", rate),
            ParameterShape("offsets", (d, self.n_mixtures), "offset", rate),
        )

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        bound = 1.0 / math.sqrt(self.n_frequencies)
        params["frequencies"][...] = self.sigma * rng.standard_normal(params["frequencies"].shape)
        params["phases"][...] = rng.uniform(-math.pi, math.pi, params["phases"].shape)
        params["mixing"][...] = rng.uniform(-bound, bound, params["mixing"].shape)
        params["offsets"][...] = rng.uniform(-bound, bound, params["offsets"].shape)

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        angles = np.empty((n_samples, self.n_in, self.n_frequencies), dtype)
        output = np.empty((n_samples, self.n_out), dtype)
        input_delta = np.empty((n_samples, 0 if is_first else self.n_in), dtype)
        return angles, np.empty_like(angles), output, input_delta

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        angles, cosines, out, _ = memory
        np.multiply(x[:, :, np.newaxis], params["frequencies"], out=angles)
        angles *= 2.0 * math.pi
        angles += params["phases"]
        np.cos(angles, out=cosines)
        n_mixed = self.n_in * self.n_mixtures
        # One product for each feature: (n, F) by (F, m).
        mixed = np.matmul(cosines.swapaxes(0, 1), self._mixing(params).swapaxes(1, 2))
        embedded = out[:, :n_mixed].reshape(len(x), self.n_in, self.n_mixtures)  # a view
        np.add(mixed.swapaxes(0, 1), params["offsets"], out=embedded)
        out[:, n_mixed:] = x
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
        n_mixed = self.n_in * self.n_mixtures
        signals = np.ascontiguousarray(delta[:, :n_mixed].reshape(len(x), self.n_in, self.n_mixtures).swapaxes(0, 1))
        if grads is not None:
            np.matmul(signals.swapaxes(1, 2), cosines.swapaxes(0, 1), out=self._mixing(grads))
            np.sum(signals, axis=1, out=grads["offsets"])
        if grads is None and not needs_input_delta:
            return delta
        sines = np.sin(angles, out=angles)
        of_angles = sines  # dL/dz
        of_angles *= np.matmul(signals, self._mixing(params)).swapaxes(0, 1)
        np.negative(of_angles, out=of_angles)
        if grads is not None:
            np.sum(of_angles, axis=0, out=grads["phases"])
            np.einsum("ij,ijk->jk", x, of_angles, out=grads["frequencies"])
            grads["frequencies"] *= 2.0 * math.pi
        if not needs_input_delta:
            return delta
        if input_delta.shape[1] != self.n_in:  # the first layer
            input_delta = np.empty((len(x), self.n_in), delta.dtype)
        np.einsum("ijk,jk->ij", of_angles, params["frequencies"], out=input_delta)
        input_delta *= 2.0 * math.pi
        input_delta += delta[:, n_mixed:]
        return input_delta

    def _mixing(self, views: Views) -> FloatArray:
        """Return the mixing matrices, or their gradients, of shape (n_in, n_mixtures, n_frequencies)."""
        return views["mixing"].reshape(self.n_in, self.n_mixtures, self.n_frequencies)

    def kernels(self) -> Kernels:
        memory = ((-1, self.n_in * self.n_frequencies), (-1, self.n_in * self.n_frequencies))
        sizes = self.n_frequencies, self.n_mixtures
        return Kernels(_forward(*sizes), _backward(*sizes), memory=memory, settings=(2.0 * math.pi,))

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        params = trace.params
        return [
            Quantity("w", "", "frequencies", params["frequencies"]),
            Quantity("b", "", "phases", params["phases"]),
            Quantity("V", "", "mixing of the cosines", params["mixing"]),
            Quantity("c", "", "offsets", params["offsets"]),
            Quantity("e", f"[cos(2 pi {sources[0]} w + b) V + c, {sources[0]}]", "embedded numbers", trace.output),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        grads, signals = trace.grads, "dL/dz"
        gradients = [
            Quantity("dL/dV", f"cos(z)^T {signal}", "gradient of the mixing", grads["mixing"]),
            Quantity("dL/dc", f"1^T {signal}", "gradient of the offsets", grads["offsets"]),
            Quantity("dL/db", f"1^T {signals}, {signals} = -sin(z) * ({signal} V^T)", "gradient of the phases",
                     grads["phases"]),
            Quantity("dL/dw", f"2 pi {sources[0]}^T {signals}", "gradient of the frequencies", grads["frequencies"]),
        ]  # fmt: skip
        return gradients, (f"{signal} + 2 pi w {signals}",)


@cache
def _forward(n_frequencies: int, n_mixtures: int) -> Any:
    """Return the kernel for these numbers, which as constants let the compiler unroll the loops."""

    @allow_reassociation
    def forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        (x,), (frequencies, phases, mixing, offsets), (cosines, sines) = inputs, params, memory
        turn, zero, n_features = settings[0], out.dtype.type(0.0), frequencies.shape[0]
        for row in range(out.shape[0]):
            for feature in range(n_features):
                value, first = turn * x[row, feature], feature * n_frequencies
                for k in range(n_frequencies):
                    cosine, sine = cos_and_sin(value * frequencies[feature, k] + phases[feature, k])
                    cosines[row, first + k] = cosine
                    sines[row, first + k] = sine
                for m in range(n_mixtures):
                    mixture, mixed = feature * n_mixtures + m, zero
                    for k in range(n_frequencies):
                        mixed += cosines[row, first + k] * mixing[mixture, k]
                    out[row, mixture] = mixed + offsets[feature, m]
                out[row, n_features * n_mixtures + feature] = x[row, feature]

    return forward


@cache
def _backward(n_frequencies: int, n_mixtures: int) -> Any:
    @allow_reassociation
    def backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        (x,), (input_delta,), (cosines, sines) = inputs, input_deltas, memory
        frequencies, _, mixing, _ = params
        d_frequencies, d_phases, d_mixing, d_offsets = grads
        turn, zero, n_features = settings[0], delta.dtype.type(0.0), frequencies.shape[0]
        for feature in range(n_features):
            for k in range(n_frequencies):
                d_frequencies[feature, k] = d_phases[feature, k] = zero
            for m in range(n_mixtures):
                d_offsets[feature, m] = zero
                for k in range(n_frequencies):
                    d_mixing[feature * n_mixtures + m, k] = zero
        for row in range(delta.shape[0]):
            for feature in range(n_features):
                value, first = turn * x[row, feature], feature * n_frequencies
                for m in range(n_mixtures):
                    mixture = feature * n_mixtures + m
                    signal = delta[row, mixture]
                    d_offsets[feature, m] += signal
                    for k in range(n_frequencies):
                        d_mixing[mixture, k] += signal * cosines[row, first + k]
                # dL/dz takes the place of the sines. Short loops, since the compiler checks the arrays of each.
                for k in range(n_frequencies):
                    of_cosine = zero
                    for m in range(n_mixtures):
                        of_cosine += delta[row, feature * n_mixtures + m] * mixing[feature * n_mixtures + m, k]
                    sines[row, first + k] *= -of_cosine
                for k in range(n_frequencies):
                    d_phases[feature, k] += sines[row, first + k]
                for k in range(n_frequencies):
                    d_frequencies[feature, k] += value * sines[row, first + k]
                if input_delta.shape[0] > 0:
                    along = zero
                    for k in range(n_frequencies):
                        along += sines[row, first + k] * frequencies[feature, k]
                    input_delta[row, feature] = delta[row, n_features * n_mixtures + feature] + turn * along

    return backward


@dataclass
class PBLD(NumericEmbedding, name="pbld"):
    """Cosines of learned frequencies, mixed to a few numbers, beside the feature: the embedding of RealMLP.

    See :class:`PBLDLayer`.

    Parameters
    ----------
    n_frequencies : int, default=16
        At least 1.
    n_mixtures : int, default=3
        At least 1.
    sigma : float, default=0.1
        Standard deviation of the initial frequencies, positive. Larger ones fit finer patterns in a feature.
    rate_factor : float, default=0.1
        The learning rate of the embedding is the network's times this factor, positive.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", arXiv 2407.04491.
    """

    n_frequencies: Annotated[int, Range("[1, inf)")] = 16
    n_mixtures: Annotated[int, Range("[1, inf)")] = 3
    sigma: Positive = 0.1
    rate_factor: Positive = 0.1

    def layer(self, n_features: int) -> Layer:
        return PBLDLayer(n_features, self.n_frequencies, self.n_mixtures, self.sigma, self.rate_factor)
