"""Normalization against torch, dropout's mask, residual connections."""

import json
from pathlib import Path

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import BatchNorm, BatchNormalization, Dropout, LayerNormalization, TrainingPass
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters

GOLDEN = json.loads(Path(__file__).with_name("golden_normalization.json").read_text())


def _layer_with(layer, weight, bias):
    params = Parameters([layer.shapes], dtype=np.float64)
    views = params.layers[0]
    layer.initialize(views)
    views["scale"][...], views["offset"][...] = weight, bias
    return views, params.like().layers[0]


def _there_and_back(layer, views, grads, golden, batch=None):
    x, upstream = np.array(golden["input"]), np.array(golden["upstream"])
    memory = layer.allocate(len(x), np.float64, is_first=False)
    output = layer.forward(views, x, memory) if batch is None else layer.forward_training(views, x, memory, batch)
    output = output.copy()
    delta = layer.backward(views, grads, x, output, upstream, memory, is_first=False)
    for found, expected in [
        (output, golden["output"]),
        (delta, golden["input_gradient"]),
        (grads["scale"], golden["weight_gradient"]),
        (grads["offset"], golden["bias_gradient"]),
    ]:
        # Both are rounded to double precision; the inputs' spread is up to 20 times the deviation of a pair of rows.
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN["batch_norm"])
def test_batch_normalization_is_that_of_torch(name):
    golden = GOLDEN["batch_norm"][name]
    settings = golden["settings"]
    layer = BatchNormalization(3, settings["momentum"], settings["eps"])
    views, grads = _layer_with(layer, golden["weight"], golden["bias"])
    for batch in golden["batches"]:
        training = TrainingPass(None, None, float(len(batch["input"])))
        _there_and_back(layer, views, grads, batch, training)
        np.testing.assert_allclose(views["running_mean"], batch["running_mean"], rtol=1e-12)
        np.testing.assert_allclose(views["running_variance"], batch["running_var"], rtol=1e-12)
    x = np.array(golden["evaluation"]["input"])
    output = layer.forward(views, x, layer.allocate(len(x), np.float64, is_first=False))
    np.testing.assert_allclose(output, golden["evaluation"]["output"], rtol=1e-12)


@pytest.mark.parametrize("name", GOLDEN["layer_norm"])
def test_layer_normalization_is_that_of_torch(name):
    golden = GOLDEN["layer_norm"][name]
    layer = LayerNormalization(len(golden["weight"]), golden["settings"]["eps"])
    views, grads = _layer_with(layer, golden["weight"], golden["bias"])
    _there_and_back(layer, views, grads, golden)


def test_a_weight_of_two_is_the_row_twice_for_batch_normalization():
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


def test_dropout_goes_back_through_the_mask_it_drew():
    layer, rng = Dropout(50, 0.3), np.random.default_rng(3)
    memory = layer.allocate(40, np.float32, is_first=False)
    x = np.ones((40, 50), np.float32)
    output = layer.forward_training({}, x, memory, TrainingPass(rng, None, 40.0)).copy()
    delta = layer.backward({}, {}, x, output, x.copy(), memory, is_first=False)
    np.testing.assert_array_equal(output, delta)
    np.testing.assert_allclose(np.unique(output), [0.0, 1.0 / 0.7], rtol=1e-6)
    assert output.dtype == np.float32
    assert layer.forward({}, x, memory) is x


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_dropout_keeps_the_expectation(rate):
    layer, rng = Dropout(200, rate), np.random.default_rng(4)
    memory = layer.allocate(500, np.float64, is_first=False)
    output = layer.forward_training({}, np.full((500, 200), 2.0), memory, TrainingPass(rng, None, 500.0))
    deviation = 2.0 * np.sqrt(rate / (1.0 - rate) / output.size)  # of the mean of so many independent units
    assert abs(output.mean() - 2.0) <= 4.0 * deviation
    assert abs((output == 0.0).mean() - rate) <= 4.0 * np.sqrt(rate * (1.0 - rate) / output.size)


def test_dropout_without_a_stream_is_refused():
    layer = Dropout(2, 0.5)
    memory = layer.allocate(3, np.float64, is_first=False)
    with pytest.raises(ValueError, match="random stream"):
        layer.forward_training({}, np.ones((3, 2)), memory, TrainingPass(None, None, 3.0))


def test_a_residual_network_is_what_its_formula_says():
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
