"""The callbacks on tabular estimators: once for all members, in pipelines and searches, without effect on the fit."""

import io
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmlp import TabularMLPClassifier, TabularMLPRegressor, callbacks
from skmlp.callbacks import Checkpoint, HistoryWriter, LivePlot, StopWhen, TargetLoss
from skmlp.callbacks._observing import _running

EPOCHS, MEMBERS = 4, 2
RNG = np.random.default_rng(0)
X = pd.DataFrame({"size": RNG.standard_normal(60), "color": RNG.choice(["red", "blue", "green"], 60)})
X.loc[::7, "size"] = np.nan
Y = (X["color"] == "red").to_numpy()
BOTH = pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
MAKERS: dict[str, Any] = {
    "Checkpoint": lambda folder: Checkpoint(folder / "{epoch}.joblib"),
    "HistoryWriter": lambda folder: HistoryWriter(folder / "history.csv"),
    "LivePlot": lambda folder: LivePlot(stream=io.StringIO()),
    "StopWhen": lambda folder: StopWhen(TargetLoss(-1.0)),
}


def tabular(cls: Any = TabularMLPClassifier, **params: Any) -> Any:
    settings = {"max_iter": EPOCHS, "early_stopping": False, "members": {"hidden_layer_sizes": [(5,)]}}
    return cls(MEMBERS, **{**settings, "random_state": 0, **params})


@pytest.fixture(autouse=True)
def nothing_left() -> Any:
    yield
    assert _running == {}


def test_all_callbacks_are_tried() -> None:
    assert MAKERS.keys() == {name for name in callbacks.__all__ if hasattr(getattr(callbacks, name), "setup")}


@BOTH
def test_callbacks_do_not_change_the_result(cls: Any, tmp_path: Path) -> None:
    made = [make(tmp_path) for make in MAKERS.values()]
    watched, alone = tabular(cls).set_callbacks(*made).fit(X, Y), tabular(cls).fit(X, Y)
    np.testing.assert_array_equal(watched.predict(X), alone.predict(X))
    assert watched.history_["loss"] == alone.history_["loss"]
    assert watched.stop_reason_ == "max_iter"


@BOTH
def test_a_checkpoint_predicts_as_the_mean_did_after_its_epoch(cls: Any, tmp_path: Path) -> None:
    est = tabular(cls).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(X, Y)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{epoch}.joblib" for epoch in range(1, EPOCHS + 1)]
    stored = [joblib.load(tmp_path / f"{epoch}.joblib") for epoch in range(1, EPOCHS + 1)]
    np.testing.assert_array_equal(stored[-1].predict(X), est.predict(X))
    scores = [each.score(X, Y) for each in stored]
    assert [each.n_iter_ for each in stored] == [1, 2, 3, 4]
    validated = tabular(cls).fit(X, Y, X_val=X, y_val=Y)
    np.testing.assert_allclose(scores, validated.history_["validation_score"], atol=1e-5)


def test_the_best_checkpoint_is_that_of_the_mean(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path / "best.joblib", save_best_only=True, monitor="validation_score")
    est = tabular(max_iter=8).set_callbacks(keep).fit(X, Y, X_val=X, y_val=Y)
    stored = joblib.load(tmp_path / "best.joblib")
    assert stored.history_["validation_score"][-1] == max(est.history_["validation_score"])


@pytest.mark.parametrize("name", ["history.csv", "history.jsonl"])
def test_a_history_is_written_with_the_columns_of_a_tabular_estimator(name: str, tmp_path: Path) -> None:
    est = tabular(validation_split=0.3).set_callbacks(HistoryWriter(tmp_path / name)).fit(X, Y)
    frame = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_json(tmp_path / name, lines=True)
    assert len(frame) == EPOCHS
    for column in ("loss", "validation_score", "best_member_score"):
        np.testing.assert_allclose(frame[column], est.history_[column])


def test_a_rule_stops_all_members() -> None:
    est = tabular().set_callbacks(StopWhen(lambda history: len(history["loss"]) == 2)).fit(X, Y)
    assert (est.stop_reason_, est.n_iter_) == ("callback", 2)
    assert [member.n_iter_ for member in est.estimators_] == [2, 2]


def test_a_live_plot_shows_the_means() -> None:
    stream = io.StringIO()
    est = tabular(validation_split=0.3)
    columns = ["train_loss", "validation_score", "best_member_score"]
    est.set_callbacks(LivePlot(columns, width=60, height=4, stream=stream)).fit(X, Y)
    assert stream.getvalue().startswith(f"TabularMLPClassifier: epoch {EPOCHS}")
    best = max(est.history_["best_member_score"])
    assert f"best_member_score: {est.history_['best_member_score'][-1]:.4g}, best {best:.4g}" in stream.getvalue()


def test_a_column_that_does_not_exist_is_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match=r"'columns' parameter of LivePlot .* set validation_split, for example"):
        tabular().set_callbacks(LivePlot(["best_member_score"], stream=io.StringIO())).fit(X, Y)


@pytest.mark.parametrize("inside", [False, True])
def test_callbacks_on_or_inside_a_pipeline_see_the_tabular_estimator(inside: bool, tmp_path: Path) -> None:
    writer, est = HistoryWriter(tmp_path / "history.csv"), tabular()
    pipeline = make_pipeline(FunctionTransformer(), est.set_callbacks(writer) if inside else est)
    (pipeline if inside else pipeline.set_callbacks(writer)).fit(X, Y)
    assert pd.read_csv(tmp_path / "history.csv")["loss"].tolist() == pipeline[-1].history_["loss"]


def test_each_fit_of_a_search_has_its_rows(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "history.csv")
    GridSearchCV(tabular(), {"max_iter": [2, 3]}, cv=2).set_callbacks(writer).fit(X, Y)
    rows = pd.read_csv(tmp_path / "history.csv").groupby("fit")["epoch"].max()
    assert rows.drop("refit").to_dict() == {"cv0": 2, "cv1": 2, "cv2": 3, "cv3": 3}


@BOTH
def test_a_callback_class_instead_of_an_instance_raises(cls: Any) -> None:
    with pytest.raises(TypeError, match=r"takes instances of callbacks, got the class StopWhen"):
        cls().set_callbacks(StopWhen)


def test_a_tabular_estimator_that_callbacks_cannot_reach_is_a_warning(tmp_path: Path) -> None:
    inside = TransformedTargetRegressor(tabular(TabularMLPRegressor))
    pipeline = make_pipeline(FunctionTransformer(), inside).set_callbacks(HistoryWriter(tmp_path / "history.csv"))
    with pytest.warns(UserWarning, match="TransformedTargetRegressor does not support callbacks"):
        pipeline.fit(X, Y.astype(float))
