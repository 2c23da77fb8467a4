"""The diagnosis of real trainings on tables: of tabular estimators, and of plain ones that encode a table."""

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor
from skmlp.diagnosis import DivergedError, TrainingHealthWarning
from skmlp.nn.initializers import Constant

BOTH = pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
RNG = np.random.default_rng(0)
N = 200
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(500.0, 100.0, N),
        "town": [f"town {number}" for number in RNG.integers(0, 30, N)],  # codes up to 30 are no sizes
        "same": np.ones(N),
        "color": pd.Categorical(RNG.choice(["red", "blue", "green"], N)),
        "count": pd.array(RNG.integers(0, 9, N), dtype="Int64"),
    }
)
FRAME.loc[::9, "size"] = np.nan
FRAME.loc[::11, "color"] = None
Y = FRAME["size"].fillna(500.0).to_numpy() / 100.0 + 2.0 * (FRAME["color"] == "red").to_numpy()
LABELS = np.where(Y > 5.5, "large", "small")
FAST = {"hidden_layer_sizes": [(12, 8)]}


def targets(cls: Any) -> Any:
    return Y if "Regressor" in cls.__name__ else LABELS


def small(cls: Any = TabularMLPClassifier, members: Any = None, **params: Any) -> Any:
    drawn = {**FAST, **(members or {})} if not isinstance(members, list) else [{**each} for each in members]
    return cls(**{"n_members": 3, "max_iter": 6, "random_state": 0, "members": drawn, **params})


def fit(est: Any, *args: Any, **options: Any) -> Any:
    """Fit, whatever is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return est.fit(*(args or (FRAME, targets(type(est)))), **options)


# ---------------------------------------------------------------------- tabular estimators


@BOTH
def test_a_healthy_training_has_no_findings_to_act_on(cls: Any) -> None:
    est = small(cls, max_iter=30, monitor=True, validation_split=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingHealthWarning)
        est.fit(FRAME, targets(cls))
    assert [each.code for each in est.diagnose().at_least("severe")] == []


@BOTH
def test_a_fault_of_all_members_is_one_finding_and_one_warning(cls: Any) -> None:
    est = small(cls, {"weight_init": ["zeros"], "activation": ["relu"], "bias_init": ["zeros"]}, monitor=True)
    with pytest.warns(TrainingHealthWarning, match=r"In all 3 members: 100% of the units of layer 1") as caught:
        est.fit(FRAME, targets(cls))
    assert len([each for each in caught if issubclass(each.category, TrainingHealthWarning)]) == 1
    finding = est.diagnose().find("symmetric_units")
    assert finding.severity == "severe"
    assert finding.evidence["in_members"] == 3.0
    assert finding.remedies[0].members == {"weight_init": ["auto"]}


@BOTH
def test_a_fault_of_one_member_has_the_settings_of_the_others_as_a_remedy(cls: Any) -> None:
    members = [{"learning_rate_init": rate, "hidden_layer_sizes": (12, 8)} for rate in (0.03, 1e-7, 0.04)]
    est = fit(small(cls, members, monitor=True))
    finding = est.diagnose().find("learning_rate_too_low")
    assert finding.message.startswith("In 1 of 3 members: no update exceeded")
    changed = finding.remedies[0].apply(est)
    assert [each["learning_rate_init"] for each in changed.members] == [0.03, 0.04, 0.03]
    assert [each["hidden_layer_sizes"] for each in changed.members] == [(12, 8)] * 3


@BOTH
def test_weak_members_are_found_by_validation_data(cls: Any) -> None:
    members = [{"learning_rate_init": rate, "hidden_layer_sizes": (12, 8)} for rate in (0.03, 0.05, 0.04, 1e-7)]
    est = fit(small(cls, members, n_members=4, max_iter=40, early_stopping=False), X_val=FRAME, y_val=targets(cls))
    finding = est.diagnose().find("weak_members")
    assert finding.message.startswith("Member 3 scores")
    assert finding.remedies[0].members == {"learning_rate_init": [0.03, 0.04, 0.05]}
    by_loss = clone(est).set_params(scoring="loss", max_iter=3)
    assert fit(by_loss, X_val=FRAME, y_val=targets(cls)).diagnose().find("weak_members") is None


@BOTH
def test_members_that_diverge_in_the_first_epoch_are_counted(cls: Any) -> None:
    members = [{"learning_rate_init": 0.03}, {"learning_rate_init": 0.03, "weight_init": Constant(1e30)}]
    est = fit(small(cls, [*members, members[0]]))
    assert len(est.estimators_) == 2
    finding = est.diagnose().find("diverged")
    assert finding.message.startswith("In 1 of 3 members: during training, the output of layer")
    assert finding.severity == "warning"


@BOTH
def test_the_error_of_a_hopeless_fit_has_a_diagnosis_for_the_tabular_estimator(cls: Any) -> None:
    est = small(cls, {"weight_init": [Constant(1e30)]}, monitor=True)
    with pytest.raises(DivergedError, match=r"Lower learning_rate_init=.* in `members`\. See") as caught:
        est.fit(FRAME, targets(cls))
    finding = caught.value.diagnosis.find("diverged")
    assert finding.remedies[0].members.keys() == {"learning_rate_init"}
    with pytest.raises(NotFittedError):
        est.diagnose()


def test_without_monitor_only_useless_predictions_are_warned_of() -> None:
    leaps = {"learning_rate_init": [1000.0], "solver": ["sgd"], "gradient_clip": [1.0]}
    est = small(members=leaps, max_iter=12, early_stopping=False)
    with pytest.warns(TrainingHealthWarning, match=r"Worse than constant.*estimator\.diagnose\(X, y\)"):
        est.fit(FRAME, LABELS)
    assert est.diagnose().find("worse_than_constant") is None  # nothing is known of the data
    assert est.diagnose(FRAME, LABELS).find("worse_than_constant") is not None


@BOTH
@pytest.mark.parametrize("monitor", [False, True])
def test_findings_about_the_data_speak_of_the_columns_of_the_frame(cls: Any, monitor: bool) -> None:
    est = fit(small(cls, monitor=monitor))
    found = est.diagnose() if monitor else est.diagnose(FRAME, targets(cls))
    assert found.find("constant_inputs").message.startswith("1 of 5 features have the same value in all samples (same)")
    assert found.find("unscaled_inputs") is None


@BOTH
def test_data_passed_to_diagnose_give_what_a_monitored_fit_has_seen(cls: Any) -> None:
    est = fit(small(cls, monitor=True, early_stopping=False))
    assert est.diagnose(FRAME, targets(cls)).to_dicts() == est.diagnose().to_dicts()
    other_order = FRAME[FRAME.columns[::-1]]
    assert est.diagnose(other_order, targets(cls)).to_dicts() == est.diagnose().to_dicts()


def test_a_rare_class_is_judged_by_the_predictions_of_the_mean() -> None:
    rare = np.where(np.arange(N) % 20 == 0, "rare", "common")
    est = fit(small(members={"alpha": [1.0]}, monitor=True, max_iter=3), FRAME, rare)
    assert set(est.predict(FRAME)) == {"common"}
    finding = est.diagnose().find("class_imbalance")
    assert "'rare' makes up 5.0%" in finding.message
    assert finding.evidence["recall"] == 0.0
    assert [dict(remedy.params) for remedy in finding.remedies] == [{"class_weight": "balanced"}]


def test_invalid_arguments_are_refused() -> None:
    est = fit(small())
    with pytest.raises(ValueError, match="X and y together"):
        est.diagnose(FRAME)
    with pytest.raises(ValueError, match="now missing"):
        est.diagnose(FRAME.drop(columns="size"), LABELS)
    with pytest.raises(NotFittedError):
        small().diagnose()


@BOTH
def test_a_stored_estimator_has_the_same_diagnosis(cls: Any) -> None:
    est = fit(small(cls, monitor=True, validation_split=0.25))
    assert pickle.loads(pickle.dumps(est)).diagnose().to_dicts() == est.diagnose().to_dicts()


FAULTS: dict[str, dict[str, Any]] = {
    "slow": {"learning_rate_init": [1e-7]},
    "dead": {"activation": ["relu"], "bias_init": [Constant(-7.0)], "weight_init": ["glorot_uniform"]},
    "saturated": {"activation": ["tanh"], "weight_init": [Constant(50.0)]},
    "fast": {"learning_rate_init": [1.0]},
    "narrow": {"hidden_layer_sizes": [(2, 2)]},
    "penalized": {"alpha": [1e4]},
    "noisy": {"batch_size": [4]},
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_every_remedy_can_be_applied_and_fitted(cls: Any, fault: str) -> None:
    est = fit(small(cls, FAULTS[fault], monitor=True, validation_split=0.25, n_members=2, max_iter=15))
    remedies = {str(remedy): remedy for finding in est.diagnose() for remedy in finding.remedies}
    assert remedies
    for words, remedy in remedies.items():
        assert not remedy.scale_inputs
        assert not remedy.params.keys() - est.get_params().keys()
        if remedy.params or remedy.members:
            changed = remedy.apply(est)
            assert changed.get_params(deep=False) != clone(est).get_params(deep=False), words
            fit(changed.set_params(max_iter=1, n_members=1))


# ---------------------------------------------------------------------- what the members saw


def test_monitor_holds_the_means_over_the_members() -> None:
    est = fit(small(monitor=2))
    first, *others = (member.monitor_ for member in est.estimators_)
    assert est.monitor_.keys() == first.keys()
    np.testing.assert_array_equal(est.monitor_["epoch"], first["epoch"])
    for name in ("gradient_norm", "dead_fraction", "activation_quantiles"):
        wanted = np.mean([first[name], *(each[name] for each in others)], axis=0)
        np.testing.assert_allclose(est.monitor_[name], wanted)
    frame = est.monitor_frame()
    norms = frame.loc[frame["statistic"] == "gradient_norm", "value"]
    np.testing.assert_allclose(norms, est.monitor_["gradient_norm"].ravel())
    assert len(fit(small()).monitor_["epoch"]) == 0


def test_members_with_other_layers_are_left_out_of_the_means() -> None:
    sizes = [{"hidden_layer_sizes": each} for each in ((5,), (5, 4), (6,))]
    est = fit(small(members=sizes, monitor=1))
    first, _, last = (member.monitor_["gradient_norm"] for member in est.estimators_)
    np.testing.assert_allclose(est.monitor_["gradient_norm"], (first + last) / 2.0)


def test_the_encoded_table_has_numbers_flags_and_codes_that_count_through() -> None:
    frame = pd.DataFrame(
        {
            "color": ["red", "blue", "green", "red"],
            "size": [1.0, np.nan, 2.0, 3.0],
            "town": ["c", "b", "a", "a"],
            "flag": [True, False, False, True],
        }
    )
    est = fit(small(), frame, [0, 1, 0, 1])
    rows = est.encode(pd.concat([frame, frame.assign(color="pink", town=None)[:1]]))
    # The size is scaled. Flags: of "flag", and whether the size is missing. Colors are 1 to 3, towns 4 to 6.
    assert rows[:, 1:].tolist() == [[1, -1, 3, 6], [-1, 1, 1, 5], [-1, -1, 2, 4], [1, -1, 3, 4], [1, -1, 0, 0]]
    assert rows[1, 0] == rows[2, 0]  # the median


@BOTH
def test_members_predict_from_the_encoded_table(cls: Any) -> None:
    est = fit(small(cls))
    rows = est.encode(FRAME)
    assert rows.dtype == np.float32
    if cls is TabularMLPRegressor:
        mean = np.mean([member.predict(rows) for member in est.estimators_], axis=0)
        np.testing.assert_allclose(est.predict(FRAME), mean, rtol=1e-5)
    else:
        mean = np.mean([member.predict_proba(rows) for member in est.estimators_], axis=0)
        np.testing.assert_allclose(est.predict_proba(FRAME), mean, atol=1e-6)
    with pytest.raises(NotFittedError):
        small(cls).encode(FRAME)


# ---------------------------------------------------------------------- plain estimators


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_a_plain_estimator_names_the_columns_of_its_table(cls: Any) -> None:
    plain = cls(hidden_layer_sizes=(8,), max_iter=5, missing="indicator", random_state=0)
    found = fit(plain, FRAME, targets(cls)).diagnose(FRAME, targets(cls))
    unscaled = found.find("unscaled_inputs")
    assert "(size)" in unscaled.message  # and not of the codes of the 30 towns
    assert unscaled.evidence["largest"] == pytest.approx(510.0, rel=0.05)
    assert [dict(remedy.params) for remedy in unscaled.remedies] == [{"scaling": "robust"}]
    assert "(same)" in found.find("constant_inputs").message
    cured = fit(unscaled.remedies[0].apply(plain), FRAME, targets(cls))
    assert cured.diagnose(FRAME, targets(cls)).find("unscaled_inputs") is None


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_codes_of_categories_have_no_size(cls: Any) -> None:
    towns = FRAME[["town", "color"]]
    plain = fit(cls(hidden_layer_sizes=(8,), max_iter=5, missing="indicator"), towns, targets(cls))
    assert plain.diagnose(towns, targets(cls)).find("unscaled_inputs") is None


def test_advice_on_a_divergence_does_not_ask_to_scale_what_is_scaled() -> None:
    diverges = {"weight_init": Constant(1e30), "hidden_layer_sizes": (8, 8), "missing": "indicator"}
    with pytest.raises(DivergedError, match=r'Scale the numbers with scaling="robust", or lower learning_rate_init'):
        fit(MLPClassifier(**diverges), FRAME, LABELS)
    with pytest.raises(DivergedError, match=r"in epoch|\. Lower learning_rate_init=0\.001\. See"):
        fit(MLPClassifier(scaling="robust", **diverges), FRAME, LABELS)


def test_only_kept_weights_excuse_overfitting() -> None:
    noise = RNG.integers(0, 2, N)
    settings = {"hidden_layer_sizes": (64,), "max_iter": 60, "learning_rate_init": 0.02, "random_state": 0}
    halves = np.arange(N) % 2 == 0
    X = RNG.standard_normal((N, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kept, severities in ((False, ("warning", "severe")), (True, ("info",))):
            est = MLPClassifier(**settings, restore_best=kept)
            est.fit(X[halves], noise[halves], X_val=X[~halves], y_val=noise[~halves])
            assert est.diagnose().find("overfitting").severity in severities
