"""How gradients grow and shrink with depth, as in the textbooks, shown by the recorded norms."""

from functools import lru_cache

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import layer_norms

DEPTH, WIDTH, ROWS = 20, 64, 100


@lru_cache
def _norms(activation, weight_init, scale=1.0):
    """Return the norms of the gradients of the hidden layers' weights."""
    rng = np.random.default_rng(0)
    network = multilayer_perceptron([WIDTH] * (DEPTH + 1) + [1], [ACTIVATIONS[activation]] * DEPTH)
    params = network.parameters()
    initialize(network, params, rng, weight_init)
    params.vector[: params.n_weights] *= scale
    objective = Objective(network, LOSSES["squared_error"])
    X = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    y = rng.standard_normal((ROWS, 1)).astype(np.float32)
    grad = params.like()
    objective.value_and_gradient(params, X, y, None, objective.workspace(ROWS, np.float32), grad)
    return np.array(layer_norms(grad))[:-1]


def _growth(norms):
    """Return the mean factor from one layer to the next, by a line through the logarithms of the norms."""
    return float(np.exp(np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0]))


def test_logistic_units_make_the_gradient_vanish():
    norms = _norms("logistic", "glorot_uniform")
    # Going back one layer multiplies the error signal by W (of singular values about 1, by Glorot's rule) and by
    # sigma' <= 1/4.
    assert 3.5 < _growth(norms) < 5.0
    assert norms[0] < 1e-10 * norms[-1]
    assert (np.diff(norms) > 0.0).all()


def test_he_weights_preserve_the_gradient_norm_of_relu_units():
    norms = _norms("relu", "he_normal")
    assert 0.9 < _growth(norms) < 1.1
    assert norms.max() < 5.0 * norms.min()


def test_glorot_weights_shrink_the_gradient_of_relu_units():
    # He's argument: half of the units are off, for which a variance of 1/n does not compensate. Error signal and input
    # shrink by sqrt(1/2) per layer in opposite directions, so their product is the same in all layers.
    norms = _norms("relu", "glorot_uniform")
    assert 0.85 < _growth(norms) < 1.15
    assert norms.max() < 0.01 * _norms("relu", "he_normal").max()


@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_scaled_up_weights_make_the_gradient_explode(scale):
    plain, scaled = _norms("identity", "lecun_normal"), _norms("identity", "lecun_normal", scale)
    # The gradient of a layer in a linear network is the error times the weights of all other layers.
    assert 0.8 < _growth(plain) < 1.25
    assert scaled.min() > scale**DEPTH * plain.max()


@pytest.mark.parametrize("scale", [2.0, 4.0])
def test_scaled_up_weights_make_the_gradient_explode_towards_the_input(scale):
    # tanh bounds the activations, so only the backward pass explodes, faster with larger weights.
    norms = _norms("tanh", "lecun_normal", scale)
    growth = _growth(norms[: DEPTH // 2])
    assert growth < 0.95
    assert norms[0] > 2.0 * norms[DEPTH // 2]
