"""Several trainings that advance together, epoch by epoch."""

import threading

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import Adam, as_schedule
from skmlp.training.batches import Data
from skmlp.training.ensemble import train_together
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import EpochRunner, Training, train
from skmlp.training.plan import Plan
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

_rng = np.random.default_rng(0)
DATA = Data(_rng.standard_normal((40, 3)), _rng.standard_normal((40, 1)))


def _recipe(rate=0.01, schedule="constant"):
    network = multilayer_perceptron([3, 5, 1], [ACTIVATIONS["tanh"]])
    return Recipe(Objective(network, LOSSES["squared_error"]), Adam(), as_schedule(schedule), rate)


def _state(recipe, seed):
    params = recipe.objective.network.parameters(dtype=np.float64)
    initialize(recipe.objective.network, params, np.random.default_rng(seed))
    solver_state = recipe.solver.init(params.trained, params.n_weights, params.layout)
    return TrainingState(params, solver_state, np.random.default_rng(seed), recipe.learning_rate_init, Plateau(0.0, 99))


def _plan(n_epochs=3, **rest):
    return Plan(batch_size=8, max_epochs=n_epochs, length=n_epochs, **rest)


def _trainings(n, lengths=None, **rest):
    recipe = _recipe()
    states = [_state(recipe, seed) for seed in range(n)]
    lengths = lengths or [3] * n
    trainings = [Training(recipe, state, DATA, _plan(k, **rest)) for state, k in zip(states, lengths, strict=True)]
    return trainings, states


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_each_training_has_the_bits_of_the_same_training_alone(n_threads):
    trainings, states = _trainings(3)
    train_together(trainings, n_threads)
    for seed, (training, state) in enumerate(zip(trainings, states, strict=True)):
        recipe = _recipe()
        alone = _state(recipe, seed)
        result = train(recipe, alone, DATA, _plan())
        assert training.finish() == result
        np.testing.assert_array_equal(state.params.vector, alone.params.vector)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rounds_report_the_epochs_of_those_that_still_train(n_threads):
    trainings, _ = _trainings(3, lengths=[1, 3, 2])
    rounds = []

    def on_round(outcomes, is_last):
        rounds.append((sorted(outcomes), is_last))
        assert all(np.isfinite(row["loss"]) for row in outcomes.values())

    train_together(trainings, n_threads, on_round)
    assert rounds == [([0, 1, 2], False), ([1, 2], False), ([1], True)]
    assert [training.n_epochs for training in trainings] == [1, 3, 2]


def test_a_reason_to_stop_ends_those_that_still_train():
    trainings, _ = _trainings(2, lengths=[1, 5])
    train_together(trainings, 1, lambda outcomes, is_last: "converged")
    assert [training.finish().reason for training in trainings] == ["max_iter", "converged"]
    assert [training.n_epochs for training in trainings] == [1, 1]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_training_that_fails_is_reported_and_the_others_go_on(n_threads):
    trainings, _ = _trainings(2)
    failing = _recipe(rate=1e200)
    trainings.insert(1, Training(failing, _state(failing, 5), DATA, _plan()))
    outcomes = []
    train_together(trainings, n_threads, lambda found, is_last: outcomes.append(found))
    assert isinstance(outcomes[0][1], NonFiniteError)
    assert [sorted(found) for found in outcomes] == [[0, 1, 2], [0, 2], [0, 2]]


def test_an_interruption_while_threads_compute_completes_their_epochs(monkeypatch):
    trainings, _ = _trainings(2, lengths=[9, 9])
    run, main = EpochRunner.run, threading.main_thread()

    def interrupting(runner):
        row = run(runner)
        if trainings[0].n_epochs == 2:
            import _thread

            _thread.interrupt_main()
        assert threading.current_thread() is not main
        return row

    monkeypatch.setattr(EpochRunner, "run", interrupting)
    train_together(trainings, 2)
    assert [training.finish().reason for training in trainings] == ["interrupted"] * 2
    assert {training.n_epochs for training in trainings} <= {2, 3}


def test_an_interruption_without_threads_ends_all(monkeypatch):
    trainings, _ = _trainings(3, lengths=[9, 9, 9])
    run = EpochRunner.run

    def interrupted(runner):
        if trainings[1].n_epochs == 1 and trainings[0].n_epochs == 2:
            raise KeyboardInterrupt
        return run(runner)

    monkeypatch.setattr(EpochRunner, "run", interrupted)
    rounds = []
    train_together(trainings, 1, lambda outcomes, is_last: rounds.append((outcomes, is_last)))
    assert [training.finish().reason for training in trainings] == ["interrupted"] * 3
    assert [training.n_epochs for training in trainings] == [2, 1, 1]
    assert rounds[-1][1]


def test_a_time_limit_counts_the_seconds_of_each_training_alone(monkeypatch):
    """Every look at the clock is one second later; a training is paused while the other one has its turn."""
    ticks = iter(range(10**6))
    for module in ("clock", "loop"):
        monkeypatch.setattr(f"skmlp.training.{module}.perf_counter", lambda: float(next(ticks)))
    trainings, _ = _trainings(4, lengths=[50] * 4, max_seconds=60.0)
    train_together(trainings, 1)
    epochs = [training.n_epochs for training in trainings]
    assert min(epochs) > 1
    assert max(epochs) - min(epochs) <= 1
    assert [training.finish().reason for training in trainings] == ["max_time"] * 4


def test_seconds_before_the_first_turn_do_not_count(monkeypatch):
    """Such as those in which steps are compiled for another training."""
    now = [0.0]
    for module in ("clock", "loop"):
        monkeypatch.setattr(f"skmlp.training.{module}.perf_counter", lambda: now[0])
    trainings, _ = _trainings(2, max_seconds=60.0)
    now[0] += 1000.0
    train_together(trainings, 1)
    assert [training.finish().reason for training in trainings] == ["max_iter"] * 2


def test_pauses_are_those_of_the_schedule():
    recipe = _recipe(schedule="coslog")
    assert Training(recipe, _state(recipe, 0), DATA, _plan()).pauses == pytest.approx((1 / 15, 3 / 15, 7 / 15, 1.0))
    assert _trainings(1)[0][0].pauses == (1.0,)


def test_the_schedule_is_low_in_its_pauses():
    from skmlp.optim import SCHEDULES, Time

    for name, kind in SCHEDULES.items():
        schedule = kind()
        if schedule.needs_horizon and len(schedule.pauses) > 1:
            for pause in schedule.pauses:
                assert schedule.factor(Time(progress=pause)) == pytest.approx(0.0, abs=1e-12), name


def test_a_training_uses_only_its_rows():
    recipe, rows = _recipe(), np.arange(0, 40, 2)
    half, alone = _state(recipe, 0), _state(recipe, 0)
    training = Training(recipe, half, DATA, _plan(), rows=rows)
    train_together([training], 1)
    ordered = Training(recipe, alone, DATA.take(rows), _plan())
    train_together([ordered], 1)
    np.testing.assert_allclose(half.params.vector, alone.params.vector, rtol=1e-12)
