"""The choice of categorical columns, which follows scikit-learn's HistGradientBoosting."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from skmlp.tables import CategoryColumn, TableEncoder

COLUMNS = {"size": [1, 2, 3, 2], "code": [7, 9, 9, 7], "flag": [True, False, True, True], "text": ["a", "b", "a", "a"]}


def categorical(frame, choice):
    columns = TableEncoder.learn(frame, categorical_features=choice).columns
    return [column.name for column in columns if isinstance(column, CategoryColumn)]


def test_by_default_the_type_decides(frame_of):
    assert categorical(frame_of(COLUMNS), "from_dtype") == ["flag", "text"]


@pytest.mark.parametrize(
    "choice",
    [
        ["code", "text"],
        ("code", "text"),
        np.array(["code", "text"]),
        np.array(["code", "text"], dtype=object),
        [1, 3],
        np.array([3, 1]),
        [False, True, False, True],
        np.array([False, True, False, True]),
        pd.Index(["code", "text"]),
    ],
    ids=str,
)
def test_names_positions_and_a_mask_choose_these_columns_and_no_others(frame_of, choice):
    assert categorical(frame_of(COLUMNS), choice) == ["code", "text"]


def test_numbers_that_are_categories_are_sorted_by_value(frame_of):
    encoder = TableEncoder.learn(frame_of({"c": [10, 9, 10, -1]}), categorical_features=[0])
    assert encoder.columns[0].categories == (-1, 9, 10)
    assert encoder.encode(frame_of({"c": [9, 10, 11]})).codes.ravel().tolist() == [2, 3, 0]


def test_a_missing_value_among_numbers_that_are_categories_has_a_code(frame_of):
    frame = frame_of({"c": [10.5, None, 9.0, 10.5]})
    encoder = TableEncoder.learn(frame, categorical_features=[0])
    assert encoder.columns[0].categories == (9, 10.5)
    assert encoder.encode(frame).codes.ravel().tolist() == [2, 3, 1, 2]


@pytest.mark.parametrize("choice", [None, [], [False] * 3])
def test_without_categories_booleans_are_numbers(frame_of, choice):
    frame = frame_of({name: COLUMNS[name] for name in ("size", "code", "flag")})
    encoder = TableEncoder.learn(frame, categorical_features=choice)
    assert encoder.encode(frame).numbers.tolist() == [[1, 7, 1], [2, 9, 0], [3, 9, 1], [2, 7, 1]]


@pytest.mark.parametrize("choice", [None, ["code"]])
def test_text_that_is_not_to_be_categorical_is_named(frame_of, choice):
    with pytest.raises(ValueError, match=r"Column 'text' of X holds text, such as 'a': .*categorical_features"):
        TableEncoder.learn(frame_of(COLUMNS), categorical_features=choice)


def test_categories_of_numbers_that_are_not_to_be_categorical_are_numbers():
    frame = pd.DataFrame({"a": pd.Categorical([3, 1, None, 5])})
    encoder = TableEncoder.learn(frame, categorical_features=None)
    assert encoder.encode(frame).numbers.ravel().tolist() == [3, 1, 3, 5]


def test_text_and_numbers_in_one_column_are_no_categories():
    with pytest.raises(TypeError, match="Column 'c' of X holds both text and numbers"):
        TableEncoder.learn(pd.DataFrame({"c": pd.Series([1, "1"], dtype=object)}), categorical_features=["c"])


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_infinite_numbers_are_no_categories(frame_of, value):
    with pytest.raises(ValueError, match="Column 'c' of X has infinite values"):
        TableEncoder.learn(frame_of({"c": [1.0, 2.0, value]}), categorical_features=["c"])
    encoder = TableEncoder.learn(frame_of({"c": [1.0, 2.0, 2.0]}), categorical_features=["c"])
    with pytest.raises(ValueError, match=r"Column 'c' of X .*infinite values"):
        encoder.encode(frame_of({"c": [value]}))


# The errors of scikit-learn, which needs numbers in all columns.
NUMBERS = pd.DataFrame({"size": [1, 2, 3, 2], "code": [7, 9, 9, 7]})


@pytest.mark.parametrize("choice", [["no such"], [0, 2], [-1], [True], [0.5], [b"a"], [None, "size"]], ids=str)
@pytest.mark.parametrize("kind", ["frame", "array"])
def test_a_wrong_choice_is_an_error_in_scikit_learn_s_words(kind, choice):
    X = NUMBERS if kind == "frame" else NUMBERS.to_numpy()
    with pytest.raises(ValueError) as expected:  # noqa: PT011 - the message is compared below
        HistGradientBoostingRegressor(categorical_features=choice).fit(X, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        TableEncoder.learn(X, categorical_features=choice)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize(("choice", "types"), [(["size", 1], "int, str"), ([0, True], "bool, int")])
def test_a_mixed_choice_is_an_error(choice, types):
    with pytest.raises(ValueError, match=f"must be an array-like of bool, int or str, got: {types}"):
        TableEncoder.learn(NUMBERS, categorical_features=choice)


@pytest.mark.parametrize("choice", ["auto", "size"])
def test_a_word_other_than_from_dtype_is_an_error(choice):
    with pytest.raises(ValueError, match=f"categorical_features must be 'from_dtype', None or .* Got '{choice}'"):
        TableEncoder.learn(NUMBERS, categorical_features=choice)
