"""The objective around the trained weights."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.builders import current_objective
from skmlp.estimators.parameter_checks import Number, check_argument
from skmlp.inspection._estimators import fitted_mlp, transform_data
from skmlp.inspection.displays._base import Display
from skmlp.inspection.displays._drawing import INK, NOT_FINITE, finite_or_nan, label_log_scale, legend_above, log_range
from skmlp.inspection.displays._matplotlib import Axes, Colorbar, Line2D
from skmlp.nn.parameters import Parameters

N_CONTOURS = 16


class LossSurfaceDisplay(Display):
    r"""The objective on a plane through the trained weights: how wide the minimum is that the training found.

    At :math:`(a, b)` the weights are :math:`W + a D_1 + b D_2` with two random directions. Their entries are drawn from
    a normal distribution; then the incoming weights of each unit are scaled to the norm of that unit's own weights. At
    :math:`a = \pm 1` every unit has moved by the norm of its weights. So networks that differ only in the scale of
    their weights, which with relu the next layer can undo, have the same surface. Biases and the parameters of
    normalization layers stay as they are.

    Two of thousands of directions show where the objective is flat or rugged, not where its minima are.

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
        Figure containing the axes.
    surface_ : matplotlib QuadContourSet
        The contours, on a log scale if the objective is positive.
    point_ : matplotlib Line2D
        The trained weights.
    colorbar_ : matplotlib Colorbar
        Key to the colors.

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

    Without `ax`, a new pyplot figure is used:

    >>> LossSurfaceDisplay.from_estimator(est, X, y)  # doctest: +SKIP
    """

    surface_: Any
    point_: Line2D
    colorbar_: Colorbar

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
        ax: Axes | None = None,
    ) -> Self:
        """Evaluate the objective on a grid and draw it.

        This takes ``resolution ** 2`` predictions of all samples. The estimator is not modified. Dropout is off and
        batch normalization uses its running averages, as in a prediction.

        Parameters
        ----------
        estimator : estimator
            A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, which transforms X first, in a
            search (its best estimator) or in a TransformedTargetRegressor, which transforms y first. Of a tabular
            estimator pass a member, ``estimator.estimators_[0]``, and ``estimator.encode(X)``.
        X, y
            The training data, or other data of the same kind.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, as for ``fit``.
        span : float, default=1.0
            The plane extends from ``-span`` to ``span`` in both directions, in units of the norm of the weights.
        resolution : int, default=25
            Number of grid points in each direction, at least 2. With an odd number the trained weights are one of them.
        random_state : int, RandomState instance or None, default=0
            Seed of the directions.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.

        Returns
        -------
        display : LossSurfaceDisplay

        Raises
        ------
        TypeError
            If the estimator is not one of skmlp's, or averages several networks.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If a parameter or the data are invalid.
        """
        function = f"{cls.__name__}.from_estimator"
        check_argument(function, "span", span, Number(Real, 0.0, np.inf, closed="neither"))
        check_argument(function, "resolution", resolution, Number(Integral, 2, None, closed="left"))
        model = fitted_mlp(estimator, cls.__name__, reads_data=True)
        objective_at = _objective_on_plane(model, *transform_data(estimator, X, y), sample_weight, random_state)
        steps = np.linspace(-float(span), float(span), resolution)
        losses = np.array([[objective_at(a, b) for a in steps] for b in steps])
        return cls(steps, losses, objective_at(0.0, 0.0)).plot(ax)

    def _check(self) -> None:
        if not np.isfinite(self.losses).any():
            raise ValueError(
                "There is no loss surface to draw, because the objective is infinite or NaN everywhere. Use a smaller "
                "span, or check the data."
            )

    def _draw(self, ax: Axes) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.ticker import MaxNLocator

        losses = np.ma.masked_invalid(finite_or_nan(self.losses))
        levels, norm = _levels(losses.compressed())
        self.surface_ = ax.contourf(self.steps, self.steps, losses, levels, norm=norm, cmap="viridis")
        ax.contour(self.steps, self.steps, losses, levels, colors="white", linewidths=0.4, alpha=0.6)
        ax.set_facecolor(NOT_FINITE)
        label = f"trained weights: {self.trained_loss:.3g}"
        (self.point_,) = ax.plot(
            0.0, 0.0, "*", color="white", markeredgecolor=INK, markersize=14, linestyle="none", label=label
        )
        self.colorbar_ = self.figure_.colorbar(ScalarMappable(norm, "viridis"), ax=ax)
        self.colorbar_.set_label("Objective: loss and penalties")
        if levels[0] > 0.0:
            label_log_scale(self.colorbar_.ax.yaxis, levels[-1] / levels[0])
        ax.set(xlabel="First direction, relative to the norm of the weights", ylabel="Second direction")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        legend_above(ax, [self.point_])


def _objective_on_plane(
    estimator: BaseMLP, X: Any, y: Any, sample_weight: Any, random_state: Any
) -> Callable[[float, float], float]:
    """Return the objective of a fitted estimator as a function of the place on the plane, computed in float64."""
    from sklearn.utils import check_random_state

    model = estimator._model
    data, _ = estimator._validate(X, y, sample_weight, np.dtype(np.float64), fitted=model, partial=True)
    X, y, weight = data.in_one_type()
    objective = current_objective(estimator, model)
    trained = model.params.on(model.params.vector.astype(np.float64))
    rng = check_random_state(random_state)
    first, second = (_direction(trained, rng) for _ in range(2))

    def objective_at(a: float, b: float) -> float:
        params = trained.on(trained.vector + a * first + b * second)
        with np.errstate(over="ignore", invalid="ignore"):
            value = objective.value(params, X, y, weight)
        return value.loss + value.penalty

    return objective_at


def _direction(trained: Parameters, rng: np.random.RandomState) -> FloatArray:
    """Return random weights, scaled to the norm of each unit's own weights; all other parameters are 0."""
    direction = trained.on(np.zeros_like(trained.vector))
    for weights, own in zip(direction.weights, trained.weights, strict=True):
        drawn = rng.normal(size=own.shape)
        weights[...] = drawn * (np.linalg.norm(own, axis=0) / np.linalg.norm(drawn, axis=0))
    return direction.vector


def _levels(values: FloatArray) -> tuple[FloatArray, Any]:
    """Return the contour levels and their scale: logarithmic if all values are positive, else linear."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(values.min()), float(values.max())
    if low > 0.0:
        low, high = (low, high) if high > 1.001 * low else log_range(values)
        return np.geomspace(low, high, N_CONTOURS), LogNorm(low, high)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return np.linspace(low, high, N_CONTOURS), Normalize(low, high)
