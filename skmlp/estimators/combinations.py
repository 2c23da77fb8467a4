"""Which parameters go together. What cannot work is refused when fit starts, with what would."""

from numbers import Real
from typing import Any

from sklearn.model_selection._split import GroupsConsumerMixin

from skmlp._configurable import Configurable, is_scheduled
from skmlp.estimators.builders import build_schedule
from skmlp.estimators.holdout import is_fraction, wants_split
from skmlp.nn.layers import BatchNorm
from skmlp.optim.solvers import Solver

__all__ = ["check_batch", "check_fit", "check_partial_fit"]

# Parameters that act on the steps of a stochastic solver, with the value that asks for nothing.
_PER_STEP = {
    "dropout": 0.0,
    "alpha_l1": 0.0,
    "weight_decay": None,
    "max_norm": None,
    "gradient_clip": None,
    "averaging": None,
}


def check_fit(estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any, groups: Any) -> None:
    """Raise ValueError when parameters or arguments of fit do not go together."""
    _check_settings(estimator)
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together: pass both to fit, or none of them.")
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val weighs the rows of X_val: pass X_val and y_val to fit, too.")
    split = estimator.validation_split
    if X_val is not None and split is not None:
        raise ValueError(
            f"Validate either on X_val or on a part of X: fit got X_val, and validation_split={split!r}. "
            "Set validation_split=None, or leave X_val out."
        )
    if groups is not None and is_fraction(split):
        raise ValueError(
            f"groups are for a splitter that keeps them together, got validation_split={split!r}. "
            "Set for example validation_split=GroupShuffleSplit(n_splits=1, test_size=0.1)."
        )
    if groups is None and isinstance(split, GroupsConsumerMixin):
        raise ValueError(
            f"validation_split={split!r} keeps groups together, and fit got groups=None. Pass groups to fit; inside a "
            "search or a cross-validation enable scikit-learn's metadata routing and call "
            f"{type(estimator).__name__}.set_fit_request(groups=True)."
        )
    validated = X_val is not None or wants_split(estimator)
    if estimator.scoring is not None and not validated:
        raise ValueError(
            f"scoring={estimator.scoring!r} judges validation data, and there are none. Set early_stopping=True or "
            "validation_split, or pass X_val and y_val to fit."
        )
    if estimator.refit and not validated:
        raise ValueError(
            "refit=True trains again for the number of epochs that did best on validation data, and there are none. "
            "Set early_stopping=True or validation_split, or pass X_val and y_val to fit."
        )
    if not isinstance(estimator.batch_size, str):
        check_batch(estimator, estimator.batch_size)


def check_partial_fit(estimator: Any) -> None:
    """Raise ValueError when parameters do not go together in partial_fit, where the end is unknown."""
    _check_settings(estimator)
    for name, value in _scheduled(estimator):
        if value.needs_horizon:
            raise ValueError(
                f"{name} follows the share of the training that is done, which partial_fit does not know: "
                f'{value!r}. Give the schedule its length in steps (horizon=..., or for a Warmup unit="step"), or use '
                'one that counts epochs or steps, for example Exponential(0.99, unit="step"), or, for a function of '
                'your own, FunctionSchedule(function, of="step").'
            )


def check_batch(estimator: Any, n_samples: int) -> None:
    """Raise ValueError when batches of this size have no statistics to normalize by."""
    if n_samples < 2 and _normalizes_batches(estimator):
        raise ValueError(
            'normalization="batch" needs at least 2 rows in a batch to have a variance, got one. '
            'Use larger batches, or normalization="layer".'
        )


def _check_settings(estimator: Any) -> None:
    if estimator.solver == "lbfgs":
        _check_lbfgs(estimator)
    smoothing = getattr(estimator, "label_smoothing", 0.0)
    if (is_scheduled(smoothing) or smoothing > 0.0) and estimator.loss != "log_loss":
        raise ValueError(
            f"label_smoothing={smoothing!r} is for the log loss, got loss={estimator.loss!r}. "
            'Set label_smoothing=0, or loss="log_loss".'
        )
    if isinstance(estimator.loss, Configurable) and estimator.loss.scheduled():
        raise ValueError(
            f"The settings of a loss cannot follow a schedule, got loss={estimator.loss!r}. Use numbers; of the log "
            'loss the smoothing can: loss="log_loss" with, for example, label_smoothing=0.1 * Cosine().'
        )
    solver, decay = estimator.solver, estimator.weight_decay
    if isinstance(solver, Solver) and hasattr(solver, "weight_decay") and decay is not None:
        raise ValueError(
            f"The weight decay is set twice: weight_decay={decay!r}, and solver={solver!r}. "
            "Set weight_decay=None, or choose the solver by name."
        )


def _check_lbfgs(estimator: Any) -> None:
    for name, nothing in _PER_STEP.items():
        value = getattr(estimator, name)
        if value is not None and not (isinstance(value, Real) and value == 0.0):
            raise ValueError(
                f'solver="lbfgs" minimises a fixed, smooth function of all data at once, which {name}={value!r} is not '
                f'compatible with. Set {name}={nothing!r}, or use a stochastic solver, for example solver="adam".'
            )
    if _normalizes_batches(estimator):
        raise ValueError(
            'solver="lbfgs" has no batches whose statistics normalization="batch" could follow. '
            'Use normalization="layer", or a stochastic solver, for example solver="adam".'
        )
    smoothing = getattr(estimator, "label_smoothing", 0.0)
    if is_scheduled(smoothing):
        raise ValueError(
            f'solver="lbfgs" minimises a fixed function: label_smoothing={smoothing!r} changes it. Use a number, or a '
            'stochastic solver, for example solver="adam".'
        )


def _normalizes_batches(estimator: Any) -> bool:
    return isinstance(estimator.normalization, BatchNorm) or (
        isinstance(estimator.normalization, str) and estimator.normalization == "batch"
    )


def _scheduled(estimator: Any) -> list[tuple[str, Any]]:
    """Return what follows a schedule, of the parameters in use, by name."""
    found: list[tuple[str, Any]] = [("learning_rate", build_schedule(estimator))]
    momentum = ["momentum"] if isinstance(estimator.solver, str) and estimator.solver == "sgd" else []
    for name in ("weight_decay", "dropout", "label_smoothing", "solver", *momentum):
        value = getattr(estimator, name, None)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if is_scheduled(each):
                found.append((name, each))
            elif isinstance(each, Configurable):
                found += [(name, inner) for inner in each.scheduled()]
    return found
