"""Rules about gradients that vanish, explode or are mostly noise."""

import math
from collections.abc import Iterator

import numpy as np

from skmlp.diagnosis.evidence import Evidence, first_epoch, largest_finite
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.remedies import (
    CLIP_GRADIENT,
    DEFAULT_WEIGHTS,
    has_default_weights,
    has_equal_neighbours,
    normalize_layers,
    scale_inputs,
)
from skmlp.diagnosis.rules import rule

# Gradient norm of the first layer relative to the last. In healthy networks it lies between 0.1 and 10; each layer of
# logistic units divides it by about 4.
VANISHING, SEVERE_VANISHING = 1e-3, 1e-4
# Gradient norm relative to the loss of a constant prediction, or to 1 if that is less. With scaled data and the default
# weights it starts below 5.
EXPLODING, SEVERE_EXPLODING = 100.0, 1e4
# Samples of a mini-batch, ...
SMALL_BATCH = 32
# ... signal-to-noise ratio of its gradient in the first half of the training (later it falls in every training), ...
NOISY = 0.1
# ... and last gradient norm relative to the largest. Below that the noise no longer moves the weights much.
SETTLED = 0.1
RECOMMENDED_BATCH = (32, 256)


@rule(rank=70, explained_by=("diverged",))
def vanishing_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find a first layer whose gradient is far smaller than the last one's in most epochs."""
    norms = evidence.layer_statistic("gradient_norm")
    if norms.shape[1] < 2:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = norms[:, 0] / norms[:, -1]
    ratio = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else math.nan
    if not 0.0 < ratio < VANISHING:  # a gradient of exactly 0 comes from dead units
        return
    remedies = [
        Remedy(
            "Use an activation that does not saturate, with matching initial weights",
            {"activation": "relu", "weight_init": "auto"},
        ),
        normalize_layers(evidence),
    ]
    if not evidence.weights or has_equal_neighbours([weights.shape[1] for weights in evidence.weights[:-1]]):
        remedies.append(Remedy("Add residual connections", {"residual": True}))
    yield Finding(
        "vanishing_gradients",
        "severe" if ratio < SEVERE_VANISHING else "warning",
        f"The gradient of the first layer is {ratio:.1e} times that of the last one: the early layers hardly learn.",
        {"first_over_last": ratio, "first_layer_norm": float(np.median(norms[:, 0])), "n_layers": norms.shape[1]},
        layer=1,
        epoch=first_epoch(evidence.monitored_epochs, ratios < VANISHING),
        remedies=tuple(remedies),
    )


@rule(
    rank=80,
    explained_by=("unscaled_inputs", "unscaled_target", "learning_rate_too_high", "diverged", "underfitting"),
)
def exploding_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find a gradient far larger than the data and the loss account for."""
    norms = evidence.column("gradient_norm")
    scale = max(1.0, evidence.baseline) if math.isfinite(evidence.baseline) else 1.0
    relative = norms / scale
    largest = largest_finite(relative)
    if largest < EXPLODING:
        return
    began = first_epoch(np.arange(1, len(relative) + 1), relative >= EXPLODING)
    by_layer = evidence.layer_statistic("gradient_norm_max")
    layer = int(np.argmax(np.nan_to_num(by_layer.max(axis=0), nan=math.inf))) + 1 if by_layer.size else None
    started_large = began == 1 and not has_default_weights(evidence)
    yield Finding(
        "exploding_gradients",
        "severe" if largest > SEVERE_EXPLODING else "warning",
        f"The gradient norm reaches {largest * scale:.1e}, far more than scaled data and default weights give.",
        {"largest_norm": largest * scale, "median_norm": float(np.nanmedian(norms)), "over_baseline_loss": largest},
        layer=layer,
        epoch=began,
        remedies=(
            *([] if "feature_std" in evidence.data_summary else [scale_inputs(evidence)]),
            *([DEFAULT_WEIGHTS] if started_large else []),
            *([] if evidence.is_lbfgs else [CLIP_GRADIENT]),
            normalize_layers(evidence),
        ),
    )


@rule(rank=170)
def small_batch(evidence: Evidence) -> Iterator[Finding]:
    """Find small mini-batches whose gradients are mostly noise and do not get smaller."""
    batch_size, norms = evidence.params.get("batch_size"), evidence.column("gradient_norm")
    signal = evidence.layer_statistic("gradient_snr")
    signal = signal[np.isfinite(signal).all(axis=1)]
    if not isinstance(batch_size, int | np.integer) or batch_size >= SMALL_BATCH or not len(signal):
        return
    first_half = signal.mean(axis=1)[: max(1, len(signal) // 2)]
    ratio = float(np.median(first_half))
    largest = largest_finite(norms)
    last_over_largest = float(norms[-1]) / largest if largest > 0.0 else math.nan
    if not (ratio < NOISY and last_over_largest > SETTLED):
        return
    noise_scale = batch_size / ratio if ratio > 0.0 else math.inf
    low, high = RECOMMENDED_BATCH
    better = min(
        int(2 ** round(math.log2(min(max(noise_scale, low), high)))), evidence.data_summary.get("n_samples", high)
    )
    yield Finding(
        "small_batch",
        "warning",
        f"The gradient of a mini-batch of {batch_size} is mostly noise, which keeps moving the weights.",
        {"batch_size": float(batch_size), "signal_to_noise": ratio, "last_over_largest_norm": last_over_largest},
        epoch=1,
        remedies=(
            Remedy("Use larger mini-batches", {"batch_size": better}),
            Remedy("Decrease the learning rate during training", {"learning_rate": "cosine"}),
            *(() if evidence.averages else (Remedy("Average the weights", {"averaging": 0.99}),)),
        ),
    )
