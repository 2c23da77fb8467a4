"""The gradient of every loss with respect to the raw output: against differences, and at the optimum."""

import numpy as np
import pytest

from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    Huber,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    Quantile,
    TweedieDeviance,
)

EXAMPLES = {
    **LOSSES,
    "binary_log_loss(0.1)": BinaryLogLoss(label_smoothing=0.1),
    "log_loss(0.1)": MultinomialLogLoss(label_smoothing=0.1),
    "huber(0.3)": Huber(delta=0.3),
    "quantile(0.1, 0.5, 0.9)": Quantile(levels=(0.1, 0.5, 0.9)),
    **{f"tweedie({power})": TweedieDeviance(power) for power in (-1.5, 0.0, 0.5, 1.0, 1.1, 1.9)},
    **{f"gamma(tweedie {power})": TweedieDeviance(power) for power in (2.0, 2.5)},
    **{f"focal({gamma})": FocalLoss(gamma) for gamma in (0.0, 0.5, 1.0)},
    **{f"multiclass_focal({gamma})": MultinomialFocalLoss(gamma) for gamma in (0.0, 0.5, 1.0)},
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_gradient_is_that_of_the_loss(draw_targets, name, n_outputs):
    rng = np.random.default_rng(1)
    loss, y = EXAMPLES[name], draw_targets(name, rng, 5, n_outputs)
    if name.startswith("binary"):
        y = rng.uniform(0.0, 1.0, y.shape)
    raw = rng.uniform(-2.0, 2.0, (5, loss.n_raw(n_outputs)))
    step, gradient = 1e-4, loss.gradient(y, raw)
    for column in range(raw.shape[1]):
        shift = np.zeros_like(raw)
        shift[:, column] = step
        far, near = (loss.loss(y, raw + k * shift) - loss.loss(y, raw - k * shift) for k in (2, 1))
        # Truncation: step**4 / 30 times a fifth derivative, below 100 times the value for all of them, next to nothing.
        # Rounding: of terms up to 1 / (0.1 * 0.9) times the value (powers 1.1 and 1.9) over the step.
        tolerance = 16.0 * 2.3e-16 * (1.0 + loss.loss(y, raw).max()) / step
        np.testing.assert_allclose(gradient[:, column], (8.0 * near - far) / (12.0 * step), rtol=0.0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("squared_error", lambda y: y),
        ("poisson", np.log),
        ("binary_log_loss", lambda y: np.log(y / (1.0 - y))),
        ("absolute_error", lambda y: y),
        ("huber", lambda y: y),
        ("log_cosh", lambda y: y),
        ("gamma", np.log),
        ("tweedie", np.log),
    ],
)
def test_gradient_is_zero_at_the_optimum(name, optimum):
    y = np.random.default_rng(2).uniform(0.1, 0.9, (7, 3))
    gradient = LOSSES[name].gradient(y, optimum(y))
    np.testing.assert_allclose(gradient, 0.0, atol=4e-16)
    for raw in (optimum(y) + 0.1, optimum(y) - 0.1):
        assert np.all(LOSSES[name].loss(y, raw) > LOSSES[name].loss(y, optimum(y)))


def test_softmax_gradient_is_zero_on_average_over_the_true_probabilities():
    p = np.array([0.5, 0.2, 0.3])
    gradients = LOSSES["log_loss"].gradient(np.arange(3), np.tile(np.log(p), (3, 1)))
    np.testing.assert_allclose(p @ gradients, 0.0, atol=4e-16)
    np.testing.assert_allclose(gradients.sum(axis=1), 0.0, atol=4e-16)
