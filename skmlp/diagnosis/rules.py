"""The registry of rules, and which finding explains which."""

from bisect import insort
from collections.abc import Callable, Iterator

from skmlp.diagnosis.evidence import Evidence
from skmlp.diagnosis.findings import Finding

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
        insort(RULES, function, key=_ranks.__getitem__)
        if explained_by:
            CAUSES[function.__name__] = explained_by
        return function

    return register
