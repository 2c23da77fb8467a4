"""The learning-rate range test: one short training in which the rate grows from far too low to far too high.

At first the loss stays where it is, then it falls, then it explodes. Good rates lie where it falls.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.estimators.builders import batch_rows, compute_dtype, new_model, start_from_data
from skmlp.estimators.combinations import check_fit
from skmlp.estimators.parameter_checks import Number, check_argument
from skmlp.estimators.tabular import AnyMLP, BaseTabularMLP
from skmlp.inspection._estimators import ACCEPTED_WITH_TABULAR, nested_estimators, unwrap_unfitted
from skmlp.inspection.displays._base import NamedDisplay
from skmlp.inspection.displays._drawing import BLUE, PALETTE, VERMILLION, label_log_scale, style_axes
from skmlp.inspection.displays._matplotlib import Axes, Line2D
from skmlp.nn.objective import Objective, Value
from skmlp.optim.schedules import FunctionSchedule
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import train
from skmlp.training.plan import Plan
from skmlp.training.state import Plateau

# Decay of the exponential average of the losses, which covers about ten steps.
SMOOTHING = 0.9
# The test ends when the smoothed loss exceeds its lowest value by this factor of it. It needs this many steps before.
EXPLODED, FEWEST_STEPS = 3.0, 10
# The loss at the start is the median of this many losses, which outliers among the targets do not affect.
N_START = 20
# Decrease of the loss, relative to the loss at the start, that may be due to rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class LearningRateSearch:
    """Result of :func:`lr_find`.

    Attributes
    ----------
    learning_rates : ndarray of shape (n_steps_done,)
        The learning rate of each step until the loss exploded, growing by a constant factor.
    losses : ndarray of shape (n_steps_done,)
        Loss of each mini-batch, including penalties, before the step with that learning rate.
    smoothed_losses : ndarray of shape (n_steps_done,)
        Exponential average of the losses, ``s = 0.9 * s + 0.1 * loss`` starting from 0, divided by
        ``1 - 0.9 ** (step + 1)``.
    """

    learning_rates: FloatArray
    losses: FloatArray
    smoothed_losses: FloatArray

    @property
    def suggestion(self) -> float:
        """The learning rate in the middle of the descent, for `learning_rate_init`.

        Between this rate and that of the minimum, the smoothed loss is below the mean of the loss at the start (the
        median of the first 20 losses) and the minimum. On a smooth, S-shaped curve that is the rate of the steepest
        descent. On a real curve, the steepest step is often just noise at a rate that is far too low.
        """
        return float(self.learning_rates[self._middle])

    @property
    def at_tenth_of_minimum(self) -> float:
        """A tenth of the rate with the lowest smoothed loss: a higher suggestion, from Howard and Gugger's fastai."""
        return float(self.learning_rates[self.smoothed_losses.argmin()]) / 10.0

    @property
    def _middle(self) -> int:
        lowest = int(self.smoothed_losses.argmin())
        middle = 0.5 * (_start(self.losses) + self.smoothed_losses[lowest])
        above = np.flatnonzero(self.smoothed_losses[:lowest] > middle)
        return int(above[-1]) + 1 if above.size else 0

    def plot(self, ax: Axes | None = None, *, name: str | None = None) -> "LearningRateDisplay":
        """Draw the losses over the learning rates: :meth:`LearningRateDisplay.plot`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.
        name : str, default=None
            Name of the test in the legend.

        Returns
        -------
        display : LearningRateDisplay
        """
        return LearningRateDisplay(self, name=name).plot(ax)

    def __repr__(self) -> str:
        rates = self.learning_rates
        return (
            f"LearningRateSearch(suggestion={self.suggestion:.2g}, at_tenth_of_minimum="
            f"{self.at_tenth_of_minimum:.2g}; {len(rates)} steps, {rates[0]:.2g} to {rates[-1]:.2g})"
        )


def lr_find(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    n_steps: int = 200,
) -> LearningRateSearch:
    """Find a learning rate by a range test: train while the learning rate grows, and record the loss.

    A copy of the estimator is trained from scratch on all samples, with its own mini-batches, solver, loss and
    regularization. The learning rate of step i, counted from 0, is ``low * (high / low) ** (i / (n_steps - 1))``,
    whatever the estimator's `learning_rate` and `learning_rate_init` are. The test ends early when the smoothed loss
    exceeds its lowest value by three times that value (or by three times its decrease so far, if that is more), or when
    a number becomes infinite or NaN.

    Parameters
    ----------
    estimator : estimator
        An estimator of skmlp with a stochastic solver, also as the last step of a Pipeline, in a search (its best
        estimator, or if it is not fitted the one it was created with) or in a TransformedTargetRegressor. It is not
        modified. Transformers of X and y are copied and fitted to all samples, without weights. An integer
        `random_state` makes the result reproducible. Of a tabular estimator the first member is trained; the suggestion
        is for ``members={"learning_rate_init": [...]}``.
    X, y
        As for the estimator's ``fit``.
    sample_weight : array-like of shape (n_samples,), default=None
        As for ``fit``; samples with a weight of 0 are excluded.
    low, high : float, default=1e-6, 10.0
        The first and the last learning rate, ``0 < low < high``.
    n_steps : int, default=200
        Steps from `low` to `high`, at least 40. With fewer steps the loss has less time to decrease, and does so at
        higher learning rates.

    Returns
    -------
    search : LearningRateSearch
        Use its `suggestion` for `learning_rate_init`, with a constant rate or as the highest rate of a schedule.

    Raises
    ------
    TypeError
        If the estimator is not one of skmlp's.
    ValueError
        For ``solver="lbfgs"``, which has no learning rate; if a parameter or the data are invalid; if the loss does not
        decrease or explodes at once.

    References
    ----------
    Smith (2017), "Cyclical learning rates for training neural networks", WACV, arXiv 1506.01186, section 3.3, with a
    learning rate that grows linearly; Howard and Gugger's fastai, ``Learner.lr_find``, for the exponential growth.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier, lr_find
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    >>> search = lr_find(model, X, y)
    >>> 1e-3 < search.suggestion < 1e-1
    True
    >>> model = model.set_params(mlpclassifier__learning_rate_init=search.suggestion)
    """
    function = "lr_find"
    check_argument(function, "low", low, Number(Real, 0.0, np.inf, closed="neither"))
    check_argument(function, "high", high, Number(Real, low, np.inf, closed="neither"))
    check_argument(function, "n_steps", n_steps, Number(Integral, 2 * N_START, None, closed="left"))
    _check_estimator(estimator)
    model, X, y = unwrap_unfitted(estimator, X, y)
    if isinstance(model, BaseTabularMLP):
        model = model._first_member()
    record = _Record(n_steps)
    ratio = (float(high) / float(low)) ** (1.0 / (n_steps - 1))
    _train(model, X, y, sample_weight, float(low), ratio, record)
    search = LearningRateSearch(
        float(low) * ratio ** np.arange(len(record.losses)), np.array(record.losses), np.array(record.smoothed)
    )
    _check_result(search, low, high)
    return search


class LearningRateDisplay(NamedDisplay):
    """Loss over the learning rate in a range test, with the suggested learning rate.

    Parameters
    ----------
    search : LearningRateSearch
        From :func:`lr_find`.
    name : str, default=None
        Name of the test in the legend, to tell several on the same axes apart.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        The losses of the mini-batches, the smoothed losses, and the point of the suggestion on them.

    See Also
    --------
    lr_find : Runs the test.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import LearningRateDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = LearningRateDisplay.from_estimator(MLPClassifier(random_state=0), X, y, ax=Figure().subplots())
    >>> display.ax_.get_xscale()
    'log'

    Without `ax`, a new pyplot figure is used:

    >>> LearningRateDisplay.from_estimator(MLPClassifier(), X, y)  # doctest: +SKIP
    """

    lines_: list[Line2D]

    def __init__(self, search: LearningRateSearch, *, name: str | None = None) -> None:
        self.search = search
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        low: float = 1e-6,
        high: float = 10.0,
        n_steps: int = 200,
        ax: Axes | None = None,
        name: str | None = None,
    ) -> Self:
        """Run the test and draw it.

        Parameters
        ----------
        estimator, X, y, sample_weight, low, high, n_steps
            See :func:`lr_find`.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure. The ``ax_`` of another display adds to its plot.
        name : str, default=None
            See the class.

        Returns
        -------
        display : LearningRateDisplay
            Its `search` has the results.
        """
        search = lr_find(estimator, X, y, sample_weight, low=low, high=high, n_steps=n_steps)
        return cls(search, name=name).plot(ax)

    def _draw(self, ax: Axes) -> None:
        search, prefix = self.search, self._prefix
        rates, smoothed, middle = search.learning_rates, search.smoothed_losses, search._middle
        n_before = sum(line.get_gid() == "learning rate test" for line in ax.lines)
        color, mark = [(BLUE, VERMILLION), *((other, other) for other in PALETTE[2:])][n_before % (len(PALETTE) - 1)]
        limits = ax.get_ylim() if n_before else (math.inf, -math.inf)
        (raw,) = ax.plot(rates, search.losses, color=color, alpha=0.35, linewidth=1.0, label=f"{prefix}each batch")
        (smooth,) = ax.plot(
            rates, smoothed, color=color, linewidth=1.8, label=f"{prefix}smoothed", gid="learning rate test"
        )
        (point,) = ax.plot(
            rates[middle], smoothed[middle], "o", color=mark, label=f"{prefix}suggestion: {search.suggestion:.2g}"
        )
        ax.axvline(search.suggestion, color=mark, linewidth=1.0, linestyle="--")
        self.lines_ = [raw, smooth, point]
        ax.set(xscale="log", xlabel="Learning rate", ylabel="Loss")
        label_log_scale(ax.xaxis, rates[-1] / rates[0])
        # Without the losses of the explosion, which would reduce all others to a flat line.
        before = search.losses[: smoothed.argmin() + 1]
        margin = 0.3 * float(np.ptp(before))
        ax.set_ylim(min(before.min() - 0.3 * margin, limits[0]), max(before.max() + margin, limits[1]))
        ax.legend(frameon=False, loc="best")
        style_axes(ax)


class _TestIsOver(Exception):  # noqa: N818 - not an error
    """Ends the training in the middle of an epoch."""


class _Record:
    """Records the losses of a test and ends it when the loss has exploded."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._average = 0.0

    def add(self, loss: float) -> None:
        """Record a loss."""
        if not math.isfinite(loss):
            raise _TestIsOver
        self.losses.append(loss)
        self._average = SMOOTHING * self._average + (1.0 - SMOOTHING) * loss
        self.smoothed.append(self._average / (1.0 - SMOOTHING ** len(self.losses)))
        lowest = min(self.smoothed)
        # Losses such as a negative log-density may be close to zero or negative; then the decrease is the measure.
        limit = EXPLODED * max(abs(lowest), self.smoothed[0] - lowest)
        if self.smoothed[-1] - lowest > limit or len(self.losses) >= self.n_steps:
            raise _TestIsOver


@dataclass(frozen=True)
class _Recorded(Objective):
    """An objective that reports each of its values."""

    record: Callable[[float], None] = lambda value: None

    def value_and_gradient(self, *args: Any, **options: Any) -> Value:
        value = super().value_and_gradient(*args, **options)
        self.record(value.loss + value.penalty)
        return value


def _train(model: Any, X: Any, y: Any, sample_weight: Any, low: float, ratio: float, record: _Record) -> None:
    """Train `model`, an estimator of skmlp, with learning rates from `low` on that grow by `ratio`."""
    # These need validation data or groups, which are passed to fit only.
    model.set_params(scoring=None, refit=False, validation_split=None)
    model._validate_params()
    check_fit(model, None, None, None, None)
    data, targets = model._validate(X, y, sample_weight, compute_dtype(model, None), fitted=None)
    if data.sample_weight is not None:
        data = data.take(np.flatnonzero(data.sample_weight)).in_one_type()
    core = new_model(model, data, targets)
    start_from_data(model, core, data)
    assert core.recipe is not None  # only lbfgs has none
    objective = core.recipe.objective
    recipe = replace(
        core.recipe,
        objective=_Recorded(objective.network, objective.loss, objective.alpha, objective.alpha_l1, record.add),
        # The end is not passed: training may ask for the rates of a whole training before it begins.
        schedule=FunctionSchedule(lambda step: ratio ** min(step, record.n_steps - 1), of="step"),
        learning_rate_init=low,
    )
    core.state.plateau = Plateau(0.0, math.inf)
    with contextlib.suppress(_TestIsOver, NonFiniteError):
        plan = Plan(
            batch_size=batch_rows(model, data.n_samples),
            max_epochs=record.n_steps,
            length=model.max_iter,
            shuffle=model.shuffle,
        )
        result = train(recipe, core.state, data, plan)
        if result.reason == "interrupted":
            raise KeyboardInterrupt


def _start(losses: FloatArray) -> float:
    """Return the loss before anything was learned."""
    return float(np.median(losses[:N_START]))


def _check_estimator(estimator: Any) -> None:
    """Raise an error if the estimator has no learning rate to find."""
    innermost = nested_estimators(estimator, fitted=False)[-1]
    if not isinstance(innermost, AnyMLP):
        raise TypeError(f"lr_find takes {ACCEPTED_WITH_TABULAR}. Got {innermost!r}.")
    if isinstance(innermost, BaseTabularMLP):
        innermost = innermost._first_member()
    if isinstance(innermost.solver, str) and innermost.solver == "lbfgs":
        raise ValueError(
            'lr_find finds a learning rate, but solver="lbfgs" has none: it chooses its step sizes by line searches. '
            'Use a stochastic solver, for example solver="adam".'
        )


def _check_result(search: LearningRateSearch, low: float, high: float) -> None:
    """Raise ValueError if the losses do not allow a suggestion."""
    n_steps = len(search.losses)
    if n_steps < FEWEST_STEPS:
        raise ValueError(
            f"The loss exploded after {n_steps} steps, already at learning rates of about low={low}. Scale the data, "
            "for example with a StandardScaler, or use a lower value of low."
        )
    start = _start(search.losses)
    if start - search.smoothed_losses.min() <= ROUNDING * abs(start):
        raise ValueError(
            f"The loss did not decrease between the learning rates low={low} and high={high}. Widen the range or "
            "increase n_steps. If that does not help, check whether the data are scaled."
        )
