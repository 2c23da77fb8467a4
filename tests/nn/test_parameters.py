"""The flat vector of parameters and the views into it."""

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.network import multilayer_perceptron
from skmlp.nn.parameters import Parameters, ParameterShape

SHAPES = [
    [ParameterShape("weights", (2, 3), "weight"), ParameterShape("biases", (3,), "bias")],
    [],
    [ParameterShape("weights", (3, 1), "weight"), ParameterShape("biases", (1,), "bias")],
]


def test_weights_of_all_layers_precede_the_biases():
    params = Parameters(SHAPES, np.arange(13.0))
    assert params.n_weights == 9
    np.testing.assert_array_equal(params.weights[0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(params.weights[1], [[6], [7], [8]])
    np.testing.assert_array_equal(params.biases[0], [9, 10, 11])
    np.testing.assert_array_equal(params.biases[1], [12])


def test_layout_has_place_rate_factor_and_shapes_of_hidden_weights_in_the_order_of_the_vector():
    shapes = [
        [ParameterShape("scales", (2,), "scale", 6.0), ParameterShape("means", (2,), "statistic")],
        [ParameterShape("weights", (2, 3), "weight"), ParameterShape("biases", (3,), "bias", 0.1)],
        [ParameterShape("table", (4, 1), "factor", 0.5)],
        [ParameterShape("weights", (3, 1), "weight", 2.0)],
        [],
    ]
    assert Parameters(shapes).layout == [
        (0, 6, 1.0, (2, 3)),
        (6, 9, 2.0, None),  # the last layer with weights
        (9, 13, 0.5, None),
        (13, 15, 6.0, None),
        (15, 18, 0.1, None),
    ]
    assert Parameters(shapes[:1]).layout == [(0, 2, 6.0, None)]


def test_views_share_memory_with_the_vector():
    params = Parameters(SHAPES)
    params.weights[0][1, 2] = 5.0
    params.vector[12] = 7.0
    assert params.vector[5] == 5.0
    assert params.biases[1][0] == 7.0
    assert all(np.shares_memory(view, params.vector) for layer in params.layers for view in layer.values())


def test_layers_without_parameters_have_an_empty_entry():
    assert [sorted(layer) for layer in Parameters(SHAPES).layers] == [["biases", "weights"], [], ["biases", "weights"]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_new_parameters_are_zero_and_of_the_dtype(dtype):
    params = Parameters(SHAPES, dtype=dtype)
    np.testing.assert_array_equal(params.vector, np.zeros(13, dtype))
    assert params.vector.dtype == params.weights[0].dtype == dtype
    assert Parameters(SHAPES).vector.dtype == np.float32


def test_given_vector_is_not_copied():
    vector = np.zeros(13)
    assert Parameters(SHAPES, vector).vector is vector


def test_on_returns_the_same_views_of_another_vector():
    params, other = Parameters(SHAPES), np.arange(13.0)
    moved = params.on(other)
    assert moved.vector is other
    assert moved.n_weights == params.n_weights
    np.testing.assert_array_equal(moved.weights[1], [[6], [7], [8]])
    assert not params.vector.any()


def test_like_returns_new_memory_of_the_same_dtype_and_shapes():
    params = Parameters(SHAPES, dtype=np.float64)
    twin = params.like()
    twin.vector[:] = 1.0
    assert twin.vector.dtype == np.float64
    assert [view.shape for view in twin.weights] == [view.shape for view in params.weights]
    assert not params.vector.any()


@pytest.mark.parametrize("vector", [np.zeros(12), np.zeros(14), np.zeros((13, 1)), np.zeros(0)])
def test_vector_of_another_shape_raises_an_error(vector):
    with pytest.raises(ValueError, match=r"these layers need \(13,\)"):
        Parameters(SHAPES, vector)
    with pytest.raises(ValueError, match=r"these layers need \(13,\)"):
        Parameters(SHAPES).on(vector)


def test_parameters_of_a_network_have_the_shapes_of_its_layers():
    network = multilayer_perceptron([4, 3, 2], [ACTIVATIONS["relu"]])
    params = network.parameters()
    assert params.vector.size == 4 * 3 + 3 + 3 * 2 + 2
    assert params.n_weights == 4 * 3 + 3 * 2
    assert [weights.shape for weights in params.weights] == [(4, 3), (3, 2)]
    assert [biases.shape for biases in params.biases] == [(3,), (2,)]


def test_weights_and_biases_are_found_by_role_not_by_name():
    shapes = [
        [ParameterShape("weights", (2,), "scale"), ParameterShape("biases", (2,), "offset")],
        [ParameterShape("matrix", (2, 3), "weight"), ParameterShape("shift", (3,), "bias")],
    ]
    params = Parameters(shapes)
    assert [view.shape for view in params.weights] == [(2, 3)]
    assert [view.shape for view in params.biases] == [(3,)]
    assert params.layer_numbers == [0, 1]


def test_factors_count_as_weights():
    factor = [ParameterShape("factors", (4,), "factor")]
    params = Parameters([SHAPES[0], factor, SHAPES[2]], np.arange(17.0))
    assert params.n_weights == 13
    np.testing.assert_array_equal(params.weights[1], [[6], [7], [8]])
    np.testing.assert_array_equal(params.layers[1]["factors"], [9, 10, 11, 12])


def test_unknown_role_raises_an_error():
    with pytest.raises(ValueError, match=r"The role of the parameter 'w' must be one of \['weight', .*'wait'"):
        ParameterShape("w", (1,), "wait")
