"""What the run of a single fit or pipeline holds: metrics, parameters, tags, files and a description of the data."""

import gzip
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import Adam
from skmlp.tracking import MLflowCallback
from skmlp.tracking.describe import dataset
from skmlp.tracking.store import valid_name

EPOCHS = 4
X, Y = make_classification(80, n_features=5, random_state=0)


def network(**params: Any) -> Any:
    return MLPClassifier(
        **{"hidden_layer_sizes": (6, 4), "max_iter": EPOCHS, "batch_size": 20, "random_state": 0, **params}
    )


def fit(estimator: Any, *args: Any, **settings: Any) -> Any:
    """Return the estimator, fitted with a callback of these settings."""
    return estimator.set_callbacks(MLflowCallback(*args or ("test",), **settings)).fit(X, Y)


def test_metrics_are_history_and_monitor(runs: Any) -> None:
    est = fit(network(early_stopping=True))
    run = runs.top()
    runs.assert_complete([run])
    for column, metric in {
        "train_loss": "loss/train",
        "penalty": "loss/penalty",
        "validation_loss": "loss/validation",
        "validation_score": "score/validation",
        "learning_rate": "optim/learning_rate",
        "gradient_norm": "grad_norm/global",
        "seconds": "time/epoch_seconds",
        "samples_per_second": "time/samples_per_second",
    }.items():
        assert [value for _, value in runs.curve(run, metric)] == est.history_[column]
    for statistic, metric in {
        "gradient_norm": "grad_norm",
        "gradient_largest": "grad_absmax",
        "weight_norm": "weight_norm",
        "update_ratio": "update_ratio",
        "dead_fraction": "dead_fraction",
    }.items():
        for layer in range(2):
            logged = [value for _, value in runs.curve(run, f"{metric}/layer_{layer + 1:02d}")]
            assert logged == est.monitor_[statistic][:, layer].tolist()
    assert "dead_fraction/layer_03" not in run.data.metrics  # an output layer has no dead units
    assert not any("saturated" in name for name in run.data.metrics)  # relu does not saturate
    assert run.data.metrics["best_epoch"] == np.argmax(est.validation_scores_) + 1
    assert run.data.metrics["best_validation_score"] == est.best_validation_score_
    assert run.data.metrics["n_iter"] == EPOCHS


def test_the_run_has_the_name_and_tags_of_the_callback_and_of_the_fit(runs: Any) -> None:
    fit(network(), "test", "mine", tags={"team": "a", "team (x)": "b"})
    run = runs.top()
    assert run.info.run_name == "mine"
    assert run.data.tags["team"] == "a"
    assert run.data.tags[valid_name("team (x)")] == "b"
    assert run.data.tags["mlflow.source.name"] == sys.argv[0]
    assert run.data.tags["estimator_name"] == "MLPClassifier"
    assert run.data.tags["skmlp.role"] == "fit"
    assert run.data.tags["skmlp.stop_reason"] == "max_iter"


def test_saturation_is_logged_for_activations_that_saturate(runs: Any) -> None:
    fit(network(activation="tanh"))
    assert {"saturated_fraction/layer_01", "saturated_fraction/layer_02"} <= runs.top().data.metrics.keys()


def test_the_diagnosis_is_a_tag_a_metric_and_part_of_the_report(runs: Any) -> None:
    healthy = fit(network(), "healthy")
    ill = network().set_callbacks(MLflowCallback("ill")).fit(1e6 * X, Y)
    assert healthy.diagnose().is_healthy
    run = runs.top("healthy")
    assert run.data.tags["skmlp.diagnosis"] == "healthy"
    assert run.data.metrics["health/findings"] == 0.0
    run = runs.top("ill")
    assert run.data.tags["skmlp.diagnosis"] == ", ".join(each.code for each in ill.diagnose().at_least("warning"))
    assert "unscaled_inputs" in run.data.tags["skmlp.diagnosis"]
    assert run.data.metrics["health/findings"] == len(ill.diagnose().at_least("warning"))
    assert "Unscaled inputs" in runs.text(run, "figures/training.html")


def test_params_describe_estimator_network_data_and_versions(runs: Any) -> None:
    def start(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
        return rng.standard_normal((n_in, n_out)).astype(dtype) * 0.1

    fit(network(solver=Adam(beta_1=0.8), weight_init=start))
    params = runs.top().data.params
    assert params["alpha"] == "0.0001"
    assert params["random_state"] == "0"
    assert params["solver__beta_1"] == "0.8"
    assert params["solver"].startswith("Adam(beta_1=0.8")
    assert params["weight_init"].endswith(".<locals>.start")
    assert params["network.layer_sizes"] == "5-6-4-1"
    assert params["network.n_parameters"] == str(5 * 6 + 6 + 6 * 4 + 4 + 4 + 1)
    assert params["network.dtype"] == "float32"
    assert params["data.n_samples"] == "80"
    assert params["data.n_features"] == "5"
    assert params["version.numpy"] == np.__version__


def test_files_of_a_run(runs: Any) -> None:
    est = fit(network(early_stopping=True))
    run = runs.top()
    names = ["config.json", "diagnosis.json", "figures", "history.csv", "history.json", "monitor.json.gz"]
    assert runs.files(run) == names
    assert runs.files(run, "figures") == ["figures/training.html"]
    frame = pd.read_csv(runs.client.download_artifacts(run.info.run_id, "history.csv"), index_col="epoch")
    pd.testing.assert_frame_equal(frame, est.history_frame(), check_index_type=False)
    table = json.loads(runs.text(run, "history.json"))
    np.testing.assert_allclose(pd.DataFrame(table["data"], columns=table["columns"])["loss"], est.history_["loss"])
    content = Path(runs.client.download_artifacts(run.info.run_id, "monitor.json.gz")).read_bytes()
    stored = json.loads(gzip.decompress(content))
    np.testing.assert_allclose(stored["gradient_quantiles"], est.monitor_["gradient_quantiles"], rtol=1e-3)
    assert json.loads(runs.text(run, "diagnosis.json")) == est.diagnose().to_dicts()
    config = json.loads(runs.text(run, "config.json"))
    assert config["params"]["hidden_layer_sizes"] == "(6, 4)"
    assert config["network"]["layer_sizes"] == "5-6-4-1"
    assert config["version"]["skmlp"]
    assert "<html" in runs.text(run, "figures/training.html")
    fit(network(), "none", artifacts=False)
    assert runs.files(runs.top("none")) == []


# ---------------------------------------------------------------------- the data


@pytest.mark.parametrize("kind", ["frame", "array", "sparse"])
def test_the_dataset_entry_has_shape_schema_and_digest(kind: str) -> None:
    makers = {"frame": lambda: pd.DataFrame(X, columns=list("abcde")), "sparse": lambda: scipy.sparse.csr_matrix(X)}
    data: Any = makers.get(kind, lambda: X)()
    found, other = dataset(data, Y), dataset(data[:79], Y[:79])
    assert found is not None
    assert other is not None
    _, digest, schema, profile = found
    assert json.loads(profile) == {"num_rows": 80, "num_elements": 400}
    if kind == "frame":
        assert json.loads(schema)["mlflow_colspec"][0] == {"type": "double", "name": "a", "required": True}
    else:
        tensor = json.loads(json.loads(schema)["mlflow_tensorspec"]["features"])[0]
        assert tensor["tensor-spec"]["shape"] == [-1, 5]
    assert digest != other[1]


@pytest.mark.parametrize("kind", ["coo_matrix", "dia_array", "bsr_matrix", "dok_array"])
def test_the_digest_does_not_depend_on_the_sparse_format(kind: str) -> None:
    described, other = dataset(getattr(scipy.sparse, kind)(X), Y), dataset(scipy.sparse.csr_array(X), Y)
    assert described is not None
    assert other is not None
    assert described[1:] == other[1:]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_the_schema_of_a_frame_does_not_depend_on_its_library(library: str) -> None:
    module = pytest.importorskip(library)
    columns = {"real": [0.5, 1.5], "whole": [1, 2], "truth": [True, False], "text": ["a", "b"]}

    def described(**values: Any) -> Any:
        frame = pd.DataFrame({**columns, **values})
        if library == "polars":
            return dataset(module.from_pandas(frame), module.Series("y", [0, 1]))
        return dataset(module.Table.from_pandas(frame) if library == "pyarrow" else frame, Y[:2])

    found = {each["name"]: each["type"] for each in json.loads(described()[2])["mlflow_colspec"]}
    assert found == {"real": "double", "whole": "long", "truth": "boolean", "text": "string"}
    assert described()[1] == described()[1] != described(text=["a", "c"])[1]


# ---------------------------------------------------------------------- other fits


def test_a_pipeline_is_one_run_with_the_callback_outside_or_inside(runs: Any) -> None:
    fit(Pipeline([("scale(all)", StandardScaler()), ("net", network())]), "outer")
    make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback("inner"))).fit(X, Y)
    for experiment in ("outer", "inner"):
        runs.assert_complete([runs.top(experiment)])
    params = runs.top("outer").data.params
    assert params["net__alpha"] == "0.0001"
    assert params[valid_name("scale(all)__with_mean")] == "True"


@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_lbfgs_has_no_learning_rate(runs: Any, estimator: Any) -> None:
    fit(estimator(hidden_layer_sizes=(6,), solver="lbfgs", max_iter=EPOCHS, random_state=0))
    runs.assert_complete([runs.top()])
    assert "optim/learning_rate" not in runs.top().data.metrics
    assert runs.top().data.metrics["update_ratio/layer_01"] > 0.0


def test_every_n_epochs_always_includes_the_last_one(runs: Any) -> None:
    fit(network(max_iter=8), "test", every_n_epochs=3)
    assert runs.steps(runs.top()) == [1, 4, 7, 8]


def test_a_warm_start_is_a_new_run_with_epochs_from_1(runs: Any) -> None:
    est = fit(network(warm_start=True)).fit(X, Y)
    found = runs.all()
    runs.assert_complete(found)
    assert [value for _, value in runs.curve(found[1])] == est.history_["train_loss"][EPOCHS:]
    frame = pd.read_csv(runs.client.download_artifacts(found[1].info.run_id, "history.csv"))
    assert frame["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert frame["train_loss"].tolist() == est.history_["train_loss"][EPOCHS:]


def test_callbacks_outside_and_inside_both_log_the_whole_fit(runs: Any) -> None:
    inside = network().set_callbacks(MLflowCallback("inside"))
    fit(make_pipeline(StandardScaler(), inside), "outside")
    for experiment in ("inside", "outside"):
        runs.assert_complete([runs.top(experiment)])


def test_a_callback_set_twice_makes_one_run(runs: Any) -> None:
    callback = MLflowCallback("test")
    make_pipeline(StandardScaler(), network()).set_callbacks(callback, callback).fit(X, Y)
    runs.assert_complete([runs.top()])


# ---------------------------------------------------------------------- the callback as an object


def test_a_pickled_callback_holds_settings_only(runs: Any) -> None:
    est = fit(network(), "test", every_n_epochs=2)
    callback = est._skl_callbacks[0]
    assert len(pickle.dumps(callback)) < 3000
    copied = pickle.loads(pickle.dumps(callback))
    assert copied.settings.experiment == "test"
    assert copied.settings.every_n_epochs == 2
    assert clone(est)._skl_callbacks == est._skl_callbacks
    assert "MLflowCallback(experiment='test', every_n_epochs=2)" in repr(MLflowCallback("test", every_n_epochs=2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(est)).predict(X), est.predict(X))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs"),
        ({"every_n_epochs": 1.5}, "every_n_epochs"),
        ({"every_n_epochs": True}, "every_n_epochs"),
        ({"child_runs": True}, "child_runs"),
        ({"close_timeout": True}, "close_timeout"),
        ({"child_runs": "some"}, "child_runs"),
        ({"child_runs": -1}, "child_runs"),
        ({"on_error": "explode"}, "on_error"),
        ({"close_timeout": 0}, "close_timeout"),
    ],
)
def test_invalid_settings_raise(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"The '{words}' parameter of MLflowCallback must be .* Got"):
        MLflowCallback(**params)


def test_sending_may_take_any_time() -> None:
    assert MLflowCallback(close_timeout=float("inf")).settings.close_timeout == float("inf")
