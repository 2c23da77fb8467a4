"""A table as a whole: whether it may have categories, and parts of its rows."""

from collections.abc import Iterator
from typing import Any

import narwhals as nw

__all__ = ["may_have_categories", "row_blocks", "some_rows"]


def may_have_categories(X: Any) -> bool:
    """Tell whether `X` is a frame with a column that is neither of numbers nor of booleans, by its data type."""
    frame = _frame(X)
    if frame is None:
        return False
    return not all(column.dtype.is_numeric() or column.dtype == nw.Boolean for column in frame.iter_columns())


def row_blocks(X: Any, n_rows: int) -> Iterator[Any]:
    """Yield the table in parts of at most `n_rows` rows."""
    frame = _frame(X)
    rows = X if frame is None else frame
    if not hasattr(rows, "shape") or rows.shape[0] <= n_rows:
        yield X
        return
    for start in range(0, rows.shape[0], n_rows):
        part = rows[start : start + n_rows]
        yield part if frame is None else part.to_native()


def some_rows(X: Any, n_rows: int) -> Any:
    """Return about `n_rows` rows of the table, evenly spaced; all if there are not more than twice as many."""
    frame = _frame(X)
    rows = X if frame is None else frame
    every = rows.shape[0] // n_rows if hasattr(rows, "shape") else 0
    if every < 2:
        return X
    return X[::every] if frame is None else frame.gather_every(every).to_native()


def _frame(X: Any) -> "nw.DataFrame[Any] | None":
    """Return `X` as a frame; None for what is none, or a frame that cannot be read, which has errors of its own."""
    try:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
    except (TypeError, ValueError):
        return None
    return frame if isinstance(frame, nw.DataFrame) else None
