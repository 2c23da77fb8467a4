"""The cosine and the piecewise-linear embedding of numbers."""

import numpy as np
import pytest

from skmlp.nn.data_initialization import learn_from_data
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.layers import (
    NUMERIC_EMBEDDINGS,
    Cosine,
    CosineEmbedding,
    Dense,
    PiecewiseLinear,
    PiecewiseLinearEmbedding,
)
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, initialize
from skmlp.nn.objective import Objective

LAYERS = pytest.mark.parametrize(
    "layer", [CosineEmbedding(3, 4, 0.8), PiecewiseLinearEmbedding(3, 5, 4)], ids=["cosine", "piecewise linear"]
)


def _started(layers, X, *, spread=0.3, dtype=np.float64):
    """Return a network and its parameters, none of which is still at a special value."""
    rng, network = np.random.default_rng(0), Network(layers)
    params = network.parameters(dtype=dtype)
    initialize(network, params, rng)
    params.trained[...] += spread * rng.standard_normal(params.n_trained)
    learn_from_data(network, params, X)
    return network, params


def _data():
    return np.random.default_rng(1).standard_normal((40, 3))


@LAYERS
@pytest.mark.parametrize("before", [[], [Dense(3, 3)]], ids=["first", "after a layer"])
def test_gradients_agree_with_central_differences(layer, before):
    X = _data()
    network, params = _started([*before, layer, Dense(layer.n_out, 2)], X)
    y = np.random.default_rng(2).standard_normal((len(X), 2))
    objective = Objective(network, LOSSES["squared_error"], alpha=0.1, alpha_l1=0.2)
    workspace, grad = objective.workspace(len(X), np.float64), params.like()

    def value_and_gradient(trained):
        there = params.on(params.vector.copy())
        there.trained[...] = trained
        return sum(objective.value_and_gradient(there, X, y, None, workspace, grad)), grad.trained

    check_gradient(value_and_gradient, params.trained, tolerance=1e-6)
    assert not grad.statistics.any()


@LAYERS
def test_input_gradients_agree_with_central_differences(layer):
    X = _data()
    network, params = _started([layer, Dense(layer.n_out, 2)], X)
    if isinstance(layer, PiecewiseLinearEmbedding):
        X = 1.5 * X + 0.01  # some beyond the edges
        assert np.abs(X[:, np.newaxis] - params.layers[0]["edges"].T).min() > 1e-5  # where the slope changes
    jacobian, step = input_jacobian(network, params, X), 1e-6
    for column in range(3):
        moved = step * np.eye(3)[column]
        numeric = (network.predict(params, X + moved) - network.predict(params, X - moved)) / (2.0 * step)
        np.testing.assert_allclose(jacobian[:, :, column], numeric, atol=1e-7)


def test_the_cosine_embedding_equals_its_formula():
    X = _data()
    network, params = _started([CosineEmbedding(3, 4, 0.8)], X)
    w, b, s, c = (params.layers[0][name] for name in ("frequencies", "phases", "scales", "offsets"))
    numbers = [X] + [np.cos(2.0 * np.pi * (w[k] * X + b[k])) for k in range(3)]
    expected = np.hstack([s[k] * numbers[k] + c[k] for k in range(4)])
    np.testing.assert_allclose(network.predict(params, X), expected, rtol=1e-12, atol=1e-14)


def test_the_cosine_embedding_starts_at_zero_with_frequencies_within_three_deviations():
    network = Network([Cosine(dimension=11, sigma=2.0).layer(400)])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(3))
    views = params.layers[0]
    assert np.abs(views["frequencies"]).max() == pytest.approx(6.0, abs=0.2)
    # The standard deviation of a normal number that is known to be within three is .9867.
    assert views["frequencies"].std() == pytest.approx(2.0 * 0.9867, rel=0.03)
    assert np.abs(views["frequencies"]).max() <= 6.0
    assert not any(views[name].any() for name in ("phases", "scales", "offsets"))
    assert params.n_weights == 0  # nothing is penalized


def _encoding(x, edges):
    """Return the encoding by its definition in words: in the first bin no lower bound, in the last one no upper."""
    lefts, rights = edges[:-1], edges[1:]
    encoding = (x[:, np.newaxis] - lefts) / (rights - lefts)
    for t in range(len(lefts)):
        low = 0.0 if t > 0 else -np.inf
        high = 1.0 if t < len(lefts) - 1 else np.inf
        encoding[:, t] = encoding[:, t].clip(low, high)
    return encoding


def test_the_piecewise_linear_embedding_equals_its_formula():
    X = _data()
    X[:, 1] = X[:, 1] > 0.0  # a single bin
    X[:, 2] = np.round(X[:, 2])  # some edges equal
    network, params = _started([PiecewiseLinearEmbedding(3, 6, 4)], X)
    a, c, rises = (params.layers[0][name] for name in ("slopes", "offsets", "rises"))
    edges = [np.unique(each) for each in params.layers[0]["edges"]]
    assert [len(each) for each in edges] == [7, 2, 4]
    rows = np.vstack([X, [-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]])
    expected = [
        rows[:, [j]] * a[j] + c[j] + _encoding(rows[:, j], own) @ rises[6 * j : 6 * j + len(own) - 1]
        for j, own in enumerate(edges)
    ]
    np.testing.assert_allclose(network.predict(params, rows), np.hstack(expected), rtol=1e-12, atol=1e-13)


def test_at_an_edge_the_slope_is_that_of_the_bin_that_begins_there():
    network, params = _started([PiecewiseLinearEmbedding(1, 2, 1)], np.array([[0.0], [1.0], [3.0]]))
    (slope,), rises = params.layers[0]["slopes"][0], params.layers[0]["rises"][:, 0]
    slopes = input_jacobian(network, params, np.array([[0.5], [1.0], [3.0]])).reshape(-1)
    np.testing.assert_allclose(slopes, slope + np.array([rises[0], rises[1] / 2.0, rises[1] / 2.0]), rtol=1e-12)


def test_edges_are_the_distinct_quantiles():
    X = np.column_stack([np.arange(101.0), np.repeat([0.0, 5.0], [90, 11]), np.full(101, 7.0)])
    _, params = _started([PiecewiseLinearEmbedding(3, 4, 2)], X)
    expected = [[0.0, 25.0, 50.0, 75.0, 100.0], [0.0, 5.0, 5.0, 5.0, 5.0], [7.0] * 5]
    np.testing.assert_array_equal(params.layers[0]["edges"], expected)
    again = np.random.default_rng(3).permutation(X)
    np.testing.assert_array_equal(_started([PiecewiseLinearEmbedding(3, 4, 2)], again)[1].layers[0]["edges"], expected)


def test_edges_that_float32_cannot_tell_apart_are_one():
    x = 1e6 + np.linspace(0.0, 0.2, 50)[:, np.newaxis]  # float32 has a distance of 1/16 there
    _, params = _started([PiecewiseLinearEmbedding(1, 10, 2)], x.astype(np.float32), dtype=np.float32)
    edges = params.layers[0]["edges"][0]
    assert len(np.unique(edges)) == 4
    assert (np.diff(edges) >= 0.0).all()


def test_a_constant_feature_and_one_before_it_is_learned_have_lines_alone():
    layer = PiecewiseLinearEmbedding(1, 4, 3)
    constant = np.full((5, 1), 2.0)
    for learned in (constant, None):
        network = Network([layer])
        params = network.parameters(dtype=np.float64)
        initialize(network, params, np.random.default_rng(4))
        if learned is not None:
            learn_from_data(network, params, learned)
        a, c = params.layers[0]["slopes"], params.layers[0]["offsets"]
        params.layers[0]["rises"][...] = 3.0
        rows = np.array([[1.0], [2.0], [3.0]])
        np.testing.assert_allclose(network.predict(params, rows), rows * a + c, rtol=1e-14)


def test_the_piecewise_linear_embedding_starts_as_lines():
    network = Network([PiecewiseLinear(n_bins=4, dimension=25).layer(80)])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(5))
    views = params.layers[0]
    for name in ("slopes", "offsets"):
        assert np.abs(views[name]).max() == pytest.approx(0.2, rel=0.01)
    assert not views["rises"].any()
    assert params.n_weights == views["rises"].size  # alone penalized


def test_both_have_a_name_and_width():
    assert NUMERIC_EMBEDDINGS["cosine"] is Cosine
    assert NUMERIC_EMBEDDINGS["piecewise_linear"] is PiecewiseLinear
    assert Cosine(dimension=5).layer(7).n_out == 35
    assert PiecewiseLinear(dimension=3).layer(7).n_out == 21


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Cosine, "dimension", 1),
        (Cosine, "sigma", 0.0),
        (PiecewiseLinear, "n_bins", 0),
        (PiecewiseLinear, "dimension", 2.5),
    ],
)
def test_settings_out_of_range_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {kind.__name__} must be"):
        kind(**{name: value})
