"""Dropout: in training each unit is left out at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Layer, TrainingPass

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(Configurable, Layer):
    r"""In training :math:`a' = a \odot m / (1 - p)` with :math:`m_{ij} \sim \mathrm{Bernoulli}(1 - p)`, else a.

    Divided by the probability to be kept, so that the expectation is that of prediction. Backwards
    :math:`\partial L/\partial a = \partial L/\partial a' \odot m / (1 - p)`, with the same mask.

    Parameters
    ----------
    n_out : int
    rate : float or scheduled value
        The probability p to be left out, in [0, 1).

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout", JMLR 15.
    """

    n_out: int
    rate: Any
    has_modes = True

    def __post_init__(self) -> None:
        self._check_range("rate", 0.0, 1.0, may_be_scheduled=True)

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        return np.empty((n_samples, self.n_out), dtype), np.empty((n_samples, self.n_out), dtype)

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        unchanged: FloatArray = x
        return unchanged

    def forward_training(
        self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...], batch: TrainingPass
    ) -> FloatArray:
        out, mask = memory  # not in place: the activation before it needs its output on the way back
        if self.rate == 0.0:
            mask.fill(1.0)
            return self.forward(params, x, memory)
        if batch.rng is None:
            raise ValueError("A network with dropout needs a random stream in training.")
        batch.rng.random(dtype=mask.dtype.type, out=mask)
        np.greater_equal(mask, self.rate, out=mask)
        mask *= 1.0 / (1.0 - self.rate)
        np.multiply(x, mask, out=out)
        return out

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
        delta *= memory[1]
        return delta

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        return delta
