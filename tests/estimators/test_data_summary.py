"""What a look at data and network tells, against NumPy computations on the fitted attributes."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators.data_summary import ELEMENTS, ROWS, summarize_data
from skmlp.training.batches import Data

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
SPARSE = pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_matrix, sparse.csr_array], ids=["dense", "csr", "array"]
)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4)) * [1.0, 5.0, 0.2, 1.0] + [0.0, 2.0, 0.0, 3.0]
X[:, 0] = np.where(X[:, 0] > 0.0, X[:, 0], 0.0)
WEIGHTS = RNG.uniform(0.0, 2.0, 90)


def _fit(cls, y, rows=X, **params):
    settings = {
        "hidden_layer_sizes": (6, 5),
        "max_iter": 60,
        "learning_rate_init": 0.02,
        "tol": 0.05,
        "random_state": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cls(**{**settings, "dtype": "float64", **params}).fit(rows, y)


def _hidden(est, rows=X):
    """Return the outputs of the relu units of each hidden layer."""
    outputs = [rows]
    for weights, biases in zip(est.coefs_[:-1], est.intercepts_[:-1], strict=True):
        outputs.append(np.maximum(outputs[-1] @ weights + biases, 0.0))
    return outputs[1:]


def _raw(est, rows=X):
    return _hidden(est, rows)[-1] @ est.coefs_[-1] + est.intercepts_[-1]


def _deviation(values, weight=None):
    """Return the standard deviation, in which a row of weight 2 counts twice."""
    return np.sqrt(np.average((values - np.average(values, axis=0, weights=weight)) ** 2, axis=0, weights=weight))


def _assert_rows_and_units(summary, est, weight=None, rows=X):
    assert summary["n_samples"] == len(rows)
    np.testing.assert_allclose(summary["feature_mean"], np.average(rows, axis=0, weights=weight))
    np.testing.assert_allclose(summary["feature_std"], _deviation(rows, weight))
    assert not summary["constant"].any()
    hidden = _hidden(est, rows)
    assert len(summary["unit_spread"]) == len(hidden)
    for spread, outputs in zip(summary["unit_spread"], hidden, strict=True):
        np.testing.assert_allclose(spread, _deviation(outputs, weight), rtol=1e-10, atol=1e-13)


def _recall(predicted, y, weight):
    weight = np.ones(len(y)) if weight is None else weight
    return [np.average(predicted[y == k] == k, weights=weight[y == k]) for k in np.unique(y)]


@SPARSE
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_summary_of_two_classes(form, weight):
    y = (X[:, 3] > 3.5).astype(float)
    est = _fit(MLPClassifier, y)
    summary = summarize_data(est._model, Data(form(X), y.reshape(-1, 1), weight))
    _assert_rows_and_units(summary, est, weight)
    p = est.predict_proba(X)[np.arange(90), y.astype(int)]
    assert summary["loss"] == pytest.approx(np.average(-np.log(p), weights=weight))
    fraction = np.average(y, weights=weight)
    assert summary["baseline_loss"] == pytest.approx(
        -fraction * np.log(fraction) - (1.0 - fraction) * np.log(1.0 - fraction)
    )
    np.testing.assert_allclose(summary["class_fraction"], [1.0 - fraction, fraction])
    np.testing.assert_allclose(summary["class_recall"], _recall(est.predict(X), y, weight))
    assert not {"target_mean", "target_std"} & set(summary)


@SPARSE
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_summary_of_several_classes(form, weight):
    y = np.digitize(X[:, 1], [-2.0, 5.0])
    est = _fit(MLPClassifier, y)
    summary = summarize_data(est._model, Data(form(X), y, weight))
    _assert_rows_and_units(summary, est, weight)
    p = est.predict_proba(X)[np.arange(90), y]
    assert summary["loss"] == pytest.approx(np.average(-np.log(p), weights=weight))
    fractions = np.array([np.average(y == k, weights=weight) for k in range(3)])
    assert summary["baseline_loss"] == pytest.approx(-np.sum(fractions * np.log(fractions)))
    np.testing.assert_allclose(summary["class_fraction"], fractions)
    np.testing.assert_allclose(summary["class_recall"], _recall(est.predict(X), y, weight))


def test_recall_of_a_class_without_rows_is_nan():
    y = np.digitize(X[:, 1], [-2.0, 5.0])
    est = _fit(MLPClassifier, y)
    some = y < 2
    summary = summarize_data(est._model, Data(X[some], y[some]))
    assert summary["class_fraction"][2] == 0.0
    assert np.isnan(summary["class_recall"][2])
    assert np.isfinite(summary["class_recall"][:2]).all()
    assert np.isfinite(summary["baseline_loss"])


def test_summary_of_multilabel_targets_has_no_classes():
    y = np.column_stack([X[:, 1] > 2.0, X[:, 3] > 3.0]).astype(float)
    est = _fit(MLPClassifier, y)
    summary = summarize_data(est._model, Data(X, y))
    p = est.predict_proba(X)
    likelihoods = np.where(y > 0.5, p, 1.0 - p)
    assert summary["loss"] == pytest.approx(-np.log(likelihoods).sum(axis=1).mean())
    p_yes = y.mean(axis=0)
    assert summary["baseline_loss"] == pytest.approx(-np.sum(p_yes * np.log(p_yes) + (1 - p_yes) * np.log(1 - p_yes)))
    assert not {"class_fraction", "class_recall", "target_std"} & set(summary)


@SPARSE
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_summary_of_numeric_targets(form, weight, n_targets):
    y = X[:, :1] * X[:, 1:2] + np.arange(1.0, n_targets + 1) * X[:, 2:3] + 7.0
    est = _fit(MLPRegressor, y.ravel() if n_targets == 1 else y)
    summary = summarize_data(est._model, Data(form(X), y, weight))
    _assert_rows_and_units(summary, est, weight)
    errors = np.square(y - _raw(est)).sum(axis=1) / 2.0
    assert summary["loss"] == pytest.approx(np.average(errors, weights=weight))
    spread = np.square(y - np.average(y, axis=0, weights=weight)).sum(axis=1) / 2.0
    assert summary["baseline_loss"] == pytest.approx(np.average(spread, weights=weight))
    np.testing.assert_allclose(summary["target_mean"], np.average(y, axis=0, weights=weight))
    np.testing.assert_allclose(summary["target_std"], _deviation(y, weight))
    assert not {"class_fraction", "class_recall"} & set(summary)


def test_fit_with_monitor_summarizes_its_training_rows():
    y = X[:, 1]
    est = _fit(MLPRegressor, y, monitor=True, early_stopping=True, validation_fraction=0.2, standardize_target=True)
    summary = est._data_summary
    assert summary["n_samples"] == 72
    np.testing.assert_allclose(summary["target_std"], 1.0, atol=0.2)  # in the unit of training
    assert _fit(MLPRegressor, y)._data_summary == {}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("n_rows", [ROWS, ROWS + 1, 3217])
def test_sample_is_spread_evenly_over_many_rows(form, n_rows):
    rows = np.random.default_rng(1).standard_normal((n_rows, 4))
    rows[:, 3] = np.arange(n_rows)
    y = np.where(np.arange(n_rows) < n_rows // 5, 1, 0).astype(float)
    est = _fit(MLPClassifier, y, rows / [1.0, 1.0, 1.0, n_rows], max_iter=2, tol=10.0, n_iter_no_change=1)
    summary = summarize_data(est._model, Data(form(rows), y.reshape(-1, 1)))
    assert ROWS <= 1000
    seen = rows[np.unique(np.round(np.linspace(0, n_rows - 1, ROWS)).astype(int))]
    assert (len(seen), seen[0, 3], seen[-1, 3]) == (ROWS, 0.0, n_rows - 1.0)
    np.testing.assert_allclose(summary["feature_mean"], seen.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(summary["feature_std"], seen.std(axis=0))
    np.testing.assert_allclose(summary["unit_spread"][0], _hidden(est, seen)[0].std(axis=0))
    # The rows and the classes are counted in full.
    assert summary["n_samples"] == n_rows
    np.testing.assert_allclose(summary["class_fraction"], [1.0 - y.mean(), y.mean()])


@pytest.mark.parametrize("n_features", [ELEMENTS // 10, ELEMENTS // 10 + 1, ELEMENTS + 1])
def test_sample_of_wide_rows_is_smaller(n_features):
    n_rows = 13
    entries = np.arange(n_rows, dtype=float)
    rows = sparse.csr_matrix((entries + 1.0, (np.arange(n_rows), np.zeros(n_rows, int))), (n_rows, n_features))
    est = MLPRegressor(hidden_layer_sizes=(1,), max_iter=1, tol=0.0, dtype="float32", random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(rows, entries)
    summary = summarize_data(est._model, Data(rows.astype(np.float32), entries.reshape(-1, 1)))
    n_seen = min(n_rows, max(1, ELEMENTS // n_features))
    assert n_seen == {ELEMENTS // 10: 10, ELEMENTS // 10 + 1: 9, ELEMENTS + 1: 1}[n_features]
    seen = np.round(np.linspace(0, n_rows - 1, n_seen))
    assert summary["feature_mean"][0] == pytest.approx(np.mean(seen + 1.0))
    assert summary["feature_std"][0] == pytest.approx(np.std(seen + 1.0))
    assert summary["n_samples"] == n_rows
    assert summary["feature_mean"].shape == (n_features,)


@BOTH
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_summary_changes_neither_model_nor_data(cls, normalization):
    y = X[:, 1] if cls is MLPRegressor else (X[:, 3] > 3.0).astype(float)
    est = _fit(cls, y, normalization=normalization, dropout=0.3)
    data = Data(X.copy(), y.reshape(-1, 1).copy(), WEIGHTS.copy())
    before = est._model.params.vector.copy()  # with the statistics of batch normalization
    first = summarize_data(est._model, data)
    np.testing.assert_array_equal(est._model.params.vector, before)
    for array, original in zip(data, (X, y.reshape(-1, 1), WEIGHTS), strict=True):
        np.testing.assert_array_equal(array, original)
    np.testing.assert_equal(summarize_data(est._model, data), first)


@BOTH
def test_summary_is_computed_in_prediction_mode(cls):
    """Dropout disables no unit, and batch normalization uses running statistics."""
    y = X[:, 1] if cls is MLPRegressor else (X[:, 3] > 3.0).astype(float)
    est = _fit(cls, y, normalization="batch", dropout=0.5)
    summary = summarize_data(est._model, Data(X, y.reshape(-1, 1)))
    if cls is MLPRegressor:
        expected = np.mean(np.square(y - est.predict(X))) / 2.0
    else:
        expected = np.mean(-np.log(est.predict_proba(X)[np.arange(90), y.astype(int)]))
    assert summary["loss"] == pytest.approx(expected)
    assert summarize_data(est._model, Data(X[:1], y[:1].reshape(-1, 1)))["loss"] >= 0.0


def test_overflow_in_the_summary_gives_no_warning():
    est = _fit(MLPRegressor, X[:, 1])
    est.coefs_[0][...] = 1e200
    est.coefs_[1][...] = 1e200
    summary = summarize_data(est._model, Data(X, X[:, 1:2]))
    assert not np.isfinite(summary["loss"])
    assert np.isfinite(summary["baseline_loss"])


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_summary_is_in_float64(cls, dtype):
    y = X[:, 1] if cls is MLPRegressor else (X[:, 3] > 3.0).astype(int)
    summary = _fit(cls, y, dtype=dtype, monitor=True)._data_summary
    assert {array.dtype for array in summary["unit_spread"]} == {np.dtype(np.float64)}
    assert summary["feature_mean"].dtype == summary["feature_std"].dtype == np.float64
    assert isinstance(summary["loss"], float)
    assert isinstance(summary["n_samples"], int)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -1e3 / 3])
def test_a_constant_feature_with_rounded_deviation_is_constant(value):
    rows = np.column_stack([np.full(178, value), np.linspace(-1.7, 1.7, 178)])
    est = _fit(MLPRegressor, rows[:, 1], rows, monitor=True)
    assert est._data_summary["constant"].tolist() == [True, False]


@SPARSE
def test_a_feature_constant_in_the_sample_only_is_not_constant(form):
    rows = np.zeros((3 * ROWS, 3))
    rows[:, 0] = np.arange(len(rows))
    rows[1, 1] = 7.0  # not among the rows that are looked at
    est = _fit(MLPRegressor, rows[:90, 0], rows[:90])
    summary = summarize_data(est._model, Data(form(rows), rows[:, :1]))
    assert summary["feature_std"][1] == 0.0
    assert summary["constant"].tolist() == [False, False, True]


def test_rows_of_weight_zero_are_not_in_the_summary():
    """Few rows may have a positive weight."""
    rows = np.random.default_rng(0).standard_normal((3 * ROWS, 2))
    weight = np.zeros(len(rows))
    weight[1:4] = [1.0, 2.0, 1.0]
    est = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, tol=1.0, monitor=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        est.fit(rows, rows[:, 0], sample_weight=weight)
    np.testing.assert_allclose(
        est._data_summary["feature_mean"], np.average(rows[1:4], axis=0, weights=[1, 2, 1]), rtol=1e-6
    )
    assert np.isfinite(est._data_summary["baseline_loss"])


def test_merged_rows_count_with_their_copies():
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [96, 2, 2], axis=0)
    y = np.repeat([0, 1, 1], [96, 2, 2])
    est = MLPClassifier((4,), solver="lbfgs", monitor=True, random_state=0).fit(rows, y)
    assert est._data_summary["n_samples"] == 100
    np.testing.assert_allclose(est._data_summary["class_fraction"], [0.96, 0.04])
    np.testing.assert_allclose(est._data_summary["feature_std"], rows.std(axis=0))
