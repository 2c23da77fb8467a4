"""Losses made of two functions, and a check of any loss against central differences."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.losses.base import Loss
from skmlp.nn.losses.links import LINKS, LOG_LINKS


@dataclass
class FunctionLoss(Loss):
    """A loss made of two functions.

    Parameters
    ----------
    function : callable
        ``function(y, raw)`` returns each sample's loss, of shape (n_samples,).
    derivative : callable
        ``derivative(y, raw)`` returns ``d loss / d raw``, of the shape of `raw`, (n_samples, n_outputs). Both leave
        their arguments unchanged. To be pickled, both must be defined at the top level of a module.
    link : {"identity", "exp", "logistic", "softmax"}, default="identity"
        Maps raw outputs to predictions. With ``"logistic"`` and ``"softmax"`` the predictions are probabilities
        and the loss is for classification, with targets in {0, 1} or class codes.

    Raises
    ------
    ValueError
        For an unknown link, and later if a function returns an array of the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.losses import FunctionLoss, check_loss
    >>> def fourth_power(y, raw): return ((raw - y) ** 4).sum(axis=1)
    >>> def its_derivative(y, raw): return 4.0 * (raw - y) ** 3
    >>> loss = FunctionLoss(fourth_power, its_derivative)
    >>> check_loss(loss, np.array([[0.5], [-1.0]])) < 1e-6
    True
    """

    function: Callable[[AnyArray, FloatArray], AnyArray]
    derivative: Callable[[AnyArray, FloatArray], AnyArray]
    link: str = "identity"  # type: ignore[misc]

    def __post_init__(self) -> None:
        self._check_choice("link", LINKS)

    @property
    def has_probabilities(self) -> bool:  # type: ignore[override]
        """True with the links ``"logistic"`` and ``"softmax"``."""
        return self.link in LOG_LINKS

    is_classification = has_probabilities

    @property
    def is_equivariant(self) -> bool:  # type: ignore[override]
        """True with the identity link, with which predictions have the unit of the targets."""
        return self.link == "identity"

    def loss_and_gradient(self, y: AnyArray, raw: FloatArray, out: FloatArray) -> FloatArray:
        out[...] = _of_shape(raw.shape, "derivative", self.derivative(y, raw))
        return self.loss(y, raw)

    def loss(self, y: AnyArray, raw: FloatArray) -> FloatArray:
        loss = _of_shape(raw.shape[:1], "function", self.function(y, raw))
        return loss.astype(raw.dtype, copy=False)

    def multiclass(self) -> Loss:
        """Return this loss: only its functions know whether the targets are class codes."""
        return self


def _of_shape(shape: tuple[int, ...], name: str, values: AnyArray) -> AnyArray:
    """Return `values` as an array of a shape, or raise an error: a wrong shape might broadcast."""
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(
            f"The {name!r} of a FunctionLoss must return an array of shape {shape}; it returned shape {values.shape}."
        )
    return values


_ROWS = 20  # at most so many samples are checked
_STEP = 1e-6


def check_loss(
    loss: Loss,
    y: AnyArray,
    raw: FloatArray | None = None,
    *,
    n_raw: int | None = None,
    tolerance: float = 1e-6,
) -> float:
    """Compare a loss's gradient with central differences of its values.

    Everything is computed in float64, on 20 rows spread over `y` (or all, if fewer). At a kink, any value between the
    two one-sided slopes passes.

    Parameters
    ----------
    loss : Loss
        For example a :class:`FunctionLoss`.
    y : ndarray of shape (n_samples, n_outputs) or (n_samples,)
        Targets as the loss takes them: a matrix, or class codes.
    raw : ndarray of shape (n_samples, n_raw), optional
        Where to check; by default at random numbers between -2 and 2, the same in every call.
    n_raw : int, optional
        Columns of those random numbers. Required for class codes if the highest one may be missing in `y`.
    tolerance : float, default=1e-6
        The largest difference allowed, relative to ``1 + |gradient|``, beyond the rounding of the values.

    Returns
    -------
    error : float
        The largest relative difference found.

    Raises
    ------
    ValueError
        When the gradient is wrong (the message gives the largest deviation with its location and both values), when a
        shape is wrong, a value is not finite or `raw` is modified, and when `y` is not in the domain of the loss.
    """
    y = np.asarray(y)
    if not loss.in_domain(y):
        raise ValueError(f"The targets are not in the domain of {loss!r}, which is: {loss.domain}.")
    if n_raw is None:
        n_raw = loss.n_raw(y.shape[1] if y.ndim > 1 else max(2, int(y.max()) + 1))
    n_samples = len(y)
    rows = np.unique(np.linspace(0, n_samples - 1, min(n_samples, _ROWS)).astype(int))
    y = y[rows] if np.issubdtype(y.dtype, np.integer) and y.ndim == 1 else y[rows].astype(np.float64)
    if raw is None:
        raw = np.random.default_rng(0).uniform(-2.0, 2.0, (len(rows), n_raw))
    elif len(raw) == n_samples:
        raw = np.array(raw, dtype=np.float64)[rows]
    else:
        raise ValueError(f"raw must have a row for each of the {n_samples} targets; it has shape {np.shape(raw)}.")
    value, analytic = _evaluate(loss, y, raw, rows)
    steps = _STEP * np.eye(raw.shape[1])
    above = np.column_stack([_evaluate(loss, y, raw + step, rows)[0] for step in steps])
    below = np.column_stack([_evaluate(loss, y, raw - step, rows)[0] for step in steps])
    numeric = (above - below) / (2.0 * _STEP)
    # The slopes on both sides differ at a kink; those of a smooth function nearly agree.
    kink = np.abs(above - 2.0 * value[:, np.newaxis] + below) / (2.0 * _STEP)
    rounding = np.finfo(np.float64).eps * np.maximum(np.abs(above), np.abs(below)) / _STEP
    error = np.maximum(np.abs(analytic - numeric) - kink - rounding, 0.0) / (1.0 + np.abs(numeric))
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    if error[worst] > tolerance:
        raise ValueError(
            f"The gradient of {loss!r} is wrong. The largest deviation is in row {rows[worst[0]]}, column {worst[1]}: "
            f"at raw = {raw[worst]:.6g} it gives {analytic[worst]:.9g}, central differences of the loss give "
            f"{numeric[worst]:.9g}. "
            "The gradient must be the derivative of each sample's loss with respect to its raw outputs."
        )
    return float(error[worst])


def _evaluate(loss: Loss, y: AnyArray, raw: FloatArray, rows: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Return value and gradient; raise ValueError for a wrong shape, a non-finite entry or a modified `raw`."""
    original, gradient = raw.copy(), np.full_like(raw, np.nan)
    value = np.asarray(loss.loss_and_gradient(y, raw, gradient))
    if not np.array_equal(raw, original):
        raise ValueError(f"{loss!r} modifies raw. Change a copy instead.")
    if value.shape != raw.shape[:1]:
        raise ValueError(
            f"{loss!r} must return one number for each sample, an array of shape {raw.shape[:1]}; "
            f"it returned shape {value.shape}."
        )
    for name, values in (("value", value), ("gradient", gradient)):
        if not np.isfinite(values).all():
            row, *column = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"The {name} of {loss!r} must be finite; in row {rows[row]} it is {values[row, *column]} "
                f"(NaN also where nothing was written) at raw = {raw[row]}."
            )
    return value, gradient
