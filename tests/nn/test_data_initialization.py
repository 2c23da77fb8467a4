"""Initial parameters from the training data."""

import numpy as np
import pytest
from scipy import sparse

from skmlp.nn import data_initialization
from skmlp.nn.activations import ACTIVATIONS, Parametric
from skmlp.nn.data_initialization import initialize_from_data, learn_from_data
from skmlp.nn.layers import (
    ActivationLayer,
    BatchNormalization,
    Columns,
    Dense,
    Dropout,
    Parallel,
    PBLDLayer,
    PiecewiseLinearEmbedding,
    Residual,
    Scale,
)
from skmlp.nn.network import Network, initialize, multilayer_perceptron


def _data(n=300):
    """Return features of unlike means and spreads, one of them constant."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(20.0, 3.0, n), rng.exponential(0.1, n), rng.normal(0.0, 1e3, n), np.ones(n)])


def _network():
    """Return a network with everything that comes between dense layers."""
    front = Parallel([Columns(4, 0, 2), PBLDLayer(2, 5, 2)], [Columns(4, 2, 4), PiecewiseLinearEmbedding(2, 5, 3)], [])
    widths = 6 + 6 + 4
    hidden = [Dense(8, 8), ActivationLayer(8, ACTIVATIONS["tanh"]), Dropout(8, 0.5), Residual(8, 3)]
    return Network(
        [
            front,
            Scale(widths),
            Dense(widths, 8, 1.0 / np.sqrt(widths)),
            BatchNormalization(8, consumes_input=True),
            ActivationLayer(8, ACTIVATIONS["selu"]),
            *hidden,
            Dense(8, 3, 0.2),
        ]
    )


def _initialized(network, X, seed=1, dtype=np.float64):
    params = network.parameters(dtype=dtype)
    params.vector[...] = np.nan
    initialize_from_data(network, params, np.random.default_rng(seed), X)
    return params


def _pre_activations(network, params, X):
    """Return the outputs of all dense layers, without their biases."""
    found = []

    def watch(node, output):
        if isinstance(node.layer, Dense):
            found.append(output - params.layers[node.index]["biases"])

    network.forward(params, X, network.workspace(len(X), params.vector.dtype), watch=watch)
    return found


def test_every_pre_activation_has_standard_deviation_1():
    network, X = _network(), _data()
    params = _initialized(network, X)
    assert np.isfinite(params.vector).all()
    found = _pre_activations(network, params, X)
    assert [each.shape[1] for each in found] == [8, 8, 3]
    for each in found:
        np.testing.assert_allclose(each.std(axis=0), 1.0, rtol=1e-9)


def test_biases_are_minus_means_of_five_pre_activations():
    """They lie within the data, their spread is that of a random mean of five, their signs differ."""
    network, X = multilayer_perceptron([4, 2000, 1], [ACTIVATIONS["relu"]]), _data(100)
    params = _initialized(network, X)
    z = _pre_activations(network, params, X)[0]
    kinks = -params.biases[0]
    assert (kinks >= z.min(axis=0)).all()
    assert (kinks <= z.max(axis=0)).all()
    # The expected sum of five squares of parts that are uniform on the simplex is 2 / 6; z has variance 1.
    spread = (kinks - z.mean(axis=0)).std()
    assert spread == pytest.approx(np.sqrt(1.0 / 3.0), rel=0.1)


def test_units_draw_their_own_rows():
    X = np.array([[0.0], [1.0]])
    network = Network([Dense(1, 500)])
    params = _initialized(network, X)
    places = -params.biases[0] / params.weights[0][0]  # where each unit is 0
    assert (np.sort(places)[[0, -1]] >= 0.0).all()
    assert len(np.unique(places.round(6))) > 400
    # All five rows are the same for one unit in 16.
    assert np.isin(places, [0.0, 1.0]).mean() == pytest.approx(1.0 / 16.0, abs=0.04)


def test_the_gain_counts():
    X, gains = _data(), []
    for gain in (1.0, 0.25):
        network = Network([Dense(4, 3, gain)])
        params = _initialized(network, X)
        gains.append(gain * params.weights[0])
        np.testing.assert_allclose(network.predict(params, X).std(axis=0), 1.0)
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_that_sees_a_constant_keeps_its_weights(dtype):
    X = np.full((20, 3), 1.7, dtype)
    network = Network([Dense(3, 50)])
    params = _initialized(network, X, dtype=dtype)
    assert np.abs(params.weights[0]).max() < 5.0
    np.testing.assert_allclose(network.predict(params, X), 0.0, atol=1e-5)


def test_the_same_seed_gives_the_same_parameters_in_both_dtypes():
    network, X = _network(), _data()
    params, again = _initialized(network, X), _initialized(network, X)
    np.testing.assert_array_equal(params.vector, again.vector)
    single = _initialized(network, X.astype(np.float32), dtype=np.float32)
    assert single.vector.dtype == np.float32
    assert not np.array_equal(params.vector, _initialized(network, X, seed=2).vector)
    plain = multilayer_perceptron([4, 3, 1], [Parametric("mish")])
    pair = [_initialized(plain, X.astype(dtype), dtype=dtype).vector for dtype in (np.float32, np.float64)]
    np.testing.assert_allclose(*pair, rtol=1e-3, atol=1e-4)


def test_sparse_data_give_what_dense_ones_do():
    X = _data() * (np.random.default_rng(3).random((300, 4)) < 0.5)
    network = multilayer_perceptron([4, 6, 2], [ACTIVATIONS["relu"]])
    vectors = [_initialized(network, rows).vector for rows in (X, sparse.csr_array(X))]
    np.testing.assert_allclose(*vectors, rtol=1e-10)


def test_many_rows_are_sampled(monkeypatch):
    network, X, seen = multilayer_perceptron([4, 6, 2], [ACTIVATIONS["relu"]]), _data(), []
    monkeypatch.setattr(data_initialization, "MAX_NUMBERS", 100 * network.n_numbers)
    original = data_initialization._initialize_dense
    monkeypatch.setattr(
        data_initialization, "_initialize_dense", lambda *args: seen.append(len(args[-1])) or original(*args)
    )
    params = _initialized(network, X)
    assert seen == [100, 100]
    np.testing.assert_allclose(_pre_activations(network, params, X)[0].std(axis=0), 1.0, rtol=0.3)


def test_data_and_other_statistics_are_left_as_they_are():
    network, X = _network(), _data()
    kept = X.copy()
    params = _initialized(network, X)
    np.testing.assert_array_equal(X, kept)
    running = next(views for views in params.layers if "running_mean" in views)
    assert not running["running_mean"].any()
    assert (running["running_variance"] == 1.0).all()


def test_layers_learn_from_what_the_layers_before_make_of_the_data():
    network = Network([Dense(4, 2), PiecewiseLinearEmbedding(2, 3, 2), Dense(4, 1)])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(4))
    before, X = params.vector.copy(), _data()
    learn_from_data(network, params, X)
    expected = np.quantile(X @ params.weights[0], np.linspace(0.0, 1.0, 4), axis=0).T
    np.testing.assert_allclose(params.layers[1]["edges"], expected, rtol=1e-12)
    np.testing.assert_array_equal(params.trained, before[: params.n_trained])


def test_a_network_of_which_no_layer_learns_is_left_as_it_is():
    network = multilayer_perceptron([4, 3, 1], [ACTIVATIONS["tanh"]])
    params = network.parameters()
    learn_from_data(network, params, np.full((2, 4), np.nan, np.float32))
    assert not params.vector.any()
