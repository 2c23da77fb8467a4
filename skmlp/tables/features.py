"""Which columns there are: their names in training and later, and the user's choice of categorical ones."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from skmlp.tables.sources import Table

__all__ = ["column_positions", "declared_categorical"]

# The most names that the error about other columns lists.
MOST_NAMES = 5


def declared_categorical(choice: Any, table: Table) -> list[bool | None]:
    """Return for each column whether the user calls it categorical, None where its type decides.

    The rules and errors are those of ``categorical_features`` of scikit-learn's HistGradientBoostingClassifier.

    Parameters
    ----------
    choice : "from_dtype", None or array-like of str, int or bool
        None is no column. Names, positions or a mask are these columns and no others.
    table : Table

    Raises
    ------
    ValueError
        For an unknown name, a position out of range, a mask of another length, and values of other or mixed types.
    """
    n_features = table.shape[1]
    if isinstance(choice, str):
        if choice == "from_dtype":
            return [None] * n_features
        raise ValueError(
            "categorical_features must be 'from_dtype', None or an array-like of bool, int or str. "
            f"Got {choice!r} instead."
        )
    mask = np.zeros(n_features, dtype=bool)
    chosen = np.asarray(() if choice is None else choice)
    if chosen.size == 0:
        return list(map(bool, mask))
    types = {type(each).__name__ for each in choice}
    if chosen.dtype.kind not in "ibUO" or chosen.ndim != 1:
        raise ValueError(f"categorical_features must be an array-like of bool, int or str, got: {chosen.dtype.name}.")
    # NumPy makes text of an int beside text, and an int of a bool beside an int.
    if len(types) > 1 or (chosen.dtype.kind == "O" and types != {"str"}):
        raise ValueError(
            f"categorical_features must be an array-like of bool, int or str, got: {', '.join(sorted(types))}."
        )
    if chosen.dtype.kind == "b":
        if len(chosen) != n_features:
            raise ValueError(
                f"categorical_features set as a boolean mask must have shape (n_features,), got: {chosen.shape}"
            )
        mask = chosen
    elif chosen.dtype.kind == "i":
        if chosen.max() >= n_features or chosen.min() < 0:
            raise ValueError("categorical_features set as integer indices must be in [0, n_features - 1]")
        mask[chosen] = True
    else:
        mask[_positions_of(chosen.tolist(), table.names)] = True
    return list(map(bool, mask))


def _positions_of(chosen: list[str], names: tuple[str, ...] | None) -> list[int]:
    if names is None:
        raise ValueError(
            "categorical_features should be passed as an array of integers or as a boolean mask when the model is "
            "fitted on data without feature names."
        )
    for name in chosen:
        if name not in names:
            raise ValueError(
                f"categorical_features has an item value '{name}' which is not a valid feature name of the training "
                f"data. Observed feature names: {list(names)}"
            )
    return [names.index(name) for name in chosen]


def column_positions(names: tuple[str, ...] | None, n_features: int, table: Table) -> list[int]:
    """Return where the columns of the training table are in another table.

    Names count if both tables have them, in any order; else positions do.

    Parameters
    ----------
    names : tuple of str or None
        Of the training table.
    n_features : int
        The number of its columns.
    table : Table

    Raises
    ------
    ValueError
        For missing or additional columns, in scikit-learn's words.
    """
    if names is None or table.names is None:
        if table.shape[1] != n_features:
            raise ValueError(
                f"X has {table.shape[1]} features, but TableEncoder is expecting {n_features} features as input."
            )
        return list(range(n_features))
    if names == table.names:
        return list(range(n_features))
    positions = {name: position for position, name in enumerate(table.names)}
    missing = [name for name in names if name not in positions]
    unseen = sorted(positions.keys() - set(names))
    if unseen or missing:
        raise ValueError(
            "The feature names should match those that were passed during fit.\n"
            + _listed("Feature names unseen at fit time:", unseen)
            + _listed("Feature names seen at fit time, yet now missing:", sorted(missing))
        )
    return [positions[name] for name in names]


def _listed(title: str, names: Iterable[str]) -> str:
    lines = [f"- {name}\n" for name in names]
    if len(lines) > MOST_NAMES:
        lines[MOST_NAMES:] = ["- ...\n"]
    return f"{title}\n{''.join(lines)}" if lines else ""
