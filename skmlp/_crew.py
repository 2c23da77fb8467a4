"""Threads that share what a step does with every parameter, where there are so many that it takes milliseconds."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

__all__ = ["Crew"]

# Parameters from which on sharing is worth the waking of a thread.
SHARED = 500_000


class Crew:
    """Threads for a training with so many parameters; for fewer there is none but the caller's.

    NumPy and the compiled functions let go of the interpreter's lock, so that threads run side by side. Every
    parameter is computed as by one thread, and sums over them are sums of the parts' sums.

    Parameters
    ----------
    n_parameters : int

    Attributes
    ----------
    parts : list of slice
        Equal stretches of the vector of parameters, one for each thread.
    """

    def __init__(self, n_parameters: int) -> None:
        n_threads = available_threads() if n_parameters >= SHARED else 1
        size = -(-n_parameters // n_threads)
        self.parts = [slice(start, min(start + size, n_parameters)) for start in range(0, n_parameters, max(1, size))]
        self._pool = ThreadPoolExecutor(len(self.parts) - 1) if len(self.parts) > 1 else None

    def run(self, function: Callable[[int], Any]) -> list[Any]:
        """Return what `function` returns for the number of each part, the first in the caller's thread."""
        if self._pool is None:
            return [function(0)]
        others = [self._pool.submit(function, number) for number in range(1, len(self.parts))]
        return [function(0), *(each.result() for each in others)]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def available_threads() -> int:
    """Return how many threads to compute with: as BLAS, by the environment or by the cores this process may use."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
