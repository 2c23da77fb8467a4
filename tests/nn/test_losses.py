"""The contract of every loss: gradient, link, dtype, memory, description."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    GaussianNLL,
    MultinomialLogLoss,
    PoissonDeviance,
    Quantile,
    SquaredError,
)

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}
DTYPES = pytest.mark.parametrize("dtype", EPS)


@pytest.fixture(name="random_batch")
def _random_batch(draw_targets):
    def draw(loss, dtype=np.float64, n_samples=6, n_outputs=3):
        rng = np.random.default_rng(5)
        raw = rng.standard_normal((n_samples, loss.n_raw(n_outputs))).astype(dtype)
        y = draw_targets(loss, rng, n_samples, n_outputs)
        return (y if y.ndim == 1 else y.astype(dtype)), raw

    return draw


@DTYPES
def test_dtype_is_preserved_and_raw_is_not_modified(random_batch, any_loss, dtype):
    y, raw = random_batch(any_loss, dtype)
    original, out = raw.copy(), np.empty_like(raw)
    assert any_loss.loss_and_gradient(y, raw, out).dtype == dtype
    assert any_loss.loss(y, raw).dtype == any_loss.gradient(y, raw).dtype == any_loss.predict(raw).dtype == dtype
    np.testing.assert_array_equal(raw, original)
    np.testing.assert_array_equal(any_loss.gradient(y, raw), out)


def test_float32_is_not_mixed_with_float64(random_batch, any_loss, watched):
    y, raw = random_batch(any_loss, np.float32)
    raw = watched(raw)
    any_loss.loss_and_gradient(y, raw, watched(np.empty(raw.shape)))
    any_loss.predict(raw)


def test_loss_of_a_sample_depends_on_its_row_alone_and_is_summed_over_outputs(random_batch, any_loss):
    y, raw = random_batch(any_loss)
    alone = [any_loss.loss(y[i : i + 1], raw[i : i + 1])[0] for i in range(len(raw))]
    np.testing.assert_allclose(any_loss.loss(y, raw), alone, rtol=1e-15)
    if not any_loss.takes_codes:
        # The raw outputs of a target lie side by side, but all means come before all variances.
        is_normal, columns = isinstance(any_loss, GaussianNLL), np.arange(raw.shape[1])
        of_target = columns.reshape(-1, 3).T if is_normal else columns.reshape(3, -1)
        terms = [any_loss.loss(y[:, [k]], raw[:, of_target[k]]) for k in range(3)]
        np.testing.assert_allclose(any_loss.loss(y, raw), np.sum(terms, axis=0), rtol=1e-14, atol=1e-14)


def test_memory_order_of_raw_does_not_matter(random_batch, any_loss):
    y, raw = random_batch(any_loss)
    by_columns = np.asfortranarray(raw)
    np.testing.assert_allclose(any_loss.loss(y, by_columns), any_loss.loss(y, raw), rtol=1e-15)
    np.testing.assert_allclose(any_loss.gradient(y, by_columns), any_loss.gradient(y, raw), rtol=1e-15)
    np.testing.assert_allclose(any_loss.predict(by_columns), any_loss.predict(raw), rtol=1e-15)


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_gradient_agrees_with_central_differences(draw_targets, any_loss, n_outputs):
    rng = np.random.default_rng(1)
    y = draw_targets(any_loss, rng, 5, n_outputs)
    if isinstance(any_loss, BinaryLogLoss):
        y = rng.uniform(0.0, 1.0, y.shape)
    raw = rng.uniform(-2.0, 2.0, (5, any_loss.n_raw(n_outputs)))
    step, gradient = 1e-4, any_loss.gradient(y, raw)
    for column in range(raw.shape[1]):
        shift = np.zeros_like(raw)
        shift[:, column] = step
        far, near = (any_loss.loss(y, raw + k * shift) - any_loss.loss(y, raw - k * shift) for k in (2, 1))
        # Truncation: step**4 / 30 times a fifth derivative, below 100 times the value for all of them, is negligible.
        # Rounding: of terms up to 1 / (0.1 * 0.9) times the value (powers 1.125 and 1.9) over the step.
        tolerance = 16.0 * 2.3e-16 * (1.0 + any_loss.loss(y, raw).max()) / step
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


def test_predictions_are_the_link_of_the_raw_outputs():
    raw = np.array([[-2.0, 0.5, 3.0]])
    expected = {
        "identity": raw,
        "exp": np.exp(raw),
        "logistic": 1 / (1 + np.exp(-raw)),
        "softmax": np.exp(raw) / np.exp(raw).sum(),
    }
    for name, loss in LOSSES.items():
        if name != "gaussian_nll":
            np.testing.assert_allclose(loss.predict(raw), expected[loss.link], rtol=1e-15)
    links = {"poisson": "exp", "gamma": "exp", "tweedie": "exp", "binary_log_loss": "logistic", "focal": "logistic"}
    links |= {"log_loss": "softmax", "multiclass_focal": "softmax"}
    assert {name: loss.link for name, loss in LOSSES.items()} == {name: links.get(name, "identity") for name in LOSSES}


def test_predictions_of_losses_with_several_raw_outputs_per_target():
    raw = np.array([[-2.0, 0.5, 3.0, 1.0, 0.0, -1.0]])
    np.testing.assert_array_equal(GaussianNLL().predict(raw), [[-2.0, 0.5, 3.0]])
    np.testing.assert_allclose(GaussianNLL().predict_std(raw), np.exp([[0.5, 0.0, -0.5]]), rtol=1e-15)
    up = np.log1p(np.exp(raw[0]))
    expected = [-2.0, -2.0 + up[1], -2.0 + up[1] + up[2], 1.0, 1.0 + up[4], 1.0 + up[4] + up[5]]
    np.testing.assert_allclose(Quantile((0.1, 0.5, 0.9)).predict(raw), [expected], rtol=1e-15)


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.01, 0.2, 0.5, 0.99)])
def test_quantiles_never_cross(levels):
    rng = np.random.default_rng(0)
    raw = (2.0 ** rng.uniform(-10.0, 13.0, (500, 1)) * rng.uniform(-1.0, 1.0, (500, 8))).astype(np.float32)
    quantiles = Quantile(levels).predict(raw).reshape(500, -1, len(levels))
    assert np.all(np.diff(quantiles, axis=2) >= 0.0)


def test_large_raw_outputs_give_finite_losses(random_batch, any_loss):
    y, raw = random_batch(any_loss, np.float32)
    far = np.float32(1e4) * np.sign(raw)
    if any_loss.link == "exp" and any_loss.in_domain(np.zeros_like(y)):
        y, far = np.zeros_like(y), -np.abs(far)  # for positive raw outputs the loss itself is exp(1e4)
    elif any_loss.link == "exp" or isinstance(any_loss, GaussianNLL):
        far = np.abs(far)  # for negative ones it is y exp(1e4), or the squared residual over a variance of exp(-1e4)
    assert np.isfinite(any_loss.loss(y, far)).all()
    assert np.isfinite(any_loss.gradient(y, far)).all()


@DTYPES
def test_softmax_of_large_raw_outputs_is_finite_and_sums_to_one(dtype):
    rng = np.random.default_rng(2)
    raw = np.concatenate([rng.standard_normal((50, 10)), 1e4 * rng.standard_normal((50, 10))]).astype(dtype)
    p = LOSSES["log_loss"].predict(raw)
    assert np.all((p >= 0.0) & (p <= 1.0))
    # Ten quotients, each rounded once, of a sum of ten terms.
    np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1.0, rtol=0.0, atol=10 * EPS[dtype])


@DTYPES
def test_log_probabilities_are_finite_where_probabilities_round_to_zero(dtype):
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


def test_pickle_and_clone(any_loss):
    assert pickle.loads(pickle.dumps(any_loss)) == any_loss == clone(any_loss)


def test_link_formula_names_the_link_or_the_method_that_replaces_it():
    assert SquaredError().link_formula("z_2") == "z_2"
    assert PoissonDeviance().link_formula("z_2") == "exp(z_2)"
    assert GaussianNLL().link_formula("z_2") == "GaussianNLL().predict(z_2)"


@pytest.mark.parametrize("kind", [BinaryLogLoss, MultinomialLogLoss])
def test_formulas_of_log_losses_are_empty_with_label_smoothing(kind):
    assert "log(prediction" in kind().formula
    assert kind().derivative_formula.startswith("(prediction - ")
    assert kind(0.1).formula == kind(0.1).derivative_formula == ""
