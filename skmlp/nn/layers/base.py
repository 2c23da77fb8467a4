"""What every layer does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.parameters import ParameterShape

__all__ = ["Layer", "TrainingPass"]


@dataclass(frozen=True)
class TrainingPass:
    """What layers need to know of a batch in training that behave otherwise in prediction.

    Attributes
    ----------
    rng : numpy.random.Generator or None
        The stream of dropout; None for networks without.
    shares : ndarray of shape (n_samples,) or None
        Share of each sample in the batch's weight; None when all are equal.
    total_weight : float
        Sum of the batch's sample weights.
    """

    rng: np.random.Generator | None
    shares: FloatArray | None
    total_weight: float


class Layer(ABC):
    """A step of the network: arrays in, arrays out. It holds settings, never values.

    Parameters arrive as named views of the flat vector, and everything computed is written into `memory`, the
    arrays that :meth:`allocate` made. So one layer object serves any number of fits and threads.

    Attributes
    ----------
    n_in, n_out : int
    has_modes : bool
        Whether :meth:`forward_training` is another thing than :meth:`forward`.
    couples_rows : bool
        Whether in training the output of a row depends on the others of its batch.
    span : int
        How many layers back the input lies that :meth:`forward` gets besides the last one's output; 0 for none.
    consumes_input : bool
        Whether the layer overwrites its input, forward or backward. A layer that does not say so must keep it: the
        caller, a residual connection or the layer before may still need it. `Network` refuses a layer that consumes
        what somebody else needs.
    needs_output : bool
        Whether the output must stay as it is: the way back reads it, or it may be the input itself.
    """

    n_in: int
    n_out: int
    has_modes: ClassVar[bool] = False
    couples_rows: ClassVar[bool] = False
    span: int = 0
    consumes_input: bool = False
    needs_output: ClassVar[bool] = True

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        """The parameter arrays of this layer."""
        return ()

    def initialize(self, params: Mapping[str, FloatArray]) -> None:
        """Set the parameters that are not drawn at random, where zeros are not the place to start."""
        return

    @abstractmethod
    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        """Return the arrays one pass writes to, with `n_samples` rows each, or one for what rows have in common.

        The first layer's input is the data: the gradient with respect to it is not needed.
        """

    @abstractmethod
    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the output of shape (n_samples, n_out) for the input `x` of shape (n_samples, n_in).

        `x` is kept unless the layer says that it consumes its input.
        """

    def forward_training(
        self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...], batch: TrainingPass
    ) -> FloatArray:
        """Return the output in training; may update statistics among the parameters."""
        return self.forward(params, x, memory)

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

        `delta` is ``dL/d output`` and may be overwritten. For the first layer the return value is not used. Layers
        with two modes go back through what they did in training.
        """

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        """Return the error signals of the input, after a pass in prediction: :meth:`backward` without gradients.

        Of shape (n_signals, n_samples, n_in) for the signals `delta` of shape (n_signals, n_samples, n_out), which may
        be overwritten. This one is right for layers with one mode whose :meth:`backward` can be called again after
        the same forward pass, and that do not leave the signal out when they are first.
        """
        unused = {name: np.empty_like(values) for name, values in params.items()}
        return np.stack(
            [self.backward(params, unused, x, output, each, memory, is_first=False).copy() for each in delta]
        )
