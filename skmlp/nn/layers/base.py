"""What every layer does."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.parameters import ParameterShape

__all__ = ["Batch", "Described", "Kernels", "Layer", "LayerTrace", "Memory", "Quantity", "Views"]

# The parameters of a layer, or their gradients, by name; and the arrays that a pass writes to.
Views = Mapping[str, FloatArray]
Memory = tuple[FloatArray, ...]


@dataclass(frozen=True)
class Batch:
    """What layers need to know about a batch in training. In prediction there is none.

    Attributes
    ----------
    rng : numpy.random.Generator or None
        The stream of dropout; None for networks without.
    normalized_weights : ndarray of shape (n_samples,) or None
        The sample weights divided by their sum; None when all are equal.
    total_weight : float
        Sum of the sample weights.
    """

    rng: np.random.Generator | None
    normalized_weights: FloatArray | None
    total_weight: float


class Kernels(NamedTuple):
    """The compiled form of a layer: plain functions with loops over arrays, which numba compiles.

    Attributes
    ----------
    forward : callable
        ``forward(inputs, out, params, memory, settings, weights, total)`` writes the output in training into `out`.
    backward : callable
        ``backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total)`` writes the
        gradients of the parameters into `grads` and the error signals of the inputs into `input_deltas`. `delta` is
        ``dL/d output`` and may be overwritten.
    memory : tuple of tuple of int
        The shapes of the arrays in `memory`; -1 stands for the number of samples.
    settings : tuple of float
        Numbers in `settings`. They may change from step to step.
    uses_products : bool
        Whether the layer calls :mod:`skmlp.compiled.products`. Then the memory has one array more, the panel, and the
        settings have one number more, how many multiplications are left to BLAS.
    writes_delta_in_place : bool
        Whether ``input_deltas[0]`` may be the same array as `delta`.

    Notes
    -----
    `inputs`, `params`, `grads`, `memory` and `settings` are tuples; parameters have the order of the layer's `shapes`.
    An array of `inputs` has shape (n_samples, n_in) and is `out` itself where the layer consumes its input. An array of
    `input_deltas` has no rows where the error signal is not needed. `weights`, of shape (n_samples,), are the
    normalized sample weights, and `total` is the sum of the weights. Arrays and settings have one dtype.
    """

    forward: Any
    backward: Any
    memory: tuple[tuple[int, ...], ...] = ()
    settings: tuple[float, ...] = ()
    uses_products: bool = False
    writes_delta_in_place: bool = False


class Quantity(NamedTuple):
    """Something that a pass computes: its name, its formula, its meaning in words, its value."""

    name: str
    formula: str
    meaning: str
    value: Any


class LayerTrace(NamedTuple):
    """What a layer had and made in a pass: copies of its inputs and its output, and the arrays it was handed.

    `penalty` gives the text of the penalty's gradient for the name of a weight.
    """

    params: Views
    grads: Views
    x: tuple[Any, ...]
    output: FloatArray
    memory: Memory
    batch: Batch | None
    penalty: Callable[[str], str]


# What a backward pass computed besides error signals, and how the error signal of each input comes from the output's.
Described = tuple[list[Quantity], tuple[str | None, ...]]


class Layer(ABC):
    """An operation of the network: arrays in, arrays out. It holds settings, never values.

    Parameters arrive as named views of the flat vector, and everything computed is written into `memory`, the
    arrays that :meth:`allocate` made. So one layer object serves any number of fits and threads.

    Attributes
    ----------
    n_in, n_out : int
    input_sizes : tuple of int
        The size of each input; most layers have one, of size `n_in`.
    has_modes : bool
        Whether training and prediction differ.
    couples_rows : bool
        Whether in training the output of a row depends on the other rows of its batch.
    draws : bool
        Whether ``memory[0]`` is filled with random numbers in [0, 1) before the forward pass in training: by
        :meth:`draw`, or by the compiled steps.
    span : int
        The number of layers in the block whose input is the second input of this layer; 0 for layers with one input.
    consumes_input : bool
        Whether the layer may overwrite its input. Others must keep it: the caller, a residual connection or the layer
        before may still need it. `Network` refuses a layer that consumes what another one needs.
    needs_output : bool
        Whether the backward pass reads the output, or the output may be the input itself. Then the next layer must
        not overwrite it.
    starts_at_zero : bool
        Whether the output is 0 before training. Biases behind it must not start at 0, where rectifiers have no slope.
    symbol : str
        What the output is called in formulas.
    """

    n_in: int
    n_out: int
    has_modes: ClassVar[bool] = False
    couples_rows: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    span: int = 0
    consumes_input: bool = False
    needs_output: ClassVar[bool] = True
    starts_at_zero: ClassVar[bool] = False
    symbol: ClassVar[str] = "out"

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.n_in,)

    @property
    def n_numbers(self) -> int:
        """How many numbers are computed for a row: those of the output, or more if they take more time."""
        return self.n_out

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        """The parameter arrays of this layer."""
        return ()

    def initialize(self, params: Views, rng: np.random.Generator) -> None:
        """Set the parameters where zeros are not the place to start; those of a dense layer are set by initializers."""
        return

    def learn(self, params: Views, x: FloatArray) -> None:
        """Set the statistics that are learned before training, from the layer's input for the training data."""
        return

    @abstractmethod
    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        """Return the arrays that a pass writes to, with `n_samples` rows each, or one row for what rows share.

        The input of the first layer is the data, whose error signal is rarely needed.
        """

    def draw(self, rng: np.random.Generator | None, memory: Memory) -> None:
        """Fill ``memory[0]`` with random numbers in [0, 1)."""
        if rng is None:
            raise ValueError(f"{self} needs a random stream in training.")
        rng.random(dtype=memory[0].dtype.type, out=memory[0])

    @abstractmethod
    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        """Return the output of shape (n_samples, n_out) for the input `x` of shape (n_samples, n_in).

        Layers with several inputs get a tuple. `batch` is given in training, where running averages among the
        parameters may be updated.
        """

    @abstractmethod
    def backward(
        self,
        params: Views,
        grads: Views | None,
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: Memory,
        batch: Batch | None = None,
        *,
        needs_input_delta: bool = True,
    ) -> Any:
        """Write the gradients of the parameters into `grads` and return the error signal of the input.

        It goes back through the forward pass with the same arguments. `delta` is ``dL/d output`` and may be
        overwritten. Without `grads` only the error signal is computed. A tuple of error signals is returned for several
        inputs; where `needs_input_delta` is False, anything may be returned.
        """

    def kernels(self) -> Kernels | None:
        """Return the compiled form of the layer; None when there is none, so that NumPy trains the network."""
        return None

    # What a trace of the passes shows; see :func:`skmlp.inspection.trace`.

    def describe_forward(self, number: int, sources: tuple[str, ...], trace: LayerTrace) -> list[Quantity]:
        """Return what the forward pass computed, the output last.

        `number` is that of the last layer with weights, and `sources` are the names of the inputs.
        """
        name = f"{self.symbol}_{number}"
        return [Quantity(name, f"{self!r}({', '.join(sources)})", "output of the layer", trace.output)]

    def describe_backward(self, number: int, sources: tuple[str, ...], signal: str, trace: LayerTrace) -> Described:
        """Return what the backward pass computed, and how the error signal of each input comes from `signal`.

        None stands for an input whose error signal is `signal` itself.
        """
        return [], tuple(f"{signal} d{self.symbol}_{number}/d{source}" for source in sources)
