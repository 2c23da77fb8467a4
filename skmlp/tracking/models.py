"""Fitted estimators in MLflow: stored without pickle, loaded by MLflow's own functions."""

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from skmlp.tracking.dashboard import find_experiment

__all__ = ["log_model"]

# What a file may contain, next to skops's own list: the packages that an skmlp estimator needs anyway.
TRUSTED_PACKAGES = ("skmlp", "sklearn")
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
) -> Any:
    """Store a fitted estimator in MLflow as a model of a run.

    The file is one of skops: no pickle, and nothing in it but types of skmlp and scikit-learn and arrays. Nothing of
    MLflow's state changes: no tracking URI, no active run, no environment variable. `estimator` stays as it is;
    callbacks are not stored.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skmlp, or a pipeline or a search with one inside.
    X : array-like or sparse matrix of shape (n_samples, n_features), optional
        Its first five rows are stored as the input example, and the types of its columns as the signature, which
        MLflow then checks when it predicts. Do not pass data that must not leave the machine.
    run_id : str, optional
        The run the model belongs to; by default the active run, if there is one in this store. Otherwise the model
        belongs to no run, but to MLflow's current experiment.
    name : str, default="model"
        The model's name.
    tracking_uri : str, optional
        The store; what MLflow resolves by default.

    Returns
    -------
    info : mlflow.models.model.ModelInfo
        With `model_uri`, for ``mlflow.sklearn.load_model`` and ``mlflow.pyfunc.load_model``, and `model_id`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        When the estimator is not fitted.
    ValueError
        When the estimator holds something, such as an activation of your own, that is neither of skmlp nor of
        scikit-learn; or when there is neither a run nor a current experiment.
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
    bare = _without_callbacks(estimator, {})
    trusted = _trusted_types(bare)
    uri = tracking_uri or mlflow.get_tracking_uri()
    client = mlflow.MlflowClient(uri)
    run = _find_run(client, run_id, uri)
    experiment_id = run.info.experiment_id if run else find_experiment(client, uri, None, tracking_uri is None)
    with tempfile.TemporaryDirectory() as folder, _without_hints():
        path = Path(folder, "model")
        model = Model(run_id=run.info.run_id if run else None)
        # Everything that may be wrong with the estimator shows here, before the store has heard of a model.
        mlflow.sklearn.save_model(
            bare,
            str(path),
            mlflow_model=model,
            serialization_format="skops",
            skops_trusted_types=trusted,
            pip_requirements=_requirements(),
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


def _trusted_types(estimator: Any) -> list[str]:
    """Return what a reader has to trust, and refuse what is not ours or scikit-learn's."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    except Exception as error:  # skops fails in many ways at functions and classes that have no name to be found by
        raise ValueError(_refusal(f"something that skops cannot store ({type(error).__name__}: {error})")) from error
    foreign = [name for name in types if name.split(".")[0] not in TRUSTED_PACKAGES]
    if foreign:
        raise ValueError(_refusal(", ".join(foreign)))
    return list(types)


def _refusal(what: str) -> str:
    return (
        f"The estimator cannot be stored as a model that everybody may load without fear: it holds {what}, and only "
        f"types of {' and '.join(TRUSTED_PACKAGES)} are trusted. Use activations, initializers and schedules by their "
        f"names, or store it yourself, for readers who trust you: mlflow.sklearn.log_model(estimator, "
        f"name='model', serialization_format='cloudpickle'). Of a search, search.best_estimator_ may be free of it."
    )


def _requirements() -> list[str]:
    """Return the installed versions of what loading needs; MLflow would find them out in a process of many seconds."""
    return [f"{package}=={version(package)}" for package in ("skmlp", "scikit-learn", "numpy", "skops")]


# ---------------------------------------------------------------------- the input


def _described_input(estimator: Any, X: Any) -> dict[str, Any]:
    """Return the signature and the input example, as far as there are data and a way to predict."""
    from mlflow.models import infer_signature

    if X is None:
        return {"signature": False}
    example = _first_rows(X)
    output = estimator.predict(example) if hasattr(estimator, "predict") else None
    return {"input_example": example, "signature": infer_signature(example, output)}


def _first_rows(X: Any) -> Any:
    """Return a few rows in a form that MLflow can describe."""
    import numpy as np

    if hasattr(X, "iloc"):
        return X.iloc[:N_EXAMPLES]
    if hasattr(X, "to_pandas"):  # a frame of polars
        return X[:N_EXAMPLES].to_pandas()
    if hasattr(X, "tocsr"):
        return X.tocsr()[:N_EXAMPLES]
    return np.asarray(X[:N_EXAMPLES])


@contextmanager
def _without_hints() -> Iterator[None]:
    """Keep two of MLflow's hints to itself, neither of which the user can follow.

    One is about columns of integers, but the types of X are what the estimator was fitted on. The other is about type
    hints in MLflow's own code, which it gives when it is imported.
    """
    with warnings.catch_warnings():
        for hint in ("Hint: Inferred schema contains integer column", "(?s).*type hint is inferred as AnyType"):
            warnings.filterwarnings("ignore", message=hint, category=UserWarning)
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
