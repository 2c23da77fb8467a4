"""The objective: its parts by formula, one value from both methods, sample weights, and reuse of memory."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.nn import network as network_module
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective


@pytest.fixture(name="problem")
def _problem(draw_targets):
    return lambda *args, **settings: _make_problem(draw_targets, *args, **settings)


def _make_problem(draw_targets, loss="squared_error", alpha=0.7, n_samples=9, dtype=np.float64, activation="tanh"):
    rng = np.random.default_rng(0)
    network = multilayer_perceptron([4, 6, LOSSES[loss].n_raw(3)], [ACTIVATIONS[activation]])
    params = network.parameters(dtype=dtype)
    initialize(network, params, rng, bias_init="glorot_normal")
    X = rng.standard_normal((n_samples, 4)).astype(dtype)
    y = draw_targets(loss, rng, n_samples, 3)
    weight = rng.uniform(0.0, 2.0, n_samples).astype(dtype)
    return Objective(network, LOSSES[loss], alpha), params, X, y if y.ndim == 1 else y.astype(dtype), weight


def _evaluate(objective, params, X, y, weight, workspace=None):
    grad = params.like()
    grad.vector[:] = np.nan  # every entry is to be overwritten
    workspace = workspace or objective.workspace(X.shape[0], params.vector.dtype)
    return objective.value_and_gradient(params, X, y, weight, workspace, grad), grad.vector


@pytest.mark.parametrize("weighted", [False, True])
def test_value_agrees_with_the_formulas_of_loss_and_penalty(weighted, problem):
    objective, params, X, y, weight = problem()
    s = weight if weighted else np.ones(9)
    hidden = np.tanh(X @ params.weights[0] + params.biases[0])
    raw = hidden @ params.weights[1] + params.biases[1]
    loss = np.sum(s * 0.5 * np.sum((raw - y) ** 2, axis=1)) / s.sum()
    penalty = 0.5 * 0.7 * sum(np.sum(w**2) for w in params.weights) / s.sum()
    value, _ = _evaluate(objective, params, X, y, weight if weighted else None)
    np.testing.assert_allclose(value, (loss, penalty), rtol=1e-14)
    assert [type(part) for part in value] == [float, float]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-14), (np.float32, 4e-6)])
def test_value_alone_is_the_value_that_comes_with_the_gradient(monkeypatch, loss, weighted, dtype, rtol, problem):
    # rtol: a sum of 9 losses, each of a few dozen rounded operations.
    monkeypatch.setattr(network_module, "PREDICT_ROWS", 4)
    objective, params, X, y, weight = problem(loss, dtype=dtype)
    weight = weight if weighted else None
    with_gradient, _ = _evaluate(objective, params, X, y, weight)
    np.testing.assert_allclose(objective.value(params, X, y, weight), with_gradient, rtol=rtol)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_last_smaller_batch_uses_the_same_workspace(activation, problem):
    objective, params, X, y, weight = problem(activation=activation)
    workspace = objective.workspace(9, np.float64)
    whole = _evaluate(objective, params, X, y, weight, workspace)
    for n in (4, 1, 4):
        part, part_grad = _evaluate(objective, params, X[:n], y[:n], weight[:n], workspace)
        fresh, fresh_grad = _evaluate(objective, params, X[:n], y[:n], weight[:n])
        assert part == fresh
        np.testing.assert_array_equal(part_grad, fresh_grad)
    again = _evaluate(objective, params, X, y, weight, workspace)
    assert again[0] == whole[0]
    np.testing.assert_array_equal(again[1], whole[1])


def test_value_and_gradient_does_not_modify_its_inputs(problem):
    objective, params, X, y, weight = problem()
    arrays = (params.vector, X, y, weight)
    kept = [array.copy() for array in arrays]
    _evaluate(objective, params, X, y, weight)
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_two_is_a_row_twice(loss, problem):
    objective, params, X, y, _ = problem(loss)
    times = np.array([0, 1, 2, 3, 0, 1, 2, 1, 1])
    weighted, weighted_grad = _evaluate(objective, params, X, y, times.astype(float))
    repeated, grad = _evaluate(objective, params, np.repeat(X, times, axis=0), np.repeat(y, times, axis=0), None)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-14)
    np.testing.assert_allclose(weighted_grad, grad, rtol=0.0, atol=1e-14 * np.abs(grad).max())


def test_scaling_all_weights_only_weakens_the_penalty(problem):
    objective, params, X, y, weight = problem()
    once, thrice = (_evaluate(objective, params, X, y, factor * weight)[0] for factor in (1.0, 3.0))
    np.testing.assert_allclose(thrice, (once.loss, once.penalty / 3.0), rtol=1e-14)


def test_the_penalty_acts_on_weights_only(problem):
    _, params, X, y, weight = problem()
    objective = problem(alpha=0.0)[0]
    plain, grad = _evaluate(objective, params, X, y, weight)
    assert plain.penalty == objective.value(params, X, y, weight).penalty == 0.0
    penalized, penalized_grad = _evaluate(Objective(objective.network, objective.loss, 2.0), params, X, y, weight)
    assert penalized.loss == plain.loss
    difference = penalized_grad - grad
    np.testing.assert_allclose(difference[:42], 2.0 * params.vector[:42] / weight.sum(), rtol=0.0, atol=1e-15)
    np.testing.assert_array_equal(difference[42:], 0.0)


def test_without_a_penalty_the_size_of_the_weights_does_not_matter(problem):
    # The squares of these weights overflow; with alpha = 0 they are not computed.
    _, params, X, y, weight = problem(alpha=0.0, dtype=np.float32)
    objective = problem(alpha=0.0)[0]
    params.weights[0][:] = np.sign(params.weights[0]) * np.float32(1e30)
    assert _evaluate(objective, params, X, y, weight)[0].penalty == 0.0
    assert objective.value(params, X, y, weight).penalty == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_sparse_input_gives_the_dense_gradient(loss, problem):
    objective, params, X, y, weight = problem(loss)
    X[X < 0.4] = 0.0
    dense, dense_grad = _evaluate(objective, params, X, y, weight)
    value, grad = _evaluate(objective, params, sparse.csr_matrix(X), y, weight)
    np.testing.assert_allclose(value, dense, rtol=1e-14)
    np.testing.assert_allclose(grad, dense_grad, rtol=0.0, atol=1e-15 * 9 * np.abs(dense_grad).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_gradient_agrees_with_float64(activation, problem):
    single, double = (problem("log_loss", dtype=dtype, activation=activation) for dtype in (np.float32, np.float64))
    objective, params, X, y, weight = double
    params.vector[:] = single[1].vector
    value, grad = _evaluate(*single)
    assert grad.dtype == np.float32
    exact, exact_grad = _evaluate(objective, params, single[2].astype(float), y, single[4].astype(float))
    # Three chained products of at most 9 terms and an activation (at most 16 eps, see its own tests).
    eps = float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(value, exact, rtol=64 * eps)
    assert np.linalg.norm(grad - exact_grad) <= 64 * eps * np.linalg.norm(exact_grad)
