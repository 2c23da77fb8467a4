"""The settings of a callback, and the store, experiment and run that follow from them."""

import functools
import os
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from sklearn.utils._param_validation import StrOptions

from skmlp.estimators.parameter_checks import Number, check_argument

__all__ = ["Settings", "active_run", "chosen_experiment"]


@dataclass(frozen=True)
class Settings:
    """The parameters of :class:`~skmlp.tracking.MLflowCallback`, and where they lead once resolved.

    Attributes
    ----------
    experiment_id : str or None
        ID of the experiment that MLflow chose, if its name is not known.
    named_run : str or None
        The run named by ``MLFLOW_RUN_ID``.
    is_resolved : bool
        Whether the settings are resolved, perhaps by another process.
    """

    experiment: str | None = None
    run_name: str | None = None
    tracking_uri: str | None = None
    every_n_epochs: int = 1
    monitor: bool = True
    child_runs: Literal["auto", "all", "none"] | int = "auto"
    artifacts: bool = True
    log_model: bool = False
    log_dataset: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    on_error: Literal["warn", "raise", "ignore"] = "warn"
    spool: str = "skmlp-mlflow-spool"
    close_timeout: float = 30.0
    experiment_id: str | None = field(default=None, repr=False)
    named_run: str | None = field(default=None, repr=False)
    is_resolved: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        constraints = {
            "every_n_epochs": [Number(Integral, 1, None, closed="left")],
            "child_runs": [StrOptions({"auto", "all", "none"}), Number(Integral, 0, None, closed="left")],
            "on_error": [StrOptions({"warn", "raise", "ignore"})],
            "close_timeout": [Number(Real, 0, float("inf"), closed="right")],
        }
        for name, allowed in constraints.items():
            check_argument("MLflowCallback", name, getattr(self, name), *allowed)

    @property
    def max_child_runs(self) -> float:
        """The largest number of fits of a search for which each has its own run."""
        if not isinstance(self.child_runs, str):
            return self.child_runs
        return {"auto": 50, "all": float("inf"), "none": 0}[self.child_runs]

    def resolved(self) -> "Settings":
        """Return settings with the store, experiment, run and folder that are current in this process.

        A worker process may have started before the user chose them. If no store is chosen, it stays None, for MLflow's
        default; MLflow is not imported for that.
        """
        if self.is_resolved:
            return self
        current = _chosen_uri()
        mlflow: Any = sys.modules.get("mlflow")
        uri = self.tracking_uri or current or (mlflow.get_tracking_uri() if mlflow is not None else None)
        elsewhere = current is not None and uri != current
        named_run = None if elsewhere else os.environ.get("MLFLOW_RUN_ID") or None
        experiment, experiment_id = self.experiment, None
        if experiment is None:
            experiment, experiment_id = chosen_experiment(elsewhere=elsewhere)
            if named_run is not None:
                experiment = None  # the run has one; only an explicit experiment must match it
        return replace(
            self,
            tracking_uri=uri,
            experiment=experiment,
            experiment_id=experiment_id,
            named_run=named_run,
            spool=str(Path(self.spool).absolute()),
            is_resolved=True,
        )


def _chosen_uri() -> str | None:
    """Return the store that the user has chosen in MLflow, or None."""
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def chosen_experiment(*, elsewhere: bool) -> tuple[str | None, str | None]:
    """Return name or ID of MLflow's current experiment, without a call to the store.

    In MLflow's order: ``mlflow.set_experiment``, the name and then the ID in the environment, installed providers of
    default experiments, the first experiment of the store. IDs do not apply `elsewhere`: in another store than MLflow's
    current one.
    """
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None and not elsewhere and (active := mlflow.tracking.fluent._active_experiment_id):
        return None, str(active)
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        return name, None
    experiment_id = None
    if not elsewhere:
        experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID") or _provided_experiment()
    return (None, experiment_id) if experiment_id else ("Default", None)


def _provided_experiment() -> str | None:
    """Ask the providers of default experiments; import MLflow only if there may be one."""
    if "mlflow" not in sys.modules and not _has_provider() and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return None
    from mlflow.tracking.default_experiment import DEFAULT_EXPERIMENT_ID
    from mlflow.tracking.default_experiment.registry import get_experiment_id

    provided: str | None = get_experiment_id()
    return None if provided == DEFAULT_EXPERIMENT_ID else provided


@functools.cache
def _has_provider() -> bool:
    return bool(entry_points(group="mlflow.default_experiment_provider"))


def active_run(settings: Settings) -> Any:
    """Return the active MLflow run, or None if there is none or the settings name another store or experiment."""
    mlflow: Any = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow is not None else None
    if run is None or (settings.tracking_uri is not None and settings.tracking_uri != mlflow.get_tracking_uri()):
        return None
    if settings.experiment is not None:
        experiment = mlflow.get_experiment(run.info.experiment_id)
        if experiment.name != settings.experiment:
            return None
    return run
