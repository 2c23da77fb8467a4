"""What a training leaves on its estimator: fitted attributes, history, observations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skmlp._typing import IntArray
from skmlp.estimators.model import Model
from skmlp.estimators.reporting import print_epoch
from skmlp.estimators.targets import Targets
from skmlp.training.events import Result, Row
from skmlp.training.history import Observations, append_row, empty_history
from skmlp.training.monitor import Monitor, no_observations

# Attributes that scikit-learn's callback machinery keeps on an estimator during fit.
_CALLBACK_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


def publish_start(estimator: Any, model: Model, targets: Targets, *, validation: bool, keep_history: bool) -> None:
    """Set the fitted attributes that hold from the start of a training."""
    estimator._model = model
    estimator._set_targets(targets)
    estimator.n_outputs_ = model.network.n_out
    estimator.n_layers_ = len(model.architecture.layer_sizes)
    estimator.out_activation_ = model.loss.link
    estimator.n_iter_ = 0
    estimator.t_ = model.state.samples_seen
    estimator._data_summary = {}
    if keep_history and ("validation_score" in estimator.history_) == validation:
        # Copies: a failed call puts the lists back that are there now.
        estimator.history_ = {name: list(column) for name, column in estimator.history_.items()}
        estimator._observations = Observations(estimator.monitor_)
        estimator._epochs_before = len(estimator.history_["loss"])
    else:
        reset_history(estimator, validation=validation)


def reset_history(estimator: Any, *, validation: bool) -> None:
    """Start a history without epochs."""
    estimator.history_ = empty_history(validation=validation)
    estimator._observations = no_observations(len(estimator._model.params.weights))
    estimator._epochs_before = 0


def publish_end(estimator: Any, result: Result, *, validation: bool) -> None:
    """Set the fitted attributes that hold at the end of a training."""
    estimator.n_iter_ = result.n_epochs
    estimator.best_n_iter_ = result.best_epoch if validation else None
    estimator.stop_reason_ = result.reason
    estimator.stop_message_ = result.detail
    estimator.engine_ = result.engine
    estimator.t_ = estimator._model.state.samples_seen


def monitor_for(estimator: Any, model: Model, copies: IntArray | None = None, fitted: Any = None) -> Monitor | None:
    """Return what observes the training, if the user or a callback asks for it.

    The callbacks are those of the estimator, or of the one that is `fitted`, of which it is a member.
    """
    callbacks = getattr(estimator if fitted is None else fitted, "_skl_callbacks", ())
    requested = any(getattr(callback, "requests_monitor", False) for callback in callbacks)
    if not estimator.monitor and not requested:
        return None
    every = None if isinstance(estimator.monitor, bool | np.bool_) else int(estimator.monitor)
    monitor = model.monitor_for(every, first_epoch=len(estimator.history_["loss"]) + 1, closely=requested)
    monitor.copies = copies
    return monitor


def record_epoch(estimator: Any, row: Row, monitor: Monitor | None) -> None:
    """Add an epoch to the records, and print it if the user wants to see it."""
    estimator.n_iter_ += 1
    if estimator.verbose:
        rates = estimator.history_["learning_rate"]
        is_adaptive = isinstance(estimator.learning_rate, str) and estimator.learning_rate == "adaptive"
        if is_adaptive and rates and row["learning_rate"] < rates[-1]:
            print(f"Setting learning rate to {row['learning_rate']:f}")
        print_epoch(estimator.n_iter_, row, int(estimator.verbose))
    if monitor is not None:
        observed = monitor.end_epoch()
        if observed is not None:
            estimator._observations.append(monitor.epoch, observed.layers)
            row = {**row, **observed.overall}
    append_row(estimator.history_, row)


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Restore all attributes when the body fails: a failed fit leaves the estimator as it was."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        in_use = {name: vars(estimator)[name] for name in _CALLBACK_ATTRIBUTES if name in vars(estimator)}
        vars(estimator).clear()
        vars(estimator).update(before, **in_use)
        raise
