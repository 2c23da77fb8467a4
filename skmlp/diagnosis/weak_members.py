"""Members of a mean of networks that predict clearly worse than the others."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from skmlp.diagnosis.findings import Finding, Remedy
from skmlp.diagnosis.held_out import chance

# A member is weak if 1 minus its score is this many times that of the median member, ...
WORSE = 1.5
# ... and the difference of the scores is at least this, and this many times their median absolute deviation, and more
# than chance would make of it.
GAP, FAR = 0.02, 5.0
# With fewer, there is no telling which one is the exception.
FEWEST_MEMBERS = 3


def weak_members(scores: Sequence[float], settings: Sequence[Mapping[str, Any]], n_validated: int) -> Iterator[Finding]:
    """Find members that predict the validation data clearly worse than most others.

    Parameters
    ----------
    scores : sequence of float
        Accuracy or R squared of each member; NaN if unknown.
    settings : sequence of dict
        Those in which the members differ.
    n_validated : int
        Number of samples in the validation data.
    """
    known = np.array(scores, np.float64)
    if np.count_nonzero(np.isfinite(known)) < FEWEST_MEMBERS:
        return
    median = float(np.nanmedian(known))
    gaps = median - known
    usual = float(np.nanmedian(np.abs(gaps)))
    least = max(GAP, FAR * usual, chance(median, n_validated))
    weak = (gaps > least) & (1.0 - known > WORSE * (1.0 - median))
    if not weak.any():
        return
    which = np.flatnonzero(weak).tolist()
    highest, lowest = float(known[weak].max()), float(known[weak].min())
    if len(which) == 1:
        who = f"Member {which[0]} scores {lowest:.3g}"
    else:
        who = f"Members {', '.join(map(str, which))} score at most {highest:.3g}"
    others = [each for each, is_weak in zip(settings, weak, strict=True) if not is_weak]
    yield Finding(
        "weak_members",
        "warning",
        f"{who} on the validation data, the median member {median:.3g}.",
        {"in_members": float(len(which)), "lowest_score": lowest, "median_score": median},
        remedies=(
            *use_values_of([settings[index] for index in which], others),
            Remedy("Train more members, so that these count less", {"n_members": 2 * len(known)}),
        ),
    )


def use_values_of(few: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Iterator[Remedy]:
    """Yield a remedy for each number that is higher, or lower, in a few members than in all others."""
    for name in few[0]:
        values, good = _numbers(few, name), _numbers(others, name)
        if values and good and (min(values) > max(good) or max(values) < min(good)):
            kept = sorted({_round(value) for value in good})
            yield Remedy(f"Draw {name} from the values of the other members", members={name: kept})


def _numbers(settings: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Return the values of a setting; none if they are not all numbers."""
    values = [each.get(name) for each in settings]
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return values if are_numbers else []


def _round(value: Any) -> Any:
    """Round to two significant digits; an int remains one."""
    return value if value == 0 or isinstance(value, int) else round(value, 1 - math.floor(math.log10(abs(value))))
