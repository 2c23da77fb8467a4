"""What is wrong with hidden units: they are dead, saturated, copies of each other, or not needed."""

import math
from collections.abc import Iterator

import numpy as np

from skmlp._typing import FloatArray
from skmlp.diagnosis.evidence import Evidence, allows_residual, first_epoch, one_digit
from skmlp.diagnosis.findings import Finding, Remedy

__all__ = ["dead_units", "saturated_units", "symmetric_units", "unused_capacity"]

# Shares of a layer's units. A tenth of dead relu units is common, and a third of saturated outputs does no harm.
DEAD, ALL_DEAD = 0.5, 0.9
SATURATED, ALL_SATURATED = 0.5, 0.95
# Units count as copies when their incoming weights, bias included, differ by no more than this share of their norm.
COPY, COPIES = 1e-3, 0.5
# A unit counts as unused when what it adds to the next layer is less than this share of the layer's largest; a layer,
# when half of its units do.
CONTRIBUTION, UNUSED = 0.01, 0.5


def dead_units(evidence: Evidence) -> Iterator[Finding]:
    """Find layers half of whose units, or more, have no gradient for any row at the end of the training."""
    dead = evidence.layers("dead_fraction")
    if not dead.size or np.isnan(dead[-1]).all():
        return
    layer = int(np.nanargmax(dead[-1]))
    share = float(dead[-1, layer])
    if share < DEAD:
        return
    began = first_epoch(evidence.epochs, dead[:, layer] >= DEAD)
    yield Finding(
        "dead_units",
        "severe" if share >= ALL_DEAD else "warning",
        f"{share:.0%} of the units of layer {layer + 1} give no gradient for any row and learn no more.",
        {"dead_fraction": share, "at_the_start": float(dead[0, layer])},
        layer=layer + 1,
        epoch=began,
        remedies=_for_dead_units(evidence, from_the_start=bool(dead[0, layer] >= DEAD)),
    )


def _for_dead_units(evidence: Evidence, *, from_the_start: bool) -> tuple[Remedy, ...]:
    leaky = Remedy("Units with a slope everywhere", {"activation": "leaky_relu"})
    normalize = Remedy("Normalize each layer", {"normalization": evidence.normalization})
    if from_the_start:
        params = evidence.params
        usual = {"bias_init": "auto"} if params.get("bias_init") not in ("auto", "zeros") else {"weight_init": "auto"}
        return Remedy("Begin with usual values", usual), leaky, normalize
    slower = {"learning_rate_init": one_digit(0.1 * evidence.learning_rate)}
    return Remedy("Smaller steps", slower), leaky, normalize


def saturated_units(evidence: Evidence) -> Iterator[Finding]:
    """Find layers of logistic or tanh units half of whose outputs lie where these are flat, late in the training."""
    saturated = evidence.layers("saturated_fraction")
    if not saturated.size:
        return
    late = saturated[len(saturated) // 2 :]
    share = np.nan_to_num(np.median(late, axis=0), nan=-1.0)
    layer = int(share.argmax())
    if share[layer] < SATURATED:
        return
    remedies = [
        Remedy("Normalize each layer", {"normalization": evidence.normalization}),
        Remedy("Units that do not saturate", {"activation": "relu"}),
    ]
    if saturated[0, layer] >= SATURATED and not evidence.starts_as_usual:
        remedies.insert(0, Remedy("Begin with weights of the right size", {"weight_init": "auto"}))
    yield Finding(
        "saturated_units",
        "severe" if share[layer] >= ALL_SATURATED else "warning",
        f"{share[layer]:.0%} of the outputs of layer {layer + 1} lie where its activation is flat, without slope.",
        {"saturated_fraction": float(share[layer]), "at_the_start": float(saturated[0, layer])},
        layer=layer + 1,
        epoch=first_epoch(evidence.epochs, saturated[:, layer] >= SATURATED),
        remedies=tuple(remedies),
    )


def symmetric_units(evidence: Evidence) -> Iterator[Finding]:
    """Find layers most of whose units have the weights of another one, so that they can only learn the same."""
    for number, (weights, biases) in enumerate(zip(evidence.weights[:-1], evidence.biases[:-1], strict=True), start=1):
        share = copies(weights, biases)
        if share > COPIES:
            yield Finding(
                "symmetric_units",
                "severe",
                f"{share:.0%} of the units of layer {number} are copies of others: with the same weights at the start, "
                "they learn the same.",
                {"share_of_copies": share, "n_units": weights.shape[1]},
                layer=number,
                epoch=1,
                remedies=(Remedy("Begin with random weights", {"weight_init": "auto"}),),
            )
            return


def copies(weights: FloatArray, biases: FloatArray) -> float:
    """Return the share of units whose incoming weights and bias are those of another unit.

    Units without any weight to speak of are no copies, unless all are. Copies lie next to each other in the order of
    any one number that depends on the weights, so that each unit is compared with its neighbours only.

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
    at_work = norms >= 1e-6 * norms.max()
    projection = np.random.default_rng(0).standard_normal(len(incoming)) @ incoming[:, at_work]
    order = np.flatnonzero(at_work)[np.argsort(projection)]
    distances = np.linalg.norm(np.diff(incoming[:, order], axis=1), axis=0)
    alike = distances <= COPY * norms[order[1:]]
    is_copy = np.append(alike, False) | np.append(False, alike)
    return int(np.count_nonzero(is_copy)) / int(weights.shape[1])


def unused_capacity(evidence: Evidence) -> Iterator[Finding]:
    """Find layers half of whose units, or more, add next to nothing to the next layer."""
    spreads = evidence.facts.get("unit_spread", ())
    for number, (spread, outgoing) in enumerate(zip(spreads, evidence.weights[1:], strict=False), start=1):
        with np.errstate(invalid="ignore"):  # infinite times nothing
            contributions = spread * np.linalg.norm(outgoing.astype(np.float64), axis=1)
        largest = float(contributions.max())
        used = int(np.count_nonzero(contributions >= CONTRIBUTION * largest)) if math.isfinite(largest) else len(spread)
        if largest > 0.0 and used <= (1.0 - UNUSED) * len(spread):
            sizes = [len(each) for each in spreads]
            sizes[number - 1] = max(1, used)
            possible = allows_residual(sizes) or not evidence.params.get("residual")
            yield Finding(
                "unused_capacity",
                "info",
                f"{used} of the {len(spread)} units of layer {number} do its work; the others add less than 1 % of "
                "what the strongest does.",
                {"n_units": len(spread), "n_used": used},
                layer=number,
                remedies=(
                    Remedy("A smaller network does as well", {"hidden_layer_sizes": tuple(sizes)} if possible else {}),
                ),
            )
