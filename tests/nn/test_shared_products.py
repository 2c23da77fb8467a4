"""Large products are divided among threads, and the result does not depend on which thread computes what."""

import threading

import numpy as np
import pytest

from skmlp.nn import products
from skmlp.nn.products import matmul, shared_products

SHAPES = [((9, 4), (4, 3)), ((3, 4), (4, 9)), ((1, 50), (50, 40)), ((40, 50), (50, 1)), ((7, 5), (5, 7))]


@pytest.fixture(autouse=True)
def _every_product_is_large(monkeypatch):
    monkeypatch.setattr(products, "WORTH_SHARING", 1)


def operands(left, right, transposed):
    rng = np.random.default_rng(0)
    left, right = rng.integers(-9, 9, left).astype(float), rng.integers(-9, 9, right).astype(float)
    return (np.asfortranarray(left), np.asfortranarray(right)) if transposed else (left, right)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 50])
@pytest.mark.parametrize("shapes", SHAPES)
def test_each_element_is_computed(shapes, n_threads, transposed):
    left, right = operands(*shapes, transposed)
    out = np.full((len(left), right.shape[1]), np.nan)
    with shared_products(n_threads):
        assert matmul(left, right, out) is out
    np.testing.assert_array_equal(out, left @ right)  # of small integers, which no order of summation rounds


def test_a_large_product_is_computed_by_several_threads(monkeypatch):
    computed_by, matmul_of_numpy = set(), np.matmul
    together = threading.Barrier(2)

    def noted(*args):
        together.wait(60)
        computed_by.add(threading.get_ident())
        return matmul_of_numpy(*args)

    monkeypatch.setattr(products.np, "matmul", noted)
    with shared_products(2):
        matmul(np.ones((4, 2)), np.ones((2, 3)), np.empty((4, 3)))
    assert len(computed_by) == 2
    assert threading.get_ident() in computed_by


def test_small_products_are_computed_by_one_thread(monkeypatch):
    monkeypatch.setattr(products, "WORTH_SHARING", 4 * 2 * 3 + 1)
    monkeypatch.setattr(products._Sharing, "matmul", lambda *_: pytest.fail("it is divided"))
    with shared_products(2):
        matmul(np.ones((4, 2)), np.ones((2, 3)), np.empty((4, 3)))


def test_without_threads_the_same_parts_are_computed(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(77, 333)).astype(np.float32), rng.normal(size=(333, 55)).astype(np.float32)
    results = []
    for can_start in (True, False):
        monkeypatch.setattr(products, "can_start_threads", lambda can_start=can_start: can_start)
        with shared_products(3):
            results.append(matmul(left, right, np.empty((77, 55), np.float32)))
    np.testing.assert_array_equal(*results)


def test_floating_point_errors_are_treated_as_in_the_calling_thread():
    huge = np.full((4, 4), 1e300)
    with shared_products(2), np.errstate(over="ignore", invalid="ignore"):
        assert np.isinf(matmul(huge, huge, np.empty((4, 4)))).all()


def test_an_error_in_a_part_is_raised(monkeypatch):
    caller = threading.get_ident()

    def failing(*args):
        if threading.get_ident() != caller:
            raise MemoryError

    monkeypatch.setattr(products.np, "matmul", failing)
    with shared_products(2), pytest.raises(MemoryError):
        matmul(np.ones((4, 2)), np.ones((2, 3)), np.empty((4, 3)))


def test_the_threads_end_with_the_context():
    before = set(threading.enumerate())
    with shared_products(3):
        matmul(np.ones((4, 2)), np.ones((2, 3)), np.empty((4, 3)))
        helpers = set(threading.enumerate()) - before
        assert len(helpers) == 2
    for helper in helpers:
        helper.join(60)
        assert not helper.is_alive()
