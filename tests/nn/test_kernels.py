"""Kernels, run in plain Python, agree with the NumPy forms of every activation and loss."""

import ast
import inspect
import textwrap
from types import FunctionType

import numpy as np
import pytest

from skmlp.compiled.kernels import kernel_of
from skmlp.nn.activations import ELU, GELU, Tanh
from skmlp.nn.losses import FunctionLoss, Huber, LogCosh, SquaredError

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
FAR = [0.0, -0.0, 100.0, -100.0, 1e4, -1e4]


def _apply(activation, z):
    settings = tuple(map(z.dtype.type, activation.kernel_settings))
    with np.errstate(all="ignore"):
        return [activation.kernel(value, settings) for value in z]


@DTYPES
def test_activation_kernel_agrees_with_forward_and_derivative(any_activation, dtype):
    z = np.append(np.random.default_rng(0).uniform(-12.0, 12.0, 200), FAR).astype(dtype)
    pairs = _apply(any_activation, z)
    assert {type(value) for pair in pairs for value in pair} == {dtype}
    # A handful of rounded operations on numbers as large as 1 + |z|.
    tolerance = 16.0 * np.finfo(dtype).eps * (1.0 + np.abs(z))
    values, derivatives = np.array(pairs).T
    assert np.all(np.abs(values - any_activation(z)) <= tolerance)
    assert np.all(np.abs(derivatives - any_activation.gradient(z)) <= np.minimum(tolerance, 1e-3))


def test_activation_kernel_passes_nan_on(any_activation):
    assert np.isnan(_apply(any_activation, np.array([np.nan]))[0][0])


def _run(loss, y, raw, weights):
    """Return the weighted sum of the losses and its gradient, by the kernel that the loss has."""
    out, real = np.full_like(raw, np.nan), raw.dtype.type
    with np.errstate(all="ignore"):
        if loss.rows_kernel is not None:
            return loss.rows_kernel(y, raw, weights, out, loss.kernel_settings), out
        settings, total = tuple(map(real, loss.kernel_settings)), 0.0
        for row, column in np.ndindex(raw.shape):
            value, derivative = loss.kernel(y[row, column], raw[row, column], settings)
            assert type(value) is type(derivative) is real
            total += float(weights[row] * value)
            out[row, column] = weights[row] * derivative
    return total, out


@DTYPES
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_loss_kernel_agrees_with_loss_and_gradient(draw_targets, any_loss, dtype, n_outputs):
    rng, rtol = np.random.default_rng(0), 100.0 * float(np.finfo(dtype).eps)
    y = draw_targets(any_loss, rng, 40, n_outputs)
    y = y if any_loss.takes_codes else y.astype(dtype)
    raw = (2.0 * rng.standard_normal((40, any_loss.n_raw(n_outputs)))).astype(dtype)
    weights = rng.uniform(0.0, 2.0, 40).astype(dtype)
    weights[0] = 0.0
    total, out = _run(any_loss, y, raw, weights)
    assert out.dtype == dtype
    np.testing.assert_allclose(total, weights.astype(float) @ any_loss.loss(y, raw), rtol=rtol)
    np.testing.assert_allclose(out, weights[:, np.newaxis] * any_loss.gradient(y, raw), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_loss_kernel_agrees_for_large_raw_outputs(draw_targets, any_loss, size):
    rng = np.random.default_rng(0)
    y = draw_targets(any_loss, rng, 20, 3)
    raw = size * rng.choice([-1.0, 0.0, 1.0], (20, any_loss.n_raw(3)))
    with np.errstate(all="ignore"):
        losses, gradient = any_loss.loss(y, raw), any_loss.gradient(y, raw)
    for row in range(20):
        value, out = _run(any_loss, y[row : row + 1], raw[row : row + 1], np.ones(1))
        finite = np.isfinite(losses[row])
        assert np.isfinite(value) == finite
        if finite:
            np.testing.assert_allclose(value, losses[row], rtol=1e-12)
            np.testing.assert_allclose(out, gradient[[row]], rtol=1e-12, atol=1e-12)


def test_log_cosh_kernel_keeps_all_digits_of_small_residuals():
    for residual in (1e-12, 1e-5, 1e-2):
        value, _ = LogCosh().kernel(np.float64(0.0), np.float64(residual), ())
        np.testing.assert_allclose(value, LogCosh().loss(np.zeros((1, 1)), np.array([[residual]])), rtol=1e-14)


def test_loss_is_nan_where_a_raw_output_is(draw_targets, any_loss):
    y = draw_targets(any_loss, np.random.default_rng(0), 3, 3)
    raw = np.ones((3, any_loss.n_raw(3)))
    for column in range(raw.shape[1]):
        spoiled = raw.copy()
        spoiled[1, column] = np.nan
        assert np.isnan(_run(any_loss, y, spoiled, np.full(3, 1.0 / 3.0))[0])


def _called(function):
    """Yield a function and the functions of its module that it calls."""
    yield function
    for name in function.__code__.co_names:
        inner = function.__globals__.get(name)
        if isinstance(inner, FunctionType) and inner.__module__ == function.__module__:
            yield from _called(inner)


def _unconverted_floats(kernel):
    """Return the Python floats that a kernel uses without converting them to the type of its arguments."""
    found = []
    for function in _called(kernel):
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        converted = {id(argument) for node in ast.walk(tree) if isinstance(node, ast.Call) for argument in node.args}
        for node in ast.walk(tree):
            value = function.__globals__.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
            if isinstance(value, float) and id(node) not in converted:
                found.append(value)
    return found


def test_activation_kernels_convert_their_constants(any_activation):
    # Compiled, a Python float would turn float32 arithmetic into float64, several times slower.
    assert _unconverted_floats(any_activation.kernel) == []


def test_loss_kernels_convert_their_constants(any_loss):
    if any_loss.kernel is None:
        pytest.skip("a kernel for rows adds up in float64")
    assert _unconverted_floats(any_loss.kernel) == []


def test_unconverted_constants_are_found():
    def careless(z, settings):
        return 0.5 * z, type(z)(1.0)

    assert _unconverted_floats(careless) == [0.5]


def test_every_loss_has_one_kernel(any_loss):
    assert (any_loss.kernel is None) != (any_loss.rows_kernel is None)


@pytest.mark.parametrize(("base", "method"), [(Tanh, "forward"), (GELU, "derivative"), (ELU, "derivative")])
def test_kernel_of_an_activation_is_not_used_for_a_subclass_that_computes_something_else(base, method):
    kernels = [kernel_of(each(), "kernel", ("forward", "derivative")) for each in _subclasses(base, method)]
    assert kernels == [base().kernel, None]


@pytest.mark.parametrize(("base", "kernel"), [(Huber, "kernel"), (SquaredError, "rows_kernel")])
def test_kernel_and_formula_of_a_loss_are_not_used_for_a_subclass_that_computes_something_else(base, kernel):
    same, other = _subclasses(base, "loss_and_gradient")
    kernels = [kernel_of(each(), kernel, ("loss_and_gradient",)) for each in (same, other)]
    assert kernels == [getattr(base, kernel), None]
    assert (same.formula, same.derivative_formula) == (base.formula, base.derivative_formula)
    assert other.formula == other.derivative_formula == ""


def _subclasses(base, method):
    """Return a subclass that computes the same, and one that overrides the method."""
    return type("Same", (base,), {}), type("Other", (base,), {method: lambda *_: None})


def test_losses_made_of_functions_have_no_kernel():
    loss = FunctionLoss(lambda y, raw: raw.sum(axis=1), lambda y, raw: np.ones_like(raw))
    assert loss.kernel is loss.rows_kernel is None
