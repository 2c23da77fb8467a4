"""Python values in the cells of a table: which kinds there are, and their conversion to numbers."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from math import nan
from numbers import Complex, Real
from reprlib import repr as repr_of
from typing import Any, Literal, get_args

import numpy as np

from skmlp._typing import FloatArray
from skmlp.tables.errors import ColumnError

__all__ = [
    "Kind",
    "Unsupported",
    "common_kind",
    "floats_of",
    "kind_of",
    "mixed_values",
    "text_among_numbers",
    "unsupported",
    "unsupported_type",
]

Kind = Literal["missing", "number", "boolean", "text"]

Unsupported = Literal["dates", "times", "durations", "lists", "structs", "bytes", "complex numbers"]

_REMEDIES: dict[Unsupported, str] = {
    "dates": (
        "make numbers of them first, such as the year, the weekday or the days since a fixed date, as skrub's "
        "TableVectorizer does, or drop the column"
    ),
    "times": "make numbers of them first, such as the hours since midnight, or drop the column",
    "durations": "make numbers of them first, for example with .dt.total_seconds(), or drop the column",
    "lists": (
        "make columns of numbers or text of them first, such as one column for each element, or their length and "
        "mean, or drop the column"
    ),
    "structs": "make a column of each field first, or drop the column",
    "bytes": "decode them to text first, or drop the column",
    "complex numbers": "pass the real and the imaginary parts as two columns",
}
# The first that is a base of a type counts: a datetime is a date.
_UNSUPPORTED: tuple[tuple[tuple[type, ...], Unsupported], ...] = (
    ((dt.date, np.datetime64), "dates"),
    ((dt.time,), "times"),
    ((dt.timedelta, np.timedelta64), "durations"),
    ((bytes, bytearray), "bytes"),
    ((dict,), "structs"),
    ((list, tuple, set, frozenset, np.ndarray), "lists"),
    ((complex, np.complexfloating, Complex), "complex numbers"),
)


_kinds: dict[type, Kind | None] = {}


def kind_of(cls: type) -> Kind | None:
    """Return the kind of the values of a Python type, None if they are not supported.

    A NaN is a number by its type; it is a missing value all the same.
    """
    if cls not in _kinds:
        _kinds[cls] = _kind_of(cls)
    return _kinds[cls]


def _kind_of(cls: type) -> Kind | None:
    # pandas' NA and NaT are known by their names: pandas need not be installed.
    if cls is type(None) or cls.__name__ in ("NAType", "NaTType"):
        return "missing"
    if issubclass(cls, bool | np.bool_):
        return "boolean"
    if issubclass(cls, str):
        return "text"
    # A timedelta64 of NumPy calls itself an integer.
    is_number = issubclass(cls, Real | Decimal | np.integer | np.floating) and not issubclass(cls, np.timedelta64)
    return "number" if is_number else None


def unsupported(values: Unsupported, dtype: str = "") -> ColumnError:
    """Return the error about a column that holds such values."""
    # scikit-learn calls complex numbers a wrong value, not a wrong type.
    error = ValueError if values == "complex numbers" else TypeError
    note = "Complex data not supported; " if values == "complex numbers" else ""
    return ColumnError(f"holds {values}" + (f" ({dtype})" if dtype else ""), note + _REMEDIES[values], error)


def unsupported_type(cls: type) -> ColumnError:
    """Return the error about a column that holds values of such a Python type."""
    for bases, values in _UNSUPPORTED:
        if issubclass(cls, bases):
            return unsupported(values, cls.__name__)
    remedy = "turn them into numbers or text first, for example with .astype(str), or drop the column"
    return ColumnError(f"holds {cls.__name__} objects", remedy, TypeError)


def mixed_values() -> ColumnError:
    """Return the error about a column that holds text and numbers, as it is not clear whether 1 and "1" are equal."""
    return ColumnError(
        "holds both text and numbers",
        "turn all of them into text, for example with .astype(str), or into numbers, for example with "
        'pandas.to_numeric(column, errors="coerce")',
        TypeError,
    )


def common_kind(chunks: Iterable[list[Any]]) -> Kind:
    """Return the kind of a column's values; ``"missing"`` if all are, ``"number"`` for numbers and booleans.

    Raises
    ------
    ColumnError
        For unsupported values, and for text among numbers.
    """
    kinds: set[Kind] = set()
    for values in chunks:
        types = set(map(type, values))
        for each in types:
            kind = kind_of(each)
            if kind is None:
                raise unsupported_type(each)
            # Missing text is often a NaN.
            if kind == "number" and not any(value == value for value in values if type(value) is each):
                kind = "missing"
            kinds.add(kind)
    kinds.discard("missing")
    if "text" in kinds and len(kinds) > 1:
        raise mixed_values()
    return next((kind for kind in get_args(Kind) if kind in kinds), "missing")


def floats_of(values: list[Any]) -> FloatArray:
    """Return numbers, booleans and missing values in float64, with NaN for a missing value.

    Raises
    ------
    ColumnError
        For other values, and for a number beyond the range of float64.
    """
    types = set(map(type, values))
    kinds = {each: kind_of(each) for each in types}
    for each, kind in kinds.items():
        if kind is None:
            raise unsupported_type(each)
        if kind == "text":
            raise text_among_numbers(str(next(value for value in values if type(value) is each)))
    if any(kind == "missing" and each is not type(None) for each, kind in kinds.items()):  # NumPy makes None a NaN
        values = [nan if kinds[type(value)] == "missing" else value for value in values]
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise ColumnError("holds numbers beyond the range of float64", "divide them or take their logarithms") from None


def text_among_numbers(example: str) -> ColumnError:
    """Return the error about a column of numbers that holds text."""
    return ColumnError(
        f"holds text, such as {repr_of(example)}",
        'turn it into numbers, or make it categorical: name it in categorical_features or leave that "from_dtype"',
    )
