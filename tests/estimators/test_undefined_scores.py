"""A validation score that cannot be computed: NaN in the history, one warning, and training continues."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer_names

from skmlp import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def _fit(est, *args, **options):
    """Fit and return the warnings about scores."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est.fit(*args, **options)
    return [each for each in caught if issubclass(each.category, UndefinedMetricWarning)]


def _net(**params):
    return MLPClassifier((8,), **{"random_state": 0, "learning_rate_init": 0.01, "max_iter": 200, **params})


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_undefined_score_stops_by_the_loss(solver):
    own = {"X_val": X[:20], "y_val": Y[:20]}
    two = Y < 2
    est = _net(solver=solver, early_stopping=True, scoring="roc_auc", tol=0.0)
    (warning,) = _fit(est, X[two], Y[two], **own)
    assert warning.filename == __file__
    assert "scoring='roc_auc' could not be computed" in str(warning.message)
    assert np.isnan(est.validation_scores_).all()
    by_loss = _net(solver=solver, early_stopping=True, scoring="loss", tol=0.0)
    assert _fit(by_loss, X[two], Y[two], **own) == []
    assert (est.n_iter_, est.best_n_iter_) == (by_loss.n_iter_, by_loss.best_n_iter_)
    assert est.n_iter_ > 11
    assert np.isnan(est.best_validation_score_)
    for mine, other in zip(est.coefs_, by_loss.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_scorer_that_raises_does_not_end_the_training():
    calls = []

    def score(estimator, X, y):
        calls.append(1)
        if len(calls) >= 15:
            raise RuntimeError("the metrics server is away")
        return 0.5 + 0.01 * len(calls)

    est = _net(validation_split=0.2, scoring=score, max_iter=30, n_iter_no_change=30)
    (warning,) = _fit(est, X, Y)
    assert "it raised RuntimeError: the metrics server is away" in str(warning.message)
    assert est.n_iter_ == len(calls) == 30
    assert np.isfinite(est.validation_scores_).tolist() == [True] * 14 + [False] * 16
    assert est.best_n_iter_ == 1 + int(np.argmin(est.history_["validation_loss"]))
    finding = est.diagnose().find("undefined_score")
    assert (finding.epoch, finding.evidence) == (15, {"n_undefined": 16.0, "n_epochs": 30.0})


def test_a_keyboard_interrupt_in_a_scorer_ends_the_fit():
    def score(estimator, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _net(validation_split=0.2, scoring=score).fit(X, Y)


@pytest.mark.parametrize("name", sorted(get_scorer_names()))
def test_a_scorer_works_with_repeated_rows_if_it_works_without(name):
    distinct, repeated = (np.vstack([X, X + 1e-3]), np.vstack([X, X]))
    for cls, y in ((MLPClassifier, Y), (MLPRegressor, X[:, 2] + 3.0)):
        outcomes = []
        for rows in (distinct, repeated):
            est = cls(hidden_layer_sizes=(4,), max_iter=1, random_state=0, scoring=name, validation_split=0.3)
            message = [str(each.message) for each in _fit(est, rows, np.concatenate([y, y]))]
            outcomes.append((np.isfinite(est.validation_scores_).tolist(), message))
        assert outcomes[0] == outcomes[1]
