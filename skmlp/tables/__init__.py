"""From tables to arrays: columns of numbers and categories, missing values, scaling. Learned once, then applied.

Any frame that narwhals knows is a table (pandas, polars, pyarrow and others), and so is an array-like of numbers or
objects. :class:`TableEncoder` makes two arrays of it: numbers, and codes of categories.
"""

from skmlp.tables.categories import CategoryColumn
from skmlp.tables.encoder import TableEncoder
from skmlp.tables.encoding import EncodedTable
from skmlp.tables.numbers import NumberColumn
from skmlp.tables.scaling import (
    SCALINGS,
    MixedScaling,
    QuantileScaling,
    RobustScaling,
    Scaling,
    StandardScaling,
    learn_scaling,
)
from skmlp.tables.whole import may_have_categories, row_blocks, some_rows

__all__ = [
    "CategoryColumn",
    "EncodedTable",
    "MixedScaling",
    "NumberColumn",
    "QuantileScaling",
    "RobustScaling",
    "SCALINGS",
    "Scaling",
    "StandardScaling",
    "TableEncoder",
    "learn_scaling",
    "may_have_categories",
    "row_blocks",
    "some_rows",
]
