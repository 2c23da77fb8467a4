"""Kernels of all registered solvers, run in plain Python, against `Solver.update`; numbers of many steps at once."""

import itertools
from dataclasses import fields

import numpy as np
import pytest

from skmlp.compiled.kernels import kernel_of
from skmlp.optim import SGD, SOLVERS, RMSProp, WithWeightDecay
from skmlp.optim.solvers import Trace

N_STEPS, N_WEIGHTS, RATES = 8, 4, 0.01 / np.arange(1, 9)  # rectified Adam changes its formula at step 6


def _variants(cls):
    """Return the solver with default settings, and with each setting changed."""
    default = cls()
    yield default
    for field in fields(cls):
        value = getattr(default, field.name)
        if type(value) is int:
            changed = value + 3
        else:
            changed = not value if isinstance(value, bool) else 0.9 * value if value else 0.1
        yield cls(**{field.name: changed})


# All but Muon, which works on matrices.
VARIANTS = {name: list(_variants(cls)) for name, cls in SOLVERS.items() if name != "muon"}
VARIANTS["plain, with weight decay"] = [SGD(0.0), WithWeightDecay(SGD(0.0), 0.5)]
each = pytest.mark.parametrize("solvers", VARIANTS.values(), ids=VARIANTS)


def _arrays(link_state):
    return [value for value in link_state.values() if isinstance(value, np.ndarray)]


def _kernel_step(links, states, count, rate, params, gradient):
    """Take a step parameter by parameter, as the compiled engine does."""
    real = params.dtype.type
    numbers = [tuple(map(real, link.prepare(state, count, rate))) for link, state in zip(links, states, strict=True)]
    for i, g in enumerate(gradient):
        update, p = g, params[i]
        for link, state, own in zip(links, states, numbers, strict=True):
            if link.acts_on == "weights" and i >= N_WEIGHTS:
                continue
            arrays = _arrays(state)
            update, p, new = link.kernel(update, p, tuple(array[i] for array in arrays), own)
            assert {type(value) for value in (update, p, *new)} == {real}
            for array, value in zip(arrays, new, strict=True):
                array[i] = value
        params[i] = p + update


@each
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_kernels_agree_with_numpy(solvers, dtype, rtol):
    for solver in solvers:
        rng = np.random.default_rng(0)
        by_kernel = rng.standard_normal(6).astype(dtype)
        by_numpy, initial = by_kernel.copy(), by_kernel.copy()
        state, kernel_state = (solver.init(by_numpy, N_WEIGHTS) for _ in range(2))
        for count, rate in enumerate(RATES.tolist(), start=1):
            gradient = (rng.standard_normal(6) * np.exp(rng.uniform(-3, 3, 6))).astype(dtype)
            _kernel_step(solver.links, kernel_state["links"], count, rate, by_kernel, gradient)
            solver.update(by_numpy, gradient, state, rate)
            np.testing.assert_allclose(by_kernel, by_numpy, rtol=rtol, atol=rtol, err_msg=repr(solver))
        assert (by_numpy != initial).all()
        for ours, theirs in zip(kernel_state["links"], state["links"], strict=True):
            for own, other in zip(_arrays(ours), _arrays(theirs), strict=True):
                np.testing.assert_allclose(own, other, rtol=rtol, atol=rtol, err_msg=repr(solver))


@each
def test_kernels_have_no_constants_of_another_dtype(solvers):
    # In compiled code a Python float would turn float32 into float64.
    for link in itertools.chain.from_iterable(solver.links for solver in solvers):
        assert not any(isinstance(constant, float) for constant in type(link).kernel.__code__.co_consts)


@each
def test_numbers_of_many_steps_are_those_of_each_step(solvers):
    for link in itertools.chain.from_iterable(solver.links for solver in solvers):
        state, state_of_many = link.init(np.empty(0)), link.init(np.empty(0))
        one_by_one = [link.prepare(state, count, rate) for count, rate in enumerate(RATES.tolist(), start=1)]
        assert {type(number) for numbers in one_by_one for number in numbers} <= {float}
        # In two parts: the second starts from the state after the first.
        for part in (slice(0, 3), slice(3, N_STEPS)):
            numbers = link.prepare(state_of_many, np.arange(1, N_STEPS + 1)[part], RATES[part])
            for together, separate in zip(numbers, zip(*one_by_one[part], strict=True), strict=True):
                # The relative error of 1 - beta^t is up to 1e-16 / (1 - beta).
                np.testing.assert_allclose(np.broadcast_to(together, len(separate)), separate, rtol=1e-11)
        for name, value in state.items():
            if not isinstance(value, np.ndarray):
                assert type(state_of_many[name]) is float
                np.testing.assert_allclose(state_of_many[name], value, rtol=1e-12)


def test_the_kernel_of_a_base_class_is_not_that_of_a_link_with_its_own_apply():
    class Doubled(Trace):
        def apply(self, updates, *arguments):
            super().apply(updates, *arguments)
            updates *= 2.0

    class Renamed(Trace):
        pass

    methods = ("init", "prepare", "apply")
    assert kernel_of(Doubled(), "kernel", methods) is None
    assert kernel_of(Renamed(), "kernel", methods) is Trace.kernel


def test_names_come_in_their_documented_order():
    names = ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "amsgrad", "adamw", "nadam", "radam", "lion"]
    names += ["schedule_free_adamw", "muon"]
    assert list(SOLVERS)[: len(names)] == names


def test_a_solver_with_a_name_is_registered():
    class Named(SGD, name="named"):
        pass

    try:
        assert SOLVERS["named"] is Named
    finally:
        del SOLVERS["named"]
    assert SGD in SOLVERS.values()

    class Unnamed(SGD):
        pass

    assert Unnamed not in SOLVERS.values()


def test_centered_kernel_is_finite_where_rounding_makes_the_variance_negative():
    links, params = RMSProp(decay=0.5, centered=True).links, np.zeros(3, np.float32)
    states = [link.init(params) for link in links]
    for count in range(1, 61):
        _kernel_step(links, states, count, 1e-12, params, np.array([0.1, 1.3, 1e3], np.float32))
    assert np.isfinite(params).all()
