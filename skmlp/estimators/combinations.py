"""Checks of parameters and arguments that depend on each other."""

from typing import Any

from sklearn.model_selection._split import GroupsConsumerMixin

from skmlp._configurable import Configurable, is_scheduled
from skmlp.estimators.builders import build_schedule, build_solver
from skmlp.estimators.holdout import is_fraction, wants_split
from skmlp.nn.layers import BatchNorm
from skmlp.optim.solvers import Solver


def check_fit(estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any, groups: Any) -> None:
    """Raise ValueError when parameters and arguments of fit contradict each other."""
    check_settings(estimator)
    ways = "Set early_stopping=True or validation_split"
    check_validation(estimator, X_val, y_val, sample_weight_val, groups, holds_out=wants_split(estimator), ways=ways)
    if not isinstance(estimator.batch_size, str):
        check_batch(estimator, estimator.batch_size)


def check_validation(
    estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any, groups: Any, *, holds_out: bool, ways: str
) -> None:
    """Raise ValueError when what is said about validation contradicts itself.

    `holds_out` tells whether the parameters ask for validation data, and `ways` how they could.
    """
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together: pass both to fit, or neither.")
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val needs X_val and y_val: pass them to fit, too.")
    split = estimator.validation_split
    if X_val is not None and split is not None:
        raise ValueError(
            f"Validation data are either X_val or held out from X: fit got X_val, and validation_split={split!r}. "
            "Set validation_split=None, or omit X_val."
        )
    if groups is not None and is_fraction(split):
        raise ValueError(
            f"groups are only used by a splitter, got validation_split={split!r}. "
            "Set for example validation_split=GroupShuffleSplit(n_splits=1, test_size=0.1)."
        )
    if groups is None and isinstance(split, GroupsConsumerMixin):
        raise ValueError(
            f"validation_split={split!r} keeps groups together, and fit got groups=None. Pass groups to fit; inside a "
            "search or a cross-validation enable scikit-learn's metadata routing and call "
            f"{type(estimator).__name__}.set_fit_request(groups=True)."
        )
    if X_val is not None or holds_out:
        return
    if estimator.scoring is not None:
        raise ValueError(
            f"scoring={estimator.scoring!r} needs validation data. {ways}, or pass X_val and y_val to fit."
        )
    if getattr(estimator, "refit", False):
        raise ValueError(
            f"refit=True needs validation data to find the best number of epochs. {ways}, or pass X_val and y_val to "
            "fit."
        )


def is_stochastic(estimator: Any) -> bool:
    """Return True, or raise the AttributeError that says why this solver has no partial_fit."""
    if isinstance(estimator.solver, str) and estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic: it needs all data at "
            'once. Use another solver, for example "adam".'
        )
    return True


def check_partial_fit(estimator: Any) -> None:
    """Raise ValueError when parameters contradict each other or partial_fit, whose calls have no known end."""
    for row in estimator._parameters.rows:
        value = getattr(estimator, row.name)
        if row.partial_fit == "refused" and not row.is_off(value):
            raise ValueError(
                f"partial_fit does not support {row.name}={value!r}, because it trains for a single epoch. "
                f"Set {row.name}={row.default!r}, or use fit."
            )
    if isinstance(getattr(estimator, "class_weight", None), str):
        raise ValueError(
            'class_weight="balanced" is not supported for partial_fit, which sees only part of the data at a time. '
            'Pass the weights as a dict, for example from compute_class_weight("balanced", classes=classes, y=y).'
        )
    check_settings(estimator)
    for name, value in _scheduled(estimator):
        if value.needs_horizon:
            raise ValueError(
                f"{name} depends on the progress of the whole training, which partial_fit does not know: {value!r}. "
                'Give the schedule its length in steps (horizon=..., or for a Warmup unit="step"), or use one that '
                'counts epochs or steps, for example Exponential(0.99, unit="step") or '
                'FunctionSchedule(function, of="step").'
            )


def check_batch(estimator: Any, n_samples: int) -> None:
    """Raise ValueError when batches of this size have no variance to normalize by."""
    if n_samples < 2 and _normalizes_batches(estimator):
        raise ValueError(
            'normalization="batch" needs at least 2 rows in a batch, got one. '
            'Use larger batches, or normalization="layer".'
        )


def check_settings(estimator: Any) -> None:
    """Raise ValueError when parameters contradict each other."""
    if estimator.solver == "lbfgs":
        _check_lbfgs(estimator)
    smoothing = getattr(estimator, "label_smoothing", 0.0)
    if (is_scheduled(smoothing) or smoothing > 0.0) and estimator.loss != "log_loss":
        raise ValueError(
            f"label_smoothing={smoothing!r} is only for the log loss, got loss={estimator.loss!r}. "
            'Set label_smoothing=0, or loss="log_loss".'
        )
    if isinstance(estimator.loss, Configurable) and estimator.loss.scheduled():
        raise ValueError(
            f"The settings of a loss cannot follow a schedule, got loss={estimator.loss!r}. Use numbers. To schedule "
            'the smoothing of the log loss, set for example loss="log_loss", label_smoothing=0.1 * Cosine().'
        )
    solver, decay = estimator.solver, estimator.weight_decay
    if isinstance(solver, Solver) and hasattr(solver, "weight_decay") and decay is not None:
        raise ValueError(
            f"The weight decay is set twice: weight_decay={decay!r}, and solver={solver!r}. "
            "Set weight_decay=None, or choose the solver by name."
        )
    if estimator.averaging is not None and solver != "lbfgs" and build_solver(estimator).averages:
        raise ValueError(
            f"The weights are averaged twice: averaging={estimator.averaging!r}, and solver={solver!r} averages by "
            "itself. Set averaging=None, or choose another solver."
        )


def _check_lbfgs(estimator: Any) -> None:
    for row in estimator._parameters.rows:
        value = getattr(estimator, row.name)
        if row.lbfgs == "refused" and not row.is_off(value):
            raise ValueError(
                f'solver="lbfgs" minimizes a fixed, smooth function of all data at once and does not support '
                f"{row.name}={value!r}. Set {row.name}={row.default!r}, or use a stochastic solver, for example "
                'solver="adam".'
            )
    if _normalizes_batches(estimator):
        raise ValueError(
            'solver="lbfgs" has no mini-batches and does not support normalization="batch". '
            'Use normalization="layer", or a stochastic solver, for example solver="adam".'
        )
    smoothing = getattr(estimator, "label_smoothing", 0.0)
    if is_scheduled(smoothing):
        raise ValueError(
            f'solver="lbfgs" minimizes a fixed function and does not support label_smoothing={smoothing!r}. '
            'Use a number, or a stochastic solver, for example solver="adam".'
        )


def _normalizes_batches(estimator: Any) -> bool:
    return isinstance(estimator.normalization, BatchNorm) or (
        isinstance(estimator.normalization, str) and estimator.normalization == "batch"
    )


def _scheduled(estimator: Any) -> list[tuple[str, Any]]:
    """Return the scheduled values among the parameters in use, with the names of the parameters."""
    found: list[tuple[str, Any]] = [("learning_rate", build_schedule(estimator))]
    solver = estimator.solver
    for row in estimator._parameters.rows:
        in_use = not row.solvers or (isinstance(solver, str) and solver in row.solvers)
        if not in_use or not (row.may_be_scheduled or row.name == "solver"):
            continue
        value = getattr(estimator, row.name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if is_scheduled(each):
                found.append((row.name, each))
            elif isinstance(each, Configurable):
                found += [(row.name, inner) for inner in each.scheduled()]
    return found
