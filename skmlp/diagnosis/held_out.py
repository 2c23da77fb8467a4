"""What held-out samples tell: whether more epochs would help, whether a higher loss matters, what is chance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from skmlp.diagnosis.convergence import GOOD_ENOUGH, WORTH_IT
from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Finding, Remedy

__all__ = ["chance", "falls_at_the_end", "only_if_the_score_fell"]


def chance(score: float, n_samples: int) -> float:
    r"""Return by how much a score on held-out samples may differ by chance: three standard errors.

    With :math:`e = 1 - score`, that of an accuracy is at most :math:`\sqrt{e / n}`, and that of R squared about
    :math:`e \sqrt{2 / n}` for normal errors; the larger one counts.
    """
    error = max(1.0 - score, 0.0)
    return 3.0 * max(math.sqrt(error / max(n_samples, 1)), error * math.sqrt(2.0 / max(n_samples, 1)))


def falls_at_the_end(pauses: Sequence[tuple[int, float]], evidence: Evidence) -> Iterator[Finding]:
    """Find a training that ended while the loss of held-out samples was falling from pause to pause.

    A pause is where the learning rate is lowest; between two of them the loss falls with the learning rate and tells
    nothing. From one to the next there are about twice as many epochs.

    Parameters
    ----------
    pauses : sequence of (int, float)
        Epochs and losses, the end of the training included.
    evidence : Evidence
        Of the mean.
    """
    limit = evidence.stop_reason
    if limit not in ("max_iter", "max_time") or len(pauses) < 2:
        return
    losses = np.array([loss for _, loss in pauses])
    before, last = losses[-2:]
    gain = float(1.0 - last / before) if before > 0.0 else 0.0
    if not gain > WORTH_IT or not last <= losses.min() or last < GOOD_ENOUGH * np.nan_to_num(evidence.baseline):
        return
    value = evidence.params.get(limit)
    yield Finding(
        "not_converged",
        "warning",
        f"The training ended by {limit} while the loss of held-out samples was falling: by {gain:.0%} since the last "
        f"pause of the schedule, in epoch {pauses[-2][0]}.",
        {"gain": gain, "n_epochs": float(pauses[-1][0]), "last_loss": float(last)},
        epoch=pauses[-2][0],
        remedies=(Remedy("Train longer", {} if value is None else {limit: 2 * value}),),
    )


def only_if_the_score_fell(finding: Finding, evidence: Evidence, n_samples: int) -> Finding:
    """Return a finding of a rising validation loss as an info, if the score did not fall by more than chance.

    Networks that are too sure of their mistakes have a high log loss, and may still predict the right classes.
    """
    scores = evidence.column("validation_score")
    is_overfitting = finding.code == "overfitting" and finding.epoch is not None and finding.epoch <= len(scores)
    if not is_overfitting or evidence.params.get("scoring") is not None:  # of other scores chance is not known
        return finding
    at_best, last = float(scores[(finding.epoch or 1) - 1]), float(scores[-1])
    if not last >= at_best - chance(at_best, n_samples):
        return finding
    return replace(finding, severity="info", message=f"{finding.message[:-1]}. The score did not fall with it.")
