"""The contract of every activation: derivative, memory, settings, label, registration."""

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
def _restored_registry():
    before = dict(ACTIVATIONS)
    yield
    ACTIVATIONS.clear()
    ACTIVATIONS.update(before)


def test_derivative_agrees_with_central_differences(any_activation):
    # Away from kinks. The error of central differences is step**2 / 6 times the third derivative (below 2 for all of
    # them) plus the rounding of values up to 4, 4 eps / step.
    rng = np.random.default_rng(0)
    z, step = rng.uniform(0.01, 4.0, 300) * rng.choice([-1.0, 1.0], 300), 1e-5
    numeric = (any_activation(z + step) - any_activation(z - step)) / (2.0 * step)
    np.testing.assert_allclose(any_activation.gradient(z), numeric, rtol=0.0, atol=step**2 + 4.0 * 2.3e-16 / step)
    assert check_derivative(any_activation) < 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_does_not_modify_its_input_unless_it_is_the_output(any_activation, dtype):
    z = np.linspace(-5.0, 5.0, 23).astype(dtype)
    original, out = z.copy(), np.full_like(z, np.nan)
    any_activation.forward(z, out)
    np.testing.assert_array_equal(z, original)
    np.testing.assert_array_equal(out, any_activation(original))
    assert any_activation(z).dtype == any_activation.gradient(z).dtype == dtype
    if any_activation.in_place:
        any_activation.forward(z, z)
        np.testing.assert_array_equal(z, out)


def test_derivative_does_not_modify_the_output_of_the_layer(any_activation):
    z = np.linspace(-5.0, 5.0, 23)
    a = any_activation(z)
    original, out = a.copy(), np.full_like(a, np.nan)
    any_activation.derivative(a if any_activation.in_place else z.copy(), a, out)
    np.testing.assert_array_equal(a, original)
    np.testing.assert_array_equal(out, any_activation.gradient(z))


def test_pickle_and_clone_give_an_equal_independent_object(any_activation):
    for copy in (pickle.loads(pickle.dumps(any_activation)), clone(any_activation)):
        assert copy == any_activation
        assert copy is not any_activation
        assert copy.get_params() == any_activation.get_params()


def test_label_is_the_registered_name_or_the_representation():
    assert [activation.label for activation in ACTIVATIONS.values()] == list(ACTIVATIONS)
    assert LeakyReLU().label == "leaky_relu"
    assert LeakyReLU(0.3).label == "LeakyReLU(negative_slope=0.3)"


def test_in_place_activations_and_initializers():
    # In place: one array for input and output, for which the derivative must come from the output alone.
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


def test_set_params_and_get_params():
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
def test_invalid_settings_raise_an_error_and_change_nothing(activation, name, value):
    before = activation.get_params()
    for assign in (lambda: type(activation)(**{name: value}), lambda: activation.set_params(**{name: value})):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {type(activation).__name__}.*Got {value!r}"):
            assign()
    assert activation.get_params() == before


def test_unknown_setting_raises_an_error_with_the_valid_ones():
    with pytest.raises(ValueError, match=r"Invalid parameter 'slope' for LeakyReLU.*negative_slope"):
        LeakyReLU().set_params(slope=0.1)


@pytest.mark.usefixtures("_restored_registry")
def test_registered_activation_has_a_name():
    activation = FunctionActivation("sine", _sine, _cosine)
    assert register_activation("sine", activation) is activation
    assert ACTIVATIONS["sine"] is activation
    assert activation.label == "sine"


@pytest.mark.usefixtures("_restored_registry")
def test_existing_name_cannot_be_registered_again():
    with pytest.raises(ValueError, match="'tanh' exists already"):
        register_activation("tanh", FunctionActivation("sine", _sine, _cosine))
    assert ACTIVATIONS["tanh"] != FunctionActivation("sine", _sine, _cosine)


@pytest.mark.usefixtures("_restored_registry")
@pytest.mark.parametrize("wrong", [_cosine_wrong_above_3, _not_a_number])
def test_wrong_derivative_cannot_be_registered_and_is_located(wrong):
    with pytest.raises(ValueError, match="central differences") as raised:
        register_activation("sine", FunctionActivation("sine", _sine, wrong))
    assert "sine" not in ACTIVATIONS
    point = float(str(raised.value).split("at z = ")[1].split()[0])
    # The 401 checked points start at -5.9877, 0.03 apart.
    assert point > 3.0 if wrong is _cosine_wrong_above_3 else point == pytest.approx(-5.9877 + 17 * 0.03, abs=1e-6)
