"""Initial weights: their distributions, reproducibility, and how a network draws them."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.initializers import INITIALIZERS, Constant, Orthogonal, VarianceScaling
from skmlp.nn.network import initialize, multilayer_perceptron

N_IN, N_OUT = 600, 400
N_DRAWS = N_IN * N_OUT

# The variances in the papers.
VARIANCES = {
    "glorot_uniform": 2.0 / (N_IN + N_OUT),
    "glorot_normal": 2.0 / (N_IN + N_OUT),
    "he_uniform": 2.0 / N_IN,
    "he_normal": 2.0 / N_IN,
    "lecun_uniform": 1.0 / N_IN,
    "lecun_normal": 1.0 / N_IN,
}
EXAMPLES = {
    **INITIALIZERS,
    "fan_out": VarianceScaling(3.0, "fan_out", "normal"),
    "orthogonal(2)": Orthogonal(gain=2.0),
    "constant": Constant(0.25),
}


@pytest.mark.parametrize(
    ("draw", "variance"),
    [(INITIALIZERS[name], variance) for name, variance in VARIANCES.items()] + [(EXAMPLES["fan_out"], 3.0 / N_OUT)],
)
def test_weights_have_mean_0_and_the_variance_of_the_rule(draw, variance):
    weights = draw(np.random.default_rng(0), N_IN, N_OUT, np.float64)
    # Five standard errors: of a mean, sigma / sqrt(N); of a variance, sigma^2 sqrt((kurtosis - 1) / N).
    kurtosis = {"normal": 3.0, "uniform": 1.8}[draw.distribution]
    assert abs(weights.mean()) < 5.0 * np.sqrt(variance / N_DRAWS)
    assert abs(weights.var() / variance - 1.0) < 5.0 * np.sqrt((kurtosis - 1.0) / N_DRAWS)


@pytest.mark.parametrize("name", [name for name in VARIANCES if name.endswith("uniform")])
def test_uniform_weights_extend_to_their_bounds_and_not_beyond(name):
    weights = INITIALIZERS[name](np.random.default_rng(0), N_IN, N_OUT, np.float64)
    bound = np.sqrt(3.0 * VARIANCES[name])
    # Each side's extreme misses the bound by more than 40 / N of it with probability exp(-20).
    for extreme in (weights.max(), -weights.min()):
        assert bound * (1.0 - 40.0 / N_DRAWS) < extreme <= bound


@pytest.mark.parametrize("name", [name for name in VARIANCES if name.endswith("normal")])
def test_normal_weights_have_the_tails_of_a_normal_distribution(name):
    weights = INITIALIZERS[name](np.random.default_rng(0), N_IN, N_OUT, np.float64)
    # 0.27 % of a normal distribution lies beyond three standard deviations, none of a uniform one.
    fraction = np.mean(np.abs(weights) > 3.0 * np.sqrt(VARIANCES[name]))
    assert abs(fraction - 0.0026998) < 5.0 * np.sqrt(0.0027 / N_DRAWS)


@pytest.mark.parametrize(("n_in", "n_out"), [(40, 25), (25, 40), (30, 30)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal_weights_have_orthogonal_rows_or_columns(n_in, n_out, gain):
    weights = Orthogonal(gain)(np.random.default_rng(0), n_in, n_out, np.float64)
    assert weights.shape == (n_in, n_out)
    product = weights.T @ weights if n_in >= n_out else weights @ weights.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(n_in, n_out)), atol=40 * gain**2 * 2.3e-16)


def test_orthogonal_matrices_are_uniformly_distributed():
    # The entries of a uniform 3 x 3 orthogonal matrix have mean 0 and variance 1/3; with LAPACK's QR alone the
    # first one is always negative.
    rng = np.random.default_rng(0)
    corners = [Orthogonal()(rng, 3, 3, np.float64)[0, 0] for _ in range(1000)]
    assert abs(np.mean(corners)) < 5.0 * np.sqrt(1.0 / 3.0 / 1000)


@pytest.mark.parametrize("draw", EXAMPLES.values(), ids=EXAMPLES)
def test_float32_weights_are_rounded_float64_weights(draw):
    single, double = (draw(np.random.default_rng(3), 7, 5, dtype) for dtype in (np.float32, np.float64))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("draw", EXAMPLES.values(), ids=EXAMPLES)
def test_weights_depend_on_the_seed_alone_also_after_clone_and_pickle(draw):
    first = draw(np.random.default_rng(3), 7, 5, np.float32)
    for same in (draw, clone(draw), pickle.loads(pickle.dumps(draw))):
        np.testing.assert_array_equal(same(np.random.default_rng(3), 7, 5, np.float32), first)


def test_constant_and_zeros_fill_the_weights_with_their_value():
    np.testing.assert_array_equal(Constant(0.25)(np.random.default_rng(0), 2, 3, np.float32), np.full((2, 3), 0.25))
    assert not INITIALIZERS["zeros"](np.random.default_rng(0), 2, 3, np.float32).any()


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (VarianceScaling, "scale", 0.0),
        (VarianceScaling, "scale", -1.0),
        (VarianceScaling, "mode", "fan"),
        (VarianceScaling, "distribution", "gaussian"),
        (Orthogonal, "gain", 0.0),
    ],
)
def test_invalid_settings_raise_an_error_that_names_them(cls, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__}.*Got {value!r}"):
        cls(**{name: value})


def test_auto_uses_the_initializer_of_the_following_activation():
    followers = ["relu", "selu", "tanh", "gelu", "logistic"]
    expected = ["he_normal", "lecun_normal", "glorot_uniform", "he_normal", "glorot_uniform", "glorot_uniform"]
    network = multilayer_perceptron([4, 5, 3, 6, 2, 7, 3], [ACTIVATIONS[name] for name in followers])
    params = network.parameters(dtype=np.float64)
    params.vector[:] = np.nan
    initialize(network, params, np.random.default_rng(8))
    rng = np.random.default_rng(8)
    for name, weights, biases in zip(expected, params.weights, params.biases, strict=True):
        np.testing.assert_array_equal(weights, INITIALIZERS[name](rng, *weights.shape, np.float64))
        assert not biases.any()


def test_weight_init_and_bias_init_take_names_and_callables():
    def drawn(rng, n_in, n_out, dtype):
        return np.arange(n_in * n_out, dtype=np.float64).reshape(n_in, n_out) + 100.0

    network = multilayer_perceptron([3, 2], [])
    params = network.parameters()
    initialize(network, params, np.random.default_rng(0), weight_init="zeros", bias_init=drawn)
    assert not params.weights[0].any()
    np.testing.assert_array_equal(params.biases[0], [100.0, 101.0])  # one row of a (n_in, n_out) matrix
    initialize(network, params, np.random.default_rng(0), weight_init=drawn, bias_init=Constant(-1.0))
    np.testing.assert_array_equal(params.weights[0], np.arange(6.0).reshape(3, 2) + 100.0)
    np.testing.assert_array_equal(params.biases[0], [-1.0, -1.0])
    assert params.vector.dtype == np.float32


@pytest.mark.parametrize("which", ["weight_init", "bias_init"])
@pytest.mark.parametrize(
    "values", [np.zeros((2, 3)), np.zeros(3), np.full((3, 2), np.nan), np.full((3, 2), np.inf), np.float64(0.0)]
)
def test_wrong_shapes_and_non_finite_values_raise_an_error(which, values):
    network = multilayer_perceptron([3, 2], [])
    with pytest.raises(ValueError, match=r"finite values of shape \(3, 2\)"):
        initialize(network, network.parameters(), np.random.default_rng(0), **{which: lambda *_: values})
