"""Learning-rate schedules: the rate after an epoch, and what happens when progress stops."""

import pytest
from sklearn.base import clone

from skmlp.optim import SCHEDULES, Adaptive, ConstantRate, InverseScaling


def test_names():
    assert [SCHEDULES[name] for name in ("constant", "invscaling", "adaptive")] == [
        ConstantRate,
        InverseScaling,
        Adaptive,
    ]


@pytest.mark.parametrize("cls", [ConstantRate, Adaptive])
def test_most_schedules_start_at_the_initial_rate(cls):
    assert cls().start(0.1, 0) == cls().start(0.1, 1000) == 0.1


def test_inverse_scaling_starts_where_the_samples_seen_put_it():
    assert InverseScaling().start(0.1, 0) == 0.1
    assert InverseScaling().start(0.1, 99) == InverseScaling().after_epoch(0.1, 0.7, 99) == pytest.approx(0.01)


def test_constant_keeps_the_initial_rate_and_ends_on_a_plateau():
    assert ConstantRate().after_epoch(0.1, 0.05, 1000) == 0.1
    assert ConstantRate().on_plateau(0.1) is None


@pytest.mark.parametrize(
    ("power_t", "samples_seen", "rate"),
    [(0.5, 0, 0.1), (0.5, 3, 0.05), (0.5, 99, 0.01), (1.0, 3, 0.025), (0.0, 1000, 0.1), (2.0, 9, 0.001)],
)
def test_inverse_scaling(power_t, samples_seen, rate):
    # initial / (samples_seen + 1) ** power_t, whatever the current rate.
    assert InverseScaling(power_t).after_epoch(0.1, 0.7, samples_seen) == pytest.approx(rate, rel=1e-15)


def test_inverse_scaling_falls_and_ends_on_a_plateau():
    rates = [InverseScaling().after_epoch(0.1, 0.1, 60 * epoch) for epoch in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 10
    assert InverseScaling().on_plateau(0.1) is None


def test_adaptive_keeps_the_current_rate():
    assert Adaptive().after_epoch(0.1, 0.02, 1000) == 0.02


def test_adaptive_divides_on_a_plateau_until_the_minimum():
    schedule, rate, rates = Adaptive(factor=10.0, minimum=1e-3), 0.1, []
    while (rate := schedule.on_plateau(rate)) is not None:
        rates.append(rate)
    # 0.1 -> 0.01 -> 0.001; the last may miss 0.001 by rounding and be divided once more.
    assert rates[:2] == pytest.approx([0.01, 0.001], rel=1e-15)
    assert rates[-1] <= 1e-3
    assert len(rates) <= 3


@pytest.mark.parametrize(("current", "following"), [(0.2, 0.04), (1.1e-6, 2.2e-7), (1e-6, None), (1e-7, None)])
def test_adaptive_defaults_are_scikit_learns(current, following):
    got = Adaptive().on_plateau(current)
    assert got is None if following is None else got == pytest.approx(following, rel=1e-15)


@pytest.mark.parametrize("cls", SCHEDULES.values())
def test_a_schedule_holds_settings_only(cls):
    schedule = cls()
    before = clone(schedule)
    schedule.after_epoch(0.1, 0.1, 10)
    schedule.on_plateau(0.1)
    assert schedule == before
