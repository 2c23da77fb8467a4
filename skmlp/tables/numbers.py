"""Columns of numbers: what replaces missing values, and when a column is constant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.tables.errors import ColumnError
from skmlp.tables.sources import Column

__all__ = ["NumberColumn", "is_constant", "missing_values", "out_of_range"]

# Numbers of a column that differ by less than this fraction of the largest one are equal but for rounding: a sum of a
# thousand numbers has a relative rounding error of about 1e-13 in float64.
ROUNDING = 1e-12


def is_constant(low: float, high: float) -> bool:
    r"""Return whether numbers between `low` and `high` are equal but for rounding errors.

    They are if :math:`high - low \le 10^{-12} \max(|low|, |high|)`. The rule does not depend on the unit.

    Examples
    --------
    >>> from skmlp.tables.numbers import is_constant
    >>> is_constant(0.3, 0.1 + 0.2), is_constant(1e-300, 2e-300)
    (True, False)
    """
    return high / 2 - low / 2 <= ROUNDING * max(abs(low / 2), abs(high / 2))  # halves: the difference may overflow


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str or int
        Its name, or its position if columns have no names.
    replacement : float
        The median of the training values, which replaces a missing value.
    has_indicator : bool
        Whether values were missing in training. A code then tells a present value (1) from a missing one (2).
    is_constant : bool
        Whether all present training values are equal, see :func:`is_constant`, or none is present. The column is
        then not part of the numbers. It has an indicator if some values, but not all, were missing.
    """

    name: str | int
    replacement: float
    has_indicator: bool
    is_constant: bool

    @classmethod
    def learn(cls, name: str | int, column: Column, may_be_missing: bool = True) -> "NumberColumn":
        """Learn from the values of the training table.

        Raises
        ------
        ColumnError
            For values that are not numbers, infinite ones, and missing ones unless they are allowed.
        """
        values = column.floats()
        is_missing = np.isnan(values)
        n_missing = int(np.count_nonzero(is_missing))
        if n_missing and not may_be_missing:
            raise missing_values(n_missing)
        present = (values[~is_missing] if n_missing else values).astype(np.float64, copy=False)
        if not len(present):
            return cls(name, replacement=0.0, has_indicator=False, is_constant=True)
        low, high = float(present.min()), float(present.max())
        if np.isinf([low, high]).any():
            raise out_of_range(values)
        return cls(name, _median(present), n_missing > 0, is_constant(low, high))

    def to_plain(self) -> dict[str, Any]:
        """Return numbers, strings and booleans from which :meth:`from_plain` restores the column."""
        return {
            "kind": "numbers",
            "name": self.name,
            "replacement": self.replacement,
            "has_indicator": self.has_indicator,
            "is_constant": self.is_constant,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "NumberColumn":
        """Undo :meth:`to_plain`."""
        return cls(plain["name"], plain["replacement"], plain["has_indicator"], plain["is_constant"])


def _median(values: FloatArray) -> float:
    return 2.0 * float(np.median(values / 2))  # halves: the sum of the two in the middle may overflow


def missing_values(n_missing: int) -> ColumnError:
    """Return the error about missing values where they are errors."""
    return ColumnError(
        f"has {n_missing} missing value{'s' if n_missing > 1 else ''} (NaN)",
        'fill them in, for example with sklearn\'s SimpleImputer, or set missing="indicator"',
    )


def out_of_range(values: FloatArray, dtype: DTypeLike = np.float64) -> ColumnError:
    """Return the error about a column with values that are infinite or, if there are none, too large for the dtype."""
    rows = np.flatnonzero(np.isinf(values))
    what, remedy = "infinite value{}", "replace them, for example by NaN for a missing value, or clip them"
    if not len(rows):
        rows = np.flatnonzero(np.abs(values) > np.finfo(dtype).max)
        what = f"value{{}} too large for {np.dtype(dtype)}"
        remedy = "divide them, take their logarithms, or use float64"
    what = what.format("s" if len(rows) > 1 else "")
    return ColumnError(f"has {len(rows)} {what} (the first in row {rows[0]})", remedy)
