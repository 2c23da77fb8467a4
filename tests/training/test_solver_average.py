"""A solver that averages: training takes gradients at one point, and predicts, validates and ends with another."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import BatchNorm
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import SGD, ConstantRate, ScheduleFreeAdamW, WithWeightDecay
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import train
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

N_SAMPLES, STEPS, RATE = 50, 7, 0.05  # batches of 8, the last of 2


class Recording(ScheduleFreeAdamW):
    """Records the gradients; the reference implementation's three points follow from them."""

    def update(self, params, grad, state, learning_rate, time=None):
        self.grads.append(grad.copy())
        super().update(params, grad, state, learning_rate, time)
        if len(self.grads) == self.fails_at:
            params[-1] = np.nan
        if len(self.grads) == self.interrupted_at:
            raise KeyboardInterrupt


def _recording(fails_at=None, interrupted_at=None):
    solver = Recording()
    solver.grads, solver.fails_at, solver.interrupted_at = [], fails_at, interrupted_at
    return solver


def _averages(start, grads):
    """Return the average x after each step, and the last y: the authors' reference implementation, without decay."""
    z, x, nu, averages = start.copy(), start.copy(), np.zeros_like(start), []
    for t, g in enumerate(grads, start=1):
        nu = 0.999 * nu + 0.001 * g**2
        z = z - RATE * g / (np.sqrt(nu / (1.0 - 0.999**t)) + 1e-8)
        x = (1.0 - 1.0 / t) * x + z / t  # the weights of all steps are equal
        averages.append(x)
    return averages, 0.9 * x + 0.1 * z


def _data(seed=1):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_SAMPLES, 3))
    return Data(X, np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:])


def _problem(solver=None, normalization=None, **settings):
    network = multilayer_perceptron([3, 8, 1], [ACTIVATIONS["tanh"]], normalization=normalization)
    recipe = Recipe(
        Objective(network, LOSSES["squared_error"], 0.1), solver or _recording(), ConstantRate(), RATE, **settings
    )
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(0))
    solver_state = recipe.solver.init(params.trained, params.n_weights, params.layout)
    return recipe, TrainingState(params, solver_state, np.random.default_rng(7), RATE, Plateau(0.0, math.inf))


def _run(recipe, state, epochs, **criterion):
    rows = []
    plan = Plan(batch_size=8, max_epochs=epochs)
    result = train(recipe, state, _data(), plan, Criterion(**criterion), on_epoch_end=lambda row, _: rows.append(row))
    return result, rows


def test_gradients_are_taken_at_one_point_and_predictions_at_the_average():
    recipe, state = _problem()
    start = state.params.vector.copy()
    _run(recipe, state, 1)
    _run(recipe, state, 2)  # the average goes on over calls
    averages, trained = _averages(start, recipe.solver.grads)
    assert len(averages) == 3 * STEPS
    np.testing.assert_allclose(state.params.vector, trained, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(state.average.vector, averages[-1], rtol=1e-11, atol=1e-13)
    assert state.eval_params is state.average
    assert np.abs(trained - averages[-1]).max() > 1e-3


def test_running_statistics_are_those_of_the_trained_network():
    recipe, state = _problem(normalization=BatchNorm())
    _run(recipe, state, 2)
    np.testing.assert_array_equal(state.average.statistics, state.params.statistics)
    assert state.average.statistics.any()


def test_a_decay_around_the_solver_shifts_both_points():
    recipe, state = _problem(WithWeightDecay(ScheduleFreeAdamW(), 0.5))
    _run(recipe, state, 1)
    ahead = state.solver_state["links"][2]["ahead"]
    np.testing.assert_array_equal(state.average.vector, state.params.vector - ahead)
    assert ahead.any()


def test_validation_uses_the_average_and_restores_the_best_one():
    seen = []

    def score(params, raw):
        seen.append((params.vector.copy(), raw.copy()))
        return [0.1, 0.7, 0.2][len(seen) - 1]

    recipe, state = _problem()
    start, held_out = state.params.vector.copy(), _data(2)
    validation = Validation(held_out, LOSSES["squared_error"], score)
    result, rows = _run(recipe, state, 3, validation=validation, restore_best=True)
    averages, _ = _averages(start, recipe.solver.grads)
    for (vector, raw), average in zip(seen, averages[STEPS - 1 :: STEPS], strict=True):
        np.testing.assert_allclose(vector, average, rtol=1e-11, atol=1e-13)
        predicted = recipe.objective.network.predict(state.params.on(average), held_out.X)
        np.testing.assert_allclose(raw, predicted, rtol=1e-10, atol=1e-12)
    assert result.best_epoch == 2
    np.testing.assert_array_equal(state.params.vector, seen[1][0])
    assert state.average is None


def test_weights_of_the_epoch_with_the_lowest_training_loss_are_averages():
    recipe, state = _problem()
    start = state.params.vector.copy()
    result, _ = _run(recipe, state, 4, restore_best=True)
    averages, _ = _averages(start, recipe.solver.grads)
    assert result.best_epoch > 1  # the loss of an epoch belongs to the weights before it
    np.testing.assert_allclose(state.params.vector, averages[(result.best_epoch - 1) * STEPS - 1], rtol=1e-11)


def test_training_goes_on_where_it_was_after_the_network_was_left_at_the_average():
    (recipe, whole), (same, parts) = _problem(), _problem()
    _run(recipe, whole, 4)
    _run(same, parts, 2)
    average = parts.average.vector.copy()
    parts.reset_params()
    np.testing.assert_array_equal(parts.params.vector, average)
    assert parts.average is None
    _run(same, parts, 2)
    np.testing.assert_allclose(parts.params.vector, whole.params.vector, rtol=1e-10)
    np.testing.assert_allclose(parts.average.vector, whole.average.vector, rtol=1e-10)


def test_weights_from_elsewhere_are_the_average_to_go_on_from():
    recipe, state = _problem()
    _run(recipe, state, 2)
    ahead = recipe.solver.ahead(state.solver_state)
    chosen, before = np.linspace(-1.0, 1.0, state.params.vector.size), ahead.copy()
    state.reset_params(chosen)
    state.start_average(ahead)
    np.testing.assert_array_equal(state.average.vector, chosen)
    np.testing.assert_array_equal(state.params.vector, chosen + before)


def test_a_copy_of_the_state_continues_bit_for_bit():
    recipe, state = _problem()
    _run(recipe, state, 2)
    checkpoint = state.copy()
    _run(recipe, state, 2)
    _run(recipe, checkpoint, 2)
    np.testing.assert_array_equal(checkpoint.params.vector, state.params.vector)
    np.testing.assert_array_equal(checkpoint.average.vector, state.average.vector)
    assert checkpoint.solver_state["links"][-1]["sum_of_weights"] == state.solver_state["links"][-1]["sum_of_weights"]


def test_an_interrupted_training_ends_with_the_average_of_the_steps_taken():
    recipe, state = _problem(_recording(interrupted_at=STEPS + 3))
    start = state.params.vector.copy()
    result, _ = _run(recipe, state, 3)
    assert result.reason == "interrupted"
    averages, _ = _averages(start, recipe.solver.grads)
    np.testing.assert_allclose(state.eval_params.vector, averages[STEPS + 2], rtol=1e-11, atol=1e-13)


def test_a_failure_restores_the_average_of_the_best_epoch_and_starts_a_new_one():
    recipe, state = _problem(_recording(fails_at=3 * STEPS - 2))
    start = state.params.vector.copy()
    validation = Validation(_data(2), LOSSES["squared_error"])
    result, rows = _run(recipe, state, 5, validation=validation)
    assert (result.reason, result.n_epochs) == ("non_finite", 3)
    best = max((0, 1), key=lambda epoch: rows[epoch]["validation_score"])
    averages, _ = _averages(start, recipe.solver.grads)
    np.testing.assert_allclose(state.params.vector, averages[STEPS * (best + 1) - 1], rtol=1e-11, atol=1e-13)
    assert state.average is None
    assert not recipe.solver.ahead(state.solver_state).any()


def test_a_failure_in_the_first_epoch_is_an_error():
    recipe, state = _problem(_recording(fails_at=2))
    with pytest.raises(NonFiniteError):
        _run(recipe, state, 2)


def test_parameters_cannot_be_averaged_twice():
    with pytest.raises(ValueError, match=r"Recording averages the parameters by itself: .* Got 0\.9 instead"):
        _problem(averaging=0.9)
    assert _problem(SGD(), averaging=0.9)[0].averaging == 0.9
