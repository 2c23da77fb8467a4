"""Hinge losses: decisions without probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.classification import BinaryLoss, MulticlassLoss


@dataclass
class Hinge(BinaryLoss):
    """Hinge loss of a support vector machine, for independent yes-or-no targets.

    ``sum_k max(0, 1 - t_k raw_k)`` with ``t = 2 y - 1`` for y in {0, 1}; the gradient is ``-t`` inside the margin,
    ``t raw < 1``, else 0. The predictions are the raw outputs, whose sign decides; there are no probabilities. The
    output biases start at 0.

    References
    ----------
    Cortes and Vapnik (1995), "Support-vector networks", Machine Learning 20.
    """

    formula = "sum_k max(0, 1 - t z), t = 2 y - 1"
    derivative_formula = "(-t where t z < 1, else 0)"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        sign = 2.0 * y - 1.0
        np.multiply(sign, raw, out=out)
        np.subtract(1.0, out, out=out)
        loss: FloatArray = np.maximum(out, 0.0).sum(axis=1)
        np.greater(out, 0.0, out=out)
        out *= sign
        np.negative(out, out=out)
        return loss

    @staticmethod
    def kernel(y: Any, raw: Any, settings: Any) -> tuple[Any, Any]:
        real = type(raw)
        zero, one = real(0.0), real(1.0)
        sign = y + y - one
        loss = one - sign * raw
        return zero if loss <= zero else loss, -sign if loss > zero else zero

    def multiclass(self) -> Loss:
        return MulticlassHinge()


@dataclass
class MulticlassHinge(MulticlassLoss):
    """Hinge loss for one of several classes: the true class should exceed its strongest rival by 1.

    ``max(0, 1 + max_{k != y} raw_k - raw_y)`` for class codes y; the gradient, inside the margin, is 1 for the
    strongest rival (the first of equal ones) and -1 for the true class. The predictions are the raw outputs, not
    probabilities. The output biases start at 0.

    References
    ----------
    Crammer and Singer (2001), "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines",
    Journal of Machine Learning Research 2.
    """

    formula = "max(0, 1 + strongest rival - z of class y)"
    derivative_formula = "(1 for the rival, -1 for class y, inside the margin)"

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

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real, n_classes = raw.dtype.type, raw.shape[1]
        zero, one = real(0.0), real(1.0)
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            code = y[row]
            rival = 1 if code == 0 else 0
            for k in range(n_classes):
                out[row, k] = zero
                # The first NaN is the largest, as for argmax.
                if rival < k != code and raw[row, rival] == raw[row, rival] and not raw[row, k] <= raw[row, rival]:
                    rival = k
            if n_classes > 1:
                loss = raw[row, rival] - raw[row, code] + one
                if not loss <= zero:
                    total += weights[row] * loss
                if loss > zero:
                    out[row, rival] = weights[row]
                    out[row, code] = -weights[row]
        return total


LOSSES |= {"hinge": Hinge(), "multiclass_hinge": MulticlassHinge()}
