"""The learning-rate range test: one short training in which the rate grows from far too low to far too high.

At first the loss stays where it is, then it falls, then it explodes. Good rates lie where it falls.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.builders import batch_rows, compute_dtype, new_model, start_output_bias
from skmlp.estimators.combinations import check_fit
from skmlp.inspection._estimators import TAKEN, fit_around, layers_around
from skmlp.inspection.displays._drawing import BLUE, PALETTE, VERMILLION, clean, label_log_scale, new_axes
from skmlp.nn.objective import Objective, Value
from skmlp.optim.schedules import FunctionSchedule
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import train
from skmlp.training.plan import Plan
from skmlp.training.stopping import Plateau

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["LearningRateDisplay", "LearningRateSearch", "lr_find"]

# Decay of the average that smooths the losses: over about ten steps.
SMOOTHING = 0.9
# The test is over where the smoothed loss is this many times its lowest value above it ...
EXPLODED = 3.0
# ... and has told something if that took this many steps.
FEWEST = 10
# So many losses tell where it started; outliers among the targets make single ones useless.
START = 20
# A fall of less than this share is none.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class LearningRateSearch:
    """What :func:`lr_find` found.

    Attributes
    ----------
    learning_rates : ndarray of shape (n_steps_done,)
        The rate of each step, growing by the same factor from one to the next; as many as there were before the loss
        exploded.
    losses : ndarray of shape (n_steps_done,)
        Loss of each batch, penalties included, before the step with that rate was taken on it.
    smoothed_losses : ndarray of shape (n_steps_done,)
        Their exponential average, ``s = 0.9 * s + 0.1 * loss`` from 0 on, divided by ``1 - 0.9 ** (step + 1)``.
    """

    learning_rates: FloatArray
    losses: FloatArray
    smoothed_losses: FloatArray

    @property
    def suggestion(self) -> float:
        """The rate in the middle of the descent, for `learning_rate_init`.

        From it on, and until its minimum, the smoothed loss is in the lower half of the way from the start (the median
        of the first 20 losses) to that minimum. Where the loss falls along a smooth S it is the rate of the steepest
        descent; but the steepest step of a real curve is often just noise at a rate that is far too low.
        """
        return float(self.learning_rates[self._middle])

    @property
    def at_tenth_of_minimum(self) -> float:
        """A tenth of the rate with the lowest smoothed loss: a bolder choice, from Howard and Gugger's fastai."""
        return float(self.learning_rates[self.smoothed_losses.argmin()]) / 10.0

    @property
    def _middle(self) -> int:
        lowest = int(self.smoothed_losses.argmin())
        middle = 0.5 * (_start(self.losses) + self.smoothed_losses[lowest])
        above = np.flatnonzero(self.smoothed_losses[:lowest] > middle)
        return int(above[-1]) + 1 if above.size else 0

    def plot(self, ax: "Axes | None" = None, *, name: str | None = None) -> "LearningRateDisplay":
        """Draw the losses over the rates.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot.
        name : str, optional
            What to call the test in the legend.

        Returns
        -------
        display : LearningRateDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
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
    """Find a learning rate by the range test: train while the rate grows, and watch the loss.

    A copy of the estimator is trained from new weights on all rows, with its own batches, solver, loss and
    regularisation. The rate of step i, from 0, is ``low * (high / low) ** (i / (n_steps - 1))``, whatever the
    estimator's `learning_rate` and `learning_rate_init` are. The test ends early where the smoothed loss exceeds its
    lowest value by three times that value (or by three times its fall so far, if that is more), or a number is
    infinite or NaN.

    Parameters
    ----------
    estimator : estimator
        An MLPClassifier or MLPRegressor with a stochastic solver, also as the last step of a Pipeline, in a search (its
        best estimator, before the fit the one it was made with) or in a TransformedTargetRegressor. It is not
        changed. What transforms X and y is copied as well and fitted to all of them, without weights. With an integer
        `random_state` the result is the same each time.
    X, y
        As for the estimator's ``fit``.
    sample_weight : array-like of shape (n_samples,), default=None
        As for ``fit``; rows with a weight of 0 are left out.
    low, high : float, default=1e-6, 10.0
        The first and the last rate, ``0 < low < high``.
    n_steps : int, default=200
        Steps from `low` to `high`, at least 40. With fewer the loss has less time to fall, and falls at higher rates.

    Returns
    -------
    search : LearningRateSearch
        Its `suggestion` is meant for `learning_rate_init`, with a constant rate or as the highest rate of a schedule.

    Raises
    ------
    TypeError
        For an estimator that is not one of skmlp's.
    ValueError
        For ``solver="lbfgs"``, which has no learning rate; when a parameter or the input is invalid; when the loss does
        not fall or explodes at once.

    References
    ----------
    Smith (2017), "Cyclical learning rates for training neural networks", WACV, arXiv 1506.01186, section 3.3, with a
    rate that grows linearly; Howard and Gugger's fastai, ``Learner.lr_find``, for the exponential growth.

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
    _check_numbers(low, high, n_steps)
    _check_estimator(estimator)
    model, X, y = fit_around(estimator, X, y)
    record = _Record(n_steps)
    ratio = (float(high) / float(low)) ** (1.0 / (n_steps - 1))
    _train(model, X, y, sample_weight, float(low), ratio, record)
    search = LearningRateSearch(
        float(low) * ratio ** np.arange(len(record.losses)), np.array(record.losses), np.array(record.smoothed)
    )
    start = _start(search.losses)
    fall = start - search.smoothed_losses.min()
    if len(record.losses) < FEWEST or fall <= ROUNDING * abs(start):
        raise ValueError(_nothing_learned(record, low, high))
    return search


class LearningRateDisplay:
    """Loss over the learning rate in a range test, with the suggested rate.

    Parameters
    ----------
    search : LearningRateSearch
        From :func:`lr_find`.
    name : str, optional
        What to call the test in the legend, where several are drawn in the same axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of matplotlib Line2D
        The losses of the batches, the smoothed losses, and the point of the suggestion on them.

    See Also
    --------
    lr_find : The test.

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

    Without `ax`, a figure of pyplot opens:

    >>> LearningRateDisplay.from_estimator(MLPClassifier(), X, y)  # doctest: +SKIP
    """

    ax_: "Axes"
    figure_: "Figure | SubFigure"
    lines_: "list[Line2D]"

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
        ax: "Axes | None" = None,
        name: str | None = None,
    ) -> Self:
        """Run the test and draw it.

        Parameters
        ----------
        estimator, X, y, sample_weight, low, high, n_steps
            As of :func:`lr_find`.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure. The ``ax_`` of another display draws one over the other.
        name : str, optional
            What to call the test in the legend.

        Returns
        -------
        display : LearningRateDisplay
            Its `search` holds the numbers.
        """
        search = lr_find(estimator, X, y, sample_weight, low=low, high=high, n_steps=n_steps)
        return cls(search, name=name).plot(ax)

    def plot(self, ax: "Axes | None" = None, *, name: str | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. In the ``ax_`` of another display, both are drawn one
            over the other, each in its own colour.
        name : str, optional
            What to call the test in the legend; by default the display's `name`.

        Returns
        -------
        self : LearningRateDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        search = self.search
        rates, smoothed, middle = search.learning_rates, search.smoothed_losses, search._middle
        name = self.name if name is None else name
        prefix = "" if name is None else f"{name}: "
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
        # The losses of the explosion would leave a flat line of all others.
        before = search.losses[: smoothed.argmin() + 1]
        room = 0.3 * float(np.ptp(before))
        ax.set_ylim(min(before.min() - 0.3 * room, limits[0]), max(before.max() + room, limits[1]))
        ax.legend(frameon=False, loc="best")
        clean(ax)
        return self


class _TestIsOver(Exception):  # noqa: N818 - not an error
    """Ends the training in the midst of an epoch."""


class _Record:
    """The losses of a test so far; ends it where they have told enough."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._average = 0.0

    def add(self, loss: float) -> None:
        """Take note of a loss."""
        if not math.isfinite(loss):
            raise _TestIsOver
        self.losses.append(loss)
        self._average = SMOOTHING * self._average + (1.0 - SMOOTHING) * loss
        self.smoothed.append(self._average / (1.0 - SMOOTHING ** len(self.losses)))
        lowest = min(self.smoothed)
        # Losses such as a negative log-density may be about or below zero: then the fall tells what is much.
        limit = EXPLODED * max(abs(lowest), self.smoothed[0] - lowest)
        if self.smoothed[-1] - lowest > limit or len(self.losses) >= self.n_steps:
            raise _TestIsOver


@dataclass(frozen=True)
class _Recorded(Objective):
    """An objective that tells of every value it has."""

    record: Callable[[float], None] = lambda value: None

    def value_and_gradient(self, *args: Any, **options: Any) -> Value:
        value = super().value_and_gradient(*args, **options)
        self.record(value.loss + value.penalty)
        return value


def _train(model: Any, X: Any, y: Any, sample_weight: Any, low: float, ratio: float, record: _Record) -> None:
    """Train `model`, an estimator of ours, with rates from `low` on that grow by `ratio`, until the record is full."""
    # They ask for validation data, which only fit may have been promised, or for groups.
    model.set_params(scoring=None, refit=False, validation_split=None)
    model._validate_params()
    check_fit(model, None, None, None, None)
    data, targets = model._validate(X, y, sample_weight, compute_dtype(model, None), fitted=None)
    if data.sample_weight is not None:
        data = data.take(np.flatnonzero(data.sample_weight)).in_one_type()
    core = new_model(model, data, targets)
    start_output_bias(model, core, data)
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
    return float(np.median(losses[:START]))


def _check_estimator(estimator: Any) -> None:
    """Raise an error for an estimator without a learning rate of ours."""
    last = layers_around(estimator, fitted=False)[-1]
    if not isinstance(last, BaseMLP):
        raise TypeError(f"lr_find takes {TAKEN}. Got {last!r}.")
    if isinstance(last.solver, str) and last.solver == "lbfgs":
        raise ValueError(
            'lr_find looks for a learning rate, and solver="lbfgs" has none: it searches along a line at each step. '
            'Use a stochastic solver, for example solver="adam".'
        )


def _check_numbers(low: float, high: float, n_steps: int) -> None:
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in (low, high))
    if not numbers or not 0.0 < low < high < math.inf:
        raise ValueError(f"low and high must be numbers with 0 < low < high. Got low={low!r}, high={high!r}.")
    if not isinstance(n_steps, Integral) or isinstance(n_steps, bool) or n_steps < 2 * START:
        raise ValueError(f"n_steps must be an int in the range [{2 * START}, inf). Got {n_steps!r}.")


def _nothing_learned(record: _Record, low: float, high: float) -> str:
    n_steps = len(record.losses)
    if n_steps < FEWEST:
        return (
            f"The loss exploded after {n_steps} steps, already at learning rates about low={low}: there is nothing to "
            "choose from. Scale the data, for example with a StandardScaler, or give a lower `low`."
        )
    return (
        f"The loss never fell between learning rates of low={low} and high={high}. Widen the range, or give more "
        "n_steps; if that does not help, the network cannot learn these data as they are: are they scaled?"
    )
