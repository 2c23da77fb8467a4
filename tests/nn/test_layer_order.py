"""Networks of layers in any order that fits: no layer overwrites what another needs; a wrong order is an error."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.layers import (
    ActivationLayer,
    BatchNorm,
    BatchNormalization,
    Dense,
    Dropout,
    LayerNorm,
    LayerNormalization,
    ParametricActivation,
    Residual,
)
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

WIDTH = 3
# Some whose derivative comes from the output alone, and some that need their input for it.
SMOOTH = ("logistic", "tanh", "gelu", "gelu_tanh", "silu", "softplus", "mish")


def _relu(**settings):
    return ActivationLayer(WIDTH, ACTIVATIONS["relu"], **settings)


def _layer(draw, n_before):
    kind = draw(st.sampled_from(["dense", "activation", "parametric", "batch", "layer", "dropout", "residual"]))
    if kind == "activation":
        return ActivationLayer(WIDTH, ACTIVATIONS[draw(st.sampled_from(SMOOTH))])
    if kind == "parametric":
        return ParametricActivation(WIDTH, ACTIVATIONS[draw(st.sampled_from(SMOOTH))])
    if kind == "batch":
        return BatchNormalization(WIDTH, epsilon=0.1)
    if kind == "layer":
        return LayerNormalization(WIDTH, epsilon=0.1)
    if kind == "dropout":
        return Dropout(WIDTH, draw(st.sampled_from([0.0, 0.4])))
    if kind == "residual" and n_before > 0:
        return Residual(WIDTH, draw(st.integers(1, n_before)))
    return Dense(WIDTH, WIDTH)


@st.composite
def networks(draw):
    """Return a network in which every layer overwrites its input that is allowed to and chosen to."""
    layers = []
    for _ in range(draw(st.integers(1, 7))):
        layers.append(_layer(draw, len(layers)))
    for index, layer in enumerate(layers):
        if isinstance(layer, ActivationLayer | BatchNormalization | LayerNormalization) and draw(st.booleans()):
            changed = [*layers[:index], replace(layer, consumes_input=True), *layers[index + 1 :]]
            try:
                layers = list(Network(changed).layers)
            except ValueError:
                continue
    return Network(layers)


def _with_values(network, seed):
    rng = np.random.default_rng(seed)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    params.trained[params.n_weights :] += 0.3 * rng.standard_normal(params.n_trained - params.n_weights)
    return params, rng.standard_normal((4, network.n_in)), rng.standard_normal((4, network.n_out))


@hypothesis.given(networks(), st.integers(0, 10**6))
@hypothesis.settings(max_examples=100)
def test_any_network_leaves_the_data_as_they_were(network, seed):
    params, X, y = _with_values(network, seed)
    kept = X.copy()
    network.predict(params, X)
    np.testing.assert_array_equal(X, kept)
    objective = Objective(network, LOSSES["squared_error"])
    workspace, grad = objective.workspace(4, np.float64), params.like()
    objective.value_and_gradient(params, X, y, None, workspace, grad, np.random.default_rng(0))
    np.testing.assert_array_equal(X, kept)
    input_jacobian(network, params, X)
    np.testing.assert_array_equal(X, kept)


@hypothesis.given(networks(), st.integers(0, 10**6))
@hypothesis.settings(max_examples=100)
def test_gradient_of_any_network(network, seed):
    params, X, y = _with_values(network, seed)
    hypothesis.assume(params.n_trained > 0)
    objective = Objective(network, LOSSES["squared_error"])
    workspace, grad = objective.workspace(4, np.float64), params.like()

    def value_and_gradient(trained):
        there = params.on(params.vector.copy())
        there.trained[...] = trained
        masks = np.random.default_rng(1)  # the same ones at every point
        value = objective.value_and_gradient(there, X, y, None, workspace, grad, masks)
        return sum(value), grad.trained

    check_gradient(value_and_gradient, params.trained, tolerance=1e-6)


@hypothesis.given(networks(), st.integers(0, 10**6))
@hypothesis.settings(max_examples=100)
def test_input_gradient_of_any_network(network, seed):
    params, X, delta = _with_values(network, seed)
    jacobian = input_jacobian(network, params, X)

    def value_and_gradient(vector):
        raw = network.predict(params, vector.reshape(X.shape))
        return float(np.sum(delta * raw)), np.einsum("no,noi->ni", delta, jacobian).reshape(-1)

    check_gradient(value_and_gradient, X.reshape(-1), tolerance=1e-6)


@hypothesis.given(networks(), st.integers(0, 10**6))
@hypothesis.settings(max_examples=100)
def test_overwriting_changes_no_number(network, seed):
    params, X, _ = _with_values(network, seed)
    keeping = Network([replace(each, consumes_input=False) if each.consumes_input else each for each in network.layers])
    np.testing.assert_array_equal(network.predict(params, X), keeping.predict(params, X))


def test_residual_block_that_begins_with_a_normalization_has_the_right_value():
    network = Network([Dense(1, 2), LayerNormalization(2, epsilon=0.0), Dense(2, 2), Residual(2, 2)])
    params = network.parameters(dtype=np.float64)
    dense, _, inner, _ = params.layers
    dense["weights"][...], inner["weights"][...] = [[1.0, 3.0]], np.eye(2)
    params.layers[1]["scale"][...] = 1.0
    np.testing.assert_allclose(network.predict(params, np.ones((1, 1))), [[1.0 - 1.0, 3.0 + 1.0]])


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([LayerNormalization(WIDTH, consumes_input=True)], "the caller's data"),
        ([BatchNormalization(WIDTH, consumes_input=True)], "the caller's data"),
        ([_relu(consumes_input=True)], "the caller's data"),
        (
            [Dense(WIDTH, WIDTH), LayerNormalization(WIDTH, consumes_input=True), Residual(WIDTH, 1)],
            "needed by Residual.* after it",
        ),
        ([Dense(WIDTH, WIDTH), _relu(), _relu(consumes_input=True)], "needed by ActivationLayer.* before it"),
        # Without dropout, in prediction, its output is its input.
        ([Dense(WIDTH, WIDTH), Dropout(WIDTH, 0.5), _relu(consumes_input=True)], "needed by Dropout.* before it"),
    ],
)
def test_layer_that_overwrites_what_others_need_is_refused(layers, words):
    with pytest.raises(ValueError, match=rf"overwrites its input, which is {words}.*consumes_input=False"):
        Network(layers)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "at least one layer"),
        ([Dense(2, 3), Residual(3, 2)], "would begin before the first of 1"),
        ([Dense(2, 3), Residual(3, 1)], "has 2 inputs"),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(layers, words):
    with pytest.raises(ValueError, match=words):
        Network(layers)


def test_residual_connection_over_no_layer_is_refused():
    with pytest.raises(ValueError, match="at least 1 layer"):
        Residual(3, 0)


@pytest.mark.parametrize("normalization", [BatchNorm(), LayerNorm()])
def test_ordinary_network_overwrites_what_nothing_else_needs(normalization):
    network = multilayer_perceptron([3, 4, 2], [ACTIVATIONS["relu"]], normalization=normalization)
    assert [layer.consumes_input for layer in network.layers] == [False, True, True, False]
