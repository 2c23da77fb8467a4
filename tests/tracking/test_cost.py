"""What tracking costs: no bit of the result, few calls, and no import of mlflow before it is used."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV

from skmlp import MLPClassifier, MLPRegressor
from skmlp.tracking import MLflowCallback, TrackingWarning
from skmlp.tracking import callback as callback_module
from skmlp.tracking import hooks as hooks_module
from skmlp.tracking.sender import RemoteStore

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
@pytest.mark.usefixtures("fake")
def test_the_model_has_the_same_bits_with_tracking_on_off_and_broken(
    cls: Any, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    off = network(cls, **params).fit(X, Y)
    assert_same_bits(network(cls, **params).set_callbacks(MLflowCallback("test")).fit(X, Y), off)
    monkeypatch.setattr(hooks_module, "RemoteStore", RemoteStore)
    monkeypatch.setattr(RemoteStore, "send", lambda self, record: 1 / 0)
    with pytest.warns(TrackingWarning, match=r"ZeroDivisionError.*python -m skmlp.tracking replay"):
        broken = network(cls, **params).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert_same_bits(broken, off)


@pytest.mark.usefixtures("nothing_given_up")
def test_the_model_has_the_same_bits_when_no_server_answers() -> None:
    nowhere = MLflowCallback("test", tracking_uri="http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.warns(TrackingWarning, match="does not answer"):
        tracked = network().set_callbacks(nowhere).fit(X, Y)
    assert_same_bits(tracked, network().fit(X, Y))


@pytest.mark.usefixtures("fake")
def test_a_search_chooses_the_same_with_tracking() -> None:
    grid = {"alpha": [0.1, 1.0], "learning_rate_init": [0.001, 0.01]}
    off = GridSearchCV(network(), grid, cv=2).fit(X, Y)
    on = GridSearchCV(network(), grid, cv=2).set_callbacks(MLflowCallback()).fit(X, Y)
    np.testing.assert_array_equal(on.cv_results_["mean_test_score"], off.cv_results_["mean_test_score"])
    assert_same_bits(on.best_estimator_, off.best_estimator_)


@pytest.mark.parametrize("n_epochs", [20, 200])
def test_a_fit_makes_few_calls(n_epochs: int, fake: Any) -> None:
    est = network(max_iter=n_epochs, n_iter_no_change=np.inf)
    est.set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert fake.n_metrics > 6 * n_epochs
    # The run and its experiment, its end, the dataset, files, and values that are sent before a batch is full. A store
    # this fast gets each batch of 1000 values at once, and the values that came meanwhile in a second call.
    assert len(fake.calls) <= 2 * fake.n_metrics / 1000 + 25, fake.calls


def test_mlflow_and_matplotlib_are_imported_when_used() -> None:
    code = (
        "import sys, skmlp, skmlp.tracking, skmlp.inspection\n"
        "skmlp.tracking.MLflowCallback()\n"
        "loaded = {'mlflow', 'matplotlib'} & {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_says_how_to_install_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'skmlp\[mlflow\]'"):
        MLflowCallback()
