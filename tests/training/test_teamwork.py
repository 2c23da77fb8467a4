"""Threads that wait for each other: they come together, and none waits for one that will not come."""

import os
import subprocess
import sys
import textwrap
import threading
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp import MLPRegressor, _threads
from skmlp.compiled import products
from skmlp.compiled.jit import exact
from skmlp.compiled.team import Team, share, wait
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import SquaredError
from skmlp.nn.network import multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.training import compiled_steps
from skmlp.training.compiled_arrays import objective_as_arrays
from skmlp.training.teamwork import Teamwork


def teamwork(size):
    return Teamwork(np.empty((size - 1, 5), np.float32))


@exact
def take_turns(team, left, right, n_turns):
    """Add up what the neighbour wrote in the turn before; wrong as soon as one is ahead of the other."""
    wait(team)
    for _turn in range(n_turns):
        right[team.number] = left[(team.number + 1) % team.size] + 1
        wait(team)
        left[team.number] = right[team.number]
        wait(team)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_come_together(size):
    left, right = np.zeros(size, np.int64), np.zeros(size, np.int64)
    teamwork(size).call(lambda team: take_turns(team, left, right, 200))
    assert left.tolist() == [200] * size


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 100, 1000])
def test_shares_are_everything_once(size, n, step):
    teams = [Team(number, size, np.empty((0, 0)), np.empty((0, 0)), np.empty(0)) for number in range(size)]
    shares = [share.py_func(team, n, step) for team in teams]
    assert [begin for begin, _ in shares] == [0, *(end for _, end in shares[:-1])]
    assert shares[-1][1] == n
    assert all(begin <= end and begin % step == 0 for begin, end in shares)
    assert np.ptp([end - begin for begin, end in shares]) <= (1 if step == 1 else 2 * step)


def test_each_thread_has_a_number_and_one_blas_thread():
    from threadpoolctl import threadpool_info

    seen = []

    def work(team):
        blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
        seen.append((team.number, threading.get_ident(), blas))

    teamwork(3).call(work)
    assert [number for number, _, _ in sorted(seen)] == [0, 1, 2]
    assert sorted(seen)[0][1] == threading.get_ident()
    assert all(blas <= {1} for _, _, blas in seen)


@pytest.mark.parametrize("shares", [False, True])
def test_a_thread_alone_may_leave_large_products_to_the_threads_of_blas(shares, monkeypatch):
    done = []
    monkeypatch.setattr(_threads._OneBlasThread, "__exit__", lambda *_: done.append("lifted"))
    monkeypatch.setattr(_threads._OneBlasThread, "__enter__", lambda *_: done.append("set"))
    monkeypatch.setattr(_threads.one_blas_thread._limits[1], "n_inside", 1)
    Teamwork(np.empty((0, 5), np.float32), blas_shares=shares).call(lambda _: done.append("work"))
    assert done == (["lifted", "work", "set"] if shares else ["work"])


@pytest.mark.parametrize(("n_rows", "n_threads", "shares"), [(79, 2, False), (81, 1, False), (81, 2, True)])
def test_blas_shares_the_products_that_are_left_to_it(n_rows, n_threads, shares, monkeypatch):
    monkeypatch.setattr(compiled_steps, "available_threads", lambda: n_threads)
    network = multilayer_perceptron([100, 1000, 1], [ACTIVATIONS["relu"]])
    params = network.parameters()
    objective = Objective(network, SquaredError())
    arrays = objective_as_arrays(objective, params, n_rows, products.LARGE)
    assert compiled_steps._blas_shares(network, arrays) == shares


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_none_waits_for_one_that_fails(failing, error):
    came = []

    def work(team):
        if team.number == failing:
            raise error
        came.append(wait(team))

    with pytest.raises(error):
        teamwork(3).call(work)
    assert came == [False, False]


def test_an_interruptiodone_all_have_come_leaves_everything_as_it_was(monkeypatch):
    X = np.random.default_rng(0).normal(size=(1100, 100))
    take_steps, vectors = compiled_steps.steps.take_steps, []

    def interrupted(parts, objective, solver, team, params, *rest):
        if len(vectors) < 4:
            take_steps(parts, objective, solver, team, params, *rest)
            if team.number == 0:
                vectors.append(params.copy())
        elif team.number == 1:  # the others are to wait for this thread
            take_steps(parts, objective, solver, team, params, *rest)
        else:
            raise KeyboardInterrupt

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_steps.steps, "take_steps", interrupted)
    monkeypatch.setattr("skmlp.estimators.training.threads_for", lambda *_: nullcontext(2))
    with pytest.warns(UserWarning, match="interrupted"):
        estimator = MLPRegressor(hidden_layer_sizes=(50,), batch_size=100, max_iter=50, random_state=0).fit(X, X[:, 0])
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
