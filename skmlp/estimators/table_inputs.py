"""From the user's table to the array that a network for tables reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray, IntArray
from skmlp.nn.front import TableLayout
from skmlp.nn.layers import EmbedCategories
from skmlp.tables import CategoryColumn, Scaling, TableEncoder, learn_scaling, row_blocks, some_rows
from skmlp.tables.features import column_positions
from skmlp.tables.sources import read_table

__all__ = ["CodePlace", "TableInputs"]


class CodePlace(NamedTuple):
    """Where a column of codes is in the array that the network reads.

    Attributes
    ----------
    column : int
        Its column in the array.
    values : ndarray of shape (n_codes + 1,)
        What stands there for each code, from 0 on.
    """

    column: int
    values: IntArray


@dataclass(frozen=True, eq=False)
class TableInputs:
    """What is learned about a table, and how its columns are arranged for the network.

    Two categories become a flag of -1 and 1. The other columns of codes are one-hot or embedded, by their number of
    categories; the codes of a group count through its columns.

    Attributes
    ----------
    encoder : TableEncoder
    scaling : Scaling or None
        Of the numbers.
    flags, one_hot, embedded : tuple of int
        Which columns of codes belong to each group.
    """

    encoder: TableEncoder
    scaling: Scaling | None
    flags: tuple[int, ...]
    one_hot: tuple[int, ...]
    embedded: tuple[int, ...]

    @classmethod
    def learn(
        cls,
        X: Any,
        *,
        categorical_features: Any,
        max_categories: int | None,
        missing: Literal["indicator", "error"],
        scaling: str | None,
        embed: EmbedCategories | None,
        name: str = "X",
    ) -> "TableInputs":
        """Learn from the training table; see the parameters of the estimators."""
        encoder = TableEncoder.learn(
            X, categorical_features=categorical_features, missing=missing, max_categories=max_categories, name=name
        )
        learned = None
        if scaling is not None:
            learned = learn_scaling(scaling, encoder.encode(some_rows(X, BLOCK_ROWS), np.float64).numbers)
        sizes = list(enumerate(encoder.sizes))
        most_one_hot = np.inf if embed is None else embed.min_categories - 1
        return cls(
            encoder,
            learned,
            tuple(column for column, size in sizes if size == 2),
            tuple(column for column, size in sizes if 2 < size <= most_one_hot),
            tuple(column for column, size in sizes if size > max(2, most_one_hot)),
        )

    @property
    def has_categories(self) -> bool:
        """Whether a column of the training table has categories that cannot be read as numbers 0 and 1."""
        columns = self.encoder.columns
        return any(isinstance(column, CategoryColumn) and column.holds != "booleans" for column in columns)

    @property
    def missing(self) -> str:
        """What a missing value is."""
        return self.encoder.missing

    @property
    def number_names(self) -> list[str | int]:
        """The names, or positions, of the columns of numbers, which come first in the array."""
        return [self.encoder.columns[position].name for position in self.encoder.number_inputs]

    @property
    def layout(self) -> TableLayout:
        """The columns of the array."""
        sizes = self.encoder.sizes
        groups = [(len(group), sum(sizes[column] for column in group)) for group in (self.one_hot, self.embedded)]
        n_numbers = len(self.encoder.number_inputs)
        # A table without information has a column of zeros.
        n_flags = len(self.flags) if n_numbers + len(sizes) > 0 else 1
        return TableLayout(n_numbers, n_flags, *groups)

    def rows(self, X: Any, dtype: DTypeLike, name: str = "X") -> FloatArray:
        """Return the array, of shape (n_samples, n_columns); errors call the table by its `name`."""
        blocks = row_blocks(X, BLOCK_ROWS)
        first = self._block(next(blocks), dtype, name)
        n_samples = X.shape[0] if hasattr(X, "shape") else len(first)
        if len(first) == n_samples:
            return first
        out: FloatArray = np.empty((n_samples, first.shape[1]), dtype)
        out[: len(first)] = first
        stop = len(first)
        for part in blocks:
            start, stop = stop, stop + part.shape[0]
            out[start:stop] = self._block(part, dtype, name)
        return out

    def _block(self, X: Any, dtype: DTypeLike, name: str) -> FloatArray:
        """Return the array for a part of the table."""
        # Differences that float32 cannot hold, as between times in seconds, are kept until the numbers are scaled.
        table = self.encoder.encode(X, dtype if self.scaling is None else np.float64, name=name)
        n = table.numbers.shape[1]
        out: FloatArray = np.zeros((len(table.numbers), self.layout.n_columns), dtype)
        if self.scaling is None:
            out[:, :n] = table.numbers
        else:
            self.scaling.apply(table.numbers, out=out[:, :n])
        for column, place in self.code_places.items():
            out[:, place.column] = place.values[table.codes[:, column]]
        return out

    @cached_property
    def code_places(self) -> "dict[int, CodePlace]":
        """Where each column of codes is in the array."""
        layout = self.layout
        places = {column: CodePlace(index, _FLAGS) for index, column in enumerate(self.flags, layout.n_numbers)}
        index = layout.n_numbers + layout.n_flags
        for group in (self.one_hot, self.embedded):
            before = 0
            for column in group:
                size = self.encoder.sizes[column]
                places[column] = CodePlace(index, np.array([0, *range(before + 1, before + size + 1)]))
                before += size
                index += 1
        return places

    def gradient(self, jacobian: FloatArray, X: Any) -> FloatArray:
        """Return derivatives by column of the user's table from those by column of the array.

        Parameters
        ----------
        jacobian : ndarray of shape (n_samples, n_outputs, n_columns) or (n_samples, n_columns)
        X : table

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_outputs, n_features) or (n_samples, n_features)
            NaN for categories, which have none; 0 for constant columns and for missing numbers.
        """
        found = np.zeros((*jacobian.shape[:-1], len(self.encoder.columns)))
        numbers = list(self.encoder.number_inputs)
        found[..., numbers] = jacobian[..., : len(numbers)]
        if self.scaling is not None and numbers:
            slopes = self.scaling.derivative(self.encoder.encode(X, np.float64).numbers)
            found[..., numbers] *= slopes if found.ndim == 2 else slopes[:, np.newaxis]
        if self.encoder.missing == "indicator":
            table = read_table(X, needs_types=False)
            positions = column_positions(self.encoder.names, len(self.encoder.columns), table)
            for column in numbers:
                found[np.isnan(table.column(positions[column]).floats()), ..., column] = 0.0
        categories = sorted(set(self.encoder.code_inputs) - set(numbers))  # not the indicators of missing numbers
        found[..., categories] = np.nan
        return found

    def to_plain(self) -> dict[str, Any]:
        """Return the stored form."""
        groups: dict[str, Sequence[int]] = {"flags": self.flags, "one_hot": self.one_hot, "embedded": self.embedded}
        return {
            "encoder": self.encoder.to_plain(),
            "scaling": None if self.scaling is None else self.scaling.to_plain(),
            **{name: list(group) for name, group in groups.items()},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TableInputs":
        """Undo :meth:`to_plain`."""
        scaling = plain["scaling"]
        return cls(
            TableEncoder.from_plain(plain["encoder"]),
            None if scaling is None else Scaling.from_plain(scaling),
            *(tuple(plain[name]) for name in ("flags", "one_hot", "embedded")),
        )


# Rows that are encoded at a time, so that memory stays bounded, and that are enough to learn the scaling from.
BLOCK_ROWS = 32_768

# The values of a flag by its code.
_FLAGS: IntArray = np.array([0, -1, 1])
