"""Piecewise-linear embedding: functions of each number that bend at quantiles of the training data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Range
from skmlp._typing import FloatArray, IntArray
from skmlp.nn.layers.base import Batch, Described, Kernels, Layer, LayerTrace, Memory, Quantity, Views
from skmlp.nn.layers.numeric_embedding import NumericEmbedding
from skmlp.nn.parameters import ParameterShape

__all__ = ["PiecewiseLinear", "PiecewiseLinearEmbedding"]


@dataclass(frozen=True)
class PiecewiseLinearEmbedding(Layer):
    r"""A line in each feature, and besides a rise of its own in each of the feature's bins.

    With the edges :math:`q_0 < \dots < q_B` of the bins of feature j, the encoding of a number in bin t is

    .. math:: p(x) = (1, \dots, 1, \frac{x - q_t}{q_{t+1} - q_t}, 0, \dots, 0) \in \mathbb{R}^B,

    where numbers below the first edge are in the first bin and numbers beyond the last one in the last bin. The output
    has for each feature

    .. math:: e_j = x_j a_j + c_j + p(x_j) V_j \in \mathbb{R}^d .

    Backwards, with the error signal :math:`\delta_j`, samples in rows:

    .. math::
        \frac{\partial L}{\partial a_j} = x_j^T \delta_j, \qquad
        \frac{\partial L}{\partial c_j} = 1^T \delta_j, \qquad
        \frac{\partial L}{\partial V_j} = p(x_j)^T \delta_j, \qquad
        \frac{\partial L}{\partial x_j} = \delta_j \cdot \Bigl(a_j + \frac{V_{jt}}{q_{t+1} - q_t}\Bigr)

    The edges are quantiles of the training data, and stay as they are. Equal ones are taken once, so that a feature
    with few distinct values has fewer bins, and one with a single value has none. Before they are learned, no feature
    has bins.

    Parameters
    ----------
    n_in : int
        Features.
    n_bins : int, default=48
        The most bins of a feature.
    dimension : int, default=16
        d. Initially a and c are uniform in :math:`\pm 1 / \sqrt d`, and V is 0: the embedding starts as lines.

    Notes
    -----
    The product with the ones and zeros is a sum of the first rows of V. The compiled form adds them up for all bins
    once, and looks one sum up for each number.
    """

    n_in: int
    n_bins: int = 48
    dimension: int = 16
    needs_output = False
    symbol = "e"

    @property
    def n_out(self) -> int:  # type: ignore[override]
        return self.n_in * self.dimension

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("slopes", (self.n_in, self.dimension), "scale"),
            ParameterShape("offsets", (self.n_in, self.dimension), "offset"),
            ParameterShape("rises", (self.n_in * self.n_bins, self.dimension), "factor"),
            # Of a feature with fewer bins, the last edge again and again.
            ParameterShape("edges", (self.n_in, self.n_bins + 1), "statistic"),
        )

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        bound = 1.0 / math.sqrt(self.dimension)
        for name in ("slopes", "offsets"):
            params[name][...] = rng.uniform(-bound, bound, params[name].shape)
        params["rises"][...] = params["edges"][...] = 0.0

    def learn(self, params: Views, x: FloatArray) -> None:
        levels = np.linspace(0.0, 1.0, self.n_bins + 1)
        for column, edges in zip(x.T, params["edges"], strict=True):
            found = np.unique(np.quantile(column.astype(np.float64), levels).astype(edges.dtype))
            edges[: len(found)], edges[len(found) :] = found, found[-1]

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        output, encoding = np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_bins), dtype)
        return output, encoding, np.empty((n_samples, 0 if is_first else self.n_in), dtype)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        out, encoding, _ = memory
        embedded, rises = self._by_feature(out), self._rises(params)
        np.multiply(x[:, :, np.newaxis], params["slopes"], out=embedded)
        embedded += params["offsets"]
        for feature, edges in enumerate(params["edges"]):
            _encode(x[:, feature], edges, encoding)
            embedded[:, feature] += encoding @ rises[feature]
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
        _, encoding, input_delta = memory
        signals, edges = self._by_feature(delta), params["edges"]
        if grads is not None:
            np.einsum("ij,ijk->jk", x, signals, out=grads["slopes"])
            np.sum(signals, axis=0, out=grads["offsets"])
            grads["edges"][...] = 0.0
            for feature, of_rises in enumerate(self._rises(grads)):
                _encode(x[:, feature], edges[feature], encoding)
                np.matmul(encoding.T, signals[:, feature], out=of_rises)
        if not needs_input_delta:
            return delta
        if input_delta.shape[1] != self.n_in:  # the first layer
            input_delta = np.empty((len(x), self.n_in), delta.dtype)
        for feature, rises in enumerate(self._rises(params)):
            steepness = rises / _widths(edges[feature])[:, np.newaxis] + params["slopes"][feature]
            bins = _bins(x[:, feature], edges[feature])
            np.einsum("ij,ij->i", signals[:, feature], steepness[bins], out=input_delta[:, feature])
        return input_delta

    def _by_feature(self, array: FloatArray) -> FloatArray:
        """Return a view of an output or its error signal of shape (n_samples, n_in, dimension)."""
        return array.reshape(len(array), self.n_in, self.dimension)

    def _rises(self, views: Views) -> FloatArray:
        """Return the rises, or their gradients, of shape (n_in, n_bins, dimension)."""
        return views["rises"].reshape(self.n_in, self.n_bins, self.dimension)

    def kernels(self) -> Kernels:
        memory = (-1, self.n_in), (-1, self.n_in), (self.n_bins, self.dimension)
        sizes = self.n_bins, self.dimension
        return Kernels(_forward(*sizes), _backward(*sizes), memory=memory)

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        params, x = trace.params, sources[0]
        return [
            Quantity("q", "", "edges of the bins", params["edges"]),
            Quantity("a", "", "slopes", params["slopes"]),
            Quantity("c", "", "offsets", params["offsets"]),
            Quantity("V", "", "rises in the bins", params["rises"]),
            Quantity("e", f"{x} a + c + p({x}) V", "embedded numbers", trace.output),
        ]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        x, grads = sources[0], trace.grads
        gradients = [
            Quantity("dL/da", f"{x}^T {signal}", "gradient of the slopes", grads["slopes"]),
            Quantity("dL/dc", f"1^T {signal}", "gradient of the offsets", grads["offsets"]),
            Quantity("dL/dV", f"p({x})^T {signal}{trace.penalty('V')}", "gradient of the rises", grads["rises"]),
        ]
        return gradients, (f"{signal} (a + V_t / width of bin t)",)


def _widths(edges: FloatArray) -> FloatArray:
    """Return the widths of the bins; of those that a feature does not have, infinity."""
    widths = np.diff(edges)
    widths[widths <= 0.0] = np.inf
    return widths


def _encode(x: FloatArray, edges: FloatArray, out: FloatArray) -> None:
    """Write ``p(x)`` into `out`."""
    widths = _widths(edges)
    n_bins = np.count_nonzero(np.isfinite(widths))
    np.subtract(x[:, np.newaxis], edges[:-1], out=out)
    out /= widths
    below, above = out[:, : max(n_bins - 1, 0)], out[:, 1:]
    np.minimum(below, 1.0, out=below)
    np.maximum(above, 0.0, out=above)


def _bins(x: FloatArray, edges: FloatArray) -> IntArray:
    """Return the bin of each number."""
    n_bins = np.count_nonzero(np.diff(edges) > 0.0)
    bins: IntArray = np.searchsorted(edges[1 : max(n_bins, 1)], x, side="right")
    return bins


@cache
def _forward(n_bins: int, dimension: int) -> Any:
    """Return the kernel for these numbers, which as constants let the compiler unroll the loops."""

    def forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        (x,), (slopes, offsets, rises, edges), (bins, fractions, starts) = inputs, params, memory
        zero = out.dtype.type(0.0)
        for feature in range(slopes.shape[0]):
            first, begin, n_own = feature * n_bins, feature * dimension, 0
            for k in range(dimension):
                starts[0, k] = offsets[feature, k]  # the value at the beginning of each bin, without the line
            for t in range(1, n_bins):
                for k in range(dimension):
                    starts[t, k] = starts[t - 1, k] + rises[first + t - 1, k]
            for t in range(n_bins):
                n_own += edges[feature, t] < edges[feature, t + 1]
            for row in range(out.shape[0]):
                number, place, length = x[row, feature], 0, n_own
                while length > 1:
                    half = length // 2
                    place = place + half if number >= edges[feature, place + half] else place
                    length -= half
                width = edges[feature, place + 1] - edges[feature, place]
                fraction = (number - edges[feature, place]) / width if width > zero else zero
                bins[row, feature], fractions[row, feature] = place, fraction
                for k in range(dimension):
                    line = number * slopes[feature, k] + fraction * rises[first + place, k]
                    out[row, begin + k] = starts[place, k] + line

    return forward


@cache
def _backward(n_bins: int, dimension: int) -> Any:
    def backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
        (x,), (input_delta,), (bins, fractions, of_starts) = inputs, input_deltas, memory
        (slopes, _, rises, edges), (d_slopes, d_offsets, d_rises, _) = params, grads
        zero = delta.dtype.type(0.0)
        for feature in range(slopes.shape[0]):
            first, begin = feature * n_bins, feature * dimension
            for k in range(dimension):
                d_slopes[feature, k] = d_offsets[feature, k] = zero
            for t in range(n_bins):
                for k in range(dimension):
                    of_starts[t, k] = d_rises[first + t, k] = zero
            for row in range(delta.shape[0]):
                number, place, fraction = x[row, feature], int(bins[row, feature]), fractions[row, feature]
                # Short loops, since the compiler checks the arrays of each.
                for k in range(dimension):
                    of_starts[place, k] += delta[row, begin + k]
                for k in range(dimension):
                    d_rises[first + place, k] += fraction * delta[row, begin + k]
                for k in range(dimension):
                    d_slopes[feature, k] += number * delta[row, begin + k]
                if input_delta.shape[0] > 0:
                    width, along = edges[feature, place + 1] - edges[feature, place], zero
                    inverse = delta.dtype.type(1.0) / width if width > zero else zero
                    for k in range(dimension):
                        along += delta[row, begin + k] * (slopes[feature, k] + inverse * rises[first + place, k])
                    input_delta[row, feature] = along
            for back in range(n_bins):  # a rise lifts the beginnings of all later bins
                t = n_bins - 1 - back
                for k in range(dimension):
                    d_rises[first + t, k] += d_offsets[feature, k]
                    d_offsets[feature, k] += of_starts[t, k]

    return backward


@dataclass
class PiecewiseLinear(NumericEmbedding, name="piecewise_linear"):
    """Functions of each feature that bend at quantiles of the training data: the embedding of TabM.

    See :class:`PiecewiseLinearEmbedding`.

    Parameters
    ----------
    n_bins : int, default=48
        The most bins of a feature, at least 1.
    dimension : int, default=16
        Numbers for each feature, at least 1.

    References
    ----------
    Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular deep learning", NeurIPS,
    arXiv 2203.05556; Gorishniy, Kotelnikov and Babenko (2025), "TabM", ICLR, arXiv 2410.24210.
    """

    n_bins: Annotated[int, Range("[1, inf)")] = 48
    dimension: Annotated[int, Range("[1, inf)")] = 16

    def layer(self, n_features: int) -> Layer:
        return PiecewiseLinearEmbedding(n_features, self.n_bins, self.dimension)
