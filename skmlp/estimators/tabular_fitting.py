"""What the fit of a tabular estimator does: encode the table, train the members together, record every epoch."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import nan
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer

from skmlp._threads import available_threads, can_start_threads
from skmlp._typing import FloatArray, IntArray
from skmlp.diagnosis import DivergedError
from skmlp.estimators import tabular_health
from skmlp.estimators.builders import new_model, spawn_seeds, start_from_data
from skmlp.estimators.combinations import check_settings, check_validation
from skmlp.estimators.holdout import DataSplit, random_split, safe_score, split_data, takes_weight
from skmlp.estimators.input_checks import FITTED, OWN_VALIDATION, naming
from skmlp.estimators.members import draw_settings
from skmlp.estimators.model import Model
from skmlp.estimators.records import monitor_for, publish_end, publish_start, record_epoch, unchanged_on_error
from skmlp.estimators.reporting import EpochTasks, warn_about, warn_caller
from skmlp.estimators.storing import shallow_copy
from skmlp.estimators.tabular_stopping import PauseChooser, fraction_to_hold_out, group_members, losses_of_all
from skmlp.estimators.targets import Targets
from skmlp.nn.parameters import Parameters
from skmlp.training.batches import Data
from skmlp.training.ensemble import Outcome, train_together
from skmlp.training.events import NonFiniteError, Result, Row, StopReason
from skmlp.training.history import append_row, empty_history
from skmlp.training.loop import Training
from skmlp.training.monitor import Monitor
from skmlp.training.plan import Criterion, Plan, Validation

# X, y and sample_weight as the user passed them.
Arguments = tuple[Any, Any, Any]


class _Member(NamedTuple):
    """A member in training, with its group, and the rows that the group holds out."""

    estimator: Any
    model: Model
    training: Training
    monitor: Monitor | None
    outputs: "_Outputs"
    group: int
    held_out: Data | None


class _Outputs:
    """What a member predicted for the validation data after its last epoch."""

    raw: FloatArray | None = None
    score: float = nan


def fit(estimator: Any, given: Arguments, own: Arguments, groups: Any) -> None:
    """Train all members; `own` is the user's own validation data."""
    started = perf_counter()
    with (
        unchanged_on_error(estimator),
        EpochTasks(estimator, *given, lambda: {"estimators_": _snapshot(estimator)}) as tasks,
    ):
        holds_out = estimator.validation_split is not None
        check_validation(estimator, *own, groups, holds_out=holds_out, ways="Set validation_split")
        template = estimator._new_member({}).set_params(validation_split=estimator.validation_split)
        split_seed, *seeds = spawn_seeds(estimator.random_state, 1 + estimator.n_members)
        split, targets = _prepare(estimator, template, given, own, groups, split_seed)
        parts = _hold_out(estimator, template, split, targets, split_seed)
        seconds = _seconds_of_a_member(estimator, perf_counter() - started)
        members = _new_members(estimator, split, targets, seeds, parts, seconds)
        estimator._publish(template, targets)
        run = _Run(estimator, members, split, targets, tasks)
        tasks.begin()
        train_together([member.training for member in members], _n_threads(estimator), run.on_round)
        run.finish()
        tasks.end()
    run.warn()


def _prepare(
    estimator: Any, template: Any, given: Arguments, own: Arguments, groups: Any, seed: np.random.SeedSequence
) -> tuple[DataSplit, Targets]:
    """Learn the table and the meaning of y, and split the data."""
    if sparse.issparse(given[0]):
        raise TypeError(
            f"Sparse data was passed for X, but {type(estimator).__name__} needs dense data. Use '.toarray()' to "
            "convert to a dense numpy array."
        )
    dtype = np.dtype(np.float32)
    with _named_as(estimator, template):
        data, targets = template._validate(*given, dtype, fitted=None, names=FITTED, weigh=False)
        estimator._adopt_inputs(template)
        held_out = None
        if own[0] is not None:
            held_out, _ = template._validate(
                *own, dtype, fitted=template, targets=targets, names=OWN_VALIDATION, weigh=False
            )
        split = split_data(
            template,
            data,
            held_out,
            targets,
            int(seed.generate_state(1)[0]),
            groups,
            lambda rows: template._weigh(rows, targets),
        )
    return split._replace(training=split.training.in_one_type()), targets


@contextmanager
def _named_as(estimator: Any, template: Any) -> Iterator[None]:
    """Let errors about the user's arguments name the user's estimator."""
    try:
        yield
    except (ValueError, TypeError) as error:
        error.args = (re.sub(rf"\b{type(template).__name__}\b", type(estimator).__name__, str(error)),)
        raise


def _new_members(
    estimator: Any,
    split: DataSplit,
    targets: Targets,
    seeds: list[np.random.SeedSequence],
    parts: list[IntArray],
    seconds: float | None,
) -> list[_Member]:
    """Build the members, each with its own settings and seeds."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    drawn = draw_settings(estimator._member_settings(), estimator._member_parameters, rngs)
    members = []
    for settings, rng, group in zip(drawn, rngs, group_members(estimator.n_members), strict=True):
        held_out = parts[group] if parts else None
        members.append(_new_member(estimator, settings, rng, split, targets, group, held_out, seconds))
    return members


def _new_member(
    estimator: Any,
    settings: Mapping[str, Any],
    rng: np.random.Generator,
    split: DataSplit,
    targets: Targets,
    group: int,
    held_out: IntArray | None,
    seconds: float | None,
) -> _Member:
    data = split.training
    n_rows = data.n_samples
    with naming("members", None):
        member = _checked(estimator._new_member(settings))
    member.set_params(random_state=int(rng.integers(2**31)))
    if isinstance(member.batch_size, str):
        member.batch_size = n_rows if member.batch_size == "full" else _usual_batch_size(n_rows)
    member.batch_size = min(member.batch_size, n_rows)
    member._layout, member.n_features_in_ = estimator._table.layout, estimator._table.layout.n_columns
    model = new_model(member, data, targets)
    start_from_data(member, model, data)
    publish_start(member, model, targets, validation=split.held_out is not None, keep_history=False)
    monitor = monitor_for(member, model, fitted=estimator)
    plan = Plan(
        batch_size=member.batch_size,
        max_epochs=estimator.max_iter,
        length=estimator.max_iter,
        max_seconds=seconds,
        shuffle=member.shuffle,
    )
    outputs = _Outputs()
    by_loss = isinstance(estimator.scoring, str) and estimator.scoring == "loss"
    criterion = Criterion(validation=_validation(split, None if by_loss else targets, model, outputs))
    assert model.recipe is not None
    rows = None if held_out is None else np.setdiff1d(np.arange(n_rows), held_out, assume_unique=True)
    training = Training(model.recipe, model.state, data, plan, criterion, monitor=monitor, rows=rows)
    return _Member(member, model, training, monitor, outputs, group, None if held_out is None else data.take(held_out))


def _checked(member: Any) -> Any:
    """Return the member, or raise ValueError for settings that are invalid or contradict each other."""
    member._validate_params()
    if member.solver == "lbfgs":
        raise ValueError('members cannot have solver="lbfgs", which has no epochs. Choose another solver.')
    check_settings(member)
    return member


def _usual_batch_size(n_rows: int) -> int:
    """Return smaller batches for fewer rows: more steps in an epoch."""
    return next((size for size, limit in ((64, 2_000), (128, 9_000), (256, 50_000)) if n_rows < limit), 512)


def _hold_out(
    estimator: Any, template: Any, split: DataSplit, targets: Targets, seed: np.random.SeedSequence
) -> list[IntArray]:
    """Return the rows that each group of members holds out to know when to stop; nothing where they are not needed."""
    n_groups = group_members(estimator.n_members)[-1] + 1
    fraction = fraction_to_hold_out(n_groups, split.training.n_samples)
    if not estimator.early_stopping or split.held_out is not None or fraction == 0.0:
        return []
    splitter = clone(template).set_params(validation_split=n_groups * fraction)
    number = int(seed.generate_state(1)[0])
    _, held_out = random_split(splitter, split.training, targets, number)
    return np.array_split(np.random.default_rng(number).permutation(held_out), n_groups)


def _validation(split: DataSplit, targets: Targets | None, model: Model, outputs: _Outputs) -> Validation | None:
    """Return the held-out data; the score also keeps what the member predicted, for the mean of all.

    Without `targets` the score is minus the loss.
    """
    data, loss = split.held_out, model.loss.eval_loss()
    if data is None:
        return None

    def score(params: Parameters, raw: FloatArray) -> float:
        outputs.raw = raw
        if targets is None:
            outputs.score = -float(np.average(loss.loss(data.y, raw), weights=data.sample_weight))
        else:
            outputs.score = targets.score(data.y, raw, data.sample_weight)
        return outputs.score

    return Validation(data, loss, score)


def _n_threads(estimator: Any) -> int:
    """Return how many members may compute at the same time."""
    if not can_start_threads():
        return 1
    n_jobs, available = estimator.n_jobs, available_threads()
    if n_jobs is None:
        return min(available, estimator.n_members)
    wanted = available + 1 + n_jobs if n_jobs < 0 else n_jobs
    return max(1, min(wanted, estimator.n_members))


def _seconds_of_a_member(estimator: Any, elapsed: float) -> float | None:
    """Return the time limit of each member, after what has elapsed of the fit.

    It counts its own seconds, and the others have their turns meanwhile.
    """
    if estimator.max_time is None:
        return None
    left = max(estimator.max_time - elapsed, 0.1 * estimator.max_time)
    return float(left) / math.ceil(estimator.n_members / _n_threads(estimator))


class _Run:
    """The training of all members: what is recorded and published."""

    def __init__(
        self, estimator: Any, members: list[_Member], split: DataSplit, targets: Targets, tasks: EpochTasks
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

    def _held_out_losses(self, alive: list[_Member]) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the losses of held-out rows and the weights of the rows; None if there are no such rows.

        Of the user's validation data they are those of the mean of the members; of the rows that a group of members
        holds out, what those of the mean of all would be.
        """
        data = self._held_out
        if data is not None:
            raw = self._estimator._mean_raw([member.outputs.raw for member in alive])
            return self._loss.loss(data.y, raw), data.sample_weight
        losses, weights = [], []
        for group in {member.group: member for member in alive}:
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
        self._finished: list[_Member] = []
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

    def _alive(self) -> list[_Member]:
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

    def _describe(self, member: _Member, result: Result) -> dict[str, Any]:
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

    def _settings_of(self, member: _Member) -> dict[str, Any]:
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


def _common_pauses(members: list[_Member]) -> list[float]:
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


def _snapshot(estimator: Any) -> list[Any]:
    """Return copies of the members that predict as they would now."""
    return [shallow_copy(member, _model=member._model.snapshot()) for member in estimator.estimators_]
