"""The diagnosis of an estimator's own training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp.diagnosis import Diagnosis, DivergedError, Evidence, Finding, TrainingHealthWarning, judge
from skmlp.estimators.data_summary import by_column, constant_loss, summarize_data
from skmlp.estimators.holdout import keeps_best
from skmlp.estimators.model import Model
from skmlp.estimators.reporting import warn_caller
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.monitor import Monitor

# The network is examined if its loss is this many times the loss of the best constant prediction.
SUSPICIOUS = 3.0
# Targets of this size or larger may be the reason why a training diverged.
LARGE_TARGET = 1000.0


def diagnose(estimator: Any, data: Data | None = None) -> Diagnosis:
    """Return the diagnosis of the last training, from a summary of `data` or the one made during training."""
    return judge(
        evidence_of(estimator, estimator._data_summary if data is None else summarize_data(estimator._model, data))
    )


def evidence_of(estimator: Any, summary: dict[str, Any]) -> Evidence:
    """Return the records of the last training, with a summary of the data."""
    n_epochs = max(1, len(estimator.history_["loss"]) - estimator._epochs_before)
    is_stream = n_epochs > max(1, estimator.n_iter_)  # calls of partial_fit, none of which ended for a reason
    return _evidence(
        estimator,
        estimator.history_,
        summary,
        stop_reason="" if is_stream and estimator.stop_reason_ == "max_iter" else estimator.stop_reason_,
        stop_message=estimator.stop_message_,
        n_iter=n_epochs,
        restored=keeps_best(estimator) and estimator.best_n_iter_ is not None,
    )


def warn_about_health(estimator: Any) -> None:
    """Warn once about severe findings."""
    warn_of(diagnose(estimator).at_least("severe"), "estimator.diagnose()")


def warn_if_worse_than_constant(estimator: Any, model: Model, data: Data) -> None:
    """Warn once when a fit ended with a network that predicts far worse than a constant.

    A cheap check comes first: the last recorded loss. It is a mean over the epoch, with dropout, and other weights may
    have been kept, so that only an examination of the network can confirm it.
    """
    losses = estimator.history_["train_loss"]
    if not losses or not losses[-1] > SUSPICIOUS * constant_loss(model, data):
        return
    diagnosis = diagnose(estimator, data)
    finding = diagnosis.find("worse_than_constant")
    if finding is not None:
        causes = [each for each in diagnosis.at_least("severe") if each is not finding]
        warn_of([*causes, finding], "estimator.diagnose(X, y)")


def warn_of(findings: Sequence[Finding], more: str) -> None:
    """Warn once about findings, if there are any; `more` tells all of them."""
    if findings:
        told = " ".join(f"{each.title}: {each.message}" for each in findings)
        first = f" Try: {findings[0].remedies[0]}." if findings[0].remedies else ""
        warn_caller(f"{told}{first} See {more} for details.", TrainingHealthWarning)


def divergence_error(
    estimator: Any, model: Model, data: Data, event: NonFiniteError, monitor: Monitor | None = None, where: str = ""
) -> DivergedError:
    """Return an error with scikit-learn's message, for a training that diverged too early to keep any weights.

    It must be called before the attributes of the estimator are restored. `where` says where the learning rate is set.
    """
    diagnosis = _diagnose_divergence(estimator, model, data, str(event), monitor)
    reason = f"{diagnosis[0].title}: {diagnosis[0].message}" if diagnosis else f"In detail: {event}."
    error = DivergedError(
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        f"preprocessed. {reason} {advice_on_divergence(estimator, model, data, where)} "
        "See the attribute diagnosis of this error."
    )
    error.diagnosis = diagnosis
    return error


def advice_on_divergence(estimator: Any, model: Model, data: Data, where: str = "") -> str:
    """Return advice on a training that diverged on these rows."""
    steps = [] if estimator.solver == "lbfgs" else [f"lower learning_rate_init={estimator.learning_rate_init}{where}"]
    if estimator._layout is None:
        steps.insert(0, "scale the input data, for example with a StandardScaler")
    elif estimator.scaling is None or not steps:
        steps.insert(0, 'scale the numbers with scaling="robust"')
    advice = ", or ".join(steps)
    advice = f"{advice[:1].upper()}{advice[1:]}."
    if getattr(estimator, "standardize_target", True) or not model.loss.is_equivariant:
        return advice
    with np.errstate(over="ignore"):
        size = float(np.abs(data.y).max(initial=0.0))
    if size < LARGE_TARGET:
        return advice
    return f"The targets are as large as {size:.3g}: set standardize_target=True. {advice}"


def _diagnose_divergence(estimator: Any, model: Model, data: Data, message: str, monitor: Monitor | None) -> Diagnosis:
    """Return the diagnosis of a training that diverged with this message, in an epoch that is not recorded."""
    observed = None if monitor is None else monitor.end_epoch()
    if monitor is not None and observed is not None:
        estimator._observations.append(monitor.epoch, observed.layers)
    history = {name: [*column, math.nan] for name, column in estimator.history_.items()}
    history["learning_rate"][-1] = model.state.learning_rate
    try:
        summary = summarize_data(model, data)
    except Exception:  # a custom loss or activation may fail on infinite values
        summary = {}
    stop = {"stop_reason": "non_finite", "stop_message": message, "n_iter": estimator.n_iter_ + 1}
    return judge(_evidence(estimator, history, summary, **stop))


def _evidence(estimator: Any, history: Any, summary: dict[str, Any], **stop: Any) -> Evidence:
    """Return what is known of a training that stopped in the given way."""
    if summary and estimator._table is not None:
        summary = by_column(summary, estimator._table)
    return Evidence(
        history=history,
        monitor=estimator.monitor_,
        params=estimator.get_params(deep=False),
        data_summary=summary,
        weights=estimator.coefs_,
        biases=estimator.intercepts_,
        feature_names=getattr(estimator, "feature_names_in_", ()),
        class_names=np.asarray(getattr(estimator, "classes_", ())).tolist(),
        reads_table=estimator._layout is not None,
        **stop,
    )
