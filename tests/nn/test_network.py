"""Forward passes: the plain formula, sparse input, blocks of rows, and one workspace for every batch size."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.nn import network as network_module
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import ActivationLayer, Dense
from skmlp.nn.network import Network, initialize, multilayer_perceptron


def _network(activation="tanh", layer_sizes=(5, 7, 4, 3), dtype=np.float64):
    network = multilayer_perceptron(layer_sizes, [ACTIVATIONS[activation]] * (len(layer_sizes) - 2))
    params = network.parameters(dtype=dtype)
    initialize(network, params, np.random.default_rng(0), bias_init="glorot_normal")
    return network, params


def _plain_forward(params, X, function):
    a = X
    for weights, biases in zip(params.weights[:-1], params.biases[:-1], strict=True):
        a = function(a @ weights + biases)
    return a @ params.weights[-1] + params.biases[-1]


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", np.tanh),
        ("relu", lambda z: np.maximum(z, 0.0)),
        ("softplus", lambda z: np.log1p(np.exp(z))),  # not in place
    ],
)
@pytest.mark.parametrize("hidden", [(), (7,), (7, 4), (2, 3, 4, 5, 6, 7)])
def test_forward_is_the_textbook_formula(activation, function, hidden):
    network, params = _network(activation, (5, *hidden, 3))
    X = np.random.default_rng(1).standard_normal((11, 5))
    raw = network.forward(params, X, network.workspace(11, np.float64))[-1]
    # Each of up to seven layers rounds sums of at most eight terms of size 1.
    np.testing.assert_allclose(raw, _plain_forward(params, X, function), rtol=0.0, atol=7 * 8 * 2.3e-16)
    np.testing.assert_array_equal(network.predict(params, X), raw)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_activations_are_the_input_and_every_layer_s_output(activation):
    network, params = _network(activation)
    X = np.random.default_rng(1).standard_normal((6, 5))
    kept = X.copy()
    activations = network.forward(params, X, network.workspace(6, np.float64))
    assert activations[0] is X
    np.testing.assert_array_equal(X, kept)
    assert [a.shape for a in activations] == [(6, 5), (6, 7), (6, 7), (6, 4), (6, 4), (6, 3)]
    hidden = ACTIVATIONS[activation](X @ params.weights[0] + params.biases[0])
    np.testing.assert_allclose(activations[2], hidden, rtol=0.0, atol=6 * 2.3e-16)


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("n_samples", [1, 7, 8, 20, 21])
def test_prediction_in_blocks_equals_one_pass(monkeypatch, as_sparse, n_samples):
    network, params = _network("relu")
    X = np.random.default_rng(1).standard_normal((n_samples, 5))
    X[X < 0.3] = 0.0
    whole = network.forward(params, X, network.workspace(n_samples, np.float64))[-1]
    monkeypatch.setattr(network_module, "PREDICT_ROWS", 7)
    raw = network.predict(params, sparse.csr_matrix(X) if as_sparse else X)
    # The matrix product may add up in another order for another number of rows.
    np.testing.assert_allclose(raw, whole, rtol=0.0, atol=3 * 8 * 2.3e-16)


def test_prediction_does_not_reuse_the_memory_of_another_call():
    network, params = _network()
    rng = np.random.default_rng(1)
    first = network.predict(params, rng.standard_normal((4, 5)))
    kept = first.copy()
    network.predict(params, rng.standard_normal((4, 5)))
    np.testing.assert_array_equal(first, kept)


def test_prediction_of_no_rows():
    network, params = _network()
    assert network.predict(params, np.empty((0, 5))).shape == (0, 3)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_a_smaller_batch_uses_the_memory_of_the_larger(activation):
    network, params = _network(activation)
    X = np.random.default_rng(1).standard_normal((10, 5))
    workspace = network.workspace(10, np.float64)
    whole = [a.copy() for a in network.forward(params, X, workspace)]
    part = network.forward(params, X[:4], workspace)
    for large, small in zip(workspace.rows(10), workspace.rows(4), strict=True):
        for a, b in zip(large, small, strict=True):
            assert b.shape == (4, *a.shape[1:])
            assert b.size == 0 or np.shares_memory(a, b)
    np.testing.assert_allclose(part[-1], whole[-1][:4], rtol=0.0, atol=3 * 8 * 2.3e-16)
    for again, first in zip(network.forward(params, X, workspace), whole, strict=True):
        np.testing.assert_array_equal(again, first)


def test_float32_stays_float32():
    network, params = _network("gelu", dtype=np.float32)
    X = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    assert {a.dtype for a in network.forward(params, X, network.workspace(6, np.float32))} == {np.dtype(np.float32)}
    assert network.predict(params, X).dtype == np.float32
    assert network.predict(params, sparse.csr_matrix(X)).dtype == np.float32


def test_layers_must_fit_together():
    with pytest.raises(ValueError, match=r"n_in=4.* takes 4 inputs, but .*n_out=3.* gives 3"):
        Network([Dense(2, 3), Dense(4, 1)])
    with pytest.raises(ValueError, match="takes 5 inputs"):
        Network([Dense(2, 3), ActivationLayer(5, ACTIVATIONS["relu"])])


def test_sizes_of_a_network():
    network, _ = _network(layer_sizes=(5, 7, 3))
    assert (network.n_in, network.n_out) == (5, 3)
    assert [type(layer) for layer in network.layers] == [Dense, ActivationLayer, Dense]
