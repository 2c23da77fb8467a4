"""An HTML report of a training: diagnosis, losses, gradient flow, and distributions of gradients and activations.

It is one self-contained file, which can be opened from a disk, from a mail and inside MLflow.
"""

import html
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

__all__ = ["html_report", "rounded"]

# Maximum number of epochs drawn; a page has no pixels for more.
EPOCHS_DRAWN = 600
DIGITS = 4

# Notes in place of missing sections.
NO_HISTORY = "The loss curves appear here after the first epoch."
NO_VALIDATION = (
    "Validation loss and score appear when part of the data is held out for validation, for example with "
    "validation_split=0.1."
)
NO_MONITOR = (
    "Gradient flow and the distribution of the gradients appear here for an estimator with monitor=True, which "
    "records statistics of every layer during training."
)
NO_QUANTILES = "Distributions of gradients and activations appear here when their quantiles are recorded."


def html_report(
    history: Mapping[str, Sequence[float]],
    monitor: Mapping[str, Any],
    *,
    title: str,
    facts: Mapping[str, str],
    diagnosis_html: str = "",
) -> str:
    """Return an HTML report of a training. Of more than 600 epochs, 600 are drawn, and a note says so.

    Parameters
    ----------
    history, monitor : dict of str to list
        An estimator's ``history_`` and ``monitor_``, with any columns; `monitor` may be empty.
    title : str
    facts : dict of str to str
        The table at the top, for example the number of parameters.
    diagnosis_html : str, optional
        The diagnosis as an HTML fragment; all other texts are plain.
    """
    data = {"history": _history(history), "monitor": _monitor(monitor)}
    parts = {
        "title": html.escape(title),
        "facts": "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items()),
        "diagnosis": diagnosis_html,
        "notes": "".join(f"<p>{html.escape(note)}</p>" for note in _notes(data)),
        "data": _script_safe(json.dumps(data, allow_nan=False, separators=(",", ":"))),
    }
    page = _template()
    for name, text in parts.items():
        # No text can contain the placeholder of another part, since every < of a text is escaped.
        page = page.replace(f"<!--{name}-->", text)
    return page


@cache
def _template() -> str:
    return files("skmlp.tracking").joinpath("report.html").read_text(encoding="utf-8")


def _history(history: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    n_epochs = max((len(column) for column in history.values()), default=0)
    if not n_epochs:
        return None
    rows = _evenly(n_epochs)
    return {
        "n_epochs": n_epochs,
        "epoch": [row + 1 for row in rows],
        "columns": {name: rounded([column[row] for row in rows]) for name, column in history.items()},
        "lowest": _lowest(history.get("validation_loss", ())),
    }


def _lowest(losses: Sequence[float]) -> list[float] | None:
    """Return epoch and value of the lowest loss of all epochs, not only of those drawn."""
    value, epoch = min(((loss, i) for i, loss in enumerate(losses, start=1) if math.isfinite(loss)), default=(None, 0))
    return None if value is None else [epoch, rounded(value)]


def _monitor(monitor: Mapping[str, Any]) -> dict[str, Any] | None:
    epochs = [int(epoch) for epoch in monitor.get("epoch", ())]
    if not epochs:
        return None
    rows = _evenly(len(epochs))
    drawn = {name: [column[row] for row in rows] for name, column in monitor.items() if len(column) == len(epochs)}
    quantiles = {name: rounded(values) for name, values in drawn.items() if np.ndim(values[0]) == 2}
    return {
        "n_epochs": len(epochs),
        "epoch": [epochs[row] for row in rows],
        "statistics": {name: rounded(values) for name, values in drawn.items() if np.ndim(values[0]) == 1},
        "quantiles": quantiles or None,
    }


def _evenly(n: int) -> list[int]:
    """Return the indices of at most ``EPOCHS_DRAWN`` of `n` rows, evenly spread from first to last."""
    rows: list[int] = np.linspace(0, n - 1, min(n, EPOCHS_DRAWN)).round().astype(int).tolist()
    return rows


def rounded(value: Any) -> Any:
    """Round floats in nested lists to four digits; return None for NaN and infinity, which JSON lacks."""
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(item) for item in value]
    if isinstance(value, int):
        return value
    number = float(value)
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


def _notes(data: Mapping[str, Any]) -> list[str]:
    """Return a note for each section that is missing or incomplete."""
    history, monitor = data["history"], data["monitor"]
    notes = []
    if history is None:
        notes.append(NO_HISTORY)
    elif "validation_loss" not in history["columns"]:
        notes.append(NO_VALIDATION)
    if monitor is None:
        notes.append(NO_MONITOR)
    elif monitor["quantiles"] is None:
        notes.append(NO_QUANTILES)
    n_epochs = max(section["n_epochs"] if section else 0 for section in (history, monitor))
    if n_epochs > EPOCHS_DRAWN:
        notes.append(f"Of {n_epochs:,} epochs, {EPOCHS_DRAWN} are drawn, evenly spread from the first to the last.")
    return notes


def _script_safe(text: str) -> str:
    """Escape JSON so that it cannot end the script element that contains it."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
