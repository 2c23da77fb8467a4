"""What becomes of the gradient on its way back: it vanishes, explodes, or drowns in noise."""

import math
from collections.abc import Iterator

import numpy as np

from skmlp.diagnosis.evidence import Evidence, allows_residual, first_epoch
from skmlp.diagnosis.findings import Finding, Remedy

__all__ = ["exploding_gradients", "small_batch", "vanishing_gradients"]

# First over last layer's gradient norm. Healthy networks lie between 0.1 and 10; with logistic units each layer takes a
# factor of about 4.
VANISHING, VANISHED = 1e-3, 1e-4
# Norm of the whole gradient over the loss of a constant prediction (or over 1, if that is less): with scaled data and
# weights of the usual sizes it begins below 5.
EXPLODING, EXPLODED = 100.0, 1e4
# Batches of fewer rows than this whose signal is less than a tenth of their noise in the first half of the training,
# while the gradient stays as large as this share of what it was: then it is noise that moves the weights.
SMALL, HIDDEN, NOT_SETTLING = 32, 0.1, 0.1
# Batch sizes to recommend.
LEAST, MOST = 32, 256


def vanishing_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find a first layer whose gradient is a thousand times smaller than the last one's for most of the training."""
    norms = evidence.layers("gradient_norm")
    if norms.shape[1] < 2:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = norms[:, 0] / norms[:, -1]
    ratio = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else math.nan
    if not 0.0 < ratio < VANISHING:  # a gradient of exactly zero is that of dead units
        return
    remedies = [
        Remedy("Units that do not saturate, with weights to match", {"activation": "relu", "weight_init": "auto"}),
        Remedy("Normalize each layer", {"normalization": evidence.normalization}),
    ]
    if not evidence.weights or allows_residual([weights.shape[1] for weights in evidence.weights[:-1]]):
        remedies.append(Remedy("Let the error signal pass by the layers", {"residual": True}))
    yield Finding(
        "vanishing_gradients",
        "severe" if ratio < VANISHED else "warning",
        f"The gradient of the first layer is {ratio:.1e} times that of the last one: the early layers hardly learn.",
        {"first_over_last": ratio, "first_layer_norm": float(np.median(norms[:, 0])), "n_layers": norms.shape[1]},
        layer=1,
        epoch=first_epoch(evidence.epochs, ratios < VANISHING),
        remedies=tuple(remedies),
    )


def exploding_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find a gradient a hundred times as large as data and loss account for."""
    norms = evidence.column("gradient_norm")
    scale = max(1.0, evidence.baseline) if math.isfinite(evidence.baseline) else 1.0
    sizes = norms / scale
    largest = float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
    if largest < EXPLODING:
        return
    began = first_epoch(np.arange(1, len(sizes) + 1), sizes >= EXPLODING)
    by_layer = evidence.layers("gradient_norm_max")
    layer = int(np.argmax(np.nan_to_num(by_layer.max(axis=0), nan=math.inf))) + 1 if by_layer.size else None
    remedies = [Remedy("Normalize each layer", {"normalization": evidence.normalization})]
    if not evidence.is_lbfgs:
        remedies.insert(0, Remedy("Bound the gradient", {"gradient_clip": 1.0}))
    if began == 1 and not evidence.starts_as_usual:
        remedies.insert(0, Remedy("Begin with weights of the right size", {"weight_init": "auto"}))
    if "feature_std" not in evidence.facts:
        remedies.insert(0, Remedy("Scale the inputs: make_pipeline(StandardScaler(), ...)", scale_inputs=True))
    yield Finding(
        "exploding_gradients",
        "severe" if largest > EXPLODED else "warning",
        f"The norm of the gradient reaches {largest * scale:.1e}, far beyond what scaled data and weights give.",
        {"largest_norm": largest * scale, "median_norm": float(np.nanmedian(norms)), "over_baseline_loss": largest},
        layer=layer,
        epoch=began,
        remedies=tuple(remedies),
    )


def small_batch(evidence: Evidence) -> Iterator[Finding]:
    """Find batches of few rows whose gradients are mostly noise, and do not settle."""
    batch_size, norms = evidence.params.get("batch_size"), evidence.column("gradient_norm")
    signal = evidence.layers("gradient_snr")
    if not isinstance(batch_size, int | np.integer) or batch_size >= SMALL or not np.isfinite(signal).all(axis=1).any():
        return
    known = signal[np.isfinite(signal).all(axis=1)].mean(axis=1)
    early = float(np.median(known[: max(1, len(known) // 2)]))
    largest = float(np.max(norms, where=np.isfinite(norms), initial=0.0))
    settled = float(norms[-1]) / largest if largest > 0.0 else math.nan
    if not (early < HIDDEN and settled > NOT_SETTLING):
        return
    noise_scale = batch_size / early if early > 0.0 else math.inf
    better = int(2 ** round(math.log2(min(max(noise_scale, LEAST), MOST))))
    better = min(better, evidence.facts.get("n_samples", MOST))
    yield Finding(
        "small_batch",
        "warning",
        f"A batch of {batch_size} says little: its gradient is mostly noise, which goes on moving the weights.",
        {"batch_size": float(batch_size), "signal_to_noise": early, "last_over_largest_norm": settled},
        epoch=1,
        remedies=(
            Remedy("Average over more rows a step", {"batch_size": better}),
            Remedy("Let the learning rate fall", {"learning_rate": "cosine"}),
            Remedy("Average the weights", {"averaging": 0.99}),
        ),
    )
