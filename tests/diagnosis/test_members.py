"""The diagnosis of several networks whose predictions are averaged."""

from dataclasses import replace

import numpy as np
import pytest

from skmlp.diagnosis import Evidence, judge, judge_members
from skmlp.diagnosis.members import OF_THE_MEAN
from skmlp.diagnosis.weak_members import weak_members

NAN = float("nan")
# Of the units of the first layer, at the start and at the end.
DEAD = {"dead_fraction": [0.7, 0.1, NAN]}
MOSTLY_DEAD = {"dead_fraction": [0.95, 0.1, NAN]}


def judged(members, mean, settings=None, pauses=((6, 0.4), (12, 0.4)), **known):
    return judge_members(members, mean, settings or [{}] * len(members), pauses=pauses, **known)


def test_healthy_members_have_no_findings(records):
    diagnosis = judged([records()] * 4, records())
    assert list(diagnosis) == []
    assert diagnosis.not_examined == ()


def test_what_several_members_have_is_one_finding_that_counts_them(records):
    diagnosis = judged([records(monitor=DEAD), records(), records(monitor=DEAD), records()], records())
    assert diagnosis.codes == ["dead_units"]
    assert diagnosis[0].message.startswith("In 2 of 4 members: 70% of the units of layer 1 have no gradient")
    assert diagnosis[0].evidence["in_members"] == 2.0
    everywhere = judged([records(monitor=DEAD)] * 3, records())
    assert everywhere[0].message.startswith("In all 3 members: 70% of the units")


def test_a_single_member_is_not_counted(records):
    assert judged([records(monitor=DEAD)], records())[0] == judge(records(monitor=DEAD))[0]


@pytest.mark.parametrize("fractions", [[0.9, 0.6, 0.7], [0.6, 0.9, 0.7], [0.7, 0.6, 0.9], [0.6, 0.7, 0.8, 0.9]])
def test_a_finding_has_the_numbers_of_the_median_member(fractions, records):
    members = [records(monitor={"dead_fraction": [fraction, 0.1, NAN]}) for fraction in fractions]
    finding = judged(members, records()).find("dead_units")
    assert finding.evidence["dead_fraction"] == 0.7
    assert "70% of the units" in finding.message


@pytest.mark.parametrize(("n_severe", "severity"), [(1, "warning"), (2, "severe"), (4, "severe")])
def test_a_finding_is_severe_only_if_half_of_the_members_have_it(n_severe, severity, records):
    members = [records(monitor=MOSTLY_DEAD)] * n_severe + [records()] * (4 - n_severe)
    assert judge(members[0]).find("dead_units").severity == "severe"
    assert judged(members, records()).find("dead_units").severity == severity


def test_a_cause_in_other_members_does_not_explain_a_symptom(records):
    fast = {"history": {"train_loss": [1.0, 5.0, *[0.1] * 10]}, "monitor": {"update_ratio_max": 0.5}}
    both = {**fast, "monitor": {**fast["monitor"], **DEAD}}
    apart = judged([records(**fast), records(monitor=DEAD)], records())
    assert apart.find("dead_units").symptom_of is None
    together = judged([records(**both), records()], records())
    assert together.find("dead_units").symptom_of == "learning_rate_too_high"
    assert together.find("dead_units").severity == "info"


def test_the_fit_is_judged_by_the_mean_and_not_by_its_members(records):
    overfitting = records({"validation_loss": [1.0] * 11 + [1.5]})
    assert judged([overfitting] * 3, records()).codes == []
    found = judged([records()] * 3, overfitting)
    assert found.codes == ["overfitting"]
    assert found[0] == judge(overfitting)[0]


def test_a_problem_of_the_data_explains_those_of_the_members(records):
    slow = records({"gradient_norm": 1.0}, {"update_ratio_max": 1e-6})
    mean = records()
    far_off = replace(mean, data_summary={**mean.data_summary, "target_std": np.array([77.0])})
    assert judged([slow] * 2, mean).find("learning_rate_too_low").symptom_of is None
    assert judged([slow] * 2, far_off).find("learning_rate_too_low").symptom_of == "unscaled_target"


def test_a_validation_loss_that_rises_without_the_score_falling_is_an_info(records):
    rising = {"validation_loss": [1.0] * 11 + [1.5]}
    for last, severity in ((0.8, "info"), (0.75, "info"), (0.5, "warning")):
        mean = records({**rising, "validation_score": [0.8] * 11 + [last]})
        finding = judged([records()] * 2, mean, n_validated=300).find("overfitting")
        assert finding.severity == severity
        assert finding.message.endswith("The score did not fall with it.") is (severity == "info")
    by_loss = replace(mean, params={**mean.params, "scoring": "neg_log_loss"})
    assert judged([records()] * 2, by_loss, n_validated=10).find("overfitting").severity == "warning"
    few = judged([records()] * 2, mean, n_validated=10).find("overfitting")
    assert few.severity == "info"  # of ten samples, a score falls by chance


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([0.9, 0.6, 0.4], True),
        ([0.4, 0.6, 0.5], False),  # it was lower before
        ([0.9, 0.6, 0.57], False),  # hardly falls any more
        ([0.9, 0.6, 0.7], False),
        ([0.9, 0.06, 0.01], False),  # of a constant prediction's 1.1: good enough
        ([0.4], False),
        ([], False),
        ([-0.1, -0.2], False),  # has no ratio
    ],
)
def test_held_out_losses_at_pauses_tell_whether_more_epochs_would_help(losses, found, records):
    """The losses of every epoch, by which a single network is judged, fall with the learning rate."""
    falling = records({"train_loss": np.linspace(1.0, 0.3, 12), "validation_loss": None}, stop_reason="max_iter")
    assert judge(falling).codes == ["not_converged"]
    falling = replace(falling, params={**falling.params, "max_iter": 12})
    pauses = list(zip((4, 8, 12), losses, strict=False))
    diagnosis = judged([falling] * 2, falling, pauses=pauses)
    assert diagnosis.codes == (["not_converged"] if found else [])
    if found:
        assert diagnosis[0].remedies[0].params == {"max_iter": 24}
        assert diagnosis[0].epoch == 8
        ended = replace(falling, stop_reason="converged")
        assert judged([ended] * 2, ended, pauses=pauses).codes == []


def test_what_could_not_be_examined_is_said_once(records):
    unknown = Evidence(records({"validation_loss": None}).history)
    words = judged([unknown] * 3, unknown, pauses=()).not_examined
    assert [each.partition(";")[0] for each in words] == [
        "gradients, updates and units",
        "scales, classes, and the loss of a constant prediction",
        "overfitting, and weak members",
        "whether more epochs would help",
    ]


def test_rules_about_the_mean_exist():
    from skmlp.diagnosis import RULES

    assert {rule.__name__ for rule in RULES} >= OF_THE_MEAN


# ---------------------------------------------------------------------- remedies for few


def test_the_first_remedy_for_few_members_is_what_the_others_have(records):
    rates = [{"rate": rate, "depth": depth} for rate, depth in ((0.9, 3), (0.02, 2), (0.03, 3), (0.0456, 4))]
    members = [records(monitor=DEAD), *[records()] * 3]
    first, *others = judged(members, records(), settings=rates).find("dead_units").remedies
    assert first.members == {"rate": [0.02, 0.03, 0.046]}
    assert others
    rates[1]["rate"] = 0.8
    common = judged([records(monitor=DEAD)] * 2 + [records()] * 2, records(), settings=rates)
    assert all(not remedy.members for remedy in common.find("dead_units").remedies)


def test_a_remedy_that_the_values_of_the_others_replace_is_left_out(records):
    def names(finding):
        return [list(remedy.members or remedy.params) for remedy in finding.remedies]

    rates = [0.9, 0.02, 0.02]
    late = {"dead_fraction": np.array([[0.1, 0.1, NAN]] * 4 + [[0.7, 0.1, NAN]])}
    members = [records(monitor=late), *[records()] * 2]
    settings = [{"learning_rate_init": rate} for rate in rates]
    found = names(judged(members, records(), settings=settings).find("dead_units"))
    assert found.count(["learning_rate_init"]) == 1
    assert judge(members[0]).find("dead_units").remedies[0].params == {"learning_rate_init": 1e-4}


# ---------------------------------------------------------------------- members that predict worse


SETTINGS = [{"rate": rate, "name": "a"} for rate in (0.02, 0.03, 0.04, 0.5)]


def test_a_member_that_scores_clearly_less_is_weak():
    (finding,) = weak_members([0.91, 0.9, 0.92, 0.6], SETTINGS, 200)
    assert finding.message == "Member 3 scores 0.6 on the validation data, the median member 0.905."
    assert finding.evidence == {"in_members": 1.0, "lowest_score": 0.6, "median_score": pytest.approx(0.905)}
    assert finding.remedies[0].members == {"rate": [0.02, 0.03, 0.04]}
    assert finding.remedies[1].params == {"n_members": 8}
    (finding,) = weak_members([0.5, 0.9, 0.92, 0.91, 0.6], [*SETTINGS, {"rate": 0.3, "name": "a"}], 200)
    assert finding.message.startswith("Members 0, 4 score at most 0.6 on")
    assert [remedy.members for remedy in finding.remedies] == [{}]  # the rates do not tell them apart


@pytest.mark.parametrize(
    "scores",
    [
        [0.9, 0.9, 0.9, 0.89],  # hardly less
        [0.9, 0.7, 0.8, 0.6],  # the scores differ as much among the others
        [0.91, 0.9, 0.92, NAN],  # unknown
        [0.3, 0.31, 0.29, 0.2],  # all of them are bad
        [NAN] * 4,
    ],
)
def test_scores_that_differ_by_chance_are_no_reason_to_call_a_member_weak(scores):
    assert list(weak_members(scores, SETTINGS, 200)) == []


def test_a_member_is_not_called_weak_for_few_samples():
    assert list(weak_members([0.91, 0.9, 0.92, 0.8], SETTINGS, 20)) == []
    assert list(weak_members([0.91, 0.9, 0.92, 0.8], SETTINGS, 2000))


def test_of_two_members_neither_is_called_weak():
    assert list(weak_members([0.9, 0.1], SETTINGS[:2], 200)) == []
    assert list(weak_members([], [{}] * 3, 0)) == []


def test_weak_members_are_part_of_the_diagnosis(records):
    found = judged([records()] * 4, records(), SETTINGS, scores=[0.91, 0.9, 0.92, 0.6], n_validated=200)
    assert found.codes == ["weak_members"]
    assert not found.is_healthy
