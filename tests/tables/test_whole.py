"""Parts of the rows of a table, for any kind of table."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmlp.tables import may_have_categories, row_blocks, some_rows

COLUMNS = {"a": list(range(10)), "b": [str(each) for each in range(10)]}
TABLES = {"pandas": pd.DataFrame(COLUMNS), "polars": pl.DataFrame(COLUMNS), "pyarrow": pa.table(COLUMNS)}


def _first(table):
    return np.asarray(table["a"]).tolist()


@pytest.mark.parametrize("library", TABLES)
def test_blocks_of_a_frame_are_its_rows_in_order(library):
    table = TABLES[library]
    assert [_first(part) for part in row_blocks(table, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert {type(part) for part in row_blocks(table, 4)} == {type(table)}
    (whole,) = row_blocks(table, 10)
    assert whole is table


@pytest.mark.parametrize("library", TABLES)
def test_some_rows_of_a_frame_are_evenly_spaced(library):
    assert _first(some_rows(TABLES[library], 3)) == [0, 3, 6, 9]
    assert some_rows(TABLES[library], 6) is TABLES[library]


def test_arrays_are_cut_and_lists_are_not():
    array, rows = np.arange(10).reshape(10, 1), [[1.0], [2.0]]
    assert [part.ravel().tolist() for part in row_blocks(array, 6)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert some_rows(array, 2).ravel().tolist() == [0, 5]
    assert list(row_blocks(rows, 1)) == [rows]
    assert some_rows(rows, 1) is rows


@pytest.mark.parametrize("nothing", [None, 3.0, "text"])
def test_what_is_no_table_is_left_to_the_encoder(nothing):
    assert list(row_blocks(nothing, 1)) == [nothing]
    assert not may_have_categories(nothing)


def test_a_frame_with_duplicate_names_is_left_to_the_encoder():
    frame = pd.DataFrame(np.ones((5, 2)), columns=["a", "a"])
    (whole,) = row_blocks(frame, 10)
    assert whole is frame
    assert not may_have_categories(frame)


@pytest.mark.parametrize("library", TABLES)
def test_text_may_be_categories_and_numbers_and_booleans_are_not(library):
    table = TABLES[library]
    assert may_have_categories(table)
    numbers = {"a": [1, 2], "b": [True, False], "c": [0.5, None]}
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[library]
    assert not may_have_categories(make(numbers))
