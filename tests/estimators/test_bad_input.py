"""Bad input: the errors scikit-learn's users know, and an estimator that is as it was before the call."""

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.model_selection import GroupKFold

from skmlp import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).standard_normal((30, 4))
Y = np.arange(30) % 3
ONES = np.ones(30)


def _estimator(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **params})


def _with(value: Any, array: Any = X) -> Any:
    changed = array.astype(float)
    changed[3] = value
    return changed


BAD_ROWS: dict[str, tuple[Any, Any, str]] = {
    "scalar": (5.0, ValueError, "Expected 2D array, got scalar array instead"),
    "1-D": (X[:, 0], ValueError, r"Expected 2D array, got 1D array instead(.|\n)*reshape"),
    "3-D": (X.reshape(30, 2, 2), ValueError, "Found array with dim 3, while dim <= 2 is required by MLP"),
    "NaN": (_with(np.nan), ValueError, r"Input X contains NaN(.|\n)*imputer"),
    "infinity": (_with(np.inf), ValueError, "Input X contains infinity or a value too large for dtype"),
    "minus infinity": (_with(-np.inf), ValueError, "Input X contains infinity or a value too large for dtype"),
    "beyond float32": (
        _with(1e300),
        ValueError,
        r"Input X contains infinity or a value too large for dtype\('float32'",
    ),
    "sparse NaN": (sparse.csr_matrix(_with(np.nan)), ValueError, "Input X contains NaN"),
    "missing in a frame": (
        pd.DataFrame({name: pd.array([1, None] * 15, dtype="Int64") for name in "abcd"}),
        ValueError,
        "Input X contains NaN",
    ),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "object": (
        np.array([["a", 1.0, 2.0, 3.0]] * 30, dtype=object),
        ValueError,
        "could not convert string to float: 'a'",
    ),
    "lists in a frame": (
        pd.DataFrame({"a": [[1.0], [2.0]] * 15, "b": 1.0, "c": 1.0, "d": 1.0}),
        (TypeError, ValueError),
        r"Column 'a' of X holds lists \(list\): make columns of numbers|setting an array element with a sequence",
    ),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "None": (None, ValueError, "Expected 2D array, got scalar array instead"),
}

BAD_TARGETS: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, ValueError, "requires y to be passed, but the target y is None|Expected array-like .* got None"),
    "too few": (Y[:7], ValueError, r"Found input variables with inconsistent numbers of samples: \[30, 7\]"),
    "NaN": (_with(np.nan, Y), ValueError, "Input y contains NaN"),
    "infinity": (_with(np.inf, Y), ValueError, "Input y contains infinity"),
    "complex": (Y + 1j, ValueError, "Complex data not supported"),
    "3-D": (np.zeros((30, 2, 2)), ValueError, "Found array with dim 3"),
    "missing": (pd.Series([1, None] * 15, dtype="Int64"), ValueError, "Input y contains NaN"),
}

BAD_LABELS: dict[str, tuple[Any, str]] = {
    "continuous": (X[:, 0], "Unknown label type: continuous"),
    "several multiclass columns": (np.column_stack([Y, Y]), "Multioutput target data is not supported.*MultiOutput"),
    "unsortable": (np.array([1, "a", None] * 10, dtype=object), "Unknown label type: unknown"),
}

BAD_NUMBERS: dict[str, tuple[Any, type[Exception], str]] = {
    "strings": (np.array(["u", "v"] * 15), ValueError, "could not convert string to float"),
    "beyond float32": (_with(1e300, Y), ValueError, 'Input y contains infinity or a value too large.*dtype="float64"'),
    "sparse": (sparse.csr_matrix(np.column_stack([Y, Y])), TypeError, "Sparse data was passed for y, but dense data"),
}

BAD_WEIGHTS: dict[str, tuple[Any, str]] = {
    "too few": (ONES[:7], r"sample_weight.shape == \(7,\), expected \(30,\)"),
    "2-D": (np.ones((30, 2)), "Sample weights must be 1D array or scalar"),
    "negative": (_with(-1.0, ONES), "Negative values in data passed to `sample_weight`"),
    "all zero": (0.0 * ONES, "Sample weights must contain at least one non-zero number"),
    "NaN": (_with(np.nan, ONES), "Input sample_weight contains NaN"),
    "infinity": (_with(np.inf, ONES), "Input sample_weight contains infinity"),
    "strings": (["a"] * 30, "could not convert string to float"),
}


@pytest.fixture
def assert_both_refuse(assert_refuses: Any) -> Any:
    """Return a function that asserts that fit and partial_fit refuse the data."""

    def check(cls: Any, error: Any, words: str, *data: Any, **params: Any) -> None:
        classes = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
        assert_refuses(cls, error, words, lambda est: est.fit(*data), **params)
        assert_refuses(cls, error, words, lambda est: est.partial_fit(*data, **classes), **params)

    return check


def _in_turn(cases: Any) -> Any:
    """Return a mark that tests the cases on the two estimators in turn, which have the same code for them."""
    pairs = [((MLPClassifier, MLPRegressor)[number % 2], case) for number, case in enumerate(cases)]
    return pytest.mark.parametrize(("cls", "case"), pairs)


@_in_turn(BAD_ROWS)
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_invalid_rows_are_refused(cls: Any, case: str, assert_both_refuse: Any, everything_of: Any) -> None:
    rows, error, words = BAD_ROWS[case]
    y = Y[:0] if case == "no rows" else Y
    assert_both_refuse(cls, error, words, rows, y)
    fitted = _estimator(cls).fit(X, Y)
    before = everything_of(fitted)
    if case != "beyond float32":  # predictions for float64 rows are computed in float64
        with pytest.raises(error, match=words):
            fitted.predict(rows)
    with pytest.raises(error, match=words):
        fitted.loss_and_gradients(rows, y)
    np.testing.assert_equal(everything_of(fitted), before)


@BOTH
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_invalid_targets_are_refused(cls: Any, case: str, assert_both_refuse: Any) -> None:
    y, error, words = BAD_TARGETS[case]
    assert_both_refuse(cls, error, words, X, y)


@pytest.mark.parametrize("case", BAD_LABELS)
def test_invalid_labels_are_refused(case: str, assert_refuses: Any) -> None:
    labels, words = BAD_LABELS[case]
    assert_refuses(MLPClassifier, ValueError, words, lambda est: est.fit(X, labels), warm=False)


@pytest.mark.parametrize("case", BAD_NUMBERS)
def test_invalid_numeric_targets_are_refused(case: str, assert_both_refuse: Any) -> None:
    numbers, error, words = BAD_NUMBERS[case]
    assert_both_refuse(MLPRegressor, error, words, X, numbers)


@_in_turn(BAD_WEIGHTS)
def test_invalid_weights_are_refused(cls: Any, case: str, assert_both_refuse: Any) -> None:
    weight, words = BAD_WEIGHTS[case]
    assert_both_refuse(cls, ValueError, words, X, Y, weight)
    with pytest.raises(ValueError, match=words):
        _estimator(cls).fit(X, Y).loss_and_gradients(X, Y, sample_weight=weight)


@BOTH
def test_changed_number_of_features_is_refused(cls: Any, everything_of: Any) -> None:
    est = _estimator(cls).fit(X, Y)
    before = everything_of(est)
    words = "X has 3 features, but MLP.* is expecting 4 features as input"
    for call in (est.predict, lambda rows: est.partial_fit(rows, Y), lambda rows: est.loss_and_gradients(rows, Y)):
        with pytest.raises(ValueError, match=words):
            call(X[:, :3])
    np.testing.assert_equal(everything_of(est), before)
    assert est.fit(X[:, :3], Y).n_features_in_ == 3
    est.set_params(warm_start=True)
    with pytest.raises(ValueError, match=r"X has 4 features, but MLP.* is expecting 3"):
        est.fit(X, Y)


def test_partial_fit_refuses_unknown_labels_and_changed_classes(everything_of: Any) -> None:
    est = _estimator(MLPClassifier)
    with pytest.raises(ValueError, match=r"classes must be passed on the first call to partial_fit"):
        est.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`.*\[0 1 2\].*\[1 2 3\]"):
        est.partial_fit(X, Y + 1, classes=[0, 1, 2])
    assert not hasattr(est, "classes_")
    est.partial_fit(X, np.array(["a", "b", "c"])[Y], classes=["c", "b", "a"])
    before = everything_of(est)
    with pytest.raises(ValueError, match="`y` has classes not in"):
        est.partial_fit(X, np.array(["a", "b", "z"])[Y])
    with pytest.raises(ValueError, match=r"`classes=\['a', 'b'\]` is not the same as on last call to partial_fit, was"):
        est.partial_fit(X, np.array(["a", "b", "c"])[Y], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"`classes=\['a', 'b', 'z'\]` is not the same as on last call to partial_fit"):
        est.partial_fit(X, np.array(["a", "b", "b"])[Y], classes=["a", "b", "z"])
    np.testing.assert_equal(everything_of(est), before)


def test_warm_start_refuses_changed_classes() -> None:
    def call(est: Any) -> Any:
        return est.set_params(warm_start=True).fit(X, np.minimum(Y, 1))

    est = _estimator(MLPClassifier).fit(X, Y)
    before = est.predict_proba(X)
    words = "warm_start can only be used where `y` has the same classes as in the previous call to fit"
    with pytest.raises(ValueError, match=words):
        call(est)
    np.testing.assert_array_equal(est.predict_proba(X), before)


def test_changed_number_of_outputs_is_refused() -> None:
    est = _estimator(MLPRegressor).fit(X, Y)
    before = est.predict(X)
    for call in (est.set_params(warm_start=True).fit, est.partial_fit, est.loss_and_gradients):
        with pytest.raises(ValueError, match="y has 2 outputs, but the network has 1"):
            call(X, np.column_stack([Y, Y]))
    np.testing.assert_array_equal(est.predict(X), before)


# Invalid values for any argument, made from a valid array.
INVALID: dict[str, Any] = {
    "strings": lambda array: np.full(array.shape, "u"),
    "bytes": lambda array: np.full(array.shape, b"u"),
    "a string among objects": lambda array: np.array(
        [*array.tolist()[:-1], ["u"] * 4 if array.ndim == 2 else "u"], object
    ),
    "complex": lambda array: array + 1j,
    "NaN": lambda array: _with(np.nan, array),
    "infinity": lambda array: _with(np.inf, array),
    "beyond float32": lambda array: _with(1e300, array),
    "too few": lambda array: array[:7],
    "three dimensions": lambda array: np.zeros((30, 2, 2)),
    "rows of several lengths": lambda array: [[1.0], [1.0, 2.0]] * 15,
    "dict": lambda array: {"a": 1.0},
    "set": lambda array: {1.0, 2.0},
    "class": lambda array: MLPClassifier,
    "estimator": lambda array: MLPClassifier(),
    "text": lambda array: "u",
}
ARGUMENTS = {
    "fit": ["X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val", "groups"],
    "partial_fit": ["X", "y", "sample_weight"],
    "predict": ["X"],
    "input_gradient": ["X"],
    "loss_and_gradients": ["X", "y", "sample_weight"],
}
# What is valid after all: labels may be strings, groups anything, and predictions and weights are in float64.
FINE = {
    *((MLPClassifier, method, "y", "strings") for method in ("fit",)),
    *((cls, "fit", "groups", "beyond float32") for cls in (MLPClassifier, MLPRegressor)),
    *((cls, method, "X", "beyond float32") for cls in (MLPClassifier, MLPRegressor) for method in ARGUMENTS),
    *(
        (cls, method, argument, "beyond float32")
        for cls in (MLPClassifier, MLPRegressor)
        for method in ARGUMENTS
        for argument in ("sample_weight", "sample_weight_val")
    ),
}


def _pairs() -> list[tuple[Any, str, str, str]]:
    """Return each kind of invalid value for each argument, with methods and estimators in turn."""
    methods = {name: [method for method, names in ARGUMENTS.items() if name in names] for name in ARGUMENTS["fit"]}
    return [
        ((MLPClassifier, MLPRegressor)[(row + column) % 2], taking[(row + column) // 2 % len(taking)], argument, kind)
        for row, kind in enumerate(INVALID)
        for column, (argument, taking) in enumerate(methods.items())
    ]


@pytest.mark.parametrize(("cls", "method", "argument", "kind"), _pairs())
def test_error_names_the_argument_without_a_warning(cls: Any, method: str, argument: str, kind: str) -> None:
    if (cls, method, argument, kind) in FINE or ("y" not in ARGUMENTS[method] and kind == "too few"):
        return
    good = {"X": X, "y": Y, "sample_weight": ONES, "X_val": X, "y_val": Y, "sample_weight_val": ONES, "groups": Y}
    given = {name: good[name] for name in ARGUMENTS[method]}
    estimator = _estimator(cls)
    if method == "fit" and argument == "groups":
        given = {"X": X, "y": Y, "groups": Y}
        estimator.set_params(validation_split=GroupKFold(2))
    elif method == "fit":
        del given["groups"]
    elif method == "partial_fit" and cls is MLPClassifier:
        given["classes"] = [0, 1, 2]
    else:
        estimator.fit(X, Y)
    given[argument] = INVALID[kind](good[argument])
    with pytest.raises((ValueError, TypeError)) as caught:
        getattr(estimator, method)(**given)
    name = "validation_split" if argument == "groups" else argument
    assert re.search(rf"\b{name}\b", str(caught.value)), str(caught.value)


FRAMES: dict[str, Any] = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "pandas category": lambda columns: pd.DataFrame(columns).astype({"b": "category"}),
    "polars": lambda columns: pl.DataFrame(columns),
}


@BOTH
@pytest.mark.parametrize("argument", ["X", "X_val"])
@pytest.mark.parametrize("frame", FRAMES)
def test_error_names_the_non_numeric_column_of_a_frame(cls: Any, frame: str, argument: str) -> None:
    """Where there are no categories."""
    columns = {"a": [1.0, None] + [2.0] * 28, "b": ["u"] * 30, "c": [1.0] * 30}
    good = (
        pl.DataFrame(dict.fromkeys("abc", X[:, 0])) if frame == "polars" else pd.DataFrame(X[:, :3], columns=[*"abc"])
    )
    given = {"X": good, "y": Y, "X_val": good, "y_val": Y, argument: FRAMES[frame](columns)}
    with pytest.raises(ValueError, match=rf"{argument} must hold real numbers, but column 'b' holds 'u'; encode it"):
        _estimator(cls, categorical_features=None).fit(**given)


@BOTH
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_text_in_a_frame_is_refused_where_there_are_no_categories(cls: Any, assert_both_refuse: Any) -> None:
    frame = pd.DataFrame({"a": ["u"] * 30, "b": 1.0, "c": 1.0, "d": 1.0})
    words = "could not convert string to float: 'u'. X must hold real numbers, but column 'a' holds 'u'; encode it"
    assert_both_refuse(cls, ValueError, words, frame, Y, categorical_features=None)


@pytest.mark.parametrize("choice", ["from_dtype", None])
def test_error_names_the_complex_column(choice: Any) -> None:
    frame = pd.DataFrame({"a": np.ones(30), "b": np.ones(30) + 1j})
    with pytest.raises(ValueError, match=r"(?i)column 'b' (.*) complex numbers|Complex data not.* column 'b' holds"):
        _estimator(MLPClassifier, categorical_features=choice).fit(frame, Y)


def test_error_about_names_of_several_types_is_about_the_rows() -> None:
    with pytest.raises(TypeError, match=r"^Feature names are only supported if all input features have"):
        _estimator(MLPClassifier).fit(pd.DataFrame(X, columns=["a", 1, "b", 2]), Y)


@BOTH
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_validation_data_may_be_sparse_when_training_data_are_dense(cls: Any, form: Any) -> None:
    other = np.asarray if form is sparse.csr_matrix else sparse.csr_matrix
    mixed = _estimator(cls, refit=True).fit(form(X), Y, X_val=other(X), y_val=Y)
    same = _estimator(cls, refit=True).fit(form(X), Y, X_val=form(X), y_val=Y)
    np.testing.assert_array_equal(mixed.coefs_[0], same.coefs_[0])


def test_multilabel_columns_other_than_zero_and_one_are_refused() -> None:
    names = np.array([["yes", "no"], ["no", "yes"]] * 15)
    with pytest.raises(ValueError, match=r"y has several columns whose labels are not 0 and 1.*\(y == label\)"):
        _estimator(MLPClassifier).fit(X, names)
    with pytest.raises(ValueError, match=r"must be 0 or 1; y has \[1 2\]. Encode it"):
        _estimator(MLPClassifier).fit(X, np.array([[1, 2], [2, 1]] * 15))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_standardize_target_refuses_sparse_targets(method: str) -> None:
    estimator = _estimator(MLPRegressor, standardize_target=True)
    with pytest.raises(TypeError, match="Sparse data was passed for y, but dense data is required"):
        getattr(estimator, method)(X, sparse.csr_matrix(np.column_stack([Y, Y])))


def test_validation_labels_of_another_type_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"y_val: y has labels that cannot be compared with the classes, which are \[0 1"
    ):
        _estimator(MLPClassifier).fit(X, Y, X_val=X, y_val=np.array([None, *Y[1:]], dtype=object))


@pytest.mark.parametrize(
    "classes",
    [
        {2, 0, 1},
        frozenset([2, 0, 1]),
        {2: "c", 0: "a", 1: "b"}.keys(),
        range(3),
        (each for each in (0, 1, 2)),
        pd.Index([0, 1, 2]),
    ],
    ids=["set", "frozenset", "keys", "range", "generator", "index"],
)
def test_classes_may_be_any_collection(classes: Any) -> None:
    given = _estimator(MLPClassifier).partial_fit(X, Y, classes=classes)
    listed = _estimator(MLPClassifier).partial_fit(X, Y, classes=[0, 1, 2])
    np.testing.assert_array_equal(given.classes_, [0, 1, 2])
    np.testing.assert_array_equal(given.coefs_[0], listed.coefs_[0])


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (3, "must be a list of all labels that will ever occur, got 3"),
        ("abc", "must be a list of all labels that will ever occur, got 'abc'"),
        (int, "must be a list of all labels that will ever occur, got <class 'int'>"),
        ([], r"must be a list of all labels that will ever occur, got \[\]. Pass for example np.unique"),
        ([[0, 1], [2, 3]], "must be a list of all labels that will ever occur"),
        ([0, 1, np.nan], "contains NaN or None, which is not a label: got .* Remove it"),
        ([0, 1, None], "contains NaN or None"),
        ([0, 1, "a"], r"must be all strings or all numbers, got \[0, 1, 'a'\]"),
    ],
)
def test_invalid_classes_are_refused(classes: Any, words: str, assert_refuses: Any) -> None:
    assert_refuses(
        MLPClassifier, ValueError, f"classes {words}", lambda est: est.partial_fit(X, Y, classes=classes), warm=False
    )


def test_error_names_the_loss_as_the_place_of_an_overflow():
    rng = np.random.default_rng(0)
    X, y = 1e3 * rng.standard_normal((50, 3)), rng.poisson(3.0, 50)
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*the loss after layer 1 of 1 became"):
        MLPRegressor(loss="poisson", hidden_layer_sizes=(), random_state=0).fit(X, y)
