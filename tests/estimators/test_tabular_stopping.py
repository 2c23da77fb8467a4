"""The pause of the schedule at which the members of a tabular estimator stop."""

import numpy as np
import pytest

from skmlp import TabularMLPClassifier, TabularMLPRegressor
from skmlp.estimators.tabular_stopping import (
    PauseChooser,
    fraction_to_hold_out,
    group_members,
    losses_of_all,
)


@pytest.mark.parametrize(
    ("n_members", "groups"),
    [(1, [0]), (3, [0] * 3), (4, [0] * 4), (7, [0] * 7), (8, [0] * 4 + [1] * 4), (9, [0] * 5 + [1] * 4)],
)
def test_members_are_in_groups_of_four_or_a_few_more(n_members, groups):
    assert group_members(n_members) == groups


@pytest.mark.parametrize(
    ("n_groups", "n_samples", "fraction"),
    [
        (2, 4000, 0.0625),
        (1, 4000, 0.125),
        (4, 4000, 0.05),
        (2, 1000, 0.1),
        (2, 100, 0.2),
        (1, 40, 0.0),
        (2, 10**6, 0.005),
    ],
)
def test_groups_hold_rows_out_but_for_tiny_tables(n_groups, n_samples, fraction):
    assert fraction_to_hold_out(n_groups, n_samples) == pytest.approx(fraction)


@pytest.mark.parametrize(("group_size", "n_members"), [(4, 8), (4, 4), (2, 16), (5, 9)])
def test_losses_of_all_are_those_of_a_mean_of_independent_errors(group_size, n_members):
    """For the squared error: with many draws of the errors of members."""
    rng = np.random.default_rng(0)
    errors = 0.3 + rng.standard_normal((200_000, n_members))
    of_one = (errors**2).mean(axis=1)
    of_group = errors[:, :group_size].mean(axis=1) ** 2
    found = losses_of_all(of_one, of_group, group_size, n_members).mean()
    assert found == pytest.approx((errors.mean(axis=1) ** 2).mean(), abs=0.02)


def test_a_single_member_is_judged_by_its_own_losses():
    of_one = np.array([1.0, 2.0])
    assert losses_of_all(of_one, of_one, 1, 1) is of_one


def _losses(*means, noise=0.1):
    """Return losses of 400 rows with exactly these means, and differences with exactly that standard deviation."""
    base = np.random.default_rng(0).random(400)
    signs = np.tile([1.0, -1.0], 200)
    return [base - base.mean() + mean + (noise * signs if index else 0.0) for index, mean in enumerate(means)]


def _judged(losses, weight=None):
    chooser, found = PauseChooser(), []
    for each in losses:
        chooser.judge(each, weight)
        found.append((chooser.is_best, chooser.is_over))
    return found


def test_the_lowest_losses_are_the_best_and_significantly_higher_ones_in_a_row_end_it():
    first, lower, close, far = _losses(0.0, -0.1, 0.004, 0.006)
    assert _judged([first, lower]) == [(True, False), (True, False)]
    assert _judged([first, close, close]) == [(True, False), (False, False), (False, False)]  # 0.004 < 0.1 / sqrt(400)
    assert _judged([first, far, far]) == [(True, False), (False, False), (False, True)]
    assert _judged([first, far, lower, far])[2:] == [(True, False), (False, False)]


def test_pauses_are_compared_with_the_best_one_not_with_the_last():
    """Each is worse than the one before by less than the error; together it is more."""
    assert _judged(_losses(0.0, 0.004, 0.008, 0.012))[2:] == [(False, False), (False, True)]


def test_rows_without_weight_do_not_count():
    first, second = _losses(0.0, 0.0, noise=0.0)
    second = second - 0.1
    second[:50] += 5.0
    weight = np.ones(400)
    weight[:50] = 0.0
    assert _judged([first, second, second])[2] == (False, True)
    assert _judged([first, second], weight)[1] == (True, False)


def test_infinite_losses_are_worse():
    first, second = _losses(0.0, -1.0)
    second[3] = np.inf
    assert _judged([first, second, second])[2] == (False, True)


def _noise(n=400):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 8)), rng.integers(0, 2, n)


def test_members_stop_early_on_noise_and_have_the_weights_of_the_best_pause():
    X, y = _noise(1600)
    members = {"hidden_layer_sizes": [(128,)], "dropout": [0.0]}
    est = TabularMLPClassifier(n_members=2, members=members, max_iter=30, random_state=0, n_jobs=1).fit(X, y)
    assert est.stop_reason_ == "converged"
    assert est.best_n_iter_ < est.n_iter_ < 30
    held_out = np.array(est.history_["held_out_loss"])
    pauses = np.flatnonzero(~np.isnan(held_out)) + 1
    assert set(pauses) <= {2, 6, 14, 30}
    assert held_out[est.n_iter_ - 1] > held_out[est.best_n_iter_ - 1]
    again = TabularMLPClassifier(n_members=2, max_iter=3, random_state=0, early_stopping=False).fit(X, y)
    assert (again.n_iter_, again.stop_reason_) == (3, "max_iter")
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
    for epoch, loss in est._pauses:  # the losses of the mean judge the pauses, not those of a member
        assert loss == pytest.approx(losses[int(epoch) - 1], rel=1e-6)
    mean = est.predict_proba(X[400:])
    loss = -np.log(mean[np.arange(200), y[400:]]).mean()
    assert loss == pytest.approx(losses[est.best_n_iter_ - 1], rel=1e-4)


def test_schedules_without_pauses_are_trained_to_their_end():
    X, y = _noise()
    members = {"learning_rate": ["cosine"]}
    est = TabularMLPClassifier(n_members=2, max_iter=5, members=members, random_state=0).fit(X, y)
    assert est.n_iter_ == 5
