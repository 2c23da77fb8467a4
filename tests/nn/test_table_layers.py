"""The layers at the front of a network for tables: columns, categories, embeddings of numbers, learned scales."""

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.layers import (
    PBLD,
    ActivationLayer,
    CategoryEmbedding,
    Columns,
    Dense,
    OneHot,
    Parallel,
    PBLDLayer,
    Scale,
)
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, initialize
from skmlp.nn.objective import Objective

N_NUMBERS, N_COLUMNS = 3, 6


def _network():
    """Return a network with every kind of front layer: three numbers, a flag, codes up to 4 and codes up to 7."""
    front = Parallel(
        [Columns(N_COLUMNS, 0, N_NUMBERS), PBLDLayer(N_NUMBERS, 5, 2, 0.7)],
        [Columns(N_COLUMNS, 3, 4)],
        [Columns(N_COLUMNS, 4, 5), OneHot(1, 4)],
        [Columns(N_COLUMNS, 5, 6), CategoryEmbedding(1, 7, 3)],
    )
    hidden = [Dense(17, 5, 0.3), ActivationLayer(5, ACTIVATIONS["mish"], consumes_input=True)]
    return Network([front, Scale(17), *hidden, Dense(5, 2, 0.4)])


def _rows(n, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal((n, 4))
    return np.hstack([numbers, rng.integers(0, 5, (n, 1)), rng.integers(0, 8, (n, 1))]), rng.standard_normal((n, 2))


def _start(network, dtype=np.float64):
    params = network.parameters(dtype=dtype)
    initialize(network, params, np.random.default_rng(1), bias_init="glorot_normal")
    return params


def test_gradients_agree_with_central_differences():
    network = _network()
    params = _start(network)
    X, y = _rows(9)
    objective = Objective(network, LOSSES["squared_error"], alpha=0.1, alpha_l1=0.2)
    workspace, grad = objective.workspace(9, np.float64), params.like()
    params.vector += 0.1 * np.random.default_rng(2).standard_normal(params.vector.size)

    def value_and_gradient(vector):
        return sum(objective.value_and_gradient(params.on(vector.copy()), X, y, None, workspace, grad)), grad.vector

    check_gradient(value_and_gradient, params.vector, tolerance=1e-6)


def test_input_gradients_agree_with_central_differences_and_are_0_for_codes():
    network = _network()
    params = _start(network)
    X, _ = _rows(6)
    jacobian, step = input_jacobian(network, params, X), 1e-6
    for column in range(4):
        moved = step * np.eye(N_COLUMNS)[column]
        numeric = (network.predict(params, X + moved) - network.predict(params, X - moved)) / (2.0 * step)
        np.testing.assert_allclose(jacobian[:, :, column], numeric, atol=1e-7)
    assert not jacobian[:, :, 4:].any()


def test_outputs_equal_their_formulas():
    network = _network()
    params = _start(network)
    X, _ = _rows(8)
    by_name = {name: view for views in params.layers for name, view in views.items()}
    w, b, c = by_name["frequencies"], by_name["phases"], by_name["offsets"]
    mixing = by_name["mixing"].reshape(3, 2, 5)
    embedded = np.einsum("njk,jmk->njm", np.cos(2.0 * np.pi * X[:, :3, None] * w + b), mixing) + c
    one_hot = np.eye(5)[X[:, 4].astype(int)][:, 1:]
    vectors = np.vstack([np.zeros(3), by_name["table"]])[X[:, 5].astype(int)]
    h = np.hstack([embedded.reshape(8, 6), X[:, :3], X[:, 3:4], one_hot, vectors])
    hidden = ACTIVATIONS["mish"](0.3 * h @ params.weights[0] + params.biases[0])
    expected = 0.4 * hidden @ params.weights[1] + params.biases[1]
    np.testing.assert_allclose(network.predict(params, X), expected, rtol=1e-12)


def test_pbld_starts_as_its_settings_say():
    layer = PBLD(n_frequencies=50, n_mixtures=4, sigma=0.3).layer(200)
    network = Network([layer])
    (views,) = _start(network).layers
    assert np.std(views["frequencies"]) == pytest.approx(0.3, rel=0.05)
    assert np.abs(views["phases"]).max() == pytest.approx(np.pi, rel=0.01)
    for name in ("mixing", "offsets"):
        assert np.abs(views[name]).max() == pytest.approx(1.0 / np.sqrt(50), rel=0.02)
    assert {spec.rate_factor for spec in layer.shapes} == {0.1}


@pytest.mark.parametrize("codes", [[[0]], [[1], [0], [4]]])
def test_categories_not_seen_in_training_are_zeros(codes):
    x = np.array(codes, float)
    for network in (Network([OneHot(1, 4)]), Network([CategoryEmbedding(1, 4, 3)])):
        found = network.predict(_start(network), x)
        np.testing.assert_array_equal(found[x[:, 0] == 0], 0.0)
        assert (np.abs(found[x[:, 0] > 0]).max(axis=1) > 0.0).all()


@pytest.mark.parametrize(("name", "value"), [("n_frequencies", 0), ("n_mixtures", 1.5), ("sigma", 0.0)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of PBLD must be"):
        PBLD(**{name: value})
