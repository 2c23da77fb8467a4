"""The layers of a network for :mod:`skmlp.compiled`: memory for them, and tables of its addresses.

Nothing is computed here, and no layer is known by name: each has its kernels.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled import NotCompiledError, products, program
from skmlp.compiled.entries import Entry
from skmlp.compiled.kernels import kernel_of
from skmlp.compiled.program import address
from skmlp.nn.activations import Parametric
from skmlp.nn.layers import ActivationLayer, Kernels, Layer
from skmlp.nn.network import LayerOutput, Network
from skmlp.nn.parameters import Parameters

__all__ = ["LayerTables", "aligned", "needs_blas"]


def aligned(shape: tuple[int, ...], dtype: Any) -> AnyArray:
    """Return an uninitialized array that begins where a cache line does."""
    dtype = np.dtype(dtype)
    n = int(np.prod(shape))
    memory = np.empty(n * dtype.itemsize + products.BYTES, np.uint8)
    start = -address(memory) % products.BYTES
    array: AnyArray = memory[start : start + n * dtype.itemsize].view(dtype).reshape(shape)
    return array


def _layer_kernels(layer: Layer) -> Kernels:
    """Return the compiled form of a layer.

    Raises
    ------
    NotCompiledError
        When it has none.
    """
    if isinstance(layer, Configurable):
        layer = layer.unscheduled()
    method = kernel_of(layer, "kernels", ("forward", "backward", "shapes", "allocate"))
    kernels: Kernels | None = None if method is None else method()
    if kernels is None:
        part = layer.activation if isinstance(layer, ActivationLayer) else layer
        part = part.inner if isinstance(part, Parametric) else part
        raise NotCompiledError(f"there are no compiled steps for {type(part).__name__}")
    return kernels


class LayerTables:
    """The layers of a network as tables, with memory for blocks of rows. It belongs to one thread.

    Parameters
    ----------
    network : Network
    params : Parameters
    capacity : int
        Rows of a block.
    large : int
        Multiplications beyond which BLAS computes a product.

    Attributes
    ----------
    X : ndarray of shape (capacity, n_in)
        The block.
    raw, delta : ndarray of shape (capacity, n_out)
        The network's outputs and their error signal.
    settings : ndarray, float64
        Of all layers.
    entries : list of Entry
        The functions of each layer, forward and backward. Their addresses go to :meth:`link`.
    """

    def __init__(self, network: Network, params: Parameters, capacity: int, large: int) -> None:
        self._network, self._params, self._capacity = network, params, capacity
        self._dtype = params.vector.dtype
        self._kernels = [_layer_kernels(layer) for layer in network.layers]
        self._panel = self._memory_of_products()
        self.X = self._empty(network.n_in)
        self._outputs = self._allocate_outputs()
        self.raw, self.delta = self._outputs[-1], self._empty(network.n_out)
        self._memory = [self._allocate(kernels) for kernels in self._kernels]
        self._deltas, self._input_deltas, self._extras = self._allocate_deltas()
        self.settings = np.array([value for kernels in self._kernels for value in self._settings(kernels, large)])
        self._large = large
        self.columns = np.zeros((len(network.layers), program.N_COLUMNS), np.int64)
        self._tables = [self._table(index) for index in range(len(network.layers))]  # referred to by their addresses
        self.entries = [entry for index in range(len(network.layers)) for entry in self._entries(index)]

    def link(self, addresses: Sequence[int]) -> None:
        """Enter the addresses of the functions."""
        self.columns[:, program.FORWARD] = addresses[::2]
        self.columns[:, program.BACKWARD] = addresses[1::2]

    def settings_at(self, network: Network) -> FloatArray:
        """Return what `settings` are for another version of the network, :meth:`Network.at` a time."""
        kernels = [_layer_kernels(layer) for layer in network.layers]
        return np.array([value for each in kernels for value in self._settings(each, self._large)])

    def layer_outputs(self, n_rows: int) -> list[LayerOutput]:
        """Return the outputs of each dense layer on the last block, as :meth:`Network.layer_outputs` does."""
        found: list[LayerOutput] = []
        for layer, output, memory in zip(self._network.layers, self._outputs[1:], self._memory, strict=True):
            if any(spec.role == "weight" for spec in layer.shapes):
                found.append(LayerOutput(output[:n_rows], None, None))
            elif isinstance(layer, ActivationLayer) and found:
                found[-1] = LayerOutput(output[:n_rows], layer.activation, memory[0][:n_rows])
        return found

    def _empty(self, n_columns: int) -> FloatArray:
        return aligned((self._capacity, n_columns), self._dtype)

    def _memory_of_products(self) -> FloatArray:
        sizes = [
            size
            for layer, kernels in zip(self._network.layers, self._kernels, strict=True)
            if kernels.uses_products
            for size in (layer.n_in, layer.n_out)
        ]
        longest = max([self._capacity, *sizes])
        return aligned((products.panel_size(longest, self._dtype.itemsize),), self._dtype)

    def _allocate_outputs(self) -> list[FloatArray]:
        values = [self.X]
        for node in self._network.nodes:
            values.append(values[node.inputs[0]] if node.layer.consumes_input else self._empty(node.layer.n_out))
        return values

    def _allocate(self, kernels: Kernels) -> list[FloatArray]:
        shapes = [tuple(self._capacity if size < 0 else size for size in shape) for shape in kernels.memory]
        arrays: list[FloatArray] = [aligned(shape, self._dtype) for shape in shapes]
        return [*arrays, self._panel] if kernels.uses_products else arrays

    def _settings(self, kernels: Kernels, large: int) -> tuple[float, ...]:
        return (*kernels.settings, float(large)) if kernels.uses_products else kernels.settings

    def _allocate_deltas(self) -> tuple[list[FloatArray], list[list[FloatArray | None]], list[list[FloatArray]]]:
        """Return the error signal of each layer's output, those of its inputs, and what is to be added to the first."""
        nodes = self._network.nodes
        signals: defaultdict[int, list[FloatArray]] = defaultdict(list, {len(nodes): [self.delta]})
        deltas = [self.delta] * len(nodes)
        of_inputs: list[list[FloatArray | None]] = [[]] * len(nodes)
        extras: list[list[FloatArray]] = [[]] * len(nodes)
        for node in reversed(nodes):
            *extra, delta = signals.pop(node.index + 1)  # as Network.backward adds them
            own: list[FloatArray | None] = []
            in_place = self._kernels[node.index].writes_delta_in_place
            for place, (value, size) in enumerate(zip(node.inputs, node.layer.input_sizes, strict=True)):
                if value == 0:
                    own.append(None)
                    continue
                signal = delta if in_place and place == 0 else self._empty(size)
                own.append(signal)
                signals[value].append(signal)
            deltas[node.index], of_inputs[node.index], extras[node.index] = delta, own, extra
        return deltas, of_inputs, extras

    def _table(self, index: int) -> tuple[AnyArray, AnyArray]:
        """Return the table of a layer's arrays and the addresses of error signals to add; fill its columns."""
        node, kernels, vector = self._network.nodes[index], self._kernels[index], self._params.vector
        params = list(self._params.layers[index].values())
        inputs = [self._outputs[value] for value in node.inputs]
        rows = [
            (address(array), -1, array.shape[1]) for array in (*inputs, self._outputs[index + 1], self._deltas[index])
        ]
        for delta, size in zip(self._input_deltas[index], node.layer.input_sizes, strict=True):
            rows.append((address(delta), 0 if delta is None else -1, size))
        rows += [_place(view) for view in params]
        mask_row = len(rows)
        for array, shape in zip(self._memory[index], [*kernels.memory, (0,)], strict=False):
            rows.append((address(array), -1, array.shape[1]) if shape[0] < 0 else _place(array))
        rows += [(address(view) - address(vector), *_place(view)[1:]) for view in params]
        table, extra = np.array(rows, np.int64), np.array([address(array) for array in self._extras[index]], np.int64)
        columns = self.columns[index]
        columns[program.TABLE], columns[program.N_OUT] = address(table), node.layer.n_out
        columns[program.MASK] = address(table[mask_row:]) if node.layer.draws else 0
        columns[program.DELTA] = address(self._deltas[index])
        columns[program.N_EXTRA], columns[program.EXTRA] = len(extra), address(extra)
        before = sum(len(self._settings(each, 0)) for each in self._kernels[:index])
        columns[program.SETTINGS] = address(self.settings) + 8 * before
        return table, extra

    def _entries(self, index: int) -> list[Entry]:
        """Return what identifies the two functions of a layer."""
        layer, kernels, params = self._network.layers[index], self._kernels[index], self._params.layers[index]
        shape: tuple[Any, ...] = (
            len(layer.input_sizes),
            tuple(view.ndim for view in params.values()),
            tuple(array.ndim for array in self._memory[index]),
            len(self._settings(kernels, 0)),
            layer.consumes_input,
            kernels.writes_delta_in_place,
        )
        kind, dtype = type(layer).__module__.rpartition(".")[2], self._dtype.name
        return [
            Entry(f"{kind}_forward", "layer_forward", (kernels.forward,), shape, dtype),
            Entry(f"{kind}_backward", "layer_backward", (kernels.backward,), shape, dtype),
        ]


def _place(array: FloatArray) -> tuple[int, int, int]:
    return address(array), array.shape[0], array.shape[1] if array.ndim > 1 else 1


def needs_blas(network: Network, capacity: int, large: int) -> bool:
    """Tell whether BLAS computes some of the products of a block."""
    return capacity * max(network.weight_sizes, default=0) > large
