"""What holds for every callback: the result is what it is without, wherever it is set, and nothing is left behind."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import AutoPropagatedCallback, FitCallback
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor, callbacks
from skmlp.callbacks import Checkpoint, HistoryWriter, LivePlot, StopWhen, TargetLoss
from skmlp.callbacks._observing import _running
from skmlp.optim import SGD

MAKERS = {
    "stop_when": lambda folder: StopWhen(TargetLoss(-1.0)),
    "checkpoint": lambda folder: Checkpoint(folder / "at.joblib"),
    "history_csv": lambda folder: HistoryWriter(folder / "history.csv"),
    "history_jsonl": lambda folder: HistoryWriter(folder / "history.jsonl"),
    "live_plot": lambda folder: LivePlot(stream=io.StringIO()),
}
BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])


@pytest.fixture(params=MAKERS)
def callback(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MAKERS[request.param](tmp_path)


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    assert _running == {}


def test_all_callbacks_are_tested(tmp_path: Path) -> None:
    tested = {type(make(tmp_path)).__name__ for make in MAKERS.values()}
    assert tested == {name for name in callbacks.__all__ if hasattr(getattr(callbacks, name), "setup")}


def test_protocol(callback: Any) -> None:
    """Handed down from the outermost estimator, and with a twin for an estimator inside."""
    assert isinstance(callback, FitCallback)
    assert isinstance(callback, AutoPropagatedCallback)
    twin = callback.without_propagation()
    assert isinstance(twin, FitCallback)
    assert not isinstance(twin, AutoPropagatedCallback)
    assert vars(callback) == {**vars(twin), "max_propagation_depth": None}
    assert vars(twin.without_propagation()) == vars(twin)


@BOTH
@pytest.mark.parametrize("name", [name for name in callbacks.__all__ if hasattr(getattr(callbacks, name), "setup")])
def test_a_class_in_place_of_a_callback_is_refused(cls: Any, name: str) -> None:
    words = rf"takes instances of callbacks, got the class {name}. Write set_callbacks\({name}\(...\)\)"
    with pytest.raises(TypeError, match=words):
        cls().set_callbacks(getattr(callbacks, name))


@BOTH
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"batch_size": "full"}], ids=str)
def test_the_result_is_the_same_to_the_bit(
    cls: Any, params: dict[str, Any], callback: Any, data: Any, small: Any
) -> None:
    watched = small(cls, **params).set_callbacks(callback).fit(*data)
    plain = small(cls, **params).fit(*data)
    assert pickle.dumps(watched.coefs_ + watched.intercepts_) == pickle.dumps(plain.coefs_ + plain.intercepts_)
    measured = ("seconds", "samples_per_second")
    assert {k: v for k, v in watched.history_.items() if k not in measured} == {
        k: v for k, v in plain.history_.items() if k not in measured
    }
    assert watched.stop_reason_ == plain.stop_reason_
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    # What comes after is the same, too.
    for each in (watched, plain):
        each.set_params(warm_start=True).fit(*data)
    np.testing.assert_array_equal(watched.coefs_[0], plain.coefs_[0])


def test_pickle_and_clone(callback: Any, data: Any, small: Any) -> None:
    copied = pickle.loads(pickle.dumps(callback))
    assert type(copied) is type(callback)
    assert isinstance(copied, AutoPropagatedCallback)
    assert not isinstance(pickle.loads(pickle.dumps(callback.without_propagation())), AutoPropagatedCallback)
    estimator = small().set_callbacks(copied)
    assert clone(estimator)._skl_callbacks is estimator._skl_callbacks
    assert copy.deepcopy(estimator).fit(*data).n_iter_ == small().fit(*data).n_iter_
    assert not any("callback" in name for name in estimator.get_params())
    # A fitted estimator can be stored with the callback, and fitted again.
    again = pickle.loads(pickle.dumps(estimator.fit(*data))).fit(*data)
    np.testing.assert_array_equal(again.coefs_[0], estimator.coefs_[0])


@pytest.mark.parametrize("inside", [False, True], ids=["outermost", "inside"])
def test_below_a_pipeline_and_a_search_with_two_processes(callback: Any, inside: bool, data: Any, small: Any) -> None:
    def search(*inner: Any) -> GridSearchCV:
        pipeline = make_pipeline(StandardScaler(), small().set_callbacks(*inner))
        return GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2)

    watched = search(callback) if inside else search().set_callbacks(callback)
    watched.fit(*data)
    plain = search().fit(*data)
    np.testing.assert_array_equal(watched.best_estimator_[-1].coefs_[0], plain.best_estimator_[-1].coefs_[0])
    np.testing.assert_array_equal(watched.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


def test_silent_on_other_estimators(callback: Any, tmp_path: Path, data: Any, capsys: Any) -> None:
    make_pipeline(StandardScaler(), LogisticRegression()).set_callbacks(callback).fit(*data)
    assert list(tmp_path.iterdir()) == []
    assert "".join(capsys.readouterr()) == ""
    assert not getattr(callback, "stream", None) or callback.stream.getvalue() == ""


def test_a_failed_fit_leaves_nothing_behind(callback: Any, data: Any, small: Any) -> None:
    estimator = small(MLPRegressor, solver=SGD(), learning_rate_init=1e30, batch_size=5).set_callbacks(callback)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        estimator.fit(*data)
    assert _running == {}

    def interrupt(history: Any) -> bool:
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt
        return False

    estimator = small().set_callbacks(callback, StopWhen(interrupt))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*data)
    assert _running == {}
    # The next fit is observed as any.
    estimator.set_callbacks(callback).fit(*data)
    np.testing.assert_array_equal(estimator.coefs_[0], small().fit(*data).coefs_[0])


def test_a_failed_fit_before_its_first_epoch(callback: Any, data: Any, small: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        small().set_callbacks(callback).fit(np.full((60, 4), np.nan), data[1])


def test_two_at_once_and_one_on_two_estimators(callback: Any, tmp_path: Path, data: Any, small: Any) -> None:
    stop = StopWhen(lambda history: len(history["loss"]) == 2)
    assert small().set_callbacks(callback, stop).fit(*data).n_iter_ == 2
    assert small().set_callbacks(stop, callback).fit(*data).n_iter_ == 2


def test_partial_fit_has_no_tasks(callback: Any, tmp_path: Path, data: Any, small: Any) -> None:
    small().set_callbacks(callback).partial_fit(*data, classes=[0, 1, 2])
    assert list(tmp_path.iterdir()) == []
