"""`diagnose` for an estimator, a pipeline, or stored records."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import Diagnosis, TrainingHealthWarning
from skmlp.inspection import diagnose

X, Y = load_wine(return_X_y=True)


def _network(**params):
    return MLPClassifier(**{"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, **params})


def _fit(est, rows=X, y=Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", TrainingHealthWarning)
        return est.fit(rows, y, **options)


# ---------------------------------------------------------------------- estimators


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_diagnose_equals_the_method_of_the_estimator(cls):
    est = _fit(cls(hidden_layer_sizes=(8,), max_iter=20, monitor=True, random_state=0))
    weight = np.linspace(0.1, 1.0, len(Y))
    for arguments in ((), (X, Y), (X, Y, weight)):
        diagnosis = diagnose(est, *arguments)
        assert isinstance(diagnosis, Diagnosis)
        assert diagnosis.findings == est.diagnose(*arguments).findings
        assert diagnosis.not_examined == est.diagnose(*arguments).not_examined
    assert diagnose(est).find("unscaled_inputs") is not None


def test_diagnose_of_a_pipeline_uses_the_transformed_features():
    model = _fit(make_pipeline(StandardScaler(), _network()))
    assert diagnose(model).findings == model[-1].diagnose().findings
    scaled = StandardScaler().fit_transform(X)
    assert diagnose(model, X, Y).findings == model[-1].diagnose(scaled, Y).findings
    assert diagnose(model, X, Y).find("unscaled_inputs") is None
    bare = _fit(Pipeline([("network", _network())]))
    assert diagnose(bare, X, Y).find("unscaled_inputs") is not None
    passing = _fit(make_pipeline("passthrough", _network()))
    assert diagnose(passing, X, Y).find("unscaled_inputs") is not None


def test_diagnose_of_nested_pipelines():
    inner = make_pipeline(StandardScaler(), _network())
    model = _fit(make_pipeline(FunctionTransformer(lambda rows: 1e3 * rows), inner))
    assert diagnose(model, X, Y).find("unscaled_inputs") is None
    expected = model[-1][-1].diagnose(model[-1][0].transform(1e3 * X), Y)
    assert diagnose(model, X, Y).findings == expected.findings
    outside = _fit(make_pipeline(make_pipeline(FunctionTransformer(lambda rows: 1e3 * rows)), _network()))
    assert diagnose(outside, X, Y).find("unscaled_inputs").evidence["largest"] > 1e5


def test_sample_weights_are_passed_on():
    est = _fit(_network(learning_rate_init=1e-9))
    weight = np.where(Y == 0, 1.0, 1e-6)
    unweighted, weighted = diagnose(est, X, Y).to_dicts(), diagnose(est, X, Y, weight).to_dicts()
    assert weighted != unweighted
    assert weighted == est.diagnose(X, Y, weight).to_dicts()
    assert diagnose(est, X, Y, sample_weight=weight).to_dicts() == weighted


# ---------------------------------------------------------------------- records


def test_diagnose_of_a_history():
    est = _fit(_network(solver="sgd", learning_rate_init=3.0, monitor=False), StandardScaler().fit_transform(X))
    rising = {"train_loss": [1.0, 4.0, 0.9, 3.0, 1.2, 5.0], "learning_rate": [0.1] * 6}
    diagnosis = diagnose(rising)
    assert diagnosis.codes == ["learning_rate_too_high"]
    assert len(diagnosis.not_examined) == 4
    assert any("why the training ended" in what for what in diagnosis.not_examined)
    assert diagnose({name: np.array(column) for name, column in rising.items()}).codes == diagnosis.codes
    kept = json.loads(json.dumps(est.history_))
    assert diagnose(kept).codes == diagnose(est.history_).codes
    assert diagnose({"train_loss": [1.0]}).is_healthy
    overfitted = {"train_loss": [1.0, 0.5, 0.2, 0.1], "validation_loss": [1.0, 0.8, 1.4, 2.0]}
    assert diagnose(overfitted).codes == ["overfitting"]


def test_diagnose_of_a_history_with_its_monitor():
    rows = StandardScaler().fit_transform(X)
    est = _fit(_network(hidden_layer_sizes=(8,) * 9, activation="logistic", monitor=False), rows)
    assert "vanishing_gradients" not in diagnose(est.history_, monitor=est.monitor_).codes  # nothing was monitored
    est = _fit(_network(hidden_layer_sizes=(8,) * 9, activation="logistic", monitor=True), rows)
    assert "vanishing_gradients" not in diagnose(est.history_).codes
    found = diagnose(est.history_, monitor=est.monitor_).find("vanishing_gradients")
    own = est.diagnose().find("vanishing_gradients")
    assert (found.evidence, found.epoch, found.severity) == (own.evidence, own.epoch, own.severity)
    lists = {name: column.tolist() for name, column in est.monitor_.items()}
    again = diagnose(json.loads(json.dumps(est.history_)), monitor=json.loads(json.dumps(lists)))
    assert again.find("vanishing_gradients") == found


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "other",
    [None, 3, "network", [1.0], LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=str,
)
def test_other_objects_are_rejected(other):
    words = "diagnose, unless given a history, takes an MLPClassifier or MLPRegressor of skmlp, or a tabular estimator"
    with pytest.raises(TypeError, match=words):
        diagnose(other)


@pytest.mark.parametrize("est", [_network(), make_pipeline(StandardScaler(), _network())], ids=["network", "pipeline"])
def test_an_unfitted_estimator_is_rejected(est):
    for arguments in ((), (X, Y)):
        with pytest.raises(NotFittedError):
            diagnose(est, *arguments)


def test_inconsistent_arguments_are_rejected():
    est = _fit(_network(max_iter=2, monitor=True))
    with pytest.raises(ValueError, match="'monitor' parameter of diagnose is for a history"):
        diagnose(est, monitor=est.monitor_)
    with pytest.raises(ValueError, match="X and y together"):
        diagnose(est, X)
    for arguments in ({"X": X}, {"y": Y}, {"X": X, "y": Y}):
        with pytest.raises(ValueError, match="Pass the estimator instead of its history"):
            diagnose(est.history_, **arguments)


@pytest.mark.parametrize("history", [{}, {"loss": [1.0]}, {"train_loss": []}, {"train_loss": np.empty(0)}], ids=str)
def test_a_history_without_losses_is_rejected(history):
    with pytest.raises(ValueError, match=r"A history needs 'train_loss' of at least one epoch\. Got a dict"):
        diagnose(history)


def test_inspection_needs_neither_matplotlib_nor_pandas_for_a_diagnosis():
    code = """
import sys
sys.modules["matplotlib"] = sys.modules["pandas"] = sys.modules["mlflow"] = None  # as if they were not installed
from skmlp.inspection import diagnose, feature_importance
diagnosis = diagnose({"train_loss": [1.0, 0.5]})
print(diagnosis.is_healthy, len(diagnosis._repr_html_()) > 0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True True"
