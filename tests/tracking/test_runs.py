"""Which fit becomes which run, in a SQLite store: alone, in pipelines, in searches, in processes and threads."""

import itertools
import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from mlflow import MlflowClient
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import Adam
from skmlp.tracking import MLflowCallback, TrackingError, TrackingWarning, replay
from skmlp.tracking.describe import dataset
from skmlp.tracking.journal import CreateRun, EndRun, Log
from skmlp.tracking.spool import Spool

pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
EPOCHS = 4
X, Y = make_classification(80, n_features=5, random_state=0)


def network(**params: Any) -> Any:
    return MLPClassifier(
        **{"hidden_layer_sizes": (6, 4), "max_iter": EPOCHS, "batch_size": 20, "random_state": 0, **params}
    )


def pipeline(**params: Any) -> Any:
    return make_pipeline(StandardScaler(), network(**params))


def search(n_jobs: int | None = None, **params: Any) -> Any:
    grid = {"mlpclassifier__alpha": [0.1, 1.0]}
    return GridSearchCV(pipeline(), grid, cv=3, n_jobs=n_jobs, **params)


@pytest.fixture
def store(sqlite_uri: str) -> "Runs":
    mlflow.set_tracking_uri(sqlite_uri)
    return Runs(sqlite_uri)


class Runs:
    """Reads what was stored."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(uri)

    def all(self, experiment: str = "test") -> list[Any]:
        found = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([found.experiment_id], order_by=["attributes.start_time"]))

    def top(self, experiment: str = "test") -> Any:
        (run,) = (run for run in self.all(experiment) if "mlflow.parentRunId" not in run.data.tags)
        return run

    def children(self, experiment: str = "test") -> list[Any]:
        top = self.top(experiment)
        runs = [run for run in self.all(experiment) if run.info.run_id != top.info.run_id]
        assert {run.data.tags["mlflow.parentRunId"] for run in runs} <= {top.info.run_id}
        return runs

    def curve(self, run: Any, metric: str = "loss/train") -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def files(self, run: Any, folder: str | None = None) -> list[str]:
        return sorted(each.path for each in self.client.list_artifacts(run.info.run_id, folder))

    def text(self, run: Any, path: str) -> str:
        with open(self.client.download_artifacts(run.info.run_id, path), encoding="utf-8") as file:
            return file.read()


def assert_whole(store: Runs, runs: list[Any], n_epochs: int = EPOCHS) -> None:
    for run in runs:
        assert run.info.status == "FINISHED"
        assert [step for step, _ in store.curve(run)] == list(range(1, n_epochs + 1))


# ------------------------------------------------------------------ one run


def test_a_fit_is_one_run(store: Runs) -> None:
    est = network(early_stopping=True).set_callbacks(MLflowCallback("test", "mine", tags={"team": "a"})).fit(X, Y)
    run = store.top()
    assert run.info.run_name == "mine"
    assert_whole(store, [run])
    assert [value for _, value in store.curve(run)] == est.history_["train_loss"]
    for column, metric in {
        "penalty": "loss/penalty",
        "validation_loss": "loss/validation",
        "validation_score": "score/validation",
        "learning_rate": "optim/learning_rate",
        "gradient_norm": "grad_norm/global",
        "seconds": "time/epoch_seconds",
        "samples_per_second": "time/samples_per_second",
    }.items():
        assert [value for _, value in store.curve(run, metric)] == est.history_[column]
    for statistic, metric in {
        "gradient_norm": "grad_norm",
        "weight_norm": "weight_norm",
        "update_ratio": "update_ratio",
        "dead_fraction": "dead_fraction",
    }.items():
        for layer in range(2):
            logged = [value for _, value in store.curve(run, f"{metric}/layer_{layer + 1:02d}")]
            assert logged == est.monitor_[statistic][:, layer].tolist()
    assert "dead_fraction/layer_03" not in run.data.metrics  # the output layer cannot die
    assert not any("saturated" in name for name in run.data.metrics)  # nor relu saturate
    tags = run.data.tags
    assert tags["team"] == "a"
    assert tags["mlflow.source.name"] == sys.argv[0]
    assert tags["estimator_name"] == "MLPClassifier"
    assert tags["skmlp.role"] == "fit"
    assert tags["skmlp.stop_reason"] == "max_iter"
    best = int(np.argmax(est.validation_scores_))
    assert run.data.metrics["best_epoch"] == best + 1
    assert run.data.metrics["best_validation_score"] == est.best_validation_score_
    assert run.data.metrics["n_iter"] == EPOCHS


def test_saturation_is_logged_where_there_is_any(store: Runs) -> None:
    network(activation="tanh").set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert {"saturated_fraction/layer_01", "saturated_fraction/layer_02"} <= store.top().data.metrics.keys()


def test_the_diagnosis_is_told(store: Runs) -> None:
    healthy = network().set_callbacks(MLflowCallback("healthy")).fit(X, Y)
    ill = network().set_callbacks(MLflowCallback("ill")).fit(1e6 * X, Y)
    assert healthy.diagnose().is_healthy
    run = store.top("healthy")
    assert run.data.tags["skmlp.diagnosis"] == "healthy"
    assert run.data.metrics["health/findings"] == 0.0
    run = store.top("ill")
    assert run.data.tags["skmlp.diagnosis"] == ", ".join(each.code for each in ill.diagnose().at_least("warning"))
    assert "unscaled_inputs" in run.data.tags["skmlp.diagnosis"]
    assert run.data.metrics["health/findings"] == len(ill.diagnose().at_least("warning"))
    assert "Unscaled inputs" in store.text(run, "figures/training.html")


def test_parameters_say_everything(store: Runs) -> None:
    def start(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
        return rng.standard_normal((n_in, n_out)).astype(dtype) * 0.1

    network(solver=Adam(beta_1=0.8), weight_init=start).set_callbacks(MLflowCallback("test")).fit(X, Y)
    params = store.top().data.params
    assert params["alpha"] == "0.0001"
    assert params["random_state"] == "0"
    assert params["solver__beta_1"] == "0.8"
    assert params["solver"].startswith("Adam(beta_1=0.8")
    assert params["weight_init"].endswith("test_parameters_say_everything.<locals>.start")
    assert params["network.layer_sizes"] == "5-6-4-1"
    assert params["network.n_parameters"] == str(5 * 6 + 6 + 6 * 4 + 4 + 4 + 1)
    assert params["network.dtype"] == "float32"
    assert params["data.n_samples"] == "80"
    assert params["data.n_features"] == "5"
    assert params["version.numpy"] == np.__version__


def test_files_of_a_run(store: Runs) -> None:
    est = network(early_stopping=True).set_callbacks(MLflowCallback("test")).fit(X, Y)
    run = store.top()
    assert store.files(run) == [
        "config.json",
        "diagnosis.json",
        "figures",
        "history.csv",
        "history.json",
        "monitor.json.gz",
    ]
    assert store.files(run, "figures") == [
        "figures/gradient_flow.png",
        "figures/learning_curve.png",
        "figures/training.html",
    ]
    frame = pd.read_csv(store.client.download_artifacts(run.info.run_id, "history.csv"), index_col="epoch")
    pd.testing.assert_frame_equal(frame, est.history_frame(), check_index_type=False)
    table = store.client.load_table(run.info.experiment_id, "history.json", [run.info.run_id])
    np.testing.assert_allclose(table["train_loss"], est.history_["train_loss"])
    kept = json.loads(
        pd.io.common.get_handle(
            store.client.download_artifacts(run.info.run_id, "monitor.json.gz"), "r", compression="gzip"
        ).handle.read()
    )
    np.testing.assert_allclose(kept["gradient_quantiles"], est.monitor_["gradient_quantiles"], rtol=1e-3)
    assert json.loads(store.text(run, "diagnosis.json")) == est.diagnose().to_dicts()
    config = json.loads(store.text(run, "config.json"))
    assert config["params"]["hidden_layer_sizes"] == "(6, 4)"
    assert config["network"]["layer_sizes"] == "5-6-4-1"
    assert config["version"]["skmlp"]
    assert "<html" in store.text(run, "figures/training.html")
    no_files = network().set_callbacks(MLflowCallback("none", artifacts=False)).fit(X, Y)
    assert no_files.n_iter_ == EPOCHS
    assert store.files(store.top("none")) == []


@pytest.mark.parametrize("kind", ["frame", "array", "sparse"])
def test_the_data_are_described_without_being_copied(store: Runs, kind: str) -> None:
    from scipy.sparse import csr_matrix

    data: Any = {
        "frame": pd.DataFrame(X, columns=list("abcde")),
        "array": X,
        "sparse": csr_matrix(X),
    }[kind]
    network().set_callbacks(MLflowCallback("test", monitor=False)).fit(data, Y)
    (entry,) = store.top().inputs.dataset_inputs
    assert entry.tags[0].value == "training"
    assert json.loads(entry.dataset.profile) == {"num_rows": 80, "num_elements": 400}
    schema = json.loads(entry.dataset.schema)
    if kind == "frame":
        assert schema["mlflow_colspec"][0] == {"type": "double", "name": "a", "required": True}
    else:
        assert json.loads(schema["mlflow_tensorspec"]["features"])[0]["tensor-spec"]["shape"] == [-1, 5]
    digest = entry.dataset.digest
    network().set_callbacks(MLflowCallback("other", monitor=False)).fit(data[:79], Y[:79])
    assert store.top("other").inputs.dataset_inputs[0].dataset.digest != digest


@pytest.mark.parametrize("kind", ["coo_matrix", "dia_array", "bsr_matrix", "dok_array"])
def test_the_digest_is_that_of_the_rows_whatever_the_sparse_format(kind: str) -> None:
    import scipy.sparse

    data = getattr(scipy.sparse, kind)(X)
    described, other = dataset(data, Y), dataset(scipy.sparse.csr_array(X), Y)
    assert described is not None
    assert other is not None
    assert described[1:] == other[1:]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_the_columns_of_a_frame_are_described_whatever_its_library(library: str) -> None:
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


def test_a_pipeline_is_one_run_wherever_the_callback_is(store: Runs) -> None:
    pipeline().set_callbacks(MLflowCallback("outer")).fit(X, Y)
    make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback("inner"))).fit(X, Y)
    for experiment in ("outer", "inner"):
        assert len(store.all(experiment)) == 1
        assert_whole(store, store.all(experiment))
    assert store.top("outer").data.params["mlpclassifier__alpha"] == "0.0001"
    assert store.top("outer").data.params["standardscaler__with_mean"] == "True"


@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_lbfgs(store: Runs, estimator: Any) -> None:
    est = estimator(hidden_layer_sizes=(6,), solver="lbfgs", max_iter=EPOCHS, random_state=0)
    est.set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert_whole(store, [store.top()])
    assert "optim/learning_rate" not in store.top().data.metrics
    assert store.top().data.metrics["update_ratio/layer_01"] > 0.0


def test_every_n_epochs_and_the_last_one(store: Runs) -> None:
    network(max_iter=8).set_callbacks(MLflowCallback("test", every_n_epochs=3)).fit(X, Y)
    assert [step for step, _ in store.curve(store.top())] == [1, 4, 7, 8]


def test_a_warm_start_is_a_run_of_its_own(store: Runs) -> None:
    est = network(warm_start=True).set_callbacks(MLflowCallback("test")).fit(X, Y)
    est.fit(X, Y)
    runs = store.all()
    assert_whole(store, runs)
    assert [value for _, value in store.curve(runs[1])] == est.history_["train_loss"][EPOCHS:]
    frame = pd.read_csv(store.client.download_artifacts(runs[1].info.run_id, "history.csv"))
    assert frame["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert frame["train_loss"].tolist() == est.history_["train_loss"][EPOCHS:]


# ------------------------------------------------------------------ searches


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_is_a_parent_with_a_child_for_every_fit(store: Runs, n_jobs: int) -> None:
    fitted = search(n_jobs).set_callbacks(MLflowCallback("test")).fit(X, Y)
    top, children = store.top(), store.children()
    assert top.info.status == "FINISHED"
    assert top.data.params["grid.mlpclassifier__alpha"] == "[0.1, 1.0]"
    assert top.data.params["best_mlpclassifier__alpha"] == str(fitted.best_params_["mlpclassifier__alpha"])
    assert top.data.metrics["best_cv_score"] == fitted.best_score_
    assert top.data.metrics["n_failed_fits"] == 0
    table = pd.read_csv(store.client.download_artifacts(top.info.run_id, "cv_results.csv"))
    np.testing.assert_allclose(table["mean_test_score"], fitted.cv_results_["mean_test_score"])
    assert len(children) == 2 * 3 + 1
    assert_whole(store, children)
    folds = {
        (int(run.data.tags["skmlp.candidate"]), int(run.data.tags["skmlp.split"])): run
        for run in children
        if run.data.tags["skmlp.role"] == "cv"
    }
    assert sorted(folds) == [(candidate, split) for candidate in range(2) for split in range(3)]
    for (candidate, split), run in folds.items():
        assert run.data.params["mlpclassifier__alpha"] == run.data.params["alpha"] == str([0.1, 1.0][candidate])
        assert run.data.metrics["score/test"] == fitted.cv_results_[f"split{split}_test_score"][candidate]
        assert run.data.tags["skmlp.task_path"].startswith("GridSearchCV > search > Pipeline[")
        assert run.info.run_name == f"cand {candidate}, split {split}"
        assert store.files(run) == []
    (refit,) = (run for run in children if run.data.tags["skmlp.role"] == "refit")
    assert "history.csv" in store.files(refit)
    assert [v for _, v in store.curve(refit)] == fitted.best_estimator_[-1].history_["train_loss"]


def test_a_second_search_in_reused_workers_lands_in_its_own_experiment(store: Runs, sqlite_uri: str) -> None:
    for experiment in ("first", "second"):
        mlflow.set_experiment(experiment)  # not told to the callback: it has to find out in the main process
        search(2).set_callbacks(MLflowCallback()).fit(X, Y)
        inside = make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback()))
        GridSearchCV(inside, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=3, n_jobs=2).fit(X, Y)
    for experiment in ("first", "second"):
        runs = store.all(experiment)
        assert len(runs) == 2 * (1 + 2 * 3 + 1)
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(parents) == 2
        assert_whole(store, [run for run in runs if run not in parents])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_callback_may_sit_on_the_estimator_inside_a_search(store: Runs, n_jobs: int) -> None:
    inside = make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback("test")))
    GridSearchCV(inside, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=3, n_jobs=n_jobs).fit(X, Y)
    assert store.top().info.run_name == "GridSearchCV"
    assert store.top().info.status == "FINISHED"
    assert len(store.children()) == 7
    assert_whole(store, store.children())


def test_threads(store: Runs) -> None:
    with parallel_backend("threading", n_jobs=2):
        search(2).set_callbacks(MLflowCallback("outer")).fit(X, Y)
        inside = make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback("inner")))
        GridSearchCV(inside, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=3, n_jobs=2).fit(X, Y)
    for experiment in ("outer", "inner"):
        assert len(store.children(experiment)) == 7
        assert_whole(store, store.children(experiment))


def test_a_randomized_search_on_the_network_itself(store: Runs) -> None:
    distributions = {"alpha": loguniform(1e-4, 1.0)}
    chosen = RandomizedSearchCV(
        network(), distributions, n_iter=2, cv=2, random_state=0, scoring=["accuracy", "neg_log_loss"], refit="accuracy"
    )
    chosen.set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert store.top().data.params["grid.alpha"] == "loguniform(0.0001, 1.0)"
    assert len(store.children()) == 5
    scores = {run.data.metrics["score/test_neg_log_loss"] for run in store.children()[:4]}
    assert scores == {chosen.cv_results_[f"split{s}_test_neg_log_loss"][c] for s in range(2) for c in range(2)}


def test_a_halving_search_numbers_its_iterations(store: Runs) -> None:
    halving = HalvingGridSearchCV(
        network(), {"alpha": [0.1, 1.0, 10.0]}, resource="max_iter", min_resources=2, max_resources=6, cv=2
    )
    halving.set_callbacks(MLflowCallback("test")).fit(X, Y)
    folds = [run for run in store.children() if run.data.tags["skmlp.role"] == "cv"]
    assert len(folds) == 2 * len(halving.cv_results_["params"])
    for run in folds:
        iteration = int(run.data.tags["skmlp.iteration"])
        assert int(run.data.params["max_iter"]) == halving.n_resources_[iteration] == len(store.curve(run))
        assert "score/test" in run.data.metrics


def test_many_fits_get_no_runs_of_their_own(store: Runs) -> None:
    search().set_callbacks(MLflowCallback("few", child_runs=5)).fit(X, Y)
    search().set_callbacks(MLflowCallback("none", child_runs="none")).fit(X, Y)
    search().set_callbacks(MLflowCallback("enough", child_runs=6)).fit(X, Y)
    for experiment, expected in {"few": 1, "none": 1, "enough": 7}.items():
        assert len(store.children(experiment)) == expected
        assert store.files(store.top(experiment)) == ["cv_results.csv"]
    assert store.children("none")[0].data.tags["skmlp.role"] == "refit"


def test_a_search_inside_a_pipeline_has_one_parent(store: Runs) -> None:
    inner = GridSearchCV(network(), {"alpha": [0.1, 1.0]}, cv=2)
    make_pipeline(StandardScaler(), inner).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert store.top().data.tags["skmlp.role"] == "search"
    assert "best_alpha" in store.top().data.params
    assert len(store.children()) == 5
    assert all("score/test" in run.data.metrics for run in store.children()[:4])


def test_cross_val_score_tracks_the_callback_of_the_estimator(store: Runs) -> None:
    cross_val_score(pipeline().set_callbacks(MLflowCallback("test")), X, Y, cv=2, n_jobs=2)
    assert len(store.all()) == 2
    assert_whole(store, store.all())


# ------------------------------------------------------------------ a user's run


def test_an_active_run_takes_in_the_first_fit_and_parents_the_others(store: Runs) -> None:
    mlflow.set_experiment("test")
    with mlflow.start_run(run_name="mine") as active:
        mlflow.log_param("alpha", "what I say")
        network().set_callbacks(MLflowCallback()).fit(X, Y)
        network().set_callbacks(MLflowCallback()).fit(X, Y)
        search().set_callbacks(MLflowCallback()).fit(X, Y)
        assert store.client.get_run(active.info.run_id).info.status == "RUNNING"
    runs = store.all()
    mine = runs[0]
    assert mine.info.run_name == "mine"
    assert mine.data.params["alpha"] == "what I say"
    assert mine.data.params["hidden_layer_sizes"] == "(6, 4)"
    assert len(store.curve(mine)) == EPOCHS
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == mine.info.run_id]
    assert [run.data.tags["skmlp.role"] for run in nested] == ["fit", "search"]
    assert len([r for r in runs if r.data.tags.get("mlflow.parentRunId") == nested[1].info.run_id]) == 7


def test_an_explicit_experiment_beats_an_active_run_elsewhere(store: Runs) -> None:
    mlflow.set_experiment("elsewhere")
    with mlflow.start_run():
        network().set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert len(store.all("test")) == 1
    assert store.curve(store.all("elsewhere")[0]) == []


def test_what_is_nested_in_an_active_run_is_in_its_experiment(store: Runs) -> None:
    experiment_id = store.client.create_experiment("test")
    with mlflow.start_run(experiment_id=experiment_id):
        GridSearchCV(network(), {"alpha": [0.1]}, cv=2).set_callbacks(MLflowCallback()).fit(X, Y)
    assert len(store.children()) == 3


@pytest.fixture
def named_run(store: Runs, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ID of a run that is there and ended, in MLFLOW_RUN_ID; its experiment is not MLflow's current one."""
    run_id = str(store.client.create_run(store.client.create_experiment("test"), run_name="named").info.run_id)
    store.client.log_param(run_id, "alpha", "what I say")
    store.client.set_terminated(run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


def test_the_run_that_mlflow_run_id_names_takes_in_the_first_fit(store: Runs, named_run: str) -> None:
    network().set_callbacks(MLflowCallback()).fit(X, Y)
    assert [run.info.run_id for run in store.all()] == [named_run]
    assert_whole(store, store.all())
    assert store.top().data.params.items() >= {"alpha": "what I say", "network.layer_sizes": "5-6-4-1"}.items()
    # As it were in a worker process of cross_val_score, and in one that calls fit again.
    network().set_callbacks(pickle.loads(pickle.dumps(MLflowCallback("test")))).fit(X, Y)
    network().set_callbacks(MLflowCallback()).fit(X, Y)
    assert_whole(store, store.children())
    assert len(store.children()) == 2
    assert store.client.get_run(named_run).info.status == "FINISHED"


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_a_search_is_in_the_run_that_mlflow_run_id_names(store: Runs, named_run: str, where: str) -> None:
    callback, net = MLflowCallback("test" if where == "outer" else None), network()
    if where == "inner":
        net.set_callbacks(callback)
    wanted = GridSearchCV(net, {"alpha": [0.1, 1.0]}, cv=2, refit=False, n_jobs=2)
    if where == "outer":
        wanted.set_callbacks(callback)
    wanted.fit(X, Y)
    # Set inside, the callback knows of no search: the folds make its run.
    (inside,) = (
        [named_run] if where == "outer" else [run.info.run_id for run in store.all() if parent(run) == named_run]
    )
    folds = [run for run in store.all() if parent(run) == inside]
    assert len(folds) == 4
    assert_whole(store, folds)
    assert len(store.all()) == (5 if where == "outer" else 6)
    assert all(run.info.status == "FINISHED" for run in store.all())


def parent(run: Any) -> Any:
    return run.data.tags.get("mlflow.parentRunId")


def test_an_explicit_experiment_or_store_beats_the_run_that_mlflow_run_id_names(
    store: Runs, named_run: str, tmp_path: Path
) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "elsewhere.db")
    network().set_callbacks(MLflowCallback("another")).fit(X, Y)
    network().set_callbacks(MLflowCallback("another", tracking_uri=elsewhere)).fit(X, Y)
    for runs in (store, Runs(elsewhere)):
        assert_whole(runs, [runs.top("another")])
    assert store.curve(store.top()) == []


def test_what_is_replayed_goes_into_the_named_run(store: Runs, named_run: str, tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool"), None, "fit")
    begin = CreateRun("fit", "MLPClassifier", None, None, None, 0, {}, resume=named_run)
    child = CreateRun("fit/1", "refit", None, None, "fit", 0, {})
    params = Log("fit", params={"alpha": "0.1", "beta": "0.2"})
    spool.write([begin, child, params, EndRun("fit/1", "FINISHED", 1), EndRun("fit", "FINISHED", 1)])
    for _ in range(2):
        assert replay(tmp_path / "spool").rejected == []
    assert {run.info.status for run in store.all()} == {"FINISHED"}
    assert store.top().info.run_id == named_run
    assert store.top().data.params == {"alpha": "what I say", "beta": "0.2"}
    assert len(store.children()) == 1


def test_a_run_that_is_not_there_is_told_and_costs_nothing(store: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.warns(TrackingWarning, match=f"the run {'0' * 32} that MLFLOW_RUN_ID names is not in the store"):
        network().set_callbacks(MLflowCallback()).fit(X, Y)
    assert_whole(store, [store.top("Default")])


def test_the_experiment_is_the_one_that_mlflow_would_use(store: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking.default_experiment.registry import _default_experiment_provider_registry as registry

    class Provider:
        def in_context(self) -> bool:
            return True

        def get_experiment_id(self) -> str:
            return ids["provided"]

    ids = {name: store.client.create_experiment(name) for name in ("provided", "by_id", "by_name", "set")}
    monkeypatch.setattr(registry, "_registry", [Provider()])
    variables = {"provided": {}, "by_id": {"MLFLOW_EXPERIMENT_ID": ids["by_id"]}}
    variables["by_name"] = {**variables["by_id"], "MLFLOW_EXPERIMENT_NAME": "by_name"}
    for expected in ("provided", "by_id", "by_name", "set"):
        for name, value in variables.get(expected, {}).items():
            monkeypatch.setenv(name, value)
        if expected == "set":
            mlflow.set_experiment("set")
        settings = MLflowCallback().settings.resolved()
        assert (settings.experiment or settings.experiment_id) == (expected if expected == "by_name" else ids[expected])
    network().set_callbacks(MLflowCallback()).fit(X, Y)
    assert_whole(store, [store.top("set")])


def test_an_experiment_chosen_by_its_id_is_of_mlflows_own_store(store: Runs, tmp_path: Path) -> None:
    mlflow.set_experiment("test")
    elsewhere = MLflowCallback(tracking_uri=f"sqlite:///{tmp_path / 'elsewhere.db'}").settings.resolved()
    assert (elsewhere.experiment, elsewhere.experiment_id) == ("Default", None)


# ------------------------------------------------------------------ two callbacks


def test_two_stores_have_both_the_whole_fit(store: Runs, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    both = [MLflowCallback("test"), MLflowCallback("test", tracking_uri=other)]
    GridSearchCV(network(), {"alpha": [0.1]}, cv=2).set_callbacks(*both).fit(X, Y)
    for runs in (store, Runs(other)):
        assert runs.top().info.status == "FINISHED"
        assert len(runs.children()) == 3
        assert_whole(runs, runs.children())


def test_outside_and_inside_both_have_the_whole_fit(store: Runs) -> None:
    inside = network().set_callbacks(MLflowCallback("inside"))
    make_pipeline(StandardScaler(), inside).set_callbacks(MLflowCallback("outside")).fit(X, Y)
    for experiment in ("inside", "outside"):
        assert_whole(store, [store.top(experiment)])


def test_a_callback_that_is_set_twice_makes_one_run(store: Runs) -> None:
    callback = MLflowCallback("test")
    pipeline().set_callbacks(callback, callback).fit(X, Y)
    assert_whole(store, [store.top()])


# ------------------------------------------------------------------ bad ends


def test_a_fit_that_fails_ends_failed_with_the_reason(store: Runs) -> None:
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        network().set_callbacks(MLflowCallback("alone")).fit(bad, Y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        pipeline(solver="sgd", learning_rate_init=1e30).set_callbacks(MLflowCallback("pipeline")).fit(X, Y)
    assert store.top("alone").data.tags["skmlp.error"].startswith("ValueError: Input X contains NaN")
    assert "layer" in store.top("pipeline").data.tags["skmlp.error"]
    for experiment in ("alone", "pipeline"):
        assert store.top(experiment).info.status == "FAILED"


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("where", ["outer", "inner"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
def test_a_failing_fold_ends_failed_and_the_search_goes_on(store: Runs, n_jobs: int, where: str) -> None:
    callback, net = MLflowCallback("test"), network(solver="sgd")
    if where == "inner":
        net.set_callbacks(callback)
    failing = GridSearchCV(
        make_pipeline(StandardScaler(), net), {"mlpclassifier__learning_rate_init": [1e30, 0.01]}, cv=2, n_jobs=n_jobs
    )
    if where == "outer":
        failing.set_callbacks(callback)
    failing.fit(X, Y)
    statuses = sorted(run.info.status for run in store.children())
    assert statuses == ["FAILED"] * 2 + ["FINISHED"] * 3
    assert store.top().info.status == "FINISHED"
    if where == "outer":
        assert store.top().data.metrics["n_failed_fits"] == 2
    failed = [run for run in store.children() if run.info.status == "FAILED"]
    assert all("non-finite" in run.data.tags["skmlp.error"] for run in failed)


class _Interrupt:
    """Presses Ctrl-C after the second epoch, while nobody expects it."""

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch" and context.task_id == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_ends_killed(store: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        network().set_callbacks(_Interrupt(), MLflowCallback("raised")).fit(X, Y)
    assert store.top("raised").info.status == "KILLED"
    inside = make_pipeline(StandardScaler(), network().set_callbacks(_Interrupt()))
    interrupted_search = GridSearchCV(inside, {"mlpclassifier__alpha": [0.1]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        interrupted_search.set_callbacks(MLflowCallback("search")).fit(X, Y)
    assert {run.info.status for run in store.all("search")} == {"KILLED"}

    from skmlp.training.epoch import EpochRunner

    run_epoch, calls = EpochRunner.run, []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_epoch(*args, **kwargs)

    monkeypatch.setattr(EpochRunner, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        network().set_callbacks(MLflowCallback("kept")).fit(X, Y)
    run = store.top("kept")
    assert run.info.status == "KILLED"
    assert "interrupted" in run.data.tags["skmlp.error"]
    assert len(store.curve(run)) == 2


@pytest.fixture
def _moving_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two moments are the same: MLflow drops a value that comes again with the same time."""
    clock = itertools.count(1_700_000_000_000)
    monkeypatch.setattr("skmlp.tracking.fits.now", lambda: next(clock))


@pytest.mark.usefixtures("_moving_clock")
@pytest.mark.parametrize("n_epochs", [0, 1, 2])
def test_an_epoch_that_never_ran_is_not_logged(store: Runs, n_epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from skmlp.training.epoch import EpochRunner

    run_epoch, calls = EpochRunner.run, itertools.count()

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n_epochs:
            raise KeyboardInterrupt
        return run_epoch(*args, **kwargs)

    monkeypatch.setattr(EpochRunner, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted") as caught:
        network().set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert not [warning for warning in caught if warning.category is TrackingWarning]
    assert [step for step, _ in store.curve(store.top())] == list(range(1, n_epochs + 1))
    assert store.top().info.status == "KILLED"


@pytest.mark.usefixtures("_moving_clock")
def test_lbfgs_that_converges_has_every_iteration_once(store: Runs) -> None:
    est = network(solver="lbfgs", alpha=5.0, max_iter=1000, tol=0.01).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert est.stop_reason_ == "converged"
    assert [step for step, _ in store.curve(store.top())] == list(range(1, est.n_iter_ + 1))


def test_an_error_that_is_being_handled_is_not_the_fits(store: Runs) -> None:
    try:
        raise LookupError("before")
    except LookupError:
        pipeline().set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert_whole(store, [store.top()])


def test_a_diverged_fit_says_where(store: Runs) -> None:
    est = network(solver="sgd", warm_start=True).fit(X, Y).set_params(learning_rate_init=1e30)
    with pytest.warns(Warning, match="diverged"):
        est.set_callbacks(MLflowCallback("test")).fit(X, Y)
    run = store.top()
    assert run.data.tags["skmlp.stop_reason"] == "non_finite"
    assert "layer" in run.data.tags["skmlp.stop_message"]
    assert run.data.tags["skmlp.diverged_epoch"] == str(est.n_iter_)
    assert store.curve(run, "health/nonfinite") == [(est.n_iter_, 1.0)]
    assert len(store.curve(run)) == est.n_iter_


def test_a_bug_in_the_tracking_costs_a_warning(store: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a bug")

    reference = network().fit(X, Y)
    for module_and_name in (
        "skmlp.tracking.fits.epoch_metrics",
        "skmlp.tracking.fits.configuration",
        "skmlp.tracking.hooks.dataset",
        "skmlp.tracking.hooks.versions",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module_and_name, broken)
            with pytest.warns(TrackingWarning, match="a bug") as caught:
                est = network().set_callbacks(MLflowCallback("test")).fit(X, Y)
            assert len([w for w in caught if w.category is TrackingWarning]) == 1
            assert caught[0].filename == __file__
        for a, b in zip(est.coefs_, reference.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)
    assert {run.info.status for run in store.all()} <= {"FINISHED"}


def test_on_error(store: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("skmlp.tracking.fits.epoch_metrics", broken)
    network().set_callbacks(MLflowCallback("test", on_error="ignore")).fit(X, Y)
    est = network().set_callbacks(MLflowCallback("test", on_error="raise"))
    with pytest.raises(TrackingError, match="a bug"):
        est.fit(X, Y)
    assert est.n_iter_ == EPOCHS  # the fit itself is done


# ------------------------------------------------------------------ the callback as an object


def test_nothing_alive_is_pickled(store: Runs) -> None:
    callback = MLflowCallback("test", every_n_epochs=2)
    est = network().set_callbacks(callback).fit(X, Y)
    for each in (callback, est._skl_callbacks[0]):
        assert len(pickle.dumps(each)) < 3000
        again = pickle.loads(pickle.dumps(each))
        assert again.settings.experiment == "test"
        assert again.settings.every_n_epochs == 2
    assert clone(est)._skl_callbacks == est._skl_callbacks
    assert "MLflowCallback(experiment='test', every_n_epochs=2)" in repr(callback)
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X), est.predict(X))


def test_nothing_is_left_in_the_registries(store: Runs) -> None:
    from skmlp.tracking import sessions as module

    before = (dict(module.outermost_fits), dict(module.tracked_fits))
    tracked = search().set_callbacks(MLflowCallback("test")).fit(X, Y)
    with pytest.raises(ValueError, match="non-finite"):
        network(solver="sgd", learning_rate_init=1e30).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert (dict(module.outermost_fits), dict(module.tracked_fits)) == before
    assert tracked._skl_callbacks[0]._sessions == {}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs"),
        ({"every_n_epochs": 1.5}, "every_n_epochs"),
        ({"child_runs": "some"}, "child_runs"),
        ({"child_runs": -1}, "child_runs"),
        ({"on_error": "explode"}, "on_error"),
        ({"close_timeout": 0}, "close_timeout"),
    ],
)
def test_wrong_settings_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"The '{words}' parameter of MLflowCallback must be .* Got"):
        MLflowCallback(**params)
