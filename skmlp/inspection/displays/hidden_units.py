"""Incoming weights of hidden units as images."""

from math import ceil, isqrt
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skmlp._typing import FloatArray
from skmlp.estimators.parameter_checks import Number, check_argument
from skmlp.inspection._estimators import fitted_attribute
from skmlp.inspection.displays._base import Display
from skmlp.inspection.displays._drawing import INK, NOT_FINITE, finite_or_nan
from skmlp.inspection.displays._matplotlib import Axes, BboxBase, Colorbar

# Space beside an image, and above it for the number of the unit, relative to its width and height.
BESIDE, ABOVE = 0.08, 0.24
# Images more oblong than this ratio of the sides get the space of one that is not.
OBLONG = 0.4


class HiddenUnitsDisplay(Display):
    """Incoming weights of hidden units as images: which patterns of the inputs they respond to.

    All images have the same colors: white is a weight of zero, red is positive, blue is negative. The number above an
    image is the unit's column of ``coefs_[layer]``.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
        The incoming weights of each unit.
    image_shape : tuple of (int, int)
        Height and width; their product is n_features. The features are the pixels row by row.
    unit_numbers : sequence of int
        The units to draw, in this order.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with all images.
    figure_ : matplotlib Figure
        Figure containing the axes.
    images_ : list of matplotlib AxesImage
        One for each unit.
    colorbar_ : matplotlib Colorbar
        Key to the colors.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import HiddenUnitsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> est = MLPClassifier((20,), random_state=0).partial_fit(X / 16.0, y, classes=range(10))
    >>> display = HiddenUnitsDisplay.from_estimator(est, ax=Figure().subplots())
    >>> len(display.images_), display.images_[0].get_array().shape
    (16, (8, 8))

    Without `ax`, a new pyplot figure is used:

    >>> HiddenUnitsDisplay.from_estimator(est)  # doctest: +SKIP
    """

    images_: list[Any]
    colorbar_: Colorbar

    def __init__(self, weights: FloatArray, image_shape: tuple[int, int], unit_numbers: Any) -> None:
        self.weights = weights
        self.image_shape = image_shape
        self.unit_numbers = unit_numbers

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: int = 0,
        image_shape: tuple[int, int] | None = None,
        n_units: int = 16,
        order: Literal["norm", "index"] = "norm",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the weights of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, in a search (its best
            estimator) or in a TransformedTargetRegressor. Of a tabular estimator pass a member,
            ``estimator.estimators_[0]``.
        layer : int, default=0
            Index in ``coefs_``: 0 is the first hidden layer, the last index is the output layer.
        image_shape : tuple of (int, int), default=None
            Height and width; by default a square.
        n_units : int, default=16
            Largest number of units to draw.
        order : {"norm", "index"}, default="norm"
            Draw the units with the largest Euclidean norm of their weights, largest first, or the first units.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new pyplot figure.

        Returns
        -------
        display : HiddenUnitsDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If a parameter is invalid, or `image_shape` is None and the number of inputs is not a square.
        """
        coefs = fitted_attribute(estimator, "coefs_", cls.__name__)
        function = f"{cls.__name__}.from_estimator"
        check_argument(function, "layer", layer, Number(Integral, 0, len(coefs), closed="left"))
        check_argument(function, "n_units", n_units, Number(Integral, 1, None, closed="left"))
        check_argument(function, "order", order, StrOptions({"norm", "index"}))
        weights = np.array(coefs[layer])  # a copy, which further training does not change
        shape = _image_shape(image_shape, len(weights))
        units = np.arange(weights.shape[1]) if order == "index" else _by_decreasing_norm(weights)
        return cls(weights, shape, units[:n_units].tolist()).plot(ax)

    def _draw(self, ax: Axes) -> None:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        drawn = finite_or_nan(self.weights)[:, list(self.unit_numbers)]
        limit = float(np.nanmax(np.abs(drawn))) if np.isfinite(drawn).any() else 0.0
        norm = Normalize(-limit, limit) if limit > 0.0 else Normalize(-1.0, 1.0)
        cmap = colormaps["RdBu_r"].with_extremes(bad=NOT_FINITE)
        self.colorbar_ = self.figure_.colorbar(ScalarMappable(norm, cmap), ax=ax)
        self.colorbar_.set_label("Weight")
        inches = ax.get_window_extent().transformed(self.figure_.dpi_scale_trans.inverted())
        mosaic = _Mosaic(self.image_shape, drawn.shape[1], inches)
        self.images_ = []
        for unit, weights, (left, top) in zip(self.unit_numbers, drawn.T, mosaic.corners, strict=True):
            extent = (left, left + mosaic.width, top + mosaic.height, top)
            image = weights.reshape(self.image_shape)
            self.images_.append(ax.imshow(image, norm=norm, cmap=cmap, extent=extent, interpolation="nearest"))
            middle = left + mosaic.width / 2.0
            ax.text(middle, top, str(unit), fontsize=mosaic.font_size, color=INK, ha="center", va="bottom")
        ax.set(xlim=(0.0, mosaic.right), ylim=(mosaic.bottom, -mosaic.above))
        ax.set_axis_off()


class _Mosaic:
    """Positions of images, row by row from the upper left, as large as possible in a `box` given in inches.

    Lengths are in pixels of the images. `corners` are the left and upper edges of the images, `above` is the height of
    the space for a number above each of them, and `right` and `bottom` are the edges of the last column and row.
    """

    def __init__(self, image_shape: tuple[int, int], n_images: int, box: BboxBase) -> None:
        self.height, self.width = image_shape
        self.above = ABOVE * max(self.height, OBLONG * self.width)
        across, down = (1.0 + BESIDE) * max(self.width, OBLONG * self.height), self.height + self.above

        def pixel(n_cols: int) -> float:
            return min(box.width / (n_cols * across), box.height / (ceil(n_images / n_cols) * down))

        n_cols = max(range(1, n_images + 1), key=pixel)
        margin = (across - self.width) / 2.0
        self.corners = [(index % n_cols * across + margin, index // n_cols * down) for index in range(n_images)]
        self.right = n_cols * across
        self.bottom = ceil(n_images / n_cols) * down - self.above
        self.font_size = min(9.0, 0.7 * self.above * pixel(n_cols) * 72.0)


def _by_decreasing_norm(weights: FloatArray) -> Any:
    """Return the numbers of the units by decreasing norm; units with infinity or NaN come last."""
    norms = np.linalg.norm(weights, axis=0)
    return np.argsort(-np.where(np.isfinite(norms), norms, -1.0), kind="stable")


def _image_shape(image_shape: Any, n_features: int) -> tuple[int, int]:
    if image_shape is None:
        side = isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"The units have {n_features} inputs, which is not the number of pixels of a square image. Pass "
                "image_shape=(height, width)."
            )
        return side, side
    shape = tuple(image_shape) if isinstance(image_shape, tuple | list) else ()
    sides = Number(Integral, 1, None, closed="left")
    if len(shape) != 2 or not all(map(sides.is_satisfied_by, shape)) or shape[0] * shape[1] != n_features:
        raise ValueError(
            "The 'image_shape' parameter of HiddenUnitsDisplay.from_estimator must be (height, width) with "
            f"height * width = {n_features}, the number of inputs of the units. Got {image_shape!r} instead."
        )
    return int(shape[0]), int(shape[1])
