"""scikit-learn's warning about estimators without support for callbacks appears only where it is useful."""

import warnings
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.callback import ProgressBar
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
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


def test_a_step_without_a_network_does_not_warn() -> None:
    pipeline = make_pipeline(columns(), network()).set_callbacks(callback()).fit(X, Y)
    assert pipeline[-1].n_iter_ == 1  # the callback has ended the fit
    search = GridSearchCV(make_pipeline(columns(), network()), {"mlpregressor__alpha": [0.1, 1.0]}, cv=2)
    assert search.set_callbacks(callback()).fit(X, Y).best_estimator_[-1].n_iter_ == 1


def test_another_model_in_the_same_search_does_not_warn() -> None:
    steps = Pipeline([("scale", StandardScaler()), ("model", network())])
    search = GridSearchCV(steps, {"model": [network(), KNeighborsRegressor()]}, cv=2)
    search.set_callbacks(callback()).fit(X, Y)
    assert len(search.cv_results_["params"]) == 2


def fit_with_warnings_as_errors(pipeline: Any) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return int(pipeline.fit(X, Y)[-1].n_iter_)


def test_worker_processes_do_not_warn() -> None:
    """They import the modules of skmlp that the pickled callback needs."""
    pipelines = [make_pipeline(columns(), network()).set_callbacks(callback()) for _ in range(2)]
    assert Parallel(n_jobs=2)(delayed(fit_with_warnings_as_errors)(each) for each in pipelines) == [1, 1]


def test_a_network_that_callbacks_cannot_reach_warns() -> None:
    inside = TransformedTargetRegressor(network())
    search = GridSearchCV(
        make_pipeline(StandardScaler(), inside), {"transformedtargetregressor__check_inverse": [False]}
    )
    with pytest.warns(UserWarning, match=f"TransformedTargetRegressor {WARNING}"):
        search.set_callbacks(callback()).fit(X, Y)


def test_other_callbacks_keep_their_warning(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich", reason="scikit-learn's progress bar is drawn with rich")
    pipeline = make_pipeline(columns(), network()).set_callbacks(callback(), ProgressBar())
    with pytest.warns(UserWarning, match=f"ColumnTransformer {WARNING}"):
        pipeline.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.set_callbacks(callback()).fit(X, Y)
