"""Steps of every solver: progress, resuming, blocks, dtype, memory and the state."""

import copy
import json
import tracemalloc

import numpy as np
import pytest

from skmlp.optim import SGD, SOLVERS, Adam, AdamW, AMSGrad, Lion, RMSProp, ScheduleFreeAdamW
from skmlp.optim.solvers import chain

EXAMPLES = {
    **{name: cls() for name, cls in SOLVERS.items()},
    "sgd_plain": SGD(momentum=0.0),
    "sgd_momentum": SGD(nesterovs_momentum=False),
    "rmsprop_centered_momentum": RMSProp(momentum=0.9, centered=True, epsilon_root=1e-6),
    "adam_root": Adam(epsilon=0.0, epsilon_root=1e-8),
    "lion_decay": Lion(weight_decay=0.1),
    "schedule_free_settings": ScheduleFreeAdamW(0.5, 0.9, weight_decay=0.1, warmup_steps=4, r=1.0),
}
each = pytest.mark.parametrize("solver", EXAMPLES.values(), ids=EXAMPLES)

# Usual learning rates; 0.01 for all others.
RATES = {"sgd": 5e-4, "adagrad": 0.3, "adadelta": 1.0, "lion": 2e-3, "schedule_free_adamw": 0.05}
CURVATURE, CENTRE = np.array([1.0, 10.0, 100.0]), np.array([1.0, -2.0, 0.5])


def _quadratic(x):
    return float(0.5 * CURVATURE @ (x - CENTRE) ** 2), CURVATURE * (x - CENTRE)


def _rosenbrock(x):
    valley = x[1] - x[0] ** 2
    gradient = np.array([-2 * (1 - x[0]) - 400 * x[0] * valley, 200 * valley])
    return float((1 - x[0]) ** 2 + 100 * valley**2), gradient


def _run(solver, params, steps, learning_rate=0.01, state=None, seed=0):
    """Take steps with gradients of very different sizes; return the state."""
    state = solver.init(params) if state is None else state
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        gradient = rng.standard_normal(params.size) * np.exp(rng.uniform(-6, 6, params.size))
        solver.update(params, gradient.astype(params.dtype), state, learning_rate)
    return state


def _arrays(state):
    return [value for link in state["links"] for value in link.values() if isinstance(value, np.ndarray)]


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("function", "start", "steps", "fraction"),
    # The minimum of the quadratic is reached, up to the constant step size of Lion. In the curved valley of the
    # Rosenbrock function, the slowest solvers have not arrived yet.
    [(_quadratic, [0.0, 0.0, 0.0], 1000, 1e-4), (_rosenbrock, [-1.5, 2.0], 1000, 0.25)],
    ids=["quadratic", "rosenbrock"],
)
def test_steps_minimize_a_function(name, function, start, steps, fraction):
    params = np.array(start)
    solver, first = SOLVERS[name](), function(params)[0]
    gradient, rate = np.empty_like(params), RATES.get(name, 0.01)
    step = solver.on(params, gradient, solver.init(params, n_weights=0))  # weight decay would move the minimum
    for _ in range(steps):
        gradient[:] = function(params)[1]
        step(rate)
    assert function(params)[0] < fraction * first


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_of_the_state_continues_bit_for_bit_in_its_dtype(solver, dtype):
    params = np.linspace(-1.0, 1.0, 37).astype(dtype)
    state = _run(solver, params, 8)
    kept_params, kept_state = params.copy(), copy.deepcopy(state)
    _run(solver, params, 9, state=state, seed=1)
    assert not np.array_equal(params, kept_params)
    _run(solver, kept_params, 9, state=kept_state, seed=1)
    np.testing.assert_array_equal(kept_params, params)
    assert kept_state["count"] == state["count"] == 17
    assert {array.dtype for array in (params, *_arrays(state))} == {np.dtype(dtype)}
    for resumed, uninterrupted in zip(_arrays(kept_state), _arrays(state), strict=True):
        np.testing.assert_array_equal(resumed, uninterrupted)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_do_not_change_the_result(monkeypatch, solver, dtype):
    # 23 entries in blocks of 7: three whole ones and one of 2; the 10 weights end inside the second.
    whole = np.linspace(-1.0, 1.0, 23).astype(dtype)
    cut = whole.copy()
    state = _run(solver, whole, 7, state=solver.init(whole, 10))
    monkeypatch.setattr(chain, "BLOCK", 7)
    cut_state = _run(solver, cut, 7, state=solver.init(cut, 10))
    np.testing.assert_array_equal(cut, whole)
    for part, full in zip(_arrays(cut_state), _arrays(state), strict=True):
        np.testing.assert_array_equal(part, full)


@each
def test_long_vectors_are_updated_elementwise(solver):
    n = 2 * chain.BLOCK + 5
    long, short = np.tile(np.array([0.5, -1.0, 2.0]), n // 3 + 1)[:n], np.array([0.5, -1.0, 2.0])
    long_state, short_state = solver.init(long), solver.init(short)
    for factor in (1.0, -3.0, 0.1):
        gradient = factor * np.array([0.2, 5.0, -0.03])
        solver.update(long, np.tile(gradient, n // 3 + 1)[:n], long_state, 0.01)
        solver.update(short, gradient.copy(), short_state, 0.01)
    np.testing.assert_array_equal(long, np.tile(short, n // 3 + 1)[:n])


@each
def test_float32_arrays_are_not_mixed_with_float64(solver, watched):
    params, state = watched(np.ones(5)), solver.init(np.ones(5, np.float32))
    states = [{k: watched(v) if isinstance(v, np.ndarray) else v for k, v in link.items()} for link in state["links"]]
    for count in range(1, 9):  # rectified Adam changes its formula at step 6
        updates = watched(np.linspace(-1.0, 1.0, 5))
        for link, link_state in zip(solver.links, states, strict=True):
            if link.acts_on == "matrices":
                continue
            numbers = link.prepare(link_state, count, 0.01)
            link.apply(updates, params, link_state, watched(np.empty(5)), numbers)
        params += updates


@each
def test_gradient_is_overwritten_by_the_step(solver):
    params = np.linspace(-1.0, 1.0, 7)
    state, before, gradient = solver.init(params, 0), params.copy(), np.linspace(2.0, 3.0, 7)
    solver.update(params, gradient, state, 0.01)
    np.testing.assert_array_equal(params, before + gradient)
    assert np.all(gradient < 0.0)  # downhill


@each
def test_a_step_allocates_no_array_of_the_size_of_the_vector(solver):
    params = np.ones(200_000, np.float32)
    gradient, state = np.ones_like(params), solver.init(params)
    solver.update(params, gradient, state, 0.01)
    tracemalloc.start()
    try:
        solver.update(params, gradient, state, 0.01)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The scratch block and at most two buffers of NumPy; an array of the size of the vector would be 800 kB.
    assert peak < 4 * chain.BLOCK * params.itemsize


@each
def test_state_consists_of_numbers_and_arrays_and_is_accepted(solver):
    params = np.ones(5, np.float32)
    state = _run(solver, params, 3)
    assert solver.accepts(state)
    assert solver.accepts(solver.init(params))
    assert not solver.accepts({})
    assert not solver.accepts({"links": state["links"]})
    assert set(state) == {"count", "n_weights", "links"}
    assert (state["count"], state["n_weights"]) == (3, 5)
    # With arrays as lists, json accepts numbers, strings, lists and dicts only.
    json.dumps(state, default=lambda array: array.tolist() if type(array) is np.ndarray else array.refuse())


@pytest.mark.parametrize(
    ("solver", "other"),
    [
        (Adam(), AMSGrad()),
        (Adam(), SGD()),
        (SGD(0.0), SGD(0.9)),
        (RMSProp(), RMSProp(centered=True)),
        (Adam(), AdamW()),
    ],
)
def test_does_not_accept_a_state_with_other_arrays(solver, other):
    assert not solver.accepts(other.init(np.ones(5)))
    assert not other.accepts(solver.init(np.ones(5)))
