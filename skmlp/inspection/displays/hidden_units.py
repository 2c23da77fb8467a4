"""What the units of a layer look at: their incoming weights as images."""

from math import ceil, isqrt
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection._estimators import fitted_part
from skmlp.inspection.displays._drawing import INK, NOT_FINITE, new_axes, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage
    from matplotlib.transforms import BboxBase

__all__ = ["HiddenUnitsDisplay"]

# Room about an image, in its own width and height: beside it, and above it for the number of the unit.
BESIDE, ABOVE = 0.08, 0.24
# Images flatter or narrower than this, height over width or the other way round, have the room of one that is not.
NARROW = 0.4


class HiddenUnitsDisplay:
    """Incoming weights of hidden units as images: which patterns of the inputs they respond to.

    All images have the same colours: white is a weight of zero, red pixels raise what goes into the unit and blue ones
    lower it. The number above an image is the unit's column of ``coefs_[layer]``.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_units)
        The incoming weights of each unit.
    image_shape : tuple of int
        Height and width; their product is n_features, and pixels are in the order of rows.
    unit_numbers : sequence of int
        Which units to show, in this order.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with all images.
    figure_ : matplotlib Figure
        Their figure.
    images_ : list of matplotlib AxesImage
        One for each unit.
    colorbar_ : matplotlib Colorbar
        Explains the colours.

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

    Without `ax`, a figure of pyplot opens:

    >>> HiddenUnitsDisplay.from_estimator(est)  # doctest: +SKIP
    """

    ax_: "Axes"
    figure_: "Figure | SubFigure"
    images_: "list[AxesImage]"
    colorbar_: "Colorbar"

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
        ax: "Axes | None" = None,
    ) -> Self:
        """Draw the weights of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted MLPClassifier or MLPRegressor, also as the last step of a Pipeline, in a search (its best
            estimator) or in a TransformedTargetRegressor.
        layer : int, default=0
            Which of ``coefs_``: 0 is the first hidden layer, the last one the output layer.
        image_shape : tuple of (int, int), default=None
            Height and width. By default a square.
        n_units : int, default=16
            How many units to show, at most.
        order : {"norm", "index"}, default="norm"
            Show the units with the largest Euclidean norm of their weights, largest first, or the first units.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : HiddenUnitsDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            If a parameter is invalid, or there is no square of as many pixels as inputs.
        """
        coefs = fitted_part(estimator, "coefs_", cls.__name__)
        if not _is_int(layer) or not 0 <= layer < len(coefs):
            raise ValueError(f"layer must be an int in the range [0, {len(coefs) - 1}]. Got {layer!r}.")
        if not _is_int(n_units) or n_units < 1:
            raise ValueError(f"n_units must be an int in the range [1, inf). Got {n_units!r}.")
        if order not in ("norm", "index"):
            raise ValueError(f"order must be 'norm' or 'index'. Got {order!r}.")
        weights = np.array(coefs[layer])  # a copy: training on does not change the display
        shape = _image_shape(image_shape, len(weights))
        chosen = np.arange(weights.shape[1]) if order == "index" else _strongest_first(weights)
        return cls(weights, shape, chosen[:n_units].tolist()).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. The colour bar takes its room from them.

        Returns
        -------
        self : HiddenUnitsDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        shown = numbers(self.weights)[:, list(self.unit_numbers)]
        limit = float(np.nanmax(np.abs(shown))) if np.isfinite(shown).any() else 0.0
        norm = Normalize(-limit, limit) if limit > 0.0 else Normalize(-1.0, 1.0)
        cmap = colormaps["RdBu_r"].with_extremes(bad=NOT_FINITE)
        self.colorbar_ = self.figure_.colorbar(ScalarMappable(norm, cmap), ax=ax)
        self.colorbar_.set_label("Weight")
        inches = ax.get_window_extent().transformed(self.figure_.dpi_scale_trans.inverted())
        mosaic = _Mosaic(self.image_shape, shown.shape[1], inches)
        self.images_ = []
        for unit, weights, (left, top) in zip(self.unit_numbers, shown.T, mosaic.corners, strict=True):
            extent = (left, left + mosaic.width, top + mosaic.height, top)
            image = weights.reshape(self.image_shape)
            self.images_.append(ax.imshow(image, norm=norm, cmap=cmap, extent=extent, interpolation="nearest"))
            middle = left + mosaic.width / 2.0
            ax.text(middle, top, str(unit), fontsize=mosaic.letters, color=INK, ha="center", va="bottom")
        ax.set(xlim=(0.0, mosaic.right), ylim=(mosaic.bottom, -mosaic.above))
        ax.set_axis_off()
        return self


class _Mosaic:
    """Where images lie, in pixels of theirs, row by row from the upper left: as large as can be in `box`, in inches.

    Attributes
    ----------
    corners : list of (float, float)
        Left and upper edge of each image.
    height, width : int
        Of an image.
    above : float
        Height of the room for a number above each.
    right, bottom : float
        Where the last column and row end.
    letters : float
        A size for the numbers, in points.
    """

    def __init__(self, image_shape: tuple[int, int], n_images: int, box: "BboxBase") -> None:
        self.height, self.width = image_shape
        # A single row or column of pixels is no measure for letters.
        self.above = ABOVE * max(self.height, NARROW * self.width)
        across, down = (1.0 + BESIDE) * max(self.width, NARROW * self.height), self.height + self.above

        def pixel(n_cols: int) -> float:
            return min(box.width / (n_cols * across), box.height / (ceil(n_images / n_cols) * down))

        n_cols = max(range(1, n_images + 1), key=pixel)
        aside = (across - self.width) / 2.0
        self.corners = [(index % n_cols * across + aside, index // n_cols * down) for index in range(n_images)]
        self.right = n_cols * across
        self.bottom = ceil(n_images / n_cols) * down - self.above
        self.letters = min(9.0, 0.7 * self.above * pixel(n_cols) * 72.0)


def _strongest_first(weights: FloatArray) -> Any:
    """Return the numbers of the units by falling norm; what is not a number comes last, as it would hide the rest."""
    norms = np.linalg.norm(weights, axis=0)
    return np.argsort(-np.where(np.isfinite(norms), norms, -1.0), kind="stable")


def _image_shape(image_shape: Any, n_features: int) -> tuple[int, int]:
    if image_shape is None:
        side = isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"The units have {n_features} inputs, which is not the number of pixels of a square. Give their "
                "image_shape=(height, width)."
            )
        return side, side
    shape = tuple(image_shape) if isinstance(image_shape, tuple | list) else ()
    if len(shape) != 2 or not all(_is_int(side) and side > 0 for side in shape) or shape[0] * shape[1] != n_features:
        raise ValueError(
            f"image_shape must be (height, width) with height * width = {n_features}, the number of inputs of the "
            f"units. Got {image_shape!r}."
        )
    return int(shape[0]), int(shape[1])


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
