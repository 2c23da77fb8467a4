"""A training step works in preallocated memory: it allocates vectors of one number per row, nothing larger."""

import tracemalloc

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective

N_SAMPLES, N_HIDDEN, N_OUTPUTS = 2000, 512, 4

# elu, selu and softplus select by a mask, mish needs a second factor: these do allocate.
WITHOUT_TEMPORARIES = ("identity", "logistic", "tanh", "relu", "leaky_relu", "gelu", "gelu_tanh", "silu")


def _peak(function):
    function()  # the first call makes what is kept
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("activation", "loss"),
    [(activation, "log_loss") for activation in WITHOUT_TEMPORARIES] + [("relu", loss) for loss in LOSSES],
)
def test_a_step_allocates_no_array_of_the_size_of_a_layer(draw_targets, activation, loss):
    rng = np.random.default_rng(0)
    network = multilayer_perceptron(
        [N_HIDDEN, N_HIDDEN, N_HIDDEN, LOSSES[loss].n_raw(N_OUTPUTS)], [ACTIVATIONS[activation]] * 2
    )
    params = network.parameters()
    initialize(network, params, rng)
    X = rng.standard_normal((N_SAMPLES, N_HIDDEN), dtype=np.float32)
    y = draw_targets(loss, rng, N_SAMPLES, N_OUTPUTS)
    y = y if y.ndim == 1 else y.astype(np.float32)
    weight = np.ones(N_SAMPLES, np.float32)
    objective, grad = Objective(network, LOSSES[loss], 1e-4), params.like()
    workspace = objective.workspace(N_SAMPLES, np.float32)
    peak = _peak(lambda: objective.value_and_gradient(params, X, y, weight, workspace, grad))
    # A third of the smallest array of a layer's shape that could be added by mistake: a mask of one byte an element.
    # It is also a third of a weight matrix, and about a hundredth of the workspace.
    assert peak < N_SAMPLES * N_HIDDEN / 3
