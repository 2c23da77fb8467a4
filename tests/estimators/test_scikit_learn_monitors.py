"""scikit-learn's own callbacks, ScoringMonitor and ProgressBar: alone, in a pipeline and in a search."""

from typing import Any

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "lbfgs"])
# Fits here run few epochs on purpose, also in worker processes.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
EPOCHS = 4
SCORE = {MLPClassifier: "neg_log_loss", MLPRegressor: "r2"}


def _data(cls: type) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(60, n_features=5, n_informative=3, n_redundant=0, random_state=0)
    X, y = make_regression(60, n_features=5, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (6,), "batch_size": 20, "max_iter": EPOCHS, "random_state": 0, **params})


def _epoch_rows(monitor: Any, estimator: Any) -> list[Any]:
    rows = monitor.get_logs().data
    return [row for row in rows if row["task_name"] == "epoch" and row["estimator_name"] == type(estimator).__name__]


@BOTH
@SOLVERS
def test_scoring_monitor_records_a_single_fit(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    monitor = ScoringMonitor(scoring=SCORE[cls])
    est = _small(cls, solver=solver).set_callbacks(monitor).fit(X, y)
    rows = _epoch_rows(monitor, est)
    assert len(rows) == est.n_iter_ == EPOCHS
    assert [row["task_id"] for row in rows] == list(range(EPOCHS))
    final = get_scorer(SCORE[cls])(est, X, y)
    assert rows[-1][SCORE[cls]] == pytest.approx(final, rel=1e-12)
    assert len({row[SCORE[cls]] for row in rows}) == EPOCHS
    assert len(monitor.get_logs().data_as_pandas) == EPOCHS + 1  # the fit itself, too


@BOTH
@SOLVERS
def test_scoring_monitor_records_a_fit_in_a_pipeline(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    monitor = ScoringMonitor(scoring=SCORE[cls])
    est = _small(cls, solver=solver).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), est).fit(X, y)
    rows = _epoch_rows(monitor, est)
    assert len(rows) == pipeline[-1].n_iter_ == EPOCHS
    assert rows[-1][SCORE[cls]] == pytest.approx(get_scorer(SCORE[cls])(pipeline, X, y), rel=1e-12)


@BOTH
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scoring_monitor_records_every_fit_of_a_search(cls: Any, n_jobs: int) -> None:
    """Every candidate's every fold is logged epoch by epoch, from worker processes too."""
    X, y = _data(cls)
    monitor = ScoringMonitor(scoring=SCORE[cls])
    est = _small(cls, alpha=0.1).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), est)
    name = f"{cls.__name__.lower()}__alpha"
    search = GridSearchCV(pipeline, {name: [0.1, 10.0]}, cv=3, n_jobs=n_jobs).fit(X, y)
    rows = _epoch_rows(monitor, est)
    n_fits = 2 * 3 + 1
    assert len(rows) == n_fits * EPOCHS
    assert len({row["parent_task_id_path"] for row in rows}) == n_fits
    assert len({row["task_id_path"] for row in rows}) == len(rows)
    final = [row[SCORE[cls]] for row in rows if row["task_id"] == EPOCHS - 1]
    refitted = get_scorer(SCORE[cls])(search.best_estimator_, X, y)
    assert min(abs(score - refitted) for score in final) < 1e-12  # the refit is among them


@BOTH
@SOLVERS
@pytest.mark.parametrize("where", ["alone", "pipeline", "search"])
def test_progress_bar_shows_every_epoch(cls: Any, solver: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    X, y = _data(cls)
    est = _small(cls, solver=solver)
    pipeline = make_pipeline(StandardScaler(), est)
    outer = {
        "alone": est,
        "pipeline": pipeline,
        "search": GridSearchCV(pipeline, {f"{cls.__name__.lower()}__alpha": [0.1, 1.0]}, cv=2, n_jobs=2),
    }[where]
    outer.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    printed = capsys.readouterr().out
    assert f"{cls.__name__} - fit" in printed
    assert "100%" in printed
    assert outer.predict(X).shape == y.shape


@BOTH
@pytest.mark.parametrize("params", [{"early_stopping": True}, {"solver": "lbfgs", "alpha": 5.0}], ids=str)
def test_a_fit_that_ends_by_itself_logs_its_epochs(cls: Any, params: dict[str, Any]) -> None:
    X, y = _data(cls)
    monitor = ScoringMonitor(scoring=SCORE[cls])
    est = _small(cls, max_iter=1000, tol=0.01, **params).set_callbacks(monitor).fit(X, y)
    assert 5 < est.n_iter_ < 1000
    rows = _epoch_rows(monitor, est)
    assert [row["task_id"] for row in rows] == list(range(est.n_iter_))
    # The row of the fit itself is about the weights that were kept.
    (whole,) = (row for row in monitor.get_logs().data if row["task_name"] == "fit")
    assert whole[SCORE[cls]] == pytest.approx(get_scorer(SCORE[cls])(est, X, y), rel=1e-12)
    if "early_stopping" in params:
        best = int(np.argmax(est.validation_scores_))
        assert rows[best][SCORE[cls]] == whole[SCORE[cls]]
