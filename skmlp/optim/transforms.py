r"""The links that update rules are chained from.

A link turns a vector of updates into another, in place: the first link of a chain receives the gradient, what the
last one leaves is added to the parameters. Links hold settings only. What changes from step to step lives in a
state dict of arrays and floats that the caller keeps, so that it can be copied, pickled and resumed.

Every link here works element by element, which lets :class:`~skmlp.optim.solvers.Solver` run the whole chain over
one cache-sized block of the vector after another. In the formulas :math:`g` is the incoming update, :math:`t` counts
steps from 1, and :math:`\eta` is the learning rate. `epsilon` is added outside the square root and `epsilon_root`
inside it, both after bias correction.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray

__all__ = [
    "DecayWeights",
    "ScaleByAMSGrad",
    "ScaleByAdadelta",
    "ScaleByAdagrad",
    "ScaleByAdam",
    "ScaleByCenteredRMS",
    "ScaleByLearningRate",
    "ScaleByLion",
    "ScaleByNAdam",
    "ScaleByRAdam",
    "ScaleByRMS",
    "Trace",
    "Transform",
]

State = dict[str, Any]


class Transform(Configurable, ABC):
    """A link of a chain."""

    weights_only = False  # True: the chain shows this link only the leading part that holds weights

    def init(self, params: FloatArray) -> State:
        """Return the state before the first step: arrays of the shape of `params`, and floats."""
        return {}

    def prepare(self, state: State, count: int, learning_rate: float) -> Any:
        """Compute, once a step, the numbers that `apply` needs; may update the floats in `state`."""
        return None

    @abstractmethod
    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        """Change `updates` (and the arrays of `state`) in place, on any block of the vector.

        Parameters
        ----------
        updates, params, scratch : ndarray of shape (n,)
            The block; `scratch` is free to use.
        state : dict
            The same block of the state's arrays.
        numbers : object
            What `prepare` returned.
        """


def _accumulate(average: FloatArray, values: FloatArray, decay: float, scratch: FloatArray) -> None:
    """``average = decay * average + (1 - decay) * values``; `values` may be `scratch`."""
    average *= decay
    np.multiply(values, 1.0 - decay, out=scratch)
    average += scratch


def _denominator(squares: FloatArray, out: FloatArray, inside: float, outside: float) -> None:
    """``out = sqrt(squares + inside) + outside``."""
    if inside == 0.0:
        np.sqrt(squares, out=out)
    else:
        np.add(squares, inside, out=out)
        np.sqrt(out, out=out)
    out += outside


@dataclass
class ScaleByLearningRate(Transform):
    r"""``updates = -learning_rate * g``: downhill."""

    def prepare(self, state: State, count: int, learning_rate: float) -> float:
        return -learning_rate

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        updates *= numbers


@dataclass
class DecayWeights(Transform):
    """Decoupled weight decay before the step: ``p = (1 - learning_rate * weight_decay) p`` (Loshchilov, Hutter, 2019).

    Not the same as an L2 penalty, whose gradient an adaptive rule would rescale. Biases are not decayed.
    """

    weight_decay: float = 0.01
    weights_only = True

    def prepare(self, state: State, count: int, learning_rate: float) -> float:
        return 1.0 - learning_rate * self.weight_decay

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        params *= numbers


@dataclass
class Trace(Transform):
    """Momentum: ``v = momentum * v + g``; passes on v, or with Nesterov's look-ahead ``momentum * v + g``."""

    momentum: float = 0.9
    nesterov: bool = False

    def init(self, params: FloatArray) -> State:
        return {"velocity": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        velocity = state["velocity"]
        velocity *= self.momentum
        velocity += updates
        if self.nesterov:
            np.multiply(velocity, self.momentum, out=scratch)
            updates += scratch
        else:
            updates[...] = velocity


@dataclass
class ScaleByRMS(Transform):
    """``nu = decay nu + (1 - decay) g^2``; passes on ``g / (sqrt(nu + epsilon_root) + epsilon)`` (Hinton, 2012)."""

    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"nu": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        np.multiply(updates, updates, out=scratch)
        _accumulate(state["nu"], scratch, self.decay, scratch)
        _denominator(state["nu"], scratch, self.epsilon_root, self.epsilon)
        updates /= scratch


@dataclass
class ScaleByCenteredRMS(Transform):
    """As :class:`ScaleByRMS`, with the variance ``nu - mu^2`` in place of the second moment (Graves, 2013)."""

    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params), "nu": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        mu, nu = state["mu"], state["nu"]
        _accumulate(mu, updates, self.decay, scratch)
        np.multiply(updates, updates, out=scratch)
        _accumulate(nu, scratch, self.decay, scratch)
        np.multiply(mu, mu, out=scratch)
        np.subtract(nu, scratch, out=scratch)
        np.maximum(scratch, 0.0, out=scratch)  # a variance; rounding can make it negative
        _denominator(scratch, scratch, self.epsilon_root, self.epsilon)
        updates /= scratch


@dataclass
class ScaleByAdagrad(Transform):
    """``s = s + g^2``; passes on ``g / (sqrt(s + epsilon_root) + epsilon)`` (Duchi, Hazan and Singer, 2011)."""

    initial_accumulator: float = 0.0
    epsilon: float = 1e-10
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"squares": np.full_like(params, self.initial_accumulator)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        np.multiply(updates, updates, out=scratch)
        state["squares"] += scratch
        _denominator(state["squares"], scratch, self.epsilon_root, self.epsilon)
        updates /= scratch


@dataclass
class ScaleByAdadelta(Transform):
    """Passes on ``d = g sqrt(u + epsilon) / sqrt(nu + epsilon)`` (Zeiler, 2012).

    u and nu are the averages of ``d^2`` and ``g^2``.
    """

    decay: float = 0.9
    epsilon: float = 1e-6

    def init(self, params: FloatArray) -> State:
        return {"nu": np.zeros_like(params), "squared_updates": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        nu, squared_updates = state["nu"], state["squared_updates"]
        np.multiply(updates, updates, out=scratch)
        _accumulate(nu, scratch, self.decay, scratch)
        _denominator(nu, scratch, self.epsilon, 0.0)
        updates /= scratch
        _denominator(squared_updates, scratch, self.epsilon, 0.0)
        updates *= scratch
        np.multiply(updates, updates, out=scratch)
        _accumulate(squared_updates, scratch, self.decay, scratch)


@dataclass
class _Moments(Transform):
    """First and second moments of the gradient, shared by the Adam family."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params), "nu": np.zeros_like(params)}

    def prepare(self, state: State, count: int, learning_rate: float) -> Any:
        correction_1, correction_2 = 1.0 - self.beta_1**count, 1.0 - self.beta_2**count
        return math.sqrt(correction_2) / correction_1, correction_2

    def _denominator(self, squares: FloatArray, out: FloatArray, correction: float) -> None:
        r"""``out = sqrt(correction) (sqrt(squares / correction + epsilon_root) + epsilon)``: a pass less that way."""
        _denominator(squares, out, correction * self.epsilon_root, math.sqrt(correction) * self.epsilon)

    def _update_moments(self, updates: FloatArray, state: State, scratch: FloatArray) -> None:
        """``mu = beta_1 mu + (1 - beta_1) g``, ``nu = beta_2 nu + (1 - beta_2) g^2``."""
        _accumulate(state["mu"], updates, self.beta_1, scratch)
        np.multiply(updates, updates, out=scratch)
        _accumulate(state["nu"], scratch, self.beta_2, scratch)


@dataclass
class ScaleByAdam(_Moments):
    r"""Passes on :math:`\hat\mu / (\sqrt{\hat\nu + \epsilon_{root}} + \epsilon)` (Kingma and Ba, 2015, algorithm 1).

    :math:`\hat\mu = \mu / (1 - \beta_1^t)` and :math:`\hat\nu = \nu / (1 - \beta_2^t)` undo the bias of averages that
    start at zero.
    """

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        scale, correction_2 = numbers
        self._update_moments(updates, state, scratch)
        self._denominator(state["nu"], scratch, correction_2)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale


@dataclass
class ScaleByAMSGrad(_Moments):
    """As :class:`ScaleByAdam` with the largest ``nu`` so far in the denominator (Reddi, Kale and Kumar, 2018)."""

    def init(self, params: FloatArray) -> State:
        return {name: np.zeros_like(params) for name in ("mu", "nu", "nu_max")}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        scale, correction_2 = numbers
        self._update_moments(updates, state, scratch)
        np.maximum(state["nu_max"], state["nu"], out=state["nu_max"])
        self._denominator(state["nu_max"], scratch, correction_2)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale


@dataclass
class ScaleByNAdam(_Moments):
    r"""Adam with Nesterov's look-ahead (Dozat, 2016).

    With :math:`m_t = \beta_1 (1 - 0.5 \cdot 0.96^{t \psi})` passes on
    :math:`\left(\frac{1 - m_t}{1 - \prod_{i \le t} m_i} g + \frac{m_{t+1}}{1 - \prod_{i \le t+1} m_i} \mu\right)
    / (\sqrt{\hat\nu + \epsilon_{root}} + \epsilon)`.
    """

    momentum_decay: float = 0.004

    def init(self, params: FloatArray) -> State:
        return {**super().init(params), "momentum_product": 1.0}

    def prepare(self, state: State, count: int, learning_rate: float) -> Any:
        now = self.beta_1 * (1.0 - 0.5 * 0.96 ** (count * self.momentum_decay))
        next_ = self.beta_1 * (1.0 - 0.5 * 0.96 ** ((count + 1) * self.momentum_decay))
        product = state["momentum_product"] * now
        state["momentum_product"] = product
        correction_2 = 1.0 - self.beta_2**count
        scale = math.sqrt(correction_2)
        return scale * (1.0 - now) / (1.0 - product), scale * next_ / (1.0 - product * next_), correction_2

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        share_of_gradient, share_of_mean, correction_2 = numbers
        self._update_moments(updates, state, scratch)
        self._denominator(state["nu"], scratch, correction_2)
        updates *= share_of_gradient
        updates /= scratch
        np.divide(state["mu"], scratch, out=scratch)
        scratch *= share_of_mean
        updates += scratch


@dataclass
class ScaleByRAdam(_Moments):
    r"""Adam whose adaptive denominator is rectified, and left out while its variance is unbounded (Liu et al., 2020).

    With :math:`\rho_\infty = 2/(1-\beta_2) - 1` and :math:`\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`:
    :math:`\hat\mu\, r_t / (\sqrt{\hat\nu} + \epsilon / \sqrt{1 - \beta_2^t})` when :math:`\rho_t > 5`, else
    :math:`\hat\mu`. As in torch, `epsilon` is added before bias correction.
    """

    def prepare(self, state: State, count: int, learning_rate: float) -> Any:
        correction_1, correction_2 = 1.0 - self.beta_1**count, 1.0 - self.beta_2**count
        rho_inf = 2.0 / (1.0 - self.beta_2) - 1.0
        rho = rho_inf - 2.0 * count * self.beta_2**count / correction_2
        if rho <= 5.0:
            return None, 1.0 / correction_1
        rectification = math.sqrt((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
        return correction_2, math.sqrt(correction_2) * rectification / correction_1

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        correction_2, scale = numbers
        self._update_moments(updates, state, scratch)
        if correction_2 is None:
            np.multiply(state["mu"], scale, out=updates)
            return
        _denominator(state["nu"], scratch, correction_2 * self.epsilon_root, self.epsilon)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale


@dataclass
class ScaleByLion(Transform):
    """Passes on ``sign(beta_1 mu + (1 - beta_1) g)``, then ``mu = beta_2 mu + (1 - beta_2) g`` (Chen et al., 2023)."""

    beta_1: float = 0.9
    beta_2: float = 0.99

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params)}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        mu = state["mu"]
        np.subtract(updates, mu, out=scratch)  # both averages move mu towards g by a share of this difference
        np.multiply(scratch, 1.0 - self.beta_1, out=updates)
        updates += mu
        np.sign(updates, out=updates)
        scratch *= 1.0 - self.beta_2
        mu += scratch
