"""Compiled steps against NumPy's, which are the reference: equal to rounding, and in everything that Python decides."""

import numpy as np
import pytest
from sklearn.base import clone

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import SGD, Adam, AdamW, ClipByGlobalNorm, Linear, Piecewise, RMSProp, WithWeightDecay

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.training import compiled_steps

ORIGINAL = compiled_steps.compiled_steps
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
ACTIVATIONS = [
    "identity",
    "logistic",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "mish",
]
SOLVERS = {
    "plain": SGD(momentum=0.0),
    "momentum": SGD(nesterovs_momentum=False),
    "nesterov": SGD(),
    "rmsprop": RMSProp(),
    "rmsprop, root": RMSProp(epsilon=0.0, epsilon_root=1e-6),
    "adam": Adam(beta_1=0.8, beta_2=0.99),
    "adam, root": Adam(epsilon=0.0, epsilon_root=1e-6),
    "adamw": AdamW(weight_decay=0.1),
    "sgd, decay": WithWeightDecay(SGD(), 0.1),
    "lion": "lion",
    "rmsprop, momentum": RMSProp(momentum=0.5),
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6))
    y = np.column_stack([X[:, 0] * X[:, 1], np.sin(2.0 * X[:, 2])])
    return X, y, X[:, :3].argmax(axis=1)


def both(monkeypatch, estimator, *data, **fit_params):
    """Fit with NumPy and with compiled steps, and return both estimators."""
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    reference = clone(estimator).fit(*data, **fit_params)
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    made = []
    monkeypatch.setattr(compiled_steps, "compiled_steps", lambda *args: made.append(ORIGINAL(*args)) or made[-1])
    compiled = clone(estimator).fit(*data, **fit_params)
    assert isinstance(made[0], compiled_steps.CompiledSteps)
    return reference, compiled


def assert_equal(reference, compiled, dtype):
    """Assert that parameters and history are equal to rounding."""
    tolerance = TOLERANCE[dtype]
    assert reference.n_iter_ == compiled.n_iter_
    for a, b in zip(
        [*reference.coefs_, *reference.intercepts_], [*compiled.coefs_, *compiled.intercepts_], strict=True
    ):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    for name in ("loss", "train_loss", "penalty", "gradient_norm", "learning_rate", "clipped_share"):
        np.testing.assert_allclose(compiled.history_[name], reference.history_[name], rtol=tolerance, atol=tolerance)


def settings(dtype, **changes):
    return {
        "hidden_layer_sizes": (7, 5),
        "batch_size": 20,
        "max_iter": 4,
        "dtype": dtype,
        "random_state": 0,
        "tol": 0.0,
        **changes,
    }


pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(monkeypatch, data, dtype, activation):
    X, y, _ = data
    assert_equal(*both(monkeypatch, MLPRegressor(**settings(dtype, activation=activation)), X, y), dtype)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(monkeypatch, data, dtype, solver):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", solver=SOLVERS[solver], learning_rate_init=0.005))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_losses_of_classifiers(monkeypatch, data, dtype, kind, smoothing):
    X, y, codes = data
    target = {"binary": codes == 1, "multiclass": codes, "multilabel": (y > 0.0).astype(int)}[kind]
    estimator = MLPClassifier(**settings(dtype, activation="tanh", label_smoothing=smoothing))
    assert_equal(*both(monkeypatch, estimator, X, target), dtype)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.0},
        {"alpha": 0.1, "alpha_l1": 0.05},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (4, 4, 4, 4)},
        {"batch_size": 1, "max_iter": 2},
        {"batch_size": "full"},
        {"batch_size": 80},
        {"shuffle": False},
        {"dropout": 0.3},
        {"dropout": (0.0, 0.5)},
        {"gradient_clip": ClipByGlobalNorm(0.1)},
        {"max_norm": 0.5},
        {"averaging": 0.9},
        {"learning_rate": "cosine"},
        {"learning_rate": "one_cycle"},
        {"monitor": 3},
        {"solver": SGD(momentum=0.9 * Linear(1.0, 0.5))},
        {"dropout": 0.5 * Piecewise((2,), (1.0, 0.0))},
        {"solver": AdamW(weight_decay=0.1 * Linear(1.0, 0.0)), "learning_rate": "cosine"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_options(monkeypatch, data, dtype, changes):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, **{"activation": "tanh", **changes}))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


def test_weights_of_which_a_whole_batch_has_none(monkeypatch, data, dtype):
    X, y, _ = data
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(X))
    weight[20:40] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False))
    assert_equal(*both(monkeypatch, estimator, X, y, sample_weight=weight), dtype)


def test_batches_of_several_blocks(monkeypatch, dtype):
    X = np.random.default_rng(0).normal(size=(5000, 3))
    estimator = MLPRegressor(**settings(dtype, batch_size=2100, max_iter=2))
    assert_equal(*both(monkeypatch, estimator, X, np.sin(X[:, 0])), dtype)
