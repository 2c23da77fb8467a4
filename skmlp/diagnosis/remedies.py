"""Remedies that several rules recommend."""

from itertools import pairwise
from typing import Any

from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Remedy
from skmlp.nn.losses import LOSSES, Loss

CLIP_GRADIENT = Remedy("Clip the gradient", {"gradient_clip": 1.0})
DEFAULT_WEIGHTS = Remedy("Use the default initial weights", {"weight_init": "auto"})
FIND_LEARNING_RATE = Remedy("Find a learning rate with skmlp.lr_find")


def scale_inputs(evidence: Evidence) -> Remedy:
    """Return the remedy to scale the features; in a table that is done after encoding, since not all are numbers."""
    if evidence.reads_table:
        return Remedy("Scale the numbers", {"scaling": "robust"})
    return Remedy("Standardize the features: make_pipeline(StandardScaler(), ...)", scale_inputs=True)


def change_learning_rate(evidence: Evidence, factor: float) -> Remedy:
    """Return the remedy to multiply the learning rate by a factor."""
    text = "Reduce the learning rate" if factor < 1.0 else "Increase the learning rate"
    return Remedy(text, {"learning_rate_init": round_to_one_digit(factor * evidence.learning_rate)})


def normalize_layers(evidence: Evidence) -> Remedy:
    """Return the remedy to normalize each layer: over batches, where these have a variance."""
    full_batch_or_single = evidence.is_lbfgs or evidence.params.get("batch_size") == 1
    return Remedy("Normalize each layer", {"normalization": "layer" if full_batch_or_single else "batch"})


def scale_target(loss: Any) -> Remedy:
    """Return the remedy to scale the target that the loss allows: deviances need targets above zero."""
    chosen = LOSSES.get(loss) if isinstance(loss, str) else loss
    if isinstance(chosen, Loss) and not chosen.is_equivariant:
        return Remedy("Divide the target by its typical size")
    return Remedy("Standardize the target", {"standardize_target": True})


def has_default_weights(evidence: Evidence) -> bool:
    """Tell whether the initial weights have a scale that keeps signals from vanishing or exploding."""
    return evidence.params.get("weight_init") in ("auto", "glorot_uniform", "glorot_normal", None)


def has_equal_neighbours(sizes: list[int]) -> bool:
    """Tell whether two successive hidden layers have the same size, as residual connections need."""
    return any(one == other for one, other in pairwise(sizes))


def round_to_one_digit(value: float) -> float:
    """Round a recommended value to one significant digit."""
    return float(f"{value:.0e}")
