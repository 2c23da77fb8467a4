"""The array types that the signatures of every room use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]

__all__ = ["AnyArray", "BoolArray", "FloatArray", "IntArray"]
