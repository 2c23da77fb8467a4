"""Encoding a table: its columns go, one by one, to their places in two arrays."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._typing import FloatArray, IntArray
from skmlp.tables.categories import CategoryColumn, count_missing
from skmlp.tables.errors import ColumnErrors
from skmlp.tables.numbers import NumberColumn, missing_values, out_of_range
from skmlp.tables.sources import Column, Table

__all__ = ["EncodedTable", "Layout", "encode_table"]

# The codes of an indicator.
PRESENT, MISSING = 1, 2
# Numbers that are checked at a time: the temporary arrays of a block stay small, and in the cache.
BLOCK = 2**16


@dataclass(frozen=True, eq=False)
class EncodedTable:
    """A table as two arrays.

    Attributes
    ----------
    numbers : ndarray of shape (n_samples, n_numbers)
        Finite numbers, with missing values replaced. Not scaled.
    codes : int32 ndarray of shape (n_samples, n_codes)
        From 1 to the size of the column, or 0 for a value that was not in training.
    """

    numbers: FloatArray
    codes: IntArray


@dataclass(frozen=True)
class Layout:
    """Which columns of the training table are in the two arrays, in the order of their places.

    Attributes
    ----------
    numbers : dict of NumberColumn
        The columns of the numbers, by their positions in the training table.
    categories : dict of CategoryColumn
        The first columns of the codes.
    indicators : dict of NumberColumn
        The other columns of the codes.
    """

    numbers: dict[int, NumberColumn]
    categories: dict[int, CategoryColumn]
    indicators: dict[int, NumberColumn]

    @classmethod
    def of(cls, columns: Sequence[NumberColumn | CategoryColumn]) -> "Layout":
        """Return the layout for the columns of a training table."""
        numbers = {position: column for position, column in enumerate(columns) if isinstance(column, NumberColumn)}
        categories = {position: column for position, column in enumerate(columns) if isinstance(column, CategoryColumn)}
        return cls(
            {position: column for position, column in numbers.items() if not column.is_constant},
            {position: column for position, column in categories.items() if not column.is_constant},
            {position: column for position, column in numbers.items() if column.has_indicator},
        )


def encode_table(
    layout: Layout,
    table: Table,
    positions: Sequence[int],
    dtype: "np.dtype[Any]",
    errors: ColumnErrors,
    may_be_missing: bool,
) -> EncodedTable:
    """Return the arrays of a table; they mean nothing if errors are found.

    Parameters
    ----------
    layout : Layout
    table : Table
    positions : sequence of int
        Where the columns of the training table are in this table.
    dtype : dtype
        Of the numbers.
    errors : ColumnErrors
        Gets what is wrong with columns.
    may_be_missing : bool
        Whether missing values are allowed.
    """
    encoding = _Encoding(layout, table, positions, errors)
    numbers, codes = encoding.numbers(dtype), encoding.codes()
    encoding.replace_missing(numbers, codes)
    if not may_be_missing:
        encoding.refuse_missing()
    return EncodedTable(numbers, codes)


class _Encoding:
    def __init__(self, layout: Layout, table: Table, positions: Sequence[int], errors: ColumnErrors) -> None:
        self.layout, self.table, self.errors = layout, table, errors
        self._positions = positions
        self._n_missing: Counter[int] = Counter()

    def _column(self, position: int) -> Column:
        """Return a column by its position in the training table."""
        return self.table.column(self._positions[position])

    def numbers(self, dtype: "np.dtype[Any]") -> FloatArray:
        """Return the numbers, with NaN for a missing one and an infinite one for one that is too large."""
        inputs = self.layout.numbers
        positions = [self._positions[position] for position in inputs]
        numbers: FloatArray = np.zeros((self.table.shape[0], len(inputs)), dtype)
        with np.errstate(over="ignore"):
            for rows in _blocks(numbers):
                block = self.table.numbers(positions, rows)
                if block is None:
                    break
                numbers[rows] = block
            else:
                return numbers
            for index, (position, number) in enumerate(inputs.items()):
                with self.errors.of(number.name, trained_on="numbers"):
                    numbers[:, index] = self._column(position).floats()
        return numbers

    def codes(self) -> IntArray:
        """Return the codes, with that of a present value for the indicators of columns of the numbers."""
        layout, n_samples = self.layout, self.table.shape[0]
        codes: IntArray = np.full((n_samples, len(layout.categories) + len(layout.indicators)), PRESENT, np.int32)
        for index, (position, category) in enumerate(layout.categories.items()):
            with self.errors.of(category.name, trained_on=category.holds):
                category.encode(self._column(position), codes[:, index])
        for index, (position, number) in enumerate(layout.indicators.items(), start=len(layout.categories)):
            if position not in layout.numbers:
                with self.errors.of(number.name, trained_on="numbers"):
                    codes[np.isnan(self._column(position).floats()), index] = MISSING
        return codes

    def replace_missing(self, numbers: FloatArray, codes: IntArray) -> None:
        """Replace missing numbers and set their indicators; find the columns with infinite numbers."""
        inputs = list(self.layout.numbers.items())
        indicators = {
            position: index for index, position in enumerate(self.layout.indicators, len(self.layout.categories))
        }
        faulty: set[int] = set()
        for rows in _blocks(numbers):
            block, block_codes = numbers[rows], codes[rows]
            if np.isfinite(block).all():
                continue
            faulty.update(np.flatnonzero(np.isinf(block).any(axis=0)).tolist())
            is_missing = np.isnan(block)
            for index in np.flatnonzero(is_missing.any(axis=0)).tolist():
                position, number = inputs[index]
                missing_rows = np.flatnonzero(is_missing[:, index])
                self._n_missing[position] += len(missing_rows)
                block[missing_rows, index] = number.replacement
                if position in indicators:
                    block_codes[missing_rows, indicators[position]] = MISSING
        for index in sorted(faulty):
            position, number = inputs[index]
            with self.errors.of(number.name):
                raise out_of_range(self._column(position).floats(), numbers.dtype)

    def refuse_missing(self) -> None:
        """Find the columns with missing values."""
        n_missing = {number.name: self._n_missing[position] for position, number in self.layout.numbers.items()}
        for position, category in self.layout.categories.items():
            n_missing[category.name] = count_missing(self._column(position))
        for name, count in n_missing.items():
            if count:
                with self.errors.of(name):
                    raise missing_values(count)


def _blocks(numbers: FloatArray) -> Iterator[slice]:
    """Yield blocks of rows."""
    n_rows = max(1, BLOCK // max(1, numbers.shape[1]))
    return (slice(start, start + n_rows) for start in range(0, len(numbers), n_rows))
