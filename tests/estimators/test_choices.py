"""Activations, solvers, schedules, initializers and batches chosen by name, as objects and one per layer."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.activations import ACTIVATIONS, Activation, FunctionActivation, LeakyReLU, register_activation
from skmlp.nn.initializers import INITIALIZERS, VarianceScaling
from skmlp.optim import SGD, SOLVERS, Adam, Adaptive, InverseScaling, Lion, Schedule, Time

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)


class Cube(Activation):
    """A user's own activation: z^3 / 3, whose derivative needs z."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def forward(self, z: Any, out: Any) -> None:
        np.power(z, 3, out=out)
        out /= 3.0

    def derivative(self, z: Any, a: Any, out: Any) -> None:
        np.square(z, out=out)


class Halving(Schedule):
    """A user's own schedule: half the rate in every epoch."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def factor(self, time: Time) -> float:
        return 0.5 ** int(time.epoch)


def _data(cls: type) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(80, n_features=6, n_informative=4, n_classes=3, random_state=0)
    X, y = make_regression(80, n_features=6, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (6, 5), "batch_size": 32, "max_iter": 3, "random_state": 0, **params})


def _coefs(cls: Any, **params: Any) -> Any:
    X, y = _data(cls)
    return np.concatenate([a.ravel() for a in _small(cls, **params).fit(X, y).coefs_])


@BOTH
@pytest.mark.parametrize(
    ("by_name", "as_object"),
    [
        ({"activation": "leaky_relu"}, {"activation": LeakyReLU()}),
        ({"activation": "tanh"}, {"activation": ["tanh", ACTIVATIONS["tanh"]]}),
        ({"solver": "adam", "beta_2": 0.9}, {"solver": Adam(beta_2=0.9)}),
        ({"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False}, {"solver": SGD(0.5, False)}),
        ({"solver": "lion"}, {"solver": Lion()}),
        ({"learning_rate": "invscaling", "power_t": 0.2}, {"learning_rate": InverseScaling(0.2)}),
        ({"learning_rate": "adaptive"}, {"learning_rate": Adaptive()}),
        ({"weight_init": "orthogonal"}, {"weight_init": INITIALIZERS["orthogonal"]}),
        ({"hidden_layer_sizes": 7, "activation": "relu"}, {"hidden_layer_sizes": [7], "activation": ["relu"]}),
        ({"hidden_layer_sizes": (7, 4)}, {"hidden_layer_sizes": np.array([7, 4])}),
    ],
    ids=str,
)
def test_a_name_and_its_object_train_the_same_network(
    cls: Any, by_name: dict[str, Any], as_object: dict[str, Any]
) -> None:
    np.testing.assert_array_equal(_coefs(cls, **by_name), _coefs(cls, **as_object))


@BOTH
@pytest.mark.parametrize(
    "params",
    [
        {"activation": LeakyReLU(0.3)},
        {"activation": ["tanh", "relu"]},
        {"activation": ["relu", "tanh"]},
        {"solver": Adam(epsilon_root=1e-2)},
        {"solver": "adam", "beta_1": 0.5},
        {"solver": "sgd", "learning_rate_init": 0.01},
        {"solver": SGD(0.0), "learning_rate_init": 0.01},
        {"weight_init": VarianceScaling(2.0, "fan_out", "normal")},
        {"bias_init": "glorot_uniform"},
        {"alpha": 10.0},
        {"batch_size": 1},
        {"batch_size": "full"},
        {"shuffle": False},
    ],
    ids=str,
)
def test_every_setting_changes_the_trained_network(cls: Any, params: dict[str, Any]) -> None:
    assert np.abs(_coefs(cls, **params) - _coefs(cls)).max() > 1e-6


@BOTH
@pytest.mark.parametrize(
    ("activation", "hidden"), [("relu", ()), *((name, ((6,), (6, 5, 4))[i % 2]) for i, name in enumerate(ACTIVATIONS))]
)
def test_gradients_agree_with_finite_differences_for_every_activation(cls: Any, activation: str, hidden: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, activation=activation, hidden_layer_sizes=hidden, dtype="float64", alpha=0.1).fit(X, y)
    _, coef_grads, intercept_grads = est.loss_and_gradients(X, y)
    rng = np.random.default_rng(0)
    arrays, grads = (*est.coefs_, *est.intercepts_), (*coef_grads, *intercept_grads)
    moves = [rng.standard_normal(array.shape) for array in arrays]
    slope = sum(float((move * grad).sum()) for move, grad in zip(moves, grads, strict=True))
    kept, step, values = [array.copy() for array in arrays], 1e-6, []
    for sign in (1, -1):
        for array, start, move in zip(arrays, kept, moves, strict=True):
            array[...] = start + sign * step * move
        values.append(est.loss_and_gradients(X, y)[0])
    # Rounding of order 1e-16 / step; truncation of order step**2, or of order step where a kink lies within a step.
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6, abs=1e-8)


@BOTH
def test_custom_activation_is_used_in_prediction(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, activation=["tanh", Cube()], dtype="float64").fit(X, y)
    h = np.tanh(X @ est.coefs_[0] + est.intercepts_[0])
    z = h @ est.coefs_[1] + est.intercepts_[1]
    raw = z**3 / 3.0 @ est.coefs_[2] + est.intercepts_[2]
    if cls is MLPRegressor:
        np.testing.assert_allclose(est.predict(X), raw[:, 0], rtol=1e-10)
    else:
        np.testing.assert_array_equal(est.predict(X), raw.argmax(axis=1))
    assert est.history_["loss"][-1] < est.history_["loss"][0]


@BOTH
def test_a_registered_activation_is_available_immediately(cls: Any) -> None:
    try:
        register_activation("cube", Cube())
        by_name = _coefs(cls, activation="cube")
    finally:
        ACTIVATIONS.pop("cube", None)
    np.testing.assert_array_equal(by_name, _coefs(cls, activation=Cube()))
    with pytest.raises(ValueError, match="'activation' parameter"):
        _coefs(cls, activation="cube")


@BOTH
def test_custom_schedule_sets_the_learning_rate(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, learning_rate=Halving(), learning_rate_init=0.5).fit(X, y)
    assert est.history_["learning_rate"] == [0.5, 0.25, 0.125]


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"},
        {"hidden_layer_sizes": (3,)},
        {"solver": "lbfgs"},
        {"dtype": "float64"},
        {"alpha": 100.0},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_parameters_set_after_fit_do_not_change_the_fitted_network(cls: Any, change: dict[str, Any]) -> None:
    X, y = _data(cls)
    est = _small(cls).fit(X, y)
    before, loss = est.predict(X), est.loss_and_gradients(X, y)[0]
    est.set_params(**change)
    np.testing.assert_array_equal(est.predict(X), before)
    assert (est.loss_and_gradients(X, y)[0] == loss) == ("alpha" not in change)
    if cls is MLPRegressor:
        np.testing.assert_array_equal(est.set_params(loss="poisson").predict(X), before)


@BOTH
@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"hidden_layer_sizes": (3,)}], ids=str)
def test_partial_fit_refuses_a_changed_architecture(cls: Any, change: dict[str, Any]) -> None:
    """partial_fit continues with the fitted network, as warm_start does, and must not change it silently either."""
    X, y = _data(cls)
    est = _small(cls).fit(X, y)
    before = est.predict(X)
    with pytest.raises(ValueError, match=rf"{next(iter(change))} was"):
        est.set_params(**change).partial_fit(X, y)
    np.testing.assert_array_equal(est.predict(X), before)


@BOTH
@pytest.mark.parametrize("solver", SOLVERS)
def test_training_continues_with_a_changed_solver(cls: Any, solver: str) -> None:
    """A state that the new solver cannot use is replaced, and training continues from the weights."""
    X, y = _data(cls)
    est = _small(cls, solver="adam" if solver != "adam" else "sgd", warm_start=True).fit(X, y)
    other = clone(est).fit(X, y)
    est.set_params(solver=solver).fit(X, y)
    other.set_params(solver=solver).partial_fit(X, y)
    for each in (est, other):
        assert np.isfinite(each.loss_curve_).all()
    assert np.abs(est.coefs_[0] - other.coefs_[0]).max() > 0.0


@BOTH
def test_grid_search_sets_settings_of_objects(cls: Any) -> None:
    X, y = _data(cls)
    grid = {"solver__beta_2": [0.9, 0.99], "activation__negative_slope": [0.1, 0.4]}
    search = GridSearchCV(_small(cls, solver=Adam(), activation=LeakyReLU()), grid, cv=2).fit(X, y)
    best = search.best_estimator_
    assert best.solver.beta_2 == search.best_params_["solver__beta_2"]
    assert best.activation.negative_slope == search.best_params_["activation__negative_slope"]
    assert len(set(np.round(search.cv_results_["mean_test_score"], 12))) > 1


@BOTH
@pytest.mark.parametrize(("batch_size", "n_steps"), [(1, 80), (32, 3), ("full", 1), ("auto", 1)])
def test_batch_size_determines_the_number_of_steps(cls: Any, batch_size: Any, n_steps: int) -> None:
    """With a tiny rate every step moves by the gradient at the start, summed over the batches: their number shows."""
    X, y = _data(cls)
    rate = 1e-9
    est = _small(cls, solver=SGD(0.0), learning_rate_init=rate, batch_size=batch_size, dtype="float64", alpha=0.0)
    start = clone(est).set_params(learning_rate_init=1e-300, max_iter=1).fit(X, y)
    _, grads, _ = start.loss_and_gradients(X, y)
    moved = clone(est).set_params(max_iter=1).fit(X, y).coefs_[-1] - start.coefs_[-1]
    # Batches of 32, 32 and 16 rows weigh the rows unequally; all others equally.
    if n_steps != 3:
        np.testing.assert_allclose(moved / -rate, n_steps * grads[-1], rtol=1e-4, atol=1e-5 * n_steps)
    else:
        assert 1.5 < np.linalg.norm(moved / -rate) / np.linalg.norm(grads[-1]) < 4.5


def _cube(z, out):
    np.power(z, 3, out=out)


def _wrong_slope(z, a, out):
    np.multiply(z, z, out=out)


def test_fit_refuses_a_custom_activation_with_a_wrong_derivative():
    wrong = MLPRegressor(activation=FunctionActivation("cube", _cube, _wrong_slope))
    with pytest.raises(ValueError, match=r"derivative of .*cube.* is wrong: at z = "):
        wrong.fit([[0.0], [1.0]], [0.0, 1.0])
    assert not hasattr(wrong, "coefs_")
