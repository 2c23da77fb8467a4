"""scikit-learn's warning about estimators that cannot take a callback: where it is of use, and nowhere else."""

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.callback import ProgressBar
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skmlp import MLPRegressor
from skmlp.callbacks import StopWhen, TargetLoss

X = np.random.default_rng(0).normal(size=(40, 3))
Y = X.sum(axis=1)
WARNING = "does not support callbacks"


def network() -> Any:
    return MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, batch_size=20, random_state=0)


def columns() -> Any:
    return ColumnTransformer([("scaled", MinMaxScaler(), [0, 1])])


def callback() -> StopWhen:
    return StopWhen(TargetLoss(1e9))


def test_a_step_without_a_network_needs_no_callbacks() -> None:
    pipeline = make_pipeline(columns(), network()).set_callbacks(callback()).fit(X, Y)
    assert pipeline[-1].n_iter_ == 1  # which the callback has reached
    search = GridSearchCV(make_pipeline(columns(), network()), {"mlpregressor__alpha": [0.1, 1.0]}, cv=2)
    assert search.set_callbacks(callback()).fit(X, Y).best_estimator_[-1].n_iter_ == 1


def test_neither_does_another_model_in_the_same_search() -> None:
    steps = Pipeline([("scale", StandardScaler()), ("model", network())])
    search = GridSearchCV(steps, {"model": [network(), KNeighborsRegressor()]}, cv=2)
    search.set_callbacks(callback()).fit(X, Y)
    assert len(search.cv_results_["params"]) == 2


def test_worker_processes_do_not_warn_either() -> None:
    """They know of skmlp what is imported with the pickled callback."""
    work = f"""
import pickle
pipeline = pickle.loads({pickle.dumps(make_pipeline(columns(), network()).set_callbacks(callback()))!r})
pipeline.fit([[0.0, 1.0], [1.0, 0.0]] * 20, [0.0, 1.0] * 20)
print(pipeline[-1].n_iter_)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", work], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_a_network_out_of_reach_is_told() -> None:
    inside = TransformedTargetRegressor(network())
    search = GridSearchCV(
        make_pipeline(StandardScaler(), inside), {"transformedtargetregressor__check_inverse": [False]}
    )
    with pytest.warns(UserWarning, match=f"TransformedTargetRegressor {WARNING}"):
        search.set_callbacks(callback()).fit(X, Y)


def test_callbacks_of_others_keep_their_warning(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich", reason="scikit-learn's progress bar is drawn with rich")
    pipeline = make_pipeline(columns(), network()).set_callbacks(callback(), ProgressBar())
    with pytest.warns(UserWarning, match=f"ColumnTransformer {WARNING}"):
        pipeline.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.set_callbacks(callback()).fit(X, Y)
