r"""A network is a sequence of layers: forward and backward through preallocated memory.

Forward, with :math:`a_0 = X`: :math:`z_l = a_{l-1} W_l + b_l`, :math:`a_l = \sigma_l(z_l)`.
Backward, from :math:`\delta_L = \partial L/\partial z_L` that the loss gives:

.. math::
    \delta_l = (\delta_{l+1} W_{l+1}^T) \odot \sigma_l'(z_l), \qquad
    \frac{\partial L}{\partial W_l} = a_{l-1}^T \delta_l, \qquad
    \frac{\partial L}{\partial b_l} = 1^T \delta_l .
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray, IntArray
from skmlp.nn.activations import Activation
from skmlp.nn.initializers import INITIALIZERS, Initializer
from skmlp.nn.layers import ActivationLayer, Dense, Dropout, Layer, Normalization, Residual, TrainingPass
from skmlp.nn.parameters import Parameters

__all__ = ["Network", "Units", "Workspace", "initialize", "multilayer_perceptron"]

# Rows that predict() pushes through at once: few enough for the activations to stay in the cache.
PREDICT_ROWS = 1024


class Units(NamedTuple):
    r"""The units of a dense layer on the rows of a pass.

    Attributes
    ----------
    outputs : ndarray of shape (n_samples, n_units)
        :math:`\sigma(z)`, of the output layer `raw`.
    activation : Activation or None
        None for a layer without, as the output layer, whose link is the loss's.
    slopes : ndarray of shape (n_samples, n_units) or None
        :math:`\sigma'(z)`.
    """

    outputs: FloatArray
    activation: Activation | None
    slopes: FloatArray | None

    def repeated(self, times: IntArray | None) -> "Units":
        """Return the units with each row so many times, if `times` tells it for exactly these rows."""
        if times is None or len(times) != len(self.outputs):
            return self
        slopes = None if self.slopes is None else self.slopes.repeat(times, axis=0)
        return Units(self.outputs.repeat(times, axis=0), self.activation, slopes)


class Network:
    """A sequence of layers whose sizes fit together.

    Parameters
    ----------
    layers : sequence of Layer
        At least one; each takes what the one before gives. One may overwrite its input (`consumes_input`) where
        nothing else needs it: not the caller's data, not the input of a residual block, nor what the layer before
        needs on the way back.

    Attributes
    ----------
    weight_sizes : list of int
        Of each dense layer, how many weights it has.
    n_numbers : int
        How many numbers a row and the outputs of all layers for it are.
    has_modes : bool
        Whether training and prediction are different passes: with dropout or batch normalization.
    couples_rows : bool
        Whether in training the rows of a batch depend on each other: with batch normalization.
    is_scheduled : bool
        Whether settings of layers follow a schedule; see :meth:`at`.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        _check_order(layers)
        for layer in layers:
            _check_roles(layer)
        self.layers = tuple(layers)
        self.n_in = layers[0].n_in
        self.n_out = layers[-1].n_out
        self.weight_sizes = [layer.n_in * layer.n_out for layer in layers if isinstance(layer, Dense)]
        self.n_numbers = self.n_in + sum(layer.n_out for layer in layers)
        self.has_modes = any(layer.has_modes for layer in layers)
        self.couples_rows = any(layer.couples_rows for layer in layers)
        self.is_scheduled = _is_scheduled(layers)

    def at(self, time: Any) -> "Network":
        """Return the network as it is at a time of the training, on the same parameters and workspaces."""
        return self._with([layer.at(time) if isinstance(layer, Configurable) else layer for layer in self.layers])

    def without_dropout(self) -> "Network":
        """Return the network with all rates of dropout 0, on the same parameters."""
        return self._with([replace(layer, rate=0.0) if isinstance(layer, Dropout) else layer for layer in self.layers])

    def _with(self, layers: Sequence[Layer]) -> "Network":
        """Return the network with other settings of its layers, which still fit together."""
        network = copy(self)
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
        self, params: Parameters, X: Any, workspace: "Workspace", batch: TrainingPass | None = None
    ) -> list[Any]:
        """Push `X` through all layers.

        Parameters
        ----------
        params : Parameters
        X : ndarray or CSR matrix of shape (n_samples, n_in)
        workspace : Workspace
            Holds the results until the next pass.
        batch : TrainingPass, optional
            Makes it a pass in training, where that is another thing than prediction.

        Returns
        -------
        activations : list
            `X`, then the output of every layer; the last is `raw`, of shape (n_samples, n_out). An output that the
            next layer consumes is overwritten.
        """
        activations = [X]
        memories = workspace.rows(X.shape[0])
        for index, (layer, views, memory) in enumerate(zip(self.layers, params.layers, memories, strict=True)):
            x = activations[-1] if layer.span == 0 else (activations[-1], activations[index - layer.span])
            if batch is None:
                activations.append(layer.forward(views, x, memory))
            else:
                activations.append(layer.forward_training(views, x, memory, batch))
        workspace.outputs = activations[1:]
        return activations

    def backward(
        self,
        params: Parameters,
        activations: Sequence[Any],
        delta: FloatArray,
        workspace: "Workspace",
        grad: Parameters,
    ) -> None:
        """Push the error signal back through all layers and write every gradient into `grad`.

        Parameters
        ----------
        params : Parameters
        activations : list
            What :meth:`forward` returned for the same `params` and `workspace`.
        delta : ndarray of shape (n_samples, n_out)
            ``dL/d raw``. Overwritten.
        workspace : Workspace
        grad : Parameters
            Receives ``dL/d params``.
        """
        memories = workspace.rows(delta.shape[0])
        skipping: dict[int, list[FloatArray]] = {}  # error signals that go past blocks, by where these begin
        for index in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[index]
            delta = layer.backward(
                params.layers[index],
                grad.layers[index],
                activations[index],
                activations[index + 1],
                delta,
                memories[index],
                is_first=index == 0,
            )
            if layer.span > 0:
                assert isinstance(layer, Residual)
                skipping.setdefault(index - layer.span, []).append(layer.skipped(memories[index]))
            if index > 0:  # the error signal of the data is not needed
                for skipped in skipping.get(index, ()):
                    delta += skipped

    def units(self, workspace: "Workspace") -> list[Units]:
        """Return what the last forward and backward pass in `workspace` left of each dense layer's units."""
        outputs = workspace.outputs
        units: list[Units] = []
        for layer, output, memory in zip(self.layers, outputs, workspace.rows(len(outputs[-1])), strict=True):
            if any(spec.role == "weight" for spec in layer.shapes):
                units.append(Units(output, None, None))
            elif isinstance(layer, ActivationLayer) and units:
                units[-1] = Units(output, layer.activation, layer.slopes(memory))
        return units

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


def _is_scheduled(layers: Sequence[Layer]) -> bool:
    return any(layer.scheduled() for layer in layers if isinstance(layer, Configurable))


def _check_order(layers: Sequence[Layer]) -> None:
    """Raise ValueError when the layers do not fit together, or one overwrites what another one needs."""
    if not layers:
        raise ValueError("A network needs at least one layer, got none.")
    for before, after in pairwise(layers):
        if before.n_out != after.n_in:
            raise ValueError(f"{after} takes {after.n_in} inputs, but {before} gives {before.n_out}.")
    # Who needs the input of a layer besides itself, by the place of that layer.
    kept: dict[int, tuple[Layer, str]] = {}
    for index, layer in enumerate(layers):
        if layer.needs_output:
            kept[index + 1] = layer, "before"
    for index, layer in enumerate(layers):
        if layer.span > 0:
            start = index - layer.span
            if start < 0 or layers[start].n_in != layer.n_in:
                width = f"has {layers[start].n_in} inputs" if start >= 0 else f"would begin before the first of {index}"
                raise ValueError(
                    f"{layer} adds the input of a block of {layer.span} layers to its {layer.n_in} outputs, but the "
                    f"block {width}."
                )
            kept[start] = layer, "after"
    for index, layer in enumerate(layers):
        if layer.consumes_input and (index == 0 or index in kept):
            needed = "the caller's data" if index == 0 else "needed by {} {} it".format(*kept[index])
            raise ValueError(f"{layer} overwrites its input, which is {needed}. Build it with consumes_input=False.")


def _check_roles(layer: Layer) -> None:
    """Raise ValueError when a layer calls something a weight or a bias that is no connection of its units."""
    found = {role: [spec.shape for spec in layer.shapes if spec.role == role] for role in ("weight", "bias")}
    weight, bias = (layer.n_in, layer.n_out), (layer.n_out,)
    if found not in ({"weight": [weight], "bias": [bias]}, {"weight": [], "bias": []}):
        raise ValueError(
            f"{layer} has parameters of shapes {found}. A weight and a bias go together, of shapes "
            f"{weight} and {bias} here. Give other parameters the role 'factor', "
            "which is penalised as well, or 'scale' or 'offset', which are not."
        )


class Workspace:
    """Every array that passes of at most `n_samples` rows write to.

    It belongs to one thread and holds the results of the last pass.

    Attributes
    ----------
    outputs : list of ndarray
        Of every layer in the last forward pass.
    """

    def __init__(self, network: Network, n_samples: int, dtype: DTypeLike) -> None:
        self.outputs: list[FloatArray] = []
        self.n_samples = n_samples
        self.raw_delta = np.empty((n_samples, network.n_out), dtype)
        self._memories = [
            layer.allocate(n_samples, dtype, is_first=index == 0) for index, layer in enumerate(network.layers)
        ]
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
    normalization: Normalization | None = None,
    dropout: Sequence[Any] = (),
    residual: bool = False,
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
    normalization : Normalization, optional
    dropout : sequence of float or scheduled value, optional
        The rate of each hidden layer; a layer with rate 0 has none.
    residual : bool, default=False
        Add its input to the output of every hidden layer that is as wide as the hidden layer before it.
    """
    layers: list[Layer] = []
    for index, (n_in, n_out) in enumerate(pairwise(layer_sizes)):
        start = len(layers)
        layers.append(Dense(n_in, n_out))
        if index == len(activations):
            break
        if normalization is not None:
            layers.append(normalization.layer(n_out))
        layers.append(ActivationLayer(n_out, activations[index], consumes_input=not layers[-1].needs_output))
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
        (n_in, n_out) matrix.
    """
    for index, (layer, views) in enumerate(zip(network.layers, params.layers, strict=True)):
        if not isinstance(layer, Dense):
            layer.initialize(views)
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
            views[name][...] = values if name == "weights" else values[0]
