"""What losses for classification have in common: independent yes-or-no targets, or the codes of several classes."""

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.base import Loss
from skmlp.nn.losses.intercepts import half_a_sample, weighted_mean


class BinaryLoss(Loss):
    """Independent yes-or-no targets in {0, 1}, one for each output (binary, multilabel)."""

    domain = "y in {0, 1}"
    is_classification = True

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all((y == 0) | (y == 1)))


class MulticlassLoss(Loss):
    """One of several classes, given by their codes."""

    domain = "class codes 0, ..., n_outputs - 1"
    is_classification = True
    takes_codes = True

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.issubdtype(y.dtype, np.integer) and np.all(y >= 0))

    def multiclass(self) -> Loss:
        return self


class ProbabilisticLoss(Loss):
    """Predictions that are probabilities, of targets with or without label smoothing."""

    has_probabilities = True
    label_smoothing: float = 0.0

    def _smoothed(self, p: AnyArray, n_classes: int) -> AnyArray:
        return p * (1.0 - self.label_smoothing) + self.label_smoothing / n_classes


class ProbabilisticBinaryLoss(BinaryLoss, ProbabilisticLoss):
    """Probabilities by the logistic link."""

    link = "logistic"

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        p, half = self._smoothed(weighted_mean(y, sample_weight), 2), half_a_sample(y, sample_weight)
        p = np.where(p <= 0.0, half, np.where(p >= 1.0, 1.0 - half, p))
        return np.log(p / (1.0 - p))


class ProbabilisticMulticlassLoss(MulticlassLoss, ProbabilisticLoss):
    """Probabilities by the softmax link."""

    link = "softmax"

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        n_classes = self._columns(y) if n_raw is None else n_raw
        counts = np.bincount(y, weights=sample_weight, minlength=n_classes).astype(np.float64)
        p = self._smoothed(counts / counts.sum(), n_classes)
        return np.log(np.where(p > 0.0, p, half_a_sample(y, sample_weight)))
