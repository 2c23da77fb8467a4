"""The gradient of predictions with respect to the features, against central differences of the predictions."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES, FunctionLoss, Quantile

N_FEATURES = 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, N_FEATURES))
ROWS = RNG.standard_normal((6, N_FEATURES))
SIGNAL = X @ RNG.standard_normal((N_FEATURES, 4)) + 0.3 * RNG.standard_normal((40, 4))
LABELS = {"binary": SIGNAL[:, 0] > 0, "multiclass": SIGNAL[:, :3].argmax(axis=1), "multilabel": SIGNAL[:, :3] > 0}


def _fit(estimator, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def _differences(function, rows=ROWS, step=1e-6):
    """Return d function(rows)[i, k] / d rows[i, j]; one output has no axis."""
    columns = []
    for column in range(rows.shape[1]):
        moved = np.zeros(rows.shape[1])
        moved[column] = step
        columns.append((function(rows + moved) - function(rows - moved)) / (2.0 * step))
    return np.stack(columns, axis=-1)


def _assert_gradient(estimator, of, function):
    gradient = estimator.input_gradient(ROWS, of=of)
    assert gradient.dtype == np.float64
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(gradient, _differences(function), rtol=1e-5, atol=1e-8)


def _raw(estimator):
    def function(rows):
        raw = estimator._raw_predict(rows).copy()
        return raw[:, 0] if raw.shape[1] == 1 else raw

    return function


# Three hidden layers, of which the last two have residual connections.
NETWORK = {"hidden_layer_sizes": (4, 4, 4), "activation": "tanh", "max_iter": 5, "random_state": 0}


@pytest.mark.parametrize("loss", ["log_loss", "focal"])
@pytest.mark.parametrize("kind", LABELS)
def test_gradient_of_a_classifier_is_that_of_its_probabilities(kind, loss):
    estimator = _fit(MLPClassifier(loss=loss, **NETWORK), LABELS[kind])

    def probabilities(rows):
        p = estimator.predict_proba(rows)
        return p[:, 1] if kind == "binary" else p

    _assert_gradient(estimator, "prediction", probabilities)
    _assert_gradient(estimator, "raw", _raw(estimator))
    shape = (6, 3) if kind == "binary" else (6, 3, N_FEATURES)
    assert estimator.input_gradient(ROWS).shape == shape
    if kind == "multiclass":
        np.testing.assert_allclose(estimator.input_gradient(ROWS).sum(axis=1), 0.0, atol=1e-15)


@pytest.mark.parametrize("kind", LABELS)
def test_gradient_without_probabilities_is_that_of_the_decision_function(kind):
    estimator = _fit(MLPClassifier(loss="hinge", **NETWORK), LABELS[kind])
    _assert_gradient(estimator, "prediction", estimator.decision_function)
    np.testing.assert_array_equal(estimator.input_gradient(ROWS), estimator.input_gradient(ROWS, of="raw"))


FOR_NUMBERS = [known for known in LOSSES.values() if not known.is_classification] + [Quantile((0.2, 0.5, 0.9))]


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize(
    ("loss", "standardize"),
    [(loss, standardize) for loss in FOR_NUMBERS for standardize in (False, True)[: 1 + loss.is_equivariant]],
    ids=str,
)
def test_gradient_of_a_regressor_is_that_of_its_predictions(loss, standardize, n_targets):
    y = np.exp(SIGNAL[:, :n_targets]) * ([5.0, 100.0][:n_targets] if standardize else 1.0)
    estimator = MLPRegressor(loss=loss, standardize_target=standardize, **NETWORK)
    _fit(estimator, y[:, 0] if n_targets == 1 else y)
    _assert_gradient(estimator, "prediction", estimator.predict)
    _assert_gradient(estimator, "raw", _raw(estimator))
    n_predictions = n_targets * getattr(loss, "n_levels", 1)
    shape = (6, N_FEATURES) if n_predictions == 1 else (6, n_predictions, N_FEATURES)
    assert estimator.input_gradient(ROWS).shape == shape


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("depth", range(5))
def test_gradient_agrees_with_differences_for_every_kind_of_network(depth, residual, normalization):
    dropout = 0.4 * (depth % 2)
    estimator = MLPClassifier(
        (4,) * depth,
        [list(ACTIVATIONS)[-1 - index] for index in range(depth)],
        normalization=normalization,
        residual=residual and depth > 1,
        dropout=dropout,
        max_iter=8,
        learning_rate_init=0.01,
        random_state=0,
    )
    _fit(estimator, LABELS["multiclass"])
    _assert_gradient(estimator, "prediction", estimator.predict_proba)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_agrees_with_differences_for_every_activation(activation):
    estimator = _fit(MLPRegressor(**NETWORK | {"activation": activation}), SIGNAL[:, 0])
    _assert_gradient(estimator, "prediction", estimator.predict)


def test_gradient_agrees_with_differences_for_custom_losses():
    def fourth_power(y, raw):
        return ((raw - y) ** 4).sum(axis=1)

    def derivative(y, raw):
        return 4.0 * (raw - y) ** 3

    for loss in ((fourth_power, derivative), FunctionLoss(fourth_power, derivative, "exp")):
        estimator = _fit(MLPRegressor(loss=loss, **NETWORK), SIGNAL[:, :2])
        _assert_gradient(estimator, "prediction", estimator.predict)


def test_gradient_uses_the_averaged_weights():
    estimator = MLPRegressor(averaging=0.9, **NETWORK)
    for _ in range(5):
        estimator.partial_fit(X, SIGNAL[:, 0])
    _assert_gradient(estimator, "prediction", estimator.predict)


def test_gradient_for_a_single_class_is_zero():
    estimator = _fit(MLPClassifier(**NETWORK), np.zeros(40))
    np.testing.assert_array_equal(estimator.input_gradient(ROWS), np.zeros((6, N_FEATURES)))
    _assert_gradient(estimator, "raw", _raw(estimator))


def test_gradient_is_the_same_for_every_form_of_the_data():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    estimator = MLPClassifier(**NETWORK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(frame, LABELS["multiclass"])
    gradient = estimator.input_gradient(frame)
    assert gradient.shape == (40, 3, N_FEATURES)
    assert gradient.dtype == np.float64
    estimator = _fit(MLPClassifier(**NETWORK), LABELS["multiclass"])
    np.testing.assert_array_equal(estimator.input_gradient(X), gradient)
    np.testing.assert_array_equal(estimator.input_gradient(X.tolist()), gradient)
    from_sparse = estimator.input_gradient(sparse.csc_matrix(X))
    assert type(from_sparse) is np.ndarray
    np.testing.assert_allclose(from_sparse, gradient, rtol=1e-12)
    single = X.astype(np.float32)
    from_single = estimator.input_gradient(single)
    assert from_single.dtype == np.float64
    np.testing.assert_array_equal(from_single, estimator.input_gradient(single.astype(np.float64)))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).input_gradient(X), gradient)


def test_input_gradient_leaves_the_estimator_unchanged():
    estimator = _fit(MLPClassifier(normalization="batch", dropout=0.3, **NETWORK), LABELS["binary"])
    rows = ROWS.copy()
    before, coefs = vars(estimator).copy(), [each.copy() for each in estimator.coefs_]
    estimator.input_gradient(rows)
    np.testing.assert_array_equal(rows, ROWS)
    assert vars(estimator) == before
    for now, then in zip(estimator.coefs_, coefs, strict=True):
        np.testing.assert_array_equal(now, then)


def test_invalid_arguments_are_refused():
    with pytest.raises(NotFittedError):
        MLPRegressor().input_gradient(X)
    estimator = _fit(MLPRegressor(**NETWORK), SIGNAL[:, 0])
    with pytest.raises(ValueError, match=r"'of' parameter .* among .*'raw'.* Got 'logit' instead"):
        estimator.input_gradient(X, of="logit")
    with pytest.raises(ValueError, match="X has 2 features, but MLPRegressor is expecting 3 features"):
        estimator.input_gradient(X[:, :2])
    with pytest.raises(ValueError, match="contains NaN"):
        estimator.input_gradient(np.full((1, 3), np.nan))
