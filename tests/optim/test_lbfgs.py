"""L-BFGS: result, reason to stop and callback."""

import numpy as np
import pytest

from skmlp.optim import minimize_lbfgs


def _rosenbrock(x):
    valley = x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[:-1] = -2 * (1 - x[:-1]) - 400 * x[:-1] * valley
    gradient[1:] += 200 * valley
    return float(np.sum((1 - x[:-1]) ** 2 + 100 * valley**2)), gradient


START = np.array([-1.2, 1.0, -0.5, 0.8])


def test_rosenbrock_is_solved():
    result = minimize_lbfgs(_rosenbrock, START, tol=1e-6)
    assert result.reason == "converged"
    np.testing.assert_allclose(result.params, np.ones(4), atol=1e-4)
    assert result.value == _rosenbrock(result.params)[0] < 1e-8
    assert 0 < result.n_iter < 200


def test_computes_in_float64_and_does_not_change_the_start():
    start = START.astype(np.float32)
    seen = []

    def recorded(x):
        seen.append(x.dtype)
        return _rosenbrock(x)

    result = minimize_lbfgs(recorded, start)
    np.testing.assert_array_equal(start, START.astype(np.float32))
    assert {result.params.dtype, *seen} == {np.dtype(np.float64)}


def test_the_tolerance_is_on_the_largest_entry_of_the_gradient():
    for tol in (1.0, 1e-2, 1e-5):
        result = minimize_lbfgs(_rosenbrock, START, tol=tol)
        assert np.abs(_rosenbrock(result.params)[1]).max() <= tol
    loose, strict = (minimize_lbfgs(_rosenbrock, START, tol=tol).n_iter for tol in (1.0, 1e-5))
    assert loose < strict


def test_max_iter_limits_the_iterations():
    result = minimize_lbfgs(_rosenbrock, START, max_iter=4)
    assert (result.reason, result.n_iter) == ("max_iter", 4)
    assert result.value < _rosenbrock(START)[0]


def test_max_fun_limits_the_evaluations():
    result = minimize_lbfgs(_rosenbrock, START, max_fun=5)
    assert result.reason == "max_fun"
    assert 0 < result.n_iter < 6


def test_callback_that_returns_true_stops_it():
    calls = []
    result = minimize_lbfgs(_rosenbrock, START, on_iteration=lambda x, value: calls.append(value) or len(calls) == 3)
    assert result.reason == "stopped"
    assert len(calls) == result.n_iter == 3
    assert result.value == calls[-1] == _rosenbrock(result.params)[0]


def test_callback_gets_the_accepted_point_and_value_of_every_iteration():
    reported = []
    result = minimize_lbfgs(
        _rosenbrock, START, on_iteration=lambda x, value: reported.append((value, _rosenbrock(x)[0])) or False
    )
    assert len(reported) == result.n_iter
    values = [value for value, _ in reported]
    assert values == [at_point for _, at_point in reported]
    assert values == sorted(values, reverse=True)  # every accepted point is lower
    assert values[-1] == result.value


def test_gradient_buffer_may_be_reused():
    buffer = np.empty(4)

    def into_buffer(x):
        value, buffer[:] = _rosenbrock(x)
        return value, buffer

    reused, fresh = (minimize_lbfgs(function, START) for function in (into_buffer, _rosenbrock))
    np.testing.assert_array_equal(reused.params, fresh.params)
    assert reused.n_iter == fresh.n_iter


def test_a_gradient_that_points_uphill_fails():
    result = minimize_lbfgs(lambda x: (float(x @ x), -2 * x), START)
    assert result.reason == "failed"
    assert result.message


def test_errors_of_the_function_are_not_caught():
    def broken(x):
        raise ZeroDivisionError("inside")

    with pytest.raises(ZeroDivisionError, match="inside"):
        minimize_lbfgs(broken, START)
