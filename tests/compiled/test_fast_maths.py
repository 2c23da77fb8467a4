"""The elementary functions of the compiled steps against NumPy's in extended precision."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.compiled import fast_maths, maths

REFERENCE = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "log_1_plus_exp": lambda x: np.logaddexp(0.0, x),
}


@pytest.fixture
def values(compiled_call):
    """Return a function that applies all compiled functions to each point, and returns the results by name."""
    exp, expm1, tanh = maths.exp, maths.expm1, maths.tanh
    logistic, log_1_plus_exp = maths.logistic, maths.log_1_plus_exp

    def apply(x, out):
        for i in range(x.size):
            out[0, i], out[1, i], out[2, i] = exp(x[i]), expm1(x[i]), tanh(x[i])
            out[3, i], out[4, i] = logistic(x[i]), log_1_plus_exp(x[i])

    def values(points):
        found = np.zeros((5, points.size), points.dtype)
        compiled_call(apply, points, found)
        return dict(zip(("exp", "expm1", "tanh", "logistic", "log_1_plus_exp"), found, strict=True))

    return values


def test_every_function_for_kernels_has_a_compiled_form_or_is_one():
    assert set(fast_maths.__all__) == set(REFERENCE) | {"flat", "cos_and_sin"} == set(maths.__all__) - {"erf"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_digits_but_the_last_two_bits_are_right(values, dtype):
    reach = 85.0 if dtype is np.float32 else 700.0
    rng = np.random.default_rng(0)
    spread = [rng.uniform(-reach, reach, 400), rng.uniform(-2.0, 2.0, 400), 10.0 ** rng.uniform(-20.0, 0.0, 100), [0.0]]
    points = np.concatenate(spread).astype(dtype)
    for name, found in values(points).items():
        expected = REFERENCE[name](points.astype(np.longdouble)).astype(dtype)
        assert np.max(np.abs(found - expected) / np.spacing(np.abs(expected))) <= 3.0, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_arguments_have_the_limits_and_nan_stays_nan(values, dtype):
    limits = {
        "exp": (0.0, np.inf),
        "expm1": (-1.0, np.inf),
        "tanh": (-1.0, 1.0),
        "logistic": (0.0, 1.0),
        "log_1_plus_exp": (0.0, np.inf),
    }
    for name, found in values(np.array([-np.inf, np.inf, np.nan], dtype)).items():
        np.testing.assert_allclose(found, [*limits[name], np.nan], atol=2e-38, err_msg=name)


@pytest.fixture
def circle(compiled_call):
    """Return a function of angles that returns the compiled cosines and sines."""
    cos_and_sin = maths.cos_and_sin

    def apply(x, out):
        for i in range(x.size):
            out[0, i], out[1, i] = cos_and_sin(x[i])

    def circle(angles):
        found = np.zeros((2, angles.size), angles.dtype)
        compiled_call(apply, angles, found)
        return found

    return circle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_and_sine_are_right_to_a_few_units_of_the_last_digit_of_1(circle, dtype):
    rng = np.random.default_rng(1)
    quarters = np.arange(-40, 41) * (np.pi / 2)
    angles = np.concatenate([rng.uniform(-7.0, 7.0, 500), rng.uniform(-5e3, 5e3, 500), quarters]).astype(dtype)
    exact = angles.astype(np.longdouble)
    for found, expected in zip(circle(angles), (np.cos(exact), np.sin(exact)), strict=True):
        assert np.max(np.abs(found - expected)) <= 6.0 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_and_sine_of_huge_angles_stay_within_the_circle_and_nan_stays_nan(circle, dtype):
    found = circle(np.array([1e9, -1e12, 3e38, -3e38], dtype))
    assert np.all(np.abs(found) <= 1.0 + 8.0 * np.finfo(dtype).eps)
    assert np.isnan(circle(np.array([np.nan, np.inf, -np.inf], dtype))).all()
