"""The pinball loss, for one quantile or several."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.maths import log_1_plus_exp, logistic
from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.intercepts import RESOLUTION, weighted_mean, weighted_quantiles
from skmlp.nn.losses.links import LOGISTIC, SOFTPLUS


@dataclass
class Quantile(Loss):
    r"""Pinball loss: predicts quantiles, one or several for each target, which never cross.

    For the level :math:`\tau` and the predicted quantile q it is :math:`\max(\tau (y - q), (1 - \tau)(q - y))`, summed
    over levels and targets; the gradient with respect to q is :math:`1 - \tau` where q > y, else :math:`-\tau`. With
    several levels the raw outputs of a target are the lowest quantile and increments,

    .. math:: q_k = raw_0 + \sum_{j=1}^{k} \log(1 + e^{raw_j}).

    The columns of `raw` and of the predictions are all levels of the first target, then of the second, and so on.

    The best constant predictions are the targets' quantiles. Where some of them coincide, no finite raw output gives
    an increment of 0; each starts at least a thousandth of the target's standard deviation (of 1, if all targets are
    equal) above the one below.

    Parameters
    ----------
    levels : float or tuple of float, default=0.5
        The fractions of targets below the quantiles: in (0, 1), strictly increasing.

    References
    ----------
    Koenker and Bassett (1978), "Regression Quantiles", Econometrica 46.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.losses import Quantile
    >>> loss = Quantile((0.1, 0.5, 0.9))
    >>> y = np.arange(1.0, 11.0).reshape(-1, 1)
    >>> loss.predict(loss.fit_intercept_only(y).reshape(1, -1)).round(6)
    array([[1., 5., 9.]])
    """

    levels: float | tuple[float, ...] = 0.5
    is_equivariant = True

    def __post_init__(self) -> None:
        levels = self.levels if isinstance(self.levels, tuple | list) else (self.levels,)
        are_numbers = all(isinstance(level, Real) and not isinstance(level, bool) for level in levels)
        if not (are_numbers and levels and all(a < b for a, b in zip((0.0, *levels), (*levels, 1.0), strict=True))):
            raise self._invalid("levels", "a float in the range (0.0, 1.0) or a tuple of strictly increasing ones")

    @property
    def n_levels(self) -> int:
        """Quantiles for each target."""
        return len(self.kernel_settings)

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        """The levels as Python floats."""
        return tuple(map(float, self.levels if isinstance(self.levels, tuple | list) else (self.levels,)))

    def n_raw(self, n_outputs: int) -> int:
        return n_outputs * self.n_levels

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        residual, derivative = self._by_level(self.predict(raw)), self._by_level(out)
        residual -= y[:, :, np.newaxis]
        np.subtract(residual > 0.0, np.array(self.kernel_settings, raw.dtype), out=derivative)
        loss: FloatArray = np.einsum("ijk,ijk->i", residual, derivative)
        # raw_j moves all quantiles k >= j, for j > 0 through the softplus, whose derivative is the logistic function.
        for level in range(self.n_levels - 1, 0, -1):
            derivative[..., level - 1] += derivative[..., level]
        derivative[..., 1:] *= LOGISTIC(self._by_level(raw)[..., 1:])
        return loss

    @staticmethod
    def rows_kernel(y: Any, raw: Any, weights: Any, out: Any, settings: Any) -> float:
        real, n_levels = raw.dtype.type, len(settings)
        zero, one = real(0.0), real(1.0)
        total = np.float64(0.0)
        for row in range(raw.shape[0]):
            weight, loss = weights[row], zero
            for target in range(y.shape[1]):
                first = target * n_levels
                quantile = raw[row, first]
                for level in range(n_levels):
                    if level > 0:
                        quantile += log_1_plus_exp(raw[row, first + level])
                    residual = quantile - y[row, target]
                    derivative = (one if residual > zero else zero) - real(settings[level])
                    loss += residual * derivative
                    out[row, first + level] = derivative
                for column in range(first + n_levels - 1, first, -1):
                    out[row, column - 1] += out[row, column]
                    out[row, column] *= weight * logistic(raw[row, column])
                out[row, first] *= weight
            total += weight * loss
        return total

    def predict(self, raw: FloatArray) -> FloatArray:
        """Return the quantiles, of shape (n_samples, n_outputs * n_levels): those of a target side by side."""
        quantiles = raw.copy()
        by_level = self._by_level(quantiles)
        SOFTPLUS.forward(self._by_level(raw)[..., 1:], by_level[..., 1:])
        np.cumsum(by_level, axis=2, out=by_level)
        return quantiles

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the quantiles: ``q_k`` depends on every ``raw_j`` of its target with j <= k."""
        derivatives = np.ones_like(raw)
        self._by_level(derivatives)[..., 1:] = LOGISTIC(self._by_level(raw)[..., 1:])
        n_targets = raw.shape[1] // self.n_levels
        at_or_below = np.kron(np.eye(n_targets), np.tri(self.n_levels)).astype(raw.dtype)
        return at_or_below * derivatives[:, np.newaxis, :]

    def fit_intercept_only(
        self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None
    ) -> FloatArray:
        quantiles = weighted_quantiles(y, self.kernel_settings, sample_weight).T
        increments = np.diff(quantiles, axis=1)
        mean = weighted_mean(y, sample_weight)
        spread = np.sqrt(weighted_mean((y - mean) ** 2, sample_weight))
        smallest = 1e-3 * np.where(spread > RESOLUTION * np.abs(mean), spread, 1.0)
        np.maximum(increments, smallest[:, np.newaxis], out=increments)
        # The inverse of the softplus, log(exp(d) - 1), without overflow.
        increments += np.log(-np.expm1(-increments))
        return np.hstack([quantiles[:, :1], increments]).ravel()

    def _by_level(self, columns: FloatArray) -> FloatArray:
        """Return a view of shape (n_samples, n_outputs, n_levels)."""
        return columns.reshape(len(columns), columns.shape[1] // self.n_levels, self.n_levels)


LOSSES |= {"quantile": Quantile()}
