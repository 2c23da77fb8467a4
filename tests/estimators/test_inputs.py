"""What fit and predict take: frames, lists, sparse matrices, all kinds of labels; and what comes out."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

RNG = np.random.default_rng(0)
NAMES = ["a", "b", "c", "d"]
# Small whole numbers: exact in every type.
X = RNG.integers(-3, 4, (60, 4)).astype(np.float64)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def _fit(cls: Any, rows: Any = X, y: Any = Y, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, **params}).fit(rows, y)


def _read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


ROWS: dict[str, Any] = {
    "list": X.tolist(),
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "int64": X.astype(np.int64),
    "int8": X.astype(np.int8),
    "object of numbers": X.astype(object),
    "Fortran order": np.asfortranarray(X),
    "every second column": np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": X[::-1][::-1],
    "read-only": _read_only(X),
    "big-endian": X.astype(">f8"),
    "matrix subclass": X.view(type("Sub", (np.ndarray,), {})),
    "pandas": pd.DataFrame(X, columns=NAMES),
    "pandas without names": pd.DataFrame(X),
    "pandas Float32": pd.DataFrame(X, columns=NAMES).astype("Float32"),
    "pandas Int64": pd.DataFrame(X, columns=NAMES).astype("Int64"),
    "pandas mixed": pd.DataFrame(X, columns=NAMES).astype({"a": "Int64", "b": "float32", "c": "Float64", "d": "int8"}),
    "pandas pyarrow": pd.DataFrame(X, columns=NAMES).astype("double[pyarrow]"),
    "polars": pl.DataFrame(X, schema=NAMES),
    "polars Int32": pl.DataFrame(X, schema=NAMES).cast(pl.Int32),
    "pandas objects": pd.DataFrame(X, columns=NAMES).astype(object),
    "pyarrow": pa.table(dict(zip(NAMES, X.T, strict=True))),
}


# Input checks are the same for both estimators and all solvers.
IN_TURN = [((MLPClassifier, MLPRegressor)[i % 2], kind, ("adam", "lbfgs")[i // 2 % 2]) for i, kind in enumerate(ROWS)]


@pytest.mark.parametrize(("cls", "kind", "solver"), IN_TURN)
def test_rows_of_every_kind_give_the_same_fit(cls: Any, kind: str, solver: str) -> None:
    rows = ROWS[kind]
    kept = rows.copy() if isinstance(rows, np.ndarray) else None
    expected, est = _fit(cls, solver=solver), _fit(cls, rows, solver=solver)
    without_categories = _fit(cls, rows, solver=solver, categorical_features=None)
    for network in (est, without_categories):
        for a, b in zip(
            (*network.coefs_, *network.intercepts_), (*expected.coefs_, *expected.intercepts_), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    # A float32 array goes through the network in float32.
    rtol = 1e-4 if kind == "float32" and cls is MLPRegressor else 0
    np.testing.assert_allclose(est.predict(rows), expected.predict(X), rtol=rtol, atol=rtol)
    assert kept is None or (rows == kept).all()
    if cls is MLPClassifier:
        assert est.score(rows, Y) == expected.score(X, Y)


OPTIONS: list[dict[str, Any]] = [{}, {"batch_size": 16}, {"early_stopping": True}, {"solver": "lbfgs"}]
FORMATS = ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array"]


@BOTH
@pytest.mark.parametrize(
    ("kind", "options"), [*zip(FORMATS, [*OPTIONS, {}], strict=True), *(("csr_matrix", each) for each in OPTIONS[1:])]
)
def test_sparse_and_dense_rows_give_the_same_fit(cls: Any, kind: str, options: dict[str, Any]) -> None:
    rows = getattr(sparse, kind)(X)
    est, expected = (_fit(cls, data, dtype="float64", **options) for data in (rows, X))
    for a, b in zip(est.coefs_, expected.coefs_, strict=True):
        # Sums of at most 60 products in another order, over at most 20 steps.
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(est.predict(rows), est.predict(X), rtol=1e-12)
    loss, grads, _ = est.loss_and_gradients(rows, Y)
    dense_loss, dense_grads, _ = est.loss_and_gradients(X, Y)
    assert loss == pytest.approx(dense_loss, rel=1e-12)
    np.testing.assert_allclose(grads[0], dense_grads[0], rtol=1e-9, atol=1e-14)


FLAG = X[:, 3] > 0
BOOLEANS: dict[str, Any] = {
    "array": X > 0,
    "pandas": pd.DataFrame(X[:, :3], columns=NAMES[:3]).assign(d=FLAG),
    "pandas boolean": pd.DataFrame(X[:, :3], columns=NAMES[:3]).assign(d=pd.array(FLAG, dtype="boolean")),
    "pandas objects": pd.DataFrame(X[:, :3], columns=NAMES[:3]).assign(d=FLAG.astype(object)),
    "pandas categories": pd.DataFrame(X[:, :3], columns=NAMES[:3]).assign(d=pd.Categorical(FLAG)),
    "polars": pl.DataFrame(X[:, :3], schema=NAMES[:3]).with_columns(d=pl.Series(FLAG)),
    "pyarrow": pa.table(dict(zip(NAMES, [*X.T[:3], FLAG], strict=True))),
}


@BOTH
@pytest.mark.parametrize("kind", BOOLEANS)
def test_boolean_columns_count_as_zero_and_one(cls: Any, kind: str) -> None:
    """With and without categorical features, as in scikit-learn, unless other columns make it a table."""
    numbers = (X > 0).astype(float) if kind == "array" else np.column_stack([X[:, :3], FLAG])
    expected = _fit(cls, numbers).coefs_[0]
    for choice in ("from_dtype", None):
        est = _fit(cls, BOOLEANS[kind], categorical_features=choice)
        np.testing.assert_array_equal(est.coefs_[0], expected)
        np.testing.assert_array_equal(est.predict(BOOLEANS[kind]), _fit(cls, numbers).predict(numbers))


@BOTH
@pytest.mark.parametrize("frame_of", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_feature_names_are_stored_and_checked(cls: Any, frame_of: Any) -> None:
    frame = frame_of(dict(zip(NAMES, X.T, strict=True)))
    est = _fit(cls, frame)
    assert list(est.feature_names_in_) == NAMES
    assert est.n_features_in_ == 4
    with pytest.raises(ValueError, match=r"feature names should match.*(\n|.)*same order"):
        est.predict(frame[NAMES[::-1]])
    renamed = frame_of(dict(zip("abcz", X.T, strict=True)))
    for call in (est.predict, lambda rows: est.loss_and_gradients(rows, Y), lambda rows: est.partial_fit(rows, Y)):
        with pytest.raises(ValueError, match=r"feature names should match.*(\n|.)*unseen at fit time:\n- z"):
            call(renamed)
        with pytest.warns(UserWarning, match="does not have valid feature names, but MLP"):
            call(X)
    plain = _fit(cls)
    assert not hasattr(plain, "feature_names_in_")
    with pytest.warns(UserWarning, match="has feature names, but MLP.* was fitted without feature names"):
        plain.predict(frame)
    assert not hasattr(est.fit(X, Y), "feature_names_in_")


LABELS: dict[str, tuple[Any, list[Any], str]] = {
    "int": (np.array([3, 5, 9]), [3, 5, 9], "i"),
    "negative int": (np.array([-7, -1, 4]), [-7, -1, 4], "i"),
    "huge int": (np.array([-(2**62), 0, 2**62 + 1]), [-(2**62), 0, 2**62 + 1], "i"),
    "unsigned": (np.array([0, 200, 255], np.uint8), [0, 200, 255], "u"),
    "float": (np.array([-1.0, 0.0, 2.0]), [-1.0, 0.0, 2.0], "f"),
    "string": (np.array(["low", "mid", "top"]), ["low", "mid", "top"], "U"),
    "object string": (np.array(["low", "mid", "top"], object), ["low", "mid", "top"], "O"),
    "unsorted string": (np.array(["z", "x", "y"]), ["x", "y", "z"], "U"),
    "bool": (np.array([False, True]), [False, True], "b"),
    "two strings": (np.array(["no", "yes"]), ["no", "yes"], "U"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_predictions_have_the_type_of_the_labels(kind: str, method: str) -> None:
    values, classes, dtype_kind = LABELS[kind]
    codes = np.minimum(Y, len(values) - 1)
    y = values[codes]
    est = MLPClassifier(hidden_layer_sizes=(20,), max_iter=200, learning_rate_init=0.05, random_state=0)
    if method == "fit":
        est.fit(X, y)
    else:
        for _ in range(100):
            est.partial_fit(X, y, classes=values)
    assert est.classes_.tolist() == classes
    assert est.classes_.dtype.kind == dtype_kind
    predicted = est.predict(X)
    assert predicted.dtype == est.classes_.dtype
    assert est.score(X, y) > 0.95
    np.testing.assert_array_equal(predicted, est.classes_[est.predict_proba(X).argmax(axis=1)])
    assert est.predict_proba(X).shape == (60, len(classes))
    np.testing.assert_allclose(est.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["string", "category", "object", "Int64", "boolean", "Float64", "string[pyarrow]"])
def test_pandas_labels_are_accepted(dtype: str) -> None:
    values = {"Int64": [1, 2, 3], "Float64": [1.0, 2.0, 3.0], "boolean": [False, True, True]}.get(dtype, list("uvw"))
    plain = np.array(values)[Y]
    series = pd.Series(plain).astype(dtype)
    series.index = series.index[::-1]  # an index has no meaning here
    est = _fit(MLPClassifier, X, series)
    assert est.classes_.tolist() == sorted(set(values))
    np.testing.assert_array_equal(est.predict(X), _fit(MLPClassifier, X, plain).predict(X))
    np.testing.assert_array_equal(est.coefs_[0], _fit(MLPClassifier, X, plain).coefs_[0])
    assert est.score(X, series) == est.score(X, plain)
    if dtype in ("Int64", "Float64", "boolean"):
        a, b = (_fit(MLPRegressor, X, y).coefs_[0] for y in (series, plain.astype(float)))
        np.testing.assert_array_equal(a, b)


def test_targets_may_be_in_any_container() -> None:
    for y in (Y.tolist(), pl.Series("y", Y), _read_only(Y), pd.Series(Y), Y.astype(np.int8)):
        for cls in (MLPClassifier, MLPRegressor):
            np.testing.assert_array_equal(_fit(cls, X, y).coefs_[0], _fit(cls).coefs_[0])
    columns = np.column_stack([Y, -Y]).astype(float)
    for y in (columns.tolist(), pd.DataFrame(columns), pl.DataFrame(columns), np.asfortranarray(columns)):
        np.testing.assert_array_equal(_fit(MLPRegressor, X, y).coefs_[0], _fit(MLPRegressor, X, columns).coefs_[0])


@pytest.mark.parametrize("kind", ["array", "list", "frame", "csr_matrix", "csc_array"])
def test_multilabel_outputs_have_a_column_per_label(kind: str) -> None:
    dense = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 1]).astype(int)
    y = {"array": dense, "list": dense.tolist(), "frame": pd.DataFrame(dense)}.get(kind)
    y = getattr(sparse, kind)(dense) if y is None else y
    est = MLPClassifier(hidden_layer_sizes=(20,), learning_rate_init=0.05, random_state=0).fit(X, y)
    predicted = est.predict(X)
    assert sparse.issparse(predicted) == sparse.issparse(y)
    predicted = predicted.toarray() if sparse.issparse(predicted) else predicted
    assert predicted.dtype.kind == "i"
    assert (predicted == dense).mean() > 0.95
    p = est.predict_proba(X)
    assert p.shape == (60, 3)
    np.testing.assert_array_equal(p > 0.5, predicted)
    assert est.out_activation_ == "logistic"
    assert est.classes_.tolist() == [0, 1, 2]
    assert est.n_outputs_ == 3
    np.testing.assert_allclose(est.predict_log_proba(X), np.log(p), rtol=1e-6)


def test_partial_fit_supports_multilabel_targets() -> None:
    y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 1]).astype(int)
    settings = {"hidden_layer_sizes": (5,), "batch_size": 16, "random_state": 0, "tol": 0.0}
    pieces = MLPClassifier(**settings)
    for _ in range(3):
        pieces.partial_fit(X, y, classes=[0, 1, 2])
    whole = MLPClassifier(max_iter=3, **settings).fit(X, y)
    np.testing.assert_array_equal(pieces.coefs_[0], whole.coefs_[0])
    np.testing.assert_array_equal(pieces.classes_, whole.classes_)


@BOTH
def test_a_column_vector_is_flattened_with_a_warning(cls: Any) -> None:
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array was") as caught:
        est = _fit(cls, X, Y.reshape(-1, 1))
    assert [w.filename for w in caught if w.category is DataConversionWarning] == [__file__]
    np.testing.assert_array_equal(est.coefs_[0], _fit(cls).coefs_[0])
    assert est.predict(X).shape == (60,)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("n_outputs", [1, 2, 100])
def test_regression_outputs_have_the_shape_of_y(loss: str, n_outputs: int) -> None:
    """As many outputs as you like, also more than rows."""
    y = np.abs(np.random.default_rng(1).standard_normal((60, n_outputs)))
    y = y[:, 0] if n_outputs == 1 else y
    est = _fit(MLPRegressor, X, y, loss=loss)
    assert est.predict(X).shape == y.shape
    assert est.predict(X[:1]).shape == y[:1].shape
    assert est.n_outputs_ == n_outputs
    assert est.out_activation_ == {"squared_error": "identity", "poisson": "exp"}[loss]
    assert est.partial_fit(X, y).predict(X).shape == y.shape
    if loss == "poisson":
        assert (est.predict(X) > 0.0).all()


@BOTH
@pytest.mark.parametrize("fit_dtype", ["float32", "float64", "input"])
def test_predictions_have_the_dtype_of_x(cls: Any, fit_dtype: str) -> None:
    """A float32 array comes out as float32; everything else as float64, whatever the network was trained in."""
    est = _fit(cls, dtype=fit_dtype, y=Y + 0.5 if cls is MLPRegressor else Y)
    assert est.coefs_[0].dtype == ("float32" if fit_dtype == "float32" else "float64")
    assert _fit(cls, X.astype(np.float32), dtype=fit_dtype).coefs_[0].dtype == (
        "float64" if fit_dtype == "float64" else "float32"
    )
    method = est.predict if cls is MLPRegressor else est.predict_proba
    assert method(X.astype(np.float32)).dtype == np.float32
    for rows in (X, X.astype(int), X.tolist(), X.astype(np.float16), sparse.csr_matrix(X)):
        assert method(rows).dtype == np.float64
    assert method(sparse.csr_matrix(X.astype(np.float32))).dtype == np.float32
    np.testing.assert_allclose(method(X.astype(np.float32)), method(X), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [0, 7, "only", True])
def test_one_class_is_a_constant_predictor(value: Any) -> None:
    est = _fit(MLPClassifier, X, np.full(60, value))
    assert est.classes_.tolist() == [value]
    assert (est.predict(X) == value).all()
    for rows in (X, X.astype(np.float32)):
        np.testing.assert_array_equal(est.predict_proba(rows), np.tile([1.0, 0.0], (60, 1)))
        log_p = est.predict_log_proba(rows)
        np.testing.assert_array_equal(log_p[:, 0], 0.0)
        assert np.isfinite(log_p).all()
        np.testing.assert_array_equal(np.exp(log_p[:, 1]), 0.0)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_a_chain_of_classifiers_takes_a_label_that_is_constant(method: str, constant: int) -> None:
    labels = np.column_stack([Y > 0, np.full(60, constant), Y > 1]).astype(int)
    network = MLPClassifier((5,), max_iter=5, random_state=0)
    chain = ClassifierChain(network, cv=3, chain_method=method).fit(X, labels)
    assert chain.predict_proba(X).shape == chain.predict_log_proba(X).shape == (60, 3)
    np.testing.assert_array_equal(chain.predict(X)[:, 1], constant)


@pytest.mark.parametrize(
    "ensemble",
    [
        lambda network: OneVsRestClassifier(network),
        lambda network: MultiOutputClassifier(network),
        lambda network: MultiOutputClassifier(CalibratedClassifierCV(network, cv=KFold(2))),
    ],
    ids=["one against the rest", "each by itself", "calibrated"],
)
@pytest.mark.filterwarnings("ignore:Label not 1 is present in all training examples:UserWarning")
def test_other_ensembles_take_a_label_that_is_constant(ensemble: Any) -> None:
    labels = np.column_stack([Y > 0, np.zeros(60)]).astype(int)
    model = ensemble(MLPClassifier((5,), max_iter=5, random_state=0)).fit(X, labels)
    model.predict_proba(X)
    np.testing.assert_array_equal(model.predict(X)[:, 1], 0)


@BOTH
def test_a_single_row_can_be_fitted_and_predicted(cls: Any) -> None:
    est = _fit(cls, X[:1], Y[:1])
    assert est.predict(X[:1]).shape == (1,)
    assert np.isfinite(est.loss_)


@BOTH
def test_lbfgs_always_computes_in_float64(cls: Any) -> None:
    est = _fit(cls, X.astype(np.float32), solver="lbfgs", dtype="float32")
    assert est.coefs_[0].dtype == est.intercepts_[0].dtype == np.float64


@BOTH
def test_sample_weight_reaches_fit_through_a_pipeline(cls: Any) -> None:
    weight = np.linspace(0.1, 3.0, 60)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 5, "learning_rate_init": 0.1, "random_state": 0}
    with config_context(enable_metadata_routing=True):
        est = cls(**settings).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        est.set_partial_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, est).fit(X, Y, sample_weight=weight)
        score = pipeline.score(X, Y, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    expected = cls(**settings).fit(scaled, Y, sample_weight=weight)
    np.testing.assert_array_equal(pipeline[-1].coefs_[0], expected.coefs_[0])
    assert np.abs(expected.coefs_[0] - cls(**settings).fit(scaled, Y).coefs_[0]).max() > 1e-3  # weights matter
    assert score == expected.score(scaled, Y, sample_weight=weight)
