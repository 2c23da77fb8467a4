"""Rules about hidden units that are dead, saturated, copies of each other, or unused."""

import math
from collections.abc import Iterator

import numpy as np

from skmlp._typing import FloatArray
from skmlp.diagnosis.evidence import Evidence, first_epoch
from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.remedies import (
    DEFAULT_WEIGHTS,
    change_learning_rate,
    has_default_weights,
    has_equal_neighbours,
    normalize_layers,
)
from skmlp.diagnosis.rules import rule

# Fractions of a layer's units. A tenth of dead relu units is common, and a third of saturated outputs does no harm.
DEAD, SEVERE_DEAD = 0.5, 0.9
SATURATED, SEVERE_SATURATED = 0.5, 0.95
# Units are copies if their incoming weights, bias included, differ by at most this fraction of their norm.
COPY, MOSTLY_COPIES = 1e-3, 0.5
# A unit is unused if it contributes less to the next layer than this fraction of the layer's largest contribution.
CONTRIBUTION, UNUSED = 0.01, 0.5


@rule(rank=90, explained_by=("unscaled_inputs", "learning_rate_too_high", "diverged", "underfitting"))
def dead_units(evidence: Evidence) -> Iterator[Finding]:
    """Find a layer in which many units have no gradient for any sample at the end of the training."""
    dead = evidence.layer_statistic("dead_fraction")
    if not dead.size or np.isnan(dead[-1]).all():
        return
    layer = int(np.nanargmax(dead[-1]))
    at_start, at_end = float(dead[0, layer]), float(dead[-1, layer])
    if at_end < DEAD:
        return
    default_bias = evidence.params.get("bias_init") in ("auto", "zeros")
    default_start = DEFAULT_WEIGHTS if default_bias else Remedy("Use the default initial biases", {"bias_init": "auto"})
    yield Finding(
        "dead_units",
        "severe" if at_end >= SEVERE_DEAD else "warning",
        f"{at_end:.0%} of the units of layer {layer + 1} have no gradient for any sample and cannot learn any more.",
        {"dead_fraction": at_end, "at_the_start": at_start},
        layer=layer + 1,
        epoch=first_epoch(evidence.monitored_epochs, dead[:, layer] >= DEAD),
        remedies=(
            default_start if at_start >= DEAD else change_learning_rate(evidence, 0.1),
            Remedy("Use an activation with a nonzero derivative everywhere", {"activation": "leaky_relu"}),
            normalize_layers(evidence),
        ),
    )


@rule(rank=100, explained_by=("unscaled_inputs", "learning_rate_too_high", "diverged"))
def saturated_units(evidence: Evidence) -> Iterator[Finding]:
    """Find a layer in which many outputs of logistic or tanh units are saturated in the second half of the training."""
    saturated = evidence.layer_statistic("saturated_fraction")
    if not saturated.size:
        return
    fractions = np.nan_to_num(np.median(saturated[len(saturated) // 2 :], axis=0), nan=-1.0)
    layer = int(fractions.argmax())
    at_start, fraction = float(saturated[0, layer]), float(fractions[layer])
    if fraction < SATURATED:
        return
    started_large = at_start >= SATURATED and not has_default_weights(evidence)
    yield Finding(
        "saturated_units",
        "severe" if fraction >= SEVERE_SATURATED else "warning",
        f"{fraction:.0%} of the outputs of layer {layer + 1} are saturated: the derivative of the activation is "
        "almost 0.",
        {"saturated_fraction": fraction, "at_the_start": at_start},
        layer=layer + 1,
        epoch=first_epoch(evidence.monitored_epochs, saturated[:, layer] >= SATURATED),
        remedies=(
            *([DEFAULT_WEIGHTS] if started_large else []),
            normalize_layers(evidence),
            Remedy("Use an activation that does not saturate", {"activation": "relu"}),
        ),
    )


@rule(rank=60, explained_by=("diverged", "learning_rate_too_high", "underfitting", "unscaled_inputs"))
def symmetric_units(evidence: Evidence) -> Iterator[Finding]:
    """Find the first layer in which most units have the same weights as another one, so that they learn the same."""
    for layer, (weights, biases) in enumerate(zip(evidence.weights[:-1], evidence.biases[:-1], strict=True), start=1):
        fraction = fraction_of_copies(weights, biases)
        if fraction > MOSTLY_COPIES:
            yield Finding(
                "symmetric_units",
                "severe",
                f"{fraction:.0%} of the units of layer {layer} are copies of others: units that start with the same "
                "weights learn the same.",
                {"fraction_of_copies": fraction, "n_units": weights.shape[1]},
                layer=layer,
                epoch=1,
                remedies=(Remedy("Use random initial weights", {"weight_init": "auto"}),),
            )
            return


def fraction_of_copies(weights: FloatArray, biases: FloatArray) -> float:
    """Return the fraction of units with the same incoming weights and bias as another unit.

    Units with negligible weights do not count as copies, unless all weights are zero. After sorting by a random
    projection copies are neighbours, so that only neighbours need to be compared.

    Parameters
    ----------
    weights : ndarray of shape (n_in, n_units)
    biases : ndarray of shape (n_units,)
    """
    incoming = np.vstack([weights, biases]).astype(np.float64)
    norms = np.linalg.norm(incoming, axis=0)
    if weights.shape[1] < 2 or not np.isfinite(norms).all():
        return 0.0
    if not weights.any():
        return 1.0
    considered = norms >= 1e-6 * norms.max()
    projection = np.random.default_rng(0).standard_normal(len(incoming)) @ incoming[:, considered]
    order = np.flatnonzero(considered)[np.argsort(projection)]
    distances = np.linalg.norm(np.diff(incoming[:, order], axis=1), axis=0)
    equals_next = distances <= COPY * norms[order[1:]]
    is_copy = np.append(equals_next, False) | np.append(False, equals_next)
    return int(np.count_nonzero(is_copy)) / int(weights.shape[1])


@rule(rank=190, explained_by=("dead_units", "learning_rate_too_high", "diverged", "underfitting", "symmetric_units"))
def unused_capacity(evidence: Evidence) -> Iterator[Finding]:
    """Find layers in which many units contribute almost nothing to the next layer."""
    spreads = evidence.data_summary.get("unit_spread", ())
    for layer, (spread, outgoing) in enumerate(zip(spreads, evidence.weights[1:], strict=False), start=1):
        with np.errstate(invalid="ignore"):  # infinity times 0
            contributions = spread * np.linalg.norm(outgoing.astype(np.float64), axis=1)
        largest = float(contributions.max())
        if not 0.0 < largest < math.inf:
            continue
        used = int(np.count_nonzero(contributions >= CONTRIBUTION * largest))
        if used > (1.0 - UNUSED) * len(spread):
            continue
        sizes = [len(each) for each in spreads]
        sizes[layer - 1] = max(1, used)
        possible = has_equal_neighbours(sizes) or not evidence.params.get("residual")
        yield Finding(
            "unused_capacity",
            "info",
            f"Only {used} of the {len(spread)} units of layer {layer} matter; each of the others contributes less than "
            f"{CONTRIBUTION:.0%} of what the strongest one does.",
            {"n_units": len(spread), "n_used": used},
            layer=layer,
            remedies=(Remedy("Use a smaller network", {"hidden_layer_sizes": tuple(sizes)} if possible else {}),),
        )
