"""Training by L-BFGS: the rows of the history, the reasons to stop, and the weights at the end."""

import math
from time import perf_counter

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.training import quasi_newton
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.plan import Criterion, Plan, Validation
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.state import Plateau, TrainingState


def _problem(hidden=(6,)):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    data = Data(X, X[:, :1] - X[:, 1:2] * X[:, 2:], rng.uniform(0.0, 2.0, 40))
    network = multilayer_perceptron([3, *hidden, 1], [ACTIVATIONS["tanh"]] * len(hidden))
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(0))
    return Objective(network, LOSSES["squared_error"], 0.1), params, data


def _run(
    objective, params, data, stop=lambda n: False, max_iter=500, max_fun=15_000, tol=1e-6, plateau=None, **settings
):
    rows = []
    state = TrainingState(params, {}, np.random.default_rng(0), math.nan, plateau or Plateau(0.0, math.inf))
    plan = Plan(batch_size=data.n_samples, max_epochs=max_iter, max_seconds=settings.pop("max_seconds", None))

    def on_epoch_end(row, is_last):
        value = objective.value(params, *data)
        rows.append({**row, "is_last": is_last, "value": sum(value), "at_loss": value.loss})
        return stop(len(rows))

    limits = {"max_fun": max_fun, "tol": tol}
    return run_lbfgs(objective, state, data, plan, Criterion(**settings), on_epoch_end=on_epoch_end, **limits), rows


def test_a_linear_network_reaches_the_ridge_solution():
    objective, params, data = _problem(hidden=())
    result, _ = _run(objective, params, data, tol=1e-9)
    assert result.reason == "converged"
    # The normal equations with an unpenalized bias: half squares, sums over weights.
    A = np.column_stack([data.X, np.ones(40)])
    penalty = np.diag([0.1, 0.1, 0.1, 0.0])
    solution = np.linalg.solve(
        A.T @ (data.sample_weight[:, None] * A) + penalty, A.T @ (data.sample_weight * data.y[:, 0])
    )
    np.testing.assert_allclose(params.vector, solution, rtol=0.0, atol=1e-6)


def test_each_row_has_the_objective_at_its_parameters():
    objective, params, data = _problem()
    started = perf_counter()
    result, rows = _run(objective, params, data)
    assert all(row["seconds"] >= 0.0 for row in rows)
    assert sum(row["seconds"] for row in rows) <= perf_counter() - started
    assert result.reason == "converged"
    assert len(rows) == result.n_epochs
    np.testing.assert_allclose([row["loss"] for row in rows], [row["value"] for row in rows], rtol=1e-13)
    np.testing.assert_allclose([row["train_loss"] for row in rows], [row["at_loss"] for row in rows], rtol=1e-13)
    np.testing.assert_allclose([row["train_loss"] + row["penalty"] for row in rows], [row["loss"] for row in rows])
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert rows[-1]["gradient_norm"] < 1e-2 * rows[0]["gradient_norm"]


@pytest.mark.parametrize(("limits", "reason"), [({"max_iter": 3}, "max_iter"), ({"max_fun": 4}, "max_fun")])
def test_limits_on_iterations_and_evaluations_end_training(limits, reason):
    objective, params, data = _problem()
    result, rows = _run(objective, params, data, **limits)
    assert result.reason == reason
    assert [row["is_last"] for row in rows] == [False] * (len(rows) - 1) + [reason == "max_iter"]
    assert 0 < len(rows) == result.n_epochs <= 5


def test_a_callback_that_returns_true_ends_training():
    objective, params, data = _problem()
    result, rows = _run(objective, params, data, stop=lambda n: n == 2)
    assert (result.reason, result.n_epochs, len(rows)) == ("callback", 2, 2)
    assert sum(objective.value(params, *data)) == pytest.approx(rows[-1]["loss"], rel=1e-13)


def test_an_interruption_keeps_the_last_iteration():
    objective, params, data = _problem()

    def interrupt(n):
        if n == 3:
            raise KeyboardInterrupt
        return False

    result, rows = _run(objective, params, data, stop=interrupt)
    assert (result.reason, result.n_epochs) == ("interrupted", 3)
    assert sum(objective.value(params, *data)) == pytest.approx(rows[-1]["loss"], rel=1e-13)


def test_a_non_finite_start_raises_with_its_place():
    objective, params, data = _problem()
    params.weights[0][0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="the weights of layer 1 of 2 became infinite or NaN at step 1"):
        _run(objective, params, data)


def test_a_start_at_the_minimum_is_recorded():
    objective, params, data = _problem(hidden=())
    _run(objective, params, data, tol=1e-9)
    result, (row,) = _run(objective, params, data, tol=1e-3)
    assert (result.reason, result.n_epochs) == ("converged", 0)
    assert row["is_last"]
    assert row["loss"] == pytest.approx(row["value"], rel=1e-13)


def test_training_continues_after_overflow_in_the_line_search():
    # The first trial step is as long as the gradient: the exponential of a raw output of thousands overflows there.
    _, _, data = _problem()
    network = multilayer_perceptron([3, 1], [])
    objective, params = Objective(network, LOSSES["poisson"]), network.parameters(dtype=np.float64)
    params.vector[:] = [5.0, 5.0, 5.0, 0.0]
    seen = []

    class Recorded(Objective):
        def value_and_gradient(self, *args):
            seen.append(super().value_and_gradient(*args))
            return seen[-1]

    data = Data(20.0 * data.X, np.exp(data.X[:, :1]))
    result, rows = _run(Recorded(objective.network, objective.loss), params, data)
    assert any(not math.isfinite(value.loss) for value in seen[1:])
    assert result.reason in ("converged", "failed", "max_iter")
    assert np.isfinite(params.vector).all()
    assert all(math.isfinite(row["loss"]) for row in rows)


def test_the_same_start_gives_identical_results():
    first, second = _problem(), _problem()
    for objective, params, data in (first, second):
        _run(objective, params, data, max_iter=20)
    np.testing.assert_array_equal(first[1].vector, second[1].vector)


# ------------------------------------------------------------------ validation and time


def _held_out(weighted=False):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((15, 3))
    return Data(X, X[:, :1] - X[:, 1:2] * X[:, 2:], rng.uniform(0.5, 2.0, 15) if weighted else None)


def _validation(scores=None, weighted=False):
    """Judge by the loss, or by the given scores, one an iteration."""
    remaining = None if scores is None else iter(scores)
    score = None if remaining is None else lambda params, raw: next(remaining)
    return Validation(_held_out(weighted), LOSSES["squared_error"], score)


def _parameters_after(n_iter):
    objective, params, data = _problem()
    _run(objective, params, data, max_iter=n_iter)
    return params.vector


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_is_recorded_and_does_not_change_training(weighted):
    objective, params, data = _problem()
    result, rows = _run(objective, params, data, max_iter=10, validation=_validation(weighted=weighted))
    held_out = _held_out(weighted)
    for n_iter, row in enumerate(rows, start=1):
        raw = objective.network.predict(params.on(_parameters_after(n_iter)), held_out.X)
        losses = 0.5 * ((raw - held_out.y) ** 2)[:, 0]
        assert row["validation_loss"] == pytest.approx(np.average(losses, weights=held_out.sample_weight), rel=1e-12)
        assert row["validation_score"] == -row["validation_loss"]
    np.testing.assert_array_equal(params.vector, _parameters_after(10))
    best = int(np.argmax([row["validation_score"] for row in rows])) + 1
    assert (result.reason, result.n_epochs, result.best_epoch) == ("max_iter", 10, best)


def test_scores_receive_the_parameters_of_their_iteration():
    objective, params, data = _problem()
    seen = []

    def score(at, raw):
        seen.append((at.vector.copy(), raw.copy()))
        return 0.0

    validation = Validation(_held_out(), LOSSES["squared_error"], score)
    _run(objective, params, data, max_iter=3, validation=validation)
    for n_iter, (vector, raw) in enumerate(seen, start=1):
        np.testing.assert_array_equal(vector, _parameters_after(n_iter))
        np.testing.assert_array_equal(raw, objective.network.predict(params.on(vector), validation.data.X))
    assert len(seen) == 3


def test_a_constant_score_does_not_end_training_without_early_stopping():
    objective, params, data = _problem()
    result, rows = _run(objective, params, data, max_iter=20, validation=_validation([0.5] * 20))
    assert (result.reason, len(rows)) == ("max_iter", 20)


@pytest.mark.parametrize("restore_best", [False, True])
def test_early_stopping_ends_training_when_the_score_stops_improving(restore_best):
    objective, params, data = _problem()
    result, rows = _run(
        objective,
        params,
        data,
        validation=_validation([0.5, 0.6, 0.6, 0.605, 0.6, 0.6]),
        early_stopping=True,
        plateau=Plateau(0.01, 2),
        restore_best=restore_best,
    )
    assert (result.reason, result.n_epochs, result.best_epoch) == ("converged", 5, 4)
    assert [row["is_last"] for row in rows] == [False] * 4 + [True]
    np.testing.assert_array_equal(params.vector, _parameters_after(4 if restore_best else 5))


@pytest.mark.parametrize("ending", ["max_iter", "callback", "interrupted"])
def test_restore_best_applies_however_training_ends(ending):
    objective, params, data = _problem()

    def stop(n):
        if n == 5 and ending == "interrupted":
            raise KeyboardInterrupt
        return n == 5 and ending == "callback"

    scores = [0.1, 0.3, -math.inf, 0.2, 0.2]
    result, _ = _run(objective, params, data, stop=stop, max_iter=5, validation=_validation(scores), restore_best=True)
    assert (result.reason, result.n_epochs, result.best_epoch) == (ending, 5, 2)
    np.testing.assert_array_equal(params.vector, _parameters_after(2))


def test_without_validation_the_last_iteration_is_the_best():
    objective, params, data = _problem()
    result, _ = _run(objective, params, data, max_iter=5, restore_best=True)
    np.testing.assert_array_equal(params.vector, _parameters_after(5))
    assert result.reason == "max_iter"


@pytest.fixture(name="clock")
def _clock(monkeypatch):
    """A clock that only moves when an element of it is raised."""
    now = [1000.0]
    monkeypatch.setattr(quasi_newton, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "n_iter"), [(0.5, 1), (3.0, 3), (3.5, 4), (1e9, 6)])
def test_training_ends_after_the_iteration_that_reaches_the_time_limit(clock, seconds, n_iter):
    objective, params, data = _problem()

    def score(at, raw):
        clock[0] += 1.0  # an iteration takes a second
        return 0.5

    validation = Validation(_held_out(), LOSSES["squared_error"], score)
    result, rows = _run(objective, params, data, max_iter=6, validation=validation, max_seconds=seconds)
    assert (result.reason, result.n_epochs) == ("max_time" if n_iter < 6 else "max_iter", n_iter)
    assert [row["is_last"] for row in rows] == [False] * (n_iter - 1) + [True]
    assert [row["seconds"] for row in rows] == [1.0] * n_iter
    np.testing.assert_array_equal(params.vector, _parameters_after(n_iter))


def test_a_start_at_the_minimum_converges_despite_the_time_limit(clock):
    objective, params, data = _problem(hidden=())
    _run(objective, params, data, tol=1e-9)
    validation = Validation(_held_out(), LOSSES["squared_error"], lambda at, raw: clock.__setitem__(0, 2000.0) or 0.5)
    result, (row,) = _run(objective, params, data, tol=1e-3, validation=validation, max_seconds=1.0)
    assert (result.reason, result.n_epochs, result.best_epoch) == ("converged", 0, 0)
    assert row["validation_score"] == 0.5


def test_dropout_raises():
    _, _, data = _problem()
    network = multilayer_perceptron([3, 6, 1], [ACTIVATIONS["tanh"]], dropout=[0.5])
    with pytest.raises(ValueError, match="needs a random stream in training"):
        _run(Objective(network, LOSSES["squared_error"]), network.parameters(dtype=np.float64), data)
