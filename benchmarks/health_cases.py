"""Trainings with a known fault, and healthy ones, on the data sets of scikit-learn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.initializers import Constant, VarianceScaling
from skmlp.optim import SGD

LOADERS = {
    "diabetes": load_diabetes,
    "cancer": load_breast_cancer,
    "wine": load_wine,
    "iris": load_iris,
    "digits": load_digits,
}
CLASSES = ("cancer", "wine", "iris", "digits")


class Case(NamedTuple):
    """An estimator to fit, and its data."""

    estimator: Any
    X: Any
    y: Any
    X_val: Any
    y_val: Any


def rows(name: str, seed: int, *, scale: bool = True, keep: float = 1.0) -> tuple[Any, Any, Any, Any]:
    """Return a random 70 % of the rows (or a fraction `keep` of these) and their targets, then the other rows."""
    X, y = LOADERS[name](return_X_y=True)
    parts = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=None if name == "diabetes" else y)
    X, X_val, y, y_val = parts
    if keep < 1.0:
        X, y = X[: int(keep * len(X))], y[: int(keep * len(y))]
    if scale:
        scaler = StandardScaler().fit(X)
        X, X_val = scaler.transform(X), scaler.transform(X_val)
    return X, y, X_val, y_val


def case(name: str, seed: int, parts: Any = None, **params: Any) -> Case:
    """Return a case on a data set, with parameters of the estimator."""
    X, y, X_val, y_val = rows(name, seed) if parts is None else parts
    common: dict[str, Any] = {"random_state": seed, "monitor": True}
    if name == "diabetes":
        return Case(MLPRegressor(**{**common, "standardize_target": True, **params}), X, y, X_val, y_val)
    return Case(MLPClassifier(**{**common, **params}), X, y, X_val, y_val)


def _name(seed: int, names: tuple[str, ...] = tuple(LOADERS)) -> str:
    return names[seed % len(names)]


# ---------------------------------------------------------------------- faults, named by the code of their finding


def vanishing_gradients(seed: int) -> Case:
    """Eight to twelve layers of logistic units."""
    return case(_name(seed), seed, hidden_layer_sizes=(32,) * (8 + seed % 5), activation="logistic", max_iter=60)


def exploding_gradients(seed: int) -> Case:
    """Six to nine layers of relu units with initial weights three times too large."""
    sizes = (64,) * (6 + seed % 4)
    start = VarianceScaling(18.0, "fan_in", "normal")
    return case(_name(seed), seed, hidden_layer_sizes=sizes, weight_init=start, max_iter=60)


def dead_units(seed: int) -> Case:
    """Relu units with initial biases far below zero."""
    bias = Constant(-6.0 - seed % 3)
    return case(_name(seed), seed, hidden_layer_sizes=(64, 32), bias_init=bias, max_iter=60)


def saturated_units(seed: int) -> Case:
    """Tanh or logistic units with large initial weights."""
    start = VarianceScaling(200.0 if seed % 2 else 2000.0, "fan_in", "normal")
    activation = "tanh" if seed % 2 else "logistic"
    return case(_name(seed), seed, hidden_layer_sizes=(64, 64), activation=activation, weight_init=start, max_iter=60)


def learning_rate_too_high(seed: int) -> Case:
    """Adam at a rate of 0.3 or 0.8, SGD at 3."""
    if seed % 3 == 0:
        return case(_name(seed, CLASSES), seed, solver="sgd", learning_rate_init=3.0, max_iter=60)
    rate = 0.3 if seed % 3 == 1 else 0.8
    return case(_name(seed), seed, hidden_layer_sizes=(64, 32), learning_rate_init=rate, max_iter=60)


def learning_rate_too_low(seed: int) -> Case:
    """Adam at a rate of 3e-6 to 1e-5, SGD at 1e-5."""
    if seed % 3 == 0:
        return case(_name(seed), seed, solver="sgd", learning_rate_init=1e-5, max_iter=100)
    return case(_name(seed), seed, learning_rate_init=3e-6 if seed % 3 == 1 else 1e-5, max_iter=100)


def not_converged(seed: int) -> Case:
    """Training that stops long before convergence."""
    return case(_name(seed), seed, hidden_layer_sizes=(64,), max_iter=6 + seed % 5)


def diverged(seed: int) -> Case:
    """Regression by SGD at an unstable learning rate."""
    rate = 0.5 * 1.2 ** (seed % 6)
    return case(
        "diabetes", seed, solver=SGD(momentum=0.0), learning_rate_init=rate, activation="identity", max_iter=400
    )


def plateau(seed: int) -> Case:
    """Four layers of logistic units by SGD: the loss stays at that of a constant prediction."""
    return case(
        _name(seed, CLASSES), seed, hidden_layer_sizes=(32,) * 4, activation="logistic", solver="sgd",
        learning_rate_init=0.01, max_iter=100, n_iter_no_change=100,
    )  # fmt: skip


def overfitting(seed: int) -> Case:
    """A large network on few rows with noisy targets, trained without early stopping."""
    name = _name(seed)
    X, y, X_val, y_val = rows(name, seed, keep=0.5)
    y = _with_noise(y, 0.3, seed)
    return case(name, seed, (X, y, X_val, y_val), hidden_layer_sizes=(256, 256), max_iter=300, tol=0.0)


def underfitting(seed: int) -> Case:
    """A very large L2 penalty."""
    return case(_name(seed), seed, alpha=3000.0 if seed % 2 else 10000.0, max_iter=300)


def unscaled_inputs(seed: int) -> Case:
    """Unscaled features, of sizes from a thousandth to a thousand."""
    name = _name(seed, ("cancer", "wine"))
    return case(name, seed, rows(name, seed, scale=False), max_iter=100)


def unscaled_target(seed: int) -> Case:
    """A target multiplied by a hundred or by a ten-thousandth."""
    X, y, X_val, y_val = rows("diabetes", seed)
    factor = 100.0 if seed % 2 else 1e-4
    return case("diabetes", seed, (X, factor * y, X_val, factor * y_val), standardize_target=False, max_iter=200)


def small_batch(seed: int) -> Case:
    """Batches of one row at a learning rate for larger ones, with noisy targets."""
    name = _name(seed, ("diabetes", "digits"))
    X, y, X_val, y_val = rows(name, seed)
    if name == "digits":
        y = _with_noise(y, 0.2, seed)
    params = {"hidden_layer_sizes": (64,), "learning_rate_init": 0.01, "max_iter": 15}
    return case(name, seed, (X, y, X_val, y_val), batch_size=1, **params)


def _with_noise(y: Any, fraction: float, seed: int) -> Any:
    """Return targets of which a fraction is replaced by those of other rows."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(y)) < fraction, rng.permutation(y), y)


def class_imbalance(seed: int) -> Case:
    """One patient in twenty: those whose disease progresses most, or least."""
    X, y, X_val, y_val = rows("diabetes", seed)
    border = np.quantile(y, 0.95 if seed % 2 else 0.05)
    y, y_val = (np.where((part > border) == bool(seed % 2), "rare", "common") for part in (y, y_val))
    params = {"hidden_layer_sizes": (32,), "alpha": 1.0, "max_iter": 100}
    return Case(MLPClassifier(**params, monitor=True, random_state=seed), X, y, X_val, y_val)


def symmetric_units(seed: int) -> Case:
    """All weights start at the same value."""
    start = Constant(0.1 if seed % 2 else 0.02)
    return case(_name(seed), seed, hidden_layer_sizes=(50,), weight_init=start, max_iter=100)


def unused_capacity(seed: int) -> Case:
    """An L1 penalty that disables most units."""
    return case(_name(seed), seed, hidden_layer_sizes=(256,), alpha_l1=2.0, max_iter=300)


def constant_inputs(seed: int) -> Case:
    """Constant columns among the others."""
    name = _name(seed)
    X, y, X_val, y_val = rows(name, seed)
    X, X_val = (np.hstack([part, np.full((len(part), 3), 2.0)]) for part in (X, X_val))
    return case(name, seed, (X, y, X_val, y_val), max_iter=100)


FAULTS: dict[str, Callable[[int], Case]] = {
    fault.__name__: fault
    for fault in (
        vanishing_gradients, exploding_gradients, dead_units, saturated_units, learning_rate_too_high,
        learning_rate_too_low, not_converged, diverged, plateau, overfitting, underfitting, unscaled_inputs,
        unscaled_target, small_batch, class_imbalance, symmetric_units, unused_capacity, constant_inputs,
    )
}  # fmt: skip


# ---------------------------------------------------------------------- healthy trainings

ACTIVATIONS = ("relu", "tanh", "gelu", "elu", "leaky_relu", "silu", "selu", "softplus", "mish", "logistic")
SIZES = ((32,), (100,), (64, 32), (32, 32, 32), (128, 64), (200,))
SOLVERS: tuple[dict[str, Any], ...] = (
    {"solver": "adam", "learning_rate_init": 3e-3},
    {"solver": "adamw", "learning_rate_init": 3e-3},
    {"solver": "sgd", "learning_rate_init": 0.05},
    {"solver": "rmsprop", "learning_rate_init": 1e-3},
    {"solver": "adam", "learning_rate_init": 1e-2, "learning_rate": "cosine", "max_iter": 60},
    {"solver": "nadam", "learning_rate_init": 2e-3},
)


def healthy(seed: int) -> Case:
    """Scaled data, a usual network, any activation and solver, early stopping."""
    rng = np.random.default_rng(1000 + seed)
    name = _name(seed)
    params: dict[str, Any] = {
        "hidden_layer_sizes": SIZES[int(rng.integers(len(SIZES)))],
        "activation": ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))],
        "batch_size": int(rng.choice([32, 64, 128])),
        "max_iter": 500,
        "early_stopping": True,
        "n_iter_no_change": 15,
        **SOLVERS[int(rng.integers(len(SOLVERS)))],
    }
    if rng.random() < 0.3:
        params |= [{"dropout": 0.2}, {"normalization": "batch"}, {"alpha": 0.1}][int(rng.integers(3))]
    return case(name, seed, **params)
