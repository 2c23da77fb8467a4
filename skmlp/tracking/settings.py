"""What a callback was told, and where that leads: the tracking store, the experiment, a run that is active."""

import functools
import os
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

__all__ = ["ActiveRun", "Settings", "active_run", "chosen_experiment"]


@dataclass(frozen=True)
class Settings:
    """The parameters of :class:`~skmlp.tracking.MLflowCallback`, checked, and what they lead to once resolved.

    Attributes
    ----------
    experiment_id : str or None
        Where no experiment has a name: the ID of the one that MLflow chose.
    named_run : str or None
        MLflow's ID of the run that ``MLFLOW_RUN_ID`` names.
    is_resolved : bool
        Whether another process, perhaps, has resolved them, whose choices count.

    Raises
    ------
    ValueError
        When one is out of its range.
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
        def refuse(name: str, rule: str) -> None:
            raise ValueError(
                f"The {name!r} parameter of MLflowCallback must be {rule}. Got {getattr(self, name)!r} instead."
            )

        if isinstance(self.every_n_epochs, bool) or not isinstance(self.every_n_epochs, int) or self.every_n_epochs < 1:
            refuse("every_n_epochs", "an int in the range [1, inf)")
        is_number = isinstance(self.child_runs, int) and not isinstance(self.child_runs, bool) and self.child_runs >= 0
        if not (is_number or self.child_runs in ("auto", "all", "none")):
            refuse("child_runs", "a str among {'all', 'auto', 'none'} or an int in the range [0, inf)")
        if self.on_error not in ("warn", "raise", "ignore"):
            refuse("on_error", "a str among {'ignore', 'raise', 'warn'}")
        if isinstance(self.close_timeout, bool) or not self.close_timeout > 0:
            refuse("close_timeout", "a number of seconds in the range (0, inf)")

    @property
    def most_child_runs(self) -> float:
        """How many fits a search may have for each to get a run of its own."""
        if isinstance(self.child_runs, int):
            return self.child_runs
        return {"auto": 50, "all": float("inf"), "none": 0}[self.child_runs]

    def resolved(self) -> "Settings":
        """Return settings that name the store, experiment, run and folder that now count in this process.

        A worker process may have started before the user chose them. Without any choice the store stays None, for
        MLflow's default; MLflow is not imported to find that out.
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
                experiment = None  # a run that is there has one; only that of the user's own has to be the same
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
    """Return the store that the user has chosen for MLflow; None without a choice."""
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def chosen_experiment(*, elsewhere: bool) -> tuple[str | None, str | None]:
    """Return name or ID of the experiment that MLflow would use, without asking the store.

    MLflow's order: ``mlflow.set_experiment``, the name and then the ID in the environment, the providers of default
    experiments that are installed, the store's first experiment.

    Parameters
    ----------
    elsewhere : bool
        For another store than MLflow's own one, where IDs mean something else.
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
    """Ask the providers of default experiments; MLflow is only imported for it where there may be one."""
    if "mlflow" not in sys.modules and not _has_provider() and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return None
    from mlflow.tracking.default_experiment import DEFAULT_EXPERIMENT_ID
    from mlflow.tracking.default_experiment.registry import get_experiment_id

    provided: str | None = get_experiment_id()
    return None if provided == DEFAULT_EXPERIMENT_ID else provided


@functools.cache
def _has_provider() -> bool:
    return bool(entry_points(group="mlflow.default_experiment_provider"))


@dataclass(frozen=True)
class ActiveRun:
    """A run that the user, or an automatic logging, has started in this thread."""

    run_id: str
    experiment_id: str
    by_autologging: bool


def active_run(settings: Settings) -> ActiveRun | None:
    """Return the active run to log into, unless the settings lead elsewhere."""
    mlflow: Any = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow is not None else None
    if run is None or (settings.tracking_uri is not None and settings.tracking_uri != mlflow.get_tracking_uri()):
        return None
    if settings.experiment is not None:
        experiment = mlflow.get_experiment(run.info.experiment_id)
        if experiment.name != settings.experiment:
            return None
    return ActiveRun(run.info.run_id, run.info.experiment_id, "mlflow.autologging" in run.data.tags)
