"""How much predictions change with each column of a table: numbers by gradients, categories by replacing them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.table_inputs import TableInputs
from skmlp.tables import EncodedTable, NumberColumn
from skmlp.tables.encoding import MISSING, PRESENT

__all__ = ["column_moves"]

# Of more rows, or categories of a column, so many are used: a category takes a prediction of all rows.
MOST_ROWS, MOST_CATEGORIES = 1000, 16


def column_moves(networks: Sequence[BaseMLP], table: TableInputs, X: Any, rows: FloatArray) -> FloatArray:
    """Return the standard deviation of the mean prediction of networks when one column of a row is drawn from `X`.

    For numbers it is computed to first order; see :func:`skmlp.inspection.feature_importance`.

    Parameters
    ----------
    networks : sequence of BaseMLP
        They predict from the encoded table.
    table : TableInputs
    X : table of shape (n_samples, n_features)
    rows : ndarray of shape (n_samples, n_columns)
        `X` as the networks read it, in float64.

    Returns
    -------
    moves : ndarray of shape (n_rows, n_features)
        The mean over the outputs, at evenly spread rows.
    """
    encoded = table.encoder.encode(X, np.float64)
    sampled = np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int)
    moves = _Moves(networks, table, encoded, rows[sampled], sampled)
    variance = moves.of_numbers() + moves.of_codes()
    found: FloatArray = np.sqrt(variance).mean(axis=1)
    return found


class _Moves:
    """The variances, each of shape (n_rows, n_outputs, n_features)."""

    def __init__(
        self,
        networks: Sequence[BaseMLP],
        table: TableInputs,
        encoded: EncodedTable,
        rows: FloatArray,
        sampled: IntArray,
    ) -> None:
        self._networks, self._table, self._encoded = networks, table, encoded
        self._rows, self._sampled = rows, sampled
        encoder = table.encoder
        self._numbers = {column: place for place, column in enumerate(encoder.number_inputs)}
        self._codes = dict(enumerate(encoder.code_inputs))
        # Of the columns with numbers that may be missing: the column of codes that says so.
        self._indicators = {
            column: code for code, column in self._codes.items() if isinstance(encoder.columns[column], NumberColumn)
        }

    def of_numbers(self) -> FloatArray:
        """Return those of drawing another number, where there is one."""
        numbers, scaling = self._encoded.numbers, self._table.scaling
        gradient = self._gradient(self._rows)
        at = numbers[self._sampled]
        slopes = np.ones_like(at) if scaling is None else scaling.derivative(at)
        variance = self._nothing(gradient.shape[1])
        for column, place in self._numbers.items():
            missing = self._missing(column)
            of_column = gradient[:, :, place].copy()
            without = np.flatnonzero(missing[self._sampled])
            if len(without):  # what a number would do in its place, beginning with the median
                rows = self._with_code(self._rows[without], self._indicators[column], PRESENT)
                of_column[without] = self._gradient(rows)[:, :, place]
            spread = numbers[~missing, place].std() if not missing.all() else 0.0
            variance[:, :, column] = (1.0 - missing.mean()) * (spread * of_column * slopes[:, [place]]) ** 2
        return variance

    def of_codes(self) -> FloatArray:
        """Return those of drawing another category, or whether a number is missing."""
        variance = None
        for code, column in self._codes.items():
            values, weights = _drawn(self._encoded.codes[:, code])
            outcomes = np.array([self._predict(self._with_code(self._rows, code, value)) for value in values])
            if variance is None:
                variance = self._nothing(outcomes.shape[2])
            mean = np.average(outcomes, axis=0, weights=weights)
            variance[:, :, column] = np.average((outcomes - mean) ** 2, axis=0, weights=weights)
        return np.zeros(1) if variance is None else variance

    def _nothing(self, n_outputs: int) -> FloatArray:
        return np.zeros((len(self._rows), n_outputs, len(self._table.encoder.columns)))

    def _missing(self, column: int) -> AnyArray:
        """Return in which rows a number is missing."""
        if column not in self._indicators:
            return np.zeros(len(self._encoded.numbers), dtype=bool)
        missing: AnyArray = self._encoded.codes[:, self._indicators[column]] == MISSING
        return missing

    def _with_code(self, rows: FloatArray, code: int, value: int) -> FloatArray:
        """Return rows with another value in a column of codes; a number that is now missing is the median."""
        rows, place = rows.copy(), self._table.code_places[code]
        rows[:, place.column] = place.values[value]
        column = self._codes[code]
        if value == MISSING and column in self._indicators and column in self._numbers:
            rows[:, self._numbers[column]] = self._medians[self._numbers[column]]
        return rows

    @property
    def _medians(self) -> FloatArray:
        """The numbers, scaled, that stand for missing ones."""
        columns: Any = self._table.encoder.columns
        medians: FloatArray = np.array([[columns[column].replacement for column in self._numbers]])
        if self._table.scaling is not None:
            medians = self._table.scaling.apply(medians)
        row: FloatArray = medians[0]
        return row

    def _predict(self, rows: FloatArray) -> FloatArray:
        mean: FloatArray = np.mean([network._values(rows) for network in self._networks], axis=0)
        return mean

    def _gradient(self, rows: FloatArray) -> FloatArray:
        """Return the derivatives of the mean prediction, of shape (n_rows, n_outputs, n_columns)."""
        total: Any = sum(network._input_gradient(rows) for network in self._networks)
        gradient: FloatArray = total / len(self._networks)
        return gradient if gradient.ndim == 3 else gradient[:, np.newaxis]


def _drawn(codes: IntArray) -> tuple[list[int], FloatArray]:
    """Return the codes to draw from, with their frequencies.

    Of too many, some are drawn at equal steps of the cumulative frequencies.
    """
    values, counts = np.unique(codes, return_counts=True)
    if len(values) > MOST_CATEGORIES:
        steps = (np.arange(MOST_CATEGORIES) + 0.5) / MOST_CATEGORIES
        chosen = np.searchsorted(counts.cumsum() / len(codes), steps)
        values, counts = np.unique(values[chosen], return_counts=True)
    return values.tolist(), counts / counts.sum()
