"""The constant a loss starts from: it minimises the mean loss, counts weights as rows, and is always finite."""

import numpy as np
import pytest

from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    GaussianNLL,
    Huber,
    LogCosh,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    PoissonDeviance,
    Quantile,
    TweedieDeviance,
)

BEST = {
    **{
        name: LOSSES[name]
        for name in (
            "squared_error",
            "absolute_error",
            "quantile",
            "poisson",
            "gamma",
            "tweedie",
            "gaussian_nll",
            "binary_log_loss",
            "log_loss",
        )
    },
    "quantile(0.9)": Quantile(0.9),
    "quantile(0.1, 0.5, 0.8)": Quantile((0.1, 0.5, 0.8)),
    "tweedie(0)": TweedieDeviance(0.0),
    "gamma(tweedie 3)": TweedieDeviance(3.0),
    "focal(0)": FocalLoss(0.0),
    "multiclass_focal(0)": MultinomialFocalLoss(0.0),
}


def _spread(constant, n_samples):
    return np.tile(constant, (n_samples, 1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BEST)
def test_the_constant_minimises_the_mean_loss(draw_targets, name, weighted):
    rng, loss = np.random.default_rng(3), BEST[name]
    y = draw_targets(name, rng, 60, 3)
    weight = rng.integers(0, 4, 60).astype(float) if weighted else None
    n_raw = loss.n_raw(3)
    best = loss.fit_intercept_only(y, weight, n_raw)
    assert best.shape == (n_raw,)
    assert best.dtype == np.float64

    def mean_loss(raw):
        return np.average(loss.loss(y, _spread(raw, 60)), weights=weight)

    lowest = mean_loss(best)
    for size in (1e-3, 0.03, 1.0):
        for direction in rng.standard_normal((20, n_raw)):
            # Moving all raw outputs of a softmax alike changes nothing; rounding may then win.
            assert mean_loss(best + size * direction) >= lowest * (1.0 - 1e-14)
    smooth = {"absolute_error", "quantile", "quantile(0.9)", "quantile(0.1, 0.5, 0.8)"}.isdisjoint({name})
    if smooth:
        slope = np.average(loss.gradient(y, _spread(best, 60)), axis=0, weights=weight)
        np.testing.assert_allclose(slope, 0.0, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_a_number_of_rows(draw_targets, name):
    rng, loss = np.random.default_rng(1), LOSSES[name]
    y = draw_targets(name, rng, 40, 3)
    times = rng.integers(0, 4, 40)
    weighted = loss.fit_intercept_only(y, times.astype(float), loss.n_raw(3))
    np.testing.assert_allclose(weighted, loss.fit_intercept_only(np.repeat(y, times, axis=0), None, loss.n_raw(3)), rtol=1e-13)
    # Only their proportions matter (a factor that rounds may move a quantile to the next target, as good a one), and
    # single precision is enough.
    np.testing.assert_allclose(loss.fit_intercept_only(y, 0.25 * times, loss.n_raw(3)), weighted, rtol=1e-12)
    narrow = loss.fit_intercept_only(y if y.ndim == 1 else y.astype(np.float32), times.astype(np.float32), loss.n_raw(3))
    assert narrow.dtype == np.float64
    np.testing.assert_allclose(narrow, weighted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [Huber(), LogCosh()])
def test_robust_losses_start_from_the_median(loss):
    y = np.array([[0.0, 5.0], [1.0, 4.0], [100.0, 3.0]])
    np.testing.assert_array_equal(loss.fit_intercept_only(y), [1.0, 4.0])
    np.testing.assert_array_equal(loss.fit_intercept_only(y, np.array([1.0, 1.0, 3.0])), [100.0, 3.0])


def test_focal_losses_start_from_the_shares():
    y = np.array([[1.0], [0.0], [0.0], [0.0]])
    np.testing.assert_allclose(FocalLoss().fit_intercept_only(y), [np.log(1.0 / 3.0)], rtol=1e-15)
    codes = np.array([2, 0, 0, 2, 2, 1])
    np.testing.assert_allclose(MultinomialFocalLoss().fit_intercept_only(codes), np.log([2 / 6, 1 / 6, 3 / 6]), rtol=1e-15)


@pytest.mark.parametrize("name", ["hinge", "multiclass_hinge"])
def test_hinges_start_from_zero(draw_targets, name):
    y = draw_targets(name, np.random.default_rng(0), 30, 3)
    np.testing.assert_array_equal(LOSSES[name].fit_intercept_only(y), np.zeros(3))


def test_with_label_smoothing_the_constant_is_still_the_best_one():
    y = np.array([[1.0], [0.0], [0.0]])
    smoothed, codes_smoothed = BinaryLogLoss(0.3), MultinomialLogLoss(0.3)
    raw = np.tile(smoothed.fit_intercept_only(y), (3, 1))
    np.testing.assert_allclose(smoothed.gradient(y, raw).mean(axis=0), 0.0, atol=1e-15)
    codes = np.array([0, 1, 1, 1])
    raw = np.tile(codes_smoothed.fit_intercept_only(codes, n_raw=3), (4, 1))
    np.testing.assert_allclose(codes_smoothed.gradient(codes, raw).mean(axis=0), 0.0, atol=1e-15)


@pytest.mark.parametrize("p", [0.01, 0.5])
def test_rare_answers_that_occur_are_taken_as_they_are(p):
    # Few rows that stand for many, as after equal ones were merged.
    y, weight = np.array([[0.0], [1.0]]), np.array([1.0 - p, p])
    np.testing.assert_allclose(BinaryLogLoss().fit_intercept_only(y, weight), [np.log(p / (1.0 - p))], rtol=1e-12)
    np.testing.assert_allclose(
        MultinomialLogLoss().fit_intercept_only(np.array([0, 1]), weight), np.log([1.0 - p, p]), rtol=1e-12
    )


@pytest.mark.parametrize("loss", [PoissonDeviance(), TweedieDeviance(), TweedieDeviance(0.0)])
def test_nothing_counted_is_half_an_event(loss):
    # The second target has a mean; however small, it counts.
    y = np.array([[0.0, 0.0], [0.0, 4e-20]])
    np.testing.assert_allclose(loss.fit_intercept_only(y), np.log([0.25, 2e-20]), rtol=1e-15)


def test_a_negative_mean_has_no_logarithm():
    np.testing.assert_allclose(TweedieDeviance(0.0).fit_intercept_only(np.array([[-3.0], [1.0]])), [np.log(0.25)], rtol=1e-15)


@pytest.mark.parametrize("loss", [BinaryLogLoss(), FocalLoss()])
def test_an_answer_that_never_occurs_is_half_a_sample(loss):
    y = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(loss.fit_intercept_only(y), [np.log(7.0), -np.log(7.0), 0.0], rtol=1e-14)
    np.testing.assert_array_equal(loss.fit_intercept_only(y[:1, :2]), [0.0, 0.0])  # half of the only sample


@pytest.mark.parametrize("loss", [MultinomialLogLoss(), MultinomialFocalLoss()])
def test_a_class_that_never_occurs_is_half_a_sample(loss):
    codes = np.array([0, 0, 2, 0])
    np.testing.assert_allclose(loss.fit_intercept_only(codes, n_raw=4), np.log([0.75, 0.125, 0.25, 0.125]), rtol=1e-14)
    np.testing.assert_allclose(loss.fit_intercept_only(codes), np.log([0.75, 0.125, 0.25]), rtol=1e-14)
    assert np.isfinite(loss.fit_intercept_only(codes, np.array([0.0, 0.0, 1.0, 0.0]), n_raw=4)).all()


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e6])
def test_targets_that_are_all_the_same(value):
    y = np.full((7, 1), value)
    mean, log_variance = GaussianNLL().fit_intercept_only(y)
    assert mean == pytest.approx(value, rel=1e-15)  # the mean of equal numbers rounds
    # The least variance that single precision tells from 0 near this mean.
    assert log_variance == pytest.approx(2.0 * np.log(2.0**-23 * abs(value)) if value else 0.0)
    levels = Quantile((0.1, 0.5, 0.9))
    quantiles = levels.predict(levels.fit_intercept_only(y).reshape(1, -1))[0]
    np.testing.assert_allclose(quantiles, [value, value + 1e-3, value + 2e-3], rtol=1e-15, atol=1e-15)


def test_quantiles_that_coincide_start_apart():
    # Three quarters zeros: the first two quantiles are 0, the third is 8. The standard deviation is 2 sqrt(3).
    y = np.array([[0.0], [0.0], [0.0], [8.0]])
    loss = Quantile((0.25, 0.5, 0.9))
    quantiles = loss.predict(loss.fit_intercept_only(y).reshape(1, -1))[0]
    np.testing.assert_allclose(quantiles, [0.0, 2e-3 * np.sqrt(3.0), 8.0 + 2e-3 * np.sqrt(3.0)], rtol=1e-12)


def test_several_quantiles_of_far_targets_do_not_overflow():
    y = 1e6 * np.arange(10.0).reshape(-1, 1)
    loss = Quantile((0.1, 0.9))
    np.testing.assert_allclose(loss.predict(loss.fit_intercept_only(y).reshape(1, -1)), [[0.0, 8e6]], rtol=1e-15)
