"""Fits in real stores, through the sending process: a file, two files, a server, worker processes, a fork."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback

X, Y = make_classification(80, n_features=5, random_state=0)


def network() -> Any:
    return MLPClassifier((6, 4), max_iter=4, batch_size=20, random_state=0)


def test_a_fit_in_a_sqlite_store(sqlite_runs: Any) -> None:
    est = network().set_callbacks(MLflowCallback("test", tags={"team": "a"})).fit(X, Y)
    run = sqlite_runs.top()
    sqlite_runs.assert_complete([run])
    assert run.data.params["hidden_layer_sizes"] == "(6, 4)"
    assert run.data.tags["team"] == "a"
    (entry,) = run.inputs.dataset_inputs
    assert entry.tags[0].value == "training"
    assert "config.json" in sqlite_runs.files(run)
    pictures = [f"figures/{name}" for name in ("gradient_flow.png", "learning_curve.png")]
    assert sqlite_runs.files(run, "figures") == [*pictures, "figures/training.html"]
    for name in pictures:
        path = sqlite_runs.client.download_artifacts(run.info.run_id, name)
        assert Path(path).read_bytes().startswith(b"\x89PNG")
    table = sqlite_runs.client.load_table(run.info.experiment_id, "history.json", [run.info.run_id])
    np.testing.assert_allclose(table["train_loss"], est.history_["train_loss"])


def test_two_callbacks_log_the_whole_search_to_two_stores(sqlite_runs: Any, empty_store: Path, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    shutil.copy(empty_store, tmp_path / "other.db")
    both = [MLflowCallback("test", artifacts=False, tracking_uri=uri) for uri in (None, other)]
    GridSearchCV(network(), {"alpha": [0.1]}, cv=2).set_callbacks(*both).fit(X, Y)
    for runs in (sqlite_runs, type(sqlite_runs)(MlflowClient(other))):
        assert runs.top().info.status == "FINISHED"
        assert len(runs.children()) == 3
        runs.assert_complete(runs.children())


def test_worker_processes_log_to_the_current_experiment(server_runs: Any, server: Any) -> None:
    """The processes are those of the first search, and know nothing of the second experiment."""
    mlflow.set_tracking_uri(server.uri)
    for experiment in ("first", "second"):
        mlflow.set_experiment(experiment)
        callback = MLflowCallback(artifacts=False)
        for outer, inner in (([callback], []), ([], [callback])):
            pipeline = make_pipeline(StandardScaler(), network().set_callbacks(*inner))
            search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1]}, cv=2, n_jobs=2)
            search.set_callbacks(*outer).fit(X, Y)
    for experiment in ("first", "second"):
        runs = server_runs.all(experiment)
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(parents) == 2
        assert {run.info.status for run in parents} == {"FINISHED"}
        children = [run for run in runs if run not in parents]
        assert Counter(run.data.tags["mlflow.parentRunId"] for run in children) == {
            top.info.run_id: 3 for top in parents
        }
        server_runs.assert_complete(children)
        # Only the process that called the outer search knows the scores.
        assert sum("score/test" in run.data.metrics for run in children) == 2


FORKING_FIT = """
import os, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import make_classification
from skmlp import MLPClassifier
from skmlp.callbacks import StopWhen
from skmlp.tracking import MLflowCallback
X, y = make_classification(80, n_features=5, random_state=0)

def callback(experiment):
    return MLflowCallback(experiment, artifacts=False, close_timeout=300.0)  # a busy machine is no failure

def fork(history):
    if len(history["loss"]) == 2:
        pid = os.fork()
        if pid == 0:
            MLPClassifier((4,), max_iter=3).set_callbacks(callback("child")).fit(X, y)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    return False

MLPClassifier((4,), max_iter=5).set_callbacks(callback("parent"), StopWhen(fork)).fit(X, y)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_and_its_parent_log_their_own_fits(server_runs: Any, server: Any) -> None:
    """Threads and connections do not survive a fork; the child must not use those of its parent."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    subprocess.run([sys.executable, "-c", FORKING_FIT], check=True, env=environment)
    for experiment, n_epochs in {"child": 3, "parent": 5}.items():
        server_runs.assert_complete([server_runs.top(experiment)], n_epochs)
