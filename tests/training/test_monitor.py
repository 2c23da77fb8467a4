"""Statistics of gradients, weights and activations during training, against slow and direct computations."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.layers import NORMALIZATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.statistics import BANDS
from skmlp.optim.clipping import ClipByGlobalNorm
from skmlp.optim.schedules import SCHEDULES
from skmlp.optim.solvers import SGD
from skmlp.training import monitor as monitor_module
from skmlp.training.batches import Data
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import train
from skmlp.training.monitor import EPOCH_STATISTICS, LAYER_STATISTICS, QUANTILE_STATISTICS, Monitor
from skmlp.training.plan import Plan
from skmlp.training.quasi_newton import run_lbfgs
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

SIZES = (4, 8, 6, 2)


class Step(NamedTuple):
    """Copies of everything in a step, and whether it was measured."""

    epoch: int
    params: Any
    grad: Any
    units: list[Any]
    n_rows: int
    measured: bool
    after: Any


class Run(NamedTuple):
    """A training: the observations of its epochs, and all steps."""

    epochs: list[int]
    observed: list[Any]
    steps: list[Step]
    state: TrainingState

    def of(self, name, layer):
        """Return a layer's statistic over the epochs."""
        return np.array([each.layers[name][layer] for each in self.observed])


class Watching(Monitor):
    """A monitor that keeps copies of every step."""

    n_unobserved = 0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []

    def before_update(self, params, grad, units, n_rows, *, is_non_finite=False):
        measured = super().before_update(params, grad, units, n_rows, is_non_finite=is_non_finite)
        copies = [params.on(params.vector.copy()), grad.on(grad.vector.copy())]
        copied = [
            unit._replace(
                outputs=unit.outputs.copy(),
                activation_grad=None if unit.activation_grad is None else unit.activation_grad.copy(),
            )
            for unit in units()
        ]
        self.seen.append(Step(self.epoch, *copies, copied, n_rows, measured, params))
        return measured

    def after_update(self, params, gradient_norm):
        super().after_update(params, gradient_norm)
        self.seen[-1] = self.seen[-1]._replace(after=params.on(params.vector.copy()))


def _train(
    every=None,
    *,
    closely=False,
    epochs=3,
    n_samples=50,
    batch_size=20,
    activation="relu",
    rate=0.1,
    clip=None,
    sizes=SIZES,
    data=None,
    watches=True,
    **options,
):
    rng = np.random.default_rng(0)
    network = multilayer_perceptron(sizes, [ACTIVATIONS[activation]] * (len(sizes) - 2), **options)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng)
    data = data or Data(rng.standard_normal((n_samples, sizes[0])), rng.standard_normal((n_samples, sizes[-1])))
    solver = SGD()
    state = TrainingState(
        params,
        solver.init(params.trained, params.n_weights, params.layout),
        np.random.default_rng(1),
        rate,
        Plateau(0.0, np.inf),
    )
    monitor = (Watching if watches else Monitor)(params, every=every, closely=closely)
    numbers, observed = [], []

    def on_epoch_end(row, is_last):
        told = monitor.end_epoch()
        if told is not None:
            numbers.append(monitor.epoch)
            observed.append(told)
        return False

    recipe = Recipe(Objective(network, LOSSES["squared_error"], 0.1), solver, SCHEDULES["constant"](), rate, clip=clip)
    plan = Plan(batch_size=batch_size, max_epochs=epochs)
    train(recipe, state, data, plan, on_epoch_end=on_epoch_end, monitor=monitor)
    return Run(numbers, observed, monitor.seen if watches else [], state)


def _norm(values):
    return np.sqrt((values**2).sum())


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_statistics_of_steps_equal_direct_computation(activation):
    run = _train(1, epochs=2, activation=activation, clip=ClipByGlobalNorm(0.5))
    assert run.epochs == [1, 2]
    for row, epoch in enumerate(run.epochs):
        steps = [step for step in run.steps if step.epoch == epoch]
        assert len(steps) == 3
        for layer in range(3):
            gradients = [step.grad.weights[layer] for step in steps]
            before = [_norm(step.params.weights[layer]) for step in steps]
            moved = [_norm(step.after.weights[layer] - step.params.weights[layer]) for step in steps]
            outputs = [step.units[layer].outputs for step in steps]
            expected = {
                "gradient_norm": np.mean([_norm(g) for g in gradients]),
                "gradient_norm_max": np.max([_norm(g) for g in gradients]),
                "gradient_mean": np.mean([g.mean() for g in gradients]),
                "gradient_std": np.mean([g.std() for g in gradients]),
                "gradient_largest": np.max(np.abs(gradients)),
                "gradient_zero_fraction": np.mean(np.array(gradients) == 0.0),
                "gradient_nonfinite": 0.0,
                "weight_norm": np.mean(before),
                "update_ratio": np.mean(np.divide(moved, before)),
                "update_ratio_max": np.max(np.divide(moved, before)),
                "activation_mean": np.mean([a.mean() for a in outputs]),
                "activation_std": np.mean([a.std() for a in outputs]),
            }
            for name, value in expected.items():
                assert run.of(name, layer)[row] == pytest.approx(value, rel=1e-10, abs=1e-15), name
            for name, arrays in (("gradient_quantiles", gradients), ("activation_quantiles", outputs)):
                quantiles = np.mean([np.quantile(a, BANDS, method="nearest") for a in arrays], axis=0)
                np.testing.assert_allclose(run.of(name, layer)[row], quantiles, rtol=1e-12, atol=1e-15)
        moved = [_norm(step.after.vector - step.params.vector) for step in steps]
        effective = np.mean([far / _norm(step.grad.vector) for far, step in zip(moved, steps, strict=True)])
        overall = run.observed[row].overall
        assert overall["effective_step"] == pytest.approx(effective, rel=1e-10)
        norms = [run.of("gradient_norm", layer)[row] for layer in range(3)]
        assert overall["gradient_ratio"] == pytest.approx(norms[0] / norms[2], rel=1e-12)
        assert overall.keys() == set(EPOCH_STATISTICS)
        assert run.observed[row].layers.keys() == {*LAYER_STATISTICS, *QUANTILE_STATISTICS}


def test_statistics_of_successive_steps_equal_direct_computation():
    run = _train(1, epochs=2)
    for row, epoch in enumerate(run.epochs):
        pairs = [(a, b) for a, b in pairwise(run.steps) if b.epoch == epoch]
        assert len(pairs) == (2 if epoch == 1 else 3)
        for layer in range(4):  # the last time over all parameters
            flat = [
                [(step.grad.weights[layer] if layer < 3 else step.grad.vector).ravel() for step in pair]
                for pair in pairs
            ]
            cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in flat]
            flips = [np.mean(a * b < 0.0) for a, b in flat]
            noises = sum((a @ a + b @ b) / 2 - a @ b for a, b in flat)
            trace_of = [
                (p.n_rows * (a @ a - a @ b) + q.n_rows * (b @ b - a @ b)) / 2
                for (a, b), (p, q) in zip(flat, pairs, strict=True)
            ]
            traces = sum(trace_of)
            within = [p.epoch == q.epoch for p, q in pairs]  # of 50 rows in all
            signal = sum(a @ b + same * trace / 49 for (a, b), same, trace in zip(flat, within, trace_of, strict=True))
            noise = traces / signal if signal > 0.0 else math.inf
            if layer == 3:
                assert run.observed[row].overall["noise_scale"] == pytest.approx(noise, rel=1e-10)
                continue
            assert run.of("gradient_cosine", layer)[row] == pytest.approx(np.mean(cosines), rel=1e-10)
            assert run.of("sign_flip_fraction", layer)[row] == pytest.approx(np.mean(flips), rel=1e-12)
            assert run.of("gradient_snr", layer)[row] == pytest.approx(signal / noises, rel=1e-9)
            assert run.of("noise_scale", layer)[row] == pytest.approx(noise, rel=1e-10)


@pytest.mark.parametrize(("n", "batch_size", "epochs"), [(4000, 50, 1), (200, 10, 150)])
def test_noise_scale_estimates_the_variance_of_single_sample_gradients(n, batch_size, epochs):
    """Against its definition: the covariance of the gradients of single samples over the squared mean gradient."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 3))
    y = X @ [[1.0], [-2.0], [0.5]] + 4.0 * rng.standard_normal((n, 1))
    run = _train(1, epochs=epochs, batch_size=batch_size, rate=1e-9, sizes=(3, 1), data=Data(X, y), watches=False)
    params = run.state.params
    errors = X @ params.weights[0] + params.biases[0] - y
    penalty = 0.1 / batch_size * params.weights[0].ravel()
    each = np.hstack([errors * X + penalty, errors])
    expected = each.var(axis=0).sum() / (each.mean(axis=0) ** 2).sum()
    scales = [told.overall["noise_scale"] for told in run.observed]
    assert np.median(scales) == pytest.approx(expected, rel=0.1)
    ratio = batch_size * (each[:, :3].mean(axis=0) ** 2).sum() / each[:, :3].var(axis=0).sum()
    assert np.median(run.of("gradient_snr", 0)) == pytest.approx(ratio, rel=0.15)


def test_noise_is_nan_for_full_batches():
    run = _train(1, epochs=3, batch_size=50, rate=1e-3)
    assert np.isnan(run.of("noise_scale", 0)).all()
    assert np.isnan(run.of("gradient_snr", 0)).all()
    cosines = run.of("gradient_cosine", 0)
    assert np.isnan(cosines[0])  # nothing came before
    assert (cosines[1:] > 0.9).all()


def test_activation_statistics_are_nan_for_the_output_layer():
    run = _train(1, epochs=1, activation="tanh")
    assert math.isnan(run.of("dead_fraction", 2)[0])
    assert math.isnan(run.of("saturated_fraction", 2)[0])
    assert run.of("activation_std", 2)[0] > 0.0


def test_dead_units_have_zero_gradient_for_every_row_of_the_epoch():
    rng = np.random.default_rng(4)
    data = Data(1.0 + np.abs(rng.standard_normal((400, 4))), rng.standard_normal((400, 2)))
    run = _train(1, epochs=2, batch_size=80, data=data, sizes=(4, 40, 6, 2))
    for row, epoch in enumerate(run.epochs):
        for layer in range(2):
            slopes = np.vstack([step.units[layer].activation_grad for step in run.steps if step.epoch == epoch])
            assert len(slopes) == 400
            assert run.of("dead_fraction", layer)[row] == np.mean((slopes == 0.0).all(axis=0))
    assert run.of("dead_fraction", 0)[-1] > 0.0  # so that there was something to see


def test_dead_units_are_judged_over_at_least_256_rows():
    rng = np.random.default_rng(5)
    data = Data(rng.standard_normal((40, 4)), rng.standard_normal((40, 2)))
    run = _train(1, epochs=14, batch_size=20, data=data, rate=0.01)
    fractions = run.of("dead_fraction", 0)
    for row in range(14):
        first = 7 * (row // 7)  # 7 epochs of 40 rows are 280
        slopes = np.vstack([step.units[0].activation_grad for step in run.steps if first < step.epoch <= row + 1])
        assert fractions[row] == np.mean((slopes == 0.0).all(axis=0))


@pytest.mark.parametrize(("name", "limit"), [("tanh", math.sqrt(1.0 - 0.05)), ("logistic", 0.0126)])
def test_saturated_units_have_a_twentieth_of_the_steepest_gradient(name, limit):
    run = _train(1, epochs=1, activation=name)
    activation = ACTIVATIONS[name]
    fractions = [np.mean(step.units[0].activation_grad < 0.05 * activation.steepest) for step in run.steps]
    assert run.of("saturated_fraction", 0)[0] == pytest.approx(np.mean(fractions))
    z = np.array([-30.0, 0.0, 30.0])
    assert (activation.gradient(z) < 0.05 * activation.steepest).tolist() == [True, False, True]
    assert activation.gradient(z).max() == activation.steepest
    edge = np.arctanh(limit) if name == "tanh" else np.log(limit / (1 - limit))
    assert activation.gradient(np.array([edge]))[0] == pytest.approx(0.05 * activation.steepest, rel=0.01)


def test_layer_outputs_are_normalized_and_exclude_dropout_and_residual_connections():
    run = _train(1, epochs=1, activation="tanh", normalization=NORMALIZATIONS["batch"](), dropout=(0.5, 0.5))
    outputs = run.steps[0].units[0].outputs
    assert np.abs(np.arctanh(outputs).mean(axis=0)).max() < 1e-6  # normalized ones
    assert (outputs != 0.0).all()  # dropout makes zeros
    residual = _train(1, epochs=1, sizes=(4, 6, 6, 2), activation="tanh", residual=True)
    assert (np.abs(residual.steps[0].units[1].outputs) < 1.0).all()  # sums are larger


def _measured(run):
    return [number for number, step in enumerate(run.steps, start=1) if step.measured]


def test_default_steps_are_powers_of_three_then_every_200th():
    run = _train(epochs=2, n_samples=250, batch_size=1)
    assert _measured(run) == [1, 3, 9, 27, 81, 243, 443]
    assert run.epochs == [1, 2]
    # With every measured step the one before it: except for the first there is always something to compare.
    assert np.isfinite(run.of("gradient_cosine", 0)).all()


def test_epochs_without_a_measured_step_have_no_row():
    run = _train(epochs=20, batch_size=25)  # two steps an epoch
    assert run.epochs == [1, 2, 5, 14]


def test_closely_measures_a_step_of_each_epoch():
    run = _train(closely=True, epochs=5, batch_size=10)  # five steps an epoch
    assert _measured(run) == [1, 3, 7, 12, 17, 22]  # the second one, after 1 and 3
    assert run.epochs == [1, 2, 3, 4, 5]
    assert np.isfinite(run.of("gradient_cosine", 0)).all()
    full = _train(closely=True, epochs=5, batch_size=50, rate=1e-3)
    assert _measured(full) == [1, 2, 3, 4, 5]
    assert np.isfinite(full.of("gradient_cosine", 0)).tolist() == [False, True, True, True, True]
    assert _measured(_train(7, closely=True, epochs=5, batch_size=10)) == [7, 14, 21]  # as the user says


def test_closely_measures_fewer_epochs_of_long_trainings():
    epochs = np.array(_train(closely=True, epochs=1100, n_samples=4, batch_size=4, rate=1e-4, watches=False).epochs)
    assert epochs[:256].tolist() == list(range(1, 257))
    assert set(range(258, 513, 2)) <= set(epochs)
    assert set(range(516, 1025, 4)) <= set(epochs)
    assert len(epochs) < 256 + 128 + 128 + 20 + 11  # and every hundredth step


def test_every_nth_step_is_counted_over_epochs():
    run = _train(4, epochs=4)  # 3 steps an epoch
    assert _measured(run) == [4, 8, 12]
    assert run.epochs == [2, 3, 4]


def test_statistics_of_a_sample_of_steps_agree_with_those_of_all_steps():
    sizes = (4, 30, 2)
    every = _train(1, epochs=90, n_samples=800, rate=0.01, sizes=sizes, watches=False)
    some = _train(closely=True, epochs=90, n_samples=800, rate=0.01, sizes=sizes, watches=False)
    assert some.epochs == every.epochs == list(range(1, 91))
    for name in (
        "gradient_norm",
        "gradient_std",
        "update_ratio",
        "activation_std",
        "sign_flip_fraction",
    ):
        for layer in range(2):
            # Except for the first epoch, whose first steps are measured more often and differ from the others.
            full, sample = every.of(name, layer)[1:], some.of(name, layer)[1:]
            difference = sample - full
            error = 4.0 * difference.std() / np.sqrt(len(difference))
            assert abs(difference.mean()) < error < 0.15 * full.mean(), name
            weights, weights_of_some = every.of("weight_norm", layer)[1:], some.of("weight_norm", layer)[1:]
            np.testing.assert_allclose(weights_of_some, weights, rtol=0.1)


def test_sampled_quantiles_of_large_layers_agree_with_exact_ones():
    run = _train(1, epochs=1, sizes=(4, 100, 40, 2), activation="tanh", batch_size=40)
    for name, arrays in {
        "gradient_quantiles": [step.grad.weights[1] for step in run.steps],
        "activation_quantiles": [step.units[0].outputs for step in run.steps],
    }.items():
        quantiles = np.mean([np.quantile(values, BANDS) for values in arrays], axis=0)
        spread = quantiles[-2] - quantiles[1]
        np.testing.assert_allclose(
            run.of(name, 1 if name.startswith("gradient") else 0)[0][1:-1], quantiles[1:-1], atol=0.1 * spread
        )


def test_sampled_entries_are_spread_over_the_array():
    sample = monitor_module._sample(10_000)
    assert (np.diff(sample) > 0).all()
    counts = np.bincount(sample // 1000)
    assert counts.sum() == 1024
    assert (np.abs(counts - 102.4) < 50.0).all()


def test_monitoring_does_not_change_training():
    watched = _train(1)
    unwatched = _train(10**6)
    np.testing.assert_array_equal(watched.state.params.vector, unwatched.state.params.vector)


def test_a_non_finite_step_is_always_measured():
    X = np.ones((40, 4))
    y = np.ones((40, 2))
    with pytest.raises(NonFiniteError, match="step 1"):
        _train(100, epochs=1, data=Data(X, y * np.inf))
    network = multilayer_perceptron(SIZES, [ACTIVATIONS["relu"]] * 2)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(0))
    objective = Objective(network, LOSSES["squared_error"])
    workspace, grad = objective.workspace(40, np.float64), params.like()
    objective.value_and_gradient(params, X, y, None, workspace, grad)
    grad.weights[1][2, :3] = np.nan
    grad.weights[0][0, 0] = np.inf
    monitor = Monitor(params, every=100)
    monitor.begin_epoch(2, 80)
    with np.errstate(invalid="ignore"):
        assert monitor.before_update(params, grad, lambda: network.layer_outputs(workspace), 40, is_non_finite=True)
        told = monitor.end_epoch()
    assert told.layers["gradient_nonfinite"].tolist() == [1.0, 3.0, 0.0]
    assert np.isnan(told.layers["update_ratio"]).all()
    assert math.isnan(told.overall["effective_step"])


def test_a_non_finite_step_is_not_compared_with_an_older_one():
    network = multilayer_perceptron(SIZES, [ACTIVATIONS["relu"]] * 2)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, np.random.default_rng(0))
    objective = Objective(network, LOSSES["squared_error"])
    workspace, grad = objective.workspace(40, np.float64), params.like()
    objective.value_and_gradient(params, np.ones((40, 4)), np.ones((40, 2)), None, workspace, grad)
    monitor = Monitor(params)
    monitor.begin_epoch(9, 400)
    for _ in range(5):  # the gradient of step 3 is kept, for step 4
        if monitor.before_update(params, grad, lambda: network.layer_outputs(workspace), 40):
            monitor.after_update(params, 1.0)
    monitor.end_epoch()
    monitor.begin_epoch(9, 400)
    assert monitor.before_update(params, grad, lambda: network.layer_outputs(workspace), 40, is_non_finite=True)
    assert np.isnan(monitor.end_epoch().layers["gradient_cosine"]).all()


def test_lbfgs_iterations_are_measured():
    rng = np.random.default_rng(0)
    network = multilayer_perceptron(SIZES, [ACTIVATIONS["tanh"]] * 2)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng)
    start = params.on(params.vector.copy())
    data = Data(rng.standard_normal((50, 4)), rng.standard_normal((50, 2)))
    monitor, rows, vectors = Watching(params, every=1), [], []

    def on_epoch_end(row, is_last):
        rows.append(monitor.end_epoch())
        vectors.append(params.vector.copy())
        return False

    objective = Objective(network, LOSSES["squared_error"])
    state = TrainingState(params, {}, rng, math.nan, Plateau(0.0, math.inf))
    plan = Plan(batch_size=50, max_epochs=5)
    run_lbfgs(objective, state, data, plan, max_fun=100, tol=0.0, on_epoch_end=on_epoch_end, monitor=monitor)
    before = start.vector
    for row, after in zip(rows, vectors, strict=True):
        ratios = [
            _norm(b - a) / _norm(a)
            for a, b in zip(start.on(before.copy()).weights, start.on(after.copy()).weights, strict=True)
        ]
        np.testing.assert_allclose(row.layers["update_ratio"], ratios, rtol=1e-10)
        before = after
