"""The stored form of an estimator, for pickle, joblib, skops and copies."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from skmlp._typing import AnyArray
from skmlp._version import __version__
from skmlp.estimators.model import Complete, Model, plain_embedding, restore_embedding
from skmlp.estimators.table_inputs import TableInputs
from skmlp.training.history import Observations
from skmlp.training.monitor import no_observations

# Parameters whose objects are stored as plain values.
_EMBEDDINGS = ("numeric_embedding", "categorical_embedding")


class OtherVersionWarning(InconsistentVersionWarning):
    """An estimator is loaded with versions of skmlp or scikit-learn that differ from those it was stored with.

    Parameters
    ----------
    estimator_name : str
    skmlp_version, sklearn_version : str
        The versions it was stored with.
    """

    def __init__(self, estimator_name: str, skmlp_version: str, sklearn_version: str) -> None:
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=sklearn.__version__,
            original_sklearn_version=sklearn_version,
        )
        self.current_skmlp_version = __version__
        self.original_skmlp_version = skmlp_version

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was stored with skmlp {self.original_skmlp_version} and scikit-learn "
            f"{self.original_sklearn_version}, and is loaded with skmlp {self.current_skmlp_version} and scikit-learn "
            f"{self.current_sklearn_version}. It may predict or train differently. Compare its predictions with "
            "earlier ones, or install the versions it was stored with."
        )


def shallow_copy(estimator: Any, **attributes: Any) -> Any:
    """Return a copy with some other attributes, without the detour over the stored form that ``copy.copy`` takes."""
    copied = object.__new__(type(estimator))
    copied.__dict__.update(vars(estimator) | attributes)
    return copied


def storable_state(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return an estimator's attributes with its model as plain values, and the versions that wrote them."""
    state = dict(attributes)
    if "_model" in state:
        state["_stored_model"] = state.pop("_model").to_plain()
        state["_observations"] = state["_observations"].columns
    if state.get("_table") is not None:
        state["_table"] = state["_table"].to_plain()
    # A tabular estimator chooses objects for its members, which the user then need not trust.
    state |= {name: plain_embedding(state[name]) for name in _EMBEDDINGS if name in state}
    state.pop("_layout", None)  # the model has it
    return {**state, "_skmlp_version": __version__, "_sklearn_version": sklearn.__version__}


def restore_state(cls: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Undo :func:`storable_state`, also for earlier versions; warn when another version wrote it."""
    # Parameters that are newer than the stored estimator get their defaults.
    state = Complete({row.name: row.default for row in cls._parameters.rows} | state)
    stored = state.pop("_stored_model", None)
    versions = state.pop("_skmlp_version", __version__), state.pop("_sklearn_version", sklearn.__version__)
    if stored is not None:
        state["_model"] = Model.from_plain(stored)
        state["_observations"] = _observations(state["_observations"], len(state["_model"].params.weights))
        state["_layout"] = state["_model"].architecture.layout
    if state.get("_table") is not None:
        state["_table"] = TableInputs.from_plain(Complete(state["_table"]))
    state |= {name: restore_embedding(state[name]) for name in _EMBEDDINGS if name in state}
    if versions != (__version__, sklearn.__version__):
        warnings.warn(OtherVersionWarning(cls.__name__, *versions), stacklevel=3)
    return state


def _observations(columns: Mapping[str, AnyArray], n_layers: int) -> Observations:
    """Return the observations; statistics that are newer than the stored estimator are NaN."""
    n_rows, now = len(columns["epoch"]), no_observations(n_layers).columns
    missing = {name: np.full((n_rows, *cells.shape[1:]), np.nan) for name, cells in now.items() if name not in columns}
    return Observations({**columns, **missing})
