"""Losses: reference values also where probabilities round to 0 or 1, links, dtype, domains."""

import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.base import clone

from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    GaussianNLL,
    Huber,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    Quantile,
    TweedieDeviance,
)

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}

EXAMPLES = {
    **LOSSES,
    "binary_log_loss(0.25)": BinaryLogLoss(label_smoothing=0.25),
    "log_loss(0.25)": MultinomialLogLoss(label_smoothing=0.25),
    "huber(0.5)": Huber(delta=0.5),
    "quantile(0.25)": Quantile(levels=0.25),
    "quantile(0.25, 0.5, 0.75)": Quantile(levels=(0.25, 0.5, 0.75)),
    "tweedie(-1)": TweedieDeviance(-1.0),
    "tweedie(0)": TweedieDeviance(0.0),
    "tweedie(0.5)": TweedieDeviance(0.5),
    "tweedie(1)": TweedieDeviance(1.0),
    "tweedie(1.125)": TweedieDeviance(1.125),
    "gamma(tweedie 2)": TweedieDeviance(2.0),
    "gamma(tweedie 3)": TweedieDeviance(3.0),
    "focal(0)": FocalLoss(0.0),
    "focal(0.5)": FocalLoss(0.5),
    "multiclass_focal(0)": MultinomialFocalLoss(0.0),
    "multiclass_focal(0.5)": MultinomialFocalLoss(0.5),
}

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
    ("absolute_error", [1.5, -2.0], [0.5, 2.0], 5.0, [1.0, -1.0]),
    ("absolute_error", [3.0, 1e4], [3.0, -1e4], 2e4, [0.0, 1.0]),
    ("huber", [1.5, 0.75], [1.0, 1.0], 0.15625, [0.5, -0.25]),
    ("huber", [1.0, 4.0], [0.0, 1.0], 3.0, [1.0, 1.0]),
    ("huber", [-1e4], [1e4], 19999.5, [-1.0]),
    ("huber(0.5)", [4.0, 1.25], [1.0, 1.0], 1.40625, [0.5, 0.25]),
    ("quantile", [1.5, -2.0], [0.5, 2.0], 2.5, [0.5, -0.5]),
    ("quantile(0.25)", [3.0, -2.0, 1e4], [2.0, 2.0, -1e4], 0.75 + 1.0 + 15000.0, [0.75, -0.25, 0.75]),
    ("hinge", [0.0, 0.25, -3.0], [1.0, 1.0, 0.0], 1.75, [-1.0, -1.0, 0.0]),
    ("hinge", [2.0, 0.5, 1e4], [0.0, 0.0, 0.0], 3.0 + 1.5 + 10001.0, [1.0, 1.0, 1.0]),
    ("multiclass_hinge", [1.5, 0.25, 1.0], 1, 2.25, [1.0, -1.0, 0.0]),
    ("multiclass_hinge", [1.5, 0.25, 1.0], 0, 0.5, [-1.0, 0.0, 1.0]),
    ("multiclass_hinge", [1.5, 0.25, 3.0], 2, 0.0, [0.0, 0.0, 0.0]),
    ("multiclass_hinge", [1.0, 0.0, 1.0], 1, 2.0, [1.0, -1.0, 0.0]),
    ("multiclass_hinge", [1e4, -1e4], 1, 20001.0, [1.0, -1.0]),
    ("multiclass_hinge", [1.0], 0, 0.0, [0.0]),
    ("multiclass_focal", [1.0], 0, 0.0, [0.0]),
    ("multiclass_focal", [1e4, -1e4, 0.0], 1, 2e4, [1.0, -1.0, 0.0]),
    ("multiclass_focal", [1e4, -1e4, 0.0], 0, 0.0, [0.0, 0.0, 0.0]),
    ("focal", [1e4, -1e4], [0.0, 1.0], 2e4, [1.0, -1.0]),
    ("focal", [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
    ("focal(0.5)", [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
    ("log_cosh", [0.0009765625], [0.0], 4.7683708241191914e-07, [0.0009765621895592603]),
    ("log_cosh", [1.5, -2.0], [0.0, 1.0], 3.164768675591582, [0.9051482536448664, -0.9950547536867305]),
    ("log_cosh", [100.0], [0.0], 99.30685281944005, [1.0]),
    ("log_cosh", [-5000.0], [5000.0], 9999.30685281944, [-1.0]),
    (
        "quantile(0.25, 0.5, 0.75)",
        [0.5, -1.0, 2.0],
        [1.0],
        0.7034165808811874,
        [-0.5, -0.06723535534249878, 0.2201992694944706],
    ),
    (
        "quantile(0.25, 0.5, 0.75)",
        [0.5, -1.0, 2.0, 0.0, -100.0, 100.0],
        [1.0, 2.0],
        26.70341658088119,
        [-0.5, -0.06723535534249878, 0.2201992694944706, -0.5, -9.300189940052094e-45, 0.25],
    ),
    ("quantile(0.25, 0.5, 0.75)", [-10000.0, 10000.0, -10000.0], [1.0], 2501.5, [-1.5, -1.25, 0.0]),
    ("gamma", [1.5, 0.0], [0.5, 1.0], 1.3047122606341601, [0.888434919925785, 0.0]),
    ("gamma", [-1.5], [3.0], 9.846454922346085, [-12.445067211014194]),
    ("gamma", [1.0], [2.75], 6.755154298645916e-05, [-0.011668463221466384]),
    ("gamma", [10000.0], [2.0], 9998.30685281944, [1.0]),
    ("gamma", [-20.0], [2.0], 970330369.1264334, [-970330389.8195806]),
    ("tweedie", [1.5, 0.5], [0.0, 4.0], 5.032457131172071, [2.117000016612675, -1.831177715597878]),
    ("tweedie", [-1.5], [3.0], 6.718529974882569, [-5.8786334970970096]),
    ("tweedie", [-10000.0], [0.0], 0.0, [0.0]),
    ("tweedie", [-100.0], [2.0], 2.073882211434829e22, [-1.0369411057174144e22]),
    ("tweedie", [20.0], [2.0], 44047.27491696366, [22026.465704006856]),
    ("tweedie(1.125)", [1.5], [3.0], 0.23383907520897704, [1.228363383399903]),
    ("gamma(tweedie 3)", [1.5], [0.5], 0.7893166069435361, [0.19823662596449787]),
    ("gamma(tweedie 3)", [10000.0], [0.5], 1.0, [0.0]),
    ("tweedie(0)", [1.5], [-2.0], 21.006146602269965, [29.0489150638638]),
    ("tweedie(0.5)", [-1.5], [3.0], 4.16427006353733, [-1.3117004336611797]),
    ("tweedie(-1)", [1.5, 0.5], [-2.0, 3.0], 52.007720970785726, [130.18820514689716, -3.6731564150390708]),
    (
        "gaussian_nll",
        [1.5, -2.0, 0.5, -1.0],
        [0.5, 0.0],
        7.327706053183753,
        [0.6065306597126334, -5.43656365691809, 0.1967346701436833, -4.93656365691809],
    ),
    ("gaussian_nll", [3.0, -10000.0], [3.0], -4999.081061466795, [0.0, 0.5]),
    ("gaussian_nll", [3.0, 10000.0], [-2.0], 5000.918938533205, [0.0, 0.5]),
    ("gaussian_nll", [10000.0, 0.0], [-10000.0], 200000000.91893855, [20000.0, -199999999.5]),
    ("gaussian_nll", [3.0, -40.0], [2.0], 1.1769263341850997e17, [2.3538526683702e17, -1.1769263341851e17]),
    ("focal", [0.0], [1.0], 0.17328679513998632, [-0.29828679513998635]),
    ("focal", [1.5, -0.5], [1.0, 0.0], 0.0742763374440793, [-0.017031105223235928, 0.13793699735091441]),
    ("focal", [-1.5], [1.0], 1.1372723156191766, [-0.9614246874703603]),
    ("focal", [10.0], [1.0], 9.356560963849893e-14, [-2.8068620970127325e-13]),
    ("focal", [1000.0], [0.0], 1000.0, [1.0]),
    ("focal(0.5)", [1.5], [0.0], 1.5384149093166635, [0.8795724838533905]),
    ("focal(0.5)", [20.0], [1.0], 9.357622949552676e-14, [-1.4036434405041515e-13]),
    (
        "multiclass_focal",
        [0.0, 0.0, 0.0],
        1,
        0.4882721282969376,
        [0.31090552424712736, -0.6218110484942547, 0.31090552424712736],
    ),
    (
        "multiclass_focal",
        [1.5, -0.5, 0.25],
        1,
        1.9255275821552107,
        [0.8607222695334095, -1.1073233285191209, 0.24660105898571127],
    ),
    (
        "multiclass_focal",
        [1.5, -0.5, 0.25],
        0,
        0.030979717008972358,
        [-0.06969201016317296, 0.02235868135763088, 0.04733332880554208],
    ),
    ("multiclass_focal", [100.0, 0.0, -100.0], 2, 200.0, [1.0, 3.7200759760208376e-44, -1.0]),
    (
        "multiclass_focal(0.5)",
        [1.5, -0.5, 0.25],
        0,
        0.19170428201067966,
        [-0.2290157415808065, 0.0734731281232664, 0.1555426134575401],
    ),
    ("binary_log_loss(0.25)", [1.5], [1.0], 0.38891327798275244, [-0.05742552380635634]),
    ("binary_log_loss(0.25)", [1.5, -0.5], [0.0, 1.0], 2.425490262162859, [0.6925744761936437, -0.49745933120185454]),
    ("binary_log_loss(0.25)", [1000.0], [1.0], 125.0, [0.125]),
    (
        "log_loss(0.25)",
        [1.5, -0.5, 0.25],
        1,
        2.122785197136135,
        [0.6199806426884407, -0.7381501371841583, 0.11816949449571765],
    ),
    (
        "log_loss(0.25)",
        [1000.0, -1000.0, 0.0],
        0,
        250.0,
        [0.16666666666666666, -0.08333333333333333, -0.08333333333333333],
    ),
]


every_example = pytest.mark.parametrize("name", EXAMPLES)


@pytest.fixture(name="random_batch")
def _random_batch(draw_targets):
    def draw(name, dtype=np.float64, n_samples=6, n_outputs=3):
        rng = np.random.default_rng(5)
        raw = rng.standard_normal((n_samples, EXAMPLES[name].n_raw(n_outputs))).astype(dtype)
        y = draw_targets(name, rng, n_samples, n_outputs)
        return (y if y.ndim == 1 else y.astype(dtype)), raw

    return draw


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "raw", "y", "value", "gradient"), REFERENCE)
def test_reference_values(name, raw, y, value, gradient, dtype):
    raw, eps = np.array([raw], dtype), EPS[dtype]
    y = np.array([y]) if isinstance(y, int) else np.array([y], dtype)
    # Differences of numbers as large as |raw| max(1, y) are rounded to eps times that; exp itself to a few eps.
    size = float(np.max(np.abs(raw)) * max(1.0, np.max(np.abs(y)) if y.ndim == 2 else 1.0))
    loss = EXAMPLES[name].loss(y, raw)
    assert loss.shape == (1,)
    np.testing.assert_allclose(loss, [value], rtol=8 * eps, atol=4 * eps * max(1.0, size))
    np.testing.assert_allclose(EXAMPLES[name].gradient(y, raw), [gradient], rtol=8 * eps, atol=4 * eps)


@every_example
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_raw_is_not_changed(random_batch, name, dtype):
    loss, (y, raw) = EXAMPLES[name], random_batch(name, dtype)
    kept, out = raw.copy(), np.empty_like(raw)
    assert loss.loss_and_gradient(y, raw, out).dtype == dtype
    assert loss.loss(y, raw).dtype == loss.gradient(y, raw).dtype == loss.predict(raw).dtype == dtype
    np.testing.assert_array_equal(raw, kept)
    np.testing.assert_array_equal(loss.gradient(y, raw), out)


@every_example
def test_float32_is_never_mixed_with_float64_numbers(random_batch, name, watched):
    y, raw = random_batch(name, np.float32)
    raw = watched(raw)
    EXAMPLES[name].loss_and_gradient(y, raw, watched(np.empty(raw.shape)))
    EXAMPLES[name].predict(raw)


@every_example
def test_every_sample_has_its_own_loss_summed_over_outputs(random_batch, name):
    loss, (y, raw) = EXAMPLES[name], random_batch(name)
    alone = [loss.loss(y[i : i + 1], raw[i : i + 1])[0] for i in range(len(raw))]
    np.testing.assert_allclose(loss.loss(y, raw), alone, rtol=1e-15)
    if y.ndim == 2:
        # The raw outputs of a target lie side by side, but all means come before all variances.
        places = np.arange(raw.shape[1]).reshape((-1, 3) if name == "gaussian_nll" else (3, -1))
        of_target = places.T if name == "gaussian_nll" else places
        columns = [loss.loss(y[:, [k]], raw[:, of_target[k]]) for k in range(3)]
        np.testing.assert_allclose(loss.loss(y, raw), np.sum(columns, axis=0), rtol=1e-14, atol=1e-14)


@every_example
def test_memory_order_of_raw_does_not_matter(random_batch, name):
    loss, (y, raw) = EXAMPLES[name], random_batch(name)
    by_columns = np.asfortranarray(raw)
    np.testing.assert_allclose(loss.loss(y, by_columns), loss.loss(y, raw), rtol=1e-15)
    np.testing.assert_allclose(loss.gradient(y, by_columns), loss.gradient(y, raw), rtol=1e-15)
    np.testing.assert_allclose(loss.predict(by_columns), loss.predict(raw), rtol=1e-15)


def _of_own_class(p, y):
    return p[np.arange(len(y)), y]


def _pinball(y, q, levels):
    excess = np.repeat(y, len(levels), axis=1) - q
    levels = np.tile(levels, y.shape[1])
    return np.sum(np.maximum(levels * excess, (levels - 1.0) * excess), axis=1)


def _tweedie(y, mu, p):
    if p == 0.0:
        return 0.5 * np.sum((y - mu) ** 2, axis=1)
    return np.sum(y ** (2 - p) / (1 - p) / (2 - p) - y * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p), axis=1)


def _gamma(y, mu):
    return np.sum(y / mu - 1.0 - np.log(y / mu), axis=1)


def _poisson(y, mu):
    return np.sum(np.where(y > 0, y * np.log(np.maximum(y, 1) / mu), 0.0) - y + mu, axis=1)


def _huber(y, p, delta):
    r = np.abs(p - y)
    return np.sum(np.where(r <= delta, 0.5 * r**2, delta * (r - 0.5 * delta)), axis=1)


def _focal(y, p, gamma):
    p = np.where(y == 1, p, 1.0 - p)
    return -np.sum((1.0 - p) ** gamma * np.log(p), axis=1)


def _multiclass_focal(y, p, gamma):
    p = _of_own_class(p, y)
    return -((1.0 - p) ** gamma) * np.log(p)


def _smooth(y, share, p):
    """The cross-entropy of smoothed answers or classes with the probabilities `p`."""
    if y.ndim == 1:
        return -np.sum(((1.0 - share) * np.eye(p.shape[1])[y] + share / p.shape[1]) * np.log(p), axis=1)
    target = (1.0 - share) * y + 0.5 * share
    return -np.sum(target * np.log(p) + (1.0 - target) * np.log(1.0 - p), axis=1)


def _rival(y, raw):
    return np.where(np.eye(raw.shape[1], dtype=bool)[y], -np.inf, raw).max(axis=1)


# The losses in terms of the predictions, where these are far from 0 and 1.
FROM_PREDICTIONS = {
    "squared_error": lambda y, p: 0.5 * np.sum((p - y) ** 2, axis=1),
    "poisson": _poisson,
    "binary_log_loss": lambda y, p: -np.sum(np.log(np.where(y == 1, p, 1.0 - p)), axis=1),
    "log_loss": lambda y, p: -np.log(_of_own_class(p, y)),
    "absolute_error": lambda y, p: np.sum(np.abs(p - y), axis=1),
    "huber": lambda y, p: _huber(y, p, 1.0),
    "log_cosh": lambda y, p: np.sum(np.log(np.cosh(p - y)), axis=1),
    "quantile": lambda y, q: _pinball(y, q, [0.5]),
    "gamma": _gamma,
    "tweedie": lambda y, mu: _tweedie(y, mu, 1.5),
    "hinge": lambda y, p: np.sum(np.maximum(0.0, 1.0 - np.where(y == 1, p, -p)), axis=1),
    "multiclass_hinge": lambda y, p: np.maximum(0.0, 1.0 + _rival(y, p) - _of_own_class(p, y)),
    "focal": lambda y, p: _focal(y, p, 2.0),
    "multiclass_focal": lambda y, p: _multiclass_focal(y, p, 2.0),
    "binary_log_loss(0.25)": lambda y, p: _smooth(y, 0.25, p),
    "log_loss(0.25)": lambda y, p: _smooth(y, 0.25, p),
    "huber(0.5)": lambda y, p: _huber(y, p, 0.5),
    "quantile(0.25)": lambda y, q: _pinball(y, q, [0.25]),
    "quantile(0.25, 0.5, 0.75)": lambda y, q: _pinball(y, q, [0.25, 0.5, 0.75]),
    "tweedie(-1)": lambda y, mu: _tweedie(y, mu, -1.0),
    "tweedie(0)": lambda y, mu: _tweedie(y, mu, 0.0),
    "tweedie(0.5)": lambda y, mu: _tweedie(y, mu, 0.5),
    "tweedie(1)": _poisson,
    "tweedie(1.125)": lambda y, mu: _tweedie(y, mu, 1.125),
    "gamma(tweedie 2)": _gamma,
    "gamma(tweedie 3)": lambda y, mu: _tweedie(y, mu, 3.0),
    "focal(0)": lambda y, p: _focal(y, p, 0.0),
    "focal(0.5)": lambda y, p: _focal(y, p, 0.5),
    "multiclass_focal(0)": lambda y, p: _multiclass_focal(y, p, 0.0),
    "multiclass_focal(0.5)": lambda y, p: _multiclass_focal(y, p, 0.5),
}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "gaussian_nll"])
def test_loss_by_the_formula_of_the_prediction(random_batch, name):
    loss, (y, raw) = EXAMPLES[name], random_batch(name)
    np.testing.assert_allclose(loss.loss(y, raw), FROM_PREDICTIONS[name](y, loss.predict(raw)), rtol=1e-13, atol=1e-14)


def test_normal_likelihood_by_the_density(random_batch):
    loss, (y, raw) = GaussianNLL(), random_batch("gaussian_nll")
    log_density = stats.norm.logpdf(y, loss.predict(raw), loss.predict_std(raw))
    np.testing.assert_allclose(loss.loss(y, raw), -log_density.sum(axis=1), rtol=1e-13)


def test_links():
    raw = np.array([[-2.0, 0.5, 3.0]])
    np.testing.assert_array_equal(LOSSES["squared_error"].predict(raw), raw)
    np.testing.assert_allclose(LOSSES["poisson"].predict(raw), np.exp(raw), rtol=1e-15)
    np.testing.assert_allclose(LOSSES["binary_log_loss"].predict(raw), 1 / (1 + np.exp(-raw)), rtol=1e-15)
    np.testing.assert_allclose(LOSSES["log_loss"].predict(raw), np.exp(raw) / np.exp(raw).sum(), rtol=1e-15)
    for name in ("absolute_error", "huber", "log_cosh", "quantile", "hinge", "multiclass_hinge"):
        np.testing.assert_array_equal(LOSSES[name].predict(raw), raw)
    same = {"gamma": "poisson", "tweedie": "poisson", "focal": "binary_log_loss", "multiclass_focal": "log_loss"}
    for name, other in same.items():
        np.testing.assert_array_equal(LOSSES[name].predict(raw), LOSSES[other].predict(raw))
    links = [LOSSES[name].link for name in ("squared_error", "poisson", "binary_log_loss", "log_loss")]
    assert links == ["identity", "exp", "logistic", "softmax"]


def test_predictions_of_losses_with_several_raw_outputs_a_target():
    raw = np.array([[-2.0, 0.5, 3.0, 1.0, 0.0, -1.0]])
    np.testing.assert_array_equal(GaussianNLL().predict(raw), [[-2.0, 0.5, 3.0]])
    np.testing.assert_allclose(GaussianNLL().predict_std(raw), np.exp([[0.5, 0.0, -0.5]]), rtol=1e-15)
    up = np.log1p(np.exp(raw[0]))
    expected = [-2.0, -2.0 + up[1], -2.0 + up[1] + up[2], 1.0, 1.0 + up[4], 1.0 + up[4] + up[5]]
    np.testing.assert_allclose(Quantile((0.1, 0.5, 0.9)).predict(raw), [expected], rtol=1e-15)


@hypothesis.given(
    raw=arrays(np.float32, (3, 8), elements=st.floats(-(2.0**13), 2.0**13, width=32)),
    levels=st.sampled_from([(0.1, 0.9), (0.01, 0.2, 0.5, 0.99)]),
)
def test_quantiles_never_cross(raw, levels):
    quantiles = Quantile(levels).predict(raw).reshape(3, -1, len(levels))
    assert np.all(np.diff(quantiles, axis=2) >= 0.0)


@every_example
def test_extreme_raw_outputs_give_finite_losses(random_batch, name):
    loss, (y, raw) = EXAMPLES[name], random_batch(name, np.float32)
    far = np.float32(1e4) * np.sign(raw)
    if loss.link == "exp" and loss.in_domain(np.zeros_like(y)):
        y, far = np.zeros_like(y), -np.abs(far)  # the other way the loss itself is exp(1e4)
    elif loss.link == "exp":
        far = np.abs(far)
    elif name == "gaussian_nll":
        far = np.abs(far)  # a miss by a variance of exp(-1e4) is infinitely wrong
    assert np.isfinite(loss.loss(y, far)).all()
    assert np.isfinite(loss.gradient(y, far)).all()


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
        ("absolute_error", [[-1e30, 3.0]], True),
        ("gaussian_nll", [[-1e30, 3.0]], True),
        ("gamma", [[1e-30, 2.5]], True),
        ("gamma", [[0.0, 2.5]], False),
        ("tweedie", [[0.0, 2.5]], True),
        ("tweedie", [[-1e-9, 2.5]], False),
        ("tweedie(-1)", [[-3.0, 2.5]], True),
        ("tweedie(0)", [[-3.0, 2.5]], True),
        ("tweedie(0.5)", [[-3.0, 2.5]], False),
        ("tweedie(0.5)", [[0.0, 2.5]], True),
        ("gamma(tweedie 2)", [[0.0, 2.5]], False),
        ("gamma(tweedie 3)", [[1e-9, 2.5]], True),
        ("hinge", [[0.0, 1.0]], True),
        ("hinge", [[-1.0, 1.0]], False),
        ("focal", [[0.0, 1.0]], True),
        ("focal", [[0.5, 1.0]], False),
        ("multiclass_hinge", [0, 3], True),
        ("multiclass_hinge", [0, -1], False),
        ("multiclass_focal", [0.0, 1.0], False),
        ("log_loss", [0, 3], True),
        ("log_loss", [0, -1], False),
        ("log_loss", [0.0, 1.0], False),
    ],
)
def test_domain(name, y, inside):
    assert EXAMPLES[name].in_domain(np.array(y)) is inside


@every_example
def test_pickle_and_clone(name):
    assert pickle.loads(pickle.dumps(EXAMPLES[name])) == EXAMPLES[name] == clone(EXAMPLES[name])


def test_the_domain_in_words_follows_the_power():
    words = {power: TweedieDeviance(power).domain for power in (-1.0, 0.0, 0.5, 1.0, 1.9, 2.0, 3.0)}
    assert list(words.values()) == ["all real numbers"] * 2 + ["y >= 0"] * 3 + ["y > 0"] * 2
