"""All functions and displays find the network in pipelines, searches and regressors with a transformed target."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPRegressor, lr_find
from skmlp.inspection import (
    ActivationDisplay,
    DecisionBoundaryDisplay,
    GradientFlowDisplay,
    HiddenUnitsDisplay,
    HistoryDisplay,
    LossSurfaceDisplay,
    UpdateRatioDisplay,
    diagnose,
    feature_importance,
    trace,
)

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
# Neither features nor targets are scaled.
X = 50.0 + 20.0 * RNG.standard_normal((40, 4))
Y = 300.0 + 2.0 * X[:, 0] - X[:, 1]
SCALED, STANDARD = StandardScaler().fit_transform(X), (Y - Y.mean()) / Y.std()


def network(**params: Any) -> MLPRegressor:
    settings = {"max_iter": 3, "random_state": 0, "monitor": 1, "dtype": "float64", "learning_rate_init": 0.01}
    return MLPRegressor(**{"hidden_layer_sizes": (5,), **settings, **params})


def with_target_scaler(model: Any) -> Any:
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def search(model: Any) -> Any:
    return GridSearchCV(model, {}, cv=2)


# The wrapper, and whether it scales the features and the target.
WRAPPED: dict[str, tuple[Any, bool, bool]] = {
    "pipeline in a pipeline": (lambda net: make_pipeline(StandardScaler(), make_pipeline(net)), True, False),
    "search over a pipeline": (lambda net: search(make_pipeline(StandardScaler(), net)), True, False),
    "search in a pipeline": (lambda net: make_pipeline(StandardScaler(), search(net)), True, False),
    "search of another kind": (lambda net: RandomizedSearchCV(net, {"alpha": [1e-4]}, n_iter=1, cv=2), False, False),
    "transformed target of a pipeline": (
        lambda net: with_target_scaler(make_pipeline(StandardScaler(), net)),
        True,
        True,
    ),
    "pipeline with a transformed target": (
        lambda net: make_pipeline(StandardScaler(), with_target_scaler(net)),
        True,
        True,
    ),
    "search over a transformed target": (lambda net: search(with_target_scaler(net)), False, True),
    "transformed target of a search": (lambda net: with_target_scaler(search(net)), False, True),
}


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def _fitted(model: Any, rows: Any, targets: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, targets)


@pytest.fixture(scope="module", params=WRAPPED)
def pair(request: pytest.FixtureRequest) -> Any:
    """Return a fitted wrapper, the network alone fitted to transformed data, and these data."""
    wrap, scales, standardizes = WRAPPED[request.param]
    rows, targets = (SCALED if scales else X), (STANDARD if standardizes else Y)
    return _fitted(wrap(network()), X, Y), _fitted(network(), rows, targets), rows, targets


def test_displays_of_a_training_find_the_network(pair: Any) -> None:
    wrapped, bare, _, _ = pair
    drawn = HistoryDisplay.from_estimator(wrapped, ax=axes())
    np.testing.assert_allclose(drawn.history["train_loss"], bare.history_["train_loss"], rtol=1e-6)
    monitor = UpdateRatioDisplay.from_estimator(wrapped, ax=axes()).monitor
    np.testing.assert_allclose(monitor["gradient_norm"], bare.monitor_["gradient_norm"], rtol=1e-6)
    units = HiddenUnitsDisplay.from_estimator(wrapped, ax=axes())
    np.testing.assert_allclose(units.weights, bare.coefs_[0], rtol=1e-6)


def test_loss_surface_display_transforms_the_data(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    mine = LossSurfaceDisplay.from_estimator(wrapped, X, Y, resolution=2, ax=axes())
    other = LossSurfaceDisplay.from_estimator(bare, rows, targets, resolution=2, ax=axes())
    np.testing.assert_allclose(mine.losses, other.losses, rtol=1e-6)


def test_decision_boundary_display_predicts_with_the_wrapper(pair: Any) -> None:
    wrapped = pair[0]
    drawn = DecisionBoundaryDisplay.from_estimator(wrapped, X, Y, grid_resolution=2, ax=axes())
    assert np.isfinite(drawn.response).all()


def test_diagnose_transforms_the_data(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    assert diagnose(wrapped).codes == diagnose(bare).codes
    assert diagnose(wrapped, X, Y).codes == diagnose(bare, rows, targets).codes


def test_trace_transforms_the_data(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    mine, other = trace(wrapped, X[:3], Y[:3]), trace(bare, rows[:3], targets[:3])
    for name in other.names:
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-5, atol=1e-9)


def test_feature_importance_transforms_the_data(pair: Any) -> None:
    wrapped, bare, rows, _ = pair
    mine, other = feature_importance(wrapped, X), feature_importance(bare, rows)
    assert mine.index.to_list() == other.index.to_list()
    np.testing.assert_allclose(mine["importance"], other["importance"], rtol=1e-6)
    assert len(feature_importance(wrapped, X, Y, method="permutation", n_repeats=1, random_state=0)) == 4


@pytest.mark.parametrize("case", WRAPPED)
def test_lr_find_accepts_an_unfitted_wrapper(case: str) -> None:
    wrap, scales, standardizes = WRAPPED[case]
    rows, targets = (SCALED if scales else X), (STANDARD if standardizes else Y)
    options = {"n_steps": 40, "low": 1e-5, "high": 1.0}
    model = wrap(network())
    mine, other = lr_find(model, X, Y, **options), lr_find(network(), rows, targets, **options)
    np.testing.assert_allclose(mine.losses[:20], other.losses[:20], rtol=1e-6)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_lr_find_uses_the_best_estimator_of_a_fitted_search() -> None:
    options = {"n_steps": 40, "low": 1e-5, "high": 1.0}
    best = GridSearchCV(network(), {"hidden_layer_sizes": [(3,)]}, cv=2).fit(SCALED, STANDARD)
    np.testing.assert_array_equal(
        lr_find(best, SCALED, STANDARD, **options).losses,
        lr_find(network(hidden_layer_sizes=(3,)), SCALED, STANDARD, **options).losses,
    )


def test_lr_find_needs_no_groups_for_validation() -> None:
    options = {"n_steps": 40, "low": 1e-5, "high": 1.0}
    grouped = network(validation_split=GroupShuffleSplit(1))
    np.testing.assert_array_equal(
        lr_find(grouped, SCALED, STANDARD, **options).losses, lr_find(network(), SCALED, STANDARD, **options).losses
    )


HELPERS: dict[str, Any] = {
    "history": lambda model: HistoryDisplay.from_estimator(model, ax=axes()),
    "gradients": lambda model: GradientFlowDisplay.from_estimator(model, ax=axes()),
    "activations": lambda model: ActivationDisplay.from_estimator(model, ax=axes()),
    "units": lambda model: HiddenUnitsDisplay.from_estimator(model, ax=axes()),
    "surface": lambda model: LossSurfaceDisplay.from_estimator(model, X, Y, resolution=2, ax=axes()),
    "diagnosis": lambda model: diagnose(model),
    "trace": lambda model: trace(model, X[:2], Y[:2]),
    "importance": lambda model: feature_importance(model, X),
}
EACH_HELPER = pytest.mark.parametrize("helper", HELPERS)


@EACH_HELPER
def test_an_unfitted_wrapper_is_rejected(helper: str) -> None:
    for wrap, _, _ in WRAPPED.values():
        with pytest.raises(NotFittedError):
            HELPERS[helper](wrap(network()))


@pytest.fixture(scope="module")
def without_refit() -> Any:
    return _fitted(GridSearchCV(network(), {}, cv=2, refit=False), SCALED, STANDARD)


@EACH_HELPER
def test_a_search_without_refit_is_rejected(helper: str, without_refit: Any) -> None:
    with pytest.raises(ValueError, match=r"GridSearchCV has no best_estimator_, .*refit=False. Use refit=True"):
        HELPERS[helper](without_refit)


@pytest.fixture(scope="module")
def linear() -> Any:
    return GridSearchCV(LinearRegression(), {}, cv=2).fit(SCALED, STANDARD)


@EACH_HELPER
def test_another_estimator_in_a_search_is_rejected(helper: str, linear: Any) -> None:
    with pytest.raises(TypeError, match=r"takes an MLPClassifier.*Got LinearRegression\(\) inside a GridSearchCV"):
        HELPERS[helper](linear)
