"""The callback that tells MLflow about every fit below the estimator it is set on."""

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
    grid, results and best values, and with a nested run for every fold and the refit, also from worker processes. A
    run that is active, or that the environment variable ``MLFLOW_RUN_ID`` names, receives the first fit; later fits
    are nested runs. An `experiment` other than the run's has precedence. Values travel through a buffer of this
    process and a thread of its own, so that neither a slow store nor one that is away changes the fit. Several
    callbacks, for several stores, each log the whole fit.

    Parameters
    ----------
    experiment : str, optional
        Name of the experiment, made if there is none. By default the one that MLflow would use: that of
        ``mlflow.set_experiment``, of its environment variables or of a plugin of it, else ``"Default"``.
    run_name : str, optional
        Name of the outermost run. By default the estimator's class.
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

    # scikit-learn hands the callback down to all estimators inside.
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
