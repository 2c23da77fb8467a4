"""The ready-made search spaces: every name exists, every draw fits, searches take them as they are."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, ParameterSampler
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor, search_space

# Enough rows that the largest batch of the large space is not clipped.
ROWS = 140
ESTIMATORS = {"classification": MLPClassifier, "regression": MLPRegressor}
SPACES = [(size, task) for size in ("small", "large") for task in ("classification", "regression", None)]


def data(task: str | None) -> tuple[Any, Any]:
    if task == "regression":
        X, y = make_regression(ROWS, 5, random_state=0)
        return X, y / y.std()
    return make_classification(ROWS, 5, random_state=0)


@pytest.fixture(autouse=True)
def _ignore_convergence_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize(("size", "task"), SPACES)
@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor()], ids=["classifier", "regressor"])
def test_every_name_in_a_space_is_a_parameter(size, task, estimator):
    unknown = search_space(size, task=task).keys() - estimator.get_params().keys()
    expected = {"label_smoothing"} if (size, task) == ("large", "classification") else set()
    assert unknown == (expected if isinstance(estimator, MLPRegressor) else set())


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("task", ESTIMATORS)
def test_every_draw_fits_and_stays_finite(size, task):
    X, y = data(task)
    network = ESTIMATORS[task](max_iter=2, random_state=0)
    for draw in ParameterSampler(search_space(size, task=task), 12, random_state=0):
        model = clone(network).set_params(**draw).fit(X, y)
        assert np.isfinite(model.loss_), draw


def test_every_value_in_a_list_is_accepted():
    space = search_space("large", task="classification")
    X, y = data("classification")
    for name, values in space.items():
        for value in values if isinstance(values, list) else [values.ppf(0.0), values.ppf(1.0 - 1e-9)]:
            MLPClassifier(max_iter=1, random_state=0).set_params(**{name: value}).fit(X, y)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_draws_reach_into_a_pipeline(task):
    X, y = data(task)
    network = ESTIMATORS[task](max_iter=1, random_state=0)
    model = make_pipeline(StandardScaler(), network)
    prefix = f"{type(network).__name__.lower()}__"
    (draw,) = ParameterSampler(search_space("large", prefix=prefix, task=task), 1, random_state=0)
    assert all(name.startswith(prefix) for name in draw)
    model.set_params(**draw).fit(X, y)
    assert model[-1].learning_rate_init == draw[f"{prefix}learning_rate_init"]


def test_the_large_space_has_all_names_of_the_small_one():
    assert search_space("small").keys() < search_space("large").keys()
    assert search_space("large").keys() == search_space("large", task="regression").keys()
    assert search_space("large", task="classification").keys() - search_space("large").keys() == {"label_smoothing"}


def test_a_space_can_be_changed_without_changing_the_next():
    search_space("large")["activation"].append("nonsense")
    search_space("large")["learning_rate"][-1].duration = 0.9
    assert "nonsense" not in search_space("large")["activation"]
    assert search_space("large")["learning_rate"][-1].duration != 0.9


def test_spaces_do_not_contain_max_iter():
    for size, task in SPACES:
        assert "max_iter" not in search_space(size, task=task)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_halving_search_uses_max_iter_as_resource(in_pipeline):
    X, y = data("classification")
    prefix = "mlpclassifier__" if in_pipeline else ""
    network = MLPClassifier(random_state=0)
    search = HalvingRandomSearchCV(
        make_pipeline(StandardScaler(), network) if in_pipeline else network,
        search_space(prefix=prefix),
        resource=f"{prefix}max_iter",
        n_candidates=4,
        min_resources=2,
        max_resources=8,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [2, 4, 8]
    best = search.best_estimator_[-1] if in_pipeline else search.best_estimator_
    assert best.max_iter == 8
    assert best.n_iter_ == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "medium"}, "The 'size' parameter of search_space must be .*'large'.* Got 'medium'"),
        ({"task": "ranking"}, "The 'task' parameter of search_space must be .*'regression'.* or None. Got 'ranking'"),
        ({"prefix": "mlpclassifier"}, r"prefix must end with two underscores.* Got 'mlpclassifier'"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        search_space(**options)
