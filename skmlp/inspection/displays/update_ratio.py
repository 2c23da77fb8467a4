"""Sizes of the steps, relative to the weights, over epochs."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection.displays._drawing import (
    GREEN,
    INK,
    VERMILLION,
    clean,
    draw_curve,
    label_epochs,
    layer_name,
    layer_ticks,
    legend_above,
    log_range,
    new_axes,
)
from skmlp.inspection.displays._monitored import MonitorDisplay

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.lines import Line2D

__all__ = ["UpdateRatioDisplay"]

# Steps of about a thousandth of the weights are held to be healthy; a power of ten more or less is not worth a worry.
HEALTHY = (1e-4, 1e-2)
# More lines than this have a colour bar instead of names.
NAMED = 6


class UpdateRatioDisplay(MonitorDisplay):
    r"""Norm of each layer's updates relative to its weights over the epochs: whether steps are too small or too large.

    For layer l that is :math:`\lVert \Delta W_l \rVert / \lVert W_l \rVert`, on a log axis. The shaded band from 1e-4
    to 1e-2 lies about 1e-3, a common rule of thumb for a healthy training: far below it a layer hardly learns, far
    above it the training is unstable. Triangles at the bottom mark a layer that did not move at all; what is infinite
    or not a number leaves a gap.

    Parameters
    ----------
    monitor : dict of str to array-like
        What an estimator's ``monitor_`` holds: ``"epoch"``, of shape (n_observed,), and ``"update_ratio"``, of shape
        (n_observed, n_layers): one number for each dense layer, from input to output.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the lines.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of matplotlib Line2D
        One for each layer, from input to output: darker ones are closer to the input.
    band_ : matplotlib Polygon
        The shaded band.
    colorbar_ : matplotlib Colorbar or None
        Tells the layer by its colour; None for up to six layers, which are named instead.

    See Also
    --------
    GradientFlowDisplay : The gradient in each layer.

    References
    ----------
    Karpathy (2015), "CS231n: Convolutional neural networks for visual recognition", course notes, "Ratio of
    weights:updates", for the rule of thumb.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skmlp.inspection import UpdateRatioDisplay
    >>> monitor = {"epoch": [1, 2, 3], "update_ratio": [[1e-4, 0.01], [2e-4, 0.01], [5e-4, 0.01]]}
    >>> display = UpdateRatioDisplay.from_history(monitor, ax=Figure().subplots())
    >>> [line.get_label() for line in display.lines_]
    ['layer 1', 'output']

    Without `ax`, a figure of pyplot opens:

    >>> UpdateRatioDisplay.from_history(monitor)  # doctest: +SKIP
    """

    lines_: "list[Line2D]"
    band_: Any
    colorbar_: "Colorbar | None"

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot.

        Returns
        -------
        self : UpdateRatioDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If no epoch was observed.
        """
        epochs, ratios = self._observed("update_ratio")
        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        n_layers = ratios.shape[1]
        colors = _colors_by_depth(n_layers)
        self.band_ = ax.axhspan(*HEALTHY, color=GREEN, alpha=0.15, linewidth=0.0, label="healthy, about 0.001")
        width = 1.6 if n_layers <= NAMED else 1.0
        positive = np.where(ratios > 0.0, ratios, np.nan)
        self.lines_ = [
            draw_curve(ax, epochs, positive[:, layer], colors[layer], layer_name(layer + 1, n_layers), width)
            for layer in range(n_layers)
        ]
        still = _mark_still_layers(ax, epochs, ratios)
        low, high = log_range(np.append(positive[np.isfinite(positive)], HEALTHY))
        ax.set(yscale="log", ylim=(low / 1.5, high * 1.5), ylabel="Norm of updates / norm of weights")
        clean(ax)
        label_epochs(ax)
        named: list[Artist] = [*self.lines_] if n_layers <= NAMED else []
        self.colorbar_ = None if named else _colorbar(ax, n_layers)
        legend_above(ax, [*named, self.band_, *still])
        return self


def _colors_by_depth(n_layers: int) -> Any:
    from matplotlib import colormaps

    # The end of the map is a yellow that is hard to see on white.
    return colormaps["viridis"](np.linspace(0.0, 0.8, n_layers))


def _mark_still_layers(ax: "Axes", epochs: FloatArray, ratios: FloatArray) -> "list[Line2D]":
    """Mark, on the lower edge, epochs in which a layer did not move."""
    still = epochs[(ratios == 0.0).any(axis=1)]
    if not still.size:
        return []
    height = np.full(still.shape, 0.02)
    return ax.plot(
        still,
        height,
        linestyle="none",
        marker="v",
        color=VERMILLION,
        transform=ax.get_xaxis_transform(),
        label="a layer did not move",
    )


def _colorbar(ax: "Axes", n_layers: int) -> "Colorbar":
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    steps = ListedColormap(_colors_by_depth(n_layers))
    bar = ax.figure.colorbar(ScalarMappable(Normalize(0.5, n_layers + 0.5), steps), ax=ax, ticks=layer_ticks(n_layers))
    bar.set_label("Layer, input to output", color=INK)
    bar.ax.minorticks_off()
    return bar
