"""What tracking costs: not a bit of the result, few calls, no import of mlflow before it is used."""

import os
import subprocess
import sys
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier, MLPRegressor
from skmlp.tracking import MLflowCallback, TrackingWarning
from skmlp.tracking import callback as callback_module
from skmlp.tracking import hooks as hooks_module
from skmlp.tracking.store import Store

pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
X, Y = make_classification(80, n_features=5, random_state=0)


def network(cls: Any = MLPClassifier, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (6, 4), "max_iter": 5, "batch_size": 20, "random_state": 0, **params})


def assert_same_bits(a: Any, b: Any) -> None:
    for first, second in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert first.tobytes() == second.tobytes()
    assert a.loss_curve_ == b.loss_curve_
    np.testing.assert_array_equal(a.predict(X), b.predict(X))


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (MLPClassifier, {}),
        (MLPClassifier, {"solver": "lbfgs"}),
        (MLPRegressor, {"early_stopping": True}),
        (MLPRegressor, {"dtype": "float64"}),
    ],
    ids=str,
)
def test_the_model_is_the_same_with_tracking_on_off_and_broken(
    cls: Any, params: dict[str, Any], sqlite_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = network(cls, **params).fit(X, Y)
    on = network(cls, **params).set_callbacks(MLflowCallback("test", tracking_uri=sqlite_uri)).fit(X, Y)
    assert_same_bits(on, off)
    with monkeypatch.context() as patch:
        patch.setattr(hooks_module.RemoteStore, "send", lambda self, record: 1 / 0)
        with pytest.warns(TrackingWarning, match=r"ZeroDivisionError.*python -m skmlp.tracking replay"):
            broken = network(cls, **params).set_callbacks(MLflowCallback("test", tracking_uri=sqlite_uri)).fit(X, Y)
    assert_same_bits(broken, off)
    nowhere = MLflowCallback("test", tracking_uri="http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.warns(TrackingWarning, match="does not answer"):
        assert_same_bits(network(cls, **params).set_callbacks(nowhere).fit(X, Y), off)


def test_a_search_chooses_the_same_with_tracking(sqlite_uri: str) -> None:
    grid = {"alpha": [0.1, 1.0], "learning_rate_init": [0.001, 0.01]}
    off = GridSearchCV(network(), grid, cv=2).fit(X, Y)
    on = GridSearchCV(network(), grid, cv=2).set_callbacks(MLflowCallback(tracking_uri=sqlite_uri)).fit(X, Y)
    np.testing.assert_array_equal(on.cv_results_["mean_test_score"], off.cv_results_["mean_test_score"])
    assert_same_bits(on.best_estimator_, off.best_estimator_)


class Counting:
    """A client that counts the calls made to it, and the metrics that they carry."""

    def __init__(self, uri: str) -> None:
        self._client = MlflowClient(uri)
        self.calls: list[str] = []
        self.n_metrics = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self.n_metrics += len(kwargs.get("metrics", ()))
            return method(*args, **kwargs)

        return counted


@pytest.mark.parametrize("n_epochs", [20, 300])
def test_calls_are_few(n_epochs: int, sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Counting] = []

    def counting(uri: str) -> Counting:
        clients.append(Counting(uri))
        return clients[-1]

    class Here(Store):
        """Sends from this process, where calls can be counted."""

        is_server = False

        def is_reachable(self) -> bool:
            return True

    monkeypatch.setattr(hooks_module, "RemoteStore", lambda uri: Here(uri, counting))
    est = network(max_iter=n_epochs, n_iter_no_change=np.inf)
    est.set_callbacks(MLflowCallback("test", tracking_uri=sqlite_uri)).fit(X, Y)
    (client,) = clients
    assert client.n_metrics > 6 * n_epochs
    # The run and its experiment, its end, the dataset, seven files, and what is sent before a batch is full.
    assert len(client.calls) <= client.n_metrics / 1000 + 25, client.calls


def test_nothing_of_mlflow_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, skmlp, skmlp.tracking, skmlp.inspection\n"
        "skmlp.tracking.MLflowCallback()\n"
        "loaded = {'mlflow', 'matplotlib'} & {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_mlflow_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'skmlp\[mlflow\]'"):
        MLflowCallback()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_tracks_its_own_fits(sqlite_uri: str) -> None:
    """Threads and connections do not survive a fork; what belongs to the parent is left alone."""
    client = MlflowClient(sqlite_uri)
    mlflow.set_tracking_uri(sqlite_uri)
    code = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "from sklearn.datasets import make_classification\n"
        "from skmlp import MLPClassifier\n"
        "from skmlp.tracking import MLflowCallback\n"
        "X, y = make_classification(80, n_features=5, random_state=0)\n"
        "class Forking:\n"
        "    def setup(self, estimator, context): pass\n"
        "    def teardown(self, estimator, context): pass\n"
        "    def on_fit_task_begin(self, estimator, context): pass\n"
        "    def on_fit_task_end(self, estimator, context):\n"
        "        if context.task_name == 'epoch' and context.task_id == 1:\n"
        "            pid = os.fork()\n"
        "            if pid == 0:\n"
        "                child = MLPClassifier((4,), max_iter=3, random_state=0)\n"
        "                child.set_callbacks(MLflowCallback('child', close_timeout=300.0)).fit(X, y)\n"
        "                os._exit(0)\n"
        "            assert os.waitpid(pid, 0)[1] == 0\n"
        "callback = MLflowCallback('parent', close_timeout=300.0)\n"  # a busy machine is no failure
        "MLPClassifier((4,), max_iter=5).set_callbacks(callback, Forking()).fit(X, y)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "MLFLOW_TRACKING_URI": sqlite_uri})
    for experiment, n_epochs in {"child": 3, "parent": 5}.items():
        found = client.get_experiment_by_name(experiment)
        (run,) = client.search_runs([found.experiment_id])
        assert run.info.status == "FINISHED"
        assert len(client.get_metric_history(run.info.run_id, "loss/train")) == n_epochs
