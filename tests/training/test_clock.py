"""The time that schedules see, the settings of each step, and time limits."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import (
    SGD,
    AdamW,
    ClipByGlobalNorm,
    ConstantRate,
    Cosine,
    CosineRestarts,
    Exponential,
    FunctionSchedule,
    InverseScaling,
    Linear,
    Piecewise,
    ReduceOnPlateau,
    Schedule,
    ScheduleFreeAdamW,
    Time,
)
from skmlp.training import clock as clock_module
from skmlp.training.batches import Data
from skmlp.training.loop import train
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

RATE, N_SAMPLES, STEPS = 0.01, 50, 7  # batches of 8, the last of 2


def _data(seed=1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_SAMPLES, 3))
    return Data(X, np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:])


def _recipe(solver=None, schedule=None, dropout=(), **settings):
    network = multilayer_perceptron([3, 8, 1], [ACTIVATIONS["tanh"]], dropout=dropout)
    objective = Objective(network, LOSSES["squared_error"], 0.1)
    return Recipe(objective, solver or SGD(), schedule or ConstantRate(), RATE, **settings)


def _state(recipe):
    params = recipe.objective.network.parameters(dtype=np.float64)
    initialize(recipe.objective.network, params, np.random.default_rng(0))
    return TrainingState(
        params,
        recipe.solver.init(params.trained, params.n_weights, params.layout),
        np.random.default_rng(7),
        recipe.learning_rate_init,
        Plateau(0.0, math.inf),
        schedule_memory=recipe.schedule.new_memory(),
        dropout_rng=np.random.default_rng(8),
    )


def _run(
    recipe, state, epochs, data=None, after_epoch=lambda row: None, validation=None, restore_best=False, **settings
):
    rows = []
    plan = Plan(batch_size=8, max_epochs=epochs, **settings)
    criterion = Criterion(validation=validation, restore_best=restore_best)

    def on_epoch_end(row, is_last):
        rows.append({**row, "is_last": is_last})
        after_epoch(row)

    return train(recipe, state, data or _data(), plan, criterion, on_epoch_end=on_epoch_end), rows


class _Recording(SGD):
    """Descent with scheduled momentum, which records the time and the learning rate of each step."""

    def update(self, params, grad, state, learning_rate, time=None):
        self.seen.append((time, learning_rate))
        self.on_step()
        super().update(params, grad, state, learning_rate, time)


def _recording(on_step=lambda: None):
    solver = _Recording(0.9 * Exponential(0.99, unit="step"))
    solver.seen, solver.on_step = [], on_step
    return solver


# ------------------------------------------------------------------ time


@pytest.mark.parametrize("length", [5, None])
def test_time_is_counted_over_successive_calls(length):
    solver = _recording()
    recipe = _recipe(solver)
    state = _state(recipe)
    for epochs in (2, 3):
        _run(recipe, state, epochs, length=length)
    times = [time for time, _ in solver.seen]
    assert [time.step for time in times] == list(range(5 * STEPS))
    np.testing.assert_allclose([time.epoch for time in times], np.arange(5 * STEPS) / STEPS, rtol=1e-15)
    assert [time.samples for time in times] == [N_SAMPLES * (step // STEPS) for step in range(5 * STEPS)]
    if length is None:
        assert {time.progress for time in times} == {None}
    else:
        # From 0 in the first step on; 1 would be after the last one.
        assert [time.progress for time in times] == [step / (5 * STEPS) for step in range(5 * STEPS)]
    assert (state.step, state.epoch) == (5 * STEPS, 5)


def test_the_time_at_the_start_of_an_epoch_is_an_integer():
    # A sum of sevenths would be just below it, and this schedule an epoch late.
    recipe = _recipe(schedule=Piecewise(range(1, 20), tuple(0.9**k for k in range(20))))
    _, rows = _run(recipe, _state(recipe), 20)
    np.testing.assert_allclose([row["learning_rate"] for row in rows], [RATE * 0.9**k for k in range(20)], rtol=1e-12)


def test_a_skipped_batch_counts_as_a_step_of_the_schedule():
    X, y, _ = _data()
    weight = np.ones(N_SAMPLES)
    weight[:8] = weight[16:24] = 0.0
    solver = _recording()
    recipe = _recipe(solver)
    state = _state(recipe)
    _run(recipe, state, 2, Data(X, y, weight), length=2, shuffle=False)
    assert [time.step for time, _ in solver.seen] == [1, 3, 4, 5, 6, 8, 10, 11, 12, 13]
    # Also if the first batch of the epoch is skipped.
    np.testing.assert_allclose(
        [time.epoch for time, _ in solver.seen], [n / 7 for n in (1, 3, 4, 5, 6, 8, 10, 11, 12, 13)]
    )
    assert state.step == 14


def test_a_schedule_over_a_training_of_unknown_length_raises_before_any_change():
    recipe = _recipe(schedule=Cosine())
    state = _state(recipe)
    before = state.copy()
    with pytest.raises(ValueError, match="the length of this training is unknown"):
        _run(recipe, state, 2)
    np.testing.assert_array_equal(state.params.vector, before.params.vector)
    assert state.rng.bit_generator.state == before.rng.bit_generator.state
    assert (state.step, state.epoch, state.samples_seen) == (0, 0, 0)


# ------------------------------------------------------------------ learning rates and settings


@pytest.mark.parametrize(
    "schedule",
    [Linear(), Cosine(end=0.2), FunctionSchedule(lambda step: 1.0 / (1.0 + step), of="step"), CosineRestarts(0.5)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_each_step_has_its_own_learning_rate_and_the_row_has_the_mean(schedule):
    solver = _recording()
    recipe = _recipe(solver, schedule)
    _, rows = _run(recipe, _state(recipe), 3, length=3)
    steps = range(3 * STEPS)
    expected = [RATE * schedule.factor(Time(step, step / STEPS, step / (3 * STEPS))) for step in steps]
    rates = [rate for _, rate in solver.seen]
    np.testing.assert_allclose(rates, expected, rtol=1e-13)
    assert len(set(rates[:STEPS])) > 2
    means = np.reshape(rates, (3, STEPS)).mean(axis=1)
    np.testing.assert_allclose([row["learning_rate"] for row in rows], means, rtol=1e-13)


def test_a_schedule_of_epochs_is_constant_within_an_epoch():
    solver = _recording()
    recipe = _recipe(solver, InverseScaling(0.5))
    _run(recipe, _state(recipe), 3)
    rates = np.reshape([rate for _, rate in solver.seen], (3, STEPS))
    np.testing.assert_allclose(rates[:, 0], RATE / np.sqrt(N_SAMPLES * np.arange(3) + 1.0), rtol=1e-13)
    assert (rates == rates[:, :1]).all()


class _Counting(Schedule):
    """A schedule of epochs that records when it is evaluated."""

    per_step = False

    def factor(self, time):
        self.asked.append(time.step)
        return 1.0

    def get_params(self, deep=True):
        return {}


def test_a_schedule_of_epochs_is_evaluated_once_per_epoch():
    schedule = _Counting()
    schedule.asked = []
    recipe = _recipe(schedule=schedule)
    _run(recipe, _state(recipe), 3)
    assert schedule.asked == [0, STEPS, 2 * STEPS]


def test_a_schedule_that_reacts_to_the_loss_scales_the_next_epoch():
    class Once(ReduceOnPlateau):
        def observe(self, value, memory):
            memory["scale"] *= 0.5

    solver = _recording()
    recipe = _recipe(solver, Once())
    _run(recipe, _state(recipe), 3)
    rates = np.reshape([rate for _, rate in solver.seen], (3, STEPS))
    np.testing.assert_array_equal(rates, np.repeat(RATE * np.array([[1.0], [0.5], [0.25]]), STEPS, axis=1))


def test_momentum_follows_its_schedule():
    # Momentum that changes after the first epoch equals one epoch with each value, on the same velocity.
    jumping = _recipe(SGD(0.9 * Piecewise((1,), (1.0, 1 / 3))))
    first, second = _recipe(SGD(0.9)), _recipe(SGD(0.9 * (1 / 3)))
    state, parts = _state(jumping), _state(first)
    _run(jumping, state, 2)
    _run(first, parts, 1)
    _run(second, parts, 1)
    np.testing.assert_array_equal(state.params.vector, parts.params.vector)


def test_dropout_follows_its_schedule():
    rate = 0.5 * Piecewise((1,), (1.0, 0.0))
    scheduled, dropping, plain = _recipe(dropout=[rate]), _recipe(dropout=[0.5]), _recipe()
    state, parts = _state(scheduled), _state(dropping)
    _run(scheduled, state, 2)
    _run(dropping, parts, 1)
    parts.params = plain.objective.network.parameters(parts.params.vector)
    _run(plain, parts, 1)
    np.testing.assert_array_equal(state.params.vector, parts.params.vector)


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": SGD(1.0 * Linear(0.5, 1.1))},
        {"dropout": [0.5 * Linear(0.0, 2.5)]},
    ],
    ids=["solver", "dropout"],
)
def test_a_scheduled_setting_that_leaves_its_range_raises_before_the_first_step(settings):
    recipe = _recipe(**settings)
    state = _state(recipe)
    before = state.params.vector.copy()
    with pytest.raises(ValueError, match=r"value its schedule gives after \d+ steps"):
        _run(recipe, state, 3, length=3)
    np.testing.assert_array_equal(state.params.vector, before)
    assert state.step == 0


def test_with_a_time_limit_a_setting_is_checked_at_the_end_of_its_schedule():
    recipe = _recipe(SGD(1.0 * Linear(0.5, 1.001)))  # 0.977 in the last of 21 steps
    _run(recipe, _state(recipe), 3, length=3)
    with pytest.raises(ValueError, match=r"value its schedule gives after 20 steps"):
        _run(recipe, _state(recipe), 3, length=3, max_seconds=1e9)


EVERYTHING = {
    "solver": AdamW(weight_decay=0.1 * Linear(0.5, 1.0)),
    "schedule": Cosine(end=0.1),
    "dropout": [0.4 * Linear()],
    "clip": ClipByGlobalNorm(1.0),
    "averaging": 0.9,
}


SCHEDULE_FREE = {"solver": ScheduleFreeAdamW(weight_decay=0.1 * Linear(0.5, 1.0), warmup_steps=9), "averaging": None}


@pytest.mark.parametrize("changes", [{}, SCHEDULE_FREE], ids=["averaging", "schedule-free"])
@pytest.mark.parametrize("copied", [False, True])
def test_training_in_two_calls_equals_one_call_with_scheduled_settings(copied, changes):
    recipe = _recipe(**EVERYTHING | changes)
    whole, parts = _state(recipe), _state(recipe)
    _, rows = _run(recipe, whole, 5, length=5)
    _, first = _run(recipe, parts, 2, length=5)
    if copied:
        parts, left = parts.copy(), parts
        _run(recipe, left, 1, length=5)  # which touches nothing of the copy
    _, second = _run(recipe, parts, 3, length=5)
    np.testing.assert_array_equal(parts.params.vector, whole.params.vector)
    np.testing.assert_array_equal(parts.average.vector, whole.average.vector)
    for name in ("step", "epoch", "samples_seen", "learning_rate", "schedule_memory"):
        assert getattr(parts, name) == getattr(whole, name), name
    for name in ("rng", "dropout_rng"):
        assert getattr(parts, name).bit_generator.state == getattr(whole, name).bit_generator.state, name
    for name in ("loss", "learning_rate", "gradient_norm", "clipped_fraction"):
        assert [row[name] for row in first + second] == [row[name] for row in rows], name


# ------------------------------------------------------------------ time limits


class _Clock:
    """A clock that moves only when told to."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def tick(self):
        self.now += 1.0


@pytest.fixture(name="clock")
def _clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(clock_module, "perf_counter", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "n_steps", "n_epochs", "n_samples"),
    [(0.5, 1, 1, 8), (3.0, 3, 1, 24), (6.5, 7, 1, 50), (7.0, 7, 1, 50), (7.5, 8, 2, 58), (10.0, 10, 2, 74)],
)
def test_training_ends_after_the_step_that_reaches_the_time_limit(clock, seconds, n_steps, n_epochs, n_samples):
    solver = _recording(clock.tick)  # a step takes a second
    recipe = _recipe(solver)
    state = _state(recipe)
    result, rows = _run(recipe, state, 100, max_seconds=seconds)
    assert (result.reason, result.n_epochs, len(rows)) == ("max_time", n_epochs, n_epochs)
    assert (len(solver.seen), state.step, state.samples_seen) == (n_steps, n_steps, n_samples)
    assert [row["is_last"] for row in rows] == [False] * (n_epochs - 1) + [True]
    rows_of_the_last = n_samples - 50 * (n_epochs - 1)
    assert rows[-1]["samples_per_second"] * rows[-1]["seconds"] == pytest.approx(rows_of_the_last, rel=1e-6)


def test_a_time_limit_does_not_end_training_before_the_first_step(clock):
    X, y, _ = _data()
    weight = np.ones(N_SAMPLES)
    weight[:16] = 0.0  # two batches
    recipe = _recipe(_recording(clock.tick))
    state = _state(recipe)
    _run(recipe, state, 5, Data(X, y, weight), max_seconds=0.0, shuffle=False)
    assert (len(recipe.solver.seen), state.step) == (1, 3)


def test_merged_rows_count_as_several_samples_in_an_incomplete_epoch(clock):
    recipe = _recipe(_recording(clock.tick))
    state = _state(recipe)
    _run(recipe, state, 9, max_seconds=10.0, samples_per_epoch=100)
    assert state.samples_seen == 100 + 2 * 24
    _run(recipe, state, 9, max_seconds=7.0, samples_per_epoch=100)
    assert state.samples_seen == 148 + 100


def test_the_row_of_an_incomplete_epoch_has_the_means_of_its_steps(clock):
    cut, whole = _recipe(_recording(clock.tick)), _recipe(_recording())
    state, same_steps = _state(cut), _state(whole)
    _, (row,) = _run(cut, state, 10, max_seconds=3.0, shuffle=False)
    X, y, _ = _data()
    _, (expected,) = _run(whole, same_steps, 1, Data(X[:24], y[:24]), shuffle=False)
    np.testing.assert_array_equal(state.params.vector, same_steps.params.vector)
    for name in ("loss", "penalty", "gradient_norm"):
        assert row[name] == expected[name], name


def test_without_a_time_limit_the_clock_is_ignored(clock):
    recipe = _recipe(_recording(clock.tick))
    assert _run(recipe, _state(recipe), 4)[0].reason == "max_iter"


@pytest.mark.parametrize(
    ("seconds", "fraction"),
    [
        (14.0, lambda step: step / 14),  # time for two of the ten epochs
        (1e9, lambda step: step / 70),  # more than enough time: the epochs decide
        (35.0, lambda step: step / 35),
    ],
)
def test_progress_is_the_larger_fraction_of_time_and_of_epochs(clock, seconds, fraction):
    solver = _recording(clock.tick)
    recipe = _recipe(solver, Linear())
    _run(recipe, _state(recipe), 10, length=10, max_seconds=seconds)
    n_steps = len(solver.seen)
    assert n_steps == min(70, seconds)
    fractions = [fraction(step) for step in range(n_steps)]
    np.testing.assert_allclose([time.progress for time, _ in solver.seen], fractions, rtol=1e-12)
    np.testing.assert_allclose([rate for _, rate in solver.seen], RATE * (1.0 - np.array(fractions)), rtol=1e-12)


def test_progress_is_at_most_one(clock):
    def slow_callback(row):
        clock.now += 100.0

    solver = _recording(clock.tick)
    recipe = _recipe(solver, Linear())
    result, _ = _run(recipe, _state(recipe), 10, length=10, max_seconds=50.0, after_epoch=slow_callback)
    # The limit was reached between two epochs, so there is one more step, at the end of the schedule.
    assert (result.reason, result.n_epochs, len(solver.seen)) == ("max_time", 2, STEPS + 1)
    assert (solver.seen[-1][0].progress, solver.seen[-1][1]) == (1.0, 0.0)


def test_a_time_limit_reached_during_validation_ends_training(clock):
    def score(params, raw):
        clock.now += 10.0
        return 0.5

    recipe = _recipe(_recording(clock.tick))
    validation = Validation(_data(2), LOSSES["squared_error"], score)
    result, rows = _run(recipe, _state(recipe), 10, max_seconds=15.0, validation=validation)
    assert (result.reason, result.n_epochs, rows[-1]["is_last"]) == ("max_time", 1, True)


def test_restore_best_applies_when_the_time_limit_is_reached(clock):
    scores = iter([0.9, 0.1])
    recipe, plain = _recipe(_recording(clock.tick)), _recipe(_recording())
    state, expected = _state(recipe), _state(plain)
    validation = Validation(_data(2), LOSSES["squared_error"], lambda params, raw: next(scores))
    result, _ = _run(recipe, state, 10, max_seconds=9.0, validation=validation, restore_best=True)
    _run(plain, expected, 1)
    assert (result.reason, result.n_epochs, result.best_epoch) == ("max_time", 2, 1)
    np.testing.assert_array_equal(state.params.vector, expected.params.vector)
