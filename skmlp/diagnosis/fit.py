"""Rules about the quality of the fit: overfitting, underfitting, undefined scores, useless predictions."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from skmlp.diagnosis.evidence import Evidence, largest_finite
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.remedies import change_learning_rate, round_to_one_digit, scale_inputs, scale_target
from skmlp.diagnosis.rules import rule

# Last over lowest validation loss.
OVERFITTED, SEVERE_OVERFITTED = 1.2, 2.0
# Training loss relative to that of a constant prediction. Above the second number a penalty is not to blame.
UNDERFITTED, TOO_BAD_FOR_A_PENALTY = 0.8, 1.5
# A penalty is to blame if it was this fraction of the objective in some epoch, or shrank the weights to this fraction.
LARGE_PENALTY, SHRUNK = 0.3, 0.3
# A layer of fewer units than this is to blame from this relative loss on.
NARROW, UNDERFITTED_IF_NARROW = 4, 0.3
# Loss relative to that of a constant prediction, once the training converged or took this many epochs.
USELESS, FEWEST_EPOCHS = 10.0, 10
# Mean of a target relative to its standard deviation.
FAR_FROM_ZERO = 10.0


@rule(rank=130)
def overfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a validation loss that ended far above its lowest value while the training loss kept falling."""
    validation, training = evidence.column("validation_loss"), evidence.loss
    finite = np.isfinite(validation)
    if not finite.any() or len(training) != len(validation) or not np.isfinite(training[-1]):
        return
    best = int(np.nanargmin(np.where(finite, validation, np.nan)))
    lowest, last = float(validation[best]), float(validation[-1])
    if not lowest > 0.0 or not last > OVERFITTED * lowest or training[-1] > training[best]:
        return
    severe = last > SEVERE_OVERFITTED * lowest and best < len(validation) // 2
    stronger = round_to_one_digit(max(100.0 * float(evidence.params.get("alpha", 1e-4)), 1e-2))
    yield Finding(
        "overfitting",
        "info" if evidence.restored else "severe" if severe else "warning",
        f"The validation loss was lowest in epoch {best + 1} and ended {last / lowest:.1f} times as high, while the "
        f"training loss kept falling{'; the weights of the best epoch were kept' if evidence.restored else ''}.",
        {"last_over_lowest": last / lowest, "lowest": lowest, "training_loss": float(training[-1])},
        epoch=best + 1,
        remedies=(
            *([] if evidence.restored else [Remedy("Stop early and keep the best weights", {"early_stopping": True})]),
            Remedy("Increase the penalty", {"alpha": stronger}),
            *([] if evidence.is_lbfgs else [Remedy("Use dropout", {"dropout": 0.3})]),
        ),
    )


@rule(rank=140)
def undefined_score(evidence: Evidence) -> Iterator[Finding]:
    """Find epochs whose validation score could not be computed, although the validation loss could."""
    score, loss = evidence.column("validation_score"), evidence.column("validation_loss")
    if score.size != loss.size:
        return
    missing = np.isnan(score) & np.isfinite(loss)
    if not missing.any():
        return
    first, count = 1 + int(np.argmax(missing)), int(np.count_nonzero(missing))
    yield Finding(
        "undefined_score",
        "warning",
        f"The validation score could not be computed in {count} of {missing.size} epochs, first in epoch {first}. "
        "Epochs were compared by their validation loss.",
        {"n_undefined": float(count), "n_epochs": float(missing.size)},
        epoch=first,
        remedies=(
            Remedy("Use the default score, which is always defined", {"scoring": None}),
            Remedy("Use validation data for which the score is defined, for example with samples of every class"),
        ),
    )


@rule(rank=120, explained_by=("diverged", "learning_rate_too_high"))
def underfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a training loss near that of a constant prediction that a penalty or a narrow layer accounts for."""
    loss, baseline = evidence.loss, evidence.baseline
    if not len(loss) or not baseline > 0.0 or not math.isfinite(loss[-1]):
        return
    relative = float(loss[-1]) / baseline
    penalty, shrunk_to = _largest_penalty(evidence), _weight_shrinkage(evidence)
    widths = [weights.shape[1] for weights in evidence.weights[:-1]]
    if UNDERFITTED <= relative <= TOO_BAD_FOR_A_PENALTY and (penalty > LARGE_PENALTY or shrunk_to < SHRUNK):
        cause = "The penalty keeps the weights too small"
        numbers = {"penalty_fraction": penalty, "weights_shrank_to": shrunk_to}
        remedies = _weaker_penalties(evidence.params)
    elif relative > UNDERFITTED_IF_NARROW and widths and min(widths) < NARROW:
        cause = f"A hidden layer of {min(widths)} unit{'s' if min(widths) > 1 else ''} is too narrow"
        numbers = {"n_units": float(min(widths))}
        remedies = [Remedy("Use a wider network", {"hidden_layer_sizes": tuple(max(64, width) for width in widths)})]
    else:
        return
    yield Finding(
        "underfitting",
        "warning",
        f"{cause}: the training loss is {relative:.0%} of that of a constant prediction.",
        {"loss_over_constant": relative, **numbers},
        epoch=1,
        remedies=tuple(remedies),
    )


def _largest_penalty(evidence: Evidence) -> float:
    """Return the largest penalty relative to the objective; 0 if it is not recorded."""
    penalty, objective = evidence.column("penalty"), evidence.column("loss")
    if len(penalty) != len(objective):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return largest_finite(penalty / objective)


def _weight_shrinkage(evidence: Evidence) -> float:
    """Return the last over the first norm of all weights; 1 if it was not monitored."""
    norms = evidence.layer_statistic("weight_norm")
    if not norms.size:
        return 1.0
    first, last = (float(np.linalg.norm(norms[epoch])) for epoch in (0, -1))
    return last / first if first > 0.0 else 1.0


def _weaker_penalties(params: Mapping[str, Any]) -> list[Remedy]:
    """Return a remedy for each penalty in use."""
    weaker = {"alpha": 1e-4, "alpha_l1": 0.0, "weight_decay": None, "max_norm": None}
    in_use: dict[str, Any] = {name: params[name] for name in weaker if params.get(name) is not None}
    reducible = [name for name, value in in_use.items() if value != 0.0 and (name != "alpha" or value > 1e-3)]
    reduced = [{name: weaker[name]} for name in reducible] or [{"alpha": 0.0}]
    return [Remedy("Reduce the penalty", params) for params in reduced]


@rule(rank=50, explained_by=("diverged", "unscaled_inputs", "unscaled_target", "learning_rate_too_high"))
def worse_than_constant(evidence: Evidence) -> Iterator[Finding]:
    """Find a network whose predictions are far worse than the best constant one at the end of the training."""
    summary, baseline = evidence.data_summary, evidence.baseline
    loss = float(summary.get("loss", math.nan))
    has_ended = evidence.stop_reason == "converged" or len(evidence.loss) >= FEWEST_EPOCHS
    if not has_ended or not summary.get("is_scale", True) or not loss > USELESS * baseline > 0.0:
        return
    mean, deviation = (np.asarray(summary.get(name, ())) for name in ("target_mean", "target_std"))
    is_far = mean.shape == deviation.shape and bool(np.any(np.abs(mean) > FAR_FROM_ZERO * deviation))
    can_scale = is_far and evidence.params.get("standardize_target") is False
    yield Finding(
        "worse_than_constant",
        "severe",
        f"The training loss is {loss / baseline:.3g} times that of a constant prediction.",
        {"loss": loss, "constant": baseline},
        remedies=(
            *([scale_target(evidence.params.get("loss"))] if can_scale else []),
            scale_inputs(evidence),
            change_learning_rate(evidence, 0.1),
        ),
    )
