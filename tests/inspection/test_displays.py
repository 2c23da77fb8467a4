"""What the displays draw: every epoch and layer in its place, gaps where there is no number, nothing of pyplot."""

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from skmlp import MLPClassifier
from skmlp.inspection import GradientFlowDisplay, HistoryDisplay

pytest.importorskip("matplotlib")

from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
HISTORY = {
    "train_loss": [2.0, 1.0, 0.5, 0.25],
    "validation_loss": [2.5, 1.2, 0.9, 1.1],
    "validation_score": [0.2, 0.6, 0.8, 0.7],
}
# Three epochs of two layers; the second layer's norms are the larger ones.
MONITOR = {"epoch": [1, 2, 3], "gradient_norm": [[1e-4, 0.1], [2e-4, 0.2], [5e-4, 0.5]]}


def axes() -> Any:
    return Figure().subplots()


def history(**columns: list[float]) -> HistoryDisplay:
    """Draw, and render too: some mistakes only show then."""
    display = HistoryDisplay.from_history(columns, ax=axes())
    display.figure_.canvas.draw()
    return display


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


@pytest.fixture(params=[(HistoryDisplay, HISTORY), (GradientFlowDisplay, MONITOR)], ids=["history", "flow"])
def case(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestHistory:
    def test_epochs_count_from_one_and_losses_are_drawn_as_they_are(self):
        display = history(**HISTORY)
        training, validation, score = display.lines_
        for line, name in ((training, "train_loss"), (validation, "validation_loss"), (score, "validation_score")):
            assert line.get_xdata().tolist() == [1, 2, 3, 4]
            assert line.get_ydata().tolist() == HISTORY[name]
        assert training.axes is validation.axes is display.ax_
        assert score.axes is display.score_ax_

    def test_without_validation_there_is_one_line_and_one_pair_of_axes(self):
        display = history(train_loss=[2.0, 1.0])
        assert len(display.lines_) == 1
        assert display.score_ax_ is None
        assert display.figure_.axes == [display.ax_]
        assert display.ax_.get_xlabel() == "Epoch"

    @pytest.mark.parametrize("bad", [NAN, INF, -INF])
    def test_an_epoch_that_diverged_is_a_gap(self, bad):
        values = history(train_loss=[2.0, bad, 1.0, 0.5]).lines_[0].get_ydata()
        np.testing.assert_array_equal(values, [2.0, NAN, 1.0, 0.5])

    def test_an_epoch_between_gaps_gets_a_dot(self):
        line = history(train_loss=[2.0, NAN, 1.0, NAN, 0.5, 0.4]).lines_[0]
        assert line.get_marker() == "o"
        assert line.get_markevery() == [0, 2]

    def test_a_line_without_lonely_epochs_has_no_dots(self):
        assert history(train_loss=[2.0, 1.0, NAN, 0.5, 0.4]).lines_[0].get_marker() == "None"

    @pytest.mark.parametrize("losses", [[NAN, NAN], [NAN], [3.0], [0.0, 0.0], [1.0, 1.0]])
    def test_short_and_constant_histories_are_drawn(self, losses):
        np.testing.assert_array_equal(history(train_loss=losses, validation_loss=losses).lines_[1].get_ydata(), losses)

    @pytest.mark.parametrize(
        ("training", "validation", "scale"),
        [
            ([1.0, 1e-3], [2.0, 1.0], "log"),
            ([1.0, NAN], [INF, 1.0], "log"),
            ([1.0, 0.0], [2.0, 1.0], "linear"),
            ([1.0, 0.5], [2.0, -0.1], "linear"),
            ([NAN, NAN], [NAN, NAN], "linear"),
        ],
    )
    def test_the_axis_is_logarithmic_where_every_loss_is_positive(self, training, validation, scale):
        assert history(train_loss=training, validation_loss=validation).ax_.get_yscale() == scale

    @pytest.mark.parametrize("losses", [[0.52, 0.5], [1.0, 0.3], [20.0, 1.0], [100.0, 1e-6]])
    def test_at_least_two_values_can_be_read_off_a_log_axis(self, losses):
        ax = history(train_loss=losses).ax_
        low, high = ax.get_ylim()
        ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
        assert len(ticks) >= 2
        assert all(ax.yaxis.get_major_formatter().format_ticks(ticks))

    def test_the_lowest_validation_loss_is_ringed_and_named(self):
        display = history(train_loss=[3.0, 2.0, 1.0, 1.0], validation_loss=[NAN, 0.9, 0.4, 0.6])
        ring = display.ax_.lines[-1]
        assert ring not in display.lines_
        assert (ring.get_xdata().tolist(), ring.get_ydata().tolist()) == ([3], [0.4])
        names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert names == ["training", "validation, lowest in epoch 3"]

    def test_without_a_finite_validation_loss_nothing_is_ringed(self):
        display = history(train_loss=[3.0, 2.0], validation_loss=[NAN, INF])
        assert display.ax_.lines[:] == display.lines_
        assert display.lines_[1].get_label() == "validation"

    @pytest.mark.parametrize("in_a_grid", [True, False])
    def test_the_score_lies_below_the_losses_and_within_the_room_given(self, in_a_grid):
        ax = axes() if in_a_grid else Figure().add_axes((0.2, 0.2, 0.6, 0.6))
        room = ax.get_position()
        display = HistoryDisplay.from_history(HISTORY, ax=ax)
        above, below = display.ax_.get_position(), display.score_ax_.get_position()
        assert below.y1 < above.y0
        assert above.height > 1.5 * below.height
        np.testing.assert_allclose([below.x0, below.y0, above.x1, above.y1], room.extents)
        assert display.score_ax_.get_xlim() == display.ax_.get_xlim()
        assert (display.ax_.get_xlabel(), display.score_ax_.get_xlabel()) == ("", "Epoch")

    @pytest.mark.parametrize("n_epochs", [1, 2, 7, 300])
    def test_ticks_are_at_whole_epochs(self, n_epochs):
        ticks = history(train_loss=[1.0] * n_epochs).ax_.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))
        assert 1 <= len(ticks) <= 11

    def test_the_given_history_is_left_alone(self):
        columns = {"train_loss": np.array([1.0, INF]), "validation_loss": np.array([INF, 1.0])}
        HistoryDisplay.from_history(columns, ax=axes())
        assert columns["train_loss"].tolist() == [1.0, INF]

    def test_from_estimator_draws_its_history(self, fitted):
        ax = axes()
        display = HistoryDisplay.from_estimator(fitted, ax=ax)
        assert display.ax_ is ax
        assert display.lines_[0].get_ydata().tolist() == list(fitted.history_["train_loss"])


class TestGradientFlow:
    def test_layers_go_up_from_the_input_and_epochs_to_the_right(self):
        display = GradientFlowDisplay.from_history(MONITOR, ax=axes())
        np.testing.assert_allclose(display.im_.get_array(), [[1e-4, 2e-4, 5e-4], [0.1, 0.2, 0.5]])
        low, high = display.ax_.get_ylim()
        assert (low, high) == (0.5, 2.5)
        assert display.ax_.get_xlim() == (0.5, 3.5)
        assert display.ax_.get_ylabel() == "Layer, input to output"

    def test_colours_have_a_log_scale_from_the_lowest_norm_to_the_highest(self):
        display = flow(MONITOR["gradient_norm"])
        assert isinstance(display.im_.norm, LogNorm)
        assert (display.im_.norm.vmin, display.im_.norm.vmax) == (1e-4, 0.5)
        assert display.colorbar_.extend == "neither"
        assert display.colorbar_.ax.get_ylabel() == "Gradient norm"

    def test_norms_that_hardly_differ_do_not_span_all_colours(self):
        norm = flow([[1.0, 1.01]]).im_.norm
        assert norm.vmax / norm.vmin == pytest.approx(10.0)
        assert norm.vmin < 1.0 < 1.01 < norm.vmax

    def test_a_norm_of_zero_has_a_colour_of_its_own(self):
        display = flow([[0.0, 0.1], [1e-3, 0.1]])
        colors = cells(display)
        assert legend(display) == {"zero": colors[0, 0]}
        assert colors[0, 0] not in (colors[0, 1], colors[1, 0])
        assert colors[0, 1] == to_hex(display.im_.cmap(0.0))
        assert display.im_.norm.vmin == 1e-3
        assert display.colorbar_.extend == "min"

    @pytest.mark.parametrize("bad", [NAN, INF])
    def test_what_is_not_finite_has_another(self, bad):
        display = flow([[bad, 0.1], [1e-3, 0.1], [0.0, 0.1]])
        colors = cells(display)
        assert legend(display) == {"zero": colors[0, 2], "not finite": colors[0, 0]}
        assert len({colors[0, 0], colors[0, 1], colors[0, 2], colors[1, 0]}) == 4

    def test_only_colours_in_the_picture_are_explained(self):
        assert legend(flow([[1e-3, 0.1]])) == {}
        assert list(legend(flow([[NAN, 0.1]]))) == ["not finite"]

    @pytest.mark.parametrize("norms", [[[0.0, 0.0]], [[NAN, NAN]], [[5e-324, 1.0]], [[1e-3]], [[1e-310, 0.0]]])
    def test_nothing_but_zeros_gaps_and_tiny_norms_is_drawn_too(self, norms):
        colors, names = cells(flow(norms)), legend(flow(norms))
        for (layer,), color in np.ndenumerate(colors[:, 0]):
            assert (color == names.get("zero")) == (norms[0][layer] == 0.0)
            assert (color == names.get("not finite")) == np.isnan(norms[0][layer])

    def test_an_epoch_not_observed_goes_to_the_nearest_that_was(self):
        edges = flow([[1.0, 1.0]] * 3, epochs=[1, 5, 20]).im_.get_coordinates()[0, :, 0]
        assert edges.tolist() == [0.5, 3.0, 12.5, 20.5]

    @pytest.mark.parametrize("n_layers", [1, 2, 3, 10, 11, 27, 50, 101, 700])
    def test_first_and_last_layer_are_labelled_and_never_too_many(self, n_layers):
        ax = flow([[0.1] * n_layers]).ax_
        ticks = ax.get_yticks().tolist()
        assert (ticks[0], ticks[-1]) == (1, n_layers)
        assert len(ticks) <= 12
        assert ax.get_ylim() == (0.5, n_layers + 0.5)

    @pytest.mark.parametrize("monitor", [{}, {"epoch": [], "gradient_norm": []}])
    def test_without_an_observed_epoch_there_is_nothing_to_show(self, monitor):
        ax = axes()
        with pytest.raises(ValueError, match="monitor=True"):
            GradientFlowDisplay.from_history(monitor, ax=ax)
        assert not ax.has_data()

    def test_an_estimator_that_did_not_watch_is_told_how(self, fitted):
        with pytest.raises(ValueError, match="monitor=True"):
            GradientFlowDisplay.from_estimator(fitted, ax=axes())

    def test_from_estimator_draws_what_was_observed(self):
        X, y = load_iris(return_X_y=True)
        est = MLPClassifier((5, 4), solver="adam", monitor=True, random_state=0)
        for _ in range(3):
            est.partial_fit(X, y, classes=np.unique(y))
        display = GradientFlowDisplay.from_estimator(est, ax=axes())
        np.testing.assert_allclose(display.im_.get_array(), np.transpose(est.monitor_["gradient_norm"]))
        assert display.im_.get_array().shape == (3, len(est.monitor_["epoch"]))


def test_an_estimator_that_is_not_fitted_is_refused(case):
    with pytest.raises(NotFittedError):
        case[0].from_estimator(MLPClassifier(), ax=axes())


def test_given_axes_are_drawn_on_without_pyplot(case, monkeypatch):
    display_class, data = case
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # an import of it fails
    ax = axes()
    display = display_class.from_history(data, ax=ax)
    display.figure_.canvas.draw()
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_given_axes_leave_the_figures_of_pyplot_alone(case):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    case[0].from_history(case[1], ax=axes())
    assert plt.get_fignums() == before


def test_without_axes_one_figure_of_pyplot_opens(case, monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before = plt.get_fignums()
    display = case[0].from_history(case[1])
    try:
        assert len(plt.get_fignums()) == len(before) + 1
        assert plt.gcf() is display.figure_
        display.figure_.canvas.draw()
    finally:
        plt.close(display.figure_)


def test_a_display_without_data_opens_no_figure():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    with pytest.raises(ValueError, match="no epoch"):
        GradientFlowDisplay.from_history({"epoch": []})
    assert plt.get_fignums() == before


def test_without_matplotlib_the_error_says_what_to_install(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skmlp\[plot\]"):
        case[0].from_history(case[1])


def test_a_display_draws_again_on_other_axes(case):
    display = case[0].from_history(case[1], ax=axes())
    other = axes()
    assert display.plot(other) is display
    assert display.ax_ is other
    assert display.figure_ is other.figure


def test_part_of_a_figure_is_enough(case):
    figure = Figure(layout="constrained")
    left, right = figure.subfigures(1, 2)
    display = case[0].from_history(case[1], ax=right.subplots())
    figure.canvas.draw()
    assert display.figure_ is right
    assert not left.axes
