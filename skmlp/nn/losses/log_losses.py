"""Log loss (cross-entropy), binary and multinomial, with optional label smoothing."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np

from skmlp._configurable import Range
from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import exp, flat, log_1_plus_exp, logistic
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.classification import ProbabilisticBinaryLoss, ProbabilisticLoss, ProbabilisticMulticlassLoss
from skmlp.nn.losses.links import LOGISTIC


@dataclass
class _LabelSmoothing(ProbabilisticLoss):
    """The setting of both log losses."""

    label_smoothing: Annotated[float, Range("[0.0, 1.0)", may_be_scheduled=True)] = 0.0

    def eval_loss(self) -> Self:
        return replace(self, label_smoothing=0.0) if self.label_smoothing else self


def _without_smoothing(text: str) -> Any:
    """Return a property that is the text of a formula without label smoothing, and empty with it."""
    return property(lambda self: "" if self.label_smoothing else text)


@dataclass
class BinaryLogLoss(_LabelSmoothing, ProbabilisticBinaryLoss):
    """Log loss with the logistic link, for independent yes-or-no targets, one per output (binary, multilabel).

    ``sum_k log(1 + exp(raw_k)) - t_k raw_k`` for targets in [0, 1]; gradient ``p - t`` with ``p = logistic(raw)``. The
    target t is y, with label smoothing ``(1 - e) y + e / 2``. The best constant raw output is the log-odds of the mean
    target; without smoothing, an answer that never occurs counts as half a sample.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The fraction e of every target that is spread over both answers, in [0, 1). It keeps the outputs from growing
        without bound; :meth:`eval_loss` disables it.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), arXiv 1512.00567, section 7.
    """

    domain = "0 <= y <= 1"
    formula = _without_smoothing("sum_k -y log(prediction) - (1 - y) log(1 - prediction)")
    derivative_formula = _without_smoothing("(prediction - y)")

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if self.label_smoothing:
            y = self._smoothed(y, 2)
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
        return terms.sum(axis=1)

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return 1.0 - self.label_smoothing, 0.5 * self.label_smoothing

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real = raw.dtype.type
        scale, shift, zero = real(settings[0]), real(settings[1]), real(0.0)
        # All rows as one: with few outputs a loop over a row is too short to compute many elements at once.
        x, t, terms = flat(raw), flat(y), flat(out)
        for i in range(x.size):
            # For a confident right answer the second term is exactly 0.
            magnitude = abs(x[i])
            positive = magnitude if x[i] > zero else zero
            terms[i] = log_1_plus_exp(-magnitude) + (positive - (scale * t[i] + shift) * x[i])
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            loss = zero
            for output in range(raw.shape[1]):
                loss += out[row, output]
            total += weights[row] * loss
        for i in range(x.size):
            terms[i] = logistic(x[i]) - (scale * t[i] + shift)
        for row in range(raw.shape[0]):
            for output in range(raw.shape[1]):
                out[row, output] *= weights[row]
        return total

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y >= 0) & (y <= 1)))

    def multiclass(self) -> Loss:
        return MultinomialLogLoss(self.label_smoothing)


@dataclass
class MultinomialLogLoss(_LabelSmoothing, ProbabilisticMulticlassLoss):
    """Log loss (cross-entropy) with the softmax link, for one of several classes.

    ``logsumexp(raw) - raw[y]`` for class codes y in {0, ..., n_outputs - 1}, of shape (n_samples,); the gradient
    is ``p - onehot(y)`` with ``p = softmax(raw)``. With label smoothing the target ``t = (1 - e) onehot(y) + e / K``
    for K classes takes the place of ``onehot(y)``: ``logsumexp(raw) - t . raw``. The best constant raw outputs are the
    logarithms of the mean targets; without smoothing, a class that does not occur counts as half a sample.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The fraction e of every target that is spread evenly over all classes, in [0, 1); see :class:`BinaryLogLoss`.
    """

    formula = _without_smoothing("-log(prediction of class y)")
    derivative_formula = _without_smoothing("(prediction - onehot(y))")

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # One row for each class: reductions over classes then run along contiguous memory, twice as fast.
        n_samples, n_classes = raw.shape
        p = raw.T.copy()
        p -= p.max(axis=0)
        entries, target = p.reshape(-1), np.multiply(y, n_samples, dtype=np.intp)
        target += np.arange(n_samples)
        target_raw = entries.take(target)
        if self.label_smoothing:
            target_raw *= 1.0 - self.label_smoothing
            target_raw += self.label_smoothing / n_classes * p.sum(axis=0)
        np.exp(p, out=p)
        total = p.sum(axis=0)
        p /= total
        entries[target] -= 1.0 - self.label_smoothing
        if self.label_smoothing:
            p -= self.label_smoothing / n_classes
        out[...] = p.T
        loss: FloatArray = np.log(total)
        loss -= target_raw
        return loss

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return (self.label_smoothing,)

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real, n_classes, smoothing = raw.dtype.type, raw.shape[1], settings[0]
        for row in range(raw.shape[0]):
            largest = _largest(raw, row)
            for k in range(n_classes):
                out[row, k] = raw[row, k] - largest
        # All rows as one, to compute many elements at once.
        exponentials = flat(out)
        for i in range(exponentials.size):
            exponentials[i] = exp(exponentials[i])
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            weight, code = weights[row], y[row]
            normalizer = out[row, 0]
            for k in range(1, n_classes):
                normalizer += out[row, k]
            largest = _largest(raw, row)
            target_raw = raw[row, code] - largest
            if smoothing != 0.0:
                mean = 0.0
                for k in range(n_classes):
                    mean += (raw[row, k] - largest) / n_classes
                target_raw = real((1.0 - smoothing) * target_raw + smoothing * mean)
            total += weight * (np.log(normalizer) - target_raw)
            factor, rest = weight / normalizer, real(weight * smoothing / n_classes)
            for k in range(n_classes):
                out[row, k] = out[row, k] * factor - rest
            out[row, code] -= real(weight * (1.0 - smoothing))
        return total


def _largest(matrix: Any, row: int) -> Any:
    largest = matrix[row, 0]
    for column in range(1, matrix.shape[1]):
        largest = matrix[row, column] if matrix[row, column] > largest else largest
    return largest


LOSSES |= {"binary_log_loss": BinaryLogLoss(), "log_loss": MultinomialLogLoss()}
