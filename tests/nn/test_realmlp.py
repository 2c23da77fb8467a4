"""RealMLP's layers, and a training of a whole RealMLP, have the numbers of pytabkit."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS, Parametric
from skmlp.nn.layers import (
    CategoryEmbedding,
    Columns,
    Dense,
    Parallel,
    ParametricActivation,
    PBLDLayer,
    Scale,
    activation_layer,
)
from skmlp.nn.losses import MultinomialLogLoss, SquaredError
from skmlp.nn.network import Network
from skmlp.nn.objective import Objective
from skmlp.optim import Adam
from skmlp.tables import RobustScaling

GOLDEN = json.loads(Path(__file__).with_name("golden_realmlp.json").read_text())


def _rows(values):
    """Return an array without the axes of length 1 that pytabkit has for broadcasting."""
    array = np.array(values)
    return array.reshape(array.shape[-1]) if array.ndim == 2 and array.shape[0] == 1 else array


def _of_pbld(values):
    """Return the parameters of PBLD, or their gradients, by our names and in our shapes."""
    frequencies, phases, offsets = (np.array(values[name])[:, 0] for name in ("weight_1", "bias_1", "bias_2"))
    mixing = np.array(values["weight_2"]).swapaxes(1, 2)
    return {
        "frequencies": frequencies,
        "phases": phases,
        "mixing": mixing.reshape(-1, mixing.shape[-1]),
        "offsets": offsets,
    }


LAYERS = {
    "pbld": (PBLDLayer(2, 4, 3), _of_pbld),
    "scale": (Scale(3), lambda values: {"scale": _rows(values["scale"])}),
    "dense": (
        Dense(4, 3, 0.5),
        lambda values: {"weights": _rows(values["product.weight"]), "biases": _rows(values["shift.bias"])},
    ),
    "parametric_selu": (
        ParametricActivation(3, ACTIVATIONS["selu"]),
        lambda values: {"blend": _rows(values["weight"])},
    ),
    "parametric_mish": (
        ParametricActivation(3, ACTIVATIONS["mish"]),
        lambda values: {"blend": _rows(values["weight"])},
    ),
}


@pytest.mark.parametrize("name", GOLDEN["layers"])
def test_both_passes_of_a_layer_equal_pytabkits(name):
    golden, (layer, named) = GOLDEN["layers"][name], LAYERS[name]
    x, params = np.array(golden["input"]), named(golden["params"])
    grads = {name: np.full_like(values, np.nan) for name, values in params.items()}
    assert {name: values.shape for name, values in params.items()} == {spec.name: spec.shape for spec in layer.shapes}
    memory = layer.allocate(len(x), np.float64, is_first=False)
    output = layer.forward(params, x, memory).copy()
    delta = layer.backward(params, grads, x, output, np.array(golden["upstream"]), memory)
    # Twelve digits are stored.
    np.testing.assert_allclose(output, golden["output"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(delta, golden["input_gradient"], rtol=1e-10, atol=1e-11)
    for name, expected in named(golden["gradients"]).items():
        np.testing.assert_allclose(grads[name], expected, rtol=1e-10, atol=1e-11, err_msg=name)


def test_robust_scaling_and_the_smooth_clip_equal_pytabkits():
    golden = GOLDEN["scaling"]
    scaling = RobustScaling.learn(np.array(golden["learned_from"]))
    np.testing.assert_allclose(scaling.apply(np.array(golden["rows"])), golden["output"], rtol=1e-10, atol=1e-11)


def _network(activation, n_out):
    """Return the RealMLP of the stored trainings: three numbers, four one-hot columns, codes of ten categories."""
    front = Parallel(
        [Columns(8, 0, 3), PBLDLayer(3, 4, 2)], [Columns(8, 3, 7)], [Columns(8, 7, 8), CategoryEmbedding(1, 10, 2)]
    )
    layers, sizes = [front, Scale(15)], [15, 5, 4, n_out]
    for n_in, n in pairwise(sizes):
        layers += [Dense(n_in, n, n_in**-0.5, bias_rate=0.1), activation_layer(n, Parametric(activation))]
    return Network(layers[:-1])


def _parameters(network, golden):
    """Return the parameters of the network with the values of pytabkit's."""
    params = network.parameters(dtype=np.float64)
    found = [
        _of_pbld({place.rpartition("/")[2]: golden[place] for place in golden if place.startswith("/plr/")}),
        {"table": np.array(golden["/tfms/emb"])[1:]},  # the first row is for categories that were not seen
    ]
    net = [[np.array(golden[place]) for place in golden if f"/layer-{layer}/" in place] for layer in range(3)]
    scale, *net[0] = net[0]
    found.append({"scale": scale[0]})
    for weights, biases, *blend in net:
        found.append({"weights": weights, "biases": biases[0]})
        found += [{"blend": each[0]} for each in blend]
    with_parameters = [views for views in params.layers if views]
    for views, own in zip(with_parameters, found, strict=True):
        assert views.keys() == own.keys()
        for name, view in views.items():
            view[...] = own[name]
    return params


@pytest.mark.parametrize("kind", GOLDEN["trainings"])
def test_a_training_has_the_losses_and_the_parameters_of_pytabkits(kind):
    golden, is_classification = GOLDEN["trainings"][kind], kind == "classification"
    network = _network("selu" if is_classification else "mish", 3 if is_classification else 1)
    params, rows = _parameters(network, golden["start"]), np.array(golden["rows"])
    # pytabkit's squared error has no 1/2: its gradient is twice ours, which Adam sees in its epsilon alone.
    loss, factor = (MultinomialLogLoss(0.1), 1.0) if is_classification else (SquaredError(), 2.0)
    objective, solver = Objective(network, loss), Adam(beta_2=0.95, epsilon=1e-8 / factor)
    workspace, grad = objective.workspace(16, np.float64), params.like()
    state = solver.init(params.trained, params.n_weights, params.layout)
    losses = []
    for batch, rate in zip(golden["batches"], golden["learning_rates"], strict=True):
        X, y = rows[batch, :-1], rows[batch, -1]
        y = y.astype(int) if is_classification else y[:, np.newaxis]
        losses.append(factor * objective.value_and_gradient(params, X, y, None, workspace, grad).loss)
        solver.update(params.trained, grad.trained, state, rate)
    np.testing.assert_allclose(losses, golden["losses"], rtol=1e-6)
    expected = _parameters(network, golden["end"])
    for span in params.spans:
        part = slice(span.start, span.stop)
        np.testing.assert_allclose(params.vector[part], expected.vector[part], rtol=1e-6, err_msg=span.spec.name)
