"""A real server: searches over HTTP, and a server that is killed, comes back, stays away or hangs."""

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, TrackingWarning, replay
from skmlp.tracking.__main__ import main
from skmlp.tracking.outbox import Outbox

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
X, Y = make_classification(80, n_features=5, random_state=0)
EPOCHS = 60


def network(**params: Any) -> Any:
    settings = {"max_iter": EPOCHS, "batch_size": 20, "random_state": 0, "n_iter_no_change": np.inf, **params}
    return MLPClassifier((6, 4), **settings)


def runs(uri: str, experiment: str) -> list[Any]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def steps(uri: str, run: Any) -> list[int]:
    """Return the epochs stored of a run, in order: one that is stored twice is there twice."""
    return sorted(point.step for point in MlflowClient(uri).get_metric_history(run.info.run_id, "loss/train"))


def assert_stored_once(uri: str, experiment: str, n_epochs: int = EPOCHS) -> None:
    (run,) = runs(uri, experiment)
    assert run.info.status == "FINISHED"
    assert steps(uri, run) == list(range(1, n_epochs + 1))


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "_given_up", {})


class Meddling:
    """A callback that does something to the server after some epochs."""

    def __init__(self, actions: dict[int, Any]) -> None:
        self.actions = actions

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch" and estimator.n_iter_ in self.actions:
            self.actions[estimator.n_iter_]()


def wait_for_run(uri: str, experiment: str) -> None:
    deadline = time.monotonic() + 60.0
    while not runs(uri, experiment):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks


def test_a_search_over_http_and_a_second_one_elsewhere(server: Any) -> None:
    for experiment in ("http-first", "http-second"):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), network(max_iter=4)), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2
        )
        search.set_callbacks(MLflowCallback(experiment, tracking_uri=server.uri)).fit(X, Y)
    for experiment in ("http-first", "http-second"):
        found = runs(server.uri, experiment)
        (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
        children = [run for run in found if run is not parent]
        assert len(children) == 5
        assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
        assert {run.info.status for run in found} == {"FINISHED"}
        assert all(steps(server.uri, run) == [1, 2, 3, 4] for run in children)


def test_a_search_without_a_server_replays_whole(stopped_server: Any, tmp_path: Path) -> None:
    search = GridSearchCV(network(max_iter=4), {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2)
    with pytest.warns(TrackingWarning, match="replay"):
        search.set_callbacks(MLflowCallback("away", tracking_uri=stopped_server.uri)).fit(X, Y)
    stopped_server.start()
    for _ in range(2):
        assert replay(tmp_path / "skmlp-mlflow-spool").rejected == []
        found = runs(stopped_server.uri, "away")
        (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
        children = [run for run in found if run.info.run_id != parent.info.run_id]
        assert len(children) == 5
        assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
        assert all(steps(stopped_server.uri, run) == [1, 2, 3, 4] for run in children)
        assert sum("score/test" in run.data.metrics for run in children) == 4


def test_a_server_that_was_killed_and_came_back_has_every_point_once(own_server: Any) -> None:
    reference = network().fit(X, Y)
    meddling = Meddling(
        {
            20: lambda: (wait_for_run(own_server.uri, "back"), own_server.kill()),
            40: own_server.start,
        }
    )
    callback = MLflowCallback("back", tracking_uri=own_server.uri, close_timeout=300.0)  # a busy machine is no failure
    est = network().set_callbacks(callback, meddling).fit(X, Y)
    assert_stored_once(own_server.uri, "back")
    for a, b in zip(est.coefs_, reference.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_server_killed_for_good_leaves_a_file_that_replays_once(own_server: Any, tmp_path: Path) -> None:
    meddling = Meddling({20: lambda: (wait_for_run(own_server.uri, "gone"), own_server.kill())})
    callback = MLflowCallback("gone", tracking_uri=own_server.uri)
    started = time.monotonic()
    with pytest.warns(TrackingWarning, match="does not answer.*python -m skmlp.tracking replay"):
        network().set_callbacks(callback, meddling).fit(X, Y)
    assert time.monotonic() - started < 60.0  # MLflow's client alone would try for minutes
    own_server.start()
    (file,) = (tmp_path / "skmlp-mlflow-spool").glob("*.jsonl")
    assert replay(file).rejected == []
    assert_stored_once(own_server.uri, "gone")
    assert main(["replay", str(file)]) == 0
    assert_stored_once(own_server.uri, "gone")


def test_a_server_that_hangs_is_given_up_and_its_file_replays(own_server: Any, tmp_path: Path) -> None:
    meddling = Meddling({20: lambda: (wait_for_run(own_server.uri, "hanging"), own_server.signal(signal.SIGSTOP))})
    callback = MLflowCallback("hanging", tracking_uri=own_server.uri)
    started = time.monotonic()
    with pytest.warns(TrackingWarning, match="does not answer"):
        network().set_callbacks(callback, meddling).fit(X, Y)
    assert time.monotonic() - started < 60.0
    own_server.signal(signal.SIGCONT)
    (file,) = (tmp_path / "skmlp-mlflow-spool").glob("*.jsonl")
    for _ in range(2):
        assert replay(file).rejected == []
        assert_stored_once(own_server.uri, "hanging")


def test_without_a_server_and_a_place_for_the_file_the_fit_is_intact(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    reference = network().fit(X, Y)
    callback = MLflowCallback("lost", tracking_uri="http://127.0.0.1:9", spool=tmp_path / "file" / "spool")
    with pytest.warns(TrackingWarning, match="records are lost"):
        est = network().set_callbacks(callback).fit(X, Y)
    for a, b in zip(est.coefs_, reference.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="not a file of unsent records"):
        replay(other)
