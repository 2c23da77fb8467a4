"""Storing and loading an estimator between two calls changes nothing in what it does afterwards."""

import copy
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.parameters import Parameters
from skmlp.optim import Cosine, CosineRestarts, Exponential, FunctionSchedule, StepDecay, Warmup

# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)

_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((60, 4))
Y = X @ _RNG.standard_normal(4)
CLASSES = np.arange(60) % 3


def _fifth(epoch: float) -> float:
    return 0.2**epoch


class _Falling:
    """A schedule without its own repr."""

    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, epoch: float) -> float:
        return self.by**epoch


class _Asking:
    """A callback that requests a monitor."""

    requests_monitor = True

    def setup(self, *_: Any, **__: Any) -> None: ...

    teardown = on_fit_task_begin = on_fit_task_end = setup


FIT, STREAM, ODD = ("fit", 60), ("partial_fit", 20), ("partial_fit", 33)

# Parameters of the estimator, then a sequence of calls, each with a number of rows, and of changed settings.
TRAININGS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "plain stream": ({}, [STREAM] * 4),
    "batches of different sizes": ({"batch_size": 16}, [ODD, STREAM, FIT, STREAM, ODD]),
    "another schedule": (
        {"learning_rate": Exponential(0.5)},
        [STREAM, STREAM, {"learning_rate": Exponential(0.3)}, STREAM, STREAM],
    ),
    "another schedule by name": (
        {"learning_rate": "inverse_time", "solver": "sgd"},
        [STREAM, STREAM, {"learning_rate": "exponential"}, STREAM, STREAM],
    ),
    "a schedule changed in place": (
        {"learning_rate": Warmup(CosineRestarts(2), 2, unit="epoch")},
        [STREAM, STREAM, {"learning_rate__schedule__period": 3}, STREAM, STREAM],
    ),
    "the same schedule again": (
        {"learning_rate": StepDecay(2, 0.5)},
        [STREAM, STREAM, STREAM, {"learning_rate": StepDecay(2, 0.5)}, STREAM, STREAM],
    ),
    "another function": (
        {"learning_rate": FunctionSchedule(_fifth, "epoch")},
        [STREAM, STREAM, {"learning_rate": FunctionSchedule(np.exp2, "epoch")}, STREAM],
    ),
    "a function": ({"learning_rate": FunctionSchedule(_fifth, "epoch")}, [STREAM] * 3),
    "a callable object": ({"learning_rate": FunctionSchedule(_Falling(0.5), "epoch")}, [STREAM] * 3),
    "another initial rate": (
        {"learning_rate": Exponential(0.5)},
        [STREAM, STREAM, {"learning_rate_init": 0.01}, STREAM, STREAM],
    ),
    "another schedule under warm_start": (
        {"learning_rate": Exponential(0.5), "warm_start": True},
        [FIT, {"learning_rate": Cosine()}, FIT, {"learning_rate": Exponential(0.1)}, STREAM, STREAM, FIT],
    ),
    "another schedule after fit": (
        {"learning_rate": Exponential(0.5)},
        [FIT, {"learning_rate": Exponential(0.1)}, STREAM, STREAM],
    ),
    "adaptive": (
        {"learning_rate": "adaptive", "solver": "sgd", "tol": 1.0, "n_iter_no_change": 1},
        [STREAM] * 6,
    ),
    "adaptive in fits": (
        {"learning_rate": "adaptive", "solver": "sgd", "tol": 1.0, "n_iter_no_change": 1, "warm_start": True},
        [FIT, FIT, STREAM, STREAM],
    ),
    "plateau": ({"learning_rate": "reduce_on_plateau", "tol": 1.0, "n_iter_no_change": 2}, [STREAM] * 5),
    "averaging": ({"averaging": 0.9}, [STREAM, ODD, STREAM, {"averaging": None}, STREAM]),
    "averaging in fits": ({"averaging": 0.9, "warm_start": True}, [FIT, FIT, STREAM]),
    "schedule-free": (
        {"solver": "schedule_free_adamw"},
        [STREAM, ODD, STREAM, FIT, STREAM, {"beta_1": 0.7}, STREAM, {"solver": "adam"}, STREAM],
    ),
    "schedule-free in fits": (
        {"solver": "schedule_free_adamw", "normalization": "batch", "warm_start": True},
        [FIT, FIT, STREAM, {"averaging": 0.9, "solver": "adam"}, STREAM],
    ),
    "muon": ({"solver": "muon", "normalization": "layer", "warm_start": True}, [STREAM, ODD, FIT, FIT, STREAM]),
    "dropout": ({"dropout": 0.3}, [STREAM, STREAM, {"dropout": 0.5}, STREAM, STREAM]),
    "dropout that is monitored": (
        {"dropout": 0.3, "monitor": 2},
        [STREAM, STREAM, {"dropout": 0.5}, STREAM, STREAM],
    ),
    "scheduled settings": (
        {
            "dropout": 0.3 * Exponential(0.5),
            "weight_decay": 0.1 * StepDecay(1, 0.5),
        },
        [STREAM] * 4,
    ),
    "batch normalization": ({"normalization": "batch", "solver": "nadam"}, [STREAM, ODD, STREAM]),
    "another solver": ({"solver": "sgd"}, [STREAM, {"solver": "adam"}, STREAM, {"alpha": 1.0}, STREAM, STREAM]),
    "L-BFGS, then Adam": ({"solver": "lbfgs", "warm_start": True}, [FIT, FIT, {"solver": "adam"}, STREAM, STREAM]),
    "early stopping": ({"early_stopping": True, "warm_start": True}, [FIT, FIT, {"early_stopping": False}, STREAM]),
    "refit on all rows": (
        {"validation_split": 0.2, "early_stopping": True, "refit": True, "warm_start": True},
        [FIT, FIT],
    ),
    "every 3rd step monitored": ({"monitor": 3, "batch_size": 10}, [STREAM] * 5),
    "every 7th step monitored": ({"monitor": 7, "batch_size": 10}, [STREAM, ODD, FIT, *[STREAM] * 5]),
    "monitored": ({"monitor": True, "batch_size": 10}, [FIT, *[STREAM] * 7]),
    "monitored in full batches": ({"monitor": True}, [STREAM] * 5),
    "monitored in a change": ({"monitor": True}, [STREAM, {"monitor": 2}, STREAM, STREAM, {"monitor": False}, STREAM]),
    "monitored for a callback": ({}, [_Asking(), FIT, STREAM, STREAM, STREAM]),
    "other rows in float64": ({"dtype": "float64", "shuffle": False, "solver": "amsgrad"}, [STREAM, ODD, STREAM]),
    "a generator as seed": ({"random_state": np.random.default_rng(3)}, [FIT, STREAM, FIT]),
}


def _by_pickle(estimator: Any) -> Any:
    return pickle.loads(pickle.dumps(estimator))


def _new(cls: Any, params: dict[str, Any]) -> Any:
    settings = {"hidden_layer_sizes": (5, 3), "batch_size": 20, "max_iter": 3, "random_state": 0, **params}
    return cls(**copy.deepcopy(settings))


def _do(estimator: Any, action: Any) -> Any:
    if isinstance(action, dict):
        return estimator.set_params(**copy.deepcopy(action))
    if isinstance(action, _Asking):
        return estimator.set_callbacks(action)
    call, n_rows = action
    is_stream = call == "partial_fit" and isinstance(estimator, MLPClassifier)
    y = CLASSES if isinstance(estimator, MLPClassifier) else Y
    return getattr(estimator, call)(X[:n_rows], y[:n_rows], **({"classes": [0, 1, 2]} if is_stream else {}))


def _outcome(estimator: Any) -> dict[str, Any]:
    """Return all that was trained and recorded, except times."""
    clock = ("seconds", "samples_per_second")
    return {
        "coefs": [a.copy() for a in estimator.coefs_],
        "intercepts": [a.copy() for a in estimator.intercepts_],
        "predictions": estimator.predict(X),
        "history": {name: list(column) for name, column in estimator.history_.items() if name not in clock},
        "monitor": {name: column.copy() for name, column in estimator.monitor_.items()},
        "counts": (estimator.t_, estimator.n_iter_, estimator.best_loss_, estimator.best_n_iter_),
        "end": (estimator.stop_reason_, estimator.stop_message_),
        "findings": [finding.code for finding in estimator.diagnose()],
    }


@pytest.mark.parametrize("number", range(len(TRAININGS)), ids=list(TRAININGS))
def test_storing_and_loading_between_calls_changes_no_result(number: int) -> None:
    cls = (MLPClassifier, MLPRegressor)[number % 2]  # the code is the same for both
    params, actions = list(TRAININGS.values())[number]
    outcomes = []
    for stored_before in (set(), {len(actions) - 1}, set(range(len(actions)))):
        estimator = _new(cls, params)
        for number, action in enumerate(actions):
            if number in stored_before:
                estimator = _by_pickle(estimator)
            _do(estimator, action)
        outcomes.append(_outcome(estimator))
    for outcome in outcomes[1:]:
        np.testing.assert_equal(outcome, outcomes[0])


def test_a_changed_schedule_starts_again_after_loading() -> None:
    estimator = _new(MLPRegressor, {"learning_rate": Exponential(0.5), "learning_rate_init": 0.008})
    for _ in range(3):
        _do(estimator, STREAM)
    loaded = _by_pickle(estimator).set_params(learning_rate=StepDecay(1, 0.25))
    _do(_do(loaded, STREAM), STREAM)
    np.testing.assert_allclose(loaded.history_["learning_rate"], [0.008, 0.004, 0.002, 0.008, 0.002], rtol=1e-12)


def test_every_field_of_the_training_state_is_stored() -> None:
    params = {"solver": "sgd", "learning_rate": "adaptive", "averaging": 0.9, "dropout": 0.2, "normalization": "batch"}
    estimator = _do(_new(MLPRegressor, params), STREAM)
    state, loaded = estimator._model.state, _by_pickle(estimator)._model.state
    for field in fields(state):
        before, after = getattr(state, field.name), getattr(loaded, field.name)
        if isinstance(before, np.random.Generator):
            before, after = before.bit_generator.state, after.bit_generator.state
        elif isinstance(before, Parameters):
            before, after = before.vector, after.vector
        assert before is not after or isinstance(before, int | float)
        np.testing.assert_equal(after, before, err_msg=field.name)
