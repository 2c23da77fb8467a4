"""The encoder: what it learns from the training table, and the arrays that it makes of any table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from skmlp.tables.categories import CategoryColumn
from skmlp.tables.encoding import EncodedTable, Layout, encode_table
from skmlp.tables.errors import ColumnErrors
from skmlp.tables.features import column_positions, declared_categorical
from skmlp.tables.numbers import NumberColumn
from skmlp.tables.sources import Column, read_table

__all__ = ["TableEncoder"]

Missing = Literal["indicator", "error"]


@dataclass(frozen=True)
class TableEncoder:
    """Makes two arrays of a table: numbers, and codes of categories.

    :meth:`learn` reads the training table, :meth:`encode` applies what it has learned to this and other tables. A
    table is a frame of any library that narwhals knows (pandas, polars, pyarrow and others), or an array-like of
    numbers or objects. It is never modified, and the index of a frame does not count.

    The numbers are those of the columns of numbers, in the order of the training table. The codes are those of the
    columns of categories, in that order, and then the indicators of missing numbers. Columns with one value in
    training are part of neither, and are not looked at later.

    Attributes
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        What was learned about each column of the training table, in its order.
    missing : {"indicator", "error"}

    Examples
    --------
    >>> import pandas as pd
    >>> from skmlp.tables import TableEncoder
    >>> frame = pd.DataFrame({"city": ["Rome", "Oslo", None, "Rome"], "rooms": [3.0, None, 1.0, 5.0]})
    >>> encoder = TableEncoder.learn(frame)
    >>> encoded = encoder.encode(frame)
    >>> encoded.numbers.ravel()
    array([3., 3., 1., 5.], dtype=float32)
    >>> encoded.codes  # the city: Oslo, Rome, missing; the rooms: present, missing
    array([[2, 1], [1, 2], [3, 1], [2, 1]], dtype=int32)
    >>> encoder.sizes
    (3, 2)
    >>> encoder.encode(pd.DataFrame({"rooms": [2], "city": ["Paris"]})).codes  # another order, and an unseen city
    array([[0, 1]], dtype=int32)
    >>> encoder.encode(pd.DataFrame({"rooms": ["many"], "city": ["Rome"]}))
    Traceback (most recent call last):
    ...
    ValueError: Column 'rooms' of X held numbers in training and now holds text, such as 'many': prepare it as the
    training table was.
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    missing: Missing

    @classmethod
    def learn(
        cls,
        X: Any,
        *,
        categorical_features: Any = "from_dtype",
        missing: Missing = "indicator",
        max_categories: int | None = 1000,
        name: str = "X",
    ) -> "TableEncoder":
        """Learn from the training table.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
        categorical_features : "from_dtype", None or array-like of str, int or bool, default="from_dtype"
            - ``"from_dtype"``: text, booleans and the data types made for categories (category, Categorical, Enum,
              dictionary) are categories, all else is numbers. Objects go by their values: text, booleans, or numbers.
            - None: all columns are numbers. Booleans are 0 and 1.
            - names, positions or a mask: these columns are categories, and no others.
        missing : {"indicator", "error"}, default="indicator"
            A missing value is NaN, None, pandas' NA or a null.

            - ``"indicator"``: among numbers it is replaced by the training median, and a column of codes says so if
              there was one in training. Among categories it is a category of its own.
            - ``"error"``: it is an error, in training and later.
        max_categories : int or None, default=1000
            The most codes of one column, without that of a missing value. If there are more values, the most frequent
            ``max_categories - 1`` have codes of their own. The others share one, which then also stands for values
            that were not in training. None is no limit. Few values of a column with more than a thousand occur often
            enough to learn from them, and the limit keeps embeddings of identifiers small.
        name : str, default="X"
            What error messages call the table.

        Returns
        -------
        encoder : TableEncoder

        Raises
        ------
        TypeError
            For a sparse matrix or lazy frame, and for columns of dates, lists and other values that are neither
            numbers, text nor booleans.
        ValueError
            For a table without rows or columns, duplicate names, infinite numbers, a wrong parameter, text in a column
            that is not categorical, and missing values with ``missing="error"``. Errors about columns name up to ten
            of them, and say what to do.
        """
        if missing not in get_args(Missing):
            raise ValueError(f"missing must be 'indicator' or 'error'. Got {missing!r} instead.")
        if max_categories is not None and not _is_positive(max_categories):
            raise ValueError(
                f"max_categories must be None or an int in the range [1, inf). Got {max_categories!r} instead."
            )
        table = read_table(X, name)
        for size, what in zip(table.shape, ("sample", "feature"), strict=True):
            if not size:
                raise ValueError(
                    f"Found array with 0 {what}(s) (shape={table.shape}) while a minimum of 1 is required for {name}."
                )
        declared = declared_categorical(categorical_features, table)
        columns: list[NumberColumn | CategoryColumn] = []
        errors, may_be_missing = ColumnErrors(name), missing == "indicator"
        labels: Sequence[str | int] = table.names or range(table.shape[1])
        for position, label in enumerate(labels):
            column = table.column(position)
            with errors.of(label):
                if _is_categorical(column, declared[position]):
                    columns.append(CategoryColumn.learn(label, column, may_be_missing, max_categories))
                else:
                    columns.append(NumberColumn.learn(label, column, may_be_missing))
        errors.raise_any()
        return cls(tuple(columns), missing)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns of the training table; None if it had none that are text."""
        return tuple(column.name for column in self.columns if isinstance(column.name, str)) or None

    @property
    def number_inputs(self) -> tuple[int, ...]:
        """For each column of the numbers, the position of its column in the training table."""
        return tuple(self._layout.numbers)

    @property
    def code_inputs(self) -> tuple[int, ...]:
        """For each column of the codes, the position of its column in the training table."""
        return (*self._layout.categories, *self._layout.indicators)

    @property
    def sizes(self) -> tuple[int, ...]:
        """For each column of the codes, the largest code. An indicator has two: present (1) and missing (2)."""
        return (*(column.size for column in self._layout.categories.values()), *(2 for _ in self._layout.indicators))

    @property
    def dropped(self) -> tuple[int, ...]:
        """The positions of the columns that had one value in training and are not encoded."""
        return tuple(sorted({*range(len(self.columns))} - {*self.number_inputs, *self.code_inputs}))

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self.columns)

    def encode(self, X: Any, dtype: DTypeLike = np.float32, *, name: str = "X") -> EncodedTable:
        """Return the arrays of a table.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
            With the columns of the training table. If both have names that are text, their order does not matter.
            Library and data types may be others where the values are the same.
        dtype : float32 or float64, default=float32
            Of the numbers.
        name : str, default="X"
            What error messages call the table.

        Returns
        -------
        encoded : EncodedTable

        Raises
        ------
        TypeError
            For a sparse matrix or lazy frame, and for values of an unsupported type.
        ValueError
            For missing or additional columns, text in place of numbers or the other way round, numbers that are
            infinite or too large for the dtype, and missing values with ``missing="error"``.
        """
        table = read_table(X, name, needs_types=False)
        positions = column_positions(self.names, len(self.columns), table)
        errors = ColumnErrors(name)
        encoded = encode_table(self._layout, table, positions, np.dtype(dtype), errors, self.missing == "indicator")
        errors.raise_any()
        return encoded

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings, booleans, lists and dicts of these from which :meth:`from_plain` restores it."""
        return {"columns": [column.to_plain() for column in self.columns], "missing": self.missing}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TableEncoder":
        """Undo :meth:`to_plain`."""
        columns = (
            CategoryColumn.from_plain(column) if column["kind"] == "categories" else NumberColumn.from_plain(column)
            for column in plain["columns"]
        )
        return cls(tuple(columns), plain["missing"])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_plain, (self.to_plain(),)


def _is_positive(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(number >= 1)


def _is_categorical(column: Column, declared: bool | None) -> bool:
    return declared if declared is not None else column.kind() in ("text", "boolean", "category")
