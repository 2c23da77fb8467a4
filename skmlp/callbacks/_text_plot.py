"""Plots in plain text."""

import math
from collections.abc import Mapping, Sequence

__all__ = ["MARKS", "text_plot"]

MARKS = "*o+x#@"


def text_plot(curves: Mapping[str, Sequence[float]], *, width: int, height: int, first_epoch: int = 1) -> list[str]:
    """Return the lines of a plot of curves over epochs, each with its own mark.

    When there are more epochs than columns, a column shows the mean of its epochs. NaN and infinite values are ignored.
    The vertical axis is logarithmic, and marked so, when all values are positive and the highest is at least ten times
    the lowest.

    Parameters
    ----------
    curves : dict of str to sequence of float
        Of equal lengths. Later ones are drawn over earlier ones.
    width, height : int
        Characters of a line, and lines of the plot area.
    first_epoch : int, default=1
        Number of the first value.

    Returns
    -------
    lines : list of str
        ``height + 2`` lines of at most `width` characters.
    """
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    lowest, highest = (min(finite), max(finite)) if finite else (math.nan, math.nan)
    is_log = 0.0 < 10.0 * lowest <= highest
    top = f"{highest:.4g}" if highest > lowest else ""
    bottom = f"{lowest:.4g}" if finite else ""
    labels = [top, *[""] * (height - 2), bottom, "log" if is_log else ""]
    margin = max(map(len, labels))
    n_columns = width - margin - 2
    area = [[" "] * n_columns for _ in range(height)]
    scale = math.log if is_log else float
    for mark, curve in zip(MARKS, curves.values(), strict=False):
        for column, value in _column_means(curve, n_columns).items():
            area[_line_index(scale(value), scale(lowest), scale(highest), height)][column] = mark
    borders = ["|"] * height + ["+"]
    lines = [
        f"{label:>{margin}} {border}{''.join(content)}".rstrip()
        for label, border, content in zip(labels, borders, [*area, ["-"] * n_columns], strict=True)
    ]
    n_epochs = max(map(len, curves.values()))
    last = str(first_epoch + n_epochs - 1) if n_epochs > 1 else ""
    first = str(first_epoch)
    return [*lines, f"{'':{margin + 2}}{first}{last:>{n_columns - len(first)}}".rstrip()]


def _column_means(curve: Sequence[float], n_columns: int) -> dict[int, float]:
    """Distribute the epochs over the columns and return the mean of each column with finite values."""
    columns: dict[int, list[float]] = {}
    for epoch, value in enumerate(curve):
        if math.isfinite(value):
            columns.setdefault(epoch * (n_columns - 1) // max(1, len(curve) - 1), []).append(value)
    return {column: math.fsum(values) / len(values) for column, values in columns.items()}


def _line_index(value: float, lowest: float, highest: float, height: int) -> int:
    """Return the line of a value, 0 for the top; a constant curve is drawn at the bottom."""
    if highest == lowest:
        return height - 1
    return round((highest - value) / (highest - lowest) * (height - 1))
