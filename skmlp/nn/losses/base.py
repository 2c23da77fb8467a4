r"""What every loss gives: values and gradients on raw outputs, predictions, and a constant to start from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.activations import Logistic, Softplus

__all__ = [
    "LINKS",
    "LINK_JACOBIANS",
    "LOGISTIC",
    "SOFTPLUS",
    "Loss",
    "diagonal",
    "log_logistic",
    "log_softmax",
    "softmax",
    "weighted_mean",
]

LOGISTIC = Logistic()
SOFTPLUS = Softplus()


def softmax(raw: FloatArray) -> FloatArray:
    """Return ``exp(raw_k) / sum_j exp(raw_j)`` for each row."""
    p: FloatArray = raw - raw.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def log_softmax(raw: FloatArray) -> FloatArray:
    """Return the logarithm of :func:`softmax`, finite wherever `raw` is."""
    log_p: FloatArray = raw - raw.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return log_p


def log_logistic(raw: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``log(1 - p)`` and ``log p`` for ``p = logistic(raw)``, finite wherever `raw` is."""
    return -SOFTPLUS(raw), -SOFTPLUS(-raw)


# The output activations: raw outputs to predictions, of the same shape.
LINKS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"identity": lambda raw: raw, "exp": np.exp, "logistic": LOGISTIC, "softmax": softmax}
)


def diagonal(slopes: FloatArray) -> FloatArray:
    """Return a diagonal matrix for each row of `slopes`: the derivative of an elementwise function."""
    jacobian = np.zeros((*slopes.shape, slopes.shape[1]), slopes.dtype)
    np.einsum("ikk->ik", jacobian)[...] = slopes
    return jacobian


def _softmax_jacobian(raw: FloatArray) -> FloatArray:
    """Return ``p_k ([k = j] - p_j)`` for each row."""
    p = softmax(raw)
    jacobian: FloatArray = -p[:, :, np.newaxis] * p[:, np.newaxis, :]
    own = np.einsum("ikk->ik", jacobian)
    own[...] = 0.0
    own -= jacobian.sum(axis=2)  # p (1 - p) as p times the other probabilities: exact where p rounds to 1
    return jacobian


# Their derivatives: raw outputs to d prediction / d raw, of shape (n_samples, n_predictions, n_raw).
LINK_JACOBIANS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {
        "identity": lambda raw: diagonal(np.ones_like(raw)),
        "exp": lambda raw: diagonal(np.exp(raw)),
        "logistic": lambda raw: diagonal(LOGISTIC(raw) * LOGISTIC(-raw)),  # p (1 - p), exact where p rounds to 1
        "softmax": _softmax_jacobian,
    }
)


def weighted_mean(y: AnyArray, sample_weight: FloatArray | None) -> FloatArray:
    """Return the mean of each column, of shape (n_outputs,), in float64."""
    mean: FloatArray = np.average(np.asarray(y, dtype=np.float64), axis=0, weights=sample_weight)
    return mean


class Loss(Configurable, ABC):
    """A loss with its link function.

    A subclass is a dataclass that says at least `link` and :meth:`loss_and_gradient`; :func:`check_loss` tells whether
    the gradient is right.

    Attributes
    ----------
    link : str
        The output activation: ``"identity"``, ``"exp"``, ``"logistic"`` or ``"softmax"``.
    domain : str
        The targets it is defined for, in words.
    is_classification : bool
        True when the targets are yes-or-no answers or class codes.
    has_probabilities : bool
        True when the predictions are probabilities. Then ``log_predict(raw)`` gives their logarithms: one array for
        softmax, the pair ``log(1 - p)``, ``log p`` for logistic.
    shift_and_scale : bool
        True when shifting and scaling the targets shifts and scales the best predictions alike, so that one may
        train on standardised targets.
    """

    link: ClassVar[str]
    domain: ClassVar[str] = "all real numbers"
    is_classification: ClassVar[bool] = False
    has_probabilities: ClassVar[bool] = False
    shift_and_scale: ClassVar[bool] = False

    @abstractmethod
    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        """Return each sample's loss and write its gradient with respect to `raw` into `out`.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)
            Targets; for the losses for one of several classes the class codes, of shape (n_samples,).
        raw : ndarray of shape (n_samples, n_raw)
            The network's outputs before the link. Kept.
        out : ndarray of shape (n_samples, n_raw)
            Receives ``d loss / d raw``.

        Returns
        -------
        loss : ndarray of shape (n_samples,)
            Summed over the outputs.
        """

    def predict(self, raw: FloatArray) -> FloatArray:
        """Apply the link: the prediction for each row of `raw`, of the same shape unless the loss says otherwise."""
        return LINKS[self.link](raw)

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivative of :meth:`predict`, ``d prediction / d raw``, for each row of `raw`.

        Parameters
        ----------
        raw : ndarray of shape (n_samples, n_raw)
            Kept.

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_predictions, n_raw)

        Raises
        ------
        TypeError
            When a subclass has a :meth:`predict` of its own and not its derivative.
        """
        if type(self).predict is not Loss.predict:
            raise TypeError(
                f"{type(self).__name__} overrides predict, so that its derivative is not that of the link "
                f"{self.link!r}: override predict_jacobian, too."
            )
        return LINK_JACOBIANS[self.link](raw)

    def loss(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return each sample's loss, of shape (n_samples,)."""
        return self.loss_and_gradient(y, raw, np.empty_like(raw))

    def gradient(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        """Return ``d loss / d raw``, of the shape of `raw`."""
        out = np.empty_like(raw)
        self.loss_and_gradient(y, raw, out)
        return out

    def in_domain(self, y: AnyArray) -> bool:
        """Tell whether the loss is defined for every target in `y`."""
        return True

    def n_raw(self, n_outputs: int) -> int:
        """Return how many raw outputs the loss needs for `n_outputs` targets (or classes)."""
        return n_outputs

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        """Return the raw outputs of the best constant prediction, which the output biases may start from.

        Zeros where a loss does not know better.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
            Targets as :meth:`loss_and_gradient` takes them.
        sample_weight : ndarray of shape (n_samples,), optional
            Non-negative, with a positive sum.
        n_raw : int, optional
            Columns of `raw`. To be given for class codes, of which the highest may be missing in `y`.

        Returns
        -------
        raw : ndarray of shape (n_raw,), float64
            Always finite.
        """
        return np.zeros(self._columns(y) if n_raw is None else n_raw)

    def _columns(self, y: AnyArray) -> int:
        """Return how many raw outputs the targets `y` ask for."""
        return self.n_raw(y.shape[1] if y.ndim > 1 else int(y.max()) + 1)

    def multiclass(self) -> "Loss":
        """Return this loss, with its settings, for one of several classes.

        Raises
        ------
        ValueError
            When there is no such form.
        """
        kind = "independent yes-or-no targets" if self.is_classification else "numbers"
        raise ValueError(
            f"The loss {self!r} is for {kind} only and has no form for one of several classes. "
            "Choose a loss for classes, for example 'log_loss'."
        )

    def evaluation(self) -> "Loss":
        """Return this loss without what only helps training (label smoothing): what to judge a prediction by."""
        return self
