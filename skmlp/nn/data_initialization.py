r"""Initial parameters that depend on the training data.

Rules such as He's make the pre-activations of a layer of variance 1 on average, for inputs of variance 1. Here they are
made so for each unit and the data at hand: the rows go through the layers that have their parameters already, and the
next dense layer is set from what arrives there.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.layers import Dense, Layer
from skmlp.nn.layers.base import Views
from skmlp.nn.network import Network, Node
from skmlp.nn.parameters import Parameters

__all__ = ["initialize_from_data", "learn_from_data"]

# Rows of which the activations have more numbers than this are sampled.
MAX_NUMBERS = 2**27
# A bias is minus a random mean of so many pre-activations.
N_AVERAGED = 5


def initialize_from_data(network: Network, params: Parameters, rng: np.random.Generator, X: Any) -> None:
    r"""Set all parameters, layer by layer, from what the layers before make of the training data.

    Each dense layer :math:`z = g\, a W + b` gets normal weights, of which each column is divided by the standard
    deviation of its :math:`g\, a W` over the rows, so that every pre-activation has the standard deviation 1. Its bias
    is a random point of what its pre-activations are without:

    .. math:: b = -\sum_{k=1}^5 p_k (g\, a W)_{i_k}

    with rows :math:`i_k` drawn for each unit and p uniform among the five numbers that sum to 1. So the kinks of all
    units lie within the data, at different places. Other layers draw their parameters and learn from the data as they
    do anyway. Dropout is off, and a batch normalization still has the running averages of its start.

    Parameters
    ----------
    network : Network
    params : Parameters
        Overwritten.
    rng : numpy.random.Generator
    X : ndarray or CSR matrix of shape (n_samples, n_in)
        The training data, in the dtype of `params`. If there are very many, a sample of the rows is used.

    Notes
    -----
    A unit whose pre-activation is the same in all rows keeps its normal weights.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", NeurIPS, arXiv 2407.04491; for the biases
    Steinwart (2019), "A sober look at neural network initializations", arXiv 1903.11482.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.data_initialization import initialize_from_data
    >>> from skmlp.nn.layers import Dense
    >>> from skmlp.nn.network import Network
    >>> X = np.random.default_rng(0).normal(3.0, 100.0, (50, 4)).astype(np.float32)
    >>> network = Network([Dense(4, 2)])
    >>> params = network.parameters()
    >>> initialize_from_data(network, params, np.random.default_rng(1), X)
    >>> network.predict(params, X).std(axis=0).round(4)
    array([1., 1.], dtype=float32)
    """
    params.vector[...] = 0.0  # where the layers set nothing else
    n_samples = X.shape[0]
    n_used = min(n_samples, max(1, MAX_NUMBERS // network.n_numbers))
    if n_used < n_samples:
        X = X[np.sort(rng.choice(n_samples, n_used, replace=False))]
    for node, x, views in _walk(network, params, X, len(network.nodes)):
        if isinstance(node.layer, Dense):
            _initialize_dense(node.layer, views, rng, x)
        else:
            node.layer.initialize(views, rng)
            node.layer.learn(views, x)


def learn_from_data(network: Network, params: Parameters, X: Any) -> None:
    """Let all layers learn their statistics from the training data that learn any, in the order of the network.

    The other parameters must have their initial values: what a layer learns from are the outputs of those before.

    Parameters
    ----------
    network : Network
    params : Parameters
        The statistics of these layers are overwritten.
    X : ndarray or CSR matrix of shape (n_samples, n_in)
        The training data, in the dtype of `params`.
    """
    learning = [node.index for node in network.nodes if type(node.layer).learn is not Layer.learn]
    for node, x, views in _walk(network, params, X, max(learning, default=-1) + 1):
        node.layer.learn(views, x)


def _walk(network: Network, params: Parameters, X: Any, n_nodes: int) -> Iterator[tuple[Node, Any, Views]]:
    """Yield each of the first nodes with its input and its parameters, and when it is over compute its output."""
    last_reader = {value: node.index for node in network.nodes for value in node.inputs}
    values: dict[int, Any] = {0: X}
    for node in network.nodes[:n_nodes]:
        inputs = tuple(values[value] for value in node.inputs)
        x, views = inputs if len(inputs) > 1 else inputs[0], params.layers[node.index]
        yield node, x, views
        memory = node.layer.allocate(X.shape[0], params.vector.dtype, is_first=node.inputs == (0,))
        values[node.index + 1] = node.layer.forward(views, x, memory)
        for value in set(node.inputs):
            if last_reader[value] == node.index:
                del values[value]


def _initialize_dense(layer: Dense, views: Views, rng: np.random.Generator, x: Any) -> None:
    weights, biases = views["weights"], views["biases"]
    weights[...] = rng.standard_normal(weights.shape)  # float32 and float64 networks start with the same ones
    biases[...] = 0.0
    z = layer.forward(views, x, layer.allocate(x.shape[0], weights.dtype, is_first=True))
    deviation = _deviation(z)
    weights /= deviation
    rows = rng.integers(0, len(z), (N_AVERAGED, layer.n_out))
    parts = rng.standard_exponential((N_AVERAGED, layer.n_out))
    drawn = z[rows, np.arange(layer.n_out)] / deviation
    biases[...] = -np.sum(parts / parts.sum(axis=0) * drawn, axis=0)


def _deviation(z: FloatArray) -> FloatArray:
    """Return the standard deviation of each column, and 1 where it is a rounding error."""
    deviation = z.std(axis=0, dtype=np.float64)
    rounding = 16.0 * np.finfo(z.dtype).eps * np.abs(z).max(axis=0)
    return np.where(deviation > rounding, deviation, 1.0)
