"""The statements of docs/differences.md, tested on scikit-learn's MLP and on skmlp."""

import inspect
import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.neural_network import _multilayer_perceptron as their_module

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import holdout as our_module
from skmlp.nn.gradient_check import numerical_gradient
from skmlp.nn.objective import Objective
from skmlp.optim import Adam

BOTH = pytest.mark.parametrize("cls", [TheirClassifier, MLPClassifier], ids=["theirs", "ours"])

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def data():
    return make_classification(300, 10, random_state=0)


@pytest.fixture(scope="module")
def regression_data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    return X, np.column_stack([X @ rng.standard_normal(3), np.sin(X[:, 0]), X[:, 1] ** 2, X[:, 2]])


def ours(cls):
    return cls in (MLPClassifier, MLPRegressor)


def copy_weights(source, target):
    for mine, theirs in zip(target.coefs_ + target.intercepts_, source.coefs_ + source.intercepts_, strict=True):
        mine[...] = theirs


# ---------------------------------------------------------------------- the same


@pytest.mark.parametrize(("mine", "theirs"), [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)])
def test_signatures_start_with_the_parameters_of_scikit_learn(mine, theirs):
    own, other = (list(inspect.signature(cls.__init__).parameters.values()) for cls in (mine, theirs))
    assert [(p.name, p.default, p.kind) for p in own[: len(other)]] == [(p.name, p.default, p.kind) for p in other]
    assert all(p.kind is p.KEYWORD_ONLY for p in own[len(other) :])


@BOTH
def test_alpha_has_more_effect_on_smaller_batches(cls, data):
    X, y = data
    sizes = []
    for batch_size, epochs in ((10, 10), (300, 300)):  # 300 steps each
        model = cls((8,), solver="sgd", alpha=1.0, batch_size=batch_size, max_iter=epochs, tol=0.0, random_state=0)
        model.set_params(n_iter_no_change=1000).fit(X, y)
        sizes.append(sum((W**2).sum() for W in model.coefs_))
    assert sizes[0] < 0.75 * sizes[1]


@BOTH
def test_training_ends_after_more_than_n_iter_no_change_epochs(cls, data):
    assert cls((4,), tol=1e9, n_iter_no_change=10, random_state=0).fit(*data).n_iter_ == 12


@BOTH
def test_without_early_stopping_the_last_weights_are_returned(cls, data):
    X, y = data
    ratios = []
    for epochs in range(5, 15):  # at this rate the loss goes up and down
        settings = {"batch_size": 300, "learning_rate_init": 3.0, "alpha": 0.0, "tol": 0.0, "max_iter": epochs}
        model = cls((4,), "tanh", **settings, random_state=1).fit(X, y)
        ratios.append(log_loss(y, model.predict_proba(X)) / model.best_loss_)
        assert model.t_ == 300 * model.n_iter_
    assert max(ratios) > 1.1


def test_full_batch_gradient_descent_takes_the_same_steps(data):
    X, y = data
    settings = {"solver": "sgd", "batch_size": 300, "learning_rate_init": 0.1, "alpha": 0.5, "random_state": 0}
    mine = MLPClassifier((6,), "tanh", **settings, momentum=0.0, dtype="float64").partial_fit(X, y, classes=[0, 1])
    theirs = TheirClassifier((6,), "tanh", **settings, momentum=0.0).partial_fit(X, y, classes=[0, 1])
    copy_weights(theirs, mine)
    for _ in range(10):
        mine.partial_fit(X, y)
        theirs.partial_fit(X, y)
    for a, b in zip(mine.coefs_ + mine.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------- numbers


@BOTH
def test_dtypes_of_weights_and_predictions(cls, data):
    X, y = data
    model = cls((4,), max_iter=2).fit(X, y)
    assert model.coefs_[0].dtype == (np.float32 if ours(cls) else np.float64)
    assert model.predict_proba(X).dtype == np.float64
    if ours(cls):
        assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
        assert cls((4,), max_iter=2, dtype="input").fit(X, y).coefs_[0].dtype == np.float64
        assert cls((4,), max_iter=2, dtype="input").fit(X.astype(np.float32), y).coefs_[0].dtype == np.float32


@BOTH
@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_initial_weights_and_biases(cls, activation, data):
    model = cls((500,), activation, max_iter=1, learning_rate_init=1e-12, random_state=0).fit(*data)
    bound = np.sqrt((6.0 if ours(cls) or activation == "relu" else 2.0) / 510)
    assert 0.95 * bound < np.abs(model.coefs_[0]).max() <= 1.001 * bound
    biases = np.abs(model.intercepts_[0]).max()
    assert biases < 1e-6 if ours(cls) else biases > 0.95 * bound


def test_auto_is_he_for_relu(data):
    model = MLPClassifier((500,), weight_init="auto", max_iter=1, learning_rate_init=1e-12, random_state=0).fit(*data)
    assert model.coefs_[0].std() == pytest.approx(np.sqrt(2 / 10), rel=0.05)


def test_epsilon_of_adam_is_added_after_bias_correction():
    gradients = np.array([[1e-8, 1e-3]])
    their_step = np.zeros(2)
    optimizer = their_module.AdamOptimizer([their_step], 0.001)
    optimizer.update_params([their_step], [gradients[0].copy()])
    our_step = np.zeros(2)
    Adam().update(our_step, gradients[0].copy(), Adam().init(our_step), 0.001)
    assert our_step[0] == pytest.approx(-0.001 / 2)  # g / (g + epsilon) = 1/2
    assert their_step[0] == pytest.approx(-0.001 / (1 + 1 / np.sqrt(0.001)))  # epsilon 32 times larger
    assert our_step[1] == pytest.approx(their_step[1], rel=1e-3)


@pytest.mark.parametrize("cls", [TheirRegressor, MLPRegressor], ids=["theirs", "ours"])
def test_gradient_for_several_outputs(cls, regression_data):
    """A step of gradient descent is -rate times the gradient of the reported loss (scikit-learn: 4 times that)."""
    X, Y = regression_data
    settings = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1e-6, "alpha": 0.0, "batch_size": 60}
    extra = {"dtype": "float64"} if ours(cls) else {}
    model = cls("squared_error", (3,), "tanh", **settings, **extra, random_state=0).partial_fit(X, Y)
    before = [W.copy() for W in model.coefs_ + model.intercepts_]
    model.partial_fit(X, Y)
    used = (before[-1] - model.intercepts_[-1]) / 1e-6  # for the biases of the output

    def reported_loss(b):
        for W, kept in zip(model.coefs_ + model.intercepts_, before, strict=True):
            W[...] = kept
        model.intercepts_[-1][...] = b
        return model.partial_fit(X, Y).loss_

    numeric = numerical_gradient(reported_loss, before[-1])
    np.testing.assert_allclose(used, numeric * (1.0 if ours(cls) else 4.0), rtol=1e-4)


def test_log_probabilities_are_finite(data):
    X, y = data
    theirs = TheirClassifier((4,), solver="lbfgs", max_iter=50, random_state=0).fit(X, y)
    mine = MLPClassifier((4,), solver="lbfgs", max_iter=50, random_state=0).fit(X, y)
    with np.errstate(divide="ignore"):
        assert np.isneginf(theirs.predict_log_proba(X * 1e5)).any()
    assert np.isfinite(mine.predict_log_proba(X * 1e5)).all()


# ---------------------------------------------------------------------- training


@BOTH
def test_schedules_affect_adam(cls, data):
    X, y = data
    constant = cls((4,), max_iter=3, random_state=0).fit(X, y)
    falling = cls((4,), learning_rate="invscaling", max_iter=3, random_state=0).fit(X, y)
    assert np.array_equal(constant.coefs_[0], falling.coefs_[0]) != ours(cls)


def test_invscaling_counts_samples(data):
    X, y = data
    model = MLPClassifier((4,), solver="sgd", learning_rate="invscaling", max_iter=3, random_state=0).fit(X, y)
    expected = [0.001, 0.001 / np.sqrt(301), 0.001 / np.sqrt(601)]
    np.testing.assert_allclose(model.history_["learning_rate"], expected)
    theirs = TheirClassifier((4,), solver="sgd", learning_rate="invscaling", max_iter=2, random_state=0).fit(X, y)
    assert theirs._optimizer.learning_rate == pytest.approx(expected[2])


@pytest.mark.parametrize(
    ("cls", "module"), [(TheirClassifier, their_module), (MLPClassifier, our_module)], ids=["theirs", "ours"]
)
def test_multiclass_validation_split_is_stratified(cls, module, monkeypatch):
    X, y = load_iris(return_X_y=True)
    asked = []
    split = module.train_test_split

    def spy(*arrays, **options):
        asked.append(options["stratify"] is not None)
        return split(*arrays, **options)

    monkeypatch.setattr(module, "train_test_split", spy)
    cls((4,), early_stopping=True, max_iter=2, random_state=0).fit(X, y)
    assert asked == [ours(cls)]


@BOTH
def test_warm_start_learns_new_data(cls, data):
    X, y = data
    model = cls((20,), warm_start=True, max_iter=300, random_state=0).fit(X, y)
    model.fit(-3 * X[:, ::-1], 1 - y)
    if ours(cls):
        assert model.n_iter_ > 50
        assert model.loss_ < 0.2
    else:  # no epoch improves on the best loss of the old data
        assert model.n_iter_ == 11
        assert model.loss_ > 10 * model.best_loss_


@BOTH
def test_warm_start_keeps_the_optimizer(cls, data):
    """Two fits of five epochs equal one of ten, on full batches."""
    X, y = data
    settings = {"batch_size": 300, "learning_rate_init": 0.05, "tol": 0.0, "random_state": 0}
    once = cls((8,), max_iter=10, **settings).fit(X, y)
    twice = cls((8,), max_iter=5, warm_start=True, **settings)
    twice.fit(X, y).fit(X, y)
    assert np.allclose(once.coefs_[0], twice.coefs_[0], rtol=1e-6) == ours(cls)


@BOTH
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_continuing_with_another_architecture(cls, method, data):
    X, y = data
    model = cls((5,), warm_start=True, max_iter=2, random_state=0).fit(X, y).set_params(hidden_layer_sizes=(7,))
    if ours(cls):
        with pytest.raises(ValueError, match="hidden_layer_sizes"):
            getattr(model, method)(X, y)
    else:
        assert getattr(model, method)(X, y).coefs_[0].shape == (10, 5)


@pytest.mark.parametrize(
    ("cls", "core", "method"),
    [(TheirClassifier, TheirClassifier, "_backprop"), (MLPClassifier, Objective, "value_and_gradient")],
    ids=["theirs", "ours"],
)
def test_partial_fit_draws_a_new_order_in_every_call(cls, core, method, data, monkeypatch):
    """With an integer seed, scikit-learn's has the same order in every call after the first."""
    monkeypatch.setenv("SKMLP_COMPILED", "0")  # so that the method is called
    X, y = data
    X = np.column_stack([X, np.arange(300) / 300])  # numbers the rows
    seen = []
    original = getattr(core, method)

    def spy(self, *args):
        batch = args[0] if core is TheirClassifier else args[1]
        seen.append(batch[:, -1].copy())
        return original(self, *args)

    monkeypatch.setattr(core, method, spy)
    model = cls((4,), batch_size=100, random_state=0)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1])
    _, second, third = np.concatenate(seen).reshape(3, 300)
    assert np.array_equal(second, third) != ours(cls)


def test_full_batch_fits_with_weights_equal_fits_with_repeated_rows(data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    for settings in ({"solver": "lbfgs", "max_iter": 30}, {"batch_size": "full", "max_iter": 20}):
        weighted = MLPClassifier((6,), random_state=0, **settings).fit(X, y, sample_weight=weight)
        repeated = MLPClassifier((6,), random_state=0, **settings).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
        assert all(map(np.array_equal, weighted.coefs_, repeated.coefs_))


@BOTH
def test_batch_with_sample_weights_of_zero(cls, data):
    X, y = data
    weight = np.r_[np.zeros(20), np.ones(280)]
    model = cls((4,), batch_size=10, shuffle=False, max_iter=2, random_state=0)
    if ours(cls):
        assert np.isfinite(model.fit(X, y, sample_weight=weight).loss_)
    else:
        with pytest.raises(ZeroDivisionError):
            model.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("cls", [TheirRegressor, MLPRegressor], ids=["theirs", "ours"])
def test_diverging_training_stops_and_restores_the_best_weights(cls, regression_data):
    X, Y = regression_data
    model = cls("squared_error", (8,), "identity", solver="sgd", learning_rate_init=3.0, max_iter=40, random_state=0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if ours(cls):
            with pytest.warns(ConvergenceWarning, match="diverged"):
                model.fit(X, Y)
            assert model.n_iter_ < 40
            assert np.isfinite(model.predict(X)).all()
        else:
            with pytest.raises(ValueError, match="non-finite"):
                model.fit(X, Y)
            assert model.n_iter_ == 40


@BOTH
def test_one_class_has_two_columns_of_probabilities(cls, data):
    X, _ = data
    p = cls((4,), max_iter=2, random_state=0).fit(X, np.ones(300)).predict_proba(X)
    assert p.shape == (300, 2)


def test_availability_of_partial_fit():
    assert hasattr(TheirClassifier(early_stopping=True), "partial_fit")  # and raises when called
    assert hasattr(TheirRegressor(solver="lbfgs"), "partial_fit")  # and runs L-BFGS
    assert not hasattr(TheirClassifier(solver="lbfgs"), "partial_fit")
    for cls in (MLPClassifier, MLPRegressor):
        assert hasattr(cls(), "partial_fit")
        assert hasattr(cls(early_stopping=True), "partial_fit")  # and raises when called
        assert not hasattr(cls(solver="lbfgs"), "partial_fit")


@BOTH
def test_lbfgs_has_a_loss_curve(cls, data):
    assert hasattr(cls((4,), solver="lbfgs", max_iter=5).fit(*data), "loss_curve_") == ours(cls)


@pytest.mark.parametrize("cls", [TheirRegressor, MLPRegressor], ids=["theirs", "ours"])
def test_poisson_rejects_negative_targets(cls, regression_data):
    X, _ = regression_data
    model = cls("poisson", (4,), max_iter=2, random_state=0)
    if ours(cls):
        with pytest.raises(ValueError, match="y >= 0"):
            model.fit(X, -np.ones(60))
    else:
        model.fit(X, -np.ones(60))


@BOTH
def test_failed_fit_leaves_the_estimator_unchanged(cls, data):
    X, y = data
    model = cls((4,), max_iter=2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.column_stack([X, np.full(300, np.inf)]), y)
    before = model.predict_proba(X)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(ValueError, match="non-finite"):
            model.set_params(solver="sgd", learning_rate_init=1e300).fit(X, y)
    assert np.array_equal(model.predict_proba(X), before) == ours(cls)


def test_loss_of_an_epoch_is_weighted_by_sample_weight(data):
    X, y = data
    weight = np.r_[np.full(100, 5.0), np.ones(200)]
    settings = {"batch_size": 100, "shuffle": False, "max_iter": 1, "learning_rate_init": 1e-15, "alpha": 0.0}
    model = MLPClassifier((4,), **settings, dtype="float64", random_state=0).fit(X, y, sample_weight=weight)
    assert model.loss_ == pytest.approx(model.loss_and_gradients(X, y, weight)[0], rel=1e-9)
    theirs = TheirClassifier((4,), **settings, random_state=0).fit(X, y, sample_weight=weight)
    parts = []
    for rows in pairwise(range(0, 301, 100)):
        part = slice(*rows)
        p = theirs.predict_proba(X[part])[np.arange(100), y[part]]
        parts.append(np.average(-np.log(p), weights=weight[part]))
    assert theirs.loss_ == pytest.approx(np.mean(parts), rel=1e-6)
