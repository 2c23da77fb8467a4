"""Gradients over layers and epochs."""

from typing import TYPE_CHECKING, Self

import numpy as np

from skmlp._typing import BoolArray
from skmlp.inspection.displays._drawing import (
    NOT_FINITE,
    ZERO,
    draw_heat_map,
    label_epochs,
    label_log_scale,
    layer_ticks,
    log_range,
    new_axes,
)
from skmlp.inspection.displays._monitored import MonitorDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colorbar import Colorbar

__all__ = ["GradientFlowDisplay"]


class GradientFlowDisplay(MonitorDisplay):
    """Norm of each layer's gradient over the epochs: where gradients vanish or explode, and when.

    The colours have a log scale. A norm of zero, which has no place on it, has a colour of its own; so has one that is
    infinite or not a number. An epoch that was not observed is drawn as the nearest one that was.

    Parameters
    ----------
    monitor : dict of str to array-like
        What an estimator's ``monitor_`` holds: ``"epoch"``, of shape (n_observed,), and ``"gradient_norm"``, of shape
        (n_observed, n_layers): one norm for each dense layer, from input to output.

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
    UpdateRatioDisplay : How large the steps are.
    ActivationDisplay : The activations, and the gradients' distributions.

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

    im_: "QuadMesh"
    colorbar_: "Colorbar"

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
        epochs, norms = self._observed("gradient_norm")
        norms = norms.T
        zero = norms == 0.0
        self.ax_ = new_axes() if ax is None else ax
        self.figure_ = self.ax_.figure
        low, high = log_range(norms[norms > 0.0])
        # Half the lowest norm stands for zero: below the scale, so that it gets the colour of what is.
        values = np.where(zero, low / 2.0, np.clip(norms, low, high))
        self.im_ = draw_heat_map(self.ax_, epochs, values, low, high)
        self.colorbar_ = self.figure_.colorbar(self.im_, ax=self.ax_, extend="min" if zero.any() else "neither")
        self.colorbar_.set_label("Gradient norm")
        label_log_scale(self.colorbar_.ax.yaxis, high / low)
        _explain_colours(self.ax_, {ZERO: ("zero", zero), NOT_FINITE: ("not finite", ~np.isfinite(norms))})
        self.ax_.set_yticks(layer_ticks(len(norms)))
        self.ax_.set_ylabel("Layer, input to output")
        label_epochs(self.ax_)
        return self


def _explain_colours(ax: "Axes", colors: dict[str, tuple[str, BoolArray]]) -> None:
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
