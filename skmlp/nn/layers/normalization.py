r"""Normalization: units brought to mean 0 and variance 1, then to a scale and an offset that are trained.

.. math:: \hat z = \frac{z - \mu}{\sqrt{v + \epsilon}}, \qquad z' = \gamma \odot \hat z + \beta

with mean :math:`\mu` and variance v over the batch (one pair for each unit) or over the units (one for each sample).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.nn.layers.base import Layer, TrainingPass
from skmlp.nn.parameters import ParameterShape

__all__ = [
    "NORMALIZATIONS",
    "BatchNorm",
    "BatchNormalization",
    "LayerNorm",
    "LayerNormalization",
    "Normalization",
]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    r"""Normalize each unit over the batch; in prediction by running averages of what the batches had.

    With the shares :math:`w_i` of the samples in the batch's weight (1/n without sample weights)
    :math:`\mu = \sum_i w_i z_i` and :math:`v = \sum_i w_i (z_i - \mu)^2`. Backwards, with :math:`\delta = \partial L /
    \partial z'`:

    .. math::
        \frac{\partial L}{\partial \gamma} = \sum_i \delta_i \odot \hat z_i, \qquad
        \frac{\partial L}{\partial \beta} = \sum_i \delta_i, \qquad
        \frac{\partial L}{\partial z_i} = \frac{\gamma}{\sqrt{v + \epsilon}} \odot
        \Bigl(\delta_i - w_i \frac{\partial L}{\partial \beta} - w_i \hat z_i \odot
        \frac{\partial L}{\partial \gamma}\Bigr)

    After each batch the running averages move by `momentum` towards :math:`\mu` and the unbiased variance
    :math:`v \, s / (s - 1)`, s being the sum of the sample weights (the biased one where s < 2), as in torch. So a
    weight of 2 is the row twice.

    Parameters
    ----------
    n_out : int
    momentum : float
    epsilon : float
    consumes_input : bool, default=False
        Keep :math:`\hat z` in the place of z, which saves an array.

    References
    ----------
    Ioffe and Szegedy (2015), "Batch normalization", ICML, arXiv 1502.03167.
    """

    n_out: int
    momentum: float = 0.1
    epsilon: float = 1e-5
    consumes_input: bool = False
    has_modes = True
    couples_rows = True
    needs_output = False

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("scale", (self.n_out,), "scale"),
            ParameterShape("offset", (self.n_out,), "offset"),
            ParameterShape("running_mean", (self.n_out,), "statistic"),
            ParameterShape("running_variance", (self.n_out,), "statistic"),
        )

    def initialize(self, params: Mapping[str, FloatArray]) -> None:
        params["scale"][...] = 1.0
        params["running_variance"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        shares = np.empty((n_samples, 1), dtype)
        deviation = np.empty((1, self.n_out), dtype)
        return out, scratch, shares, deviation, _place_of_z_hat(self, n_samples, dtype)

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        out = memory[0]
        np.subtract(x, params["running_mean"], out=out)
        out *= params["scale"] / np.sqrt(params["running_variance"] + self.epsilon)
        out += params["offset"]
        return out

    def forward_training(
        self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...], batch: TrainingPass
    ) -> FloatArray:
        out, scratch, shares, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        shares[:, 0] = 1.0 / x.shape[0] if batch.shares is None else batch.shares
        mean = shares[:, 0] @ x
        np.subtract(x, mean, out=z_hat)
        np.multiply(z_hat, z_hat, out=scratch)
        variance = shares[:, 0] @ scratch
        np.sqrt(variance + self.epsilon, out=deviation[0])
        z_hat /= deviation
        np.multiply(z_hat, params["scale"], out=out)
        out += params["offset"]
        total = batch.total_weight
        unbiased = total / (total - 1.0) if total >= 2.0 else 1.0
        for name, now in (("running_mean", mean), ("running_variance", unbiased * variance)):
            average = params[name]
            average += self.momentum * (now - average)
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
        _, scratch, shares, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        d_scale, d_offset = grads["scale"], grads["offset"]
        np.einsum("ij,ij->j", delta, z_hat, out=d_scale)
        np.sum(delta, axis=0, out=d_offset)
        grads["running_mean"][...] = grads["running_variance"][...] = 0.0
        np.multiply(z_hat, d_scale, out=scratch)
        scratch += d_offset
        scratch *= shares
        delta -= scratch
        delta *= params["scale"] / deviation[0]
        return delta

    def backward_prediction(
        self,
        params: Mapping[str, FloatArray],
        x: Any,
        output: FloatArray,
        delta: FloatArray,
        memory: tuple[FloatArray, ...],
    ) -> FloatArray:
        delta *= params["scale"] / np.sqrt(params["running_variance"] + self.epsilon)
        return delta

    def z_hat(self, x: FloatArray, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the normalized input of the last pass in training, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


@dataclass(frozen=True)
class LayerNormalization(Layer):
    r"""Normalize each sample over the units of the layer, in training and prediction alike.

    Backwards, with :math:`\hat\delta = \gamma \odot \delta` and means over the units:
    :math:`\partial L/\partial z = (\hat\delta - \overline{\hat\delta} - \hat z\, \overline{\hat\delta \odot \hat z})
    / \sqrt{v + \epsilon}`.

    Parameters
    ----------
    n_out : int
    epsilon : float
    consumes_input : bool, default=False
        Keep :math:`\hat z` in the place of z, which saves an array.

    References
    ----------
    Ba, Kiros and Hinton (2016), "Layer normalization", arXiv 1607.06450.
    """

    n_out: int
    epsilon: float = 1e-5
    consumes_input: bool = False
    needs_output = False

    @property
    def n_in(self) -> int:  # type: ignore[override]
        return self.n_out

    @property
    def shapes(self) -> Sequence[ParameterShape]:
        return (
            ParameterShape("scale", (self.n_out,), "scale"),
            ParameterShape("offset", (self.n_out,), "offset"),
        )

    def initialize(self, params: Mapping[str, FloatArray]) -> None:
        params["scale"][...] = 1.0

    def allocate(self, n_samples: int, dtype: DTypeLike, *, is_first: bool) -> tuple[FloatArray, ...]:
        out = np.empty((n_samples, self.n_out), dtype)
        scratch = np.empty((n_samples, self.n_out), dtype)
        deviation = np.empty((n_samples, 1), dtype)
        return out, scratch, deviation, _place_of_z_hat(self, n_samples, dtype)

    def forward(self, params: Mapping[str, FloatArray], x: Any, memory: tuple[FloatArray, ...]) -> FloatArray:
        out, scratch, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        np.subtract(x, x.mean(axis=1, keepdims=True), out=z_hat)
        np.multiply(z_hat, z_hat, out=scratch)
        np.mean(scratch, axis=1, keepdims=True, out=deviation)
        deviation += self.epsilon
        np.sqrt(deviation, out=deviation)
        z_hat /= deviation
        np.multiply(z_hat, params["scale"], out=out)
        out += params["offset"]
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
        _, scratch, deviation, _ = memory
        z_hat = self.z_hat(x, memory)
        np.einsum("ij,ij->j", delta, z_hat, out=grads["scale"])
        np.sum(delta, axis=0, out=grads["offset"])
        delta *= params["scale"]
        np.multiply(delta, z_hat, out=scratch)
        np.multiply(z_hat, scratch.mean(axis=1, keepdims=True), out=scratch)
        scratch += delta.mean(axis=1, keepdims=True)
        delta -= scratch
        delta /= deviation
        return delta

    def z_hat(self, x: FloatArray, memory: tuple[FloatArray, ...]) -> FloatArray:
        """Return the normalized input of the last pass, given the array that was the input."""
        return x if self.consumes_input else memory[-1]


def _place_of_z_hat(layer: Layer, n_samples: int, dtype: DTypeLike) -> FloatArray:
    """Return the memory for the normalized input; none where it takes the place of the input."""
    return np.empty((n_samples, 0 if layer.consumes_input else layer.n_out), dtype)


class Normalization(Configurable):
    """What kind of normalization comes between the dense layers and their activations."""

    @abstractmethod
    def layer(self, n_units: int) -> Layer:
        """Return the layer for that many units, which comes after a dense layer and so may consume its input."""


@dataclass
class BatchNorm(Normalization):
    """Settings of :class:`BatchNormalization`.

    Parameters
    ----------
    momentum : float, default=0.1
        How far a batch moves the running averages, in (0, 1].
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check_range("momentum", 0.0, 1.0, low_open=True, high_open=False)
        self._check_range("epsilon", 0.0, low_open=True)

    def layer(self, n_units: int) -> Layer:
        return BatchNormalization(n_units, self.momentum, self.epsilon, consumes_input=True)


@dataclass
class LayerNorm(Normalization):
    """Settings of :class:`LayerNormalization`.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, positive.
    """

    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check_range("epsilon", 0.0, low_open=True)

    def layer(self, n_units: int) -> Layer:
        return LayerNormalization(n_units, self.epsilon, consumes_input=True)


NORMALIZATIONS: dict[str, type[Normalization]] = {"batch": BatchNorm, "layer": LayerNorm}
