"""What makes a column unusable, and the error that names all such columns at once."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ColumnError", "ColumnErrors"]

# The most columns that an error names.
MOST_NAMED = 10


class ColumnError(Exception):
    """Why a column cannot be used, and the way out.

    Parameters
    ----------
    problem : str
        The rest of a sentence that begins with the column: ``"holds infinite values"``.
    remedy : str
        What the user can do, as an imperative: ``"clip them"``.
    error : type of exception, default=ValueError
        What the user gets. A wrong type is a TypeError, a wrong value a ValueError.
    """

    def __init__(self, problem: str, remedy: str, error: type[Exception] = ValueError) -> None:
        super().__init__(problem, remedy, error)
        self.problem, self.remedy, self.error = problem, remedy, error

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"

    def after_training_on(self, values: str) -> "ColumnError":
        """Return the error about a column that cannot be read now, but held such values in training."""
        return ColumnError(
            f"held {values} in training and now {self.problem}", "prepare it as the training table was", self.error
        )


class ColumnErrors:
    """Collects the errors of the columns of a table.

    Parameters
    ----------
    table : str
        What the user calls the table, for example ``"X"``.

    Examples
    --------
    >>> from skmlp.tables.errors import ColumnError, ColumnErrors
    >>> errors = ColumnErrors("X")
    >>> with errors.of("price"):
    ...     raise ColumnError("holds infinite values", "clip them")
    >>> errors.raise_any()
    Traceback (most recent call last):
    ...
    ValueError: Column 'price' of X holds infinite values: clip them.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._found: list[tuple[str | int, ColumnError]] = []

    @contextmanager
    def of(self, column: str | int, trained_on: str | None = None) -> Iterator[None]:
        """Collect the error that the body raises about the column, a name or a position.

        `trained_on` says what the column held in training, where that was something else.
        """
        try:
            yield
        except ColumnError as error:
            self._found.append((column, error.after_training_on(trained_on) if trained_on else error))

    def raise_any(self) -> None:
        """Raise one error about all errors, if there are any: a TypeError if each of them is one."""
        if not self._found:
            return
        wrong_types = all(error.error is TypeError for _, error in self._found)
        raise (TypeError if wrong_types else ValueError)(self._message())

    def _message(self) -> str:
        if len(self._found) == 1:
            [(column, error)] = self._found
            return f"Column {column!r} of {self._table} {error}."
        lines = [f"{len(self._found)} columns of {self._table} cannot be used."]
        lines += [f"- Column {column!r} {error}." for column, error in self._found[:MOST_NAMED]]
        if len(self._found) > MOST_NAMED:
            lines.append(f"- And {len(self._found) - MOST_NAMED} more.")
        return "\n".join(lines)
