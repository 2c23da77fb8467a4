"""The three matrix products of a layer: forward, gradient of the weights, error signal of the layer before.

Small ones are computed here, where a call of BLAS would cost as much as its work or more; the others by BLAS. The
method is that of all fast products [1]_: a panel, as many columns of the right matrix as a row of lanes has, is copied
into adjacent memory; then a tile, six rows of the left matrix times the panel, is summed up in registers.

References
----------
.. [1] Goto, van de Geijn (2008). "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3).
"""

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled.intrinsics import BYTES, add_multiple, element, load, matrix, multiple, store, stretch, width
from skmlp.compiled.jit import exact, inlined, reordering

__all__ = ["LARGE", "LARGE_ALONE", "error_signal", "forward", "panel_size", "weight_gradient"]

# Multiplications beyond which BLAS is faster: where it shares them between threads, and where it has one.
LARGE, LARGE_ALONE = 8_000_000, 64_000_000

# Rows of a tile: as many as registers hold the sums of. For fewer samples, or inputs, plain loops do.
TILE = 6


# A column of `x` whose elements are so many bytes apart falls into few places of the first cache, and does not stay.
# To copy a tile's columns pays when they meet a few panels, and are not too short.
FAR, FEW_PANELS, SHORT = 1024, 8, 48

# Panels that are used together, in bytes: half of a usual second cache.
TOGETHER = 256 * 1024


def panel_size(longest: int, itemsize: int) -> int:
    """Return the elements of memory for panels of that many rows, and for the left side of a tile, or its result."""
    n_lanes, n_panels = BYTES // itemsize, max(1, TOGETHER // (longest * BYTES))
    return n_panels * longest * n_lanes + TILE * max(longest, n_lanes)


@inlined
def forward(x: FloatArray, weights: FloatArray, out: FloatArray, panel: FloatArray, large: int) -> None:
    """Write ``x @ weights``, of shape (n_samples, n_out), into `out`."""
    n_rows, n_in, n_out = x.shape[0], x.shape[1], weights.shape[1]
    if n_rows < TILE:
        _row_by_row(x, weights, out)
    elif n_out < width(out) or n_rows * n_in * n_out > large:
        np.dot(x, weights, out)
    else:
        _product(x, x.strides, weights, weights.strides, n_in, out, panel)


@inlined
def weight_gradient(x: FloatArray, delta: FloatArray, out: FloatArray, panel: FloatArray, large: int) -> None:
    """Write ``x.T @ delta``, of shape (n_in, n_out), into `out`."""
    n_rows, n_in, n_out = x.shape[0], x.shape[1], delta.shape[1]
    if min(n_rows, n_in) < TILE:
        _row_by_row(x.T, delta, out)
    elif n_out == 1 or n_rows * n_in * n_out > large:
        np.dot(x.T, delta, out)
    elif n_in * x.itemsize >= FAR and n_out >= FEW_PANELS * width(out) and n_rows >= SHORT:
        _product_of_columns(x, delta, out, panel)
    else:
        _product(x, x.T.strides, delta, delta.strides, n_rows, out, panel)


@inlined
def error_signal(delta: FloatArray, weights: FloatArray, out: FloatArray, panel: FloatArray, large: int) -> None:
    """Write ``delta @ weights.T``, of shape (n_samples, n_in), into `out`."""
    n_rows, n_in, n_out = delta.shape[0], weights.shape[0], delta.shape[1]
    if n_rows < TILE:
        _error_signal_row_by_row(delta, weights, out)
    elif n_in < width(out) or n_rows * n_in * n_out > large:
        np.dot(delta, weights.T, out)
    else:
        _product(delta, delta.strides, weights, weights.T.strides, n_out, out, panel)


@exact
def _row_by_row(left: FloatArray, right: FloatArray, out: FloatArray) -> None:
    """Write ``left @ right``, adding up multiples of the rows of `right`."""
    for row in range(left.shape[0]):
        for column in range(right.shape[1]):
            out[row, column] = left[row, 0] * right[0, column]
        for k in range(1, right.shape[0]):
            for column in range(right.shape[1]):
                out[row, column] += left[row, k] * right[k, column]


@reordering
def _error_signal_row_by_row(delta: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    """Write ``delta @ weights.T``, as products of rows: those of the transpose do not lie together."""
    for row in range(delta.shape[0]):
        for k in range(weights.shape[0]):
            total = delta[row, 0] * weights[k, 0]
            for j in range(1, weights.shape[1]):
                total += delta[row, j] * weights[k, j]
            out[row, k] = total


@exact
def _product(
    left: FloatArray,
    left_strides: tuple[int, int],
    right: FloatArray,
    right_strides: tuple[int, int],
    n_k: int,
    out: FloatArray,
    panel: FloatArray,
) -> None:
    """Write the sums over k of ``left[row, k] * right[k, column]`` into `out`.

    Parameters
    ----------
    left, right : ndarray
        Contiguous; their strides, in bytes, may be those of the transposes.
    n_k : int
    out : ndarray of shape (n_rows, n_columns)
        Of at least TILE rows.
    panel : ndarray of shape (panel_size(n_k, itemsize),)
        Is overwritten.
    """
    n_rows, n_columns = out.shape
    left_row, left_k = left_strides[0] // left.itemsize, left_strides[1] // left.itemsize
    right_k, right_column = right_strides[0] // right.itemsize, right_strides[1] // right.itemsize
    n_lanes = width(out)
    n_wide = min(n_lanes, n_columns)
    narrow = matrix(panel, n_k * n_lanes, TILE, n_lanes)
    for next_column in range(0, n_columns, n_lanes):
        # The last panel and the last tile overlap those before, rather than being smaller.
        column = min(next_column, n_columns - n_wide)
        _fill(panel, right, column * right_column, right_k, right_column, n_k, n_wide)
        for next_row in range(0, n_rows, TILE):
            row = min(next_row, n_rows - TILE)
            if n_wide == n_lanes:
                _tile(left, row * left_row, left_row, left_k, n_k, panel, out, row * n_columns + column)
            else:  # a tile is wider than `out`
                _tile(left, row * left_row, left_row, left_k, n_k, panel, narrow, 0)
                for i in range(TILE):
                    for j in range(n_columns):
                        out[row + i, j] = narrow[i, j]


@exact
def _product_of_columns(x: FloatArray, delta: FloatArray, out: FloatArray, panel: FloatArray) -> None:
    """Write ``x.T @ delta``, for columns of `x` whose elements are far apart.

    As many panels as the second cache holds are filled, so that the columns of a tile need to be copied once for all of
    them.
    """
    n_k, n_rows, n_columns, n_lanes = x.shape[0], x.shape[1], delta.shape[1], width(out)
    size = n_k * n_lanes
    n_panels = (panel.size - n_k * TILE) // size
    copied = stretch(panel, n_panels * size, n_panels * size + n_k * TILE)
    for begin in range(0, n_columns, n_panels * n_lanes):
        end = min(begin + n_panels * n_lanes, n_columns)
        for next_column in range(begin, end, n_lanes):
            column, to = min(next_column, n_columns - n_lanes), (next_column - begin) * n_k
            _fill(stretch(panel, to, to + size), delta, column, n_columns, 1, n_k, n_lanes)
        for next_row in range(0, n_rows, TILE):
            row = min(next_row, n_rows - TILE)
            for k in range(n_k):
                for i in range(TILE):
                    copied[k * TILE + i] = element(x, k * n_rows + row + i)
            for next_column in range(begin, end, n_lanes):
                column, to = min(next_column, n_columns - n_lanes), (next_column - begin) * n_k
                _tile(copied, 0, 1, TILE, n_k, stretch(panel, to, to + size), out, row * n_columns + column)


@exact
def _fill(
    panel: FloatArray, right: FloatArray, start: int, right_k: int, right_column: int, n_k: int, n_wide: int
) -> None:
    """Copy `n_wide` columns, the first of which begins at `start`; what the others hold does not matter."""
    n_lanes = width(panel)
    if right_column == 1:
        for k in range(n_k):
            if n_wide == n_lanes:
                store(panel, k * n_lanes, load(right, start + k * right_k))
            else:
                for j in range(n_wide):
                    panel[k * n_lanes + j] = element(right, start + k * right_k + j)
    else:
        for j in range(n_wide):
            for k in range(n_k):
                panel[k * n_lanes + j] = element(right, start + j * right_column + k * right_k)


@exact
def _tile(
    left: FloatArray,
    start: int,
    left_row: int,
    left_k: int,
    n_k: int,
    panel: FloatArray,
    out: FloatArray,
    to: int,
) -> None:
    """Write six rows of a product, from the element `to` on."""
    n_lanes, out_row = width(panel), out.shape[1]
    at_0, at_1, at_2 = start, start + left_row, start + 2 * left_row
    at_3, at_4, at_5 = start + 3 * left_row, start + 4 * left_row, start + 5 * left_row
    row = load(panel, 0)
    sum_0, sum_1 = multiple(element(left, at_0), row), multiple(element(left, at_1), row)
    sum_2, sum_3 = multiple(element(left, at_2), row), multiple(element(left, at_3), row)
    sum_4, sum_5 = multiple(element(left, at_4), row), multiple(element(left, at_5), row)
    for k in range(1, n_k):
        row, ahead = load(panel, k * n_lanes), k * left_k
        sum_0 = add_multiple(sum_0, element(left, at_0 + ahead), row)
        sum_1 = add_multiple(sum_1, element(left, at_1 + ahead), row)
        sum_2 = add_multiple(sum_2, element(left, at_2 + ahead), row)
        sum_3 = add_multiple(sum_3, element(left, at_3 + ahead), row)
        sum_4 = add_multiple(sum_4, element(left, at_4 + ahead), row)
        sum_5 = add_multiple(sum_5, element(left, at_5 + ahead), row)
    store(out, to, sum_0)
    store(out, to + out_row, sum_1)
    store(out, to + 2 * out_row, sum_2)
    store(out, to + 3 * out_row, sum_3)
    store(out, to + 4 * out_row, sum_4)
    store(out, to + 5 * out_row, sum_5)
