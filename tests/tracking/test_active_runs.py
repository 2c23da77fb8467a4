"""The run, experiment and store that a fit is logged into: those that MLflow's own functions would use."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, TrackingWarning, replay
from skmlp.tracking.journal import CreateRun, EndRun, Log
from skmlp.tracking.spool import Spool

EPOCHS = 4
X, Y = make_classification(80, n_features=5, random_state=0)


def network() -> Any:
    return MLPClassifier((6, 4), max_iter=EPOCHS, batch_size=20, random_state=0)


def fit(*args: Any, **settings: Any) -> None:
    network().set_callbacks(MLflowCallback(*args, artifacts=False, **settings)).fit(X, Y)


# ---------------------------------------------------------------------- an active run, in a real store


def test_an_active_run_receives_the_first_fit_and_is_the_parent_of_later_ones(sqlite_runs: Any) -> None:
    mlflow.set_experiment("test")
    with mlflow.start_run(run_name="mine") as active:
        mlflow.log_param("alpha", "what I say")
        fit()
        fit()
        search = GridSearchCV(network(), {"alpha": [0.1]}, cv=2)
        search.set_callbacks(MLflowCallback(artifacts=False)).fit(X, Y)
        assert sqlite_runs.client.get_run(active.info.run_id).info.status == "RUNNING"
    found = sqlite_runs.all()
    mine = found[0]
    assert mine.info.run_name == "mine"
    assert mine.data.params["alpha"] == "what I say"
    assert mine.data.params["hidden_layer_sizes"] == "(6, 4)"
    assert len(sqlite_runs.curve(mine)) == EPOCHS
    nested = [run for run in found if sqlite_runs.parent(run) == mine.info.run_id]
    assert [run.data.tags["skmlp.role"] for run in nested] == ["fit", "search"]
    assert len([run for run in found if sqlite_runs.parent(run) == nested[1].info.run_id]) == 3


def test_an_explicit_experiment_has_precedence_over_an_active_run(sqlite_runs: Any) -> None:
    mlflow.set_experiment("elsewhere")
    with mlflow.start_run():
        fit("test")
    assert len(sqlite_runs.all("test")) == 1
    assert sqlite_runs.curve(sqlite_runs.all("elsewhere")[0]) == []


def test_runs_nested_in_an_active_run_are_in_its_experiment(sqlite_runs: Any) -> None:
    experiment_id = sqlite_runs.client.create_experiment("test")
    with mlflow.start_run(experiment_id=experiment_id):
        callback = MLflowCallback(artifacts=False)
        GridSearchCV(network(), {"alpha": [0.1]}, cv=2).set_callbacks(callback).fit(X, Y)
    assert len(sqlite_runs.children()) == 3


# ---------------------------------------------------------------------- MLFLOW_RUN_ID


@pytest.fixture
def named_run(runs: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ID of an ended run, in MLFLOW_RUN_ID; its experiment is not MLflow's current one."""
    return name_a_run(runs.client, monkeypatch)


def name_a_run(client: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    run_id = str(client.create_run(client.create_experiment("test"), run_name="named").info.run_id)
    client.log_param(run_id, "alpha", "what I say")
    client.set_terminated(run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


def test_the_named_run_receives_the_first_fit_and_is_the_parent_of_later_ones(runs: Any, named_run: str) -> None:
    fit()
    assert [run.info.run_id for run in runs.all()] == [named_run]
    runs.assert_complete(runs.all())
    assert runs.top().data.params.items() >= {"alpha": "what I say", "network.layer_sizes": "5-6-4-1"}.items()
    # As in a worker process of cross_val_score, and in a process that calls fit again.
    network().set_callbacks(pickle.loads(pickle.dumps(MLflowCallback("test")))).fit(X, Y)
    fit()
    runs.assert_complete(runs.children())
    assert len(runs.children()) == 2
    assert runs.client.get_run(named_run).info.status == "FINISHED"


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_a_search_is_logged_into_the_named_run(runs: Any, named_run: str, where: str) -> None:
    callback, net = MLflowCallback("test" if where == "outer" else None), network()
    if where == "inner":
        net.set_callbacks(callback)
    search = GridSearchCV(net, {"alpha": [0.1, 1.0]}, cv=2, refit=False)
    if where == "outer":
        search.set_callbacks(callback)
    search.fit(X, Y)
    # A callback inside does not know of the search: the folds make its run, nested in the named one.
    (parent,) = (
        [named_run] if where == "outer" else [run.info.run_id for run in runs.all() if runs.parent(run) == named_run]
    )
    folds = [run for run in runs.all() if runs.parent(run) == parent]
    assert len(folds) == 4
    runs.assert_complete(folds)
    assert len(runs.all()) == (5 if where == "outer" else 6)
    assert all(run.info.status == "FINISHED" for run in runs.all())


def test_an_explicit_experiment_has_precedence_over_the_named_run(runs: Any, named_run: str) -> None:
    fit("another")
    runs.assert_complete([runs.top("another")])
    assert runs.curve(runs.top()) == []


def test_an_explicit_store_has_precedence_over_the_named_run(
    sqlite_runs: Any, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_a_run(sqlite_runs.client, monkeypatch)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shutil.copy(empty_store, tmp_path / "other.db")
    both = [MLflowCallback("another", artifacts=False, tracking_uri=uri) for uri in (None, other)]
    network().set_callbacks(*both).fit(X, Y)
    for each in (sqlite_runs, type(sqlite_runs)(MlflowClient(other))):
        each.assert_complete([each.top("another")])
    assert sqlite_runs.curve(sqlite_runs.top()) == []


def test_a_replay_uses_the_named_run(sqlite_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named_run = name_a_run(sqlite_runs.client, monkeypatch)
    spool = Spool(str(tmp_path / "spool"), None, "fit")
    begin = CreateRun("fit", "MLPClassifier", None, None, None, 0, {}, resume=named_run)
    child = CreateRun("fit/1", "refit", None, None, "fit", 0, {})
    params = Log("fit", params={"alpha": "0.1", "beta": "0.2"})
    spool.write([begin, child, params, EndRun("fit/1", "FINISHED", 1), EndRun("fit", "FINISHED", 1)])
    for _ in range(2):
        assert replay(tmp_path / "spool").rejected == []
    assert {run.info.status for run in sqlite_runs.all()} == {"FINISHED"}
    assert sqlite_runs.top().info.run_id == named_run
    assert sqlite_runs.top().data.params == {"alpha": "what I say", "beta": "0.2"}
    assert len(sqlite_runs.children()) == 1


def test_a_named_run_that_does_not_exist_becomes_a_warning(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.warns(TrackingWarning, match=f"the run {'0' * 32} that MLFLOW_RUN_ID names is not in the store"):
        fit()
    runs.assert_complete([runs.top("Default")])


# ---------------------------------------------------------------------- the experiment


def test_the_default_experiment_is_chosen_in_mlflows_order(sqlite_runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking.default_experiment.registry import _default_experiment_provider_registry as registry

    class Provider:
        def in_context(self) -> bool:
            return True

        def get_experiment_id(self) -> str:
            return ids["provided"]

    ids = {name: sqlite_runs.client.create_experiment(name) for name in ("provided", "by_id", "by_name", "set")}
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
    fit()
    sqlite_runs.assert_complete([sqlite_runs.top("set")])


def test_an_experiment_id_does_not_apply_to_another_store(sqlite_runs: Any, tmp_path: Path) -> None:
    mlflow.set_experiment("test")
    elsewhere = MLflowCallback(tracking_uri=f"sqlite:///{tmp_path / 'elsewhere.db'}").settings.resolved()
    assert (elsewhere.experiment, elsewhere.experiment_id) == ("Default", None)
