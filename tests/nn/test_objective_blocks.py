"""A large batch is processed in blocks of rows: the same objective in bounded memory."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.nn import objective as objective_module
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

N_SAMPLES = 11


@pytest.fixture(name="problem")
def _problem(draw_targets):
    return lambda loss: _make_problem(draw_targets, loss)


def _make_problem(draw_targets, loss):
    rng = np.random.default_rng(0)
    network = multilayer_perceptron([4, 6, LOSSES[loss].n_raw(3)], [ACTIVATIONS["tanh"]])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    X = rng.standard_normal((N_SAMPLES, 4))
    y = draw_targets(loss, rng, N_SAMPLES, 3)
    return Objective(network, LOSSES[loss], 0.7), params, X, y, rng.uniform(0.0, 2.0, N_SAMPLES)


def _evaluate(objective, params, X, y, weight, workspace):
    grad = params.like()
    grad.vector[:] = np.nan
    return objective.value_and_gradient(params, X, y, weight, workspace, grad), grad.vector


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 10])
def test_blocks_give_the_gradient_of_the_whole_batch(loss, weighted, as_sparse, rows, problem):
    objective, params, X, y, weight = problem(loss)
    weight = weight if weighted else None
    whole, whole_grad = _evaluate(objective, params, X, y, weight, objective.workspace(N_SAMPLES, np.float64))
    data, workspace = sparse.csr_matrix(X) if as_sparse else X, objective.workspace(rows, np.float64)
    for _ in range(2):  # the second time in used memory
        value, grad = _evaluate(objective, params, data, y, weight, workspace)
        np.testing.assert_allclose(value, whole, rtol=1e-14)
        np.testing.assert_allclose(grad, whole_grad, rtol=0.0, atol=N_SAMPLES * 2.3e-16 * np.abs(whole_grad).max())


def test_a_workspace_has_no_more_rows_than_a_block(monkeypatch, problem):
    objective, *_ = problem("squared_error")
    monkeypatch.setattr(objective_module, "BLOCK_ROWS", 4)
    assert objective.workspace(3, np.float64).n_samples == 3
    workspace = objective.workspace(N_SAMPLES, np.float64)
    assert workspace.n_samples == 4
    assert workspace.raw_delta.shape == (4, 3)


def test_a_block_whose_sample_weights_are_all_zero_adds_nothing(problem):
    objective, params, X, y, weight = problem("log_loss")
    weight[4:8] = 0.0
    rest = np.r_[0:4, 8:N_SAMPLES]
    some, some_grad = _evaluate(objective, params, X, y, weight, objective.workspace(4, np.float64))
    only, only_grad = _evaluate(
        objective, params, X[rest], y[rest], weight[rest], objective.workspace(N_SAMPLES, np.float64)
    )
    np.testing.assert_allclose(some, only, rtol=1e-14)
    np.testing.assert_allclose(some_grad, only_grad, rtol=0.0, atol=1e-14)


def _place(problem, spoil, rows):
    objective, params, X, y, _ = problem("squared_error")
    spoil(params, X, y)
    grad, workspace = params.like(), objective.workspace(rows, np.float64)
    with np.errstate(all="ignore"):
        objective.value_and_gradient(params, X, y, None, workspace, grad)
        return objective.find_non_finite(params, X, grad, workspace)


def _bad_row(params, X, y):
    X[5] = np.nan


def _bad_target(params, X, y):
    y[5] = 1e200  # its square overflows, the gradient does not


def _bad_weights(params, X, y):
    params.weights[1][0, 0] = np.inf


def _bad_gradient(params, X, y):
    y[5] = np.inf


@pytest.mark.parametrize("rows", [1, 4, N_SAMPLES])
@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (_bad_row, "the output of layer 1 of 2"),
        (_bad_target, "the loss"),
        (_bad_weights, "the weights of layer 2 of 2"),
        (_bad_gradient, "the gradient of layer 2 of 2"),
    ],
)
def test_the_non_finite_place_is_found_in_any_block(spoil, place, rows, problem):
    assert _place(problem, spoil, rows) == place
