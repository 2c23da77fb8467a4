"""Gradient checks of random networks with embeddings, normalization, dropout, residual connections and penalties."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from skmlp.nn.activations import ACTIVATIONS, Parametric
from skmlp.nn.data_initialization import learn_from_data
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.layers import PBLD, BatchNorm, Cosine, LayerNorm, PiecewiseLinear
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

SMOOTH = ("identity", "logistic", "tanh", "gelu", "silu", "softplus", "mish")

cases = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.integers(2, 4), max_size=5),
        "equal_widths": st.booleans(),
        "activation": st.sampled_from(SMOOTH),
        "parametric": st.booleans(),
        "embedding": st.sampled_from([None, Cosine(2, 0.5), PBLD(1, 1), PiecewiseLinear(3, 1)]),
        "normalization": st.sampled_from([None, BatchNorm(epsilon=0.1), LayerNorm(epsilon=0.1)]),
        "dropout": st.lists(st.sampled_from([0.0, 0.3, 0.6]), min_size=5, max_size=5),
        "residual": st.booleans(),
        "loss": st.sampled_from(["squared_error", "binary_log_loss", "log_loss"]),
        "weights": st.one_of(st.none(), st.lists(st.integers(0, 3), min_size=7, max_size=7)),
        "n_samples": st.integers(2, 7),
        "spare_rows": st.integers(
            -4, 2
        ),  # negative: the pass takes several blocks, where rows do not depend on each other
        "alpha": st.sampled_from([0.0, 0.3]),
        "alpha_l1": st.sampled_from([0.0, 0.2]),
        "seed": st.integers(0, 10**6),
    }
)


@hypothesis.given(cases)
@hypothesis.settings(max_examples=100)
def test_gradient_of_any_network(case):
    rng = np.random.default_rng(case["seed"])
    hidden = [3] * len(case["hidden"]) if case["equal_widths"] else case["hidden"]
    activation = ACTIVATIONS[case["activation"]]
    embedding = [] if case["embedding"] is None else [case["embedding"].layer(3)]
    network = multilayer_perceptron(
        [embedding[0].n_out if embedding else 3, *hidden, 2],
        [Parametric(activation) if case["parametric"] else activation] * len(hidden),
        normalization=case["normalization"],
        dropout=case["dropout"][: len(hidden)],
        residual=case["residual"],
    )
    network = Network([*embedding, *network.layers])
    objective = Objective(network, LOSSES[case["loss"]], case["alpha"], case["alpha_l1"])
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, bias_init="glorot_normal")
    params.vector[params.n_weights : params.n_trained] += 0.3 * rng.standard_normal(params.n_trained - params.n_weights)

    n_samples = case["n_samples"]
    X = rng.standard_normal((n_samples, 3))
    y = {
        "squared_error": rng.standard_normal((n_samples, 2)),
        "binary_log_loss": rng.integers(0, 2, (n_samples, 2)).astype(float),
        "log_loss": rng.integers(0, 2, n_samples),
    }[case["loss"]]
    learn_from_data(network, params, X[::2])
    weight = None if case["weights"] is None else np.array(case["weights"][:n_samples], float)
    hypothesis.assume(weight is None or weight.sum() > 0.0)
    rows = n_samples if network.couples_rows else max(1, n_samples + case["spare_rows"])
    workspace, grad = objective.workspace(rows, np.float64), params.like()

    def value_and_gradient(trained):
        there = params.on(params.vector.copy())
        there.trained[...] = trained
        masks = np.random.default_rng(1)  # the same ones at every point
        value = objective.value_and_gradient(there, X, y, weight, workspace, grad, masks)
        return sum(value), grad.trained

    check_gradient(value_and_gradient, params.trained, tolerance=1e-6)
