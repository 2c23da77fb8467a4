"""What the displays draw with: colours, axes and their division, labels of layers and epochs, log scales."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skmlp._typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import QuadMesh
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

# Told apart with every kind of colour vision (Okabe and Ito's palette, with two of Tol's, both far darker).
BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
PALETTE = (BLUE, VERMILLION, GREEN, "#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#7f7f7f", "#332288", "#882255")
# Zero is not on a log scale, and a layer without gradient is worth an alarm; what is not a number steps back.
ZERO, NOT_FINITE = VERMILLION, "#d9d9d9"
INK = "#333333"
# Sizes of letters, in points, in panels and legends that share the room of one picture.
SMALL, SMALLER = 9, 8

# Layers that get a tick label, at most.
LABELS = 10
# Values that all lie within one power of ten are not stretched over all colours.
SMALLEST_RATIO = 10.0
# matplotlib takes a scale that ends below 1e-287 for an empty one.
TINY = 1e-280


def new_axes() -> "Axes":
    """Return axes in a new figure of pyplot."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Displays are drawn with matplotlib: pip install "skmlp[plot]"') from error
    ax: Axes = plt.subplots(layout="constrained")[1]
    return ax


def divide(
    ax: "Axes", n_rows: int, n_cols: int = 1, cells: Sequence[int] | None = None, **options: Any
) -> "list[Axes]":
    """Return panels in the room of `ax`, which becomes the first of them; all share its epochs.

    Parameters
    ----------
    ax : matplotlib Axes
    n_rows, n_cols : int
    cells : sequence of int, optional
        Which cells of this grid to fill, counted row by row from 0; by default all.
    **options
        Of matplotlib's GridSpec: ratios, and spaces where no layout engine measures them.
    """
    figure: Any = ax.figure
    spec = ax.get_subplotspec()
    cells = range(n_rows * n_cols) if cells is None else cells
    if has_layout(ax):
        options = {name: value for name, value in options.items() if name not in ("hspace", "wspace")}
    if spec is not None:
        grid: Any = spec.subgridspec(n_rows, n_cols, **options)
        ax.set_subplotspec(grid[cells[0]])
        return [ax, *(figure.add_subplot(grid[cell], sharex=ax) for cell in cells[1:])]
    # Axes that stand where the user put them are no business of a layout engine, and neither are their parts.
    (left, bottom), (right, top) = ax.get_position().get_points()
    grid = figure.add_gridspec(n_rows, n_cols, left=left, bottom=bottom, right=right, top=top, **options)
    ax.set_position(grid[cells[0]].get_position(figure))
    return [ax, *(figure.add_axes(grid[cell].get_position(figure).bounds, sharex=ax) for cell in cells[1:])]


def has_layout(ax: "Axes") -> bool:
    """Return whether a layout engine makes room for what is written about the axes."""
    return ax.get_subplotspec() is not None and ax.figure.get_layout_engine() is not None


def clean(ax: "Axes") -> None:
    """Take away what tells nothing, and add a faint grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)


def numbers(values: Any) -> FloatArray:
    """Return an array in which everything infinite is NaN: neither has a place in a picture."""
    array = np.array(values, dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def draw_curve(ax: "Axes", epochs: FloatArray, values: Any, color: Any, label: str, width: float = 1.6) -> "Line2D":
    """Draw values over epochs; what is not finite leaves a gap."""
    values = numbers(values)
    (line,) = ax.plot(epochs, values, color=color, label=label, linewidth=width)
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


def draw_heat_map(ax: "Axes", epochs: FloatArray, values: FloatArray, low: float, high: float) -> "QuadMesh":
    """Draw values of shape (n_layers, n_epochs) in colours of a log scale from `low` to `high`."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    return ax.pcolormesh(
        cell_edges(epochs),
        np.arange(len(values) + 1) + 0.5,
        values,
        norm=LogNorm(low, high),
        cmap=colormaps["viridis"].with_extremes(under=ZERO, bad=NOT_FINITE),
        rasterized=True,
    )


def cell_edges(epochs: FloatArray) -> FloatArray:
    """Return where the cell of each epoch begins and the last one ends: half way to the neighbours."""
    between = (epochs[1:] + epochs[:-1]) / 2.0
    return np.concatenate([[epochs[0] - 0.5], between, [epochs[-1] + 0.5]])


def log_range(positive: FloatArray) -> tuple[float, float]:
    """Return the ends of a log scale: the lowest and the highest value, or a power of ten about them."""
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
    low, high = max(low, TINY), max(high, TINY)
    stretch = max(1.0, SMALLEST_RATIO / (high / low)) ** 0.5
    return low / stretch, high * stretch


def label_log_scale(axis: "Axis", ratio: float) -> None:
    """Write plain numbers where the values lie within a power of ten or two, and powers of ten beyond."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    if ratio > 50.0:
        axis.set_minor_formatter(NullFormatter())
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if ratio > 4.0 else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.set_minor_locator(NullLocator())


def label_epochs(ax: "Axes", n_ticks: int = 8) -> None:
    """Put ticks at whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(n_ticks, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set_xlabel("Epoch")


def layer_ticks(n_layers: int) -> list[int]:
    """Return the numbers of layers to write on a scale: the first, the last and round ones between them."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, n_layers) if n_layers <= step * LABELS)
    # What would come too close to the last one is left out.
    chosen = [1, *(number for number in range(step, n_layers - step // 2, step) if number > 1), n_layers]
    return sorted(set(chosen))


def layer_name(number: int, n_layers: int) -> str:
    """Return what to call a layer; numbers count from 1."""
    return "output" if number == n_layers else f"layer {number}"


def shorten(text: str, length: int = 22) -> str:
    """Return the text, its middle left out where it is too long: names often differ at their ends."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def legend_above(ax: "Axes", handles: "Sequence[Artist]") -> "Legend":
    """Explain `handles` above the picture, where no data are, in as many columns as fit."""
    few = len(handles) <= 12
    for n_cols in range(len(handles), 0, -1):
        legend = ax.legend(
            handles=handles,
            ncols=n_cols,
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            fontsize=SMALL if few else SMALLER,
            columnspacing=1.2 if few else 0.8,
            handletextpad=0.5 if few else 0.2,
            handlelength=2.0 if few else 1.2,
        )
        if legend.get_window_extent().width <= ax.get_window_extent().width:
            break
    return legend
