"""scikit-learn's callbacks on the estimators: alone, in a pipeline and in a search, for better or worse."""

import copy
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import CallbackContext, ScoringMonitor
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import SGD

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "lbfgs"])
# Fits here run few epochs on purpose, also in worker processes.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
EPOCHS = 4
SCORE = {MLPClassifier: "neg_log_loss", MLPRegressor: "r2"}


class Recorder:
    """A callback that writes down every hook, and what the estimator looked like in it."""

    def __init__(self, stop_after: int | None = None, fail_in: str | None = None) -> None:
        self.stop_after = stop_after
        self.fail_in = fail_in
        self.hooks: list[tuple[str, str]] = []
        self.epochs: list[dict[str, Any]] = []

    def _note(self, hook: str, context: Any) -> None:
        self.hooks.append((hook, context.task_name))
        if self.fail_in == hook:
            raise LookupError("no such thing")

    def setup(self, estimator: Any, context: Any) -> None:
        self._note("setup", context)

    def teardown(self, estimator: Any, context: Any) -> None:
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any) -> None:
        self._note("begin", context)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        if context.task_name == "epoch":
            self.epochs.append(
                {
                    "task_id": context.task_id,
                    "n_iter_": estimator.n_iter_,
                    "history_": copy.deepcopy(estimator.history_),
                    "weights": estimator.coefs_[0].copy(),
                    "fitted": fitted_estimator,
                    "data": (X, y, metadata),
                }
            )
        self._note("end", context)
        return context.task_name == "epoch" and len(self.epochs) == self.stop_after


class Propagated(Recorder):
    """The same, set on a pipeline or a search, and handed down to the steps."""

    max_propagation_depth = None


class Stopper:
    """An automatically propagated callback without memory: it ends every fit after two epochs."""

    max_propagation_depth = None

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        return context.task_name == "epoch" and context.task_id == 1


def _data(cls: type) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(60, n_features=5, n_informative=3, n_redundant=0, random_state=0)
    X, y = make_regression(60, n_features=5, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (6,), "batch_size": 20, "max_iter": EPOCHS, "random_state": 0, **params})


@BOTH
@SOLVERS
def test_hooks_are_called_in_order_and_see_the_live_estimator(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    weight = np.linspace(1.0, 2.0, 60)
    callback = Recorder()
    est = _small(cls, solver=solver).set_callbacks(callback)
    assert est.fit(X, y, sample_weight=weight) is est
    epoch = [("begin", "epoch"), ("end", "epoch")]
    # The last epoch that lbfgs announces may not run: it does not know in advance that it has converged.
    n_tasks = len(callback.epochs)
    assert callback.hooks == [
        ("setup", "fit"),
        ("begin", "fit"),
        *(n_tasks * epoch),
        ("end", "fit"),
        ("teardown", "fit"),
    ]
    assert n_tasks == est.n_iter_ == EPOCHS
    for i, seen in enumerate(callback.epochs, start=1):
        assert seen["task_id"] == i - 1
        assert seen["n_iter_"] == i
        assert seen["history_"] == {name: column[:i] for name, column in est.history_.items()}
        assert seen["data"][0] is X
        assert seen["data"][1] is y
        assert seen["data"][2]["sample_weight"] is weight
        # The ready-made copy is a snapshot of its moment.
        np.testing.assert_array_equal(seen["fitted"].coefs_[0], seen["weights"])
        assert seen["fitted"].predict(X).shape == y.shape
    assert np.abs(callback.epochs[0]["weights"] - callback.epochs[-1]["weights"]).max() > 0.0
    np.testing.assert_array_equal(callback.epochs[-1]["fitted"].predict(X), est.predict(X))


@BOTH
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_callbacks_do_not_change_the_result(cls: Any, params: dict[str, Any]) -> None:
    X, y = _data(cls)
    watched = _small(cls, max_iter=15, **params).set_callbacks(Recorder(), ScoringMonitor(scoring=SCORE[cls])).fit(X, y)
    plain = _small(cls, max_iter=15, **params).fit(X, y)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(watched, name), getattr(plain, name), strict=True):
            np.testing.assert_array_equal(a, b)
    assert watched.loss_curve_ == plain.loss_curve_
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}


@BOTH
def test_snapshot_of_an_epoch_predicts_like_a_fit_of_that_length(cls: Any) -> None:
    """The estimator that a callback gets in an epoch predicts like a fit of that many epochs."""
    X, y = _data(cls)
    callback = Recorder()
    _small(cls).set_callbacks(callback).fit(X, y)
    for n_epochs, seen in enumerate(callback.epochs, start=1):
        reference = _small(cls, max_iter=n_epochs).fit(X, y)
        np.testing.assert_array_equal(seen["fitted"].predict(X), reference.predict(X))


@BOTH
@SOLVERS
def test_true_from_a_callback_ends_the_fit(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    callback = Recorder(stop_after=2)
    est = _small(cls, solver=solver, max_iter=50).set_callbacks(callback).fit(X, y)  # without a warning
    assert est.n_iter_ == len(est.loss_curve_) == len(callback.epochs) == 2
    assert callback.hooks[-2:] == [("end", "fit"), ("teardown", "fit")]
    np.testing.assert_array_equal(est.coefs_[0], callback.epochs[-1]["weights"])


@BOTH
def test_stopping_keeps_the_best_weights_of_early_stopping(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, early_stopping=True, max_iter=50, learning_rate_init=0.05).set_callbacks(Recorder(stop_after=6))
    est.fit(X, y)
    best = int(np.argmax(est.validation_scores_))
    reference = _small(cls, early_stopping=True, max_iter=best + 1, learning_rate_init=0.05).fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], reference.coefs_[0])


@pytest.mark.parametrize(
    ("cls", "solver", "n_jobs"),
    [(MLPClassifier, "adam", None), (MLPRegressor, "lbfgs", None), (MLPRegressor, "adam", 2)],
)
def test_a_propagated_callback_stops_every_fit_of_a_search(cls: Any, solver: str, n_jobs: int | None) -> None:
    X, y = _data(cls)
    pipeline = make_pipeline(StandardScaler(), _small(cls, solver=solver, max_iter=50))
    pipeline.set_callbacks(Stopper()).fit(X, y)
    assert pipeline[-1].n_iter_ == 2
    pipeline = make_pipeline(StandardScaler(), _small(cls, solver=solver, max_iter=50))
    search = GridSearchCV(pipeline, {f"{cls.__name__.lower()}__alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(Stopper()).fit(X, y)
    assert search.best_estimator_[-1].n_iter_ == 2


@BOTH
def test_a_propagated_callback_sees_all_tasks_of_a_pipeline(cls: Any) -> None:
    X, y = _data(cls)
    callback = Propagated()
    pipeline = make_pipeline(StandardScaler(), _small(cls)).set_callbacks(callback).fit(X, y)
    assert [hook for hook, _ in callback.hooks].count("setup") == 1
    assert callback.hooks.count(("end", "epoch")) == EPOCHS
    assert not hasattr(pipeline[-1], "_skl_callbacks")


@BOTH
@SOLVERS
@pytest.mark.parametrize("hook", ["begin", "end"])
def test_a_failing_callback_gives_a_warning_and_the_fit_continues(cls: Any, solver: str, hook: str) -> None:
    X, y = _data(cls)
    callback, other = Recorder(fail_in=hook), Recorder()
    est = _small(cls, solver=solver).set_callbacks(callback)
    words = rf"A callback failed in on_fit_task_{hook} with LookupError: .*no such thing"
    with pytest.warns(RuntimeWarning, match=words) as caught:
        est.fit(X, y)
    assert {warning.filename for warning in caught if warning.category is RuntimeWarning} == {__file__}
    reference = _small(cls, solver=solver).set_callbacks(other).fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], reference.coefs_[0])
    assert est.n_iter_ == EPOCHS
    assert callback.hooks[-1] == ("teardown", "fit")


@BOTH
def test_teardown_is_called_when_the_fit_fails(cls: Any) -> None:
    X, y = _data(cls)
    callback = Recorder()
    est = _small(cls, solver=SGD(), learning_rate_init=1e30, batch_size=5).set_callbacks(callback)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        est.fit(X, y)
    assert callback.hooks[0] == ("setup", "fit")
    assert callback.hooks[-1] == ("teardown", "fit")
    assert not hasattr(est, "coefs_")
    assert not hasattr(est, "_callback_fit_ctx")
    # The callbacks are still there, and the next fit calls them.
    callback.hooks.clear()
    est.set_params(learning_rate_init=1e-3).fit(X, y)
    assert callback.hooks[-1] == ("teardown", "fit")
    assert len(callback.epochs) == EPOCHS


def test_an_epoch_that_did_not_run_is_announced() -> None:
    """Callbacks see the epoch in which a network diverged, with NaN for its numbers."""
    X, y = _data(MLPRegressor)
    callback = Recorder()
    est = _small(MLPRegressor, solver="sgd", learning_rate_init=3.0, batch_size="full", max_iter=100)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        est.set_callbacks(callback).fit(X, y)
    assert len(callback.epochs) == est.n_iter_ == len(est.loss_curve_)
    assert np.isnan(callback.epochs[-1]["history_"]["loss"][-1])
    assert callback.hooks[-2:] == [("end", "fit"), ("teardown", "fit")]


@BOTH
def test_clone_keeps_callbacks_and_get_params_omits_them(cls: Any) -> None:
    X, y = _data(cls)
    callback = Recorder()
    est = clone(_small(cls).set_callbacks(callback))
    est.fit(X, y)
    assert len(callback.epochs) == EPOCHS
    assert not any("callback" in name for name in est.get_params())
    est.set_callbacks().fit(X, y)
    assert len(callback.epochs) == EPOCHS


@BOTH
def test_without_callbacks_no_epoch_has_a_context(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = CallbackContext.subcontext

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(kwargs.get("task_name", ""))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(CallbackContext, "subcontext", counting)
    X, y = _data(cls)
    est = _small(cls).fit(X, y)
    assert made == []
    assert not hasattr(est, "_callback_fit_ctx")
    est.set_callbacks(Recorder()).fit(X, y)
    assert made == ["epoch"] * EPOCHS
