"""Threads to compute with: how many there are, and a limit of one thread for BLAS while they run.

Threads of a BLAS library wait for each other in busy loops. Where other work needs the cores, the loops take the time
of the thread that they wait for, and a product can take thirty times as long as on one thread. Our threads sleep until
there is work, and each of them computes with a BLAS of one thread.
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

# Environment variables with which users, and joblib in its workers, limit the threads of a process.
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def available_threads() -> int:
    """Return how many threads a computation may use.

    As many as BLAS has without our own limit, which another thread may have set; at most one for each core; and one in
    a worker process of multiprocessing, whose siblings use the other cores, unless the environment sets a limit.
    """
    if multiprocessing.parent_process() is not None and not any(map(os.environ.get, _LIMITS)):
        return 1
    return min(one_blas_thread.n_outside(), _n_cores())


@cache
def _n_cores() -> int:
    """Return how many cores this process may use, within the quota of its container."""
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
            # Daemons: the interpreter must not wait for them when the thread that started them is a daemon.
            threading.Thread(target=_work, args=(self._queue,), name="skmlp", daemon=True).start()
            self._n_threads += 1

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Let one of the threads call the function in the context of the caller, which includes NumPy's errstate."""
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
        del call  # it holds references to its arguments


class _Limit:
    """How often the limit has been entered, and the numbers of threads of BLAS libraries before."""

    n_inside = 0
    before: tuple[int, ...] = ()


class _LimitOfEachThread(_Limit, threading.local):
    """The same for the current thread."""


class _OneBlasThread:
    """A limit of one BLAS thread. The first thread to enter sets it, and the last one to leave removes it.

    threadpoolctl's own context restores the numbers that it found. Where contexts of several threads overlap, the last
    one to leave would restore the limit of another. Libraries that have a limit for each thread are counted for each
    thread.
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
        """Leave this limit as often as the current thread has entered it, and enter it again afterwards.

        It stays in force where other threads are in it.
        """
        n_inside = self._limits[1].n_inside
        for _ in range(n_inside):
            self.__exit__()
        try:
            yield
        finally:
            for _ in range(n_inside):
                self.__enter__()

    def n_outside(self) -> int:
        """Return how many threads BLAS has without this limit; 1 if that is unknown."""
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
    """Return the BLAS libraries with one limit for the process, and those with a limit for each thread."""
    import scipy.linalg.blas  # noqa: F401 - loads SciPy's library

    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    libraries = [each for each in blas if each.num_threads is not None]
    own = [
        each
        for each in libraries
        if each.internal_api == "mkl" or (each.internal_api == "openblas" and each.threading_layer == "openmp")
    ]
    return tuple(each for each in libraries if each not in own), tuple(own)


def _numbers(libraries: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(each.num_threads for each in libraries)


def _set(libraries: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
    """Set the numbers of threads, whichever thread set them last and whichever will set them next."""
    _let_all_threads_set_limits()
    for library, number in zip(libraries, numbers, strict=True):
        library.set_num_threads(number)
    _let_all_threads_set_limits()


def _let_all_threads_set_limits() -> None:
    """Undo the rule of threadpoolctl >= 3.8 that only the thread that set OpenBLAS's limit last may set it."""
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)
