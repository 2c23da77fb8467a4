"""Normalization against torch, dropout's mask, residual connections."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.layers import (
    ActivationLayer,
    Batch,
    BatchNorm,
    BatchNormalization,
    Dense,
    Dropout,
    LayerNormalization,
    Parallel,
)
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters

GOLDEN = json.loads(Path(__file__).with_name("golden_normalization.json").read_text())


def _layer_with(layer, weight, bias):
    params = Parameters([layer.shapes], dtype=np.float64)
    views = params.layers[0]
    layer.initialize(views, np.random.default_rng(0))
    views["scale"][...], views["offset"][...] = weight, bias
    return views, params.like().layers[0]


def _check_passes(layer, views, grads, golden, batch=None):
    x, upstream = np.array(golden["input"]), np.array(golden["upstream"])
    memory = layer.allocate(len(x), np.float64, is_first=False)
    output = layer.forward(views, x, memory, batch).copy()
    delta = layer.backward(views, grads, x, output, upstream, memory, batch)
    for found, expected in [
        (output, golden["output"]),
        (delta, golden["input_gradient"]),
        (grads["scale"], golden["weight_gradient"]),
        (grads["offset"], golden["bias_gradient"]),
    ]:
        # Both are rounded to double precision; the inputs' spread is up to 20 times the deviation of a pair of rows.
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN["batch_norm"])
def test_batch_normalization_equals_torchs(name):
    golden = GOLDEN["batch_norm"][name]
    settings = golden["settings"]
    layer = BatchNormalization(3, settings["momentum"], settings["eps"])
    views, grads = _layer_with(layer, golden["weight"], golden["bias"])
    for batch in golden["batches"]:
        training = Batch(None, None, float(len(batch["input"])))
        _check_passes(layer, views, grads, batch, training)
        np.testing.assert_allclose(views["running_mean"], batch["running_mean"], rtol=1e-12)
        np.testing.assert_allclose(views["running_variance"], batch["running_var"], rtol=1e-12)
    x = np.array(golden["evaluation"]["input"])
    output = layer.forward(views, x, layer.allocate(len(x), np.float64, is_first=False))
    np.testing.assert_allclose(output, golden["evaluation"]["output"], rtol=1e-12)


@pytest.mark.parametrize("name", GOLDEN["layer_norm"])
def test_layer_normalization_equals_torchs(name):
    golden = GOLDEN["layer_norm"][name]
    layer = LayerNormalization(len(golden["weight"]), golden["settings"]["eps"])
    views, grads = _layer_with(layer, golden["weight"], golden["bias"])
    _check_passes(layer, views, grads, golden)


def test_a_weight_of_two_equals_the_row_twice_with_batch_normalization():
    rng = np.random.default_rng(0)
    X, twice = rng.standard_normal((5, 3)), [0, 1, 1, 2, 3, 3]
    network = multilayer_perceptron([3, 4, 1], [ACTIVATIONS["tanh"]], normalization=BatchNorm())
    objective = Objective(network, LOSSES["squared_error"])
    start = network.parameters(dtype=np.float64)
    initialize(network, start, rng)
    y = rng.standard_normal((5, 1))
    results = []
    for rows, weight in [(twice, None), (list(range(5)), np.array([1.0, 2.0, 1.0, 2.0, 0.0]))]:
        params, grad = start.on(start.vector.copy()), start.like()
        value = objective.value_and_gradient(
            params, X[rows], y[rows], weight, objective.workspace(len(rows), np.float64), grad
        )
        results.append((value.loss, grad.vector, params.vector))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_dropout_multiplies_the_error_signal_by_the_mask_of_the_forward_pass():
    layer, rng = Dropout(50, 0.3), np.random.default_rng(3)
    memory = layer.allocate(40, np.float32, is_first=False)
    x = np.ones((40, 50), np.float32)
    batch = Batch(rng, None, 40.0)
    layer.draw(rng, memory)
    output = layer.forward({}, x, memory, batch).copy()
    delta = layer.backward({}, {}, x, output, x.copy(), memory, batch)
    np.testing.assert_array_equal(output, delta)
    np.testing.assert_allclose(np.unique(output), [0.0, 1.0 / 0.7], rtol=1e-6)
    assert output.dtype == np.float32
    assert layer.forward({}, x, memory) is x


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_dropout_keeps_the_expectation(rate):
    layer, rng = Dropout(200, rate), np.random.default_rng(4)
    memory = layer.allocate(500, np.float64, is_first=False)
    layer.draw(rng, memory)
    output = layer.forward({}, np.full((500, 200), 2.0), memory, Batch(rng, None, 500.0))
    deviation = 2.0 * np.sqrt(rate / (1.0 - rate) / output.size)  # of the mean of so many independent units
    assert abs(output.mean() - 2.0) <= 4.0 * deviation
    assert abs((output == 0.0).mean() - rate) <= 4.0 * np.sqrt(rate * (1.0 - rate) / output.size)


def test_dropout_without_a_stream_is_refused():
    layer = Dropout(2, 0.5)
    memory = layer.allocate(3, np.float64, is_first=False)
    with pytest.raises(ValueError, match="random stream"):
        layer.draw(None, memory)


def test_a_residual_network_equals_its_formula():
    rng = np.random.default_rng(5)
    tanh = ACTIVATIONS["tanh"]
    network = multilayer_perceptron([2, 3, 3, 4, 4, 4, 1], [tanh] * 5, residual=True)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    a = X = rng.standard_normal((7, 2))
    for index, (weights, biases) in enumerate(zip(params.weights, params.biases, strict=True)):
        z = a @ weights + biases
        if index == 5:
            break
        a = np.tanh(z) + (a if index in (1, 3, 4) else 0.0)  # where a hidden layer is as wide as the one before
    np.testing.assert_allclose(network.predict(params, X), z, rtol=1e-13)


def _branched():
    """Return a network with nested branches, one of which passes its input on, and its parameters."""
    tanh = ACTIVATIONS["tanh"]
    inner = Parallel([Dense(4, 2)], [Dense(4, 3), ActivationLayer(3, tanh)])
    network = Network([Dense(3, 4), Parallel([], [inner, Dense(5, 2)], [BatchNormalization(4)]), Dense(10, 2)])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(6))
    return network, params


def test_parallel_branches_equal_their_formula():
    network, params = _branched()
    X = np.random.default_rng(7).standard_normal((5, 3))
    first, two, three, after, last = (layer["weights"] for layer in params.layers if "weights" in layer)
    h = X @ first
    inner = np.hstack([h @ two, np.tanh(h @ three)])
    normalized = h / np.sqrt(1.0 + 1e-5)  # by the running averages, which are still those of the start
    np.testing.assert_allclose(network.predict(params, X), np.hstack([h, inner @ after, normalized]) @ last, rtol=1e-12)


def test_gradients_of_parallel_branches_agree_with_central_differences():
    network, params = _branched()
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    objective = Objective(network, LOSSES["squared_error"], alpha=0.2)
    workspace, grad = objective.workspace(6, np.float64), params.like()

    def value_and_gradient(vector):
        return sum(objective.value_and_gradient(params.on(vector.copy()), X, y, None, workspace, grad)), grad.vector

    check_gradient(value_and_gradient, params.vector, tolerance=1e-6)

    def outputs(rows):
        return network.predict(params, rows)

    jacobian, step = input_jacobian(network, params, X), 1e-6
    for feature in range(3):
        moved = step * np.eye(3)[feature]
        numeric = (outputs(X + moved) - outputs(X - moved)) / (2.0 * step)
        np.testing.assert_allclose(jacobian[:, :, feature], numeric, atol=1e-8)


def test_branches_at_the_front_read_the_data():
    network = Network([Parallel([Dense(3, 2)], []), Dense(5, 1)])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(9))
    X = np.random.default_rng(10).standard_normal((4, 3))
    raw = np.hstack([X @ params.weights[0], X]) @ params.weights[1]
    for rows in (X, sparse.csr_array(X)):
        np.testing.assert_allclose(network.predict(params, rows), raw, rtol=1e-12)
    assert (network.n_in, network.n_out) == (3, 1)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([Parallel([Dense(3, 2)], [Dense(4, 2)])], "Dense.* takes 4 inputs, but the data have 3"),
        ([Dense(3, 4), Parallel([], [Dense(5, 2)])], "takes 5 inputs, but Dense.* gives 4"),
        ([Parallel([Dense(3, 2)], []), Dense(6, 1)], "takes 6 inputs, but Concatenate.* gives 5"),
        ([Parallel([], []), Dense(6, 1)], "At least one of the parallel branches at the front"),
        (
            [Dense(3, 4), Parallel([], [LayerNormalization(4, consumes_input=True)])],
            "overwrites its input, which is needed by Concatenate.* after it",
        ),
    ],
)
def test_branches_that_do_not_fit_are_refused(layers, words):
    with pytest.raises(ValueError, match=words):
        Network(layers)


def test_a_single_branch_is_refused():
    with pytest.raises(ValueError, match=r"Parallel branches must be at least 2\. Got 1 instead"):
        Parallel([Dense(3, 2)])
