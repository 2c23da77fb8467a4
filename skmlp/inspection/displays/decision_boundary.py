"""Regions of the predictions over two features."""

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skmlp._typing import AnyArray, FloatArray, IntArray
from skmlp.inspection.displays._drawing import INK, PALETTE, legend_above, new_axes, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

__all__ = ["DecisionBoundaryDisplay"]

# Shapes of the classes' points: colours repeat after ten classes, shapes after seven, the pairs after 70.
MARKERS = "os^DvPX"
# How much of its colour a class has where it is just as likely as the others, and where it is certain.
FAINTEST, STRONGEST = 0.12, 0.55
# Beyond the data on each side, as a share of their range.
MARGIN = 0.08


class DecisionBoundaryDisplay:
    """Predictions over two features: the regions of the classes, or the predicted values of a regressor.

    A region has the colour of the predicted class, the stronger the higher its probability, with a line where the
    prediction changes. Points of different classes have different shapes as well as colours.

    Parameters
    ----------
    x0, x1 : ndarray of shape (grid_resolution,)
        The values of the features along the horizontal and the vertical axis.
    response : ndarray of shape (grid_resolution, grid_resolution)
        ``response[i, j]`` is predicted at ``x1[i]``, ``x0[j]``: an index into `classes`, or a value.
    probability : ndarray of shape (grid_resolution, grid_resolution), default=None
        The probability of the predicted class, if it is known.
    classes : sequence, default=None
        The names of the classes; None for a regressor.
    points : ndarray of shape (n_samples, 2), default=None
        Samples to draw, with their values of the two features.
    targets : ndarray of shape (n_samples,), default=None
        Their classes, as indices into `classes`, or their values.
    feature_names : tuple of str, default=("Feature 0", "Feature 1")
        The names of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the regions.
    figure_ : matplotlib Figure
        Their figure.
    im_ : matplotlib AxesImage
        The regions.
    scatters_ : list of matplotlib PathCollection
        The points, one collection for each class that has any.
    colorbar_ : matplotlib Colorbar or None
        Explains the strength of the colours, or the values of a regressor.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : For estimators of exactly two features, with more kinds of plots.

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

    Without `ax`, a figure of pyplot opens:

    >>> DecisionBoundaryDisplay.from_estimator(est, X, y, features=(2, 3))  # doctest: +SKIP
    """

    ax_: "Axes"
    figure_: "Figure | SubFigure"
    im_: "AxesImage"
    scatters_: list[Any]
    colorbar_: "Colorbar | None"

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
        ax: "Axes | None" = None,
    ) -> Self:
        """Predict on a grid and draw it.

        The grid spans what the data have of the two features and a little more. All other features are at their
        median, or at their most frequent value where they are not numbers: with many features the picture is one slice
        of many, and points may lie in another class's region though they are predicted rightly.

        Parameters
        ----------
        estimator : estimator
            Any fitted classifier or regressor, a Pipeline too. Classes are what ``predict`` says, their probabilities
            come from ``predict_proba`` if there is one.
        X : array-like or DataFrame of shape (n_samples, n_features)
            The data, as for ``predict``.
        y : array-like of shape (n_samples,), default=None
            Their targets: then the samples are drawn too.
        features : tuple of two int or str, default=(0, 1)
            Numbers of two columns of X, or names of columns of a DataFrame.
        grid_resolution : int, default=150
            Points in each direction, at least 2.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : DecisionBoundaryDisplay

        Raises
        ------
        NotFittedError
            For an estimator that is not fitted.
        ValueError
            If a parameter is invalid, `y` has classes the estimator does not know, or the estimator predicts several
            targets.
        """
        check_is_fitted(estimator)
        if not isinstance(grid_resolution, Integral) or isinstance(grid_resolution, bool) or grid_resolution < 2:
            raise ValueError(f"grid_resolution must be an int in the range [2, inf). Got {grid_resolution!r}.")
        grid = _Grid(X, features, int(grid_resolution))
        response, probability, classes = _predict(estimator, grid.rows())
        shape = (grid_resolution, grid_resolution)
        display = cls(
            grid.x0,
            grid.x1,
            response.reshape(shape),
            probability=None if probability is None else probability.reshape(shape),
            classes=classes,
            points=None if y is None else grid.points,
            targets=None if y is None else _targets(y, classes, len(grid.points)),
            feature_names=grid.names,
        )
        return display.plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. A colour bar takes its room from them.

        Returns
        -------
        self : DecisionBoundaryDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        self.colorbar_ = None
        if self.classes is None:
            self._draw_values(ax)
        else:
            self._draw_classes(ax)
        ax.set(xlabel=shorten(self.feature_names[0], 50), ylabel=shorten(self.feature_names[1], 40))
        return self

    def _draw_values(self, ax: "Axes") -> None:
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

    def _draw_classes(self, ax: "Axes") -> None:
        from matplotlib.colors import to_rgb

        winner = self.response.astype(int)
        colors = np.array([to_rgb(PALETTE[index % len(PALETTE)]) for index in range(len(self.classes))])
        even = 1.0 / max(2, len(self.classes))
        strength = np.full(winner.shape, 0.7) if self.probability is None else (self.probability - even) / (1.0 - even)
        self.im_ = self._draw_image(ax, _mix(colors[winner], strength[..., np.newaxis]))
        present = set(np.unique(winner).tolist())
        for index in present if len(present) > 1 else ():
            ax.contour(self.x0, self.x1, winner == index, levels=[0.5], colors=INK, linewidths=0.6)
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

    def _draw_image(self, ax: "Axes", image: AnyArray, **options: Any) -> "AxesImage":
        (left, right), (bottom, top) = _limits(self.x0), _limits(self.x1)
        return ax.imshow(image, extent=(left, right, bottom, top), origin="lower", aspect="auto", **options)

    def _draw_points(self, ax: "Axes", points: FloatArray, **options: Any) -> Any:
        total = 0 if self.points is None else len(self.points)
        size = 30.0 if total <= 300 else 16.0 if total <= 2000 else 7.0
        return ax.scatter(points[:, 0], points[:, 1], s=size, linewidths=0.5, **options)

    def _handle(self, index: int, color: Any) -> Any:
        """Return what stands for a class in the legend: a point, or a patch without points."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        name = shorten(str(self.classes[index]))
        if self.points is None:
            return Patch(color=_mix(color, 1.0), label=name)
        marker = MARKERS[index % len(MARKERS)]
        return Line2D([], [], linestyle="none", marker=marker, color=color, markeredgecolor="white", label=name)


class _Grid:
    """Rows like those of `X` that differ in two features only."""

    def __init__(self, X: Any, features: Any, resolution: int) -> None:
        if hasattr(X, "to_pandas"):
            X = X.to_pandas()
        elif not hasattr(X, "iloc"):
            X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        self._is_frame = hasattr(X, "iloc")
        if X.ndim != 2 or X.shape[1] < 2:
            raise ValueError(f"X must have two dimensions and at least two features. Got the shape {X.shape}.")
        self._X = X
        self._features = _columns(X, features)
        names = [X.columns[column] if self._is_frame else f"Feature {column}" for column in self._features]
        self.names = (str(names[0]), str(names[1]))
        chosen = X.iloc[:, self._features] if self._is_frame else X[:, self._features]
        try:
            self.points = np.asarray(chosen, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The features {self.names} must be numbers to be axes of a picture.") from error
        self.x0, self.x1 = (_span(values, resolution) for values in self.points.T)

    def rows(self) -> Any:
        """Return the grid, line by line, in the form of `X`."""
        first, second = (values.ravel() for values in np.meshgrid(self.x0, self.x1))
        if not self._is_frame:
            grid = np.tile(_median(self._X), (len(first), 1))
            grid[:, self._features[0]], grid[:, self._features[1]] = first, second
            return grid
        import pandas as pd

        columns = {name: _typical(self._X.iloc[:, index], len(first)) for index, name in enumerate(self._X.columns)}
        for index, values in zip(self._features, (first, second), strict=True):
            columns[self._X.columns[index]] = values
        return pd.DataFrame(columns)


def _columns(X: Any, features: Any) -> list[int]:
    """Return the numbers of the two features."""
    known = list(getattr(X, "columns", ()))
    chosen = list(features) if isinstance(features, tuple | list) else []
    found = []
    for feature in chosen:
        if isinstance(feature, str) and feature in known:
            found.append(known.index(feature))
        elif isinstance(feature, Integral) and not isinstance(feature, bool) and 0 <= int(feature) < X.shape[1]:
            found.append(int(feature))
    if len(chosen) != 2 or len(set(found)) != 2:
        names = " or names of its columns" if known else ""
        raise ValueError(
            f"features must be two different numbers of columns of X, from 0 to {X.shape[1] - 1}{names}. "
            f"Got {features!r}."
        )
    return found


def _median(X: AnyArray) -> FloatArray:
    """Return the median of each feature that is known of anything, in the type of `X` if that is a float."""
    X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
    median: FloatArray = np.array([np.nanmedian(column) if np.isfinite(column).any() else np.nan for column in X.T])
    return median.astype(X.dtype)


def _typical(column: Any, n_rows: int) -> Any:
    """Return a column of `n_rows` with the median, or the most frequent value of what are not numbers."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(column) and not is_bool_dtype(column):
        return np.full(n_rows, float(column.median()))
    most_frequent = column.mode() if column.notna().any() else column
    return most_frequent.take(np.zeros(n_rows, dtype=int)).reset_index(drop=True)


def _span(values: FloatArray, resolution: int) -> FloatArray:
    """Return equally spaced values over the range of `values` and a little more."""
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    margin = MARGIN * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, resolution)


def _limits(centers: FloatArray) -> tuple[float, float]:
    """Return where the first pixel begins and the last one ends."""
    half = (centers[1] - centers[0]) / 2.0
    return float(centers[0] - half), float(centers[-1] + half)


def _predict(estimator: Any, rows: Any) -> tuple[AnyArray, FloatArray | None, AnyArray | None]:
    """Return the predictions: of a classifier as indices, with their probabilities and the classes."""
    predicted = np.asarray(estimator.predict(rows))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if predicted.ndim != 1:
        raise ValueError(
            f"The estimator predicts {predicted.shape[1]} targets at once, and a picture shows one. Fit one to a "
            "single column of y."
        )
    if not is_classifier(estimator):
        return predicted.astype(np.float64), None, None
    classes = np.asarray(estimator.classes_)
    winner = _indices(predicted, classes)
    if not hasattr(estimator, "predict_proba"):
        return winner, None, classes
    probabilities = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    return winner, probabilities[np.arange(len(winner)), winner], classes


def _indices(labels: AnyArray, classes: AnyArray) -> IntArray:
    """Return the place of each label among the classes; one that is not among them raises ValueError."""
    place = {label: index for index, label in enumerate(classes.tolist())}
    unknown = sorted({str(label) for label in labels.tolist() if label not in place})
    if unknown:
        raise ValueError(f"y has classes that the estimator does not know: {', '.join(unknown[:5])}.")
    return np.array([place[label] for label in labels.tolist()], dtype=np.int64)


def _targets(y: Any, classes: AnyArray | None, n_samples: int) -> AnyArray:
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y must have one dimension. Got the shape {y.shape}.")
    check_consistent_length(range(n_samples), y)
    return y.astype(np.float64) if classes is None else _indices(y, classes)


def _mix(color: Any, strength: Any) -> Any:
    """Return the colour on white: a little of it at a strength of 0, most of it at 1."""
    share = FAINTEST + (STRONGEST - FAINTEST) * np.clip(np.nan_to_num(strength), 0.0, 1.0)
    return 1.0 - share * (1.0 - np.asarray(color))


def _explain_strength(ax: "Axes", even: float) -> "Colorbar":
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    greys = ListedColormap(_mix(np.full(3, 0.2), np.linspace(0.0, 1.0, 128)[:, np.newaxis]))
    bar = ax.figure.colorbar(ScalarMappable(Normalize(even, 1.0), greys), ax=ax, fraction=0.06)
    bar.set_label("Probability of the predicted class")
    return bar
