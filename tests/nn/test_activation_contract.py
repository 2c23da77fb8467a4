"""What every activation promises its layer and its user: derivative, storage, settings, registration."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmlp.nn.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    SELU,
    FunctionActivation,
    LeakyReLU,
    ReLU,
    check_derivative,
    register_activation,
)

EXAMPLES = {
    **ACTIVATIONS,
    "leaky_relu(0.3)": LeakyReLU(negative_slope=0.3),
    "leaky_relu(0)": LeakyReLU(negative_slope=0.0),
    "elu(0.4)": ELU(alpha=0.4),
    "elu(0)": ELU(alpha=0.0),
}
every_activation = pytest.mark.parametrize("activation", EXAMPLES.values(), ids=EXAMPLES)


def _sine(z, out):
    np.sin(z, out=out)


def _cosine(z, a, out):
    np.cos(z, out=out)


def _cosine_wrong_above_3(z, a, out):
    np.cos(z, out=out)
    out[z > 3.0] += 1e-4


def _not_a_number(z, a, out):
    np.cos(z, out=out)
    out[17] = np.nan


@pytest.fixture
def _clean_registry():
    kept = dict(ACTIVATIONS)
    yield
    ACTIVATIONS.clear()
    ACTIVATIONS.update(kept)


@every_activation
def test_derivative_is_that_of_the_function(activation):
    # Away from kinks. Central differences err by step**2 / 6 times the third derivative (below 2 for all of them) and
    # by rounding of values up to 4, 4 eps / step.
    rng = np.random.default_rng(0)
    z, step = rng.uniform(0.01, 4.0, 300) * rng.choice([-1.0, 1.0], 300), 1e-5
    numeric = (activation(z + step) - activation(z - step)) / (2.0 * step)
    np.testing.assert_allclose(activation.gradient(z), numeric, rtol=0.0, atol=step**2 + 4.0 * 2.3e-16 / step)
    assert check_derivative(activation) < 1e-9


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_keeps_its_input_unless_told_to_overwrite_it(activation, dtype):
    z = np.linspace(-5.0, 5.0, 23).astype(dtype)
    kept, out = z.copy(), np.full_like(z, np.nan)
    activation.forward(z, out)
    np.testing.assert_array_equal(z, kept)
    np.testing.assert_array_equal(out, activation(kept))
    if activation.in_place:
        activation.forward(z, z)
        np.testing.assert_array_equal(z, out)


@every_activation
def test_derivative_never_changes_the_output_of_the_layer(activation):
    z = np.linspace(-5.0, 5.0, 23)
    a = activation(z)
    kept, out = a.copy(), np.full_like(a, np.nan)
    activation.derivative(a if activation.in_place else z.copy(), a, out)
    np.testing.assert_array_equal(a, kept)
    np.testing.assert_array_equal(out, activation.gradient(z))


@every_activation
def test_pickle_and_clone_give_an_equal_independent_object(activation):
    for copy in (pickle.loads(pickle.dumps(activation)), clone(activation)):
        assert copy == activation
        assert copy is not activation
        assert copy.get_params() == activation.get_params()


def test_what_the_layers_and_the_network_are_told():
    # In place: one array for input and output. Then the derivative must come from the output alone.
    assert {name for name, each in ACTIVATIONS.items() if each.in_place} == {"identity", "logistic", "tanh", "relu"}
    initializers = {name: each.initializer for name, each in ACTIVATIONS.items()}
    assert {name for name, each in initializers.items() if each == "lecun_normal"} == {"selu"}
    glorot = {name for name, each in initializers.items() if each == "glorot_uniform"}
    assert glorot == {"identity", "logistic", "tanh", "softplus"}
    assert set(initializers.values()) == {"lecun_normal", "glorot_uniform", "he_normal"}


def test_function_activation_can_be_cloned_and_pickled():
    activation = FunctionActivation("sine", _sine, _cosine)
    assert clone(activation) == activation == pickle.loads(pickle.dumps(activation))
    assert set(activation.get_params()) == {"name", "function", "function_derivative"}


def test_settings_by_name():
    assert LeakyReLU().set_params(negative_slope=0.2) == LeakyReLU(0.2)
    assert GELU().get_params() == {"approximate": "none"}
    assert ReLU().get_params() == SELU().get_params() == {}


@pytest.mark.parametrize(
    ("activation", "name", "value"),
    [
        (LeakyReLU(), "negative_slope", 1.0),
        (LeakyReLU(), "negative_slope", -0.1),
        (LeakyReLU(), "negative_slope", float("nan")),
        (LeakyReLU(), "negative_slope", True),
        (ELU(), "alpha", -1e-9),
        (ELU(), "alpha", "1"),
        (GELU(), "approximate", "exact"),
    ],
)
def test_bad_settings_are_refused_by_name_and_change_nothing(activation, name, value):
    before = activation.get_params()
    for refused in (lambda: type(activation)(**{name: value}), lambda: activation.set_params(**{name: value})):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {type(activation).__name__}.*Got {value!r}"):
            refused()
    assert activation.get_params() == before


def test_unknown_setting_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Invalid parameter 'slope' for LeakyReLU.*negative_slope"):
        LeakyReLU().set_params(slope=0.1)


@pytest.mark.usefixtures("_clean_registry")
def test_registering_makes_a_name():
    activation = FunctionActivation("sine", _sine, _cosine)
    assert register_activation("sine", activation) is activation
    assert ACTIVATIONS["sine"] is activation


@pytest.mark.usefixtures("_clean_registry")
def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'tanh' exists already"):
        register_activation("tanh", FunctionActivation("sine", _sine, _cosine))
    assert ACTIVATIONS["tanh"] != FunctionActivation("sine", _sine, _cosine)


@pytest.mark.usefixtures("_clean_registry")
@pytest.mark.parametrize("wrong", [_cosine_wrong_above_3, _not_a_number])
def test_a_wrong_derivative_is_refused_with_the_point(wrong):
    with pytest.raises(ValueError, match="central differences") as raised:
        register_activation("sine", FunctionActivation("sine", _sine, wrong))
    assert "sine" not in ACTIVATIONS
    point = float(str(raised.value).split("at z = ")[1].split()[0])
    # The 401 checked points start at -5.9877, 0.03 apart.
    assert point > 3.0 if wrong is _cosine_wrong_above_3 else point == pytest.approx(-5.9877 + 17 * 0.03, abs=1e-6)
