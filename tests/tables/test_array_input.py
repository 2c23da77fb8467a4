"""Arrays, lists, and what is not a table."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.utils import check_array

from skmlp.tables import TableEncoder


def arrays(table, **settings):
    encoder = TableEncoder.learn(table, **settings)
    encoded = encoder.encode(table, np.float64)
    return encoded.numbers.tolist(), encoded.codes.tolist()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f8", "int8", "int64", "uint64"])
def test_an_array_of_numbers_is_numbers(dtype, order):
    array = np.array([[1, 2], [3, 4], [5, 0]], dtype=dtype, order=order)
    assert arrays(array) == ([[1, 2], [3, 4], [5, 0]], [[], [], []])


def test_nan_is_a_missing_value():
    assert arrays(np.array([[1.0, np.nan], [2.0, 4.0], [3.0, 6.0]])) == ([[1, 5], [2, 4], [3, 6]], [[2], [1], [1]])


def test_a_view_of_an_array_and_a_list_of_lists_are_read_alike():
    array = np.arange(24.0).reshape(6, 4)[::2, 1::2]
    assert arrays(array) == arrays(array.tolist()) == arrays(tuple(map(tuple, array))) == (array.tolist(), [[]] * 3)


def test_an_array_of_booleans_is_categories_unless_there_are_none():
    array = np.array([[True, False], [False, False], [True, True]])
    assert arrays(array) == ([[]] * 3, [[2, 1], [1, 1], [2, 2]])
    assert arrays(array, categorical_features=None) == ([[1, 0], [0, 0], [1, 1]], [[]] * 3)


def test_columns_of_objects_are_judged_one_by_one():
    rows = [[1, "b", True, None], [2.5, "a", False, "x"], [None, "b", None, None]]
    expected = ([[1], [2.5], [1.75]], [[2, 2, 2, 1], [1, 1, 1, 1], [2, 3, 2, 2]])
    assert arrays(np.array(rows, dtype=object)) == expected
    assert arrays(rows) == expected


def test_numbers_beside_text_in_a_list_stay_numbers():
    assert arrays([[10, "b"], [9, "a"]]) == ([[10], [9]], [[2], [1]])


def test_an_array_of_text_is_categories():
    assert arrays(np.array([["a", "10"], ["b", "9"]])) == ([[], []], [[1, 1], [2, 2]])


def test_masked_values_are_missing():
    masked = np.ma.masked_array([[1.0, 2.0], [3.0, 99.0], [5.0, 4.0]], mask=[[0, 0], [0, 1], [0, 0]])
    assert arrays(masked) == ([[1, 2], [3, 3], [5, 4]], [[1], [2], [1]])


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array"])
def test_sparse_data_are_refused_in_scikit_learn_s_words(kind):
    X = getattr(sparse, kind)(np.eye(3))
    with pytest.raises(TypeError) as expected:
        check_array(X, input_name="X")
    with pytest.raises(TypeError) as caught:
        TableEncoder.learn(X)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("X", [np.ones(3), [1.0, 2.0], pd.Series([1.0, 2.0]), pl.Series([1.0])])
def test_one_dimension_is_refused_in_scikit_learn_s_words(X):
    with pytest.raises(ValueError, match=r"Expected 2D array, got 1D array instead:[\s\S]*array\.reshape\(-1, 1\)"):
        TableEncoder.learn(X)


def test_other_numbers_of_dimensions_are_refused():
    with pytest.raises(ValueError, match="Expected 2D array, got scalar array instead"):
        TableEncoder.learn(3.0)
    with pytest.raises(ValueError, match="Found array with dim 3, while dim <= 2 is required"):
        TableEncoder.learn(np.ones((2, 2, 2)))


def test_rows_of_different_lengths_are_no_table():
    with pytest.raises(ValueError, match=r"X is not a table: .*inhomogeneous"):
        TableEncoder.learn([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("complex128", "holds complex numbers .*Complex data not supported"),
        ("datetime64[s]", "holds dates"),
        ("timedelta64[s]", "holds durations"),
        ("S3", "holds bytes"),
        ([("a", "f8")], "holds structs"),
    ],
)
def test_other_arrays_are_refused_by_column(dtype, message):
    with pytest.raises((ValueError, TypeError), match=f"2 columns of X cannot be used.\n- Column 0 {message}"):
        TableEncoder.learn(np.zeros((3, 2), dtype=dtype))


def test_infinite_numbers_are_named_by_column_and_row():
    with pytest.raises(ValueError, match=r"^Column 1 of X has 1 infinite value \(the first in row 2\)"):
        TableEncoder.learn(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, -np.inf]]))


def test_numbers_too_large_for_float32_are_named():
    array = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 1e39]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            ValueError, match=r"^Column 1 of X has 1 value too large for float32 \(the first in row 2\)"
        ):
            TableEncoder.learn(array).encode(array)
