"""The elementary functions of the compiled steps against NumPy's in extended precision."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import maths

REFERENCE = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "log_1_plus_exp": lambda x: np.logaddexp(0.0, x),
}


def values(name, points):
    """Apply a compiled function to each point."""
    function = getattr(maths, name)
    return np.array([function(x) for x in points], points.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REFERENCE)
def test_all_digits_but_the_last_two_bits_are_right(name, dtype):
    reach = 85.0 if dtype is np.float32 else 700.0
    rng = np.random.default_rng(0)
    spread = [rng.uniform(-reach, reach, 400), rng.uniform(-2.0, 2.0, 400), 10.0 ** rng.uniform(-20.0, 0.0, 100), [0.0]]
    points = np.concatenate(spread).astype(dtype)
    found, expected = values(name, points), REFERENCE[name](points.astype(np.longdouble)).astype(dtype)
    assert np.max(np.abs(found - expected) / np.spacing(np.abs(expected))) <= 3.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("exp", 0.0, np.inf),
        ("expm1", -1.0, np.inf),
        ("tanh", -1.0, 1.0),
        ("logistic", 0.0, 1.0),
        ("log_1_plus_exp", 0.0, np.inf),
    ],
)
def test_limits_and_what_is_no_number(name, below, above, dtype):
    found = values(name, np.array([-np.inf, np.inf, np.nan], dtype))
    np.testing.assert_allclose(found, [below, above, np.nan], atol=2e-38)
