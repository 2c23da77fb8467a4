"""Defects of scikit-learn's MLPs in how they train, each with the behaviour skmlp has instead (D1 to D11)."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import holdout

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run a fixed number of epochs on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
# No stopping rule but max_iter.
ENDLESS: dict[str, Any] = {"tol": 0.0, "n_iter_no_change": np.inf}


def _labels(n_samples: int = 120, seed: int = 0, n_classes: int = 3) -> tuple[Any, Any]:
    return make_classification(
        n_samples, n_features=6, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=seed
    )


def _numbers(n_samples: int = 120, seed: int = 0, n_targets: int = 1) -> tuple[Any, Any]:
    X, y = make_regression(n_samples, n_features=6, n_informative=4, n_targets=n_targets, random_state=seed)
    return X, y / 100.0


def _data(cls: type, n_samples: int = 120, seed: int = 0) -> tuple[Any, Any]:
    return _labels(n_samples, seed) if cls is MLPClassifier else _numbers(n_samples, seed)


def _ones(rng: np.random.Generator, n_in: int, n_out: int, dtype: Any) -> Any:
    return np.ones((n_in, n_out), dtype)


def _huge(rng: np.random.Generator, n_in: int, n_out: int, dtype: Any) -> Any:
    return np.full((n_in, n_out), 1e3, dtype)


def _parameters(estimator: Any) -> list[Any]:
    return [array.copy() for array in (*estimator.coefs_, *estimator.intercepts_)]


def _assert_same_bits(one: Any, other: Any) -> None:
    for a, b in zip(_parameters(one), _parameters(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_d01_multi_output_gradient_is_the_gradient_of_the_reported_loss() -> None:
    """With several outputs the gradient is not a multiple of the loss's gradient."""
    X, y = _numbers(n_samples=20, n_targets=4)
    est = MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", dtype="float64", max_iter=2, random_state=0)
    est.fit(X, y)
    _, coef_grads, intercept_grads = est.loss_and_gradients(X, y)
    step = 1e-5
    for arrays, grads in ((est.coefs_, coef_grads), (est.intercepts_, intercept_grads)):
        for array, grad in zip(arrays, grads, strict=True):
            numeric = np.empty_like(array)
            for index in np.ndindex(array.shape):
                kept = array[index]
                array[index] = kept + step
                above = est.loss_and_gradients(X, y)[0]
                array[index] = kept - step
                below = est.loss_and_gradients(X, y)[0]
                array[index] = kept
                numeric[index] = (above - below) / (2 * step)
            # Central differences: truncation step**2 = 1e-10, rounding 1e-16 / step = 1e-11, both times O(1).
            np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-9)


def test_d02_divergence_stops_the_fit_in_the_step_where_it_happens() -> None:
    """A diverging network neither trains on NaN until max_iter nor loses its weights, and says where it broke."""
    X, y = _numbers()
    est = MLPRegressor(solver="sgd", learning_rate_init=3.0, batch_size="full", max_iter=500, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"diverged.*layer \d of 2 became infinite or NaN at step 1 in epoch"):
        est.fit(X, y)
    assert est.n_iter_ < 100
    assert np.isnan(est.loss_curve_[-1])
    assert np.isfinite(est.loss_curve_[:-1]).all()
    assert np.isfinite(est.predict(X)).all()
    # With one step per epoch, the recorded loss is exactly that of the weights before the step.
    assert est.loss_and_gradients(X, y)[0] == pytest.approx(np.nanmin(est.loss_curve_), rel=1e-5)


@BOTH
def test_d02_a_last_step_that_overflows_is_noticed(cls: Any) -> None:
    """Weights that become infinite in the very last step are not handed out as a fit."""
    X, y = _data(cls)
    est = cls(solver="sgd", learning_rate_init=1e39, batch_size="full", max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        est.fit(X, y)
    classes = {"classes": np.unique(y)} if cls is MLPClassifier else {}
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        est.partial_fit(X, y, **classes)
    assert not hasattr(est, "coefs_")


@BOTH
def test_d02_divergence_in_the_first_epoch_is_an_error(cls: Any) -> None:
    """With no good weights to keep, scikit-learn's error comes at once and the estimator stays unfitted."""
    X, y = _data(cls)
    est = cls(solver="sgd", learning_rate_init=1e30, batch_size=10, max_iter=500, random_state=0)
    with pytest.raises(ValueError, match=r"Solver produced non-finite parameter weights.*layer . of 2"):
        est.fit(X, y)
    assert not hasattr(est, "coefs_")
    assert not hasattr(est, "n_features_in_")


@BOTH
@pytest.mark.parametrize("bad_step", [1, 3])
def test_d02_the_error_names_the_step_that_diverged(cls: Any, bad_step: int) -> None:
    """The first batch with a non-finite loss or gradient ends the training, not the end of its epoch."""
    X, y = _data(cls)
    est = cls(hidden_layer_sizes=(5, 5), batch_size=20, shuffle=False, max_iter=3, random_state=0)
    row = 20 * bad_step - 1
    if cls is MLPRegressor:
        est.set_params(bias_init="zeros")  # the best constant would carry the bad row into the first step
        y[row] = 1e25  # in float32 the square overflows, the gradient does not
        words = f"the loss after layer 3 of 3 became infinite or NaN at step {bad_step}"
    else:
        X[row] = 1e30  # times the weights of two layers this overflows
        est.set_params(weight_init=_huge)
        words = f"the output of layer . of 3 became infinite or NaN at step {bad_step}"
    with pytest.raises(ValueError, match=words):
        est.fit(X, y)


@BOTH
def test_d03_warm_start_with_early_stopping_keeps_the_best_weights(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second, harmful fit does not overwrite the best weights, and the best score is theirs."""
    held_out: list[Any] = []
    split = holdout.train_test_split

    def recording_split(*args: Any, **kwargs: Any) -> Any:
        parts = split(*args, **kwargs)
        held_out.append(parts[1])
        return parts

    monkeypatch.setattr(holdout, "train_test_split", recording_split)
    X, y = _data(cls, n_samples=300)
    est = cls(early_stopping=True, warm_start=True, learning_rate_init=0.01, validation_fraction=0.2, random_state=0)
    est.fit(X, y)
    best, kept = est.best_validation_score_, _parameters(est)
    est.set_params(solver="lion", learning_rate_init=0.3, max_iter=5).fit(X, y)
    assert max(est.validation_scores_[-5:]) < best  # the second fit did harm
    assert est.best_validation_score_ == best
    for before, after in zip(kept, _parameters(est), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(held_out[0], held_out[1])
    rows = held_out[1]
    # The regressor computes R squared in training from float32 outputs, score() from float64 ones.
    assert est.score(X[rows], y[rows]) == pytest.approx(best, rel=0 if cls is MLPClassifier else 1e-5)


def test_d04_alpha_is_divided_by_the_weight_of_the_batch() -> None:
    """The meaning of alpha is kept: the penalty's gradient is alpha W over the batch's sum of sample weights."""
    n_samples, alpha, rate = 40, 2.0, 0.1
    # Without data only the penalty acts on the weights: each step multiplies them by 1 - rate * alpha / weight.
    X, y = np.zeros((n_samples, 3)), np.zeros(n_samples)
    est = MLPRegressor(
        hidden_layer_sizes=(), solver="sgd", momentum=0.0, learning_rate_init=rate, alpha=alpha, max_iter=1,
        weight_init=_ones, dtype="float64", **ENDLESS,
    )  # fmt: skip
    for batch_size, weight, n_steps in ((10, 1.0, 4), (20, 1.0, 2), (10, 3.0, 4)):
        est.set_params(batch_size=batch_size).fit(X, y, sample_weight=np.full(n_samples, weight))
        expected = (1.0 - rate * alpha / (batch_size * weight)) ** n_steps
        np.testing.assert_allclose(est.coefs_[0], expected, rtol=1e-14)
    X, y = _numbers()
    weight = np.linspace(0.5, 3.0, len(y))
    est.set_params(alpha=alpha).fit(X, y)
    loss, (grad,), _ = est.loss_and_gradients(X, y, sample_weight=weight)
    plain_loss, (plain,), _ = est.set_params(alpha=0.0).loss_and_gradients(X, y, sample_weight=weight)
    W = est.coefs_[0]
    np.testing.assert_allclose(grad - plain, alpha * W / weight.sum(), rtol=1e-10)
    assert loss - plain_loss == pytest.approx(alpha * (W**2).sum() / (2 * weight.sum()), rel=1e-10)


@BOTH
def test_d05_warm_start_on_new_data_resets_the_patience(cls: Any) -> None:
    """A low loss reached on old data does not end the training on new, harder data at once."""
    X, y = _data(cls)
    est = cls(warm_start=True, learning_rate_init=0.01, max_iter=400, tol=1e-3, random_state=0)
    est.fit(X, np.zeros_like(y) if cls is MLPRegressor else y)
    n_first, easy_loss = len(est.loss_curve_), est.best_loss_
    X_new, y_new = _data(cls, seed=5)
    est.fit(X_new, y_new if cls is MLPClassifier else 3.0 * y_new)
    new_curve = est.loss_curve_[n_first:]
    assert len(new_curve) == est.n_iter_ > 20
    assert new_curve[-1] < 0.5 * new_curve[0]
    assert new_curve[0] > easy_loss
    assert est.best_loss_ == min(new_curve)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
def test_d06_warm_start_equals_an_uninterrupted_training(cls: Any, solver: str) -> None:
    """Moments, step count and the random stream survive: two fits of 4 epochs are one of 8, bit for bit."""
    X, y = _data(cls)
    settings = {"solver": solver, "batch_size": 32, "random_state": 0, **ENDLESS}
    resumed = cls(max_iter=4, warm_start=True, **settings).fit(X, y).fit(X, y)
    whole = cls(max_iter=8, **settings).fit(X, y)
    _assert_same_bits(resumed, whole)
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.t_ == whole.t_ == 8 * len(y)


@BOTH
@pytest.mark.parametrize(
    "change", [{"hidden_layer_sizes": (7,)}, {"hidden_layer_sizes": (5, 5)}, {"activation": "tanh"}]
)
def test_d06_warm_start_with_another_architecture_is_an_error(cls: Any, change: dict[str, Any]) -> None:
    """A change the kept network cannot take is not silently ignored; the network stays usable."""
    X, y = _data(cls)
    est = cls(hidden_layer_sizes=(5,), warm_start=True, max_iter=2, random_state=0).fit(X, y)
    before = est.predict(X)
    est.set_params(**change)
    with pytest.raises(ValueError, match=rf"warm_start.*{next(iter(change))} was"):
        est.fit(X, y)
    np.testing.assert_array_equal(est.predict(X), before)
    assert est.set_params(warm_start=False).fit(X, y).n_iter_ == 2


def test_d07_invscaling_counts_samples() -> None:
    """The meaning of invscaling is kept: t is the number of samples seen, whatever the batch size."""
    X, y = _numbers()
    est = MLPRegressor(
        solver="sgd", learning_rate="invscaling", learning_rate_init=0.01, power_t=0.7, batch_size=30, max_iter=4
    )
    est.fit(X, y)
    expected = [0.01 / (epoch * len(y) + 1) ** 0.7 for epoch in range(4)]
    np.testing.assert_allclose(est.history_["learning_rate"], expected, rtol=1e-14)


def test_d08_adaptive_reacts_after_n_iter_no_change() -> None:
    """The rate falls once n_iter_no_change epochs have been exceeded, not after two."""
    X, y = _numbers()
    est = MLPRegressor(
        solver="sgd", learning_rate="adaptive", learning_rate_init=0.01, tol=1e9, n_iter_no_change=3, max_iter=13
    )
    est.fit(X, y)
    # The first epoch improves on infinity; then every 4th epoch in a row without improvement is one too many.
    expected = [0.01] * 5 + [0.01 / 5] * 4 + [0.01 / 25] * 4
    np.testing.assert_allclose(est.history_["learning_rate"], expected, rtol=1e-14)


@BOTH
def test_d09_partial_fit_draws_a_new_order_in_every_call(cls: Any) -> None:
    """A fixed seed fixes the sequence of orders, not one order for every call."""
    X, y = _data(cls)
    classes = {"classes": np.unique(y)} if cls is MLPClassifier else {}
    # Without momentum nothing but the weights carries over from step to step.
    est = cls(solver="sgd", momentum=0.0, learning_rate_init=0.01, batch_size=8, random_state=0, dtype="float64")
    est.partial_fit(X, y, **classes)
    start, results = _parameters(est), []
    for _ in range(3):
        for array, value in zip((*est.coefs_, *est.intercepts_), start, strict=True):
            array[...] = value
        results.append(est.partial_fit(X, y).coefs_[0].copy())
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(results[one] - results[other]).max() > 1e-6


@BOTH
def test_d09_partial_fit_is_fit_in_pieces(cls: Any) -> None:
    """k calls of partial_fit are one fit of k epochs, bit for bit, with shuffled mini-batches."""
    X, y = _data(cls)
    classes = {"classes": np.unique(y)} if cls is MLPClassifier else {}
    pieces = cls(batch_size=32, random_state=0, **ENDLESS)
    for _ in range(5):
        pieces.partial_fit(X, y, **classes)
    whole = cls(batch_size=32, random_state=0, max_iter=5, **ENDLESS).fit(X, y)
    _assert_same_bits(pieces, whole)
    assert pieces.loss_curve_ == whole.loss_curve_


@BOTH
def test_d10_lbfgs_has_no_partial_fit(cls: Any, why_unavailable: Any) -> None:
    """L-BFGS needs all data at once: the method is not there, on the regressor as on the classifier."""
    est = cls(solver="lbfgs")
    assert "only available for stochastic optimizers. lbfgs is not" in why_unavailable(est, "partial_fit")
    assert hasattr(est.set_params(solver="adam"), "partial_fit")


@BOTH
def test_d11_a_batch_without_weight_is_skipped(cls: Any) -> None:
    """Rows of weight zero that fill a whole batch do not divide by zero: training continues without them."""
    X, y = _data(cls)
    weight = np.linspace(1.0, 2.0, len(y))
    weight[20:40] = 0.0
    settings = {"batch_size": 20, "shuffle": False, "max_iter": 3, "random_state": 0, **ENDLESS}
    est = cls(**settings).fit(X, y, sample_weight=weight)
    counted = weight > 0.0
    _assert_same_bits(est, cls(**settings).fit(X[counted], y[counted], sample_weight=weight[counted]))
    assert np.isfinite(est.loss_curve_).all()
