"""The gradient of every loss with respect to the raw output: against differences, and at the optimum."""

import numpy as np
import pytest

from skmlp.nn.losses import LOSSES


def _targets(name, rng, n_samples, n_outputs):
    return {
        "squared_error": rng.standard_normal((n_samples, n_outputs)),
        "poisson": rng.poisson(2.0, (n_samples, n_outputs)).astype(float),
        "binary_log_loss": rng.uniform(0.0, 1.0, (n_samples, n_outputs)),
        "log_loss": rng.integers(0, n_outputs, n_samples),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_gradient_is_that_of_the_loss(name, n_outputs):
    rng = np.random.default_rng(1)
    loss, raw, y = LOSSES[name], rng.uniform(-2.0, 2.0, (5, n_outputs)), _targets(name, rng, 5, n_outputs)
    step, gradient = 1e-5, LOSSES[name].gradient(y, raw)
    for column in range(n_outputs):
        shift = np.zeros_like(raw)
        shift[:, column] = step
        above, below = loss.loss(y, raw + shift), loss.loss(y, raw - shift)
        # Truncation: step**2 / 6 times a third derivative of at most exp(2); rounding: the values' over the step.
        tolerance = 8.0 * step**2 / 6.0 + 4.0 * 2.3e-16 * (1.0 + np.abs(above).max()) / step
        np.testing.assert_allclose(gradient[:, column], (above - below) / (2 * step), rtol=0.0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("squared_error", lambda y: y),
        ("poisson", np.log),
        ("binary_log_loss", lambda y: np.log(y / (1.0 - y))),
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
