"""What fit and partial_fit do, step by step."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn import get_config

from skmlp._typing import IntArray
from skmlp.estimators.builders import (
    adopt_settings,
    batch_rows,
    build_schedule,
    check_architecture,
    compute_dtype,
    new_model,
    resumed_model,
    start_output_bias,
    training_settings,
    warn_about_batch_size,
)
from skmlp.estimators.combinations import check_batch, check_fit, check_partial_fit
from skmlp.estimators.data_summary import summarize_data
from skmlp.estimators.health import warn_about_health, warn_if_worse_than_constant
from skmlp.estimators.holdout import DataSplit, as_validation, split_data
from skmlp.estimators.input_checks import OWN_VALIDATION, in_form_of
from skmlp.estimators.model import Model
from skmlp.estimators.records import (
    monitor_for,
    publish_end,
    publish_start,
    record_epoch,
    reset_history,
    snapshot,
    unchanged_on_error,
)
from skmlp.estimators.reporting import EpochTasks, print_plateau, warn_about
from skmlp.estimators.scales import warn_about_scales
from skmlp.estimators.targets import Targets
from skmlp.estimators.training import advice_on_divergence, prepare_rows, refit, train
from skmlp.training.batches import Data
from skmlp.training.events import Result, Row
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.state import Plateau

__all__ = ["fit", "partial_fit"]

# X, y and sample_weight as the user passed them.
Arguments = tuple[Any, Any, Any]


class _Prepared(NamedTuple):
    """All that a fit needs to start training.

    Attributes
    ----------
    model : Model
    targets : Targets
    split : DataSplit
    data : Data
        The rows of ``split.training`` as they are trained on.
    copies : ndarray or None
        How many of those rows each row of `data` stands for.
    batch_size : int
    validation : Validation or None
    continues : bool
        Whether the model comes from an earlier fit.
    """

    model: Model
    targets: Targets
    split: DataSplit
    data: Data
    copies: IntArray | None
    batch_size: int
    validation: Validation | None
    continues: bool


def fit(estimator: Any, given: Arguments, own: Arguments, groups: Any) -> None:
    """Train until a stopping rule holds; `own` is the user's own validation data."""
    with unchanged_on_error(estimator), EpochTasks(estimator, *given, lambda: snapshot(estimator)) as tasks:
        check_fit(estimator, *own, groups)
        prepared = _prepare(estimator, given, own, groups)
        model, has_validation = prepared.model, prepared.validation is not None
        publish_start(estimator, model, prepared.targets, validation=has_validation, keep_history=prepared.continues)
        monitor = monitor_for(estimator, model, prepared.copies)
        result = _train(estimator, prepared, monitor, tasks)
        model.state.reset_params()
        publish_end(estimator, result, validation=has_validation)
        _print_convergence(estimator, result)
        if monitor is not None:
            estimator._data_summary = summarize_data(model, prepared.split.training.in_one_type())
        tasks.end()
    _warn_about_fit(estimator, prepared, result)


def _prepare(estimator: Any, given: Arguments, own: Arguments, groups: Any) -> _Prepared:
    """Check and split the data, and build the model or take over the fitted one."""
    fitted = estimator._model if estimator.warm_start and hasattr(estimator, "_model") else None
    rows, targets = estimator._validate(*given, compute_dtype(estimator, fitted), fitted=fitted, weigh=False)
    warn_about_batch_size(estimator, rows.n_samples)
    batch_size = batch_rows(estimator, rows.n_samples)
    if fitted is None:
        model = new_model(estimator, rows, targets)
    else:
        model = resumed_model(estimator, fitted, targets, rows.X.dtype)
    held_out = None if own[0] is None else _validate_own(estimator, own, rows, model, targets)
    split = split_data(
        estimator, rows, held_out, targets, model.split_seed, groups, lambda data: estimator._weigh(data, targets)
    )
    data, copies = prepare_rows(model, split.training, batch_size)
    if fitted is None:
        start_output_bias(estimator, model, data)
    validation = as_validation(estimator, split, targets, model)
    return _Prepared(model, targets, split, data, copies, batch_size, validation, fitted is not None)


def _validate_own(estimator: Any, own: Arguments, rows: Data, model: Model, targets: Targets) -> Data:
    """Return the user's own validation data, in the form of the rows to train on."""
    data, _ = estimator._validate(*own, rows.X.dtype, fitted=model, targets=targets, names=OWN_VALIDATION, weigh=False)
    data = data._replace(X=in_form_of(rows.X, data.X))
    warn_about_scales(estimator, rows, data)
    return data


def _train(estimator: Any, prepared: _Prepared, monitor: Monitor | None, tasks: EpochTasks) -> Result:
    """Train the model, and once more on all rows if the user wants a refit."""
    model, split = prepared.model, prepared.split
    start = model.state.copy() if estimator.refit else None
    tasks.begin()

    def on_epoch_end(row: Row, is_last: bool) -> bool:
        record_epoch(estimator, row, monitor)
        return tasks.end_epoch(is_last=is_last)

    plan = Plan(
        batch_size=prepared.batch_size,
        max_epochs=estimator.max_iter,
        length=estimator.max_iter,
        max_seconds=estimator.max_time,
        shuffle=estimator.shuffle,
        samples_per_epoch=split.training.n_samples,
    )
    criterion = Criterion(
        validation=prepared.validation,
        early_stopping=estimator.early_stopping and prepared.validation is not None,
        restore_best=estimator.early_stopping if estimator.restore_best is None else estimator.restore_best,
        fallback=model.params.vector.copy() if prepared.continues else None,
    )
    result = train(estimator, model, prepared.data, plan, criterion, on_epoch_end=on_epoch_end, monitor=monitor)
    if start is not None and result.reason != "interrupted":
        result = refit(estimator, model, start, split, result)
    return result


def _print_convergence(estimator: Any, result: Result) -> None:
    if estimator.verbose and result.reason == "converged" and estimator.solver != "lbfgs":
        print_plateau(estimator.tol, estimator.n_iter_no_change, early_stopping=estimator.early_stopping)


def _warn_about_fit(estimator: Any, prepared: _Prepared, result: Result) -> None:
    """Warn about why training ended, and about a network that is badly wrong."""
    model = prepared.model
    lbfgs = estimator.solver == "lbfgs"
    warn_about(
        result,
        lbfgs=lbfgs,
        max_iter=estimator.max_iter,
        max_fun=estimator.max_fun,
        planned=not lbfgs and build_schedule(estimator).ignores_plateau,
        advice=advice_on_divergence(estimator, model, prepared.data) if result.reason == "non_finite" else "",
    )
    if estimator.monitor is not False:
        warn_about_health(estimator)
    elif result.reason in ("converged", "max_iter", "max_fun", "failed"):
        warn_if_worse_than_constant(estimator, model, prepared.split.training.in_one_type())


def partial_fit(estimator: Any, given: Arguments, targets_of_classes: Callable[[], Targets] | None = None) -> None:
    """Train for one epoch on the given data.

    Parameters
    ----------
    estimator : BaseMLP
    given : tuple
        X, y and sample_weight.
    targets_of_classes : callable, optional
        Returns the targets of a classifier from the classes that the user passed. It is called when the parameters
        are known to be valid.
    """
    fitted = getattr(estimator, "_model", None)
    settings = training_settings(estimator, () if fitted is None else fitted.settings)
    if fitted is None or settings != fitted.settings:
        if not get_config()["skip_parameter_validation"]:
            estimator._validate_params()
        check_partial_fit(estimator)
    targets = None if targets_of_classes is None else targets_of_classes()
    with unchanged_on_error(estimator):
        dtype = compute_dtype(estimator, None) if fitted is None else fitted.dtype
        data, targets = estimator._validate(*given, dtype, fitted=fitted, targets=targets, partial=True)
        data = data.in_one_type()
        check_batch(estimator, data.n_samples)
        if fitted is None:
            model = _first_model(estimator, data, targets)
        else:
            model = _continued_model(estimator, fitted, targets, changed=settings != fitted.settings)
        result = _train_one_epoch(estimator, model, data, keep_start=fitted is not None)
        publish_end(estimator, result, validation=False)
    _print_convergence(estimator, result)
    if result.reason in ("interrupted", "non_finite"):
        warn_about(result, advice=advice_on_divergence(estimator, model, data))


def _first_model(estimator: Any, data: Data, targets: Targets) -> Model:
    """Build the model in the first call of partial_fit."""
    model = new_model(estimator, data, targets)
    start_output_bias(estimator, model, data)
    publish_start(estimator, model, targets, validation=False, keep_history=False)
    return model


def _continued_model(estimator: Any, fitted: Model, targets: Targets, *, changed: bool) -> Model:
    """Return the fitted model, or a copy with the changed settings: a later error leaves the model unchanged."""
    model = fitted
    if changed:
        check_architecture(estimator, fitted, targets, "partial_fit")
        estimator._check_continuation(targets)
        estimator._model = model = fitted.fork()
        adopt_settings(estimator, model, targets, new_fit=False)
    if "validation_score" in estimator.history_:
        # Progress was measured on held-out rows, and there are none now.
        reset_history(estimator, validation=False)
        model.state.plateau = Plateau(estimator.tol, estimator.n_iter_no_change)
    return model


def _train_one_epoch(estimator: Any, model: Model, data: Data, *, keep_start: bool) -> Result:
    """Train for one epoch; when that fails, the model is what it was before."""
    estimator.n_iter_ = 0
    warn_about_batch_size(estimator, data.n_samples)
    batch_size = batch_rows(estimator, data.n_samples)
    monitor = monitor_for(estimator, model)
    start = model.save()

    def on_epoch_end(row: Row, is_last: bool) -> bool:
        record_epoch(estimator, row, monitor)
        return False

    try:
        return train(
            estimator,
            model,
            data,
            Plan(batch_size=batch_size, max_epochs=1, shuffle=estimator.shuffle),
            Criterion(fallback=start) if keep_start else None,
            on_epoch_end=on_epoch_end,
            buffers=model.buffers_for(batch_size + model.network.couples_rows),
            monitor=monitor,
        )
    except BaseException:
        model.go_back()
        raise
