"""ActivationDisplay: a panel for each layer, bands between the right quantiles, comparable scales."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from skmlp.inspection import ActivationDisplay
from skmlp.nn.statistics import BANDS

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
RAMP = np.array([-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])


def draw(quantiles: Any, *, epochs: Any = None, statistic: Any = "activation") -> ActivationDisplay:
    quantiles = np.array(quantiles)
    epochs = np.arange(1, len(quantiles) + 1) if epochs is None else epochs
    monitor = {"epoch": epochs, f"{statistic}_quantiles": quantiles}
    return ActivationDisplay.from_history(monitor, statistic=statistic, ax=Figure().subplots())


def render(display: ActivationDisplay, layout: Any = None) -> ActivationDisplay:
    """Draw on a canvas; only then panels have a layout, and some errors occur."""
    figure = FigureCanvasAgg(Figure(layout=layout)).figure
    display.plot(figure.subplots())
    figure.canvas.draw()
    return display


def layers(n_layers: int, n_epochs: int = 3, scale: Any = 1.0) -> Any:
    return np.ones((n_epochs, n_layers, 1)) * np.reshape(scale, (-1, 1)) * RAMP


def shapes(panel: Any) -> list[Any]:
    """Return the bands, from the outermost, and the median."""
    return list(panel.patches)


def titles(display: ActivationDisplay) -> list[str]:
    return [panel.get_title(loc="left") for panel in display.axes_]


def test_bands_lie_between_opposite_quantiles_around_the_median():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(4, 2, 9)), axis=-1)
    display = draw(quantiles, epochs=[1, 2, 5, 6])
    for layer, panel in enumerate(display.axes_):
        *bands, median = shapes(panel)
        assert len(bands) == 4
        for inner, band in enumerate(bands):
            upper, edges, lower = band.get_data()
            np.testing.assert_array_equal(lower, quantiles[:, layer, inner])
            np.testing.assert_array_equal(upper, quantiles[:, layer, 8 - inner])
            assert edges.tolist() == [0.5, 1.5, 3.5, 5.5, 6.5]
        np.testing.assert_array_equal(median.get_data()[0], quantiles[:, layer, 4])
        assert panel.get_xlim() == (0.5, 6.5)


def test_inner_bands_are_darker_and_match_the_color_bar():
    display = draw(layers(2))
    *bands, _ = shapes(display.axes_[0])
    shades = [sum(to_rgb(band.get_facecolor())) for band in bands]
    assert all(np.diff(shades) < 0.0)
    bar = display.colorbar_
    assert bar.get_ticks().tolist() == list(BANDS)
    assert [text.get_text() for text in bar.ax.get_yticklabels()][3:6] == ["31 %", "50 %", "69 %"]
    for inner, band in enumerate(bands):
        for fraction in (BANDS[inner] + 1e-3, BANDS[8 - inner] - 1e-3):
            np.testing.assert_allclose(bar.cmap(bar.norm(fraction)), band.get_facecolor())


@pytest.mark.parametrize("n_layers", [1, 4])
def test_every_layer_has_a_panel_up_to_twelve(n_layers):
    display = draw(layers(n_layers))
    assert display.layers_ == list(range(1, n_layers + 1))
    assert titles(display) == [*(f"layer {i}" for i in range(1, n_layers)), "output"]
    assert len(display.figure_.axes) == n_layers + 1  # and the color bar
    assert display.ax_ is display.axes_[0]


@pytest.mark.parametrize("n_layers", [13, 200])
def test_of_more_than_twelve_layers_evenly_spaced_ones_are_drawn(n_layers):
    display = draw(layers(n_layers, scale=np.arange(1, n_layers + 1)))
    assert len(display.layers_) == 12
    assert (display.layers_[0], display.layers_[-1]) == (1, n_layers)
    steps = np.diff(display.layers_)
    assert steps.max() - steps.min() <= 1
    for number, panel in zip(display.layers_, display.axes_, strict=True):
        assert shapes(panel)[0].get_data()[0].tolist() == [4.0 * number] * 3


def test_panels_are_in_reading_order_and_do_not_overlap():
    boxes = [panel.get_position() for panel in render(draw(layers(10))).axes_]
    for before, after in pairwise(boxes):
        assert after.x0 > before.x1 or after.y1 < before.y0
    assert boxes[-1].x1 == pytest.approx(max(box.x1 for box in boxes))
    assert boxes[-1].y0 == pytest.approx(min(box.y0 for box in boxes))


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_tick_labels_of_the_raw_output_lie_between_its_panel_and_the_color_bar(layout):
    display = render(draw(layers(6, scale=-1e4)), layout)
    panel, bar = display.axes_[-1].get_window_extent(), display.colorbar_.ax.get_window_extent()
    labels = [label.get_window_extent() for label in display.axes_[-1].get_yticklabels(which="major")]
    assert min(box.x0 for box in labels) > panel.x1
    assert max(box.x1 for box in labels) < bar.x0


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_the_gap_between_panels_is_just_large_enough_for_their_titles(layout):
    display = render(draw(layers(6)), layout)
    above, below = display.axes_[0].get_window_extent(), display.axes_[3].get_window_extent()
    assert above.y0 - below.y1 < 30.0  # pixels; the title takes 11


def test_hidden_layers_have_the_same_scale_and_the_raw_output_its_own():
    display = draw(layers(4, scale=[1.0, 0.5, 0.2, 30.0]))
    limits = [panel.get_ylim() for panel in display.axes_]
    assert limits[0] == limits[1] == limits[2]
    np.testing.assert_allclose(limits[0], [-4.4, 4.4])
    np.testing.assert_allclose(limits[3], [-132.0, 132.0])
    assert {panel.get_yscale() for panel in display.axes_} == {"linear"}


def test_the_gradients_of_all_layers_have_the_same_scale():
    display = draw(layers(3, scale=[0.1, 0.5, 1.0]), statistic="gradient")
    assert len({panel.get_ylim() for panel in display.axes_}) == 1
    assert display.ax_.get_ylabel() == "Entry of the gradient"


def test_vanishing_gradients_are_visible_on_a_log_scale():
    display = draw(layers(4, scale=[1e-8, 1e-6, 1e-4, 1e-2]), statistic="gradient")
    heights = []
    for panel in display.axes_:
        assert panel.get_yscale() == "symlog"
        band = shapes(panel)[0].get_data()
        ends = panel.transAxes.inverted().transform(panel.transData.transform([(1, band[2][0]), (1, band[0][0])]))
        heights.append(ends[1, 1] - ends[0, 1])
    assert heights[0] > 0.05
    assert heights[-1] < 1.0
    assert all(np.diff(heights) > 0.1)  # each factor of 100 is visible


def test_a_log_scale_is_labeled_with_zero_and_powers_of_ten():
    display = draw(layers(2, scale=[1e-8, 1.0]), statistic="gradient")
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == [
        "$-10^{0}$",
        "$-10^{-4}$",
        "0",
        "$10^{-4}$",
        "$10^{0}$",
    ]


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_non_finite_quantiles_leave_gaps_in_their_own_band_only(bad):
    quantiles = layers(2)
    quantiles[1, 0, 8] = bad
    outer, inner, *_ = shapes(draw(quantiles).axes_[0])
    np.testing.assert_array_equal(outer.get_data()[0], [4.0, NAN, 4.0])
    np.testing.assert_array_equal(outer.get_data()[2], [-4.0, NAN, -4.0])
    np.testing.assert_array_equal(inner.get_data()[0], [3.0, 3.0, 3.0])


@pytest.mark.parametrize(
    ("value", "statistic", "n_epochs"),
    [
        (NAN, "activation", 1),
        (INF, "gradient", 2),
        (0.0, "activation", 2),
        (1.0, "gradient", 1),
        (1e-300, "gradient", 2),
        (1e300, "activation", 1),
    ],
)
def test_constant_and_non_finite_values_are_drawn(value, statistic, n_epochs):
    display = render(draw(np.full((n_epochs, 3, 9), value), statistic=statistic))
    for panel in display.axes_:
        low, high = panel.get_ylim()
        assert low < high
        if np.isfinite(value):
            assert low <= value <= high


def test_a_log_scale_of_non_negative_activations_starts_at_zero():
    quantiles = np.maximum(layers(3, scale=[1e-6, 1.0, 1.0]), 0.0)
    low, high = draw(quantiles).ax_.get_ylim()
    assert (low, high) == (0.0, 8.0)


def test_an_invalid_statistic_is_rejected():
    message = r"'statistic' parameter of ActivationDisplay must be a str among .* Got 'weight' instead"
    with pytest.raises(ValueError, match=message):
        draw(layers(2), statistic="weight")
