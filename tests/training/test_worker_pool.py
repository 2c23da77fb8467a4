"""Threads that run programs together, and what happens when one of them fails."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp import MLPRegressor, _threads
from skmlp.compiled import products
from skmlp.compiled.program import Program
from skmlp.compiled.team import partition
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.network import multilayer_perceptron
from skmlp.training.compiled_layers import needs_blas
from skmlp.training.compiled_program import ThreadProgram
from skmlp.training.worker_pool import WorkerPool


def pool_of(size):
    return WorkerPool(np.empty((size - 1, 5), np.float32))


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 100, 1000])
def test_the_parts_of_all_threads_are_the_whole(size, n, step):
    programs = [Program(thread=thread, n_threads=size) for thread in range(size)]
    parts = [partition(program, n, step) for program in programs]
    assert [begin for begin, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == n
    assert all(begin <= end and begin % step == 0 for begin, end in parts)
    assert np.ptp([end - begin for begin, end in parts]) <= (1 if step == 1 else 2 * step)
    if step == 1:
        assert pool_of(size).partition(n) == [end - begin for begin, end in parts]


def test_each_thread_has_a_number_and_one_blas_thread():
    from threadpoolctl import threadpool_info

    seen = []

    def run(thread):
        blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
        seen.append((thread, threading.get_ident(), blas))

    pool_of(3).call(run)
    assert [thread for thread, _, _ in sorted(seen)] == [0, 1, 2]
    assert sorted(seen)[0][1] == threading.get_ident()
    assert all(blas <= {1} for _, _, blas in seen)


@pytest.mark.parametrize("shares", [False, True])
def test_a_thread_alone_may_leave_large_products_to_the_threads_of_blas(shares, monkeypatch):
    done = []
    monkeypatch.setattr(_threads._OneBlasThread, "__exit__", lambda *_: done.append("lifted"))
    monkeypatch.setattr(_threads._OneBlasThread, "__enter__", lambda *_: done.append("set"))
    monkeypatch.setattr(_threads.one_blas_thread._limits[1], "n_inside", 1)
    WorkerPool(np.empty((0, 5), np.float32), blas_shares=shares).call(lambda _: done.append("work"))
    assert done == (["lifted", "work", "set"] if shares else ["work"])


@pytest.mark.parametrize(("n_rows", "expected"), [(79, False), (81, True)])
def test_blas_is_needed_for_products_of_many_multiplications(n_rows, expected):
    network = multilayer_perceptron([100, 1000, 1], [ACTIVATIONS["relu"]])
    assert needs_blas(network, n_rows, products.LARGE) == expected


def train_on_two_threads(monkeypatch, run):
    """Fit with two threads that run their programs by `run(worker, thread, original)`."""
    original, workers = ThreadProgram.run, []

    def of_thread(worker):
        if worker not in workers:
            workers.append(worker)
        run(worker, worker.program.thread, original)

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr("skmlp.estimators.fitting.threads_for", lambda *_: 2)
    monkeypatch.setattr(ThreadProgram, "run", of_thread)
    X = np.random.default_rng(0).normal(size=(1100, 10))
    network = MLPRegressor(hidden_layer_sizes=(5,), batch_size=100, max_iter=50, random_state=0, dtype="float64")
    network.fit(X, X[:, 0])
    assert len(workers) == 2
    return network


@pytest.mark.parametrize("failing", [0, 1])
def test_no_thread_waits_for_one_that_fails(monkeypatch, failing):
    def run(worker, thread, original):
        if thread == failing:
            raise MemoryError
        original(worker)

    with pytest.raises(MemoryError):
        train_on_two_threads(monkeypatch, run)


def test_an_interruption_before_all_threads_have_come_changes_no_parameter(monkeypatch):
    calls, vectors = [], []

    def run(worker, thread, original):
        if thread == 0:
            calls.append(thread)
            if len(calls) == 5:
                raise KeyboardInterrupt
        original(worker)
        if thread == 0:
            params = worker.layers._params
            vectors.append(params.trained.copy())

    with pytest.warns(UserWarning, match="interrupted"):
        estimator = train_on_two_threads(monkeypatch, run)
    assert len(vectors) == 4
    np.testing.assert_array_equal(estimator._model.state.params.trained, vectors[-1])


def test_fits_are_shared_when_the_main_thread_has_ended_and_in_atexit():
    code = """
        import atexit, threading, warnings
        import numpy as np
        from skmlp import MLPRegressor, _threads

        warnings.simplefilter("ignore")
        _threads.one_blas_thread.n_outside = lambda: 2
        X = np.random.default_rng(0).normal(size=(1100, 100)).astype(np.float32)

        def fit(when):
            estimator = MLPRegressor(hidden_layer_sizes=(200,), batch_size=500, max_iter=2, random_state=0)
            print(when, estimator.fit(X, X[:, 0]).loss_)

        def fit_late():
            threading.main_thread().join()
            fit("after main")

        atexit.register(fit, "in atexit")
        threading.Thread(target=fit_late).start()
        fit("in main")
    """
    command, compiled = [sys.executable, "-c", textwrap.dedent(code)], {**os.environ, "SKMLP_COMPILED": "1"}
    done = subprocess.run(command, env=compiled, capture_output=True, text=True, check=True)
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    assert [when for when, _, _ in lines] == ["in main", "after main", "in atexit"], done.stderr
    losses = [float(loss) for _, _, loss in lines]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-3)  # not every Python can start threads as late as that
