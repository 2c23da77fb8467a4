"""The range test trains as described, suggests good learning rates, and is drawn.

With ``SKMLP_SAVE_SCREENSHOTS=<folder>`` the picture of the documentation is saved there.
"""

import copy
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skmlp import MLPClassifier, MLPRegressor, lr_find
from skmlp.inspection import LearningRateDisplay, LearningRateSearch
from skmlp.optim import SGD, SOLVERS, FunctionSchedule, Linear, OneCycle

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

ROWS = 120
X_CLASS, Y = make_classification(ROWS, 6, n_informative=4, n_classes=3, random_state=0)
X_REAL, Y_REAL = make_regression(ROWS, 6, noise=5.0, random_state=0)
Y_REAL = Y_REAL / Y_REAL.std()
WEIGHT = np.random.default_rng(0).uniform(0.5, 2.0, ROWS)
RANGE = {"low": 1e-4, "high": 1.0, "n_steps": 60}


def classifier(**params: Any) -> MLPClassifier:
    return MLPClassifier((8,), **{"batch_size": 20, "random_state": 0, **params})


def regressor(**params: Any) -> MLPRegressor:
    return MLPRegressor(hidden_layer_sizes=(8,), batch_size=20, random_state=0, **params)


class Interrupted(SGD):
    """A solver that is interrupted by Ctrl-C in its first step."""

    def update(self, *args: Any) -> None:
        raise KeyboardInterrupt


@dataclass
class Breaking(SGD):
    """A solver that destroys the parameters at learning rates above 0.1."""

    value: float = np.nan

    def update(self, params: Any, grad: Any, state: Any, learning_rate: float, *time: Any) -> None:
        super().update(params, grad, state, learning_rate, *time)
        if learning_rate > 0.1:
            params[...] = self.value


def synthetic(losses: Any, low: float = 1e-6, ratio: float = 1.1) -> LearningRateSearch:
    """Return a search with these losses, smoothed ones and raw ones."""
    losses = np.asarray(losses, dtype=np.float64)
    return LearningRateSearch(low * ratio ** np.arange(len(losses)), losses, losses)


def assert_equal(one: LearningRateSearch, other: LearningRateSearch) -> None:
    np.testing.assert_array_equal(one.learning_rates, other.learning_rates)
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.smoothed_losses, other.smoothed_losses)


class TestTraining:
    @pytest.mark.parametrize(
        "estimator",
        [
            classifier(),
            classifier(alpha=1.0, alpha_l1=0.1, max_norm=1.0, gradient_clip=0.5),
            classifier(dropout=0.2, normalization="batch", label_smoothing=0.1, dtype="float64"),
            classifier(dropout=0.3 * Linear(), weight_decay=0.1, shuffle=False),
            classifier(loss="hinge", solver="sgd", momentum=OneCycle.momentum()),
            regressor(solver="rmsprop", normalization="layer", standardize_target=True, activation="mish"),
            classifier(batch_size="full"),
        ],
        ids=["plain", "penalties", "batch norm", "scheduled", "hinge", "regressor", "full batch"],
    )
    def test_losses_are_those_of_a_fit_with_growing_learning_rate(self, estimator):
        """The history of a fit has their mean over the mini-batches of an epoch, which have equal sizes."""
        X, y = (X_REAL, Y_REAL) if isinstance(estimator, MLPRegressor) else (X_CLASS, Y)
        n_steps, epochs = 60, 60 if estimator.batch_size == "full" else 60 * 20 // ROWS
        estimator = clone(estimator).set_params(max_iter=epochs)
        search = lr_find(estimator, X, y, low=1e-5, high=1e-2, n_steps=n_steps)
        assert len(search.losses) == n_steps
        ratio = 1e3 ** (1 / (n_steps - 1))
        growing = FunctionSchedule(lambda step: ratio**step, of="step")
        estimator.set_params(learning_rate=growing, learning_rate_init=1e-5, n_iter_no_change=np.inf)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            history = estimator.fit(X, y).history_
        means = search.losses.reshape(epochs, -1).mean(axis=1)
        # With full batches fit sorts the samples, which rounds differently.
        np.testing.assert_allclose(means, history["loss"], rtol=1e-5)

    def test_learning_rates_grow_by_a_constant_factor_from_low_to_high(self):
        search = lr_find(classifier(), X_CLASS, Y, low=1e-5, high=1e-2, n_steps=50)
        np.testing.assert_allclose(search.learning_rates, np.geomspace(1e-5, 1e-2, 50))

    def test_smoothed_losses_are_a_bias_corrected_exponential_average(self):
        search = lr_find(classifier(), X_CLASS, Y, **RANGE)
        for i in (0, 1, 17, len(search.losses) - 1):
            weights = 0.9 ** np.arange(i, -1, -1)
            assert search.smoothed_losses[i] == pytest.approx(np.average(search.losses[: i + 1], weights=weights))

    @pytest.mark.parametrize("solver", sorted(SOLVERS))
    def test_every_stochastic_solver_gets_a_suggestion(self, solver):
        # Adadelta needs learning rates of about 1, all others far lower ones.
        search = lr_find(classifier(solver=solver), X_CLASS, Y, low=1e-5, high=100.0, n_steps=150)
        assert 1e-4 < search.suggestion < (100.0 if solver == "adadelta" else 1.0)
        assert np.isfinite(search.losses).all()

    @pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile", "gaussian_nll"])
    def test_the_test_continues_beyond_the_minimum_of_every_kind_of_loss(self, loss):
        """Including a negative log-density, which may be negative."""
        search = lr_find(regressor(loss=loss), X_REAL, Y_REAL / 20.0)
        lowest = search.smoothed_losses.min()
        # The test continues well beyond the minimum.
        assert 1e-3 < search.learning_rates[search.smoothed_losses.argmin()] < search.learning_rates[-1] / 1.5
        assert lowest < search.smoothed_losses[:20].min()
        assert (lowest < 0.0) == (loss == "gaussian_nll")

    def test_sample_weights_are_used_and_zero_weights_excluded(self):
        some = np.where(np.arange(ROWS) % 3 == 0, 0.0, WEIGHT)
        kept = some > 0.0
        assert_equal(
            lr_find(classifier(), X_CLASS, Y, some, **RANGE),
            lr_find(classifier(), X_CLASS[kept], Y[kept], some[kept], **RANGE),
        )
        assert (
            lr_find(classifier(), X_CLASS, Y, WEIGHT, **RANGE).losses
            != lr_find(classifier(), X_CLASS, Y, **RANGE).losses
        ).all()

    def test_class_weight_is_a_sample_weight(self):
        per_class = {0: 1.0, 1: 2.0, 2: 0.5}
        weight = np.array([per_class[label] for label in Y])
        with_classes = lr_find(classifier(class_weight=per_class), X_CLASS, Y, **RANGE)
        with_weights = lr_find(classifier(), X_CLASS, Y, weight, **RANGE)
        np.testing.assert_allclose(with_classes.losses, with_weights.losses, rtol=1e-5)  # float32
        lr_find(classifier(class_weight="balanced"), X_CLASS, Y, **RANGE)

    @pytest.mark.parametrize(
        "params",
        [
            {"early_stopping": True},
            {"validation_split": 0.3, "scoring": "accuracy", "refit": True},
            {"scoring": "accuracy", "refit": True},  # fit would get X_val
            {"learning_rate": "cosine", "learning_rate_init": 0.5},
            {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 3, "max_time": 1e-6},
        ],
    )
    def test_validation_schedule_and_stopping_rules_are_ignored(self, params):
        assert_equal(lr_find(classifier(**params), X_CLASS, Y, **RANGE), lr_find(classifier(), X_CLASS, Y, **RANGE))

    def test_the_same_seed_gives_the_same_bits(self):
        assert_equal(lr_find(classifier(dropout=0.2), X_CLASS, Y), lr_find(classifier(dropout=0.2), X_CLASS, Y))

    def test_another_seed_gives_another_curve(self):
        assert lr_find(classifier(), X_CLASS, Y).losses[0] != lr_find(classifier(random_state=1), X_CLASS, Y).losses[0]


class TestStopping:
    def test_the_test_ends_when_the_loss_explodes(self):
        search = lr_find(classifier(solver="sgd"), X_CLASS, Y, high=1e4)
        assert len(search.losses) < 200
        lowest = search.smoothed_losses.min()
        start = search.smoothed_losses[0]
        limit = lowest + 3.0 * max(lowest, start - lowest)
        assert (search.smoothed_losses[:-1] <= limit).all()

    @pytest.mark.parametrize("value", [np.nan, 1e30])
    def test_non_finite_losses_are_excluded(self, value):
        search = lr_find(regressor(solver=Breaking(value=value)), X_REAL, Y_REAL, **RANGE)
        assert np.isfinite(search.losses).all()
        # The loss after the first step above 0.1 is not finite.
        assert search.learning_rates[-2] <= 0.1 < search.learning_rates[-1]

    def test_a_loss_that_explodes_at_once_raises_an_error(self):
        with pytest.raises(
            ValueError, match=r"exploded after \d steps, already at learning rates of about low=10.0.*Scale"
        ):
            lr_find(regressor(solver="sgd"), 1e3 * X_REAL, Y_REAL, low=10.0, high=1e3)

    def test_a_loss_that_does_not_decrease_raises_an_error(self):
        with pytest.raises(ValueError, match=r"did not decrease between the learning rates low=1e-12 and high=1e-11"):
            lr_find(classifier(solver="sgd", batch_size="full"), X_CLASS, Y, low=1e-12, high=1e-11)

    def test_keyboard_interrupt_is_raised(self):
        with pytest.raises(KeyboardInterrupt):
            lr_find(classifier(solver=Interrupted()), X_CLASS, Y)


class TestEstimator:
    def test_the_estimator_is_not_modified(self):
        estimator = classifier(random_state=np.random.RandomState(0), solver=SGD(), early_stopping=True)
        before = copy.deepcopy(estimator.get_params())
        lr_find(estimator, X_CLASS, Y, **RANGE)
        after = estimator.get_params()
        random_state = after.pop("random_state").get_state()[1]
        np.testing.assert_array_equal(before.pop("random_state").get_state()[1], random_state)
        assert {k: repr(v) for k, v in before.items()} == {k: repr(v) for k, v in after.items()}
        assert not hasattr(estimator, "n_features_in_")

    def test_a_fitted_estimator_is_not_modified_and_the_test_starts_from_scratch(self):
        fitted = classifier(max_iter=2, tol=0, warm_start=True)
        with pytest.warns(ConvergenceWarning):
            fitted.fit(X_CLASS, Y)
        weights = [array.copy() for array in fitted.coefs_]
        assert_equal(lr_find(fitted, X_CLASS, Y, **RANGE), lr_find(classifier(), X_CLASS, Y, **RANGE))
        for array, was in zip(fitted.coefs_, weights, strict=True):
            np.testing.assert_array_equal(array, was)

    @pytest.mark.parametrize(
        "around",
        [
            lambda network: make_pipeline(StandardScaler(), network),
            lambda network: Pipeline([("scale", StandardScaler()), ("nothing", "passthrough"), ("net", network)]),
            lambda network: make_pipeline(MinMaxScaler(), make_pipeline(StandardScaler(), network)),
        ],
        ids=["plain", "passthrough", "nested"],
    )
    def test_a_pipeline_transforms_the_features(self, around):
        data = 5.0 + 100.0 * X_CLASS
        scaled = StandardScaler().fit_transform(data)
        model = around(classifier(dtype="float64"))
        found = lr_find(model, data, Y, **RANGE)
        expected = lr_find(classifier(dtype="float64"), scaled, Y, **RANGE)
        np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6)
        assert not hasattr(model[0], "scale_")

    def test_a_pipeline_of_one_step_equals_that_step(self):
        assert_equal(
            lr_find(make_pipeline(classifier()), X_CLASS, Y, **RANGE), lr_find(classifier(), X_CLASS, Y, **RANGE)
        )

    def test_frames_and_sparse_matrices_are_accepted(self):
        import pandas as pd
        from scipy import sparse

        expected = lr_find(classifier(), X_CLASS, Y, **RANGE)
        assert_equal(lr_find(classifier(), pd.DataFrame(X_CLASS).add_prefix("x"), pd.Series(Y), **RANGE), expected)
        np.testing.assert_allclose(
            lr_find(classifier(), sparse.csr_array(X_CLASS), Y, **RANGE).losses[:20], expected.losses[:20], rtol=1e-4
        )

    @pytest.mark.parametrize(
        "foreign",
        [
            LogisticRegression(),
            make_pipeline(StandardScaler(), LogisticRegression()),
            GridSearchCV(LogisticRegression(), {}),
            MLPClassifier,
            None,
        ],
    )
    def test_other_estimators_are_rejected(self, foreign):
        with pytest.raises(TypeError, match="MLPClassifier or MLPRegressor of skmlp"):
            lr_find(foreign, X_CLASS, Y)

    def test_lbfgs_is_rejected(self):
        for model in (classifier(solver="lbfgs"), make_pipeline(StandardScaler(), classifier(solver="lbfgs"))):
            with pytest.raises(ValueError, match='solver="lbfgs" has none'):
                lr_find(model, X_CLASS, Y)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"low": 0.0}, r"'low' parameter of lr_find must be a float in the range \(0.0, inf\)\. Got 0.0"),
            (
                {"low": 1.0, "high": 0.1},
                r"'high' parameter of lr_find must be a float in the range \(1.0, inf\)\. Got 0.1",
            ),
            ({"high": np.inf}, "'high' parameter"),
            ({"high": np.nan}, "'high' parameter"),
            ({"low": "tiny"}, "Got 'tiny'"),
            ({"low": True}, "Got True"),
            ({"n_steps": 39}, r"int in the range \[40, inf\)\. Got 39"),
            ({"n_steps": 100.0}, "Got 100.0"),
        ],
    )
    def test_an_invalid_range_is_rejected(self, options, message):
        with pytest.raises(ValueError, match=message):
            lr_find(classifier(), X_CLASS, Y, **options)

    def test_invalid_parameters_and_data_are_rejected_as_in_fit(self):
        with pytest.raises(ValueError, match="dropout"):
            lr_find(classifier(dropout=1.5), X_CLASS, Y)
        with pytest.raises(ValueError, match="NaN"):
            lr_find(classifier(), np.where(X_CLASS > 2.0, np.nan, X_CLASS), Y)


class TestSuggestion:
    def test_the_suggestion_is_half_way_down_the_descent(self):
        search = synthetic([2.0] * 20 + [1.9, 1.5, 1.1, 0.9, 0.4, 0.2, 0.0, 3.0])
        assert search.suggestion == search.learning_rates[23]  # 0.9 is the first below 1.0
        assert search.at_tenth_of_minimum == pytest.approx(search.learning_rates[26] / 10.0)

    def test_noise_before_the_descent_does_not_change_the_suggestion(self):
        quiet = [2.0] * 30 + [1.5, 0.9, 0.4, 0.2, 0.0]
        noisy = list(quiet)
        noisy[3], noisy[10], noisy[25] = 9.0, 0.5, 9.0  # steeper than the descent itself
        assert synthetic(noisy).suggestion == synthetic(quiet).suggestion

    def test_the_suggestion_for_a_descent_from_the_first_step_on(self):
        search = synthetic(np.linspace(2.0, 0.0, 60))
        assert search.learning_rates[30] < search.suggestion < search.learning_rates[50]

    def test_the_suggestion_is_a_valid_learning_rate(self):
        search = lr_find(classifier(), X_CLASS, Y)
        assert type(search.suggestion) is float
        assert type(search.at_tenth_of_minimum) is float
        classifier(learning_rate_init=search.suggestion, max_iter=1, solver="adam")._validate_params()

    def test_the_text_contains_the_suggestion(self):
        search = synthetic([2.0] * 20 + [1.9, 1.5, 1.1, 0.9, 0.4, 0.2, 0.0, 3.0])
        assert f"suggestion={search.suggestion:.2g}" in repr(search)
        assert "28 steps" in repr(search)

    @pytest.mark.parametrize("solver", ["adam", "sgd"])
    def test_the_suggestion_trains_about_as_well_as_the_best_rate_of_a_grid(self, solver):
        X, y = load_digits(return_X_y=True)
        X = X / 16.0
        train, held_out = slice(0, 1200), slice(1200, None)

        def loss_after_training(rate):
            model = MLPClassifier(
                (32,), solver=solver, learning_rate_init=rate, learning_rate="linear", max_iter=15, random_state=0
            )
            model.fit(X[train], y[train], X_val=X[held_out], y_val=y[held_out])
            return model.history_["validation_loss"][-1]

        suggestion = lr_find(MLPClassifier((32,), solver=solver, random_state=0), X[train], y[train]).suggestion
        best = min(loss_after_training(rate) for rate in 10.0 ** np.arange(-4.0, 0.1, 0.5))
        # The losses of the grid differ by more than a factor of 5.
        assert loss_after_training(suggestion) < 1.5 * best


def axes() -> Any:
    return Figure().subplots()


class TestDisplay:
    def test_losses_are_drawn_over_the_rates_with_the_suggestion(self):
        search = lr_find(classifier(), X_CLASS, Y)
        display = search.plot(axes())
        assert isinstance(display, LearningRateDisplay)
        raw, smoothed, point = display.lines_
        for line, values in ((raw, search.losses), (smoothed, search.smoothed_losses)):
            np.testing.assert_array_equal(line.get_xdata(), search.learning_rates)
            np.testing.assert_array_equal(line.get_ydata(), values)
        assert raw.get_alpha() < 0.5
        assert point.get_xdata().tolist() == [search.suggestion]
        assert point.get_ydata()[0] in search.smoothed_losses
        names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert names == ["each batch", "smoothed", f"suggestion: {search.suggestion:.2g}"]
        assert (display.ax_.get_xscale(), display.ax_.get_xlabel()) == ("log", "Learning rate")

    def test_the_explosion_does_not_determine_the_scale(self):
        search = lr_find(classifier(solver="sgd"), X_CLASS, Y, high=1e4)
        low, high = search.plot(axes()).ax_.get_ylim()
        before = search.losses[: search.smoothed_losses.argmin() + 1]
        assert search.losses.max() > high > before.max()
        assert low < before.min()
        assert np.ptp(before) > 0.5 * (high - low)

    def test_from_estimator_runs_the_range_test(self):
        ax = axes()
        display = LearningRateDisplay.from_estimator(classifier(), X_CLASS, Y, WEIGHT, ax=ax, **RANGE)
        assert_equal(display.search, lr_find(classifier(), X_CLASS, Y, WEIGHT, **RANGE))
        assert display.ax_ is ax
        assert display.figure_ is ax.figure

    def test_plot_draws_again_on_other_axes_without_pyplot(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises an error
        display = lr_find(classifier(), X_CLASS, Y).plot(axes())
        other = axes()
        assert display.plot(other) is display
        assert display.ax_ is other
        display.figure_.canvas.draw()

    def test_without_matplotlib_the_error_tells_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
        search = lr_find(classifier(), X_CLASS, Y)
        with pytest.raises(ImportError, match=r"skmlp\[plot\]"):
            search.plot()

    @pytest.mark.skipif("SKMLP_SAVE_SCREENSHOTS" not in os.environ, reason="saves a picture of the documentation")
    def test_the_picture_of_the_documentation_is_saved(self):
        X, y = load_digits(return_X_y=True)
        model = make_pipeline(StandardScaler(), MLPClassifier((64,), solver="sgd", random_state=0))
        figure = Figure(figsize=(7.0, 3.6), layout="constrained")
        LearningRateDisplay.from_estimator(model, X, y, ax=figure.subplots())
        picture = Path(os.environ["SKMLP_SAVE_SCREENSHOTS"], "lr_find.png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=140)
        assert picture.stat().st_size > 10_000

    def test_several_tests_on_the_same_axes_have_names_and_colors(self):
        search = lr_find(classifier(), X_CLASS, Y)
        first = LearningRateDisplay(search, name="Adam").plot(axes())
        limits = first.ax_.get_ylim()
        second = search.plot(first.ax_, name="SGD")
        names = [text.get_text() for text in first.ax_.get_legend().get_texts()]
        assert [name.split(":")[0] for name in names] == ["Adam"] * 3 + ["SGD"] * 3
        assert names[1] == "Adam: smoothed"
        assert first.lines_[1].get_color() != second.lines_[1].get_color()
        assert first.ax_.get_ylim() == limits
