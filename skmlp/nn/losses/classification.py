r"""Losses for yes-or-no answers, one an output, and for one of several classes.

The first kind takes a matrix of 0 and 1 and treats its columns independently (binary, multilabel); its `multiclass`
gives the second kind, which takes class codes.
"""

from dataclasses import dataclass, replace

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.base import LOGISTIC, SOFTPLUS, Loss, log_logistic, log_softmax, weighted_mean

__all__ = [
    "BinaryLogLoss",
    "FocalLoss",
    "Hinge",
    "MulticlassHinge",
    "MultinomialFocalLoss",
    "MultinomialLogLoss",
]


class _YesOrNo(Loss):
    """Independent answers in {0, 1}, each with a probability by the logistic link.

    The constant is the log-odds of a yes; an answer that never occurs counts as half a sample.
    """

    link = "logistic"
    domain = "y in {0, 1}"
    is_classification = True
    has_probabilities = True

    def log_predict(self, raw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``log(1 - p)`` and ``log p``, finite wherever `raw` is."""
        return log_logistic(raw)

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y == 0) | (y == 1)))

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        p, half = self._expected(weighted_mean(y, sample_weight)), _half_a_sample(y, sample_weight)
        p = np.where(p <= 0.0, half, np.where(p >= 1.0, 1.0 - half, p))
        log_odds: FloatArray = np.log(p / (1.0 - p))
        return log_odds

    def _expected(self, p: FloatArray) -> FloatArray:
        """Return what the loss takes the share `p` of yes for."""
        return p


class _OneOfSeveral(Loss):
    """Class codes, with probabilities by the softmax link.

    The constant are the logarithms of the classes' shares; a class that does not occur counts as half a sample.
    """

    link = "softmax"
    domain = "class codes 0, ..., n_outputs - 1"
    is_classification = True
    has_probabilities = True

    def log_predict(self, raw: FloatArray) -> FloatArray:
        """Return ``log p``, finite wherever `raw` is."""
        return log_softmax(raw)

    def in_domain(self, y: AnyArray) -> bool:
        return _are_class_codes(y)

    def multiclass(self) -> Loss:
        return self

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        n_classes = self._columns(y) if n_raw is None else n_raw
        counts = np.bincount(y, weights=sample_weight, minlength=n_classes).astype(np.float64)
        shares = self._expected(counts / counts.sum())
        log_shares: FloatArray = np.log(np.where(shares > 0.0, shares, _half_a_sample(y, sample_weight)))
        return log_shares

    def _expected(self, shares: FloatArray) -> FloatArray:
        """Return what the loss takes the classes' shares for."""
        return shares


def _half_a_sample(y: AnyArray, sample_weight: FloatArray | None) -> float:
    """Return the share of half a sample among all, whether weights count repetitions or are small."""
    return 0.5 / max(len(y), 0.0 if sample_weight is None else float(sample_weight.sum(dtype=np.float64)))


def _are_class_codes(y: AnyArray) -> bool:
    return bool(np.issubdtype(y.dtype, np.integer) and np.all(y >= 0))


@dataclass
class BinaryLogLoss(_YesOrNo):
    """Log loss with the logistic link, one independent yes-or-no question per output (binary, multilabel).

    ``sum_k log(1 + exp(raw_k)) - t_k raw_k`` for targets in [0, 1]; gradient ``p - t`` with ``p = logistic(raw)``. The
    target t is y, with label smoothing ``(1 - e) y + e / 2``. The constant is the log-odds of the mean
    target; without smoothing an answer that never occurs counts as half a sample.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The share e of every target that is spread over both answers, in [0, 1). It keeps a network from ever more
        confident outputs; :meth:`evaluation` leaves it out.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), arXiv 1512.00567, section 7.
    """

    label_smoothing: float = 0.0
    domain = "0 <= y <= 1"

    def __post_init__(self) -> None:
        self._check_range("label_smoothing", 0.0, 1.0, may_be_scheduled=True)

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if self.label_smoothing:
            y = y * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        # As log(1 + exp(-|raw|)) + (1[raw > 0] - y) raw: for a confident right answer the second term is exactly 0.
        terms = np.abs(raw)
        np.negative(terms, out=terms)
        np.exp(terms, out=terms)
        np.log1p(terms, out=terms)
        np.subtract(raw > 0.0, y, out=out)
        out *= raw
        terms += out
        LOGISTIC.forward(raw, out)
        out -= y
        loss: FloatArray = terms.sum(axis=1)
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y >= 0) & (y <= 1)))

    def multiclass(self) -> Loss:
        return MultinomialLogLoss(self.label_smoothing)

    def _expected(self, p: FloatArray) -> FloatArray:
        return p * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing

    def evaluation(self) -> Loss:
        return replace(self, label_smoothing=0.0) if self.label_smoothing else self


@dataclass
class MultinomialLogLoss(_OneOfSeveral):
    """Log loss (cross-entropy) with the softmax link, for one of several classes.

    ``logsumexp(raw) - raw[y]`` for class codes y in {0, ..., n_outputs - 1}, of shape (n_samples,); the gradient
    is ``p - onehot(y)`` with ``p = softmax(raw)``. With label smoothing the target ``t = (1 - e) onehot(y) + e / K``
    for K classes takes the place of ``onehot(y)``: ``logsumexp(raw) - t . raw``. The constant are the logarithms of
    the mean targets; without smoothing a class that does not occur counts as half a sample.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The share e of every target that is spread evenly over all classes, in [0, 1). It keeps a network from ever
        more confident outputs; :meth:`evaluation` leaves it out.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), arXiv 1512.00567, section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self._check_range("label_smoothing", 0.0, 1.0, may_be_scheduled=True)

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # One row for each class: reductions over classes then run along contiguous memory, twice as fast.
        n_samples, n_classes = raw.shape
        p = raw.T.copy()
        p -= p.max(axis=0)
        flat, own = p.reshape(-1), np.multiply(y, n_samples, dtype=np.intp)
        own += np.arange(n_samples)
        target_raw = flat.take(own)
        if self.label_smoothing:
            target_raw *= 1.0 - self.label_smoothing
            target_raw += self.label_smoothing / n_classes * p.sum(axis=0)
        np.exp(p, out=p)
        total = p.sum(axis=0)
        p /= total
        flat[own] -= 1.0 - self.label_smoothing
        if self.label_smoothing:
            p -= self.label_smoothing / n_classes
        out[...] = p.T
        loss: FloatArray = np.log(total)
        loss -= target_raw
        return loss

    def _expected(self, shares: FloatArray) -> FloatArray:
        return shares * (1.0 - self.label_smoothing) + self.label_smoothing / len(shares)

    def evaluation(self) -> Loss:
        return replace(self, label_smoothing=0.0) if self.label_smoothing else self


@dataclass
class Hinge(Loss):
    """Hinge loss of a support vector machine, for independent yes-or-no targets.

    ``sum_k max(0, 1 - t_k raw_k)`` with ``t = 2 y - 1`` for y in {0, 1}; the gradient is ``-t`` inside the margin,
    ``t raw < 1``, else 0. The predictions are the raw outputs: decisions by sign, no probabilities. The constant is 0.

    References
    ----------
    Cortes and Vapnik (1995), "Support-vector networks", Machine Learning 20.
    """

    link = "identity"
    domain = "y in {0, 1}"
    is_classification = True

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        sign = _signs(y)
        np.multiply(sign, raw, out=out)
        np.subtract(1.0, out, out=out)
        loss: FloatArray = np.maximum(out, 0.0).sum(axis=1)
        np.greater(out, 0.0, out=out)
        out *= sign
        np.negative(out, out=out)
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y == 0) | (y == 1)))

    def multiclass(self) -> Loss:
        return MulticlassHinge()


@dataclass
class MulticlassHinge(Loss):
    """Hinge loss for one of several classes: the own class is to lead its strongest rival by 1.

    ``max(0, 1 + max_{k != y} raw_k - raw_y)`` for class codes y; the gradient, inside the margin, is 1 for the
    strongest rival (the first of equal ones) and -1 for the own class. The predictions are the raw outputs, no
    probabilities. The constant is 0.

    References
    ----------
    Crammer and Singer (2001), "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines",
    Journal of Machine Learning Research 2.
    """

    link = "identity"
    domain = "class codes 0, ..., n_outputs - 1"
    is_classification = True

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        rows = np.arange(raw.shape[0])
        out[...] = raw
        out[rows, y] = -np.inf
        rival = out.argmax(axis=1)
        loss: FloatArray = out[rows, rival]
        loss -= raw[rows, y]
        loss += 1.0
        np.maximum(loss, 0.0, out=loss)
        inside = loss > 0.0
        out[...] = 0.0
        out[rows, rival] = inside
        out[rows, y] -= inside
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return _are_class_codes(y)

    def multiclass(self) -> Loss:
        return self


@dataclass
class FocalLoss(_YesOrNo):
    r"""Focal loss with the logistic link: a log loss in which what is already right counts little.

    :math:`\sum_k -(1 - p_k)^\gamma \log p_k`, where p is the probability given to the right answer of target k, in
    {0, 1}. With ``z = (2 y - 1) raw``, so that ``p = logistic(z)``, the gradient with respect to z is
    :math:`-(1 - p)^\gamma (1 - p - \gamma p \log p)`. For rare positives among many easy negatives. The constant is
    the log-odds of a yes, the start that the paper recommends and the best constant for gamma 0.

    Parameters
    ----------
    gamma : float, default=2.0
        How much less the easy samples count, non-negative; 0 gives :class:`BinaryLogLoss`.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár (2017), "Focal Loss for Dense Object Detection", arXiv 1708.02002.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        self._check_range("gamma", 0.0)

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        sign = _signs(y)
        loss: FloatArray = _focal(sign * raw, self.gamma, out).sum(axis=1)
        out *= sign
        return loss

    def multiclass(self) -> Loss:
        return MultinomialFocalLoss(self.gamma)


@dataclass
class MultinomialFocalLoss(_OneOfSeveral):
    r"""Focal loss with the softmax link, for one of several classes.

    :math:`-(1 - p_y)^\gamma \log p_y` with ``p = softmax(raw)`` and class codes y. It is :class:`FocalLoss` of
    ``z = raw_y - logsumexp_{k != y} raw_k``, the lead over all rivals, since ``p_y = logistic(z)``: the gradient with
    respect to the own raw output is that with respect to z, and the rivals share its negative by their softmax.

    Parameters
    ----------
    gamma : float, default=2.0
        How much less the easy samples count, non-negative; 0 gives :class:`MultinomialLogLoss`.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár (2017), "Focal Loss for Dense Object Detection", arXiv 1708.02002.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        self._check_range("gamma", 0.0)

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if raw.shape[1] == 1:  # no rivals: the loss is 0 everywhere
            out[...] = 0.0
            return np.zeros_like(raw[:, 0])
        rows = np.arange(raw.shape[0])
        out[...] = raw
        out[rows, y] = -np.inf
        strongest = out.max(axis=1)
        out -= strongest[:, np.newaxis]
        np.exp(out, out=out)
        total = out.sum(axis=1)
        lead = raw[rows, y]
        lead -= strongest
        lead -= np.log(total)
        slope = np.empty_like(lead)
        loss = _focal(lead, self.gamma, slope)
        out *= (-slope / total)[:, np.newaxis]
        out[rows, y] = slope
        return loss


def _signs(y: AnyArray) -> AnyArray:
    """Return 1 for yes and -1 for no."""
    sign = y * 2.0
    sign -= 1.0
    return sign


def _focal(z: FloatArray, gamma: float, out: FloatArray) -> FloatArray:
    """Return ``-(1 - p)^gamma log p`` for ``p = logistic(z)`` and write the derivative with respect to z into `out`."""
    p = LOGISTIC(z)
    np.negative(z, out=z)
    loss = SOFTPLUS(z)
    LOGISTIC.forward(z, out)  # 1 - p, without cancellation
    weight = out**gamma
    p *= loss
    p *= gamma
    out += p
    out *= weight
    np.negative(out, out=out)
    loss *= weight
    return loss
