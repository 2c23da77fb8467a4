"""Findings, their reports as text, HTML and JSON, and remedies applied to estimators."""

import json
import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import Pipeline

from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier
from skmlp.diagnosis import Diagnosis, Finding, Remedy, TrainingHealthWarning

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
INFO = Finding("small_thing", "info", "It is small.")
WARNING = Finding(
    "strange_thing",
    "warning",
    "It is strange.",
    {"size": 1234.5678, "fraction": 0.25},
    layer=2,
    epoch=7,
    remedies=(Remedy("Do this", {"alpha": 0.1, "solver": "adam"}), Remedy("Or think")),
)
SEVERE = Finding(
    "bad_thing", "severe", "It is bad.", {"size": math.inf}, remedies=(Remedy("Scale", scale_inputs=True),)
)
SYMPTOM = Finding("late_thing", "info", "It came.", symptom_of="bad_thing")


def test_findings_are_sorted_by_severity_and_otherwise_keep_their_order():
    other = Finding("other_thing", "warning", "It is other.")
    diagnosis = Diagnosis([INFO, WARNING, SYMPTOM, SEVERE, other])
    assert diagnosis.codes == ["bad_thing", "strange_thing", "other_thing", "small_thing", "late_thing"]
    assert diagnosis.findings == (SEVERE, WARNING, other, INFO, SYMPTOM)


def test_a_diagnosis_is_a_sequence_of_findings():
    diagnosis = Diagnosis([INFO, WARNING, SEVERE])
    assert isinstance(diagnosis, Sequence)
    assert (len(diagnosis), list(diagnosis)) == (3, [SEVERE, WARNING, INFO])
    assert (diagnosis[0], diagnosis[-1]) == (SEVERE, INFO)
    assert list(diagnosis[1:]) == [WARNING, INFO]
    assert WARNING in diagnosis
    assert SYMPTOM not in diagnosis
    with pytest.raises(IndexError):
        diagnosis[3]


def test_findings_can_be_looked_up_by_code_and_by_severity():
    diagnosis = Diagnosis([INFO, WARNING, SEVERE])
    assert diagnosis.find("strange_thing") is WARNING
    assert diagnosis.find("nothing") is None
    assert diagnosis.at_least("info") == [SEVERE, WARNING, INFO]
    assert diagnosis.at_least("warning") == [SEVERE, WARNING]
    assert diagnosis.at_least("severe") == [SEVERE]
    with pytest.raises(ValueError, match=r"'severity' parameter .* Got 'grave'"):
        diagnosis.at_least("grave")


@pytest.mark.parametrize(
    ("findings", "healthy"), [([], True), ([INFO, SYMPTOM], True), ([INFO, WARNING], False), ([SEVERE], False)]
)
def test_is_healthy_if_no_finding_is_more_severe_than_an_info(findings, healthy):
    assert Diagnosis(findings).is_healthy is healthy


def test_text_report_lists_findings_remedies_and_what_was_not_examined():
    diagnosis = Diagnosis([SYMPTOM, WARNING, SEVERE], ["the weather; look out of the window."])
    assert str(diagnosis) == repr(diagnosis)
    assert str(diagnosis).split("\n") == [
        "Diagnosis of the training: 2 findings to act on.",
        "[severe] Bad thing: It is bad.",
        "    evidence: size inf",
        "    try: Scale",
        "[warning] Strange thing: It is strange.",
        "    evidence: layer 2, since epoch 7, size 1.23e+03, fraction 0.25",
        "    try: Do this: alpha=0.1, solver='adam'",
        "    or: Or think",
        "[info] Late thing: It came.",
        "    explained by: bad thing",
        "Not examined: the weather; look out of the window.",
    ]
    assert str(Diagnosis([WARNING])).startswith("Diagnosis of the training: 1 finding to act on.\n")
    assert str(Diagnosis([INFO])).startswith("Diagnosis of the training: no problems found.\n")
    assert str(Diagnosis([])) == "Diagnosis of the training: no problems found."


# ---------------------------------------------------------------------- HTML


class Reader(HTMLParser):
    """Collects the text of well-formed HTML, and its tags."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_report_has_the_content_of_the_text_report():
    diagnosis = Diagnosis([SYMPTOM, WARNING, SEVERE], ["the weather & the stars"])
    reader = Reader(diagnosis._repr_html_())
    for words in (
        "2 findings to act on", "Bad thing: It is bad.", "size inf",
        "layer 2, since epoch 7, size 1.23e+03, fraction 0.25",
        "try: Do this: alpha=0.1, solver='adam'", "or: Or think", "explained by: bad thing",
        "Not examined: the weather & the stars", "severe", "warning", "info",
    ):  # fmt: skip
        assert words in reader.text
    assert [tag for tag, _ in reader.tags].count("tr") == 3
    assert [tag for tag, _ in reader.tags].count("code") == 1  # for the remedy with parameters
    assert "table" not in [tag for tag, _ in Reader(Diagnosis([])._repr_html_()).tags]


def test_html_report_escapes_names_given_by_the_user():
    evil = "<script>alert('a & b')</script>"
    finding = Finding(
        evil, "info", evil, {evil: 1.0}, symptom_of=evil, remedies=(Remedy(evil, {"a": evil}), Remedy(evil))
    )
    source = Diagnosis([finding], [evil])._repr_html_()
    assert "script" not in [tag for tag, _ in Reader(source).tags]
    assert Reader(source).text.count("<script>alert('a & b')</script>") >= 5
    assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;|nbsp;)", source)


def test_html_report_loads_no_external_resources():
    source = Diagnosis([SYMPTOM, WARNING, SEVERE], ["something"])._repr_html_()
    for word in ("http", "src=", "href=", "url(", "@import", "<link", "<script"):
        assert word not in source


# ---------------------------------------------------------------------- JSON


def test_to_dicts_is_valid_json():
    dicts = Diagnosis([WARNING, SEVERE, SYMPTOM]).to_dicts()
    assert json.loads(json.dumps(dicts, allow_nan=False)) == dicts
    assert dicts[0] == {
        "code": "bad_thing",
        "severity": "severe",
        "message": "It is bad.",
        "layer": None,
        "epoch": None,
        "evidence": {"size": None},  # JSON has no infinity
        "symptom_of": None,
        "remedies": ["Scale"],
    }
    assert dicts[1]["evidence"] == {"size": 1234.5678, "fraction": 0.25}
    assert (dicts[1]["layer"], dicts[1]["epoch"]) == (2, 7)
    assert dicts[1]["remedies"] == ["Do this: alpha=0.1, solver='adam'", "Or think"]
    assert dicts[2]["symptom_of"] == "bad_thing"
    assert Diagnosis([Finding("a", "info", "", {"x": math.nan})]).to_dicts()[0]["evidence"] == {"x": None}
    assert Diagnosis([]).to_dicts() == []


def test_findings_and_remedies_are_immutable():
    for thing in (WARNING, WARNING.remedies[0]):
        with pytest.raises(AttributeError):
            thing.code = "other"


def test_health_warning_is_a_user_warning():
    assert issubclass(TrainingHealthWarning, UserWarning)


# ---------------------------------------------------------------------- remedies


@BOTH
def test_apply_returns_an_unfitted_copy_with_the_parameters_set(cls):
    X = np.random.default_rng(0).standard_normal((20, 3))
    y = X[:, 0] if cls is MLPRegressor else (X[:, 0] > 0.0).astype(int)
    est = cls((4,) if cls is MLPClassifier else "squared_error", max_iter=2, tol=0.5, random_state=3)
    with pytest.warns(ConvergenceWarning):
        est.fit(X, y)
    before = est.get_params()
    changed = Remedy("Do this", {"alpha": 0.1, "dropout": 0.3}).apply(est)
    assert type(changed) is cls
    assert changed.get_params() == {**before, "alpha": 0.1, "dropout": 0.3}
    assert est.get_params() == before
    with pytest.raises(NotFittedError):
        changed.predict(X)
    est.predict(X)


@BOTH
def test_apply_puts_a_scaler_in_front_of_the_estimator(cls):
    X = 1e3 * np.random.default_rng(0).standard_normal((60, 3)) + 500.0
    y = X[:, 0] / 1e3 if cls is MLPRegressor else (X[:, 0] > 500.0).astype(int)
    changed = Remedy("Scale", {"alpha": 0.5}, scale_inputs=True).apply(cls(max_iter=40, tol=0.1, random_state=0))
    assert isinstance(changed, Pipeline)
    assert [type(step).__name__ for step in changed] == ["StandardScaler", cls.__name__]
    assert changed[-1].alpha == 0.5
    scaled = changed.fit(X, y)[:-1].transform(X)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0)
    clone(changed)


@BOTH
def test_apply_rejects_a_remedy_in_words_only(cls):
    with pytest.raises(ValueError, match=r"This remedy cannot be applied automatically: Think again\."):
        Remedy("Think again.").apply(cls())


@BOTH
def test_apply_rejects_an_unknown_parameter(cls):
    with pytest.raises(ValueError, match="Invalid parameter 'patience'"):
        Remedy("Wait", {"patience": 3}).apply(cls())


def test_text_of_a_remedy_includes_its_parameters():
    assert str(Remedy("Think")) == "Think"
    assert str(Remedy("Do", {"hidden_layer_sizes": (3, 4)})) == "Do: hidden_layer_sizes=(3, 4)"


def test_a_remedy_for_the_members_of_a_tabular_estimator_keeps_their_other_settings():
    remedy = Remedy("Learn slowly", {"max_iter": 7}, members={"alpha": [0.1, 0.2], "learning_rate_init": [0.001]})
    assert str(remedy) == "Learn slowly: max_iter=7, members={'alpha': [0.1, 0.2], 'learning_rate_init': [0.001], ...}"
    est = TabularMLPClassifier()
    changed = remedy.apply(est)
    assert (changed.max_iter, est.members) == (7, None)
    assert changed.members.keys() == {"alpha", "learning_rate_init", "numeric_embedding__sigma"}
    assert changed.members["learning_rate_init"] == [0.001]
    given = TabularMLPClassifier(3, members=[{"dropout": 0.1}, {"alpha": 1.0}, {}])
    assert [each["alpha"] for each in remedy.apply(given).members] == [0.1, 0.2, 0.1]
    assert remedy.apply(given).members[0] == {"dropout": 0.1, "alpha": 0.1, "learning_rate_init": 0.001}
    assert "<code>Learn slowly" in Diagnosis([Finding("slow", "info", "It is.", remedies=(remedy,))])._repr_html_()
