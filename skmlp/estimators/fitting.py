"""What fit and partial_fit do, step by step."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from scipy import sparse
from sklearn import get_config

from skmlp._typing import IntArray
from skmlp.estimators.builders import (
    adopt_settings,
    batch_rows,
    build_objective,
    build_schedule,
    check_architecture,
    compute_dtype,
    new_model,
    resumed_model,
    start_from_data,
    training_settings,
    warn_about_batch_size,
)
from skmlp.estimators.combinations import check_batch, check_fit, check_partial_fit
from skmlp.estimators.data_summary import summarize_data
from skmlp.estimators.health import (
    advice_on_divergence,
    divergence_error,
    warn_about_health,
    warn_if_worse_than_constant,
)
from skmlp.estimators.holdout import DataSplit, as_validation, keeps_best, split_data
from skmlp.estimators.input_checks import OWN_VALIDATION
from skmlp.estimators.model import Model
from skmlp.estimators.records import (
    monitor_for,
    publish_end,
    publish_start,
    record_epoch,
    reset_history,
    unchanged_on_error,
)
from skmlp.estimators.reporting import EpochTasks, print_convergence, warn_about
from skmlp.estimators.scales import warn_about_scales
from skmlp.estimators.targets import Targets
from skmlp.training.batches import Data, merge_duplicates
from skmlp.training.events import NonFiniteError, Result, Row
from skmlp.training.loop import train
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.state import Plateau, TrainingState
from skmlp.training.threads import limit_blas, threads_for

# X, y and sample_weight as the user passed them.
Arguments = tuple[Any, Any, Any]


class _Prepared(NamedTuple):
    """All that a fit needs to start training."""

    model: Model
    targets: Targets
    split: DataSplit
    data: Data  # the rows of split.training as they are trained on
    copies: IntArray | None  # how many of those rows each row of data stands for
    batch_size: int
    validation: Validation | None
    continues: bool  # whether the model comes from an earlier fit


def fit(estimator: Any, given: Arguments, own: Arguments, groups: Any) -> None:
    """Train until a stopping rule holds; `own` is the user's own validation data."""
    with unchanged_on_error(estimator), EpochTasks(estimator, *given, lambda: _snapshot(estimator)) as tasks:
        check_fit(estimator, *own, groups)
        prepared = _prepare(estimator, given, own, groups)
        model, has_validation = prepared.model, prepared.validation is not None
        publish_start(estimator, model, prepared.targets, validation=has_validation, keep_history=prepared.continues)
        monitor = monitor_for(estimator, model, prepared.copies)
        result = _train(estimator, prepared, monitor, tasks)
        model.state.reset_params()
        publish_end(estimator, result, validation=has_validation)
        print_convergence(estimator, result)
        if monitor is not None:
            estimator._data_summary = summarize_data(model, prepared.split.training.in_one_type())
        tasks.end()
    _warn_about_fit(estimator, prepared, result)


def _snapshot(estimator: Any) -> dict[str, Any]:
    """Return the attributes with which a copy of the estimator predicts as it would now."""
    return {"_model": estimator._model.snapshot(), "t_": estimator._model.state.samples_seen}


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
    data, copies = _prepare_rows(model, split.training, batch_size)
    if fitted is None:
        start_from_data(estimator, model, data, split.training)
    validation = as_validation(estimator, split, targets, model)
    return _Prepared(model, targets, split, data, copies, batch_size, validation, fitted is not None)


def _validate_own(estimator: Any, own: Arguments, rows: Data, model: Model, targets: Targets) -> Data:
    """Return the user's own validation data, in the form of the rows to train on."""
    data, _ = estimator._validate(*own, rows.X.dtype, fitted=model, targets=targets, names=OWN_VALIDATION, weigh=False)
    if sparse.issparse(rows.X) != sparse.issparse(data.X):
        data = data._replace(X=sparse.csr_matrix(data.X) if sparse.issparse(rows.X) else data.X.toarray())
    warn_about_scales(estimator, rows, data)
    return data


def _prepare_rows(model: Model, data: Data, batch_size: int) -> tuple[Data, IntArray | None]:
    """Return the rows to train on, and the number of copies that each stands for.

    In full batches equal rows are merged, unless dropout disables different units for each of them.
    """
    if batch_size < data.n_samples or any(model.architecture.dropout):
        return data.in_one_type(), None
    return merge_duplicates(data)


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
        restore_best=keeps_best(estimator),
        fallback=model.params.vector.copy() if prepared.continues else None,
    )
    result = _run_solver(estimator, model, prepared.data, plan, criterion, on_epoch_end=on_epoch_end, monitor=monitor)
    if start is not None and result.reason != "interrupted":
        result = _refit(estimator, model, start, split, result)
    return result


def _run_solver(
    estimator: Any, model: Model, data: Data, plan: Plan, criterion: Criterion | None = None, **options: Any
) -> Result:
    """Train the model by the estimator's solver; `options` are those of :func:`skmlp.training.loop.train`.

    A training that diverges before there are weights worth keeping raises DivergedError.
    """
    lbfgs = estimator.solver == "lbfgs"
    try:
        n_rows = data.n_samples if lbfgs else min(plan.batch_size, data.n_samples)
        n_threads = threads_for(model.network, n_rows)
        with limit_blas(model.network, n_rows, in_training=True):
            if lbfgs:
                objective = build_objective(estimator, model.network, model.loss)
                limits = {"max_fun": estimator.max_fun, "tol": estimator.tol}
                result = run_lbfgs(objective, model.state, data, plan, criterion, **limits, **options)
                return replace(result, engine="numpy: solver='lbfgs'")
            assert model.recipe is not None
            return train(model.recipe, model.state, data, plan, criterion, n_threads=n_threads, **options)
    except NonFiniteError as event:
        raise divergence_error(estimator, model, data, event, options.get("monitor")) from event


def _refit(estimator: Any, model: Model, start: TrainingState, split: DataSplit, found: Result) -> Result:
    """Train from the state `start` on all rows for the best number of epochs; return the result of both trainings.

    If the user interrupts it, the model is that of the first training, whose result is `found`.
    """
    assert split.everything is not None
    first = model.state
    model.state = start
    start.plateau = Plateau(0.0, math.inf)
    if found.best_epoch > 0:
        n_samples = split.everything.n_samples
        batch_size = batch_rows(estimator, n_samples)
        plan = Plan(
            batch_size=batch_size,
            max_epochs=found.best_epoch,
            length=estimator.max_iter,  # schedules are those of the first training
            shuffle=estimator.shuffle,
            samples_per_epoch=n_samples,
        )
        data, _ = _prepare_rows(model, split.everything, batch_size)
        result = _run_solver(estimator, model, data, plan, Criterion(fallback=start.eval_params.vector.copy()))
        if result.reason == "non_finite":
            event = NonFiniteError(f"in the refit on all rows: {result.detail}")
            raise divergence_error(estimator, model, split.everything, event)
        if result.reason == "interrupted":
            model.state = first
            return replace(found, reason="interrupted")
        found = replace(found, engine=result.engine)
    start.plateau = first.plateau
    return found


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
    if estimator.monitor:
        warn_about_health(estimator)
    elif result.reason in ("converged", "max_iter", "max_fun", "failed"):
        warn_if_worse_than_constant(estimator, model, prepared.split.training.in_one_type())


def partial_fit(estimator: Any, given: Arguments, targets_of_classes: Callable[[], Targets] | None = None) -> None:
    """Train for one epoch on the given data.

    `targets_of_classes` returns the targets of a classifier from the classes that the user passed. It is called when
    the parameters are known to be valid.
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
    print_convergence(estimator, result)
    if result.reason in ("interrupted", "non_finite"):
        warn_about(result, advice=advice_on_divergence(estimator, model, data))


def _first_model(estimator: Any, data: Data, targets: Targets) -> Model:
    """Build the model in the first call of partial_fit."""
    model = new_model(estimator, data, targets)
    start_from_data(estimator, model, data)
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
        return _run_solver(
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
