"""How many threads a computation uses, and what they share: batches, or large matrix products."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from skmlp._threads import available_threads, can_start_threads, one_blas_thread
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS
from skmlp.nn.products import WORTH_SHARING, shared_products

__all__ = ["threads_for", "threads_for_prediction"]

# Multiplications of a product, and numbers in a vector, below which no BLAS uses threads. A prediction or a step for
# few rows takes hardly more time than to set a limit.
ALONE_ANYWAY, SHORT = 262_144, 10_000

# A thread's share of a batch: the multiplications in all layers that are worth waking and waiting for it, and as many
# rows as are worth a pass over all weights.
WORTH_A_THREAD, ROWS_OF_A_THREAD = 4_000_000, 32


@contextmanager
def threads_for(network: Network, n_rows: int) -> Iterator[int]:
    """Limit BLAS to one thread while the caller trains, and let several share its large products.

    The value is how many threads may share batches of `n_rows` rows. It depends on the training and on the user's
    limits alone.
    """
    n_weights = sum(network.weight_sizes)
    n_busy = min(n_rows * n_weights // WORTH_A_THREAD, n_rows // ROWS_OF_A_THREAD)
    n_threads = available_threads() if n_busy > 1 and can_start_threads() else 1
    # BLAS also computes the norm of the gradient.
    with _one_thread_for_blas(network, n_rows, at_least=ALONE_ANYWAY if n_weights < SHORT else 0):
        yield max(1, min(n_busy, n_threads))


def threads_for_prediction(network: Network, n_rows: int) -> AbstractContextManager[None]:
    """Limit BLAS to one thread, and let several share the large products of passes of `n_rows` rows."""
    return _one_thread_for_blas(network, n_rows, at_least=ALONE_ANYWAY)


def _one_thread_for_blas(network: Network, n_rows: int, at_least: int) -> AbstractContextManager[None]:
    """Limit BLAS to one thread if the largest product has so many multiplications."""
    rows = n_rows if network.couples_rows else min(n_rows, BLOCK_ROWS)
    n_multiplications = rows * max(network.weight_sizes)
    return nullcontext() if n_multiplications < at_least else _alone(n_multiplications)


@contextmanager
def _alone(n_multiplications: int) -> Iterator[None]:
    with one_blas_thread, shared_products(available_threads() if n_multiplications >= WORTH_SHARING else 1):
        yield
