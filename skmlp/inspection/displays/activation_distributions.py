"""Distributions of activations or of gradients in each layer over epochs."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any, Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skmlp._typing import FloatArray
from skmlp.estimators.parameter_checks import check_argument
from skmlp.inspection.displays._base import MonitorDisplay
from skmlp.inspection.displays._drawing import (
    SMALL,
    SMALLER,
    cell_edges,
    has_layout,
    label_epochs,
    layer_name,
    split_axes,
)
from skmlp.inspection.displays._matplotlib import Axes, Colorbar
from skmlp.nn.statistics import BANDS

# More panels would be too small to read; of more layers, evenly spaced ones are drawn.
MAX_PANELS = 12
# Above this ratio of the widest to the narrowest distribution the scale is logarithmic ...
WIDEST_RATIO = 30.0
# ... down to this fraction of the widest one.
NARROWEST = 1e-10
# The bands from the outermost to the innermost, light to dark, and the median.
SHADES, MEDIAN = ("#d4e4f3", "#a3cbe6", "#64a3d1", "#2f74b5"), "#04152f"


class ActivationDisplay(MonitorDisplay):
    """Distribution of each layer's activations over the epochs: which layers saturate, die, drift or explode.

    There is one panel for each layer, from input to output. The last one shows the raw values of the output layer,
    before any softmax. Nested bands between quantiles, symmetric about the median (the line), contain 38 %, 68 %, 87 %
    and all values, like 0.5, 1 and 1.5 standard deviations of a normal distribution. An epoch that was not monitored is
    drawn as the nearest one that was. Quantiles that are infinite or NaN leave gaps.

    Hidden layers have the same scale, so that they can be compared, and so have the gradients of all layers. Where
    layers or epochs differ widely, the scale is linear about zero and logarithmic on both sides. Of more than twelve
    layers, evenly spaced ones are drawn, the first and the last among them.

    Parameters
    ----------
    monitor : dict of str to array-like
        An estimator's ``monitor_``: ``"epoch"``, of shape (n_monitored_epochs,), and ``"activation_quantiles"`` or
        ``"gradient_quantiles"``, of shape (n_monitored_epochs, n_layers, 9), at the probabilities 0, 0.0668, 0.1587,
        0.3085, 0.5, 0.6915, 0.8413, 0.9332 and 1.
    statistic : {"activation", "gradient"}, default="activation"
        Whether to draw activations or the entries of the gradient of each layer's weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first panel.
    axes_ : list of matplotlib Axes
        All panels.
    layers_ : list of int
        The number of each panel's layer, counted from 1.
    figure_ : matplotlib Figure
        Figure containing the panels.
    colorbar_ : matplotlib Colorbar
        Key to the bands.

    See Also
    --------
    GradientFlowDisplay : The norm of each layer's gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from skmlp.inspection import ActivationDisplay
    >>> quantiles = np.tile(np.linspace(-1.0, 1.0, 9), (5, 3, 1))  # of 5 epochs and 3 layers
    >>> monitor = {"epoch": [1, 2, 3, 4, 5], "activation_quantiles": quantiles}
    >>> display = ActivationDisplay.from_history(monitor, ax=Figure().subplots())
    >>> len(display.axes_)
    3

    Without `ax`, a new pyplot figure is used:

    >>> ActivationDisplay.from_history(monitor)  # doctest: +SKIP
    """

    axes_: list[Axes]
    layers_: list[int]
    colorbar_: Colorbar

    def __init__(
        self, monitor: Mapping[str, Any], *, statistic: Literal["activation", "gradient"] = "activation"
    ) -> None:
        super().__init__(monitor)
        self.statistic = statistic

    @property
    def _statistic(self) -> str:
        return f"{self.statistic}_quantiles"

    def _check(self) -> None:
        check_argument("ActivationDisplay", "statistic", self.statistic, StrOptions({"activation", "gradient"}))
        super()._check()

    def _draw(self, ax: Axes) -> None:
        epochs, quantiles = self._monitored()
        n_layers = quantiles.shape[1]
        drawn = np.unique(np.linspace(0, n_layers - 1, min(n_layers, MAX_PANELS)).round().astype(int))
        self.layers_ = (drawn + 1).tolist()
        n_rows, n_cols = _grid(len(drawn))
        # The output layer, whose scale differs from that of the hidden ones, is in the lower right corner.
        cells = [*range(len(drawn) - 1), n_rows * n_cols - 1]
        self.axes_ = split_axes(ax, n_rows, n_cols, cells, hspace=0.07 * n_rows, wspace=0.1)
        for panel, layer in zip(self.axes_, drawn, strict=True):
            _draw_bands(panel, epochs, quantiles[:, layer])
            panel.set_title(layer_name(layer + 1, n_layers), fontsize=SMALLER, loc="left", pad=2.0)
        self._set_scales(quantiles[:, drawn])
        self._label_panels(cells, n_rows, n_cols)
        self.colorbar_ = _explain_bands(self.axes_)

    def _set_scales(self, quantiles: FloatArray) -> None:
        """Give comparable layers the same scale; raw outputs are not comparable with activations."""
        if self.statistic == "gradient" or len(self.axes_) == 1:
            _set_scale(self.axes_, quantiles)
        else:
            _set_scale(self.axes_[:-1], quantiles[:, :-1])
            _set_scale(self.axes_[-1:], quantiles[:, -1:])

    def _label_panels(self, cells: Sequence[int], n_rows: int, n_cols: int) -> None:
        """Label the left and lower panels; the raw output has a scale of its own, labeled on the right."""
        for cell, panel in zip(cells, self.axes_, strict=True):
            is_left, is_lowest = cell % n_cols == 0, cell + n_cols not in cells
            has_own_scale = self.statistic == "activation" and cell == cells[-1] and not is_left
            panel.grid(alpha=0.25, linewidth=0.6)
            if has_own_scale:
                panel.yaxis.tick_right()
            panel.tick_params(labelsize=SMALLER, length=2.0)
            panel.tick_params(labelbottom=is_lowest, labelleft=is_left, labelright=has_own_scale)
            if is_lowest:
                label_epochs(panel, n_ticks=4 if panel.get_xlim()[1] < 1000.0 else 2)
                panel.xaxis.label.set_fontsize(SMALL)
        label = "Activation" if self.statistic == "activation" else "Entry of the gradient"
        middle = self.axes_[(n_rows - 1) // 2 * n_cols]
        middle.set_ylabel(label, fontsize=SMALL)


def _grid(n_panels: int) -> tuple[int, int]:
    """Return the numbers of rows and columns for a number of panels."""
    n_rows = 1 if n_panels <= 3 else 2 if n_panels <= 8 else 3
    return n_rows, ceil(n_panels / n_rows)


def _draw_bands(ax: Axes, epochs: FloatArray, quantiles: FloatArray) -> None:
    """Draw the bands of a layer from quantiles of shape (n_monitored_epochs, 9)."""
    edges = cell_edges(epochs)
    for inner, shade in enumerate(SHADES):
        lower, upper = quantiles[:, inner], quantiles[:, -1 - inner]
        finite = np.isfinite(lower) & np.isfinite(upper)
        lower, upper = np.where(finite, lower, np.nan), np.where(finite, upper, np.nan)
        ax.stairs(upper, edges, baseline=lower, fill=True, color=shade, linewidth=0.0)
    ax.stairs(quantiles[:, len(BANDS) // 2], edges, baseline=None, color=MEDIAN, linewidth=1.2)
    ax.set_xlim(edges[0], edges[-1])


def _set_scale(panels: Sequence[Axes], quantiles: FloatArray) -> None:
    """Give all panels the same limits, and a log scale if the widths of the distributions differ too much."""
    values = quantiles[np.isfinite(quantiles)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    # Without the extremes, which belong to single units and samples.
    widths = np.abs(quantiles[..., 1:-1]).max(axis=-1)
    widths = widths[np.isfinite(widths) & (widths > 0.0)]
    if widths.size and widths.max() > WIDEST_RATIO * widths.min():
        largest = max(abs(low), abs(high))
        linear = max(float(widths.min()), NARROWEST * largest)
        for panel in panels:
            panel.set_yscale("symlog", linthresh=linear, linscale=0.5)
            panel.set_ylim(low * (2.0 if low < 0.0 else 0.5), high * (2.0 if high > 0.0 else 0.5))
            _label_powers(panel, linear, largest)
        return
    margin = max(0.05 * (high - low), 1e-6 * max(abs(low), abs(high))) or 0.5
    for panel in panels:
        panel.set_ylim(low - margin, high + margin)
        _label_numbers(panel)


def _label_numbers(ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}".replace("-", "\N{MINUS SIGN}")))


def _label_powers(ax: Axes, linear: float, largest: float) -> None:
    """Put ticks at zero and, on both sides, at the largest power of ten and one half way to it."""
    from matplotlib.ticker import NullLocator

    bottom, top = ax.get_ylim()
    highest, lowest = floor(log10(largest)), ceil(log10(linear))
    powers = sorted({highest, (highest + lowest) // 2} if highest - lowest >= 4 else {highest})
    names = {0.0: "0"}
    for power in powers:
        names |= {10.0**power: f"$10^{{{power}}}$", -(10.0**power): f"$-10^{{{power}}}$"}
    ticks = [tick for tick in sorted(names) if bottom <= tick <= top]
    ax.set_yticks(ticks, [names[tick] for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())


def _explain_bands(panels: Sequence[Axes]) -> Colorbar:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    shades = ListedColormap([*SHADES, *reversed(SHADES)])
    pad = 0.02 if has_layout(panels[0]) else 0.14  # room for tick labels on the right
    bar = panels[0].figure.colorbar(
        ScalarMappable(BoundaryNorm(BANDS, shades.N), shades), ax=list(panels), ticks=BANDS, fraction=0.06, pad=pad
    )
    bar.ax.set_yticks(BANDS, [f"{100.0 * fraction:.0f} %" for fraction in BANDS], fontsize=SMALLER)
    bar.ax.axhline(0.5, color=MEDIAN, linewidth=1.2)
    bar.set_label("Percentage of values below", fontsize=SMALL)
    return bar
