"""Models in MLflow: stored without pickle, loaded by MLflow's own functions, and nothing of the user's is touched."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.nn.activations import FunctionActivation
from skmlp.tracking import MLflowCallback, log_model

pytest.importorskip("skops", reason="models are stored with skops")
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
X, Y = make_classification(60, n_features=5, random_state=0)
PICKLES = {".pkl", ".pickle", ".joblib", ".cloudpickle"}


def network(**params: Any) -> Any:
    return MLPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, **params})


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), network())


def search() -> Any:
    return GridSearchCV(pipeline(), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2)


def create_run(uri: str, experiment: str = "x") -> str:
    client = MlflowClient(uri)
    return str(client.create_run(client.create_experiment(experiment)).info.run_id)


def files_of(uri: str, info: Any) -> list[Path]:
    """Return the model's files, downloaded to this machine."""
    folder = Path(mlflow.artifacts.download_artifacts(info.model_uri, tracking_uri=uri))
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("make", [network, pipeline, search])
def test_a_stored_model_predicts_what_the_estimator_does(make: Any, sqlite_uri: str) -> None:
    estimator = make().fit(X, Y)
    info = log_model(estimator, X, run_id=create_run(sqlite_uri), tracking_uri=sqlite_uri)
    mlflow.set_tracking_uri(sqlite_uri)
    loaded = mlflow.sklearn.load_model(info.model_uri)
    assert type(loaded) is type(estimator)
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(info.model_uri).predict(X), estimator.predict(X))


@pytest.mark.parametrize("make", [network, pipeline, search])
def test_no_file_is_a_pickle(make: Any, sqlite_uri: str) -> None:
    info = log_model(make().fit(X, Y), X, run_id=create_run(sqlite_uri), tracking_uri=sqlite_uri)
    files = files_of(sqlite_uri, info)
    assert {"MLmodel", "model.skops"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix in PICKLES]
    # Protocol 2 and later begin with this byte.
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]


def test_the_model_belongs_to_the_run(sqlite_uri: str) -> None:
    run_id = create_run(sqlite_uri)
    client = MlflowClient(sqlite_uri)
    client.log_param(run_id, "alpha", "0.1")
    info = log_model(network().fit(X, Y), X, run_id=run_id, name="net", tracking_uri=sqlite_uri)
    run = client.get_run(run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [info.model_id]
    logged = client.get_logged_model(info.model_id)
    assert (logged.name, logged.source_run_id, logged.params) == ("net", run_id, {"alpha": "0.1"})
    assert logged.experiment_id == run.info.experiment_id
    assert logged.status == "READY"


def test_signature_and_example_come_from_the_data(sqlite_uri: str) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    run_id = create_run(sqlite_uri)
    info = log_model(pipeline().fit(frame, Y), frame, run_id=run_id, tracking_uri=sqlite_uri)
    assert info.signature.inputs.input_names() == list("abcde")
    mlflow.set_tracking_uri(sqlite_uri)
    assert len(mlflow.pyfunc.load_model(info.model_uri).input_example) == 5
    without = log_model(network().fit(X, Y), run_id=run_id, tracking_uri=sqlite_uri)
    assert without.signature is None
    assert not [path for path in files_of(sqlite_uri, without) if "example" in path.name]


@pytest.mark.parametrize("make", [network, pipeline, search])
def test_the_estimator_keeps_its_callbacks(make: Any, sqlite_uri: str) -> None:
    callback = MLflowCallback("x", tracking_uri=sqlite_uri)
    estimator = make().set_callbacks(callback).fit(X, Y)
    before, kept = dict(vars(estimator)), list(estimator._skl_callbacks)
    run = MlflowClient(sqlite_uri).search_runs([MlflowClient(sqlite_uri).get_experiment_by_name("x").experiment_id])[0]
    info = log_model(estimator, X, run_id=run.info.run_id, tracking_uri=sqlite_uri)
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())
    assert estimator._skl_callbacks == kept
    assert len(kept) == 1
    mlflow.set_tracking_uri(sqlite_uri)
    loaded = mlflow.sklearn.load_model(info.model_uri)
    inside = [each for each in loaded.get_params().values() if hasattr(each, "fit")]
    assert not [each for each in (loaded, *inside) if getattr(each, "_skl_callbacks", None)]


def test_global_state_stays_as_it_was(sqlite_uri: str, tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    mlflow.set_tracking_uri(elsewhere)
    log_model(network().fit(X, Y), X, run_id=create_run(sqlite_uri), tracking_uri=sqlite_uri)
    assert mlflow.get_tracking_uri() == elsewhere
    assert mlflow.active_run() is None
    assert not (tmp_path / "elsewhere.db").exists()


def test_the_active_run_is_the_default(sqlite_uri: str) -> None:
    mlflow.set_tracking_uri(sqlite_uri)
    mlflow.set_experiment("x")
    with mlflow.start_run() as run:
        info = log_model(network().fit(X, Y))
    assert MlflowClient(sqlite_uri).get_logged_model(info.model_id).source_run_id == run.info.run_id


def test_without_a_run_the_current_experiment_has_the_model(sqlite_uri: str) -> None:
    mlflow.set_tracking_uri(sqlite_uri)
    experiment_id = mlflow.set_experiment("chosen").experiment_id
    info = log_model(network().fit(X, Y), X)
    logged = MlflowClient(sqlite_uri).get_logged_model(info.model_id)
    assert (logged.experiment_id, logged.source_run_id) == (experiment_id, None)
    np.testing.assert_array_equal(mlflow.sklearn.load_model(info.model_uri).predict(X), network().fit(X, Y).predict(X))


def test_functions_of_the_user_are_refused_before_the_store_hears_of_it(sqlite_uri: str) -> None:
    def sine(z: Any, out: Any) -> None:
        np.sin(z, out=out)

    def cosine(z: Any, a: Any, out: Any) -> None:
        np.cos(z, out=out)

    estimator = network(activation=FunctionActivation("sine", sine, cosine)).fit(X, Y)
    run_id = create_run(sqlite_uri)
    with pytest.raises(ValueError, match=r"cannot be stored as a model .* holds .*Use activations.* by their names"):
        log_model(estimator, X, run_id=run_id, tracking_uri=sqlite_uri)
    client = MlflowClient(sqlite_uri)
    assert not client.search_logged_models([client.get_run(run_id).info.experiment_id])


def test_not_fitted(sqlite_uri: str) -> None:
    with pytest.raises(NotFittedError):
        log_model(network(), X, tracking_uri=sqlite_uri)


@pytest.mark.parametrize("make", [network, pipeline, search])
def test_the_callback_stores_the_model_of_its_run(make: Any, sqlite_uri: str) -> None:
    estimator = make().set_callbacks(MLflowCallback("x", log_model=True, tracking_uri=sqlite_uri)).fit(X, Y)
    client = MlflowClient(sqlite_uri)
    runs = client.search_runs([client.get_experiment_by_name("x").experiment_id])
    (run,) = [each for each in runs if "mlflow.parentRunId" not in each.data.tags]
    (output,) = run.outputs.model_outputs
    mlflow.set_tracking_uri(sqlite_uri)
    loaded = mlflow.sklearn.load_model(f"models:/{output.model_id}")
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
