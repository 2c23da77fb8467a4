"""The products of small matrices against NumPy's in double precision."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from numba import njit

from skmlp.compiled import products
from skmlp.compiled.intrinsics import matrix

# One, few and many samples; sizes around a tile of 6 and rows of 8 (float64) and 16 lanes (float32); one for BLAS; and
# inputs whose columns are copied, with one group of panels and with several.
N_SAMPLES = (1, 2, 3, 4, 5, 7, 8, 33)
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 40)
BY_BLAS = [(100, 60, 50)]
FAR = [(48, 256, 128), (50, 301, 129), (700, 260, 132)]
SHAPES = [(n, i, o) for n in N_SAMPLES for i in SIZES for o in SIZES] + BY_BLAS + FAR
LARGE, GUARD = 200_000, 64


@njit
def forward(x, weights, memory, panel):
    out = matrix(memory, GUARD, x.shape[0], weights.shape[1])
    products.forward(x, weights, out, panel, LARGE)


@njit
def weight_gradient(x, delta, memory, panel):
    out = matrix(memory, GUARD, x.shape[1], delta.shape[1])
    products.weight_gradient(x, delta, out, panel, LARGE if x.shape[1] < 256 else products.LARGE_ALONE)


@njit
def error_signal(delta, weights, memory, panel):
    out = matrix(memory, GUARD, delta.shape[0], weights.shape[0])
    products.error_signal(delta, weights, out, panel, LARGE)


def check(compute, left, right, expected):
    """Compare a product with the expected one, and what lies around it and the panel with what was there before."""
    dtype = left.dtype
    longest = max(*left.shape, *right.shape)
    size = products.panel_size(longest, dtype.itemsize)
    memory = np.full(expected.size + 2 * GUARD, -7.0, dtype)
    panel = np.full(size + GUARD, np.nan, dtype)
    panel[size:] = -7.0
    compute(left, right, memory, panel[:size])
    found = memory[GUARD:-GUARD].reshape(expected.shape)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=20 * np.finfo(dtype).eps * max(scale, 1.0))
    assert (memory[:GUARD] == -7.0).all()
    assert (memory[-GUARD:] == -7.0).all()
    assert (panel[size:] == -7.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_shape_and_nothing_beside_the_result_is_written(dtype):
    rng = np.random.default_rng(0)
    for n_samples, n_in, n_out in SHAPES:
        x, weights, delta = (
            rng.standard_normal(shape).astype(dtype) for shape in ((n_samples, n_in), (n_in, n_out), (n_samples, n_out))
        )
        wide = [array.astype(np.float64) for array in (x, weights, delta)]
        check(forward, x, weights, wide[0] @ wide[1])
        check(weight_gradient, x, delta, wide[0].T @ wide[2])
        check(error_signal, delta, weights, wide[2] @ wide[1].T)


@pytest.mark.parametrize("n_samples", [2, 33])
def test_what_is_no_number_stays_in_its_row(n_samples):
    x, weights = np.ones((n_samples, 20), np.float32), np.ones((20, 20), np.float32)
    x[1, 3] = np.nan
    memory = np.zeros(n_samples * 20 + 2 * GUARD, np.float32)
    forward(x, weights, memory, np.full(products.panel_size(40, 4), np.nan, np.float32))
    found = memory[GUARD:-GUARD].reshape(n_samples, 20)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(np.delete(found, 1, axis=0), 20.0)
