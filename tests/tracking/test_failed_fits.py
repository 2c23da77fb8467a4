"""Fits that fail, diverge or are interrupted, and faults of the tracking itself."""

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.callbacks import StopWhen
from skmlp.tracking import MLflowCallback, TrackingError, TrackingWarning, sessions
from skmlp.training.loop import EpochRunner

EPOCHS = 4
X, Y = make_classification(80, n_features=5, random_state=0)


def network(**params: Any) -> Any:
    return MLPClassifier(
        **{"hidden_layer_sizes": (6, 4), "max_iter": EPOCHS, "batch_size": 20, "random_state": 0, **params}
    )


def pipeline(**params: Any) -> Any:
    return make_pipeline(StandardScaler(), network(**params))


def test_a_failed_fit_has_status_failed_and_the_reason(runs: Any) -> None:
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        network().set_callbacks(MLflowCallback("alone")).fit(bad, Y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        pipeline(solver="sgd", learning_rate_init=1e30).set_callbacks(MLflowCallback("pipeline")).fit(X, Y)
    assert runs.top("alone").data.tags["skmlp.error"].startswith("ValueError: Input X contains NaN")
    assert "layer" in runs.top("pipeline").data.tags["skmlp.error"]
    for experiment in ("alone", "pipeline"):
        assert runs.top(experiment).info.status == "FAILED"


@pytest.mark.parametrize("where", ["outer", "inner"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
def test_a_failed_fold_has_status_failed_and_the_search_goes_on(runs: Any, where: str) -> None:
    callback, net = MLflowCallback("test"), network(solver="sgd")
    if where == "inner":
        net.set_callbacks(callback)
    grid = {"mlpclassifier__learning_rate_init": [1e30, 0.01]}
    failing = GridSearchCV(make_pipeline(StandardScaler(), net), grid, cv=2)
    if where == "outer":
        failing.set_callbacks(callback)
    failing.fit(X, Y)
    statuses = sorted(run.info.status for run in runs.children())
    assert statuses == ["FAILED"] * 2 + ["FINISHED"] * 3
    assert runs.top().info.status == "FINISHED"
    if where == "outer":
        assert runs.top().data.metrics["n_failed_fits"] == 2
    failed = [run for run in runs.children() if run.info.status == "FAILED"]
    assert all("non-finite" in run.data.tags["skmlp.error"] for run in failed)


def interrupt(history: Any) -> bool:
    """Press Ctrl-C after the second epoch."""
    if len(history["loss"]) == 2:
        raise KeyboardInterrupt
    return False


def test_an_interrupted_fit_has_status_killed(runs: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        network().set_callbacks(StopWhen(interrupt), MLflowCallback("fit")).fit(X, Y)
    assert runs.top("fit").info.status == "KILLED"
    inside = make_pipeline(StandardScaler(), network().set_callbacks(StopWhen(interrupt)))
    interrupted_search = GridSearchCV(inside, {"mlpclassifier__alpha": [0.1]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        interrupted_search.set_callbacks(MLflowCallback("search")).fit(X, Y)
    assert {run.info.status for run in runs.all("search")} == {"KILLED"}


@pytest.fixture
def _ticking_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every record a different time: MLflow drops a value that is repeated with the same time."""
    clock = itertools.count(1_700_000_000_000)
    monkeypatch.setattr("skmlp.tracking.fits.now", lambda: next(clock))


@pytest.mark.usefixtures("_ticking_clock")
@pytest.mark.parametrize("n_epochs", [0, 1, 2])
def test_an_epoch_that_never_ran_is_not_logged(runs: Any, n_epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run_epoch, calls = EpochRunner.run, itertools.count()

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n_epochs:
            raise KeyboardInterrupt
        return run_epoch(*args, **kwargs)

    monkeypatch.setattr(EpochRunner, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted") as caught:
        network().set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert not [warning for warning in caught if warning.category is TrackingWarning]
    assert runs.steps(runs.top()) == list(range(1, n_epochs + 1))
    assert runs.top().info.status == "KILLED"
    assert "interrupted" in runs.top().data.tags["skmlp.error"]


@pytest.mark.usefixtures("_ticking_clock")
def test_converged_lbfgs_has_every_iteration_once(runs: Any) -> None:
    est = network(solver="lbfgs", alpha=5.0, max_iter=1000, tol=0.01).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert est.stop_reason_ == "converged"
    assert runs.steps(runs.top()) == list(range(1, est.n_iter_ + 1))


def test_a_fit_in_an_except_block_is_not_failed(runs: Any) -> None:
    try:
        raise LookupError("before")
    except LookupError:
        pipeline().set_callbacks(MLflowCallback("test")).fit(X, Y)
    runs.assert_complete([runs.top()])


def test_a_diverged_fit_says_in_which_epoch_and_layer(runs: Any) -> None:
    est = network(solver="sgd", warm_start=True).fit(X, Y).set_params(learning_rate_init=1e30)
    with pytest.warns(Warning, match="diverged"):
        est.set_callbacks(MLflowCallback("test")).fit(X, Y)
    run = runs.top()
    assert run.data.tags["skmlp.stop_reason"] == "non_finite"
    assert "layer" in run.data.tags["skmlp.stop_message"]
    assert run.data.tags["skmlp.diverged_epoch"] == str(est.n_iter_)
    assert runs.curve(run, "health/nonfinite") == [(est.n_iter_, 1.0)]
    assert len(runs.curve(run)) == est.n_iter_


@pytest.mark.parametrize(
    "function", ["fits.epoch_metrics", "fits.configuration", "hooks.dataset", "hooks.versions"], ids=str
)
def test_an_error_in_tracking_becomes_one_warning(runs: Any, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a bug")

    reference = network().fit(X, Y)
    monkeypatch.setattr(f"skmlp.tracking.{function}", broken)
    with pytest.warns(TrackingWarning, match="a bug") as caught:
        est = network().set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert len([w for w in caught if w.category is TrackingWarning]) == 1
    assert caught[0].filename == __file__
    for a, b in zip(est.coefs_, reference.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert {run.info.status for run in runs.all()} <= {"FINISHED"}


def test_on_error_chooses_silence_or_an_exception(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("skmlp.tracking.fits.epoch_metrics", broken)
    network().set_callbacks(MLflowCallback("test", on_error="ignore")).fit(X, Y)
    est = network().set_callbacks(MLflowCallback("test", on_error="raise"))
    with pytest.raises(TrackingError, match="a bug"):
        est.fit(X, Y)
    assert est.n_iter_ == EPOCHS  # the fit itself is complete


def test_finished_and_failed_fits_leave_no_sessions(runs: Any) -> None:
    before = (dict(sessions.outermost_fits), dict(sessions.tracked_fits))
    tracked = GridSearchCV(network(), {"alpha": [0.1]}, cv=2).set_callbacks(MLflowCallback("test")).fit(X, Y)
    with pytest.raises(ValueError, match="non-finite"):
        network(solver="sgd", learning_rate_init=1e30).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert (dict(sessions.outermost_fits), dict(sessions.tracked_fits)) == before
    assert tracked._skl_callbacks[0]._sessions == {}
