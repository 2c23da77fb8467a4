"""Plateaus, counted as in scikit-learn, and the history."""

import math

import numpy as np
import pytest

from skmlp.training import history as history_module
from skmlp.training.history import Observations, append_row, empty_history, mean_observations
from skmlp.training.state import Plateau


def _stops_at(plateau, values):
    """Return the number of the epoch that ends the training, or None."""
    return next((epoch for epoch, value in enumerate(values, start=1) if plateau.update(value)), None)


@pytest.mark.parametrize("patience", [1, 2, 10])
def test_training_stops_after_more_than_patience_epochs_without_improvement(patience):
    # As scikit-learn's n_iter_no_change: the first epoch sets the best, the following ones are counted.
    assert _stops_at(Plateau(1e-4, patience), [1.0] * 50) == 1 + patience + 1


def test_an_improvement_resets_the_count():
    values = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert _stops_at(Plateau(0.1, 2), values) == 7


def test_an_improvement_is_at_least_tol_below_the_best():
    plateau = Plateau(0.25, 10)
    plateau.update(1.0)
    plateau.update(0.75)  # exactly tol
    assert (plateau.count, plateau.best) == (0, 0.75)
    plateau.update(0.625)  # less than tol, but the best so far is kept exactly
    assert (plateau.count, plateau.best) == (1, 0.625)
    plateau.update(0.5)
    assert (plateau.count, plateau.best) == (2, 0.5)
    plateau.update(0.25)
    assert plateau.count == 0


def test_small_improvements_are_not_progress():
    # Each epoch is below the best by less than tol: scikit-learn compares with the best, not with the last progress.
    assert _stops_at(Plateau(0.1, 3), [1.0 - 0.01 * i for i in range(50)]) == 5


def test_with_zero_tolerance_an_equal_value_is_an_improvement():
    plateau = Plateau(0.0, 2)
    assert _stops_at(plateau, [1.0] * 20) is None
    assert _stops_at(plateau, [1.1] * 20) == 3


def test_nan_is_neither_an_improvement_nor_the_best():
    plateau = Plateau(1e-4, 2)
    assert _stops_at(plateau, [1.0, math.nan, math.nan, math.nan]) == 4
    assert plateau.best == 1.0
    assert _stops_at(Plateau(1e-4, 2), [math.nan] * 10) == 3


def test_infinite_patience_never_stops():
    assert _stops_at(Plateau(1e-4, math.inf), [1.0] * 1000) is None


def test_negative_scores_are_values():
    assert _stops_at(Plateau(0.01, 1), [-0.5, -0.6, -0.605, -0.605]) == 4


def test_history_has_validation_columns_only_with_validation():
    common = {
        "loss", "train_loss", "penalty", "learning_rate", "gradient_norm", "clipped_fraction", "seconds",
        "samples_per_second",
    }  # fmt: skip
    assert set(empty_history(validation=False)) == common
    assert set(empty_history(validation=True)) == common | {"validation_loss", "validation_score"}
    assert all(column == [] for column in empty_history(validation=True).values())


def test_history_drops_the_oldest_rows(monkeypatch):
    monkeypatch.setattr(history_module, "HISTORY_LIMIT", 3)
    history = empty_history(validation=False)
    for epoch in range(5):
        append_row(history, {name: float(epoch) for name in history})
    assert all(column == [2.0, 3.0, 4.0] for column in history.values())


def test_missing_cells_of_the_history_are_nan():
    history = empty_history(validation=False)
    row = dict.fromkeys(history, 0.0)
    for more in ({}, {"noise_scale": 7.0}, {}):
        append_row(history, row | more)
    assert history["loss"] == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(history["noise_scale"], [np.nan, 7.0, np.nan])


def _observe(n_rows):
    table = Observations({"epoch": np.empty(0, int), "norm": np.empty((0, 2)), "bands": np.empty((0, 2, 9))})
    for epoch in range(1, n_rows + 1):
        table.append(epoch, {"norm": np.full(2, float(epoch)), "bands": np.full((2, 9), -float(epoch))})
    return table


@pytest.mark.parametrize("n_rows", [0, 1, 8, 9, 100])
def test_observations_have_an_array_per_column(n_rows):
    columns = _observe(n_rows).columns
    np.testing.assert_array_equal(columns["epoch"], np.arange(1, n_rows + 1))
    assert columns["epoch"].dtype.kind == "i"
    np.testing.assert_array_equal(columns["norm"], np.arange(1.0, n_rows + 1)[:, None] * [1.0, 1.0])
    assert columns["bands"].shape == (n_rows, 2, 9)


@pytest.mark.parametrize("n_rows", [5, 11, 14, 40])
def test_observations_drop_the_oldest_rows(monkeypatch, n_rows):
    monkeypatch.setattr(history_module, "HISTORY_LIMIT", 4)
    columns = _observe(n_rows).columns
    assert columns["epoch"].tolist() == list(range(n_rows - 3, n_rows + 1))
    assert columns["bands"][:, 1, 8].tolist() == [-epoch for epoch in columns["epoch"]]


def test_appending_does_not_change_columns_read_before():
    first = _observe(3)
    read = first.columns
    second = Observations(read)
    second.append(9, {"norm": np.zeros(2), "bands": np.zeros((2, 9))})
    first.append(4, {"norm": np.ones(2), "bands": np.ones((2, 9))})
    assert read["epoch"].tolist() == [1, 2, 3]
    assert second.columns["epoch"].tolist() == [1, 2, 3, 9]
    assert first.columns["epoch"].tolist() == [1, 2, 3, 4]


def _observed(epochs, *rows):
    return {"epoch": np.array(epochs), "norm": np.array(rows, float).reshape(len(epochs), -1)}


def test_the_mean_of_observations_has_a_row_for_each_epoch_that_any_training_observed():
    nan = math.nan
    means = mean_observations([_observed([1, 3], [1.0, nan], [5.0, nan]), _observed([1, 2], [3.0, nan], [7.0, 4.0])])
    assert means["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(means["norm"], [[2.0, nan], [7.0, 4.0], [5.0, nan]])
    nothing = mean_observations([{"epoch": np.empty(0, int), "norm": np.empty((0, 2))}] * 2)
    assert nothing["norm"].shape == (0, 2)


def test_trainings_of_other_shapes_are_left_out_of_the_mean():
    means = mean_observations([_observed([1], [1.0, 2.0]), _observed([1], [5.0]), _observed([1], [3.0, 4.0])])
    np.testing.assert_array_equal(means["norm"], [[2.0, 3.0]])
