"""Gradient checks of random networks: any sizes, depths, activations, losses, weights and input formats."""

import hypothesis
import numpy as np
from hypothesis import strategies as st
from scipy import sparse

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

KINKED = ("relu", "leaky_relu", "selu")
# Distance of every kinked unit from its kink. The check moves one parameter by 1e-6, which moves a unit's input by
# that times a signal below 10.
CLEARANCE = 1e-5

cases = st.fixed_dictionaries(
    {
        "layer_sizes": st.lists(st.integers(1, 5), min_size=2, max_size=8),  # depth 0 to 6
        "activations": st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=6, max_size=6),
        "loss": st.sampled_from(sorted(LOSSES)),
        "weights": st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=6, max_size=6)),
        "n_samples": st.integers(1, 6),
        "spare_rows": st.integers(-4, 3),  # negative: the batch is processed in blocks
        "alpha": st.sampled_from([0.0, 0.3]),
        "sparse": st.booleans(),
        "seed": st.integers(0, 10**6),
    }
)


def _is_near_a_kink(params, X, names):
    a = X
    for weights, biases, name in zip(params.weights[:-1], params.biases[:-1], names, strict=True):
        z = a @ weights + biases
        if name in KINKED and np.abs(z).min() < CLEARANCE:
            return True
        a = ACTIVATIONS[name](z)
    return False


@hypothesis.given(case=cases)
@hypothesis.settings(max_examples=50)
def test_gradient_of_random_networks_agrees_with_central_differences(draw_targets, case):
    rng = np.random.default_rng(case["seed"])
    layer_sizes, n_samples = list(case["layer_sizes"]), case["n_samples"]
    loss = LOSSES[case["loss"]]
    n_outputs = layer_sizes[-1] + loss.takes_codes  # with one class the loss is 0 everywhere
    layer_sizes[-1] = loss.n_raw(n_outputs)
    names = case["activations"][: len(layer_sizes) - 2]
    network = multilayer_perceptron(layer_sizes, [ACTIVATIONS[name] for name in names])
    objective = Objective(network, loss, case["alpha"])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")

    X = rng.standard_normal((n_samples, layer_sizes[0]))
    X[rng.random(X.shape) < 0.3] = 0.0
    y = draw_targets(case["loss"], rng, n_samples, n_outputs)
    weight = None if case["weights"] is None else np.array(case["weights"][:n_samples], float)
    hypothesis.assume(weight is None or weight.sum() > 0.0)
    hypothesis.assume(not _is_near_a_kink(params, X, names))

    data = sparse.csr_matrix(X) if case["sparse"] else X
    workspace = objective.workspace(max(1, n_samples + case["spare_rows"]), np.float64)
    grad = params.like()

    def value_and_gradient(vector):
        value = objective.value_and_gradient(params.on(vector), data, y, weight, workspace, grad)
        return sum(value), grad.vector

    check_gradient(value_and_gradient, params.vector, tolerance=1e-6)
