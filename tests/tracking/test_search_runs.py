"""Searches: a run with the results, and a nested run for every fold and the refit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from scipy.stats import loguniform
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback

X, Y = make_classification(80, n_features=5, random_state=0)
ALPHAS = [0.1, 1.0]


def network(**params: Any) -> Any:
    return MLPClassifier(**{"hidden_layer_sizes": (6, 4), "max_iter": 4, "batch_size": 20, "random_state": 0, **params})


def search(*inner: Any, n_jobs: int | None = None) -> Any:
    """Return a search over a pipeline, whose network has the callbacks `inner`."""
    pipeline = make_pipeline(StandardScaler(), network().set_callbacks(*inner))
    return GridSearchCV(pipeline, {"mlpclassifier__alpha": ALPHAS}, cv=3, n_jobs=n_jobs)


def test_a_search_is_a_parent_with_a_child_for_every_fit(runs: Any) -> None:
    fitted = search().set_callbacks(MLflowCallback("test")).fit(X, Y)
    top, children = runs.top(), runs.children()
    assert top.info.status == "FINISHED"
    assert top.data.params["grid.mlpclassifier__alpha"] == "[0.1, 1.0]"
    assert top.data.params["best_mlpclassifier__alpha"] == str(fitted.best_params_["mlpclassifier__alpha"])
    assert top.data.metrics["best_cv_score"] == fitted.best_score_
    assert top.data.metrics["n_failed_fits"] == 0
    table = pd.read_csv(runs.client.download_artifacts(top.info.run_id, "cv_results.csv"))
    np.testing.assert_allclose(table["mean_test_score"], fitted.cv_results_["mean_test_score"])
    assert len(children) == 2 * 3 + 1
    runs.assert_complete(children)
    folds = {
        (int(run.data.tags["skmlp.candidate"]), int(run.data.tags["skmlp.split"])): run
        for run in children
        if run.data.tags["skmlp.role"] == "cv"
    }
    assert sorted(folds) == [(candidate, split) for candidate in range(2) for split in range(3)]
    for (candidate, split), run in folds.items():
        assert run.data.params["mlpclassifier__alpha"] == run.data.params["alpha"] == str(ALPHAS[candidate])
        assert run.data.metrics["score/test"] == fitted.cv_results_[f"split{split}_test_score"][candidate]
        assert run.data.tags["skmlp.task_path"].startswith("GridSearchCV > search > Pipeline[")
        assert run.info.run_name == f"cand {candidate}, split {split}"
        assert runs.files(run) == []
    (refit,) = (run for run in children if run.data.tags["skmlp.role"] == "refit")
    assert "history.csv" in runs.files(refit)
    assert [v for _, v in runs.curve(refit)] == fitted.best_estimator_[-1].history_["train_loss"]


def test_a_callback_inside_a_search_makes_the_parent_run_too(runs: Any) -> None:
    search(MLflowCallback("test")).fit(X, Y)
    assert runs.top().info.run_name == "GridSearchCV"
    assert runs.top().info.status == "FINISHED"
    assert len(runs.children()) == 7
    runs.assert_complete(runs.children())


def test_threads_do_not_mix_up_their_runs(runs: Any) -> None:
    with parallel_backend("threading", n_jobs=2):
        search(n_jobs=2).set_callbacks(MLflowCallback("outer")).fit(X, Y)
        search(MLflowCallback("inner"), n_jobs=2).fit(X, Y)
    for experiment in ("outer", "inner"):
        assert len(runs.children(experiment)) == 7
        runs.assert_complete(runs.children(experiment))


def test_a_randomized_search_logs_its_distributions_and_every_scorer(runs: Any) -> None:
    scoring = ["accuracy", "neg_log_loss"]
    chosen = RandomizedSearchCV(
        network(), {"alpha": loguniform(1e-4, 1.0)}, n_iter=2, cv=2, random_state=0, scoring=scoring, refit="accuracy"
    )
    chosen.set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert runs.top().data.params["grid.alpha"] == "loguniform(0.0001, 1.0)"
    assert len(runs.children()) == 5
    scores = {run.data.metrics["score/test_neg_log_loss"] for run in runs.children()[:4]}
    assert scores == {chosen.cv_results_[f"split{s}_test_neg_log_loss"][c] for s in range(2) for c in range(2)}


def test_a_halving_search_numbers_its_iterations(runs: Any) -> None:
    halving = HalvingGridSearchCV(
        network(), {"alpha": [0.1, 1.0, 10.0]}, resource="max_iter", min_resources=2, max_resources=6, cv=2
    )
    halving.set_callbacks(MLflowCallback("test")).fit(X, Y)
    folds = [run for run in runs.children() if run.data.tags["skmlp.role"] == "cv"]
    assert len(folds) == 2 * len(halving.cv_results_["params"])
    for run in folds:
        iteration = int(run.data.tags["skmlp.iteration"])
        assert int(run.data.params["max_iter"]) == halving.n_resources_[iteration] == len(runs.curve(run))
        assert "score/test" in run.data.metrics


@pytest.mark.parametrize(("child_runs", "n_children"), [(5, 1), ("none", 1), (6, 7), (np.int64(6), 7)])
def test_folds_have_runs_only_up_to_child_runs_fits(runs: Any, child_runs: Any, n_children: int) -> None:
    search().set_callbacks(MLflowCallback("test", child_runs=child_runs)).fit(X, Y)
    assert len(runs.children()) == n_children
    assert runs.files(runs.top()) == ["cv_results.csv"]
    assert runs.children()[-1].data.tags["skmlp.role"] == "refit"


def test_a_search_inside_a_pipeline_has_one_parent(runs: Any) -> None:
    inner = GridSearchCV(network(), {"alpha": ALPHAS}, cv=2)
    make_pipeline(StandardScaler(), inner).set_callbacks(MLflowCallback("test")).fit(X, Y)
    assert runs.top().data.tags["skmlp.role"] == "search"
    assert "best_alpha" in runs.top().data.params
    assert len(runs.children()) == 5
    assert all("score/test" in run.data.metrics for run in runs.children()[:4])


def test_each_fit_of_cross_val_score_is_a_run(runs: Any) -> None:
    cross_val_score(make_pipeline(StandardScaler(), network()).set_callbacks(MLflowCallback("test")), X, Y, cv=2)
    assert len(runs.all()) == 2
    runs.assert_complete(runs.all())
