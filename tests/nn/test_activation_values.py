"""Values and derivatives of every activation: 40-digit references, large inputs, kinks, float32."""

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS, ELU

NAMES = sorted(ACTIVATIONS)
POINTS = np.array([-4.0, -0.125, 1.0, 30.0])

# name: (sigma(z), sigma'(z)) at POINTS. Computed with mpmath 1.3 from the definitions at 40 digits (derivatives with
# mpmath.diff) and rounded to the nearest double.
REFERENCE = {
    "identity": ([-4.0, -0.125, 1.0, 30.0], [1.0, 1.0, 1.0, 1.0]),
    "logistic": (
        [0.01798620996209156, 0.46879062662624377, 0.7310585786300049, 0.9999999999999064],
        [0.017662706213291118, 0.24902597501361748, 0.19661193324148185, 9.357622968838423e-14],
    ),
    "tanh": (
        [-0.999329299739067, -0.12435300177159621, 0.7615941559557649, 1.0],
        [0.001340950683025897, 0.9845363309503934, 0.4199743416140261, 3.502604305078608e-26],
    ),
    "relu": ([0.0, 0.0, 1.0, 30.0], [0.0, 0.0, 1.0, 1.0]),
    "leaky_relu": ([-0.04, -0.00125, 1.0, 30.0], [0.01, 0.01, 1.0, 1.0]),
    "elu": (
        [-0.9816843611112658, -0.1175030974154046, 1.0, 30.0],
        [0.01831563888873418, 0.8824969025845955, 1.0, 1.0],
    ),
    "selu": (
        [-1.7258986281898947, -0.20658211811354793, 1.0507009873554805, 31.521029620664414],
        [0.032200712657482145, 1.551517222733829, 1.0507009873554805, 1.0507009873554805],
    ),
    "gelu": (
        [-0.0001266849673324797, -0.056282721896235885, 0.8413447460685429, 30.0],
        [-0.0005036496612264215, 0.4007820643017934, 1.0833154705876864, 1.0],
    ),
    "gelu_tanh": (
        [-7.024594819237268e-05, -0.05628280137577661, 0.8411919906082767, 30.0],
        [-0.0003351231971226708, 0.40078459383720855, 1.0829640838457826, 1.0],
    ),
    "silu": (
        [-0.07194483984836623, -0.05859882832828047, 0.7310585786300049, 29.999999999997193],
        [-0.05266461489107291, 0.4376623797495416, 0.9276705118714867, 1.0000000000027136],
    ),
    "softplus": (
        [0.01814992791780974, 0.6325990353171691, 1.3132616875182228, 30.000000000000092],
        [0.01798620996209156, 0.46879062662624377, 0.7310585786300049, 0.9999999999999064],
    ),
    "mish": (
        [-0.07259174079202536, -0.06997990718000248, 0.8650983882673103, 30.0],
        [-0.053773209793480325, 0.519606473544816, 1.0490362200997922, 1.0],
    ),
}

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
# name: (slope, offset) of the straight line far to the left, and far to the right.
ASYMPTOTES = {
    "identity": ((1.0, 0.0), (1.0, 0.0)),
    "logistic": ((0.0, 0.0), (0.0, 1.0)),
    "tanh": ((0.0, -1.0), (0.0, 1.0)),
    "relu": ((0.0, 0.0), (1.0, 0.0)),
    "leaky_relu": ((0.01, 0.0), (1.0, 0.0)),
    "elu": ((0.0, -1.0), (1.0, 0.0)),
    "selu": ((0.0, -SELU_SCALE * SELU_ALPHA), (SELU_SCALE, 0.0)),
    **dict.fromkeys(("gelu", "gelu_tanh", "silu", "softplus", "mish"), ((0.0, 0.0), (1.0, 0.0))),
}

# At a kink the derivative is the one from the left.
DERIVATIVES_AT_ZERO = {"relu": 0.0, "leaky_relu": 0.01, "elu": 1.0, "selu": SELU_SCALE * SELU_ALPHA}


def _rounding(z: np.ndarray, eps: float) -> np.ndarray:
    """Return a bound for a handful of rounded operations on numbers as large as 1 + |z|.

    The longest formula, the derivative of gelu_tanh, is 1 + (1 - u)(2 a s' - 1): the rounding of u (half an eps) is
    multiplied by 2 a s', which stays below 50 as long as u does not round to 1 (|z| < 6).
    """
    return 16.0 * eps * (1.0 + np.abs(z))


def test_every_registered_activation_has_reference_values():
    assert set(REFERENCE) == set(ASYMPTOTES) == set(NAMES)


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_values_and_derivatives_in_float64(name):
    values, derivatives = REFERENCE[name]
    tolerance = _rounding(POINTS, np.finfo(np.float64).eps)
    activation = ACTIVATIONS[name]
    assert np.all(np.abs(activation(POINTS) - values) <= tolerance)
    assert np.all(np.abs(activation.gradient(POINTS) - derivatives) <= tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_with_float64_to_rounding(name):
    z = np.linspace(-12.0, 12.0, 2001, dtype=np.float32)
    tolerance = _rounding(z, float(np.finfo(np.float32).eps))
    activation = ACTIVATIONS[name]
    assert np.all(np.abs(activation(z) - activation(z.astype(np.float64))) <= tolerance)
    assert np.all(np.abs(activation.gradient(z) - activation.gradient(z.astype(np.float64))) <= tolerance)


@pytest.mark.parametrize("name", ASYMPTOTES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_of_large_inputs_equal_their_asymptotes(name, dtype):
    # Warnings are errors, so this also shows that nothing overflows on the way. The exponential tails at -100 are at
    # most 101 exp(-100) = 3.8e-42.
    z, eps = np.array([-1e4, -100.0, 100.0, 1e4], dtype), np.finfo(dtype).eps
    left, right = ASYMPTOTES[name]
    slope, offset = np.array([left, left, right, right]).T
    expected = slope * z + offset
    assert np.all(np.abs(ACTIVATIONS[name](z) - expected) <= 4 * eps * np.abs(expected) + 1e-41)
    assert np.all(np.abs(ACTIVATIONS[name].gradient(z) - slope) <= 4 * eps * slope + 1e-41)


@pytest.mark.parametrize("name", ASYMPTOTES)
def test_derivative_is_right_where_adding_1_changes_nothing_in_float32(name):
    # From 2**24 on, z + 1 rounds to z: a derivative written as a difference of numbers as large as z is lost.
    slope = ASYMPTOTES[name][1][0]
    got = float(ACTIVATIONS[name].gradient(np.array([1e8], np.float32))[0])
    assert abs(got - slope) <= 4 * np.finfo(np.float32).eps * slope


@pytest.mark.parametrize("name", DERIVATIVES_AT_ZERO)
def test_derivative_at_a_kink_is_the_one_from_the_left(name):
    zeros = np.array([0.0, -0.0])
    assert not ACTIVATIONS[name](zeros).any()
    # One rounding each in the constants' product and in the sum.
    np.testing.assert_allclose(ACTIVATIONS[name].gradient(zeros), [DERIVATIVES_AT_ZERO[name]] * 2, rtol=4e-16)


def test_derivative_of_elu_at_its_kink_is_alpha():
    assert ELU(alpha=0.5).gradient(np.array([0.0, 1e-9])).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_not_mixed_with_float64(name, watched):
    activation = ACTIVATIONS[name]
    z = watched(np.linspace(-3.0, 3.0, 11))
    a = z if activation.in_place else watched(np.empty(11))
    activation.forward(z, a)
    activation.derivative(z, a, watched(np.empty(11)))
