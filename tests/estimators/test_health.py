"""The diagnosis of real trainings: each fault is found, healthy ones are left alone, and nothing is changed by it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import RULES, TrainingHealthWarning
from skmlp.nn.initializers import Constant, VarianceScaling
from skmlp.optim import SGD

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])

RAW_WINE, CULTIVAR = load_wine(return_X_y=True)
WINE = StandardScaler().fit_transform(RAW_WINE)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)
DIABETES = StandardScaler().fit_transform(DIABETES)
DIGITS, DIGIT = load_digits(return_X_y=True)
DIGITS, DIGIT = DIGITS[:300] / 8.0 - 0.6, DIGIT[:300]
LARGE, HUGE = VarianceScaling(18.0, "fan_in", "normal"), VarianceScaling(200.0, "fan_in", "normal")


def _data(cls):
    return (WINE, CULTIVAR) if cls is MLPClassifier else (DIABETES, PROGRESSION)


def _small(cls, **params):
    common = {"hidden_layer_sizes": (16,), "max_iter": 30, "random_state": 0}
    if cls is MLPRegressor:
        common["standardize_target"] = True
    return cls(**{**common, **params})


def _fit(est, X, y, *args, **options):
    """Fit, whatever is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", TrainingHealthWarning)
        return est.fit(X, y, *args, **options)


# ---------------------------------------------------------------------- one case for each code

WITH_CONSTANTS = np.hstack([WINE, np.full((len(WINE), 2), 0.1)])
RARE = np.where(np.quantile(PROGRESSION, 0.95) < PROGRESSION, "rare", "common")
FAULTS = [
    (MLPClassifier, "vanishing_gradients", {"hidden_layer_sizes": (16,) * 9, "activation": "logistic"}),
    (MLPRegressor, "vanishing_gradients", {"hidden_layer_sizes": (16,) * 9, "activation": "logistic"}),
    (MLPClassifier, "exploding_gradients", {"hidden_layer_sizes": (32,) * 6, "weight_init": LARGE}),
    (MLPRegressor, "exploding_gradients", {"hidden_layer_sizes": (32,) * 6, "weight_init": LARGE}),
    (MLPClassifier, "dead_units", {"bias_init": Constant(-7.0)}),
    (MLPRegressor, "dead_units", {"bias_init": Constant(-7.0)}),
    (MLPClassifier, "saturated_units", {"activation": "tanh", "weight_init": HUGE}),
    (MLPRegressor, "saturated_units", {"activation": "tanh", "weight_init": HUGE}),
    (MLPClassifier, "learning_rate_too_high", {"solver": "sgd", "learning_rate_init": 3.0}),
    (MLPRegressor, "learning_rate_too_high", {"learning_rate_init": 0.8}),
    (MLPClassifier, "learning_rate_too_low", {"learning_rate_init": 1e-6}),
    (MLPRegressor, "learning_rate_too_low", {"learning_rate_init": 1e-6}),
    (MLPClassifier, "not_converged", {"max_iter": 8}),
    (MLPRegressor, "not_converged", {"max_iter": 6}),
    (MLPRegressor, "diverged", {"solver": SGD(momentum=0.0), "learning_rate_init": 1.0, "activation": "identity"}),
    (
        MLPClassifier,
        "plateau",
        {"hidden_layer_sizes": (16,) * 4, "activation": "logistic", "solver": "sgd", "learning_rate_init": 0.01},
    ),
    (MLPClassifier, "underfitting", {"alpha": 1e4, "max_iter": 60}),
    (MLPRegressor, "underfitting", {"alpha": 1e4, "max_iter": 60}),
    (MLPClassifier, "symmetric_units", {"weight_init": Constant(0.1)}),
    (MLPRegressor, "symmetric_units", {"weight_init": Constant(0.1)}),
    (MLPRegressor, "small_batch", {"batch_size": 1, "learning_rate_init": 0.01, "max_iter": 15}),
    (MLPRegressor, "unscaled_target", {"standardize_target": False}),
    (MLPRegressor, "worse_than_constant", {"weight_init": VarianceScaling(1e5, "fan_in", "normal")}),
    (
        MLPClassifier,
        "unused_capacity",
        {"hidden_layer_sizes": (64,), "alpha_l1": 1.0, "learning_rate_init": 0.01, "max_iter": 200},
    ),
]


@pytest.mark.parametrize(("cls", "code", "params"), FAULTS, ids=lambda each: getattr(each, "__name__", str(each)[:24]))
def test_diagnosis_finds_the_fault(cls, code, params):
    X, y = _data(cls)
    est = _fit(_small(cls, monitor=True, **params), X, 100.0 * y if code == "unscaled_target" else y)
    finding = est.diagnose().find(code)
    assert finding is not None
    assert finding.symptom_of is None
    assert (finding.severity == "info") is (code == "unused_capacity")


@pytest.mark.parametrize(
    ("code", "X", "y", "params"),
    [
        ("unscaled_inputs", RAW_WINE, CULTIVAR, {}),
        ("constant_inputs", WITH_CONSTANTS, CULTIVAR, {}),
        ("class_imbalance", DIABETES, RARE, {"alpha": 1.0}),
    ],
)
def test_diagnosis_finds_the_fault_in_the_data(code, X, y, params):
    finding = _fit(_small(MLPClassifier, monitor=True, **params), X, y).diagnose().find(code)
    assert finding is not None
    assert finding.symptom_of is None


@BOTH
def test_overfitting_is_found_by_validation_data(cls):
    X, y = _data(cls)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.permutation(y), y)
    est = _small(cls, hidden_layer_sizes=(64, 64), learning_rate_init=0.01, max_iter=60, tol=0.0)
    _fit(est, X[::2], noisy[::2], X_val=X[1::2], y_val=y[1::2])
    finding = est.diagnose().find("overfitting")  # which takes no more than the history
    assert finding.epoch == 1 + int(np.argmin(est.history_["validation_loss"]))
    losses = est.history_["validation_loss"]
    assert finding.evidence["last_over_lowest"] == pytest.approx(losses[-1] / min(losses))
    kept = _fit(clone(est).set_params(restore_best=True), X[::2], noisy[::2], X_val=X[1::2], y_val=y[1::2])
    assert kept.diagnose().find("overfitting").severity == "info"


def test_every_finding_has_a_test_case():
    told_elsewhere = {"unscaled_inputs", "constant_inputs", "class_imbalance", "overfitting"}
    told_elsewhere.add("undefined_score")  # tests/estimators/test_undefined_scores.py
    assert {code for _, code, _ in FAULTS} | told_elsewhere == {rule.__name__ for rule in RULES}


@BOTH
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_healthy_training_has_no_findings(cls, activation):
    X, y = _data(cls)
    est = _small(cls, activation=activation, monitor=True, learning_rate_init=0.01, tol=1e-3, max_iter=200).fit(X, y)
    assert est.diagnose().is_healthy
    assert est.diagnose().not_examined == (
        "overfitting; fit with validation data: X_val and y_val, validation_split or early_stopping=True.",
    )
    assert est.diagnose(X, y).is_healthy


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_healthy_training_on_images_has_no_findings(activation):
    est = _small(MLPClassifier, activation=activation, monitor=True, learning_rate_init=0.01, tol=1e-3, max_iter=200)
    diagnosis = est.fit(DIGITS, DIGIT).diagnose()
    assert [(each.code, each.severity) for each in diagnosis] == [("constant_inputs", "info")]  # the dark corners
    assert diagnosis[0].evidence["n_constant"] == np.count_nonzero(np.ptp(DIGITS, axis=0) == 0.0)


# ---------------------------------------------------------------------- with the data, without the monitor


@BOTH
def test_without_monitor_diagnose_examines_the_data_it_gets(cls):
    X, y = (RAW_WINE, CULTIVAR) if cls is MLPClassifier else (1e3 * DIABETES, PROGRESSION)
    est = _fit(_small(cls), X, y)
    assert est.diagnose().find("unscaled_inputs") is None
    assert len(est.diagnose().not_examined) == 3
    found = est.diagnose(X, y)
    assert found.find("unscaled_inputs").symptom_of is None
    assert found.not_examined[0].startswith("gradients, updates and units;")
    assert len(found.not_examined) == 2
    watched = _fit(_small(cls, monitor=True), X, y)
    assert watched.diagnose().find("unscaled_inputs").message == found.find("unscaled_inputs").message


def test_diagnose_examines_the_rows_it_gets():
    est = _fit(_small(MLPClassifier, monitor=True), WINE, CULTIVAR)
    assert est.diagnose().find("unscaled_inputs") is None
    assert est.diagnose(RAW_WINE, CULTIVAR).find("unscaled_inputs").evidence["largest"] > 500.0
    assert est.diagnose().find("unscaled_inputs") is None


def test_findings_use_feature_names():
    frame = load_wine(as_frame=True).data.rename(columns={"proline": "pro<line> & co"})
    est = _fit(_small(MLPClassifier, monitor=True), frame, CULTIVAR)
    for diagnosis in (est.diagnose(), est.diagnose(frame, CULTIVAR)):
        assert "(pro<line> & co)" in diagnosis.find("unscaled_inputs").message
        assert "(pro&lt;line&gt; &amp; co)" in diagnosis._repr_html_()
    with pytest.warns(UserWarning, match="feature names"):
        est.diagnose(frame.to_numpy(), CULTIVAR)


def test_findings_use_class_labels():
    est = _fit(_small(MLPClassifier, alpha=1.0), DIABETES, RARE)
    finding = est.diagnose(DIABETES, RARE).find("class_imbalance")
    fraction = np.mean(RARE == "rare")
    assert f"Class 'rare' makes up {fraction:.1%} of the samples" in finding.message
    assert finding.evidence["fraction"] == pytest.approx(fraction)
    recall = np.mean(est.predict(DIABETES[RARE == "rare"]) == "rare")
    assert finding.evidence["recall"] == pytest.approx(recall)
    balanced = _fit(finding.remedies[0].apply(est), DIABETES, RARE)
    assert balanced.diagnose(DIABETES, RARE).find("class_imbalance") is None


def test_multilabel_targets_have_no_class_findings():
    labels = np.column_stack([CULTIVAR == 0, CULTIVAR == 2, np.arange(len(CULTIVAR)) < 5]).astype(int)
    for y in (labels, sparse.csr_matrix(labels)):
        est = _fit(_small(MLPClassifier, monitor=True), RAW_WINE, y)
        for diagnosis in (est.diagnose(), est.diagnose(RAW_WINE, y)):
            assert diagnosis.find("class_imbalance") is None
            assert diagnosis.find("unscaled_inputs") is not None


def test_the_target_out_of_scale_is_found_among_several():
    y = np.column_stack([PROGRESSION / 77.0, 1e4 * PROGRESSION])
    est = _fit(_small(MLPRegressor, standardize_target=False), DIABETES, y)
    finding = est.diagnose(DIABETES, y).find("unscaled_target")
    assert finding.evidence["target_std"] == pytest.approx(1e4 * PROGRESSION.std(), rel=1e-5)
    assert _fit(finding.remedies[0].apply(est), DIABETES, y).diagnose(DIABETES, y).find("unscaled_target") is None


@BOTH
def test_sparse_and_dense_rows_have_the_same_findings(cls):
    X, y = _data(cls)
    X = np.where(X > 0.0, 50.0 * X, 0.0)
    est = _fit(_small(cls, monitor=True), X, y)
    assert est.diagnose(X, y).codes
    for matrix in (sparse.csr_matrix(X), sparse.csc_array(X)):
        for found, expected in zip(est.diagnose(matrix, y).to_dicts(), est.diagnose(X, y).to_dicts(), strict=True):
            assert found.pop("evidence") == pytest.approx(expected.pop("evidence"), rel=1e-4)
            assert found == expected
    watched = _fit(clone(est), sparse.csr_matrix(X), y)
    assert watched.diagnose().codes == est.diagnose().codes


def test_baseline_loss_uses_sample_weights():
    """Of two halves with targets 0 and 4, a constant does well once one half has no weight."""
    y = np.where(np.arange(len(DIABETES)) % 2, 0.0, 4.0)
    est = _fit(_small(MLPRegressor, learning_rate_init=1e-7, standardize_target=False), DIABETES, y)
    equal = est.diagnose(DIABETES, y, np.ones(len(y)))
    assert equal.to_dicts() == est.diagnose(DIABETES, y).to_dicts()
    half = _fit(clone(est).set_params(monitor=True), DIABETES, y, np.where(y == 0.0, 1.0, 1e-9))
    assert half._data_summary["baseline_loss"] == pytest.approx(0.0, abs=1e-6)
    whole = _fit(clone(est).set_params(monitor=True), DIABETES, y)
    assert whole._data_summary["baseline_loss"] == pytest.approx(2.0)  # half the variance of 4


def test_findings_for_lbfgs_do_not_mention_the_learning_rate():
    est = _fit(_small(MLPClassifier, solver="lbfgs", max_iter=4, monitor=True), RAW_WINE, CULTIVAR)
    diagnosis = est.diagnose()
    assert diagnosis.find("unscaled_inputs") is not None
    assert not {"learning_rate_too_high", "learning_rate_too_low", "small_batch"} & set(diagnosis.codes)
    scaled = _fit(_small(MLPClassifier, solver="lbfgs", max_iter=3, monitor=True), WINE, CULTIVAR).diagnose()
    assert scaled.find("not_converged").remedies[0].params == {"max_iter": 15}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            _small(MLPClassifier, solver="lbfgs", max_iter=500, monitor=True).fit(WINE, CULTIVAR).diagnose().is_healthy
        )


# ---------------------------------------------------------------------- which training is judged


def _last_over_first(norms):
    return pytest.approx(norms[-1] / norms[0])


@BOTH
def test_diagnosis_covers_all_calls_of_partial_fit(cls):
    X, y = _data(cls)
    est = _small(cls, learning_rate_init=1e-7, monitor=1, standardize_target=False) if cls is MLPRegressor else None
    est = est or _small(cls, learning_rate_init=1e-7, monitor=1)
    first = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    y = y / 77.0 if cls is MLPRegressor else y
    for n_passes in range(1, 5):
        est.partial_fit(X, y, **(first if n_passes == 1 else {}))
        finding = est.diagnose().find("learning_rate_too_low")
        norms = est.history_["gradient_norm"]
        assert len(norms) == n_passes
        assert finding.evidence["gradient_last_over_first"] == _last_over_first(norms)
    assert est.diagnose(X, y).find("learning_rate_too_low") == finding
    assert est.diagnose().not_examined[0].startswith("scales, classes")  # a stream is not looked at


@BOTH
def test_diagnosis_covers_only_the_last_fit_of_a_warm_start(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, warm_start=True, monitor=1, max_iter=5, learning_rate_init=1e-6), X, y)
    n_before = est.n_iter_
    assert est.diagnose().find("learning_rate_too_low") is not None
    _fit(est.set_params(learning_rate_init=3e-3, max_iter=6), X, y)
    diagnosis = est.diagnose()
    assert diagnosis.find("learning_rate_too_low") is None
    finding = diagnosis.find("not_converged")
    assert finding.evidence["n_epochs"] == 6.0
    assert finding.epoch == 6
    _fit(est.set_params(learning_rate_init=1e-7, max_iter=3), X, y)
    norms = est.history_["gradient_norm"]
    assert len(norms) == n_before + 6 + 3
    found = est.diagnose().find("learning_rate_too_low")
    assert found.evidence["gradient_last_over_first"] == _last_over_first(norms[-3:])
    assert found.epoch == 1
    # The passes of partial_fit go on from there.
    est.partial_fit(X, y)
    found = est.diagnose().find("learning_rate_too_low")
    assert found.evidence["gradient_last_over_first"] == _last_over_first(est.history_["gradient_norm"][-4:])


@BOTH
def test_a_new_fit_discards_the_old_records(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, monitor=True, bias_init=Constant(-7.0)), X, y)
    assert est.diagnose().find("dead_units") is not None
    fresh = _fit(_small(cls, monitor=True, max_iter=7), X, y).diagnose()
    again = _fit(est.set_params(bias_init="auto", max_iter=7), X, y).diagnose()
    assert again.find("dead_units") is None
    reference = _fit(_small(cls, monitor=True, max_iter=7, bias_init="auto"), X, y).diagnose()
    assert again.to_dicts() == reference.to_dicts()
    assert fresh.codes


@BOTH
def test_after_a_refit_the_validated_training_is_diagnosed(cls):
    X, y = _data(cls)
    params = {"early_stopping": True, "monitor": True, "learning_rate_init": 0.03, "max_iter": 40}
    once, twice = _fit(_small(cls, **params), X, y), _fit(_small(cls, refit=True, **params), X, y)
    assert twice.n_iter_ == once.n_iter_
    assert not np.array_equal(once.coefs_[0], twice.coefs_[0])
    assert twice.diagnose().at_least("severe") == once.diagnose().at_least("severe") == []
    assert twice.diagnose().not_examined == ()


# ---------------------------------------------------------------------- nothing is changed


@BOTH
@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"normalization": "batch", "dropout": 0.2}], ids=str)
def test_monitor_does_not_change_the_trained_bits(cls, params):
    X, y = _data(cls)
    plain = _fit(_small(cls, max_iter=8, **params), X, y)
    watched = _fit(_small(cls, max_iter=8, monitor=1, **params), X, y)
    assert plain.monitor_["epoch"].size == 0
    assert watched.monitor_["epoch"].size == 8
    np.testing.assert_array_equal(plain._model.params.vector, watched._model.params.vector)
    np.testing.assert_array_equal(plain.history_["loss"], watched.history_["loss"])
    np.testing.assert_array_equal(plain.predict(X), watched.predict(X))


@BOTH
@pytest.mark.parametrize("params", [{}, {"normalization": "batch", "dropout": 0.2, "averaging": 0.9}], ids=str)
def test_diagnose_leaves_the_estimator_unchanged(cls, params):
    X, y = _data(cls)
    est = _fit(_small(cls, max_iter=5, monitor=2, **params), X, y)
    before, names, predicted = pickle.dumps(est), set(vars(est)), est.predict(X)
    kept_X, kept_y = X.copy(), y.copy()
    est.diagnose()
    est.diagnose(X, y, np.linspace(0.0, 1.0, len(y)))
    est.diagnose(sparse.csr_matrix(X[:50]), y[:50])
    assert set(vars(est)) == names
    np.testing.assert_array_equal(est.predict(X), predicted)
    assert pickle.dumps(est) == before
    np.testing.assert_array_equal(X, kept_X)
    np.testing.assert_array_equal(y, kept_y)
    # Training continues as if diagnose had not been called.
    reference = pickle.loads(before)
    np.testing.assert_array_equal(est.partial_fit(X, y).coefs_[0], reference.partial_fit(X, y).coefs_[0])


@BOTH
def test_a_diagnosis_survives_storing(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, monitor=True, bias_init=Constant(-7.0)), pd.DataFrame(X).add_prefix("f"), y)
    stored = pickle.loads(pickle.dumps(est))
    assert est.diagnose().find("dead_units") is not None
    assert stored.diagnose().findings == est.diagnose().findings
    assert str(stored.diagnose()) == str(est.diagnose())


@BOTH
def test_clone_and_get_params_omit_the_diagnosis(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, monitor=True, max_iter=3), X, y)
    params = est.get_params()
    est.diagnose(X, y)
    assert est.get_params() == params == _small(cls, monitor=True, max_iter=3).get_params()
    with pytest.raises(NotFittedError):
        clone(est).diagnose()
    assert not any(name.startswith("_") for name in est.get_params())
    assert set(vars(clone(est))) == set(vars(_small(cls)))


# ---------------------------------------------------------------------- what is refused


@BOTH
def test_diagnose_before_fit_is_an_error(cls):
    X, y = _data(cls)
    for arguments in ((), (X, y)):
        with pytest.raises(NotFittedError):
            _small(cls).diagnose(*arguments)


@BOTH
def test_diagnose_needs_rows_and_targets_together(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, max_iter=2), X, y)
    for arguments in ({"X": X}, {"y": y}, {"X": X, "sample_weight": np.ones(len(X))}):
        with pytest.raises(ValueError, match="diagnose needs X and y together, or neither of them"):
            est.diagnose(**arguments)


@BOTH
def test_diagnose_refuses_invalid_data_like_fit(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, max_iter=2), X, y)
    before = pickle.dumps(est)
    with pytest.raises(ValueError, match="features, but"):
        est.diagnose(X[:, :3], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        est.diagnose(X, y[:-1])
    with pytest.raises(ValueError, match="contains NaN"):
        est.diagnose(np.full_like(X, np.nan), y)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        est.diagnose(X, y, -np.ones(len(y)))
    if cls is MLPClassifier:
        with pytest.raises(ValueError, match="has classes not in"):
            est.diagnose(X, y + 1)
    assert pickle.dumps(est) == before


# ---------------------------------------------------------------------- the warning


def _caught(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [each for each in caught if each.category is TrainingHealthWarning]


@BOTH
def test_severe_findings_give_one_warning_at_the_callers_line(cls):
    X, y = _data(cls)
    est = _small(cls, monitor=True, bias_init=Constant(-7.0), weight_init=Constant(0.1))
    (warning,) = _caught(lambda: est.fit(X, y))
    assert warning.filename == __file__
    message = str(warning.message)
    severe = est.diagnose().at_least("severe")
    assert len(severe) > 1
    assert all(f"{each.title}: {each.message}" in message for each in severe)
    assert f"Try: {severe[0].remedies[0]}." in message
    assert message.endswith("See estimator.diagnose() for details.")


@BOTH
def test_warning_points_at_the_callers_line_through_a_pipeline(cls):
    X, y = _data(cls)
    model = make_pipeline(StandardScaler(), _small(cls, monitor=True, bias_init=Constant(-7.0)))
    (warning,) = _caught(lambda: model.fit(X, y))
    assert warning.filename == __file__


@BOTH
def test_without_monitor_there_is_no_health_warning(cls):
    X, y = _data(cls)
    deep = {"hidden_layer_sizes": (16,) * 9, "activation": "logistic"}
    assert _caught(lambda: _small(cls, **deep).fit(X, y)) == []
    assert _caught(lambda: _small(cls, **deep, monitor=2).fit(X, y)) != []


def test_findings_below_severe_give_no_warning():
    est = _small(MLPClassifier, monitor=True, max_iter=8)
    assert _caught(lambda: est.fit(WINE, CULTIVAR)) == []
    assert est.diagnose().at_least("warning") != []


def test_partial_fit_gives_no_health_warning():
    est = _small(MLPClassifier, monitor=True, bias_init=Constant(-7.0))
    assert _caught(lambda: est.partial_fit(WINE, CULTIVAR, classes=[0, 1, 2])) == []
    assert est.diagnose().at_least("severe") != []


@BOTH
def test_a_warning_raised_as_error_leaves_the_estimator_fitted(cls):
    X, y = _data(cls)
    est = _small(cls, monitor=True, bias_init=Constant(-7.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(TrainingHealthWarning):
            est.fit(X, y)
    assert est.predict(X).shape == y.shape


@BOTH
def test_a_failed_fit_keeps_the_previous_diagnosis(cls):
    X, y = _data(cls)
    est = _fit(_small(cls, monitor=True, bias_init=Constant(-7.0)), X, y)
    told, state = est.diagnose().to_dicts(), pickle.dumps(est)
    hopeless = {"solver": SGD(momentum=0.0), "learning_rate_init": 1e30, "bias_init": "zeros", "batch_size": 20}
    params = est.get_params()
    est.set_params(**hopeless)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        est.fit(100.0 * X, y)
    est.set_params(**{name: params[name] for name in hopeless})
    assert pickle.dumps(est) == state
    assert est.diagnose().to_dicts() == told
    assert set(vars(est)) == set(vars(_fit(clone(est), X, y)))


def test_diagnosis_covers_all_partial_fits_after_early_stopping():
    est = _small(MLPClassifier, warm_start=True, early_stopping=True, monitor=1)
    est = _fit(_fit(est, WINE, CULTIVAR), WINE, CULTIVAR).set_params(early_stopping=False, learning_rate_init=1e-7)
    for _ in range(4):
        est.partial_fit(WINE, CULTIVAR)
    norms = est.history_["gradient_norm"]
    assert len(norms) == 4
    assert est.diagnose().find("learning_rate_too_low").evidence["gradient_last_over_first"] == norms[-1] / norms[0]


def test_partial_fit_has_no_advice_to_train_longer():
    est = _small(MLPClassifier, learning_rate_init=0.01)
    for _ in range(8):
        est.partial_fit(WINE, CULTIVAR, classes=[0, 1, 2])
    losses = est.history_["train_loss"]
    assert losses[-1] < 0.9 * losses[-3]  # though it falls
    assert "not_converged" not in est.diagnose(WINE, CULTIVAR).codes
