"""Fitted estimators in MLflow: stored without pickle, loaded by MLflow's own functions."""

import copy
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skmlp.tracking.dashboard import find_experiment
from skmlp.tracking.tables import as_served, first_rows

__all__ = ["log_model"]

# What a file may contain, next to skops's own list and NumPy's types: packages of estimators, ...
TRUSTED_PACKAGES = ("skmlp", "sklearn", "imblearn", "skrub")
# ... and what estimators of theirs hold: splines, distributions to draw parameters from, functions of arrays.
TRUSTED_PARTS = (
    "numpy.clip",
    "numpy.dtypes",
    "numpy.nan_to_num",
    "numpy.round",
    "scipy._lib.array_api_compat.numpy",
    "scipy.interpolate",
    "scipy.stats._continuous_distns",
    "scipy.stats._discrete_distns",
    "scipy.stats._distn_infrastructure",
)
# Rows of X that are stored with the model.
N_EXAMPLES = 5
# Attributes in which scikit-learn keeps callbacks; a callback belongs to a fit, not to the model.
CALLBACK_ATTRIBUTES = ("_skl_callbacks", "_skl_callbacks_to_teardown", "_parent_callback_ctx", "_callback_fit_ctx")


def log_model(
    estimator: Any,
    X: Any = None,
    *,
    run_id: str | None = None,
    name: str = "model",
    tracking_uri: str | None = None,
    serialization_format: Literal["skops", "cloudpickle", "pickle"] = "skops",
    trusted: Iterable[str] = (),
) -> Any:
    """Store a fitted estimator in MLflow as a model of a run.

    The file is one of skops: no pickle, and nothing in it but arrays and types of skmlp, scikit-learn,
    imbalanced-learn and skrub, and harmless ones of NumPy and SciPy. Nothing of MLflow's state changes: no tracking
    URI, no active run, no environment variable. `estimator` stays as it is; callbacks are not stored.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skmlp, or a pipeline or a search with one inside.
    X : array-like, sparse matrix or frame of shape (n_samples, n_features), optional
        Its first five rows are stored as the input example, and the types of its columns, from all rows, as the
        signature, which MLflow then checks when it predicts. In a frame integers become floats, so that a value may be
        missing, and categories strings: ``mlflow.pyfunc`` wants them like that, as in the example. Do not pass data
        that must not leave the machine.
    run_id : str, optional
        The run the model belongs to; by default the active run, if there is one in this store. Otherwise the model
        belongs to no run, but to MLflow's current experiment.
    name : str, default="model"
        The model's name.
    tracking_uri : str, optional
        The store; what MLflow resolves by default.
    serialization_format : {"skops", "cloudpickle", "pickle"}, default="skops"
        As in ``mlflow.sklearn.log_model``. The other two store anything, functions of yours as well, and whoever loads
        such a file runs what is in it.
    trusted : iterable of str, default=()
        More names of types and functions, or of packages of them, that whoever loads a file of skops is to trust.

    Returns
    -------
    info : mlflow.models.model.ModelInfo
        With `model_uri`, for ``mlflow.sklearn.load_model`` and ``mlflow.pyfunc.load_model``, and `model_id`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        When the estimator is not fitted.
    ValueError
        When the estimator holds something, such as an activation of your own, that is not trusted; when
        `serialization_format` is none of the three; or when there is neither a run nor a current experiment.
    mlflow.exceptions.MlflowException
        When the store does not take the model.

    Examples
    --------
    >>> import mlflow
    >>> from skmlp.tracking import log_model
    >>> info = log_model(clf, X, run_id="0a1b2c...")  # doctest: +SKIP
    >>> mlflow.sklearn.load_model(info.model_uri).predict(X)  # doctest: +SKIP
    """
    import mlflow
    from mlflow.models import Model
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    _check_format(serialization_format, trusted)
    bare = _without_callbacks(estimator, {})
    types = _types_to_trust(bare, tuple(trusted)) if serialization_format == "skops" else None
    uri = tracking_uri or mlflow.get_tracking_uri()
    client = mlflow.MlflowClient(uri)
    run = _find_run(client, run_id, uri)
    experiment_id = run.info.experiment_id if run else find_experiment(client, uri, None, tracking_uri is None)
    with tempfile.TemporaryDirectory() as folder, _without_hint():
        path = Path(folder, "model")
        model = Model(run_id=run.info.run_id if run else None)
        # Everything that may be wrong with the estimator shows here, before the store has heard of a model.
        mlflow.sklearn.save_model(
            bare,
            str(path),
            mlflow_model=model,
            serialization_format=serialization_format,
            skops_trusted_types=types,
            pip_requirements=_requirements(bare, serialization_format, types or []),
            **_described_input(bare, X),
        )
        logged = _create(client, experiment_id, run, name)
        model.artifact_path = logged.artifact_location
        model.model_uuid = model.model_id = logged.model_id
        model.save(str(path / "MLmodel"))
        logged = _upload(client, logged, run, str(path))
        return model.get_model_info(logged)


# ---------------------------------------------------------------------- the estimator


def _without_callbacks(value: Any, done: dict[int, Any]) -> Any:
    """Return a twin in which no estimator has callbacks, at any depth; arrays are shared.

    Fitted pipelines and searches keep callbacks in the estimators inside them. `done` holds what was copied, by its
    address: an estimator that is in two places stays one.
    """
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, list | tuple):
        items = [_without_callbacks(item, done) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        changed = {key: new for key, old in value.items() if (new := _without_callbacks(old, done)) is not old}
        if not changed:
            return value
        twin = copy.copy(value)
        twin.update(changed)
        return twin
    if not (hasattr(value, "get_params") and hasattr(value, "fit")) or isinstance(value, type):
        return value
    twin = done[id(value)] = copy.copy(value)
    for attribute, old in list(vars(twin).items()):
        if attribute in CALLBACK_ATTRIBUTES:
            del vars(twin)[attribute]
        else:
            vars(twin)[attribute] = _without_callbacks(old, done)
    return twin


def _check_format(serialization_format: str, trusted: Iterable[str]) -> None:
    formats = ("skops", "cloudpickle", "pickle")
    if serialization_format not in formats:
        raise ValueError(
            f"The 'serialization_format' parameter of log_model must be a str among {set(formats)}. "
            f"Got {serialization_format!r} instead."
        )
    if isinstance(trusted, str):
        raise ValueError(f"The 'trusted' parameter of log_model must be a list of names. Got {trusted!r} instead.")


def _types_to_trust(estimator: Any, trusted: tuple[str, ...]) -> list[str]:
    """Return what a reader has to trust, and refuse what is neither harmless nor explicitly trusted."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    except Exception as error:  # skops fails in many ways at functions and classes that have no name to be found by
        raise ValueError(_refusal(f"something that skops cannot store ({type(error).__name__}: {error})")) from error
    known = (*TRUSTED_PACKAGES, *TRUSTED_PARTS, *trusted)
    foreign = [
        name
        for name in types
        if not any(f"{name}.".startswith(f"{each}.") for each in known) and not _is_type_of_numpy(name)
    ]
    if foreign:
        raise ValueError(_refusal(", ".join(foreign)))
    return list(types)


def _is_type_of_numpy(name: str) -> bool:
    """Tell whether a name is that of ``numpy.dtype``, of a type of scalars or of a universal function."""
    package, _, attribute = name.partition(".")
    value = getattr(np, attribute, None) if package == "numpy" else None
    is_type = isinstance(value, type) and issubclass(value, np.generic | np.dtype)
    return is_type or isinstance(value, np.ufunc)


def _refusal(what: str) -> str:
    return (
        f"The estimator cannot be stored as a model that everybody may load without fear: it holds {what}, and only "
        f"types of {', '.join(TRUSTED_PACKAGES)} and some of numpy and scipy are trusted. Use activations, "
        f"initializers and schedules by their names; or, for readers who trust you, name what else they are to trust "
        f"in trusted=[...], or store anything with serialization_format='cloudpickle'. Of a search, "
        f"search.best_estimator_ may be free of it."
    )


def _requirements(estimator: Any, serialization_format: str, types: list[str]) -> list[str]:
    """Return the installed versions of what loading needs; MLflow would find them out in a process of many seconds."""
    needed = ["skmlp", "scikit-learn", "numpy", *([] if serialization_format == "pickle" else [serialization_format])]
    parts = [estimator, *(estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ())]
    packages = {name.partition(".")[0] for name in [*types, *(type(part).__module__ for part in parts)]}
    if others := packages - {"skmlp", "sklearn", "numpy", "builtins"}:
        installed = packages_distributions()
        needed += sorted({installed[package][0] for package in others if package in installed} - set(needed))
    return [f"{package}=={version(package)}" for package in needed]


# ---------------------------------------------------------------------- the input


def _described_input(estimator: Any, X: Any) -> dict[str, Any]:
    """Return the signature and the input example, as far as there are data and a way to predict."""
    from mlflow.models import infer_signature

    if X is None:
        return {"signature": False}
    served = as_served(X)
    output = estimator.predict(first_rows(X, N_EXAMPLES)) if hasattr(estimator, "predict") else None
    return {"input_example": first_rows(served, N_EXAMPLES), "signature": infer_signature(served, output)}


@contextmanager
def _without_hint() -> Iterator[None]:
    """Keep a hint about type hints in MLflow's own code to itself, which it gives when it is imported."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*type hint is inferred as AnyType", category=UserWarning)
        yield


# ---------------------------------------------------------------------- the store


def _find_run(client: Any, run_id: str | None, uri: str) -> Any:
    import mlflow

    if run_id is None:
        active = mlflow.active_run()
        if active is None or uri != mlflow.get_tracking_uri():
            return None
        run_id = active.info.run_id
    return client.get_run(run_id)


def _create(client: Any, experiment_id: str, run: Any, name: str) -> Any:
    """Create the model, waiting for its files, in the run's experiment.

    MLflow's own ``log_model`` does it in the active experiment of the global store, whatever the run.
    """
    if run is None:
        return client.create_logged_model(experiment_id, name=name)
    return client.create_logged_model(
        experiment_id, name=name, source_run_id=run.info.run_id, params=dict(run.data.params)
    )


def _upload(client: Any, logged: Any, run: Any, path: str) -> Any:
    """Store the files and return the finished model; a failure leaves it marked as failed."""
    from mlflow.entities import LoggedModelOutput

    try:
        if run is not None:
            client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.log_model_artifacts(logged.model_id, path)
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY")
