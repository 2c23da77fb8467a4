"""Judging a training by its records: what went wrong, the numbers that prove it, and what to do.

Rules are small functions from :class:`Evidence` to :class:`Finding`, by what they look at: ``gradients``, ``units``,
``pace``, ``fit``, ``data``. ``judge`` applies them all. Nothing here computes anything on a network.
"""

from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Diagnosis, DivergedError, Finding, Remedy, Severity, TrainingHealthWarning
from skmlp.diagnosis.judgement import CAUSES, RULES, judge

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
]
