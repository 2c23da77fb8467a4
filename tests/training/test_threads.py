"""Small trainings use one BLAS thread, large ones are shared; whatever was set before is set again afterwards."""

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info

from skmlp import MLPRegressor
from skmlp.callbacks import StopWhen
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.network import multilayer_perceptron
from skmlp.training import threads

SMALL = multilayer_perceptron([64, 100, 10], [ACTIVATIONS["relu"]])
LARGE = multilayer_perceptron([784, 512, 10], [ACTIVATIONS["relu"]])


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS does not take two threads")
        yield


def test_one_thread_for_small_products_only():
    with threads.threads_for(SMALL, 200):
        assert blas_threads() == {1}
    assert blas_threads() == {2}
    with threads.threads_for(LARGE, 128):
        assert blas_threads() == {2}
    with threads.threads_for(SMALL, 32):  # BLAS does not share that anyway
        assert blas_threads() == {2}


def test_batches_are_shared_by_the_threads_that_blas_had():
    with threads.threads_for(SMALL, 32) as n_threads:
        assert n_threads == 1
    with threads.threads_for(LARGE, 128) as n_threads:
        assert n_threads == 2
    with threads.threads_for(SMALL, 1024) as n_threads:  # each product is small, but not all of them
        assert (n_threads, blas_threads()) == (1, {1})
    deep = multilayer_perceptron([64, *[100] * 5, 10], [ACTIVATIONS["relu"]] * 5)
    with threads.threads_for(deep, 512) as n_threads:
        assert (n_threads, blas_threads()) == (2, {1})
    with threads.one_blas_thread, threads.threads_for(LARGE, 128) as n_threads:
        assert n_threads == 1


def test_a_thread_has_enough_to_do():
    sizes = 64 * 100 + 100 * 10
    for n_rows, expected in ((2 * threads.WORTH_A_THREAD // sizes, 1), (2 * threads.WORTH_A_THREAD // sizes + 1, 2)):
        with threads.threads_for(SMALL, n_rows) as n_threads:
            assert n_threads == expected


def test_a_thread_has_enough_rows():
    wide = multilayer_perceptron([4000, 4000, 10], [ACTIVATIONS["relu"]])
    for n_rows, expected in ((2 * threads.ROWS_OF_A_THREAD - 1, 1), (2 * threads.ROWS_OF_A_THREAD, 2)):
        with threads.threads_for(wide, n_rows) as n_threads:
            assert n_threads == expected


def test_what_was_set_is_set_again_after_an_error():
    with pytest.raises(ZeroDivisionError), threads.threads_for(SMALL, 200):
        raise ZeroDivisionError
    assert blas_threads() == {2}


def test_overlapping_limits_leave_none_behind():
    first, second = threads.threads_for(SMALL, 200), threads.threads_for(SMALL, 200)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == {2}


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_in_a_fit(call):
    X, seen = np.random.default_rng(0).normal(size=(1000, 64)), []

    def note(history):
        seen.append(blas_threads())
        return False

    estimator = MLPRegressor(batch_size=500, max_iter=2, random_state=0)
    if call == "fit":
        estimator.set_callbacks(StopWhen(note)).fit(X, X[:, 0])
        assert seen[-1] == {1}
    else:
        estimator.partial_fit(X, X[:, 0])
    assert blas_threads() == {2}
