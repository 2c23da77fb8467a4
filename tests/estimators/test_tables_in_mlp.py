"""MLPClassifier and MLPRegressor on tables: categories, missing values, scaling and embeddings."""

import copy
import io
import pickle
import re
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.compose import make_column_transformer
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.layers import PBLD, EmbedCategories, PiecewiseLinear
from skmlp.nn.layers.piecewise_linear_embedding import PiecewiseLinearEmbedding

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

N = 60
RNG = np.random.default_rng(0)
CODES = [f"k{code:02}" for code in range(12)]
COLUMNS: dict[str, Any] = {
    "x": RNG.standard_normal(N),
    "city": RNG.choice(["Bari", "Como", "Lodi", "Pisa", "Roma"], N),
    "z": 50.0 + 100.0 * RNG.standard_normal(N),
    "flag": RNG.choice(["no", "yes"], N),
    "code": RNG.permutation(CODES * (N // 12)),
}
TABLE = pd.DataFrame(COLUMNS).astype({"code": "category"})
NUMBERS = COLUMNS["x"] + (COLUMNS["city"] == "Bari") + COLUMNS["z"] / 100.0
Y: dict[Any, Any] = {MLPClassifier: np.where(NUMBERS > 0.5, "high", "low"), MLPRegressor: NUMBERS}
# A missing value in each column, and several in one.
GAPS = TABLE.copy()
for _row, _name in enumerate([*TABLE, "x", "x"]):
    GAPS.loc[_row, _name] = None
LEARNED: dict[str, Any] = {"scaling": "robust", "numeric_embedding": PBLD(n_frequencies=4), "input_scale": 6.0}


def _estimator(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 4, "batch_size": 20, "random_state": 0, **params})


def _fit(cls: Any, rows: Any = TABLE, **params: Any) -> Any:
    return _estimator(cls, **params).fit(rows, Y[cls])


def _linear(rows: Any = TABLE, y: Any = NUMBERS, **params: Any) -> Any:
    """Return a linear model of the encoded table: its weights tell what the columns of the array are."""
    return MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", max_iter=500, dtype="float64", **params).fit(rows, y)


def _output(estimator: Any, rows: Any) -> Any:
    return estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else estimator.predict(rows)


FRAMES: dict[str, Any] = {
    "pandas objects": TABLE.astype({"city": object, "flag": object, "code": object}),
    "pandas strings": TABLE.astype({"city": "string", "flag": "string", "code": "string"}),
    "pandas categories": TABLE.astype({"city": "category", "flag": "category"}),
    "pandas pyarrow": TABLE.astype(dict.fromkeys(("city", "flag", "code"), "string[pyarrow]")),
    "polars": pl.DataFrame(COLUMNS),
    "polars categories": pl.DataFrame(COLUMNS).with_columns(pl.col("city", "flag").cast(pl.Categorical)),
    "polars enum": pl.DataFrame(COLUMNS).with_columns(pl.col("code").cast(pl.Enum(CODES))),
    "pyarrow": pa.table(COLUMNS),
    "pyarrow dictionaries": pa.table({**COLUMNS, "code": pa.array(COLUMNS["code"].tolist()).dictionary_encode()}),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_of_every_library_give_the_same_network_and_predictions(kind: str) -> None:
    expected, est = _fit(MLPClassifier), _fit(MLPClassifier, FRAMES[kind])
    np.testing.assert_array_equal(est.coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(est.predict_proba(TABLE), expected.predict_proba(FRAMES[kind]))
    np.testing.assert_array_equal(est.predict(FRAMES[kind]), expected.predict(TABLE))
    assert est.n_features_in_ == 5
    assert list(est.feature_names_in_) == list(TABLE)


def test_columns_of_arrays_are_categories_by_position_or_mask() -> None:
    expected = _fit(MLPClassifier)
    objects = TABLE.to_numpy(dtype=object)
    for choice in ([1, 3, 4], [False, True, False, True, True]):
        est = _fit(MLPClassifier, objects, categorical_features=choice)
        np.testing.assert_array_equal(est.predict_proba(objects.tolist()), expected.predict_proba(TABLE))
        assert not hasattr(est, "feature_names_in_")
    by_name = _fit(MLPClassifier, categorical_features=["code", "city", "flag"])
    np.testing.assert_array_equal(by_name.coefs_[0], expected.coefs_[0])


@BOTH
def test_columns_are_found_by_name_in_any_order(cls: Any) -> None:
    est, other = _fit(cls), TABLE[list(TABLE)[::-1]]
    np.testing.assert_array_equal(_output(est, other), _output(est, TABLE))
    assert est.loss_and_gradients(other, Y[cls])[0] == est.loss_and_gradients(TABLE, Y[cls])[0]
    own = _estimator(cls).fit(TABLE, Y[cls], X_val=other, y_val=Y[cls]).history_["validation_loss"]
    assert own == _estimator(cls).fit(TABLE, Y[cls], X_val=TABLE, y_val=Y[cls]).history_["validation_loss"]
    continued = copy.deepcopy(est).partial_fit(other, Y[cls])
    np.testing.assert_array_equal(continued.coefs_[0], est.partial_fit(TABLE, Y[cls]).coefs_[0])


def test_two_categories_are_a_flag_and_more_are_one_hot() -> None:
    est = _linear(alpha=0.1)
    (weights,), (intercept,) = est.coefs_, est.intercepts_
    assert weights.shape == (2 + 1 + 5 + 12, 1)  # x and z, the flag, cities, codes
    row = TABLE.iloc[:1].assign(x=0.0, z=0.0, flag="no", city="Como", code="k03")
    start = intercept[0] - weights[2, 0]
    np.testing.assert_allclose(est.predict(row), start + weights[4, 0] + weights[11, 0])
    np.testing.assert_allclose(est.predict(row.assign(flag="yes")) - est.predict(row), 2.0 * weights[2, 0])
    np.testing.assert_allclose(est.predict(row.assign(x=1.0)) - est.predict(row), weights[0, 0])
    # What is not in the training data is neither of two categories, and none of several.
    np.testing.assert_allclose(est.predict(row.assign(flag="maybe")) - est.predict(row), weights[2, 0])
    np.testing.assert_allclose(est.predict(row) - est.predict(row.assign(city="Oslo")), weights[4, 0])


def test_rare_categories_are_one() -> None:
    cities = ["Bari"] * 25 + ["Como"] * 20 + ["Lodi"] * 8 + ["Pisa"] * 7
    est = _linear(TABLE.assign(city=cities), max_categories=3, categorical_features=["city", "flag", "code"])
    assert est.coefs_[0].shape == (2 + 1 + 3 + 3, 1)
    rows = TABLE.iloc[:3].assign(city=["Lodi", "Pisa", "Oslo"], x=0.0, z=0.0, flag="no", code="k01")
    assert np.unique(est.predict(rows)).size == 1
    assert est.predict(rows)[0] != est.predict(rows.assign(city="Bari"))[0]


def test_missing_numbers_are_medians_with_an_indicator_and_missing_categories_a_category() -> None:
    est = _linear(GAPS, missing="indicator", alpha=0.1)
    # x and z, flags: indicators of x and z; one-hot: cities, flag and codes with a missing value each.
    (weights,) = est.coefs_
    assert weights.shape == (2 + 2 + 6 + 3 + 13, 1)
    row = TABLE.iloc[:1].assign(x=GAPS["x"].median())
    np.testing.assert_allclose(est.predict(row.assign(x=np.nan)) - est.predict(row), 2.0 * weights[2, 0])
    assert est.predict(row.assign(city=None))[0] != est.predict(row.assign(city="Oslo"))[0]


@BOTH
def test_a_missing_value_is_an_error_that_names_the_column(cls: Any) -> None:
    est = _fit(cls)
    for call in (
        lambda: _fit(cls, GAPS[["x", "city"]]),
        lambda: est.predict(TABLE.assign(x=np.nan)),
        lambda: est.partial_fit(TABLE.assign(x=np.nan), Y[cls]),
    ):
        with pytest.raises(ValueError, match=r"olumn 'x' (of X )?has \d+ missing value.*set missing=\"indicator\""):
            call()
    with pytest.raises(ValueError, match="Column 'x' of X_val has 3 missing values"):
        _estimator(cls).fit(TABLE, Y[cls], X_val=TABLE.assign(x=GAPS["x"]), y_val=Y[cls])


@pytest.mark.parametrize("scaling", ["robust", "standard", "quantile", "mixed"])
def test_scaling_makes_the_unit_of_numbers_irrelevant(scaling: str) -> None:
    est = _fit(MLPRegressor, scaling=scaling)
    other = TABLE.assign(z=TABLE["z"] * 1024.0, x=TABLE["x"] - 8.0)
    np.testing.assert_allclose(_fit(MLPRegressor, other, scaling=scaling).predict(other), est.predict(TABLE), rtol=1e-4)


def test_a_layer_learns_from_the_training_rows() -> None:
    """From all of a fit, and from those of the first call of partial_fit; not from rows of weight zero."""
    params: dict[str, Any] = {"numeric_embedding": PiecewiseLinear(n_bins=4, dimension=2)}
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]

    def edges(est: Any) -> Any:
        network, params = est._model.network, est._model.params
        layers = zip(network.layers, params.layers, strict=True)
        return next(views["edges"] for layer, views in layers if isinstance(layer, PiecewiseLinearEmbedding))[0]

    np.testing.assert_allclose(edges(_fit(MLPRegressor, **params)), np.quantile(TABLE["x"], levels), rtol=1e-6)
    half = slice(N // 2)
    of_half = np.quantile(TABLE["x"][half], levels)
    weighted = _estimator(MLPRegressor, **params).fit(TABLE, NUMBERS, sample_weight=np.repeat([1.0, 0.0], N // 2))
    np.testing.assert_allclose(edges(weighted), of_half, rtol=1e-6)
    est = _estimator(MLPRegressor, **params).partial_fit(TABLE[half], NUMBERS[half])
    np.testing.assert_allclose(edges(est.partial_fit(TABLE, NUMBERS)), of_half, rtol=1e-6)
    # Equal rows count, although full batches merge them.
    repeated = [*range(N), *[0] * 20]
    est = _estimator(MLPRegressor, batch_size="full", **params).fit(TABLE.iloc[repeated], NUMBERS[repeated])
    np.testing.assert_allclose(edges(est), np.quantile(TABLE["x"].iloc[repeated], levels), rtol=1e-6)


# ---------------------------------------------------------------------- training


@BOTH
def test_calls_of_partial_fit_are_the_training_of_fit(cls: Any) -> None:
    params = {**LEARNED, "missing": "indicator", "dropout": 0.2}
    est = _estimator(cls, **params)
    classes = {"classes": ["high", "low"]} if cls is MLPClassifier else {}
    for call in range(4):
        est.partial_fit(GAPS, Y[cls], **(classes if call == 0 else {}))
    np.testing.assert_array_equal(_output(est, GAPS), _output(_fit(cls, GAPS, **params), GAPS))


def test_partial_fit_learns_the_table_from_the_first_batch() -> None:
    few = TABLE["city"].isin(["Bari", "Como", "Lodi"])
    est = _estimator(MLPRegressor, scaling="standard").partial_fit(TABLE[few], NUMBERS[few])
    shapes, row = [each.shape for each in est.coefs_], TABLE[few].iloc[:1]
    before = est._table
    est.partial_fit(TABLE.assign(z=1e6), NUMBERS)
    assert [each.shape for each in est.coefs_] == shapes
    assert est._table is before
    np.testing.assert_array_equal(est.predict(row.assign(city="Roma")), est.predict(row.assign(city="Oslo")))


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warm_start_continues_and_refuses_another_architecture(cls: Any, solver: str) -> None:
    est = _fit(cls, warm_start=True, solver=solver, **LEARNED)
    first, table = est.history_["loss"][-1], est._table
    assert est.fit(TABLE, Y[cls]).history_["loss"][-1] < first
    assert est._table is table
    before = _output(est, TABLE)
    for name, value in (("numeric_embedding", None), ("input_scale", 2.0), ("parametrization", "ntk")):
        changed = clone(est).set_params(**{name: value}).get_params()[name]
        was = est.get_params()[name]
        with pytest.raises(ValueError, match=re.escape(f"{name} was {was!r} and is now {changed!r}")):
            est.set_params(**{name: value}).fit(TABLE, Y[cls])
        est.set_params(**{name: was})
    for name, value, was in (("scaling", "quantile", "robust"), ("missing", "indicator", "error")):
        with pytest.raises(
            ValueError, match=f"tables as they were encoded, but {name} was '{was}' and is now '{value}'"
        ):
            est.set_params(**{name: value}).fit(TABLE, Y[cls])
        est.set_params(**{name: was})
    np.testing.assert_array_equal(_output(est, TABLE), before)


@BOTH
def test_lbfgs_reaches_a_stationary_point(cls: Any) -> None:
    params = {"scaling": "robust", "missing": "indicator", "alpha": 1.0, "hidden_layer_sizes": (), "tol": 1e-6}
    est = _fit(cls, GAPS, solver="lbfgs", max_iter=500, **params)
    assert est.stop_reason_ == "converged"
    _, *gradients = est.loss_and_gradients(GAPS, Y[cls])
    for gradient, values in zip(gradients, (est.coefs_, est.intercepts_), strict=True):
        assert [each.shape for each in gradient] == [each.shape for each in values]
        assert max(np.abs(each).max() for each in gradient) < 1e-5


@BOTH
def test_the_validation_score_is_that_of_the_held_out_rows_of_the_frame(cls: Any) -> None:
    scoring = "neg_log_loss" if cls is MLPClassifier else "neg_mean_absolute_error"
    split = ShuffleSplit(1, test_size=20, random_state=0)
    est = _fit(cls, GAPS, validation_split=split, scoring=scoring, missing="indicator", dtype="float64", **LEARNED)
    ((_, held_out),) = split.split(GAPS)
    score = get_scorer(scoring)(est, GAPS.iloc[held_out], Y[cls][held_out])
    assert est.history_["validation_score"][-1] == pytest.approx(score, rel=1e-12)
    given = _estimator(cls, scoring=scoring, early_stopping=True, missing="indicator", dtype="float64", **LEARNED)
    given.fit(GAPS, Y[cls], X_val=GAPS.iloc[held_out], y_val=Y[cls][held_out])
    score = get_scorer(scoring)(given, GAPS.iloc[held_out], Y[cls][held_out])
    assert given.best_validation_score_ == pytest.approx(score, rel=1e-12)


@BOTH
def test_a_callback_scores_frames(cls: Any) -> None:
    scoring = "neg_log_loss" if cls is MLPClassifier else "r2"
    monitor = ScoringMonitor(scoring=scoring)
    est = _estimator(cls, **LEARNED).set_callbacks(monitor).fit(TABLE, Y[cls])
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 4
    assert rows[-1][scoring] == pytest.approx(get_scorer(scoring)(est, TABLE, Y[cls]), rel=1e-12)


@BOTH
@pytest.mark.parametrize("kind", ["pandas objects", "polars", "pyarrow", "array", "list"])
def test_a_row_of_weight_zero_is_absent(cls: Any, kind: str) -> None:
    """Also from what is learned about the table."""
    params = {"solver": "lbfgs", "missing": "indicator", "categorical_features": [1, 3, 4], **LEARNED}
    kept = TABLE["city"] != "Roma"
    weight = kept.to_numpy(dtype=float)
    arrays = {"array": TABLE.to_numpy(dtype=object), "list": TABLE.to_numpy(dtype=object).tolist()}
    rows = arrays[kind] if kind in arrays else FRAMES[kind]
    est = _estimator(cls, **params).fit(rows, Y[cls], sample_weight=weight)
    absent = TABLE[kept] if hasattr(est, "feature_names_in_") else TABLE[kept].to_numpy(dtype=object)
    expected = _estimator(cls, **params).fit(absent, Y[cls][kept])
    np.testing.assert_allclose(_output(est, rows), _output(expected, rows), rtol=1e-6)


@BOTH
def test_a_weight_of_two_is_a_row_twice(cls: Any) -> None:
    params = {"solver": "lbfgs", "missing": "indicator", "numeric_embedding": "cosine", "input_scale": 6.0}
    weight = np.where(TABLE["flag"] == "yes", 2.0, 1.0)
    twice = np.repeat(np.arange(N), weight.astype(int))
    est = _estimator(cls, **params).fit(TABLE, Y[cls], sample_weight=weight)
    expected = _estimator(cls, **params).fit(TABLE.iloc[twice], Y[cls][twice])
    np.testing.assert_allclose(_output(est, TABLE), _output(expected, TABLE), rtol=1e-5)


@BOTH
def test_a_refit_trains_on_all_rows(cls: Any) -> None:
    params = {"bias_init": "zeros", **LEARNED}
    est = _fit(cls, early_stopping=True, refit=True, **params)
    same = _fit(cls, max_iter=est.best_n_iter_, **params)
    np.testing.assert_array_equal(_output(est, TABLE), _output(same, TABLE))


def test_validation_data_of_another_scale_are_told_by_the_name_of_the_column() -> None:
    far = TABLE.assign(x=TABLE["x"] * 100.0, z=TABLE["z"] * 100.0)
    with pytest.warns(UserWarning, match=r"X_val is on another scale .* 2 of 2 columns, most of all in column 'z'"):
        _estimator(MLPClassifier).fit(TABLE, Y[MLPClassifier], X_val=far, y_val=Y[MLPClassifier])
    words = TABLE[["city", "flag", "code"]]
    other = words.assign(city="Roma", flag="yes", code="k11")
    _estimator(MLPClassifier).fit(words, Y[MLPClassifier], X_val=other, y_val=Y[MLPClassifier])


# ---------------------------------------------------------------------- derivatives

ACROSS: dict[str, Any] = {"activation": "tanh", "missing": "indicator", "categorical_embedding": EmbedCategories(3, 5)}


@BOTH
@pytest.mark.parametrize("scaling", [None, "robust", "standard"])
@pytest.mark.parametrize("embedding", [None, PBLD(n_frequencies=4)])
def test_input_gradient_is_that_of_central_differences_by_column_of_the_frame(
    cls: Any, scaling: Any, embedding: Any
) -> None:
    est = _fit(cls, GAPS, scaling=scaling, numeric_embedding=embedding, **ACROSS)

    def predict(rows: Any) -> Any:
        return est.predict_proba(rows)[:, 1] if cls is MLPClassifier else est.predict(rows)

    gradient = est.input_gradient(GAPS)
    assert gradient.shape == GAPS.shape
    for column, name in enumerate(GAPS):
        if name in ("x", "z"):
            step = 1e-5 * GAPS[name].std()
            up, down = (predict(GAPS.assign(**{name: GAPS[name] + move})) for move in (step, -step))
            # A missing number is missing on both sides, and so nothing depends on it.
            np.testing.assert_allclose(gradient[:, column], (up - down) / (2.0 * step), rtol=1e-5, atol=1e-9)
            assert (gradient[GAPS[name].isna(), column] == 0.0).all()
        else:
            assert np.isnan(gradient[:, column]).all()


def test_input_gradient_has_an_axis_for_several_outputs() -> None:
    y = np.column_stack([NUMBERS, -NUMBERS])
    est = _estimator(MLPRegressor, **LEARNED).fit(TABLE.assign(constant=3.0), y)
    gradient = est.input_gradient(TABLE.assign(constant=3.0))
    assert gradient.shape == (N, 2, 6)
    np.testing.assert_array_equal(gradient[:, :, 5], 0.0)
    np.testing.assert_array_equal(np.isnan(gradient[0]), [[False, True, False, True, True, False]] * 2)


# ---------------------------------------------------------------------- storing


def _by_joblib(estimator: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def _by_skops(estimator: Any) -> Any:
    stored = skops.io.dumps(estimator)
    unknown = skops.io.get_untrusted_types(data=stored)
    assert unknown == [f"skmlp.estimators.{type(estimator).__name__[3:].lower()}.{type(estimator).__name__}"]
    return skops.io.loads(stored, trusted=unknown)


COPIES: dict[str, Any] = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": _by_joblib,
    "skops": _by_skops,
    "deepcopy": copy.deepcopy,
}


@BOTH
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("scaling", ["robust", "quantile"])
def test_a_copy_predicts_and_continues_like_the_original(cls: Any, way: str, scaling: str) -> None:
    params = {**LEARNED, "scaling": scaling, "categorical_embedding": EmbedCategories(3, 5), "missing": "indicator"}
    original = _fit(cls, GAPS, **params)
    other = COPIES[way](original)
    np.testing.assert_array_equal(_output(other, GAPS), _output(original, GAPS))
    assert repr(other.get_params()) == repr(original.get_params())
    np.testing.assert_array_equal(
        other.partial_fit(GAPS, Y[cls]).coefs_[0], original.partial_fit(GAPS, Y[cls]).coefs_[0]
    )
    assert not hasattr(clone(other), "_model")
    assert clone(other).fit(GAPS, Y[cls]).n_features_in_ == 5


def test_a_shallow_copy_predicts_like_the_original() -> None:
    est = _fit(MLPClassifier, GAPS, missing="indicator", **LEARNED)
    np.testing.assert_array_equal(copy.copy(est).predict_proba(GAPS), est.predict_proba(GAPS))


# ---------------------------------------------------------------------- with scikit-learn


def test_a_transformer_that_returns_a_frame_passes_categories_on() -> None:
    scaled = make_column_transformer((StandardScaler(), ["x", "z"]), remainder="passthrough")
    model = make_pipeline(scaled.set_output(transform="pandas"), _estimator(MLPClassifier))
    model.fit(TABLE, Y[MLPClassifier])
    assert model[-1].coefs_[0].shape == (20, 5)
    assert model.predict_proba(TABLE).shape == (N, 2)


@BOTH
def test_a_search_chooses_scaling_and_embedding(cls: Any) -> None:
    grid = {
        "scaling": ["robust", "quantile"],
        "numeric_embedding": [PBLD(n_frequencies=4), None],
        "categorical_embedding__dimension": [1, 3],
    }
    est = _estimator(cls, categorical_embedding=EmbedCategories(2, 4))
    search = GridSearchCV(est, grid, cv=2).fit(TABLE, Y[cls])
    assert np.unique(search.cv_results_["mean_test_score"].round(9)).size > 2
    assert search.predict(TABLE).shape == (N,)


# ---------------------------------------------------------------------- what is refused

BAD: dict[str, tuple[Any, Any, Any, str]] = {
    "dates": (TABLE.assign(t=pd.Timestamp(0)), None, TypeError, "Column 't' of X holds dates"),
    "infinity": (TABLE.assign(x=np.inf), None, ValueError, "Column 'x' of X has 60 infinite values"),
    "duplicate names": (
        TABLE.set_axis(list("abcda"), axis=1),
        None,
        ValueError,
        "(?s)unique column names.*'a' 2 times",
    ),
    "no rows": (TABLE[:0], None, ValueError, r"Found array with 0 sample\(s\)"),
    "too few targets": (TABLE, NUMBERS[:7], ValueError, r"X and y: .*inconsistent numbers of samples: \[60, 7\]"),
    "no targets": (TABLE, "None", ValueError, "requires y to be passed, but the target y is None"),
    "missing targets": (TABLE, np.full(N, np.nan), ValueError, "Input y contains NaN"),
}


@BOTH
@pytest.mark.parametrize("case", BAD)
def test_a_failed_fit_leaves_the_estimator_as_it_was(cls: Any, case: str) -> None:
    rows, y, error, words = BAD[case]
    y = Y[cls][: len(rows)] if y is None else None if isinstance(y, str) else y
    new = _estimator(cls)
    fitted = _fit(cls, TABLE[["city", "x"]], scaling="standard")
    before, table, layout = _output(fitted, TABLE[["city", "x"]]), fitted._table, fitted._layout
    for est in (new, fitted):
        with pytest.raises(error, match=words):
            est.fit(rows, y)
    assert "_table" not in vars(new)
    assert not hasattr(new, "n_features_in_")
    assert (fitted._table, fitted._layout, fitted.n_features_in_) == (table, layout, 2)
    np.testing.assert_array_equal(_output(fitted, TABLE[["city", "x"]]), before)


@BOTH
def test_a_failed_partial_fit_leaves_the_estimator_as_it_was(cls: Any) -> None:
    est = _fit(cls)
    before, table = _output(est, TABLE), est._table
    for rows in (
        TABLE.assign(x="many"),
        TABLE.drop(columns="x"),
        TABLE.assign(city=3),
        TABLE.rename(columns=str.upper),
    ):
        with pytest.raises((ValueError, TypeError)):
            est.partial_fit(rows, Y[cls])
        assert est._table is table
        np.testing.assert_array_equal(_output(est, TABLE), before)


@BOTH
def test_a_fit_on_numbers_after_one_on_a_table_is_a_new_one(cls: Any) -> None:
    numbers = TABLE[["x", "z"]].to_numpy()
    est = _fit(cls).fit(numbers, Y[cls])
    assert est._table is est._layout is None
    np.testing.assert_array_equal(_output(est, numbers), _output(_fit(cls, numbers), numbers))
    assert not hasattr(est, "feature_names_in_")


TABLE_PARAMETERS: dict[str, Any] = {
    "scaling": "robust",
    "missing": "indicator",
    "numeric_embedding": "pbld",
    "categorical_embedding": EmbedCategories(),
    "input_scale": 6.0,
    "categorical_features": [0],
}


@pytest.mark.parametrize("name", TABLE_PARAMETERS)
def test_sparse_rows_are_refused_by_the_parameter_that_needs_columns(name: str) -> None:
    rows, y = sparse.csr_matrix(TABLE[["x", "z"]].to_numpy()), Y[MLPClassifier]
    est = _estimator(MLPClassifier, **{name: TABLE_PARAMETERS[name]})
    assert not est.__sklearn_tags__().input_tags.sparse
    assert est.__sklearn_tags__().input_tags.allow_nan == (name == "missing")
    words = rf"Sparse data was passed for X, but {name}=.* needs dense data. Use '.toarray\(\)'"
    with pytest.raises(TypeError, match=words):
        est.fit(rows, y)
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        est.fit(rows.toarray(), y).predict(rows)
    with pytest.raises(TypeError, match="Sparse data was passed for X_val"):
        est.fit(rows.toarray(), y, X_val=rows, y_val=y)
    assert _estimator(MLPClassifier).__sklearn_tags__().input_tags.sparse


def test_names_are_compared_as_scikit_learn_does() -> None:
    est, objects = _fit(MLPClassifier), TABLE.to_numpy(dtype=object)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPClassifier was fitted with"):
        without = est.predict_proba(objects)
    np.testing.assert_array_equal(without, est.predict_proba(TABLE))
    with pytest.raises(ValueError, match=r"(?s)The feature names should match.*missing:\n- flag\n- x"):
        est.predict(TABLE[["city", "z", "code"]])
    by_position = _fit(MLPClassifier, objects, categorical_features=[1, 3, 4])
    with pytest.warns(UserWarning, match="X has feature names, but MLPClassifier was fitted without feature names"):
        np.testing.assert_array_equal(by_position.predict_proba(TABLE), without)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 5 features as input"):
        by_position.predict(objects[:, :3])
    with pytest.raises(ValueError, match="X_val has 3 features, but MLPClassifier is expecting 5 features as input"):
        _estimator(MLPClassifier, categorical_features=[1, 3, 4]).fit(
            objects, Y[MLPClassifier], X_val=objects[:, :3], y_val=Y[MLPClassifier]
        )
    for rows in (None, 3.0, objects[0], objects[:0]):
        with pytest.raises(ValueError, match=r"X: Expected 2D array, got (1D|scalar)|Found array with 0 sample\(s\)"):
            by_position.predict(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_choose_the_type_to_compute_in(dtype: Any) -> None:
    rows = TABLE[["x", "z"]].to_numpy(dtype)
    est = _fit(MLPRegressor, rows, dtype="input", **LEARNED)
    assert est.coefs_[0].dtype == est.predict(rows).dtype == dtype
    assert _fit(MLPRegressor, dtype="input").coefs_[0].dtype == np.float64


def test_a_table_without_information_predicts_the_same_for_all_rows() -> None:
    constant = pd.DataFrame({"a": ["u"] * N, "b": [1.0] * N})
    for params in ({}, LEARNED):
        est = _fit(MLPClassifier, constant, **params)
        rows = pd.DataFrame({"a": ["u", "v"], "b": [1.0, 2.0]})
        p = est.predict_proba(rows)
        np.testing.assert_array_equal(p[0], p[1])
        np.testing.assert_array_equal(est.input_gradient(rows), 0.0)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "list"])
def test_a_table_read_in_blocks_gives_the_same_array(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table: Any = {
        "pandas": lambda: GAPS,
        "polars": lambda: pl.from_pandas(GAPS),
        "pyarrow": lambda: pa.Table.from_pandas(GAPS, preserve_index=False),
        "list": lambda: RNG.standard_normal((N, 3)).tolist(),
    }[library]()
    est = MLPRegressor(missing="indicator", scaling="mixed", max_iter=1, random_state=0).fit(table, Y[MLPRegressor])
    assert est._table is not None
    whole = est._table.rows(table, np.float32)
    monkeypatch.setattr("skmlp.estimators.table_inputs.BLOCK_ROWS", 7)
    np.testing.assert_array_equal(est._table.rows(table, np.float32), whole)
