"""The best constant prediction of a loss: it minimizes the mean loss, treats weights as repetitions, and is finite."""

import numpy as np
import pytest

from skmlp.nn.losses import (
    BinaryLogLoss,
    FocalLoss,
    GaussianNLL,
    Hinge,
    Huber,
    LogCosh,
    MulticlassHinge,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    PoissonDeviance,
    Quantile,
    TweedieDeviance,
)


def _is_approximate(loss):
    """Return whether the docstring of a loss claims no more than a good start."""
    is_focal = isinstance(loss, FocalLoss | MultinomialFocalLoss)
    return isinstance(loss, Huber | LogCosh | Hinge | MulticlassHinge) or (is_focal and loss.gamma > 0.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_intercept_minimizes_the_mean_loss(draw_targets, any_loss, weighted):
    if _is_approximate(any_loss):
        pytest.skip("its best constant is only approximate")
    rng = np.random.default_rng(3)
    y = draw_targets(any_loss, rng, 60, 3)
    y = np.abs(y) if isinstance(any_loss, TweedieDeviance) else y  # a negative mean has no logarithm
    weight = rng.integers(0, 4, 60).astype(float) if weighted else None
    n_raw = any_loss.n_raw(3)
    best = any_loss.fit_intercept_only(y, weight, n_raw)
    assert best.shape == (n_raw,)
    assert best.dtype == np.float64

    def mean_loss(raw):
        return np.average(any_loss.loss(y, np.tile(raw, (60, 1))), weights=weight)

    lowest = mean_loss(best)
    for size in (1e-3, 0.03, 1.0):
        for direction in rng.standard_normal((20, n_raw)):
            # The softmax is invariant to a shift of all raw outputs, where rounding decides.
            assert mean_loss(best + size * direction) >= lowest * (1.0 - 1e-14)
    if type(any_loss).__name__ not in ("AbsoluteError", "Quantile"):
        slope = np.average(any_loss.gradient(y, np.tile(best, (60, 1))), axis=0, weights=weight)
        np.testing.assert_allclose(slope, 0.0, atol=1e-13)


def test_weights_are_repetitions(draw_targets, any_loss):
    rng, loss = np.random.default_rng(1), any_loss
    y = draw_targets(loss, rng, 40, 3)
    y = np.abs(y) if isinstance(loss, TweedieDeviance) else y
    times = rng.integers(0, 4, 40)
    weighted = loss.fit_intercept_only(y, times.astype(float), loss.n_raw(3))
    np.testing.assert_allclose(
        weighted, loss.fit_intercept_only(np.repeat(y, times, axis=0), None, loss.n_raw(3)), rtol=1e-13
    )
    # Only their proportions matter (the factor is a power of 2: rounding could move a quantile to the next target).
    np.testing.assert_allclose(loss.fit_intercept_only(y, 0.25 * times, loss.n_raw(3)), weighted, rtol=1e-12)
    narrow = loss.fit_intercept_only(
        y if y.ndim == 1 else y.astype(np.float32), times.astype(np.float32), loss.n_raw(3)
    )
    assert narrow.dtype == np.float64
    np.testing.assert_allclose(narrow, weighted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [Huber(), LogCosh()])
def test_intercept_of_robust_losses_is_the_median(loss):
    y = np.array([[0.0, 5.0], [1.0, 4.0], [100.0, 3.0]])
    np.testing.assert_array_equal(loss.fit_intercept_only(y), [1.0, 4.0])
    np.testing.assert_array_equal(loss.fit_intercept_only(y, np.array([1.0, 1.0, 3.0])), [100.0, 3.0])


def test_intercept_of_focal_losses_comes_from_the_class_frequencies():
    y = np.array([[1.0], [0.0], [0.0], [0.0]])
    np.testing.assert_allclose(FocalLoss().fit_intercept_only(y), [np.log(1.0 / 3.0)], rtol=1e-15)
    codes = np.array([2, 0, 0, 2, 2, 1])
    np.testing.assert_allclose(
        MultinomialFocalLoss().fit_intercept_only(codes), np.log([2 / 6, 1 / 6, 3 / 6]), rtol=1e-15
    )


@pytest.mark.parametrize("loss", [Hinge(), MulticlassHinge()])
def test_intercept_of_hinge_losses_is_zero(draw_targets, loss):
    y = draw_targets(loss, np.random.default_rng(0), 30, 3)
    np.testing.assert_array_equal(loss.fit_intercept_only(y), np.zeros(3))


def test_intercept_allows_for_label_smoothing_of_classes_that_never_occur():
    codes = np.array([0, 1, 1, 1])
    raw = np.tile(MultinomialLogLoss(0.3).fit_intercept_only(codes, n_raw=3), (4, 1))
    np.testing.assert_allclose(MultinomialLogLoss(0.3).gradient(codes, raw).mean(axis=0), 0.0, atol=1e-15)


@pytest.mark.parametrize("p", [0.01, 0.5])
def test_frequencies_of_rare_answers_are_not_rounded_up_to_half_a_sample(p):
    # Few rows with weights that represent many, as after merging equal ones.
    y, weight = np.array([[0.0], [1.0]]), np.array([1.0 - p, p])
    np.testing.assert_allclose(BinaryLogLoss().fit_intercept_only(y, weight), [np.log(p / (1.0 - p))], rtol=1e-12)
    np.testing.assert_allclose(
        MultinomialLogLoss().fit_intercept_only(np.array([0, 1]), weight), np.log([1.0 - p, p]), rtol=1e-12
    )


@pytest.mark.parametrize("loss", [PoissonDeviance(), TweedieDeviance(), TweedieDeviance(0.0)])
def test_mean_of_zero_is_replaced_by_half_an_event(loss):
    # The mean of the second target is tiny but positive.
    y = np.array([[0.0, 0.0], [0.0, 4e-20]])
    np.testing.assert_allclose(loss.fit_intercept_only(y), np.log([0.25, 2e-20]), rtol=1e-15)


def test_negative_mean_is_replaced_by_half_an_event():
    np.testing.assert_allclose(
        TweedieDeviance(0.0).fit_intercept_only(np.array([[-3.0], [1.0]])), [np.log(0.25)], rtol=1e-15
    )


@pytest.mark.parametrize("loss", [BinaryLogLoss(), FocalLoss()])
def test_answer_that_never_occurs_counts_as_half_a_sample(loss):
    y = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(loss.fit_intercept_only(y), [np.log(7.0), -np.log(7.0), 0.0], rtol=1e-14)
    np.testing.assert_array_equal(loss.fit_intercept_only(y[:1, :2]), [0.0, 0.0])  # half of the only sample


@pytest.mark.parametrize("loss", [MultinomialLogLoss(), MultinomialFocalLoss()])
def test_class_that_never_occurs_counts_as_half_a_sample(loss):
    codes = np.array([0, 0, 2, 0])
    np.testing.assert_allclose(loss.fit_intercept_only(codes, n_raw=4), np.log([0.75, 0.125, 0.25, 0.125]), rtol=1e-14)
    np.testing.assert_allclose(loss.fit_intercept_only(codes), np.log([0.75, 0.125, 0.25]), rtol=1e-14)
    assert np.isfinite(loss.fit_intercept_only(codes, np.array([0.0, 0.0, 1.0, 0.0]), n_raw=4)).all()


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e6])
def test_intercepts_of_constant_targets(value):
    y = np.full((7, 1), value)
    mean, log_variance = GaussianNLL().fit_intercept_only(y)
    assert mean == pytest.approx(value, rel=1e-15)  # the mean of equal numbers rounds
    # The smallest variance that single precision resolves near this mean.
    assert log_variance == pytest.approx(2.0 * np.log(2.0**-23 * abs(value)) if value else 0.0)
    levels = Quantile((0.1, 0.5, 0.9))
    quantiles = levels.predict(levels.fit_intercept_only(y).reshape(1, -1))[0]
    np.testing.assert_allclose(quantiles, [value, value + 1e-3, value + 2e-3], rtol=1e-15, atol=1e-15)


def test_intercepts_of_equal_quantiles_are_separated():
    # Three quarters zeros: the first two quantiles are 0, the third is 8. The standard deviation is 2 sqrt(3).
    y = np.array([[0.0], [0.0], [0.0], [8.0]])
    loss = Quantile((0.25, 0.5, 0.9))
    quantiles = loss.predict(loss.fit_intercept_only(y).reshape(1, -1))[0]
    np.testing.assert_allclose(quantiles, [0.0, 2e-3 * np.sqrt(3.0), 8.0 + 2e-3 * np.sqrt(3.0)], rtol=1e-12)


def test_intercepts_of_quantiles_far_apart_do_not_overflow():
    y = 1e6 * np.arange(10.0).reshape(-1, 1)
    loss = Quantile((0.1, 0.9))
    np.testing.assert_allclose(loss.predict(loss.fit_intercept_only(y).reshape(1, -1)), [[0.0, 8e6]], rtol=1e-15)
