"""The losses of the two estimators: by name, as objects with settings, and as pairs of functions."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    FunctionLoss,
    GaussianNLL,
    Hinge,
    Huber,
    Loss,
    MulticlassHinge,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    Quantile,
    TweedieDeviance,
)
from skmlp.optim import Cosine, Exponential

# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 4))
SIGNAL = X[:, 0] - 0.5 * X[:, 1]
# Positive, so that it is in the domain of every loss.
Y = np.exp(0.5 * SIGNAL + 0.1 * RNG.standard_normal(150))
LABELS = {
    "binary": np.array(["no", "yes"])[(SIGNAL > 0).astype(int)],
    "multiclass": np.array(["high", "low", "middle"])[np.digitize(SIGNAL, [-0.6, 0.6])],
    "multilabel": np.column_stack([SIGNAL > 0, X[:, 2] > 0, X[:, 3] > 1]).astype(int),
}
KINDS = pytest.mark.parametrize("kind", LABELS)


def _in_words(value: object) -> str:
    """Return the name of a case, without the addresses of functions, which no two processes have in common."""
    return re.sub(r" at 0x\w+", "", str(value))


def squared(y: Any, raw: Any) -> Any:
    return 0.5 * ((raw - y) ** 2).sum(axis=1)


def squared_gradient(y: Any, raw: Any) -> Any:
    return raw - y


def log_loss(y: Any, raw: Any) -> Any:
    """Log loss of one of several classes, or of yes-or-no answers."""
    if y.ndim == 1:
        return -special.log_softmax(raw, axis=1)[np.arange(len(y)), y]
    return (np.logaddexp(0.0, raw) - y * raw).sum(axis=1)


def log_loss_gradient(y: Any, raw: Any) -> Any:
    if y.ndim == 1:
        return special.softmax(raw, axis=1) - np.eye(raw.shape[1], dtype=raw.dtype)[y]
    return special.expit(raw) - y


def twice_the_gradient(y: Any, raw: Any) -> Any:
    return 2.0 * (raw - y)


def one_number(y: Any, raw: Any) -> Any:
    return ((raw - y) ** 2).sum()


REGRESSION: list[Any] = [
    *("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson", "gamma", "tweedie"),
    "gaussian_nll",
    Huber(0.3),
    Quantile(0.8),
    Quantile((0.1, 0.5, 0.9)),
    TweedieDeviance(0.0),
    TweedieDeviance(1.0),
    TweedieDeviance(1.2),
    TweedieDeviance(2.0),
    TweedieDeviance(3.0),
    (squared, squared_gradient),
]
CLASSIFICATION: list[Any] = [
    *("log_loss", "hinge", "focal"),
    BinaryLogLoss(0.1),
    FocalLoss(1.0),
    (log_loss, log_loss_gradient),
]


def _name(loss: Any) -> str:
    return "pair" if isinstance(loss, tuple) else str(loss)


EVERY = pytest.mark.parametrize(
    ("cls", "loss"),
    [(MLPRegressor, loss) for loss in REGRESSION] + [(MLPClassifier, loss) for loss in CLASSIFICATION],
    ids=lambda value: "" if isinstance(value, type) else _name(value),
)
EVERY_REGRESSION = pytest.mark.parametrize("loss", REGRESSION, ids=_name)
EVERY_CLASSIFICATION = pytest.mark.parametrize("loss", CLASSIFICATION, ids=_name)


def _estimator(cls: Any, loss: Any, **params: Any) -> Any:
    defaults = {"hidden_layer_sizes": (6,), "learning_rate_init": 0.01, "max_iter": 5, "random_state": 0}
    return cls(loss=loss, **{**defaults, **params})


def _regressor(loss: Any, **params: Any) -> Any:
    return _estimator(MLPRegressor, loss, **params)


def _classifier(loss: Any, **params: Any) -> Any:
    return _estimator(MLPClassifier, loss, **params)


def _y(cls: type, kind: str = "multiclass") -> Any:
    return LABELS[kind] if cls is MLPClassifier else Y


def _outputs(estimator: Any, rows: Any = X) -> Any:
    """Return the outputs that say most."""
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(estimator, name):
            return getattr(estimator, name)(rows)
    raise AssertionError


def _vector(estimator: Any) -> Any:
    return np.concatenate([a.ravel() for a in (*estimator.coefs_, *estimator.intercepts_)])


def _assert_same(one: Any, other: Any) -> None:
    assert_array_equal(_vector(one), _vector(other))
    assert_array_equal(_outputs(one), _outputs(other))


def _assert_refused(
    estimator: Any, words: str, call: Any, everything_of: Any, error: type[Exception] = ValueError
) -> None:
    """Assert that `call` fails in these words and leaves the estimator as it was."""
    before = everything_of(estimator)
    with pytest.raises(error, match=words):
        call(estimator)
    np.testing.assert_equal(everything_of(estimator), before)


# ---------------------------------------------------------------------- every loss, in everything one does with it


def test_every_registered_loss_is_tested() -> None:
    names = {each for each in (*REGRESSION, *CLASSIFICATION) if isinstance(each, str)}
    # These are chosen by their sibling's name, for the labels that ask for them.
    assert set(LOSSES) - names == {"binary_log_loss", "multiclass_hinge", "multiclass_focal"}


@EVERY_REGRESSION
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_loss_for_numbers_learns(loss: Any, solver: str) -> None:
    est = _regressor(loss, solver=solver, max_iter=100, learning_rate_init=0.02, alpha=0.0).fit(X, Y)
    core = LOSSES.get(loss) if isinstance(loss, str) else FunctionLoss(*loss) if isinstance(loss, tuple) else loss
    assert core is not None
    y = Y.reshape(-1, 1)
    constant = core.loss(y, np.tile(core.fit_intercept_only(y), (len(y), 1))).mean()
    # The noise is a tenth of the signal. A normal density's logarithm falls by about log 5, where an error falls.
    enough = constant - 1.0 if loss == "gaussian_nll" else 0.5 * constant
    assert est.history_["train_loss"][-1] < enough
    predicted = est.predict(X)
    middle = predicted[:, 1] if predicted.ndim == 2 else predicted
    assert r2_score(Y, middle) > (0.5 if loss == Quantile(0.8) else 0.8)


@EVERY_CLASSIFICATION
@KINDS
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_loss_for_labels_learns(loss: Any, kind: str, solver: str) -> None:
    est = _classifier(loss, solver=solver, max_iter=100, learning_rate_init=0.02).fit(X, LABELS[kind])
    assert est.score(X, LABELS[kind]) > 0.8  # of multilabel rows, those with every label right
    assert est.predict(X).dtype == LABELS[kind].dtype


@EVERY
def test_copies_with_any_loss_train_the_same_network(cls: Any, loss: Any) -> None:
    y = _y(cls)
    est = _estimator(cls, loss, batch_size=40, warm_start=True).fit(X, y)
    other = pickle.loads(pickle.dumps(est))
    _assert_same(est, other)
    assert other.get_params() == est.get_params() == clone(est).get_params()
    _assert_same(est.fit(X, y), other.fit(X, y))
    if isinstance(loss, Loss):
        assert clone(est).loss is not est.loss


@EVERY
def test_partial_fit_calls_equal_one_fit(cls: Any, loss: Any) -> None:
    y = _y(cls)
    whole = _estimator(cls, loss, batch_size=40).fit(X, y)
    parts = _estimator(cls, loss, batch_size=40)
    for _ in range(5):
        parts.partial_fit(X, y, **({"classes": np.unique(y)} if cls is MLPClassifier else {}))
    _assert_same(whole, parts)


@EVERY
def test_a_weight_of_two_equals_a_repeated_row(cls: Any, loss: Any) -> None:
    solver = "lbfgs" if isinstance(loss, str) else "adam"
    y = _y(cls)
    weight = np.arange(150) % 3.0  # weight 0 is a row that is not there
    weighted = _estimator(cls, loss, solver=solver, batch_size="full").fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(150), weight.astype(int))
    twice = _estimator(cls, loss, solver=solver, batch_size="full").fit(X[rows], y[rows])
    # Equal rows are merged: the same sums, but of weights of float32 here and of whole numbers there.
    assert_allclose(_outputs(weighted), _outputs(twice), rtol=1e-5, atol=1e-6)


@EVERY
def test_early_stopping_records_loss_and_score(cls: Any, loss: Any) -> None:
    est = _estimator(cls, loss, early_stopping=True, validation_fraction=0.2).fit(X, _y(cls))
    assert np.isfinite(est.history_["validation_loss"]).all()
    assert np.isfinite(est.validation_scores_).all()
    assert est.best_validation_score_ == max(est.validation_scores_)


@EVERY
def test_float32_input_gives_float32_output(cls: Any, loss: Any) -> None:
    est = _estimator(cls, loss).fit(X.astype(np.float32), _y(cls))
    assert {array.dtype for array in (*est.coefs_, *est.intercepts_)} == {np.dtype(np.float32)}
    assert _outputs(est, X.astype(np.float32)).dtype == np.float32
    assert _outputs(est, X).dtype == np.float64


@EVERY
def test_cross_validation_works_with_every_loss(cls: Any, loss: Any) -> None:
    scores = cross_val_score(_estimator(cls, loss, max_iter=60), X, _y(cls), cv=2)
    assert scores.min() > (0.3 if cls is MLPRegressor else 0.6)


# ---------------------------------------------------------------------- settings of losses


def test_settings_of_a_loss_are_parameters() -> None:
    est = _regressor(Huber(2.0))
    assert est.get_params()["loss__delta"] == 2.0
    est.set_params(loss__delta=0.5)
    assert est.loss == Huber(0.5)
    with pytest.raises(ValueError, match=r"Invalid parameter 'gamma' for Huber.*\['delta'\]"):
        est.set_params(loss__gamma=1.0)
    with pytest.raises(ValueError, match=r"'delta' parameter of Huber must be a float in the range \(0.0, inf\)"):
        est.set_params(loss__delta=0.0)
    assert est.loss == Huber(0.5)


def test_settings_of_a_loss_change_the_predictions() -> None:
    means = [
        _regressor(loss, solver="lbfgs", hidden_layer_sizes=(), max_iter=300).fit(X, Y).predict(X).mean()
        for loss in (Quantile(0.1), Quantile(0.5), Quantile(0.9))
    ]
    assert means[0] < means[1] - 0.1 < means[2] - 0.2


def test_grid_search_over_losses_and_their_settings() -> None:
    choices: list[Any] = ["squared_error", Huber(), (squared, squared_gradient)]
    search = GridSearchCV(_regressor("huber"), {"loss": choices}, cv=2).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    # The pair is the squared error, but starts from zero biases.
    same_start = GridSearchCV(_regressor("huber", bias_init="zeros"), {"loss": choices}, cv=2).fit(X, Y)
    assert same_start.cv_results_["mean_test_score"][0] == pytest.approx(
        same_start.cv_results_["mean_test_score"][2], rel=1e-5
    )
    grid = {"loss__delta": [1e-3, 1.0, 100.0]}
    loss = Huber(7.0)
    search = GridSearchCV(_regressor(loss), grid, cv=2).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    assert loss == Huber(7.0)
    search = GridSearchCV(_classifier("log_loss"), {"loss": ["log_loss", "hinge", FocalLoss()]}, cv=2)
    assert np.isfinite(search.fit(X, LABELS["binary"]).cv_results_["mean_test_score"]).all()
    search = GridSearchCV(_classifier(FocalLoss()), {"loss__gamma": [0.0, 5.0]}, cv=2, scoring="neg_log_loss")
    assert len(set(search.fit(X, LABELS["multiclass"]).cv_results_["mean_test_score"])) == 2


def test_a_fitted_network_keeps_its_loss() -> None:
    est = _regressor(Quantile((0.1, 0.9))).fit(X, Y)
    before = est.predict(X)
    est.set_params(loss__levels=0.5)
    assert_array_equal(est.predict(X), before)
    est.set_params(loss="squared_error")
    assert_array_equal(est.predict(X), before)
    est.fit(X, Y)
    assert est.predict(X).shape == (150,)


@pytest.mark.parametrize(
    ("cls", "loss", "change"),
    [
        (MLPRegressor, "squared_error", {"loss": "huber"}),
        (MLPRegressor, "squared_error", {"loss": "poisson"}),
        (MLPRegressor, "squared_error", {"loss": "gaussian_nll"}),
        (MLPRegressor, Huber(2.0), {"loss": Huber(3.0)}),
        (MLPRegressor, Huber(2.0), {"loss__delta": 3.0}),
        (MLPRegressor, (squared, squared_gradient), {"loss": "squared_error"}),
        (MLPClassifier, "log_loss", {"loss": "hinge"}),
        (MLPClassifier, FocalLoss(), {"loss__gamma": 1.0}),
    ],
    ids=_in_words,
)
def test_a_changed_loss_needs_a_fit_from_scratch(cls: Any, loss: Any, change: Any, everything_of: Any) -> None:
    y = _y(cls)
    est = _estimator(cls, copy.copy(loss), warm_start=True).fit(X, y)
    est.set_params(**change)
    words = "whose architecture cannot change: loss was .* and is now .*fit from scratch with warm_start=False"
    _assert_refused(est, words, lambda each: each.fit(X, y), everything_of)
    _assert_refused(est, words, lambda each: each.partial_fit(X, y), everything_of)
    fresh = _estimator(cls, loss).set_params(**change).fit(X, y)
    _assert_same(est.set_params(warm_start=False).fit(X, y), fresh)


def test_an_equal_loss_given_differently_continues_training() -> None:
    est = _regressor("huber", warm_start=True).fit(X, Y)
    est.set_params(loss=Huber(1)).fit(X, Y)
    _assert_same(est, _regressor("huber", warm_start=True).fit(X, Y).fit(X, Y))


@pytest.mark.parametrize(
    ("cls", "loss"),
    [
        (MLPClassifier, BinaryLogLoss(0.1 * Cosine())),
    ],
    ids=_in_words,
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scheduled_loss_settings_are_refused(cls: Any, loss: Any, solver: str, everything_of: Any) -> None:
    words = "The settings of a loss cannot follow a schedule, got loss=.*Scheduled.*label_smoothing="
    _assert_refused(_estimator(cls, loss, solver=solver), words, lambda est: est.fit(X, _y(cls)), everything_of)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "loss", ["quantile", "squared_error", "binary_log_loss", "multiclass_hinge", Huber(), Quantile(), GaussianNLL()]
)
def test_classifier_refuses_losses_for_numbers(loss: Any, assert_refuses: Any) -> None:
    words = (
        r"The 'loss' parameter of MLPClassifier must be a str among \{'focal', 'hinge', 'log_loss'\}, a loss of "
        r"skmlp.nn.losses for classification, or a tuple of two functions \(loss, gradient\)"
    )
    y = LABELS["multiclass"][:30]
    assert_refuses(MLPClassifier, InvalidParameterError, words, lambda est: est.fit(X[:30], y), warm=False, loss=loss)


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "focal", "multiclass_focal", FocalLoss(), MulticlassHinge()])
def test_regressor_refuses_losses_for_labels(loss: Any, assert_refuses: Any) -> None:
    words = (
        r"The 'loss' parameter of MLPRegressor must be a str among \{'absolute_error', .*'tweedie'\}, a loss of "
        r"skmlp.nn.losses for regression, or a tuple of two functions \(loss, gradient\). Got .* instead\.$"
    )
    assert_refuses(
        MLPRegressor, InvalidParameterError, words, lambda est: est.fit(X[:30], Y[:30]), warm=False, loss=loss
    )


@pytest.mark.parametrize("loss", [None, 3.5, (squared,), (squared, squared_gradient, squared), ("huber", 3), Huber])
def test_invalid_losses_are_refused(loss: Any, everything_of: Any) -> None:
    for cls in (MLPClassifier, MLPRegressor):
        est = _estimator(cls, loss)
        _assert_refused(
            est, "The 'loss' parameter", lambda each: each.fit(X, Y > 1), everything_of, InvalidParameterError
        )
        # It can still be looked at.
        assert get_tags(est).target_tags.required
        assert repr(est)
        assert hasattr(est, "predict_proba") == (cls is MLPClassifier)


def test_layer_sizes_passed_as_loss_get_a_hint() -> None:
    hint = r"The first positional parameter is the loss; for the layers write MLPRegressor\(hidden_layer_sizes=\(5,\)\)"
    with pytest.raises(InvalidParameterError, match=hint):
        MLPRegressor((5,)).fit(X, Y)
    for params in ({"loss": Huber(), "alpha": -1.0}, {"loss": Hinge()}, {"loss": [squared, squared_gradient]}):
        with pytest.raises(InvalidParameterError) as caught:
            MLPRegressor(**params).fit(X, Y)
        assert "for the layers write" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "kinds"),
    [
        (MultinomialLogLoss(), ("binary", "multilabel")),
        (MultinomialLogLoss(0.1), ("binary", "multilabel")),
        (MulticlassHinge(), ("binary", "multilabel")),
        (MultinomialFocalLoss(), ("binary", "multilabel")),
        (FunctionLoss(log_loss, log_loss_gradient, "softmax"), ("binary", "multilabel")),
        (FunctionLoss(log_loss, log_loss_gradient, "logistic"), ("multiclass",)),
    ],
    ids=_in_words,
)
def test_losses_refuse_labels_they_do_not_support(loss: Any, kinds: tuple[str, ...], everything_of: Any) -> None:
    for kind, y in LABELS.items():
        est = _classifier(loss)
        if kind not in kinds:
            assert est.fit(X, y).predict(X).shape == y.shape
            continue
        words = f"does not support {kind} targets, which are encoded as .* link.*Choose the loss by name"
        _assert_refused(est, words, lambda each, y=y: each.fit(X, y), everything_of)
        classes = np.arange(3) if kind == "multilabel" else np.unique(y)
        _assert_refused(est, words, lambda each, y=y, c=classes: each.partial_fit(X, y, classes=c), everything_of)


@pytest.mark.parametrize(
    ("loss", "domain", "bad"),
    [
        ("poisson", "y >= 0", -0.5),
        ("gamma", "y > 0", 0.0),
        ("tweedie", "y >= 0", -0.5),
        (TweedieDeviance(2.5), "y > 0", 0.0),
    ],
    ids=_in_words,
)
def test_targets_outside_the_domain_are_refused(loss: Any, domain: str, bad: float, everything_of: Any) -> None:
    wrong = Y.copy()
    wrong[7] = bad
    words = f"out of the valid range of the loss {re.escape(repr(loss))}, which is {domain}; the smallest is {bad:g}"
    for est in (_regressor(loss), _regressor(loss, warm_start=True).fit(X, Y)):
        _assert_refused(est, words, lambda each: each.fit(X, wrong), everything_of)
        _assert_refused(est, words, lambda each: each.partial_fit(X, wrong), everything_of)
        _assert_refused(est, words, lambda each: each.fit(X, Y, X_val=X, y_val=wrong), everything_of)


def test_positive_only_tag_depends_on_the_loss() -> None:
    positive = {_name(loss) for loss in REGRESSION if get_tags(_regressor(loss)).target_tags.positive_only}
    tweedie = {str(TweedieDeviance(power)) for power in (1.0, 1.2, 2.0, 3.0)}
    assert positive == {"poisson", "gamma", "tweedie", *tweedie}


# ---------------------------------------------------------------------- pairs of functions


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_pair_of_functions_equals_the_builtin_loss(solver: str) -> None:
    params: dict[str, Any] = {"solver": solver, "bias_init": "zeros", "dtype": "float64"}
    for standardize in (False, True):  # the functions then see the standardized targets
        params["standardize_target"] = standardize
        pair = _regressor((squared, squared_gradient), **params).fit(X, Y)
        assert_allclose(pair.predict(X), _regressor("squared_error", **params).fit(X, Y).predict(X), rtol=1e-9)
    del params["standardize_target"]
    for y in LABELS.values():
        pair = _classifier((log_loss, log_loss_gradient), **params).fit(X, y)
        named = _classifier("log_loss", **params).fit(X, y)
        assert_allclose(pair.predict_proba(X), named.predict_proba(X), rtol=1e-9)
        assert_allclose(pair.predict_log_proba(X), named.predict_log_proba(X), rtol=1e-9)
        assert pair.out_activation_ == named.out_activation_


@KINDS
def test_a_wrong_gradient_for_labels_is_refused(kind: str, everything_of: Any) -> None:
    def twice(y: Any, raw: Any) -> Any:
        return 2.0 * log_loss_gradient(y, raw)

    words = "The gradient of FunctionLoss.* is wrong. The largest deviation is in row .* central differences"
    fitted = _classifier("log_loss").fit(X, LABELS[kind]).set_params(loss=(log_loss, twice))
    for est in (fitted, _classifier((log_loss, twice))):
        _assert_refused(est, words, lambda each: each.fit(X, LABELS[kind]), everything_of)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((squared, twice_the_gradient), "The gradient of FunctionLoss.* is wrong"),
        ((one_number, squared_gradient), r"'function' of a FunctionLoss must return an array of shape \(20,\).*\(\)"),
        ((squared, squared), r"'derivative' of a FunctionLoss must return an array of shape \(20, 1\).*\(20,\)"),
    ],
    ids=["gradient", "function", "derivative"],
)
def test_a_wrong_pair_for_numbers_is_refused(pair: Any, words: str, everything_of: Any) -> None:
    fitted = _regressor("huber").fit(X, Y).set_params(loss=pair)
    for est in (fitted, _regressor(pair)):
        _assert_refused(est, words, lambda each: each.fit(X, Y), everything_of)
    _assert_refused(_regressor(pair), words, lambda each: each.partial_fit(X, Y), everything_of)


# ---------------------------------------------------------------------- what a classifier's loss makes available


@EVERY_CLASSIFICATION
@KINDS
def test_available_outputs_depend_on_the_loss(loss: Any, kind: str) -> None:
    has_probabilities = loss != "hinge"
    y = LABELS[kind]
    est = _classifier(loss, max_iter=40)
    for _ in ("before", "after"):
        assert hasattr(est, "predict_proba") == hasattr(est, "predict_log_proba") == has_probabilities
        assert hasattr(est, "decision_function") == (not has_probabilities)
        est.fit(X, y)
    if has_probabilities:
        p = est.predict_proba(X)
        assert p.shape == (150, 2 if kind == "binary" else 3)
        if kind != "multilabel":
            assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
            assert_array_equal(est.classes_[p.argmax(axis=1)], est.predict(X))
        else:
            assert_array_equal((p > 0.5).astype(int), est.predict(X))
        assert_allclose(est.predict_log_proba(X), np.log(p), rtol=1e-9)
        return
    raw = est.decision_function(X)
    if kind == "binary":
        assert raw.shape == (150,)
        assert_array_equal(est.classes_[(raw > 0).astype(int)], est.predict(X))
    elif kind == "multiclass":
        assert raw.shape == (150, 3)
        assert_array_equal(est.classes_[raw.argmax(axis=1)], est.predict(X))
    else:
        assert_array_equal((raw > 0).astype(int), est.predict(X))


def test_error_of_an_unavailable_method_names_the_alternative(why_unavailable: Any) -> None:
    hinge, log = _classifier("hinge"), _classifier("log_loss")
    for _ in range(2):
        reason = why_unavailable(hinge, "predict_proba")
        assert re.search("loss 'hinge' does not learn probabilities.*Use decision_function", reason)
        assert "loss 'log_loss' learns probabilities: use predict_proba" in why_unavailable(log, "decision_function")
        hinge.fit(X, LABELS["binary"])
        log.fit(X, LABELS["multiclass"])


def test_available_outputs_are_those_of_the_fitted_loss() -> None:
    est = _classifier("hinge").fit(X, LABELS["binary"]).set_params(loss="log_loss")
    assert hasattr(est, "decision_function")
    assert not hasattr(est, "predict_proba")
    est.fit(X, LABELS["binary"])
    assert hasattr(est, "predict_proba")


def test_meta_estimators_use_the_decision_function_of_hinge() -> None:
    y = LABELS["binary"]
    hinge = _classifier("hinge", max_iter=60)
    assert cross_val_score(hinge, X, y, scoring="roc_auc", cv=3).min() > 0.9
    calibrated = CalibratedClassifierCV(hinge, cv=3).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    assert OneVsRestClassifier(hinge).fit(X, LABELS["multiclass"]).decision_function(X).shape == (150, 3)


# ---------------------------------------------------------------------- several outputs


@EVERY_REGRESSION
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_several_outputs_equal_separate_columns(loss: Any, solver: str) -> None:
    several = np.column_stack([Y, 3.0 * Y[::-1]])
    est = _regressor(loss, solver=solver).fit(X, several)
    levels = len(np.atleast_1d(loss.levels)) if isinstance(loss, Quantile) else 1
    assert est.predict(X).shape == (150, 2 * levels)
    assert np.isfinite(est.score(X, several))
    assert est.n_outputs_ == len(est.intercepts_[-1]) == 2 * levels * (1 + (loss == "gaussian_nll"))
    single = _regressor(loss).fit(X, Y)
    assert single.predict(X).shape == ((150, levels) if levels > 1 else (150,))
    with pytest.raises(ValueError, match="y has 1 outputs, but the network has 2"):
        est.set_params(warm_start=True).fit(X, Y)


def test_quantile_levels_of_an_output_are_adjacent_columns() -> None:
    far = np.column_stack([Y, Y + 100.0])
    quantiles = _regressor(Quantile((0.1, 0.9))).fit(X, far).predict(X)
    assert quantiles[:, :2].max() < 50.0 < quantiles[:, 2:].min()
    assert (np.diff(quantiles, axis=1) > 0.0).all()


# ---------------------------------------------------------------------- normal likelihood, quantiles


def _fan(n: int, seed: int) -> tuple[Any, Any]:
    """Return data whose noise grows from left to right."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-2.0, 2.0, (n, 1))
    return rows, np.sin(2.0 * rows[:, 0]) + np.exp(0.5 * rows[:, 0] - 1.0) * rng.standard_normal(n)


def _fanned(loss: Any, **params: Any) -> Any:
    params = {"hidden_layer_sizes": (20,), "activation": "tanh", "solver": "lbfgs", "max_iter": 300, **params}
    return _regressor(loss, **params).fit(*_fan(2000, 1))


@pytest.mark.parametrize("standardize", [False, True])
def test_the_standard_deviation_is_calibrated(standardize: bool) -> None:
    est = _fanned("gaussian_nll", standardize_target=standardize)
    rows, y = _fan(4000, 2)
    mean, std = est.predict(rows, return_std=True)
    assert mean.shape == std.shape == (4000,)
    assert_array_equal(mean, est.predict(rows))
    # Estimated from 2000 rows: a few hundredths for the fractions, a tenth for the curve.
    assert_allclose(std, np.exp(0.5 * rows[:, 0] - 1.0), rtol=0.3)
    for left, right in ((-2.0, 0.0), (0.0, 2.0)):
        here = (rows[:, 0] >= left) & (rows[:, 0] < right)
        for width, fraction in ((1.0, 0.683), (1.96, 0.95)):
            assert np.mean(np.abs(y - mean) <= width * std, where=here) == pytest.approx(fraction, abs=0.04)


def test_standard_deviations_have_the_shape_of_y() -> None:
    y = np.column_stack([Y, 100.0 * Y])
    est = _regressor("gaussian_nll", standardize_target=True, max_iter=60).fit(X, y)
    mean, std = est.predict(X.astype(np.float32), return_std=True)
    assert mean.shape == std.shape == (150, 2)
    assert mean.dtype == std.dtype == np.float32
    assert (std > 0.0).all()
    assert np.median(std[:, 1] / std[:, 0]) == pytest.approx(100.0, rel=0.5)


@pytest.mark.parametrize("loss", [each for each in REGRESSION if each != "gaussian_nll"], ids=_name)
def test_return_std_needs_gaussian_nll(loss: Any) -> None:
    est = _regressor(loss, max_iter=1).fit(X, Y)
    with pytest.raises(ValueError, match=r'return_std=True needs a loss that .*, got loss=.*Use loss="gaussian_nll"'):
        est.predict(X, return_std=True)


@pytest.mark.parametrize("standardize", [False, True])
def test_quantiles_have_the_right_coverage_and_never_cross(standardize: bool) -> None:
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    est = _fanned(Quantile(levels), standardize_target=standardize)
    rows, y = _fan(4000, 2)
    quantiles = est.predict(rows)
    assert quantiles.shape == (4000, 5)
    assert_allclose((y[:, np.newaxis] < quantiles).mean(axis=0), levels, atol=0.04)
    for left, right in ((-2.0, 0.0), (0.0, 2.0)):
        here = (rows[:, 0] >= left) & (rows[:, 0] < right)
        assert_allclose((y[here, np.newaxis] < quantiles[here]).mean(axis=0), levels, atol=0.06)
    # Far from everything seen in training, too.
    for far in (np.linspace(-1e3, 1e3, 2001), np.linspace(-1e3, 1e3, 2001, dtype=np.float32)):
        assert (np.diff(est.predict(far.reshape(-1, 1)), axis=1) >= 0.0).all()


def test_a_single_quantile_level_gives_one_column() -> None:
    one, named = _regressor(Quantile((0.5,))).fit(X, Y), _regressor("quantile").fit(X, Y)
    assert one.predict(X).shape == (150,)
    assert_array_equal(one.predict(X), named.predict(X))
    assert one.score(X, Y) == r2_score(Y, one.predict(X))


def test_score_of_several_levels_is_mean_d2_pinball() -> None:
    levels = (0.1, 0.5, 0.9)
    est = _regressor(Quantile(levels), max_iter=60).fit(X, Y)
    weight = np.arange(1.0, 151.0)
    predicted = est.predict(X)
    for weights in (None, weight):
        expected = np.mean(
            [d2_pinball_score(Y, predicted[:, k], alpha=level, sample_weight=weights) for k, level in enumerate(levels)]
        )
        assert est.score(X, Y, weights) == pytest.approx(expected, rel=1e-12)
    assert est.score(X, list(Y)) == est.score(X, Y)
    several = np.column_stack([Y, Y + 5.0])
    both = _regressor(Quantile(levels)).fit(X, several)
    parts = [
        d2_pinball_score(several[:, k // 3], column, alpha=levels[k % 3]) for k, column in enumerate(both.predict(X).T)
    ]
    assert both.score(X, several) == pytest.approx(np.mean(parts), rel=1e-12)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y[:-1], r"inconsistent numbers of samples: \[150, 149\]"),
        (np.column_stack([Y, Y]), "y has 2 outputs, but the network has 1"),
        (np.full(150, np.nan), "y contains NaN"),
    ],
    ids=["short", "wide", "nan"],
)
def test_score_of_several_levels_refuses_invalid_targets(y: Any, words: str) -> None:
    est = _regressor(Quantile((0.1, 0.9))).fit(X, Y)
    with pytest.raises(ValueError, match=words):
        est.score(X, y)


def test_recorded_score_equals_score() -> None:
    for loss in (Quantile((0.1, 0.5, 0.9)), "gaussian_nll", "gamma"):
        for standardize in (False, True) if loss != "gamma" else (False,):
            est = _regressor(loss, standardize_target=standardize, dtype="float64", max_iter=20)
            est.fit(X[:100], Y[:100], X_val=X[100:], y_val=Y[100:])
            assert est.validation_scores_[-1] == pytest.approx(est.score(X[100:], Y[100:]), rel=1e-9)


# ---------------------------------------------------------------------- label smoothing


@KINDS
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_label_smoothing_equals_the_smoothed_loss(kind: str, solver: str) -> None:
    by_number = _classifier("log_loss", solver=solver, label_smoothing=0.2).fit(X, LABELS[kind])
    _assert_same(by_number, _classifier(BinaryLogLoss(0.2), solver=solver).fit(X, LABELS[kind]))
    assert np.abs(_vector(by_number) - _vector(_classifier("log_loss", solver=solver).fit(X, LABELS[kind]))).max() > 0.0


def test_label_smoothing_limits_the_confidence() -> None:
    params: dict[str, Any] = {"solver": "lbfgs", "max_iter": 300, "alpha": 0.0, "hidden_layer_sizes": (20,)}
    for kind, top in (("binary", 0.95), ("multiclass", 1.0 - 0.1 * 2.0 / 3.0), ("multilabel", 0.95)):
        smooth = _classifier("log_loss", label_smoothing=0.1, **params).fit(X, LABELS[kind]).predict_proba(X)
        sharp = _classifier("log_loss", **params).fit(X, LABELS[kind]).predict_proba(X)
        assert np.median(smooth.max(axis=1)) == pytest.approx(top, abs=0.01)
        assert np.median(sharp.max(axis=1)) > 0.999


def test_label_smoothing_may_be_scheduled() -> None:
    def fit(smoothing: Any, **params: Any) -> Any:
        return _classifier("log_loss", label_smoothing=smoothing, **params).fit(X, LABELS["multiclass"])

    _assert_same(fit(0.2 * Cosine(end=1.0)), fit(0.2))
    fading, constant, none = (fit(each).history_["train_loss"] for each in (0.2 * Cosine(), 0.2, 0.0))
    # The first step has the full smoothing, the last one hardly any.
    assert abs(fading[0] - constant[0]) < 1e-3
    assert abs(fading[0] - none[0]) > 1e-3
    epochs = _classifier("log_loss", label_smoothing=0.2 * Exponential(0.9))
    epochs.partial_fit(X, LABELS["multiclass"], classes=np.unique(LABELS["multiclass"]))
    assert epochs.set_params(label_smoothing=0.0).partial_fit(X, LABELS["multiclass"]).n_iter_ == 1


@pytest.mark.parametrize(
    "params", [{"loss": "log_loss", "label_smoothing": 0.3}, {"loss": BinaryLogLoss(0.3)}], ids=str
)
def test_validation_loss_has_no_label_smoothing(params: Any) -> None:
    est = _classifier(**params, dtype="float64")
    est.fit(X[:100], LABELS["multiclass"][:100], X_val=X[100:], y_val=LABELS["multiclass"][100:])
    codes = np.searchsorted(est.classes_, LABELS["multiclass"][100:])
    expected = -est.predict_log_proba(X[100:])[np.arange(50), codes].mean()
    assert est.history_["validation_loss"][-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.1, 0.1 * Cosine()], ids=_in_words)
@pytest.mark.parametrize(
    "loss", ["hinge", "focal", FocalLoss(), BinaryLogLoss(), (log_loss, log_loss_gradient)], ids=_name
)
def test_label_smoothing_is_refused_with_other_losses(loss: Any, smoothing: Any, everything_of: Any) -> None:
    est = _classifier(loss, label_smoothing=smoothing)
    words = 'label_smoothing=.* is only for the log loss, got loss=.*Set label_smoothing=0, or loss="log_loss"'
    y = LABELS["binary"]
    _assert_refused(est, words, lambda each: each.fit(X, y), everything_of)
    _assert_refused(est, words, lambda each: each.partial_fit(X, y, classes=["no", "yes"]), everything_of)


@pytest.mark.parametrize(
    ("smoothing", "words", "solver"),
    [
        (1.0, r"'label_smoothing' parameter of MLPClassifier must be a float in the range \[0.0, 1.0\)", "adam"),
        (-0.1, r"'label_smoothing' parameter of MLPClassifier must be a float in the range \[0.0, 1.0\)", "adam"),
        (2.0 * Cosine(), r"'label_smoothing' parameter .*must be a float in the range \[0.0, 1.0\). Got 2.0", "adam"),
        (0.1 * Cosine(), 'solver="lbfgs" minimizes a fixed function and does not support label_smoothing=', "lbfgs"),
    ],
    ids=_in_words,
)
def test_invalid_label_smoothing_is_refused(smoothing: Any, words: str, solver: str, everything_of: Any) -> None:
    est = _classifier("log_loss", label_smoothing=smoothing, solver=solver)
    _assert_refused(est, words, lambda each: each.fit(X, LABELS["binary"]), everything_of)
