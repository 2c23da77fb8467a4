"""Sending a file of unsent records: damaged lines, and values that MLflow refuses."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, TrackingWarning, replay
from skmlp.tracking.__main__ import main
from skmlp.tracking.journal import CreateRun, EndRun, Log
from skmlp.tracking.outbox import Outbox, Unsent
from skmlp.tracking.spool import Spool
from skmlp.tracking.store import valid_name

X, Y = make_classification(80, n_features=5, random_state=0)
CREATION = CreateRun("run", "run", "test", None, None, 1, {})


@pytest.fixture
def spool(tmp_path: Path, sqlite_uri: str) -> Spool:
    return Spool(tmp_path / "spool", sqlite_uri, "session")


def only_run(uri: str) -> Any:
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    return run


def network() -> Any:
    return MLPClassifier((4,), max_iter=3, random_state=0)


def test_a_torn_last_line_is_reported_and_the_others_are_sent(spool: Spool, sqlite_uri: str) -> None:
    """As a process leaves it that was killed while it wrote."""
    spool.write([CREATION, Log("run", [["m", 1.0, 5, 1]]), Log("run", [["m", 2.0, 5, 2]])])
    whole = spool.path.read_bytes()
    spool.path.write_bytes(whole[: whole.rindex(b'"metrics"')])
    replayed = replay(spool.path)
    assert replayed.n_metrics == 1
    assert replayed.rejected == [f"line 4 of {spool.path} is damaged"]
    assert only_run(sqlite_uri).data.metrics == {"m": 1.0}


def test_a_file_of_an_earlier_version_is_replayed(spool: Spool, sqlite_uri: str) -> None:
    spool.write([CREATION, Log("run", [["m", 1.0, 5, 1]])])
    text = spool.path.read_text()
    assert '"wait"' in text
    spool.path.write_text(text.replace('"wait"', '"patience"'))
    assert replay(spool.path).rejected == []
    assert only_run(sqlite_uri).data.metrics == {"m": 1.0}


def test_a_file_without_a_header_does_not_stop_the_replay_of_a_folder(
    spool: Spool, sqlite_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spool.write([CREATION])
    torn = spool.path.with_name("0.jsonl")
    torn.write_text('{"tracking_')
    assert main(["replay", str(torn.parent)]) == 1
    assert f"refused: {torn} is not a file of unsent records" in capsys.readouterr().out
    assert only_run(sqlite_uri).info.run_name == "run"
    with pytest.raises(ValueError, match="not a file of unsent records"):
        replay(torn)


def test_refused_values_are_reported_and_the_rest_is_sent(spool: Spool, sqlite_uri: str) -> None:
    spool.write(
        [CREATION, Log("run", [["bad", 1.0, -5, 1], ["m (a)", 2.0, 5, 1]], {"p": "1"}), EndRun("run", "FAILED", 9)]
    )
    for _ in range(2):
        replayed = replay(spool.path)
        assert replayed.n_metrics == 1
        assert len(replayed.rejected) == 1
        assert replayed.rejected[0].startswith("the metric 'bad' (")
    run = only_run(sqlite_uri)
    assert (run.info.status, run.data.metrics, run.data.params) == ("FAILED", {valid_name("m (a)"): 2.0}, {"p": "1"})


def test_a_fit_warns_about_refused_values(sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skmlp.tracking.fits.now", lambda: -1)
    callback = MLflowCallback("test", tracking_uri=sqlite_uri, artifacts=False, log_dataset=False)
    with pytest.warns(TrackingWarning, match=r"MLflow refused the metric 'loss/train'"):
        network().set_callbacks(callback).fit(X, Y)
    assert not (tmp_path / "skmlp-mlflow-spool").exists()
    run = only_run(sqlite_uri)
    assert run.data.metrics == {}
    assert (run.info.status, run.data.params["max_iter"]) == ("FINISHED", "3")


def test_a_warning_says_why_a_model_was_not_logged(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Outbox.flush

    def full(self: Outbox, timeout: float) -> Unsent:
        unsent = flush(self, timeout)
        unsent.add_reason("database or disk is full")
        return dataclasses.replace(unsent, n_lost=1)

    monkeypatch.setattr(Outbox, "flush", full)
    callback = MLflowCallback("test", tracking_uri=sqlite_uri, artifacts=False, log_model=True)
    with pytest.warns(TrackingWarning, match="the model was not logged: .*database or disk is full") as caught:
        network().set_callbacks(callback).fit(X, Y)
    assert not any("away" in str(warning.message) for warning in caught)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="not a file of unsent records"):
        replay(other)
