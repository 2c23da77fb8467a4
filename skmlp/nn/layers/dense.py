"""The dense layer ``z = a W + b``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Layer
from skmlp.nn.parameters import ParameterShape
from skmlp.nn.products import matmul

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Layer):
    r"""Every output is a weighted sum of every input, plus a bias.

    .. math::
        z = a W + b, \qquad
        \frac{\partial L}{\partial W} = a^T \delta, \qquad
        \frac{\partial L}{\partial b} = 1^T \delta, \qquad
        \frac{\partial L}{\partial a} = \delta W^T

    with the error signal :math:`\delta = \partial L / \partial z`, samples in rows.
    """

    n_in: int
    n_out: int
    needs_output = False

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("weights", (self.n_in, self.n_out), "weight"),
            ParameterShape("biases", (self.n_out,), "bias"),
        )

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        z = np.empty((n_samples, self.n_out), dtype)
        ones = np.ones(n_samples, dtype)
        input_delta = np.empty((n_samples, 0 if is_first else self.n_in), dtype)
        return z, ones, input_delta

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        z = memory[0]
        if isinstance(x, np.ndarray):
            matmul(x, params["weights"], z)
        else:
            z[...] = x @ params["weights"]  # sparse
        z += params["biases"]
        return z

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
        _, ones, input_delta = memory
        if isinstance(x, np.ndarray):
            matmul(x.T, delta, grads["weights"])
        else:
            grads["weights"][...] = x.T @ delta
        np.matmul(ones, delta, out=grads["biases"])  # column sums; several times faster than delta.sum(axis=0)
        if is_first:
            return delta
        return matmul(delta, params["weights"].T, input_delta)

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        signals: FloatArray = delta @ params["weights"].T
        return signals
