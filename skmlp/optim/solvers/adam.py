"""Adam and its relatives: AMSGrad, AdamW, NAdam, RAdam."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skmlp._configurable import NonNegative, Range
from skmlp._typing import FloatArray
from skmlp.optim.solvers.base import Solver
from skmlp.optim.solvers.transform import (
    Numbers,
    ScaleByLearningRate,
    State,
    Transform,
    accumulate,
    denominator,
    power,
    root,
)
from skmlp.optim.solvers.weight_decay import DecayWeights

__all__ = ["AMSGrad", "Adam", "AdamW", "NAdam", "RAdam"]


@dataclass
class _Moments(Transform):
    """First and second moments of the gradient, shared by the Adam family."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def init(self, params: FloatArray) -> State:
        return {"mu": np.zeros_like(params), "nu": np.zeros_like(params)}

    def _numbers(self, correction: Any, root_of_correction: Any) -> Numbers:
        r"""Return the weights of the moments, and `inside` and `outside`.

        ``sqrt(correction) (sqrt(nu / correction + epsilon_root) + epsilon) = sqrt(nu + inside) + outside``: a pass less
        over the arrays.
        """
        return (
            self.beta_1,
            1.0 - self.beta_1,
            self.beta_2,
            1.0 - self.beta_2,
            correction * self.epsilon_root,
            root_of_correction * self.epsilon,
        )


def _update_moments(updates: FloatArray, state: State, scratch: FloatArray, numbers: Numbers) -> None:
    """``mu = beta_1 mu + (1 - beta_1) g``, ``nu = beta_2 nu + (1 - beta_2) g^2``."""
    accumulate(state["mu"], updates, numbers[0], numbers[1], scratch)
    np.multiply(updates, updates, out=scratch)
    accumulate(state["nu"], scratch, numbers[2], numbers[3], scratch)


@dataclass
class ScaleByAdam(_Moments):
    r"""Passes on :math:`\hat\mu / (\sqrt{\hat\nu + \epsilon_{root}} + \epsilon)` (Kingma and Ba, 2015, algorithm 1).

    :math:`\hat\mu = \mu / (1 - \beta_1^t)` and :math:`\hat\nu = \nu / (1 - \beta_2^t)` correct the bias of averages
    that start at zero.
    """

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        correction_1, correction_2 = 1.0 - power(self.beta_1, count), 1.0 - power(self.beta_2, count)
        root_2 = root(correction_2)
        return *self._numbers(correction_2, root_2), root_2 / correction_1

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        inside, outside, scale = numbers[4:]
        _update_moments(updates, state, scratch, numbers)
        denominator(state["nu"], scratch, inside, outside)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        beta_1, rest_1, beta_2, rest_2, inside, outside, scale = numbers
        mu = beta_1 * state[0] + rest_1 * g
        nu = beta_2 * state[1] + rest_2 * (g * g)
        return scale * mu / (np.sqrt(nu + inside) + outside), p, (mu, nu)


@dataclass
class ScaleByAMSGrad(ScaleByAdam):
    """As :class:`ScaleByAdam` with the largest ``nu`` so far in the denominator (Reddi, Kale and Kumar, 2018)."""

    def init(self, params: FloatArray) -> State:
        return {name: np.zeros_like(params) for name in ("mu", "nu", "nu_max")}

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        inside, outside, scale = numbers[4:]
        _update_moments(updates, state, scratch, numbers)
        np.maximum(state["nu_max"], state["nu"], out=state["nu_max"])
        denominator(state["nu_max"], scratch, inside, outside)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        beta_1, rest_1, beta_2, rest_2, inside, outside, scale = numbers
        mu = beta_1 * state[0] + rest_1 * g
        nu = beta_2 * state[1] + rest_2 * (g * g)
        nu_max = max(state[2], nu)
        return scale * mu / (np.sqrt(nu_max + inside) + outside), p, (mu, nu, nu_max)


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

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        now = self.beta_1 * (1.0 - 0.5 * power(0.96, count * self.momentum_decay))
        next_ = self.beta_1 * (1.0 - 0.5 * power(0.96, (count + 1) * self.momentum_decay))
        if isinstance(now, np.ndarray):
            product = np.cumprod([state["momentum_product"], *now])[1:]
            state["momentum_product"] = float(product[-1])
        else:
            product = state["momentum_product"] = state["momentum_product"] * now
        correction_2 = 1.0 - power(self.beta_2, count)
        root_2 = root(correction_2)
        weight_of_gradient = root_2 * (1.0 - now) / (1.0 - product)
        weight_of_mean = root_2 * next_ / (1.0 - product * next_)
        return *self._numbers(correction_2, root_2), weight_of_gradient, weight_of_mean

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        inside, outside, weight_of_gradient, weight_of_mean = numbers[4:]
        _update_moments(updates, state, scratch, numbers)
        denominator(state["nu"], scratch, inside, outside)
        updates *= weight_of_gradient
        updates /= scratch
        np.divide(state["mu"], scratch, out=scratch)
        scratch *= weight_of_mean
        updates += scratch

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        beta_1, rest_1, beta_2, rest_2, inside, outside, weight_of_gradient, weight_of_mean = numbers
        mu = beta_1 * state[0] + rest_1 * g
        nu = beta_2 * state[1] + rest_2 * (g * g)
        update = (weight_of_gradient * g + weight_of_mean * mu) / (np.sqrt(nu + inside) + outside)
        return update, p, (mu, nu)


@dataclass
class ScaleByRAdam(_Moments):
    r"""Adam with a rectified adaptive denominator, and none while its variance is unbounded (Liu et al., 2020).

    With :math:`\rho_\infty = 2/(1-\beta_2) - 1` and :math:`\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`:
    :math:`\hat\mu\, r_t / (\sqrt{\hat\nu} + \epsilon / \sqrt{1 - \beta_2^t})` when :math:`\rho_t > 5`, else
    :math:`\hat\mu`. As in torch, `epsilon` is added before bias correction.
    """

    def prepare(self, state: State, count: Any, learning_rate: Any) -> Numbers:
        correction_1, correction_2 = 1.0 - power(self.beta_1, count), 1.0 - power(self.beta_2, count)
        rho_inf = 2.0 / (1.0 - self.beta_2) - 1.0
        rho = rho_inf - 2.0 * count * power(self.beta_2, count) / correction_2
        rectified, scale = rho > 5.0, 1.0 / correction_1
        if isinstance(rho, np.ndarray):
            some = np.flatnonzero(rectified)
            scale[some] = _rectification(rho[some], rho_inf, correction_1[some], correction_2[some])
        elif rectified:
            scale = _rectification(rho, rho_inf, correction_1, correction_2)
        return *self._numbers(correction_2, 1.0), rectified * 1.0, scale

    def apply(self, updates: FloatArray, params: FloatArray, state: State, scratch: FloatArray, numbers: Any) -> None:
        inside, outside, rectified, scale = numbers[4:]
        _update_moments(updates, state, scratch, numbers)
        if not rectified:
            np.multiply(state["mu"], scale, out=updates)
            return
        denominator(state["nu"], scratch, inside, outside)
        np.divide(state["mu"], scratch, out=updates)
        updates *= scale

    @staticmethod
    def kernel(g: Any, p: Any, state: Any, numbers: Any) -> Any:
        beta_1, rest_1, beta_2, rest_2, inside, outside, rectified, scale = numbers
        mu = beta_1 * state[0] + rest_1 * g
        nu = beta_2 * state[1] + rest_2 * (g * g)
        update = scale * mu
        return update / (np.sqrt(nu + inside) + outside) if rectified else update, p, (mu, nu)


def _rectification(rho: Any, rho_inf: float, correction_1: Any, correction_2: Any) -> Any:
    """Return the factor on ``mu / (sqrt(nu) + epsilon)``."""
    r = root((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
    return root(correction_2) * r / correction_1


@dataclass
class _AdamFamily(Solver):
    """The settings that Adam and its relatives have in common."""

    beta_1: Annotated[float, Range("[0.0, 1.0)")] = 0.9
    beta_2: Annotated[float, Range("[0.0, 1.0)")] = 0.999
    epsilon: NonNegative = 1e-8
    epsilon_root: NonNegative = 0.0

    @property
    def _settings(self) -> tuple[float, float, float, float]:
        return self.beta_1, self.beta_2, self.epsilon, self.epsilon_root


@dataclass
class Adam(_AdamFamily, name="adam"):
    r"""Adaptive moments, algorithm 1 of the paper.

    :math:`p \leftarrow p - \eta\, \hat\mu / (\sqrt{\hat\nu + \epsilon_{root}} + \epsilon)`, with the bias-corrected
    averages of gradient and squared gradient. As in torch and optax, epsilon is added after bias correction.
    scikit-learn and Keras use the paper's other form (``epsilon-hat``), which adds it before and damps the first
    steps; the two agree as epsilon goes to 0. ``epsilon=0, epsilon_root=1e-8`` is the textbook form
    :math:`\hat\mu / \sqrt{\hat\nu + \epsilon}`.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the two moments, in [0, 1).
    epsilon, epsilon_root : float, default=1e-8, 0.0
        Added outside and inside the root, non-negative.

    References
    ----------
    Kingma and Ba (2015), arXiv 1412.6980.
    """

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAdam(*self._settings), ScaleByLearningRate())


@dataclass
class AMSGrad(_AdamFamily, name="amsgrad"):
    """Adam with the largest second moment so far in the denominator, so that it never forgets a large gradient.

    As in torch, the maximum is taken before bias correction. Parameters as :class:`Adam`.

    References
    ----------
    Reddi, Kale and Kumar (2018), arXiv 1904.09237.
    """

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAMSGrad(*self._settings), ScaleByLearningRate())


@dataclass
class AdamW(_AdamFamily, name="adamw"):
    r"""Adam with decoupled weight decay: first :math:`p \leftarrow (1 - \eta \lambda) p`, then Adam's step.

    Parameters
    ----------
    beta_1, beta_2, epsilon, epsilon_root : float
        As :class:`Adam`.
    weight_decay : float or scheduled value, default=0.01
        :math:`\lambda`, non-negative; applied to weights, not to biases (torch decays all it is given).

    References
    ----------
    Loshchilov and Hutter (2019), arXiv 1711.05101.
    """

    weight_decay: Annotated[float, Range("[0.0, inf)", may_be_scheduled=True)] = 0.01

    @property
    def links(self) -> Sequence[Transform]:
        return (DecayWeights(self.weight_decay), ScaleByAdam(*self._settings), ScaleByLearningRate())


@dataclass
class NAdam(_AdamFamily, name="nadam"):
    """Adam with Nesterov's look-ahead, as in torch; see :class:`ScaleByNAdam`.

    Parameters
    ----------
    beta_1, beta_2, epsilon, epsilon_root : float
        As :class:`Adam`.
    momentum_decay : float, default=0.004
        How fast the momentum grows towards `beta_1`, non-negative.

    References
    ----------
    Dozat (2016), ICLR workshop.
    """

    momentum_decay: NonNegative = 0.004

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByNAdam(*self._settings, self.momentum_decay), ScaleByLearningRate())


@dataclass
class RAdam(_AdamFamily, name="radam"):
    """Rectified Adam, which needs no warm-up, as in torch; see :class:`ScaleByRAdam`.

    Parameters as :class:`Adam`.

    References
    ----------
    Liu, Jiang, He, Chen, Liu, Gao and Han (2020), arXiv 1908.03265.
    """

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByRAdam(*self._settings), ScaleByLearningRate())
