"""Schedules: values of torch, shapes of the curves, rules for the monitored value, settings and errors."""

import inspect
import itertools
import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import skmlp.optim
from skmlp.optim import (
    SCHEDULES,
    SGD,
    SOLVERS,
    AdamW,
    Adaptive,
    ConstantRate,
    Cosine,
    CosineLog,
    CosineRestarts,
    Cyclic,
    Exponential,
    FlatCosine,
    FunctionSchedule,
    InverseScaling,
    InverseTime,
    Linear,
    Lion,
    OneCycle,
    Piecewise,
    Polynomial,
    ReduceOnPlateau,
    RMSProp,
    Schedule,
    Scheduled,
    StepDecay,
    Time,
    Warmup,
    WithWeightDecay,
    as_schedule,
)

GOLDEN = json.loads(Path(__file__).with_name("golden_schedules.json").read_text(encoding="utf-8"))
NAN, INF = float("nan"), float("inf")


def square(t):
    return t * t


# One object of every class; no setting has its default value.
SETTINGS = [
    ConstantRate(),
    StepDecay(7.0, 0.5, "step"),
    Piecewise((2.0, 5.0), (0.5, 1.0, 0.25), "step"),
    Exponential(0.9, 0.2, "step"),
    InverseTime(0.3, 0.7, "step"),
    Polynomial(1.5, 0.2, 40),
    Linear(0.3, 0.8, 40),
    Cosine(0.2, 40),
    CosineRestarts(5.0, 2.0, 0.1, "step"),
    Warmup(Cosine(0.2), 4.0, 0.3, "step"),
    OneCycle(0.4, 0.2, 0.1, 40),
    FlatCosine(0.3, 40),
    CosineLog(3, 40),
    Cyclic(0.4, 6.0, "exponential", 0.9, "step"),
    ReduceOnPlateau(0.5, 2, 0.01, 3, 0.1),
    InverseScaling(0.3),
    Adaptive(3.0, 1e-3),
    FunctionSchedule(square, "step", 40),
]
each = pytest.mark.parametrize("schedule", SETTINGS, ids=lambda schedule: type(schedule).__name__)
over_time = [StepDecay, Piecewise, Exponential, InverseTime, CosineRestarts, Cyclic]
over_training = [Polynomial, Linear, Cosine, OneCycle, FlatCosine, CosineLog]

STEPS, EPOCHS, PROGRESS = (0, 1, 39, 40, 41, 10**7), (0.0, 0.3, 1.0, 1e5), (0.0, 1e-300, 0.4, 0.7, 1 - 2**-53, 1.0)
TIMES = [Time(*each) for each in itertools.product(STEPS, EPOCHS, PROGRESS, (0, 10**12))]
TIMES.append(Time(np.int64(8), np.float64(0.5), np.float64(0.5), np.int64(80)))


# --- torch's values -----------------------------------------------------------------------------------------------

OURS = {
    "step": StepDecay(4, 0.3, "step"),
    "multi_step": Piecewise((3, 5, 12), (1.0, 0.2, 0.04, 0.008), "step"),
    "exponential": Exponential(0.9, unit="step"),
    "linear": Linear(0.25, 0.75, horizon=12),
    "polynomial": Polynomial(2.5, horizon=15),
    "cosine": Cosine(0.1, horizon=15),
    "restarts": CosineRestarts(5, 1, 0.05, "step"),
    "restarts_doubled": CosineRestarts(3, 2, 0.0, "step"),
    # The cycle of torch ends with its last step, not after it.
    "one_cycle": OneCycle((0.3 * 21 - 1) / 20, 1 / 25, 1 / 25e4, 20),
    "one_cycle_settings": OneCycle((0.45 * 30 - 1) / 29, 1 / 10, 1 / 1000, 29),
    "cyclic_triangular": Cyclic(0.2, 8, unit="step"),
    "cyclic_triangular2": Cyclic(0.1, 6, "triangular2", unit="step"),
    "cyclic_exponential": Cyclic(0.1, 10, "exponential", 0.97, unit="step"),
}
MOMENTA = {
    "one_cycle": OneCycle.momentum(peak=(0.3 * 21 - 1) / 20, horizon=20),
    "one_cycle_settings": OneCycle.momentum(0.8, 0.9, (0.45 * 30 - 1) / 29, 29),
}


def _assert_close(ours, torchs):
    # torch computes some rates as running products; the difference is rounding.
    assert len(ours) == len(torchs)
    np.testing.assert_allclose(ours, torchs, rtol=1e-9, atol=1e-9)


def test_every_torch_run_is_compared():
    assert set(OURS) == set(GOLDEN["schedules"])
    assert set(MOMENTA) == {name for name, run in GOLDEN["schedules"].items() if "momenta" in run}


@pytest.mark.parametrize("name", OURS)
def test_factors_are_those_of_torch(name):
    factors = GOLDEN["schedules"][name]["factors"]
    _assert_close([OURS[name].factor(Time(step=step)) for step in range(len(factors))], factors)


@pytest.mark.parametrize("name", MOMENTA)
def test_momentum_cycle_is_that_of_torch(name):
    momenta = GOLDEN["schedules"][name]["momenta"]
    _assert_close([MOMENTA[name].at(Time(step=step)) for step in range(len(momenta))], momenta)


@pytest.mark.parametrize(
    ("schedule", "time"),
    [
        (Warmup(Cosine(horizon=12), 4, 0.2, "step"), lambda step: Time(step=step)),
        # The same training in other units: epochs of 4 steps; and with its length of 16 steps.
        (Warmup(Cosine(horizon=12), 1, 0.2, "epoch"), lambda step: Time(step=step, epoch=step / 4)),
        (Warmup(Cosine(), 4, 0.2, "step"), lambda step: Time(step=step, progress=step / 16)),
        (Warmup(Cosine(), 1, 0.2, "epoch"), lambda step: Time(step=step, epoch=step / 4, progress=step / 16)),
        (Warmup(Cosine(), 0.25, 0.2), lambda step: Time(step=step, progress=step / 16)),
        (Warmup(Cosine(horizon=12), 0.25, 0.2), lambda step: Time(step=step, progress=step / 16)),
    ],
)
def test_warmup_and_cosine_are_those_of_torch(schedule, time):
    factors = GOLDEN["warmup"]["factors"]
    _assert_close([schedule.factor(time(step)) for step in range(len(factors))], factors)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("plain", ReduceOnPlateau(0.1, 1)),
        ("cooldown", ReduceOnPlateau(0.5, 1, cooldown=2)),
        ("minimum", ReduceOnPlateau(0.2, 0, 0.01, minimum=0.03)),
    ],
)
def test_reduce_on_plateau_is_that_of_torch(name, schedule):
    memory, factors = schedule.new_memory(), []
    for loss in GOLDEN["plateau"]["losses"]:
        schedule.observe(loss, memory)
        factors.append(schedule.factor(Time()) * memory["scale"])
    _assert_close(factors, GOLDEN["plateau"]["runs"][name]["factors"])


# --- curves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [
        (Polynomial(), 1.0, 0.0),
        (Polynomial(0.5, 0.3), 1.0, 0.3),
        (Linear(), 1.0, 0.0),
        (Linear(0.2, 1.5), 0.2, 1.5),
        (Cosine(), 1.0, 0.0),
        (Cosine(0.3), 1.0, 0.3),
        (OneCycle(), 1 / 25, 1 / 25e4),
        (FlatCosine(), 1.0, 0.0),
        (CosineLog(), 0.0, 0.0),
        (CosineLog(1), 0.0, 0.0),
        (Warmup("cosine"), 0.1, 0.0),
        (Warmup("constant", start=0.0), 0.0, 1.0),
        (FunctionSchedule(square), 0.0, 1.0),
    ],
)
def test_first_and_last_factor(schedule, first, last):
    ends = [schedule.factor(Time(progress=t)) for t in (0.0, 1.0)]
    assert ends == pytest.approx([first, last], abs=1e-15)
    assert schedule.needs_horizon


@pytest.mark.parametrize(
    "schedule",
    [
        *(cls(unit="step") for cls in (StepDecay, Piecewise, Exponential, InverseTime)),
        *(cls(horizon=1000) for cls in (Polynomial, Linear, Cosine, FlatCosine)),
        OneCycle(1e-9, horizon=1000),
        FunctionSchedule(lambda t: 1 - t, horizon=1000),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_decaying_schedules_never_rise(schedule):
    factors = [schedule.factor(Time(step=step)) for step in range(1, 1200)]
    assert factors == sorted(factors, reverse=True)


def test_one_cycle_rises_to_its_peak_and_falls_after_it():
    factors = [OneCycle(0.4).factor(Time(progress=t)) for t in np.linspace(0.0, 1.0, 501)]
    assert factors[200] == 1.0
    assert factors[:201] == sorted(factors[:201])
    assert factors[200:] == sorted(factors[200:], reverse=True)


@each
def test_factors_are_finite_non_negative_python_floats(schedule):
    for variant in (schedule, schedule if isinstance(schedule, FunctionSchedule) else type(schedule)()):
        factors = [variant.factor(time) for time in TIMES]
        assert {type(factor) for factor in factors} == {float}
        # Only a function exceeds the initial value here.
        assert min(factors) >= 0.0
        assert max(factors) <= 1.0 or (isinstance(schedule, FunctionSchedule) and max(factors) < INF)


def test_flat_cosine_agrees_with_its_formula():
    # 1 for t < 1/2, then (1 + cos(pi (2 t - 1))) / 2.
    for t in np.linspace(0, 1, 41):
        wanted = 1.0 if t < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1)))
        assert FlatCosine().factor(Time(progress=t)) == pytest.approx(wanted, abs=1e-15)
    assert FlatCosine(0.0).factor(Time(progress=0.25)) == Cosine().factor(Time(progress=0.25))


def test_zeros_and_peaks_of_coslog():
    at = CosineLog().curve
    assert [at(t) for t in (0, 1 / 15, 3 / 15, 7 / 15, 1)] == pytest.approx([0.0] * 5, abs=1e-14)
    peaks = [(2 ** (cycle + 0.5) - 1) / 15 for cycle in range(4)]
    assert peaks == pytest.approx([0.028, 0.122, 0.310, 0.688], abs=6e-4)
    assert [at(t) for t in peaks] == pytest.approx([1.0] * 4, abs=1e-14)


def test_inverse_time_agrees_with_its_formula():
    assert [InverseTime(0.5).curve(t) for t in (0, 2, 8)] == [1.0, 0.5, 0.2]
    assert InverseTime(1.0, 0.5).curve(3.0) == 0.5


def test_exponential_stops_at_its_minimum():
    assert [Exponential(0.5, 0.2).curve(t) for t in (0.0, 1.0, 2.0, 3.0)] == [1.0, 0.5, 0.25, 0.2]


@pytest.mark.parametrize("cls", over_time)
def test_default_unit_is_epochs_with_fractions(cls):
    assert cls().factor(Time(step=10**6, epoch=3.5)) == cls().curve(3.5)
    assert cls(unit="step").factor(Time(step=9, epoch=3.5)) == cls().curve(9.0)


@pytest.mark.parametrize("cls", over_training)
def test_horizon_replaces_progress(cls):
    for step, done in ((0, 0.0), (10, 0.25), (40, 1.0), (400, 1.0)):
        assert cls(horizon=40).factor(Time(step=step)) == cls().factor(Time(progress=done))
    assert not cls(horizon=40).needs_horizon
    # The horizon has precedence over the progress.
    assert cls(horizon=40).factor(Time(step=10, progress=0.9)) == cls().factor(Time(progress=0.25))


@pytest.mark.parametrize("schedule", [*(cls() for cls in over_training), FunctionSchedule(square), Warmup("cosine")])
def test_factor_is_constant_after_the_end_of_the_training(schedule):
    assert schedule.factor(Time(progress=1.25)) == schedule.factor(Time(progress=1.0))


@pytest.mark.parametrize("schedule", [*(cls() for cls in over_training), FunctionSchedule(square), Warmup()])
def test_unknown_length_is_an_error_that_suggests_a_horizon(schedule):
    cls = type(schedule).__name__
    with pytest.raises(ValueError, match=rf"{cls} depends on the progress .*in steps.* that counts epochs or steps"):
        schedule.factor(Time(step=3, epoch=0.3))


def test_unknown_length_is_an_error_during_the_warmup():
    schedule = Warmup("cosine", 10, unit="step")
    assert schedule.needs_horizon
    with pytest.raises(ValueError, match="Cosine depends on the progress"):
        schedule.factor(Time(step=3))


# --- warm-up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in ("warmup", "invscaling")])
def test_schedule_after_a_warmup_starts_from_its_beginning(name):
    # A training of 500 steps, 10 per epoch; the warm-up takes 100 of them.
    for step in range(0, 401, 8):
        time = Time(100 + step, (100 + step) / 10, (100 + step) / 500)
        rest = SCHEDULES[name]().factor(Time(step, step / 10, step / 400))
        for duration, unit in ((100, "step"), (10, "epoch")):
            assert Warmup(name, duration, unit=unit).factor(time) == pytest.approx(rest, rel=1e-9, abs=1e-9)


def test_whole_epochs_stay_whole_after_a_warmup():
    schedule = Warmup(StepDecay(every=30), 7, unit="epoch")
    assert 37 * (1 - 7 / 37) < 30  # by rounding
    assert schedule.factor(Time(epoch=36.9)) == 1.0
    assert schedule.factor(Time(epoch=37.0)) == 0.1


def test_warmup_is_a_straight_line_from_its_start():
    schedule = Warmup(Linear(0.5, 0.0), 0.5, start=0.2)
    factors = [schedule.factor(Time(progress=t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert factors == pytest.approx([0.1, 0.3, 0.5, 0.25, 0.0], abs=1e-15)


def test_warmup_of_zero_duration_is_the_schedule_itself():
    assert [Warmup("cosine", 0.0).factor(Time(progress=t)) for t in (0.0, 0.5)] == [1.0, 0.5]


def test_warmup_of_the_whole_training():
    assert Warmup("cosine", 10, unit="step").factor(Time(step=10, progress=1.0)) == 0.0


def test_samples_are_counted_from_the_start_of_the_warmup():
    time = Time(step=200, samples=99)
    assert Warmup("invscaling", 10, unit="step").factor(time) == InverseScaling().factor(time) == pytest.approx(0.1)


@pytest.mark.parametrize("inner", [ReduceOnPlateau(0.5, 0), Adaptive()])
def test_metric_driven_rules_work_in_a_warmup(inner):
    schedule = Warmup(inner, 2, unit="step")
    memory, inner_memory = schedule.new_memory(), inner.new_memory()
    assert memory == inner_memory
    for value in (1.0, 1.0, 1.0):
        schedule.observe(value, memory)
        inner.observe(value, inner_memory)
        assert schedule.on_plateau(0.1, memory) == inner.on_plateau(0.1, inner_memory)
    assert memory == inner_memory
    assert memory["scale"] < 1.0


def test_settings_of_the_schedule_in_a_warmup_are_nested_parameters():
    schedule = Warmup("cosine")
    assert schedule.get_params()["schedule__end"] == 0.0
    assert schedule.set_params(schedule__end=0.2, start=0.5) == Warmup(Cosine(0.2), start=0.5)
    assert schedule.set_params(schedule="linear").schedule == Linear()


# --- rules for the monitored value --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "power_t", "factor"),
    [(0, 0.5, 1.0), (3, 0.5, 0.5), (99, 0.5, 0.1), (3, 1.0, 0.25), (1000, 0.0, 1.0), (9, 2.0, 0.01)],
)
def test_inverse_scaling_depends_on_the_samples_alone(samples, power_t, factor):
    assert InverseScaling(power_t).factor(Time(7, 0.7, 0.7, samples)) == pytest.approx(factor, rel=1e-15)


def test_adaptive_divides_until_the_minimum():
    schedule, initial, rates = Adaptive(10.0, 1e-3), 0.1, [0.1]
    memory = schedule.new_memory()
    while schedule.on_plateau(rates[-1], memory):
        rates.append(initial * schedule.factor(Time()) * memory["scale"])
    # 0.1 -> 0.01 -> 0.001. Rounding may make the last slightly larger than 0.001; then it is divided once more.
    assert rates[:3] == pytest.approx([0.1, 0.01, 0.001], rel=1e-15)
    assert rates[-1] <= 1e-3
    assert len(rates) <= 4


@pytest.mark.parametrize(("current", "goes_on"), [(0.2, True), (1.1e-6, True), (1e-6, False), (1e-7, False)])
def test_adaptive_defaults_are_scikit_learns(current, goes_on):
    memory = Adaptive().new_memory()
    assert Adaptive().on_plateau(current, memory) is goes_on
    assert memory == {"scale": 0.2 if goes_on else 1.0}


def test_adaptive_ignores_the_monitored_value():
    memory = Adaptive().new_memory()
    Adaptive().observe(NAN, memory)
    assert memory == {"scale": 1.0}


@pytest.mark.parametrize("value", [NAN, INF, 1.0, 0.99995])
def test_values_that_are_no_improvement(value):
    schedule = ReduceOnPlateau(0.5, 1)
    memory = schedule.new_memory()
    scales = []
    for observed in (1.0, value, value):
        schedule.observe(observed, memory)
        scales.append(memory["scale"])
    assert scales == [1.0, 1.0, 0.5]
    assert memory["best"] == 1.0


@pytest.mark.parametrize(("best", "same", "better"), [(2.0, 1.9, 1.7), (-2.0, -2.1, -2.3), (INF, INF, 5.0)])
def test_improvement_is_relative_for_both_signs(best, same, better):
    schedule = ReduceOnPlateau(threshold=0.1)
    memory = schedule.new_memory()
    schedule.observe(best, memory)
    for value, best_after in ((same, best), (best, best), (better, better)):
        schedule.observe(value, memory)
        assert memory["best"] == best_after


def test_reduce_on_plateau_never_ends_the_training_nor_goes_below_its_minimum():
    schedule = ReduceOnPlateau(0.1, 0, minimum=0.05)
    memory = schedule.new_memory()
    for _ in range(9):
        schedule.observe(1.0, memory)
    assert memory["scale"] == 0.05
    before = dict(memory)
    assert schedule.on_plateau(0.1, memory) is False
    assert memory == before


def test_only_metric_driven_rules_have_memory_and_it_holds_numbers():
    for name, cls in SCHEDULES.items():
        schedule, memory = cls(), cls().new_memory()
        assert all(type(value) in (int, float) for value in memory.values())
        assert bool(memory) == (name in ("adaptive", "reduce_on_plateau"))
        assert memory.get("scale", 1.0) == 1.0
        assert schedule.new_memory() is not schedule.new_memory()
        if not memory:
            schedule.observe(1.0, memory)
            assert schedule.on_plateau(0.1, memory) is False
            assert memory == {}


# --- scheduled values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.15, 2, np.float64(0.15), np.float32(0.5)])
def test_a_number_times_a_schedule_is_a_scheduled_value(value):
    for scheduled in (value * FlatCosine(), FlatCosine() * value):
        assert scheduled == Scheduled(float(value), FlatCosine())
        assert type(scheduled.value) is float
        assert scheduled.needs_horizon
        assert scheduled.at(Time(progress=0.75)) == pytest.approx(float(value) / 2)
        assert type(scheduled.at(Time(progress=0.75))) is float
    assert not (value * Exponential()).needs_horizon


@pytest.mark.parametrize("value", [np.ones(2), "2", True, None, [1.0]])
def test_only_numbers_can_be_multiplied_by_a_schedule(value):
    with pytest.raises(TypeError):
        value * Cosine()
    with pytest.raises(TypeError):
        Cosine() * value


@pytest.mark.parametrize("schedule", [Adaptive(), ReduceOnPlateau(), Warmup("adaptive")])
def test_metric_driven_rules_are_for_the_learning_rate_only(schedule):
    with pytest.raises(ValueError, match="'schedule' parameter of Scheduled must be a function of time"):
        0.1 * schedule


@pytest.mark.parametrize(("value", "schedule"), [(NAN, Cosine()), (INF, Cosine()), ("1", Cosine()), (1.0, "cosine")])
def test_invalid_scheduled_values_are_refused(value, schedule):
    with pytest.raises(ValueError, match="parameter of Scheduled must be"):
        Scheduled(value, schedule)


def test_scheduled_values_support_clone_pickle_and_set_params():
    scheduled = 0.9 * Linear(0.5, 1.0)
    for copy in (clone(scheduled), pickle.loads(pickle.dumps(scheduled))):
        assert copy == scheduled
    assert scheduled.set_params(schedule__end=0.7, value=0.8) == 0.8 * Linear(0.5, 0.7)
    assert repr(scheduled) == "Scheduled(value=0.8, schedule=Linear(start=0.5, end=0.7, horizon=None))"


def test_momentum_and_weight_decay_can_follow_a_schedule():
    assert SGD(momentum=0.9 * Linear(0.5, 1.0)).at(Time(progress=0.0)).momentum == 0.45
    assert RMSProp(momentum=0.9 * Linear(0.5, 1.0)).at(Time(progress=0.0)).momentum == 0.45
    for solver in (AdamW(weight_decay=0.1 * Linear()), Lion(weight_decay=0.1 * Linear())):
        assert solver.at(Time(progress=0.5)).weight_decay == 0.05
    nested = WithWeightDecay(SGD(momentum=0.9 * Linear(0.5, 1.0)), 0.1 * Linear())
    assert nested.at(Time(progress=0.0)) == WithWeightDecay(SGD(0.45), 0.1)
    with pytest.raises(ValueError, match=r"'momentum' parameter of SGD must be .* Got 1\.1 instead"):
        SGD(momentum=1.1 * Cosine())


@pytest.mark.parametrize("cls", SOLVERS.values())
def test_other_settings_of_solvers_cannot_follow_a_schedule(cls):
    for name, value in cls().get_params().items():
        if type(value) is float and name not in ("momentum", "weight_decay"):
            with pytest.raises(
                ValueError, match=f"'{name}' parameter of {cls.__name__} must be .* cannot follow a sch"
            ):
                cls(**{name: 0.5 * Cosine()})


@pytest.mark.parametrize("make", [lambda value: Cosine(end=value), lambda value: Scheduled(value, Cosine())])
def test_settings_of_a_schedule_cannot_follow_a_schedule(make):
    with pytest.raises(ValueError, match="it cannot follow a schedule"):
        make(0.5 * Cosine())


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.9), (0.9, 0.8), (0.8, 1.0), (NAN, 0.9)])
def test_invalid_momentum_cycles_are_refused(low, high):
    with pytest.raises(ValueError, match="0 < low <= high < 1"):
        OneCycle.momentum(low, high)


# --- functions and names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "t"), [("progress", 0.25), ("step", 30.0), ("epoch", 1.5)])
def test_function_of_progress_steps_or_epochs(of, t):
    assert FunctionSchedule(square, of).factor(Time(30, 1.5, 0.25)) == t * t
    assert FunctionSchedule(square, of).needs_horizon == (of == "progress")


def test_function_with_a_horizon():
    schedule = FunctionSchedule(square, horizon=40)
    assert [schedule.factor(Time(step=step)) for step in (0, 20, 40, 80)] == [0.0, 0.25, 1.0, 1.0]
    assert not schedule.needs_horizon


@pytest.mark.parametrize("number", [1, np.float32(1), np.array(1.0), np.where(True, 1.0, 0.0)])
def test_function_may_return_any_number_type(number):
    factor = FunctionSchedule(lambda t: number).factor(Time(progress=0.5))
    assert type(factor) is float
    assert factor == 1.0


@pytest.mark.parametrize("bad", [-0.1, NAN, INF, None, "fast", [1.0, 2.0]])
def test_function_that_returns_no_valid_factor_is_named_in_the_error(bad):
    def warped(t):
        return bad

    with pytest.raises(ValueError, match=r"finite, non-negative number\. The function .*warped gave .* progress 0\.5"):
        FunctionSchedule(warped).factor(Time(progress=0.5))


def test_as_schedule_of_a_name():
    assert {name: as_schedule(name) for name in SCHEDULES} == {name: cls() for name, cls in SCHEDULES.items()}


def test_as_schedule_of_other_choices():
    schedule = Cosine(0.1)
    assert as_schedule(schedule) is schedule
    assert as_schedule(square) == FunctionSchedule(square, of="progress")
    assert as_schedule("invscaling", power_t=0.7) == InverseScaling(0.7)
    assert as_schedule("constant", power_t=0.7) == ConstantRate()


@pytest.mark.parametrize("choice", ["cosine-ish", None, 0.1, Cosine, 0.1 * Cosine()])
def test_as_schedule_refuses_other_types(choice):
    with pytest.raises(ValueError, match=r"A schedule must be a str among \{'constant', .*'Schedule'"):
        as_schedule(choice)


# --- settings -----------------------------------------------------------------------------------------------------


def test_every_schedule_is_registered_exported_and_tested_here():
    public = {
        value for value in vars(skmlp.optim).values() if inspect.isclass(value) and issubclass(value, Schedule)
    } - {Schedule}
    assert public == {type(schedule) for schedule in SETTINGS}
    assert public == {*SCHEDULES.values(), FunctionSchedule}


@each
def test_clone_pickle_and_repr_keep_every_setting(schedule):
    names = {"Warmup": Warmup, "Cosine": Cosine, type(schedule).__name__: type(schedule), "inf": INF}
    copies = [clone(schedule), pickle.loads(pickle.dumps(schedule))]
    if not isinstance(schedule, FunctionSchedule):
        copies.append(eval(repr(schedule), names))
        default = type(schedule)().get_params()
        assert all(schedule.get_params()[name] != value for name, value in default.items())
    for copy in copies:
        assert copy is not schedule
        assert copy == schedule
        assert copy.get_params() == schedule.get_params()


def test_schedules_are_not_changed_by_their_use():
    for schedule in SETTINGS:
        before, memory = clone(schedule), schedule.new_memory()
        for step in range(30):
            schedule.factor(Time(step, step / 10, step / 30, step))
            schedule.observe(1.0, memory)
            schedule.on_plateau(0.1, memory)
        assert schedule == before


def test_per_step_is_false_for_schedules_that_change_between_epochs_only():
    coarse = {type(schedule) for schedule in SETTINGS if not schedule.per_step}
    assert coarse == {ConstantRate, InverseScaling, Adaptive, ReduceOnPlateau}


BAD = [
    *((cls, "unit", value) for cls in over_time for value in ("steps", "progress", None)),
    *((cls, "horizon", value) for cls in over_training for value in (0, -1, 1.5, "all", True)),
    (FunctionSchedule, "horizon", 0),
    (FunctionSchedule, "of", "time"),
    (FunctionSchedule, "function", 3.0),
    *((StepDecay, "every", value) for value in (0.0, -1.0, NAN, INF)),
    *((cls, "decay", value) for cls in (StepDecay, Exponential, Cyclic) for value in (0.0, 1.1, NAN)),
    *((Exponential, "minimum", value) for value in (-0.1, 1.1)),
    *((InverseTime, name, value) for name in ("decay", "power") for value in (-0.1, INF)),
    *((Polynomial, "power", value) for value in (0.0, INF)),
    *((cls, "end", value) for cls in (Polynomial, Linear, Cosine, OneCycle, CosineRestarts) for value in (-0.1, NAN)),
    *((cls, "start", -0.1) for cls in (Linear, OneCycle, Warmup)),
    *((CosineRestarts, "period", value) for value in (0.0, -1.0)),
    *((CosineRestarts, "period_factor", value) for value in (0.9, INF)),
    *((OneCycle, "peak", value) for value in (0.0, 1.0)),
    *((FlatCosine, "flat", value) for value in (-0.1, 1.0)),
    *((CosineLog, "n_cycles", value) for value in (0, 1.5, True)),
    *((Cyclic, "low", value) for value in (-0.1, 1.1)),
    (Cyclic, "period", 0.0),
    (Cyclic, "shape", "sine"),
    (Warmup, "start", 1.1),
    (Warmup, "unit", "samples"),
    *((Warmup, "duration", value) for value in (-0.1, 1.0, NAN)),
    *((ReduceOnPlateau, "decay", value) for value in (0.0, 1.0)),
    *((ReduceOnPlateau, "threshold", value) for value in (-0.1, 1.0)),
    *((ReduceOnPlateau, name, value) for name in ("patience", "cooldown") for value in (-1, 0.5)),
    *((ReduceOnPlateau, "minimum", value) for value in (-0.1, 1.1)),
    *((InverseScaling, "power_t", value) for value in (-0.5, NAN)),
    *((Adaptive, "divisor", value) for value in (1.0, 0.5, INF)),
    *((Adaptive, "minimum", value) for value in (0.0, -1.0)),
    *((Piecewise, name, value) for name in ("boundaries", "factors") for value in (3, (-1.0, 2.0), (NAN, 1.0), "ab")),
    *((Piecewise, "boundaries", value) for value in ((5, 3), (0, 3), (3, 3))),
    *((Piecewise, "factors", value) for value in ((1.0, 0.5), (), (1.0, 0.5, 0.1, 0.1))),
]


@pytest.mark.parametrize("cls", dict.fromkeys(cls for cls, *_ in BAD))
def test_invalid_settings_are_refused_by_name(cls):
    required = {"function": square} if cls is FunctionSchedule else {}
    for name, value in [case for each, *case in BAD if each is cls]:
        with pytest.raises(
            ValueError, match=rf"'{name}' parameter of {cls.__name__} must .*Got {re.escape(repr(value))}"
        ):
            cls(**{**required, name: value})


@pytest.mark.parametrize(("unit", "duration"), [("step", 0.05), ("step", 0), ("epoch", -1)])
def test_duration_of_a_warmup_depends_on_its_unit(unit, duration):
    with pytest.raises(ValueError, match="'duration' parameter of Warmup"):
        Warmup(duration=duration, unit=unit)


def test_bounds_of_closed_ranges_are_allowed():
    for schedule in (
        StepDecay(1e-3, 1.0),
        Exponential(1.0, 1.0),
        InverseTime(0.0, 0.0),
        Linear(0.0, 0.0),
        CosineRestarts(1.0, 1.0, 2.0),
        Cyclic(0.0, decay=1.0),
        Cyclic(1.0),
        Piecewise((), (0.5,)),
        Piecewise([1], [0, 2]),
        Warmup(start=0.0),
        Warmup(start=1.0),
        Warmup(duration=0.0),
        Warmup(duration=0.0, unit="epoch"),
        ReduceOnPlateau(patience=0, threshold=0.0, minimum=1.0),
        InverseScaling(0.0),
    ):
        assert schedule == clone(schedule)
        assert math.isfinite(schedule.factor(Time(3, 0.3, 0.3, 30)))


def test_numpy_numbers_become_python_numbers():
    kinds = {int: np.int64, float: np.float64}
    for schedule in SETTINGS:
        given = {name: value for name, value in schedule.get_params(deep=False).items() if type(value) in kinds}
        changed = clone(schedule).set_params(**{name: kinds[type(value)](value) for name, value in given.items()})
        assert [type(changed.get_params()[name]) for name in given] == [type(value) for value in given.values()]
        assert changed == schedule
