"""A partial_fit that fails leaves the estimator as it was, whichever call it is and whatever went wrong."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from skmlp import MLPRegressor
from skmlp.nn.losses import SquaredError
from skmlp.optim import Clip

ROWS = 32


class FlopError(Exception):
    pass


failing: dict[str, Any] = {}


def _fail_in_the_third_batch():
    if failing:
        failing["left"] -= 1
        if failing["left"] == 0:
            raise failing["error"]


@dataclass
class UnreliableSquaredError(SquaredError):
    """The squared error, which fails in the third batch when it is to."""

    def loss_and_gradient(self, y, raw, grad):
        _fail_in_the_third_batch()
        return super().loss_and_gradient(y, raw, grad)


@dataclass
class UnreliableClip(Clip):
    """No clip at all, which fails in the third batch when it is to."""

    def clip(self, vector, arrays, params, norm):
        _fail_in_the_third_batch()
        return False


@pytest.fixture
def fail():
    """Return a function that makes the loss fail in the next pass."""

    def start(error):
        failing.update(left=3, error=error)

    yield start
    failing.clear()


def _data(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, 3))
    return X, X.sum(axis=1) + 0.1 * rng.standard_normal(ROWS)


def _estimator(**params):
    settings = {"hidden_layer_sizes": (6,), "batch_size": 8, "loss": UnreliableSquaredError(), "random_state": 0}
    return MLPRegressor(**(settings | params))


def _stored(est):
    """Return everything that is stored of the estimator."""
    state = est.__getstate__()
    timed = ("seconds", "samples_per_second")
    history = {name: column for name, column in state.get("history_", {}).items() if name not in timed}
    return pickle.dumps({**state, "history_": history})


SETTINGS = {
    "adam": {},
    "built-in loss": {"loss": "squared_error", "gradient_clip": UnreliableClip()},  # with compiled steps, too
    "momentum": {"solver": "sgd"},
    "dropout": {"dropout": 0.3},
    "average": {"averaging": 0.9},
    "schedule-free": {"solver": "schedule_free_adamw"},
    "matrices": {"solver": "muon"},
    "batch normalization": {"normalization": "batch"},
    "monitor": {"monitor": 1},
    "schedule": {"learning_rate": "invscaling"},
    "plateau": {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0},
}


@pytest.mark.parametrize("params", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("n_before", [0, 1, 2, 3])
def test_failed_call_changes_nothing(params, n_before, fail):
    est, undisturbed = _estimator(**params), _estimator(**params)
    for call in range(n_before):
        est.partial_fit(*_data(call))
        undisturbed.partial_fit(*_data(call))
    before = _stored(est)
    fail(FlopError())
    with pytest.raises(FlopError):
        est.partial_fit(*_data(99))
    failing.clear()
    assert _stored(est) == before
    for call in range(n_before, n_before + 3):
        est.partial_fit(*_data(call))
        undisturbed.partial_fit(*_data(call))
    assert _stored(est) == _stored(undisturbed)
    for name, column in est.monitor_.items():
        np.testing.assert_array_equal(column, undisturbed.monitor_[name])


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(1)], ids=repr)
def test_any_kind_of_error_restores_the_estimator(error, fail):
    est = _estimator()
    for call in range(3):
        est.partial_fit(*_data(call))
    before = _stored(est)
    fail(error)
    with pytest.raises(type(error)):
        est.partial_fit(*_data(99))
    assert _stored(est) == before


@pytest.mark.parametrize("params", [{}, {"averaging": 0.9}, {"solver": "schedule_free_adamw"}], ids=str)
def test_weight_views_stay_valid_after_a_failed_call(fail, params):
    est = _estimator(**params)
    for call in range(3):
        est.partial_fit(*_data(call))
    weights = est.coefs_[0]
    fail(FlopError())
    with pytest.raises(FlopError):
        est.partial_fit(*_data(99))
    assert np.shares_memory(weights, est.coefs_[0])


def test_an_error_in_verbose_output_restores_the_estimator(monkeypatch):
    est = _estimator(verbose=True)
    for call in range(3):
        est.partial_fit(*_data(call))
    before = _stored(est)

    def closed(*args):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(BrokenPipeError):
        est.partial_fit(*_data(99))
    assert _stored(est) == before


def test_failed_call_with_other_settings_changes_nothing(fail):
    est = _estimator(monitor=1)
    for call in range(3):
        est.partial_fit(*_data(call))
    before, settings = _stored(est), est.get_params()
    fail(FlopError())
    with pytest.raises(FlopError):
        est.set_params(alpha=0.1, solver="sgd").partial_fit(*_data(99))
    assert _stored(est.set_params(**settings)) == before


@pytest.mark.filterwarnings("ignore:Training interrupted")
def test_interrupted_call_keeps_the_steps_that_were_taken(fail):
    est = _estimator()
    for call in range(3):
        est.partial_fit(*_data(call))
    before, n_epochs = est.coefs_[0].copy(), len(est.history_["loss"])
    fail(KeyboardInterrupt())
    est.partial_fit(*_data(99))
    assert est.stop_reason_ == "interrupted"
    assert len(est.history_["loss"]) == n_epochs
    assert not np.array_equal(est.coefs_[0], before)
