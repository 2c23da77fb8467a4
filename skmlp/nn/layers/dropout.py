"""Dropout: in training each unit is set to zero at random."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable, Range
from skmlp._typing import FloatArray
from skmlp.compiled.maths import flat
from skmlp.nn.layers.base import Batch, Kernels, Layer, Memory, Views

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(Configurable, Layer):
    r"""In training :math:`a' = a \odot m / (1 - p)` with :math:`m_{ij} \sim \mathrm{Bernoulli}(1 - p)`, else a.

    Dividing by the probability to be kept makes the expectation that of prediction. Backwards
    :math:`\partial L/\partial a = \partial L/\partial a' \odot m / (1 - p)`, with the same mask.

    Parameters
    ----------
    n_out : int
    rate : float or scheduled value
        The probability p of a zero, in [0, 1).

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout", JMLR 15.
    """

    n_out: int
    rate: Annotated[float, Range("[0.0, 1.0)", may_be_scheduled=True)]
    has_modes = True
    draws = True
    symbol = "d"

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> Memory:
        return np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_out), dtype)

    def draw(self, rng: np.random.Generator | None, memory: Memory) -> None:
        if rng is None and self.rate == 0.0:
            memory[0].fill(1.0)
            return
        super().draw(rng, memory)

    def forward(self, params: Views, x: Any, memory: Memory, batch: Batch | None = None) -> FloatArray:
        mask, out = memory
        if batch is None:
            unchanged: FloatArray = x
            return unchanged
        np.greater_equal(mask, self.rate, out=mask)
        mask *= 1.0 / (1.0 - self.rate)
        np.multiply(x, mask, out=out)  # not in place: the activation before it needs its output in the backward pass
        return out

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
    ) -> FloatArray:
        if batch is not None:
            delta *= memory[0]
        return delta

    def kernels(self) -> Kernels:
        settings = self.rate, 1.0 / (1.0 - self.rate)
        return Kernels(_forward, _backward, memory=((-1, self.n_out),), settings=settings, writes_delta_in_place=True)


def _forward(inputs, out, params, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    rate, scale = settings
    x, mask, dropped, zero = flat(inputs[0]), flat(memory[0]), flat(out), rate - rate
    for i in range(x.size):
        mask[i] = scale if mask[i] >= rate else zero
        dropped[i] = x[i] * mask[i]


def _backward(inputs, out, delta, input_deltas, params, grads, memory, settings, weights, total):  # type: ignore[no-untyped-def]
    signal, mask, input_delta = flat(delta), flat(memory[0]), flat(input_deltas[0])
    for i in range(input_delta.size):
        input_delta[i] = signal[i] * mask[i]
