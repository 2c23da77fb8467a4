"""Models in MLflow: stored without pickle, loaded by MLflow's own functions."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.models.utils import _enforce_schema
from scipy import sparse
from scipy.stats import loguniform
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)

from skmlp import MLPClassifier
from skmlp.nn.activations import FunctionActivation
from skmlp.tracking import MLflowCallback, log_model
from skmlp.tracking.models import _described_input, _requirements, _types_to_trust

skops_io = pytest.importorskip("skops.io", reason="models are stored with skops")
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
@pytest.mark.usefixtures("fake")
def test_a_stored_model_has_the_same_predictions_no_pickle_and_no_callbacks(make: Any, sqlite_uri: str) -> None:
    estimator = make().set_callbacks(MLflowCallback("x")).fit(X, Y)
    before, callbacks = dict(vars(estimator)), list(estimator._skl_callbacks)
    info = log_model(estimator, X, run_id=create_run(sqlite_uri), tracking_uri=sqlite_uri)

    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())
    assert estimator._skl_callbacks == callbacks
    assert len(callbacks) == 1

    mlflow.set_tracking_uri(sqlite_uri)
    loaded = mlflow.sklearn.load_model(info.model_uri)
    assert type(loaded) is type(estimator)
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(info.model_uri).predict(X), estimator.predict(X))
    inside = [each for each in loaded.get_params().values() if hasattr(each, "fit")]
    assert not [each for each in (loaded, *inside) if getattr(each, "_skl_callbacks", None)]

    files = files_of(sqlite_uri, info)
    assert {"MLmodel", "model.skops"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix in PICKLES]
    # A pickle of protocol 2 or later begins with this byte.
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


def test_signature_and_input_example_come_from_the_data(sqlite_uri: str) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    run_id = create_run(sqlite_uri)
    info = log_model(pipeline().fit(frame, Y), frame, run_id=run_id, tracking_uri=sqlite_uri)
    assert info.signature.inputs.input_names() == list("abcde")
    mlflow.set_tracking_uri(sqlite_uri)
    assert len(mlflow.pyfunc.load_model(info.model_uri).input_example) == 5
    without = log_model(network().fit(X, Y), run_id=run_id, tracking_uri=sqlite_uri)
    assert without.signature is None
    assert not [path for path in files_of(sqlite_uri, without) if "example" in path.name]


def test_mlflows_global_state_is_not_changed(sqlite_uri: str, tmp_path: Path) -> None:
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


def test_without_a_run_the_model_belongs_to_the_current_experiment(sqlite_uri: str) -> None:
    mlflow.set_tracking_uri(sqlite_uri)
    experiment_id = mlflow.set_experiment("chosen").experiment_id
    info = log_model(network().fit(X, Y), X)
    logged = MlflowClient(sqlite_uri).get_logged_model(info.model_id)
    assert (logged.experiment_id, logged.source_run_id) == (experiment_id, None)
    np.testing.assert_array_equal(mlflow.sklearn.load_model(info.model_uri).predict(X), network().fit(X, Y).predict(X))


KINDS: dict[str, Any] = {
    "list": lambda: X.tolist(),
    "float32": lambda: X.astype(np.float32),
    "frame": lambda: pd.DataFrame(X, columns=list("abcde")),
    "unnamed_frame": lambda: pd.DataFrame(X),
    "polars": lambda: pytest.importorskip("polars").DataFrame(X, schema=list("abcde")),
    "arrow": lambda: pytest.importorskip("pyarrow").Table.from_pandas(pd.DataFrame(X, columns=list("abcde"))),
    **{kind: lambda kind=kind: getattr(sparse, kind)(X) for kind in ("csr_array", "coo_matrix", "coo_array")},
    **{kind: lambda kind=kind: getattr(sparse, kind)(X) for kind in ("csc_matrix", "dia_matrix", "bsr_array")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_every_kind_have_a_signature_that_accepts_what_is_served(kind: str) -> None:
    data = KINDS[kind]()
    signature = _described_input(network().fit(data, Y), data)["signature"]
    # What MLflow serves: frames of pandas, arrays, and two kinds of sparse matrices.
    served = data if "frame" in kind else sparse.csr_matrix(data) if sparse.issparse(data) else np.asarray(data)
    if kind in ("polars", "arrow"):
        served = data.to_pandas()
    assert signature.inputs.is_tensor_spec() == (not isinstance(served, pd.DataFrame))
    assert _enforce_schema(served, signature.inputs).shape == (60, 5)


def test_a_model_of_sparse_data_is_served(sqlite_uri: str) -> None:
    data = sparse.coo_array(X)
    mlflow.set_tracking_uri(sqlite_uri)
    estimator = network().fit(data, Y)
    info = log_model(estimator, data)
    served = sparse.csr_matrix(data)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(info.model_uri).predict(served), estimator.predict(data))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_the_signature_describes_all_rows(library: str) -> None:
    n = 300
    frame = pd.DataFrame({"count": np.arange(n), "late": [1.0] * (n - 1) + [np.nan], "town": ["here", "there"] * 150})
    data: Any = frame
    if library == "pandas":
        data = frame.astype({"town": "category"})
        data["object"] = [1] * (n - 1) + ["a"]  # numbers at first, and then a name
    elif library == "polars":
        data = pytest.importorskip("polars").from_pandas(frame)
    else:
        data = pytest.importorskip("pyarrow").Table.from_pandas(frame)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["count", "late"]), (OneHotEncoder(), ["town"])
    )
    estimator = make_pipeline(columns, network()).fit(data, frame["count"] > 100)
    schema = _described_input(estimator, data)["signature"].inputs  # and no warning about integers
    found = {each.name: (each.type.name, each.required) for each in schema}
    assert found.pop("object", ("string", True)) == ("string", True)
    assert found == {"count": ("double", True), "late": ("double", False), "town": ("string", True)}
    served = frame.astype({"count": float}).assign(object="a")
    np.testing.assert_array_equal(estimator.predict(_enforce_schema(served, schema)), estimator.predict(data))
    served.loc[3, "count"] = np.nan
    assert len(estimator.predict(_enforce_schema(served, schema))) == n


# ---------------------------------------------------------------------- what is trusted


HARMLESS: dict[str, Any] = {
    "imputer": lambda: SimpleImputer(add_indicator=True),
    "bins": lambda: KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
    "splines": SplineTransformer,
    "function": lambda: FunctionTransformer(np.nan_to_num),
    "selection": lambda: SelectKBest(mutual_info_classif, k=2),
    "columns": lambda: make_column_transformer((StandardScaler(), make_column_selector(dtype_include=np.number))),
}


def assert_trusted(estimator: Any, data: Any = X, needs: str = "skops") -> None:
    """Check that skops stores the estimator with trusted types only, and that they are among the requirements."""
    types = _types_to_trust(estimator, ())
    loaded = skops_io.loads(skops_io.dumps(estimator), trusted=types)
    np.testing.assert_array_equal(loaded.predict(data), estimator.predict(data))
    assert any(each.startswith(f"{needs}==") for each in _requirements(estimator, "skops", types))


@pytest.mark.parametrize("step", HARMLESS)
def test_parts_of_preprocessing_are_trusted(step: str) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    assert_trusted(make_pipeline(HARMLESS[step](), network()).fit(frame, Y), frame)


def test_distributions_of_a_randomized_search_are_trusted() -> None:
    drawn = RandomizedSearchCV(network(), {"alpha": loguniform(1e-3, 1.0)}, n_iter=2, cv=2, random_state=0)
    assert_trusted(drawn.fit(X, Y))


def test_pipelines_of_imbalanced_learn_are_trusted() -> None:
    imblearn = pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
    sampler = imblearn.over_sampling.RandomOverSampler(random_state=0)
    assert_trusted(imblearn.pipeline.make_pipeline(sampler, network()).fit(X, Y), needs="imbalanced-learn")


def test_encoders_of_skrub_are_trusted() -> None:
    skrub = pytest.importorskip("skrub", reason="skrub is not installed")
    frame = pd.DataFrame(X, columns=list("abcde")).assign(town=["here", "there"] * 30)
    assert_trusted(make_pipeline(skrub.TableVectorizer(), network()).fit(frame, Y), frame, needs="skrub")


def test_trusted_and_serialization_format_allow_more_types(sqlite_uri: str) -> None:
    odd = network().fit(X, Y)
    odd.note = np.polynomial.Polynomial([1.0, 2.0])
    name = "numpy.polynomial.polynomial.Polynomial"
    with pytest.raises(
        ValueError, match=f"it contains {name}, and only .* trusted=.* serialization_format='cloudpickle'"
    ):
        log_model(odd, X, tracking_uri=sqlite_uri)
    mlflow.set_tracking_uri(sqlite_uri)
    assert name in _types_to_trust(odd, ("numpy.polynomial",))
    info = log_model(odd, X, trusted=[name])
    np.testing.assert_array_equal(mlflow.sklearn.load_model(info.model_uri).note.coef, [1.0, 2.0])
    for serialization_format in ("cloudpickle", "pickle"):
        info = log_model(odd, X, serialization_format=serialization_format)
        assert info.flavors["sklearn"]["serialization_format"] == serialization_format
        np.testing.assert_array_equal(mlflow.sklearn.load_model(info.model_uri).predict(X), odd.predict(X))
    with pytest.raises(ValueError, match=r"'serialization_format' parameter .* among .*'skops'.* Got 'onnx'"):
        log_model(odd, X, serialization_format="onnx")
    with pytest.raises(ValueError, match=r"'trusted' parameter .* a list of names\. Got 'numpy\.polynomial'"):
        log_model(odd, X, trusted="numpy.polynomial")


def test_a_function_of_the_user_is_refused_before_the_store_is_called(sqlite_uri: str) -> None:
    def sine(z: Any, out: Any) -> None:
        np.sin(z, out=out)

    def cosine(z: Any, a: Any, out: Any) -> None:
        np.cos(z, out=out)

    estimator = network(activation=FunctionActivation("sine", sine, cosine)).fit(X, Y)
    run_id = create_run(sqlite_uri)
    with pytest.raises(ValueError, match=r"cannot be stored as a model .* contains .*Use activations.* by their names"):
        log_model(estimator, X, run_id=run_id, tracking_uri=sqlite_uri)
    client = MlflowClient(sqlite_uri)
    assert not client.search_logged_models([client.get_run(run_id).info.experiment_id])


def test_an_estimator_that_is_not_fitted_raises(sqlite_uri: str) -> None:
    with pytest.raises(NotFittedError):
        log_model(network(), X, tracking_uri=sqlite_uri)


def test_the_callback_stores_the_model_in_its_run(sqlite_runs: Any) -> None:
    frame = pytest.importorskip("polars").DataFrame(X, schema=list("abcde"))
    callback = MLflowCallback("x", log_model=True, artifacts=False)
    estimator = search().set_callbacks(callback).fit(frame, Y)
    (output,) = sqlite_runs.top("x").outputs.model_outputs
    loaded = mlflow.sklearn.load_model(f"models:/{output.model_id}")
    np.testing.assert_array_equal(loaded.predict_proba(frame), estimator.predict_proba(frame))
