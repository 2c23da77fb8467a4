"""Gradients with respect to the inputs, and derivatives of the links, against central differences."""

import tracemalloc
from dataclasses import dataclass

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import sparse

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.input_gradient import input_gradient, input_jacobian
from skmlp.nn.layers import BatchNorm, Dense, Layer, LayerNorm
from skmlp.nn.losses import LOSSES, Loss
from skmlp.nn.network import PREDICT_ROWS, Network, initialize, multilayer_perceptron
from skmlp.nn.parameters import ParameterShape

STEP = 1e-5


def _differences(function, X):
    """Return d function(X)[i, k] / d X[i, j], and how far apart the slopes on both sides are, as at a kink."""
    columns, kinks = [], []
    for column in range(X.shape[1]):
        step = np.zeros(X.shape[1])
        step[column] = STEP
        above, here, below = function(X + step), function(X), function(X - step)
        columns.append((above - below) / (2.0 * STEP))
        kinks.append(np.abs(above - 2.0 * here + below) / STEP)
    return np.stack(columns, axis=2), np.stack(kinks, axis=2)


def _assert_is_derivative(jacobian, function, X):
    numeric, kink = _differences(function, X)
    assert jacobian.shape == numeric.shape
    smooth = kink < 1e-2
    assert smooth.mean() > 0.9
    np.testing.assert_allclose(jacobian[smooth], numeric[smooth], rtol=1e-6, atol=1e-8)


def _random_network(rng, sizes, activations, **options):
    network = multilayer_perceptron(sizes, [ACTIVATIONS[name] for name in activations], **options)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    n_offsets = params.n_trained - params.n_weights
    params.vector[params.n_weights : params.n_trained] += 0.3 * rng.standard_normal(n_offsets)
    for views in params.layers:
        if "running_mean" in views:
            views["running_mean"][...] = rng.standard_normal(views["running_mean"].shape)
            views["running_variance"][...] = rng.uniform(0.2, 3.0, views["running_variance"].shape)
    return network, params


# ---------------------------------------------------------------------- links


@pytest.mark.parametrize("n_targets", [1, 2, 3])
def test_derivative_of_every_link(any_loss, n_targets):
    raw = np.random.default_rng(n_targets).uniform(-2.0, 2.0, (7, any_loss.n_raw(n_targets)))
    kept = raw.copy()
    _assert_is_derivative(any_loss.predict_jacobian(raw), any_loss.predict, raw)
    np.testing.assert_array_equal(raw, kept)
    assert any_loss.predict_jacobian(raw.astype(np.float32)).dtype == np.float32


def test_derivative_of_a_link_keeps_its_digits_where_the_prediction_rounds_to_1():
    raw = np.array([[60.0, 0.0]])
    rest = np.exp(-60.0)  # p = 1 - rest, which a float64 cannot tell from 1
    np.testing.assert_allclose(
        LOSSES["log_loss"].predict_jacobian(raw)[0], rest * np.array([[1.0, -1.0], [-1.0, 1.0]]), rtol=1e-12
    )
    np.testing.assert_allclose(LOSSES["binary_log_loss"].predict_jacobian(raw[:, :1]), [[[rest]]], rtol=1e-12)


def test_a_loss_with_a_prediction_of_its_own_must_know_its_derivative():
    class Doubled(Loss):
        link = "identity"

        def loss_and_gradient(self, y, raw, out):
            raise NotImplementedError

        def predict(self, raw):
            return 2.0 * raw

    with pytest.raises(TypeError, match=r"Doubled overrides predict.*override predict_jacobian"):
        Doubled().predict_jacobian(np.zeros((1, 1)))


# ---------------------------------------------------------------------- networks

cases = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.integers(2, 4), max_size=5),
        "equal_widths": st.booleans(),
        "activations": st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=5, max_size=5),
        "normalization": st.sampled_from([None, BatchNorm(epsilon=0.1), LayerNorm(epsilon=0.1)]),
        "dropout": st.sampled_from([0.0, 0.5]),
        "residual": st.booleans(),
        "loss": st.sampled_from(sorted(LOSSES)),
        "sparse": st.booleans(),
        "seed": st.integers(0, 10**6),
    }
)


@hypothesis.given(cases)
@hypothesis.settings(max_examples=200)
def test_input_gradients_of_any_network(case):
    rng = np.random.default_rng(case["seed"])
    hidden = [3] * len(case["hidden"]) if case["equal_widths"] else case["hidden"]
    network, params = _random_network(
        rng,
        [3, *hidden, 4],
        case["activations"][: len(hidden)],
        normalization=case["normalization"],
        dropout=[case["dropout"]] * len(hidden),
        residual=case["residual"],
    )
    loss = LOSSES[case["loss"]]
    X = rng.standard_normal((5, 3))
    given, before = sparse.csr_matrix(X) if case["sparse"] else X.copy(), params.vector.copy()

    def raw(rows):
        return network.predict(params, rows).copy()

    _assert_is_derivative(input_jacobian(network, params, given), raw, X)
    _assert_is_derivative(
        input_jacobian(network, params, given, loss.predict_jacobian), lambda rows: loss.predict(raw(rows)), X
    )
    delta = rng.standard_normal((5, 4))
    kept = delta.copy()
    _assert_is_derivative(
        input_gradient(network, params, given, delta)[:, np.newaxis],
        lambda rows: (delta * raw(rows)).sum(axis=1, keepdims=True),
        X,
    )
    np.testing.assert_array_equal(delta, kept)
    np.testing.assert_array_equal(params.vector, before)
    np.testing.assert_array_equal(given.toarray() if case["sparse"] else given, X)


@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_matrix])
def test_blocks_of_rows_give_what_single_rows_give(as_given):
    rng = np.random.default_rng(0)
    network, params = _random_network(
        rng, [2, 3, 3, 3], ["mish", "gelu"], normalization=BatchNorm(), residual=True, dropout=[0.5, 0.5]
    )
    X = rng.standard_normal((2 * PREDICT_ROWS + 3, 2))
    delta = rng.standard_normal((len(X), 3))
    gradient = input_gradient(network, params, as_given(X), delta)
    jacobian = input_jacobian(network, params, as_given(X))
    for row in (0, 340, 341, 342, PREDICT_ROWS - 1, PREDICT_ROWS, 2 * PREDICT_ROWS, len(X) - 1):
        one = slice(row, row + 1)
        np.testing.assert_allclose(gradient[one], input_gradient(network, params, X[one], delta[one]), rtol=1e-11)
        np.testing.assert_allclose(jacobian[one], input_jacobian(network, params, X[one]), rtol=1e-11)
        np.testing.assert_allclose(gradient[row], delta[row] @ jacobian[row], rtol=1e-11)


def test_memory_does_not_grow_with_the_rows():
    rng = np.random.default_rng(0)
    network, params = _random_network(rng, [2, 50, 50, 20], ["tanh", "relu"])
    peaks = []
    for n_samples in (3000, 12000):
        X = rng.standard_normal((n_samples, 2))
        tracemalloc.start()
        jacobian = input_jacobian(network, params, X, LOSSES["log_loss"].predict_jacobian)
        peaks.append(tracemalloc.get_traced_memory()[1] - jacobian.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 10e6


@dataclass(frozen=True)
class Weighting(Layer):
    """A layer with parameters that defines no more than it must."""

    n_in: int
    n_out: int

    @property
    def shapes(self):
        return (ParameterShape("factors", (self.n_in,), "factor"),)

    def allocate(self, n_samples, dtype, *, is_first):
        return (np.empty((n_samples, self.n_out), dtype),)

    def forward(self, params, x, memory, batch=None):
        np.multiply(x, params["factors"], out=memory[0])
        return memory[0]

    def backward(self, params, grads, x, output, delta, memory, batch=None, *, needs_input_delta=True):
        if grads is not None:
            grads["factors"][...] = (delta * x).sum(axis=0)
        memory[0][...] = delta * params["factors"]
        return memory[0]


def test_the_input_gradient_goes_through_the_backward_pass_of_any_layer():
    network = Network([Dense(2, 3), Weighting(3, 3), Dense(3, 2)])
    params = network.parameters(np.random.default_rng(0).standard_normal(9 + 3 + 8))
    (first, last), factors = params.weights, params.layers[1]["factors"]
    expected = (first * factors @ last).T
    np.testing.assert_allclose(input_jacobian(network, params, np.ones((4, 2))), [expected] * 4, rtol=1e-13)
    np.testing.assert_allclose(
        input_gradient(network, params, np.ones((1, 2)), np.array([[1.0, -2.0]])), [expected[0] - 2.0 * expected[1]]
    )
