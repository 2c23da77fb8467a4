"""The encoder as a whole: names, later tables, missing values, rare categories, storing."""

import copy
import datetime as dt
import json
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmlp.tables import TableEncoder, sources

HOUSES = {
    "city": ["Rome", "Oslo", None, "Rome", "Bern"],
    "rooms": [3.0, None, 1.0, 5.0, 2.0],
    "garden": [True, False, True, True, False],
    "area": [70, 45, 30, 120, 61],
}


def rows(encoded):
    return encoded.numbers.tolist(), encoded.codes.tolist()


@pytest.fixture(params=[0, 1000], ids=["by columns", "by rows"])
def _either_way(request, monkeypatch):
    """Read later tables by columns or by rows."""
    monkeypatch.setattr(sources, "FEW_ROWS", request.param)


EITHER_WAY = pytest.mark.usefixtures("_either_way")


# --- the arrays ---


def test_numbers_come_first_then_categories_then_indicators_in_the_order_of_the_training_table(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    assert encoder.number_inputs == (1, 3)
    assert encoder.code_inputs == (0, 2, 1)
    assert encoder.sizes == (4, 2, 2)
    assert encoder.names == ("city", "rooms", "garden", "area")
    encoded = encoder.encode(frame_of(HOUSES))
    assert encoded.numbers.tolist() == [[3, 70], [2.5, 45], [1, 30], [5, 120], [2, 61]]
    assert encoded.codes.tolist() == [[3, 2, 1], [2, 1, 2], [4, 2, 1], [3, 2, 1], [1, 1, 1]]


@pytest.mark.parametrize("dtype", [np.float32, "float64"])
def test_the_arrays_are_contiguous_in_the_asked_dtype_and_int32(frame_of, dtype):
    encoded = TableEncoder.learn(frame_of(HOUSES)).encode(frame_of(HOUSES), dtype)
    assert encoded.numbers.dtype == dtype
    assert encoded.codes.dtype == np.int32
    assert encoded.numbers.flags.c_contiguous
    assert encoded.codes.flags.c_contiguous


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_table_of_few_rows_is_encoded_like_these_rows_of_a_longer_one(frame_of, n):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    encoded = encoder.encode(frame_of(HOUSES)[:n])
    numbers, codes = rows(encoder.encode(frame_of(HOUSES)))
    assert encoded.numbers.shape == (n, 2)
    assert rows(encoded) == (numbers[:n], codes[:n])


def test_the_index_of_a_frame_does_not_count():
    frame = pd.DataFrame(HOUSES)
    other = frame.set_index(pd.Index([7, 7, "x", None, 0]))
    assert TableEncoder.learn(other) == TableEncoder.learn(frame)
    assert rows(TableEncoder.learn(frame).encode(other)) == rows(TableEncoder.learn(frame).encode(frame))


def test_the_caller_s_data_are_not_modified():
    frame = pd.DataFrame(HOUSES)
    before = frame.copy(deep=True)
    array = np.array([[1.0, np.nan], [2.0, 3.0]])
    for table in (frame, array):
        encoder = TableEncoder.learn(table)
        encoded = encoder.encode(table, np.float64)
        encoded.numbers.fill(-1.0)
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(array, [[1.0, np.nan], [2.0, 3.0]])


def test_blocks_of_rows_do_not_show(monkeypatch, frame_of):
    n = 1000
    rng = np.random.default_rng(0)
    numbers = [
        None if missing else float(number) for missing, number in zip(rng.random(n) < 0.1, range(n), strict=True)
    ]
    text = [
        None if missing else f"t{number % 7}" for missing, number in zip(rng.random(n) < 0.1, range(n), strict=True)
    ]
    frame = frame_of({"a": numbers, "b": text, "c": list(range(n))})
    expected = TableEncoder.learn(frame), TableEncoder.learn(frame).encode(frame)
    monkeypatch.setattr(sources, "CHUNK", 64)
    monkeypatch.setattr("skmlp.tables.encoding.BLOCK", 100)
    encoder = TableEncoder.learn(frame)
    assert encoder == expected[0]
    assert rows(encoder.encode(frame)) == rows(expected[1])


# --- errors about the table ---


def test_a_table_without_rows_or_columns_teaches_nothing(frame_of):
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\) while a minimum of 1"):
        TableEncoder.learn(frame_of(HOUSES)[:0])
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\) \(shape=\(5, 0\)\) while a minimum of 1"):
        TableEncoder.learn(pd.DataFrame(index=range(5)))


def test_one_row_is_constant_in_every_column(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES)[:1])
    assert encoder.dropped == (0, 1, 2, 3)
    encoded = encoder.encode(frame_of(HOUSES))
    assert (encoded.numbers.shape, encoded.codes.shape) == ((5, 0), (5, 0))


@pytest.mark.parametrize(
    "frame", [pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), pa.table([[1], [2], [3]], names=["a", "b", "a"])]
)
def test_duplicate_names_are_named(frame):
    with pytest.raises(ValueError, match=r"Columns of X have the same name\.[^b]*'a' 2 times"):
        TableEncoder.learn(frame)


def test_a_lazy_frame_must_be_collected():
    with pytest.raises(TypeError, match=r"X_val is a lazy frame.*X_val\.collect\(\)"):
        TableEncoder.learn(pl.LazyFrame(HOUSES), name="X_val")


@pytest.mark.parametrize(
    "parameters", [{"missing": "drop"}, {"max_categories": 0}, {"max_categories": 2.5}, {"max_categories": True}]
)
def test_a_wrong_parameter_is_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"{name} must be"):
        TableEncoder.learn(pd.DataFrame(HOUSES), **parameters)


def test_errors_use_the_caller_s_name_of_the_table(frame_of):
    with pytest.raises(ValueError, match="Column 'a' of X_val has 1 infinite value"):
        TableEncoder.learn(frame_of({"a": [1.0, float("inf")]}), name="X_val")


# --- later tables ---


def test_columns_in_another_order_are_found_by_their_names(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    turned = frame_of(dict(reversed(HOUSES.items())))
    assert rows(encoder.encode(turned)) == rows(encoder.encode(frame_of(HOUSES)))


def test_missing_additional_and_renamed_columns_are_named_in_scikit_learn_s_words(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    other = dict(HOUSES)
    other["rooms per flat"] = other.pop("rooms")
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit") as caught:
        encoder.encode(frame_of(other))
    assert str(caught.value) == (
        "The feature names should match those that were passed during fit.\nFeature names unseen at fit time:\n"
        "- rooms per flat\nFeature names seen at fit time, yet now missing:\n- rooms\n"
    )
    with pytest.raises(ValueError, match=r"during fit.\nFeature names unseen at fit time:\n- rooms per flat\n$"):
        encoder.encode(frame_of({**HOUSES, **other}))
    with pytest.raises(ValueError, match=r"during fit.\nFeature names seen at fit time, yet now missing:\n- area\n- c"):
        encoder.encode(frame_of({"rooms": [1.0], "garden": [True]}))


def test_the_error_about_other_columns_lists_five(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- c0\n- c1\n- c2\n- c3\n- c4\n- \.\.\.\n$"):
        encoder.encode(frame_of({**HOUSES, **{f"c{index}": [1] * 5 for index in range(9)}}))


def test_another_library_is_welcome_where_the_values_are_the_same(frames_of):
    frames = frames_of(HOUSES)
    arrays = [
        rows(TableEncoder.learn(training).encode(later)) for training in frames.values() for later in frames.values()
    ]
    assert all(each == arrays[0] for each in arrays)


def test_a_frame_without_text_names_and_an_array_go_by_position():
    encoder = TableEncoder.learn(pd.DataFrame(HOUSES))
    expected = rows(encoder.encode(pd.DataFrame(HOUSES)))
    assert rows(encoder.encode(pd.DataFrame(HOUSES).to_numpy())) == expected
    assert rows(encoder.encode(pd.DataFrame(HOUSES).set_axis(range(4), axis=1))) == expected
    unnamed = TableEncoder.learn(pd.DataFrame(HOUSES).set_axis([5, 6, 7, 8], axis=1))
    assert unnamed.names is None
    assert [column.name for column in unnamed.columns] == [0, 1, 2, 3]
    assert rows(unnamed.encode(pd.DataFrame(HOUSES))) == expected
    with pytest.raises(ValueError, match="X has 3 features, but TableEncoder is expecting 4 features as input"):
        encoder.encode(pd.DataFrame(HOUSES).to_numpy()[:, :3])


def test_names_of_which_some_are_text_are_an_error():
    with pytest.raises(TypeError, match=r"only supported if all input features have string names.*\['int', 'str'\]"):
        TableEncoder.learn(pd.DataFrame({"a": [1, 2], 3: [1, 2]}))


@EITHER_WAY
def test_an_unseen_category_is_0_and_an_unexpected_missing_number_is_replaced(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    new = frame_of({"city": ["Paris"], "rooms": [1.5], "garden": [None], "area": [None]})
    assert rows(encoder.encode(new)) == ([[1.5, 61.0]], [[0, 0, 1]])


LATER_ERRORS = {
    "numbers as text": ({"rooms": ["3"] * 5}, "'rooms' of X held numbers in training and now holds text, such as '3'"),
    "numbers as dates": ({"rooms": [dt.date(2026, 1, 1)] * 5}, "'rooms' of X held numbers .* now holds dates"),
    "numbers as lists": ({"rooms": [[3]] * 5}, "'rooms' of X held numbers .* now holds lists"),
    "text as numbers": ({"city": [3] * 5}, "'city' of X held text in training and now holds numbers, such as 3"),
    "text as booleans": ({"city": [True] * 5}, "'city' of X held text .* now holds booleans, such as True"),
    "text as dates": ({"city": [dt.date(2026, 1, 1)] * 5}, "'city' of X held text in training and now holds dates"),
    "text as lists": ({"city": [["a"]] * 5}, "'city' of X held text in training and now holds lists"),
    "booleans as text": ({"garden": ["yes"] * 5}, "'garden' of X held booleans .* now holds text, such as 'yes'"),
    "infinite numbers": ({"rooms": [1.0, float("inf")] * 2 + [1.0]}, "'rooms' of X has 2 infinite values .* row 1"),
}


@EITHER_WAY
@pytest.mark.parametrize(("changed", "message"), LATER_ERRORS.values(), ids=LATER_ERRORS)
def test_other_values_than_in_training_are_named_with_what_was_expected(frame_of, changed, message):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    with pytest.raises((ValueError, TypeError), match=f"^Column {message}"):
        encoder.encode(frame_of({**HOUSES, **changed}))


@EITHER_WAY
def test_all_columns_with_other_values_are_named_at_once(frame_of):
    encoder = TableEncoder.learn(frame_of(HOUSES))
    frame = frame_of({"city": [1], "rooms": ["a"], "garden": [True], "area": [float("inf")]})
    with pytest.raises(ValueError, match="3 columns of X cannot be used") as caught:
        encoder.encode(frame)
    assert all(name in str(caught.value) for name in ("'city'", "'rooms'", "'area'"))


@EITHER_WAY
def test_categories_are_found_by_value_whatever_the_data_type_is(frames_of):
    training = pd.DataFrame({"level": pd.Categorical([1, 2, 30, 2]), "flag": [True, False, True, False]})
    encoder = TableEncoder.learn(training)
    expected = [[1, 2], [2, 1], [3, 2], [0, 0]]
    for level in ([1, 2, 30, 4], [1.0, 2.0, 30.0, 4.5]):
        for flag in ([1, 0, 1, 2], [1.0, 0.0, 1.0, 0.5]):
            for frame in frames_of({"level": level, "flag": flag}).values():
                assert encoder.encode(frame).codes.tolist() == expected
    as_objects = pd.DataFrame({"level": [1, 2.0, np.int8(30), 4], "flag": [np.True_, 0, 1.0, None]}, dtype=object)
    assert encoder.encode(as_objects).codes.tolist() == expected


def test_whole_numbers_that_a_missing_value_made_floats_keep_their_codes():
    encoder = TableEncoder.learn(pd.DataFrame({"level": [3, 1, 2]}), categorical_features=["level"])
    assert encoder.columns[0].categories == (1, 2, 3)
    assert encoder.encode(pd.DataFrame({"level": [3.0, np.nan, 1.0]})).codes.ravel().tolist() == [3, 0, 1]


@pytest.mark.parametrize("missing", [False, True])
def test_large_whole_numbers_are_different_categories_also_beside_a_missing_value(missing):
    large = [2**60 + 1, 2**60 + 2, 2**60 + 3, None if missing else 1]
    for frame in (
        pd.DataFrame({"id": pd.array(large, dtype="Int64")}),
        pl.DataFrame({"id": large}),
        pa.table({"id": large}),
    ):
        encoder = TableEncoder.learn(frame, categorical_features=["id"])
        assert encoder.encode(frame).codes.ravel().tolist() == ([1, 2, 3, 4] if missing else [2, 3, 4, 1])


def test_columns_with_one_training_value_are_not_looked_at_later(frame_of):
    encoder = TableEncoder.learn(frame_of({"a": [1.0, 2.0], "b": [5.0, 5.0], "c": ["x", "x"]}))
    assert encoder.dropped == (1, 2)
    later = frame_of({"a": [1.0], "b": ["text"], "c": [float("inf")]})
    assert rows(encoder.encode(later)) == ([[1.0]], [[]])


@EITHER_WAY
def test_numbers_too_large_for_float32_are_an_error_in_float32_alone(frame_of):
    frame = frame_of({"a": [1.0, 2.0, 1e39, -1e300], "b": [1, 2, 3, 4]})
    encoder = TableEncoder.learn(frame)
    assert encoder.encode(frame, np.float64).numbers[:, 0].tolist() == [1.0, 2.0, 1e39, -1e300]
    with pytest.raises(ValueError, match=r"'a' of X has 2 values too large for float32 \(the first in row 2\)"):
        encoder.encode(frame)


@EITHER_WAY
def test_a_number_beyond_float64_is_named():
    encoder = TableEncoder.learn(pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}))
    with pytest.raises(ValueError, match=r"'b' of X .* now holds numbers beyond the range of float64"):
        encoder.encode(pd.DataFrame({"a": [1, 2], "b": pd.Series([10**400, 1], dtype=object)}))


# --- missing values ---


def test_missing_values_can_be_an_error_in_training(frame_of):
    with pytest.raises(ValueError, match="2 columns of X cannot be used") as caught:
        TableEncoder.learn(frame_of(HOUSES), missing="error")
    assert "Column 'city' has 1 missing value (NaN): fill them in" in str(caught.value)
    assert "Column 'rooms' has 1 missing value (NaN): fill them in" in str(caught.value)
    assert 'missing="indicator"' in str(caught.value)


@EITHER_WAY
def test_missing_values_can_be_an_error_later(frame_of):
    complete = {"city": ["Rome", "Oslo", "Bern"], "rooms": [3.0, 2.0, 1.0], "area": [1, 2, 3]}
    encoder = TableEncoder.learn(frame_of(complete), missing="error")
    assert rows(encoder.encode(frame_of(complete))) == rows(
        TableEncoder.learn(frame_of(complete)).encode(frame_of(complete))
    )
    with pytest.raises(ValueError, match="2 columns of X cannot be used") as caught:
        encoder.encode(frame_of({**complete, "city": [None, None, "Oslo"], "rooms": [None, 1.0, 2.0]}))
    assert "Column 'city' has 2 missing values (NaN)" in str(caught.value)
    assert "Column 'rooms' has 1 missing value (NaN)" in str(caught.value)


def test_numbers_with_and_without_an_indicator_get_the_training_median(frame_of):
    encoder = TableEncoder.learn(frame_of({"a": [1.0, None, 9.0, 3.0], "b": [1.0, 2.0, 4.0, 8.0]}))
    encoded = encoder.encode(frame_of({"a": [None, 1.0], "b": [None, 2.0]}))
    assert rows(encoded) == ([[3.0, 3.0], [1.0, 2.0]], [[2], [1]])


# --- rare categories ---

LETTERS = list("aaaabbbccddef")


def test_the_most_frequent_categories_keep_codes_and_the_others_share_one(frame_of):
    encoder = TableEncoder.learn(frame_of({"c": LETTERS}), max_categories=4)
    (column,) = encoder.columns
    assert (column.categories, column.n_rare, encoder.sizes) == (("a", "b", "c"), 3, (4,))
    later = frame_of({"c": ["a", "b", "c", "d", "e", "f", "unseen", None]})
    assert encoder.encode(later).codes.ravel().tolist() == [1, 2, 3, 4, 4, 4, 4, 4]


def test_a_missing_value_has_a_code_beside_those_that_are_counted(frame_of):
    encoder = TableEncoder.learn(frame_of({"c": [*LETTERS, None]}), max_categories=4)
    assert encoder.sizes == (5,)
    assert encoder.encode(frame_of({"c": ["a", None, "f", "unseen"]})).codes.ravel().tolist() == [1, 4, 5, 5]


@pytest.mark.parametrize("limit", [6, 7, None])
def test_no_category_is_rare_within_the_limit(frame_of, limit):
    encoder = TableEncoder.learn(frame_of({"c": LETTERS}), max_categories=limit)
    assert encoder.columns[0].n_rare == 0
    assert encoder.sizes == (6,)
    assert encoder.encode(frame_of({"c": ["f", "unseen"]})).codes.ravel().tolist() == [6, 0]


def test_equally_frequent_categories_are_kept_in_sorted_order(frame_of):
    values = ["d", "c", "b", "a"]
    for order in (values, values[::-1]):
        assert TableEncoder.learn(frame_of({"c": order}), max_categories=3).columns[0].categories == ("a", "b")


def test_with_one_code_for_all_categories_the_column_is_dropped(frame_of):
    encoder = TableEncoder.learn(frame_of({"c": LETTERS, "n": list(range(13))}), max_categories=1)
    assert encoder.dropped == (0,)


# --- storing ---


def jsonable(plain):
    return json.loads(json.dumps(plain, allow_nan=False))


@pytest.mark.parametrize(
    "restore",
    [
        lambda encoder: TableEncoder.from_plain(encoder.to_plain()),
        lambda encoder: TableEncoder.from_plain(jsonable(encoder.to_plain())),
        lambda encoder: pickle.loads(pickle.dumps(encoder)),
        copy.deepcopy,
    ],
    ids=["plain", "json", "pickle", "deepcopy"],
)
@pytest.mark.parametrize("names", [True, False], ids=["named", "numbered"])
def test_a_restored_encoder_equals_the_stored_one(restore, names):
    frame = pd.DataFrame(
        {
            **HOUSES,
            "text": pd.Series(["a\0", "\ud800", "", "é", None], dtype=object),
            "whole": pd.Series([2**70, 1, 2, None, 1], dtype=object),
            "broken": [0.1, 1e-300, 1e300, 2.5, -0.0],
            "flag": pd.array([True, None, False, True, True], dtype="boolean"),
            "constant": 1.0,
            "empty": None,
        }
    )
    if not names:
        frame.columns = range(frame.shape[1])
    chosen = [0, 2, 4, 5, 6, 7]
    encoder = TableEncoder.learn(frame, categorical_features=chosen, max_categories=3)
    encoder.encode(frame)  # what it derives from its state is not stored
    restored = restore(encoder)
    assert restored == encoder
    assert repr(restored) == repr(encoder)
    assert rows(restored.encode(frame, np.float64)) == rows(encoder.encode(frame, np.float64))


# --- memory ---


def test_encoding_takes_little_memory_beside_the_arrays(monkeypatch, frame_of):
    monkeypatch.setattr(sources, "CHUNK", 2**11)
    monkeypatch.setattr("skmlp.tables.encoding.BLOCK", 2**13)
    n, rng = 20_000, np.random.default_rng(0)
    numbers = {f"n{index}": rng.standard_normal(n) for index in range(5)}
    text = {f"t{index}": [f"city {each}" for each in rng.integers(0, 50, n).tolist()] for index in range(5)}
    frame = frame_of({**numbers, **text})
    encoder = TableEncoder.learn(frame)
    tracemalloc.start()
    try:
        encoded = encoder.encode(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = encoded.numbers.nbytes + encoded.codes.nbytes
    assert size == n * 10 * 4
    # Beside the arrays there are one column of numbers in float64 (a fifth), and a part of a column of Python objects.
    assert peak < 1.5 * size
