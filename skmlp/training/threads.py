"""How many threads a training and its matrix products use.

A BLAS library shares a product between threads from some hundred thousand multiplications on. For a step of a small
network that gains little where a core is idle, and where none is, the product waits for a thread that does not run:
milliseconds instead of microseconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

from skmlp.nn.layers import Dense
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS

__all__ = ["SHARED_IN_PREDICTION", "one_blas_thread", "threads_for"]

# Multiplications of a step's largest product: below the first no BLAS uses threads anyway, from the second on they are
# worth it. Predictions are made of many small products.
ALONE_ANYWAY, SHARED, SHARED_IN_PREDICTION = 262_144, 8_000_000, 32_000_000

# A thread's share of a batch: the multiplications in all layers that are worth waking and waiting for it, and as many
# rows as are worth a pass over all weights.
WORTH_A_THREAD, ROWS_OF_A_THREAD = 4_000_000, 32


@contextmanager
def threads_for(network: Network, n_rows: int, shared: float = SHARED) -> Iterator[int]:
    """Limit BLAS to one thread, within this process, if batches of `n_rows` rows are small for the network.

    They are when the largest product of a pass has fewer than `shared` multiplications. The value is how many threads
    a training may share its batches between: as many as BLAS had before, if there is enough to do for each.
    """
    sizes = [layer.n_in * layer.n_out for layer in network.layers if isinstance(layer, Dense)]
    n_threads = min(n_rows * sum(sizes) // WORTH_A_THREAD, n_rows // ROWS_OF_A_THREAD)
    if n_threads > 1:
        blas = _controller().select(user_api="blas").lib_controllers
        n_threads = min(n_threads, min((library.num_threads for library in blas), default=1))
    if ALONE_ANYWAY <= min(n_rows, BLOCK_ROWS) * max(sizes) < shared:
        with one_blas_thread:
            yield max(1, n_threads)
    else:
        yield max(1, n_threads)


class _OneBlasThread:
    """The limit of one BLAS thread in this process: set by the first that enters, lifted by the last that leaves.

    Fits in several threads overlap; each restoring what it had found would leave the limit in force.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0
        self._limiter: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._limiter.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    """Return what knows the BLAS libraries of this process; SciPy's is there from the first import on."""
    import scipy.linalg.blas  # noqa: F401

    return ThreadpoolController()


one_blas_thread = _OneBlasThread()
