"""Importance of features by gradients and by permutations."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.inspection import feature_importance, importance

METHODS = ("gradient", "permutation")
NAMES = ["mass", "time", "price", "noise", "colour", "length"]
UNITS = np.array([1e-3, 1e4, 1.0, 50.0, 1e-5, 7.0])


def _six_features():
    """Return features in very different units, and targets that depend on `time` and, less, on `colour`."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((200, 6))
    y = 2.0 * features[:, 1] + np.sin(2.0 * features[:, 4]) + 0.05 * rng.standard_normal(200)
    return pd.DataFrame(features * UNITS, columns=NAMES), y


def _fit(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def _network(cls=MLPRegressor, **params):
    settings = {"activation": "tanh", "solver": "lbfgs", "alpha": 1.0, "max_iter": 60, "random_state": 0, **params}
    return cls(hidden_layer_sizes=(12,), **settings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cls", [MLPRegressor, MLPClassifier])
def test_the_two_relevant_features_come_first_regardless_of_their_units(cls, method):
    X, y = _six_features()
    y = y if cls is MLPRegressor else np.digitize(y, [-1.0, 1.0])
    model = _fit(make_pipeline(StandardScaler(), _network(cls)), X, y)
    frame = feature_importance(model, X, y, method=method, random_state=0)
    assert list(frame.columns) == ["importance", "std"]
    assert frame.index.name == "feature"
    assert sorted(frame.index) == sorted(NAMES)
    assert frame.index[:2].to_list() == ["time", "colour"]
    assert frame["importance"].is_monotonic_decreasing
    assert frame["importance"].iloc[1] > 3.0 * frame["importance"].iloc[2]


def test_importance_does_not_depend_on_the_unit_of_a_feature():
    X, y = _six_features()
    X = X.to_numpy() / UNITS
    plain = _fit(_network(dtype="float64"), X, y)
    wanted = feature_importance(plain, X)
    plain.coefs_[0][1] /= 1000.0  # the same function of the feature in another unit
    pd.testing.assert_frame_equal(feature_importance(plain, X * [1.0, 1000.0, 1.0, 1.0, 1.0, 1.0]), wanted)


@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_matrix, lambda X: X.astype(np.float32)])
def test_gradient_importance_is_the_mean_of_absolute_gradients_times_standard_deviations(as_given, monkeypatch):
    monkeypatch.setattr(importance, "BLOCK_ROWS", 70)  # several blocks of rows
    X, y = _six_features()
    X = as_given(X.to_numpy() / UNITS)
    model = _fit(_network(MLPClassifier), X, np.digitize(y, [-1.0, 1.0]))
    frame = feature_importance(model, X)
    assert sorted(frame.index) == ["x0", "x1", "x2", "x3", "x4", "x5"]
    dense = X.toarray() if sparse.issparse(X) else X.astype(np.float64)
    gradient = model.input_gradient(dense)
    for feature in range(6):
        moves = [
            np.mean([abs(gradient[row, output, feature]) for output in range(3)]) * np.std(dense[:, feature])
            for row in range(200)
        ]
        np.testing.assert_allclose(frame.loc[f"x{feature}"], [np.mean(moves), np.std(moves)], rtol=1e-6)


def test_permutation_importance_is_that_of_scikit_learn():
    X, y = _six_features()
    model = _fit(make_pipeline(StandardScaler(), _network()), X, y)
    settings = {"n_repeats": 3, "scoring": "neg_mean_absolute_error", "random_state": 1}
    frame = feature_importance(model, X, y, method="permutation", **settings)
    wanted = permutation_importance(model, X, y, **settings)
    np.testing.assert_array_equal(frame.loc[NAMES, "importance"], wanted.importances_mean)
    np.testing.assert_array_equal(frame.loc[NAMES, "std"], wanted.importances_std)


def test_in_a_pipeline_gradients_refer_to_transformed_features_and_permutations_to_x():
    X, y = _six_features()
    X["kind"] = np.where(y > 0.0, "high", "low")
    columns = make_column_transformer(
        (OneHotEncoder(), ["kind"]), (StandardScaler(), NAMES), verbose_feature_names_out=False
    )
    model = _fit(make_pipeline(columns, _network()), X, y)
    assert sorted(feature_importance(model, X).index) == sorted(["kind_high", "kind_low", *NAMES])
    by_permutation = feature_importance(model, X, y, method="permutation", random_state=0)
    assert sorted(by_permutation.index) == sorted(["kind", *NAMES])
    nested = _fit(make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), model), X, y)
    pd.testing.assert_frame_equal(feature_importance(nested, X), feature_importance(model, X))


def test_features_are_numbered_if_a_step_has_no_feature_names():
    X, y = _six_features()
    scaled = X.to_numpy() / UNITS
    wanted = feature_importance(_fit(_network(), scaled, y), scaled)
    assert wanted.index[0] == "x1"
    for steps in ([FunctionTransformer()], ["passthrough"], []):
        pd.testing.assert_frame_equal(
            feature_importance(_fit(make_pipeline(*steps, _network()), scaled, y), scaled), wanted
        )


def test_equal_importances_keep_the_order_of_the_columns():
    X = np.random.default_rng(0).standard_normal((10, 40))
    model = MLPRegressor(random_state=0).partial_fit(X, X[:, 0])
    model.coefs_[0][:20] = model.coefs_[0][21:] = 0.0
    frame = feature_importance(model, X)
    assert frame.index.to_list() == ["x20", *(f"x{index}" for index in range(40) if index != 20)]
    assert (frame.to_numpy()[1:] == 0.0).all()


def test_invalid_input_is_rejected():
    X, y = _six_features()
    model = _fit(make_pipeline(StandardScaler(), _network()), X, y)
    with pytest.raises(ValueError, match=r"'method' parameter .* Got 'shap' instead"):
        feature_importance(model, X, method="shap")
    with pytest.raises(ValueError, match='"permutation" compares scores and needs the targets'):
        feature_importance(model, X, method="permutation")
    with pytest.raises(ValueError, match=r"'scoring' parameter .* must be a single scorer"):
        feature_importance(model, X, y, method="permutation", scoring=["r2"])
    for fitted in (
        RandomForestRegressor(2).fit(X, y),
        make_pipeline(StandardScaler(), "passthrough").fit(X),
    ):
        with pytest.raises(TypeError, match='method="gradient" takes an MLPClassifier or MLPRegressor of skmlp'):
            feature_importance(fitted, X)
    for unfitted in (_network(), make_pipeline(StandardScaler(), _network()), GridSearchCV(model, {}, cv=2)):
        with pytest.raises(NotFittedError):
            feature_importance(unfitted, X)
