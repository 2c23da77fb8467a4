"""Threads that take steps together: each evaluates a part of the rows, then updates a part of the parameters.

All run the same program on the same arrays, and wait for each other where one reads what another has written. They wait
in a loop, since the wait is over before a sleeping thread would be awake.
"""

from typing import Any

import numpy as np

from skmlp.compiled.intrinsics import array_at, publish, published, yield_thread
from skmlp.compiled.program import LINE

__all__ = ["barrier", "partition"]

# How often a thread looks at another before it yields its core to another thread: half a millisecond or so. The others
# are much sooner there, unless something else has their core. Yielding at once would cost a time slice then.
LOOKS = 400_000


def partition(program: Any, n: int, step: int) -> tuple[int, int]:
    """Return where this thread's part of `n` things begins and ends: at multiples of `step`, but for the last end."""
    thread, n_threads = program.thread, program.n_threads
    begin = thread * n // n_threads // step * step
    end = n if thread == n_threads - 1 else (thread + 1) * n // n_threads // step * step
    return begin, end


def barrier(program: Any) -> bool:
    """Wait until all threads have come as far; tell whether they have, or the call is aborted.

    ``arrivals`` has, a line apart, how often each thread has waited; then whether the call is aborted, because a thread
    did not come.
    """
    n_threads = program.n_threads
    arrivals = array_at(np.int64, program.arrivals, ((n_threads + 1) * LINE,))
    own = program.thread * LINE
    n_waits = arrivals[own] + 1
    publish(arrivals, own, n_waits)
    for other in range(n_threads):
        looks = 0
        while published(arrivals, other * LINE) < n_waits:
            looks += 1
            if looks > LOOKS:
                if published(arrivals, n_threads * LINE) != 0:
                    return False
                yield_thread()
    return True
