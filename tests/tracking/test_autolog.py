"""One line that tracks every fit, beside MLflow's own automatic logging or alone."""

import re
from collections.abc import Iterator
from inspect import getdoc, signature
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.callback import CallbackSupportMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, autolog

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning"),
]
X, Y = make_classification(80, n_features=5, random_state=0)


def network() -> Any:
    return MLPClassifier((6,), max_iter=4, batch_size=20, random_state=0)


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), network())


@pytest.fixture(autouse=True)
def _autolog_is_off_afterwards(sqlite_uri: str) -> Iterator[None]:
    mlflow.set_tracking_uri(sqlite_uri)
    mlflow.set_experiment("test")
    yield
    autolog(disable=True)
    mlflow.sklearn.autolog(disable=True)


def runs() -> list[Any]:
    client = MlflowClient()
    found = client.get_experiment_by_name("test")
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time"]))


def points(run: Any) -> int:
    return len(MlflowClient().get_metric_history(run.info.run_id, "loss/train"))


def test_every_kind_of_fit_is_tracked() -> None:
    autolog(tags={"by": "autolog"})
    alone = network().fit(X, Y)
    inside = pipeline().fit(X, Y)
    searched = GridSearchCV(pipeline(), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, Y)
    found = runs()
    assert len(found) == 1 + 1 + (1 + 4 + 1)
    assert all(run.data.tags["by"] == "autolog" for run in found)
    assert sorted(points(run) for run in found) == [0] + [4] * 7
    # Nothing is left on the estimators.
    for estimator in (alone, inside, inside[-1], searched, searched.best_estimator_):
        assert not hasattr(estimator, "_skl_callbacks") or estimator._skl_callbacks == []


def test_others_are_left_alone() -> None:
    autolog()
    LogisticRegression().fit(X, Y)
    make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert runs() == []


def test_it_can_be_switched_off_and_set_anew() -> None:
    before = CallbackSupportMixin._init_callback_context
    autolog(run_name="first")
    autolog(run_name="second")
    network().fit(X, Y)
    autolog(disable=True)
    assert CallbackSupportMixin._init_callback_context is before
    network().fit(X, Y)
    assert [run.info.run_name for run in runs()] == ["second"]


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_a_callback_that_is_there_counts(where: str) -> None:
    autolog(run_name="automatic")
    if where == "outer":
        pipeline().set_callbacks(MLflowCallback(run_name="mine")).fit(X, Y)
    else:
        make_pipeline(StandardScaler(), network().set_callbacks(MLflowCallback(run_name="mine"))).fit(X, Y)
    assert [run.info.run_name for run in runs()] == ["mine"]


def test_cross_validation_is_tracked_in_this_process() -> None:
    autolog()
    cross_val_score(pipeline(), X, Y, cv=3)
    assert [points(run) for run in runs()] == [4, 4, 4]


def test_the_first_argument_is_the_experiment() -> None:
    mlflow.set_experiment("another")
    autolog("test", "first")
    network().fit(X, Y)
    assert [run.info.run_name for run in runs()] == ["first"]


def test_its_parameters_are_those_of_the_callback() -> None:
    parameters, of_callback = dict(signature(autolog).parameters), dict(signature(MLflowCallback).parameters)
    assert parameters.pop("disable").default is False
    assert list(parameters.items()) == list(of_callback.items())
    described = parameter_docs(autolog)
    assert described.pop("disable") == "bool, default=False Stop tracking."
    assert described == parameter_docs(MLflowCallback)
    assert described.keys() == of_callback.keys()


def parameter_docs(documented: Any) -> dict[str, str]:
    """Return what the docstring says of each parameter, in one line."""
    section = getdoc(documented).split("Parameters\n----------\n")[1].split("\n\nRaises")[0]
    parts = re.split(r"^(\w+) : ", section, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def test_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        autolog(nonsense=1)
    with pytest.raises(ValueError, match="every_n_epochs"):
        autolog(every_n_epochs=0)
    network().fit(X, Y)
    assert runs() == []


# MLflow 3.17 calls scikit-learn 1.9 by names that are on their way out.
@pytest.mark.filterwarnings("ignore:`y_pred` was renamed:FutureWarning")
def test_mlflows_own_automatic_logging_shares_its_runs() -> None:
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True, max_tuning_runs=0)
    autolog()
    pipeline().fit(X, Y)
    (run,) = runs()
    assert points(run) == 4
    assert "training_accuracy_score" in run.data.metrics
    assert run.data.params["mlpclassifier__alpha"] == "0.0001"
    assert run.info.status == "FINISHED"
    search = GridSearchCV(pipeline(), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, Y)
    others = [each for each in runs() if each.info.run_id != run.info.run_id]
    (top,) = (each for each in others if "mlflow.parentRunId" not in each.data.tags)
    assert "skmlp.role" in top.data.tags
    assert np.isclose(top.data.metrics["best_cv_score"], search.best_score_)
    ours = [each for each in others if "skmlp.id" in each.data.tags]
    assert len(ours) == 5
    assert [points(each) for each in ours] == [4] * 5
