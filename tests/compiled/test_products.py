"""The matrix products of a dense layer against NumPy's in double precision."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import products
from skmlp.compiled.fast_products import error_signal, forward, weight_gradient

# One, few and many samples; sizes around a tile of 6 and rows of 8 (float64) and 16 lanes (float32); one for BLAS; and
# inputs whose columns are copied, with one group of panels and with several.
N_SAMPLES = (1, 2, 3, 4, 5, 7, 8, 33)
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 40)
BY_BLAS = [(100, 60, 50)]
FAR = [(48, 256, 128), (50, 301, 129), (700, 260, 132)]
# A third of all combinations, with every pair of sizes among them.
SHAPES = (
    [
        (n_samples, n_in, n_out)
        for i, n_samples in enumerate(N_SAMPLES)
        for j, n_in in enumerate(SIZES)
        for k, n_out in enumerate(SIZES)
        if (i + j + k) % 3 == 0
    ]
    + BY_BLAS
    + FAR
)
LARGE, GUARD = 200_000, 64


def forward_of(x, weights, biases, out, panel, large):
    forward(x, weights, biases, out, panel, large[0])


def gradients_of(x, delta, out, bias_gradient, panel, large):
    weight_gradient(x, delta, out, bias_gradient, panel, large[0])


def error_signal_of(delta, weights, out, panel, large):
    error_signal(delta, weights, out, panel, large[0])


def guarded(shape, dtype):
    """Return an array with known numbers before and behind it, and those numbers."""
    memory = np.full(int(np.prod(shape)) + 2 * GUARD, -7.0, dtype)
    return memory[GUARD:-GUARD].reshape(shape), (memory[:GUARD], memory[-GUARD:])


class Checker:
    """Compares products with those of NumPy in double precision."""

    def __init__(self, call, dtype):
        self.call, self.dtype = call, dtype

    def __call__(self, function, *inputs, expected, large=LARGE):
        longest = max(side for array in inputs for side in array.shape)
        size = products.panel_size(longest, np.dtype(self.dtype).itemsize)
        panel, guards = guarded((size,), self.dtype)
        panel[:] = np.nan
        outputs = [guarded(each.shape, self.dtype) for each in expected]
        self.call(function, *inputs, *(out for out, _ in outputs), panel, np.array([large], np.float64))
        for (found, around), values in zip(outputs, expected, strict=True):
            scale = max(np.abs(values).max(), 1.0)
            np.testing.assert_allclose(found, values, rtol=0.0, atol=20 * np.finfo(self.dtype).eps * scale)
            guards = (*guards, *around)
        assert all((guard == -7.0).all() for guard in guards)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_every_shape_equal_numpys_and_write_nothing_else(dtype, compiled_call):
    rng, check = np.random.default_rng(0), Checker(compiled_call, dtype)
    for n_samples, n_in, n_out in SHAPES:
        shapes = (n_samples, n_in), (n_in, n_out), (n_samples, n_out), (n_out,)
        x, weights, delta, biases = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
        wide_x, wide_weights, wide_delta = (array.astype(np.float64) for array in (x, weights, delta))
        large = LARGE if n_in < 256 else products.LARGE_ALONE
        check(forward_of, x, weights, biases, expected=[wide_x @ wide_weights + biases])
        check(gradients_of, x, delta, expected=[wide_x.T @ wide_delta, wide_delta.sum(axis=0)], large=large)
        check(error_signal_of, delta, weights, expected=[wide_delta @ wide_weights.T])


@pytest.mark.parametrize("n_samples", [2, 33])
def test_nan_stays_in_its_row(n_samples, compiled_call):
    x, weights, biases = np.ones((n_samples, 20)), np.ones((20, 20)), np.zeros(20)
    x[1, 3] = np.nan
    out, panel = np.zeros((n_samples, 20)), np.full(products.panel_size(40, 8), np.nan)
    compiled_call(forward_of, x, weights, biases, out, panel, np.array([1e9]))
    assert np.isnan(out[1]).all()
    np.testing.assert_array_equal(np.delete(out, 1, axis=0), 20.0)
