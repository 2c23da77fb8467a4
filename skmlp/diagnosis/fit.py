"""How the network fits: too closely, or hardly at all."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from skmlp.diagnosis.data import for_unscaled_target
from skmlp.diagnosis.evidence import Evidence, one_digit
from skmlp.diagnosis.findings import Finding, Remedy

__all__ = ["overfitting", "undefined_score", "underfitting", "worse_than_constant"]

# Last over lowest validation loss.
OVERFITTED, BADLY = 1.2, 2.0
# Training loss over that of a constant prediction.
UNDERFITTED, LITTLE = 0.8, 0.3
# Loss over that of a constant prediction where a network makes no sense, once it had so many epochs or converged.
SENSELESS, FEWEST = 10.0, 10
# Mean of a target over its standard deviation from which on it is far from zero.
FAR = 10.0
# Regularisation is to blame where its penalty once was this share of the objective, or shrank the weights to this.
PENALTY, SHRANK = 0.3, 0.3
# Hidden layers with fewer units than this let little through.
NARROW = 4


def overfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a validation loss that ended far above its lowest value, while the training loss went on falling."""
    validation, training = evidence.column("validation_loss"), evidence.loss
    finite = np.isfinite(validation)
    if not finite.any() or len(training) != len(validation) or not np.isfinite(training[-1]):
        return
    best = int(np.nanargmin(np.where(finite, validation, np.nan)))
    lowest, last = float(validation[best]), float(validation[-1])
    if not lowest > 0.0 or not last > OVERFITTED * lowest or training[-1] > training[best]:
        return
    found = {"last_over_lowest": last / lowest, "lowest": lowest, "training_loss": float(training[-1])}
    alpha = float(evidence.params.get("alpha", 1e-4))
    cured = evidence.restored
    yield Finding(
        "overfitting",
        "info" if cured else "severe" if last > BADLY * lowest and best < len(validation) // 2 else "warning",
        f"The validation loss was lowest in epoch {best + 1} and ended {last / lowest:.1f} times as high, while the "
        f"training loss fell on{'; the weights of the best epoch were kept' if cured else ''}.",
        found,
        epoch=best + 1,
        remedies=(
            *(() if cured else (Remedy("Stop in time, and keep the best weights", {"early_stopping": True}),)),
            Remedy("A stronger penalty", {"alpha": one_digit(max(100.0 * alpha, 1e-2))}),
            *(() if evidence.is_lbfgs else (Remedy("Leave units out at random", {"dropout": 0.3}),)),
        ),
    )


def undefined_score(evidence: Evidence) -> Iterator[Finding]:
    """Find epochs whose validation score could not be computed, although the validation loss could."""
    score, loss = evidence.column("validation_score"), evidence.column("validation_loss")
    if not score.size or score.size != loss.size:
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
            Remedy("Judge by the default score, which is always defined", {"scoring": None}),
            Remedy("Validate on data for which the score is defined, for example with every class among them"),
        ),
    )


def underfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a training loss near that of a constant prediction, and the parameter that accounts for it."""
    loss, baseline = evidence.loss, evidence.baseline
    if not len(loss) or not baseline > 0.0 or not math.isfinite(loss[-1]):
        return
    share = float(loss[-1]) / baseline
    if UNDERFITTED <= share <= 1.5 and _held_down(evidence):
        message = "Regularisation leaves the weights no room"
        remedies = _weaker(evidence.params)
        numbers = {"penalty_share": _largest_penalty(evidence), "weights_shrank_to": _shrinkage(evidence)}
    elif share > LITTLE and evidence.weights[:-1] and min(w.shape[1] for w in evidence.weights[:-1]) < NARROW:
        width = min(w.shape[1] for w in evidence.weights[:-1])
        sizes = tuple(max(64, w.shape[1]) for w in evidence.weights[:-1])
        message = f"A hidden layer of {width} unit{'s' if width > 1 else ''} lets too little through"
        remedies = (Remedy("A wider network", {"hidden_layer_sizes": sizes}),)
        numbers = {"n_units": float(width)}
    else:
        return
    yield Finding(
        "underfitting",
        "warning",
        f"{message}: the training loss is {share:.0%} of that of a constant prediction.",
        {"loss_over_constant": share, **numbers},
        epoch=1,
        remedies=remedies,
    )


def worse_than_constant(evidence: Evidence) -> Iterator[Finding]:
    """Find a network whose predictions, when training ended, were far worse than those of the best constant."""
    loss, baseline = float(evidence.facts.get("loss", math.nan)), evidence.baseline
    ended = evidence.stop_reason == "converged" or len(evidence.loss) >= FEWEST
    if not ended or not evidence.facts.get("is_scale", True) or not loss > SENSELESS * baseline > 0.0:
        return
    yield Finding(
        "worse_than_constant",
        "severe",
        f"The training loss is {loss / baseline:.3g} times that of a constant prediction.",
        {"loss": loss, "constant": baseline},
        remedies=(
            *_standardized(evidence),
            Remedy("Scale the inputs: make_pipeline(StandardScaler(), ...)", scale_inputs=True),
            Remedy("Smaller steps", {"learning_rate_init": one_digit(0.1 * evidence.learning_rate)}),
        ),
    )


def _standardized(evidence: Evidence) -> Iterator[Remedy]:
    """Yield what brings a target near zero that is far from it, compared with how much it varies."""
    mean, deviation = (np.asarray(evidence.facts.get(name, ())) for name in ("target_mean", "target_std"))
    can_be = evidence.params.get("standardize_target") is False
    if can_be and mean.shape == deviation.shape and np.any(np.abs(mean) > FAR * deviation):
        yield for_unscaled_target(evidence.params.get("loss"))


def _held_down(evidence: Evidence) -> bool:
    return _largest_penalty(evidence) > PENALTY or _shrinkage(evidence) < SHRANK


def _largest_penalty(evidence: Evidence) -> float:
    penalty, objective = evidence.column("penalty"), evidence.column("loss")
    if len(penalty) != len(objective):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = penalty / objective
    return float(np.max(shares, where=np.isfinite(shares), initial=0.0))


def _shrinkage(evidence: Evidence) -> float:
    """Return the last over the first norm of all weights; 1 where it was not observed."""
    norms = evidence.layers("weight_norm")
    if not norms.size:
        return 1.0
    first, last = (float(np.linalg.norm(norms[row])) for row in (0, -1))
    return last / first if first > 0.0 else 1.0


def _weaker(params: Any) -> tuple[Remedy, ...]:
    """Return what loosens the penalties that are in use, the strongest first."""
    remedies = []
    for name, weak in (("alpha", 1e-4), ("alpha_l1", 0.0), ("weight_decay", None), ("max_norm", None)):
        value = params.get(name)
        if value is not None and (name != "alpha" or value > 1e-3) and value != 0.0:
            remedies.append(Remedy("A weaker penalty", {name: weak}))
    return tuple(remedies) or (Remedy("A weaker penalty", {"alpha": 0.0}),)
