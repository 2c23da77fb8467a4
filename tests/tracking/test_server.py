"""Fits and a real server: it dies, comes back, loses answers, hangs or was never there; every value is stored once."""

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier
from skmlp.callbacks import StopWhen
from skmlp.tracking import MLflowCallback, TrackingWarning, replay
from skmlp.tracking.__main__ import main

pytestmark = pytest.mark.usefixtures("nothing_given_up")
X, Y = make_classification(80, n_features=5, random_state=0)
EPOCHS = 30


def network(**params: Any) -> Any:
    settings = {"max_iter": EPOCHS, "batch_size": 20, "random_state": 0, "n_iter_no_change": np.inf, **params}
    return MLPClassifier((6, 4), **settings)


def fit(callback: MLflowCallback, actions: dict[int, Any]) -> Any:
    """Return a fitted network; `actions` are functions to call after an epoch."""

    def act(history: Any) -> bool:
        actions.get(len(history["loss"]), bool)()
        return False

    return network().set_callbacks(callback, StopWhen(act)).fit(X, Y)


def wait_for_run(runs: Any, experiment: str) -> None:
    deadline = time.monotonic() + 60.0
    while not runs.all(experiment):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_same_weights(a: Any, b: Any) -> None:
    for first, second in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_server_that_was_away_for_a_while_has_every_value_once(line: Any, server_runs: Any) -> None:
    def die() -> None:
        wait_for_run(server_runs, "back")
        line.cut()

    callback = MLflowCallback("back", tracking_uri=line.uri, artifacts=False, close_timeout=300.0)
    est = fit(callback, {10: die, 20: line.connect})
    server_runs.assert_complete([server_runs.top("back")], EPOCHS)
    assert_same_weights(est, network().fit(X, Y))


def test_values_whose_answer_was_lost_are_sent_again_and_stored_once(
    line: Any, server_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # else MLflow's client sends them again
    line.loses_answer_to = b"loss/train"
    fit(MLflowCallback("lost", tracking_uri=line.uri, artifacts=False, close_timeout=300.0), {})
    assert not line.loses_answer_to  # it has lost one
    server_runs.assert_complete([server_runs.top("lost")], EPOCHS)


def test_a_server_that_died_gets_the_rest_from_the_file_once(line: Any, server_runs: Any, tmp_path: Path) -> None:
    def die() -> None:
        wait_for_run(server_runs, "gone")
        line.cut()

    started = time.monotonic()
    with pytest.warns(TrackingWarning, match="does not answer.*python -m skmlp.tracking replay"):
        fit(MLflowCallback("gone", tracking_uri=line.uri, artifacts=False), {10: die})
    assert time.monotonic() - started < 60.0  # MLflow's client alone would retry for minutes
    line.connect()
    (file,) = (tmp_path / "skmlp-mlflow-spool").glob("*.jsonl")
    assert replay(file).rejected == []
    server_runs.assert_complete([server_runs.top("gone")], EPOCHS)
    assert main(["replay", str(file)]) == 0
    server_runs.assert_complete([server_runs.top("gone")], EPOCHS)


def test_a_hanging_server_gets_the_rest_from_the_file_once(server: Any, server_runs: Any, tmp_path: Path) -> None:
    def hang() -> None:
        wait_for_run(server_runs, "hanging")
        server.signal(signal.SIGSTOP)

    started = time.monotonic()
    try:
        with pytest.warns(TrackingWarning, match="does not answer"):
            fit(MLflowCallback("hanging", tracking_uri=server.uri, artifacts=False), {10: hang})
    finally:
        server.signal(signal.SIGCONT)
    assert time.monotonic() - started < 60.0
    (file,) = (tmp_path / "skmlp-mlflow-spool").glob("*.jsonl")
    for _ in range(2):
        assert replay(file).rejected == []
        server_runs.assert_complete([server_runs.top("hanging")], EPOCHS)


def test_a_search_without_a_server_is_replayed_completely(line: Any, server_runs: Any, tmp_path: Path) -> None:
    line.cut()
    search = GridSearchCV(network(max_iter=4), {"alpha": [0.1]}, cv=2)  # a file for each fold, as with processes
    with pytest.warns(TrackingWarning, match="replay"):
        search.set_callbacks(MLflowCallback("away", tracking_uri=line.uri, artifacts=False)).fit(X, Y)
    line.connect()
    assert len(list((tmp_path / "skmlp-mlflow-spool").iterdir())) > 2
    assert replay(tmp_path / "skmlp-mlflow-spool").rejected == []
    children = server_runs.children("away")
    assert len(children) == 3
    server_runs.assert_complete(children)
    assert sum("score/test" in run.data.metrics for run in children) == 2


def test_a_fit_without_a_server_and_without_a_writable_folder_succeeds(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    callback = MLflowCallback("lost", tracking_uri="http://127.0.0.1:9", spool=tmp_path / "file" / "spool")
    with pytest.warns(TrackingWarning, match="records are lost"):
        est = network().set_callbacks(callback).fit(X, Y)
    assert_same_weights(est, network().fit(X, Y))
