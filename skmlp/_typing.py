"""The array types that the signatures of every room use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
AnyArray = NDArray[Any]

__all__ = ["AnyArray", "FloatArray", "IntArray"]
