"""Dropout: masks from the same random numbers that NumPy would draw."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from skmlp._typing import FloatArray
from skmlp.compiled.jit import exact

__all__ = ["drop"]


def _uniform(rng: Any, like: Any) -> Any:
    """Return the next random number in [0, 1), in the format of `like`."""
    raise NotImplementedError


@overload(_uniform)
def _choose_uniform(rng: Any, like: Any) -> Callable[[Any, Any], Any]:
    def single(rng: Any, like: Any) -> Any:
        return rng.random(dtype=np.float32)

    def double(rng: Any, like: Any) -> Any:
        return rng.random(dtype=np.float64)

    return single if like == types.float32 else double


@exact
def drop(rate: float, values: FloatArray, mask: FloatArray, out: FloatArray, rng: Any) -> None:
    """Write 0 or ``1 / (1 - rate)`` into `mask` for each of `values`, and their products into `out`."""
    real = values.dtype.type
    least, kept, lost = real(rate), real(1.0 / (1.0 - rate)), real(0.0)
    for row in range(values.shape[0]):
        for unit in range(values.shape[1]):
            mask[row, unit] = kept if _uniform(rng, least) >= least else lost
            out[row, unit] = values[row, unit] * mask[row, unit]
