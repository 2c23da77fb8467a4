"""The result of a diagnosis: findings, each with its evidence and remedies."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "severe"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "severe")

# Distinguishable with every kind of color vision (Okabe and Ito's palette).
_COLORS = {"info": "#56b4e9", "warning": "#e69f00", "severe": "#d55e00"}
_MARKS = {"info": "i", "warning": "!", "severe": "!!"}


class TrainingHealthWarning(UserWarning):
    """A monitored training has a severe problem, or the network predicts far worse than a constant would."""


class DivergedError(ValueError):
    """A training diverged in its first epoch, before there were any good weights.

    Attributes
    ----------
    diagnosis : Diagnosis
        What went wrong, and what to do. The estimator is unchanged and has no records of this training.
    """

    diagnosis: "Diagnosis"


@dataclass(frozen=True)
class Remedy:
    """Something to do about a finding.

    Attributes
    ----------
    text : str
        The remedy in words.
    params : dict
        Parameters to set on the estimator; empty if no parameter does it.
    scale_inputs : bool
        Whether to put a ``StandardScaler`` in front of the estimator.
    members : dict
        Settings of the members of a tabular estimator, by parameter: lists of values to draw from, as in its
        parameter `members`, whose other settings stay.
    """

    text: str
    params: Mapping[str, Any] = field(default_factory=dict)
    scale_inputs: bool = False
    members: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, estimator: Any) -> Any:
        """Return an unfitted copy of the estimator with the remedy applied.

        Parameters
        ----------
        estimator : estimator
            The one that was diagnosed. It is not modified.

        Returns
        -------
        estimator : estimator or Pipeline

        Raises
        ------
        ValueError
            If the remedy consists neither of parameters nor of scaling.
        """
        from sklearn.base import clone

        if not self._is_automatic:
            raise ValueError(f"This remedy cannot be applied automatically: {self.text}")
        changed = clone(estimator).set_params(**self.params)
        if self.members:
            changed.set_params(members=changed._members_with(self.members))
        if not self.scale_inputs:
            return changed
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), changed)

    @property
    def _is_automatic(self) -> bool:
        return bool(self.params or self.members or self.scale_inputs)

    def __str__(self) -> str:
        settings = [f"{name}={value!r}" for name, value in self.params.items()]
        if self.members:
            drawn = ", ".join(f"{name!r}: {values!r}" for name, values in self.members.items())
            settings.append(f"members={{{drawn}, ...}}")
        return f"{self.text}: {', '.join(settings)}" if settings else self.text


@dataclass(frozen=True)
class Finding:
    """One problem of a training.

    Attributes
    ----------
    code : str
        Its name, for example ``"vanishing_gradients"``.
    severity : {"info", "warning", "severe"}
    message : str
        A sentence for the user.
    evidence : dict of str to float
        The numbers that prove it.
    layer : int or None
        The dense layer concerned, counted from 1; None for the whole network.
    epoch : int or None
        The epoch in which it began, counted from 1; None if that does not apply.
    remedies : tuple of Remedy
        In the order in which to try them.
    symptom_of : str or None
        Code of the finding that explains this one.
    """

    code: str
    severity: Severity
    message: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    layer: int | None = None
    epoch: int | None = None
    remedies: tuple[Remedy, ...] = ()
    symptom_of: str | None = None

    @property
    def title(self) -> str:
        """The code in words."""
        return self.code.replace("_", " ").capitalize()

    def __str__(self) -> str:
        lines = [f"[{self.severity}] {self.title}: {self.message}"]
        if self.evidence:
            lines.append("    evidence: " + self._numbers())
        if self.symptom_of:
            lines.append(f"    explained by: {self.symptom_of.replace('_', ' ')}")
        return "\n".join([*lines, *(f"    {word}: {remedy}" for word, remedy in self._advice())])

    def _advice(self) -> Iterator[tuple[str, Remedy]]:
        return zip(("try", *["or"] * len(self.remedies)), self.remedies, strict=False)

    def _numbers(self) -> str:
        where = [] if self.layer is None else [f"layer {self.layer}"]
        when = [] if self.epoch is None else [f"since epoch {self.epoch}"]
        return ", ".join([*where, *when, *(f"{name} {value:.3g}" for name, value in self.evidence.items())])


class Diagnosis(Sequence[Finding]):
    """The findings about a training, most severe first; a sequence.

    Attributes
    ----------
    findings : tuple of Finding
    not_examined : tuple of str
        What could not be examined, and what would be needed for it.
    """

    def __init__(self, findings: Sequence[Finding], not_examined: Sequence[str] = ()) -> None:
        self.findings = tuple(sorted(findings, key=lambda each: -SEVERITIES.index(each.severity)))
        self.not_examined = tuple(not_examined)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, index: Any) -> Any:
        return self.findings[index]

    @property
    def codes(self) -> list[str]:
        """The codes of the findings."""
        return [finding.code for finding in self.findings]

    @property
    def is_healthy(self) -> bool:
        """Whether no finding is more severe than an info."""
        return all(finding.severity == "info" for finding in self.findings)

    def find(self, code: str) -> Finding | None:
        """Return the finding with this code, or None."""
        return next((finding for finding in self.findings if finding.code == code), None)

    def at_least(self, severity: Severity) -> list[Finding]:
        """Return the findings with this severity or a higher one."""
        if severity not in SEVERITIES:
            raise ValueError(
                "The 'severity' parameter of at_least must be a str among {'info', 'severe', 'warning'}. "
                f"Got {severity!r} instead."
            )
        least = SEVERITIES.index(severity)
        return [finding for finding in self.findings if SEVERITIES.index(finding.severity) >= least]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the findings as dicts of text and numbers for JSON; infinity and NaN become None."""
        return [
            {
                "code": each.code,
                "severity": each.severity,
                "message": each.message,
                "layer": each.layer,
                "epoch": each.epoch,
                "evidence": {name: value if math.isfinite(value) else None for name, value in each.evidence.items()},
                "symptom_of": each.symptom_of,
                "remedies": [str(remedy) for remedy in each.remedies],
            }
            for each in self.findings
        ]

    def __str__(self) -> str:
        n_urgent = len(self.at_least("warning"))
        if n_urgent:
            verdict = f"{n_urgent} finding{'s' if n_urgent > 1 else ''} to act on"
        else:
            verdict = "no problems found"
        lines = [f"Diagnosis of the training: {verdict}.", *(str(finding) for finding in self.findings)]
        lines += [f"Not examined: {what}" for what in self.not_examined]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(_row(finding) for finding in self.findings)
        not_examined = "".join(f"<p><small>Not examined: {html.escape(what)}</small></p>" for what in self.not_examined)
        head = html.escape(str(self).split("\n", 1)[0])
        table = f'<table style="border-collapse:collapse;text-align:left">{rows}</table>' if rows else ""
        return f'<div style="max-width:60em"><p><b>{head}</b></p>{table}{not_examined}</div>'


def _row(finding: Finding) -> str:
    """Return a finding as a row of an HTML table that is legible on light and dark backgrounds."""
    cell = "padding:.4em .6em;vertical-align:top;text-align:left;border-top:1px solid #8888"
    mark = f"<b>{_MARKS[finding.severity]}</b>&nbsp;{finding.severity}"
    numbers = f"<br><small>{html.escape(finding._numbers())}</small>" if finding.evidence else ""
    cause = finding.symptom_of
    because = f"<br><small>explained by: {html.escape(cause.replace('_', ' '))}</small>" if cause else ""
    remedies = "<br>".join(
        f"{word}: <code>{html.escape(str(remedy))}</code>"
        if remedy.params or remedy.members
        else f"{word}: {html.escape(str(remedy))}"
        for word, remedy in finding._advice()
    )
    return (
        f'<tr><td style="{cell};border-left:.4em solid {_COLORS[finding.severity]};white-space:nowrap">{mark}</td>'
        f'<td style="{cell}"><b>{html.escape(finding.title)}</b>: {html.escape(finding.message)}{numbers}{because}'
        f"{f'<br>{remedies}' if remedies else ''}</td></tr>"
    )
