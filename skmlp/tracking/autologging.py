"""Tracking without touching an estimator: one line at the top of a notebook."""

import functools
import os
from collections.abc import Mapping
from typing import Any, Literal

from sklearn.callback import CallbackSupportMixin

from skmlp.estimators.base import BaseMLP
from skmlp.tracking.callback import MLflowCallback
from skmlp.tracking.hooks import TrackingHooks

__all__ = ["autolog"]

# scikit-learn's method that begins every fit of an estimator with callbacks, while it is wrapped.
_original: Any = None


class _AutoCallback(MLflowCallback):
    """Set on an estimator when its fit begins, and gone when it has ended."""

    def teardown(self, estimator: Any, context: Any) -> None:
        kept = [callback for callback in estimator._skl_callbacks if callback is not self]
        CallbackSupportMixin.set_callbacks(estimator, *kept)
        super().teardown(estimator, context)


def autolog(
    experiment: str | None = None,
    run_name: str | None = None,
    *,
    disable: bool = False,
    tracking_uri: str | None = None,
    every_n_epochs: int = 1,
    monitor: bool = True,
    child_runs: Literal["auto", "all", "none"] | int = "auto",
    artifacts: bool = True,
    log_model: bool = False,
    log_dataset: bool = True,
    tags: Mapping[str, str] | None = None,
    on_error: Literal["warn", "raise", "ignore"] = "warn",
    spool: str | os.PathLike[str] = "skmlp-mlflow-spool",
    close_timeout: float = 30.0,
) -> None:
    """Track every fit of an skmlp estimator from now on: alone, in pipelines and in searches.

    The outermost estimator of each fit gets an :class:`MLflowCallback` for the time of the fit, unless it or the
    estimator inside has one. Calling again changes the settings.

    ``mlflow.sklearn.autolog()`` may be on as well: what happens in a run that it has started is logged into that run.
    Functions such as ``cross_val_score`` with worker processes are not reached; set a callback on the estimator there.

    Parameters
    ----------
    experiment : str, optional
        Name of the experiment, made if there is none. By default the one that MLflow would use: that of
        ``mlflow.set_experiment``, of its environment variables or of a plugin of it, else ``"Default"``.
    run_name : str, optional
        Name of the outermost run. By default the estimator's class.
    disable : bool, default=False
        Stop tracking.
    tracking_uri : str, optional
        The store. By default ``mlflow.get_tracking_uri()``: without any choice, a SQLite file in the working folder.
    every_n_epochs : int, default=1
        Metrics of every n-th epoch, and of the last one. Fewer make searches over small networks faster, whose
        epochs take less time than MLflow needs to store them.
    monitor : bool, default=True
        Have the layers' statistics computed (see the estimators' `monitor`), and log them.
    child_runs : {"auto", "all", "none"} or int, default="auto"
        How many fits a search (an iteration of a halving search) may have for each to get a run of its own, "auto"
        being 50; with more there is only the refit's. The table of results has them all.
    artifacts : bool, default=True
        Store the history as table and CSV, the configuration, figures, and a page with all curves and the layers'
        gradients, for the runs that are not folds.
    log_model : bool, default=False
        Store the fitted outermost estimator, see :func:`log_model`.
    log_dataset : bool, default=True
        Describe the training data: names and types of columns, shape, and a digest of some rows.
    tags : dict of str, optional
        Tags for all runs.
    on_error : {"warn", "raise", "ignore"}, default="warn"
        What to do at the end of a fit of which MLflow did not get everything. The estimator is fitted in any case.
    spool : str or path, default="skmlp-mlflow-spool"
        Folder for what could not be sent; ``python -m skmlp.tracking replay FOLDER`` sends it.
    close_timeout : float, default=30.0
        Seconds to wait at the end of a fit for the store to take what is left. One that does not answer is given up
        within a few seconds.

    Raises
    ------
    ModuleNotFoundError
        Without mlflow.
    ValueError
        When a parameter is out of its range.

    Examples
    --------
    >>> import skmlp.tracking
    >>> skmlp.tracking.autolog("churn")
    >>> skmlp.tracking.autolog(disable=True)
    """
    global _original
    callback_of_this_call = functools.partial(
        _AutoCallback,
        experiment=experiment,
        run_name=run_name,
        tracking_uri=tracking_uri,
        every_n_epochs=every_n_epochs,
        monitor=monitor,
        child_runs=child_runs,
        artifacts=artifacts,
        log_model=log_model,
        log_dataset=log_dataset,
        tags=tags,
        on_error=on_error,
        spool=spool,
        close_timeout=close_timeout,
    )
    if not disable:
        callback_of_this_call()  # wrong settings are told here, not in the next fit
    if _original is not None:
        CallbackSupportMixin._init_callback_context = _original
        _original = None
    if disable:
        return
    begin_fit = _original = CallbackSupportMixin._init_callback_context

    @functools.wraps(begin_fit)
    def with_tracking(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        is_outermost = not hasattr(estimator, "_parent_callback_ctx")
        if is_outermost and _contains_untracked_network(estimator):
            others = getattr(estimator, "_skl_callbacks", ())
            # Not through the estimator's own method: it would make the callback one for inner places.
            CallbackSupportMixin.set_callbacks(estimator, *others, callback_of_this_call())
        return begin_fit(estimator, *args, **kwargs)

    CallbackSupportMixin._init_callback_context = with_tracking


def _contains_untracked_network(estimator: Any) -> bool:
    """Tell whether there is an skmlp estimator inside, and no tracking callback anywhere."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    tracked = any(isinstance(each, TrackingHooks) for part in parts for each in getattr(part, "_skl_callbacks", ()))
    return not tracked and any(isinstance(part, BaseMLP) for part in parts)
