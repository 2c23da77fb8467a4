r"""Update rules: a solver is a chain of links from :mod:`skmlp.optim.transforms`.

A solver works on any flat vector and knows nothing of networks. It holds settings only; `state` is passed in and
changed in place. Minimising the Rosenbrock function:

>>> import numpy as np
>>> from skmlp.optim import Adam
>>> params = np.array([-1.5, 2.0])
>>> solver = Adam()
>>> state = solver.init(params)
>>> for _ in range(5000):
...     x, y = params
...     grad = np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])
...     solver.update(params, grad, state, learning_rate=0.02)
>>> params.round(3)
array([1., 1.])
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import FloatArray
from skmlp.optim.chain import Chain
from skmlp.optim.schedules import Time
from skmlp.optim.transforms import (
    DecayWeights,
    ScaleByAdadelta,
    ScaleByAdagrad,
    ScaleByAdam,
    ScaleByAMSGrad,
    ScaleByCenteredRMS,
    ScaleByLearningRate,
    ScaleByLion,
    ScaleByNAdam,
    ScaleByRAdam,
    ScaleByRMS,
    Trace,
    Transform,
)

__all__ = [
    "SGD",
    "SOLVERS",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSProp",
    "Solver",
    "WithWeightDecay",
]


class Solver(Configurable, ABC):
    """An update rule ``params += chain(grad)``."""

    @property
    @abstractmethod
    def links(self) -> Sequence[Transform]:
        """The chain, from the gradient to what is added to the parameters."""

    def init(self, params: FloatArray, n_weights: int | None = None) -> dict[str, Any]:
        """Return the state before the first step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
        n_weights : int, optional
            How many leading entries are weights, for weight decay; all by default.

        Returns
        -------
        state : dict
            ``{"count": 0, "n_weights": ..., "links": [...]}``: numbers and arrays only. A deep copy of it and of
            the parameters is all that is needed to go back to a step.
        """
        return {
            "count": 0,
            "n_weights": params.size if n_weights is None else n_weights,
            "links": [link.init(params) for link in self.links],
        }

    def accepts(self, state: dict[str, Any]) -> bool:
        """Tell whether `state` has the arrays this solver keeps, so that training can go on from it."""
        wanted = [sorted(link.init(np.empty(0))) for link in self.links]
        return [sorted(link_state) for link_state in state.get("links", ())] == wanted and "count" in state

    def update(
        self,
        params: FloatArray,
        grad: FloatArray,
        state: dict[str, Any],
        learning_rate: float,
        time: Time | None = None,
    ) -> None:
        """Take one step.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
            Changed in place.
        grad : ndarray of shape (n_parameters,)
            Overwritten; afterwards it holds what was added to `params`.
        state : dict
            From :meth:`init`; changed in place.
        learning_rate : float
        time : Time, optional
            When it is, for settings that follow a schedule.
        """
        Chain(self.links, params, grad, state).step(learning_rate, time)

    def on(self, params: FloatArray, grad: FloatArray, state: dict[str, Any]) -> Callable[..., None]:
        """Return :meth:`update` for these arrays, prepared for many steps: ``step(learning_rate[, time])``."""
        if type(self).update is not Solver.update:
            return partial(self.update, params, grad, state)
        return Chain(self.links, params, grad, state).step


@dataclass
class SGD(Solver):
    r"""Gradient descent, with momentum on request: :math:`v \leftarrow \mu v - \eta g`, :math:`p \leftarrow p + v`.

    With Nesterov's look-ahead :math:`p \leftarrow p + \mu v - \eta g`. The learning rate is inside the velocity, as in
    scikit-learn and Keras: after a change of the rate, the velocity keeps steps taken at the old one. torch keeps it
    outside; for a constant rate both are the same.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1]. 0 is plain gradient descent.
    nesterovs_momentum : bool, default=True
        Only used with momentum.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), ICML.
    """

    momentum: float = 0.9
    nesterovs_momentum: bool = True

    def __post_init__(self) -> None:
        self._check_range("momentum", 0.0, 1.0, high_open=False)

    @property
    def links(self) -> Sequence[Transform]:
        if self.momentum == 0.0:
            return (ScaleByLearningRate(),)
        return (ScaleByLearningRate(), Trace(self.momentum, self.nesterovs_momentum))


@dataclass
class RMSProp(Solver):
    r"""Gradient over its root mean square.

    :math:`p \leftarrow p - \eta\, g / (\sqrt{\nu + \epsilon_{root}} + \epsilon)` with
    :math:`\nu \leftarrow \rho \nu + (1 - \rho) g^2`. ``epsilon=0, epsilon_root=1e-8`` is the textbook form with epsilon
    inside the root. A learning rate of 1e-3 to 1e-2 is usual.

    Parameters
    ----------
    decay : float, default=0.99
        :math:`\rho`, in [0, 1).
    epsilon, epsilon_root : float, default=1e-8, 0.0
        Added outside and inside the root, non-negative.
    momentum : float, default=0.0
        Momentum on the scaled gradient, in [0, 1].
    centered : bool, default=False
        Divide by the standard deviation instead of the root mean square.

    References
    ----------
    Tieleman and Hinton (2012), Coursera lecture 6.5; Graves (2013), arXiv 1308.0850.
    """

    decay: float = 0.99
    epsilon: float = 1e-8
    epsilon_root: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        self._check_range("decay", 0.0, 1.0)
        self._check_range("epsilon", 0.0)
        self._check_range("epsilon_root", 0.0)
        self._check_range("momentum", 0.0, 1.0, high_open=False)

    @property
    def links(self) -> Sequence[Transform]:
        scale = ScaleByCenteredRMS if self.centered else ScaleByRMS
        chain: list[Transform] = [scale(self.decay, self.epsilon, self.epsilon_root)]
        if self.momentum != 0.0:
            chain.append(Trace(self.momentum))
        return (*chain, ScaleByLearningRate())


@dataclass
class Adagrad(Solver):
    r"""Gradient over the root of the sum s of all squared gradients so far.

    :math:`p \leftarrow p - \eta\, g / (\sqrt{s + \epsilon_{root}} + \epsilon)`. Steps shrink for ever; a learning
    rate of 1e-2 is usual.

    Parameters
    ----------
    initial_accumulator : float, default=0.0
        The value :math:`s` starts from, non-negative.
    epsilon, epsilon_root : float, default=1e-10, 0.0
        Added outside and inside the root, non-negative.

    References
    ----------
    Duchi, Hazan and Singer (2011), JMLR 12.
    """

    initial_accumulator: float = 0.0
    epsilon: float = 1e-10
    epsilon_root: float = 0.0

    def __post_init__(self) -> None:
        for name in ("initial_accumulator", "epsilon", "epsilon_root"):
            self._check_range(name, 0.0)

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAdagrad(self.initial_accumulator, self.epsilon, self.epsilon_root), ScaleByLearningRate())


@dataclass
class Adadelta(Solver):
    r"""Steps in the parameters' own units.

    :math:`p \leftarrow p - \eta\, g \sqrt{u + \epsilon} / \sqrt{\nu + \epsilon}`; u and :math:`\nu` are the
    averages of the squared steps and gradients. The paper has no learning rate: use 1.

    Parameters
    ----------
    decay : float, default=0.9
        In [0, 1).
    epsilon : float, default=1e-6
        Inside both roots, positive.

    References
    ----------
    Zeiler (2012), arXiv 1212.5701.
    """

    decay: float = 0.9
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        self._check_range("decay", 0.0, 1.0)
        self._check_range("epsilon", 0.0, low_open=True)

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAdadelta(self.decay, self.epsilon), ScaleByLearningRate())


@dataclass
class _AdamFamily(Solver):
    """The settings that Adam and its relatives share.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the two moments, in [0, 1).
    epsilon, epsilon_root : float, default=1e-8, 0.0
        Added outside and inside the root, non-negative.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_root: float = 0.0

    def __post_init__(self) -> None:
        self._check_range("beta_1", 0.0, 1.0)
        self._check_range("beta_2", 0.0, 1.0)
        self._check_range("epsilon", 0.0)
        self._check_range("epsilon_root", 0.0)


@dataclass
class Adam(_AdamFamily):
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
        return (ScaleByAdam(self.beta_1, self.beta_2, self.epsilon, self.epsilon_root), ScaleByLearningRate())


@dataclass
class AMSGrad(_AdamFamily):
    """Adam with the largest second moment so far in the denominator, so that it never forgets a large gradient.

    As in torch, the maximum is taken before bias correction. Parameters as :class:`Adam`.

    References
    ----------
    Reddi, Kale and Kumar (2018), arXiv 1904.09237.
    """

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByAMSGrad(self.beta_1, self.beta_2, self.epsilon, self.epsilon_root), ScaleByLearningRate())


@dataclass
class AdamW(_AdamFamily):
    r"""Adam with decoupled weight decay: first :math:`p \leftarrow (1 - \eta \lambda) p`, then Adam's step.

    Parameters
    ----------
    beta_1, beta_2, epsilon, epsilon_root : float
        As :class:`Adam`.
    weight_decay : float, default=0.01
        :math:`\lambda`, non-negative; acts on weights, not on biases (torch decays all it is given).

    References
    ----------
    Loshchilov and Hutter (2019), arXiv 1711.05101.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _AdamFamily.__post_init__(self)
        self._check_range("weight_decay", 0.0)

    @property
    def links(self) -> Sequence[Transform]:
        adam = ScaleByAdam(self.beta_1, self.beta_2, self.epsilon, self.epsilon_root)
        return (DecayWeights(self.weight_decay), adam, ScaleByLearningRate())


@dataclass
class NAdam(_AdamFamily):
    """Adam with Nesterov's look-ahead, as in torch; see :class:`~skmlp.optim.transforms.ScaleByNAdam`.

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

    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        _AdamFamily.__post_init__(self)
        self._check_range("momentum_decay", 0.0)

    @property
    def links(self) -> Sequence[Transform]:
        nadam = ScaleByNAdam(self.beta_1, self.beta_2, self.epsilon, self.epsilon_root, self.momentum_decay)
        return (nadam, ScaleByLearningRate())


@dataclass
class RAdam(_AdamFamily):
    """Rectified Adam, which needs no warm-up, as in torch; see :class:`~skmlp.optim.transforms.ScaleByRAdam`.

    Parameters as :class:`Adam`.

    References
    ----------
    Liu, Jiang, He, Chen, Liu, Gao and Han (2020), arXiv 1908.03265.
    """

    @property
    def links(self) -> Sequence[Transform]:
        return (ScaleByRAdam(self.beta_1, self.beta_2, self.epsilon, self.epsilon_root), ScaleByLearningRate())


@dataclass
class Lion(Solver):
    r"""The sign of an averaged gradient: :math:`p \leftarrow p - \eta\, sign(\beta_1 \mu + (1 - \beta_1) g)`.

    Every parameter moves by exactly the learning rate, so use about a tenth of Adam's.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.99
        Shares of the average in the step and in its own update, in [0, 1).
    weight_decay : float, default=0.0
        Decoupled, non-negative; ten times AdamW's is usual.

    References
    ----------
    Chen et al. (2023), "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check_range("beta_1", 0.0, 1.0)
        self._check_range("beta_2", 0.0, 1.0)
        self._check_range("weight_decay", 0.0)

    @property
    def links(self) -> Sequence[Transform]:
        lion = ScaleByLion(self.beta_1, self.beta_2)
        decay = (DecayWeights(self.weight_decay),) if self.weight_decay != 0.0 else ()
        return (*decay, lion, ScaleByLearningRate())


@dataclass
class WithWeightDecay(Solver):
    r"""Any solver with decoupled weight decay: first :math:`p \leftarrow (1 - \eta \lambda) p`, then the solver's step.

    Parameters
    ----------
    solver : Solver
    weight_decay : float, default=0.01
        :math:`\lambda`, non-negative; acts on weights, not on biases.

    References
    ----------
    Loshchilov and Hutter (2019), arXiv 1711.05101.
    """

    solver: Solver
    weight_decay: Any = 0.01

    def __post_init__(self) -> None:
        self._check_range("weight_decay", 0.0)

    @property
    def links(self) -> Sequence[Transform]:
        return (DecayWeights(self.weight_decay), *self.solver.links)


SOLVERS: dict[str, type[Solver]] = {
    "sgd": SGD,
    "rmsprop": RMSProp,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "lion": Lion,
}
