"""Training of an estimator's model by its solver, and a refit on all rows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from skmlp._typing import IntArray
from skmlp.diagnosis import DivergedError
from skmlp.estimators.builders import batch_rows, build_objective
from skmlp.estimators.health import diagnose_divergence
from skmlp.estimators.holdout import DataSplit
from skmlp.estimators.model import Model
from skmlp.training import loop
from skmlp.training.batches import Data, merge_duplicates
from skmlp.training.events import NonFiniteError, Result
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.state import Plateau, TrainingState
from skmlp.training.threads import limit_blas, threads_for

__all__ = ["advice_on_divergence", "prepare_rows", "refit", "train"]

# Targets of this size or larger may be the reason why a training diverged.
LARGE_TARGET = 1000.0


def train(
    estimator: Any, model: Model, data: Data, plan: Plan, criterion: Criterion | None = None, **options: Any
) -> Result:
    """Train the model by the estimator's solver.

    Parameters
    ----------
    estimator : BaseMLP
    model : Model
        Its state is changed in place.
    data : Data
    plan : Plan
        L-BFGS uses its limits only.
    criterion : Criterion, optional
    **options
        Of :func:`skmlp.training.loop.train`.

    Raises
    ------
    DivergedError
        A ValueError with scikit-learn's message, when training diverged before there were weights worth keeping.
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
            return loop.train(model.recipe, model.state, data, plan, criterion, n_threads=n_threads, **options)
    except NonFiniteError as event:
        raise _hopeless(estimator, model, data, event, options.get("monitor")) from event


def prepare_rows(model: Model, data: Data, batch_size: int) -> tuple[Data, IntArray | None]:
    """Return the rows to train on, and the number of copies that each stands for.

    In full batches equal rows are merged, unless dropout disables different units for each of them.
    """
    if batch_size < data.n_samples or any(model.architecture.dropout):
        return data.in_one_type(), None
    return merge_duplicates(data)


def refit(estimator: Any, model: Model, start: TrainingState, split: DataSplit, found: Result) -> Result:
    """Train from `start` on all rows for the best number of epochs, and return the result of both trainings.

    If the user interrupts it, the model is that of the first training.

    Parameters
    ----------
    estimator : BaseMLP
    model : Model
    start : TrainingState
        The state before the first training. Changed in place.
    split : DataSplit
    found : Result
        Of the first training.
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
        data, _ = prepare_rows(model, split.everything, batch_size)
        result = train(estimator, model, data, plan, Criterion(fallback=start.eval_params.vector.copy()))
        if result.reason == "non_finite":
            event = NonFiniteError(f"in the refit on all rows: {result.detail}")
            raise _hopeless(estimator, model, split.everything, event)
        if result.reason == "interrupted":
            model.state = first
            return replace(found, reason="interrupted")
        found = replace(found, engine=result.engine)
    start.plateau = first.plateau
    return found


def _hopeless(
    estimator: Any, model: Model, data: Data, event: NonFiniteError, monitor: Monitor | None = None
) -> DivergedError:
    """Return an error with scikit-learn's message, for a training that diverged too early to keep any weights."""
    diagnosis = diagnose_divergence(estimator, model, data, str(event), monitor)
    reason = f"{diagnosis[0].title}: {diagnosis[0].message}" if diagnosis else f"In detail: {event}."
    error = DivergedError(
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        f"preprocessed. {reason} {advice_on_divergence(estimator, model, data)} "
        "See the attribute diagnosis of this error."
    )
    error.diagnosis = diagnosis
    return error


def advice_on_divergence(estimator: Any, model: Model, data: Data) -> str:
    """Return advice on a training that diverged on these rows."""
    advice = (
        "Scale the input data, for example with a StandardScaler, or lower "
        f"learning_rate_init={estimator.learning_rate_init}."
    )
    if getattr(estimator, "standardize_target", True) or not model.loss.is_equivariant:
        return advice
    with np.errstate(over="ignore"):
        size = float(np.abs(data.y).max(initial=0.0))
    if size < LARGE_TARGET:
        return advice
    return f"The targets are as large as {size:.3g}: set standardize_target=True. {advice}"
