"""Compiled functions that wait for each other, called in several threads at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from itertools import pairwise

import numpy as np

from skmlp._threads import Helpers, one_blas_thread
from skmlp._typing import FloatArray
from skmlp.compiled.program import LINE, Program

__all__ = ["WorkerPool"]


class WorkerPool:
    """The calling thread and its helpers, which run one program each.

    Parameters
    ----------
    gradients : ndarray of shape (n_helpers, n_parameters)
        Memory for what the rows of each helper add to the gradient.
    blas_shares : bool, default=False
        Without helpers, let BLAS share products between threads of its own.

    Attributes
    ----------
    size : int
        The number of threads.
    """

    def __init__(self, gradients: FloatArray, *, blas_shares: bool = False) -> None:
        n_helpers = len(gradients)
        self.size = 1 + n_helpers
        self._gradients, self._blas_shares = gradients, blas_shares
        self._sums, self._arrivals = np.zeros((self.size, 3)), np.zeros((self.size + 1) * LINE, np.int64)
        self._helpers = Helpers(n_helpers) if n_helpers > 0 else None

    def set_up(self, programs: Sequence[Program]) -> None:
        """Tell the programs of which thread they are, and where the threads meet."""
        for thread, program in enumerate(programs):
            program.fill(thread=thread, n_threads=self.size, thread_gradients=self._gradients)
            program.fill(thread_sums=self._sums, arrivals=self._arrivals)

    def call(self, run: Callable[[int], object]) -> None:
        """Call `run` with the number of each thread, in that thread, and return when all are done.

        With helpers BLAS has one thread meanwhile: the others would take the cores of the helpers.
        """
        self._arrivals[:] = 0
        if self._helpers is None:
            with one_blas_thread.suspended() if self._blas_shares else nullcontext():
                run(0)
            return

        def abort(_: object) -> None:
            self._arrivals[-LINE] = 1

        started: list[Future[object]] = []
        with one_blas_thread:
            try:
                for thread in range(1, self.size):
                    started.append(self._helpers.submit(run, thread))
                    started[-1].add_done_callback(abort)  # it may have failed, and the others wait for it
                run(0)
            finally:
                abort(self)  # this thread may have failed, or been interrupted before it came
                wait(started)
        for helper in started:
            helper.result()

    def partition(self, n: int) -> list[int]:
        """Return how many of `n` rows each thread has."""
        bounds = [thread * n // self.size for thread in range(self.size)] + [n]
        return [end - begin for begin, end in pairwise(bounds)]
