"""Descriptions of an estimator and its data as text: parameters, versions, and shape, schema and digest of the data."""

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _num_samples

import skmlp
from skmlp.estimators.tabular import AnyMLP, BaseTabularMLP
from skmlp.tracking.tables import columns_of, is_frame, rows_of

__all__ = [
    "configuration",
    "dataset",
    "estimator_tags",
    "flat_params",
    "member_params",
    "network_params",
    "readable",
    "shape_params",
]

# The dataset entry of a frame with more columns does not list them.
SCHEMA_COLUMNS = 500
# Evenly spread rows and columns for the digest: one of all data could take longer than the fit.
DIGEST_ROWS, DIGEST_COLUMNS = 256, 64


def readable(value: Any) -> str:
    """Return a short text for the value of a parameter: names of functions, shapes of long arrays."""
    if isinstance(value, np.ndarray) and value.size > 20:
        return f"array of shape {value.shape}, {value.dtype}"
    if isinstance(value, functools.partial):
        return f"partial({readable(value.func)}, {readable([*value.args, *value.keywords.items()])})"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, list | tuple):
        inner = ", ".join(readable(each) for each in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if hasattr(value, "dist") and hasattr(value, "args"):  # a distribution of scipy.stats
        return f"{value.dist.name}({', '.join(map(repr, [*value.args, *value.kwds.values()]))})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {readable(each)}" for name, each in value.items()) + "}"
    if isinstance(value, str):
        return value
    return repr(value.item() if isinstance(value, np.generic) else value)


def flat_params(estimator: Any, *, exclude: tuple[str, ...] = ()) -> dict[str, str]:
    """Return ``get_params(deep=True)`` as text, without nested estimators, whose parameters it contains.

    Parameters named in `exclude` are excluded at any depth.
    """
    params = {}
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if isinstance(value, BaseEstimator) or name.rpartition("__")[2] in (*exclude, "steps"):
            continue
        params[name] = readable(value)
    return params


def network_params(estimator: AnyMLP) -> dict[str, str]:
    """Return a description of a network in training, or of those of a tabular estimator together."""
    is_tabular = isinstance(estimator, BaseTabularMLP)
    networks = estimator.estimators_ if is_tabular else [estimator]
    models = [network._model for network in networks]
    sizes = dict.fromkeys("-".join(map(str, model.architecture.layer_sizes)) for model in models)
    return {
        **({"network.n_members": str(len(models))} if is_tabular else {}),
        "network.layer_sizes": ", ".join(sizes),
        "network.n_parameters": str(sum(model.params.vector.size for model in models)),
        "network.dtype": str(models[0].dtype),
        "network.output": networks[0].out_activation_,
    }


def member_params(estimator: AnyMLP) -> dict[str, str]:
    """Return the parameters of the members of a tabular estimator; those that differ as what they are drawn from."""
    if not isinstance(estimator, BaseTabularMLP):
        return {}
    own, settings = estimator.get_params(deep=False), estimator._member_settings()
    fixed = {name: value for name, value in estimator._new_member({}).get_params(deep=False).items() if name not in own}
    if isinstance(settings, Mapping):
        drawn = dict(settings)
    else:
        drawn = {name: [each.get(name, fixed.get(name)) for each in settings] for name in estimator._settings_drawn()}
    return {f"member.{name}": readable(value) for name, value in sorted({**fixed, **drawn}.items())}


def shape_params(X: Any) -> dict[str, str]:
    """Return the number of rows and columns."""
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) != 2:
        return {"data.n_samples": str(_num_samples(X))}
    return {"data.n_samples": str(shape[0]), "data.n_features": str(shape[1])}


def versions() -> dict[str, str]:
    """Return the versions on which a result depends."""
    return {
        "version.python": platform.python_version(),
        "version.numpy": np.__version__,
        "version.scikit-learn": sklearn.__version__,
        "version.skmlp": skmlp.__version__,
    }


def estimator_tags(estimator: Any) -> dict[str, str]:
    """Return the tags that MLflow's own integration with scikit-learn sets."""
    kind = type(estimator)
    return {"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__qualname__}"}


def configuration(estimator: AnyMLP, facts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the configuration of a fit: parameters, those of members, network, data, versions."""
    params = {"params": flat_params(estimator), **_nested(member_params(estimator))}
    return {**params, **_nested(facts), **_nested(versions())}


def _nested(flat: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Turn ``{"network.dtype": ...}`` into ``{"network": {"dtype": ...}}``."""
    nested: dict[str, dict[str, str]] = {}
    for name, value in flat.items():
        group, _, key = name.partition(".")
        nested.setdefault(group, {})[key] = value
    return nested


def dataset(X: Any, y: Any) -> tuple[str, str, str, str] | None:
    """Return name, digest, schema and profile of the training data for MLflow's dataset entity.

    Only a part of the data is read, and nothing is converted to a dense array. Return None for data without a shape.
    """
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) != 2:
        return None
    profile = {"num_rows": int(shape[0]), "num_elements": int(shape[0]) * int(shape[1])}
    digest = hashlib.md5(json.dumps([list(map(int, shape)), _sample(X), _sample(y)], default=str).encode())
    return type(X).__name__, digest.hexdigest()[:8], json.dumps(_schema(X, y)), json.dumps(profile)


def _schema(X: Any, y: Any) -> dict[str, Any]:
    """Return MLflow's schema: of columns for a frame, else of tensors."""
    if is_frame(X):
        if X.shape[1] > SCHEMA_COLUMNS:
            return {"mlflow_colspec": []}
        return {
            "mlflow_colspec": [
                {"type": _column_type(dtype), "name": name, "required": True} for name, dtype in columns_of(X)
            ]
        }
    tensors = {"features": _tensor(X)}
    if hasattr(y, "shape"):
        tensors["targets"] = _tensor(y)
    return {"mlflow_tensorspec": {name: json.dumps([spec]) for name, spec in tensors.items()}}


def _tensor(values: Any) -> dict[str, Any]:
    shape = [-1, *map(int, values.shape[1:])]
    return {"type": "tensor", "tensor-spec": {"dtype": str(getattr(values, "dtype", "object")), "shape": shape}}


def _column_type(dtype: Any) -> str:
    kind = getattr(dtype, "kind", "O")
    width = getattr(dtype, "itemsize", 8)
    if kind in "iu":
        return "integer" if width <= 4 else "long"
    return {"f": "float" if width <= 4 else "double", "b": "boolean", "M": "datetime"}.get(kind, "string")


def _sample(values: Any) -> list[str]:
    """Return evenly spread rows as text."""
    if values is None or not hasattr(values, "shape"):
        return []
    n_rows = values.shape[0]
    rows: Any = np.unique(np.linspace(0, n_rows - 1, DIGEST_ROWS).astype(int)) if n_rows else []
    some = rows_of(values, rows)
    if hasattr(some, "to_pylist"):  # pyarrow
        some = [list(row.values())[:DIGEST_COLUMNS] for row in some.to_pylist()]
    if hasattr(some, "toarray"):  # sparse, perhaps with very many columns
        some = np.asarray(some.sum(axis=1))
    table = np.asarray(some)
    return [str(row) for row in table.reshape(len(table), -1)[:, :DIGEST_COLUMNS].tolist()]
