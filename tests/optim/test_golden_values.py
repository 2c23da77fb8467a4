"""Every solver against torch or its authors' code, step by step on one function; make_golden.py writes golden.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from skmlp.optim import (
    SGD,
    SOLVERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSProp,
    ScheduleFreeAdamW,
)

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))

SOLVERS_OF_RUNS = {
    "sgd": (SGD(momentum=0.0), 0.004),
    "sgd_momentum": (SGD(momentum=0.8, nesterovs_momentum=False), 0.002),
    "sgd_nesterov": (SGD(momentum=0.9, nesterovs_momentum=True), 0.002),
    "rmsprop": (RMSProp(decay=0.99, epsilon=1e-8), 0.01),
    "rmsprop_settings": (RMSProp(decay=0.9, epsilon=0.1), 0.005),
    "rmsprop_centered": (RMSProp(decay=0.99, epsilon=1e-8, centered=True), 0.005),
    "rmsprop_momentum": (RMSProp(decay=0.99, epsilon=1e-8, momentum=0.7), 0.003),
    "rmsprop_centered_momentum": (RMSProp(decay=0.95, epsilon=1e-4, centered=True, momentum=0.6), 0.002),
    "adagrad": (Adagrad(epsilon=1e-10), 0.3),
    "adagrad_settings": (Adagrad(epsilon=1e-2, initial_accumulator=0.5), 0.2),
    "adadelta": (Adadelta(decay=0.9, epsilon=1e-6), 1.0),
    "adadelta_settings": (Adadelta(decay=0.95, epsilon=1e-4), 0.5),
    "adam": (Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8), 0.05),
    "adam_settings": (Adam(beta_1=0.8, beta_2=0.99, epsilon=0.1), 0.03),
    "amsgrad": (AMSGrad(beta_1=0.9, beta_2=0.99, epsilon=1e-8), 0.05),
    "adamw": (AdamW(beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.1), 0.05),
    "nadam": (NAdam(beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=0.004), 0.04),
    "nadam_settings": (NAdam(beta_1=0.8, beta_2=0.99, epsilon=1e-2, momentum_decay=0.05), 0.04),
    "radam": (RAdam(beta_1=0.9, beta_2=0.999, epsilon=1e-8), 0.05),
    "radam_settings": (RAdam(beta_1=0.8, beta_2=0.95, epsilon=0.05), 0.03),
    "lion": (Lion(beta_1=0.9, beta_2=0.99), 0.01),
    "lion_decay": (Lion(beta_1=0.95, beta_2=0.9, weight_decay=0.3), 0.02),
    "schedule_free_adamw": (ScheduleFreeAdamW(beta_1=0.9, beta_2=0.999, epsilon=1e-8), 0.05),
    "schedule_free_adamw_settings": (ScheduleFreeAdamW(0.8, 0.99, 1e-2, 0.2, 30, 1.5, 1.0), 0.03),
}


def _gradient(x):
    """Return the gradient of make_golden.function, derived by hand."""
    valley = x[1] - x[0] ** 2
    return np.array(
        [
            -2 * (1 - x[0]) - 40 * x[0] * valley,
            20 * valley,
            50 * x[2] + 0.5 * x[3],
            0.01 * x[3] + 0.5 * x[2] + 0.2 * np.cos(x[3]),
            3 * np.cos(x[4]) * np.cos(0.5 * x[5]) + 0.1 * x[4],
            -1.5 * np.sin(x[4]) * np.sin(0.5 * x[5]) + 0.1 * x[5],
        ]
    )


def test_gradient_is_that_of_the_function_in_torch():
    for case in GOLDEN["gradients"]:
        np.testing.assert_allclose(_gradient(np.array(case["at"])), case["gradient"], rtol=1e-12, atol=1e-13)


def test_every_run_and_every_solver_is_compared():
    assert set(SOLVERS_OF_RUNS) == set(GOLDEN["runs"])
    # test_muon.py compares Muon, which works on matrices.
    assert {type(solver) for solver, _ in SOLVERS_OF_RUNS.values()} >= set(SOLVERS.values()) - {Muon}


@pytest.mark.parametrize("name", SOLVERS_OF_RUNS)
def test_parameters_after_200_steps_are_those_of_the_reference(name):
    (solver, learning_rate), run = SOLVERS_OF_RUNS[name], GOLDEN["runs"][name]
    assert run["settings"]["lr"] == learning_rate
    params = np.array(GOLDEN["start"])
    state, compared = solver.init(params), 0
    for step in range(1, 201):
        solver.update(params, _gradient(params), state, learning_rate)
        if str(step) in run["params"]:
            # These runs magnify a change of the start at most 60 times, so rounding errors reach about 1e-12.
            np.testing.assert_allclose(params, run["params"][str(step)], rtol=1e-10, atol=1e-10, err_msg=f"step {step}")
            if solver.averages:
                average = params - solver.ahead(state)
                np.testing.assert_allclose(average, run["averages"][str(step)], rtol=1e-10, atol=1e-10)
            compared += 1
    assert compared == 10
