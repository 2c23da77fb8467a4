"""GradientFlowDisplay: every layer and epoch in its place, special colors for zero and for what is not finite."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmlp import MLPClassifier
from skmlp.inspection import GradientFlowDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
# Three epochs of two layers; the second layer's norms are the larger ones.
MONITOR = {"epoch": [1, 2, 3], "gradient_norm": [[1e-4, 0.1], [2e-4, 0.2], [5e-4, 0.5]]}


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def flow(norms: list[list[float]], epochs: list[int] | None = None) -> GradientFlowDisplay:
    monitor = {"epoch": epochs or list(range(1, len(norms) + 1)), "gradient_norm": norms}
    return GradientFlowDisplay.from_history(monitor, ax=axes())


def cells(display: GradientFlowDisplay) -> Any:
    """Return the color of each cell: layers, epochs."""
    values = display.im_.get_array()
    colors = display.im_.to_rgba(values).reshape(-1, 4)
    return np.array([to_hex(color) for color in colors]).reshape(values.shape)


def legend(display: GradientFlowDisplay) -> dict[str, str]:
    found = display.ax_.get_legend()
    if found is None:
        return {}
    texts = [text.get_text() for text in found.get_texts()]
    return dict(zip(texts, [to_hex(patch.get_facecolor()) for patch in found.get_patches()], strict=True))


def test_layers_are_drawn_upwards_from_the_input_and_epochs_to_the_right():
    display = GradientFlowDisplay.from_history(MONITOR, ax=axes())
    np.testing.assert_allclose(display.im_.get_array(), [[1e-4, 2e-4, 5e-4], [0.1, 0.2, 0.5]])
    low, high = display.ax_.get_ylim()
    assert (low, high) == (0.5, 2.5)
    assert display.ax_.get_xlim() == (0.5, 3.5)
    assert display.ax_.get_ylabel() == "Layer, input to output"


def test_colors_have_a_log_scale_from_the_lowest_to_the_highest_norm():
    display = flow(MONITOR["gradient_norm"])
    assert isinstance(display.im_.norm, LogNorm)
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (1e-4, 0.5)
    assert display.colorbar_.extend == "neither"
    assert display.colorbar_.ax.get_ylabel() == "Gradient norm"


def test_nearly_equal_norms_do_not_span_all_colors():
    norm = flow([[1.0, 1.01]]).im_.norm
    assert norm.vmax / norm.vmin == pytest.approx(10.0)
    assert norm.vmin < 1.0 < 1.01 < norm.vmax


def test_zero_has_a_color_of_its_own():
    display = flow([[0.0, 0.1], [1e-3, 0.1]])
    colors = cells(display)
    assert legend(display) == {"zero": colors[0, 0]}
    assert colors[0, 0] not in (colors[0, 1], colors[1, 0])
    assert colors[0, 1] == to_hex(display.im_.cmap(0.0))
    assert display.im_.norm.vmin == 1e-3
    assert display.colorbar_.extend == "min"


@pytest.mark.parametrize("bad", [NAN, INF])
def test_non_finite_norms_have_a_color_of_their_own(bad):
    display = flow([[bad, 0.1], [1e-3, 0.1], [0.0, 0.1]])
    colors = cells(display)
    assert legend(display) == {"zero": colors[0, 2], "not finite": colors[0, 0]}
    assert len({colors[0, 0], colors[0, 1], colors[0, 2], colors[1, 0]}) == 4


def test_the_legend_explains_only_colors_in_the_picture():
    assert legend(flow([[1e-3, 0.1]])) == {}
    assert list(legend(flow([[NAN, 0.1]]))) == ["not finite"]


@pytest.mark.parametrize("norms", [[[0.0, 0.0]], [[NAN, NAN]], [[5e-324, 1.0]], [[1e-3]], [[1e-310, 0.0]]])
def test_zeros_non_finite_and_tiny_norms_are_drawn(norms):
    display = flow(norms)
    display.figure_.canvas.draw()
    colors, names = cells(display), legend(display)
    for (layer,), color in np.ndenumerate(colors[:, 0]):
        assert (color == names.get("zero")) == (norms[0][layer] == 0.0)
        assert (color == names.get("not finite")) == np.isnan(norms[0][layer])


def test_an_epoch_that_was_not_monitored_has_the_color_of_the_nearest_one():
    edges = flow([[1.0, 1.0]] * 3, epochs=[1, 5, 20]).im_.get_coordinates()[0, :, 0]
    assert edges.tolist() == [0.5, 3.0, 12.5, 20.5]


@pytest.mark.parametrize("n_layers", [1, 2, 10, 11, 27, 50, 700])
def test_the_first_and_the_last_layer_have_labels_and_not_too_many_others(n_layers):
    ax = flow([[0.1] * n_layers]).ax_
    ticks = ax.get_yticks().tolist()
    assert (ticks[0], ticks[-1]) == (1, n_layers)
    assert len(ticks) <= 12
    assert ax.get_ylim() == (0.5, n_layers + 0.5)


def test_from_estimator_draws_the_monitor():
    X, y = load_iris(return_X_y=True)
    est = MLPClassifier((5, 4), solver="adam", monitor=True, random_state=0)
    for _ in range(3):
        est.partial_fit(X, y, classes=np.unique(y))
    display = GradientFlowDisplay.from_estimator(est, ax=axes())
    np.testing.assert_allclose(display.im_.get_array(), np.transpose(est.monitor_["gradient_norm"]))
    assert display.im_.get_array().shape == (3, len(est.monitor_["epoch"]))
