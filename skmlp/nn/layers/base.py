"""What every layer does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.parameters import ParameterShape

__all__ = ["Layer"]


class Layer(ABC):
    """A step of the network: arrays in, arrays out. It holds settings, never values.

    Parameters arrive as named views of the flat vector, and everything computed is written into `memory`, the
    arrays that :meth:`allocate` made. So one layer object serves any number of fits and threads.
    """

    n_in: int
    n_out: int

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        """The parameter arrays of this layer."""
        return ()

    @abstractmethod
    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        """Return the arrays one pass writes to, each with `n_samples` as its first axis.

        The first layer's input is the data: nobody asks for the gradient with respect to it.
        """

    @abstractmethod
    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the output of shape (n_samples, n_out) for the input `x` of shape (n_samples, n_in)."""

    @abstractmethod
    def backward(
        self,
        params: Mapping[str, FloatArray],
        grads: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
        *,
        is_first: bool,
    ) -> FloatArray:
        """Write the gradients of the parameters into `grads` and return the error signal of the input.

        `delta` is ``dL/d output`` and may be overwritten. For the first layer the return value is not used.
        """
