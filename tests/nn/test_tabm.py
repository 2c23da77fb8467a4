"""The embeddings of numbers have the numbers of rtdl_num_embeddings, which TabM uses."""

import json
from pathlib import Path

import numpy as np
import pytest

from skmlp.nn.layers import CosineEmbedding, PiecewiseLinearEmbedding

GOLDEN = json.loads(Path(__file__).with_name("golden_tabm.json").read_text())
LINEAR, PERIODIC = GOLDEN["piecewise_linear"], GOLDEN["periodic"]
# Twelve digits are stored.
CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def _rises(values, n_bins):
    """Return rises, or their gradients, with the bins of a feature one after the other.

    The library has that of the last bin in the last row, and rows of bins that a feature does not have before.
    """
    rises = np.zeros_like(np.array(values))
    for feature, (n, own) in enumerate(zip(n_bins, np.array(values), strict=True)):
        rises[feature, : n - 1], rises[feature, n - 1] = own[: n - 1], own[-1]
    return rises.reshape(-1, rises.shape[-1])


@pytest.fixture
def linear():
    """The layer with the library's parameters and edges learned from its data, and the library's gradients."""
    n_bins = [len(each) - 1 for each in LINEAR["bins"]]
    layer = PiecewiseLinearEmbedding(4, max(n_bins), 3)
    params = {spec.name: np.zeros(spec.shape) for spec in layer.shapes}
    layer.learn(params, np.array(LINEAR["learned_from"]))
    found = []
    for values in (LINEAR["params"], LINEAR["gradients"]):
        rises = _rises(values["linear.weight"], n_bins)
        found.append({"slopes": values["linear0.weight"], "offsets": values["linear0.bias"], "rises": rises})
    for name, values in found[0].items():
        params[name][...] = values
    return layer, params, found[1]


def test_edges_equal_the_librarys(linear):
    _, params, _ = linear
    assert sorted(map(len, LINEAR["bins"])) == [2, 3, 4, 6]
    for edges, expected in zip(params["edges"], LINEAR["bins"], strict=True):
        np.testing.assert_allclose(np.unique(edges), expected, rtol=1e-12)


def test_both_passes_of_the_piecewise_linear_embedding_equal_the_librarys(linear):
    layer, params, expected = linear
    x, upstream = np.array(LINEAR["input"]), np.array(LINEAR["upstream"])
    grads = {name: np.full_like(values, np.nan) for name, values in params.items()}
    memory = layer.allocate(len(x), np.float64, is_first=False)
    output = layer.forward(params, x, memory).copy()
    delta = layer.backward(params, grads, x, output, upstream.reshape(len(x), -1), memory)
    np.testing.assert_allclose(output, np.reshape(LINEAR["output"], output.shape), **CLOSE)
    np.testing.assert_allclose(delta, LINEAR["input_gradient"], **CLOSE)
    for name, values in expected.items():
        np.testing.assert_allclose(grads[name], values, **CLOSE, err_msg=name)


def test_numbers_at_the_edges_are_embedded_as_by_the_library(linear):
    layer, params, _ = linear
    x = params["edges"].T
    output = layer.forward(params, x, layer.allocate(len(x), np.float64, is_first=True))
    np.testing.assert_allclose(output, np.reshape(LINEAR["at_edges"], output.shape), **CLOSE)


def test_cosines_and_sines_are_cosine_embeddings_with_fixed_phases():
    """A sine is a cosine a quarter of a turn later."""
    weight, n = np.array(PERIODIC["params"]["weight"]), 3
    layer = CosineEmbedding(2, 2 * n + 1)
    params = {
        "frequencies": np.vstack([weight.T, weight.T]),
        "phases": np.repeat([0.0, -0.25], n)[:, np.newaxis] * np.ones(2),
        "scales": np.ones((2 * n + 1, 2)),
        "offsets": np.zeros((2 * n + 1, 2)),
    }
    x, upstream = np.array(PERIODIC["input"]), np.array(PERIODIC["upstream"])
    memory, grads = layer.allocate(len(x), np.float64, is_first=False), {}
    for name, values in params.items():
        grads[name] = np.full_like(values, np.nan)
    output = layer.forward(params, x, memory).reshape(len(x), 2 * n + 1, 2).copy()
    np.testing.assert_allclose(output[:, 1:], np.swapaxes(PERIODIC["output"], 1, 2), **CLOSE)
    signal = np.zeros_like(output)
    signal[:, 1:] = upstream.swapaxes(1, 2)
    delta = layer.backward(params, grads, x, output, signal.reshape(len(x), -1), memory)
    np.testing.assert_allclose(delta, PERIODIC["input_gradient"], **CLOSE)
    both = grads["frequencies"][:n] + grads["frequencies"][n:]  # the library has one frequency for each pair
    np.testing.assert_allclose(both, np.transpose(PERIODIC["gradients"]["weight"]), **CLOSE)
