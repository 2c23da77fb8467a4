"""BLAS is limited to one thread during computations, whatever else computes in the process."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from skmlp import MLPRegressor, _threads
from skmlp.callbacks import StopWhen
from skmlp.nn import products
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.network import multilayer_perceptron
from skmlp.training import threads
from skmlp.training.threads import limit_blas, threads_for

SMALL = multilayer_perceptron([64, 100, 10], [ACTIVATIONS["relu"]])
LARGE = multilayer_perceptron([784, 512, 10], [ACTIVATIONS["relu"]])

X = np.random.default_rng(0).normal(size=(200, 64))

N_CORES = _threads._n_cores


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    for name in _threads._LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_threads.multiprocessing, "parent_process", lambda: None)  # the tests may run in a worker
    monkeypatch.setattr(_threads, "_n_cores", lambda: 2)
    _threads._let_all_threads_set_limits()
    limit = ThreadpoolController().limit(limits=2, user_api="blas")
    _threads._let_all_threads_set_limits()
    if blas_threads() != {2}:
        pytest.skip("this BLAS does not take two threads")
    yield
    _threads._let_all_threads_set_limits()
    limit.restore_original_limits()
    _threads._let_all_threads_set_limits()


@pytest.fixture
def two_others():
    """Return two functions, each of which calls a function in a thread of its own."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        yield [lambda call, pool=pool: pool.submit(call).result() for pool in (one, other)]


def test_blas_has_one_thread_inside_the_contexts():
    for context in (limit_blas(LARGE, 128, in_training=True), limit_blas(LARGE, 128)):
        with context:
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_n_threads_is_the_number_of_blas_threads_for_large_batches():
    deep = multilayer_perceptron([64, *[100] * 5, 10], [ACTIVATIONS["relu"]] * 5)
    assert [
        threads_for(SMALL, 32),
        threads_for(SMALL, 1024),
        threads_for(LARGE, 128),
        threads_for(deep, 512),
    ] == [1, 1, 2, 2]
    with threadpool_limits(1, user_api="blas"):
        assert threads_for(LARGE, 128) == 1


def test_n_threads_is_at_most_the_number_of_cores(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)  # LOKY_MAX_CPU_COUNT, a container's quota
    monkeypatch.setattr(_threads, "_n_cores", N_CORES.__wrapped__)
    assert threads_for(LARGE, 128) == 1


def test_worker_processes_use_one_thread_unless_the_environment_sets_more(monkeypatch):
    monkeypatch.setattr(_threads.multiprocessing, "parent_process", object)
    assert threads_for(LARGE, 128) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_for(LARGE, 128) == 2


def test_n_threads_is_one_if_no_thread_can_be_started(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    ended = threading.Thread()
    monkeypatch.setattr(threading, "main_thread", lambda: ended)
    assert threads_for(LARGE, 128) == 2
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert threads_for(LARGE, 128) == 1


def test_each_thread_has_a_minimum_of_multiplications():
    sizes = 64 * 100 + 100 * 10
    for n_rows, expected in (
        (2 * threads.MULTIPLICATIONS_PER_THREAD // sizes, 1),
        (2 * threads.MULTIPLICATIONS_PER_THREAD // sizes + 1, 2),
    ):
        assert threads_for(SMALL, n_rows) == expected


def test_each_thread_has_a_minimum_of_rows():
    wide = multilayer_perceptron([4000, 4000, 10], [ACTIVATIONS["relu"]])
    for n_rows, expected in ((2 * threads.ROWS_PER_THREAD - 1, 1), (2 * threads.ROWS_PER_THREAD, 2)):
        assert threads_for(wide, n_rows) == expected


def test_the_limit_is_lifted_after_an_error():
    with pytest.raises(ZeroDivisionError), limit_blas(SMALL, 200, in_training=True):
        raise ZeroDivisionError
    assert blas_threads() == {2}


@pytest.mark.parametrize("order", ["aAbB", "abAB", "abBA", "aabAbBAB"])
def test_overlapping_limits_last_until_the_last_thread_leaves(order, two_others):
    n_inside = 0
    for letter in order:
        call, enters = two_others[letter in "bB"], letter.islower()
        call(_threads.one_blas_thread.__enter__ if enters else _threads.one_blas_thread.__exit__)
        n_inside += 1 if enters else -1
        assert blas_threads() == ({1} if n_inside > 0 else {2})
        assert _threads.one_blas_thread.n_outside() == 2


def test_the_limit_overrides_one_of_another_thread(two_others):
    with threadpool_limits(2, user_api="blas"):
        two_others[0](_threads.one_blas_thread.__enter__)
        assert blas_threads() == {1}
        two_others[0](_threads.one_blas_thread.__exit__)
        assert blas_threads() == {2}


class Library:
    """A BLAS library that has a limit for each thread."""

    def __init__(self):
        self._own = threading.local()

    @property
    def num_threads(self):
        return getattr(self._own, "number", 4)

    def set_num_threads(self, number):
        self._own.number = number


def test_limits_per_thread_are_set_and_lifted_per_thread(monkeypatch, two_others):
    library, (one, other) = Library(), two_others
    monkeypatch.setattr(_threads, "_libraries", lambda: ((), (library,)))
    limit, seen = _threads._OneBlasThread(), []

    def note():
        seen.append([call(lambda: library.num_threads) for call in two_others])

    other(lambda: library.set_num_threads(3))
    for call, step in (
        (one, limit.__enter__),
        (other, limit.__enter__),
        (one, limit.__exit__),
        (other, limit.__exit__),
    ):
        call(step)
        note()
    assert seen == [[1, 3], [1, 1], [4, 1], [4, 3]]


def test_suspending_lifts_the_limit_unless_another_thread_set_it(two_others):
    limit = _threads.one_blas_thread
    with limit:
        with limit.suspended():
            assert blas_threads() == {2}
        assert blas_threads() == {1}
        two_others[0](limit.__enter__)
        with limit.suspended():
            assert blas_threads() == {1}
    with limit.suspended():  # this thread has set none
        assert blas_threads() == {1}
    two_others[0](limit.__exit__)
    assert blas_threads() == {2}


def test_suspending_a_nested_limit_restores_it():
    limit = _threads.one_blas_thread
    with limit, limit:
        with limit.suspended():
            assert blas_threads() == {2}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.parametrize(("n_hidden", "n_rows", "expected"), [(100, 40, {2}), (200, 10, {1}), (100, 5000, {1})])
def test_small_trainings_set_no_limit(n_hidden, n_rows, expected):
    network = multilayer_perceptron((64, n_hidden, 1), [ACTIVATIONS["relu"]])
    with limit_blas(network, n_rows, in_training=True):
        assert blas_threads() == expected
    assert blas_threads() == {2}


def test_small_predictions_set_no_limit():
    with limit_blas(SMALL, 40):  # 40 * 64 * 100 multiplications
        assert blas_threads() == {2}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_overlapping_fits_restore_the_threads_of_blas(first_to_leave):
    have_begun, seen = threading.Barrier(2), []
    first_has_left = threading.Event()

    def fit(number):
        def meet(history):
            have_begun.wait(60)
            if number != first_to_leave:
                first_has_left.wait(60)
            seen.append(blas_threads())
            return True

        MLPRegressor(hidden_layer_sizes=(100,), batch_size=100, random_state=0).set_callbacks(StopWhen(meet)).fit(
            X, X[:, 0]
        )
        if number == first_to_leave:
            first_has_left.set()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fit, range(2)))
        assert blas_threads() == {2}
    assert seen == [{1}, {1}]


@pytest.mark.parametrize("call", ["fit", "partial_fit", "predict"])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_other_threads_can_set_limits_afterwards(call, two_others):
    estimator = MLPRegressor(hidden_layer_sizes=(100,), max_iter=2, random_state=0).fit(X, X[:, 0])
    if call == "predict":
        estimator.predict(X)
    elif call == "partial_fit":
        estimator.partial_fit(X, X[:, 0])

    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    assert two_others[0](limited) == {1}
    assert blas_threads() == {2}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_concurrent_fit_gives_identical_results(solver, monkeypatch, two_others):
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    for module in (products, threads):
        monkeypatch.setattr(module, "WORTH_SHARING", 2_000_000)
    rows = np.random.default_rng(0).normal(size=(300, 500)).astype(np.float32)

    def fit():
        options = {"solver": solver, "batch_size": 150, "max_iter": 2, "random_state": 0}
        estimator = MLPRegressor(hidden_layer_sizes=(200,), **options).fit(rows, rows[:, 0])
        return [*estimator.coefs_, estimator.predict(rows)]

    alone = fit()
    two_others[0](_threads.one_blas_thread.__enter__)
    beside = fit()
    two_others[0](_threads.one_blas_thread.__exit__)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)


def test_n_threads_does_not_depend_on_concurrent_computations(two_others):
    two_others[0](_threads.one_blas_thread.__enter__)
    beside = threads_for(LARGE, 128)
    two_others[0](_threads.one_blas_thread.__exit__)
    assert beside == threads_for(LARGE, 128) == 2


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_blas_has_one_thread_during_fit_and_partial_fit(call):
    seen = []

    def note(history):
        seen.append(blas_threads())
        return False

    estimator = MLPRegressor(batch_size=100, max_iter=2, random_state=0)
    if call == "fit":
        estimator.set_callbacks(StopWhen(note)).fit(X, X[:, 0])
        assert seen[-1] == {1}
    else:
        estimator.partial_fit(X, X[:, 0])
    assert blas_threads() == {2}
