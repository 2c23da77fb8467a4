"""Pictures of a training: losses over epochs, gradients over layers and epochs.

Both classes follow scikit-learn's displays: ``from_estimator`` draws at once and returns the display, ``plot`` draws
again, for instance on other axes. matplotlib is imported when something is drawn; pyplot only when no axes are given.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import QuadMesh
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["GradientFlowDisplay", "HistoryDisplay"]

# Told apart with every kind of colour vision (Okabe and Ito's palette).
BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
# Zero is not on a log scale, and a layer without gradient is worth an alarm; what is not a number steps back.
ZERO, NOT_FINITE = VERMILLION, "#d9d9d9"
# Layers that get a tick label, at most.
LABELS = 10
# Norms that all lie within one power of ten are not stretched over all colours.
SMALLEST_RATIO = 10.0
# matplotlib takes a scale that ends below 1e-287 for an empty one.
TINY = 1e-280


class HistoryDisplay:
    """Training and validation loss over the epochs, with the validation score below them where there is one.

    The losses are without penalty, so that the two can be compared. Epochs that diverged leave gaps; a ring marks the
    lowest validation loss.

    Parameters
    ----------
    history : dict of str to list of float
        What an estimator's ``history_`` holds: at least ``"train_loss"`` and, with validation data,
        ``"validation_loss"`` and ``"validation_score"``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    score_ax_ : matplotlib Axes or None
        Axes with the validation score.
    figure_ : matplotlib Figure
        The figure of both.
    lines_ : list of matplotlib Line2D
        Training loss, and with validation data validation loss and validation score.

    See Also
    --------
    GradientFlowDisplay : The gradient in each layer.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier
    >>> from skmlp.inspection import HistoryDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> est = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
    >>> display = HistoryDisplay.from_estimator(est, ax=Figure().subplots())
    >>> display.lines_[0].get_label()
    'training'

    Without `ax`, a figure of pyplot opens:

    >>> HistoryDisplay.from_estimator(est)  # doctest: +SKIP
    """

    ax_: "Axes"
    score_ax_: "Axes | None"
    figure_: "Figure | SubFigure"
    lines_: "list[Line2D]"

    def __init__(self, history: Mapping[str, Sequence[float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            A fitted one.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        check_is_fitted(estimator, "history_")
        return cls(estimator.history_).plot(ax)

    @classmethod
    def from_history(cls, history: Mapping[str, Sequence[float]], *, ax: "Axes | None" = None) -> Self:
        """Draw a history that was kept elsewhere.

        Parameters
        ----------
        history : dict of str to list of float
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : HistoryDisplay
        """
        return cls(history).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. With a validation score the axes give up their lower
            third to it.

        Returns
        -------
        self : HistoryDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        self.ax_ = new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        self.score_ax_ = None
        self.lines_ = [_draw_curve(self.ax_, self.history["train_loss"], BLUE, "training")]
        if "validation_loss" in self.history:
            self._draw_validation()
        _finish_losses(self.ax_, self.lines_)
        if "validation_score" in self.history:
            self.score_ax_ = _axes_below(self.ax_)
            self._draw_score(self.score_ax_)
        _label_epochs(self.score_ax_ or self.ax_)
        return self

    def _draw_validation(self) -> None:
        losses = _numbers(self.history["validation_loss"])
        line = _draw_curve(self.ax_, losses, VERMILLION, "validation")
        self.lines_.append(line)
        if np.isfinite(losses).any():
            best = int(np.nanargmin(losses))
            line.set_label(f"validation, lowest in epoch {best + 1}")
            self.ax_.plot(best + 1, losses[best], "o", color=VERMILLION, fillstyle="none", markersize=9)

    def _draw_score(self, ax: "Axes") -> None:
        self.lines_.append(_draw_curve(ax, self.history["validation_score"], GREEN, "validation score"))
        ax.set_ylabel("Validation score")
        clean(ax)


class GradientFlowDisplay:
    """Norm of each layer's gradient over the epochs: where gradients vanish or explode, and when.

    The colours have a log scale. A norm of zero, which has no place on it, has a colour of its own; so has one that is
    infinite or not a number. An epoch that was not observed is drawn as the nearest one that was.

    Parameters
    ----------
    monitor : dict of str to list
        What an estimator's ``monitor_`` holds: ``"epoch"``, one number for each observed epoch, and
        ``"gradient_norm"``, a list of one norm for each dense layer, from input to output, for each.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Their figure.
    im_ : matplotlib QuadMesh
        The heat map.
    colorbar_ : matplotlib Colorbar
        The bar that explains its colours.

    See Also
    --------
    HistoryDisplay : The losses.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skmlp.inspection import GradientFlowDisplay
    >>> monitor = {"epoch": [1, 2, 3], "gradient_norm": [[1e-4, 0.1], [2e-4, 0.1], [5e-4, 0.1]]}
    >>> display = GradientFlowDisplay.from_history(monitor, ax=Figure().subplots())
    >>> display.im_.get_array().shape  # layers, epochs
    (2, 3)

    Without `ax`, a figure of pyplot opens:

    >>> GradientFlowDisplay.from_history(monitor)  # doctest: +SKIP
    """

    ax_: "Axes"
    figure_: "Figure | SubFigure"
    im_: "QuadMesh"
    colorbar_: "Colorbar"

    def __init__(self, monitor: Mapping[str, Any]) -> None:
        self.monitor = monitor

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None) -> Self:
        """Draw what was observed while an estimator was fitted.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            One that was fitted with ``monitor=True``.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : GradientFlowDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            If no epoch was observed.
        """
        check_is_fitted(estimator)
        return cls(getattr(estimator, "monitor_", {})).plot(ax)

    @classmethod
    def from_history(cls, monitor: Mapping[str, Any], *, ax: "Axes | None" = None) -> Self:
        """Draw observations that were kept elsewhere.

        Parameters
        ----------
        monitor : dict of str to list
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : GradientFlowDisplay

        Raises
        ------
        ValueError
            If no epoch was observed.
        """
        return cls(monitor).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. The colour bar takes its room from them.

        Returns
        -------
        self : GradientFlowDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If no epoch was observed.
        """
        if len(self.monitor.get("epoch", ())) == 0:
            raise ValueError(
                "There is no gradient to show: no epoch of the training was observed. Fit the estimator with "
                "monitor=True, which measures every layer while it trains."
            )
        norms = _numbers(self.monitor["gradient_norm"]).T
        zero = norms == 0.0
        self.ax_ = new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        low, high = _color_range(norms[norms > 0.0])
        # Half the lowest norm stands for zero: below the scale, so that it gets the colour of what is.
        values = np.where(zero, low / 2.0, np.clip(norms, low, high))
        self.im_ = _draw_heat_map(self.ax_, _numbers(self.monitor["epoch"]), values, low, high)
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=self.ax_, extend="min" if zero.any() else "neither")
        self.colorbar_.set_label("Gradient norm")
        label_log_scale(self.colorbar_.ax.yaxis, high / low)
        _explain_colours(self.ax_, {ZERO: ("zero", zero), NOT_FINITE: ("not finite", ~np.isfinite(norms))})
        _label_layers(self.ax_, len(norms))
        _label_epochs(self.ax_)
        return self


def new_axes() -> "Axes":
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Displays are drawn with matplotlib: pip install "skmlp[plot]"') from error
    ax: Axes = plt.subplots(layout="constrained")[1]
    return ax


def _numbers(values: Any) -> FloatArray:
    """Return an array in which everything infinite is NaN: neither has a place in a picture."""
    array = np.array(values, dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def _draw_curve(ax: "Axes", values: Any, color: str, label: str) -> "Line2D":
    values = _numbers(values)
    (line,) = ax.plot(np.arange(1, len(values) + 1), values, color=color, label=label, linewidth=1.6)
    # A line through one epoch between two gaps would not be seen.
    alone = np.flatnonzero(_alone(values)).tolist()
    if alone:
        line.set(marker="o", markersize=3, markevery=alone)
    return line


def _alone(values: FloatArray) -> BoolArray:
    """Return where a number has none beside it."""
    there = np.pad(np.isfinite(values), 1)
    alone: BoolArray = there[1:-1] & ~there[:-2] & ~there[2:]
    return alone


def _finish_losses(ax: "Axes", lines: "list[Line2D]") -> None:
    values = np.concatenate([_numbers(line.get_ydata()) for line in lines])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0.0:
        ax.set_yscale("log")
        label_log_scale(ax.yaxis, values.max() / values.min())
    ax.set_ylabel("Loss")
    ax.legend(frameon=False, loc="best")
    clean(ax)


def label_log_scale(axis: "Axis", ratio: float) -> None:
    """Write plain numbers where the values lie within a power of ten or two, and powers of ten beyond."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    if ratio > 50.0:
        axis.set_minor_formatter(NullFormatter())
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if ratio > 4.0 else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.set_minor_locator(NullLocator())


def _axes_below(ax: "Axes") -> "Axes":
    """Give the lower third of `ax` to new axes that share its epochs."""
    figure, spec = ax.figure, ax.get_subplotspec()
    if spec is not None:
        parts = spec.subgridspec(2, 1, height_ratios=(2, 1), hspace=0.08)
        ax.set_subplotspec(parts[0])
        below = figure.add_subplot(parts[1], sharex=ax)
    else:
        left, bottom, width, height = ax.get_position().bounds
        ax.set_position((left, bottom + 0.36 * height, width, 0.64 * height))
        below = figure.add_axes((left, bottom, width, 0.32 * height), sharex=ax)
    ax.tick_params(labelbottom=False)
    return below


def _label_epochs(ax: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set_xlabel("Epoch")


def clean(ax: "Axes") -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)


def _draw_heat_map(ax: "Axes", epochs: FloatArray, values: FloatArray, low: float, high: float) -> "QuadMesh":
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    return ax.pcolormesh(
        _edges(epochs),
        np.arange(len(values) + 1) + 0.5,
        values,
        norm=LogNorm(low, high),
        cmap=colormaps["viridis"].with_extremes(under=ZERO, bad=NOT_FINITE),
        rasterized=True,
    )


def _color_range(positive: FloatArray) -> tuple[float, float]:
    """Return the ends of the colour scale: the lowest and the highest norm, or a power of ten about them."""
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
    low, high = max(low, TINY), max(high, TINY)
    stretch = max(1.0, SMALLEST_RATIO / (high / low)) ** 0.5
    return low / stretch, high * stretch


def _edges(epochs: FloatArray) -> FloatArray:
    """Return where the cell of each epoch begins and the last one ends: half way to the neighbours."""
    between = (epochs[1:] + epochs[:-1]) / 2.0
    return np.concatenate([[epochs[0] - 0.5], between, [epochs[-1] + 0.5]])


def _label_layers(ax: "Axes", n_layers: int) -> None:
    step = next(step for step in (1, 2, 5, 10, 20, 50, n_layers) if n_layers <= step * LABELS)
    # The first and the last layer are always named, and what would come too close to the last one is not.
    numbers = [1, *(number for number in range(step, n_layers - step // 2, step) if number > 1), n_layers]
    ax.set_yticks(sorted(set(numbers)))
    ax.set_ylabel("Layer, input to output")


def _explain_colours(ax: "Axes", colors: Mapping[str, tuple[str, BoolArray]]) -> None:
    """Name, above the picture, the colours outside the scale that are in it."""
    from matplotlib.patches import Patch

    patches = [Patch(color=color, label=label) for color, (label, where) in colors.items() if where.any()]
    if patches:
        ax.legend(
            handles=patches,
            ncols=2,
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.2,
            handlelength=1.0,
        )
