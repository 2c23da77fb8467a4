"""The diagnosis of several networks whose predictions are averaged: what members have in common is said once."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import SEVERITIES, Diagnosis, Finding, Severity
from skmlp.diagnosis.held_out import falls_at_the_end, only_if_the_score_fell
from skmlp.diagnosis.rules import RULES, apply_rule, link_symptoms
from skmlp.diagnosis.weak_members import use_values_of, weak_members

__all__ = ["judge_members"]

# Rules about the data and about the quality of the fit. What counts there is the mean, which is what predicts; where it
# does well, members that overfit do no harm.
OF_THE_MEAN = frozenset(
    {
        *("unscaled_inputs", "unscaled_target", "constant_inputs", "class_imbalance"),
        *("overfitting", "undefined_score", "worse_than_constant"),
    }
)
# Replaced by a rule of its own: with a schedule over the whole training, losses fall at the end with the learning rate.
REPLACED = frozenset({"not_converged"})


def judge_members(
    members: Sequence[Evidence],
    mean: Evidence,
    settings: Sequence[Mapping[str, Any]],
    *,
    scores: Sequence[float] = (),
    n_validated: int = 0,
    pauses: Sequence[tuple[int, float]] = (),
) -> Diagnosis:
    """Return what the rules find, each finding once, with the number of members that have it.

    The text and the numbers of a finding are those of its median member. It is severe if it is in at least half of the
    members; the others outweigh a problem of few. If few have it, and they also have a setting that is higher, or
    lower, than that of all others, the first remedy is to use the values of the others.

    Parameters
    ----------
    members : sequence of Evidence
        Of each member.
    mean : Evidence
        Of the mean of the members, for the rules about the data and the quality of the fit.
    settings : sequence of dict
        Those in which the members differ.
    scores : sequence of float, default=()
        Accuracy or R squared of each member on the validation data; NaN if unknown.
    n_validated : int, default=0
        Number of samples in the validation data.
    pauses : sequence of (int, float), default=()
        Epochs in which the learning rate was lowest, with the loss of held-out samples.

    Returns
    -------
    diagnosis : Diagnosis
    """
    shared: list[Finding] = []
    own: list[list[Finding]] = [[] for _ in members]
    codes: dict[str, None] = {}  # in the order of the rules
    for rule in RULES:
        if rule.__name__ in OF_THE_MEAN:
            found = [[only_if_the_score_fell(each, mean, n_validated) for each in apply_rule(rule, mean)]]
            shared += found[0]
        elif rule.__name__ in REPLACED:
            found = [list(falls_at_the_end(pauses, mean))]
            shared += found[0]
        else:
            found = [apply_rule(rule, evidence) for evidence in members]
            for findings, new in zip(own, found, strict=True):
                findings.extend(new)
        codes |= {finding.code: None for new in found for finding in new}
    by_code: defaultdict[str, dict[int, Finding]] = defaultdict(dict)
    for index, findings in enumerate(own):
        for finding in link_symptoms([*shared, *findings]):
            by_code[finding.code][index] = finding
    of_the_mean = {finding.code for finding in shared}
    merged = [
        _typical(by_code[code], len(members)) if code in of_the_mean else _merged(by_code[code], settings)
        for code in codes
    ]
    merged += weak_members(scores, settings, n_validated)
    return Diagnosis(merged, list(_not_examined(members, mean, is_paused=len(pauses) > 1)))


def _typical(found: Mapping[int, Finding], n_members: int) -> Finding:
    """Return the finding of the median member, with the most common cause and the severity for all members."""
    cause = Counter(finding.symptom_of for finding in found.values()).most_common(1)[0][0]
    alike = sorted((finding for finding in found.values() if finding.symptom_of == cause), key=_first_number)
    typical = alike[(len(alike) - 1) // 2]
    return typical if cause else replace(typical, severity=_common_severity([*found.values()], n_members))


def _merged(found: Mapping[int, Finding], settings: Sequence[Mapping[str, Any]]) -> Finding:
    """Return one finding for those of several members, which are given by their numbers."""
    n_members = len(settings)
    typical = _typical(found, n_members)
    if n_members == 1:
        return typical
    where = f"all {n_members}" if len(found) == n_members else f"{len(found)} of {n_members}"
    remedies = list(typical.remedies)
    if 2 * len(found) < n_members:
        others = [each for index, each in enumerate(settings) if index not in found]
        narrower = list(use_values_of([settings[index] for index in found], others))
        replaced = {name for remedy in narrower for name in remedy.members}
        remedies = [*narrower, *(remedy for remedy in remedies if not remedy.params.keys() & replaced)]
    return replace(
        typical,
        message=f"In {where} members: {typical.message[:1].lower()}{typical.message[1:]}",
        evidence={"in_members": float(len(found)), **typical.evidence},
        remedies=tuple(remedies),
    )


def _first_number(finding: Finding) -> float:
    number = float(next(iter(finding.evidence.values()), 0.0))
    return math.inf if math.isnan(number) else number


def _common_severity(findings: Sequence[Finding], n_members: int) -> Severity:
    """Return the highest severity among the findings, but "severe" only if half of the members have it."""
    levels = [SEVERITIES.index(finding.severity) for finding in findings]
    severe = SEVERITIES.index("severe")
    highest = max(levels)
    if highest == severe and 2 * levels.count(severe) < n_members:
        highest = severe - 1
    return SEVERITIES[highest]


def _not_examined(members: Sequence[Evidence], mean: Evidence, *, is_paused: bool) -> Iterator[str]:
    if not any(member.was_monitored for member in members):
        yield "gradients, updates and units; fit with monitor=True."
    if not mean.data_summary:
        yield "scales, classes, and the loss of a constant prediction; fit with monitor=True, or pass X and y."
    if not mean.column("validation_loss").size:
        yield "overfitting, and weak members; fit with validation data: X_val and y_val, or validation_split."
    if not is_paused:
        yield "whether more epochs would help; fit with early_stopping=True, or on more samples."
