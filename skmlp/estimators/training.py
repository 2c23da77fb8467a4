"""How an estimator has its model trained: by the solver that was chosen, and once more on all rows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from skmlp._typing import IntArray
from skmlp.diagnosis import DivergedError
from skmlp.estimators.builders import batch_rows, build_objective
from skmlp.estimators.health import diagnose_divergence
from skmlp.estimators.holdout import Parts
from skmlp.estimators.state import Model
from skmlp.training.batches import Data, merge_duplicates
from skmlp.training.events import NonFiniteError, Result
from skmlp.training.monitor import Monitor
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.stopping import Plateau
from skmlp.training.threads import threads_for
from skmlp.training.trainer import TrainingState

__all__ = ["advice_on_divergence", "prepare_rows", "refit", "train"]

# Targets from this size on may be why a training diverged.
LARGE_TARGET = 1000.0


def train(estimator: Any, model: Model, data: Data, *, batch_size: int, max_epochs: int, **options: Any) -> Result:
    """Train the model by the estimator's solver.

    Parameters
    ----------
    estimator : BaseMLP
    model : Model
        Its state is changed in place.
    data : Data
    batch_size : int
        Not used by L-BFGS.
    max_epochs : int
    **options
        Of :meth:`skmlp.training.trainer.Trainer.run`; L-BFGS has no use for some.

    Raises
    ------
    DivergedError
        scikit-learn's ValueError, when training diverged before there were weights worth keeping.
    """
    lbfgs = estimator.solver == "lbfgs"
    try:
        n_rows = data.n_samples if lbfgs else min(batch_size, data.n_samples)
        with threads_for(model.network, n_rows) as n_threads:
            if lbfgs:
                return _run_lbfgs(estimator, model, data, max_epochs, **options)
            assert model.trainer is not None
            return model.trainer.run(
                model.state,
                data,
                batch_size=batch_size,
                max_epochs=max_epochs,
                shuffle=estimator.shuffle,
                n_threads=n_threads,
                **options,
            )
    except NonFiniteError as event:
        raise _hopeless(estimator, model, data, event, options.get("monitor")) from event


def prepare_rows(model: Model, data: Data, batch_size: int) -> tuple[Data, IntArray | None]:
    """Return rows as they are trained on, and how many copies each stands for.

    In full batches equal rows are merged, unless dropout is to leave out other units for each of them.
    """
    if batch_size < data.n_samples or any(model.architecture.dropout):
        return data.in_one_type(), None
    return merge_duplicates(data)


def refit(estimator: Any, model: Model, start: TrainingState, parts: Parts, found: Result) -> Result:
    """Train from `start` on all rows, for as many epochs as were best, and return what to say of both trainings.

    When the user interrupts it, the model is what the first training left.

    Parameters
    ----------
    estimator : BaseMLP
    model : Model
    start : TrainingState
        What the first training started from. Changed in place.
    parts : Parts
    found : Result
        Of the first training.
    """
    assert parts.everything is not None
    first = model.state
    model.state = start
    start.plateau = Plateau(0.0, math.inf)
    if found.best_epoch > 0:
        n_samples = parts.everything.n_samples
        batch_size = batch_rows(estimator, n_samples)
        result = train(
            estimator,
            model,
            prepare_rows(model, parts.everything, batch_size)[0],
            batch_size=batch_size,
            max_epochs=found.best_epoch,
            length=estimator.max_iter,  # schedules are those of the first training
            keep_start=True,
            samples_per_epoch=n_samples,
        )
        if result.reason == "non_finite":
            event = NonFiniteError(f"in the refit on all rows: {result.detail}")
            raise _hopeless(estimator, model, parts.everything, event)
        if result.reason == "interrupted":
            model.state = first
            return replace(found, reason="interrupted")
        found = replace(found, engine=result.engine)
    start.plateau = first.plateau
    return found


def _run_lbfgs(
    estimator: Any,
    model: Model,
    data: Data,
    max_iter: int,
    *,
    early_stopping: bool = False,
    length: int | None = None,
    keep_start: bool = False,
    samples_per_epoch: int | None = None,
    **options: Any,
) -> Result:
    """Leave out what L-BFGS has no use for."""
    result = run_lbfgs(
        build_objective(estimator, model.network, model.loss),
        model.params,
        data,
        max_iter=max_iter,
        max_fun=estimator.max_fun,
        tol=estimator.tol,
        early_stopping=model.state.plateau if early_stopping else None,
        **options,
    )
    return replace(result, engine="numpy: solver='lbfgs'")


def _hopeless(
    estimator: Any, model: Model, data: Data, event: NonFiniteError, monitor: Monitor | None = None
) -> DivergedError:
    """Return scikit-learn's error for a training that diverged before there were weights worth keeping."""
    diagnosis = diagnose_divergence(estimator, model, data, str(event), monitor)
    told = f"{diagnosis[0].title}: {diagnosis[0].message}" if diagnosis else f"Precisely: {event}."
    error = DivergedError(
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        f"preprocessed. {told} {advice_on_divergence(estimator, model, data)} "
        "The attribute diagnosis of this error tells more."
    )
    error.diagnosis = diagnosis
    return error


def advice_on_divergence(estimator: Any, model: Model, data: Data) -> str:
    """Return what to do about a training that diverged on these rows."""
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
