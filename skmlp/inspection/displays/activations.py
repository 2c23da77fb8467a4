"""Distributions of activations, or of gradients, in each layer over epochs."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection.displays._drawing import (
    SMALL,
    SMALLER,
    cell_edges,
    divide,
    has_layout,
    label_epochs,
    layer_name,
    new_axes,
)
from skmlp.inspection.displays._monitored import MonitorDisplay, monitor_of
from skmlp.nn.statistics import BANDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

__all__ = ["ActivationDisplay"]

# Panels at most: more are too small to read. Of more layers evenly spaced ones are shown.
PANELS = 12
# Beyond this ratio between the widest and the narrowest distribution, the narrow ones would not be seen to scale ...
WIDEST_RATIO = 30.0
# ... and below this share of the widest they are not, on a log scale either.
NARROWEST = 1e-10
# The bands from the outermost to the middle, light to dark, and the median in them.
SHADES, MEDIAN = ("#d4e4f3", "#a3cbe6", "#64a3d1", "#2f74b5"), "#04152f"


class ActivationDisplay(MonitorDisplay):
    """Distribution of each layer's activations over the epochs: which layers saturate, die, drift or explode.

    One panel a layer, from input to output; the last one has the raw values of the output layer, before any softmax.
    Nested bands lie between quantiles, symmetrically about the median (the line): they hold 38 %, 68 %, 87 % and all
    values, as half, one and one and a half standard deviations of a normal distribution do. An epoch that was not
    observed is drawn as the nearest one that was. Quantiles that are infinite or not a number leave gaps.

    Hidden layers share one scale, so that they can be compared; so do all layers' gradients. Where layers or epochs
    differ widely it is logarithmic on both sides of a linear part about zero. Of more than twelve layers evenly spaced
    ones are shown, the first and the last among them.

    Parameters
    ----------
    monitor : dict of str to array-like
        What an estimator's ``monitor_`` holds: ``"epoch"``, of shape (n_observed,), and ``"activation_quantiles"`` or
        ``"gradient_quantiles"``, of shape (n_observed, n_layers, 9), at the shares 0, 0.0668, 0.1587, 0.3085, 0.5,
        0.6915, 0.8413, 0.9332 and 1.
    statistic : {"activation", "gradient"}, default="activation"
        Show activations, or the entries of the gradient of each layer's weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first panel.
    axes_ : list of matplotlib Axes
        All panels.
    layers_ : list of int
        The number of each panel's layer, from 1.
    figure_ : matplotlib Figure
        Their figure.
    colorbar_ : matplotlib Colorbar
        Explains the bands.

    See Also
    --------
    GradientFlowDisplay : One number for each layer's gradient.

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

    Without `ax`, a figure of pyplot opens:

    >>> ActivationDisplay.from_history(monitor)  # doctest: +SKIP
    """

    axes_: "list[Axes]"
    layers_: list[int]
    colorbar_: "Colorbar"

    def __init__(
        self, monitor: Mapping[str, Any], *, statistic: Literal["activation", "gradient"] = "activation"
    ) -> None:
        super().__init__(monitor)
        self.statistic = statistic

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        statistic: Literal["activation", "gradient"] = "activation",
        ax: "Axes | None" = None,
    ) -> Self:
        """Draw what was observed while an estimator was fitted.

        Parameters
        ----------
        estimator : estimator
            An MLPClassifier or MLPRegressor that was fitted with ``monitor=True``, also as the last step of a Pipeline,
            in a search (its best estimator) or in a TransformedTargetRegressor.
        statistic : {"activation", "gradient"}, default="activation"
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : ActivationDisplay

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            If no epoch was observed, or for another statistic.
        """
        return cls(monitor_of(estimator, cls.__name__), statistic=statistic).plot(ax)

    @classmethod
    def from_history(
        cls,
        monitor: Mapping[str, Any],
        *,
        statistic: Literal["activation", "gradient"] = "activation",
        ax: "Axes | None" = None,
    ) -> Self:
        """Draw observations that were kept elsewhere.

        Parameters
        ----------
        monitor : dict of str to array-like
            As of the class.
        statistic : {"activation", "gradient"}, default="activation"
            As of the class.
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure.

        Returns
        -------
        display : ActivationDisplay

        Raises
        ------
        ValueError
            If no epoch was observed, or for another statistic.
        """
        return cls(monitor, statistic=statistic).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default in a new figure of pyplot. They become the first panel, and the others are drawn
            in the room they had.

        Returns
        -------
        self : ActivationDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If no epoch was observed, or for another statistic.
        """
        if self.statistic not in ("activation", "gradient"):
            raise ValueError(f"statistic must be 'activation' or 'gradient'. Got {self.statistic!r}.")
        epochs, quantiles = self._observed(f"{self.statistic}_quantiles")
        n_layers = quantiles.shape[1]
        shown = np.unique(np.linspace(0, n_layers - 1, min(n_layers, PANELS)).round().astype(int))
        self.layers_ = (shown + 1).tolist()
        n_rows, n_cols = _grid(len(shown))
        # The output layer, with other values than the hidden ones, stands in the corner.
        cells = [*range(len(shown) - 1), n_rows * n_cols - 1]
        self.ax_ = ax = new_axes() if ax is None else ax
        self.figure_ = ax.figure
        self.axes_ = divide(ax, n_rows, n_cols, cells, hspace=0.07 * n_rows, wspace=0.1)
        for panel, layer in zip(self.axes_, shown, strict=True):
            _draw_bands(panel, epochs, quantiles[:, layer])
            panel.set_title(layer_name(layer + 1, n_layers), fontsize=SMALLER, loc="left", pad=2.0)
        self._set_scales(quantiles[:, shown])
        self._label_outside(cells, n_rows, n_cols)
        self.colorbar_ = _explain_bands(self.axes_)
        return self

    def _set_scales(self, quantiles: FloatArray) -> None:
        """Give comparable layers one scale: the raw output is none of the activations."""
        if self.statistic == "gradient" or len(self.axes_) == 1:
            _set_scale(self.axes_, quantiles)
        else:
            _set_scale(self.axes_[:-1], quantiles[:, :-1])
            _set_scale(self.axes_[-1:], quantiles[:, -1:])

    def _label_outside(self, cells: Sequence[int], n_rows: int, n_cols: int) -> None:
        """Write numbers where no panel is to the left or below; the raw output, with its own, has them on the right."""
        for cell, panel in zip(cells, self.axes_, strict=True):
            is_left, is_lowest = cell % n_cols == 0, cell + n_cols not in cells
            is_own = self.statistic == "activation" and cell == cells[-1] and not is_left
            panel.grid(alpha=0.25, linewidth=0.6)
            if is_own:
                panel.yaxis.tick_right()
            panel.tick_params(labelsize=SMALLER, length=2.0)
            panel.tick_params(labelbottom=is_lowest, labelleft=is_left, labelright=is_own)
            if is_lowest:
                label_epochs(panel, n_ticks=4 if panel.get_xlim()[1] < 1000.0 else 2)
                panel.xaxis.label.set_fontsize(SMALL)
        label = "Activation" if self.statistic == "activation" else "Entry of the gradient"
        middle = self.axes_[(n_rows - 1) // 2 * n_cols]
        middle.set_ylabel(label, fontsize=SMALL)


def _grid(n_panels: int) -> tuple[int, int]:
    """Return rows and columns for so many panels."""
    n_rows = 1 if n_panels <= 3 else 2 if n_panels <= 8 else 3
    return n_rows, ceil(n_panels / n_rows)


def _draw_bands(ax: "Axes", epochs: FloatArray, quantiles: FloatArray) -> None:
    """Draw the bands of one layer, whose quantiles have the shape (n_observed, 9), a cell for each epoch."""
    edges = cell_edges(epochs)
    for inner, shade in enumerate(SHADES):
        lower, upper = quantiles[:, inner], quantiles[:, -1 - inner]
        there = np.isfinite(lower) & np.isfinite(upper)
        lower, upper = np.where(there, lower, np.nan), np.where(there, upper, np.nan)
        ax.stairs(upper, edges, baseline=lower, fill=True, color=shade, linewidth=0.0)
    ax.stairs(quantiles[:, len(BANDS) // 2], edges, baseline=None, color=MEDIAN, linewidth=1.2)
    ax.set_xlim(edges[0], edges[-1])


def _set_scale(panels: "Sequence[Axes]", quantiles: FloatArray) -> None:
    """Give all panels the same limits, and a log scale where the distributions' widths differ too much for another."""
    values = quantiles[np.isfinite(quantiles)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    # The extremes are those of single units and samples: what most values need decides.
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


def _label_numbers(ax: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}".replace("-", "\N{MINUS SIGN}")))


def _label_powers(ax: "Axes", linear: float, largest: float) -> None:
    """Put ticks at zero and, on either side, at the largest power of ten and one half-way to it."""
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


def _explain_bands(panels: "Sequence[Axes]") -> "Colorbar":
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    shades = ListedColormap([*SHADES, *reversed(SHADES)])
    pad = 0.02 if has_layout(panels[0]) else 0.14  # room for numbers at the right
    bar = panels[0].figure.colorbar(
        ScalarMappable(BoundaryNorm(BANDS, shades.N), shades), ax=list(panels), ticks=BANDS, fraction=0.06, pad=pad
    )
    bar.ax.set_yticks(BANDS, [f"{100.0 * share:.0f} %" for share in BANDS], fontsize=SMALLER)
    bar.ax.axhline(0.5, color=MEDIAN, linewidth=1.2)
    bar.set_label("Share of values below", fontsize=SMALL)
    return bar
