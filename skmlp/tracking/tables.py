"""Rows and columns of all kinds of training data, and their form for a served model."""

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["as_served", "columns_of", "first_rows", "is_frame", "rows_of"]

# Number of rows from which the types of columns are inferred, besides rows with something new.
FIRST_ROWS = 100


def rows_of(X: Any, rows: Any) -> Any:
    """Return the rows with these indices as data of the same kind, or in CSR format if sparse.

    The data are an array, sparse matrix or list, or a frame or column of pandas, polars or pyarrow.
    """
    if hasattr(X, "tocsr"):
        return X.tocsr()[rows]
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "to_pylist"):  # pyarrow
        return X.take(rows)
    return [X[row] for row in rows] if isinstance(X, list | tuple) else X[rows]


def first_rows(X: Any, n: int) -> Any:
    """Return at most `n` rows; see :func:`rows_of`."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    return rows_of(X, np.arange(min(n, n_rows)))


def is_frame(X: Any) -> bool:
    """Return whether X has named columns."""
    return len(getattr(X, "shape", ())) == 2 and hasattr(X, "columns")


def columns_of(frame: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and NumPy or pandas type of each column of a frame of pandas, polars or pyarrow."""
    if hasattr(frame, "dtypes") and hasattr(frame, "iloc"):
        yield from ((str(name), dtype) for name, dtype in zip(frame.columns, frame.dtypes, strict=True))
    else:
        for name in getattr(frame, "column_names", None) or frame.columns:
            yield str(name), np.asarray(frame[name][:0]).dtype


def as_served(X: Any) -> Any:
    """Return data in the form that MLflow passes to a served model: a pandas frame, CSR matrix or array.

    In a frame, integers become floats, as a missing value would make them, and categories become their values. Only
    the first rows of a frame are returned, and those with something new about a column.
    """
    if hasattr(X, "tocsr"):
        from scipy.sparse import csr_matrix

        return csr_matrix(X)
    if not is_frame(X):
        return np.asarray(X)
    import pandas as pd

    frame = X if hasattr(X, "iloc") else _as_pandas(X)
    frame = frame.iloc[_informative_rows(frame)]
    plain = pd.concat([_plain(frame.iloc[:, index]) for index in range(frame.shape[1])], axis=1)
    plain.columns = frame.columns
    return plain


def _informative_rows(frame: Any) -> Any:
    """Return the indices of the first rows, and of the first row with a missing value or another type in each column.

    MLflow reads every value to infer a schema, which would take minutes for a large frame.
    """
    rows = set(range(min(FIRST_ROWS, len(frame))))
    for index in range(frame.shape[1]):
        column = frame.iloc[:, index]
        rows.update(np.flatnonzero(column.isna())[:1].tolist())
        if column.dtype == object:
            rows.update(np.flatnonzero(~column.map(type).duplicated()).tolist())
    return sorted(rows)


def _as_pandas(frame: Any) -> Any:
    import pandas as pd

    if hasattr(frame, "to_pylist"):  # pyarrow
        return frame.to_pandas()
    return pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})


def _plain(column: Any) -> Any:
    """Return a pandas column with a NumPy type."""
    from pandas.api.types import is_bool_dtype, is_extension_array_dtype, is_integer_dtype, is_numeric_dtype

    if hasattr(column, "cat"):
        column = column.astype(column.cat.categories.dtype if column.notna().all() else object).infer_objects()
    of_pandas, is_bool = is_extension_array_dtype(column.dtype), is_bool_dtype(column.dtype)
    if is_integer_dtype(column.dtype) or (of_pandas and is_numeric_dtype(column.dtype) and not is_bool):
        return column.astype("float64")
    if of_pandas and column.dtype.kind not in "mM":
        column = column.astype(object).where(column.notna(), None)
    if column.dtype == object and {str} < set(map(type, column.dropna())):  # a column has one type in MLflow
        column = column.map(str, na_action="ignore")
    return column
