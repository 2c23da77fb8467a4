"""How many threads a computation uses: for parts of a batch, or for large matrix products."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from skmlp._threads import available_threads, can_start_threads, one_blas_thread
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS
from skmlp.nn.products import WORTH_SHARING, shared_products

__all__ = ["limit_blas", "threads_for"]

# Below so many multiplications of a product, or numbers in a vector, BLAS uses a single thread anyway. A limit would
# take as long to set as a step or a prediction for a few rows.
SINGLE_THREADED, SHORT_VECTOR = 262_144, 10_000

# The multiplications in all layers that make it worth waking a thread, and the rows that make a pass over all weights
# worth it.
MULTIPLICATIONS_PER_THREAD, ROWS_PER_THREAD = 4_000_000, 32


def threads_for(network: Network, n_rows: int) -> int:
    """Return how many threads may divide batches of `n_rows` rows among them.

    It depends only on the training and on the user's limits.
    """
    n_busy = min(n_rows * sum(network.weight_sizes) // MULTIPLICATIONS_PER_THREAD, n_rows // ROWS_PER_THREAD)
    return min(n_busy, available_threads()) if n_busy > 1 and can_start_threads() else 1


def limit_blas(network: Network, n_rows: int, *, in_training: bool = False) -> AbstractContextManager[None]:
    """Limit BLAS to one thread for passes of `n_rows` rows, and divide large products among threads of our own."""
    rows = n_rows if network.couples_rows else min(n_rows, BLOCK_ROWS)
    n_multiplications = rows * max(network.weight_sizes)
    # In training BLAS also computes the norm of the gradient, a long vector if there are many weights.
    is_short = not in_training or sum(network.weight_sizes) < SHORT_VECTOR
    return nullcontext() if n_multiplications < SINGLE_THREADED and is_short else _single_blas_thread(n_multiplications)


@contextmanager
def _single_blas_thread(n_multiplications: int) -> Iterator[None]:
    with one_blas_thread, shared_products(available_threads() if n_multiplications >= WORTH_SHARING else 1):
        yield
