"""Learning rates that differ between the arrays of a vector: groups in the state of every solver."""

import copy
import json

import numpy as np
import pytest

from skmlp.optim import SGD, SOLVERS, AdamW, Linear, NAdam, Time, WithWeightDecay
from skmlp.optim.solvers import chain
from skmlp.training.compiled_solver import compiled_solver

SIZE, N_WEIGHTS = 23, 9
# The weights end inside the second array.
LAYOUT = [(0, 5, 1.0, None), (5, 11, 10.0, None), (11, 13, 0.1, None), (13, 20, 1.0, None), (20, 23, 10.0, None)]
EXAMPLES = {
    **{name: cls() for name, cls in SOLVERS.items()},
    "adamw, decay": AdamW(weight_decay=0.5),
    "sgd, decay": WithWeightDecay(SGD(), 0.5),
}
each = pytest.mark.parametrize("solver", EXAMPLES.values(), ids=EXAMPLES)


def _gradients(n_steps=9, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_steps, size)) * np.exp(rng.uniform(-3, 3, (n_steps, size)))


def _steps(solver, params, gradients, state, learning_rate=0.01, times=()):
    for step, gradient in enumerate(gradients):
        solver.update(params, gradient.copy(), state, learning_rate / (1 + step), *times[step : step + 1])
    return params


def _arrays(state):
    return [value for link in state["links"] for value in link.values() if isinstance(value, np.ndarray)]


@each
def test_an_array_with_a_factor_trains_as_it_would_alone_at_its_own_learning_rate(solver):
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients()
    together = _steps(solver, start.copy(), gradients, solver.init(start, N_WEIGHTS, LAYOUT))
    for begin, end, factor, _ in LAYOUT:
        alone = start[begin:end].copy()
        state = solver.init(alone, int(np.clip(N_WEIGHTS - begin, 0, end - begin)))
        _steps(solver, alone, gradients[:, begin:end], state, factor * 0.01)
        np.testing.assert_allclose(together[begin:end], alone, rtol=1e-13, atol=1e-15)


@each
def test_factors_of_one_change_nothing(solver):
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients()
    plain, state = start.copy(), solver.init(start, N_WEIGHTS)
    same, ones = start.copy(), solver.init(start, N_WEIGHTS, [(begin, end, 1.0, None) for begin, end, *_ in LAYOUT])
    _steps(solver, plain, gradients, state)
    _steps(solver, same, gradients, ones)
    np.testing.assert_array_equal(same, plain)
    assert ones.keys() == state.keys() == {"count", "n_weights", "links"}


@each
def test_one_factor_for_all_is_that_learning_rate(solver):
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients()
    plain = _steps(solver, start.copy(), gradients, solver.init(start, N_WEIGHTS), 4.0 * 0.01)
    scaled = _steps(solver, start.copy(), gradients, solver.init(start, N_WEIGHTS, [(0, SIZE, 4.0, None)]))
    np.testing.assert_array_equal(scaled, plain)


@each
def test_blocks_do_not_change_the_result(monkeypatch, solver):
    gradients, results = _gradients(), []
    for block in (1000, 4):
        monkeypatch.setattr(chain, "BLOCK", block)
        params = np.linspace(-1.0, 1.0, SIZE)
        state = solver.init(params, N_WEIGHTS, LAYOUT)
        results.append([_steps(solver, params, gradients, state), *_arrays(state)])
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_array_equal(cut, whole)


@each
def test_a_copy_of_the_state_continues_bit_for_bit(solver):
    params = np.linspace(-1.0, 1.0, SIZE)
    state = solver.init(params, N_WEIGHTS, LAYOUT)
    _steps(solver, params, _gradients(), state)
    kept_params, kept_state = params.copy(), copy.deepcopy(state)
    _steps(solver, params, _gradients(seed=1), state)
    _steps(solver, kept_params, _gradients(seed=1), kept_state)
    np.testing.assert_array_equal(kept_params, params)
    assert kept_state["groups"] == state["groups"]


@each
def test_the_state_is_plain_and_does_not_share_floats_between_groups(solver):
    state = solver.init(np.zeros(SIZE), N_WEIGHTS, LAYOUT)
    assert set(state) == {"count", "n_weights", "links", "groups"}
    json.dumps(state, default=lambda array: array.tolist() if type(array) is np.ndarray else array.refuse())
    floats = [each for group in state["groups"] for each in group["floats"]]
    assert len({id(each) for each in floats}) == len(floats)
    assert all(isinstance(value, np.ndarray) for link in state["links"] for value in link.values())


def test_neighbors_with_equal_factors_are_one_run_and_empty_arrays_are_skipped():
    arrays = [(0, 4, 1.0), (4, 6, 1.0), (6, 6, 3.0), (6, 7, 0.5), (7, 8, 1.0), (8, 8, 1.0), (8, 9, 1.0)]
    groups = SGD().init(np.zeros(9), layout=[(*array, None) for array in arrays])["groups"]
    assert [(group["factor"], group["runs"]) for group in groups] == [(1.0, [[0, 6], [7, 9]]), (0.5, [[6, 7]])]
    assert "groups" not in SGD().init(np.zeros(4), layout=[(0, 4, 1.0, None), (4, 4, 7.0, None)])


def test_weight_decay_is_scaled_once_by_the_factor():
    # With zero gradients, only the decay changes the parameters.
    for solver in (AdamW(weight_decay=0.5), WithWeightDecay(SGD(), 0.5)):
        params = np.ones(4)
        state = solver.init(params, 3, [(0, 2, 1.0, None), (2, 4, 6.0, None)])
        solver.update(params, np.zeros(4), state, 0.1)
        np.testing.assert_allclose(params, [0.95, 0.95, 1.0 - 0.1 * 6.0 * 0.5, 1.0], rtol=1e-15)


def test_scheduled_settings_hold_in_all_groups():
    times = [Time(progress=progress) for progress in (0.0, 0.5, 1.0)]
    solver = WithWeightDecay(SGD(momentum=0.9 * Linear(1.0, 0.1)), 0.5 * Linear(1.0, 0.0))
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients(3)
    params = _steps(solver, start.copy(), gradients, solver.init(start, SIZE, LAYOUT), times=times)
    for begin, end, factor, _ in LAYOUT:
        alone = start[begin:end].copy()
        _steps(solver, alone, gradients[:, begin:end], solver.init(alone), factor * 0.01, times)
        np.testing.assert_allclose(params[begin:end], alone, rtol=1e-13)


@each
def test_accepts_a_state_only_with_its_own_groups(solver):
    params = np.zeros(SIZE)
    state, plain = solver.init(params, N_WEIGHTS, LAYOUT), solver.init(params, N_WEIGHTS)
    assert solver.accepts(state, LAYOUT)
    assert solver.accepts(plain)
    assert solver.accepts(plain, [(0, SIZE, 1.0, None)])
    other_factor, other_place = ([*LAYOUT[:-1], changed] for changed in ((20, 23, 9.0, None), (19, 23, 10.0, None)))
    for other in ((), other_factor, other_place):
        assert not solver.accepts(state, other)
    assert not solver.accepts(plain, LAYOUT)


@pytest.mark.parametrize("solver", [NAdam(), AdamW(), SGD()], ids=lambda solver: type(solver).__name__)
def test_compiled_steps_are_given_the_numbers_of_each_group(solver):
    rates = 0.01 / np.arange(1, 9)
    params = np.zeros(SIZE)
    state, one_by_one = (solver.init(params, N_WEIGHTS, LAYOUT) for _ in range(2))
    many, single = (compiled_solver(solver, each, params) for each in (state, one_by_one))
    plain = compiled_solver(solver, solver.init(params), params)
    first = many.numbers(rates[:3])
    state["count"] = 3
    found = np.concatenate([first, many.numbers(rates[3:])])
    for step, rate in enumerate(rates):
        np.testing.assert_allclose(single.numbers(np.array([rate])), found[[step]], rtol=1e-11)
        one_by_one["count"] += 1
    assert many.n_numbers == 3 * plain.n_numbers
    assert many.entry == plain.entry  # the same machine code
    starts = {1.0: 0, 10.0: plain.n_numbers, 0.1: 2 * plain.n_numbers}
    assert many.runs.tolist() == [[begin, end, starts[factor]] for begin, end, factor, _ in LAYOUT]
    assert plain.runs.tolist() == [[0, SIZE, 0]]
    for factor, start in starts.items():
        own = compiled_solver(solver, solver.init(params), params).numbers(factor * rates)
        np.testing.assert_allclose(found[:, start : start + plain.n_numbers], own, rtol=1e-11)
