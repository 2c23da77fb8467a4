"""set_params changes settings of objects without changing the objects of others."""

from copy import deepcopy

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPRegressor
from skmlp.nn.activations import ACTIVATIONS, LeakyReLU
from skmlp.nn.initializers import INITIALIZERS
from skmlp.nn.losses import LOSSES
from skmlp.optim import SGD


@pytest.mark.parametrize(
    ("registry", "name", "parameter", "setting", "value"),
    [
        (ACTIVATIONS, "leaky_relu", "activation", "negative_slope", 0.3),
        (LOSSES, "huber", "loss", "delta", 3.0),
        (INITIALIZERS, "he_normal", "weight_init", "scale", 3.0),
    ],
)
def test_set_params_does_not_change_registered_objects(registry, name, parameter, setting, value):
    before = deepcopy(registry[name])
    est = MLPRegressor(**{parameter: registry[name]})
    est.set_params(**{f"{parameter}__{setting}": value})
    assert est.get_params()[f"{parameter}__{setting}"] == value
    assert registry[name] == before


def test_set_params_does_not_change_objects_of_other_estimators():
    shared = SGD(momentum=0.5)
    one, other = MLPRegressor(solver=shared), MLPRegressor(solver=shared)
    one.set_params(solver__momentum=0.8)
    assert (one.solver.momentum, other.solver.momentum, shared.momentum) == (0.8, 0.5, 0.5)


def test_set_params_of_a_pipeline_does_not_change_registered_objects():
    model = make_pipeline(StandardScaler(), MLPRegressor(activation=ACTIVATIONS["elu"]))
    model.set_params(mlpregressor__activation__alpha=0.5)
    assert (model[-1].activation.alpha, ACTIVATIONS["elu"].alpha) == (0.5, 1.0)


@pytest.mark.parametrize("setting_first", [True, False])
def test_an_object_and_a_setting_of_it_can_be_set_together(setting_first):
    given = LeakyReLU(0.2)
    changes = {"activation__negative_slope": 0.4, "activation": given}
    est = MLPRegressor().set_params(**changes if setting_first else dict(reversed(changes.items())))
    assert (est.activation.negative_slope, given.negative_slope) == (0.4, 0.2)


def test_a_refused_setting_leaves_the_object_unchanged():
    est = MLPRegressor(activation=LeakyReLU(0.2))
    with pytest.raises(ValueError, match="'negative_slope'"):
        est.set_params(activation__negative_slope=2.0)
    assert est.activation == LeakyReLU(0.2)


def test_training_uses_the_changed_setting():
    X = np.random.default_rng(0).standard_normal((20, 2))
    y = X[:, 0]
    losses = []
    for slope in (0.0, 0.9):
        est = MLPRegressor(activation=ACTIVATIONS["leaky_relu"], random_state=0)
        losses.append(est.set_params(activation__negative_slope=slope).partial_fit(X, y).loss_)
    assert losses[0] != losses[1]
