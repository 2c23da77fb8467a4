"""``autolog``: every fit is tracked after one line, alone or beside MLflow's own automatic logging."""

import re
from collections.abc import Iterator
from inspect import getdoc, signature
from typing import Any

import mlflow
import numpy as np
import pytest
from sklearn.callback import CallbackSupportMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, autolog

X, Y = make_classification(80, n_features=5, random_state=0)


def network() -> Any:
    return MLPClassifier((6,), max_iter=4, batch_size=20, random_state=0)


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), network())


def search() -> Any:
    return GridSearchCV(pipeline(), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2)


@pytest.fixture(autouse=True)
def _autolog_is_off_afterwards() -> Iterator[None]:
    yield
    autolog(disable=True)


def test_every_kind_of_fit_is_tracked_and_keeps_no_callback(runs: Any) -> None:
    autolog("test", tags={"by": "autolog"})
    fitted = [network().fit(X, Y), pipeline().fit(X, Y), search().fit(X, Y)]
    found = runs.all()
    assert len(found) == 1 + 1 + (1 + 4 + 1)
    assert all(run.data.tags["by"] == "autolog" for run in found)
    assert sorted(len(runs.steps(run)) for run in found) == [0] + [4] * 7
    for estimator in (*fitted, fitted[1][-1], fitted[2].best_estimator_):
        assert not hasattr(estimator, "_skl_callbacks") or estimator._skl_callbacks == []


def test_other_estimators_are_not_tracked(runs: Any) -> None:
    autolog("test")
    LogisticRegression().fit(X, Y)
    make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert runs.all() == []


def test_a_second_call_changes_the_settings_and_disable_ends_the_tracking(runs: Any) -> None:
    before = CallbackSupportMixin._init_callback_context
    autolog("test", "first")
    autolog("test", "second")
    network().fit(X, Y)
    autolog(disable=True)
    assert CallbackSupportMixin._init_callback_context is before
    network().fit(X, Y)
    assert [run.info.run_name for run in runs.all()] == ["second"]


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_a_callback_on_an_estimator_has_precedence(runs: Any, where: str) -> None:
    autolog("test", "automatic")
    mine = MLflowCallback("test", "mine")
    if where == "outer":
        pipeline().set_callbacks(mine).fit(X, Y)
    else:
        make_pipeline(StandardScaler(), network().set_callbacks(mine)).fit(X, Y)
    assert [run.info.run_name for run in runs.all()] == ["mine"]


def test_cross_validation_in_this_process_is_tracked(runs: Any) -> None:
    autolog("test")
    cross_val_score(pipeline(), X, Y, cv=3)
    assert [len(runs.steps(run)) for run in runs.all()] == [4, 4, 4]


def test_the_parameters_are_those_of_the_callback() -> None:
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


def test_invalid_settings_raise_at_once(runs: Any) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        autolog(nonsense=1)
    with pytest.raises(ValueError, match="every_n_epochs"):
        autolog(every_n_epochs=0)
    network().fit(X, Y)
    assert runs.all("Default") == []


# MLflow 3.17 uses parameters that scikit-learn 1.9 has deprecated.
@pytest.mark.filterwarnings("ignore:`y_pred` was renamed:FutureWarning")
def test_a_fit_is_logged_into_the_run_of_mlflows_own_autolog(sqlite_runs: Any) -> None:
    mlflow.set_experiment("test")
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True, max_tuning_runs=0)
    try:
        autolog(artifacts=False)
        pipeline().fit(X, Y)
        (run,) = sqlite_runs.all()
        fitted = search().fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    sqlite_runs.assert_complete([run])
    assert "training_accuracy_score" in run.data.metrics
    assert run.data.params["mlpclassifier__alpha"] == "0.0001"
    others = [each for each in sqlite_runs.all() if each.info.run_id != run.info.run_id]
    (top,) = (each for each in others if "mlflow.parentRunId" not in each.data.tags)
    assert "skmlp.role" in top.data.tags
    assert np.isclose(top.data.metrics["best_cv_score"], fitted.best_score_)
    ours = [each for each in others if "skmlp.id" in each.data.tags]
    assert len(ours) == 5
    sqlite_runs.assert_complete(ours)
