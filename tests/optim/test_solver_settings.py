"""Settings of solvers: defaults, ranges, clone, pickle and set_params."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

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
from skmlp.optim.schedules import Linear, Time

NAN, INF = float("nan"), float("inf")
SETTINGS = [
    SGD(0.5, False),
    RMSProp(0.8, 1e-5, 1e-6, 0.4, True),
    Adagrad(0.1, 1e-3, 1e-4),
    Adadelta(0.8, 1e-5),
    Adam(0.8, 0.9, 1e-5, 1e-6),
    AMSGrad(0.8, 0.9, 1e-5, 1e-6),
    AdamW(0.8, 0.9, 1e-5, 1e-6, 0.3),
    NAdam(0.8, 0.9, 1e-5, 1e-6, 0.3),
    RAdam(0.8, 0.9, 1e-5, 1e-6),
    Lion(0.8, 0.7, 0.3),
    ScheduleFreeAdamW(0.8, 0.9, 1e-5, 0.3, 7, 1.0, 1.5),
    Muon(0.8, False, 0.3, "original", 3, 0.5, 0.8, 0.9, 1e-5),
]
each = pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: type(settings).__name__)


@each
def test_clone_and_pickle_keep_every_setting(settings):
    for copy in (clone(settings), pickle.loads(pickle.dumps(settings))):
        assert copy is not settings
        assert copy == settings
        assert copy.get_params() == settings.get_params()
    default = type(settings)().get_params()
    # The examples above change every setting.
    assert all(settings.get_params()[name] != value for name, value in default.items())


@each
def test_numpy_numbers_become_python_floats(settings):
    # Grids often hold NumPy numbers; a float64 would turn float32 arithmetic into float64.
    given = {name: value for name, value in settings.get_params().items() if type(value) is float}
    for number in (np.float64, np.float32):
        changed = clone(settings).set_params(**{name: number(value) for name, value in given.items()})
        for name, value in given.items():
            assert type(changed.get_params()[name]) is float
            assert changed.get_params()[name] == float(number(value))
        assert clone(changed) == changed


WITH_BETAS = (Adam, AMSGrad, AdamW, NAdam, RAdam, Lion, ScheduleFreeAdamW, Muon)
BAD = [
    *((SGD, "momentum", value) for value in (-0.1, 1.1, NAN, "0.9", True, None)),
    *((RMSProp, "decay", value) for value in (-0.1, 1.0, NAN)),
    *((cls, name, value) for cls in (RMSProp, Adam) for name in ("epsilon", "epsilon_root") for value in (-1e-9, INF)),
    (RMSProp, "momentum", 1.01),
    *((Adagrad, name, -1e-9) for name in ("initial_accumulator", "epsilon", "epsilon_root")),
    (Adadelta, "decay", 1.0),
    *((Adadelta, "epsilon", value) for value in (0.0, -1.0)),
    *((cls, name, value) for cls in WITH_BETAS for name in ("beta_1", "beta_2") for value in (-0.1, 1.0)),
    *((cls, "weight_decay", -1e-9) for cls in (AdamW, Lion, ScheduleFreeAdamW, Muon)),
    (NAdam, "momentum_decay", -1e-9),
    *((ScheduleFreeAdamW, "warmup_steps", value) for value in (-1, 1.0, True)),
    *((ScheduleFreeAdamW, name, value) for name in ("r", "weight_lr_power") for value in (-0.1, 10.1)),
    *((Muon, "momentum", value) for value in (-0.1, 1.0)),
    *((Muon, "ns_steps", value) for value in (0, 100, 5.0)),
    *((Muon, "adam_rate_factor", value) for value in (0.0, -1.0)),
    *((Muon, "adjust", value) for value in ("spectral", None)),
]


@pytest.mark.parametrize("cls", SOLVERS.values())
def test_invalid_settings_are_refused_by_name_and_change_nothing(cls):
    good = next(settings for settings in SETTINGS if type(settings) is cls).get_params()
    for name, value in [case for each, *case in BAD if each is cls]:
        settings = cls()
        other = next(each for each in good if each != name)
        words = f"'{name}' parameter of {cls.__name__} must be .*Got {value!r} instead"
        with pytest.raises(ValueError, match=words):
            cls(**{name: value})
        with pytest.raises(ValueError, match=words):
            settings.set_params(**{other: good[other], name: value})
        assert settings == cls()


@pytest.mark.parametrize("settings", [SGD(1.0), SGD(0.0), RMSProp(0.0, 0.0), Adam(0.0, 0.0, 0.0), Adadelta(0.0)])
def test_bounds_of_closed_ranges_are_allowed(settings):
    assert settings == clone(settings)


# The documented defaults: those of the papers and of torch, scikit-learn's for SGD.
MOMENTS = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "epsilon_root": 0.0}
DEFAULTS = {
    SGD: {"momentum": 0.9, "nesterovs_momentum": True},
    RMSProp: {"decay": 0.99, "epsilon": 1e-8, "epsilon_root": 0.0, "momentum": 0.0, "centered": False},
    Adagrad: {"initial_accumulator": 0.0, "epsilon": 1e-10, "epsilon_root": 0.0},
    Adadelta: {"decay": 0.9, "epsilon": 1e-6},
    Adam: MOMENTS,
    AMSGrad: MOMENTS,
    AdamW: {**MOMENTS, "weight_decay": 0.01},
    NAdam: {**MOMENTS, "momentum_decay": 0.004},
    RAdam: MOMENTS,
    Lion: {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.0},
    ScheduleFreeAdamW: {
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
    },
    Muon: {
        "momentum": 0.95,
        "nesterov": True,
        "weight_decay": 0.1,
        "adjust": "match_rms_adamw",
        "ns_steps": 5,
        "adam_rate_factor": 1.0,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
    },
}


@pytest.mark.parametrize("cls", DEFAULTS)
def test_defaults_are_those_documented(cls):
    assert cls().get_params() == DEFAULTS[cls]


def test_every_registered_solver_is_tested_here():
    assert {type(settings) for settings in SETTINGS} == set(SOLVERS.values()) == set(DEFAULTS)


def test_scheduled_settings_outside_their_range_raise_in_the_step_where_they_are():
    p, g = np.zeros(2), np.ones(2)
    for solver in (SGD(momentum=0.9 * Linear(1.0, 1.5)), RMSProp(momentum=0.9 * Linear(1.0, 2.0))):
        state = solver.init(p, 2)
        solver.update(p, g, state, 0.1, Time(progress=0.0))
        with pytest.raises(ValueError, match="must be a float in the range"):
            solver.update(p, g, state, 0.1, Time(progress=1.0))
