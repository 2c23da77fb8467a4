"""Fits that come to nothing: one that diverges says why, and one that ends far worse than a constant warns."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import Diagnosis, DivergedError, TrainingHealthWarning
from skmlp.estimators import health

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = X[:, 0] + 0.1 * RNG.standard_normal(60)
HUGE = 1e30 * X  # the output overflows in float32


def _estimator(cls=MLPRegressor, **params):
    return cls(**{"hidden_layer_sizes": (8,), "max_iter": 50, "random_state": 0, **params})


def _error(call):
    with pytest.raises(DivergedError) as caught:
        call()
    return caught.value


# ---------------------------------------------------------------------- a training that diverges

CALLS = {
    "fit": lambda: _estimator().fit(HUGE, Y),
    "partial_fit": lambda: _estimator().partial_fit(HUGE, Y),
    "lbfgs": lambda: _estimator(solver="lbfgs").fit(1e300 * X, 1e200 * Y),
    "classifier": lambda: _estimator(MLPClassifier, solver="sgd", batch_size=20).fit(HUGE, Y > 0.0),
    "pipeline": lambda: make_pipeline(MinMaxScaler((0, 1e30)), _estimator()).fit(X, Y),
    "validation": lambda: _estimator().fit(HUGE, Y, X_val=HUGE, y_val=Y),
    "monitor": lambda: _estimator(monitor=True).fit(HUGE, Y),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_error_carries_the_diagnosis(call):
    error = _error(call)
    assert isinstance(error.diagnosis, Diagnosis)
    assert error.diagnosis[0].code == "diverged"
    assert error.diagnosis[0].message in str(error)
    assert error.diagnosis.find("unscaled_inputs").severity == "severe"


def test_the_error_is_a_value_error_with_scikit_learns_message():
    assert str(_error(CALLS["fit"])).startswith("Solver produced non-finite parameter weights. The input data may")


def test_lbfgs_is_not_advised_to_change_steps_that_it_chooses_itself():
    error = _error(CALLS["lbfgs"])
    assert "learning_rate_init" not in str(error)
    assert [remedy.params for remedy in error.diagnosis.find("diverged").remedies] == [{}]


def test_diagnosis_of_the_error_includes_monitor_statistics():
    watched, unwatched = (_error(CALLS[name]).diagnosis for name in ("monitor", "fit"))
    assert watched.find("diverged").evidence["bad_gradients"] > 0
    assert "bad_gradients" not in unwatched.find("diverged").evidence


def test_a_pickled_error_keeps_its_diagnosis():
    error = pickle.loads(pickle.dumps(_error(CALLS["fit"])))
    assert error.diagnosis.codes == _error(CALLS["fit"]).diagnosis.codes
    with pytest.raises(DivergedError) as caught:
        cross_val_score(_estimator(), HUGE, Y, cv=2, n_jobs=1, error_score="raise")
    assert caught.value.diagnosis.find("unscaled_inputs") is not None


def test_an_unfitted_estimator_stays_unfitted():
    est = _estimator(monitor=True)
    before = dict(vars(est))
    _error(lambda: est.fit(HUGE, Y))
    assert vars(est) == before
    with pytest.raises(NotFittedError):
        est.diagnose()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fitted_estimator_stays_unchanged():
    est = _estimator(monitor=True).fit(X, Y)
    before, told = pickle.dumps(est), est.diagnose().to_dicts()
    error = _error(lambda: est.fit(HUGE, Y))
    assert pickle.dumps(est) == before
    assert est.diagnose().to_dicts() == told != error.diagnosis.to_dicts()


def test_a_loss_that_fails_on_infinity_does_not_hide_the_error():
    def loss(y, raw):
        if not np.isfinite(raw).all():
            raise ArithmeticError
        return 0.5 * ((raw - y) ** 2).sum(axis=1)

    def gradient(y, raw):
        return raw - y

    # The first step is one too many, and its epoch has no other.
    error = _error(lambda: _estimator(loss=(loss, gradient), solver="sgd", learning_rate_init=1e38).fit(1e4 * X, Y))
    assert error.diagnosis.find("diverged") is not None


# ---------------------------------------------------------------------- a fit that is worse than none


def _warnings_of(est, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est.fit(*args)
    return [each for each in caught if issubclass(each.category, TrainingHealthWarning)]


SENSELESS = {
    "max_iter": (_estimator(), 1e4 * X, Y),
    "converged": (_estimator(tol=1e30, n_iter_no_change=2), 1e4 * X, Y),
    "classifier": (_estimator(MLPClassifier), 1e6 * X, Y > 0.0),
    "weighted": (_estimator(), 1e4 * X, Y, np.arange(60.0)),
}


@pytest.mark.parametrize("case", SENSELESS.values(), ids=SENSELESS)
def test_a_network_worse_than_a_constant_gives_one_warning(case):
    est, *data = case
    (warning,) = _warnings_of(clone(est), *data)
    assert warning.filename == __file__
    message = str(warning.message)
    assert "Unscaled inputs" in message
    assert "times that of a constant prediction" in message
    assert "Try: Standardize the features" in message
    assert message.endswith("See estimator.diagnose(X, y) for details.")


def test_a_monitored_network_worse_than_a_constant_gives_one_warning():
    est = _estimator(monitor=True)
    assert len(_warnings_of(est, 1e4 * X, Y)) == 1
    assert est.diagnose().find("worse_than_constant").symptom_of == "unscaled_inputs"


def test_the_warning_comes_only_with_a_poor_score():
    est = _estimator()
    assert _warnings_of(est, 1e4 * X, Y) != []
    assert est.score(1e4 * X, Y) < -9.0
    finding = est.diagnose(1e4 * X, Y).find("worse_than_constant")
    assert finding.evidence["loss"] / finding.evidence["constant"] == pytest.approx(
        1.0 - est.score(1e4 * X, Y), rel=1e-3
    )


CONSTANT = np.full(60, 0.1)
HARMLESS = {
    "ordinary": (_estimator(), X, Y),
    "one epoch": (_estimator(max_iter=1), 1e4 * X, Y),
    "few iterations": (_estimator(solver="lbfgs", max_iter=2), 1e4 * X, Y),
    "far from zero": (_estimator(), X, 1e3 + Y),
    "constant target": (_estimator(), X, CONSTANT),
    "constant target of a million": (_estimator(), X, 1e6 * CONSTANT),
    "one class": (_estimator(MLPClassifier), X, np.zeros(60)),
    "rare class": (_estimator(MLPClassifier), X, np.arange(60) == 0),
    "one row": (_estimator(), X[:1], Y[:1]),
    "two rows": (_estimator(MLPClassifier), X[:2], [0, 1]),
    "loss below zero": (_estimator(loss="gaussian_nll"), X, 0.3 * Y),
    "random labels": (_estimator(MLPClassifier, dropout=0.8), X, RNG.integers(0, 5, 60)),
    "multilabel": (_estimator(MLPClassifier), X, np.column_stack([Y > 0.0, np.zeros(60)]).astype(int)),
    "hardly any weight on a class": (_estimator(MLPClassifier, class_weight={0: 1e3, 1: 1e-4}), X, [0, 1] * 30),
    "without weight": (_estimator(), X, Y, np.eye(60)[0]),
}


@pytest.mark.parametrize("case", HARMLESS.values(), ids=HARMLESS)
def test_ordinary_trainings_give_no_warning(case):
    est, *data = case
    assert _warnings_of(clone(est), *data) == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_ordinary_network_is_not_summarized(monkeypatch):
    def looked(*args):
        raise AssertionError

    monkeypatch.setattr(health, "summarize_data", looked)
    _estimator().fit(X, Y)
    with pytest.raises(AssertionError):
        _estimator().fit(1e4 * X, Y)
