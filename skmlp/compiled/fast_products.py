"""The matrix products of :mod:`skmlp.compiled.products`, compiled.

Small ones are computed here, where a call of BLAS would cost as much as its work or more; the others by BLAS. The
method is that of all fast products [1]_: a panel, as many columns of the right matrix as a row of lanes has, is copied
into adjacent memory; then a tile, six rows of the left matrix times the panel, is summed up in registers.

References
----------
.. [1] Goto, van de Geijn (2008). "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3).
"""

from typing import Any

from skmlp._typing import FloatArray
from skmlp.compiled.intrinsics import add, add_multiple, element, gemm, load, matrix, store, stretch, width, zeros
from skmlp.compiled.products import TILE
from skmlp.compiled.rounding import allow_reassociation

__all__ = ["error_signal", "forward", "weight_gradient"]

# A column of `x` whose elements are so many bytes apart falls into few places of the first-level cache, and does not
# stay there. Copying the columns of a tile pays when they meet a few panels and are not too short.
FAR, FEW_PANELS, SHORT = 1024, 8, 48


def forward(
    x: FloatArray, weights: FloatArray, biases: FloatArray, out: FloatArray, panel: FloatArray, large: float
) -> None:
    """Write ``x @ weights + biases``, of shape (n_samples, n_out), into `out`."""
    n_rows, n_in, n_out = x.shape[0], x.shape[1], weights.shape[1]
    if n_out == 1:
        _products_of_rows(x, weights, biases, out)
    elif n_rows < TILE:
        _row_by_row(x, weights, biases, out)
    elif n_out < width(out) or n_rows * n_in * n_out > large:
        gemm(False, False, n_rows, n_out, n_in, x, n_in, weights, n_out, out)
        _add_to_rows(biases, out)
    else:
        _product(x, n_in, 1, weights, n_out, 1, n_in, biases, out, stretch(biases, 0, 0), panel)


def weight_gradient(
    x: FloatArray, delta: FloatArray, out: FloatArray, bias_gradient: FloatArray, panel: FloatArray, large: float
) -> None:
    """Write ``x.T @ delta``, of shape (n_in, n_out), into `out`, and the sums of the columns of `delta`."""
    n_rows, n_in, n_out = x.shape[0], x.shape[1], delta.shape[1]
    if n_out == 1:
        _sum_of_rows(x, delta, out)
        bias_gradient[0] = _sum(delta)
    elif min(n_rows, n_in) < TILE:
        _columns_by_row(x, delta, out)
        _column_sums(delta, bias_gradient)
    elif n_rows * n_in * n_out > large:
        gemm(True, False, n_in, n_out, n_rows, x, n_in, delta, n_out, out)
        _column_sums(delta, bias_gradient)
    elif n_in * x.itemsize >= FAR and n_out >= FEW_PANELS * width(out) and n_rows >= SHORT:
        _product_of_columns(x, delta, out, bias_gradient, panel)
    else:
        _product(x, 1, n_in, delta, n_out, 1, n_rows, stretch(bias_gradient, 0, 0), out, bias_gradient, panel)


def error_signal(delta: FloatArray, weights: FloatArray, out: FloatArray, panel: FloatArray, large: float) -> None:
    """Write ``delta @ weights.T``, of shape (n_samples, n_in), into `out`."""
    n_rows, n_in, n_out = delta.shape[0], weights.shape[0], delta.shape[1]
    nothing = stretch(panel, 0, 0)
    if n_rows < TILE:
        _error_signal_row_by_row(delta, weights, out)
    elif n_in < width(out) or n_rows * n_in * n_out > large:
        gemm(False, True, n_rows, n_in, n_out, delta, n_out, weights, n_out, out)
    else:
        _product(delta, n_out, 1, weights, 1, n_out, n_out, nothing, out, nothing, panel)


@allow_reassociation
def _products_of_rows(x: FloatArray, weights: FloatArray, biases: FloatArray, out: FloatArray) -> None:
    """Write ``x @ weights + biases`` for weights with one column."""
    for row in range(x.shape[0]):
        total = x[row, 0] * weights[0, 0]
        for k in range(1, x.shape[1]):
            total += x[row, k] * weights[k, 0]
        out[row, 0] = total + biases[0]


def _sum_of_rows(x: FloatArray, delta: FloatArray, out: FloatArray) -> None:
    """Write ``x.T @ delta`` for a delta with one column."""
    for i in range(x.shape[1]):
        out[i, 0] = x[0, i] * delta[0, 0]
    for row in range(1, x.shape[0]):
        for i in range(x.shape[1]):
            out[i, 0] += x[row, i] * delta[row, 0]


@allow_reassociation
def _sum(column: FloatArray) -> Any:
    total = element(column, 0)
    for row in range(1, column.shape[0]):
        total += element(column, row)
    return total


def _row_by_row(x: FloatArray, weights: FloatArray, biases: FloatArray, out: FloatArray) -> None:
    """Write ``x @ weights + biases``, adding up multiples of the rows of `weights`."""
    for row in range(x.shape[0]):
        for column in range(weights.shape[1]):
            out[row, column] = biases[column]
        for k in range(weights.shape[0]):
            for column in range(weights.shape[1]):
                out[row, column] += x[row, k] * weights[k, column]


def _columns_by_row(x: FloatArray, delta: FloatArray, out: FloatArray) -> None:
    """Write ``x.T @ delta``, adding up multiples of the rows of `delta`."""
    for i in range(x.shape[1]):
        for column in range(delta.shape[1]):
            out[i, column] = x[0, i] * delta[0, column]
        for k in range(1, x.shape[0]):
            for column in range(delta.shape[1]):
                out[i, column] += x[k, i] * delta[k, column]


@allow_reassociation
def _error_signal_row_by_row(delta: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    """Write ``delta @ weights.T``, as products of rows: those of the transpose do not lie together."""
    for row in range(delta.shape[0]):
        for k in range(weights.shape[0]):
            total = delta[row, 0] * weights[k, 0]
            for j in range(1, weights.shape[1]):
                total += delta[row, j] * weights[k, j]
            out[row, k] = total


def _add_to_rows(biases: FloatArray, out: FloatArray) -> None:
    for row in range(out.shape[0]):
        for unit in range(out.shape[1]):
            out[row, unit] += biases[unit]


def _column_sums(delta: FloatArray, out: FloatArray) -> None:
    for unit in range(delta.shape[1]):
        out[unit] = delta[0, unit]
    for row in range(1, delta.shape[0]):
        for unit in range(delta.shape[1]):
            out[unit] += delta[row, unit]


def _product(
    left: FloatArray,
    left_row: int,
    left_k: int,
    right: FloatArray,
    right_k: int,
    right_column: int,
    n_k: int,
    biases: FloatArray,
    out: FloatArray,
    sums: FloatArray,
    panel: FloatArray,
) -> None:
    """Write the sums over k of ``left[row, k] * right[k, column]`` into `out`, on top of the biases.

    Parameters
    ----------
    left, right : ndarray
        Contiguous.
    left_row, left_k, right_k, right_column : int
        How many elements apart neighbours are along each axis; those of the transposes, too.
    n_k : int
    biases : ndarray of shape (n_columns,) or (0,)
    out : ndarray of shape (n_rows, n_columns)
        With at least TILE rows.
    sums : ndarray of shape (n_columns,) or (0,)
        Receives the sums of the columns of `right`.
    panel : ndarray of shape (panel_size(n_k, itemsize),)
        Is overwritten.
    """
    n_rows, n_columns = out.shape
    n_lanes = width(out)
    n_wide = min(n_lanes, n_columns)
    narrow = matrix(panel, n_k * n_lanes, TILE, n_lanes)
    for next_column in range(0, n_columns, n_lanes):
        # The last panel and the last tile overlap those before, rather than being smaller.
        column = min(next_column, n_columns - n_wide)
        _fill(panel, right, column * right_column, right_k, right_column, n_k, n_wide)
        if sums.size > 0:
            store(narrow, 0, _sum_of_panel(panel, n_k))
            for j in range(n_wide):
                sums[column + j] = narrow[0, j]
        for j in range(n_wide):
            narrow[0, j] = biases[column + j] if biases.size > 0 else 0.0
        start = load(narrow, 0)
        for next_row in range(0, n_rows, TILE):
            row = min(next_row, n_rows - TILE)
            if n_wide == n_lanes:
                _tile(left, row * left_row, left_row, left_k, n_k, panel, start, out, row * n_columns + column)
            else:  # a tile is wider than `out`
                _tile(left, row * left_row, left_row, left_k, n_k, panel, start, narrow, 0)
                for i in range(TILE):
                    for j in range(n_columns):
                        out[row + i, j] = narrow[i, j]


def _product_of_columns(x: FloatArray, delta: FloatArray, out: FloatArray, sums: FloatArray, panel: FloatArray) -> None:
    """Write ``x.T @ delta``, for columns of `x` whose elements are far apart, and the sums of the columns of `delta`.

    As many panels as the second-level cache holds are filled, so that the columns of a tile need to be copied once for
    all of them.
    """
    n_k, n_rows, n_columns, n_lanes = x.shape[0], x.shape[1], delta.shape[1], width(out)
    size = n_k * n_lanes
    n_panels = (panel.size - n_k * TILE) // size
    copied = stretch(panel, n_panels * size, n_panels * size + n_k * TILE)
    start = zeros(out)
    for begin in range(0, n_columns, n_panels * n_lanes):
        end = min(begin + n_panels * n_lanes, n_columns)
        for next_column in range(begin, end, n_lanes):
            column, to = min(next_column, n_columns - n_lanes), (next_column - begin) * n_k
            filled = stretch(panel, to, to + size)
            _fill(filled, delta, column, n_columns, 1, n_k, n_lanes)
            store(sums, column, _sum_of_panel(filled, n_k))
        for next_row in range(0, n_rows, TILE):
            row = min(next_row, n_rows - TILE)
            for k in range(n_k):
                for i in range(TILE):
                    copied[k * TILE + i] = element(x, k * n_rows + row + i)
            for next_column in range(begin, end, n_lanes):
                column, to = min(next_column, n_columns - n_lanes), (next_column - begin) * n_k
                filled = stretch(panel, to, to + size)
                _tile(copied, 0, 1, TILE, n_k, filled, start, out, row * n_columns + column)


def _fill(
    panel: FloatArray, right: FloatArray, start: int, right_k: int, right_column: int, n_k: int, n_wide: int
) -> None:
    """Copy `n_wide` columns, the first of which begins at `start`; other lanes do not matter."""
    n_lanes = width(panel)
    if right_column == 1 and n_wide == n_lanes:
        for k in range(n_k):
            store(panel, k * n_lanes, load(right, start + k * right_k))
    else:
        for j in range(n_wide):
            for k in range(n_k):
                panel[k * n_lanes + j] = element(right, start + j * right_column + k * right_k)


def _sum_of_panel(panel: FloatArray, n_k: int) -> Any:
    """Return the sums of the columns of a panel."""
    total = zeros(panel)
    for k in range(n_k):
        total = add(total, load(panel, k * width(panel)))
    return total


def _tile(
    left: FloatArray,
    first: int,
    left_row: int,
    left_k: int,
    n_k: int,
    panel: FloatArray,
    start: Any,
    out: FloatArray,
    to: int,
) -> None:
    """Write six rows of a product on top of `start`, from the element `to` on."""
    n_lanes, out_row = width(panel), out.shape[1]
    at_0, at_1, at_2 = first, first + left_row, first + 2 * left_row
    at_3, at_4, at_5 = first + 3 * left_row, first + 4 * left_row, first + 5 * left_row
    sum_0, sum_1, sum_2, sum_3, sum_4, sum_5 = start, start, start, start, start, start
    for k in range(n_k):
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
