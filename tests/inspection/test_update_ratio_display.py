"""UpdateRatioDisplay: a line for each layer, the healthy band, and layers that are not updated."""

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
    return UpdateRatioDisplay.from_history(monitor, ax=FigureCanvasAgg(Figure()).figure.subplots())


def names(display: UpdateRatioDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def lightness(color: Any) -> float:
    return float(np.dot(to_rgb(color), [0.2126, 0.7152, 0.0722]))


def test_each_layer_has_a_line_over_the_monitored_epochs():
    display = ratios([[1e-3, 2e-3], [3e-3, 4e-3], [5e-3, 6e-3]], epochs=[1, 4, 9])
    assert [line.get_xdata().tolist() for line in display.lines_] == [[1, 4, 9]] * 2
    assert [line.get_ydata().tolist() for line in display.lines_] == [[1e-3, 3e-3, 5e-3], [2e-3, 4e-3, 6e-3]]
    assert display.ax_.get_yscale() == "log"


def test_the_healthy_band_is_shaded_labeled_and_visible():
    display = ratios([[1e-9, 1e-8]])
    display.figure_.canvas.draw()
    band = display.band_.get_window_extent().transformed(display.ax_.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [1e-4, 1e-2], rtol=1e-6)
    assert names(display)[-1] == "healthy, about 0.001"
    low, high = display.ax_.get_ylim()
    assert low < 1e-9
    assert high > 1e-2


@pytest.mark.parametrize("n_layers", [1, 2, 6])
def test_up_to_six_layers_are_named_in_the_legend(n_layers):
    display = ratios(np.full((3, n_layers), 1e-3))
    assert display.colorbar_ is None
    assert names(display) == [*(f"layer {i}" for i in range(1, n_layers)), "output", "healthy, about 0.001"]


@pytest.mark.parametrize("n_layers", [7, 50])
def test_more_layers_have_a_color_bar(n_layers):
    display = ratios(np.full((3, n_layers), 1e-3))
    assert names(display) == ["healthy, about 0.001"]
    bar = display.colorbar_
    assert bar.ax.get_ylabel() == "Layer, input to output"
    assert (bar.norm.vmin, bar.norm.vmax) == (0.5, n_layers + 0.5)
    for number, line in enumerate(display.lines_, start=1):
        np.testing.assert_allclose(bar.cmap(bar.norm(number)), line.get_color())


@pytest.mark.parametrize("n_layers", [2, 6, 50])
def test_lines_become_lighter_towards_the_output(n_layers):
    shades = [lightness(line.get_color()) for line in ratios(np.full((2, n_layers), 1e-3)).lines_]
    assert all(np.diff(shades) > 0.0)
    assert shades[-1] < 0.75  # can be seen on white


@pytest.mark.parametrize("bad", [NAN, INF])
def test_non_finite_ratios_leave_gaps(bad):
    display = ratios([[1e-3], [bad], [2e-3], [bad]])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1e-3, NAN, 2e-3, NAN])
    assert display.lines_[0].get_markevery() == [0, 2]


def test_epochs_in_which_a_layer_was_not_updated_are_marked():
    display = ratios([[1e-3, 0.0], [1e-3, 1e-3], [0.0, 1e-3]], epochs=[2, 5, 7])
    (marks,) = [line for line in display.ax_.lines if line not in display.lines_]
    assert marks.get_xdata().tolist() == [2, 7]
    assert names(display)[-1] == "a layer was not updated"
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), [NAN, 1e-3, 1e-3])


def test_nothing_is_marked_if_all_layers_were_updated():
    display = ratios([[1e-3, NAN]])
    assert list(display.ax_.lines) == display.lines_


@pytest.mark.parametrize("values", [[[1e-3]], [[NAN, NAN]], [[0.0, 0.0]], [[INF, 0.0]], [[1e-300, 1e-3]]])
def test_non_finite_and_zero_ratios_are_drawn(values):
    display = ratios(values)
    display.figure_.canvas.draw()
    low, high = display.ax_.get_ylim()
    assert 0.0 < low < 1e-4
    assert 1e-2 < high < 1.0
