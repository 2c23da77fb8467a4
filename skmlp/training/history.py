"""What is recorded of every epoch."""

__all__ = ["HISTORY_LIMIT", "History", "append_row", "empty_history"]

# Rows kept under endless partial_fit; the oldest go first.
HISTORY_LIMIT = 10_000

History = dict[str, list[float]]

_ALWAYS = (
    "loss",
    "train_loss",
    "penalty",
    "learning_rate",
    "gradient_norm",
    "clipped_share",
    "seconds",
    "samples_per_second",
)
_WITH_VALIDATION = ("validation_loss", "validation_score")


def empty_history(*, validation: bool) -> History:
    """Return a history without rows; ``validation_loss`` and ``validation_score`` only with validation data."""
    return {name: [] for name in (*_ALWAYS, *(_WITH_VALIDATION if validation else ()))}


def append_row(history: History, row: dict[str, float]) -> None:
    """Append one epoch to every column, and forget the oldest epochs beyond the limit."""
    for name, column in history.items():
        column.append(row[name])
        if len(column) > HISTORY_LIMIT:
            del column[0]
