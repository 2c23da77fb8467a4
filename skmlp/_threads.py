"""Threads to compute with: how many there are, and BLAS with one of its own meanwhile.

The threads of a BLAS library wait for each other in loops. Where no core is idle, the one that is waited for does not
run, and a product can take thirty times as long as on one thread. Threads that sleep until there is work cost
nothing then, so work is shared between those, and each of them computes with a BLAS of one thread.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from queue import SimpleQueue
from typing import Any

from threadpoolctl import OpenBLASController, ThreadpoolController

__all__ = ["Helpers", "available_threads", "can_start_threads", "one_blas_thread"]

# Environment variables by which users, and joblib for its workers, say how many threads a process may have.
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def available_threads() -> int:
    """Return how many threads a computation may share its work between.

    As many as BLAS has outside our own limits, so that it makes no difference what else computes in this process; at
    most one for each core; and one in a worker process of multiprocessing, whose siblings have the other cores, unless
    the environment says otherwise.
    """
    if multiprocessing.parent_process() is not None and not any(map(os.environ.get, _LIMITS)):
        return 1
    return min(one_blas_thread.n_outside(), _n_cores())


@cache
def _n_cores() -> int:
    """Return how many cores this process may use, which a container's quota limits, too."""
    import joblib

    n_cores: int = joblib.cpu_count()
    return n_cores


def can_start_threads() -> bool:
    """Tell whether a thread can be started: not every version of Python can when its main thread has ended."""
    if threading.main_thread().is_alive():
        return True
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError:
        return False
    return True


class Helpers:
    """Threads that wait for work. They end when this object is deleted.

    In contrast to an executor of :mod:`concurrent.futures` they also work after the main thread has ended.

    Parameters
    ----------
    n_threads : int

    Raises
    ------
    RuntimeError
        When no thread can be started.
    """

    def __init__(self, n_threads: int) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._n_threads = 0
        for _ in range(n_threads):
            # Daemons, so that the interpreter does not wait for them when the thread they help is one.
            threading.Thread(target=_work, args=(self._queue,), name="skmlp", daemon=True).start()
            self._n_threads += 1

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have one of the threads call the function, in the context of the caller: NumPy's errstate is part of it."""
        future: Future[Any] = Future()
        context = copy_context()

        def call() -> None:
            try:
                future.set_result(context.run(function, *args))
            except BaseException as error:
                future.set_exception(error)

        self._queue.put(call)
        return future

    def __del__(self) -> None:
        for _ in range(self._n_threads):
            self._queue.put(None)


def _work(queue: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := queue.get()) is not None:
        call()
        del call  # it holds what it worked on


class _Limit:
    """What the threads of BLAS libraries are limited by, and how many there were before."""

    n_inside = 0
    before: tuple[int, ...] = ()


class _LimitOfEachThread(_Limit, threading.local):
    """The same, of the thread that asks."""


class _OneBlasThread:
    """The limit of one BLAS thread: the first that enters sets it, the last that leaves lifts it.

    threadpoolctl's own context restores what it found. Where contexts in several threads overlap, all but the first
    find the limit of another; the last to leave would restore that, and leave it in force. Some libraries have a limit
    for each thread. There every thread is its own first and last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits = (_Limit(), _LimitOfEachThread())

    def __enter__(self) -> None:
        with self._lock:
            for libraries, limit in zip(_libraries(), self._limits, strict=True):
                if limit.n_inside == 0:
                    limit.before = _numbers(libraries)
                    _set(libraries, (1,) * len(libraries))
                limit.n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for libraries, limit in zip(_libraries(), self._limits, strict=True):
                limit.n_inside -= 1
                if limit.n_inside == 0:
                    _set(libraries, limit.before)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Lift the limit that this thread has set, once or more often, unless other threads have set it, too."""
        n_inside = self._limits[1].n_inside
        for _ in range(n_inside):
            self.__exit__()
        try:
            yield
        finally:
            for _ in range(n_inside):
                self.__enter__()

    def n_outside(self) -> int:
        """Return how many threads BLAS has without this limit; one where that is not known."""
        with self._lock:
            numbers = [
                number
                for libraries, limit in zip(_libraries(), self._limits, strict=True)
                for number in (limit.before if limit.n_inside > 0 else _numbers(libraries))
            ]
        return min(numbers, default=1)


one_blas_thread = _OneBlasThread()


@cache
def _libraries() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the BLAS libraries that have one limit in a process, and those that have one in each thread."""
    import scipy.linalg.blas  # noqa: F401  # it is loaded from here on

    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    libraries = [each for each in blas if each.num_threads is not None]
    own = [each for each in libraries if each.internal_api == "mkl" or _uses_openmp(each)]
    return tuple(each for each in libraries if each not in own), tuple(own)


def _uses_openmp(library: Any) -> bool:
    return bool(library.internal_api == "openblas" and library.threading_layer == "openmp")


def _numbers(libraries: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(each.num_threads for each in libraries)


def _set(libraries: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
    """Set the libraries' limits, whoever set them last, and leave them to whoever sets them next."""
    _let_all_threads_set_limits()
    for library, number in zip(libraries, numbers, strict=True):
        library.set_num_threads(number)
    _let_all_threads_set_limits()


def _let_all_threads_set_limits() -> None:
    """From version 3.8 on, threadpoolctl else ignores all threads but the one that set OpenBLAS's limit last."""
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)
