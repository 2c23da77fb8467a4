"""Fixtures of the callback tests: one BLAS thread, small data, and an estimator that trains a few epochs on them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skmlp import MLPClassifier

X = np.random.default_rng(0).standard_normal((60, 4))
Y = np.arange(60) % 3
EPOCHS = 6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/callbacks" in item.nodeid:  # fits here run few epochs on purpose
            ignored = "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
            item.add_marker(pytest.mark.filterwarnings(ignored), append=False)


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """A second thread only slows down networks this small."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="session", name="data")
def _data() -> tuple[Any, Any]:
    return X, Y


def small(cls: Any = MLPClassifier, **params: Any) -> Any:
    """Return an estimator that trains `EPOCHS` epochs of three steps."""
    return cls(**{"hidden_layer_sizes": (5,), "batch_size": 20, "max_iter": EPOCHS, "random_state": 0, **params})


@pytest.fixture(scope="session", name="small")
def _small() -> Any:
    return small
