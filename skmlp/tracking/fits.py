"""Logging of one skmlp fit to one MLflow run."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from skmlp.callbacks.tasks import Place
from skmlp.estimators.tabular import AnyMLP, BaseTabularMLP
from skmlp.tracking.describe import configuration, member_params, network_params, readable, shape_params
from skmlp.tracking.journal import Log, Record, TrainingFiles, now
from skmlp.tracking.metrics import best_values, epoch_metrics, layer_metrics, mean_of_last

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

    def begin(self, estimator: AnyMLP, X: Any) -> None:
        """Log a description of the network and the data."""
        self._facts = {**network_params(estimator), **shape_params(X)}
        # Outside a search, the run has the shape of the outermost estimator's data.
        facts = network_params(estimator) if self.place.role == "fit" else self._facts
        self.put(Log(self.run, params={**facts, **member_params(estimator)}))

    def log_epoch(self, estimator: AnyMLP) -> None:
        """Log the epoch that ended, unless it was announced and never ran."""
        if estimator.n_iter_ != self._logged_epoch and (estimator.n_iter_ - 1) % self.every_n_epochs == 0:
            self._log(estimator)

    def _log(self, estimator: AnyMLP) -> None:
        metrics = epoch_metrics(estimator.history_)
        if isinstance(estimator, BaseTabularMLP):
            monitor = mean_of_last([member.monitor_ for member in estimator.estimators_])
        else:
            monitor = estimator.monitor_
        observed = monitor["epoch"][-1:]
        if observed.size and observed[0] != self._observed_epoch:
            self._observed_epoch = observed[0]
            metrics |= layer_metrics(monitor)
        self._logged_epoch = epoch = estimator.n_iter_
        time = now()
        self.put(Log(self.run, [[name, value, time, epoch] for name, value in metrics.items()]))

    def finish(self, estimator: AnyMLP) -> None:
        """Log the end of the fit: best values, the reason, files."""
        if self._logged_epoch < estimator.n_iter_:
            self._log(estimator)
        history, monitor = _rows_of_this_fit(estimator)
        metrics = {
            "n_iter": float(estimator.n_iter_),
            "fit_seconds": float(sum(history["seconds"])),
            **best_values(history),
            **_member_metrics(estimator),
        }
        tags: dict[str, str] = {"skmlp.stop_reason": estimator.stop_reason_}
        if message := getattr(estimator, "stop_message_", ""):
            tags["skmlp.stop_message"] = message
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
                **_files_of_members(estimator),
            )
            self.put(files)


def _rows_of_this_fit(estimator: AnyMLP) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
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


def _member_metrics(estimator: AnyMLP) -> dict[str, float]:
    """Return the number of members that were trained and how they score on the validation data."""
    if not isinstance(estimator, BaseTabularMLP):
        return {}
    metrics = {"members/n_trained": float(len(estimator.members_))}
    scores = [score for each in estimator.members_ if math.isfinite(score := each["score"])]
    if scores:
        metrics |= {"members/lowest_score": min(scores), "members/highest_score": max(scores)}
        metrics["members/median_score"] = float(np.median(scores))
    return metrics


def _files_of_members(estimator: AnyMLP) -> dict[str, Any]:
    """Return the table of the members, and their losses."""
    if not isinstance(estimator, BaseTabularMLP):
        return {}
    columns = ["member", *estimator.members_[0]]
    rows = [[number, *map(_number_or_text, each.values())] for number, each in enumerate(estimator.members_)]
    histories = [member.history_ for member in estimator.estimators_]
    losses = [name for name in ("train_loss", "validation_loss") if name in histories[0]]
    return {
        "tables": {"members": {"columns": columns, "rows": rows}},
        "members": [{name: history[name] for name in losses} for history in histories],
    }


def _number_or_text(value: Any) -> Any:
    return value if isinstance(value, int | float) else readable(value)


def outcome_of(estimator: AnyMLP | None, error: BaseException | None) -> tuple[str, dict[str, str]]:
    """Return the status of a run that ends, and tags with the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", {"skmlp.error": "interrupted by the user"}
    if error is not None:
        return "FAILED", {"skmlp.error": f"{type(error).__name__}: {error}"}
    if estimator is not None and estimator.stop_reason_ == "interrupted":
        return "KILLED", {"skmlp.error": "training interrupted by the user; the weights so far were kept"}
    return "FINISHED", {}
