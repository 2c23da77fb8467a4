"""HistoryDisplay: every epoch in its place, gaps where a value is not finite, panels below the losses."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmlp import MLPClassifier
from skmlp.inspection import HistoryDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
HISTORY = {
    "train_loss": [2.0, 1.0, 0.5, 0.25],
    "validation_loss": [2.5, 1.2, 0.9, 1.1],
    "validation_score": [0.2, 0.6, 0.8, 0.7],
}


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def history(**columns: list[float]) -> HistoryDisplay:
    return HistoryDisplay.from_history(columns, ax=axes())


@pytest.fixture(scope="module")
def fitted() -> Any:
    X, y = load_iris(return_X_y=True)
    return MLPClassifier((4,), learning_rate="cosine", tol=10.0, n_iter_no_change=5, random_state=0).fit(X, y)


def test_columns_are_drawn_unchanged_over_epochs_counted_from_one():
    display = history(**HISTORY)
    training, validation, score = display.lines_
    for line, name in ((training, "train_loss"), (validation, "validation_loss"), (score, "validation_score")):
        assert line.get_xdata().tolist() == [1, 2, 3, 4]
        assert line.get_ydata().tolist() == HISTORY[name]
    assert training.axes is validation.axes is display.ax_
    assert score.axes is display.score_ax_


def test_without_validation_only_the_training_loss_is_drawn():
    display = history(train_loss=[2.0, 1.0])
    assert len(display.lines_) == 1
    assert display.score_ax_ is None
    assert display.figure_.axes == [display.ax_]
    assert display.ax_.get_xlabel() == "Epoch"


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_non_finite_losses_leave_gaps(bad):
    values = history(train_loss=[2.0, bad, 1.0, 0.5]).lines_[0].get_ydata()
    np.testing.assert_array_equal(values, [2.0, NAN, 1.0, 0.5])


def test_an_epoch_between_two_gaps_is_drawn_as_a_dot():
    line = history(train_loss=[2.0, NAN, 1.0, NAN, 0.5, 0.4]).lines_[0]
    assert line.get_marker() == "o"
    assert line.get_markevery() == [0, 2]


def test_a_line_without_isolated_epochs_has_no_dots():
    assert history(train_loss=[2.0, 1.0, NAN, 0.5, 0.4]).lines_[0].get_marker() == "None"


@pytest.mark.parametrize("losses", [[NAN, NAN], [NAN], [3.0], [0.0, 0.0], [1.0, 1.0]])
def test_short_and_constant_histories_are_drawn(losses):
    display = history(train_loss=losses, validation_loss=losses)
    display.figure_.canvas.draw()
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), losses)


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
def test_the_axis_is_logarithmic_if_every_loss_is_positive(training, validation, scale):
    assert history(train_loss=training, validation_loss=validation).ax_.get_yscale() == scale


@pytest.mark.parametrize("losses", [[0.52, 0.5], [1.0, 0.3], [20.0, 1.0], [100.0, 1e-6]])
def test_a_log_axis_has_at_least_two_labeled_ticks(losses):
    ax = history(train_loss=losses).ax_
    low, high = ax.get_ylim()
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert len(ticks) >= 2
    assert all(ax.yaxis.get_major_formatter().format_ticks(ticks))


def test_the_lowest_validation_loss_has_a_ring_and_is_named_in_the_legend():
    display = history(train_loss=[3.0, 2.0, 1.0, 1.0], validation_loss=[NAN, 0.9, 0.4, 0.6])
    ring = display.ax_.lines[-1]
    assert ring not in display.lines_
    assert (ring.get_xdata().tolist(), ring.get_ydata().tolist()) == ([3], [0.4])
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["training", "validation, lowest in epoch 3"]


def test_without_a_finite_validation_loss_there_is_no_ring():
    display = history(train_loss=[3.0, 2.0], validation_loss=[NAN, INF])
    assert display.ax_.lines[:] == display.lines_
    assert display.lines_[1].get_label() == "validation"


@pytest.mark.parametrize("in_a_grid", [True, False])
def test_the_score_is_drawn_below_the_losses_within_the_given_axes(in_a_grid):
    ax = axes() if in_a_grid else Figure().add_axes((0.2, 0.2, 0.6, 0.6))
    room = ax.get_position()
    display = HistoryDisplay.from_history(HISTORY, ax=ax)
    above, below = display.ax_.get_position(), display.score_ax_.get_position()
    assert below.y1 < above.y0
    assert above.height > 1.5 * below.height
    np.testing.assert_allclose([below.x0, below.y0, above.x1, above.y1], room.extents)
    assert display.score_ax_.get_xlim() == display.ax_.get_xlim()
    assert (display.ax_.get_xlabel(), display.score_ax_.get_xlabel()) == ("", "Epoch")


@pytest.mark.parametrize("n_epochs", [1, 7, 300])
def test_ticks_are_at_whole_epochs(n_epochs):
    ticks = history(train_loss=[1.0] * n_epochs).ax_.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))
    assert 1 <= len(ticks) <= 11


def test_the_given_history_is_not_modified():
    columns = {"train_loss": np.array([1.0, INF]), "validation_loss": np.array([INF, 1.0])}
    HistoryDisplay.from_history(columns, ax=axes())
    assert columns["train_loss"].tolist() == [1.0, INF]


def test_from_estimator_draws_the_history_with_its_schedule_and_name(fitted):
    ax = axes()
    display = HistoryDisplay.from_estimator(fitted, ax=ax, name="Adam")
    assert display.ax_ is ax
    assert display.lines_[0].get_ydata().tolist() == list(fitted.history_["train_loss"])
    assert display.lines_[0].get_label() == "Adam: training"
    assert display.lines_[-1].get_ydata().tolist() == fitted.history_["learning_rate"]
    assert display.learning_rate_ax_ is not None


# ---------------------------------------------------------------------- learning rate


def test_a_changing_learning_rate_is_drawn_at_the_bottom():
    rates = [0.1, 0.1, 0.01, 0.001]
    display = history(**HISTORY, learning_rate=rates)
    assert display.lines_[-1].axes is display.learning_rate_ax_
    assert display.lines_[-1].get_ydata().tolist() == rates
    losses, score, rate = display.figure_.axes
    assert (losses, score, rate) == (display.ax_, display.score_ax_, display.learning_rate_ax_)
    assert losses.get_position().y0 > score.get_position().y1
    assert score.get_position().y0 > rate.get_position().y1
    assert rate.get_position().height < losses.get_position().height / 2.0
    assert [ax.get_xlabel() for ax in display.figure_.axes] == ["", "", "Epoch"]
    assert rate.get_yscale() == "log"


def test_without_validation_the_learning_rate_is_drawn_directly_below_the_losses():
    display = history(train_loss=[2.0, 1.0], learning_rate=[0.1, 0.05])
    assert display.score_ax_ is None
    assert display.figure_.axes == [display.ax_, display.learning_rate_ax_]
    assert len(display.lines_) == 2


@pytest.mark.parametrize("rates", [[0.1, 0.1, 0.1], [0.1, 0.1 * (1.0 + 1e-15), 0.1], [NAN, NAN], [], [0.1, NAN]])
def test_a_constant_learning_rate_is_not_drawn(rates):
    display = history(train_loss=[2.0, 1.0, 0.5], learning_rate=rates)
    assert display.learning_rate_ax_ is None
    assert display.figure_.axes == [display.ax_]
    assert len(display.lines_) == 1


def test_a_learning_rate_that_reaches_zero_has_a_linear_axis():
    display = history(train_loss=[2.0, 1.0, 0.5], learning_rate=[0.1, 0.05, 0.0])
    assert display.learning_rate_ax_.get_yscale() == "linear"


def test_several_trainings_on_the_same_axes_have_names_and_line_styles():
    first = HistoryDisplay.from_history(HISTORY, ax=axes(), name="Adam")
    second = HistoryDisplay.from_history(HISTORY, ax=first.ax_, name="SGD")
    third = HistoryDisplay.from_history({"train_loss": [1.0, 0.5]}, ax=first.ax_).plot(first.ax_, name="again")
    first.figure_.canvas.draw()
    names = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert names == [
        "Adam: training",
        "Adam: validation, lowest in epoch 3",
        "SGD: training",
        "SGD: validation, lowest in epoch 3",
        "training",
        "again: training",
    ]
    assert [display.lines_[0].get_linestyle() for display in (first, second, third)] == ["-", "--", "-."]
    assert second.score_ax_ is first.score_ax_
    assert first.figure_.axes == [first.ax_, first.score_ax_]


def test_plot_uses_the_name_of_the_display_unless_another_is_given():
    display = HistoryDisplay(HISTORY, name="Adam").plot(axes())
    assert display.lines_[0].get_label() == "Adam: training"
    assert display.plot(axes(), name="other").lines_[0].get_label() == "other: training"


def test_a_second_training_adds_the_panels_it_needs():
    ax = axes()
    HistoryDisplay.from_history({"train_loss": [2.0, 1.0]}, ax=ax)
    second = HistoryDisplay.from_history({**HISTORY, "learning_rate": [0.1, 0.05, 0.02, 0.01]}, ax=ax)
    assert ax.figure.axes == [ax, second.score_ax_, second.learning_rate_ax_]
    assert [bool(panel.get_xlabel()) for panel in ax.figure.axes] == [False, False, True]


def test_negative_losses_of_a_second_training_make_the_axis_linear():
    ax = axes()
    HistoryDisplay.from_history({"train_loss": [2.0, 1.0]}, ax=ax)
    assert ax.get_yscale() == "log"
    HistoryDisplay.from_history({"train_loss": [2.0, -1.0]}, ax=ax)
    assert ax.get_yscale() == "linear"
