"""What is recorded from inside the network, against slow and obvious computations."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import BANDS
from skmlp.optim.schedules import SCHEDULES
from skmlp.optim.solvers import SGD
from skmlp.training.batches import Data
from skmlp.training.monitor import Monitor, append_observation, empty_observations
from skmlp.training.stopping import Plateau
from skmlp.training.trainer import Trainer, TrainingState

SIZES = (4, 8, 6, 2)


def _train(monitor_every=None, *, epochs=3, n_samples=50, batch_size=20, activation="relu", watch=None, rate=0.1):
    """Train with a monitor that keeps what it was shown; return the record and what it saw."""
    rng = np.random.default_rng(0)
    network = multilayer_perceptron(SIZES, [ACTIVATIONS[activation]] * 2)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng)
    data = Data(rng.standard_normal((n_samples, 4)), rng.standard_normal((n_samples, 2)))
    solver = SGD()
    state = TrainingState(
        params, solver.init(params.vector, params.n_weights), np.random.default_rng(1), rate, Plateau(0.0, np.inf)
    )
    seen = []

    class Watching(Monitor):
        def before_update(self, params, grad, slopes):
            copies = [(a, values.copy()) for a, values in slopes]
            seen.append([params.on(params.vector.copy()), grad.on(grad.vector.copy()), copies, self.epoch])
            super().before_update(params, grad, slopes)

        def after_update(self, params):
            seen[-1].append(params.on(params.vector.copy()))
            super().after_update(params)

    monitor = Watching(params, every=monitor_every)
    record = empty_observations()

    def on_epoch_end(row, is_last):
        append_observation(record, monitor)
        return False

    trainer = Trainer(Objective(network, LOSSES["squared_error"], 0.1), solver, SCHEDULES["constant"](), rate)
    trainer.run(
        state, data, batch_size=batch_size, max_epochs=epochs, shuffle=True, on_epoch_end=on_epoch_end, monitor=monitor
    )
    return record, seen, state


def test_every_statistic_is_the_obvious_one():
    record, seen, _ = _train(monitor_every=1, epochs=2)
    assert record["epoch"] == [1, 2]
    for row, epoch in enumerate(record["epoch"]):
        steps = [step for step in seen if step[3] == epoch]
        assert len(steps) == 3
        for layer in range(3):
            norms = [np.sqrt((grad.weights[layer] ** 2).sum()) for _, grad, _, _, _ in steps]
            assert record["gradient_norm"][row][layer] == pytest.approx(np.mean(norms), rel=1e-12)
            before = [np.sqrt((params.weights[layer] ** 2).sum()) for params, *_ in steps]
            assert record["weight_norm"][row][layer] == pytest.approx(np.mean(before), rel=1e-12)
            moved = [np.sqrt(((after.weights[layer] - p.weights[layer]) ** 2).sum()) for p, _, _, _, after in steps]
            ratio = np.mean(np.divide(moved, before))
            assert record["update_ratio"][row][layer] == pytest.approx(ratio, rel=1e-12)
            quantiles = [np.quantile(grad.weights[layer], BANDS, method="nearest") for _, grad, _, _, _ in steps]
            np.testing.assert_allclose(
                record["gradient_quantiles"][row][layer], np.mean(quantiles, axis=0), rtol=1e-12, atol=1e-15
            )
        for layer in range(2):
            rows = np.vstack([slopes[layer][1] for _, _, slopes, _, _ in steps])
            assert record["dead_fraction"][row][layer] == np.mean((rows == 0.0).all(axis=0))
        assert math.isnan(record["dead_fraction"][row][2])
        assert np.isnan(record["saturated_fraction"][row]).all()


def test_dead_units_are_found():
    record, seen, state = _train(epochs=1)
    state.params.biases[0][:3] = -100.0
    monitor = Monitor(state.params, every=1)
    network = multilayer_perceptron(SIZES, [ACTIVATIONS["relu"]] * 2)
    objective = Objective(network, LOSSES["squared_error"])
    workspace, grad = objective.workspace(30, np.float64), state.params.like()
    X = np.random.default_rng(2).standard_normal((30, 4))
    objective.value_and_gradient(state.params, X, np.zeros((30, 2)), None, workspace, grad)
    monitor.begin_epoch()
    monitor.begin_step()
    monitor.before_update(state.params, grad, objective.slopes(30, workspace))
    monitor.after_update(state.params)
    assert monitor.end_epoch()["dead_fraction"][0] >= 3 / 8


@pytest.mark.parametrize(("name", "limit"), [("tanh", math.sqrt(1.0 - 0.05)), ("logistic", 0.0126)])
def test_saturation_means_flat(name, limit):
    record, seen, _ = _train(monitor_every=1, epochs=1, activation=name)
    activation = ACTIVATIONS[name]
    shares = [np.mean(slopes[0][1] < 0.05 * activation.steepest) for _, _, slopes, _, _ in seen]
    assert record["saturated_fraction"][0][0] == pytest.approx(np.mean(shares))
    z = np.array([-30.0, 0.0, 30.0])
    assert (activation.gradient(z) < 0.05 * activation.steepest).tolist() == [True, False, True]
    assert activation.gradient(z).max() == activation.steepest
    edge = np.arctanh(limit) if name == "tanh" else np.log(limit / (1 - limit))
    assert activation.gradient(np.array([edge]))[0] == pytest.approx(0.05 * activation.steepest, rel=0.01)


def test_by_default_one_step_in_a_hundred_and_at_least_one_an_epoch():
    record, seen, _ = _train(epochs=2, n_samples=250, batch_size=1)
    assert [step[3] for step in seen] == [1, 1, 1, 2, 2, 2]
    assert record["epoch"] == [1, 2]


def test_every_n_steps_counts_over_epochs():
    record, seen, _ = _train(monitor_every=4, epochs=4)  # 3 steps an epoch
    assert [step[3] for step in seen] == [2, 3, 4]
    assert record["epoch"] == [2, 3, 4]


def test_long_trainings_are_observed_ever_more_rarely():
    record, _, _ = _train(epochs=1100, n_samples=4, batch_size=4, rate=1e-4)
    epochs = np.array(record["epoch"])
    assert epochs[:256].tolist() == list(range(1, 257))
    assert np.diff(epochs[(epochs > 256) & (epochs <= 512)]).tolist() == [2] * 127
    assert np.diff(epochs[(epochs > 512) & (epochs <= 1024)]).tolist() == [4] * 127
    assert len(epochs) < 256 + 128 + 128 + 20


def test_observing_changes_nothing():
    _, _, watched = _train(monitor_every=1)
    _, _, unwatched = _train(monitor_every=10**6)
    np.testing.assert_array_equal(watched.params.vector, unwatched.params.vector)


def test_a_lost_epoch_keeps_what_was_seen_of_it():
    params = multilayer_perceptron(SIZES, [ACTIVATIONS["relu"]] * 2).parameters()
    monitor, record = Monitor(params, every=1), empty_observations()
    monitor.begin_epoch()
    append_observation(record, monitor)
    assert record["epoch"] == []
    monitor.begin_epoch()
    assert monitor.begin_step()
    slopes = [(ACTIVATIONS["relu"], np.ones((5, 8))), (ACTIVATIONS["relu"], np.ones((5, 6)))]
    monitor.before_update(params, params, slopes)
    append_observation(record, monitor)
    assert record["epoch"] == [2]
    assert np.isnan(record["update_ratio"][0]).all()
    assert {len(column) for column in record.values()} == {1}
