"""Statistics of vectors, and the location of the first non-finite value of a pass."""

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import (
    count_non_finite,
    global_norm,
    inner_product,
    largest_magnitude,
    layer_norms,
    mean_and_deviation,
    noise_scale,
    non_finite_place,
    ratio,
    sign_flip_fraction,
    signal_to_noise,
    zero_fraction,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_global_norm_of_a_known_vector_of_any_scale(dtype, scale):
    vector = (scale * np.array([3.0, -4.0, 12.0])).astype(dtype)
    assert global_norm(vector) == pytest.approx(13.0 * scale, rel=4 * float(np.finfo(dtype).eps), abs=0.0)
    assert type(global_norm(vector)) is float


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e30), (np.float64, 1e200)])
def test_norm_of_numbers_whose_squares_overflow(dtype, size):
    vector = (size * np.array([3.0, -4.0, 12.0])).astype(dtype)
    assert global_norm(vector) == pytest.approx(13.0 * size, rel=4 * float(np.finfo(dtype).eps), abs=0.0)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e-30), (np.float64, 1e-200)])
def test_norm_of_numbers_whose_squares_underflow(dtype, size):
    vector = (size * np.array([3.0, -4.0, 12.0])).astype(dtype)
    assert global_norm(vector) == pytest.approx(13.0 * size, rel=4 * float(np.finfo(dtype).eps), abs=0.0)


@pytest.mark.parametrize("values", [[1.0, np.inf], [-np.inf, 1e30]])
def test_norm_is_infinite_when_an_entry_is(values):
    assert global_norm(np.array(values, np.float32)) == np.inf


@pytest.mark.parametrize("values", [[np.nan], [1e30, np.nan, 1e30], [np.inf, np.nan]])
def test_norm_is_nan_when_an_entry_is(values):
    assert np.isnan(global_norm(np.array(values, np.float32)))


def test_norm_of_zeros_and_of_an_empty_vector_is_zero():
    assert global_norm(np.zeros(3, np.float32)) == 0.0
    assert global_norm(np.zeros(0, np.float32)) == 0.0


def test_layer_norms_do_not_round_tiny_gradients_to_zero():
    network = multilayer_perceptron([2, 2, 1], [ACTIVATIONS["tanh"]])
    params = network.parameters()
    params.weights[0][:] = 1e-30
    params.weights[1][:] = 3.0
    params.biases[0][:] = 100.0
    np.testing.assert_allclose(layer_norms(params), [2e-30, 3.0 * np.sqrt(2.0)], rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.0, 2.0), (-50.0, 1.0), (1000.0, 0.5), (1e-20, 1e-22)])
def test_mean_and_deviation_agree_with_double_precision(dtype, mean, deviation):
    values = (mean + deviation * np.random.default_rng(0).standard_normal(5000)).astype(dtype)
    exact = values.astype(np.float64)
    accuracy = 1e-5 if dtype == np.float32 else 1e-12
    spread = exact.std()
    assert mean_and_deviation(values)[0] == pytest.approx(exact.mean(), abs=accuracy * (spread + abs(mean)))
    assert mean_and_deviation(values)[1] == pytest.approx(spread, rel=10 * accuracy)
    assert mean_and_deviation(values, global_norm(values)) == mean_and_deviation(values)


def test_deviation_of_numbers_whose_squares_overflow():
    assert mean_and_deviation(np.array([1e200, -1e200])) == pytest.approx((0.0, 1e200))


def test_deviation_of_equal_numbers_is_zero():
    assert mean_and_deviation(np.full(7, 0.1, np.float32))[1] == pytest.approx(0.0, abs=1e-8)
    assert mean_and_deviation(np.zeros(7, np.float32)) == (0.0, 0.0)


@pytest.mark.parametrize("size", [1.0, 1e-25, 1e25])
def test_inner_products_of_tiny_and_huge_vectors(size):
    a, b = (size * np.array([[3.0, -1.0, 2.0], [1.0, 4.0, 0.5]])).astype(np.float32)
    exact = float(a.astype(np.float64) @ b.astype(np.float64))
    assert inner_product(a, b, global_norm(a) * global_norm(b)) == pytest.approx(exact, rel=1e-6, abs=0.0)


def test_counts_and_fractions_of_known_values():
    values = np.array([0.0, -3.0, 2.0, 0.0], np.float32)
    assert largest_magnitude(values) == 3.0
    assert zero_fraction(values) == 0.5
    assert count_non_finite(values) == 0
    assert count_non_finite(np.array([np.inf, np.nan, 1.0, -np.inf])) == 3
    assert np.isnan(largest_magnitude(np.array([1.0, np.nan])))
    assert sign_flip_fraction(values, -values) == 0.5  # zeros have no sign
    assert sign_flip_fraction(np.array([1e-30, -1e-30], np.float32), np.array([-1e-30, -1e-30], np.float32)) == 0.5
    assert sign_flip_fraction(np.array([-1.0]), np.array([0.0])) == 0.0
    assert sign_flip_fraction(np.array([0.0]), np.array([-1.0])) == 0.0
    assert ratio(3.0, 2.0) == 1.5
    assert np.isnan(ratio(3.0, 0.0))


def test_signal_to_noise_and_noise_scale_of_known_variances():
    # A noise variance of 1 in batches of 10.
    assert signal_to_noise(4.0, 1.0) == 4.0
    assert noise_scale(4.0, 10.0) == 2.5 == 10 / signal_to_noise(4.0, 1.0)


def test_signal_and_noise_in_the_limits():
    assert signal_to_noise(-1.0, 5.0) == -0.2  # hidden by noise
    assert noise_scale(-1.0, 10.0) == np.inf
    assert signal_to_noise(5.0, 0.0) == np.inf  # no noise
    assert noise_scale(5.0, 0.0) == 0.0
    assert np.isnan(signal_to_noise(0.0, 0.0))  # no gradient
    assert np.isnan(noise_scale(0.0, 0.0))


def _location(change_params=None, change_grad=None, change_data=None):
    """Return the location found after a pass through three dense layers in which something was made non-finite."""
    rng = np.random.default_rng(0)
    network = multilayer_perceptron([3, 4, 4, 2], [ACTIVATIONS["tanh"], ACTIVATIONS["softplus"]])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng)
    X, y = rng.standard_normal((5, 3)), np.ones((5, 2))
    if change_params is not None:
        change_params(params)
    if change_data is not None:
        change_data(X, y)
    objective, grad = Objective(network, LOSSES["squared_error"]), params.like()
    workspace = objective.workspace(5, np.float64)
    with np.errstate(all="ignore"):
        objective.value_and_gradient(params, X, y, None, workspace, grad)
        if change_grad is not None:
            change_grad(grad)
        return non_finite_place(params, network.forward(params, X, workspace), grad)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", ["weights", "biases"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_parameters_are_named(layer, name, value):
    def spoil(params):
        getattr(params, name)[layer].flat[-1] = value

    assert _location(spoil) == f"the {name} of layer {layer + 1} of 3"


def test_first_of_several_non_finite_layers_is_named():
    def spoil(params):
        params.weights[1][0, 0] = params.weights[2][0, 0] = np.nan

    assert _location(spoil) == "the weights of layer 2 of 3"


def test_layer_whose_output_overflows_is_named():
    def huge_weights(params):
        params.weights[1][:] = 1e308
        params.biases[0][:] = 5.0

    def bad_input(X, y):
        X[2, 1] = np.nan

    assert _location(huge_weights) == "the output of layer 2 of 3"
    assert _location(change_data=bad_input) == "the output of layer 1 of 3"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_last_layer_with_a_non_finite_gradient_is_named(value):
    def spoil(grad):
        grad.weights[0][0, 0] = grad.weights[1][0, 0] = value

    assert _location(change_grad=spoil) == "the gradient of layer 2 of 3"


def test_loss_is_named_when_everything_else_is_finite():
    def far_targets(X, y):
        y[:] = 1e200  # the squares overflow, the differences do not

    assert _location(change_data=far_targets) == "the loss"
