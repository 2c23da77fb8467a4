"""Logging of one skmlp fit to one MLflow run."""

from collections.abc import Callable, Mapping
from typing import Any

from skmlp.callbacks.tasks import Place
from skmlp.estimators.base import BaseMLP
from skmlp.tracking.describe import configuration, network_params, shape_params
from skmlp.tracking.journal import Log, Record, TrainingFiles, now
from skmlp.tracking.metrics import best_values, epoch_metrics, layer_metrics

__all__ = ["TrackedFit", "outcome_of"]


class TrackedFit:
    """The fit of one estimator. `put` is called with each record."""

    def __init__(
        self, put: Callable[[Record], None], run: str, place: Place, *, every_n_epochs: int, artifacts: bool
    ) -> None:
        self.put = put
        self.run = run
        self.place = place
        self.every_n_epochs = every_n_epochs
        self.artifacts = artifacts
        self._facts: dict[str, str] = {}
        self._logged_epoch = 0
        self._observed_epoch: Any = 0

    def begin(self, estimator: BaseMLP, X: Any) -> None:
        """Log a description of the network and the data."""
        self._facts = {**network_params(estimator), **shape_params(X)}
        # Outside a search, the run has the shape of the outermost estimator's data.
        self.put(Log(self.run, params=network_params(estimator) if self.place.role == "fit" else self._facts))

    def log_epoch(self, estimator: BaseMLP) -> None:
        """Log the epoch that ended, unless it was announced and never ran."""
        if estimator.n_iter_ != self._logged_epoch and (estimator.n_iter_ - 1) % self.every_n_epochs == 0:
            self._log(estimator)

    def _log(self, estimator: BaseMLP) -> None:
        metrics = epoch_metrics(estimator.history_)
        monitor = estimator.monitor_
        observed = monitor["epoch"][-1:]
        if observed.size and observed[0] != self._observed_epoch:
            self._observed_epoch = observed[0]
            metrics |= layer_metrics(monitor)
        self._logged_epoch = epoch = estimator.n_iter_
        time = now()
        self.put(Log(self.run, [[name, value, time, epoch] for name, value in metrics.items()]))

    def finish(self, estimator: BaseMLP) -> None:
        """Log the end of the fit: best values, the reason, files."""
        if self._logged_epoch < estimator.n_iter_:
            self._log(estimator)
        history, monitor = _rows_of_this_fit(estimator)
        metrics = {
            "n_iter": float(estimator.n_iter_),
            "fit_seconds": float(sum(history["seconds"])),
            **best_values(history),
        }
        tags: dict[str, str] = {"skmlp.stop_reason": estimator.stop_reason_}
        if estimator.stop_message_:
            tags["skmlp.stop_message"] = estimator.stop_message_
        if estimator.stop_reason_ == "non_finite":
            tags["skmlp.diverged_epoch"] = str(estimator.n_iter_)
        diagnosis = estimator.diagnose()
        warnings = diagnosis.at_least("warning")
        tags["skmlp.diagnosis"] = ", ".join(finding.code for finding in warnings) or "healthy"
        metrics["health/findings"] = float(len(warnings))
        time, epoch = now(), estimator.n_iter_
        self.put(Log(self.run, [[name, value, time, epoch] for name, value in metrics.items()], tags=tags))
        if self.artifacts:
            files = TrainingFiles(
                self.run,
                f"{type(estimator).__name__}: {self.place.path}",
                history,
                monitor,
                configuration=configuration(estimator, self._facts),
                facts=self._facts,
                diagnosis=diagnosis.to_dicts(),
                diagnosis_html=diagnosis._repr_html_(),
            )
            self.put(files)


def _rows_of_this_fit(estimator: BaseMLP) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Return history and monitor of the last fit, with epochs from 1; after a warm start there are earlier rows."""
    history: Mapping[str, list[Any]] = estimator.history_
    monitor: Mapping[str, Any] = estimator.monitor_
    n_epochs = max(1, estimator.n_iter_)
    before = max(0, len(history["loss"]) - n_epochs)
    recent = monitor["epoch"] > before
    observed = {name: column[recent] for name, column in monitor.items()}
    observed["epoch"] -= before
    columns = {name: column[-n_epochs:] for name, column in history.items()}
    return columns, {name: column.tolist() for name, column in observed.items()}


def outcome_of(estimator: BaseMLP | None, error: BaseException | None) -> tuple[str, dict[str, str]]:
    """Return the status of a run that ends, and tags with the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", {"skmlp.error": "interrupted by the user"}
    if error is not None:
        return "FAILED", {"skmlp.error": f"{type(error).__name__}: {error}"}
    if estimator is not None and estimator.stop_reason_ == "interrupted":
        return "KILLED", {"skmlp.error": "training interrupted by the user; the weights so far were kept"}
    return "FINISHED", {}
