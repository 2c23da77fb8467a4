"""Reading a table column by column, whatever library it comes from.

A frame of any library that narwhals knows is read through narwhals, all else as a NumPy array. Either way a column is a
one-dimensional NumPy array of numbers, booleans or Python objects, or a part of it: no more than one column is copied
at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from skmlp._typing import AnyArray, FloatArray
from skmlp.tables.values import Kind, Unsupported, common_kind, floats_of, unsupported

__all__ = ["Column", "Table", "read_table"]

# The number of values that are Python objects at a time.
CHUNK = 2**15
# The number of rows of a frame that are read at once.
FEW_ROWS = 256


class Column(ABC):
    """One column of a table."""

    n_samples: int

    @abstractmethod
    def kind(self) -> Kind | Literal["category"]:
        """Return the kind of the values by their type; ``"category"`` is a data type made for categories.

        Raises
        ------
        ColumnError
            For values that are not supported.
        """

    @abstractmethod
    def array(self, start: int = 0, stop: int | None = None) -> AnyArray:
        """Return rows of the column as an array of numbers or booleans, of Python objects or of NumPy's text.

        A missing value is a NaN among numbers, and None, NaN or pandas' NA among objects. The array may be a view of
        the user's data.

        Raises
        ------
        ColumnError
            For a data type that is not supported.
        """

    def chunks(self) -> Iterator[list[Any]]:
        """Yield the values as Python objects, in lists of moderate length."""
        for start in range(0, self.n_samples, CHUNK):
            yield self.array(start, start + CHUNK).tolist()

    def floats(self) -> FloatArray:
        """Return the values as numbers, with NaN for a missing value. The array may be a view of the user's data.

        Raises
        ------
        ColumnError
            For values other than numbers and booleans, and for a number beyond the range of float64.
        """
        array = self.array()
        if array.dtype.kind == "f":
            return array
        if array.dtype.kind in "biu":
            return array.astype(np.float64)
        numbers = np.empty(len(array))
        for start in range(0, len(array), CHUNK):
            numbers[start : start + CHUNK] = floats_of(array[start : start + CHUNK].tolist())
        return numbers


# What NumPy's dtypes hold that are neither numbers nor objects.
_UNSUPPORTED_ARRAYS: dict[str, Unsupported] = {
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "S": "bytes",
    "V": "structs",
}
_ARRAY_KINDS: dict[str, Kind] = {"b": "boolean", "i": "number", "u": "number", "f": "number", "U": "text"}


class ArrayColumn(Column):
    """A column of a NumPy array.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
    dtype : str
        What error messages call its type.
    """

    def __init__(self, values: AnyArray, dtype: str) -> None:
        self._values, self._dtype = values, dtype
        self.n_samples = len(values)

    def kind(self) -> Kind:
        values = self.array()
        return common_kind(self.chunks()) if values.dtype.kind == "O" else _ARRAY_KINDS[values.dtype.kind]

    def array(self, start: int = 0, stop: int | None = None) -> AnyArray:
        refused = _UNSUPPORTED_ARRAYS.get(self._values.dtype.kind)
        if refused is not None:
            raise unsupported(refused, self._dtype)
        return self._values[start:stop]


class ListColumn(Column):
    """A column of few rows.

    Parameters
    ----------
    values : list of length n_samples
    """

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self.n_samples = len(values)

    def kind(self) -> Kind:
        return common_kind([self._values])

    def array(self, start: int = 0, stop: int | None = None) -> AnyArray:
        objects = np.empty(self.n_samples, dtype=object)
        for row, value in enumerate(self._values):  # NumPy would look into lists
            objects[row] = value
        return objects[start:stop]

    def chunks(self) -> Iterator[list[Any]]:
        yield self._values

    def floats(self) -> FloatArray:
        return floats_of(self._values)


# The data types of narwhals that are neither numbers nor text.
_UNSUPPORTED_SERIES: tuple[tuple[tuple[type, ...], Unsupported], ...] = (
    ((nw.Date, nw.Datetime), "dates"),
    ((nw.Time,), "times"),
    ((nw.Duration,), "durations"),
    ((nw.List, nw.Array), "lists"),
    ((nw.Struct,), "structs"),
    ((nw.Binary,), "bytes"),
)


class SeriesColumn(Column):
    """A column of a frame.

    Parameters
    ----------
    series : narwhals Series of length n_samples
    """

    def __init__(self, series: "nw.Series[Any]") -> None:
        self._series = series
        self._type: nw.dtypes.DType = series.dtype
        if self._native_type() == "object":  # narwhals looks at the first values only
            self._type = nw.Object()
        self.n_samples = len(series)

    def kind(self) -> Kind | Literal["category"]:
        self._check_type()
        if isinstance(self._type, nw.Boolean):
            return "boolean"
        if isinstance(self._type, nw.String):
            return "text"
        if isinstance(self._type, nw.Categorical | nw.Enum):
            return "category"
        if self._type.is_numeric():
            return "number"
        return ArrayColumn(self._series.to_numpy(), self._native_type()).kind()

    def array(self, start: int = 0, stop: int | None = None) -> AnyArray:
        self._check_type()
        series = self._series if start == 0 and stop is None else self._series[start:stop]
        if isinstance(self._type, nw.Categorical):
            return _objects(ArrayColumn(series.to_numpy(), self._native_type()).array(), series)
        if isinstance(self._type, nw.Decimal | nw.Int128 | nw.UInt128):
            series = series.cast(nw.Float64)
        if self._type.is_numeric() or isinstance(self._type, nw.Boolean | nw.String | nw.Enum):
            return series.to_numpy()
        return ArrayColumn(series.to_numpy(), self._native_type()).array()

    def chunks(self) -> Iterator[list[Any]]:
        self._check_type()
        if self._series.implementation.is_polars():  # its conversion to NumPy loses zero bytes at the end of text
            for start in range(0, self.n_samples, CHUNK):
                yield self._series[start : start + CHUNK].to_list()
        elif self._type.is_integer() and self._series.null_count():
            for start in range(0, self.n_samples, CHUNK):  # beside a NaN, large integers would lose digits
                series = self._series[start : start + CHUNK]
                yield _objects(series.fill_null(0).to_numpy(), series).tolist()
        else:
            yield from super().chunks()

    def _check_type(self) -> None:
        for types, values in _UNSUPPORTED_SERIES:
            if isinstance(self._type, types):
                raise unsupported(values, self._native_type())

    def _native_type(self) -> str:
        native = self._series.to_native()
        return str(getattr(native, "dtype", None) or getattr(native, "type", self._type))


def _objects(values: AnyArray, series: "nw.Series[Any]") -> AnyArray:
    """Return the values of a column as objects, with None where the column has a missing value.

    PyArrow's conversion of a dictionary-encoded column puts some category in the place of a missing value.
    """
    objects: AnyArray = values.astype(object)
    objects[series.is_null().to_numpy()] = None
    return objects


class Table(ABC):
    """A table with named or numbered columns.

    Attributes
    ----------
    names : tuple of str or None
        None if the columns have no names, or names that are not text.
    shape : tuple of two ints
    """

    names: tuple[str, ...] | None
    shape: tuple[int, int]

    @abstractmethod
    def column(self, position: int) -> Column:
        """Return a column by its position."""

    def numbers(self, positions: Sequence[int], rows: slice) -> AnyArray | None:
        """Return rows of several columns of numbers at once; None if they must be read one by one."""
        return None


class ArrayTable(Table):
    """A two-dimensional NumPy array.

    Parameters
    ----------
    matrix : ndarray of shape (n_samples, n_features)
    """

    names = None

    def __init__(self, matrix: AnyArray) -> None:
        self._matrix = matrix
        self.shape = matrix.shape[0], matrix.shape[1]

    def column(self, position: int) -> ArrayColumn:
        return ArrayColumn(self._matrix[:, position], str(self._matrix.dtype))

    def numbers(self, positions: Sequence[int], rows: slice) -> AnyArray | None:
        return self._matrix[rows][:, positions] if self._matrix.dtype.kind in "biuf" else None


class FrameTable(Table):
    """A frame that narwhals knows.

    Parameters
    ----------
    frame : narwhals DataFrame of shape (n_samples, n_features)
    names : tuple of str or None
    """

    def __init__(self, frame: "nw.DataFrame[Any]", names: tuple[str, ...] | None) -> None:
        self.names = names
        self._series: list[Any] = list(frame.iter_columns())
        self.shape = frame.shape

    def column(self, position: int) -> SeriesColumn:
        return SeriesColumn(self._series[position])


class RowsTable(Table):
    """A few rows of a frame, as Python objects.

    Each access to a column of a frame takes as long as a hundred values or more. A single row is read at once.

    Parameters
    ----------
    frame : narwhals DataFrame of shape (n_samples, n_features)
    names : tuple of str or None
    """

    def __init__(self, frame: "nw.DataFrame[Any]", names: tuple[str, ...] | None) -> None:
        self.names = names
        self.shape = frame.shape
        native = frame.to_native()
        if frame.implementation.is_pandas():  # several times faster than its rows
            self._columns: list[Any] = native.to_numpy(dtype=object).T.tolist()
        else:
            self._columns = list(zip(*frame.rows(), strict=True)) or [()] * self.shape[1]

    def column(self, position: int) -> ListColumn:
        return ListColumn(list(self._columns[position]))

    def numbers(self, positions: Sequence[int], rows: slice) -> AnyArray | None:
        columns = [self._columns[position][rows] for position in positions]
        if not _PLAIN_NUMBERS.issuperset(map(type, chain.from_iterable(columns))):
            return None
        try:
            return np.array(columns, dtype=np.float64).T
        except OverflowError:
            return None


# The Python types that NumPy makes numbers of, with NaN for None.
_PLAIN_NUMBERS = {float, int, type(None)}


def read_table(X: Any, name: str = "X", *, needs_types: bool = True) -> Table:
    """Return a table of a frame or of an array-like of numbers or objects.

    Parameters
    ----------
    X : DataFrame of pandas, polars or another library, pyarrow Table, or array-like of shape (n_samples, n_features)
    name : str, default="X"
        What the user calls the table.
    needs_types : bool, default=True
        Whether the data types of a frame count, or its values alone.

    Raises
    ------
    TypeError
        For a sparse matrix, a lazy frame, and for names of which only some are text.
    ValueError
        For duplicate names, and for an array-like that does not have two dimensions.
    """
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    if not isinstance(X, np.ndarray | list | tuple):
        try:
            frame = nw.from_native(X, pass_through=True)
            if isinstance(frame, nw.LazyFrame):
                raise TypeError(f"{name} is a lazy frame, but its values are required. Pass {name}.collect().")
            if isinstance(frame, nw.DataFrame):
                by_rows = not needs_types and len(frame) <= FEW_ROWS
                return (RowsTable if by_rows else FrameTable)(frame, _names(list(frame.columns)))
        except DuplicateError as error:
            raise ValueError(f"Columns of {name} have the same name. {error}\nRename them.") from None
    return ArrayTable(_as_matrix(X, name))


def _names(labels: list[Any]) -> tuple[str, ...] | None:
    """Return the names of columns if they are text, None if there are none, or raise scikit-learn's TypeError."""
    types = {type(label).__qualname__ for label in labels}
    if types == {"str"}:
        return tuple(labels)
    if "str" in types:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{sorted(types)} as feature name / column name types. If you want feature names to be stored and "
            "validated, you must convert them all to strings, by using X.columns = X.columns.astype(str) for "
            "example. Otherwise you can remove feature / column names from your input data, or convert them all to "
            "a non-string data type."
        )
    return None


def _as_matrix(X: Any, name: str) -> AnyArray:
    """Return an array-like as a two-dimensional array in which no cell has changed its type."""
    if isinstance(X, np.ma.MaskedArray):
        masked: AnyArray = X.astype(object)
        masked[np.ma.getmaskarray(X)] = None
        return np.asarray(masked)
    try:
        array = np.asarray(X)
        if array.dtype.kind in "US" and not isinstance(X, np.ndarray):  # NumPy has turned numbers into text
            array = np.asarray(X, dtype=object)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} is not a table: {error}") from None
    if array.ndim > 2:
        raise ValueError(f"Found array with dim {array.ndim}, while dim <= 2 is required for {name}.")
    if array.ndim < 2:
        what = "1D" if array.ndim else "scalar"
        raise ValueError(
            f"Expected 2D array, got {what} array instead:\narray={array}.\nReshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it contains a single "
            "sample."
        )
    return array
