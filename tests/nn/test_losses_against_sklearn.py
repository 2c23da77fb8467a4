"""Losses that scikit-learn has, too: the same values, up to the constants it omits, and the same gradients."""

import numpy as np
import pytest
import sklearn._loss.loss as reference

from skmlp.nn.losses import (
    AbsoluteError,
    BinaryLogLoss,
    GammaDeviance,
    Huber,
    MultinomialLogLoss,
    PoissonDeviance,
    Quantile,
    SquaredError,
    TweedieDeviance,
)

N_SAMPLES = 200
POWERS = [-2.0, -0.5, 0.0, 0.3, 1.0, 1.2, 1.5, 1.9, 2.0, 2.5, 3.0]


def _numbers(rng):
    return rng.standard_normal(N_SAMPLES)


def _counts(rng):
    return rng.poisson(1.5, N_SAMPLES).astype(float)


def _amounts(rng):
    return rng.gamma(0.5, size=N_SAMPLES)


def _answers(rng):
    return rng.integers(0, 2, N_SAMPLES).astype(float)


def _for_power(power):
    return _numbers if power <= 0.0 else _counts if power < 2.0 else _amounts


PAIRS = {
    "squared_error": (SquaredError(), reference.HalfSquaredError(), _numbers),
    "absolute_error": (AbsoluteError(), reference.AbsoluteError(), _numbers),
    **{f"huber({d})": (Huber(d), reference.HuberLoss(delta=d), _numbers) for d in (0.2, 1.0, 5.0)},
    **{f"quantile({q})": (Quantile(q), reference.PinballLoss(quantile=q), _numbers) for q in (0.1, 0.5, 0.75)},
    "poisson": (PoissonDeviance(), reference.HalfPoissonLoss(), _counts),
    "gamma": (GammaDeviance(), reference.HalfGammaLoss(), _amounts),
    **{f"tweedie({p})": (TweedieDeviance(p), reference.HalfTweedieLoss(power=p), _for_power(p)) for p in POWERS},
    "binary_log_loss": (BinaryLogLoss(), reference.HalfBinomialLoss(), _answers),
}


@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradient_agree_with_scikit_learn(name):
    loss, theirs, draw = PAIRS[name]
    rng = np.random.default_rng(0)
    y, raw = draw(rng), rng.uniform(-3.0, 3.0, N_SAMPLES)
    expected, gradient = theirs.loss_gradient(y, raw)
    # The constants that scikit-learn omits.
    expected = expected + theirs.constant_to_optimal_zero(y)
    ours = np.empty((N_SAMPLES, 1))
    value = loss.loss_and_gradient(y[:, np.newaxis], raw[:, np.newaxis], ours)
    # Terms of up to 1 / (0.1 * 0.9) times exp(3 * 4) cancel.
    size = np.abs(expected).max() + 11.0 * np.abs(y).max()
    np.testing.assert_allclose(value, expected, rtol=1e-14, atol=4 * 2.3e-16 * size)
    np.testing.assert_allclose(ours[:, 0], gradient, rtol=1e-13, atol=1e-14)


def test_multinomial_log_loss_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 4, N_SAMPLES), rng.uniform(-3.0, 3.0, (N_SAMPLES, 4))
    expected, gradient = reference.HalfMultinomialLoss(n_classes=4).loss_gradient(y.astype(float), raw)
    np.testing.assert_allclose(MultinomialLogLoss().loss(y, raw), expected, rtol=1e-13)
    np.testing.assert_allclose(MultinomialLogLoss().gradient(y, raw), gradient, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "name", ["squared_error", "poisson", "gamma", "tweedie(1.5)", "binary_log_loss", "absolute_error", "quantile(0.1)"]
)
def test_intercept_is_as_good_as_that_of_scikit_learn(name, weighted):
    loss, theirs, draw = PAIRS[name]
    rng = np.random.default_rng(0)
    y = draw(rng)
    weight = rng.uniform(0.0, 2.0, N_SAMPLES) if weighted else None
    mean_loss = [
        np.average(loss.loss(y[:, np.newaxis], np.full((N_SAMPLES, 1), raw)), weights=weight)
        for raw in (
            float(loss.fit_intercept_only(y[:, np.newaxis], weight)[0]),
            float(theirs.fit_intercept_only(y, weight)),
        )
    ]
    # Not equal: every value between two targets is an equally good quantile.
    assert mean_loss[0] <= mean_loss[1] * (1.0 + 1e-15)
