r"""How a network's outputs depend on its inputs: error signals pushed back to the data.

Prediction is meant: without dropout, and with batch normalization by its running averages. With :math:`\delta_L =
\partial f / \partial raw` of any function f of the raw outputs, the recursion of :mod:`skmlp.nn.network` goes one step
further than training does:

.. math:: \frac{\partial f}{\partial X} = \delta_1 W_1^T .
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.losses.links import LINK_JACOBIANS
from skmlp.nn.network import PREDICT_ROWS, Network, Workspace
from skmlp.nn.parameters import Parameters

__all__ = ["input_gradient", "input_jacobian"]


def input_gradient(network: Network, params: Parameters, X: Any, delta_raw: FloatArray) -> FloatArray:
    r"""Return :math:`\partial \sum_k \delta_k raw_k / \partial X`: a vector-Jacobian product for each row.

    Parameters
    ----------
    network : Network
    params : Parameters
    X : ndarray or CSR matrix of shape (n_samples, n_in)
        In the dtype of `params`.
    delta_raw : ndarray of shape (n_samples, n_out)
        The factors :math:`\delta_k`. Not modified.

    Returns
    -------
    gradient : ndarray of shape (n_samples, n_in)
        Dense also for a sparse `X`. Apart from it, memory is bounded: rows are processed in blocks.

    Examples
    --------
    The slope of a linear network is its weight matrix:

    >>> import numpy as np
    >>> from skmlp.nn.network import multilayer_perceptron
    >>> from skmlp.nn.input_gradient import input_gradient
    >>> network = multilayer_perceptron([2, 1], [])
    >>> params = network.parameters(np.array([3.0, -2.0, 0.5]))
    >>> input_gradient(network, params, np.zeros((1, 2)), np.ones((1, 1)))
    array([[ 3., -2.]])
    """
    gradient = np.empty((X.shape[0], network.n_in), params.vector.dtype)
    workspace = network.workspace(min(X.shape[0], PREDICT_ROWS), params.vector.dtype)
    for block in _blocks(X.shape[0], workspace.n_samples):
        gradient[block] = _input_delta(network, params, X[block], delta_raw[block].astype(gradient.dtype), workspace)
    return gradient


def input_jacobian(
    network: Network,
    params: Parameters,
    X: Any,
    link_jacobian: Callable[[FloatArray], FloatArray] = LINK_JACOBIANS["identity"],
) -> FloatArray:
    """Return the derivatives of every output with respect to every input.

    Parameters
    ----------
    network : Network
    params : Parameters
    X : ndarray or CSR matrix of shape (n_samples, n_in)
        In the dtype of `params`.
    link_jacobian : callable, optional
        ``link_jacobian(raw)`` returns ``d prediction / d raw`` of shape (n_samples, n_predictions, n_out), as
        :meth:`skmlp.nn.losses.Loss.predict_jacobian` does; the result is then ``d prediction / dX``. By default it is
        ``d raw / dX``.

    Returns
    -------
    jacobian : ndarray of shape (n_samples, n_predictions, n_in)
        Dense also for a sparse `X`. Apart from it, memory is bounded: rows are processed in blocks.
    """
    n_samples, dtype = X.shape[0], params.vector.dtype
    n_predictions = link_jacobian(np.zeros((1, network.n_out), dtype)).shape[1]
    workspace = network.workspace(min(n_samples, max(1, PREDICT_ROWS // n_predictions)), dtype)
    jacobian = np.empty((n_samples, n_predictions, network.n_in), dtype)
    for block in _blocks(n_samples, workspace.n_samples):
        raw = network.forward(params, X[block], workspace)[-1]
        for prediction, delta in enumerate(np.array(link_jacobian(raw).transpose(1, 0, 2), dtype, order="C")):
            jacobian[block, prediction] = _input_delta(network, params, X[block], delta, workspace)
    return jacobian


def _blocks(n_samples: int, rows: int) -> Iterator[slice]:
    for start in range(0, n_samples, rows):
        yield slice(start, start + rows)


def _input_delta(network: Network, params: Parameters, X: Any, delta: FloatArray, workspace: Workspace) -> FloatArray:
    """Return the error signal of the input for that of `raw`, which is overwritten."""
    activations = network.forward(params, X, workspace)  # each time, since the backward pass may overwrite them
    input_delta = network.backward(params, activations, delta, workspace, None, needs_input_delta=True)
    assert input_delta is not None
    return input_delta
