"""Properties of all callbacks: they do not change results, work on every outer estimator, and leave nothing behind."""

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


@pytest.fixture
def made(tmp_path: Path) -> list[Any]:
    """One callback of each kind."""
    return [make(tmp_path) for make in MAKERS.values()]


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    assert _running == {}


def test_makers_include_all_callbacks(tmp_path: Path) -> None:
    tested = {type(make(tmp_path)).__name__ for make in MAKERS.values()}
    assert tested == {name for name in callbacks.__all__ if hasattr(getattr(callbacks, name), "setup")}


def test_only_the_copy_for_inner_estimators_does_not_propagate(callback: Any) -> None:
    assert isinstance(callback, FitCallback)
    assert isinstance(callback, AutoPropagatedCallback)
    inner = callback.without_propagation()
    assert isinstance(inner, FitCallback)
    assert not isinstance(inner, AutoPropagatedCallback)
    assert vars(callback) == {**vars(inner), "max_propagation_depth": None}
    assert vars(inner.without_propagation()) == vars(inner)


@BOTH
@pytest.mark.parametrize("name", [name for name in callbacks.__all__ if hasattr(getattr(callbacks, name), "setup")])
def test_a_callback_class_instead_of_an_instance_raises(cls: Any, name: str) -> None:
    words = rf"takes instances of callbacks, got the class {name}. Write set_callbacks\({name}\(...\)\)"
    with pytest.raises(TypeError, match=words):
        cls().set_callbacks(getattr(callbacks, name))


def assert_same_result(cls: Any, params: dict[str, Any], callbacks: list[Any], data: Any, small: Any) -> None:
    watched = small(cls, **params).set_callbacks(*callbacks).fit(*data)
    plain = small(cls, **params).fit(*data)
    assert pickle.dumps(watched.coefs_ + watched.intercepts_) == pickle.dumps(plain.coefs_ + plain.intercepts_)
    measured = ("seconds", "samples_per_second")
    assert {k: v for k, v in watched.history_.items() if k not in measured} == {
        k: v for k, v in plain.history_.items() if k not in measured
    }
    assert watched.stop_reason_ == plain.stop_reason_
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    # So is a warm-started fit.
    for each in (watched, plain):
        each.set_params(warm_start=True).fit(*data)
    np.testing.assert_array_equal(watched.coefs_[0], plain.coefs_[0])


@BOTH
def test_a_callback_does_not_change_a_bit_of_the_result(cls: Any, callback: Any, data: Any, small: Any) -> None:
    assert_same_result(cls, {}, [callback], data, small)


@BOTH
@pytest.mark.parametrize("params", [{"early_stopping": True}, {"solver": "lbfgs"}, {"batch_size": "full"}], ids=str)
def test_all_callbacks_together_do_not_change_a_bit_of_the_result(
    cls: Any, params: dict[str, Any], made: list[Any], data: Any, small: Any
) -> None:
    assert_same_result(cls, params, made, data, small)


def test_callbacks_survive_pickle_clone_and_deepcopy(callback: Any, data: Any, small: Any) -> None:
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
def test_a_search_with_two_processes_has_the_same_results(inside: bool, made: list[Any], data: Any, small: Any) -> None:
    def search(*inner: Any) -> GridSearchCV:
        pipeline = make_pipeline(StandardScaler(), small().set_callbacks(*inner))
        return GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2)

    watched = search(*made) if inside else search().set_callbacks(*made)
    watched.fit(*data)
    plain = search().fit(*data)
    np.testing.assert_array_equal(watched.best_estimator_[-1].coefs_[0], plain.best_estimator_[-1].coefs_[0])
    np.testing.assert_array_equal(watched.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


def test_other_estimators_are_ignored(made: list[Any], tmp_path: Path, data: Any, capsys: Any) -> None:
    make_pipeline(StandardScaler(), LogisticRegression()).set_callbacks(*made).fit(*data)
    assert list(tmp_path.iterdir()) == []
    assert "".join(capsys.readouterr()) == ""
    assert [each.stream.getvalue() for each in made if hasattr(each, "stream")] == [""]


def test_a_failed_or_interrupted_fit_leaves_no_observer(made: list[Any], data: Any, small: Any) -> None:
    estimator = small(MLPRegressor, solver=SGD(), learning_rate_init=1e30, batch_size=5).set_callbacks(*made)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        estimator.fit(*data)
    assert _running == {}

    def interrupt(history: Any) -> bool:
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt
        return False

    estimator = small().set_callbacks(*made, StopWhen(interrupt))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*data)
    assert _running == {}
    estimator.set_callbacks(*made).fit(*data)
    np.testing.assert_array_equal(estimator.coefs_[0], small().fit(*data).coefs_[0])


def test_a_fit_that_fails_before_its_first_epoch_leaves_no_observer(made: list[Any], data: Any, small: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        small().set_callbacks(*made).fit(np.full((60, 4), np.nan), data[1])


def test_callbacks_work_in_either_order(made: list[Any], data: Any, small: Any) -> None:
    stop = StopWhen(lambda history: len(history["loss"]) == 2)
    assert small().set_callbacks(*made, stop).fit(*data).n_iter_ == 2
    assert small().set_callbacks(stop, *made).fit(*data).n_iter_ == 2


def test_partial_fit_does_not_call_callbacks(made: list[Any], tmp_path: Path, data: Any, small: Any) -> None:
    small().set_callbacks(*made).partial_fit(*data, classes=[0, 1, 2])
    assert list(tmp_path.iterdir()) == []
