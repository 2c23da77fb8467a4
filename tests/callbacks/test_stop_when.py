from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.callbacks import StopWhen, TargetLoss


def after_two(history: dict[str, list[float]]) -> bool:
    return len(history["loss"]) >= 2


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_fit_ends_when_the_rule_returns_true(cls: Any, solver: str, data: Any, small: Any) -> None:
    seen: list[dict[str, list[float]]] = []

    def rule(history: dict[str, list[float]]) -> bool:
        seen.append(history)
        return len(seen) == 3

    estimator = small(cls, solver=solver).set_callbacks(StopWhen(rule)).fit(*data)
    assert estimator.n_iter_ == 3
    assert estimator.stop_reason_ == "callback"
    for n_epochs, history in enumerate(seen, start=1):
        assert history == {name: column[:n_epochs] for name, column in estimator.history_.items()}
    reference = small(cls, solver=solver, max_iter=3).fit(*data)
    np.testing.assert_array_equal(estimator.coefs_[0], reference.coefs_[0])


def test_a_rule_cannot_change_the_history(data: Any, small: Any) -> None:
    def rule(history: dict[str, list[float]]) -> bool:
        history["loss"].sort()
        del history["penalty"]
        return False

    estimator = small().set_callbacks(StopWhen(rule)).fit(*data)
    plain = small().fit(*data)
    assert estimator.history_["loss"] == plain.history_["loss"]
    assert estimator.history_["penalty"] == plain.history_["penalty"]


@pytest.mark.parametrize(
    ("inside", "rule"),
    [(False, after_two), (True, lambda history: len(history["loss"]) >= 2)],
    ids=["outermost function", "inner lambda"],
)
def test_the_rule_ends_every_fit_of_a_search(rule: Any, inside: bool, data: Any, small: Any) -> None:
    def n_epochs(estimator: Any, X: Any, y: Any) -> float:
        return float(estimator[-1].n_iter_)

    stop = StopWhen(rule)
    pipeline = make_pipeline(StandardScaler(), small().set_callbacks(*[stop] * inside))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2, scoring=n_epochs)
    search.set_callbacks(*[stop] * (not inside)).fit(*data)
    assert search.cv_results_["mean_test_score"].tolist() == [2.0, 2.0]
    assert search.best_estimator_[-1].n_iter_ == 2


def test_an_exception_in_the_rule_becomes_a_warning(data: Any, small: Any) -> None:
    stop = StopWhen(lambda history: history["validation_loss"][-1] < 0.1)
    with pytest.warns(RuntimeWarning, match="A callback failed in on_fit_task_end with KeyError: 'validation_loss'"):
        estimator = small().set_callbacks(stop).fit(*data)
    np.testing.assert_array_equal(estimator.coefs_[0], small().fit(*data).coefs_[0])


def test_a_rule_is_called_again_after_an_exception(data: Any, small: Any) -> None:
    stop = StopWhen(lambda history: history["loss"][-3] > 0.0)
    with pytest.warns(RuntimeWarning, match="IndexError"):
        assert small().set_callbacks(stop).fit(*data).n_iter_ == 3


def test_the_rule_is_not_called_for_an_epoch_that_never_ran(data: Any, small: Any) -> None:
    """L-BFGS announces an epoch before it knows that it has converged."""
    calls: list[int] = []
    stop = StopWhen(lambda history: bool(calls.append(len(history["loss"]))))
    estimator = small(solver="lbfgs", alpha=10.0, max_iter=500).set_callbacks(stop).fit(*data)
    assert estimator.stop_reason_ == "converged"
    assert calls == list(range(1, estimator.n_iter_ + 1))


def test_a_rule_that_is_not_callable_raises() -> None:
    with pytest.raises(TypeError, match=r"The 'rule' parameter of StopWhen must be a callable\. Got 0\.1 instead"):
        StopWhen(0.1)  # type: ignore[arg-type]


def test_target_loss_compares_the_last_value_of_its_column(data: Any, small: Any) -> None:
    losses = small().fit(*data).history_["train_loss"]
    assert losses[2] < min(losses[:2])
    assert small().set_callbacks(StopWhen(TargetLoss(losses[2]))).fit(*data).n_iter_ == 3
    assert not TargetLoss(0.1)({"train_loss": [0.0, float("nan")]})
    assert TargetLoss(0.1, "validation_loss")({"train_loss": [1.0], "validation_loss": [0.1]})
    assert TargetLoss(-2)({"train_loss": [-3.0]})


@pytest.mark.parametrize("loss", [float("nan"), "low", None])
def test_a_target_loss_that_is_not_a_number_raises(loss: Any) -> None:
    with pytest.raises(ValueError, match="'loss' parameter of TargetLoss must be a float"):
        TargetLoss(loss)
