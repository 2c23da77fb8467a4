"""The registry of rules, applying them all to the evidence, and telling causes from symptoms."""

import math
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import SEVERITIES, Diagnosis, Finding, Severity

# Takes the evidence and yields what it finds.
Rule = Callable[[Evidence], Iterator[Finding]]

# In the order in which findings of the same severity are listed. To add a rule of your own: ``RULES.append(rule)``.
RULES: list[Rule] = []
# Codes of the findings that explain a finding, by its code. The first one that was found is named as its cause.
CAUSES: dict[str, tuple[str, ...]] = {}
_ranks: dict[Rule, int] = {}


def rule(rank: int, explained_by: tuple[str, ...] = ()) -> Callable[[Rule], Rule]:
    """Register a rule, a function with the name of the code of its findings.

    Parameters
    ----------
    rank : int
        Rules of lower rank come first: those whose findings should be dealt with first.
    explained_by : tuple of str
        Codes of the findings of which this one may be a symptom.
    """

    def register(function: Rule) -> Rule:
        _ranks[function] = rank
        insort(RULES, function, key=lambda each: _ranks.get(each, math.inf))
        if explained_by:
            CAUSES[function.__name__] = explained_by
        return function

    return register


def judge(evidence: Evidence) -> Diagnosis:
    """Return what the rules find in the evidence.

    A finding explained by another one is reduced to an info. Its cause gets the highest severity among its symptoms.
    """
    findings = [each for rule in RULES for each in apply_rule(rule, evidence)]
    return Diagnosis(link_symptoms(findings), list(_not_examined(evidence)))


def apply_rule(rule: Rule, evidence: Evidence) -> list[Finding]:
    """Return what a rule finds, without remedies that change nothing."""
    with np.errstate(all="ignore"):  # after a divergence, numbers may be near the largest ones or beyond
        return [_with_effective_remedies(each, evidence) for each in rule(evidence)]


def _with_effective_remedies(finding: Finding, evidence: Evidence) -> Finding:
    """Return the finding without remedies that change nothing, unless there is no other."""
    ineffective = {"learning_rate_init", "learning_rate"} if evidence.is_lbfgs else set()

    def changes(name: str, value: object) -> bool:
        now = evidence.params.get(name)
        return name not in ineffective and not (type(now) is type(value) and now == value)

    remedies = [
        remedy
        for remedy in finding.remedies
        if not remedy.params or any(changes(name, value) for name, value in remedy.params.items())
    ]
    return replace(finding, remedies=tuple(remedies) or finding.remedies)


def link_symptoms(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, each symptom with the code of its cause, and each cause with its symptoms' severity."""
    codes = {finding.code for finding in findings}
    cause_of = {code: next((cause for cause in CAUSES.get(code, ()) if cause in codes), None) for code in codes}
    highest: dict[str, Severity] = {}
    for finding in findings:
        root = finding.code
        while (cause := cause_of[root]) is not None:
            root = cause
        highest[root] = max(highest.get(root, "info"), finding.severity, key=SEVERITIES.index)
    return [
        replace(finding, severity=highest[finding.code])
        if cause_of[finding.code] is None
        else replace(finding, severity="info", symptom_of=cause_of[finding.code])
        for finding in findings
    ]


def _not_examined(evidence: Evidence) -> Iterator[str]:
    if not evidence.was_monitored:
        yield "gradients, updates and units; fit with monitor=True."
    if not evidence.data_summary:
        yield "scales, classes, and the loss of a constant prediction; fit with monitor=True, or pass X and y."
    if not evidence.params:
        yield "why the training ended, and whether the best weights were kept; pass the estimator."
    if not evidence.column("validation_loss").size:
        yield "overfitting; fit with validation data: X_val and y_val, validation_split or early_stopping=True."
