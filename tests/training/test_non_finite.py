"""A loss or gradient that becomes infinite or NaN ends training, with the last good parameters or with an error."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import SGD, ConstantRate
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import train
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState


class _Failing(SGD):
    """Descent whose last parameter becomes `value` after step `at`."""

    at, value = 10, np.nan

    def update(self, params, grad, state, learning_rate):
        super().update(params, grad, state, learning_rate)
        if state["count"] == self.at:
            params[-1] = self.value


def _failing(at, value=np.nan):
    solver = _Failing()
    solver.at, solver.value = at, value
    return solver


def _data():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    return Data(X, X[:, :1] - X[:, 1:2] * X[:, 2:])


def _problem(solver, rate=0.01, dtype=np.float64, activation="tanh"):
    network = multilayer_perceptron([3, 8, 1], [ACTIVATIONS[activation]])
    recipe = Recipe(Objective(network, LOSSES["squared_error"]), solver, ConstantRate(), rate)
    params = network.parameters(dtype=dtype)
    initialize(network, params, np.random.default_rng(0))
    solver_state = solver.init(params.vector, params.n_weights, params.layout)
    return recipe, TrainingState(params, solver_state, np.random.default_rng(7), rate, Plateau(0.0, math.inf))


def _run(recipe, state, data=None, epochs=20, batch_size=8, **criterion):
    rows = []
    result = train(
        recipe,
        state,
        data or _data(),
        Plan(batch_size=batch_size, max_epochs=epochs),
        Criterion(**criterion),
        on_epoch_end=lambda row, is_last: rows.append({**row, "is_last": is_last}),
    )
    return result, rows


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_failure_in_the_first_epoch_raises_with_layer_and_step(value):
    # Five steps per epoch; the third one changes the last bias, the fourth one detects it.
    recipe, state = _problem(_failing(3, value))
    with pytest.raises(NonFiniteError, match=r"^the biases of layer 2 of 2 became infinite or NaN at step 4$"):
        _run(recipe, state)


def test_overflow_in_the_first_step_raises():
    X, y, _ = _data()
    recipe, state = _problem(SGD())
    with pytest.raises(NonFiniteError, match=r"^the loss after layer 2 of 2 became infinite or NaN at step 1$"):
        _run(recipe, state, Data(X, 1e200 * y))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("at", "step"), [(13, 4), (15, 5)])  # the last step of an epoch is detected in that epoch
def test_a_failure_in_a_later_epoch_restores_the_best_weights(value, at, step):
    recipe, state = _problem(_failing(at, value))
    result, rows = _run(recipe, state)
    # The loss of an epoch belongs to the weights before it; that of the second epoch is lower.
    _, good = _problem(SGD())
    _run(recipe, good, epochs=1)
    assert rows[1]["loss"] < rows[0]["loss"]
    assert (result.reason, result.n_epochs) == ("non_finite", 3)
    assert result.detail.startswith(f"the biases of layer 2 of 2 became infinite or NaN at step {step} in epoch 3; ")
    assert "before epoch 2" in result.detail
    np.testing.assert_array_equal(state.params.vector, good.params.vector)
    # The failed epoch is recorded, and the solver state is new.
    assert len(rows) == 3
    assert math.isnan(rows[-1]["loss"])
    assert rows[-1]["is_last"]
    assert set(rows[-1]) == set(rows[0])
    assert state.solver_state["count"] == 0
    assert not state.solver_state["links"][1]["velocity"].any()


class _Accelerates(SGD):
    """Descent whose steps grow by a tenth each time, until they are far too long."""

    def update(self, params, grad, state, learning_rate):
        super().update(params, grad, state, learning_rate * 1.1 ** state["count"])


def test_a_failure_restores_the_weights_of_the_lowest_loss():
    recipe, state = _problem(_Accelerates(momentum=0.0), activation="relu")
    result, rows = _run(recipe, state, epochs=150)
    assert result.reason == "non_finite"
    best = int(np.nanargmin([row["loss"] for row in rows]))
    assert 2 < best < len(rows) - 2
    _, again = _problem(_Accelerates(momentum=0.0), activation="relu")
    _run(recipe, again, epochs=best)  # the index counts the epochs before it
    np.testing.assert_array_equal(state.params.vector, again.params.vector)


def test_the_row_of_a_failed_epoch_has_all_columns():
    recipe, state = _problem(_failing(7))
    validation = Validation(_data(), LOSSES["squared_error"], lambda params, raw: 0.5)
    result, rows = _run(recipe, state, validation=validation)
    assert (result.reason, result.n_epochs, result.best_epoch) == ("non_finite", 2, 1)
    assert set(rows[-1]) == set(rows[0])
    assert math.isnan(rows[-1]["validation_loss"])
    assert math.isnan(rows[-1]["validation_score"])


def test_a_failure_in_the_first_epoch_restores_the_fallback():
    recipe, state = _problem(_failing(3))
    start = state.params.vector.copy()
    result, _ = _run(recipe, state, fallback=start)
    assert (result.reason, result.n_epochs) == ("non_finite", 1)
    assert "before this training" in result.detail
    np.testing.assert_array_equal(state.params.vector, start)


@pytest.mark.parametrize("rate", [1e4, 1e12, 1e25, 1e38])
def test_restored_weights_have_a_finite_loss(rate):
    # One step per epoch: the first loss is that of the start, and the step after it makes the weights huge.
    recipe, state = _problem(SGD(momentum=0.0), rate, np.float32, "relu")
    data = Data(*(None if array is None else array.astype(np.float32) for array in _data()))
    try:
        result, _ = _run(recipe, state, data, epochs=50, batch_size=40)
    except NonFiniteError:
        return
    assert result.reason == "non_finite"
    assert np.isfinite(state.params.vector).all()
    with np.errstate(over="ignore", invalid="ignore"):
        assert math.isfinite(sum(recipe.objective.value(state.params, *data)))


def test_overflow_neither_warns_nor_changes_the_settings_of_the_caller():
    with np.errstate(over="raise"):
        recipe, state = _problem(_failing(7, np.inf))
        assert _run(recipe, state)[0].reason == "non_finite"
        assert np.geterr()["over"] == "raise"
