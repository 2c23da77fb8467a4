"""Gradient norms of all layers over epochs."""

from typing import Any

import numpy as np

from skmlp.inspection.displays._base import MonitorDisplay
from skmlp.inspection.displays._drawing import (
    NOT_FINITE,
    ZERO,
    cell_edges,
    label_epochs,
    label_log_scale,
    layer_ticks,
    log_range,
)
from skmlp.inspection.displays._matplotlib import Axes, Colorbar


class GradientFlowDisplay(MonitorDisplay):
    """Norm of each layer's gradient over the epochs: where and when gradients vanish or explode.

    The colors have a log scale. Zero has a color of its own, and so have infinity and NaN. An epoch that was not
    monitored has the color of the nearest one that was.

    Parameters
    ----------
    monitor : dict of str to array-like
        An estimator's ``monitor_``: ``"epoch"``, of shape (n_monitored_epochs,), and ``"gradient_norm"``, of shape
        (n_monitored_epochs, n_layers), one norm for each dense layer from input to output.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure containing the axes.
    im_ : matplotlib QuadMesh
        The heat map.
    colorbar_ : matplotlib Colorbar
        Key to the colors.

    See Also
    --------
    HistoryDisplay : The losses.
    UpdateRatioDisplay : The sizes of the updates.
    ActivationDisplay : Distributions of the activations or of the gradients.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skmlp.inspection import GradientFlowDisplay
    >>> monitor = {"epoch": [1, 2, 3], "gradient_norm": [[1e-4, 0.1], [2e-4, 0.1], [5e-4, 0.1]]}
    >>> display = GradientFlowDisplay.from_history(monitor, ax=Figure().subplots())
    >>> display.im_.get_array().shape  # layers, epochs
    (2, 3)

    Without `ax`, a new pyplot figure is used:

    >>> GradientFlowDisplay.from_history(monitor)  # doctest: +SKIP
    """

    im_: Any
    colorbar_: Colorbar
    _statistic = "gradient_norm"

    def _draw(self, ax: Axes) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import LogNorm

        epochs, norms = self._monitored()
        norms = norms.T
        is_zero = norms == 0.0
        low, high = log_range(norms[norms > 0.0])
        self.im_ = ax.pcolormesh(
            cell_edges(epochs),
            np.arange(len(norms) + 1) + 0.5,
            # Half the lowest norm stands for zero, which then gets the color of what lies below the scale.
            np.where(is_zero, low / 2.0, np.clip(norms, low, high)),
            norm=LogNorm(low, high),
            cmap=colormaps["viridis"].with_extremes(under=ZERO, bad=NOT_FINITE),
            rasterized=True,
        )
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=ax, extend="min" if is_zero.any() else "neither")
        self.colorbar_.set_label("Gradient norm")
        label_log_scale(self.colorbar_.ax.yaxis, high / low)
        special = {"zero": (ZERO, is_zero), "not finite": (NOT_FINITE, ~np.isfinite(norms))}
        _explain_colors(ax, {label: color for label, (color, where) in special.items() if where.any()})
        ax.set_yticks(layer_ticks(len(norms)))
        ax.set_ylabel("Layer, input to output")
        label_epochs(ax)


def _explain_colors(ax: Axes, colors: dict[str, str]) -> None:
    """Add a legend of the colors outside the scale above the axes."""
    from matplotlib.patches import Patch

    if colors:
        ax.legend(
            handles=[Patch(color=color, label=label) for label, color in colors.items()],
            ncols=2,
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.2,
            handlelength=1.0,
        )
