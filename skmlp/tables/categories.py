"""Columns of categories: their values in training and the codes of these."""

import operator
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from math import isinf
from typing import Any, Literal

import numpy as np

from skmlp._typing import IntArray
from skmlp.tables.errors import ColumnError
from skmlp.tables.numbers import missing_values
from skmlp.tables.sources import Column
from skmlp.tables.values import Kind, kind_of, mixed_values, unsupported_type

__all__ = ["CategoryColumn", "count_missing"]

Category = str | int | float | bool
Holds = Literal["text", "numbers", "booleans"]


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories.

    The codes are 1, 2, ... for the `categories` in sorted order, then one for a missing value if there was one in
    training, then one for all rare categories if there are any. A value that was not in training, missing or not, has
    the code of the rare ones, or else 0. So codes do not depend on the order of the rows.

    Numbers are equal by value: 1 is 1.0 and True, so that integers which a missing value made floats keep their code.

    Attributes
    ----------
    name : str or int
        Its name, or its position if columns have no names.
    holds : {"text", "numbers", "booleans"}
        The type of the values. Text and numbers are never the same category.
    categories : tuple of str, int, float or bool
        The values with a code of their own, sorted.
    has_missing : bool
        Whether a missing value has a code.
    n_rare : int
        The number of training values that share one code.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.tables import CategoryColumn
    >>> column = CategoryColumn("city", holds="text", categories=("Oslo", "Rome"), has_missing=True, n_rare=0)
    >>> column.codes_of(["Rome", None, "Paris", "Oslo"])
    array([2, 3, 0, 1], dtype=int32)
    """

    name: str | int
    holds: Holds
    categories: tuple[Category, ...]
    has_missing: bool
    n_rare: int

    @property
    def size(self) -> int:
        """The number of codes beside 0."""
        return len(self.categories) + self.has_missing + (self.n_rare > 0)

    @property
    def is_constant(self) -> bool:
        """Whether all training values have one code. The column is then not part of the codes."""
        return self.size < 2

    @property
    def missing_code(self) -> int:
        """The code of a missing value."""
        return len(self.categories) + 1 if self.has_missing else self.unseen_code

    @property
    def unseen_code(self) -> int:
        """The code of a value that was not in training: that of rare values, or 0."""
        return self.size if self.n_rare else 0

    @classmethod
    def learn(
        cls, name: str | int, column: Column, may_be_missing: bool = True, max_categories: int | None = None
    ) -> "CategoryColumn":
        """Learn from the values of the training table.

        Raises
        ------
        ColumnError
            For values that are neither text, numbers nor booleans, for text among numbers, infinite numbers, and
            missing values unless they are allowed.
        """
        counts, n_missing, holds = _count(column)
        if n_missing and not may_be_missing:
            raise missing_values(n_missing)
        kept = list(counts)
        if max_categories is not None and len(kept) > max_categories:
            # The order of equally frequent values must not depend on that of the rows.
            kept = sorted(sorted(kept), key=lambda value: -counts[value])[: max_categories - 1]
        return cls(name, holds, tuple(sorted(kept)), n_missing > 0, len(counts) - len(kept))

    def encode(self, column: Column, out: IntArray) -> None:
        """Write the codes of a table's column into `out`, of shape (n_samples,).

        Raises
        ------
        ColumnError
            For values that are neither text, numbers nor booleans, for infinite numbers, and for text in place of
            numbers or the other way round.
        """
        start = 0
        for values in column.chunks():
            out[start : start + len(values)] = self.codes_of(values)
            start += len(values)

    def codes_of(self, values: list[Any]) -> IntArray:
        """Return the codes of values.

        Raises
        ------
        ColumnError
            See :meth:`encode`.
        """
        try:
            codes = np.fromiter(map(self._codes.get, values, repeat(-1)), np.int32, len(values))
        except TypeError:  # cannot be hashed
            raise _first_unsupported(values) from None
        new_rows = np.flatnonzero(codes < 0)
        if len(new_rows):
            new = [values[row] for row in new_rows.tolist()]
            found = {value: self._new_code(value) for value in set(new)}
            codes[new_rows] = [found[value] for value in new]
        return codes

    @cached_property
    def _codes(self) -> dict[Any, int]:
        codes: dict[Any, int] = {value: code for code, value in enumerate(self.categories, start=1)}
        if self.has_missing:
            codes[None] = codes[np.nan] = self.missing_code  # the usual ones, which are single objects
        return codes

    def _new_code(self, value: Any) -> int:
        """Return the code of a value that is not one of the categories in the form in which it comes."""
        kind = kind_of(type(value))
        if kind is None:
            raise unsupported_type(type(value))
        if _is_missing(value):
            return self.missing_code
        if (kind == "text") != (self.holds == "text"):
            now = "text" if kind == "text" else "booleans" if kind == "boolean" else "numbers"
            raise ColumnError(f"holds {now}, such as {value!r}", "", TypeError)
        return self.unseen_code if kind == "text" else self._codes.get(_as_number(value), self.unseen_code)

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, booleans and a list of these from which :meth:`from_plain` restores the column."""
        return {
            "kind": "categories",
            "name": self.name,
            "holds": self.holds,
            "categories": list(self.categories),
            "has_missing": self.has_missing,
            "n_rare": self.n_rare,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "CategoryColumn":
        """Undo :meth:`to_plain`."""
        return cls(plain["name"], plain["holds"], tuple(plain["categories"]), plain["has_missing"], plain["n_rare"])


def count_missing(column: Column) -> int:
    """Return the number of missing values."""
    return sum(sum(map(_is_missing, values)) for values in column.chunks())


def _is_missing(value: Any) -> bool:
    kind = kind_of(type(value))
    return kind == "missing" or bool(kind == "number" and value != value)


def _first_unsupported(values: list[Any]) -> ColumnError:
    return unsupported_type(next(type(value) for value in values if kind_of(type(value)) is None))


def _count(column: Column) -> tuple[dict[Category, int], int, Holds]:
    """Return how often each value occurs, the number of missing values, and the type of the values."""
    counts: dict[Category, int] = {}
    n_missing, kinds = 0, set[Kind | None]()
    for values in column.chunks():
        try:
            chunk = Counter(values)
        except TypeError:  # cannot be hashed
            raise _first_unsupported(values) from None
        for value, count in chunk.items():
            kind = kind_of(type(value))
            if kind is None:
                raise unsupported_type(type(value))
            if _is_missing(value):
                n_missing += count
                continue
            kinds.add(kind)
            known = str.__str__(value) if kind == "text" else _as_number(value)
            counts[known] = counts.get(known, 0) + count
    if "text" in kinds and len(kinds) > 1:
        raise mixed_values()
    holds: Holds = "numbers" if "number" in kinds else "booleans" if "boolean" in kinds else "text"
    if holds == "numbers" and "boolean" in kinds:
        counts = {int(value) if isinstance(value, bool) else value: count for value, count in counts.items()}
    return counts, n_missing, holds


def _as_number(value: Any) -> int | float | bool:
    """Return a number as Python's bool, int if it is whole, or float."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        return operator.index(value)
    except TypeError:
        number = float(value)
    if isinf(number):
        raise ColumnError("has infinite values", "replace them, for example by None for a missing value")
    return int(number) if number.is_integer() else number
