"""A first look at a table."""

from typing import Any

import narwhals as nw

__all__ = ["may_have_categories"]


def may_have_categories(X: Any) -> bool:
    """Tell whether `X` is a frame with a column that is neither of numbers nor of booleans, by its data type."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return False
    columns = frame.iter_columns()
    return not all(column.dtype.is_numeric() or column.dtype == nw.Boolean for column in columns)
