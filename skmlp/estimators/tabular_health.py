"""The diagnosis of a tabular estimator: of its members, and of the mean of these."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np

from skmlp.diagnosis import Diagnosis, DivergedError, Evidence, Finding, Remedy, judge_members
from skmlp.estimators import health
from skmlp.estimators.data_summary import by_column, constant_loss, summarize_data, summarize_mean
from skmlp.estimators.members import COMMON
from skmlp.estimators.model import Model
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.monitor import Monitor


def diagnose(estimator: Any, data: Data | None = None) -> Diagnosis:
    """Return the diagnosis of the training, from a summary of `data` or the one made during training."""
    summaries = [member._data_summary for member in estimator.estimators_]
    summary = estimator._data_summary
    if data is not None:
        summaries, summary = _summarize(estimator, data)
    members = [health.evidence_of(member, each) for member, each in zip(estimator.estimators_, summaries, strict=True)]
    members += [_of_left_out(estimator, each) for each in estimator._left_out]
    drawn = estimator._settings_drawn()
    by_loss = isinstance(estimator.scoring, str) and estimator.scoring == "loss"  # which has no scale
    scores = [nan if by_loss else each["score"] for each in estimator.members_] + [nan] * len(estimator._left_out)
    settings = [{name: each[name] for name in drawn} for each in estimator.members_]
    settings += [each["settings"] for each in estimator._left_out]
    diagnosis = judge_members(
        members,
        _of_mean(estimator, summary),
        settings,
        scores=scores,
        n_validated=estimator._n_validated,
        pauses=[(int(epoch), float(loss)) for epoch, loss in estimator._pauses],
    )
    return Diagnosis([_translated(each, estimator) for each in diagnosis], diagnosis.not_examined)


def summarize(estimator: Any, data: Data) -> None:
    """Keep what the diagnosis needs of the training data."""
    summaries, estimator._data_summary = _summarize(estimator, data)
    for member, summary in zip(estimator.estimators_, summaries, strict=True):
        member._data_summary = summary


def warn_about_health(estimator: Any) -> None:
    """Warn once about severe findings."""
    health.warn_of(diagnose(estimator).at_least("severe"), "estimator.diagnose()")


def warn_if_worse_than_constant(estimator: Any, data: Data) -> None:
    """Warn once when the mean of the members predicts far worse than a constant.

    As for a single network, the last recorded loss decides whether it is worth a closer look.
    """
    losses = estimator.history_["train_loss"]
    if not losses or not losses[-1] > health.SUSPICIOUS * constant_loss(estimator.estimators_[0]._model, data):
        return
    diagnosis = diagnose(estimator, data)
    finding = diagnosis.find("worse_than_constant")
    if finding is not None:
        causes = [each for each in diagnosis.at_least("severe") if each is not finding]
        health.warn_of([*causes, finding], "estimator.diagnose(X, y)")


def divergence_error(
    estimator: Any, member: Any, model: Model, data: Data, event: NonFiniteError, monitor: Monitor | None
) -> DivergedError:
    """Return the error of a fit all of whose members diverged, as one of them did."""
    error = health.divergence_error(member, model, data, event, monitor, where=" in `members`")
    error.diagnosis = Diagnosis(
        [_translated(each, estimator) for each in error.diagnosis], error.diagnosis.not_examined
    )
    return error


def _summarize(estimator: Any, data: Data) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the summaries of the data for each member, and for the mean."""
    models = [member._model for member in estimator.estimators_]
    whole = summarize_mean(models, data, estimator._loss_of_mean(), estimator._mean_raw)
    return [summarize_data(model, data) for model in models], by_column(whole, estimator._table)


def _of_mean(estimator: Any, summary: Mapping[str, Any]) -> Evidence:
    """Return what is known of the mean; the parameters that the estimator does not have are those of members."""
    params = {**estimator._new_member({}).get_params(deep=False), **estimator.get_params(deep=False)}
    params["learning_rate_init"] = float(np.median([each.learning_rate_init for each in estimator.estimators_]))
    return Evidence(
        history=estimator.history_,
        params=params,
        data_summary=summary,
        stop_reason=estimator.stop_reason_,
        restored=estimator.best_n_iter_ < estimator.n_iter_,
        feature_names=getattr(estimator, "feature_names_in_", ()),
        class_names=np.asarray(getattr(estimator, "classes_", ())).tolist(),
        reads_table=True,
    )


def _of_left_out(estimator: Any, left_out: Mapping[str, Any]) -> Evidence:
    """Return what is known of a member that diverged in its first epoch."""
    params = estimator._new_member({}).set_params(**left_out["settings"]).get_params(deep=False)
    history = {"train_loss": [nan], "learning_rate": [float(params["learning_rate_init"])]}
    return Evidence(
        history, params=params, stop_reason="non_finite", stop_message=left_out["message"], reads_table=True
    )


def _translated(finding: Finding, estimator: Any) -> Finding:
    """Return a finding with remedies for a tabular estimator in place of those for its members."""
    remedies = [_for_table(remedy, estimator) for remedy in finding.remedies]
    return replace(finding, remedies=tuple(remedy for remedy in remedies if remedy is not None))


def _for_table(remedy: Remedy, estimator: Any) -> Remedy | None:
    """Return the remedy in terms of the tabular estimator; None if it has no such settings, or has them in any case."""
    own = estimator.get_params(deep=False)
    settings = {name: [value] for name, value in remedy.params.items() if name not in own}
    if remedy.scale_inputs or settings.keys() & COMMON:
        return None
    params = {name: value for name, value in remedy.params.items() if name in own}
    return replace(remedy, params=params, members={**remedy.members, **settings})


def members_with(now: Any, settings: Mapping[str, Sequence[Any]]) -> Any:
    """Return the parameter `members` with other lists of values for some settings.

    A list with the settings of each member gets the values in turn.
    """
    if isinstance(now, Mapping):
        return {**now, **settings}
    return [
        {**each, **{name: values[index % len(values)] for name, values in settings.items()}}
        for index, each in enumerate(now)
    ]
