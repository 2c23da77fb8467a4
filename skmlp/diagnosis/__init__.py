"""Judging a training by its records: what went wrong, the numbers that prove it, and what to do.

A rule is a small function from :class:`Evidence` to :class:`Finding`, with its thresholds beside it. The rules are
grouped by what they look at: ``convergence``, ``dataset``, ``fit``, ``gradients``, ``units``. ``judge`` applies them
all. Nothing here runs a network.
"""

from skmlp.diagnosis import convergence, dataset, fit, gradients, units  # noqa: F401 - importing registers their rules
from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Diagnosis, DivergedError, Finding, Remedy, Severity, TrainingHealthWarning
from skmlp.diagnosis.members import judge_members
from skmlp.diagnosis.rules import CAUSES, RULES, judge

__all__ = [
    "CAUSES",
    "RULES",
    "Diagnosis",
    "DivergedError",
    "Evidence",
    "Finding",
    "Remedy",
    "Severity",
    "TrainingHealthWarning",
    "judge",
    "judge_members",
]
