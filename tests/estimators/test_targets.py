"""What training makes of y: standardized targets, the start at the best constant, and weights of classes."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import TrainingHealthWarning
from skmlp.nn.losses import LOSSES, BinaryLogLoss, FocalLoss, Huber, Loss, MultinomialLogLoss, Quantile, TweedieDeviance

# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 4))
SIGNAL = X[:, 0] - 0.5 * X[:, 1]
Y = np.sin(SIGNAL) + 0.1 * RNG.standard_normal(150)
# 90, 45 and 15 rows, in an order that has nothing to do with X.
FRACTIONS = np.array([0.6, 0.3, 0.1])
CLASSES = np.array(["a", "b", "c"])
UNBALANCED = CLASSES[RNG.permutation(np.repeat([0, 1, 2], [90, 45, 15]))]

UNIT_FREE: list[Any] = [
    *("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "gaussian_nll"),
    Huber(0.3),
    Quantile((0.1, 0.5, 0.9)),
]


def _regressor(loss: Any = "squared_error", **params: Any) -> Any:
    defaults = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.01, "max_iter": 30, "random_state": 0}
    return MLPRegressor(loss, **{**defaults, **params})


def _standardized(loss: Any = "squared_error", **params: Any) -> Any:
    return _regressor(loss, standardize_target=True, **params)


def _classifier(class_weight: Any = None, **params: Any) -> Any:
    defaults = {"hidden_layer_sizes": (6,), "learning_rate_init": 0.01, "max_iter": 5, "random_state": 0}
    return MLPClassifier(class_weight=class_weight, **{**defaults, **params})


def _vector(estimator: Any) -> Any:
    return np.concatenate([a.ravel() for a in (*estimator.coefs_, *estimator.intercepts_)])


def _assert_refused(
    estimator: Any, words: str, call: Any, everything_of: Any, error: type[Exception] = ValueError
) -> None:
    """Assert that `call` fails in these words and leaves the estimator as it was."""
    before = everything_of(estimator)
    with pytest.raises(error, match=words):
        call(estimator)
    np.testing.assert_equal(everything_of(estimator), before)


def test_every_equivariant_loss_is_tested() -> None:
    assert {name for name, loss in LOSSES.items() if loss.is_equivariant} == {
        each for each in UNIT_FREE if isinstance(each, str)
    }


# ---------------------------------------------------------------------- standardized targets


@pytest.mark.parametrize("loss", UNIT_FREE, ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("scale", "shift"), [(1e-4, 0.0), (1e4, 1000.0)])
def test_standardize_target_makes_training_independent_of_the_unit(
    loss: Any, solver: str, scale: float, shift: float
) -> None:
    params: dict[str, Any] = {"solver": solver, "dtype": "float64", "max_iter": 10}
    here = _standardized(loss, **params).fit(X, Y)
    there = _standardized(loss, **params).fit(X, Y * scale + shift)
    # Up to rounding, which training amplifies; y + 1000 keeps three digits less of y.
    assert_allclose(there.predict(X), here.predict(X) * scale + shift, rtol=1e-6, atol=1e-6 * scale)
    assert there.score(X, Y * scale + shift) == pytest.approx(here.score(X, Y), rel=1e-6)
    assert_allclose(there.history_["loss"], here.history_["loss"], rtol=1e-6)


def test_without_standardize_target_the_scale_matters() -> None:
    plain = _regressor(max_iter=100)
    r2 = plain.fit(X, Y).score(X, Y)
    assert r2 > 0.8
    # Targets in the thousands have three digits less in float32; bias_init="auto" spares the way to them.
    assert plain.fit(X, Y + 1000.0).score(X, Y + 1000.0) == pytest.approx(r2, abs=0.01)
    with pytest.warns(TrainingHealthWarning, match=r"times that of a constant prediction.*standardize_target=True"):
        far_off = clone(plain).set_params(bias_init="zeros").fit(X, Y + 1000.0)
    assert far_off.score(X, Y + 1000.0) < 0.0
    assert plain.fit(X, 1e4 * Y).score(X, 1e4 * Y) < 0.1
    with pytest.warns(TrainingHealthWarning, match=r"Unscaled target.*standardize_target=True"):
        plain.fit(X, 1e-4 * Y)
    assert plain.score(X, 1e-4 * Y) < 0.0
    for y in (Y, 1e4 * Y, 1e-4 * Y):
        assert plain.set_params(standardize_target=True).fit(X, y).score(X, y) > 0.8


def test_target_mean_and_scale_are_those_of_y() -> None:
    est = _standardized().fit(X, Y)
    assert_allclose(est.target_mean_, [Y.mean()], rtol=1e-12)
    assert_allclose(est.target_scale_, [Y.std()], rtol=1e-12)
    weight = np.arange(150) % 3.0
    est.fit(X, Y, sample_weight=weight)
    rows = np.repeat(np.arange(150), weight.astype(int))
    assert_allclose(est.target_mean_, [Y[rows].mean()], rtol=1e-12)
    assert_allclose(est.target_scale_, [Y[rows].std()], rtol=1e-12)
    plain = _regressor().fit(X, Y)
    assert plain.target_mean_ is plain.target_scale_ is None


@pytest.mark.parametrize("loss", UNIT_FREE, ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_weight_of_two_equals_a_repeated_row(loss: Any, solver: str) -> None:
    weight = np.arange(150) % 3.0
    rows = np.repeat(np.arange(150), weight.astype(int))
    params: dict[str, Any] = {"solver": solver, "batch_size": "full", "max_iter": 5, "dtype": "float64"}
    weighted = _standardized(loss, **params).fit(X, 100.0 * Y + 3.0, sample_weight=weight)
    twice = _standardized(loss, **params).fit(X[rows], 100.0 * Y[rows] + 3.0)
    assert_allclose(weighted.predict(X), twice.predict(X), rtol=1e-6)


@pytest.mark.parametrize("loss", UNIT_FREE, ids=str)
def test_every_output_is_standardized_separately(loss: Any) -> None:
    factors, shifts = np.array([1.0, 1e4, 1e-4]), np.array([0.0, -1e5, 5.0])
    several = np.column_stack([Y, np.cos(SIGNAL), X[:, 2]])
    params: dict[str, Any] = {"dtype": "float64", "max_iter": 20}
    here = _standardized(loss, **params).fit(X, several)
    there = _standardized(loss, **params).fit(X, several * factors + shifts)
    levels = here.predict(X).shape[1] // 3
    expected = here.predict(X) * np.repeat(factors, levels) + np.repeat(shifts, levels)
    assert_allclose(there.predict(X), expected, rtol=1e-6, atol=1e-9)
    # Numbers around 5 that differ by 1e-4 leave eleven digits.
    assert there.score(X, several * factors + shifts) == pytest.approx(here.score(X, several), rel=1e-6)
    if loss == "gaussian_nll":
        assert_allclose(there.predict(X, return_std=True)[1], here.predict(X, return_std=True)[1] * factors, rtol=1e-6)


@pytest.mark.parametrize("loss", UNIT_FREE, ids=str)
@pytest.mark.parametrize("constant", [0.0, 5.0, 1e5 / 3.0])
def test_a_constant_output_is_predicted(loss: Any, constant: float) -> None:
    y = np.column_stack([100.0 * Y, np.full(150, constant)])
    est = _standardized(loss).fit(X, y)
    assert_allclose(est.target_scale_, [100.0 * Y.std(), 1.0], rtol=1e-12)
    predicted = est.predict(X)
    assert np.isfinite(predicted).all()
    assert_allclose(predicted[:, predicted.shape[1] // 2 :], constant, atol=2.0)
    assert est.score(X, y[:, :1].repeat(2, axis=1)) < 1.0
    alone = _standardized(loss).fit(X, y[:, 1])
    assert_allclose(alone.predict(X), constant, atol=2.0)


@pytest.mark.parametrize("loss", UNIT_FREE, ids=str)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_continued_training_keeps_the_first_mean_and_scale(loss: Any, call: str) -> None:
    est = _standardized(loss, warm_start=True, batch_size=50)
    getattr(est, call)(X, 10.0 * Y)
    mean, scale = est.target_mean_.copy(), est.target_scale_.copy()
    other = pickle.loads(pickle.dumps(est))
    for each in (est, other):
        getattr(each, call)(X, 20.0 * Y + 3.0)
        assert_array_equal(each.target_mean_, mean)
        assert_array_equal(each.target_scale_, scale)
    assert_array_equal(est.predict(X), other.predict(X))
    fresh = est.set_params(warm_start=False).fit(X, 20.0 * Y + 3.0)
    assert_allclose(fresh.target_scale_, 2.0 * scale)


def test_partial_fit_calls_equal_one_standardized_fit() -> None:
    whole = _standardized(batch_size=50, max_iter=3).fit(X, 1e3 * Y)
    parts = _standardized(batch_size=50)
    for _ in range(3):
        parts.partial_fit(X, 1e3 * Y)
    assert_array_equal(_vector(whole), _vector(parts))
    assert_array_equal(whole.predict(X), parts.predict(X))


def test_warm_start_equals_one_standardized_training() -> None:
    once = _standardized(max_iter=6, batch_size=50).fit(X, 1e3 * Y)
    twice = _standardized(max_iter=3, batch_size=50, warm_start=True).fit(X, 1e3 * Y).fit(X, 1e3 * Y)
    assert_array_equal(once.predict(X), twice.predict(X))


@pytest.mark.parametrize("before", [False, True])
def test_changing_standardize_target_needs_a_fit_from_scratch(before: bool, everything_of: Any) -> None:
    est = _regressor(standardize_target=before, warm_start=True).fit(X, Y).set_params(standardize_target=not before)
    words = f"standardize_target was {before} .* is now {not before}.* Set it back, or fit from scratch"
    _assert_refused(est, words, lambda each: each.fit(X, Y), everything_of)
    _assert_refused(est, words, lambda each: each.partial_fit(X, Y), everything_of)
    assert (est.set_params(warm_start=False).fit(X, Y).target_mean_ is None) == before


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", TweedieDeviance(0.0)], ids=str)
def test_standardize_target_is_refused_with_losses_that_depend_on_the_unit(loss: Any, everything_of: Any) -> None:
    words = 'standardize_target=True shifts and scales y, and loss=.* depends on its zero and unit.*bias_init="auto"'
    for call in (lambda each: each.fit(X, np.exp(Y)), lambda each: each.partial_fit(X, np.exp(Y))):
        _assert_refused(_standardized(loss), words, call, everything_of)


def test_error_for_large_targets_advises_standardize_target(everything_of: Any) -> None:
    _assert_refused(_regressor(), "too large.*standardize_target=True", lambda est: est.fit(X, 1e39 * Y), everything_of)
    assert _standardized(max_iter=100).fit(X, 1e39 * Y).score(X, 1e39 * Y) > 0.8


@pytest.mark.parametrize("scoring", [None, "r2", "neg_mean_absolute_error", "loss"])
def test_validation_is_in_the_unit_of_y(scoring: Any) -> None:
    y = 1e3 * Y + 50.0
    est = _standardized(scoring=scoring, dtype="float64").fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    expected = {
        None: est.score(X[100:], y[100:]),
        "r2": est.score(X[100:], y[100:]),
        "neg_mean_absolute_error": -np.abs(est.predict(X[100:]) - y[100:]).mean(),
        # The loss is that of the standardized targets.
        "loss": -0.5 * (((est.predict(X[100:]) - y[100:]) / est.target_scale_) ** 2).mean(),
    }[scoring]
    assert est.validation_scores_[-1] == pytest.approx(expected, rel=1e-9)


def test_loss_and_gradients_uses_standardized_targets() -> None:
    est = _standardized(max_iter=1, batch_size="full", dtype="float64", learning_rate_init=1e-12).fit(X, 1e3 * Y)
    assert est.loss_and_gradients(X, 1e3 * Y)[0] == pytest.approx(est.loss_, rel=1e-9)


# ---------------------------------------------------------------------- the start at the best constant

POSITIVE = np.exp(Y) + 0.1
BEST: list[tuple[Any, Any]] = [
    *((name, POSITIVE) for name in ("squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie")),
    ("gaussian_nll", POSITIVE),
    (Quantile(0.9), POSITIVE),
    (Quantile((0.1, 0.5, 0.9)), POSITIVE),
    *((TweedieDeviance(power), POSITIVE) for power in (0.0, 1.0, 1.2, 2.0, 3.0)),
    ("gaussian_nll", np.column_stack([POSITIVE, 5.0 * POSITIVE])),
    (Quantile((0.1, 0.9)), np.column_stack([POSITIVE, 5.0 * POSITIVE])),
    ("poisson", np.column_stack([POSITIVE, 5.0 * POSITIVE])),
]


def _core(loss: Any) -> Loss:
    return LOSSES[loss] if isinstance(loss, str) else loss


def _lowest(loss: Loss, y: Any, weight: Any, n_raw: int) -> float:
    """Return the lowest mean loss of a constant raw output, found without the loss's own idea of it."""

    def mean(raw: Any) -> float:
        return float(np.average(loss.loss(y, np.tile(raw, (len(y), 1))), weights=weight))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the search may go far
        found = min(
            (
                minimize(mean, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000})
                for start in (np.zeros(n_raw), np.ones(n_raw), np.linspace(-1.0, 2.0, n_raw))
            ),
            key=lambda result: result.fun,
        )
    return float(found.fun)


def _first_loss(estimator: Any, y: Any, weight: Any = None) -> float:
    """Return the loss before the first step of a network whose weights are 0."""
    estimator.set_params(weight_init="zeros", batch_size="full", max_iter=1, dtype="float64")
    return float(estimator.fit(X, y, sample_weight=weight).history_["train_loss"][0])


@pytest.mark.parametrize("number", range(len(BEST)))
def test_numbers_start_at_the_best_constant(number: int) -> None:
    loss, y = BEST[number]
    weight = np.arange(150) % 4.0 if number % 2 else None
    first = _first_loss(_regressor(loss), y, weight)
    lowest = sum(
        _lowest(_core(loss), column[:, np.newaxis], weight, _core(loss).n_raw(1)) for column in np.atleast_2d(y.T)
    )
    # Nelder and Mead find the kinked minimum of a quantile to a few digits only.
    assert first == pytest.approx(lowest, rel=1e-4)
    assert first < _first_loss(_regressor(loss, bias_init="zeros"), y, weight)


@pytest.mark.parametrize("loss", ["huber", "log_cosh", Huber(0.1)], ids=str)
def test_robust_errors_start_at_the_median(loss: Any) -> None:
    median = np.quantile(Y, 0.5, method="inverted_cdf")
    expected = _core(loss).loss(Y.reshape(-1, 1), np.full((150, 1), median)).mean()
    assert _first_loss(_regressor(loss), Y) == pytest.approx(expected, rel=1e-12)
    # A robust approximation: hardly above the best.
    assert expected < 1.01 * _lowest(_core(loss), Y.reshape(-1, 1), None, 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_labels_start_at_the_best_constant(weighted: bool) -> None:
    weight = np.arange(150) % 4.0 if weighted else None
    codes = np.searchsorted(CLASSES, UNBALANCED)
    columns = np.column_stack([codes > 0, codes > 1, X[:, 0] > 0]).astype(float)
    cases: list[tuple[Any, Loss, Any, int]] = [
        (UNBALANCED, MultinomialLogLoss(), codes, 3),
        (codes > 1, BinaryLogLoss(), columns[:, 1:2], 1),
        (columns.astype(int), BinaryLogLoss(), columns, 3),
    ]
    for y, loss, encoded, n_raw in cases:
        first = _first_loss(_classifier(), y, weight)
        assert first == pytest.approx(_lowest(loss, encoded, weight, n_raw), rel=1e-6)


@pytest.mark.parametrize("loss", ["log_loss", "focal", FocalLoss(0.5)], ids=str)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_first_probabilities_are_the_class_frequencies(loss: Any, solver: str) -> None:
    start = _classifier(loss=loss, solver=solver, weight_init="zeros", learning_rate_init=1e-9, max_iter=1)
    assert_allclose(start.fit(X, UNBALANCED).predict_proba(X), np.tile(FRACTIONS, (150, 1)), rtol=1e-5)
    p = clone(start).fit(X, UNBALANCED == "c").predict_proba(X)
    assert_allclose(p, np.tile([0.9, 0.1], (150, 1)), rtol=1e-5)
    several = np.column_stack([each == UNBALANCED for each in CLASSES]).astype(int)
    assert_allclose(clone(start).fit(X, several).predict_proba(X), np.tile(FRACTIONS, (150, 1)), rtol=1e-5)
    # The weights count, those of the classes, too.
    weighted = clone(start).set_params(class_weight={"c": 3.0}).fit(X, UNBALANCED)
    assert_allclose(weighted.predict_proba(X[:1]), [np.array([90.0, 45.0, 45.0]) / 180.0], rtol=1e-5)
    balanced = clone(start).set_params(class_weight="balanced").fit(X, UNBALANCED)
    assert_allclose(balanced.predict_proba(X[:1]), 1.0 / 3.0, rtol=1e-5)
    # Elsewhere they are even.
    even = clone(start).set_params(bias_init="zeros").fit(X, UNBALANCED)
    assert_allclose(even.predict_proba(X[:1]), 1.0 / 3.0, rtol=1e-5)


def test_an_unseen_class_has_a_small_probability() -> None:
    start = _classifier(weight_init="zeros", learning_rate_init=1e-9)
    rows = UNBALANCED != "c"
    p = start.partial_fit(X[rows], UNBALANCED[rows], classes=CLASSES).predict_proba(X[:1])[0]
    assert_allclose(p[:2], [2.0 / 3.0, 1.0 / 3.0], rtol=0.01)
    assert 0.0 < p[2] < 0.01


def test_hidden_biases_start_at_zero() -> None:
    est = _regressor(hidden_layer_sizes=(5, 4), solver="sgd", learning_rate_init=1e-12, max_iter=1).fit(X, Y + 9.0)
    assert_allclose(np.concatenate(est.intercepts_[:-1]), 0.0, atol=1e-9)
    assert_allclose(est.intercepts_[-1], Y.mean() + 9.0, rtol=1e-6)
    with_own = _regressor(bias_init=lambda rng, n_in, n_out, dtype: np.full((n_in, n_out), 0.5, dtype))
    with_own.set_params(solver="sgd", learning_rate_init=1e-12, max_iter=1).fit(X, Y + 9.0)
    assert_allclose(np.concatenate(with_own.intercepts_), 0.5, rtol=1e-6)


# ---------------------------------------------------------------------- weights of classes

WEIGHTS: list[Any] = ["balanced", {"a": 0.5, "b": 2.0, "c": 7.0}, {"c": 4.0}, {}]
LABELS = {
    "strings": UNBALANCED,
    "objects": UNBALANCED.astype(object),
    "integers": np.searchsorted(CLASSES, UNBALANCED) * 10 - 10,
    "floats": np.searchsorted(CLASSES, UNBALANCED) * 1.0,
    "booleans": UNBALANCED == "b",
}


def _relabelled(weights: Any, y: Any) -> Any:
    """Return weights of the classes "a", "b" and "c" for other labels."""
    names = dict(zip(CLASSES, np.unique(y).tolist(), strict=False))
    return weights if isinstance(weights, str) else {names[key]: w for key, w in weights.items() if key in names}


TRAININGS: list[dict[str, Any]] = [{"solver": "lbfgs"}, {"batch_size": "full"}, {"batch_size": 20}]


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("labels", LABELS)
def test_class_weights_equal_sample_weights(weights: Any, labels: str) -> None:
    number = WEIGHTS.index(weights) + list(LABELS).index(labels)
    params, loss = TRAININGS[number % 3], ("log_loss", "hinge")[number // 3 % 2]
    y = LABELS[labels]
    weights = _relabelled(weights, y)
    own = np.arange(150) % 3 + 0.5
    for sample_weight in (None, own):
        if isinstance(weights, str):  # as scikit-learn computes it
            per_class = compute_class_weight(weights, classes=np.unique(y), y=y, sample_weight=sample_weight)
            rows = per_class[np.searchsorted(np.unique(y), y)]
        else:
            rows = np.array([weights.get(label, 1.0) for label in y.tolist()])
        rows = rows if sample_weight is None else rows * sample_weight
        by_class = _classifier(weights, dtype="float64", loss=loss, **params).fit(X, y, sample_weight=sample_weight)
        by_row = _classifier(None, dtype="float64", loss=loss, **params).fit(X, y, sample_weight=rows)
        assert_allclose(_vector(by_class), _vector(by_row), rtol=1e-9, atol=1e-12)
        assert by_class.loss_and_gradients(X, y, sample_weight)[0] == pytest.approx(
            by_row.loss_and_gradients(X, y, rows)[0], rel=1e-12
        )


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    rows = compute_sample_weight("balanced", UNBALANCED)
    by_class = _classifier("balanced", dtype="float64").fit(X, UNBALANCED)
    assert_allclose(_vector(by_class), _vector(_classifier(dtype="float64").fit(X, UNBALANCED, rows)), rtol=1e-9)


def test_balanced_weights_improve_balanced_accuracy() -> None:
    rng = np.random.default_rng(1)
    y = (np.arange(1200) % 15 == 0).astype(int)
    rows = rng.standard_normal((1200, 2)) + 1.2 * y[:, np.newaxis]
    scores = [
        balanced_accuracy_score(y[600:], _classifier(weight, max_iter=60).fit(rows[:600], y[:600]).predict(rows[600:]))
        for weight in (None, "balanced")
    ]
    assert scores[1] > scores[0] + 0.1


def test_a_class_of_weight_zero_has_no_effect() -> None:
    rows = UNBALANCED != "c"
    for params in ({"batch_size": "full"}, {"batch_size": 1}, {"solver": "lbfgs"}):
        est = _classifier({"c": 0.0}, **params).fit(X, UNBALANCED)
        assert np.isfinite(_vector(est)).all()
        assert "c" not in est.predict(X)
    lbfgs = {"solver": "lbfgs", "hidden_layer_sizes": (), "max_iter": 500, "tol": 1e-9, "alpha": 1.0}
    without = _classifier(**lbfgs).fit(X[rows], UNBALANCED[rows])
    with_zero = _classifier({"c": 0.0}, **lbfgs).fit(X, UNBALANCED)
    assert (with_zero.predict(X) == without.predict(X)).mean() > 0.99


def test_balanced_weights_ignore_a_class_of_weight_zero() -> None:
    weight = (UNBALANCED != "c").astype(float)
    est = _classifier("balanced", batch_size="full", dtype="float64").fit(X, UNBALANCED, sample_weight=weight)
    rows = np.where(UNBALANCED == "a", 1.0, 2.0) * weight
    same = _classifier(batch_size="full", dtype="float64").fit(X, UNBALANCED, sample_weight=0.75 * rows)
    assert_allclose(_vector(est), _vector(same), rtol=1e-9)


def test_class_weights_may_name_a_missing_class() -> None:
    rows = UNBALANCED != "c"
    more, same = ({"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 1.0, "b": 2.0})
    fits = [_classifier(weights).fit(X[rows], UNBALANCED[rows]) for weights in (more, same)]
    assert_array_equal(_vector(fits[0]), _vector(fits[1]))


def test_partial_fit_supports_class_weights_as_a_dict() -> None:
    weights = {"a": 0.5, "c": 7.0}
    whole = _classifier(weights, batch_size=40).fit(X, UNBALANCED)
    parts = _classifier(weights, batch_size=40)
    for _ in range(5):
        parts.partial_fit(X, UNBALANCED, classes=CLASSES)
    assert_array_equal(_vector(whole), _vector(parts))
    # Batches that lack a class, and another dict from then on.
    parts.partial_fit(X[UNBALANCED == "a"], UNBALANCED[UNBALANCED == "a"])
    other = pickle.loads(pickle.dumps(parts))
    parts.set_params(class_weight=None).partial_fit(X, UNBALANCED)
    other.partial_fit(X, UNBALANCED)
    assert np.abs(_vector(parts) - _vector(other)).max() > 0.0


def test_balanced_class_weights_are_refused_by_partial_fit(everything_of: Any) -> None:
    words = r'class_weight="balanced" is not supported for partial_fit.*Pass the weights as a dict, .*class_weight'
    started = _classifier(None).partial_fit(X, UNBALANCED, classes=CLASSES).set_params(class_weight="balanced")
    for est in (_classifier("balanced"), _classifier("balanced").fit(X, UNBALANCED), started):
        _assert_refused(est, words, lambda each: each.partial_fit(X, UNBALANCED, classes=CLASSES), everything_of)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"d": 2.0}, r"class_weight has the classes \['d'\], which are not in y: its classes are \['a', 'b', 'c'\]"),
        ({0: 2.0, "a": 1.0}, r"class_weight has the classes \[0\], which are not in y"),
        ({"a": -1.0}, "class_weight must be non-negative, finite numbers. Got -1.0 for 'a'"),
        ({"b": np.nan}, "class_weight must be non-negative, finite numbers. Got nan for 'b'"),
        ({"b": np.inf}, "class_weight must be non-negative, finite numbers. Got inf for 'b'"),
        ({"c": "much"}, "class_weight must be non-negative, finite numbers. Got 'much' for 'c'"),
        ({"a": 0, "b": 0, "c": 0}, "all sample weights are zero"),
    ],
    ids=str,
)
def test_invalid_class_weights_are_refused_by_fit(weights: Any, words: str, everything_of: Any) -> None:
    fitted = _classifier(warm_start=True).fit(X, UNBALANCED).set_params(class_weight=weights)
    for est in (_classifier(weights), fitted):
        _assert_refused(est, words, lambda each: each.fit(X, UNBALANCED), everything_of)
        _assert_refused(est, words, lambda each: each.partial_fit(X, UNBALANCED, classes=CLASSES), everything_of)


@pytest.mark.parametrize("weights", ["even", 3.0, [1.0, 2.0, 3.0]], ids=str)
def test_class_weights_of_the_wrong_type_are_refused(weights: Any, everything_of: Any) -> None:
    words = (
        "The 'class_weight' parameter of MLPClassifier must be a str among {'balanced'}, an instance of 'dict' or None"
    )
    call = lambda each: each.fit(X, UNBALANCED)  # noqa: E731
    _assert_refused(_classifier(weights), words, call, everything_of, InvalidParameterError)


@pytest.mark.parametrize("weights", ["balanced", {0: 2.0}], ids=str)
def test_class_weights_are_refused_for_multilabel_targets(weights: Any, everything_of: Any) -> None:
    several = np.column_stack([UNBALANCED == "a", X[:, 0] > 0]).astype(int)
    words = (
        "class_weight is for targets with one class per row, but y is multilabel.*weight the rows with sample_weight"
    )
    _assert_refused(_classifier(weights), words, lambda each: each.fit(X, several), everything_of)


def test_warm_start_uses_changed_class_weights() -> None:
    est = _classifier(warm_start=True).fit(X, UNBALANCED)
    unweighted = pickle.loads(pickle.dumps(est)).fit(X, UNBALANCED)
    est.set_params(class_weight="balanced").fit(X, UNBALANCED)
    assert np.abs(_vector(est) - _vector(unweighted)).max() > 0.0


@pytest.mark.parametrize("weights", ["balanced", {"c": 5.0}], ids=str)
@pytest.mark.parametrize("scoring", [None, "balanced_accuracy", "neg_log_loss", "loss"])
def test_class_weights_apply_to_validation_data(weights: Any, scoring: Any) -> None:
    est = _classifier(weights, early_stopping=True, scoring=scoring, validation_fraction=0.3).fit(X, UNBALANCED)
    assert np.isfinite(est.validation_scores_).all()
    # With own data: what is recorded is the weighted loss.
    own = _classifier(weights, scoring=scoring, dtype="float64")
    own.fit(X[:100], UNBALANCED[:100], X_val=X[100:], y_val=UNBALANCED[100:])
    y = UNBALANCED[100:]
    rows = compute_sample_weight(weights, y) if isinstance(weights, str) else np.where(y == "c", 5.0, 1.0)
    losses = -own.predict_log_proba(X[100:])[np.arange(50), np.searchsorted(CLASSES, y)]
    assert own.history_["validation_loss"][-1] == pytest.approx(np.average(losses, weights=rows), rel=1e-9)


def test_validation_data_may_lack_a_class() -> None:
    rows = UNBALANCED != "c"
    est = _classifier("balanced").fit(X, UNBALANCED, X_val=X[rows], y_val=UNBALANCED[rows])
    assert np.isfinite(est.history_["validation_loss"]).all()
    assert np.isfinite(est.loss_and_gradients(X[rows], UNBALANCED[rows])[0])


def test_class_weights_work_with_a_single_class() -> None:
    for weights in ("balanced", {"a": 3.0}):
        est = _classifier(weights).fit(X, np.full(150, "a"))
        assert_array_equal(est.predict(X), np.full(150, "a"))
