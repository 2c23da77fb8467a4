"""What the display of the gradients draws: every layer and epoch in its place, a colour for what is no number."""

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
    display = GradientFlowDisplay.from_history(monitor, ax=axes())
    display.figure_.canvas.draw()
    return display


def cells(display: GradientFlowDisplay) -> Any:
    """Return the colour of each cell: layers, epochs."""
    values = display.im_.get_array()
    colors = display.im_.to_rgba(values).reshape(-1, 4)
    return np.array([to_hex(color) for color in colors]).reshape(values.shape)


def legend(display: GradientFlowDisplay) -> dict[str, str]:
    found = display.ax_.get_legend()
    if found is None:
        return {}
    texts = [text.get_text() for text in found.get_texts()]
    return dict(zip(texts, [to_hex(patch.get_facecolor()) for patch in found.get_patches()], strict=True))


@pytest.fixture(scope="module")
def fitted() -> Any:
    X, y = load_iris(return_X_y=True)
    return MLPClassifier((4,), solver="lbfgs", max_iter=200, random_state=0).fit(X, y)


def test_layers_go_up_from_the_input_and_epochs_to_the_right():
    display = GradientFlowDisplay.from_history(MONITOR, ax=axes())
    np.testing.assert_allclose(display.im_.get_array(), [[1e-4, 2e-4, 5e-4], [0.1, 0.2, 0.5]])
    low, high = display.ax_.get_ylim()
    assert (low, high) == (0.5, 2.5)
    assert display.ax_.get_xlim() == (0.5, 3.5)
    assert display.ax_.get_ylabel() == "Layer, input to output"


def test_colours_have_a_log_scale_from_the_lowest_norm_to_the_highest():
    display = flow(MONITOR["gradient_norm"])
    assert isinstance(display.im_.norm, LogNorm)
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (1e-4, 0.5)
    assert display.colorbar_.extend == "neither"
    assert display.colorbar_.ax.get_ylabel() == "Gradient norm"


def test_norms_that_hardly_differ_do_not_span_all_colours():
    norm = flow([[1.0, 1.01]]).im_.norm
    assert norm.vmax / norm.vmin == pytest.approx(10.0)
    assert norm.vmin < 1.0 < 1.01 < norm.vmax


def test_a_norm_of_zero_has_a_colour_of_its_own():
    display = flow([[0.0, 0.1], [1e-3, 0.1]])
    colors = cells(display)
    assert legend(display) == {"zero": colors[0, 0]}
    assert colors[0, 0] not in (colors[0, 1], colors[1, 0])
    assert colors[0, 1] == to_hex(display.im_.cmap(0.0))
    assert display.im_.norm.vmin == 1e-3
    assert display.colorbar_.extend == "min"


@pytest.mark.parametrize("bad", [NAN, INF])
def test_what_is_not_finite_has_another(bad):
    display = flow([[bad, 0.1], [1e-3, 0.1], [0.0, 0.1]])
    colors = cells(display)
    assert legend(display) == {"zero": colors[0, 2], "not finite": colors[0, 0]}
    assert len({colors[0, 0], colors[0, 1], colors[0, 2], colors[1, 0]}) == 4


def test_only_colours_in_the_picture_are_explained():
    assert legend(flow([[1e-3, 0.1]])) == {}
    assert list(legend(flow([[NAN, 0.1]]))) == ["not finite"]


@pytest.mark.parametrize("norms", [[[0.0, 0.0]], [[NAN, NAN]], [[5e-324, 1.0]], [[1e-3]], [[1e-310, 0.0]]])
def test_nothing_but_zeros_gaps_and_tiny_norms_is_drawn_too(norms):
    colors, names = cells(flow(norms)), legend(flow(norms))
    for (layer,), color in np.ndenumerate(colors[:, 0]):
        assert (color == names.get("zero")) == (norms[0][layer] == 0.0)
        assert (color == names.get("not finite")) == np.isnan(norms[0][layer])


def test_an_epoch_not_observed_goes_to_the_nearest_that_was():
    edges = flow([[1.0, 1.0]] * 3, epochs=[1, 5, 20]).im_.get_coordinates()[0, :, 0]
    assert edges.tolist() == [0.5, 3.0, 12.5, 20.5]


@pytest.mark.parametrize("n_layers", [1, 2, 3, 10, 11, 27, 50, 101, 700])
def test_first_and_last_layer_are_labelled_and_never_too_many(n_layers):
    ax = flow([[0.1] * n_layers]).ax_
    ticks = ax.get_yticks().tolist()
    assert (ticks[0], ticks[-1]) == (1, n_layers)
    assert len(ticks) <= 12
    assert ax.get_ylim() == (0.5, n_layers + 0.5)


@pytest.mark.parametrize("monitor", [{}, {"epoch": [], "gradient_norm": []}])
def test_without_an_observed_epoch_there_is_nothing_to_show(monitor):
    ax = axes()
    with pytest.raises(ValueError, match="monitor=True"):
        GradientFlowDisplay.from_history(monitor, ax=ax)
    assert not ax.has_data()


def test_an_estimator_that_did_not_watch_is_told_how(fitted):
    with pytest.raises(ValueError, match="monitor=True"):
        GradientFlowDisplay.from_estimator(fitted, ax=axes())


def test_from_estimator_draws_what_was_observed():
    X, y = load_iris(return_X_y=True)
    est = MLPClassifier((5, 4), solver="adam", monitor=True, random_state=0)
    for _ in range(3):
        est.partial_fit(X, y, classes=np.unique(y))
    display = GradientFlowDisplay.from_estimator(est, ax=axes())
    np.testing.assert_allclose(display.im_.get_array(), np.transpose(est.monitor_["gradient_norm"]))
    assert display.im_.get_array().shape == (3, len(est.monitor_["epoch"]))
