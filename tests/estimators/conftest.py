"""Fixtures of these tests: one BLAS thread, and checks that a failed call leaves an estimator unchanged."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

X = np.random.default_rng(0).standard_normal((30, 4))
Y = np.arange(30) % 3


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """A second thread only costs time in networks this small."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def everything_of(estimator: Any) -> dict[str, Any]:
    """Return a copy of all public attributes of an estimator, and its predictions."""
    state = copy.deepcopy({name: value for name, value in vars(estimator).items() if not name.startswith("_")})
    if "n_features_in_" in state:
        rows = X[:, : estimator.n_features_in_]
        state["coefs_"] = [a.copy() for a in estimator.coefs_]
        state["intercepts_"] = [a.copy() for a in estimator.intercepts_]
        state["predictions"] = estimator.predict(rows)
        for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
            state[name] = copy.copy(getattr(estimator, name))
    return state


def small(cls: Any, **params: Any) -> Any:
    """Return an estimator that trains quickly on X and Y."""
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **params})


@cache
def _fitted(cls: Any, *, warm_start: bool) -> Any:
    return small(cls, warm_start=warm_start).fit(X, Y)


def assert_refuses(
    cls: Any, error: type[Exception], words: str, call: Callable[[Any], Any], *, warm: bool = True, **params: Any
) -> None:
    """Assert that `call` fails with this message and leaves a new and a fitted estimator unchanged.

    `params` are set before the call, on the fitted estimator after its fit. With `warm`, an estimator with warm_start
    is tried, too.
    """
    kinds = {"new": small(cls), "fitted": copy.deepcopy(_fitted(cls, warm_start=False))}
    if warm:
        kinds["warm"] = copy.deepcopy(_fitted(cls, warm_start=True))
    for estimator in kinds.values():
        before = everything_of(estimator.set_params(**params))
        with pytest.raises(error, match=words):
            call(estimator)
        np.testing.assert_equal(everything_of(estimator), before)
    with pytest.raises(NotFittedError):
        kinds["new"].predict(X)
    if warm:
        # Later training is not affected by the failed call.
        reference = small(cls, warm_start=True, **params).fit(X, Y).fit(X, Y)
        np.testing.assert_array_equal(kinds["warm"].fit(X, Y).coefs_[0], reference.coefs_[0])


@pytest.fixture(name="assert_refuses")
def _assert_refuses() -> Any:
    return assert_refuses


@pytest.fixture(name="everything_of")
def _everything_of() -> Any:
    return everything_of


@pytest.fixture(name="why_unavailable")
def _why_unavailable() -> Any:
    """Return a function of an estimator and a method that it must not have: the reason, as the user reads it."""

    def reason(estimator: Any, method: str) -> str:
        assert not hasattr(estimator, method)
        with pytest.raises(AttributeError, match=f"has no attribute {method!r}") as caught:
            getattr(estimator, method)
        return str(caught.value.__cause__)

    return reason
