"""What a callback was told, and where that leads: the tracking store, the experiment, a run that is active."""

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

__all__ = ["ActiveRun", "Settings", "active_run"]


@dataclass(frozen=True)
class Settings:
    """The parameters of :class:`~skmlp.tracking.MLflowCallback`, checked.

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
    experiment_id: str | None = None

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
        """Return settings that name the store, experiment and folder that now count in this process.

        A worker process may have started before the user chose them. Without any choice the store stays None, for
        MLflow's default; MLflow is not imported to find that out.
        """
        mlflow: Any = sys.modules.get("mlflow")
        uri = self.tracking_uri or (mlflow.get_tracking_uri() if mlflow else os.environ.get("MLFLOW_TRACKING_URI"))
        experiment, experiment_id = self.experiment, self.experiment_id
        if experiment is None and experiment_id is None:
            # mlflow.set_experiment sets the first of them, too.
            experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
            experiment = None if experiment_id else os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
        spool = str(Path(self.spool).absolute())
        return replace(self, tracking_uri=uri or None, experiment=experiment, experiment_id=experiment_id, spool=spool)


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
