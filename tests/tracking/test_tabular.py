"""Runs of tabular estimators: what the mean and the members achieve, their settings, and the model on tables."""

import base64
import json
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmlp import TabularMLPClassifier, TabularMLPRegressor
from skmlp.inspection import HistoryDisplay
from skmlp.tracking import MLflowCallback, autolog, log_model
from skmlp.tracking.artifacts import _figures as figures
from skmlp.tracking.dashboard import _view
from skmlp.tracking.fits import _files_of_members
from skmlp.tracking.metrics import mean_of_last
from skmlp.tracking.models import _described_input

EPOCHS, MEMBERS = 4, 3
RNG = np.random.default_rng(0)
N = 80
X = pd.DataFrame(
    {
        "size": RNG.normal(500.0, 100.0, N),
        "count": pd.array(RNG.integers(0, 9, N), dtype="Int64"),
        "color": pd.Categorical(RNG.choice(["red", "blue", "green"], N)),
        "level": pd.Categorical(RNG.integers(1, 4, N)),
        "town": pd.array(RNG.choice(["here", "there"], N), dtype="string"),
        "flag": RNG.random(N) < 0.5,
        "maybe": pd.array(RNG.random(N) < 0.5, dtype="boolean"),
    }
)
X.loc[::7, "size"] = np.nan
X.loc[::9, ["count", "maybe", "town"]] = pd.NA
X.loc[::11, "color"] = None
# As MLflow serves it: categories as their values, numbers and missing ones as floats, missing text and truth as None.
SERVED = X.astype({"count": float, "level": float, "color": object, "town": object, "maybe": object})
SERVED = SERVED.where(SERVED.notna(), None).astype({"size": float, "count": float, "flag": bool})
Y = np.where(X["color"] == "red", "yes", "no")
SPACE = {"hidden_layer_sizes": [(6, 4)], "learning_rate_init": [0.01, 0.02, 0.04]}


def tabular(cls: Any = TabularMLPClassifier, **params: Any) -> Any:
    settings = {"n_members": MEMBERS, "max_iter": EPOCHS, "members": SPACE, "validation_split": 0.25}
    return cls(**{**settings, "early_stopping": False, "random_state": 0, **params})


def targets(cls: Any) -> Any:
    return Y if cls is TabularMLPClassifier else X["size"].fillna(0.0).to_numpy()


def fit(estimator: Any, **settings: Any) -> Any:
    return estimator.set_callbacks(MLflowCallback("test", **settings)).fit(X, Y)


BOTH = pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])


# ---------------------------------------------------------------------- metrics


@BOTH
def test_metrics_by_epoch_are_those_of_the_mean_and_of_the_best_member(cls: Any, runs: Any) -> None:
    est = tabular(cls).set_callbacks(MLflowCallback("test")).fit(X, targets(cls))
    run = runs.top()
    runs.assert_complete([run], EPOCHS)
    for column, metric in {
        "train_loss": "loss/train",
        "validation_loss": "loss/validation",
        "validation_score": "score/validation",
        "best_member_score": "score/best_member",
        "learning_rate": "optim/learning_rate",
    }.items():
        assert [value for _, value in runs.curve(run, metric)] == est.history_[column]


def test_losses_of_samples_that_members_hold_out_are_logged_where_they_exist(runs: Any) -> None:
    many = pd.concat([X] * 8, ignore_index=True)
    est = tabular(validation_split=None, early_stopping=True, max_iter=15)
    est.set_callbacks(MLflowCallback("test", monitor=False)).fit(many, np.tile(Y, 8))
    known = [(epoch, loss) for epoch, loss in enumerate(est.history_["held_out_loss"], start=1) if loss == loss]
    assert known
    assert runs.curve(runs.top(), "loss/held_out") == known


def test_statistics_of_layers_are_means_over_the_members(runs: Any) -> None:
    est = fit(tabular())
    for layer in range(3):
        logged = [value for _, value in runs.curve(runs.top(), f"grad_norm/layer_{layer + 1:02d}")]
        wanted = np.mean([member.monitor_["gradient_norm"][:, layer] for member in est.estimators_], axis=0)
        np.testing.assert_allclose(logged, wanted)
    assert "update_ratio/layer_01" in runs.top().data.metrics
    unwatched = tabular().set_callbacks(MLflowCallback("unwatched", monitor=False)).fit(X, Y)
    assert "update_ratio/layer_01" not in runs.top("unwatched").data.metrics
    np.testing.assert_array_equal(unwatched.predict_proba(X), est.predict_proba(X))


def test_the_last_observation_is_that_of_the_members_that_go_on() -> None:
    def observed(epochs: list[int], *norms: float) -> Any:
        rows = np.array(norms).reshape(len(epochs), -1) if epochs else np.empty((0, 2))
        return {"epoch": np.array(epochs), "gradient_norm": rows, "gradient_quantiles": rows[..., np.newaxis]}

    nan = float("nan")
    last = mean_of_last([observed([1, 2], 1.0, 2.0), observed([1], 5.0), observed([1, 2], 1.0, 4.0)])
    assert (last["epoch"].tolist(), last["gradient_norm"].tolist()) == ([2], [[3.0]])
    some = mean_of_last([observed([1], 1.0, nan), observed([1], 3.0, nan), observed([1], 7.0, 8.0, 9.0)])
    np.testing.assert_array_equal(some["gradient_norm"], [[2.0, nan]])
    assert len(mean_of_last([observed([])])["epoch"]) == 0


def test_final_metrics_compare_the_members(runs: Any) -> None:
    est = fit(tabular())
    metrics, scores = runs.top().data.metrics, [each["score"] for each in est.members_]
    assert metrics["members/n_trained"] == MEMBERS
    assert metrics["members/lowest_score"] == min(scores)
    assert metrics["members/median_score"] == np.median(scores)
    assert metrics["members/highest_score"] == max(scores)
    assert metrics["best_validation_score"] == max(est.history_["validation_score"])
    assert metrics["n_iter"] == EPOCHS
    fit(tabular(validation_split=None), run_name="without")
    without = next(run for run in runs.all() if run.info.run_name == "without")
    assert "members/median_score" not in without.data.metrics
    assert without.data.metrics["members/n_trained"] == MEMBERS


# ---------------------------------------------------------------------- parameters


def test_params_are_those_of_the_estimator_and_of_its_members(runs: Any) -> None:
    fit(tabular())
    params = runs.top().data.params
    assert (params["n_members"], params["max_iter"]) == ("3", "4")
    assert params["member.learning_rate_init"] == "[0.01, 0.02, 0.04]"
    assert params["member.activation"] == "selu"
    assert params["member.numeric_embedding"].startswith("PBLD(")
    assert "member.max_iter" not in params
    assert params["network.n_members"] == "3"
    assert params["network.layer_sizes"].endswith("-6-4-1")
    assert params["network.dtype"] == "float32"
    assert (params["data.n_samples"], params["data.n_features"]) == (str(N), "7")


def test_default_settings_of_members_are_described_in_words(runs: Any) -> None:
    fit(tabular(members=None, n_members=1, max_iter=1))
    params = runs.top().data.params
    assert params["members"] == "None"
    assert params["member.learning_rate_init"].startswith("loguniform(")
    assert params["member.numeric_embedding__sigma"].startswith("loguniform(")


def test_settings_given_for_each_member_are_listed(runs: Any) -> None:
    given = [{"hidden_layer_sizes": (5,)}, {"hidden_layer_sizes": (5,), "dropout": 0.3}, {"hidden_layer_sizes": (4, 3)}]
    fit(tabular(members=given))
    params = runs.top().data.params
    assert params["member.hidden_layer_sizes"] == "[(5,), (5,), (4, 3)]"
    assert params["member.dropout"] == "[0.15, 0.3, 0.15]"
    first, second = params["network.layer_sizes"].split(", ")
    assert first.endswith("-5-1")
    assert second.endswith("-4-3-1")


# ---------------------------------------------------------------------- files


def test_members_are_a_table_among_the_files(runs: Any) -> None:
    given = [{"activation": "mish", "hidden_layer_sizes": (5,)}, {"activation": "selu", "hidden_layer_sizes": (4,)}]
    est = fit(tabular(n_members=2, members=given))
    run = runs.top()
    stored = json.loads(runs.text(run, "members.json"))
    table = pd.DataFrame(stored["data"], columns=stored["columns"]).set_index("member")
    wanted = est.members_frame().assign(hidden_layer_sizes=["(5,)", "(4,)"])
    pd.testing.assert_frame_equal(table, wanted, check_dtype=False)
    csv = pd.read_csv(runs.client.download_artifacts(run.info.run_id, "members.csv"), index_col="member")
    pd.testing.assert_frame_equal(csv, wanted, check_dtype=False)
    shown = [each["path"] for each in json.loads(run.data.tags["mlflow.loggedArtifacts"])]
    assert shown == ["history.json", "members.json"]


def test_history_configuration_report_and_diagnosis_are_stored(runs: Any) -> None:
    est = fit(tabular(members={**SPACE, "learning_rate_init": [1e-7]}))
    run = runs.top()
    history = pd.read_csv(runs.client.download_artifacts(run.info.run_id, "history.csv"), index_col="epoch")
    pd.testing.assert_frame_equal(history, est.history_frame(), check_index_type=False)
    config = json.loads(runs.text(run, "config.json"))
    assert config["member"]["activation"] == "selu"
    assert config["network"]["n_members"] == "3"
    assert json.loads(runs.text(run, "diagnosis.json")) == est.diagnose().to_dicts()
    assert "learning_rate_too_low" in run.data.tags["skmlp.diagnosis"]
    assert run.data.metrics["health/findings"] == len(est.diagnose().at_least("warning"))
    report = runs.text(run, "figures/training.html")
    assert "In all 3 members" in report
    assert "best_member_score" in report
    assert "monitor.json.gz" in runs.files(run)


def test_the_picture_of_the_history_has_the_losses_of_the_members(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    drawn: list[Any] = []
    draw = HistoryDisplay._draw
    monkeypatch.setattr(HistoryDisplay, "_draw", lambda self, ax: (draw(self, ax), drawn.append(self)))
    est = tabular().fit(X, Y)
    record = _files_of_members(est)
    ((name, content),) = figures(est.history_, {"epoch": []}, record["members"])
    assert (name, content[:8]) == ("learning_curve", base64.b64encode(b"\x89PNG\r\n").decode())
    losses = [line.get_ydata().tolist() for line in drawn[0].member_lines_]
    assert losses[:MEMBERS] == [member.history_["train_loss"] for member in est.estimators_]
    assert len(losses) == 2 * MEMBERS + 1


# ---------------------------------------------------------------------- other fits


def test_a_fit_that_fails_is_a_failed_run(runs: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent"):
        tabular().set_callbacks(MLflowCallback("test")).fit(X, Y[:-1])
    assert runs.top().info.status == "FAILED"


def test_autolog_tracks_tabular_estimators_alone_and_in_pipelines(runs: Any) -> None:
    autolog("test")
    try:
        tabular().fit(X, Y)
        make_pipeline(FunctionTransformer(), tabular()).fit(X, Y)
    finally:
        autolog(disable=True)
    assert [len(runs.steps(run)) for run in runs.all()] == [EPOCHS, EPOCHS]


def test_a_callback_inside_a_pipeline_tracks_the_tabular_estimator(runs: Any) -> None:
    inside = tabular().set_callbacks(MLflowCallback("test"))
    make_pipeline(FunctionTransformer(), inside).fit(X, Y)
    runs.assert_complete([runs.top()], EPOCHS)


def test_a_search_has_a_child_for_every_fit(runs: Any) -> None:
    search = GridSearchCV(tabular(), {"n_members": [1, 2]}, cv=2)
    search.set_callbacks(MLflowCallback("test", monitor=False)).fit(X, Y)
    children = runs.children()
    assert len(children) == 2 * 2 + 1
    runs.assert_complete(children, EPOCHS)
    folds = [run for run in children if run.data.tags["skmlp.role"] == "cv"]
    assert sorted(run.data.params["n_members"] for run in folds) == ["1", "1", "2", "2"]
    assert all("score/test" in run.data.metrics for run in folds)
    assert all(run.data.params["member.activation"] == "selu" for run in folds)
    (refit,) = (run for run in children if run.data.tags["skmlp.role"] == "refit")
    assert "members.json" in runs.files(refit)


def test_the_dashboard_shows_the_best_member_beside_the_mean() -> None:
    view = _view({"loss/train", "loss/held_out", "score/validation", "score/best_member"}, 8)
    keys = [chart["selectedMetricKeys"] for chart in view["compareRunCharts"]]
    assert keys == [["loss/train", "loss/held_out"], ["score/validation", "score/best_member"]]


# ---------------------------------------------------------------------- the model


@BOTH
def test_a_stored_model_predicts_as_the_estimator_for_tables_as_they_are_served(cls: Any, sqlite_uri: str) -> None:
    mlflow.set_tracking_uri(sqlite_uri)
    est = tabular(cls).fit(X, targets(cls))
    info = log_model(est, X)
    loaded = mlflow.sklearn.load_model(info.model_uri)
    np.testing.assert_array_equal(loaded.predict(X), est.predict(X))
    assert loaded.diagnose().to_dicts() == est.diagnose().to_dicts()
    served = mlflow.pyfunc.load_model(info.model_uri)
    np.testing.assert_array_equal(served.predict(SERVED), est.predict(X))
    np.testing.assert_array_equal(served.predict(SERVED[SERVED.columns[::-1]]), est.predict(X))


def test_the_signature_tells_types_and_where_values_may_be_missing() -> None:
    schema = _described_input(tabular().fit(X, Y), X)["signature"].inputs
    assert {each.name: (each.type.name, each.required) for each in schema} == {
        "size": ("double", False),
        "count": ("double", False),
        "color": ("string", False),
        "level": ("double", True),
        "town": ("string", False),
        "flag": ("boolean", True),
        "maybe": ("boolean", False),
    }


def test_the_callback_stores_the_model_and_the_fit_keeps_its_callback(sqlite_runs: Any) -> None:
    est = fit(tabular(), log_model=True, artifacts=False)
    (output,) = sqlite_runs.top().outputs.model_outputs
    loaded = mlflow.sklearn.load_model(f"models:/{output.model_id}")
    np.testing.assert_array_equal(loaded.predict_proba(X), est.predict_proba(X))
    assert len(est._skl_callbacks) == 1
    assert not hasattr(loaded, "_skl_callbacks")
