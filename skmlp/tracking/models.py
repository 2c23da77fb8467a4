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
from sklearn.utils._param_validation import StrOptions

from skmlp.estimators.parameter_checks import check_argument
from skmlp.tracking.dashboard import find_experiment
from skmlp.tracking.tables import as_served, first_rows

__all__ = ["log_model"]

# Packages of estimators that a file may contain, besides skops's own list and NumPy's types, ...
TRUSTED_PACKAGES = ("skmlp", "sklearn", "imblearn", "skrub")
# ... and other types that these estimators contain: splines, distributions, functions of arrays.
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
# Number of rows of X that are stored with the model.
N_EXAMPLES = 5
# Attributes in which scikit-learn keeps callbacks, which are not part of the model.
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

    The file is in the format of skops, without pickle, and contains only arrays and types of skmlp, scikit-learn,
    imbalanced-learn and skrub, and harmless types of NumPy and SciPy. MLflow's state (tracking URI, active run,
    environment variables) and `estimator` do not change. Callbacks are not stored.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skmlp, or a pipeline or a search with one inside.
    X : array-like, sparse matrix or frame of shape (n_samples, n_features), optional
        The first five rows are stored as the input example, and the types of the columns as the signature, which MLflow
        checks before predictions. In a frame, integers become floats, so that values may be missing, and categories
        become strings; ``mlflow.pyfunc`` expects them in this form. Do not pass confidential data.
    run_id : str, optional
        The run of the model; by default the active run, if there is one in this store. Otherwise the model belongs to
        MLflow's current experiment only.
    name : str, default="model"
        Name of the model.
    tracking_uri : str, optional
        The store; by default MLflow's current one.
    serialization_format : {"skops", "cloudpickle", "pickle"}, default="skops"
        As in ``mlflow.sklearn.log_model``. The other two can store any object, including user-defined functions, but
        loading such a file can execute arbitrary code.
    trusted : iterable of str, default=()
        Names of further types and functions, or of their packages, that a skops file may contain.

    Returns
    -------
    info : mlflow.models.model.ModelInfo
        With `model_uri`, for ``mlflow.sklearn.load_model`` and ``mlflow.pyfunc.load_model``, and `model_id`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        When the estimator is not fitted.
    ValueError
        When the estimator contains something that is not trusted, such as a user-defined activation; when
        `serialization_format` or `trusted` is invalid; or when there is neither a run nor a current experiment.
    mlflow.exceptions.MlflowException
        When the store does not accept the model.

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
    formats = StrOptions({"skops", "cloudpickle", "pickle"})
    check_argument("log_model", "serialization_format", serialization_format, formats)
    if isinstance(trusted, str):
        raise ValueError(f"The 'trusted' parameter of log_model must be a list of names. Got {trusted!r} instead.")
    bare = _without_callbacks(estimator, {})
    types = _types_to_trust(bare, tuple(trusted)) if serialization_format == "skops" else None
    uri = tracking_uri or mlflow.get_tracking_uri()
    client = mlflow.MlflowClient(uri)
    run = _find_run(client, run_id, uri)
    experiment_id = run.info.experiment_id if run else find_experiment(client, uri, None, tracking_uri is None)
    with tempfile.TemporaryDirectory() as folder, _without_warning():
        path = Path(folder, "model")
        model = Model(run_id=run.info.run_id if run else None)
        # Errors of the estimator occur here, before the store is called.
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


def _without_callbacks(value: Any, done: dict[int, Any]) -> Any:
    """Return a copy without callbacks in estimators at any depth; arrays are shared.

    Fitted pipelines and searches have callbacks in their inner estimators. `done` maps the IDs of copied objects to the
    copies, so that an estimator in two places is copied once.
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
        copied = copy.copy(value)
        copied.update(changed)
        return copied
    if not (hasattr(value, "get_params") and hasattr(value, "fit")) or isinstance(value, type):
        return value
    copied = done[id(value)] = copy.copy(value)
    for attribute, old in list(vars(copied).items()):
        if attribute in CALLBACK_ATTRIBUTES:
            del vars(copied)[attribute]
        else:
            vars(copied)[attribute] = _without_callbacks(old, done)
    return copied


def _types_to_trust(estimator: Any, trusted: tuple[str, ...]) -> list[str]:
    """Return the types that a reader has to trust; raise ValueError if one is not trusted here."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    except Exception as error:  # skops raises various errors for functions and classes without an importable name
        raise ValueError(_refusal(f"something that skops cannot store ({type(error).__name__}: {error})")) from error
    known = (*TRUSTED_PACKAGES, *TRUSTED_PARTS, *trusted)
    untrusted = [
        name
        for name in types
        if not any(f"{name}.".startswith(f"{each}.") for each in known) and not _is_type_of_numpy(name)
    ]
    if untrusted:
        raise ValueError(_refusal(", ".join(untrusted)))
    return list(types)


def _is_type_of_numpy(name: str) -> bool:
    """Return whether a name is that of ``numpy.dtype``, a scalar type or a universal function."""
    package, _, attribute = name.partition(".")
    value = getattr(np, attribute, None) if package == "numpy" else None
    is_type = isinstance(value, type) and issubclass(value, np.generic | np.dtype)
    return is_type or isinstance(value, np.ufunc)


def _refusal(what: str) -> str:
    return (
        f"The estimator cannot be stored as a model that is safe to load: it contains {what}, and only types of "
        f"{', '.join(TRUSTED_PACKAGES)} and some of numpy and scipy are trusted. Use activations, initializers and "
        f"schedules by their names; or, for readers who trust you, pass further names in trusted=[...], or use "
        f"serialization_format='cloudpickle'. Of a search, search.best_estimator_ may be accepted."
    )


def _requirements(estimator: Any, serialization_format: str, types: list[str]) -> list[str]:
    """Return the installed versions of the packages needed for loading; MLflow would take seconds to infer them."""
    needed = ["skmlp", "scikit-learn", "numpy", *([] if serialization_format == "pickle" else [serialization_format])]
    parts = [estimator, *(estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ())]
    packages = {name.partition(".")[0] for name in [*types, *(type(part).__module__ for part in parts)]}
    if others := packages - {"skmlp", "sklearn", "numpy", "builtins"}:
        installed = packages_distributions()
        needed += sorted({installed[package][0] for package in others if package in installed} - set(needed))
    return [f"{package}=={version(package)}" for package in needed]


def _described_input(estimator: Any, X: Any) -> dict[str, Any]:
    """Return the signature and the input example, if there are data."""
    from mlflow.models import infer_signature

    if X is None:
        return {"signature": False}
    served = as_served(X)
    output = estimator.predict(first_rows(X, N_EXAMPLES)) if hasattr(estimator, "predict") else None
    return {"input_example": first_rows(served, N_EXAMPLES), "signature": infer_signature(served, output)}


@contextmanager
def _without_warning() -> Iterator[None]:
    """Ignore a warning about type hints in MLflow's own code, which occurs at its import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*type hint is inferred as AnyType", category=UserWarning)
        yield


def _find_run(client: Any, run_id: str | None, uri: str) -> Any:
    import mlflow

    if run_id is None:
        active = mlflow.active_run()
        if active is None or uri != mlflow.get_tracking_uri():
            return None
        run_id = active.info.run_id
    return client.get_run(run_id)


def _create(client: Any, experiment_id: str, run: Any, name: str) -> Any:
    """Create a model without files in the experiment of the run.

    MLflow's own ``log_model`` uses the active experiment of the global store, regardless of the run.
    """
    source = {} if run is None else {"source_run_id": run.info.run_id, "params": dict(run.data.params)}
    return client.create_logged_model(experiment_id, name=name, **source)


def _upload(client: Any, logged: Any, run: Any, path: str) -> Any:
    """Store the files and return the finished model; after an error it is marked as failed."""
    from mlflow.entities import LoggedModelOutput

    try:
        if run is not None:
            client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.log_model_artifacts(logged.model_id, path)
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY")
