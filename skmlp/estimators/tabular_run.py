"""The training of the members of a tabular estimator: what is recorded of every epoch, judged, kept and published."""

from collections.abc import Mapping
from math import nan
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer

from skmlp._typing import FloatArray
from skmlp.diagnosis import DivergedError
from skmlp.estimators import tabular_health
from skmlp.estimators.holdout import DataSplit, safe_score, takes_weight
from skmlp.estimators.model import Model
from skmlp.estimators.records import publish_end, record_epoch
from skmlp.estimators.reporting import EpochTasks, warn_about, warn_caller
from skmlp.estimators.tabular_stopping import PauseChooser, losses_of_all
from skmlp.estimators.targets import Targets
from skmlp.training.batches import Data
from skmlp.training.ensemble import Outcome
from skmlp.training.events import NonFiniteError, Result, Row, StopReason
from skmlp.training.history import append_row, empty_history
from skmlp.training.loop import Training
from skmlp.training.monitor import Monitor

__all__ = ["Member", "Outputs", "Run"]


class Member(NamedTuple):
    """A member in training, with its group, and the rows that the group holds out."""

    estimator: Any
    model: Model
    training: Training
    monitor: Monitor | None
    outputs: "Outputs"
    group: int
    held_out: Data | None


class Outputs:
    """What a member predicted for the validation data after its last epoch."""

    raw: FloatArray | None = None
    score: float = nan


class Run:
    """The training of all members: what is recorded and published."""

    def __init__(
        self, estimator: Any, members: list[Member], split: DataSplit, targets: Targets, tasks: EpochTasks
    ) -> None:
        self._estimator, self._members, self._targets, self._tasks = estimator, members, targets, tasks
        self._held_out = split.held_out
        self._n_samples = split.training.n_samples
        self._score = _score_of_mean(estimator, split, targets)
        self._errors: dict[int, NonFiniteError] = {}
        self._n_rounds = 0
        self._data = split.training
        self._began = self._epoch_began = perf_counter()
        self._pauses = _common_pauses(members) if estimator.early_stopping else []
        self._chooser = PauseChooser()
        self._kept: dict[int, FloatArray] = {}  # the parameters of the members at the best pause so far
        self._loss = estimator._loss_of_mean()
        estimator.history_ = empty_history(validation=self._held_out is not None)
        if self._held_out is not None:
            estimator.history_["best_member_score"] = []
        estimator.estimators_ = [member.estimator for member in members]
        estimator.members_ = []
        estimator._left_out, estimator._data_summary = [], {}
        estimator._n_validated = 0 if self._held_out is None else self._held_out.n_samples
        estimator._pauses = []
        estimator.n_iter_ = 0

    def on_round(self, outcomes: Mapping[int, Outcome], is_last: bool) -> StopReason | None:
        """Record an epoch of the members; return why to stop, if there is a reason."""
        self._n_rounds += 1
        rows: list[Row] = []
        for index, outcome in outcomes.items():
            member = self._members[index]
            if isinstance(outcome, NonFiniteError):
                self._errors[index] = outcome
            elif outcome is not None:
                record_epoch(member.estimator, outcome, member.monitor)
                if member.training.reason != "non_finite":
                    rows.append(outcome)
        if not rows:
            return None
        estimator = self._estimator
        estimator.n_iter_ += 1
        estimator.estimators_ = [member.estimator for member in self._alive()]
        now = perf_counter()
        row = _mean_row(rows) | {"seconds": now - self._epoch_began}
        row["samples_per_second"] = len(rows) * self._n_samples / max(row["seconds"], 1e-9)
        self._epoch_began = now
        if self._held_out is not None:
            row |= self._validate()
        is_over = self._judge_pause(row)
        append_row(estimator.history_, row)
        if estimator.verbose:
            self._print(row, now - self._began)
        if self._tasks.end_epoch(is_last=is_last or is_over):
            return "callback"
        return "converged" if is_over else None

    def _judge_pause(self, row: Row) -> bool:
        """If this is the best pause of the schedule so far, keep the weights; tell whether to look no further."""
        alive = self._alive()
        progress = min(member.training.clock.progress for member in alive)
        if not self._pauses or progress < self._pauses[0] - 1e-9:
            return False
        self._pauses = [pause for pause in self._pauses if progress < pause - 1e-9]
        losses, weight = self._held_out_losses(alive)
        if losses is None:
            return False
        loss = float(np.average(losses, weights=weight))
        self._estimator._pauses.append([self._estimator.n_iter_, loss])
        if self._held_out is None:
            row["held_out_loss"] = loss
        self._chooser.judge(losses, weight)
        if self._chooser.is_best:
            self._kept = {id(member): member.model.params.vector.copy() for member in alive}
            self._estimator.best_n_iter_ = self._estimator.n_iter_
        return self._chooser.is_over

    def _held_out_losses(self, alive: list[Member]) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the losses of held-out rows and the weights of the rows; None if there are no such rows.

        Of the user's validation data they are those of the mean of the members; of the rows that a group of members
        holds out, what those of the mean of all would be.
        """
        data = self._held_out
        if data is not None:
            raw = self._estimator._mean_raw([member.outputs.raw for member in alive])
            return self._loss.loss(data.y, raw), data.sample_weight
        losses, weights = [], []
        for group in dict.fromkeys(member.group for member in alive):
            members = [member for member in alive if member.group == group]
            own = members[0].held_out
            if own is None:
                return None, None
            raws = [member.model.network.predict(member.model.params, own.X) for member in members]
            of_one = np.mean([self._loss.loss(own.y, raw) for raw in raws], axis=0)
            of_group = self._loss.loss(own.y, self._estimator._mean_raw(raws))
            losses.append(losses_of_all(of_one, of_group, len(members), len(alive)))
            weights.append(np.ones(own.n_samples) if own.sample_weight is None else own.sample_weight)
        return np.concatenate(losses), np.concatenate(weights)

    def finish(self) -> None:
        """Publish the members that were trained, or raise the error of a fit that leaves none."""
        estimator = self._estimator
        if self._n_rounds == 1 and any(member.training.reason == "interrupted" for member in self._members):
            raise KeyboardInterrupt
        self._finished: list[Member] = []
        reasons: list[StopReason] = []
        estimator.members_, engines = [], []
        for index, member in enumerate(self._members):
            if index in self._errors or member.training.n_epochs == 0:
                continue
            result = member.training.finish()
            member.model.state.reset_params(self._kept.get(id(member)))
            publish_end(member.estimator, result, validation=self._held_out is not None)
            reasons.append(result.reason)
            engines.append(result.engine)
            self._finished.append(member)
            estimator.members_.append(self._describe(member, result))
        if not self._finished:
            raise self._divergence()
        estimator.estimators_ = [member.estimator for member in self._finished]
        estimator.stop_reason_ = next((each for each in _BY_IMPORTANCE if each in reasons), reasons[0])
        estimator.engine_ = engines[0]
        if not self._kept:
            estimator.best_n_iter_ = estimator.n_iter_
        estimator._left_out = [
            {"settings": self._settings_of(self._members[index]), "message": str(error)}
            for index, error in self._errors.items()
        ]
        if any(member.monitor is not None for member in self._finished):
            tabular_health.summarize(estimator, self._data)
        self._reasons = reasons

    def warn(self) -> None:
        """Warn about members that diverged, and about an interruption."""
        n_diverged = len(self._errors) + self._reasons.count("non_finite")
        if n_diverged:
            messages = [member.estimator.stop_message_ for member in self._finished]
            first = next(iter(self._errors.values()), None) or next(filter(None, messages))
            warn_caller(
                f"The training of {n_diverged} of {len(self._members)} members diverged: {first}. Those that diverged "
                "in their first epoch are left out, others keep their last good weights. Lower learning_rate_init in "
                "`members`.",
                ConvergenceWarning,
            )
        if self._estimator.stop_reason_ == "interrupted":
            warn_about(Result("interrupted", self._estimator.n_iter_))
        if self._estimator.monitor:
            tabular_health.warn_about_health(self._estimator)
        elif self._estimator.stop_reason_ in ("max_iter", "converged"):
            tabular_health.warn_if_worse_than_constant(self._estimator, self._data)

    def _alive(self) -> list[Member]:
        """Return the members with weights to predict with; those that diverged get their last good ones at the end."""
        return [
            member
            for index, member in enumerate(self._members)
            if index not in self._errors and member.training.reason != "non_finite"
        ]

    def _divergence(self) -> DivergedError:
        """Return the error of a fit all members of which diverged in their first epoch."""
        member, error = self._members[0], self._errors[0]
        return tabular_health.divergence_error(
            self._estimator, member.estimator, member.model, self._data, error, member.monitor
        )

    def _validate(self) -> Row:
        """Return the loss and score of the mean, and the score of the best member."""
        found = [member.outputs for member in self._alive()]
        raws = [outputs.raw for outputs in found]
        loss, score = self._score(raws)
        scores = [outputs.score for outputs in found if not np.isnan(outputs.score)]
        return {"validation_loss": loss, "validation_score": score, "best_member_score": max(scores, default=nan)}

    def _describe(self, member: Member, result: Result) -> dict[str, Any]:
        """Return a member's entry in ``members_``."""
        estimator = member.estimator
        scores = estimator.history_.get("validation_score")
        if id(member) in self._kept:
            epoch = min(self._estimator.best_n_iter_, result.n_epochs)
        elif result.reason == "non_finite":  # without validation, the weights from before the best epoch
            epoch = result.best_epoch - (scores is None)
        elif result.reason == "interrupted" and scores:
            epoch = result.best_epoch
        else:
            epoch = result.n_epochs
        return {
            **self._settings_of(member),
            "score": scores[epoch - 1] if scores and epoch > 0 else nan,
            "best_epoch": epoch,
            "n_iter": result.n_epochs,
            "loss": estimator.loss_,
            "seconds": float(np.sum(estimator.history_["seconds"])),
            "stop_reason": result.reason,
        }

    def _settings_of(self, member: Member) -> dict[str, Any]:
        """Return the settings of a member in which members differ."""
        params = member.estimator.get_params()
        return {name: params.get(name) for name in self._estimator._settings_drawn()}

    def _print(self, row: Row, elapsed: float) -> None:
        estimator = self._estimator
        left = elapsed / estimator.n_iter_ * (estimator.max_iter - estimator.n_iter_)
        if estimator.max_time is not None:
            left = min(left, max(0.0, estimator.max_time - elapsed))
        words = f"Epoch {estimator.n_iter_}/{estimator.max_iter}, loss = {row['loss']:.6f}"
        if "held_out_loss" in row:
            words += f", held-out loss {row['held_out_loss']:.6f}"
        if self._held_out is not None:
            words += f", score of the mean {row['validation_score']:.6f}"
            if estimator.scoring in (None, "loss"):  # else the scores are of two kinds
                words += f", best member {row['best_member_score']:.6f}"
        print(f"{words}, {left:.0f} s left")


def _common_pauses(members: list[Member]) -> list[float]:
    """Return the pauses of the members' schedules; only the end if they differ."""
    pauses = {member.training.pauses for member in members}
    return list(pauses.pop()) if len(pauses) == 1 else [1.0]


# Which reason to report when members ended for different ones.
_BY_IMPORTANCE: tuple[StopReason, ...] = ("interrupted", "callback", "max_time", "max_iter", "converged", "non_finite")


def _mean_row(rows: list[Row]) -> Row:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if not name.startswith("validation")}


def _score_of_mean(estimator: Any, split: DataSplit, targets: Targets) -> Any:
    """Return a function of the members' raw outputs on the held-out data: the loss and the score of their mean."""
    data = split.held_out
    if data is None:
        return None
    loss = estimator._loss_of_mean()
    scoring = estimator.scoring

    def evaluate(raws: list[FloatArray]) -> tuple[float, float]:
        raw = estimator._mean_raw(raws)
        losses = loss.loss(data.y, raw)
        mean_loss = float(np.average(losses, weights=data.sample_weight))
        if scoring == "loss":
            return mean_loss, -mean_loss
        if scoring is None:
            return mean_loss, targets.score(data.y, raw, data.sample_weight)
        return mean_loss, scored()

    if scoring is None or scoring == "loss":
        return evaluate
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    weights = {} if split.score_weight is None or not takes_weight(scorer) else {"sample_weight": split.score_weight}
    y, safely = targets.original(data.y), safe_score(scoring)

    def scored() -> float:
        stand_in = estimator._of_encoded_rows()
        return safely(lambda: scorer(stand_in, data.X, y, **weights))

    return evaluate
