"""Formulas that torch lacks or has in another form: epsilon inside the root, decay of weights only."""

import numpy as np
import pytest

from skmlp.optim import SGD, Adagrad, Adam, AdamW, AMSGrad, Lion, NAdam, RAdam, RMSProp

GRADIENTS = np.array([[0.3, -2.0, 1e-3], [-0.1, 4.0, 1e-3], [0.5, 1.0, -2e-3], [0.2, -3.0, 0.0]])
ROOT, OUTSIDE, RATE = 1e-2, 1e-3, 0.1
START = np.array([1.0, -2.0, 3.0])


def _path(solver, gradients=GRADIENTS, start=START, n_weights=None):
    params = start.copy()
    state = solver.init(params, n_weights)
    for gradient in gradients:
        solver.update(params, gradient.copy(), state, RATE)
    return params


def _moments(gradients, beta_1=0.9, beta_2=0.999):
    """Yield t, the gradient, and both averages without bias correction."""
    mu, nu = np.zeros(3), np.zeros(3)
    for t, g in enumerate(gradients, start=1):
        mu, nu = beta_1 * mu + (1 - beta_1) * g, beta_2 * nu + (1 - beta_2) * g**2
        yield t, g, mu, nu


def _adam(gradients, outside, root):
    p = START.copy()
    for t, _, mu, nu in _moments(gradients):
        p -= RATE * (mu / (1 - 0.9**t)) / (np.sqrt(nu / (1 - 0.999**t) + root) + outside)
    return p


def _amsgrad(gradients, outside, root):
    p, largest = START.copy(), np.zeros(3)
    for t, _, mu, nu in _moments(gradients, 0.9, 0.5):
        largest = np.maximum(largest, nu)
        p -= RATE * (mu / (1 - 0.9**t)) / (np.sqrt(largest / (1 - 0.5**t) + root) + outside)
    return p


def _nadam(gradients, outside, root):
    p, product = START.copy(), 1.0
    for t, g, mu, nu in _moments(gradients):
        now, following = (0.9 * (1 - 0.5 * 0.96 ** (i * 0.004)) for i in (t, t + 1))
        product *= now
        mean = (1 - now) / (1 - product) * g + following / (1 - product * following) * mu
        p -= RATE * mean / (np.sqrt(nu / (1 - 0.999**t) + root) + outside)
    return p


def _radam(gradients, outside, root):
    p, limit = START.copy(), 2 / (1 - 0.8) - 1  # 9, so that rectification begins at the fourth step
    for t, _, mu, nu in _moments(gradients, 0.9, 0.8):
        correction, mean = 1 - 0.8**t, mu / (1 - 0.9**t)
        rho = limit - 2 * t * 0.8**t / correction
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            mean *= r / (np.sqrt(nu / correction + root) + outside / np.sqrt(correction))
        p -= RATE * mean
    return p


def _rmsprop(gradients, outside, root):
    p = START.copy()
    for _, g, _, nu in _moments(gradients, beta_2=0.99):
        p -= RATE * g / (np.sqrt(nu + root) + outside)
    return p


def _centered(gradients, outside, root):
    p = START.copy()
    for _, g, mu, nu in _moments(gradients, 0.99, 0.99):
        p -= RATE * g / (np.sqrt(nu - mu**2 + root) + outside)
    return p


def _adagrad(gradients, outside, root):
    p, total = START.copy(), np.full(3, 0.1)
    for g in gradients:
        total = total + g**2
        p -= RATE * g / (np.sqrt(total + root) + outside)
    return p


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda **eps: Adam(**eps), _adam),
        (lambda **eps: AdamW(weight_decay=0.0, **eps), _adam),
        (lambda **eps: AMSGrad(beta_2=0.5, **eps), _amsgrad),
        (lambda **eps: NAdam(**eps), _nadam),
        (lambda **eps: RAdam(beta_2=0.8, **eps), _radam),
        (lambda **eps: RMSProp(**eps), _rmsprop),
        (lambda **eps: RMSProp(centered=True, **eps), _centered),
        (lambda **eps: Adagrad(initial_accumulator=0.1, **eps), _adagrad),
    ],
    ids=["adam", "adamw", "amsgrad", "nadam", "radam", "rmsprop", "centered", "adagrad"],
)
def test_steps_agree_with_the_formula_for_both_epsilons(make, formula):
    gradients = np.concatenate([GRADIENTS, GRADIENTS])
    for outside, root in ((OUTSIDE, 0.0), (0.0, ROOT), (OUTSIDE, ROOT)):
        got = _path(make(epsilon=outside, epsilon_root=root), gradients)
        np.testing.assert_allclose(got, formula(gradients, outside, root), rtol=1e-13)


def test_the_two_places_of_epsilon_differ():
    assert not np.allclose(_adam(GRADIENTS, ROOT, 0.0), _adam(GRADIENTS, 0.0, ROOT), rtol=1e-3)


@pytest.mark.parametrize("n_weights", [0, 1, 2, 3])
def test_weight_decay_applies_to_the_leading_weights_only(n_weights):
    # With zero gradients, only the decay changes the parameters.
    zeros = np.zeros((4, 3))
    factors = np.where(np.arange(3) < n_weights, (1 - RATE * 0.5) ** 4, 1.0)
    for solver in (AdamW(weight_decay=0.5), Lion(weight_decay=0.5)):
        np.testing.assert_allclose(_path(solver, zeros, n_weights=n_weights), factors * START, rtol=1e-15)


def test_weight_decay_applies_to_all_entries_by_default():
    np.testing.assert_allclose(_path(AdamW(weight_decay=0.5), np.zeros((1, 3))), 0.95 * START, rtol=1e-15)


def test_weight_decay_precedes_the_step_and_does_not_enter_the_moments():
    decayed, plain = _path(AdamW(weight_decay=0.5), GRADIENTS[:1]), _path(Adam(), GRADIENTS[:1])
    np.testing.assert_allclose(decayed, plain - RATE * 0.5 * START, rtol=1e-14)


def test_sgd_keeps_the_learning_rate_in_the_velocity():
    # As in scikit-learn and Keras: v = 0.5 v - rate g, p = p + v. After a change of the rate, v keeps its old steps.
    params = np.zeros(1)
    solver = SGD(momentum=0.5, nesterovs_momentum=False)
    state = solver.init(params)
    for rate in (0.1, 0.01):
        solver.update(params, np.ones(1), state, rate)
    np.testing.assert_allclose(params, [-0.1 + (-0.05 - 0.01)], rtol=1e-15)


def test_centered_rms_is_finite_where_rounding_makes_the_variance_negative():
    params = np.zeros(3, np.float32)
    solver = RMSProp(decay=0.5, centered=True)
    state = solver.init(params)
    for _ in range(60):
        solver.update(params, np.array([0.1, 1.3, 1e3], np.float32), state, 1e-12)
    assert np.isfinite(params).all()
