"""The tabular estimators in scikit-learn's world: its own checks, storing, callbacks, and what is built around them."""

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ScoringMonitor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import TabularMLPClassifier, TabularMLPRegressor

BOTH = pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])

BY_CHANCE = "Two copies of a row are not a row of weight two for dropout, batches of rows, and quartiles of a column."


def _expected_failures(estimator: Any) -> dict[str, str]:
    """Return the checks that contradict the estimator, each with the reason."""
    return {"check_sample_weight_equivalence_on_dense_data": BY_CHANCE}


CHECKED = [cls(n_members=2, max_iter=20, n_jobs=1) for cls in (TabularMLPClassifier, TabularMLPRegressor)]


@parametrize_with_checks(CHECKED, expected_failed_checks=_expected_failures, xfail_strict=True)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


N = 60
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "x": RNG.standard_normal(N),
        "city": RNG.choice(["Bari", "Como", "Lodi", "Pisa"], N),
        "z": 50.0 + 100.0 * RNG.standard_normal(N),
        "flag": RNG.choice(["no", "yes"], N),
    }
)
NUMBERS = TABLE["x"].to_numpy() + (TABLE["city"] == "Bari").to_numpy() + TABLE["z"].to_numpy() / 100.0
LABELS = np.where(NUMBERS > 0.5, "high", "low")
Y: dict[Any, Any] = {TabularMLPClassifier: LABELS, TabularMLPRegressor: NUMBERS}
TABLE.loc[[3, 4], ["x", "city"]] = None


def _estimator(cls: Any, **params: Any) -> Any:
    few = {"n_members": 2, "max_iter": 3, "members": {"hidden_layer_sizes": [(8,)]}, "early_stopping": False}
    return cls(**{**few, "random_state": 0, "n_jobs": 1, **params})


def _fit(cls: Any, **params: Any) -> Any:
    return _estimator(cls, **params).fit(TABLE, Y[cls])


def _output(estimator: Any, rows: Any = TABLE) -> Any:
    return estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else estimator.predict(rows)


# ---------------------------------------------------------------------- storing


def _by_joblib(estimator: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def _by_skops(estimator: Any) -> Any:
    stored = skops.io.dumps(estimator)
    unknown = skops.io.get_untrusted_types(data=stored)
    # Nothing but the estimators themselves needs trust: the rest are arrays, numbers, strings, lists and dicts.
    kind = type(estimator).__name__[len("TabularMLP") :]
    home = "skmlp.estimators"
    assert unknown == [f"{home}.{kind.lower()}.MLP{kind}", f"{home}.tabular_{kind.lower()}.TabularMLP{kind}"]
    return skops.io.loads(stored, trusted=unknown)


COPIES: dict[str, Any] = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": _by_joblib,
    "skops": _by_skops,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@BOTH
@pytest.mark.parametrize("way", COPIES)
def test_a_copy_predicts_like_the_original(cls: Any, way: str) -> None:
    original = _fit(cls, members=None, monitor=1, validation_split=0.3)
    other = COPIES[way](original)
    np.testing.assert_array_equal(_output(other), _output(original))
    np.testing.assert_array_equal(other.input_gradient(TABLE), original.input_gradient(TABLE))
    np.testing.assert_equal(other.history_, original.history_)
    assert other.members_ == original.members_
    for one, member in zip(other.estimators_, original.estimators_, strict=True):
        assert repr(one.get_params()) == repr(member.get_params())
    assert repr(other) == repr(original)
    np.testing.assert_array_equal(_output(other.fit(TABLE, Y[cls])), _output(original))


@BOTH
def test_an_unfitted_estimator_is_stored_and_cloned(cls: Any) -> None:
    for copied in (pickle.loads(pickle.dumps(cls(3))), clone(cls(3)), clone(_fit(cls, n_members=3))):
        assert copied.n_members == 3
        assert "estimators_" not in vars(copied)


def test_another_process_predicts_the_same_bits(tmp_path: Path) -> None:
    classifier, regressor = (_fit(cls, members=None) for cls in (TabularMLPClassifier, TabularMLPRegressor))
    joblib.dump((classifier, regressor, TABLE), tmp_path / "stored")
    code = """
import sys, joblib
classifier, regressor, rows = joblib.load(sys.argv[1])
joblib.dump((classifier.predict_proba(rows), regressor.predict(rows)), sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "stored"], check=True)
    probabilities, numbers = joblib.load(tmp_path / "stored")
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(TABLE))
    np.testing.assert_array_equal(numbers, regressor.predict(TABLE))


# ---------------------------------------------------------------------- callbacks


class Recorder:
    """A callback that notes epochs, and what a copy of the estimator predicts after each; it stops after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.tasks: list[str] = []
        self.predictions: list[Any] = []
        self.copies: list[Any] = []

    def setup(self, estimator: Any, context: Any) -> None:
        pass

    def teardown(self, estimator: Any, context: Any) -> None:
        self.tasks.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.tasks.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator: Any, context: Any, *, X: Any, fitted_estimator: Any) -> bool:
        self.tasks.append(f"end {context.task_name}")
        if context.task_name != "epoch":
            return False
        self.predictions.append(_output(fitted_estimator, X))
        self.copies.append(fitted_estimator)
        return estimator.n_iter_ == self.stop_after


@BOTH
@pytest.mark.parametrize("validation_split", [None, 0.3])
def test_a_callback_sees_each_epoch_with_an_estimator_that_predicts(cls: Any, validation_split: Any) -> None:
    recorder = Recorder()
    params = {"max_iter": 4, "validation_split": validation_split}
    est = _estimator(cls, **params).set_callbacks(recorder).fit(TABLE, Y[cls])
    assert recorder.tasks == ["begin fit", *["begin epoch", "end epoch"] * 4, "end fit", "teardown"]
    np.testing.assert_array_equal(recorder.predictions[-1], _output(est))
    np.testing.assert_array_equal(_output(est), _output(_fit(cls, **params)))
    assert len({predictions.tobytes() for predictions in recorder.predictions}) > 1
    for copied, predictions in zip(recorder.copies, recorder.predictions, strict=True):
        np.testing.assert_array_equal(_output(copied), predictions)


@BOTH
def test_a_callback_may_end_the_training(cls: Any) -> None:
    recorder = Recorder(stop_after=2)
    est = _estimator(cls, max_iter=50).set_callbacks(recorder).fit(TABLE, Y[cls])
    assert (est.n_iter_, est.stop_reason_) == (2, "callback")
    assert {entry["stop_reason"] for entry in est.members_} == {"callback"}
    np.testing.assert_array_equal(recorder.predictions[-1], _output(est))


def test_scoring_monitor_records_every_epoch_of_every_fit_of_a_search() -> None:
    monitor = ScoringMonitor(scoring="neg_log_loss")
    est = _estimator(TabularMLPClassifier).set_callbacks(monitor)
    search = GridSearchCV(est, {"n_members": [1, 2]}, cv=2).fit(TABLE, LABELS)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == (2 * 2 + 1) * 3
    final = get_scorer("neg_log_loss")(search.best_estimator_, TABLE, LABELS)
    assert min(abs(row["neg_log_loss"] - final) for row in rows if row["task_id"] == 2) < 1e-12


# ---------------------------------------------------------------------- what is built around an estimator


def test_a_search_in_other_processes_finds_what_one_here_finds() -> None:
    grid = {"members": [{"hidden_layer_sizes": [(width,)]} for width in (4, 16)], "max_categories": [2, None]}
    est = _estimator(TabularMLPClassifier, n_jobs=None)
    here, elsewhere = (GridSearchCV(est, grid, cv=2, n_jobs=n_jobs).fit(TABLE, LABELS) for n_jobs in (1, 2))
    np.testing.assert_array_equal(elsewhere.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    assert np.unique(here.cv_results_["mean_test_score"]).size > 2
    np.testing.assert_array_equal(_output(elsewhere.best_estimator_), _output(here.best_estimator_))


def test_a_pipeline_passes_frames_on() -> None:
    """Also X_val, which the steps before transform."""
    scaled = make_column_transformer((StandardScaler(), ["x", "z"]), remainder="passthrough")
    scaled.set_output(transform="pandas")
    model = make_pipeline(scaled, _estimator(TabularMLPClassifier)).fit(TABLE, LABELS)
    assert list(model[-1].feature_names_in_) == [
        *("standardscaler__x", "standardscaler__z", "remainder__city", "remainder__flag")
    ]
    assert model.predict_proba(TABLE).shape == (N, 2)
    with config_context(enable_metadata_routing=True):
        network = _estimator(TabularMLPClassifier).set_fit_request(X_val=True, y_val=True)
        routed = make_pipeline(scaled, network, transform_input=["X_val"])
        routed.fit(TABLE[:40], LABELS[:40], X_val=TABLE[40:], y_val=LABELS[40:])
    assert len(routed[-1].validation_scores_) == 3


def test_metadata_are_routed_to_fit() -> None:
    groups, weight = np.arange(N) // 6, RNG.uniform(0.5, 2.0, N)
    split = GroupShuffleSplit(1, test_size=0.4, random_state=0)
    with config_context(enable_metadata_routing=True):
        est = _estimator(TabularMLPRegressor, validation_split=split).set_fit_request(sample_weight=True, groups=True)
        est.set_score_request(sample_weight=True)
        params = {"groups": groups, "sample_weight": weight}
        found = cross_validate(est, TABLE, NUMBERS, cv=GroupKFold(2), params=params, return_estimator=True)
    ((train, test), _) = GroupKFold(2).split(TABLE, NUMBERS, groups)
    by_hand = _estimator(TabularMLPRegressor, validation_split=split)
    by_hand.fit(TABLE.iloc[train], NUMBERS[train], weight[train], groups=groups[train])
    np.testing.assert_array_equal(found["estimator"][0].predict(TABLE), by_hand.predict(TABLE))
    score = by_hand.score(TABLE.iloc[test], NUMBERS[test], weight[test])
    assert found["test_score"][0] == pytest.approx(score)


def test_meta_estimators_pass_frames_with_categories_on() -> None:
    est = _estimator(TabularMLPClassifier, max_iter=10)
    assert cross_val_predict(est, TABLE, LABELS, cv=2, method="predict_proba").shape == (N, 2)
    calibrated = CalibratedClassifierCV(est, cv=2).fit(TABLE, LABELS)
    np.testing.assert_allclose(calibrated.predict_proba(TABLE).sum(axis=1), 1.0)
    stacked = StackingClassifier([("net", est)], LogisticRegression(), cv=2).fit(TABLE, LABELS)
    assert stacked.score(TABLE, LABELS) > 0.5
    found = permutation_importance(est.fit(TABLE, LABELS), TABLE, LABELS, n_repeats=3, random_state=0)
    assert found.importances_mean.shape == (4,)
    assert found.importances_mean.argmax() in (0, 2)


# ---------------------------------------------------------------------- tables at the limits


@BOTH
def test_a_table_without_information_predicts_the_same_for_all_rows(cls: Any) -> None:
    constant = pd.DataFrame({"a": [1.0] * N, "b": ["u"] * N, "c": [None] * N})
    est = _estimator(cls).fit(constant, Y[cls])
    p = _output(est, pd.DataFrame({"a": [1.0, 2.0, None], "b": ["u", "v", None], "c": [None, None, None]}))
    assert np.isfinite(p).all()
    np.testing.assert_array_equal(p, p[:1].repeat(3, axis=0))


@BOTH
@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_few_rows_are_enough(cls: Any, n_rows: int) -> None:
    est = _estimator(cls, n_members=5, members=None, n_jobs=3).fit(TABLE[:n_rows], Y[cls][:n_rows])
    assert np.isfinite(_output(est)).all()
    assert len(est.estimators_) == 5


def test_folds_with_a_single_class() -> None:
    """Of sorted labels without stratification."""
    order = np.argsort(LABELS)
    scores = cross_val_score(_estimator(TabularMLPClassifier), TABLE.iloc[order], LABELS[order], cv=KFold(2))
    assert np.isfinite(scores).all()
