r"""Losses for numbers: errors, quantiles, deviances and the normal likelihood.

In what follows `y` is one target, `raw` its raw output and :math:`\mu` the prediction; every loss is the sum over
the targets of a sample. The constants are those of the targets' weighted distribution.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import special

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.base import LOGISTIC, SOFTPLUS, Loss, diagonal, weighted_mean

__all__ = [
    "AbsoluteError",
    "GammaDeviance",
    "GaussianNLL",
    "Huber",
    "LogCosh",
    "PoissonDeviance",
    "Quantile",
    "SquaredError",
    "TweedieDeviance",
]


# The relative distance of neighbouring float32 numbers: targets that vary less are all the same.
_RESOLUTION = 2.0**-23


def _weighted_quantiles(y: AnyArray, levels: float | tuple[float, ...], sample_weight: FloatArray | None) -> FloatArray:
    """Return the lowest value of each column that a share of at least the level does not exceed, in float64.

    Shape (n_outputs,) for one level, (n_levels, n_outputs) for several. It minimises the pinball loss.
    """
    quantiles: FloatArray = np.quantile(
        np.asarray(y, dtype=np.float64), levels, axis=0, method="inverted_cdf", weights=sample_weight
    )
    return quantiles


@dataclass
class SquaredError(Loss):
    """Half squared error with the identity link: ``1/2 sum_k (raw_k - y_k)^2``; gradient ``raw - y``.

    The best constant is the mean.
    """

    link = "identity"
    shift_and_scale = True

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        loss: FloatArray = np.einsum("ij,ij->i", out, out)
        loss *= 0.5
        return loss

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        return weighted_mean(y, sample_weight)


class _MedianStart(Loss):
    """An error that grows linearly far out. The constant is the median."""

    link = "identity"
    shift_and_scale = True

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        return _weighted_quantiles(y, 0.5, sample_weight)


@dataclass
class AbsoluteError(_MedianStart):
    """Absolute error with the identity link: ``sum_k |raw_k - y_k|``; gradient ``sign(raw - y)``, 0 at the kink.

    It asks for the median. The best constant is the (lower) median.
    """

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        loss: FloatArray = np.abs(out).sum(axis=1)
        np.sign(out, out=out)
        return loss


@dataclass
class Huber(_MedianStart):
    """Squared error near 0, absolute error beyond `delta`: outliers pull with a bounded force.

    With ``r = raw - y`` it is ``sum_k r_k^2 / 2`` where ``|r| <= delta``, else ``delta (|r| - delta / 2)``; the
    gradient is ``r``, clipped to ``[-delta, delta]``. The constant is the median, a robust approximation: the best one
    lies between it and the mean and has no closed form.

    Parameters
    ----------
    delta : float, default=1.0
        The residual where the loss turns linear, positive, in the units of the targets.

    References
    ----------
    Huber (1964), "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        self._check_range("delta", 0.0, low_open=True)

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        pull = np.clip(out, -self.delta, self.delta)
        # In both parts: pull * r - pull^2 / 2.
        loss: FloatArray = np.einsum("ij,ij->i", pull, out)
        loss -= 0.5 * np.einsum("ij,ij->i", pull, pull)
        out[...] = pull
        return loss


@dataclass
class LogCosh(_MedianStart):
    """A smooth relative of Huber's loss: ``sum_k log cosh(raw_k - y_k)``; gradient ``tanh(raw - y)``.

    About ``r^2 / 2`` for small residuals and ``|r| - log 2`` for large ones. The constant is the median, a robust
    approximation: the best one lies between it and the mean and has no closed form.
    """

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.subtract(raw, y, out=out)
        # log cosh(r) = log(1 + 2 sinh(r / 2)^2) keeps all digits of small residuals. Beyond 20 the loss is linear
        # to the last bit of a float64, so that sinh never sees what overflows.
        beyond = np.abs(out)
        terms = np.minimum(beyond, 20.0)
        beyond -= terms
        terms *= 0.5
        np.sinh(terms, out=terms)
        np.square(terms, out=terms)
        terms *= 2.0
        np.log1p(terms, out=terms)
        terms += beyond
        np.tanh(out, out=out)
        loss: FloatArray = terms.sum(axis=1)
        return loss


@dataclass
class Quantile(Loss):
    r"""Pinball loss: predicts quantiles, one or several for each target, which never cross.

    For the level :math:`\tau` and the predicted quantile q it is :math:`\max(\tau (y - q), (1 - \tau)(q - y))`, summed
    over levels and targets; the gradient with respect to q is :math:`1 - \tau` where q > y, else :math:`-\tau`. With
    several levels the raw outputs of a target are the lowest quantile and increments,

    .. math:: q_k = raw_0 + \sum_{j=1}^{k} \log(1 + e^{raw_j}).

    The columns of `raw` and of the predictions are all levels of the first target, then of the second, and so on. The
    best constants are the targets' quantiles. Of several, none is started closer to the one below than a thousandth
    of the target's standard deviation (of 1, if all targets are the same): where they coincide, only an infinite raw
    output would say so.

    Parameters
    ----------
    levels : float or tuple of float, default=0.5
        The shares of targets below the quantiles: in (0, 1), strictly increasing.

    References
    ----------
    Koenker and Bassett (1978), "Regression Quantiles", Econometrica 46.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.losses import Quantile
    >>> loss = Quantile((0.1, 0.5, 0.9))
    >>> y = np.arange(1.0, 11.0).reshape(-1, 1)
    >>> loss.predict(loss.constant(y).reshape(1, -1)).round(6)
    array([[1., 5., 9.]])
    """

    levels: float | tuple[float, ...] = 0.5
    link = "identity"
    shift_and_scale = True

    def __post_init__(self) -> None:
        levels = self.levels if isinstance(self.levels, tuple | list) else (self.levels,)
        are_numbers = all(isinstance(level, Real) and not isinstance(level, bool) for level in levels)
        if not (are_numbers and levels and all(a < b for a, b in zip((0.0, *levels), (*levels, 1.0), strict=True))):
            raise ValueError(
                "The 'levels' parameter of Quantile must be a float in the range (0.0, 1.0) or a tuple of strictly "
                f"increasing ones. Got {self.levels!r} instead."
            )

    @property
    def n_levels(self) -> int:
        """Quantiles for each target."""
        return len(self._levels)

    @property
    def _levels(self) -> tuple[float, ...]:
        """The levels as Python floats."""
        return tuple(map(float, self.levels if isinstance(self.levels, tuple | list) else (self.levels,)))

    def n_raw(self, n_outputs: int) -> int:
        return n_outputs * self.n_levels

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        residual, slope = self._by_level(self.predict(raw)), self._by_level(out)
        residual -= y[:, :, np.newaxis]
        np.subtract(residual > 0.0, np.array(self._levels, raw.dtype), out=slope)
        loss: FloatArray = np.einsum("ijk,ijk->i", residual, slope)
        # raw_j moves the quantiles k >= j; all but the first through the softplus, whose slope is the logistic.
        for level in range(self.n_levels - 1, 0, -1):
            slope[..., level - 1] += slope[..., level]
        slope[..., 1:] *= LOGISTIC(self._by_level(raw)[..., 1:])
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        """Return the quantiles, of shape (n_samples, n_outputs * n_levels): those of a target side by side."""
        quantiles = raw.copy()
        by_level = self._by_level(quantiles)
        SOFTPLUS.forward(self._by_level(raw)[..., 1:], by_level[..., 1:])
        np.cumsum(by_level, axis=2, out=by_level)
        return quantiles

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the quantiles: of target by target, ``q_k`` moves with every ``raw_j``, j <= k."""
        slopes = np.ones_like(raw)
        self._by_level(slopes)[..., 1:] = LOGISTIC(self._by_level(raw)[..., 1:])
        n_targets = raw.shape[1] // self.n_levels
        at_or_below = np.kron(np.eye(n_targets), np.tri(self.n_levels)).astype(raw.dtype)
        jacobian: FloatArray = at_or_below * slopes[:, np.newaxis, :]
        return jacobian

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        quantiles = _weighted_quantiles(y, self._levels, sample_weight).T
        increments = np.diff(quantiles, axis=1)
        mean = weighted_mean(y, sample_weight)
        spread = np.sqrt(weighted_mean((y - mean) ** 2, sample_weight))
        smallest = 1e-3 * np.where(spread > _RESOLUTION * np.abs(mean), spread, 1.0)
        np.maximum(increments, smallest[:, np.newaxis], out=increments)
        # The inverse of the softplus, log(exp(d) - 1), without overflow.
        increments += np.log(-np.expm1(-increments))
        return np.hstack([quantiles[:, :1], increments]).ravel()

    def _by_level(self, columns: FloatArray) -> FloatArray:
        """Return a view of shape (n_samples, n_outputs, n_levels)."""
        return columns.reshape(len(columns), columns.shape[1] // self.n_levels, self.n_levels)


class _LogLink(Loss):
    """A deviance with the log link, which asks for the mean.

    The best constant is the logarithm of the mean. A mean that is not positive has none: it becomes half an event in
    all of the samples, ``0.5 / n_samples``.
    """

    link = "exp"

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        mean = weighted_mean(y, sample_weight)
        log_mean: FloatArray = np.log(np.where(mean > 0.0, mean, 0.5 / len(y)))
        return log_mean


@dataclass
class PoissonDeviance(_LogLink):
    """Half Poisson deviance with the log link: ``sum_k y_k log(y_k / mu_k) - y_k + mu_k``, ``mu = exp(raw)``.

    The gradient is ``mu - y``. Domain: ``y >= 0``. Written as ``y log y - y raw - y + exp(raw)``, so that it is
    exact where mu rounds to 0. The best constant is the logarithm of the mean, of ``0.5 / n_samples`` when nothing
    was counted.
    """

    domain = "y >= 0"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        np.exp(raw, out=out)
        terms = special.xlogy(y, y)
        terms -= y * raw
        out -= y
        terms += out
        loss: FloatArray = terms.sum(axis=1)
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all(y >= 0))


@dataclass
class GammaDeviance(_LogLink):
    """Half gamma deviance with the log link: ``sum_k log(mu_k / y_k) + y_k / mu_k - 1``, ``mu = exp(raw)``.

    For positive targets whose spread grows with their mean, such as amounts of money. It depends on the ratio
    ``y / mu`` alone; the gradient is ``1 - y / mu``. Domain: ``y > 0``. The best constant is the logarithm of the mean.
    """

    domain = "y > 0"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        # With t = log(y / mu): exp(t) - 1 - t, which is exact near its minimum, too.
        terms = np.log(y)
        terms -= raw
        np.expm1(terms, out=out)
        np.subtract(out, terms, out=terms)
        np.negative(out, out=out)
        loss: FloatArray = terms.sum(axis=1)
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return bool(np.all(y > 0))


@dataclass
class TweedieDeviance(_LogLink):
    r"""Half Tweedie deviance with the log link, for a variance proportional to the mean to the power p.

    .. math::
        \frac{\max(y, 0)^{2-p}}{(1-p)(2-p)} - \frac{y \mu^{1-p}}{1-p} + \frac{\mu^{2-p}}{2-p}, \qquad \mu = e^{raw},

    summed over the targets; the gradient is :math:`\mu^{2-p} - y \mu^{1-p}`. Powers 1 and 2 are the limits
    :class:`PoissonDeviance` and :class:`GammaDeviance`, power 0 is the half squared error of :math:`\mu`. Powers
    between 1 and 2 are for sums of random numbers of positive amounts, with exact zeros, such as claims a year. With
    powers closer to 1 or 2 than 0.001 the value, not the gradient, loses digits. The best constant is the logarithm of
    the mean, of ``0.5 / n_samples`` when the mean is not positive.

    Parameters
    ----------
    power : float, default=1.5
        The power p, any number. The domain follows from it: all real numbers up to 0, ``y >= 0`` below 2, ``y > 0``
        from 2 on.

    References
    ----------
    Jørgensen (1987), "Exponential Dispersion Models", Journal of the Royal Statistical Society B 49.
    """

    power: float = 1.5

    def __post_init__(self) -> None:
        self._check_range("power", -math.inf, low_open=True)

    @property
    def domain(self) -> str:  # type: ignore[override]
        """The targets that the power allows, in words."""
        return "all real numbers" if self.power <= 0.0 else "y >= 0" if self.power < 2.0 else "y > 0"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        if self.power == 1.0:
            return _POISSON.loss_and_gradient(y, raw, out)
        if self.power == 2.0:
            return _GAMMA.loss_and_gradient(y, raw, out)
        a, b = 2.0 - self.power, 1.0 - self.power
        pull = np.multiply(raw, b)
        np.exp(pull, out=pull, where=y != 0.0)  # 0 times a power that overflows is 0
        pull *= y
        np.multiply(raw, a, out=out)
        np.exp(out, out=out)
        # For power 0 the constant makes it a squared error, of negative targets, too.
        lowest = (y if self.power == 0.0 else np.maximum(y, 0.0)) ** a
        lowest /= a * b
        lowest -= pull / b
        lowest += out / a
        out -= pull
        loss: FloatArray = lowest.sum(axis=1)
        return loss

    def in_domain(self, y: AnyArray) -> bool:
        return bool(self.power <= 0.0 or np.all(y >= 0.0 if self.power < 2.0 else y > 0.0))


_POISSON = PoissonDeviance()
_GAMMA = GammaDeviance()


@dataclass
class GaussianNLL(Loss):
    r"""Negative log-likelihood of a normal distribution whose mean and variance are both predicted.

    .. math:: \tfrac12 \bigl(\log 2\pi + s + (y - \mu)^2 e^{-s}\bigr), \qquad s = \log \sigma^2,

    summed over the targets. The columns of `raw` are all means, then all log variances s. The gradient is
    :math:`(\mu - y) e^{-s}` and :math:`\tfrac12 (1 - (y - \mu)^2 e^{-s})`. The best constants are the mean and the
    logarithm of the variance, the latter not below what float32 resolves of the targets (0 for targets that are all 0).

    References
    ----------
    Nix and Weigend (1994), "Estimating the mean and variance of the target probability distribution", ICNN.
    """

    link = "identity"
    shift_and_scale = True

    def n_raw(self, n_outputs: int) -> int:
        return 2 * n_outputs

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        n_outputs = raw.shape[1] // 2
        mean, log_variance = raw[:, :n_outputs], raw[:, n_outputs:]
        d_mean, d_log_variance = out[:, :n_outputs], out[:, n_outputs:]
        np.subtract(mean, y, out=d_mean)
        inverse_std = np.multiply(log_variance, -0.5)
        np.exp(inverse_std, out=inverse_std, where=d_mean != 0.0)  # an exact hit stays 0, however small the variance
        d_mean *= inverse_std
        np.multiply(d_mean, d_mean, out=d_log_variance)
        loss: FloatArray = d_log_variance.sum(axis=1)
        loss += log_variance.sum(axis=1)
        loss += n_outputs * math.log(2.0 * math.pi)
        loss *= 0.5
        d_mean *= inverse_std
        d_log_variance *= -0.5
        d_log_variance += 0.5
        return loss

    def predict(self, raw: FloatArray) -> FloatArray:
        """Return the means, of shape (n_samples, n_outputs)."""
        return raw[:, : raw.shape[1] // 2]

    def predict_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the means: they do not move with the log variances."""
        return diagonal(np.ones_like(raw))[:, : raw.shape[1] // 2]

    def predict_std(self, raw: FloatArray) -> FloatArray:
        """Return the standard deviations, of shape (n_samples, n_outputs)."""
        std = np.multiply(raw[:, raw.shape[1] // 2 :], 0.5)
        np.exp(std, out=std)
        return std

    def constant(self, y: AnyArray, sample_weight: FloatArray | None = None, n_raw: int | None = None) -> FloatArray:
        mean = weighted_mean(y, sample_weight)
        variance = weighted_mean((y - mean) ** 2, sample_weight)
        np.maximum(variance, (_RESOLUTION * mean) ** 2, out=variance)
        return np.concatenate([mean, np.log(np.where(variance > 0.0, variance, 1.0))])
