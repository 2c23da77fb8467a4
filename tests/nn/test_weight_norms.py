"""The limit on the norm of each unit's incoming weights."""

import numpy as np
import pytest

from skmlp.nn.weight_norms import limit_norms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limit_norms_scales_longer_columns_to_the_limit_and_leaves_others_unchanged(dtype):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(dtype) for shape in ((5, 7), (7, 1))]
    before = [matrix.copy() for matrix in weights]
    limit_norms(weights, 2.0)
    for matrix, old in zip(weights, before, strict=True):
        norms = np.linalg.norm(old, axis=0)
        expected = old * np.minimum(1.0, 2.0 / norms)
        np.testing.assert_allclose(matrix, expected, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(matrix[:, norms < 2.0], old[:, norms < 2.0])
        assert matrix.dtype == dtype
    assert any((np.linalg.norm(old, axis=0) > 2.0).any() for old in before)


def test_limit_norms_preserves_the_direction_of_weights_whose_squares_overflow():
    weights = np.array([[3e25, 1.0], [4e25, 0.0]], np.float32)
    limit_norms([weights], 5.0)
    np.testing.assert_allclose(weights, [[3.0, 1.0], [4.0, 0.0]], rtol=1e-6)
