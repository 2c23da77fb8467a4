"""Every helper finds the network in pipelines, searches, regressors that transform the target, and their nestings."""

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
    LearningRateDisplay,
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
# Neither rows nor targets are on the scale of a network.
X = 50.0 + 20.0 * RNG.standard_normal((60, 4))
Y = 300.0 + 2.0 * X[:, 0] - X[:, 1]
SCALED, STANDARD = StandardScaler().fit_transform(X), (Y - Y.mean()) / Y.std()


def network(**params: Any) -> MLPRegressor:
    settings = {"max_iter": 4, "random_state": 0, "monitor": 1, "dtype": "float64", "learning_rate_init": 0.01}
    return MLPRegressor(**{"hidden_layer_sizes": (5,), **settings, **params})


def target_too(model: Any) -> Any:
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def search(model: Any) -> Any:
    return GridSearchCV(model, {}, cv=2)


# By what they do to rows and targets.
WRAPPED: dict[str, tuple[Any, bool, bool]] = {
    "pipeline": (lambda net: make_pipeline(StandardScaler(), net), True, False),
    "pipeline in a pipeline": (lambda net: make_pipeline(StandardScaler(), make_pipeline(net)), True, False),
    "search": (search, False, False),
    "search over a pipeline": (lambda net: search(make_pipeline(StandardScaler(), net)), True, False),
    "search in a pipeline": (lambda net: make_pipeline(StandardScaler(), search(net)), True, False),
    "search of another kind": (lambda net: RandomizedSearchCV(net, {"alpha": [1e-4]}, n_iter=1, cv=2), False, False),
    "transformed target": (target_too, False, True),
    "transformed target of a pipeline": (lambda net: target_too(make_pipeline(StandardScaler(), net)), True, True),
    "pipeline with a transformed target": (lambda net: make_pipeline(StandardScaler(), target_too(net)), True, True),
    "search over all of it": (lambda net: search(target_too(make_pipeline(StandardScaler(), net))), True, True),
    "transformed target of a search": (lambda net: target_too(search(net)), False, True),
}


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def _fitted(model: Any, rows: Any, targets: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, targets)


@pytest.fixture(scope="module", params=WRAPPED)
def pair(request: pytest.FixtureRequest) -> Any:
    """Return a wrapped network, fitted, the bare one, and the data as they come to it."""
    wrap, scales, standardizes = WRAPPED[request.param]
    rows, targets = (SCALED if scales else X), (STANDARD if standardizes else Y)
    return _fitted(wrap(network()), X, Y), _fitted(network(), rows, targets), rows, targets


def test_the_displays_of_a_training(pair: Any) -> None:
    wrapped, bare, _, _ = pair
    drawn = HistoryDisplay.from_estimator(wrapped, ax=axes())
    np.testing.assert_allclose(drawn.history["train_loss"], bare.history_["train_loss"], rtol=1e-6)
    for display in (ActivationDisplay, GradientFlowDisplay, UpdateRatioDisplay):
        monitor = display.from_estimator(wrapped, ax=axes()).monitor
        np.testing.assert_allclose(monitor["gradient_norm"], bare.monitor_["gradient_norm"], rtol=1e-6)
    units = HiddenUnitsDisplay.from_estimator(wrapped, ax=axes())
    np.testing.assert_allclose(units.weights, bare.coefs_[0], rtol=1e-6)


def test_the_surface_of_the_loss(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    mine = LossSurfaceDisplay.from_estimator(wrapped, X, Y, resolution=2, ax=axes())
    other = LossSurfaceDisplay.from_estimator(bare, rows, targets, resolution=2, ax=axes())
    np.testing.assert_allclose(mine.losses, other.losses, rtol=1e-6)


def test_predictions_over_two_features(pair: Any) -> None:
    wrapped = pair[0]
    drawn = DecisionBoundaryDisplay.from_estimator(wrapped, X, Y, grid_resolution=3, ax=axes())
    assert np.isfinite(drawn.response).all()


def test_the_diagnosis(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    assert diagnose(wrapped).codes == diagnose(bare).codes
    assert diagnose(wrapped, X, Y).codes == diagnose(bare, rows, targets).codes


def test_a_step_on_paper(pair: Any) -> None:
    wrapped, bare, rows, targets = pair
    mine, other = trace(wrapped, X[:3], Y[:3]), trace(bare, rows[:3], targets[:3])
    for name in other.names:
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-5, atol=1e-9)


def test_the_importance_of_the_features(pair: Any) -> None:
    wrapped, bare, rows, _ = pair
    mine, other = feature_importance(wrapped, X), feature_importance(bare, rows)
    assert mine.index.to_list() == other.index.to_list()
    np.testing.assert_allclose(mine["importance"], other["importance"], rtol=1e-6)
    assert len(feature_importance(wrapped, X, Y, method="permutation", n_repeats=1, random_state=0)) == 4


@pytest.mark.parametrize("case", WRAPPED)
def test_a_learning_rate_is_found_before_the_fit(case: str) -> None:
    wrap, scales, standardizes = WRAPPED[case]
    rows, targets = (SCALED if scales else X), (STANDARD if standardizes else Y)
    options = {"n_steps": 40, "low": 1e-5, "high": 1.0}
    model = wrap(network())
    mine, other = lr_find(model, X, Y, **options), lr_find(network(), rows, targets, **options)
    np.testing.assert_allclose(mine.losses[:20], other.losses[:20], rtol=1e-6)
    with pytest.raises(NotFittedError):
        model.predict(X)
    drawn = LearningRateDisplay.from_estimator(model, X, Y, **options, ax=axes())
    np.testing.assert_array_equal(drawn.search.losses, mine.losses)


def test_the_learning_rate_of_a_fitted_search_is_that_of_its_best_estimator() -> None:
    options = {"n_steps": 40, "low": 1e-5, "high": 1.0}
    best = GridSearchCV(network(), {"hidden_layer_sizes": [(3,)]}, cv=2).fit(SCALED, STANDARD)
    np.testing.assert_array_equal(
        lr_find(best, SCALED, STANDARD, **options).losses,
        lr_find(network(hidden_layer_sizes=(3,)), SCALED, STANDARD, **options).losses,
    )


def test_a_learning_rate_is_found_without_the_groups_that_validation_needs() -> None:
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
@pytest.mark.parametrize("case", WRAPPED)
def test_before_the_fit_they_say_so(helper: str, case: str) -> None:
    with pytest.raises(NotFittedError):
        HELPERS[helper](WRAPPED[case][0](network()))


@EACH_HELPER
def test_a_search_without_a_best_estimator_is_told_how_to_keep_one(helper: str) -> None:
    tried = _fitted(GridSearchCV(network(), {}, cv=2, refit=False), SCALED, STANDARD)
    with pytest.raises(ValueError, match=r"GridSearchCV has no best_estimator_, .*refit=False. Make it with"):
        HELPERS[helper](tried)


@EACH_HELPER
def test_another_estimator_in_a_search_is_refused_by_its_name(helper: str) -> None:
    other = GridSearchCV(LinearRegression(), {}, cv=2).fit(SCALED, STANDARD)
    with pytest.raises(TypeError, match=r"takes an MLPClassifier.*Got LinearRegression\(\) inside a GridSearchCV"):
        HELPERS[helper](other)
