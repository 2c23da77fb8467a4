"""The callback that logs fits to MLflow."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from skmlp.tracking.hooks import TrackingHooks
from skmlp.tracking.settings import Settings

__all__ = ["MLflowCallback"]


class MLflowCallback(TrackingHooks):
    """Log every fit of an skmlp estimator to MLflow, epoch by epoch.

    For ``set_callbacks`` of the outermost estimator - a :class:`~sklearn.pipeline.Pipeline`, a search, or the skmlp
    estimator itself - or of an skmlp estimator inside one. A fit or pipeline is one run; a search is a run with its
    grid, results and best values, and with a nested run for every fold and the refit, also from worker processes. The
    first fit is logged into the active run, or the one that the environment variable ``MLFLOW_RUN_ID`` names, and later
    fits into runs nested in it, unless `experiment` is another one. A buffer and a separate thread ensure that a slow
    or unreachable store does not affect the fit. Several callbacks, for several stores, each log the whole fit.

    Parameters
    ----------
    experiment : str, optional
        Name of the experiment, which is created if needed. By default MLflow's current one, set by
        ``mlflow.set_experiment``, environment variables or a plugin, else ``"Default"``.
    run_name : str, optional
        Name of the outermost run; by default the class of the estimator.
    tracking_uri : str, optional
        The store; by default ``mlflow.get_tracking_uri()``, which is a SQLite file in the working folder if not set.
    every_n_epochs : int, default=1
        Log metrics of every n-th epoch, and of the last one. Larger values speed up searches over small networks, whose
        epochs take less time than storing their metrics.
    monitor : bool, default=True
        Compute and log statistics of the layers (see the estimators' `monitor`).
    child_runs : {"auto", "all", "none"} or int, default="auto"
        The largest number of fits of a search (of an iteration of a halving search) for which each fit has its own run;
        "auto" is 50. With more fits, only the refit has one; the table of results contains all.
    artifacts : bool, default=True
        Store the history as table and CSV, the configuration, figures and an HTML report, except for folds.
    log_model : bool, default=False
        Store the fitted outermost estimator with :func:`log_model`.
    log_dataset : bool, default=True
        Log a description of the training data: columns with types, shape, and a digest of some rows.
    tags : dict of str, optional
        Tags for all runs.
    on_error : {"warn", "raise", "ignore"}, default="warn"
        What to do at the end of a fit if something could not be logged. The estimator is fitted in any case.
    spool : str or path, default="skmlp-mlflow-spool"
        Folder for records that could not be sent; ``python -m skmlp.tracking replay FOLDER`` sends them.
    close_timeout : float, default=30.0
        Seconds to wait at the end of a fit until the remaining records are sent. An unreachable store is given up
        within a few seconds.

    Raises
    ------
    ModuleNotFoundError
        When mlflow is not installed.
    ValueError
        When a parameter is invalid.

    See Also
    --------
    autolog : Track every fit without touching the estimators.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier
    >>> from skmlp.tracking import MLflowCallback
    >>> pipeline = make_pipeline(StandardScaler(), MLPClassifier())
    >>> search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, n_jobs=2)
    >>> search.set_callbacks(MLflowCallback(experiment="alpha"))  # doctest: +SKIP
    >>> search.fit(X, y)  # doctest: +SKIP
    """

    # With this attribute, scikit-learn propagates the callback to all inner estimators.
    max_propagation_depth = None

    def __init__(
        self,
        experiment: str | None = None,
        run_name: str | None = None,
        *,
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
        if find_spec("mlflow") is None:
            raise ModuleNotFoundError("MLflowCallback needs mlflow: pip install 'skmlp[mlflow]'.", name="mlflow")
        super().__init__(
            Settings(
                experiment=experiment,
                run_name=run_name,
                tracking_uri=tracking_uri,
                every_n_epochs=every_n_epochs,
                monitor=monitor,
                child_runs=child_runs,
                artifacts=artifacts,
                log_model=log_model,
                log_dataset=log_dataset,
                tags={str(name): str(value) for name, value in (tags or {}).items()},
                on_error=on_error,
                spool=os.fspath(spool),
                close_timeout=close_timeout,
            )
        )
