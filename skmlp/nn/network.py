r"""A network of layers: forward and backward through preallocated memory.

Forward, with :math:`a_0 = X`: :math:`z_l = a_{l-1} W_l + b_l`, :math:`a_l = \sigma_l(z_l)`.
Backward, from :math:`\delta_L = \partial L/\partial z_L` that the loss gives:

.. math::
    \delta_l = (\delta_{l+1} W_{l+1}^T) \odot \sigma_l'(z_l), \qquad
    \frac{\partial L}{\partial W_l} = a_{l-1}^T \delta_l, \qquad
    \frac{\partial L}{\partial b_l} = 1^T \delta_l .

In general the layers are the nodes of a graph: each reads one or more values, the data or outputs of earlier layers. A
value that several layers read gets the sum of their error signals.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray, IntArray
from skmlp.nn.activations import Activation
from skmlp.nn.front import Front
from skmlp.nn.initializers import INITIALIZERS, Initializer
from skmlp.nn.layers import (
    ActivationLayer,
    Batch,
    Dense,
    Dropout,
    Layer,
    Normalization,
    Parallel,
    Residual,
    activation_layer,
)
from skmlp.nn.nodes import Node, connect
from skmlp.nn.parameters import Parameters

__all__ = ["LayerOutput", "Network", "Node", "Workspace", "initialize", "multilayer_perceptron"]

# Rows that predict() pushes through at once: few enough for the activations to stay in the cache.
PREDICT_ROWS = 1024


class LayerOutput(NamedTuple):
    r"""The outputs of a dense layer and its activation on the rows of a pass.

    Attributes
    ----------
    outputs : ndarray of shape (n_samples, n_units)
        :math:`\sigma(z)`; `raw` for the output layer.
    activation : Activation or None
        None for a layer without, as the output layer, whose link belongs to the loss.
    activation_grad : ndarray of shape (n_samples, n_units) or None
        :math:`\sigma'(z)`.
    """

    outputs: FloatArray
    activation: Activation | None
    activation_grad: FloatArray | None

    @classmethod
    def concatenate(cls, parts: "Sequence[LayerOutput]") -> "LayerOutput":
        """Return the rows of all parts, of one layer, one after the other."""
        gradients = [part.activation_grad for part in parts if part.activation_grad is not None]
        outputs = np.concatenate([part.outputs for part in parts])
        return cls(outputs, parts[0].activation, np.concatenate(gradients) if gradients else None)

    def repeated(self, times: IntArray | None) -> "LayerOutput":
        """Return the outputs with each row repeated `times` times, if `times` is given for exactly these rows."""
        if times is None or len(times) != len(self.outputs):
            return self
        gradient = None if self.activation_grad is None else self.activation_grad.repeat(times, axis=0)
        return LayerOutput(self.outputs.repeat(times, axis=0), self.activation, gradient)


class Network:
    """Layers whose sizes fit together.

    Parameters
    ----------
    layers : sequence of Layer or Parallel
        At least one; each takes the output of the one before, and a residual connection the input of its block besides.
        A layer may overwrite its input (`consumes_input`) where nothing else needs it: not the caller's data, not the
        input of a residual block, nor what the layer before needs in the backward pass.

    Attributes
    ----------
    nodes : tuple of Node
        The layers in the order of computation, with what they read. Every pass is a loop over them.
    layers : tuple of Layer
        The layers of the nodes.
    weight_sizes : list of int
        The number of weights of each dense layer.
    n_numbers : int
        How many numbers a row has, and the layers compute for it.
    has_modes : bool
        Whether training and prediction are different passes: with dropout or batch normalization.
    couples_rows : bool
        Whether in training the rows of a batch depend on each other: with batch normalization.
    is_scheduled : bool
        Whether settings of layers follow a schedule; see :meth:`at`.
    """

    def __init__(self, layers: "Sequence[Layer | Parallel]") -> None:
        self.nodes = nodes = connect(layers)
        self.layers = tuple(node.layer for node in nodes)
        self.n_in = next(node.layer.n_in for node in nodes if 0 in node.inputs)
        self.n_out = nodes[-1].layer.n_out
        self.weight_sizes = [layer.n_in * layer.n_out for layer in self.layers if isinstance(layer, Dense)]
        self.n_numbers = self.n_in + sum(layer.n_numbers for layer in self.layers)
        self.has_modes = any(layer.has_modes for layer in self.layers)
        self.couples_rows = any(layer.couples_rows for layer in self.layers)
        self.is_scheduled = _is_scheduled(self.layers)

    def at(self, time: Any) -> "Network":
        """Return the network as it is at a time of the training, on the same parameters and workspaces."""
        return self._with([layer.at(time) if isinstance(layer, Configurable) else layer for layer in self.layers])

    def without_dropout(self) -> "Network":
        """Return the network with all dropout rates 0, on the same parameters."""
        return self._with([replace(layer, rate=0.0) if isinstance(layer, Dropout) else layer for layer in self.layers])

    def _with(self, layers: Sequence[Layer]) -> "Network":
        """Return the network with other settings of its layers, which still fit together."""
        network = copy(self)
        network.nodes = tuple(replace(node, layer=layer) for node, layer in zip(self.nodes, layers, strict=True))
        network.layers = tuple(layers)
        network.is_scheduled = _is_scheduled(layers)
        return network

    def parameters(self, vector: FloatArray | None = None, dtype: DTypeLike = np.float32) -> Parameters:
        """Return views for all layers over `vector`, or over new zeros of `dtype`."""
        return Parameters([layer.shapes for layer in self.layers], vector, dtype)

    def workspace(self, n_samples: int, dtype: DTypeLike) -> "Workspace":
        """Return the memory for passes of at most `n_samples` rows."""
        return Workspace(self, n_samples, dtype)

    def forward(
        self,
        params: Parameters,
        X: Any,
        workspace: "Workspace",
        batch: Batch | None = None,
        watch: Callable[[Node, FloatArray], object] | None = None,
    ) -> list[Any]:
        """Push `X` through all layers.

        Parameters
        ----------
        params : Parameters
        X : ndarray or CSR matrix of shape (n_samples, n_in)
        workspace : Workspace
            Holds the results until the next pass.
        batch : Batch, optional
            Given in training, where that differs from prediction.
        watch : callable, optional
            ``watch(node, output)`` is called after each layer. The next layer may overwrite the output.

        Returns
        -------
        activations : list
            `X`, then the output of every layer; the last is `raw`, of shape (n_samples, n_out). An output that the
            next layer consumes is overwritten.
        """
        activations = [X]
        memories = workspace.rows(X.shape[0])
        for node in self.nodes:
            index, layer, inputs = node.index, node.layer, node.inputs
            memory = memories[index]
            if batch is not None and layer.draws:
                layer.draw(batch.rng, memory)
            x = activations[inputs[0]] if len(inputs) == 1 else tuple(activations[value] for value in inputs)
            activations.append(layer.forward(params.layers[index], x, memory, batch))
            if watch is not None:
                watch(node, activations[-1])
        workspace.outputs = activations[1:]
        return activations

    def backward(
        self,
        params: Parameters,
        activations: Sequence[Any],
        delta: FloatArray,
        workspace: "Workspace",
        grad: Parameters | None,
        batch: Batch | None = None,
        *,
        needs_input_delta: bool = False,
        watch: Callable[[Node, FloatArray], object] | None = None,
    ) -> FloatArray | None:
        """Push the error signal back through all layers and write every gradient into `grad`.

        Parameters
        ----------
        params : Parameters
        activations : list
            What :meth:`forward` returned for the same `params`, `workspace` and `batch`.
        delta : ndarray of shape (n_samples, n_out)
            ``dL/d raw``. Overwritten.
        workspace : Workspace
        grad : Parameters or None
            Receives ``dL/d params``. None computes error signals alone.
        batch : Batch, optional
        needs_input_delta : bool, default=False
            Whether to compute the error signal of the data, too.
        watch : callable, optional
            ``watch(node, delta)`` is called before each layer, with the error signal of its output.

        Returns
        -------
        input_delta : ndarray of shape (n_samples, n_in) or None
            ``dL/dX``, when it is needed.
        """
        memories = workspace.rows(delta.shape[0])
        signals: list[list[FloatArray]] = [[] for _ in self.nodes]  # of each value, one from each reader
        signals.append([delta])
        for node in reversed(self.nodes):
            index, layer, inputs = node.index, node.layer, node.inputs
            received = signals[index + 1]
            total = received[0] if len(received) == 1 else _sum_signals(received)
            if watch is not None:
                watch(node, total)
            x = activations[inputs[0]] if len(inputs) == 1 else tuple(activations[value] for value in inputs)
            returned = layer.backward(
                params.layers[index],
                None if grad is None else grad.layers[index],
                x,
                activations[index + 1],
                total,
                memories[index],
                batch,
                needs_input_delta=needs_input_delta or inputs != (0,),
            )
            if len(inputs) == 1:
                signals[inputs[0]].append(returned)
                continue
            for value, signal in zip(inputs, returned, strict=True):
                signals[value].append(signal)
        return _sum_signals(signals[0]) if needs_input_delta else None

    def layer_outputs(self, workspace: "Workspace") -> list[LayerOutput]:
        """Return the outputs of each dense layer, with its activation, of the last forward and backward pass."""
        outputs = workspace.outputs
        found: list[LayerOutput] = []
        for layer, output, memory in zip(self.layers, outputs, workspace.rows(len(outputs[-1])), strict=True):
            if any(spec.role == "weight" for spec in layer.shapes):
                found.append(LayerOutput(output, None, None))
            elif isinstance(layer, ActivationLayer) and found:
                found[-1] = LayerOutput(output, layer.activation, layer.derivatives(memory))
        return found

    def predict(self, params: Parameters, X: Any) -> FloatArray:
        """Return `raw` of shape (n_samples, n_out), a block of rows at a time so that memory stays bounded."""
        n_samples, dtype = X.shape[0], params.vector.dtype
        workspace = self.workspace(min(n_samples, PREDICT_ROWS), dtype)
        if n_samples <= PREDICT_ROWS:
            whole: FloatArray = self.forward(params, X, workspace)[-1]
            return whole
        raw = np.empty((n_samples, self.n_out), dtype)
        for start in range(0, n_samples, PREDICT_ROWS):
            block = slice(start, start + PREDICT_ROWS)
            raw[block] = self.forward(params, X[block], workspace)[-1]
        return raw


def _sum_signals(signals: list[FloatArray]) -> FloatArray:
    """Return the sum of the error signals of a value. The last one, from the first layer that reads it, is changed."""
    total = signals[-1]
    for signal in signals[:-1]:
        total += signal
    return total


def _is_scheduled(layers: Sequence[Layer]) -> bool:
    return any(layer.scheduled() for layer in layers if isinstance(layer, Configurable))


class Workspace:
    """Every array that passes of at most `n_samples` rows write to.

    It belongs to one thread and holds the results of the last pass.

    Attributes
    ----------
    outputs : list of ndarray
        The output of every layer in the last forward pass.
    """

    def __init__(self, network: Network, n_samples: int, dtype: DTypeLike) -> None:
        self.outputs: list[FloatArray] = []
        self.n_samples = n_samples
        self.raw_delta = np.empty((n_samples, network.n_out), dtype)
        self._memories = [node.layer.allocate(n_samples, dtype, is_first=node.inputs == (0,)) for node in network.nodes]
        self._views = {n_samples: self._memories}

    def rows(self, n_samples: int) -> list[tuple[FloatArray, ...]]:
        """Return the layers' arrays cut to `n_samples` rows."""
        views = self._views.get(n_samples)
        if views is None:
            # Besides the full batch only the last, smaller one of an epoch occurs.
            views = [tuple(array[:n_samples] for array in memory) for memory in self._memories]
            self._views = {self.n_samples: self._memories, n_samples: views}
        return views


def multilayer_perceptron(
    layer_sizes: Sequence[int],
    activations: Sequence[Activation],
    *,
    front: Front | None = None,
    normalization: Normalization | None = None,
    dropout: Sequence[Any] = (),
    residual: bool = False,
    ntk: bool = False,
) -> Network:
    """Build dense layers with activations between them; the last is linear, its link belongs to the loss.

    A hidden layer is: dense, normalization, activation, dropout, residual connection, each but the first and third on
    request.

    Parameters
    ----------
    layer_sizes : sequence of int
        ``(n_features, *hidden_layer_sizes, n_outputs)``.
    activations : sequence of Activation
        One for each hidden layer.
    front : Front, optional
        Comes before the first dense layer, for features that are the columns of an encoded table.
    normalization : Normalization, optional
    dropout : sequence of float or scheduled value, optional
        The rate of each hidden layer; a layer with rate 0 has none.
    residual : bool, default=False
        Add its input to the output of every hidden layer that is as wide as the hidden layer before it.
    ntk : bool, default=False
        Use the neural tangent parametrization of dense layers, in which biases learn at a tenth of the rate.
    """
    layers: list[Layer | Parallel] = [] if front is None else front.layers()
    sizes = [layer_sizes[0] if front is None else front.width, *layer_sizes[1:]]
    for index, (n_in, n_out) in enumerate(pairwise(sizes)):
        start = len(layers)
        dense = Dense(n_in, n_out, 1.0 / math.sqrt(n_in), bias_rate=0.1) if ntk else Dense(n_in, n_out)
        layers.append(dense)
        if index == len(activations):
            break
        last: Layer = dense
        if normalization is not None:
            last = normalization.layer(n_out)
            layers.append(last)
        layers.append(activation_layer(n_out, activations[index], consumes_input=not last.needs_output))
        if dropout and dropout[index] != 0.0:
            layers.append(Dropout(n_out, dropout[index]))
        if residual and index > 0 and n_in == n_out:
            layers.append(Residual(n_out, len(layers) - start))
    return Network(layers)


def initialize(
    network: Network,
    params: Parameters,
    rng: np.random.Generator,
    weight_init: Initializer | str = "auto",
    bias_init: Initializer | str = "zeros",
) -> None:
    """Draw initial values for every dense layer into `params`.

    Parameters
    ----------
    network : Network
    params : Parameters
    rng : numpy.random.Generator
    weight_init, bias_init : initializer or str
        ``"auto"`` takes the initializer of the activation that follows the layer (He for relu and its relatives,
        LeCun for selu, Glorot for the others and for the output layer). A bias is drawn as one row of a
        (n_in, n_out) matrix. Weights are divided by the gain of their layer, so that a network starts as the same
        function in either parametrization.
    """
    for index, (layer, views) in enumerate(zip(network.layers, params.layers, strict=True)):
        if not isinstance(layer, Dense):
            layer.initialize(views, rng)
            continue
        followers = (later for later in network.layers[index + 1 : index + 3] if isinstance(later, ActivationLayer))
        auto = next((follower.activation.initializer for follower in followers), "glorot_uniform")
        dtype = params.vector.dtype
        for name, choice in (("weights", weight_init), ("biases", bias_init)):
            draw = INITIALIZERS[auto if choice == "auto" else choice] if isinstance(choice, str) else choice
            values = np.asarray(draw(rng, layer.n_in, layer.n_out, dtype))
            if values.shape != (layer.n_in, layer.n_out) or not np.isfinite(values).all():
                raise ValueError(
                    f"The initializer {draw!r} must return finite values of shape {(layer.n_in, layer.n_out)}; "
                    f"it returned shape {values.shape}."
                )
            views[name][...] = values / layer.gain if name == "weights" else values[0]
