"""Calls in several threads at once, for compiled functions that wait for each other."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import nullcontext
from typing import Any

import numpy as np

from skmlp._threads import Helpers, one_blas_thread
from skmlp._typing import FloatArray
from skmlp.compiled.team import LINE, Team, share

__all__ = ["Teamwork"]

_share: Any = share.py_func  # type: ignore[attr-defined]  # as it is written: compiling it takes longer


class Teamwork:
    """A thread and its helpers.

    Parameters
    ----------
    gradients : ndarray of shape (n_helpers, n_parameters)
        Memory for what the rows of each helper add to the gradient.
    blas_shares : bool, default=False
        Without helpers, let BLAS share products between threads of its own.

    Attributes
    ----------
    size : int
        How many threads.
    """

    def __init__(self, gradients: FloatArray, *, blas_shares: bool = False) -> None:
        n_helpers = len(gradients)
        self.size = 1 + n_helpers
        self._gradients, self._blas_shares = gradients, blas_shares
        self._helpers = Helpers(n_helpers) if n_helpers > 0 else None

    def call(self, work: Callable[[Team], None]) -> None:
        """Call `work` in each thread, and return when all are done.

        With helpers BLAS has one thread meanwhile: the others would take the cores of the team.
        """
        teams = self._teams()
        if self._helpers is None:
            with one_blas_thread.suspended() if self._blas_shares else nullcontext():
                work(teams[0])
            return

        def call_off(_: object) -> None:
            teams[0].arrivals[-LINE] = 1

        started: list[Future[None]] = []
        with one_blas_thread:
            try:
                for team in teams[1:]:
                    started.append(self._helpers.submit(work, team))
                    started[-1].add_done_callback(call_off)  # it may have failed, and the others wait for it
                work(teams[0])
            finally:
                call_off(self)  # this thread may have failed, or been interrupted before it came
                wait(started)
        for helper in started:
            helper.result()

    def shares(self, n: int) -> list[int]:
        """Return how many of `n` rows are each thread's."""
        bounds = (_share(team, n, 1) for team in self._teams())
        return [end - begin for begin, end in bounds]

    def _teams(self) -> list[Team]:
        sums, arrivals = np.zeros((self.size, 3)), np.zeros((self.size + 1) * LINE, np.int64)
        return [Team(number, self.size, self._gradients, sums, arrivals) for number in range(self.size)]
