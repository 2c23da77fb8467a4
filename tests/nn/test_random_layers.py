"""Gradient checks of random networks with normalization, dropout, residual connections and penalties."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from skmlp.nn.activations import ACTIVATIONS, Parametric
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.layers import BatchNorm, LayerNorm
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

SMOOTH = ("identity", "logistic", "tanh", "gelu", "silu", "softplus", "mish")

cases = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.integers(2, 4), max_size=5),
        "equal_widths": st.booleans(),
        "activation": st.sampled_from(SMOOTH),
        "parametric": st.booleans(),
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
    network = multilayer_perceptron(
        [3, *hidden, 2],
        [Parametric(activation) if case["parametric"] else activation] * len(hidden),
        normalization=case["normalization"],
        dropout=case["dropout"][: len(hidden)],
        residual=case["residual"],
    )
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
    weight = None if case["weights"] is None else np.array(case["weights"][:n_samples], float)
    hypothesis.assume(weight is None or weight.sum() > 0.0)
    rows = n_samples if network.couples_rows else max(1, n_samples + case["spare_rows"])
    workspace, grad = objective.workspace(rows, np.float64), params.like()

    def value_and_gradient(vector):
        masks = np.random.default_rng(1)  # the same ones at every point
        value = objective.value_and_gradient(params.on(vector.copy()), X, y, weight, workspace, grad, masks)
        return sum(value), grad.vector

    check_gradient(value_and_gradient, params.vector, tolerance=1e-6)
