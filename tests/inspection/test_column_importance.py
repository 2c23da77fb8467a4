"""Importance of the columns of a table, against predictions for changed tables."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor
from skmlp.inspection import _columns, feature_importance
from skmlp.nn.layers import EmbedCategories

RNG = np.random.default_rng(0)
N = 120
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(500.0, 100.0, N),
        "count": pd.array(RNG.integers(0, 9, N), dtype="Int64"),
        "color": pd.Categorical(RNG.choice(["red", "blue", "green"], N, p=[0.5, 0.3, 0.2])),
        "town": RNG.choice([f"town {number}" for number in range(8)], N),
        "flag": RNG.random(N) < 0.1,
        "noted": np.where(RNG.random(N) < 0.4, np.nan, 3.0),
    }
)
FRAME.loc[::7, "size"] = np.nan
FRAME.loc[::11, "color"] = None
Y = FRAME["size"].fillna(400.0).to_numpy() / 100.0 + 3.0 * (FRAME["color"] == "red").to_numpy() + FRAME["flag"]
LABELS = np.digitize(Y, [5.0, 7.0])
SMALL = {"hidden_layer_sizes": [(16, 8)]}
TABLE = {"missing": "indicator", "scaling": "standard"}
MODELS: dict[str, Any] = {
    "regressor": lambda: MLPRegressor(hidden_layer_sizes=(9,), max_iter=30, random_state=0, **TABLE),
    "two classes": lambda: MLPClassifier((9,), max_iter=30, random_state=0, **TABLE),
    "three classes": lambda: MLPClassifier((9,), max_iter=30, random_state=0, **TABLE),
    "embedded": lambda: MLPRegressor(
        hidden_layer_sizes=(9,),
        max_iter=30,
        random_state=0,
        categorical_embedding=EmbedCategories(dimension=3, min_categories=5),
        numeric_embedding="pbld",
        **TABLE,
    ),
    "not scaled": lambda: MLPRegressor(hidden_layer_sizes=(9,), max_iter=30, random_state=0, missing="indicator"),
    "tabular regressor": lambda: TabularMLPRegressor(2, max_iter=10, members=SMALL, random_state=0),
    "tabular classifier": lambda: TabularMLPClassifier(2, max_iter=10, members=SMALL, random_state=0),
}


def targets(name: str) -> Any:
    return LABELS if "three" in name else (Y > 6.0).astype(int) if "class" in name else Y


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[request.param]().fit(FRAME, targets(request.param))


def values(model: Any, frame: Any) -> Any:
    """Return the predictions, with the outputs of a classifier of two classes as one."""
    if not hasattr(model, "classes_"):
        return model.predict(frame)[:, np.newaxis]
    p = model.predict_proba(frame)
    return p[:, 1:] if len(model.classes_) == 2 else p


def drawn(model: Any, column: str) -> Any:
    """Return the standard deviation of the predictions for each row when the value of a column is drawn from it."""
    outcomes = [values(model, FRAME.assign(**{column: FRAME[column].take([row] * N).to_numpy()})) for row in range(N)]
    return np.std(outcomes, axis=0).mean(axis=1)


def gradient(model: Any, column: str, frame: Any = FRAME) -> Any:
    """Return the derivatives by a column of numbers, by central differences where predictions are in float64."""
    if hasattr(model, "estimators_"):
        slopes = model.input_gradient(frame)[..., list(FRAME).index(column)]
        return slopes if slopes.ndim == 2 else slopes[:, np.newaxis]
    numbers, step = frame[column].astype(float), 1e-6 * float(frame[column].astype(float).max())
    high, low = (values(model, frame.assign(**{column: numbers + move})) for move in (step, -step))
    return (high - low) / (2.0 * step)


def assert_is(found: Any, moves: Any) -> None:
    np.testing.assert_allclose(found, [moves.mean(), moves.std()], rtol=1e-3, atol=1e-7)


def test_a_category_is_as_important_as_the_prediction_varies_with_it(model: Any) -> None:
    found = feature_importance(model, FRAME)
    assert sorted(found.index) == sorted(FRAME)
    assert found["importance"].is_monotonic_decreasing
    for column in ("color", "town", "flag"):
        assert_is(found.loc[column], drawn(model, column))


def test_a_number_is_as_important_as_its_gradient_times_its_deviation(model: Any) -> None:
    moves = np.abs(gradient(model, "count")).mean(axis=1) * FRAME["count"].astype(float).std(ddof=0)
    assert_is(feature_importance(model, FRAME).loc["count"], moves)


def test_whether_a_number_is_missing_is_a_part_of_its_importance(model: Any) -> None:
    missing = FRAME["size"].isna().to_numpy()
    filled = FRAME.assign(size=FRAME["size"].fillna(FRAME["size"].median()))
    slopes = gradient(model, "size", filled) * FRAME["size"].std(ddof=0)
    without = FRAME.assign(size=np.nan)
    jump = values(model, filled) - values(model, without)
    q = missing.mean()
    variance = (1.0 - q) * slopes**2 + q * (1.0 - q) * jump**2
    assert_is(feature_importance(model, FRAME).loc["size"], np.sqrt(variance).mean(axis=1))


def test_only_whether_a_constant_number_is_missing_matters(model: Any) -> None:
    assert_is(feature_importance(model, FRAME).loc["noted"], drawn(model, "noted"))


def test_permutation_refers_to_the_columns_too(model: Any) -> None:
    y = targets("three classes") if len(getattr(model, "classes_", ())) > 2 else targets("two classes")
    y = y if hasattr(model, "classes_") else Y
    found = feature_importance(model, FRAME, y, method="permutation", n_repeats=1, random_state=0)
    assert sorted(found.index) == sorted(FRAME)


def test_a_flag_is_as_important_as_a_number_or_as_a_category() -> None:
    flags = np.where(RNG.random(N) < 0.1, 1, 0)
    frame = pd.DataFrame({"flag": flags, "other": RNG.standard_normal(N)})
    y = 2.0 * flags + frame["other"]
    linear = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0.0, "max_iter": 500, "random_state": 0}
    for chosen in ({}, {"categorical_features": ["flag"]}):
        est = MLPRegressor(**linear, **chosen).fit(frame, y)
        found = feature_importance(est, frame)["importance"]
        assert found["flag"] == pytest.approx(2.0 * flags.std(), rel=1e-3)
        assert found["other"] == pytest.approx(frame["other"].std(ddof=0), rel=1e-3)


def test_columns_in_another_order_and_unknown_categories_are_read_as_in_a_prediction(model: Any) -> None:
    wanted = feature_importance(model, FRAME)
    pd.testing.assert_frame_equal(feature_importance(model, FRAME[FRAME.columns[::-1]]), wanted)
    strange = FRAME.assign(town="nowhere")
    assert feature_importance(model, strange).loc["town", "importance"] == pytest.approx(0.0, abs=1e-12)


def test_many_rows_and_categories_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 3000
    town = np.minimum(RNG.geometric(0.05, n), 60)
    frame = pd.DataFrame({"town": pd.Categorical([f"{each:02d}" for each in town]), "x": RNG.standard_normal(n)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        est = MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(frame, np.sqrt(town))
    sampled = feature_importance(est, frame)["importance"]
    monkeypatch.setattr(_columns, "MOST_ROWS", n)
    monkeypatch.setattr(_columns, "MOST_CATEGORIES", 100)
    exact = feature_importance(est, frame)["importance"]
    assert not sampled.equals(exact)
    np.testing.assert_allclose(sampled[exact.index], exact, rtol=0.25)


def test_drawn_categories_have_the_frequencies_of_all() -> None:
    codes = np.repeat(np.arange(40), [160, *[4] * 39])
    values, weights = _columns._drawn(codes)
    assert weights[values.index(0)] == pytest.approx(160 / len(codes), abs=1 / 16)
    assert len(values) <= 16
    assert weights.sum() == pytest.approx(1.0)
    few, frequencies = _columns._drawn(np.array([2, 5, 5, 5]))
    assert (few, frequencies.tolist()) == ([2, 5], [0.25, 0.75])


def test_a_tabular_estimator_is_found_in_a_pipeline() -> None:
    est = MODELS["tabular regressor"]()
    wrapped = make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), est).fit(FRAME, Y)
    pd.testing.assert_frame_equal(feature_importance(wrapped, FRAME), feature_importance(wrapped[-1], FRAME))


def test_a_table_without_numbers_or_without_names_is_no_exception() -> None:
    est = TabularMLPRegressor(1, max_iter=3, members=SMALL, random_state=0)
    only = FRAME[["color", "town"]]
    assert sorted(feature_importance(est.fit(only, Y), only).index) == ["color", "town"]
    numbers = RNG.standard_normal((N, 3))
    found = feature_importance(est.fit(numbers, Y), numbers)
    assert sorted(found.index) == ["x0", "x1", "x2"]
    certain = MLPClassifier((4,), max_iter=2, missing="indicator").partial_fit(only, [0] * N, classes=[0])
    assert (feature_importance(certain, only)["importance"] == 0.0).all()
    constant = np.ones((N, 2))
    assert (feature_importance(est.fit(constant, Y), constant)["importance"] == 0.0).all()
