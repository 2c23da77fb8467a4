"""How layers are connected: which values each of them reads."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from skmlp.nn.layers import Layer, Parallel
from skmlp.nn.layers.parallel import Concatenate

__all__ = ["Node", "connect"]


@dataclass(frozen=True)
class Node:
    """A layer in its network.

    Attributes
    ----------
    index : int
        Its place in the order of computation. Its output is the value ``index + 1``; value 0 is the data.
    layer : Layer
    inputs : tuple of int
        The values that it reads.
    """

    index: int
    layer: Layer
    inputs: tuple[int, ...]


def connect(layers: Sequence[Layer | Parallel]) -> tuple[Node, ...]:
    """Return the nodes of a network of layers, one after the other.

    Raises
    ------
    ValueError
        When layers do not fit together, or one overwrites what another one needs.
    """
    if not layers:
        raise ValueError("A network needs at least one layer, got none.")
    nodes: list[Node] = []
    _append(layers, 0, nodes)
    _check(nodes)
    return tuple(nodes)


def _append(layers: Sequence[Layer | Parallel], value: int, nodes: list[Node]) -> int:
    """Append a node for each layer, the first of which reads `value`; return the value of the last one's output."""
    for layer in layers:
        index = len(nodes)
        if isinstance(layer, Parallel):
            ends = tuple(_append(branch, value, nodes) for branch in layer.branches)
            sizes = tuple(nodes[end - 1].layer.n_out if end > 0 else _data_size(nodes, layer) for end in ends)
            nodes.append(Node(len(nodes), Concatenate(sizes), ends))
        elif layer.span > 0:
            nodes.append(Node(index, layer, (value, index - layer.span)))
        else:
            nodes.append(Node(index, layer, (value,)))
        value = len(nodes)
    return value


def _data_size(nodes: Sequence[Node], parallel: Parallel) -> int:
    """Return the number of columns of the data, which a branch without layers passes on."""
    for node in nodes:
        if node.inputs == (0,):
            return node.layer.n_in
    raise ValueError("At least one of the parallel branches at the front of a network must have layers.")


def _check(nodes: Sequence[Node]) -> None:
    """Raise ValueError when layers do not fit together, or one overwrites what another one needs."""
    sizes: dict[int, int] = {}
    readers: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        _check_roles(node.layer)
        _check_sizes(node, nodes, sizes)
        sizes[node.index + 1] = node.layer.n_out
        for value in node.inputs:
            readers[value].append(node)
    for node in nodes:
        if node.layer.consumes_input:
            _check_consumed(node, nodes, readers[node.inputs[0]])


def _check_sizes(node: Node, nodes: Sequence[Node], sizes: dict[int, int]) -> None:
    layer = node.layer
    if layer.span > 0:
        start = node.inputs[1]
        width = None if start < 0 else sizes.get(start, nodes[0].layer.n_in)
        if width != layer.n_in:
            found = f"would begin before the first of {node.index}" if width is None else f"has {width} inputs"
            raise ValueError(
                f"{layer} adds the input of a block of {layer.span} layers to its {layer.n_in} outputs, but the "
                f"block {found}."
            )
    for value, size in zip(node.inputs, layer.input_sizes, strict=True):
        if sizes.setdefault(value, size) != size:
            given = f"{nodes[value - 1].layer} gives" if value > 0 else "the data have"
            raise ValueError(f"{layer} takes {size} inputs, but {given} {sizes[value]}.")


def _check_consumed(node: Node, nodes: Sequence[Node], readers: Sequence[Node]) -> None:
    layer, value = node.layer, node.inputs[0]
    needed = ""
    if value == 0:
        needed = "the caller's data"
    elif len(readers) > 1:
        other = next(each for each in reversed(readers) if each is not node)
        needed = f"needed by {other.layer} {'after' if other.index > node.index else 'before'} it"
    elif nodes[value - 1].layer.needs_output:
        needed = f"needed by {nodes[value - 1].layer} before it"
    if needed:
        raise ValueError(f"{layer} overwrites its input, which is {needed}. Build it with consumes_input=False.")


def _check_roles(layer: Layer) -> None:
    """Raise ValueError when a layer has a weight or a bias that does not connect its inputs and outputs."""
    found = {role: [spec.shape for spec in layer.shapes if spec.role == role] for role in ("weight", "bias")}
    weight, bias = (layer.n_in, layer.n_out), (layer.n_out,)
    if found not in ({"weight": [weight], "bias": [bias]}, {"weight": [], "bias": []}):
        raise ValueError(
            f"{layer} has parameters of shapes {found}. A weight and a bias go together, of shapes "
            f"{weight} and {bias} here. Give other parameters the role 'factor', "
            "which is penalized as well, or 'scale' or 'offset', which are not."
        )
