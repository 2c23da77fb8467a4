"""All rules together: causes and symptoms, arbitrary evidence, and remedies that every estimator accepts."""

import json
import math
import warnings
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import CAUSES, RULES, Evidence, Finding, judge, judge_members
from skmlp.diagnosis.rules import rule as register_rule
from skmlp.nn.activations import LeakyReLU
from skmlp.optim import SGD

CODES = [rule.__name__ for rule in RULES]


# ---------------------------------------------------------------------- causes and symptoms


def test_causes_are_known_rules_without_cycles():
    assert len(set(CODES)) == len(CODES)
    assert {symptom: " ".join(causes) for symptom, causes in CAUSES.items()} == EXPLAINED_BY

    def roots(code, way=()):
        assert code not in way, f"{code} explains itself: {way}"
        for cause in CAUSES.get(code, ()):
            assert cause in CODES
            roots(cause, (*way, code))

    for code in CODES:
        roots(code)


# For each rule, changes to the records of a healthy training that make it find something.
FAULTS = {
    "diverged": {"stop_reason": "non_finite"},
    "unscaled_inputs": {"data_summary": {"feature_mean": np.zeros(2), "feature_std": np.array([1.0, 50.0])}},
    "unscaled_target": {"data_summary": {"target_std": np.array([77.0])}},
    "learning_rate_too_high": {
        "history": {"train_loss": [1.0, 5.0, *[0.1] * 10]},
        "monitor": {"update_ratio_max": 0.5},
    },
    "symmetric_units": {
        "weights": [np.ones((4, 8)), np.ones((8, 6)), np.ones((6, 3))],
        "biases": [np.zeros(8), np.zeros(6), np.zeros(3)],
    },
    "vanishing_gradients": {"monitor": {"gradient_norm": [1e-5, 1.0, 1.0]}},
    "exploding_gradients": {"history": {"gradient_norm": 1e3}},
    "dead_units": {"monitor": {"dead_fraction": [0.7, 0.1, math.nan]}},
    "saturated_units": {"monitor": {"saturated_fraction": [0.7, 0.1, math.nan]}},
    "learning_rate_too_low": {"history": {"gradient_norm": 1.0}, "monitor": {"update_ratio_max": 1e-6}},
    "underfitting": {
        "history": {"train_loss": 1.1 * 0.9, "penalty": 0.5, "loss": 1.0},
        "data_summary": {"baseline_loss": 1.1},
    },
    "worse_than_constant": {"data_summary": {"loss": 30.0}},
    "overfitting": {"history": {"validation_loss": [1.0] * 11 + [1.5]}},
    "undefined_score": {"history": {"validation_score": [0.5] * 11 + [math.nan]}},
    "not_converged": {
        "history": {"train_loss": np.linspace(1.0, 0.3, 12), "validation_loss": None},
        "stop_reason": "max_iter",
    },
    "plateau": {"history": {"train_loss": 1.1}, "data_summary": {"baseline_loss": 1.1}},
    "small_batch": {"monitor": {"gradient_snr": 0.01}, "params": {"batch_size": 2}},
    "class_imbalance": {"data_summary": {"class_fraction": [0.95, 0.05], "class_recall": [1.0, 0.0]}},
    "unused_capacity": {"data_summary": {"unit_spread": [np.array([1.0, *[0.0] * 7]), np.full(6, 1.0)]}},
    "constant_inputs": {"data_summary": {"feature_mean": np.ones(2), "feature_std": np.array([0.0, 1.0])}},
}


def _with(records, *codes):
    """Return the evidence of a training with these faults."""
    merged = {}
    for code in codes:
        for name, value in FAULTS[code].items():
            merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    base = records()
    for name in ("data_summary", "params"):
        if name in merged:
            merged[name] = {**getattr(base, name), **merged[name]}
    return records(**merged)


def test_every_rule_has_a_fault_to_test_it_with():
    assert sorted(FAULTS) == sorted(CODES)


def test_nothing_is_found_in_a_healthy_training(records):
    diagnosis = judge(records())
    assert list(diagnosis) == []
    assert diagnosis.is_healthy
    assert diagnosis.not_examined == ()


@pytest.mark.parametrize("code", CODES)
def test_each_fault_is_found_by_its_own_rule_only(code, records):
    diagnosis = judge(_with(records, code))
    assert diagnosis.codes == [code]
    assert diagnosis[0].symptom_of is None
    assert diagnosis.is_healthy is (code in ("unused_capacity", "constant_inputs"))


# The causes of each symptom; the first one that is found is named.
EXPLAINED_BY = {
    "worse_than_constant": "diverged unscaled_inputs unscaled_target learning_rate_too_high",
    "exploding_gradients": "unscaled_inputs unscaled_target learning_rate_too_high diverged underfitting",
    "dead_units": "unscaled_inputs learning_rate_too_high diverged underfitting",
    "saturated_units": "unscaled_inputs learning_rate_too_high diverged",
    "learning_rate_too_high": "unscaled_inputs unscaled_target",
    "learning_rate_too_low": "unscaled_target",
    "vanishing_gradients": "diverged",
    "symmetric_units": "diverged learning_rate_too_high underfitting unscaled_inputs",
    "underfitting": "diverged learning_rate_too_high",
    "plateau": "vanishing_gradients saturated_units dead_units underfitting unscaled_target learning_rate_too_low "
    "learning_rate_too_high symmetric_units",
    "not_converged": "unscaled_inputs unscaled_target learning_rate_too_low learning_rate_too_high vanishing_gradients "
    "exploding_gradients saturated_units dead_units symmetric_units small_batch",
    "class_imbalance": "vanishing_gradients dead_units underfitting plateau learning_rate_too_low",
    "unused_capacity": "dead_units learning_rate_too_high diverged underfitting symmetric_units",
}
PAIRS = [(symptom, cause) for symptom, causes in EXPLAINED_BY.items() for cause in causes.split()]
# Pairs whose faults exclude each other in these records: a loss is either that of a constant prediction or falls.
APART = {
    ("underfitting", "learning_rate_too_high"),
    ("plateau", "underfitting"),
    ("plateau", "learning_rate_too_high"),
    ("unused_capacity", "symmetric_units"),
    ("not_converged", "learning_rate_too_high"),
}


@pytest.mark.parametrize(("symptom", "cause"), [pair for pair in PAIRS if pair not in APART])
def test_a_symptom_becomes_an_info_that_names_its_cause(symptom, cause, records):
    diagnosis = judge(_with(records, symptom, cause))
    found, alone = diagnosis.find(symptom), judge(_with(records, symptom)).find(symptom)
    assert (found.severity, found.symptom_of) == ("info", cause)
    assert (found.layer, found.remedies[-1]) == (alone.layer, alone.remedies[-1])
    assert diagnosis.find(cause).severity != "info"
    assert diagnosis[0].code != symptom


@pytest.mark.parametrize(("symptom", "cause"), sorted(APART))
def test_a_symptom_names_its_cause_where_both_need_special_records(symptom, cause, records):
    base = records()
    data_summary = {**base.data_summary, "baseline_loss": 1.0}
    flat = {"train_loss": [1.0, 5.0, 1.0, 4.0, *[0.99] * 8], "penalty": 0.5, "loss": 1.0}
    spread = [np.array([1.0, *[0.0] * 7]), np.ones(6)]
    copies = FAULTS["symmetric_units"]
    falling = {"train_loss": [1.0, 5.0, *np.linspace(1.0, 0.3, 10)], "validation_loss": None}
    evidence = {
        ("underfitting", "learning_rate_too_high"): records(flat, {"update_ratio_max": 0.5}, data_summary=data_summary),
        ("plateau", "underfitting"): records({**flat, "train_loss": 0.99}, data_summary=data_summary),
        ("plateau", "learning_rate_too_high"): records(
            {**flat, "penalty": 0.0}, {"update_ratio_max": 0.5}, data_summary=data_summary
        ),
        ("unused_capacity", "symmetric_units"): records(**copies, data_summary={**data_summary, "unit_spread": spread}),
        ("not_converged", "learning_rate_too_high"): records(
            falling, {"update_ratio_max": 0.5}, data_summary=data_summary, stop_reason="max_iter"
        ),
    }[symptom, cause]
    diagnosis = judge(evidence)
    assert diagnosis.find(symptom).symptom_of == cause
    assert diagnosis.find(symptom).severity == "info"
    assert diagnosis.find(cause).symptom_of is None


def test_a_cause_gets_the_highest_severity_of_its_symptoms(monkeypatch):
    found = [
        Finding("unscaled_inputs", "warning", "."),
        Finding("dead_units", "severe", "."),
        Finding("unused_capacity", "info", "."),  # a symptom of a symptom
        Finding("overfitting", "warning", "."),
    ]
    monkeypatch.setattr(import_module("skmlp.diagnosis.rules"), "RULES", (lambda evidence: iter(found),))
    diagnosis = judge(Evidence({"train_loss": [1.0]}))
    severities = {each.code: each.severity for each in diagnosis}
    assert severities == {
        "unscaled_inputs": "severe",
        "dead_units": "info",
        "unused_capacity": "info",
        "overfitting": "warning",
    }
    assert diagnosis.find("unused_capacity").symptom_of == "dead_units"


def test_unrelated_findings_keep_their_severity(records):
    diagnosis = judge(_with(records, "dead_units", "overfitting", "constant_inputs"))
    assert [(each.code, each.severity) for each in diagnosis] == [
        ("dead_units", "warning"), ("overfitting", "warning"), ("constant_inputs", "info"),
    ]  # fmt: skip
    assert all(each.symptom_of is None for each in diagnosis)


def test_the_first_of_several_causes_is_named(records):
    diagnosis = judge(_with(records, "exploding_gradients", "diverged", "unscaled_inputs"))
    assert diagnosis.find("exploding_gradients").symptom_of == "unscaled_inputs"


def test_findings_of_equal_severity_are_listed_in_the_order_of_the_rules(records):
    diagnosis = judge(_with(records, "overfitting", "dead_units", "saturated_units", "symmetric_units"))
    assert diagnosis.codes == ["symmetric_units", "dead_units", "saturated_units", "overfitting"]


# ---------------------------------------------------------------------- what was not examined


def test_not_examined_says_what_is_missing(records):
    base = records()
    params = base.params
    told = judge(Evidence(base.history, data_summary=base.data_summary, params=params)).not_examined
    assert len(told) == 1
    assert "monitor=True" in told[0]
    told = judge(Evidence(base.history, base.monitor, params)).not_examined
    assert len(told) == 1
    assert "pass X and y" in told[0]
    history = {**base.history, "validation_loss": []}
    told = judge(Evidence(history, base.monitor, params, base.data_summary)).not_examined
    assert len(told) == 1
    assert "validation_split" in told[0]
    told = judge(Evidence(base.history, base.monitor, data_summary=base.data_summary)).not_examined
    assert len(told) == 1
    assert "pass the estimator" in told[0]
    assert len(judge(Evidence({"train_loss": [1.0]})).not_examined) == 4


# ---------------------------------------------------------------------- any evidence at all

numbers = st.one_of(
    st.sampled_from([0.0, 1.0, 1e-300, 1e-9, 1e-3, 0.5, 0.95, 2.0, 150.0, 1e6, 1e38, math.nan, math.inf]),
    st.floats(0.0, 1e12),
)
signed = st.one_of(numbers, st.sampled_from([-1.0, -1e-9, -1e30, -math.inf]))
HISTORY = (
    "loss", "train_loss", "penalty", "learning_rate", "gradient_norm", "clipped_fraction", "validation_loss",
    "validation_score", "effective_step", "gradient_ratio", "noise_scale",
)  # fmt: skip
STATISTICS = (
    "gradient_norm", "gradient_norm_max", "gradient_nonfinite", "gradient_snr", "noise_scale", "weight_norm",
    "update_ratio", "update_ratio_max", "dead_fraction", "saturated_fraction",
)  # fmt: skip
PARAMS = {
    "alpha": st.sampled_from([0.0, 1e-4, 0.1, 100.0]),
    "alpha_l1": st.sampled_from([0.0, 2.0]),
    "weight_decay": st.sampled_from([None, 0.1]),
    "max_norm": st.sampled_from([None, 0.1]),
    "solver": st.sampled_from(["adam", "lbfgs", SGD()]),
    "activation": st.sampled_from(["relu", "tanh", ["relu", "logistic"], LeakyReLU(0.1)]),
    "batch_size": st.sampled_from(["auto", "full", 1, 2, 31, np.int64(4)]),
    "learning_rate_init": st.sampled_from([1e-9, 1e-3, 5.0]),
    "max_iter": st.sampled_from([1, 200]),
    "max_time": st.sampled_from([None, 0.5]),
    "max_fun": st.just(15_000),
    "weight_init": st.sampled_from(["auto", "he_normal"]),
    "bias_init": st.sampled_from(["auto", "zeros", "he_normal"]),
    "loss": st.sampled_from(["squared_error", "poisson", "log_loss"]),
    "class_weight": st.sampled_from([None, "balanced"]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "early_stopping": st.booleans(),
}
REASONS = ("", "max_iter", "max_time", "max_fun", "converged", "callback", "interrupted", "non_finite", "failed")


@st.composite
def any_evidence(draw):
    """Draw evidence of any length with any numbers; anything may be missing."""
    n_epochs, n_layers, n_features = draw(st.integers(0, 14)), draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def some(names):
        return [name for name in names if draw(st.booleans())]

    def array(*shape, of=numbers):
        return np.array([draw(of) for _ in range(int(np.prod(shape)))]).reshape(shape)

    number = signed if draw(st.booleans()) else numbers
    history = {name: [draw(number) for _ in range(n_epochs)] for name in some(HISTORY)}
    epochs = sorted(draw(st.sets(st.integers(1, max(1, n_epochs)), max_size=n_epochs)))
    monitor = {name: array(len(epochs), n_layers, of=number) for name in some(STATISTICS)}
    if draw(st.booleans()):
        monitor = {name: column.tolist() for name, column in monitor.items()}
    if draw(st.integers(0, 9)):
        monitor["epoch"] = np.array(epochs, int)
    sizes = [draw(st.integers(1, 4)) for _ in range(n_layers + 1)]
    data_summary = {"baseline_loss": draw(number), "n_samples": 5}
    if draw(st.booleans()):
        data_summary |= {"feature_mean": array(n_features, of=signed), "feature_std": array(n_features)}
    if draw(st.booleans()):
        data_summary |= {"target_std": array(n_features)}
    if draw(st.booleans()):
        data_summary |= {"class_fraction": array(n_features), "class_recall": array(n_features)}
    if draw(st.booleans()):
        data_summary |= {"unit_spread": [array(size) for size in sizes[1:-1]]}
    has_weights = draw(st.booleans())
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shapes = list(pairwise(sizes)) if has_weights else []
    return Evidence(
        history,
        monitor,
        params={name: draw(PARAMS[name]) for name in some(PARAMS)},
        data_summary=data_summary if draw(st.booleans()) else {},
        weights=[array(*shape, of=signed).astype(dtype) for shape in shapes],
        biases=[array(shape[1], of=signed).astype(dtype) for shape in shapes],
        stop_reason=draw(st.sampled_from(REASONS)),
        stop_message=draw(st.sampled_from(["", "the loss became NaN; the weights are kept"])),
        n_iter=draw(st.sampled_from([None, 1, max(1, n_epochs // 2), max(1, n_epochs)])),
        restored=draw(st.booleans()),
        class_names=draw(st.sampled_from([(), ["a", "b", "c"]])),
    )


@settings(max_examples=200)
@given(any_evidence())
def test_judge_accepts_any_evidence(evidence):
    """Warnings are errors here."""
    diagnosis = judge(evidence)
    assert set(diagnosis.codes) <= set(CODES)
    for finding in diagnosis:
        assert finding.severity in ("info", "warning", "severe")
        assert finding.message
        assert finding.remedies
        assert all(remedy.text for remedy in finding.remedies)
        assert finding.symptom_of is None or finding.symptom_of in diagnosis.codes
        assert finding.layer is None or finding.layer >= 1
        assert all(isinstance(number, int | float) for number in finding.evidence.values())
    reloaded = json.loads(json.dumps(diagnosis.to_dicts(), allow_nan=False))
    assert [each["code"] for each in reloaded] == diagnosis.codes
    assert str(diagnosis)
    assert diagnosis._repr_html_()
    if diagnosis.at_least("warning"):
        assert not diagnosis.is_healthy


@settings(max_examples=20)
@given(st.lists(any_evidence(), min_size=2, max_size=4), st.lists(numbers, min_size=4, max_size=4))
def test_any_evidence_of_members_has_each_finding_once(evidence, losses):
    """Warnings are errors here."""
    mean, *members = evidence
    pauses = list(enumerate(losses, start=1))
    diagnosis = judge_members(
        members, mean, [{"rate": 0.1}] * len(members), scores=losses[: len(members)], n_validated=9, pauses=pauses
    )
    assert len(set(diagnosis.codes)) == len(diagnosis)
    assert set(diagnosis.codes) <= {*CODES, "weak_members"}
    for finding in diagnosis:
        assert finding.symptom_of is None or finding.symptom_of in diagnosis.codes
    json.dumps(diagnosis.to_dicts(), allow_nan=False)
    assert str(diagnosis)


def test_judge_accepts_numbers_whose_difference_overflows():
    """Warnings are errors here."""
    assert judge(Evidence({"train_loss": [1e308, -1e308, 1e308], "learning_rate": [0.1] * 3}))


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_the_code_of_a_finding_is_the_name_of_its_rule(rule, records):
    assert {finding.code for finding in rule(_with(records, rule.__name__))} == {rule.__name__}


# ---------------------------------------------------------------------- remedies

X = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
SETTINGS = [
    {},
    {"solver": "lbfgs"},
    {"batch_size": 1},
    {"solver": SGD(momentum=0.5), "activation": "tanh", "alpha": 0.1},
    {"activation": ["logistic", "relu"], "weight_init": "he_normal", "bias_init": "he_normal", "alpha_l1": 0.1},
    {"normalization": "layer", "weight_decay": 0.1, "max_norm": 2.0, "dropout": [0.1, 0.2]},
    {"hidden_layer_sizes": (3, 3), "residual": True},
    {"early_stopping": True, "learning_rate": "cosine"},
    {"max_time": 100.0},
]
# Found only for solvers with mini-batches and a learning rate.
OF_STEPS = ("learning_rate_too_high", "learning_rate_too_low", "small_batch")


def _evidence_for(est, code, records):
    """Return the evidence of a fault in the training of an estimator with two hidden layers."""
    params = {**est.get_params(deep=False), **FAULTS[code].get("params", {})}
    sizes = (X.shape[1], *est.hidden_layer_sizes, 1)
    evidence = {**vars(_with(records, code)), "params": params}
    idle = code == "unused_capacity"
    spreads = [np.array([1.0, *[0.0 if idle else 1.0] * (size - 1)]) for size in sizes[1:-1]]
    evidence["data_summary"] = {**evidence["data_summary"], "n_samples": len(X), "unit_spread": spreads}
    if code != "symmetric_units":
        evidence["weights"] = [np.ones(shape) for shape in pairwise(sizes)]
        evidence["biases"] = [np.arange(size) for size in sizes[1:]]
    names = Evidence.__dataclass_fields__
    return Evidence(**{name: value for name, value in evidence.items() if name in names})


@pytest.mark.parametrize("given_params", SETTINGS, ids=lambda params: "-".join(params) or "default")
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_every_remedy_can_be_applied_and_fitted(cls, given_params, records):
    y = X[:, 0] if cls is MLPRegressor else (X[:, 0] > 0.0).astype(int)
    est = cls(**{"hidden_layer_sizes": (3, 2), "max_iter": 2, "random_state": 0, **given_params})
    excluded = ["class_imbalance" if cls is MLPRegressor else "unscaled_target"]
    excluded += OF_STEPS if est.solver == "lbfgs" else ()
    for rule in RULES:
        if rule.__name__ in excluded:
            continue
        findings = list(rule(_evidence_for(est, rule.__name__, records)))
        assert findings, rule
        changed = clone(est).set_params(**FAULTS[rule.__name__].get("params", {}))
        for remedy in (remedy for finding in findings for remedy in finding.remedies):
            if not remedy.params and not remedy.scale_inputs:
                continue
            remedied = remedy.apply(changed)
            (remedied[-1] if remedy.scale_inputs else remedied).set_params(max_iter=2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                remedied.fit(X, y)


def test_the_focal_loss_remedy_works_with_label_smoothing_set(records):
    y = (X[:, 0] > 0.0).astype(int)
    est = MLPClassifier((3, 2), label_smoothing=0.1, max_iter=2, random_state=0)
    for remedy in judge(_evidence_for(est, "class_imbalance", records)).find("class_imbalance").remedies:
        with pytest.warns(ConvergenceWarning):
            remedy.apply(est).fit(X, y)


# ---------------------------------------------------------------------- remedies that would change something


def test_remedies_already_in_place_are_removed(records):
    fault = {"gradient_norm": [1e-7, 1e-3, 1.0]}
    plain = judge(records(monitor=fault)).find("vanishing_gradients")
    assert [dict(remedy.params) for remedy in plain.remedies][:2] == [
        {"activation": "relu", "weight_init": "auto"},
        {"normalization": "batch"},
    ]
    params = {**records().params, "normalization": "batch"}
    normalized = judge(records(monitor=fault, params=params)).find("vanishing_gradients")
    assert {"normalization": "batch"} not in [dict(remedy.params) for remedy in normalized.remedies]
    assert normalized.remedies[0].params == {"activation": "relu", "weight_init": "auto"}  # one of them is new


def test_no_learning_rate_is_recommended_for_lbfgs(records):
    dead = {"dead_fraction": [0.95, 0.95, np.nan]}
    found = judge(records(monitor=dead, params={**records().params, "solver": "lbfgs"})).find("dead_units")
    assert all("learning_rate_init" not in remedy.params for remedy in found.remedies)


@pytest.fixture
def put_rules_back():
    rules = list(RULES)
    yield
    RULES[:] = rules


@pytest.mark.usefixtures("put_rules_back")
def test_a_user_defined_rule_can_be_appended(records):
    def many_epochs(evidence):
        if len(evidence.loss) > 3:
            yield Finding("many_epochs", "warning", f"There were {len(evidence.loss)} epochs.")

    RULES.append(many_epochs)
    assert judge(records()).find("many_epochs").message == "There were 12 epochs."


@pytest.mark.usefixtures("put_rules_back")
def test_a_rule_can_be_registered_after_another_was_appended():
    def appended(evidence):
        yield from ()

    def registered(evidence):
        yield from ()

    RULES.append(appended)
    register_rule(10**6)(registered)
    assert RULES[-2:] == [registered, appended]
