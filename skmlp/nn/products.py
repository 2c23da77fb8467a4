"""Matrix products that several threads compute together."""

from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from itertools import pairwise

import numpy as np

from skmlp._threads import Helpers, can_start_threads
from skmlp._typing import FloatArray

# Multiplications of a product that is worth waking a thread for: a tenth of a millisecond or so.
WORTH_SHARING = 8_000_000


def matmul(left: FloatArray, right: FloatArray, out: FloatArray) -> FloatArray:
    """Write ``left @ right`` into `out`, and return it; within :func:`shared_products` large ones are shared."""
    sharing = _sharing.get()
    if sharing is None or out.size * right.shape[0] < WORTH_SHARING:
        return np.matmul(left, right, out=out)
    return sharing.matmul(left, right, out)


@contextmanager
def shared_products(n_threads: int) -> Iterator[None]:
    """Let this thread's large products be computed by `n_threads` threads. BLAS should have one thread meanwhile."""
    token = _sharing.set(_Sharing(n_threads) if n_threads > 1 else None)
    try:
        yield
    finally:
        _sharing.reset(token)


class _Sharing:
    """A thread and its helpers, each of which computes a part of a product."""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads

    @cached_property
    def _helpers(self) -> Helpers | None:
        return Helpers(self._n_threads - 1) if can_start_threads() else None

    def matmul(self, left: FloatArray, right: FloatArray, out: FloatArray) -> FloatArray:
        n_parts = min(self._n_threads, 2 * out.size * right.shape[0] // WORTH_SHARING)
        axis = int(out.shape[1] > out.shape[0])
        bounds = [part * out.shape[axis] // n_parts for part in range(n_parts + 1)]
        parts = [slice(begin, end) for begin, end in pairwise(bounds)]
        if axis == 0:
            products = [(left[part], right, out[part]) for part in parts]
        else:
            products = [(left, right[:, part], out[:, part]) for part in parts]
        if self._helpers is None:
            for product in products:  # as the helpers would have done, so that the result is the same
                np.matmul(*product)
            return out
        started = [self._helpers.submit(np.matmul, *product) for product in products[1:]]
        try:
            np.matmul(*products[0])
        finally:
            wait(started)  # they write to `out`
        for part in started:
            part.result()
        return out


_sharing: ContextVar[_Sharing | None] = ContextVar("_sharing", default=None)
