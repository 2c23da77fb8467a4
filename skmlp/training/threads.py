"""How many threads a computation uses, and what they share: batches, or large matrix products."""

from collections.abc import Iterator
from contextlib import contextmanager

from skmlp._threads import available_threads, can_start_threads, one_blas_thread
from skmlp.nn.layers import Dense
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS
from skmlp.nn.products import WORTH_SHARING, shared_products

__all__ = ["threads_for", "threads_for_prediction"]

# Multiplications of a product below which no BLAS uses threads. A prediction for few rows takes less time than to set a
# limit.
ALONE_ANYWAY = 262_144

# A thread's share of a batch: the multiplications in all layers that are worth waking and waiting for it, and as many
# rows as are worth a pass over all weights.
WORTH_A_THREAD, ROWS_OF_A_THREAD = 4_000_000, 32


@contextmanager
def threads_for(network: Network, n_rows: int) -> Iterator[int]:
    """Limit BLAS to one thread while the caller trains, and let several share its large products.

    The value is how many threads may share batches of `n_rows` rows. It depends on the training and on the user's
    limits alone.
    """
    n_busy = min(n_rows * sum(_sizes(network)) // WORTH_A_THREAD, n_rows // ROWS_OF_A_THREAD)
    n_threads = available_threads() if n_busy > 1 and can_start_threads() else 1
    with one_blas_thread, threads_for_prediction(network, n_rows):
        yield max(1, min(n_busy, n_threads))


@contextmanager
def threads_for_prediction(network: Network, n_rows: int) -> Iterator[None]:
    """Limit BLAS to one thread, and let several share the large products of passes of `n_rows` rows."""
    rows = n_rows if network.couples_rows else min(n_rows, BLOCK_ROWS)
    largest = rows * max(_sizes(network))
    if largest < ALONE_ANYWAY:
        yield
        return
    with one_blas_thread, shared_products(available_threads() if largest >= WORTH_SHARING else 1):
        yield


def _sizes(network: Network) -> list[int]:
    return [layer.n_in * layer.n_out for layer in network.layers if isinstance(layer, Dense)]
