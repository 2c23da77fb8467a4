"""What the fit of a tabular estimator does: encode the table, build the members, train them together."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from skmlp._threads import available_threads, can_start_threads
from skmlp._typing import FloatArray, IntArray
from skmlp.estimators.builders import new_model, spawn_seeds, start_from_data
from skmlp.estimators.combinations import check_settings, check_validation
from skmlp.estimators.holdout import DataSplit, random_split, split_data
from skmlp.estimators.input_checks import FITTED, OWN_VALIDATION, naming
from skmlp.estimators.members import draw_settings
from skmlp.estimators.model import Model
from skmlp.estimators.records import monitor_for, publish_start, unchanged_on_error
from skmlp.estimators.reporting import EpochTasks
from skmlp.estimators.storing import shallow_copy
from skmlp.estimators.tabular_run import Member, Outputs, Run
from skmlp.estimators.tabular_stopping import fraction_to_hold_out, group_members
from skmlp.estimators.targets import Targets
from skmlp.nn.parameters import Parameters
from skmlp.training.ensemble import train_together
from skmlp.training.loop import Training
from skmlp.training.plan import Criterion, Plan, Validation

# X, y and sample_weight as the user passed them.
Arguments = tuple[Any, Any, Any]


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
        run = Run(estimator, members, split, targets, tasks)
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
) -> list[Member]:
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
) -> Member:
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
    outputs = Outputs()
    by_loss = isinstance(estimator.scoring, str) and estimator.scoring == "loss"
    criterion = Criterion(validation=_validation(split, None if by_loss else targets, model, outputs))
    assert model.recipe is not None
    rows = None if held_out is None else np.setdiff1d(np.arange(n_rows), held_out, assume_unique=True)
    training = Training(model.recipe, model.state, data, plan, criterion, monitor=monitor, rows=rows)
    return Member(member, model, training, monitor, outputs, group, None if held_out is None else data.take(held_out))


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


def _validation(split: DataSplit, targets: Targets | None, model: Model, outputs: Outputs) -> Validation | None:
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


def _snapshot(estimator: Any) -> list[Any]:
    """Return copies of the members that predict as they would now."""
    return [shallow_copy(member, _model=member._model.snapshot()) for member in estimator.estimators_]
