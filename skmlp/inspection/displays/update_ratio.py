"""Update ratios over epochs."""

from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection.displays._base import MonitorDisplay
from skmlp.inspection.displays._drawing import (
    GREEN,
    INK,
    VERMILLION,
    label_epochs,
    layer_name,
    layer_ticks,
    legend_above,
    log_range,
    plot_epochs,
    style_axes,
)
from skmlp.inspection.displays._matplotlib import Artist, Axes, Colorbar, Line2D

# Rule of thumb: updates of about a thousandth of the weights. A power of ten more or less is no reason for concern.
HEALTHY = (1e-4, 1e-2)
# With more lines than this, a color bar replaces the names.
MAX_NAMED = 6


class UpdateRatioDisplay(MonitorDisplay):
    r"""Norm of each layer's updates relative to its weights over the epochs: whether steps are too small or too large.

    For layer l that is :math:`\lVert \Delta W_l \rVert / \lVert W_l \rVert`, on a log axis. The shaded band from 1e-4
    to 1e-2 surrounds 1e-3, a common rule of thumb for healthy training: far below it a layer hardly learns, far above
    it the training is unstable. Triangles at the bottom mark epochs in which a layer was not updated at all. Infinity
    and NaN leave gaps.

    Parameters
    ----------
    monitor : dict of str to array-like
        An estimator's ``monitor_``: ``"epoch"``, of shape (n_monitored_epochs,), and ``"update_ratio"``, of shape
        (n_monitored_epochs, n_layers), one number for each dense layer from input to output.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the lines.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        One for each layer, from input to output; darker ones are closer to the input.
    band_ : matplotlib Polygon
        The shaded band.
    colorbar_ : matplotlib Colorbar or None
        Key to the layers' colors; None for up to six layers, which are named in the legend instead.

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

    Without `ax`, a new pyplot figure is used:

    >>> UpdateRatioDisplay.from_history(monitor)  # doctest: +SKIP
    """

    lines_: list[Line2D]
    band_: Any
    colorbar_: Colorbar | None
    _statistic = "update_ratio"

    def _draw(self, ax: Axes) -> None:
        epochs, ratios = self._monitored()
        n_layers = ratios.shape[1]
        colors = _colors_by_depth(n_layers)
        self.band_ = ax.axhspan(*HEALTHY, color=GREEN, alpha=0.15, linewidth=0.0, label="healthy, about 0.001")
        width = 1.6 if n_layers <= MAX_NAMED else 1.0
        positive = np.where(ratios > 0.0, ratios, np.nan)
        self.lines_ = [
            plot_epochs(ax, epochs, positive[:, layer], colors[layer], layer_name(layer + 1, n_layers), width)
            for layer in range(n_layers)
        ]
        zeros = _mark_zeros(ax, epochs, ratios)
        low, high = log_range(np.append(positive[np.isfinite(positive)], HEALTHY))
        ax.set(yscale="log", ylim=(low / 1.5, high * 1.5), ylabel="Norm of updates / norm of weights")
        style_axes(ax)
        label_epochs(ax)
        named: list[Artist] = [*self.lines_] if n_layers <= MAX_NAMED else []
        self.colorbar_ = None if named else _add_colorbar(ax, n_layers)
        legend_above(ax, [*named, self.band_, *zeros])


def _colors_by_depth(n_layers: int) -> Any:
    from matplotlib import colormaps

    # The bright yellow at the end of the colormap is hard to see on white.
    return colormaps["viridis"](np.linspace(0.0, 0.8, n_layers))


def _mark_zeros(ax: Axes, epochs: FloatArray, ratios: FloatArray) -> list[Line2D]:
    """Mark, at the lower edge, the epochs in which a layer was not updated."""
    zero = epochs[(ratios == 0.0).any(axis=1)]
    if not zero.size:
        return []
    style: dict[str, Any] = {
        "linestyle": "none",
        "marker": "v",
        "color": VERMILLION,
        "label": "a layer was not updated",
    }
    return ax.plot(zero, np.full(zero.shape, 0.02), transform=ax.get_xaxis_transform(), **style)


def _add_colorbar(ax: Axes, n_layers: int) -> Colorbar:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    steps = ListedColormap(_colors_by_depth(n_layers))
    bar = ax.figure.colorbar(ScalarMappable(Normalize(0.5, n_layers + 0.5), steps), ax=ax, ticks=layer_ticks(n_layers))
    bar.set_label("Layer, input to output", color=INK)
    bar.ax.minorticks_off()
    return bar
