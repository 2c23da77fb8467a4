"""A user-defined normalization, whose parameters may have any names."""

from dataclasses import dataclass

import numpy as np
import pytest

from skmlp import MLPRegressor
from skmlp.nn.layers import Layer, Normalization
from skmlp.nn.parameters import ParameterShape

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@dataclass(frozen=True)
class Stretch(Layer):
    """Every unit times a number of its own, which is called "weights"."""

    n_out: int
    role: str

    @property
    def n_in(self):
        return self.n_out

    @property
    def shapes(self):
        return (ParameterShape("weights", (self.n_out,), self.role),)

    def initialize(self, params, rng):
        params["weights"][...] = 1.0

    def allocate(self, n_samples, dtype, *, is_first):
        return (np.empty((n_samples, self.n_out), dtype),)

    def forward(self, params, x, memory, batch=None):
        return np.multiply(x, params["weights"], out=memory[0])

    def backward(self, params, grads, x, output, delta, memory, batch=None, *, needs_input_delta=True):
        if grads is not None:
            grads["weights"][...] = (delta * x).sum(axis=0)
        delta *= params["weights"]
        return delta


@dataclass
class Stretching(Normalization):
    role: str = "scale"

    def layer(self, n_units):
        return Stretch(n_units, self.role)


@pytest.fixture
def data():
    X = np.random.default_rng(0).standard_normal((40, 3))
    return X, X[:, 0]


def _fit(data, role, **params):
    settings = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, **params}
    return MLPRegressor(normalization=Stretching(role), **settings).fit(*data)


@pytest.mark.parametrize("role", ["scale", "factor"])
def test_parameter_named_weights_is_not_in_coefs(data, role):
    est = _fit(data, role)
    assert [weights.shape for weights in est.coefs_] == [(3, 4), (4, 1)]
    assert [weights.shape for weights in est.loss_and_gradients(*data)[1]] == [(3, 4), (4, 1)]


@pytest.mark.parametrize("role", ["scale", "factor"])
def test_parameter_named_weights_is_not_monitored_as_a_layer(data, role):
    est = _fit(data, role, monitor=True)
    assert est.monitor_["gradient_norm"].shape == (len(est.monitor_["epoch"]), 2)
    assert np.isfinite(est.monitor_["gradient_norm"]).all()
    assert est.diagnose(*data) is not None


def test_factors_are_penalized_and_scales_are_not(data):
    alpha, n_units, n_samples = 10.0, 4, 40
    first = {role: _fit(data, role, alpha=alpha, max_iter=1).history_["penalty"][0] for role in ("scale", "factor")}
    # Of the first batch, which is all samples, when the numbers are still 1.
    assert first["factor"] - first["scale"] == pytest.approx(alpha / 2 * n_units / n_samples)


def test_weight_role_needs_a_matrix_between_units(data):
    with pytest.raises(ValueError, match=r"Stretch.* has parameters of shapes .*\(4,\).* the role 'factor'"):
        _fit(data, "weight")
