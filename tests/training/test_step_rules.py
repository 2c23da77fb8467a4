"""The rules of a step besides the solver's update: clipping, max_norm, averaging."""

import math

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import BatchNorm
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import SGD, AdaptiveClip, ClipByGlobalNorm, ClipByNorm, ClipByValue, ConstantRate
from skmlp.training.batches import Data
from skmlp.training.loop import train
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

N_SAMPLES, STEPS = 50, 7  # batches of 8, the last of 2


def _data(seed=1, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_SAMPLES, 3)).astype(dtype)
    return Data(X, np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:])


class _Recording(SGD):
    """Descent that records the gradient of every step, and the parameters before and after it."""

    def update(self, params, grad, state, learning_rate, time=None):
        self.grads.append(grad.copy())
        self.before.append(params.copy())
        super().update(params, grad, state, learning_rate, time)
        self.after.append(params.copy())
        if len(self.after) == self.fails_at:
            params[-1] = np.nan


def _recording(fails_at=None):
    solver = _Recording()
    solver.grads, solver.before, solver.after, solver.fails_at = [], [], [], fails_at
    return solver


def _problem(solver=None, rate=0.05, dtype=np.float64, normalization=None, **settings):
    network = multilayer_perceptron([3, 8, 1], [ACTIVATIONS["tanh"]], normalization=normalization)
    objective = Objective(network, LOSSES["squared_error"], 0.1)
    recipe = Recipe(objective, solver or _recording(), ConstantRate(), rate, **settings)
    params = network.parameters(dtype=dtype)
    initialize(network, params, np.random.default_rng(0))
    solver_state = recipe.solver.init(params.trained, params.n_weights, params.layout)
    return recipe, TrainingState(params, solver_state, np.random.default_rng(7), rate, Plateau(0.0, math.inf))


def _run(recipe, state, epochs, batch_size=8, data=None, **criterion):
    rows = []
    result = train(
        recipe,
        state,
        data or _data(),
        Plan(batch_size=batch_size, max_epochs=epochs),
        Criterion(**criterion),
        on_epoch_end=lambda row, is_last: rows.append(row),
    )
    return result, rows


def _norms(gradients):
    return np.array([np.linalg.norm(gradient) for gradient in gradients])


# ------------------------------------------------------------------ clipping


def _median_norm():
    recipe, state = _problem()
    _run(recipe, state, 1)
    return float(np.median(_norms(recipe.solver.grads)))


def test_fraction_of_clipped_steps_and_norm_before_clipping_are_recorded():
    limit = _median_norm()
    recipe, state = _problem(clip=ClipByGlobalNorm(limit), rate=0.0)
    plain, same = _problem(rate=0.0)
    _, (row,) = _run(recipe, state, 1)
    _, (expected,) = _run(plain, same, 1)
    norms = _norms(plain.solver.grads)
    long = norms + 1e-6 > limit
    assert 0 < long.sum() < STEPS
    assert row["clipped_fraction"] == long.sum() / STEPS
    assert row["gradient_norm"] == expected["gradient_norm"] == pytest.approx(norms.mean(), rel=1e-12)
    # The solver receives the clipped gradients, and the short ones unchanged.
    np.testing.assert_allclose(_norms(recipe.solver.grads), np.minimum(norms, limit), rtol=1e-5)
    for clipped, gradient in zip(
        np.array(recipe.solver.grads)[~long], np.array(plain.solver.grads)[~long], strict=True
    ):
        np.testing.assert_array_equal(clipped, gradient)


@pytest.mark.parametrize("normalization", [None, BatchNorm()], ids=["plain", "normalized"])
@pytest.mark.parametrize(
    "clip",
    [ClipByValue(0.01), ClipByNorm(0.1), ClipByGlobalNorm(0.2), AdaptiveClip(0.01)],
    ids=lambda c: type(c).__name__,
)
def test_clips_receive_the_trained_arrays_and_their_gradients(clip, normalization):
    recipe, state = _problem(clip=clip, normalization=normalization)
    _, (row,) = _run(recipe, state, 1, batch_size=N_SAMPLES)
    assert row["clipped_fraction"] == 1.0
    plain, same = _problem(normalization=normalization)
    start, grad = same.params.on(same.params.vector.copy()), same.params.like()
    _run(plain, same, 1, batch_size=N_SAMPLES)
    grad.trained[...] = plain.solver.grads[0]
    assert clip.clip(grad.trained, grad.trained_arrays, start.trained_arrays, np.linalg.norm(grad.trained))
    np.testing.assert_allclose(recipe.solver.grads[0], grad.trained, rtol=1e-12)


def test_a_limit_that_is_never_reached_does_not_change_training():
    recipe, state = _problem(clip=ClipByGlobalNorm(1e6))
    plain, same = _problem()
    _, rows = _run(recipe, state, 3)
    _run(plain, same, 3)
    assert [row["clipped_fraction"] for row in rows] == [0.0] * 3
    np.testing.assert_array_equal(state.params.vector, same.params.vector)


# ------------------------------------------------------------------ max_norm


def _largest_norm(state, vector):
    trained = state.params.on(np.concatenate([vector, state.params.vector[vector.size :]]))
    return max(float(np.linalg.norm(weights, axis=0).max()) for weights in trained.weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weight_norms_are_within_max_norm_after_every_step(dtype):
    recipe, state = _problem(max_norm=0.5, dtype=dtype)
    _run(recipe, state, 3, data=_data(dtype=dtype))
    # The weights after a step are those before the next one.
    norms = [_largest_norm(state, vector) for vector in [*recipe.solver.before[1:], state.params.vector]]
    assert max(norms) <= 0.5 * (1.0 + 4.0 * np.finfo(dtype).eps)
    # Without the limit, the initial weights and many updates exceed it.
    assert _largest_norm(state, recipe.solver.before[0]) > 0.5
    assert sum(_largest_norm(state, vector) > 0.5 for vector in recipe.solver.after) > STEPS
    assert state.params.vector.dtype == dtype


def test_max_norm_does_not_limit_biases():
    recipe, state = _problem(max_norm=1e-3)
    _run(recipe, state, 20, data=Data(_data().X, np.full((N_SAMPLES, 1), 5.0)))
    assert abs(state.params.biases[-1][0]) > 1.0


# ------------------------------------------------------------------ averaging


def _average(vectors, decay):
    """Return the average by its formula."""
    average = vectors[0].astype(np.float64)
    for vector in vectors[1:]:
        average = decay * average + (1.0 - decay) * vector
    return average


@pytest.mark.parametrize("decay", [0.5, 0.99])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_average_equals_the_formula_and_does_not_change_the_steps(decay, dtype, rtol):
    recipe, state = _problem(averaging=decay, dtype=dtype)
    plain, same = _problem(dtype=dtype)
    data = _data(dtype=dtype)
    for epochs in (1, 2):  # the average goes on over calls
        _run(recipe, state, epochs, data=data)
        _run(plain, same, epochs, data=data)
    np.testing.assert_array_equal(state.params.vector, same.params.vector)
    assert state.average.vector.dtype == dtype
    np.testing.assert_allclose(state.average.vector, _average(plain.solver.after, decay), rtol=rtol, atol=1e-2 * rtol)
    assert state.eval_params is state.average
    assert same.eval_params is same.params


def test_average_after_the_first_step_equals_the_parameters():
    recipe, state = _problem(averaging=0.999)
    _run(recipe, state, 1, batch_size=N_SAMPLES)
    np.testing.assert_array_equal(state.average.vector, state.params.vector)
    assert not np.shares_memory(state.average.vector, state.params.vector)


def test_max_norm_is_applied_before_averaging():
    recipe, state = _problem(averaging=0.5, max_norm=0.3)
    _run(recipe, state, 2)
    assert _largest_norm(state, state.average.vector) <= 0.3 * (1.0 + 1e-12)


def test_running_statistics_are_averaged_too():
    recipe, state = _problem(averaging=0.5, normalization=BatchNorm())
    _run(recipe, state, 1, batch_size=N_SAMPLES)
    first = state.params.vector.copy()
    _run(recipe, state, 1, batch_size=N_SAMPLES)
    np.testing.assert_allclose(state.average.vector, 0.5 * first + 0.5 * state.params.vector, rtol=1e-12)
    assert not np.array_equal(first[state.params.n_trained :], state.params.vector[state.params.n_trained :])


def test_a_copied_state_has_its_own_average():
    recipe, state = _problem(averaging=0.9)
    _run(recipe, state, 2)
    checkpoint = state.copy()
    held = checkpoint.average.vector.copy()
    _run(recipe, state, 2)
    np.testing.assert_array_equal(checkpoint.average.vector, held)
    _run(recipe, checkpoint, 2)
    np.testing.assert_array_equal(checkpoint.average.vector, state.average.vector)


def test_validation_uses_the_average_and_restores_the_best_one():
    seen = []

    def score(params, raw):
        seen.append((params.vector.copy(), raw.copy()))
        return [0.1, 0.7, 0.2][len(seen) - 1]

    recipe, state = _problem(averaging=0.9)
    held_out = _data(2)
    validation = Validation(held_out, LOSSES["squared_error"], score)
    result, rows = _run(recipe, state, 3, validation=validation, restore_best=True)
    averages = [_average(recipe.solver.after[: STEPS * epoch], 0.9) for epoch in (1, 2, 3)]
    for (vector, raw), average, row in zip(seen, averages, rows, strict=True):
        np.testing.assert_allclose(vector, average, rtol=1e-12, atol=1e-14)
        predicted = recipe.objective.network.predict(state.params.on(average), held_out.X)
        np.testing.assert_allclose(raw, predicted, rtol=1e-11)
        assert row["validation_loss"] == pytest.approx(0.5 * np.mean((predicted - held_out.y) ** 2), rel=1e-11)
    assert result.best_epoch == 2
    # The average of the best epoch remains; further training starts a new one.
    np.testing.assert_array_equal(state.params.vector, seen[1][0])
    assert state.average is None


def test_reset_params_continues_from_the_average():
    recipe, state = _problem(averaging=0.9)
    _run(recipe, state, 2)
    average = state.average.vector.copy()
    state.reset_params()
    np.testing.assert_array_equal(state.params.vector, average)
    assert state.average is None
    state.reset_params(np.zeros_like(average))
    assert not state.params.vector.any()


def test_a_failure_restores_the_average_of_the_best_epoch():
    recipe, state = _problem(_recording(fails_at=3 * STEPS - 2), averaging=0.9)
    validation = Validation(_data(2), LOSSES["squared_error"])
    result, rows = _run(recipe, state, 5, validation=validation)
    assert (result.reason, result.n_epochs) == ("non_finite", 3)
    assert rows[1]["validation_score"] > rows[0]["validation_score"]
    np.testing.assert_allclose(state.params.vector, _average(recipe.solver.after[: 2 * STEPS], 0.9), rtol=1e-12)
    assert state.average is None


# ------------------------------------------------------------------ batch normalization


def test_batch_normalization_merges_a_last_batch_of_one_row():
    X, y, _ = _data()
    for normalization, n_steps in ((BatchNorm(), 3), (None, 4)):
        recipe, state = _problem(normalization=normalization)
        _run(recipe, state, 1, batch_size=8, data=Data(X[:25], y[:25]))
        assert len(recipe.solver.grads) == state.step == n_steps


def test_batch_normalization_of_one_row_raises():
    X, y, _ = _data()
    for rows, batch_size in ((50, 1), (1, 8)):
        recipe, state = _problem(normalization=BatchNorm())
        with pytest.raises(ValueError, match="at least 2 rows in a batch"):
            _run(recipe, state, 1, batch_size=batch_size, data=Data(X[:rows], y[:rows]))
