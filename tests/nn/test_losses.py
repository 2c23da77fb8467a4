"""Losses: reference values also where probabilities round to 0 or 1, links, dtype, domains."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmlp.nn.losses import LOSSES, BinaryLogLoss, MultinomialLogLoss

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}

# (loss, raw, target, value, gradient) of one sample. Computed with mpmath 1.3 from the definitions at 40 digits, e.g.
# log(1 + exp(raw)) - y raw, and rounded to the nearest double; every raw and target is exact in float32.
REFERENCE = [
    ("squared_error", [1.5, -2.0], [0.5, 2.0], 8.5, [1.0, -4.0]),
    ("squared_error", [1e4], [-1e4], 2e8, [2e4]),
    ("binary_log_loss", [0.0], [1.0], 0.6931471805599453, [-0.5]),
    ("binary_log_loss", [1.5], [1.0], 0.2014132779827524, [-0.18242552380635635]),
    ("binary_log_loss", [-1.5], [1.0], 1.7014132779827524, [-0.8175744761936437]),
    ("binary_log_loss", [1.5], [0.25], 1.3264132779827524, [0.5675744761936437]),
    ("binary_log_loss", [1.5, 0.0], [1.0, 0.0], 0.2014132779827524 + 0.6931471805599453, [-0.18242552380635635, 0.5]),
    ("binary_log_loss", [100.0], [0.0], 100.0, [1.0]),
    ("binary_log_loss", [-100.0], [0.0], 3.720075976020836e-44, [3.720075976020836e-44]),
    ("binary_log_loss", [1000.0], [0.0], 1000.0, [1.0]),
    ("binary_log_loss", [1000.0], [1.0], 0.0, [0.0]),
    ("binary_log_loss", [-1000.0], [1.0], 1000.0, [-1.0]),
    ("binary_log_loss", [1e4], [0.0], 1e4, [1.0]),
    ("binary_log_loss", [-1e4], [1.0], 1e4, [-1.0]),
    ("poisson", [0.0], [0.0], 1.0, [1.0]),
    ("poisson", [0.0], [1.0], 0.0, [0.0]),
    ("poisson", [1.5], [3.0], 0.2775259363423939, [1.4816890703380647]),
    ("poisson", [-1.5], [3.0], 5.018967026152759, [-2.77686983985157]),
    ("poisson", [2.0, 0.0], [0.5, 0.0], 5.542482508650678 + 1.0, [6.88905609893065, 1.0]),
    ("poisson", [20.0], [5.0], 485165098.4569798, [485165190.4097903]),
    ("poisson", [-100.0], [0.0], 3.720075976020836e-44, [3.720075976020836e-44]),
    ("poisson", [-100.0], [2.0], 199.3862943611199, [-2.0]),
    ("poisson", [-1000.0], [4.0], 4001.5451774444796, [-4.0]),
    ("poisson", [-1e4], [1.0], 9999.0, [-1.0]),
    ("log_loss", [0.0, 0.0, 0.0], 1, 1.0986122886681098, [1 / 3, -2 / 3, 1 / 3]),
    (
        "log_loss",
        [1.5, -0.5, 0.25],
        1,
        2.351951863802802,
        [0.703313976021774, -0.904816803850825, 0.20150282782905096],
    ),
    ("log_loss", [100.0, 0.0, -100.0], 0, 0.0, [0.0, 0.0, 0.0]),
    ("log_loss", [100.0, 0.0, -100.0], 2, 200.0, [1.0, 0.0, -1.0]),
    ("log_loss", [1e3, -1e3, 0.0], 1, 2e3, [1.0, -1.0, 0.0]),
    ("log_loss", [1e4, -1e4, 9999.0], 2, 1.3132616875182228, [0.7310585786300049, 0.0, -0.7310585786300049]),
    ("log_loss", [1e4, -1e4, 9999.0], 1, 20000.31326168752, [0.7310585786300049, -1.0, 0.2689414213699951]),
]


def _targets(name, y, dtype):
    return np.array([y]) if name == "log_loss" else np.array([y], dtype)


def _random_batch(name, dtype=np.float64, n_samples=6, n_outputs=3):
    rng = np.random.default_rng(5)
    raw = rng.standard_normal((n_samples, n_outputs)).astype(dtype)
    targets = {
        "squared_error": rng.standard_normal((n_samples, n_outputs)),
        "poisson": rng.poisson(2.0, (n_samples, n_outputs)),
        "binary_log_loss": rng.integers(0, 2, (n_samples, n_outputs)),
        "log_loss": rng.integers(0, n_outputs, n_samples),
    }[name]
    return (targets if name == "log_loss" else targets.astype(dtype)), raw


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "raw", "y", "value", "gradient"), REFERENCE)
def test_reference_values(name, raw, y, value, gradient, dtype):
    raw, y, eps = np.array([raw], dtype), _targets(name, y, dtype), EPS[dtype]
    # Differences of numbers as large as |raw| max(1, y) are rounded to eps times that; exp itself to a few eps.
    size = float(np.max(np.abs(raw)) * max(1.0, np.max(np.abs(y)) if name != "log_loss" else 1.0))
    loss = LOSSES[name].loss(y, raw)
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss, [value], rtol=8 * eps, atol=4 * eps * max(1.0, size))
    np.testing.assert_allclose(LOSSES[name].gradient(y, raw), [gradient], rtol=8 * eps, atol=4 * eps)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_raw_is_not_changed(name, dtype):
    loss, (y, raw) = LOSSES[name], _random_batch(name, dtype)
    kept, out = raw.copy(), np.empty_like(raw)
    assert loss.loss_and_gradient(y, raw, out).dtype == dtype
    assert loss.loss(y, raw).dtype == loss.gradient(y, raw).dtype == loss.predict(raw).dtype == dtype
    np.testing.assert_array_equal(raw, kept)
    np.testing.assert_array_equal(loss.gradient(y, raw), out)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_is_never_mixed_with_float64_numbers(name, watched):
    y, raw = _random_batch(name, np.float32)
    raw = watched(raw)
    LOSSES[name].loss_and_gradient(y, raw, watched(np.empty(raw.shape)))
    LOSSES[name].predict(raw)


@pytest.mark.parametrize("name", LOSSES)
def test_every_sample_has_its_own_loss_summed_over_outputs(name):
    loss, (y, raw) = LOSSES[name], _random_batch(name)
    alone = [loss.loss(y[i : i + 1], raw[i : i + 1])[0] for i in range(len(raw))]
    np.testing.assert_allclose(loss.loss(y, raw), alone, rtol=1e-15)
    if name != "log_loss":
        columns = [loss.loss(y[:, [k]], raw[:, [k]]) for k in range(raw.shape[1])]
        np.testing.assert_allclose(loss.loss(y, raw), np.sum(columns, axis=0), rtol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_memory_order_of_raw_does_not_matter(name):
    loss, (y, raw) = LOSSES[name], _random_batch(name)
    by_columns = np.asfortranarray(raw)
    np.testing.assert_allclose(loss.loss(y, by_columns), loss.loss(y, raw), rtol=1e-15)
    np.testing.assert_allclose(loss.gradient(y, by_columns), loss.gradient(y, raw), rtol=1e-15)
    np.testing.assert_allclose(loss.predict(by_columns), loss.predict(raw), rtol=1e-15)


# The losses in terms of the predictions, where these are far from 0 and 1.
FROM_PREDICTIONS = {
    "squared_error": lambda y, p: 0.5 * np.sum((p - y) ** 2, axis=1),
    "poisson": lambda y, mu: np.sum(np.where(y > 0, y * np.log(np.maximum(y, 1) / mu), 0.0) - y + mu, axis=1),
    "binary_log_loss": lambda y, p: -np.sum(np.log(np.where(y == 1, p, 1.0 - p)), axis=1),
    "log_loss": lambda y, p: -np.log(p[np.arange(len(y)), y]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_the_negative_log_likelihood_of_the_prediction(name):
    loss, (y, raw) = LOSSES[name], _random_batch(name)
    np.testing.assert_allclose(loss.loss(y, raw), FROM_PREDICTIONS[name](y, loss.predict(raw)), rtol=1e-13, atol=1e-14)


def test_links():
    raw = np.array([[-2.0, 0.5, 3.0]])
    np.testing.assert_array_equal(LOSSES["squared_error"].predict(raw), raw)
    np.testing.assert_allclose(LOSSES["poisson"].predict(raw), np.exp(raw), rtol=1e-15)
    np.testing.assert_allclose(LOSSES["binary_log_loss"].predict(raw), 1 / (1 + np.exp(-raw)), rtol=1e-15)
    np.testing.assert_allclose(LOSSES["log_loss"].predict(raw), np.exp(raw) / np.exp(raw).sum(), rtol=1e-15)
    assert [LOSSES[name].link for name in FROM_PREDICTIONS] == ["identity", "exp", "logistic", "softmax"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_sums_to_one_and_is_finite_far_out(dtype):
    rng = np.random.default_rng(2)
    raw = np.concatenate([rng.standard_normal((50, 10)), 1e4 * rng.standard_normal((50, 10))]).astype(dtype)
    p = LOSSES["log_loss"].predict(raw)
    assert np.all((p >= 0.0) & (p <= 1.0))
    # Ten quotients, each rounded once, of a sum of ten terms.
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1.0, rtol=0.0, atol=10 * EPS[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_are_finite_where_probabilities_round(dtype):
    raw = np.array([[1e4, -1e4], [-2.0, 1.0], [-1e3, 1e3]], dtype)
    log_p = MultinomialLogLoss().log_predict(raw)
    np.testing.assert_allclose(log_p[0], [0.0, -2e4])
    np.testing.assert_allclose(np.exp(log_p[1]), MultinomialLogLoss().predict(raw)[1], rtol=4 * EPS[dtype])
    log_no, log_yes = BinaryLogLoss().log_predict(raw)
    assert log_p.dtype == log_no.dtype == log_yes.dtype == dtype
    np.testing.assert_array_equal(log_yes[[0, 2]], [[0.0, -1e4], [-1e3, 0.0]])
    np.testing.assert_array_equal(log_no[[0, 2]], [[-1e4, 0.0], [0.0, -1e3]])
    np.testing.assert_allclose(np.exp(log_yes[1]), BinaryLogLoss().predict(raw)[1], rtol=4 * EPS[dtype])
    np.testing.assert_allclose(np.exp(log_no[1]) + np.exp(log_yes[1]), 1.0, rtol=4 * EPS[dtype])


@pytest.mark.parametrize(
    ("name", "y", "inside"),
    [
        ("squared_error", [[-1e30, 3.0]], True),
        ("poisson", [[0.0, 2.5]], True),
        ("poisson", [[0.0, -1e-9]], False),
        ("poisson", [[np.nan]], False),
        ("binary_log_loss", [[0.0, 0.3, 1.0]], True),
        ("binary_log_loss", [[0.0, 1.0001]], False),
        ("binary_log_loss", [[-0.1, 1.0]], False),
        ("log_loss", [0, 3], True),
        ("log_loss", [0, -1], False),
        ("log_loss", [0.0, 1.0], False),
    ],
)
def test_domain(name, y, inside):
    assert LOSSES[name].in_domain(np.array(y)) is inside


@pytest.mark.parametrize("name", LOSSES)
def test_pickle_and_clone(name):
    assert pickle.loads(pickle.dumps(LOSSES[name])) == LOSSES[name] == clone(LOSSES[name])
