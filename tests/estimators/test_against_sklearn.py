"""From equal initial weights, skmlp's training is scikit-learn's, parameter by parameter, where that is right."""

import inspect
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression

from skmlp import MLPClassifier, MLPRegressor

# Both sides run a fixed number of epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed to converge):sklearn.exceptions.ConvergenceWarning"
)
PEERS: dict[type, type] = {
    MLPClassifier: neural_network.MLPClassifier,
    MLPRegressor: neural_network.MLPRegressor,
}


def _weights(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
    """Return the initial weights both sides take for a layer of this shape."""
    return (np.random.default_rng([n_in, n_out]).uniform(-0.6, 0.6, (n_in, n_out))).astype(dtype)


def _biases(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
    """Return the initial biases both sides take, as a matrix whose first row counts."""
    row = np.random.default_rng([n_out, n_in, 1]).uniform(-0.3, 0.3, n_out)
    return np.broadcast_to(row, (n_in, n_out)).astype(dtype)


def _peer(cls: type, **params: Any) -> Any:
    """Return scikit-learn's estimator with the same initial weights."""

    class SameStart(PEERS[cls]):  # type: ignore[misc]
        def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> Any:
            return _weights(None, fan_in, fan_out, dtype), _biases(None, fan_in, fan_out, dtype)[0]

    return SameStart(**params)


def _pair(cls: type, **params: Any) -> tuple[Any, Any]:
    params = {"hidden_layer_sizes": (7, 5), "activation": "tanh", "random_state": 0, **params}
    return cls(**params, dtype="float64", weight_init=_weights, bias_init=_biases), _peer(cls, **params)


def _assert_equal_networks(ours: Any, theirs: Any, rtol: float) -> None:
    for name in ("coefs_", "intercepts_"):
        for mine, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            # Entries near zero are sums of terms that cancel: relative to the array's largest entry.
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol * np.abs(other).max())


def _binary() -> tuple[Any, Any]:
    return make_classification(90, n_features=6, n_informative=4, flip_y=0.2, random_state=0)


def _multiclass() -> tuple[Any, Any]:
    X, y = make_classification(90, n_features=6, n_informative=4, n_classes=3, flip_y=0.2, random_state=0)
    return X, np.array(["one", "three", "two"])[y]


def _multilabel() -> tuple[Any, Any]:
    X, y = make_multilabel_classification(90, n_features=6, n_classes=4, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _regression() -> tuple[Any, Any]:
    X, y = make_regression(90, n_features=6, n_informative=5, noise=10.0, random_state=0)
    return X, y / y.std()


def _counts() -> tuple[Any, Any]:
    X, y = _regression()
    return X, np.random.default_rng(0).poisson(np.exp(0.5 * y)).astype(float)


TASKS: dict[str, tuple[type, Any, dict[str, Any]]] = {
    "binary": (MLPClassifier, _binary, {}),
    "multiclass": (MLPClassifier, _multiclass, {}),
    "multilabel": (MLPClassifier, _multilabel, {}),
    "regression": (MLPRegressor, _regression, {}),
    "poisson": (MLPRegressor, _counts, {"loss": "poisson"}),
}
ALL_TASKS = pytest.mark.parametrize("task", TASKS)


def _task(name: str) -> tuple[type, Any, Any, dict[str, Any]]:
    cls, make, params = TASKS[name]
    return cls, *make(), params


RULES = [{"momentum": 0.0}, {"momentum": 0.9, "nesterovs_momentum": False}, {"momentum": 0.9}]


@pytest.mark.parametrize(
    ("task", "rule", "weighted"),
    [
        (task, RULES[(number + weighted) % 3], weighted)
        for number, task in enumerate(TASKS)
        for weighted in (False, True)
    ],
)
def test_full_batch_gradient_descent_takes_the_same_steps(task: str, rule: dict[str, Any], weighted: bool) -> None:
    cls, X, y, params = _task(task)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, len(X)) if weighted else None
    ours, theirs = _pair(
        cls, solver="sgd", learning_rate_init=0.05, alpha=0.5, batch_size=len(X), max_iter=40, **rule, **params
    )
    ours.fit(X, y, sample_weight=weight)
    theirs.fit(X, y, sample_weight=weight)
    _assert_equal_networks(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-10)
    assert (ours.n_iter_, ours.t_, ours.n_outputs_) == (theirs.n_iter_, theirs.t_, theirs.n_outputs_)
    assert (ours.n_layers_, ours.out_activation_) == (theirs.n_layers_, theirs.out_activation_)
    if cls is MLPClassifier:
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    else:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("task", "activation"),
    [
        *((task, "relu") for task in TASKS),
        ("binary", "identity"),
        ("regression", "logistic"),
        ("multilabel", "logistic"),
    ],
)
def test_activations_give_the_same_network(task: str, activation: str) -> None:
    cls, X, y, params = _task(task)
    ours, theirs = _pair(
        cls, activation=activation, solver="sgd", learning_rate_init=0.02, batch_size=len(X), max_iter=30, **params
    )
    _assert_equal_networks(ours.fit(X, y), theirs.fit(X, y), rtol=1e-10)


@ALL_TASKS
@pytest.mark.parametrize(
    "schedule",
    [
        {"learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.5},
        {"learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.01, "n_iter_no_change": 2},
    ],
    ids=["invscaling", "adaptive"],
)
def test_schedules_give_the_same_network(task: str, schedule: dict[str, Any]) -> None:
    cls, X, y, params = _task(task)
    ours, theirs = _pair(cls, solver="sgd", batch_size=len(X), max_iter=80, **schedule, **params)
    _assert_equal_networks(ours.fit(X, y), theirs.fit(X, y), rtol=1e-10)
    assert ours.n_iter_ == theirs.n_iter_
    # The schedule was at work.
    assert len(set(ours.history_["learning_rate"])) > 2


@ALL_TASKS
def test_unshuffled_mini_batches_give_the_same_network(task: str) -> None:
    cls, X, y, params = _task(task)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, len(X))
    ours, theirs = _pair(
        cls, solver="sgd", learning_rate_init=0.02, alpha=0.1, batch_size=16, shuffle=False, max_iter=20, **params
    )
    _assert_equal_networks(ours.fit(X, y, weight), theirs.fit(X, y, weight), rtol=1e-10)


@ALL_TASKS
def test_adam_with_a_negligible_epsilon_gives_the_same_network(task: str) -> None:
    cls, X, y, params = _task(task)
    # scikit-learn adds epsilon before the bias correction, skmlp after it as in the paper; 1e-30 is lost in both.
    ours, theirs = _pair(
        cls, learning_rate_init=0.01, epsilon=1e-30, batch_size=16, shuffle=False, max_iter=10, beta_2=0.99, **params
    )
    _assert_equal_networks(ours.fit(X, y), theirs.fit(X, y), rtol=1e-9)


@ALL_TASKS
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_lbfgs_gives_the_same_network(task: str, weighted: bool) -> None:
    cls, X, y, params = _task(task)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, len(X)) if weighted else None
    ours, theirs = _pair(cls, solver="lbfgs", alpha=0.5, max_iter=8, **params)
    ours.fit(X, y, sample_weight=weight)
    theirs.fit(X, y, sample_weight=weight)
    # Sums in another order differ by 1e-16, and each of the 8 iterations magnifies that a little: scikit-learn's own
    # result moves by up to 1e-14 when the rows are permuted.
    _assert_equal_networks(ours, theirs, rtol=1e-12)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-12)
    assert ours.n_iter_ == theirs.n_iter_ == 8


def _several_outputs() -> tuple[Any, Any]:
    X, y = make_regression(90, n_features=6, n_targets=3, random_state=0)
    return X, y / y.std(axis=0)


def test_several_outputs_have_the_same_gradient_and_a_summed_loss() -> None:
    """scikit-learn averages the squared error over outputs in the loss, and sums in the gradient.

    skmlp sums in both. So gradient descent takes the same steps, while the reported loss is n_outputs times larger.
    """
    X, y = _several_outputs()
    ours, theirs = _pair(MLPRegressor, solver="sgd", learning_rate_init=0.02, alpha=0.0, batch_size=len(X), max_iter=30)
    _assert_equal_networks(ours.fit(X, y), theirs.fit(X, y), rtol=1e-10)
    np.testing.assert_allclose(ours.loss_curve_, 3.0 * np.array(theirs.loss_curve_), rtol=1e-10)


def test_several_outputs_train_better_by_lbfgs() -> None:
    """L-BFGS needs a gradient that fits the loss: with scikit-learn's it gains less in the same iterations."""
    X, y = _several_outputs()
    ours, theirs = _pair(MLPRegressor, solver="lbfgs", alpha=0.0, max_iter=30)
    assert ours.fit(X, y).loss_ < 3.0 * theirs.fit(X, y).loss_


@pytest.mark.parametrize("cls", PEERS)
def test_constructor_parameters_are_a_superset(cls: type) -> None:
    theirs = list(inspect.signature(PEERS[cls]).parameters.values())
    ours = list(inspect.signature(cls).parameters.values())
    common, new = ours[: len(theirs)], ours[len(theirs) :]
    # The same names, in the same order, with the same defaults, positional exactly where they are there.
    assert [(p.name, p.default, p.kind) for p in common] == [(p.name, p.default, p.kind) for p in theirs]
    assert new
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in new)
    assert set(cls().get_params()) == {p.name for p in ours}


@pytest.mark.parametrize("cls", PEERS)
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_fitted_attributes_are_a_superset(cls: type, params: dict[str, Any]) -> None:
    pd = pytest.importorskip("pandas")
    X, y = _binary()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    ours, theirs = (made(max_iter=5, random_state=0, **params).fit(frame, y) for made in (cls, PEERS[cls]))
    fitted = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert {"coefs_", "intercepts_", "loss_", "n_iter_", "feature_names_in_"} < fitted
    for name in fitted:
        assert hasattr(ours, name), name
    for name in ("n_outputs_", "n_layers_", "out_activation_", "n_features_in_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if not params:
        assert ours.validation_scores_ is ours.best_validation_score_ is None
        assert len(ours.loss_curve_) == len(theirs.loss_curve_)
    if "early_stopping" in params:
        assert ours.best_loss_ is None


@pytest.mark.parametrize("cls", PEERS)
def test_methods_are_a_superset(cls: type) -> None:
    theirs = PEERS[cls]
    for name in (name for name in dir(theirs) if not name.startswith("_")):
        method = getattr(cls, name)
        if name in ("fit", "partial_fit", "score"):
            mine = list(inspect.signature(method).parameters.values())
            other = list(inspect.signature(getattr(theirs, name)).parameters.values())
            common, new = mine[: len(other)], mine[len(other) :]
            assert [(p.name, p.default, p.kind) for p in common] == [(p.name, p.default, p.kind) for p in other]
            assert all(p.kind is p.KEYWORD_ONLY and p.default is None for p in new)
            wanted = ["X_val", "y_val", "sample_weight_val", "groups"] if name == "fit" else []
            assert [p.name for p in new] == wanted, name
