"""How an estimator has its model trained: by the solver that was chosen, and once more on all rows."""

import math
from dataclasses import replace
from typing import Any

from skmlp.estimators.builders import build_objective
from skmlp.estimators.holdout import Parts
from skmlp.estimators.state import Model
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError, Result
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.stopping import Plateau
from skmlp.training.threads import threads_for
from skmlp.training.trainer import TrainingState

__all__ = ["refit", "train"]


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
    ValueError
        scikit-learn's, when training diverged before there were weights worth keeping.
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
        raise _hopeless(estimator, event) from event


def refit(
    estimator: Any, model: Model, start: TrainingState, parts: Parts, found: Result, *, batch_size: int
) -> Result:
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
    batch_size : int
    """
    first = model.state
    model.state = start
    start.plateau = Plateau(0.0, math.inf)
    if found.best_epoch > 0:
        result = train(
            estimator,
            model,
            parts.everything,
            batch_size=batch_size,
            max_epochs=found.best_epoch,
            length=estimator.max_iter,  # schedules are those of the first training
            keep_start=True,
            samples_per_epoch=parts.n_everything,
        )
        if result.reason == "non_finite":
            raise _hopeless(estimator, NonFiniteError(f"in the refit on all rows: {result.detail}"))
        if result.reason == "interrupted":
            model.state = first
            return replace(found, reason="interrupted")
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
    return run_lbfgs(
        build_objective(estimator, model.network, model.loss),
        model.params,
        data,
        max_iter=max_iter,
        max_fun=estimator.max_fun,
        tol=estimator.tol,
        early_stopping=model.state.plateau if early_stopping else None,
        **options,
    )


def _hopeless(estimator: Any, event: NonFiniteError) -> ValueError:
    """Return scikit-learn's error for a training that diverged before there were weights worth keeping."""
    return ValueError(
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        f"preprocessed. Precisely: {event}. Scale the data, for example with a StandardScaler, or lower "
        f"learning_rate_init={estimator.learning_rate_init}."
    )
