"""Numeric embeddings in an estimator: what they learn from the data before training, and that they are trained."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit

from skmlp import MLPRegressor
from skmlp.inspection import trace
from skmlp.nn.layers import NUMERIC_EMBEDDINGS, Cosine, PiecewiseLinear

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).standard_normal((200, 3))
    return X, np.sign(X[:, 0]) + X[:, 1]


def _estimator(embedding, **params):
    settings = {"hidden_layer_sizes": (8,), "dtype": "float64", "random_state": 0, "max_iter": 3, **params}
    return MLPRegressor(numeric_embedding=embedding, **settings)


def _edges(estimator):
    return next(views["edges"] for views in estimator._model.params.layers if "edges" in views)


def _quantiles(X, n_bins):
    return np.quantile(X, np.linspace(0.0, 1.0, n_bins + 1), axis=0).T


def test_bins_are_learned_from_the_rows_that_are_trained_on(data):
    X, y = data
    split = PredefinedSplit(np.where(np.arange(len(X)) < 150, -1, 0))  # the last rows are held out
    estimator = _estimator(PiecewiseLinear(4, 2), early_stopping=True, validation_split=split).fit(X, y)
    np.testing.assert_allclose(_edges(estimator), _quantiles(X[:150], 4), rtol=1e-12)


def test_bins_are_learned_in_the_first_call_of_partial_fit_and_stay(data):
    X, y = data
    estimator = _estimator(PiecewiseLinear(4, 2)).partial_fit(X[:100], y[:100])
    expected = _quantiles(X[:100], 4)
    np.testing.assert_allclose(_edges(estimator), expected, rtol=1e-12)
    estimator.partial_fit(X[100:], y[100:])
    np.testing.assert_allclose(_edges(estimator), expected, rtol=1e-12)


def test_a_warm_start_keeps_the_bins(data):
    X, y = data
    estimator = _estimator(PiecewiseLinear(4, 2), warm_start=True).fit(X, y)
    before = _edges(estimator).copy()
    estimator.fit(2.0 * X, y)
    np.testing.assert_array_equal(_edges(estimator), before)


@pytest.mark.parametrize("name", NUMERIC_EMBEDDINGS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_embedding_is_trained_from_its_default_start(data, name, activation):
    """A cosine embedding starts at 0: behind it, rectifiers without a bias would have no slope."""
    X, y = data
    estimator = _estimator(name, activation=activation, max_iter=20, learning_rate_init=0.02).fit(X, y)
    assert estimator.score(X, y) > 0.5
    embedding = estimator._model.params.layers[0]
    start = _estimator(name, activation=activation, max_iter=1, learning_rate_init=1e-9).fit(X, y)
    for key, view in start._model.params.layers[0].items():
        if key != "edges":
            assert (embedding[key] != view).any(), key


@pytest.mark.parametrize("embedding", [Cosine(5, 0.7), PiecewiseLinear(4, 2)])
def test_a_stored_estimator_has_its_embedding(data, embedding):
    estimator = _estimator(embedding).fit(*data)
    loaded = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(loaded.predict(data[0]), estimator.predict(data[0]))
    assert loaded.numeric_embedding == embedding
    again = clone(estimator).set_params(numeric_embedding__dimension=3).fit(*data)
    assert again.coefs_[0].shape[0] == 9


@pytest.mark.parametrize(
    ("embedding", "names"),
    [
        (Cosine(3), ["w", "b", "r", "c", "e", "dL/dr", "dL/dc", "dL/db", "dL/dw"]),
        (PiecewiseLinear(4, 2), ["q", "a", "c", "V", "e", "dL/da", "dL/dc", "dL/dV"]),
    ],
)
def test_a_trace_shows_parameters_outputs_and_gradients(data, embedding, names):
    X, y = data
    estimator = _estimator(embedding).fit(X, y)
    steps = trace(estimator, X[:5], y[:5])
    assert [name for name in steps.names if name in names] == names
    layer, params = estimator._model.network.layers[0], estimator._model.params.layers[0]
    expected = layer.forward(params, X[:5], layer.allocate(5, np.float64, is_first=True))
    np.testing.assert_array_equal(steps["e"], expected)
    np.testing.assert_allclose(steps["dL/dc"].sum(), steps["dL/de"].sum(), rtol=1e-12)
    assert "embedded numbers" in str(steps)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_initial_weights_from_the_data_give_every_pre_activation_the_standard_deviation_1():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4)) * [0.01, 1.0, 10.0, 100.0] + 3.0
    est = MLPRegressor(
        hidden_layer_sizes=(6, 5), weight_init="from_data", learning_rate_init=1e-12, max_iter=1, random_state=0
    ).fit(X, rng.standard_normal(200))
    z = X @ est.coefs_[0]
    np.testing.assert_allclose(z.std(axis=0), 1.0, rtol=1e-3)
    second = np.maximum(z + est.intercepts_[0], 0.0) @ est.coefs_[1]
    np.testing.assert_allclose(second.std(axis=0), 1.0, rtol=1e-3)
    assert ((z + est.intercepts_[0]).min(axis=0) < 0.0).all()  # the kink of each unit lies within the data
    assert ((z + est.intercepts_[0]).max(axis=0) > 0.0).all()
