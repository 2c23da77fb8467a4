"""Drawing helpers: colors, axes and their division, labels of layers and epochs, log scales."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.inspection.displays._matplotlib import Artist, Axes, Axis, Legend, Line2D

# Distinguishable with every kind of color vision (Okabe and Ito's palette, and two of Tol's, both far darker).
BLUE, VERMILLION, GREEN = "#0072b2", "#d55e00", "#009e73"
PALETTE = (BLUE, VERMILLION, GREEN, "#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#7f7f7f", "#332288", "#882255")
# Of zeros on a log scale, which deserve attention, and of infinity and NaN.
ZERO, NOT_FINITE = VERMILLION, "#d9d9d9"
INK = "#333333"
# Font sizes in points, for several panels and legends in one picture.
SMALL, SMALLER = 9, 8

# Most layers with a tick label.
MAX_LABELS = 10
# A log scale covers at least this ratio, so that small differences do not take all colors.
SMALLEST_RATIO = 10.0
# matplotlib takes a scale that ends below 1e-287 for an empty one.
TINY = 1e-280


def new_axes() -> Axes:
    """Return the axes of a new pyplot figure."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Displays need matplotlib. Install it with: pip install "skmlp[plot]"') from error
    ax: Axes = plt.subplots(layout="constrained")[1]
    return ax


def split_axes(
    ax: Axes, n_rows: int, n_cols: int = 1, cells: Sequence[int] | None = None, **options: Any
) -> list[Axes]:
    """Divide the area of `ax` into panels with the same horizontal axis; `ax` becomes the first of them.

    `cells` are those to fill, counted row by row from 0; by default all. `options` are those of matplotlib's GridSpec:
    ratios, and spaces, which apply only without a layout engine.
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
    # A layout engine does not move axes that the user placed, so it must not move their panels either.
    (left, bottom), (right, top) = ax.get_position().get_points()
    grid = figure.add_gridspec(n_rows, n_cols, left=left, bottom=bottom, right=right, top=top, **options)
    ax.set_position(grid[cells[0]].get_position(figure))
    return [ax, *(figure.add_axes(grid[cell].get_position(figure).bounds, sharex=ax) for cell in cells[1:])]


def has_layout(ax: Axes) -> bool:
    """Return whether a layout engine makes room for the labels around the axes."""
    return ax.get_subplotspec() is not None and ax.figure.get_layout_engine() is not None


def style_axes(ax: Axes) -> None:
    """Remove the upper and right spines and add a faint grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)


def finite_or_nan(values: Any) -> FloatArray:
    """Return a float array in which infinity is replaced with NaN, because neither can be drawn."""
    array = np.array(values, dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def plot_epochs(ax: Axes, epochs: FloatArray, values: Any, color: Any, label: str, width: float = 1.6) -> Line2D:
    """Draw values over epochs, with a gap where a value is not finite and a dot between two gaps."""
    values = finite_or_nan(values)
    (line,) = ax.plot(epochs, values, color=color, label=label, linewidth=width)
    finite = np.pad(np.isfinite(values), 1)
    isolated = np.flatnonzero(finite[1:-1] & ~finite[:-2] & ~finite[2:]).tolist()
    if isolated:
        line.set(marker="o", markersize=3, markevery=isolated)
    return line


def cell_edges(epochs: FloatArray) -> FloatArray:
    """Return the edges of the cells of the epochs, half way to their neighbors."""
    between = (epochs[1:] + epochs[:-1]) / 2.0
    return np.concatenate([[epochs[0] - 0.5], between, [epochs[-1] + 0.5]])


def log_range(positive: FloatArray) -> tuple[float, float]:
    """Return the limits of a log scale for some values, at least a power of ten apart."""
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
    low, high = max(low, TINY), max(high, TINY)
    stretch = max(1.0, SMALLEST_RATIO / (high / low)) ** 0.5
    return low / stretch, high * stretch


def label_log_scale(axis: Axis, ratio: float) -> None:
    """Label a log scale with plain numbers if its ends have a small ratio, else with powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if ratio > 50.0:
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if ratio > 4.0 else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.set_minor_locator(NullLocator())


def label_epochs(ax: Axes, n_ticks: int = 8) -> None:
    """Label the horizontal axis, with ticks at whole epochs only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(n_ticks, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set_xlabel("Epoch")


def layer_ticks(n_layers: int) -> list[int]:
    """Return the numbers of the layers to label: the first, the last and round ones that are not too close to it."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, n_layers) if n_layers <= step * MAX_LABELS)
    chosen = [1, *(number for number in range(step, n_layers - step // 2, step) if number > 1), n_layers]
    return sorted(set(chosen))


def layer_name(number: int, n_layers: int) -> str:
    """Return the name of a layer; numbers count from 1."""
    return "output" if number == n_layers else f"layer {number}"


def shorten(text: str, length: int = 22) -> str:
    """Return the text with its middle omitted if it is too long, because names often differ at their ends."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def legend_above(ax: Axes, handles: Sequence[Artist]) -> Legend:
    """Add a legend above the axes, where there are no data, with as many columns as fit."""
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
