"""Muon on matrices of hidden layers: torch's values, orthogonality, what goes to AdamW, memory and state."""

import copy
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from skmlp.optim import AdamW, Linear, Muon, Solver, Time, WithWeightDecay
from skmlp.optim.solvers import ScaleByLearningRate, chain
from skmlp.optim.solvers.muon import ScaleOthersByAdam, orthogonalize
from skmlp.training.compiled_solver import has_kernels

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))["matrices"]
SOLVERS = {
    "muon_wide": Muon(momentum=0.95, weight_decay=0.1, adjust="original"),
    "muon_tall": Muon(momentum=0.8, weight_decay=0.0, adjust="match_rms_adamw"),
    "muon_square": Muon(momentum=0.9, weight_decay=0.3, adjust="original", nesterov=False, ns_steps=3),
}

# Two hidden matrices, with an array between them; the weights of the last layer; biases.
SIZE, N_WEIGHTS = 60, 47
LAYOUT = [(0, 12, 1.0, (3, 4)), (12, 16, 1.0, None), (16, 36, 1.0, (5, 4)), (36, 47, 1.0, None), (47, 60, 1.0, None)]
MATRICES = [(0, (3, 4)), (16, (5, 4))]
OTHERS = np.r_[12:16, 36:60]


def _scratch(shape, dtype=np.float64):
    return np.empty(2 * min(shape) ** 2 + shape[0] * shape[1], dtype)


def _gradients(n_steps=6, size=SIZE, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n_steps, size)) * np.exp(rng.uniform(-3, 3, (n_steps, 1)))).astype(dtype)


def _steps(solver, params, gradients, state, learning_rate=0.01):
    for step, gradient in enumerate(gradients):
        solver.update(params, gradient.copy(), state, learning_rate / (1 + step))
    return params


@pytest.mark.parametrize("name", GOLDEN)
def test_weights_after_50_steps_are_those_of_torch(name):
    run, solver = GOLDEN[name], SOLVERS[name]
    P, Q, weights = (np.array(run[key]) for key in ("P", "Q", "start"))
    vector = weights.reshape(-1).copy()
    layout, compared = [(0, weights.size, 1.0, weights.shape)], 0
    state = solver.init(vector, layout=layout)
    for step in range(1, 51):
        gradient = P.T @ np.tanh(P @ vector.reshape(weights.shape) - Q)
        solver.update(vector, gradient.reshape(-1), state, run["settings"]["lr"])
        if str(step) in run["weights"]:
            found = vector.reshape(weights.shape)
            np.testing.assert_allclose(found, run["weights"][str(step)], rtol=1e-8, atol=1e-9, err_msg=f"step {step}")
            compared += 1
    assert compared == 7


@pytest.mark.parametrize("shape", [(4, 4), (3, 40), (40, 3), (1, 6), (6, 1), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_singular_values_are_near_one_and_the_directions_stay(shape, dtype):
    # A matrix with known singular vectors, and singular values from 0.05 to 1 times the norm.
    rng, k = np.random.default_rng(0), min(shape)
    left, right = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in shape)
    for scale in (1e-3, 1.0, 1e30):
        matrix = (scale * (left * np.geomspace(0.05, 1.0, k)) @ right.T).astype(dtype)
        orthogonalize(matrix, 5, _scratch(shape, dtype))
        inner = left.T @ matrix @ right
        assert matrix.dtype == dtype
        assert (np.diag(inner) > 0.65).all()
        assert (np.diag(inner) < 1.25).all()
        np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0.0, atol=1e-4)


def test_float32_matrices_are_not_mixed_with_float64(watched):
    _, link, _, _ = Muon().links
    state, updates = {"momentum": watched(np.zeros((3, 4)))}, watched(np.linspace(-1.0, 1.0, 12).reshape(3, 4))
    scratch = watched(np.empty(link.scratch_size((3, 4))))
    for count in (1, 2):
        link.apply(updates, watched(np.ones((3, 4))), state, scratch, link.prepare(state, count, 0.01))


def test_a_matrix_and_its_transpose_are_orthogonalized_alike():
    matrix = np.random.default_rng(0).standard_normal((4, 7))
    transposed = matrix.T.copy()
    for each in (matrix, transposed):
        orthogonalize(each, 5, _scratch((4, 7)))
    np.testing.assert_allclose(transposed.T, matrix, rtol=1e-12)


def test_a_matrix_without_gradient_only_decays():
    for dtype in (np.float32, np.float64):
        vector = np.ones(12, dtype)
        solver = Muon(weight_decay=0.5)
        solver.update(vector, np.zeros(12, dtype), solver.init(vector, layout=[(0, 12, 1.0, (3, 4))]), 0.1)
        np.testing.assert_allclose(vector, 0.95, rtol=1e-6)


def test_what_is_no_hidden_matrix_is_updated_by_adamw():
    solver, gradients = Muon(weight_decay=0.2, beta_1=0.8, beta_2=0.9, epsilon=1e-3), _gradients()
    start = np.linspace(-1.0, 1.0, SIZE)
    found = _steps(solver, start.copy(), gradients, solver.init(start, N_WEIGHTS, LAYOUT))
    adamw, others = AdamW(0.8, 0.9, 1e-3, weight_decay=0.2), start[OTHERS].copy()
    _steps(adamw, others, gradients[:, OTHERS], adamw.init(others, N_WEIGHTS - 32))
    np.testing.assert_array_equal(found[OTHERS], others)
    for begin, shape in MATRICES:
        place = slice(begin, begin + shape[0] * shape[1])
        alone = start[place].copy()
        _steps(solver, alone, gradients[:, place], solver.init(alone, layout=[(0, alone.size, 1.0, shape)]))
        np.testing.assert_array_equal(found[place], alone)


def test_without_hidden_matrices_it_is_adamw():
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients()
    muon, adamw = Muon(weight_decay=0.2), AdamW(weight_decay=0.2)
    found = _steps(muon, start.copy(), gradients, muon.init(start, N_WEIGHTS))
    np.testing.assert_array_equal(found, _steps(adamw, start.copy(), gradients, adamw.init(start, N_WEIGHTS)))


def test_adamw_has_its_own_learning_rate_also_for_the_decay():
    layout = [(start, stop, 2.0 if start == 12 else 1.0, shape) for start, stop, _, shape in LAYOUT]
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients()
    plain, solver = Muon(weight_decay=0.2), Muon(weight_decay=0.2, adam_rate_factor=0.25)
    state = solver.init(start, N_WEIGHTS, layout)
    factors = {group["factor"]: group["runs"] for group in state["groups"]}
    assert factors == {1.0: [[0, 12], [16, 36]], 0.5: [[12, 16]], 0.25: [[36, 60]]}
    found = _steps(solver, start.copy(), gradients, state)
    same = _steps(plain, start.copy(), gradients, plain.init(start, N_WEIGHTS, LAYOUT))
    lower = _steps(plain, start.copy(), gradients, plain.init(start, N_WEIGHTS, LAYOUT), 0.25 * 0.01)
    for begin, end in ((0, 12), (16, 36)):
        np.testing.assert_array_equal(found[begin:end], same[begin:end])
    np.testing.assert_allclose(found[36:], lower[36:], rtol=1e-13)
    wrapped = WithWeightDecay(Muon(weight_decay=0.0, adam_rate_factor=0.25), 0.2)
    around = _steps(wrapped, start.copy(), gradients, wrapped.init(start, N_WEIGHTS, layout))
    np.testing.assert_array_equal(around, found)


def test_steps_match_the_size_of_adamws_by_default():
    gradient = np.random.default_rng(0).standard_normal(40 * 30)
    for shape in ((40, 30), (30, 40), (20, 60)):
        vector = np.zeros(gradient.size)
        solver = Muon()
        solver.update(vector, gradient.copy(), solver.init(vector, layout=[(0, vector.size, 1.0, shape)]), 0.01)
        # An orthogonal matrix times 0.2 sqrt(max(shape)) has entries of root mean square 0.2.
        assert 0.7 * 0.2 < np.sqrt(np.mean(vector**2)) / 0.01 < 1.2 * 0.2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [Muon(), Muon(nesterov=False, adam_rate_factor=0.1)], ids=["default", "settings"])
def test_a_copy_of_the_state_continues_bit_for_bit_in_its_dtype(solver, dtype):
    params = np.linspace(-1.0, 1.0, SIZE).astype(dtype)
    state = solver.init(params, N_WEIGHTS, LAYOUT)
    _steps(solver, params, _gradients(dtype=dtype), state)
    kept, kept_state = params.copy(), copy.deepcopy(state)
    _steps(solver, params, _gradients(seed=1, dtype=dtype), state)
    _steps(solver, kept, _gradients(seed=1, dtype=dtype), kept_state)
    np.testing.assert_array_equal(kept, params)
    assert np.isfinite(params).all()
    arrays = [value for link in state["links"] for value in link.values() if isinstance(value, np.ndarray)]
    assert {array.dtype for array in (params, *arrays)} == {np.dtype(dtype)}


def test_blocks_do_not_change_the_result(monkeypatch):
    gradients, solver, found = _gradients(), Muon(adam_rate_factor=0.1), []
    for block in (1000, 3):
        monkeypatch.setattr(chain, "BLOCK", block)
        params = np.linspace(-1.0, 1.0, SIZE)
        found.append(_steps(solver, params, gradients, solver.init(params, N_WEIGHTS, LAYOUT)))
    np.testing.assert_array_equal(*found)


def test_the_state_has_one_array_for_matrices_and_two_for_the_rest():
    state = Muon().init(np.zeros(SIZE, np.float32), N_WEIGHTS, LAYOUT)
    assert set(state) == {"count", "n_weights", "matrices", "links"}
    sizes = [{name: value.size for name, value in link.items()} for link in state["links"]]
    assert sizes == [{}, {"momentum": 32}, {"mu": 28, "nu": 28}, {}]
    assert state["matrices"] == [[0, 3, 4], [16, 5, 4]]
    json.dumps(state, default=lambda array: array.tolist() if type(array) is np.ndarray else array.refuse())


def test_accepts_a_state_only_with_its_own_matrices():
    params, solver = np.zeros(SIZE), Muon()
    state = solver.init(params, N_WEIGHTS, LAYOUT)
    assert solver.accepts(state, LAYOUT)
    assert not solver.accepts(state)
    assert not solver.accepts(state, [(0, 12, 1.0, (4, 3)), *LAYOUT[1:]])
    assert not solver.accepts(solver.init(params), LAYOUT)
    assert not AdamW().accepts(state, LAYOUT)


@pytest.mark.parametrize("shape", [(400, 500), (500, 400)])
def test_a_step_allocates_no_array_of_the_size_of_the_matrix(shape):
    params = np.ones(200_000, np.float32)
    gradient = np.random.default_rng(0).standard_normal(params.size).astype(np.float32)
    solver = Muon()
    step = solver.on(params, gradient, solver.init(params, layout=[(0, params.size, 1.0, shape)]))
    step(0.01)
    tracemalloc.start()
    try:
        step(0.01)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < params.nbytes / 4


def test_a_matrix_is_fitted():
    rng = np.random.default_rng(0)
    A, target = rng.standard_normal((30, 5)), rng.standard_normal((5, 4))
    vector, solver = np.zeros(20), Muon(weight_decay=0.0)
    state = solver.init(vector, layout=[(0, 20, 1.0, (5, 4))])
    for step in range(400):
        error = A @ (vector.reshape(5, 4) - target)
        solver.update(vector, (A.T @ error).reshape(-1), state, 0.1 * (1.0 - step / 400))
    np.testing.assert_allclose(vector.reshape(5, 4), target, atol=0.02)


def test_scheduled_settings_hold_in_their_step():
    solver = Muon(momentum=0.9 * Linear(1.0, 0.5), weight_decay=0.4 * Linear(1.0, 0.0))
    start, gradients = np.linspace(-1.0, 1.0, SIZE), _gradients(2)
    scheduled, by_hand = start.copy(), start.copy()
    states = [solver.init(start, N_WEIGHTS, LAYOUT) for _ in range(2)]
    for progress, gradient in zip((0.0, 0.5), gradients, strict=True):
        time = Time(progress=progress)
        solver.update(scheduled, gradient.copy(), states[0], 0.01, time)
        plain = Muon(momentum=0.9 * (1.0 - 0.5 * progress), weight_decay=0.4 * (1.0 - progress))
        plain.update(by_hand, gradient.copy(), states[1], 0.01)
    np.testing.assert_allclose(scheduled, by_hand, rtol=1e-13)


class AllButMatrices(Solver):
    """A chain of links with kernels, one of which does not act on matrices."""

    @property
    def links(self):
        return ScaleOthersByAdam(), ScaleByLearningRate()


def test_what_works_on_matrices_or_around_them_has_no_kernels():
    assert not has_kernels(Muon())
    assert not has_kernels(AllButMatrices())
    assert has_kernels(AdamW())
