"""Rules about convergence: divergence, a wrong learning rate, too few epochs, a plateau."""

import math
import re
from collections.abc import Iterator

import numpy as np

from skmlp._typing import FloatArray
from skmlp.diagnosis.evidence import Evidence, first_epoch, largest_finite
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.remedies import CLIP_GRADIENT, FIND_LEARNING_RATE, change_learning_rate, scale_inputs
from skmlp.diagnosis.rules import rule

# Norm of the update relative to the weights: median over the layers, largest of the training. About 1e-3 is the rule of
# thumb; adaptive solvers start at 0.01 to 0.1. The recommended learning rates aim at the second numbers.
TOO_LARGE, AIM_IF_TOO_LARGE = 0.2, 0.01
TOO_SMALL, AIM_IF_TOO_SMALL = 1e-4, 3e-3
# Loss relative to that of a constant prediction or, if unknown, to the lowest one.
RISEN = 1.3
# Without update ratios: fraction of the epochs in which the loss rose by this fraction of the first one.
JUMP, MANY_JUMPS = 0.2, 0.2
# Last over first gradient norm from which on there is still something to learn.
STILL_LARGE = 0.5
# Fraction of the loss that as many epochs again would gain, estimated from the last 1 / RECENT of the epochs, ...
WORTH_IT, RECENT = 0.1, 4
# ... and loss relative to that of a constant prediction below which the gain does not matter.
GOOD_ENOUGH = 0.02
# Distance from the loss of a constant prediction, relative to it; fraction of such epochs; fewest epochs to judge by.
FLAT, MOSTLY, FEWEST_EPOCHS = 0.02, 0.5, 10


@rule(rank=10)
def diverged(evidence: Evidence) -> Iterator[Finding]:
    """Find a training that ended because a number became infinite or NaN."""
    if evidence.stop_reason != "non_finite":
        return
    place = evidence.stop_message.split(";")[0]
    layer, step = (re.search(rf"{word} (\d+)", place) for word in ("layer", "step"))
    bad = evidence.layer_statistic("gradient_nonfinite")
    yield Finding(
        "diverged",
        "severe",
        f"During training, {place}.",
        {
            "n_epochs": float(len(evidence.loss)),
            **({"step": float(step[1])} if step else {}),
            **({"bad_gradients": float(bad[-1].sum())} if bad.size else {}),
        },
        layer=int(layer[1]) if layer else None,
        epoch=len(evidence.loss),
        remedies=_reduce_steps(evidence),
    )


@rule(rank=40, explained_by=("unscaled_inputs", "unscaled_target"))
def learning_rate_too_high(evidence: Evidence) -> Iterator[Finding]:
    """Find updates that are large relative to the weights and a loss that rises; without updates, a loss that jumps."""
    loss, ratios = evidence.loss, _update_ratios(evidence)
    if not evidence.has_learning_rate or len(loss) < 2:
        return
    finite = loss[np.isfinite(loss)]
    rose_to = float(finite.max()) / _reference_loss(evidence, finite) if finite.size == loss.size else math.inf
    if ratios.size:
        largest = largest_finite(ratios)
        found, numbers = largest > TOO_LARGE and rose_to > RISEN, {"largest_update_ratio": largest}
        epoch = first_epoch(evidence.monitored_epochs, ratios > TOO_LARGE)
    else:
        jumps = np.diff(finite) > JUMP * np.abs(finite[:1])
        fraction = float(jumps.mean()) if jumps.size else 0.0
        found, numbers = fraction > MANY_JUMPS, {"fraction_of_rising_epochs": fraction}
        epoch = first_epoch(np.arange(2, len(finite) + 1), jumps)
    if not found:
        return
    start = evidence.baseline if math.isfinite(evidence.baseline) else loss[0]
    has_learned = loss[-1] <= 0.9 * start
    yield Finding(
        "learning_rate_too_high",
        "warning" if has_learned else "severe",
        f"{'Updates are large beside the weights, and the' if ratios.size else 'The'} loss jumps instead of falling.",
        {**numbers, "loss_rose_to": rose_to},
        epoch=epoch,
        remedies=_reduce_steps(evidence),
    )


def _reference_loss(evidence: Evidence, finite: FloatArray) -> float:
    """Return the loss of a constant prediction, else the lowest one; NaN for losses below 0, which have no ratios."""
    if math.isfinite(evidence.baseline) and evidence.baseline > 0.0:
        return evidence.baseline
    lowest = float(finite.min())
    return max(lowest, 1e-300) if lowest >= 0.0 else math.nan


def _update_ratios(evidence: Evidence) -> FloatArray:
    """Return the median over the layers in each monitored epoch; empty without statistics."""
    ratios = evidence.layer_statistic("update_ratio_max")
    return np.median(ratios, axis=1) if ratios.size else np.empty(0)


def _reduce_steps(evidence: Evidence) -> tuple[Remedy, ...]:
    if evidence.is_lbfgs:  # line searches choose the steps
        return (scale_inputs(evidence),)
    ratios = _update_ratios(evidence)
    ratios = ratios[np.isfinite(ratios) & (ratios > 0.0)]
    factor = min(0.3, max(1e-3, AIM_IF_TOO_LARGE / float(ratios[0]))) if ratios.size else 0.1
    return change_learning_rate(evidence, factor), CLIP_GRADIENT, FIND_LEARNING_RATE


@rule(rank=110, explained_by=("unscaled_target",))
def learning_rate_too_low(evidence: Evidence) -> Iterator[Finding]:
    """Find updates that are small relative to the weights, although the gradient has not become small."""
    ratios, norms = _update_ratios(evidence), evidence.column("gradient_norm")
    ratios = ratios[np.isfinite(ratios)]
    if not evidence.has_learning_rate or not ratios.size or not norms.size or not ratios.max() < TOO_SMALL:
        return
    last_over_first = float(norms[-1]) / float(norms[0]) if norms[0] > 0.0 else 0.0
    if not last_over_first >= STILL_LARGE:
        return
    largest = float(ratios.max())
    factor = min(1000.0, max(10.0, AIM_IF_TOO_SMALL / largest)) if largest > 0.0 else 1000.0
    yield Finding(
        "learning_rate_too_low",
        "warning",
        f"No update exceeded {largest:.1e} times the norm of the weights, while the gradient stayed large.",
        {"largest_update_ratio": largest, "gradient_last_over_first": last_over_first},
        epoch=1,
        remedies=(change_learning_rate(evidence, factor), FIND_LEARNING_RATE),
    )


@rule(
    rank=150,
    explained_by=(
        "unscaled_inputs",
        "unscaled_target",
        "learning_rate_too_low",
        "learning_rate_too_high",
        "vanishing_gradients",
        "exploding_gradients",
        "saturated_units",
        "dead_units",
        "symmetric_units",
        "small_batch",
    ),
)
def not_converged(evidence: Evidence) -> Iterator[Finding]:
    """Find a training that reached its limit of epochs or time while the loss was still falling."""
    validation, limit = evidence.column("validation_loss"), evidence.stop_reason
    loss = validation if validation.size else evidence.loss
    recent = max(1, len(loss) // RECENT)
    if limit not in ("max_iter", "max_time", "max_fun") or len(loss) <= recent:
        return
    before, last = loss[-2 * recent - 1 : -recent].mean(), loss[-recent:].mean()
    gain = float(1.0 - last / before) * len(loss) / recent if before > 0.0 else 0.0
    is_good = math.isfinite(evidence.baseline) and last < GOOD_ENOUGH * evidence.baseline
    if not gain > WORTH_IT or is_good or np.nanargmin(loss) < len(loss) - recent:
        return
    value = evidence.params.get(limit)
    longer = {} if value is None else {limit: 5 * value}
    yield Finding(
        "not_converged",
        "warning",
        f"The training ended by {limit} while the loss was falling: as many epochs again would gain about "
        f"{min(gain, 1.0):.0%}.",
        {"to_gain": gain, "n_epochs": float(len(loss)), "last_loss": float(loss[-1])},
        epoch=len(loss),
        remedies=(
            Remedy("Train longer", longer),
            Remedy("Train longer, with early stopping", {**longer, "early_stopping": True}),
        ),
    )


@rule(
    rank=160,
    explained_by=(
        "vanishing_gradients",
        "saturated_units",
        "dead_units",
        "underfitting",
        "unscaled_target",
        "learning_rate_too_low",
        "learning_rate_too_high",
        "symmetric_units",
    ),
)
def plateau(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that stays at that of the best constant prediction for most of the training."""
    loss, baseline = evidence.loss, evidence.baseline
    if len(loss) < FEWEST_EPOCHS or not baseline > 0.0 or not math.isfinite(baseline):
        return
    flat = np.abs(loss / baseline - 1.0) < FLAT
    fraction = float(flat.mean())
    if fraction < MOSTLY or not flat[len(loss) // 2 :].mean() >= MOSTLY:
        return
    activations = np.atleast_1d(np.array(evidence.params.get("activation"), object))
    saturating = any(isinstance(each, str) and each in ("logistic", "tanh") for each in activations)
    yield Finding(
        "plateau",
        "warning",
        f"In {fraction:.0%} of the epochs the loss is that of a constant prediction: the network ignores the inputs.",
        {"fraction_of_epochs": fraction, "loss": float(loss[-1]), "constant": baseline},
        epoch=first_epoch(np.arange(1, len(loss) + 1), flat),
        remedies=(
            Remedy("Use an activation that does not saturate", {"activation": "relu", "weight_init": "auto"})
            if saturating
            else Remedy("Use a solver that adapts its step sizes", {"solver": "adam"}),
            change_learning_rate(evidence, 10.0),
            Remedy("Check that the inputs are related to the targets"),
        ),
    )
