"""The objective about the trained weights."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.builders import current_objective
from skmlp.inspection._estimators import as_trained_on, fitted_mlp
from skmlp.inspection.displays._drawing import (
    INK,
    NOT_FINITE,
    label_log_scale,
    legend_above,
    log_range,
    new_axes,
    numbers,
)
from skmlp.nn.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["LossSurfaceDisplay"]

LEVELS = 16


class LossSurfaceDisplay:
    r"""The objective on a plane through the trained weights: how wide the valley is in which the training ended.

    At :math:`(a, b)` the weights are :math:`W + a D_1 + b D_2` with two random directions. Their entries are drawn from
    a normal distribution, then the incoming weights of each unit are scaled to the length of that unit's own: at
    :math:`a = \pm 1` every unit has moved by the length of its weights. So networks whose weights differ in size by
    what the next layer makes up for, as with relu, give the same picture. Biases and the parameters of normalization
    layers stay what they are.

    Two directions of thousands show where the objective is flat or rugged, not where its minima are.

    Parameters
    ----------
    steps : ndarray of shape (resolution,)
        The values of a and b.
    losses : ndarray of shape (resolution, resolution)
        ``losses[i, j]`` is the objective at ``b = steps[i]``, ``a = steps[j]``.
    trained_loss : float
        The objective at the trained weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the contours.
    figure_ : matplotlib Figure
        Their figure.
    surface_ : matplotlib QuadContourSet
        The contours, on a log scale where the objective is positive.
    point_ : matplotlib Line2D
        The trained weights.
    colorbar_ : matplotlib Colorbar
        Explains the colours.

    References
    ----------
    Li, Xu, Taylor, Studer and Goldstein (2018), "Visualizing the loss landscape of neural nets", NeurIPS, arXiv
    1712.09913, section 4, for the scaled directions.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import LossSurfaceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier((10,), solver="lbfgs", max_iter=300, random_state=0).fit(X, y)
    >>> display = LossSurfaceDisplay.from_estimator(est, X, y, ax=Figure().subplots())
    >>> bool(display.losses.min() >= display.trained_loss)
    True

    Without `ax`, a figure of pyplot opens:

    >>> LossSurfaceDisplay.from_estimator(est, X, y)  # doctest: +SKIP
    """

    ax_: "Axes"
    figure_: "Figure | SubFigure"
    surface_: "QuadContourSet"
    point_: "Line2D"
    colorbar_: "Colorbar"

    def __init__(self, steps: FloatArray, losses: FloatArray, trained_loss: float) -> None:
        self.steps = steps
        self.losses = losses
        self.trained_loss = trained_loss

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        span: float = 1.0,
        resolution: int = 25,
        random_state: Any = 0,
        ax: "Axes | None" = None,
    ) -> Self:
        """Evaluate the objective on a grid and draw it.

        This takes ``resolution ** 2`` predictions of all rows. The estimator is not changed. Dropout is off and batch
        normalization takes its running averages, as in a prediction.

        Parameters
        ----------
        estimator : estimator
            A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, which transforms X first, in a
            search (its best estimator) or in a TransformedTargetRegressor, which transforms y first.
        X, y
            What it was fitted to, or other data of the kind.
        sample_weight : array-like of shape (n_samples,), default=None
            As for ``fit``.
        span : float, default=1.0
            The plane reaches from ``-span`` to ``span`` in both directions, in lengths of the weights.
        resolution : int, default=25
            Points in each direction, at least 2. With an odd number the trained weights are one of them.
        random_state : int, RandomState instance or None, default=0
            Draws the directions.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : LossSurfaceDisplay

        Raises
        ------
        TypeError
            For an estimator that is not one of skmlp's.
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            When a parameter or the input is invalid.
        """
        _check_numbers(span, resolution)
        model = fitted_mlp(estimator, cls.__name__)
        surface = _Surface(model, *as_trained_on(estimator, X, y), sample_weight, random_state)
        steps = np.linspace(-float(span), float(span), resolution)
        losses = np.array([[surface.loss(a, b) for a in steps] for b in steps])
        return cls(steps, losses, surface.loss(0.0, 0.0)).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. The colour bar takes its room from them.

        Returns
        -------
        self : LossSurfaceDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If the objective is infinite or not a number everywhere.
        """
        from matplotlib.cm import ScalarMappable
        from matplotlib.ticker import MaxNLocator

        losses = np.ma.masked_invalid(numbers(self.losses))
        if losses.mask.all():
            raise ValueError(
                "There is no loss surface to show: the objective is infinite or not a number everywhere. "
                "Give a smaller span, or look at the data."
            )
        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        levels, norm = _levels(losses.compressed())
        self.surface_ = ax.contourf(self.steps, self.steps, losses, levels, norm=norm, cmap="viridis")
        ax.contour(self.steps, self.steps, losses, levels, colors="white", linewidths=0.4, alpha=0.6)
        ax.set_facecolor(NOT_FINITE)
        (self.point_,) = ax.plot(
            0.0,
            0.0,
            "*",
            color="white",
            markeredgecolor=INK,
            markersize=14,
            linestyle="none",
            label=f"trained weights: {self.trained_loss:.3g}",
        )
        self.colorbar_ = self.figure_.colorbar(ScalarMappable(norm, "viridis"), ax=ax)
        self.colorbar_.set_label("Objective: loss and penalties")
        if levels[0] > 0.0:
            label_log_scale(self.colorbar_.ax.yaxis, levels[-1] / levels[0])
        ax.set(xlabel="First direction, in lengths of the weights", ylabel="Second direction")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        legend_above(ax, [self.point_])
        return self


class _Surface:
    """The objective of a fitted estimator about its weights, in float64."""

    def __init__(self, estimator: BaseMLP, X: Any, y: Any, sample_weight: Any, random_state: Any) -> None:
        from sklearn.utils import check_random_state

        model = estimator._model
        data, _ = estimator._validate(X, y, sample_weight, np.dtype(np.float64), fitted=model, partial=True)
        self._data = data.in_one_type()
        self._objective = current_objective(estimator, model)
        self._trained = model.params.on(model.params.vector.astype(np.float64))
        rng = check_random_state(random_state)
        self._directions = [_direction(self._trained, rng) for _ in range(2)]

    def loss(self, a: float, b: float) -> float:
        """Return the objective at a point of the plane."""
        first, second = self._directions
        params = self._trained.on(self._trained.vector + a * first + b * second)
        with np.errstate(over="ignore", invalid="ignore"):
            value = self._objective.value(params, self._data.X, self._data.y, self._data.sample_weight)
        return value.loss + value.penalty


def _direction(trained: Parameters, rng: np.random.RandomState) -> FloatArray:
    """Return random weights, those into each unit as long as the unit's own; all other parameters are 0."""
    direction = trained.on(np.zeros_like(trained.vector))
    for weights, own in zip(direction.weights, trained.weights, strict=True):
        drawn = rng.normal(size=own.shape)
        weights[...] = drawn * (np.linalg.norm(own, axis=0) / np.linalg.norm(drawn, axis=0))
    return direction.vector


def _levels(values: FloatArray) -> tuple[FloatArray, Any]:
    """Return where to draw contours: at equal ratios where all values are positive, at equal distances elsewhere."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(values.min()), float(values.max())
    if low > 0.0:
        low, high = (low, high) if high > 1.001 * low else log_range(values)
        return np.geomspace(low, high, LEVELS), LogNorm(low, high)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return np.linspace(low, high, LEVELS), Normalize(low, high)


def _check_numbers(span: Any, resolution: Any) -> None:
    if not isinstance(span, Real) or isinstance(span, bool) or not 0.0 < float(span) < np.inf:
        raise ValueError(f"span must be a float in the range (0.0, inf). Got {span!r}.")
    if not isinstance(resolution, Integral) or isinstance(resolution, bool) or resolution < 2:
        raise ValueError(f"resolution must be an int in the range [2, inf). Got {resolution!r}.")
