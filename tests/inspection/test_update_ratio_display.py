"""What the display of the steps draws: every layer's line, the healthy band, and layers that do not move."""

from typing import Any

import numpy as np
import pytest

from skmlp.inspection import UpdateRatioDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")


def ratios(values: Any, epochs: Any = None) -> UpdateRatioDisplay:
    values = np.array(values)
    monitor = {"epoch": np.arange(1, len(values) + 1) if epochs is None else epochs, "update_ratio": values}
    display = UpdateRatioDisplay.from_history(monitor, ax=FigureCanvasAgg(Figure()).figure.subplots())
    display.figure_.canvas.draw()
    return display


def names(display: UpdateRatioDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def lightness(color: Any) -> float:
    return float(np.dot(to_rgb(color), [0.2126, 0.7152, 0.0722]))


def test_every_layer_has_its_line_over_the_observed_epochs():
    display = ratios([[1e-3, 2e-3], [3e-3, 4e-3], [5e-3, 6e-3]], epochs=[1, 4, 9])
    assert [line.get_xdata().tolist() for line in display.lines_] == [[1, 4, 9]] * 2
    assert [line.get_ydata().tolist() for line in display.lines_] == [[1e-3, 3e-3, 5e-3], [2e-3, 4e-3, 6e-3]]
    assert display.ax_.get_yscale() == "log"


def test_the_healthy_band_is_shaded_named_and_in_view():
    display = ratios([[1e-9, 1e-8]])
    band = display.band_.get_window_extent().transformed(display.ax_.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [1e-4, 1e-2], rtol=1e-6)
    assert names(display)[-1] == "healthy, about 0.001"
    low, high = display.ax_.get_ylim()
    assert low < 1e-9
    assert high > 1e-2


@pytest.mark.parametrize("n_layers", [1, 2, 6])
def test_few_layers_are_named(n_layers):
    display = ratios(np.full((3, n_layers), 1e-3))
    assert display.colorbar_ is None
    assert names(display) == [*(f"layer {i}" for i in range(1, n_layers)), "output", "healthy, about 0.001"]


@pytest.mark.parametrize("n_layers", [7, 10, 50])
def test_many_layers_are_told_by_their_colour(n_layers):
    display = ratios(np.full((3, n_layers), 1e-3))
    assert names(display) == ["healthy, about 0.001"]
    bar = display.colorbar_
    assert bar.ax.get_ylabel() == "Layer, input to output"
    assert (bar.norm.vmin, bar.norm.vmax) == (0.5, n_layers + 0.5)
    for number, line in enumerate(display.lines_, start=1):
        np.testing.assert_allclose(bar.cmap(bar.norm(number)), line.get_color())


@pytest.mark.parametrize("n_layers", [2, 6, 50])
def test_lines_become_lighter_towards_the_output_for_every_eye(n_layers):
    shades = [lightness(line.get_color()) for line in ratios(np.full((2, n_layers), 1e-3)).lines_]
    assert all(np.diff(shades) > 0.0)
    assert shades[-1] < 0.75  # can be seen on white


@pytest.mark.parametrize("bad", [NAN, INF])
def test_what_is_not_a_number_leaves_a_gap(bad):
    display = ratios([[1e-3], [bad], [2e-3], [bad]])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1e-3, NAN, 2e-3, NAN])
    assert display.lines_[0].get_markevery() == [0, 2]


def test_an_epoch_in_which_a_layer_did_not_move_is_marked():
    display = ratios([[1e-3, 0.0], [1e-3, 1e-3], [0.0, 1e-3]], epochs=[2, 5, 7])
    (marks,) = [line for line in display.ax_.lines if line not in display.lines_]
    assert marks.get_xdata().tolist() == [2, 7]
    assert names(display)[-1] == "a layer did not move"
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), [NAN, 1e-3, 1e-3])


def test_without_such_an_epoch_nothing_is_marked():
    display = ratios([[1e-3, NAN]])
    assert list(display.ax_.lines) == display.lines_


@pytest.mark.parametrize("values", [[[1e-3]], [[NAN, NAN]], [[0.0, 0.0]], [[INF, 0.0]], [[1e-300, 1e-3]]])
def test_single_epochs_without_any_number_are_drawn_too(values):
    low, high = ratios(values).ax_.get_ylim()
    assert 0.0 < low < 1e-4
    assert 1e-2 < high < 1.0
