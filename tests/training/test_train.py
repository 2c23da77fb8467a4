"""The training loop: resuming, history rows, weights, stopping, validation, interruption."""

import math
from time import perf_counter

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import SGD, Adam, Adaptive, ConstantRate, InverseScaling
from skmlp.training.batches import Data
from skmlp.training.engine import Buffers
from skmlp.training.loop import train
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

RATE = 0.01


def _data(n_samples=50, seed=1, weighted=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, 3))
    y = np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:]
    return Data(X, y, rng.uniform(0.5, 2.0, n_samples) if weighted else None)


def _recipe(solver=None, schedule=None, rate=RATE, alpha=0.1):
    network = multilayer_perceptron([3, 8, 1], [ACTIVATIONS["tanh"]])
    return Recipe(
        Objective(network, LOSSES["squared_error"], alpha), solver or Adam(), schedule or ConstantRate(), rate
    )


def _state(recipe, tol=0.0, patience=math.inf, dtype=np.float64):
    params = recipe.objective.network.parameters(dtype=dtype)
    initialize(recipe.objective.network, params, np.random.default_rng(0))
    solver_state = recipe.solver.init(params.vector, params.n_weights, params.layout)
    rng, plateau = np.random.default_rng(7), Plateau(tol, patience)
    memory = recipe.schedule.new_memory()
    return TrainingState(params, solver_state, rng, recipe.learning_rate_init, plateau, schedule_memory=memory)


def _run(
    recipe,
    state,
    data,
    epochs,
    batch_size=8,
    stop=lambda row: False,
    buffers=None,
    shuffle=True,
    samples_per_epoch=None,
    **criterion,
):
    """Train and return the result with the history rows."""
    rows = []
    plan = Plan(batch_size=batch_size, max_epochs=epochs, shuffle=shuffle, samples_per_epoch=samples_per_epoch)

    def on_epoch_end(row, is_last):
        rows.append({**row, "is_last": is_last})
        return stop(row)

    result = train(recipe, state, data, plan, Criterion(**criterion), on_epoch_end=on_epoch_end, buffers=buffers)
    return result, rows


def _assert_same(state, other):
    np.testing.assert_array_equal(state.params.vector, other.params.vector)
    assert state.rng.bit_generator.state == other.rng.bit_generator.state
    for name in ("learning_rate", "plateau", "samples_seen", "step", "epoch", "schedule_memory"):
        assert getattr(state, name) == getattr(other, name), name
    assert state.solver_state["count"] == other.solver_state["count"]
    for link, other_link in zip(state.solver_state["links"], other.solver_state["links"], strict=True):
        for name in link:
            np.testing.assert_array_equal(link[name], other_link[name])


@pytest.mark.parametrize(
    ("solver", "schedule", "dtype"),
    [(Adam(), ConstantRate(), np.float32), (SGD(), InverseScaling(0.2), np.float64), (Adam(), Adaptive(), np.float64)],
    ids=["adam", "sgd", "adaptive"],
)
def test_training_in_two_calls_equals_one_call(solver, schedule, dtype):
    recipe = _recipe(solver, schedule)
    data = Data(*(None if array is None else array.astype(dtype) for array in _data()))
    whole, parts = (_state(recipe, 1e-3, 3, dtype) for _ in range(2))
    _, rows = _run(recipe, whole, data, 5)
    _, first = _run(recipe, parts, data, 2)
    _, second = _run(recipe, parts, data, 3)
    _assert_same(parts, whole)
    for name in ("loss", "train_loss", "penalty", "learning_rate", "gradient_norm"):
        assert [row[name] for row in first + second] == [row[name] for row in rows]
    assert whole.params.vector.dtype == dtype


def test_a_copied_state_is_independent_and_resumes_identically():
    recipe, data = _recipe(), _data()
    state = _state(recipe, 1e-3, 3)
    _run(recipe, state, data, 2)
    checkpoint = state.copy()
    untouched = state.copy()
    plateau = vars(state.plateau).copy()
    _run(recipe, state, data, 3)
    _assert_same(checkpoint, untouched)
    assert vars(checkpoint.plateau) == plateau != vars(state.plateau)
    assert not np.array_equal(checkpoint.params.vector, state.params.vector)
    checkpoint.params.weights[0][0, 0] += 1.0
    assert checkpoint.params.vector[0] == untouched.params.vector[0] + 1.0  # its views are independent
    _run(recipe, untouched, data, 3)
    _assert_same(untouched, state)


def test_reused_buffers_do_not_change_training():
    recipe, data = _recipe(), _data()
    fresh, used = _state(recipe), _state(recipe)
    buffers = Buffers(recipe.objective, used.params, 8)
    buffers.grad.vector[:] = np.nan
    for _ in range(2):
        _run(recipe, fresh, data, 1)
        _run(recipe, used, data, 1, buffers=buffers)
    _assert_same(used, fresh)


def test_the_row_of_an_epoch_is_the_weighted_mean_over_its_batches():
    # With a learning rate of 0, the means are those of one evaluation per batch.
    recipe, data = _recipe(SGD(), rate=0.0), _data(20, weighted=True)
    state = _state(recipe)
    started = perf_counter()
    result, (row,) = _run(recipe, state, data, 1, batch_size=8, shuffle=False)
    elapsed = perf_counter() - started
    losses, penalties, weights, norms = [], [], [], []
    for rows in (slice(0, 8), slice(8, 16), slice(16, 20)):
        X, y, weight = (array[rows] for array in data)
        grad = state.params.like()
        workspace = recipe.objective.workspace(len(X), np.float64)
        loss, penalty = recipe.objective.value_and_gradient(state.params, X, y, weight, workspace, grad)
        losses.append(loss)
        penalties.append(penalty)
        weights.append(weight.sum())
        norms.append(np.linalg.norm(grad.vector))
    assert row["train_loss"] == pytest.approx(np.average(losses, weights=weights), rel=1e-14)
    assert row["penalty"] == pytest.approx(np.average(penalties, weights=weights), rel=1e-14)
    assert row["loss"] == row["train_loss"] + row["penalty"]
    assert row["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-14)
    assert (row["learning_rate"], row["clipped_fraction"]) == (0.0, 0.0)
    assert 0.0 <= row["seconds"] <= elapsed
    assert set(row) == {
        "loss", "train_loss", "penalty", "learning_rate", "gradient_norm", "clipped_fraction", "seconds",
        "samples_per_second", "is_last",
    }  # fmt: skip
    assert (result.reason, result.n_epochs, state.samples_seen) == ("max_iter", 1, 20)


def test_training_reduces_the_loss():
    recipe = _recipe(alpha=0.0)
    _, rows = _run(recipe, _state(recipe), _data(), 200)
    # The loss is a half mean square: from the targets' variance to a tenth of it.
    assert rows[-1]["loss"] < 0.1 * 0.5 * float(np.var(_data().y))


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_of_weight_zero_are_skipped(shuffle):
    # Eight rows in four batches of two; the rows without weight fill whole batches when not shuffled.
    X, y, _ = _data(8)
    weight = np.array([1.0, 2.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0])
    recipe, state = _recipe(), _state(_recipe())
    result, (row,) = _run(recipe, state, Data(X, y, weight), 1, batch_size=2, shuffle=shuffle)
    assert result.reason == "max_iter"
    assert math.isfinite(row["loss"])
    if not shuffle:
        assert state.solver_state["count"] == 2
        counted, keep = _state(recipe), weight > 0
        _run(recipe, counted, Data(X[keep], y[keep], weight[keep]), 1, batch_size=2, shuffle=False)
        np.testing.assert_array_equal(state.params.vector, counted.params.vector)


def test_a_callback_that_returns_true_ends_training():
    recipe, state = _recipe(), _state(_recipe())
    result, rows = _run(recipe, state, _data(), 10, stop=lambda row: state.solver_state["count"] >= 3 * 7)
    assert (result.reason, result.n_epochs, len(rows)) == ("callback", 3, 3)
    three = _state(recipe)
    _run(recipe, three, _data(), 3)
    np.testing.assert_array_equal(state.params.vector, three.params.vector)


def test_the_last_epoch_is_flagged():
    recipe = _recipe()
    _, rows = _run(recipe, _state(recipe), _data(), 3)
    assert [row["is_last"] for row in rows] == [False, False, True]


def test_a_constant_loss_is_convergence():
    recipe = _recipe(SGD(), rate=0.0)
    result, rows = _run(recipe, _state(recipe, 1e-4, 3), _data(), 50, batch_size=50)
    # The first epoch sets the best, and more than three without improvement end the training.
    assert (result.reason, result.n_epochs) == ("converged", 5)
    assert [row["is_last"] for row in rows] == [False] * 4 + [True]


def test_an_adaptive_learning_rate_decreases_to_its_minimum():
    recipe = _recipe(SGD(), Adaptive(divisor=10.0, minimum=1e-11), rate=1e-9)
    state = _state(recipe, 1e-4, 1)
    result, rows = _run(recipe, state, _data(), 50, batch_size=50)
    # Steps this small are no progress: 1 + 2 epochs at 1e-9, then two at each lower rate until 1e-11 is reached.
    rates = [row["learning_rate"] for row in rows]
    np.testing.assert_allclose(rates[:5], [1e-9, 1e-9, 1e-9, 1e-10, 1e-10], rtol=1e-12)
    assert result.reason == "converged"
    assert rates[-1] <= 1e-11 * (1 + 1e-12)
    assert rates == sorted(rates, reverse=True)


def test_inverse_scaling_counts_samples_over_calls():
    recipe = _recipe(schedule=InverseScaling(0.5))
    state = _state(recipe)
    rates = [row["learning_rate"] for _ in range(2) for row in _run(recipe, state, _data(), 2)[1]]
    np.testing.assert_allclose(rates, [RATE, *(RATE / np.sqrt(50 * epoch + 1) for epoch in (1, 2, 3))], rtol=1e-14)
    assert state.samples_seen == 200
    _run(recipe, state, _data(), 1, samples_per_epoch=1000)  # when rows were merged
    assert state.samples_seen == 1200


def _scores(values):
    """Return a score that takes the given values, one per evaluation."""
    remaining = iter(values)
    return lambda params, raw: next(remaining)


def _validation(score=None, weighted=False):
    return Validation(_data(10, seed=2, weighted=weighted), LOSSES["squared_error"], score)


def test_restore_best_leaves_the_weights_of_the_best_epoch():
    recipe, data = _recipe(), _data()
    best = _state(recipe)
    _run(recipe, best, data, 2)
    state = _state(recipe)
    validation = _validation(_scores([0.1, 0.8, 0.3, 0.8]))
    result, rows = _run(recipe, state, data, 4, validation=validation, restore_best=True)
    assert (result.reason, result.n_epochs, result.best_epoch) == ("max_iter", 4, 2)
    assert [row["validation_score"] for row in rows] == [0.1, 0.8, 0.3, 0.8]
    np.testing.assert_array_equal(state.params.vector, best.params.vector)


@pytest.mark.parametrize(
    ("reason", "patience", "stop_at"), [("callback", math.inf, 4), ("converged", 1, None), ("max_iter", math.inf, None)]
)
@pytest.mark.parametrize(("validated", "restore_best"), [(False, False), (True, False), (True, True)])
def test_the_best_weights_are_restored_only_on_request(reason, patience, stop_at, validated, restore_best):
    recipe, data = _recipe(), _data()
    state, expected = _state(recipe, 10.0, patience), _state(recipe)
    count = 7 * stop_at if stop_at else math.inf
    result, rows = _run(
        recipe,
        state,
        data,
        4,
        validation=_validation(_scores([0.1, 0.8, 0.3, 0.4])) if validated else None,
        restore_best=restore_best,
        stop=lambda row: state.solver_state["count"] >= count,
    )
    assert result.reason == reason
    _run(recipe, expected, data, 2 if restore_best else len(rows))
    np.testing.assert_array_equal(state.params.vector, expected.params.vector)


@pytest.mark.parametrize("scores", [[math.nan, 0.2, 0.8, 0.1], [0.2, 0.8, 0.1, math.nan]], ids=["first", "last"])
def test_an_undefined_score_makes_the_validation_loss_choose_the_best_epoch(scores):
    recipe, data = _recipe(), _data()
    best, state = _state(recipe), _state(recipe)
    result, rows = _run(recipe, state, data, 4, validation=_validation(_scores(scores)), restore_best=True)
    lowest = 1 + int(np.argmin([row["validation_loss"] for row in rows]))
    assert result.best_epoch == lowest != 1 + int(np.nanargmax(scores))
    _run(recipe, best, data, lowest)
    np.testing.assert_array_equal(state.params.vector, best.params.vector)
    assert np.isnan([row["validation_score"] for row in rows]).tolist() == np.isnan(scores).tolist()


@pytest.mark.parametrize("n_defined", [0, 1, 3])
def test_an_undefined_score_makes_the_validation_loss_stop_training(n_defined):
    recipe, data = _recipe(), _data()
    scores = [0.1 * n for n in range(n_defined)] + [math.nan] * 60
    mine, by_loss = (_impatient(_state(recipe)) for _ in range(2))
    result, _ = _run(recipe, mine, data, 60, validation=_validation(_scores(scores)), early_stopping=True)
    expected, _ = _run(recipe, by_loss, data, 60, validation=_validation(), early_stopping=True)
    assert (result.reason, result.n_epochs, result.best_epoch) == (
        expected.reason,
        expected.n_epochs,
        expected.best_epoch,
    )
    assert result.reason == "converged"


def _impatient(state):
    state.plateau = Plateau(1e-3, 2)
    return state


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("score", [None, lambda params, raw: 0.5], ids=["by the loss", "by a score"])
def test_validation_loss_is_the_weighted_mean_without_penalty(weighted, score):
    recipe = _recipe(SGD(), rate=0.0)
    validation = _validation(score, weighted)
    held_out, state = validation.data, _state(recipe)
    _, (row,) = _run(recipe, state, _data(), 1, validation=validation)
    raw = recipe.objective.network.predict(state.params, held_out.X)
    losses = 0.5 * ((raw - held_out.y) ** 2)[:, 0]
    assert row["validation_loss"] == pytest.approx(np.average(losses, weights=held_out.sample_weight), rel=1e-14)
    assert row["validation_score"] == (-row["validation_loss"] if score is None else 0.5)


def test_the_validation_loss_may_differ_from_the_training_loss():
    recipe, held_out = _recipe(SGD(), rate=0.0), _data(10, seed=2)
    state = _state(recipe)
    _, (row,) = _run(recipe, state, _data(), 1, validation=Validation(held_out, LOSSES["absolute_error"]))
    raw = recipe.objective.network.predict(state.params, held_out.X)
    assert row["validation_loss"] == pytest.approx(np.abs(raw - held_out.y).mean(), rel=1e-14)


def test_scores_receive_the_parameters_and_their_raw_outputs():
    recipe, state, seen = _recipe(), _state(_recipe()), []

    def score(params, raw):
        seen.append((params.vector.copy(), raw))
        return 1.0

    validation = _validation(score)
    _run(recipe, state, _data(), 1, validation=validation)
    ((vector, raw),) = seen
    np.testing.assert_array_equal(vector, state.params.vector)
    np.testing.assert_array_equal(raw, recipe.objective.network.predict(state.params, validation.data.X))
    assert raw.shape == (10, 1)


def test_early_stopping_ends_training_when_the_score_stops_improving():
    recipe = _recipe()
    validation = _validation(_scores([0.5, 0.6, 0.6, 0.605, 0.6, 0.6]))
    result, rows = _run(recipe, _state(recipe, 0.01, 2), _data(), 50, validation=validation, early_stopping=True)
    assert (result.reason, result.n_epochs, result.best_epoch) == ("converged", 5, 4)
    assert rows[-1]["is_last"]


def test_early_stopping_without_validation_raises():
    with pytest.raises(ValueError, match="early_stopping goes by the validation score"):
        Criterion(early_stopping=True)


def test_without_early_stopping_the_training_loss_decides():
    recipe = _recipe()
    state, plain = (_state(recipe, 1e-3, 2) for _ in range(2))
    scores = [0.5] * 300  # a standstill
    result, rows = _run(recipe, state, _data(), 300, validation=_validation(_scores(scores)))
    expected, plain_rows = _run(recipe, plain, _data(), 300)
    assert (result.reason, result.n_epochs) == (expected.reason, expected.n_epochs)
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain_rows]
    assert [row["validation_score"] for row in rows] == scores[: len(rows)]
    assert len(rows) > 4
    _assert_same(state, plain)


def test_the_fallback_is_restored_if_no_epoch_is_better():
    recipe, state = _recipe(), _state(_recipe())
    start = state.params.vector.copy()
    validation = _validation(_scores([0.9, 0.1, 0.2, 0.3]))
    settings = {"early_stopping": True, "restore_best": True, "fallback": start.copy()}
    result, _ = _run(recipe, state, _data(), 3, validation=validation, **settings)
    np.testing.assert_array_equal(state.params.vector, start)
    assert (state.plateau.best, result.best_epoch) == (-0.9, 0)


def test_the_fallback_is_dropped_if_an_epoch_is_better():
    recipe, state, expected = _recipe(), _state(_recipe()), _state(_recipe())
    validation = _validation(_scores([0.4, 0.1, 0.5, 0.3]))
    result, _ = _run(
        recipe, state, _data(), 3, validation=validation, restore_best=True, fallback=state.params.vector.copy()
    )
    _run(recipe, expected, _data(), 2)
    np.testing.assert_array_equal(state.params.vector, expected.params.vector)
    assert result.best_epoch == 2
    assert state.plateau.best != -0.4  # it counts training losses without early stopping


def test_without_validation_the_lowest_training_loss_is_the_best():
    # The loss of an epoch belongs to the weights before it; with this learning rate it soon increases.
    recipe = _recipe(SGD(momentum=0.0), rate=0.8)
    state, expected = _state(recipe), _state(recipe)
    result, rows = _run(recipe, state, _data(), 30, restore_best=True)
    best = int(np.argmin([row["loss"] for row in rows]))
    assert 0 < best < 29
    _run(recipe, expected, _data(), best)
    np.testing.assert_array_equal(state.params.vector, expected.params.vector)
    assert result.best_epoch == best + 1


def test_a_single_epoch_is_not_replaced_by_the_fallback():
    recipe = _recipe()
    state, plain = _state(recipe), _state(recipe)
    for _ in range(3):
        _run(recipe, state, _data(), 1, restore_best=True, fallback=state.params.vector.copy())
        _run(recipe, plain, _data(), 1)
    _assert_same(state, plain)


class _Interrupted(SGD):
    """A solver that is interrupted at a step, as by Ctrl+C."""

    def update(self, params, grad, state, learning_rate):
        if state["count"] == 9:
            raise KeyboardInterrupt
        super().update(params, grad, state, learning_rate)


def test_an_interruption_keeps_the_steps_taken():
    recipe, data = _recipe(_Interrupted()), _data()
    state = _state(recipe)
    result, rows = _run(recipe, state, data, 10)  # seven steps per epoch
    assert (result.reason, result.n_epochs, len(rows)) == ("interrupted", 1, 1)
    assert state.solver_state["count"] == 9  # the steps of the second epoch are kept
    assert state.samples_seen == 50

    one = _state(recipe)
    _run(recipe, one, data, 1)
    for restore_best in (False, True):  # with validation the best weights are restored in any case
        validated = _state(recipe)
        validation = _validation(lambda params, raw: 0.5)
        _run(recipe, validated, data, 10, validation=validation, restore_best=restore_best)
        np.testing.assert_array_equal(validated.params.vector, one.params.vector)
