from collections.abc import Iterator
from contextlib import ExitStack
from unittest import mock

import pytest
from threadpoolctl import threadpool_limits

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.initializers import INITIALIZERS
from skmlp.nn.losses import LOSSES
from skmlp.optim import SCHEDULES, SOLVERS


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread() -> Iterator[None]:
    # The networks of the documentation are too small to gain from threads.
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def unchanged_registries() -> Iterator[None]:
    with ExitStack() as stack:
        for registry in (ACTIVATIONS, INITIALIZERS, LOSSES, SCHEDULES, SOLVERS):
            stack.enter_context(mock.patch.dict(registry))
        yield
