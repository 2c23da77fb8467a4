"""A table as a whole: whether it may have categories, and parts of its rows."""

from collections.abc import Iterator
from typing import Any

import narwhals as nw

__all__ = ["may_have_categories", "row_blocks", "some_rows"]


def may_have_categories(X: Any) -> bool:
    """Tell whether `X` is a frame with a column that is neither of numbers nor of booleans, by its data type."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return False
    columns = frame.iter_columns()
    return not all(column.dtype.is_numeric() or column.dtype == nw.Boolean for column in columns)


def row_blocks(X: Any, n_rows: int) -> Iterator[tuple[int, Any]]:
    """Yield the table in parts of at most `n_rows` rows, each with its number of rows."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    n_samples = len(frame)
    if n_samples <= n_rows:
        yield n_samples, X
        return
    for start in range(0, n_samples, n_rows):
        part = frame[start : start + n_rows]
        yield len(part), part.to_native() if isinstance(part, nw.DataFrame) else part


def some_rows(X: Any, n_rows: int) -> Any:
    """Return about `n_rows` rows of the table, evenly spaced; all if there are not more than twice as many."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    every = len(frame) // n_rows
    if every < 2:
        return X
    return frame.gather_every(every).to_native() if isinstance(frame, nw.DataFrame) else frame[::every]
