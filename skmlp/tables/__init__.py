"""From tables to arrays: columns of numbers and categories, missing values, scaling. Learned once, then applied.

Any frame that narwhals knows is a table (pandas, polars, pyarrow and others), and so is an array-like of numbers or
objects. :class:`TableEncoder` makes two arrays of it: numbers, and codes of categories. What it makes of each column,
if ``categorical_features="from_dtype"``:

========================================== ===========================================================================
column                                     encoding
========================================== ===========================================================================
integers, floats, decimals                 numbers, also integers with few different values
objects: numbers                           numbers; booleans among them are 0 and 1
booleans                                   categories, also as objects
text                                       categories, also as objects, and also if it looks like numbers
category, Categorical, Enum, dictionary    categories by their values; their order and unused ones do not count
missing numbers                            replaced by the training median; an indicator if there were any in training
missing text, booleans, categories         a category of their own if there were any in training, else unseen
one value, up to rounding, or none         dropped; if some values are missing, the indicator or category remains
infinite numbers                           ValueError
text among numbers in one column           TypeError
dates, times, durations                    TypeError
lists, structs, bytes, other objects       TypeError; ValueError for complex numbers
========================================== ===========================================================================

Errors name all such columns, up to ten, and say what to do. To have numbers as categories, name their columns in
`categorical_features`, with all others that are categories.
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
