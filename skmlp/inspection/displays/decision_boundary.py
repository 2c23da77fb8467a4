"""Predictions over two features."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators.parameter_checks import Number, check_argument
from skmlp.inspection.displays._base import Display
from skmlp.inspection.displays._drawing import INK, PALETTE, legend_above, shorten
from skmlp.inspection.displays._matplotlib import Axes, Colorbar
from skmlp.inspection.displays._prediction_grid import PredictionGrid, encode_targets, predict

# Of the classes' points: colors repeat after ten classes, markers after seven, pairs of them after 70.
MARKERS = "os^DvPX"
# Opacity of a class's color where the class is as likely as the others, where it is certain, and where that is unknown.
FAINTEST, STRONGEST, UNKNOWN_STRENGTH = 0.12, 0.55, 0.7


class DecisionBoundaryDisplay(Display):
    """Predictions over two features: the regions of the classes, or the predicted values of a regressor.

    A region has the color of the predicted class, stronger where its probability is higher, and a line where the
    prediction changes. Points of different classes differ in color and marker.

    Parameters
    ----------
    x0, x1 : ndarray of shape (grid_resolution,)
        The values of the features on the horizontal and the vertical axis.
    response : ndarray of shape (grid_resolution, grid_resolution)
        ``response[i, j]`` is the prediction at ``x1[i]``, ``x0[j]``: an index into `classes`, or a value.
    probability : ndarray of shape (grid_resolution, grid_resolution), default=None
        The probability of the predicted class, if known.
    classes : sequence, default=None
        The classes; None for a regressor.
    points : ndarray of shape (n_samples, 2), default=None
        The two features of samples to draw.
    targets : ndarray of shape (n_samples,), default=None
        Their classes, as indices into `classes`, or their values.
    feature_names : tuple of str, default=("Feature 0", "Feature 1")
        The labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the regions.
    figure_ : matplotlib Figure
        Figure containing the axes.
    im_ : matplotlib AxesImage
        The regions.
    scatters_ : list of matplotlib PathCollection
        The points, one collection for each class that has any.
    colorbar_ : matplotlib Colorbar or None
        Key to the strength of the colors, or to the values of a regressor.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : For estimators with exactly two features; has more kinds of plots.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import DecisionBoundaryDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier((10,), solver="lbfgs", max_iter=300, random_state=0).fit(X, y)
    >>> display = DecisionBoundaryDisplay.from_estimator(est, X, y, features=(2, 3), ax=Figure().subplots())
    >>> display.response.shape
    (150, 150)

    Without `ax`, a new pyplot figure is used:

    >>> DecisionBoundaryDisplay.from_estimator(est, X, y, features=(2, 3))  # doctest: +SKIP
    """

    im_: Any
    scatters_: list[Any]
    colorbar_: Colorbar | None

    def __init__(
        self,
        x0: FloatArray,
        x1: FloatArray,
        response: AnyArray,
        *,
        probability: FloatArray | None = None,
        classes: Any = None,
        points: FloatArray | None = None,
        targets: AnyArray | None = None,
        feature_names: tuple[str, str] = ("Feature 0", "Feature 1"),
    ) -> None:
        self.x0 = x0
        self.x1 = x1
        self.response = response
        self.probability = probability
        self.classes = classes
        self.points = points
        self.targets = targets
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        features: tuple[Any, Any] = (0, 1),
        grid_resolution: int = 150,
        ax: Axes | None = None,
    ) -> Self:
        """Predict on a grid and draw the predictions.

        The grid covers the ranges of the two features in the data with a small margin. All other features have their
        median, or their most frequent value if they are not numerical. With many features the picture is one slice of
        many, and a correctly predicted sample may lie in the region of another class.

        Parameters
        ----------
        estimator : estimator
            Any fitted classifier or regressor, also a Pipeline. Regions come from ``predict``, probabilities from
            ``predict_proba`` if it exists.
        X : array-like or DataFrame of shape (n_samples, n_features)
            The data, as for ``predict``.
        y : array-like of shape (n_samples,), default=None
            Targets of the samples. If given, the samples are drawn, too.
        features : tuple of two int or str, default=(0, 1)
            Indices of two columns of X, or names of columns of a DataFrame.
        grid_resolution : int, default=150
            Number of grid points in each direction, at least 2.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.

        Returns
        -------
        display : DecisionBoundaryDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If a parameter is invalid, `y` has classes unknown to the estimator, or the estimator predicts several
            targets.
        """
        check_is_fitted(estimator)
        resolution = Number(Integral, 2, None, closed="left")
        check_argument(f"{cls.__name__}.from_estimator", "grid_resolution", grid_resolution, resolution)
        grid = PredictionGrid(X, features, int(grid_resolution))
        response, probability, classes = predict(estimator, grid.rows())
        shape = (grid_resolution, grid_resolution)
        display = cls(
            grid.x0,
            grid.x1,
            response.reshape(shape),
            probability=None if probability is None else probability.reshape(shape),
            classes=classes,
            points=None if y is None else grid.points,
            targets=None if y is None else encode_targets(y, classes, len(grid.points)),
            feature_names=grid.names,
        )
        return display.plot(ax)

    def _draw(self, ax: Axes) -> None:
        self.colorbar_ = None
        if self.classes is None:
            self._draw_values(ax)
        else:
            self._draw_classes(ax)
        ax.set(xlabel=shorten(self.feature_names[0], 50), ylabel=shorten(self.feature_names[1], 40))

    def _draw_values(self, ax: Axes) -> None:
        known = self.response if self.targets is None else np.append(self.response, self.targets)
        known = known[np.isfinite(known)]
        limits = {"vmin": known.min(), "vmax": known.max()} if known.size else {}
        self.im_ = self._draw_image(ax, self.response, cmap="viridis", **limits)
        self.scatters_ = []
        if self.points is not None:
            colors = {"c": self.targets, "cmap": self.im_.cmap, "norm": self.im_.norm}
            self.scatters_ = [self._draw_points(ax, self.points, edgecolors="white", marker="o", **colors)]
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=ax)
        self.colorbar_.set_label("Predicted value")

    def _draw_classes(self, ax: Axes) -> None:
        from matplotlib.colors import to_rgb

        predicted = self.response.astype(int)
        colors = np.array([to_rgb(PALETTE[index % len(PALETTE)]) for index in range(len(self.classes))])
        even = 1.0 / max(2, len(self.classes))  # the probability if all classes are equally likely
        strength = np.full(predicted.shape, UNKNOWN_STRENGTH)
        if self.probability is not None:
            strength = (self.probability - even) / (1.0 - even)
        self.im_ = self._draw_image(ax, _mix(colors[predicted], strength[..., np.newaxis]))
        present = set(np.unique(predicted).tolist())
        for index in present if len(present) > 1 else ():
            ax.contour(self.x0, self.x1, predicted == index, levels=[0.5], colors=INK, linewidths=0.6)
        if self.probability is not None:
            self.colorbar_ = _explain_strength(ax, even)
        self.scatters_ = []
        if self.points is not None and self.targets is not None:
            present |= set(self.targets.tolist())
            for index in np.unique(self.targets):
                of_class = self.points[self.targets == index]
                color, marker = colors[index], MARKERS[index % len(MARKERS)]
                self.scatters_.append(self._draw_points(ax, of_class, c=[color], marker=marker, edgecolors="white"))
        legend_above(ax, [self._handle(index, colors[index]) for index in sorted(present)])

    def _draw_image(self, ax: Axes, image: AnyArray, **options: Any) -> Any:
        (left, right), (bottom, top) = _limits(self.x0), _limits(self.x1)
        return ax.imshow(image, extent=(left, right, bottom, top), origin="lower", aspect="auto", **options)

    def _draw_points(self, ax: Axes, points: FloatArray, **options: Any) -> Any:
        total = 0 if self.points is None else len(self.points)
        size = 30.0 if total <= 300 else 16.0 if total <= 2000 else 7.0
        return ax.scatter(points[:, 0], points[:, 1], s=size, linewidths=0.5, **options)

    def _handle(self, index: int, color: Any) -> Any:
        """Return the legend entry of a class: a point if points are drawn, else a patch."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        name = shorten(str(self.classes[index]))
        if self.points is None:
            return Patch(color=_mix(color, 1.0), label=name)
        marker = MARKERS[index % len(MARKERS)]
        return Line2D([], [], linestyle="none", marker=marker, color=color, markeredgecolor="white", label=name)


def _limits(centers: FloatArray) -> tuple[float, float]:
    """Return the outer edges of the first and the last pixel."""
    half = (centers[1] - centers[0]) / 2.0
    return float(centers[0] - half), float(centers[-1] + half)


def _mix(color: Any, strength: Any) -> Any:
    """Return the color blended with white, stronger for a strength of 1 than for 0."""
    opacity = FAINTEST + (STRONGEST - FAINTEST) * np.clip(np.nan_to_num(strength), 0.0, 1.0)
    return 1.0 - opacity * (1.0 - np.asarray(color))


def _explain_strength(ax: Axes, even: float) -> Colorbar:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    grays = ListedColormap(_mix(np.full(3, 0.2), np.linspace(0.0, 1.0, 128)[:, np.newaxis]))
    bar = ax.figure.colorbar(ScalarMappable(Normalize(even, 1.0), grays), ax=ax, fraction=0.06)
    bar.set_label("Probability of the predicted class")
    return bar
