"""The kinds of columns, and what the encoder makes of each, for every library that can hold it."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skmlp.tables import CategoryColumn, NumberColumn, TableEncoder

NAN, INF = float("nan"), float("inf")


class Numbers(NamedTuple):
    """A column of numbers: what they are after encoding, and the codes of the indicator if there is one."""

    values: list[float]
    indicator: list[int] | None = None


class Codes(NamedTuple):
    """A column of categories: codes, the categories, and whether a missing value has a code."""

    codes: list[int]
    categories: list[Any]
    has_missing: bool = False
    holds: str = "text"


class Indicator(NamedTuple):
    """Numbers that are all equal where they are not missing: the codes of the indicator remain."""

    codes: list[int]


class Dropped(NamedTuple):
    """A column with one value."""


class Error(NamedTuple):
    """An error that names the column and contains the parts."""

    cls: type[Exception]
    parts: tuple[str, ...]


class Case(NamedTuple):
    """Data for the column in each library, and the outcome. ``None`` if the library has no such data."""

    pandas: Callable[[], Any] | None
    polars: Callable[[], Any] | None
    pyarrow: Callable[[], Any] | None
    outcome: Numbers | Codes | Indicator | Dropped | Error


def same(values: Any, outcome: Any) -> Case:
    """Return the case of values from which all libraries infer the type."""
    return Case(lambda: pd.Series(values), lambda: pl.Series(values), lambda: pa.array(values), outcome)


def typed(values: Any, pandas: Any, polars: Any, pyarrow: Any, outcome: Any) -> Case:
    """Return the case of values with the data types of the libraries; None for a library without such a type."""
    return Case(
        pandas and (lambda: pd.Series(values, dtype=pandas)),
        polars and (lambda: pl.Series(values, dtype=polars)),
        pyarrow and (lambda: pa.array(values, pyarrow)),
        outcome,
    )


def objects(values: list[Any], outcome: Any) -> Case:
    """Return the case of Python objects, which pyarrow does not have."""
    return Case(lambda: pd.Series(values, dtype=object), lambda: pl.Series(values, dtype=pl.Object), None, outcome)


def dictionary(values: list[Any], ordered: bool = False) -> Any:
    return pa.DictionaryArray.from_arrays(*_indices(values), ordered=ordered)


def _indices(values: list[Any]) -> tuple[Any, Any]:
    known = sorted({value for value in values if value is not None})
    return pa.array([None if value is None else known.index(value) for value in values], pa.int8()), pa.array(known)


DAY, NOON = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 12)
ARROW = pd.ArrowDtype
TEXT = ["b", "a", "b", "c"]
LARGE = [2**53 + 1, 2**53 + 3, 1, 2]

CASES = {
    # numbers
    "float64": same([1.5, 2.5, -1.0, 4.0], Numbers([1.5, 2.5, -1.0, 4.0])),
    "float64 with a missing value": typed(
        [1.0, None, 3.0, 7.0], "float64", pl.Float64, pa.float64(), Numbers([1, 3, 3, 7], [1, 2, 1, 1])
    ),
    "float64 with NaN": same([1.0, NAN, 3.0, 7.0], Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "float32": typed([1.5, 2.5, 0.0, 4.0], "float32", pl.Float32, pa.float32(), Numbers([1.5, 2.5, 0.0, 4.0])),
    "float16": typed(
        np.array([1.5, 2.5, 0.0, 4.0], np.float16), "float16", None, pa.float16(), Numbers([1.5, 2.5, 0.0, 4.0])
    ),
    "int64": same([1, 2, 3, 4], Numbers([1, 2, 3, 4])),
    "int8": typed([1, -128, 3, 127], "int8", pl.Int8, pa.int8(), Numbers([1, -128, 3, 127])),
    "nullable int64": typed([1, None, 3, 7], "Int64", pl.Int64, pa.int64(), Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "nullable float64": typed(
        [1.0, None, 3.0, 7.0], "Float64", pl.Float64, pa.float64(), Numbers([1, 3, 3, 7], [1, 2, 1, 1])
    ),
    "int64 of arrow": typed([1, None, 3, 7], ARROW(pa.int64()), None, pa.int64(), Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "int64 beyond 2**53": same(LARGE, Numbers([float(value) for value in LARGE])),
    "uint64 beyond int64": typed([2**64 - 1, 1, 2, 3], "uint64", pl.UInt64, pa.uint64(), Numbers([2.0**64, 1, 2, 3])),
    "int128": typed([2**100, 1, 2, 3], None, pl.Int128, None, Numbers([2.0**100, 1, 2, 3])),
    "few whole numbers are numbers": same([0, 1, 1, 0], Numbers([0, 1, 1, 0])),
    "decimals": Case(
        lambda: pd.Series([Decimal("1.5"), Decimal("2"), Decimal("0"), Decimal("4")], dtype=object),
        lambda: pl.Series([Decimal("1.5"), Decimal("2"), Decimal("0"), Decimal("4")]),
        lambda: pa.array([Decimal("1.5"), Decimal("2"), Decimal("0"), Decimal("4")]),
        Numbers([1.5, 2, 0, 4]),
    ),
    "decimals with a missing value": Case(
        lambda: pd.Series([Decimal("1.5"), None, Decimal("2"), Decimal("4")], dtype=ARROW(pa.decimal128(5, 2))),
        lambda: pl.Series([Decimal("1.5"), None, Decimal("2"), Decimal("4")]),
        lambda: pa.array([Decimal("1.5"), None, Decimal("2"), Decimal("4")]),
        Numbers([1.5, 2, 2, 4], [1, 2, 1, 1]),
    ),
    "objects: numbers": objects([1, 2.5, Fraction(1, 2), np.float32(4)], Numbers([1, 2.5, 0.5, 4])),
    "objects: numbers and None": objects([1, None, 3, 7], Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "objects: numbers and NaN": objects([1, NAN, 3, 7], Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "objects: numbers and pandas' NA": objects([1, pd.NA, 3, 7], Numbers([1, 3, 3, 7], [1, 2, 1, 1])),
    "objects: numbers and booleans": objects([1, True, 3, 7], Numbers([1, 1, 3, 7])),
    "objects: whole numbers beyond int64": objects([2**70, 1, 2, 3], Numbers([2.0**70, 1, 2, 3])),
    "sparse floats": Case(
        lambda: pd.Series([0.0, 1.0, 0.0, 2.0], dtype=pd.SparseDtype("float64", 0.0)),
        None,
        None,
        Numbers([0, 1, 0, 2]),
    ),
    "tiny and huge numbers": same([1e-300, 1e300, 2e-300, -1e300], Numbers([1e-300, 1e300, 2e-300, -1e300])),
    "the median of huge numbers": same(
        [1.5e308, NAN, 1.75e308, NAN], Numbers([1.5e308, 1.625e308, 1.75e308, 1.625e308], [1, 2, 1, 2])
    ),
    # constant columns
    "constant numbers": same([3.0, 3.0, 3.0, 3.0], Dropped()),
    "numbers that are constant but for rounding": same([0.3, 0.1 + 0.2, 0.3, 0.3], Dropped()),
    "constant numbers, some missing": same([3.0, NAN, 3.0, 3.0], Indicator([1, 2, 1, 1])),
    "constant text": same(["a", "a", "a", "a"], Dropped()),
    "constant booleans": same([True, True, True, True], Dropped()),
    "all missing numbers": typed([None] * 4, "float64", pl.Float64, pa.float64(), Dropped()),
    "all missing text": typed([None] * 4, "str", pl.String, pa.string(), Dropped()),
    "all missing objects": objects([None] * 4, Dropped()),
    "all missing, without a type": Case(
        lambda: pd.Series([None] * 4, dtype=ARROW(pa.null())),
        lambda: pl.Series([None] * 4),
        lambda: pa.nulls(4),
        Dropped(),
    ),
    # booleans
    "booleans": same([True, False, True, True], Codes([2, 1, 2, 2], [False, True], holds="booleans")),
    "booleans with a missing value": typed(
        [True, None, False, True],
        "boolean",
        pl.Boolean,
        pa.bool_(),
        Codes([2, 3, 1, 2], [False, True], True, "booleans"),
    ),
    "objects: booleans and None": objects(
        [True, None, False, np.True_], Codes([2, 3, 1, 2], [False, True], True, "booleans")
    ),
    # text
    "text": same(TEXT, Codes([2, 1, 2, 3], ["a", "b", "c"])),
    "text with a missing value": typed(
        ["b", None, "a", "a"], "str", pl.String, pa.string(), Codes([2, 3, 1, 1], ["a", "b"], True)
    ),
    "objects: text and None": objects(["b", None, "a", "a"], Codes([2, 3, 1, 1], ["a", "b"], True)),
    "objects: text and NaN": objects(["b", NAN, "a", "a"], Codes([2, 3, 1, 1], ["a", "b"], True)),
    "objects: text, missing at first": objects(
        [None] * 200 + TEXT, Codes([4] * 200 + [2, 1, 2, 3], ["a", "b", "c"], True)
    ),
    "objects: numbers, missing at first": objects(
        [None] * 200 + [1, 2, 4, 8], Numbers([3.0] * 200 + [1, 2, 4, 8], [2] * 200 + [1] * 4)
    ),
    "objects: text, numbers at the end": objects(["a"] * 200 + [1, 2], Error(TypeError, ("text and numbers",))),
    "nullable text": typed(
        ["b", None, "a", "a"], "string", pl.String, pa.large_string(), Codes([2, 3, 1, 1], ["a", "b"], True)
    ),
    "text of arrow": typed(
        ["b", None, "a", "a"], ARROW(pa.string()), None, pa.string_view(), Codes([2, 3, 1, 1], ["a", "b"], True)
    ),
    "constant text with a missing value": typed(
        ["a", None, "a", "a"], "str", pl.String, pa.string(), Codes([1, 2, 1, 1], ["a"], True)
    ),
    "text of digits is text": same(["1", "2", "1", "10"], Codes([1, 3, 1, 2], ["1", "10", "2"])),
    "text is kept to the letter": same(
        ["a", "a ", "", "\N{LATIN SMALL LETTER E WITH ACUTE}"], Codes([2, 3, 1, 4], ["", "a", "a ", "\xe9"])
    ),
    "text that ends in a zero byte": same(["a", "a\0", "a", "b"], Codes([1, 2, 1, 3], ["a", "a\0", "b"])),
    "text in runs": Case(
        None,
        None,
        lambda: pa.RunEndEncodedArray.from_arrays([2, 4], ["b", "a"]),
        Codes([2, 2, 1, 1], ["a", "b"]),
    ),
    # data types for categories
    "categories": Case(
        lambda: pd.Series(TEXT, dtype="category"),
        lambda: pl.Series(TEXT, dtype=pl.Categorical),
        lambda: dictionary(TEXT),
        Codes([2, 1, 2, 3], ["a", "b", "c"]),
    ),
    "categories with a missing value": Case(
        lambda: pd.Series(["b", None, "a", "a"], dtype="category"),
        lambda: pl.Series(["b", None, "a", "a"], dtype=pl.Categorical),
        lambda: dictionary(["b", None, "a", "a"]),
        Codes([2, 3, 1, 1], ["a", "b"], True),
    ),
    "unused categories": Case(
        lambda: pd.Series(pd.Categorical(TEXT, categories=["z", "c", "b", "a"])),
        lambda: pl.Series(TEXT, dtype=pl.Enum(["z", "c", "b", "a"])),
        lambda: pa.DictionaryArray.from_arrays([2, 1, 2, 3], ["z", "a", "b", "c"]),
        Codes([2, 1, 2, 3], ["a", "b", "c"]),
    ),
    "ordered categories": Case(
        lambda: pd.Series(pd.Categorical(TEXT, categories=["c", "b", "a"], ordered=True)),
        lambda: pl.Series(TEXT, dtype=pl.Enum(["c", "b", "a"])),
        lambda: dictionary(TEXT, ordered=True),
        Codes([2, 1, 2, 3], ["a", "b", "c"]),
    ),
    "categories of whole numbers": Case(
        lambda: pd.Series([30, 4, 30, 4], dtype="category"),
        None,
        lambda: dictionary([30, 4, 30, 4]),
        Codes([2, 1, 2, 1], [4, 30], holds="numbers"),
    ),
    "categories of whole numbers with a missing value": Case(
        lambda: pd.Series([30, None, 4, 4], dtype="category"),
        None,
        lambda: dictionary([30, None, 4, 4]),
        Codes([2, 3, 1, 1], [4, 30], True, "numbers"),
    ),
    "categories of booleans": Case(
        lambda: pd.Series([True, False, None, True], dtype="category"),
        None,
        None,
        Codes([2, 1, 3, 2], [False, True], True, "booleans"),
    ),
    "dictionary of arrow in pandas": Case(
        lambda: pd.Series(["b", None, "a", "a"], dtype=ARROW(pa.dictionary(pa.int8(), pa.string()))),
        None,
        None,
        Codes([2, 3, 1, 1], ["a", "b"], True),
    ),
    # errors
    "infinite numbers": same(
        [1.0, 2.0, INF, -INF], Error(ValueError, ("2 infinite values (the first in row 2)", "NaN for a missing value"))
    ),
    "objects: an infinite number": objects(
        [1.0, 2.0, INF, 3], Error(ValueError, ("1 infinite value (the first in row 2)",))
    ),
    "objects: a number beyond float64": objects(
        [1, 10**400, 2, 3], Error(ValueError, ("beyond the range of float64",))
    ),
    "dates": Case(
        lambda: pd.Series([DAY] * 4, dtype=object),
        lambda: pl.Series([DAY] * 4),
        lambda: pa.array([DAY] * 4),
        Error(TypeError, ("holds dates (", "such as the year")),
    ),
    "date and time": same([NOON] * 4, Error(TypeError, ("holds dates (", "skrub's TableVectorizer"))),
    "date and time with a time zone": same(
        [NOON.replace(tzinfo=dt.UTC)] * 4, Error(TypeError, ("holds dates (", "UTC", "such as the year"))
    ),
    "categories of dates": Case(
        lambda: pd.Series([NOON, None, NOON, NOON], dtype="datetime64[ns]").astype("category"),
        None,
        None,
        Error(TypeError, ("holds dates (category)", "such as the year")),
    ),
    "durations": same([dt.timedelta(1)] * 4, Error(TypeError, ("holds durations (", ".dt.total_seconds()"))),
    "objects: durations of NumPy": objects([np.timedelta64(1, "s")] * 4, Error(TypeError, ("holds durations (",))),
    "times": Case(
        lambda: pd.Series([dt.time(1)] * 4, dtype=object),
        lambda: pl.Series([dt.time(1)] * 4),
        lambda: pa.array([dt.time(1)] * 4),
        Error(TypeError, ("holds times (", "hours since midnight")),
    ),
    "lists": same([[1], [2, 3], [], [4]], Error(TypeError, ("holds lists (", "one column for each element"))),
    "arrays": typed(
        [[1, 2]] * 4, None, pl.Array(pl.Int64, 2), pa.list_(pa.int64(), 2), Error(TypeError, ("holds lists (",))
    ),
    "arrays in cells": Case(
        lambda: pd.Series([np.ones(2)] * 4), None, None, Error(TypeError, ("holds lists (ndarray)",))
    ),
    "structs": same([{"a": 1}] * 4, Error(TypeError, ("holds structs (", "a column of each field"))),
    "bytes": same([b"a"] * 4, Error(TypeError, ("holds bytes (", "decode them to text"))),
    "complex numbers": Case(
        lambda: pd.Series([1j, 2, 3, 4]),
        lambda: pl.Series([1j, 2, 3, 4], dtype=pl.Object),
        None,
        Error(ValueError, ("Complex data not supported", "real and the imaginary")),
    ),
    "text and numbers": objects([1, "1", 2, 3], Error(TypeError, ("text and numbers", ".astype(str)", "to_numeric"))),
    "text and booleans": objects([True, "no", True, True], Error(TypeError, ("text and numbers",))),
    "other objects": objects([object()] * 4, Error(TypeError, ("holds object objects", ".astype(str)"))),
    "text and other objects": objects(["a", object(), "a", "b"], Error(TypeError, ("holds object objects",))),
    "frames in cells": Case(
        lambda: pd.Series([pd.DataFrame({"a": [1]})] * 4), None, None, Error(TypeError, ("holds DataFrame objects",))
    ),
    "periods": Case(
        lambda: pd.Series(pd.period_range("2026", periods=4)), None, None, Error(TypeError, ("holds Period objects",))
    ),
    "intervals": Case(
        lambda: pd.cut(pd.Series([1, 2, 3, 4]), 2), None, None, Error(TypeError, ("holds Interval objects", "astype"))
    ),
}

LIBRARIES = ["pandas", "polars", "pyarrow"]
CASES_OF_LIBRARIES = [
    pytest.param(case, library, id=f"{name}-{library}")
    for name, case in CASES.items()
    for library in LIBRARIES
    if getattr(case, library) is not None
]


def frame_of(library: str, columns: dict[str, Any]) -> Any:
    if library == "pandas":
        return pd.DataFrame(columns)
    return pl.DataFrame(columns) if library == "polars" else pa.table(columns)


@pytest.mark.parametrize(("case", "library"), CASES_OF_LIBRARIES)
def test_a_column_of_this_kind_is_encoded_as_documented_or_named_in_an_error(case: Case, library: str) -> None:
    outcome, values = case.outcome, getattr(case, library)()
    # The other columns show that the places are right.
    n = len(values)
    frame = frame_of(library, {"first": range(n), "c": values, "last": ["x", "y"] * (n // 2)})
    if isinstance(outcome, Error):
        with pytest.raises(outcome.cls) as caught:
            TableEncoder.learn(frame)
        assert type(caught.value) is outcome.cls
        for part in ("Column 'c' of X ", *outcome.parts):
            assert part in str(caught.value)
        return

    encoder = TableEncoder.learn(frame)
    encoded = encoder.encode(frame, np.float64)
    column = encoder.columns[1]
    columns = dict(zip(encoder.number_inputs, encoded.numbers.T.tolist(), strict=True))
    codes = list(zip(encoder.code_inputs, encoder.sizes, encoded.codes.T.tolist(), strict=True))
    assert columns.pop(0) == list(range(n))
    assert codes.pop([position for position, _, _ in codes].index(2)) == (2, 2, [1, 2] * (n // 2))
    match outcome:
        case Numbers(values, indicator):
            assert isinstance(column, NumberColumn)
            assert columns == {1: values}
            assert codes == ([] if indicator is None else [(1, 2, indicator)])
        case Codes(expected, categories, has_missing, holds):
            assert isinstance(column, CategoryColumn)
            assert (columns, codes) == ({}, [(1, len(categories) + has_missing, expected)])
            assert (list(column.categories), column.has_missing, column.holds) == (categories, has_missing, holds)
            assert list(map(type, column.categories)) == list(map(type, categories))
        case Indicator(expected):
            assert (columns, codes) == ({}, [(1, 2, expected)])
        case Dropped():
            assert (columns, codes, encoder.dropped) == ({}, [], (1,))


def test_there_are_dozens_of_kinds() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_columns_that_cannot_be_used_are_named_at_once(library: str) -> None:
    frame = frame_of(library, {"day": [DAY, DAY], "number": [1, 2], "huge": [INF, 1.0], "list": [[1], [2]]})
    with pytest.raises(ValueError, match="3 columns of X cannot be used") as caught:
        TableEncoder.learn(frame)
    lines = str(caught.value).split("\n")[1:]
    assert [line.split("'")[1] for line in lines] == ["day", "huge", "list"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_error_about_columns_names_ten_at_most(library: str) -> None:
    frame = frame_of(library, {f"day {index}": [DAY, DAY] for index in range(13)})
    with pytest.raises(TypeError, match="13 columns of X cannot be used") as caught:
        TableEncoder.learn(frame)
    lines = str(caught.value).split("\n")[1:]
    assert len(lines) == 11
    assert lines[-1] == "- And 3 more."
