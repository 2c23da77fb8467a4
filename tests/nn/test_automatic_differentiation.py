"""Backpropagation against automatic differentiation of the plain formulas, which share no code with the package."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy import special
from autograd.scipy.stats import norm
from scipy.special import xlogy

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _elu(z, alpha=1.0):
    return anp.where(z > 0.0, z, alpha * (anp.exp(anp.minimum(z, 0.0)) - 1.0))


def _softplus(z):
    return anp.logaddexp(0.0, z)


ACTIVATION_FORMULAS = {
    "identity": lambda z: z,
    "logistic": special.expit,
    "tanh": anp.tanh,
    "relu": lambda z: anp.maximum(z, 0.0),
    "leaky_relu": lambda z: anp.where(z > 0.0, z, 0.01 * z),
    "elu": _elu,
    "selu": lambda z: SELU_SCALE * _elu(z, SELU_ALPHA),
    "gelu": lambda z: 0.5 * z * (1.0 + special.erf(z / anp.sqrt(2.0))),
    "gelu_tanh": lambda z: 0.5 * z * (1.0 + anp.tanh(anp.sqrt(2.0 / anp.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z * special.expit(z),
    "softplus": _softplus,
    "mish": lambda z: z * anp.tanh(_softplus(z)),
}


def _normal(y, raw):
    mean, variance = raw[:, : y.shape[1]], anp.exp(raw[:, y.shape[1] :])
    return -anp.sum(norm.logpdf(y, mean, anp.sqrt(variance)), axis=1)


def _focal(p):
    return -((1.0 - p) ** 2) * anp.log(p)


LOSS_FORMULAS = {
    "squared_error": lambda y, raw: 0.5 * anp.sum((raw - y) ** 2, axis=1),
    "poisson": lambda y, raw: anp.sum(xlogy(y, y) - y * raw - y + anp.exp(raw), axis=1),
    "binary_log_loss": lambda y, raw: anp.sum(_softplus(raw) - y * raw, axis=1),
    "log_loss": lambda y, raw: special.logsumexp(raw, axis=1) - raw[np.arange(len(y)), y],
    "absolute_error": lambda y, raw: anp.sum(anp.abs(raw - y), axis=1),
    "huber": lambda y, raw: anp.sum(
        anp.where(anp.abs(raw - y) <= 1.0, 0.5 * (raw - y) ** 2, anp.abs(raw - y) - 0.5), axis=1
    ),
    "log_cosh": lambda y, raw: anp.sum(anp.log(anp.cosh(raw - y)), axis=1),
    "quantile": lambda y, raw: 0.5 * anp.sum(anp.abs(raw - y), axis=1),
    "gamma": lambda y, raw: anp.sum(raw - anp.log(y) + y * anp.exp(-raw) - 1.0, axis=1),
    # Power 1.5: y^0.5 / (-0.25) + y mu^-0.5 / 0.5 + mu^0.5 / 0.5.
    "tweedie": lambda y, raw: anp.sum(
        -4.0 * np.sqrt(y) + 2.0 * y * anp.exp(-0.5 * raw) + 2.0 * anp.exp(0.5 * raw), axis=1
    ),
    "gaussian_nll": _normal,
    "hinge": lambda y, raw: anp.sum(anp.maximum(0.0, 1.0 - (2.0 * y - 1.0) * raw), axis=1),
    "multiclass_hinge": lambda y, raw: anp.maximum(
        0.0, 1.0 + anp.max(raw - 1e9 * np.eye(raw.shape[1])[y], axis=1) - raw[np.arange(len(y)), y]
    ),
    "focal": lambda y, raw: anp.sum(_focal(special.expit((2.0 * y - 1.0) * raw)), axis=1),
    "multiclass_focal": lambda y, raw: _focal(anp.exp(raw[np.arange(len(y)), y] - special.logsumexp(raw, axis=1))),
}

LAYER_SIZES = (5, 7, 4, 6, 3, 5, 4)  # of the input and up to six hidden layers
N_SAMPLES, N_OUTPUTS = 8, 3


def test_every_registered_activation_and_loss_has_a_formula():
    assert set(ACTIVATION_FORMULAS) == set(ACTIVATIONS)
    assert set(LOSS_FORMULAS) == set(LOSSES)


def _plain_objective(layers, X, y, weight, activation, loss, alpha):
    a = X
    for weights, biases in layers[:-1]:
        a = activation(anp.dot(a, weights) + biases)
    raw = anp.dot(a, layers[-1][0]) + layers[-1][1]
    penalty = 0.5 * alpha * sum(anp.sum(weights**2) for weights, _ in layers)
    return (anp.sum(weight * loss(y, raw)) + penalty) / anp.sum(weight)


# Every activation, every loss, every depth.
CASES = {
    *((activation, "squared_error", 2) for activation in ACTIVATION_FORMULAS),
    *(("tanh", loss, 2) for loss in LOSS_FORMULAS),
    *(("silu", "log_loss", depth) for depth in range(7)),
}


@pytest.mark.parametrize(("activation", "loss", "depth"), sorted(CASES))
def test_value_and_gradient_agree_with_automatic_differentiation(draw_targets, activation, loss, depth):
    rng = np.random.default_rng(depth)
    n_raw = LOSSES[loss].n_raw(N_OUTPUTS)
    network = multilayer_perceptron([*LAYER_SIZES[: depth + 1], n_raw], [ACTIVATIONS[activation]] * depth)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    X = rng.standard_normal((N_SAMPLES, LAYER_SIZES[0]))
    y = draw_targets(loss, rng, N_SAMPLES, N_OUTPUTS)
    weight = rng.uniform(0.0, 2.0, N_SAMPLES)
    weight[3] = 0.0
    layers = list(zip(params.weights, params.biases, strict=True))
    for alpha, weights in ((0.0, None), (0.8, weight)):
        s = np.ones(N_SAMPLES) if weights is None else weights
        formulas = (ACTIVATION_FORMULAS[activation], LOSS_FORMULAS[loss], alpha)
        expected, expected_grad = autograd.value_and_grad(_plain_objective)(layers, X, y, s, *formulas)

        grad = params.like()
        objective = Objective(network, LOSSES[loss], alpha)
        workspace = objective.workspace(N_SAMPLES, np.float64)
        value = objective.value_and_gradient(params, X, y, weights, workspace, grad)
        np.testing.assert_allclose(sum(value), expected, rtol=1e-12)
        for views, pair in zip([views for views in grad.layers if views], expected_grad, strict=True):
            for got, wanted in zip((views["weights"], views["biases"]), pair, strict=True):
                assert np.linalg.norm(got - wanted) <= 1e-10 * np.linalg.norm(wanted)
