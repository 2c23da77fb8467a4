"""The members of a tabular estimator: their settings, drawn at random or given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmlp.estimators.parameters import ParameterTable

__all__ = ["COMMON", "draw_settings"]

# Parameters that concern all members: the data, the targets, what is reported. They belong to the tabular estimator.
COMMON = frozenset(
    {
        *("random_state", "max_iter", "max_time", "verbose", "warm_start", "shuffle", "dtype", "restore_best"),
        *("loss", "class_weight", "standardize_target"),
        *("categorical_features", "max_categories", "missing", "scaling", "categorical_embedding"),
        *("early_stopping", "validation_fraction", "validation_split", "scoring", "refit", "monitor"),
        *("n_iter_no_change", "tol", "max_fun"),
    }
)


def draw_settings(members: Any, table: ParameterTable, rngs: Sequence[np.random.Generator]) -> list[dict[str, Any]]:
    """Return the settings of each member, by parameter.

    Parameters
    ----------
    members : dict or sequence of dict
        Distributions, from which each member draws, or the settings themselves: as many as there are members.
    table : ParameterTable
        The parameters of a member.
    rngs : sequence of numpy.random.Generator
        One for each member. A member draws the same values whatever the number of members.

    Returns
    -------
    settings : list of dict

    Raises
    ------
    ValueError
        For a name that is not a parameter of a member, for something that cannot be drawn from, and for a wrong number
        of settings.
    """
    is_space = isinstance(members, Mapping)
    given: list[Mapping[str, Any]] = [members] * len(rngs) if is_space else list(members)
    wrong = [each for each in given if not isinstance(each, Mapping)]
    if wrong or len(given) != len(rngs):
        got = f"{wrong[0]!r} in the list" if wrong else f"{len(given)} of them for n_members={len(rngs)}"
        raise ValueError(
            f"members must be a dict of distributions, or a list with a dict of settings for each member: got {got}."
        )
    for each in given:
        _check_names(each, table)
    if not is_space:
        return [dict(each) for each in given]
    return [{name: _draw(name, values, rng) for name, values in members.items()} for rng in rngs]


def _check_names(settings: Mapping[str, Any], table: ParameterTable) -> None:
    known = {row.name for row in table.rows}
    for name in settings:
        outer = name.partition("__")[0] if isinstance(name, str) else name
        if outer in COMMON:
            raise ValueError(f"members cannot set {name!r}, which is the same for all members.")
        if outer not in known:
            raise ValueError(
                f"members has {name!r}, which is not a parameter of a member. Choose among {sorted(known - COMMON)}."
            )


def _draw(name: str, values: Any, rng: np.random.Generator) -> Any:
    """Return a value from a list, or from a distribution of :mod:`scipy.stats`."""
    if hasattr(values, "rvs"):
        value = values.rvs(random_state=rng)
        return value.item() if isinstance(value, np.generic) else value
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str) or len(values) == 0:
        raise ValueError(
            f"members[{name!r}] must be a list of values or a distribution with a method rvs, got {values!r}. "
            f"Write [{values!r}] for the same value in all members."
        )
    chosen = values[int(rng.integers(len(values)))]
    return chosen.item() if isinstance(chosen, np.generic) else chosen
