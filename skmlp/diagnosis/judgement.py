"""All rules, and what explains what."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from skmlp.diagnosis.data import class_imbalance, constant_inputs, unscaled_inputs, unscaled_target
from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import SEVERITIES, Diagnosis, Finding, Severity
from skmlp.diagnosis.fit import overfitting, undefined_score, underfitting, worse_than_constant
from skmlp.diagnosis.gradients import exploding_gradients, small_batch, vanishing_gradients
from skmlp.diagnosis.pace import diverged, learning_rate_too_high, learning_rate_too_low, not_converged, plateau
from skmlp.diagnosis.units import dead_units, saturated_units, symmetric_units, unused_capacity

__all__ = ["CAUSES", "RULES", "judge"]

# A rule takes the evidence and yields what it finds. To add one, append it: ``RULES.append(rule)``.
RULES: list[Callable[[Evidence], Iterable[Finding]]] = [
    diverged,
    unscaled_inputs,
    unscaled_target,
    learning_rate_too_high,
    worse_than_constant,
    symmetric_units,
    vanishing_gradients,
    exploding_gradients,
    dead_units,
    saturated_units,
    learning_rate_too_low,
    underfitting,
    overfitting,
    undefined_score,
    not_converged,
    plateau,
    small_batch,
    class_imbalance,
    unused_capacity,
    constant_inputs,
]

# What a finding may be the symptom of: where one of these is found, too, it is explained and steps back.
CAUSES: dict[str, tuple[str, ...]] = {
    "worse_than_constant": ("diverged", "unscaled_inputs", "unscaled_target", "learning_rate_too_high"),
    "exploding_gradients": ("unscaled_inputs", "unscaled_target", "learning_rate_too_high", "diverged", "underfitting"),
    "dead_units": ("unscaled_inputs", "learning_rate_too_high", "diverged", "underfitting"),
    "saturated_units": ("unscaled_inputs", "learning_rate_too_high", "diverged"),
    "learning_rate_too_high": ("unscaled_inputs", "unscaled_target"),
    "learning_rate_too_low": ("unscaled_target",),
    "vanishing_gradients": ("diverged",),
    "symmetric_units": ("diverged", "learning_rate_too_high", "underfitting", "unscaled_inputs"),
    "underfitting": ("diverged", "learning_rate_too_high"),
    "plateau": (
        "vanishing_gradients",
        "saturated_units",
        "dead_units",
        "underfitting",
        "unscaled_target",
        "learning_rate_too_low",
        "learning_rate_too_high",
        "symmetric_units",
    ),
    "not_converged": (
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
    "class_imbalance": ("vanishing_gradients", "dead_units", "underfitting", "plateau", "learning_rate_too_low"),
    "unused_capacity": ("dead_units", "learning_rate_too_high", "diverged", "underfitting", "symmetric_units"),
}


def judge(evidence: Evidence) -> Diagnosis:
    """Return what the rules find in the evidence.

    A finding that another one explains is an info, and its cause as grave as the gravest of what it explains.
    """
    with np.errstate(all="ignore"):  # the records of what went wrong may be near the largest numbers, or beyond
        findings = [_possible(finding, evidence) for rule in RULES for finding in rule(evidence)]
    return Diagnosis(_explained(findings), list(_not_examined(evidence)))


def _possible(finding: Finding, evidence: Evidence) -> Finding:
    """Return the finding without remedies that change nothing, unless no other is left."""
    idle = {"learning_rate_init", "learning_rate"} if evidence.is_lbfgs else set()

    def changes(name: str, value: object) -> bool:
        now = evidence.params.get(name)
        return name not in idle and not (type(now) is type(value) and now == value)

    remedies = [
        each
        for each in finding.remedies
        if not each.params or any(changes(name, value) for name, value in each.params.items())
    ]
    return replace(finding, remedies=tuple(remedies) or finding.remedies)


def _explained(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with symptoms set behind their causes."""
    codes = {finding.code for finding in findings}
    cause_of = {code: next((cause for cause in CAUSES.get(code, ()) if cause in codes), None) for code in codes}
    gravest: dict[str, Severity] = {}
    for finding in findings:
        root = finding.code
        while (cause := cause_of[root]) is not None:
            root = cause
        gravest[root] = max(gravest.get(root, "info"), finding.severity, key=SEVERITIES.index)
    return [
        replace(finding, severity=gravest[finding.code])
        if cause_of[finding.code] is None
        else replace(finding, severity="info", symptom_of=cause_of[finding.code])
        for finding in findings
    ]


def _not_examined(evidence: Evidence) -> Iterator[str]:
    if not evidence.observed:
        yield "gradients, updates and units; fit with monitor=True."
    if not evidence.facts:
        yield "scales, classes, and the loss of a constant prediction; fit with monitor=True, or pass X and y."
    if not evidence.params:
        yield "why the training ended, and whether the best weights were kept; pass the estimator."
    if not evidence.column("validation_loss").size:
        yield "overfitting; fit with validation data: X_val and y_val, validation_split or early_stopping=True."
