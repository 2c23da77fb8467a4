"""The gradient check itself: right gradients pass, gradients wrong in any way fail."""

import numpy as np
import pytest

from skmlp.nn.gradient_check import check_gradient, numerical_gradient

POINT = np.array([0.3, -1.2, 2.0, 0.7])


def _value(x):
    return float(np.sin(x).sum() + 0.5 * x @ x + x[0] * x[3])


def _gradient(x):
    return np.cos(x) + x + np.array([x[3], 0.0, 0.0, x[0]])


def _right(x):
    return _value(x), _gradient(x)


def _sign(gradient):
    return -gradient


def _factor(gradient):
    return 1.001 * gradient


def _one_entry(gradient):
    gradient[2] += 1e-4
    return gradient


def _swapped(gradient):
    return gradient[[1, 0, 2, 3]]


def _not_a_number(gradient):
    gradient[1] = np.nan
    return gradient


def test_right_gradient_passes_and_both_gradients_are_returned():
    result = check_gradient(_right, POINT)
    # Truncation 1e-12 / 6 and rounding of a value near 5: 5 eps / 1e-6.
    assert result.error < 1e-8
    np.testing.assert_array_equal(result.analytic, _gradient(POINT))
    np.testing.assert_allclose(result.numeric, _gradient(POINT), rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("n_directions", [None, 5])
@pytest.mark.parametrize("break_it", [_sign, _factor, _one_entry, _swapped, _not_a_number])
def test_wrong_gradient_fails(break_it, n_directions):
    with pytest.raises(AssertionError, match="Gradient check failed"):
        check_gradient(lambda x: (_value(x), break_it(_gradient(x))), POINT, n_directions=n_directions)


def test_message_names_the_worst_entry_and_both_values():
    with pytest.raises(AssertionError, match=r"Worst entry 2: analytic 1\.5839\d*, numeric 1\.5838") as raised:
        check_gradient(lambda x: (_value(x), _one_entry(_gradient(x))), POINT)
    # cos(2) + 2 = 1.58385316; the relative error is 1e-4 over the gradient's norm, 3.186.
    assert "relative error 3.14e-05 exceeds 1e-06" in str(raised.value)


def test_tolerance_is_relative_to_the_norm():
    def slightly_wrong(x):
        return _value(x), _one_entry(_gradient(x))

    expected = 1e-4 / np.linalg.norm(_one_entry(_gradient(POINT)))
    # The numeric gradient is off by 1e-9 at most.
    assert check_gradient(slightly_wrong, POINT, tolerance=1e-3).error == pytest.approx(expected, rel=1e-4)
    with pytest.raises(AssertionError):
        check_gradient(lambda x: tuple(1e-6 * part for part in slightly_wrong(x)), POINT, tolerance=1e-5)


def test_each_direction_takes_two_evaluations():
    calls = []

    def counted(x):
        calls.append(x.copy())
        return _right(x)

    result = check_gradient(counted, POINT, n_directions=3)
    assert len(calls) == 1 + 2 * 3
    assert result.analytic.shape == result.numeric.shape == (3,)
    np.testing.assert_allclose(result.analytic, result.numeric, rtol=0.0, atol=1e-8)
    steps = [np.linalg.norm(x - POINT) for x in calls[1:]]
    np.testing.assert_allclose(steps, 1e-6, rtol=1e-9)  # unit directions


def test_seed_determines_the_directions():
    first, same, other = (check_gradient(_right, POINT, n_directions=2, seed=seed).analytic for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.all(first != other)


def test_numerical_gradient_computes_in_float64_and_does_not_modify_its_input():
    x = POINT.astype(np.float32)
    original = x.copy()
    gradient = numerical_gradient(_value, x)
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(x, original)
    np.testing.assert_allclose(gradient, _gradient(x.astype(float)), rtol=0.0, atol=1e-8)


def test_value_and_gradient_may_return_the_same_array_every_time():
    buffer = np.empty(4)

    def into_buffer(x):
        buffer[:] = _gradient(x)
        return _value(x), buffer

    assert check_gradient(into_buffer, POINT).error < 1e-8
