"""The matrix products of a dense layer, for its kernel.

As written here they show what is computed. When a kernel is compiled, the versions of
:mod:`skmlp.compiled.fast_products` take their place.
"""

import numpy as np

from skmlp._typing import FloatArray

__all__ = [
    "BYTES",
    "LARGE",
    "LARGE_ALONE",
    "TILE",
    "error_signal",
    "forward",
    "panel_size",
    "weight_gradient",
]

# Multiplications beyond which BLAS is faster: where it shares them between threads, and where it has one.
LARGE, LARGE_ALONE = 8_000_000, 64_000_000

# The rows of a tile, of which the sums are kept in registers; the bytes of a row of lanes, a cache line; and the bytes
# of panels that are used together, half of a usual second-level cache.
TILE, BYTES, TOGETHER = 6, 64, 256 * 1024


def panel_size(longest: int, itemsize: int) -> int:
    """Return how many numbers of memory the products need whose matrices have no side longer than `longest`."""
    n_lanes, n_panels = BYTES // itemsize, max(1, TOGETHER // (longest * BYTES))
    return n_panels * longest * n_lanes + TILE * max(longest, n_lanes)


def forward(
    x: FloatArray, weights: FloatArray, biases: FloatArray, out: FloatArray, panel: FloatArray, large: float
) -> None:
    """Write ``x @ weights + biases``, of shape (n_samples, n_out), into `out`.

    `panel` is memory of :func:`panel_size` numbers; BLAS computes products of more than `large` multiplications.
    """
    np.matmul(x, weights, out=out)
    out += biases


def weight_gradient(
    x: FloatArray, delta: FloatArray, out: FloatArray, bias_gradient: FloatArray, panel: FloatArray, large: float
) -> None:
    """Write ``x.T @ delta``, of shape (n_in, n_out), into `out`, and the sums of the columns of `delta`."""
    np.matmul(x.T, delta, out=out)
    np.sum(delta, axis=0, out=bias_gradient)


def error_signal(delta: FloatArray, weights: FloatArray, out: FloatArray, panel: FloatArray, large: float) -> None:
    """Write ``delta @ weights.T``, of shape (n_samples, n_in), into `out`."""
    np.matmul(delta, weights.T, out=out)
