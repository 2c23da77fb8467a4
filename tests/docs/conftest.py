from collections.abc import Iterator

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
    registries = (ACTIVATIONS, INITIALIZERS, LOSSES, SCHEDULES, SOLVERS)
    before = [dict(registry) for registry in registries]
    yield
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)
