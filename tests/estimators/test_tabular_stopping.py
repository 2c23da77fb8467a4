"""The pause of the schedule at which the members of a tabular estimator stop."""

import numpy as np
import pytest

from skmlp import TabularMLPClassifier, TabularMLPRegressor
from skmlp.estimators.tabular_stopping import PauseChooser, fraction_to_hold_out


@pytest.mark.parametrize(
    ("n_members", "n_samples", "fraction"),
    [(8, 1000, 0.05), (4, 1000, 0.1), (1, 1000, 0.2), (2, 1000, 0.2), (16, 1000, 0.05), (8, 100, 0.0), (1, 200, 0.0)],
)
def test_fewer_members_hold_more_rows_out_and_small_tables_none(n_members, n_samples, fraction):
    assert fraction_to_hold_out(n_members, n_samples) == pytest.approx(fraction)


def _losses(*means, noise=0.1):
    """Return losses of 400 rows with exactly these means, and differences with exactly that standard deviation."""
    base = np.random.default_rng(0).random(400)
    signs = np.tile([1.0, -1.0], 200)
    return [base - base.mean() + mean + (noise * signs if index else 0.0) for index, mean in enumerate(means)]


def test_a_pause_is_worse_if_its_losses_are_significantly_above_the_lowest():
    chooser = PauseChooser()
    first, second, third, fourth = _losses(0.0, -0.1, 0.004, 0.006)
    assert not chooser.is_worse(first, None)
    assert not chooser.is_worse(second, None)
    assert chooser.is_worse(first, None)
    chooser = PauseChooser()
    chooser.is_worse(first, None)
    assert not chooser.is_worse(third, None)  # 0.004 is less than 0.1 / sqrt(400)
    assert chooser.is_worse(fourth, None)


def test_pauses_are_compared_with_the_best_one_not_with_the_last():
    """Each is worse than the one before by less than the error; together it is more."""
    chooser = PauseChooser()
    found = [chooser.is_worse(losses, None) for losses in _losses(0.0, 0.004, 0.008)]
    assert found == [False, False, True]


def test_rows_without_weight_do_not_count():
    first, second = _losses(0.0, 0.0, noise=0.0)
    second = second.copy()
    second[:50] += 5.0
    weight = np.ones(400)
    weight[:50] = 0.0
    assert PauseChooser().is_worse(first, None) is False
    for given, expected in ((None, True), (weight, False)):
        chooser = PauseChooser()
        chooser.is_worse(first, given)
        assert chooser.is_worse(second, given) is expected


def test_infinite_losses_are_worse():
    chooser = PauseChooser()
    first, second = _losses(0.0, -1.0)
    chooser.is_worse(first, None)
    second[3] = np.inf
    assert chooser.is_worse(second, None)


def _noise(n=400):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 8)), rng.integers(0, 2, n)


def test_members_stop_early_on_noise_and_have_the_weights_of_the_best_pause():
    X, y = _noise()
    est = TabularMLPClassifier(n_members=4, max_iter=30, random_state=0, n_jobs=1).fit(X, y)
    assert est.stop_reason_ == "converged"
    assert est.best_n_iter_ < est.n_iter_ < 30
    held_out = np.array(est.history_["held_out_loss"])
    pauses = np.flatnonzero(~np.isnan(held_out)) + 1
    assert set(pauses) <= {2, 6, 14, 30}
    assert held_out[est.n_iter_ - 1] > held_out[est.best_n_iter_ - 1]
    again = TabularMLPClassifier(n_members=4, max_iter=30, random_state=0, early_stopping=False).fit(X, y)
    assert (again.n_iter_, again.stop_reason_) == (30, "max_iter")
    assert "held_out_loss" not in again.history_
    assert {entry["best_epoch"] for entry in est.members_} == {est.best_n_iter_}


def test_members_train_to_the_end_where_that_is_best():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (400, 2))
    y = np.sin(4.0 * X[:, 0]) * X[:, 1]
    est = TabularMLPRegressor(n_members=2, max_iter=15, random_state=0).fit(X, y)
    assert (est.n_iter_, est.best_n_iter_, est.stop_reason_) == (15, 15, "max_iter")


def test_validation_data_of_the_user_decide_and_all_rows_are_trained_on():
    X, y = _noise(600)
    est = TabularMLPClassifier(n_members=2, max_iter=30, random_state=0)
    est.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    assert est.best_n_iter_ < est.n_iter_
    assert "held_out_loss" not in est.history_
    losses = est.history_["validation_loss"]
    assert losses[est.n_iter_ - 1] > losses[est.best_n_iter_ - 1]
    mean = est.predict_proba(X[400:])
    loss = -np.log(mean[np.arange(200), y[400:]]).mean()
    assert loss == pytest.approx(losses[est.best_n_iter_ - 1], rel=1e-4)


def test_schedules_without_pauses_are_trained_to_their_end():
    X, y = _noise()
    members = {"learning_rate": ["cosine"]}
    est = TabularMLPClassifier(n_members=2, max_iter=8, members=members, random_state=0).fit(X, y)
    assert est.n_iter_ == 8
