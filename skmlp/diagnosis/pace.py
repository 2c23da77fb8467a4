"""What keeps a training from getting anywhere: steps too large or too small, too early an end, no way out."""

import math
import re
from collections.abc import Iterator

import numpy as np

from skmlp._typing import FloatArray
from skmlp.diagnosis.evidence import Evidence, first_epoch, one_digit
from skmlp.diagnosis.findings import Finding, Remedy

__all__ = ["diverged", "learning_rate_too_high", "learning_rate_too_low", "not_converged", "plateau"]

# Norm of the update over norm of the weights, the median over the layers: 1e-3 is the folklore value, adaptive solvers
# begin at 0.01 to 0.1. The largest of a training tells.
TOO_LARGE, GOOD_LARGE = 0.2, 0.01
TOO_SMALL, GOOD_SMALL = 1e-4, 3e-3
# The loss rose to so many times what a constant prediction has, or, without that number, of its lowest.
ROSE = 1.3
# Without statistics: epochs whose loss rises by a fifth of the first one's, as a share of all.
JUMP, JUMPS = 0.2, 0.2
# The loss a training as long again would gain, as a share of the loss, and the part of the epochs this is judged by.
TO_GAIN, RECENT = 0.1, 4
# Nothing learned: a loss that is that of a constant prediction to within so much, in most of the epochs.
FLAT, MOSTLY, FEWEST = 0.02, 0.5, 10
# A loss, as a share of that of a constant prediction, below which nobody minds that it is falling still.
GOOD_ENOUGH = 0.02


def diverged(evidence: Evidence) -> Iterator[Finding]:
    """Find a training that ended in an infinite number or NaN."""
    if evidence.stop_reason != "non_finite":
        return
    bad = evidence.layers("gradient_nonfinite")
    place = evidence.stop_message.split(";")[0]
    layer, step = (re.search(rf"{what} (\d+)", place) for what in ("layer", "step"))
    numbers = {"step": float(step[1])} if step else {}
    if bad.size:
        numbers["bad_gradients"] = float(bad[-1].sum())
    yield Finding(
        "diverged",
        "severe",
        f"During training, {place}.",
        {"n_epochs": float(len(evidence.loss)), **numbers},
        layer=int(layer[1]) if layer else None,
        epoch=len(evidence.loss),
        remedies=_slower(evidence),
    )


def learning_rate_too_high(evidence: Evidence) -> Iterator[Finding]:
    """Find steps of a fifth of the weights' size, or more, and a loss that rises."""
    if not evidence.is_stochastic or len(evidence.loss) < 2:
        return
    loss = evidence.loss
    finite = loss[np.isfinite(loss)]
    rose = float(finite.max()) / _reference(evidence, finite) if finite.size else math.inf
    rose = math.inf if finite.size < len(loss) else rose
    ratios = _update_ratios(evidence)
    if ratios.size:
        largest = float(np.max(ratios, where=np.isfinite(ratios), initial=0.0))
        found, numbers = largest > TOO_LARGE and rose > ROSE, {"largest_update_ratio": largest, "loss_rose_to": rose}
        epoch = first_epoch(evidence.epochs, ratios > TOO_LARGE)
    else:
        jumps = np.diff(finite) > JUMP * np.abs(finite[:1])
        share = float(jumps.mean()) if jumps.size else 0.0
        found, numbers = share > JUMPS, {"share_of_rising_epochs": share, "loss_rose_to": rose}
        epoch = first_epoch(np.arange(2, len(finite) + 1), jumps)
    if not found:
        return
    start = evidence.baseline if math.isfinite(evidence.baseline) else loss[0]
    worse = not loss[-1] <= 0.9 * start
    yield Finding(
        "learning_rate_too_high",
        "severe" if worse else "warning",
        f"{'Steps are of the size of the weights, and the' if ratios.size else 'The'} loss jumps instead of falling.",
        numbers,
        epoch=epoch,
        remedies=_slower(evidence),
    )


def _reference(evidence: Evidence, finite: FloatArray) -> float:
    """Return the loss to compare with: that of a constant prediction, or the lowest there was.

    NaN for losses that may be negative, of which one is no multiple of another.
    """
    if math.isfinite(evidence.baseline) and evidence.baseline > 0.0:
        return evidence.baseline
    lowest = float(finite.min())
    return max(lowest, 1e-300) if lowest >= 0.0 else math.nan


def _update_ratios(evidence: Evidence) -> FloatArray:
    """Return the median over the layers for each observed epoch; empty without statistics."""
    ratios = evidence.layers("update_ratio_max")
    return np.median(ratios, axis=1) if ratios.size else np.empty(0)


def _slower(evidence: Evidence) -> tuple[Remedy, ...]:
    ratios = _update_ratios(evidence)
    ratios = ratios[np.isfinite(ratios) & (ratios > 0.0)]
    factor = min(0.3, max(1e-3, GOOD_LARGE / float(ratios[0]))) if ratios.size else 0.1
    return (
        Remedy("Smaller steps", {"learning_rate_init": one_digit(evidence.learning_rate * factor)}),
        Remedy("Bound the gradient", {"gradient_clip": 1.0}),
        Remedy("Let skmlp.lr_find look for a rate"),
    )


def learning_rate_too_low(evidence: Evidence) -> Iterator[Finding]:
    """Find steps below a ten-thousandth of the weights' size, while the gradient is as large as ever."""
    ratios = _update_ratios(evidence)
    ratios = ratios[np.isfinite(ratios)]
    norms = evidence.column("gradient_norm")
    if not evidence.is_stochastic or not ratios.size or not norms.size or not ratios.max() < TOO_SMALL:
        return
    first, last = float(norms[0]), float(norms[-1])
    falling = last / first if first > 0.0 else 0.0
    if not falling >= 0.5:  # there is no more to learn: small gradients give small steps
        return
    largest = float(ratios.max())
    factor = min(1000.0, max(10.0, GOOD_SMALL / largest)) if largest > 0.0 else 1000.0
    yield Finding(
        "learning_rate_too_low",
        "warning",
        f"No step moved the weights by more than {largest:.1e} of their size, while the gradient is as large as ever.",
        {"largest_update_ratio": largest, "gradient_last_over_first": falling},
        epoch=1,
        remedies=(
            Remedy("Larger steps", {"learning_rate_init": one_digit(evidence.learning_rate * factor)}),
            Remedy("Let skmlp.lr_find look for a rate"),
        ),
    )


def not_converged(evidence: Evidence) -> Iterator[Finding]:
    """Find a training that ended by its number of epochs or its time while the loss was still falling."""
    validation = evidence.column("validation_loss")
    loss = validation if validation.size else evidence.loss
    recent = max(1, len(loss) // RECENT)
    if evidence.stop_reason not in ("max_iter", "max_time", "max_fun") or len(loss) <= recent:
        return
    before, last = loss[-2 * recent - 1 : -recent], loss[-recent:]
    gain = float(1.0 - last.mean() / before.mean()) * len(loss) / recent if before.mean() > 0.0 else 0.0
    good = math.isfinite(evidence.baseline) and last.mean() < GOOD_ENOUGH * evidence.baseline
    if not gain > TO_GAIN or good or np.nanargmin(loss) < len(loss) - recent:
        return
    limit = evidence.stop_reason
    value = evidence.params.get(limit)
    longer = {} if value is None else {limit: 5 * value}
    yield Finding(
        "not_converged",
        "warning",
        f"The training ended by {limit} while the loss fell: as long again would gain about {min(gain, 1.0):.0%}.",
        {"to_gain": gain, "n_epochs": float(len(loss)), "last_loss": float(loss[-1])},
        epoch=len(loss),
        remedies=(
            Remedy("Train longer", longer),
            Remedy("Train longer, and stop where validation data says so", {**longer, "early_stopping": True}),
        ),
    )


def plateau(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that is that of the best constant prediction for most of the training."""
    loss, baseline = evidence.loss, evidence.baseline
    if len(loss) < FEWEST or not baseline > 0.0 or not math.isfinite(baseline):
        return
    flat = np.abs(loss / baseline - 1.0) < FLAT
    share = float(flat.mean())
    if share < MOSTLY or not flat[len(loss) // 2 :].mean() >= MOSTLY:
        return
    began = first_epoch(np.arange(1, len(loss) + 1), flat)
    activations = np.atleast_1d(np.array(evidence.params.get("activation"), object))
    saturating = any(isinstance(each, str) and each in ("logistic", "tanh") for each in activations)
    first = {"activation": "relu", "weight_init": "auto"} if saturating else {"solver": "adam"}
    yield Finding(
        "plateau",
        "warning",
        f"In {share:.0%} of the epochs the loss is that of a constant prediction: nothing was learned from the inputs.",
        {"share_of_epochs": share, "loss": float(loss[-1]), "constant": baseline},
        epoch=began,
        remedies=(
            Remedy("Units that do not saturate" if saturating else "A solver that finds its own step sizes", first),
            Remedy("Larger steps", {"learning_rate_init": one_digit(10.0 * evidence.learning_rate)}),
            Remedy("Make sure that the inputs tell anything about the targets"),
        ),
    )
