"""What all displays have in common: where they draw, what they refuse, and that everything in them can be read."""

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.inspection import (
    ActivationDisplay,
    DecisionBoundaryDisplay,
    GradientFlowDisplay,
    HiddenUnitsDisplay,
    HistoryDisplay,
    LossSurfaceDisplay,
    UpdateRatioDisplay,
)

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

NAN, INF = float("nan"), float("inf")
SHARES = np.array([-3.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0])


def observations(n_layers: int, n_epochs: int = 30, last: int = 30) -> dict[str, Any]:
    """Return what a network whose gradients vanish would leave, of epochs up to the given one."""
    rng = np.random.default_rng(0)
    sizes = 0.6 ** np.arange(n_layers, 0, -1) * np.exp(0.3 * rng.normal(size=(n_epochs, n_layers)))
    return {
        "epoch": np.linspace(last if n_epochs == 1 else 1, last, n_epochs).astype(int),
        "gradient_norm": sizes,
        "update_ratio": 0.01 * sizes,
        "gradient_quantiles": sizes[..., np.newaxis] * SHARES,
        "activation_quantiles": np.tanh(rng.uniform(0.3, 2.0, size=(n_epochs, n_layers, 1)) * SHARES),
    }


def record(n_epochs: int = 30, last: int = 30) -> dict[str, Any]:
    epochs = np.arange(1.0, last + 1.0)[-n_epochs:]
    return {
        "train_loss": 3.0 / epochs,
        "validation_loss": 3.5 / epochs,
        "validation_score": 1.0 - 0.9 / epochs,
        "learning_rate": 0.01 * 0.5 ** (epochs // 7),
    }


HISTORY = record(4)
STEPS = np.linspace(-1.0, 1.0, 5)
BOWL = 0.1 + np.add.outer(STEPS**2, STEPS**2)
# Each display with data that are ready to be drawn.
READY = {
    "history": lambda: HistoryDisplay(HISTORY),
    "flow": lambda: GradientFlowDisplay(observations(3)),
    "ratio": lambda: UpdateRatioDisplay(observations(3)),
    "many ratios": lambda: UpdateRatioDisplay(observations(9)),
    "activation": lambda: ActivationDisplay(observations(3)),
    "boundary": lambda: DecisionBoundaryDisplay(
        STEPS, STEPS, (BOWL > 1.0).astype(int), probability=np.full((5, 5), 0.8), classes=["in", "out"]
    ),
    "surface": lambda: LossSurfaceDisplay(STEPS, BOWL, 0.1),
    "units": lambda: HiddenUnitsDisplay(np.linspace(-1.0, 1.0, 12).reshape(4, 3), (2, 2), [2, 0, 1]),
}
MONITORED = (GradientFlowDisplay, UpdateRatioDisplay, ActivationDisplay)


@pytest.fixture(params=READY, ids=str)
def display(request: pytest.FixtureRequest) -> Any:
    return READY[request.param]()


@pytest.fixture(scope="module")
def watched() -> Any:
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((4, 4), tol=10.0, n_iter_no_change=3, monitor=1))
    return model.fit(X, y)


def axes(*, constrained: bool = False) -> Any:
    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained" if constrained else None)
    return FigureCanvasAgg(figure).figure.subplots()


# ---------------------------------------------------------------------- where they draw


def test_given_axes_are_drawn_on_without_pyplot(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # an import of it fails
    ax = axes()
    assert display.plot(ax) is display
    display.figure_.canvas.draw()
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_given_axes_leave_the_figures_of_pyplot_alone(display):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    display.plot(axes())
    assert plt.get_fignums() == before


def test_without_axes_one_figure_of_pyplot_opens(display):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before = plt.get_fignums()
    display.plot()
    try:
        assert len(plt.get_fignums()) == len(before) + 1
        assert plt.gcf() is display.figure_
        display.figure_.canvas.draw()
    finally:
        plt.close(display.figure_)


def test_without_matplotlib_the_error_says_what_to_install(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skmlp\[plot\]"):
        display.plot()


def test_a_display_draws_again_on_other_axes(display):
    display.plot(axes())
    other = axes()
    assert display.plot(other) is display
    assert display.ax_ is other
    assert display.figure_ is other.figure


def test_part_of_a_figure_is_enough(display):
    figure = FigureCanvasAgg(Figure(layout="constrained")).figure
    left, right = figure.subfigures(1, 2)
    display.plot(right.subplots())
    figure.canvas.draw()
    assert display.figure_ is right
    assert not left.axes


@pytest.mark.parametrize("in_a_grid", [True, False])
def test_what_is_drawn_stays_in_the_room_of_the_axes(display, in_a_grid):
    figure = FigureCanvasAgg(Figure()).figure
    ax = figure.subplots(2, 2)[1, 0] if in_a_grid else figure.add_axes((0.2, 0.3, 0.5, 0.5))
    beside = [other for other in figure.axes if other is not ax]
    room = ax.get_position()
    display.plot(ax)
    figure.canvas.draw()
    for panel in figure.axes:
        if panel not in beside:
            box = panel.get_position()
            assert box.x0 >= room.x0 - 1e-6
            assert box.x1 <= room.x1 + 1e-6
            assert box.y0 >= room.y0 - 1e-6
            assert box.y1 <= room.y1 + 1e-6


# ---------------------------------------------------------------------- what they refuse


@pytest.mark.parametrize("display_class", [HistoryDisplay, *MONITORED, HiddenUnitsDisplay])
def test_an_estimator_that_is_not_fitted_is_refused(display_class):
    for estimator in (MLPClassifier(), make_pipeline(StandardScaler(), MLPClassifier())):
        with pytest.raises(NotFittedError):
            display_class.from_estimator(estimator, ax=axes())


@pytest.mark.parametrize("display_class", [LossSurfaceDisplay, DecisionBoundaryDisplay])
def test_an_estimator_with_data_that_is_not_fitted_is_refused(display_class):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError):
        display_class.from_estimator(MLPClassifier(), X, y, ax=axes())


@pytest.mark.parametrize("display_class", MONITORED)
@pytest.mark.parametrize("monitor", [{}, {"epoch": []}, {"epoch": np.array([], dtype=int)}])
def test_without_an_observed_epoch_there_is_nothing_to_show(display_class, monitor):
    import matplotlib.pyplot as plt

    before, ax = plt.get_fignums(), axes()
    for target in (ax, None):
        with pytest.raises(ValueError, match=r"no epoch of the training was observed.*monitor=True"):
            display_class.from_history(monitor, ax=target)
    assert not ax.has_data()
    assert plt.get_fignums() == before


@pytest.mark.parametrize("display_class", MONITORED)
def test_observations_without_the_statistic_are_named(display_class):
    with pytest.raises(ValueError, match="hold epoch, weight_norm only"):
        display_class.from_history({"epoch": [1], "weight_norm": [[1.0]]}, ax=axes())


@pytest.mark.parametrize("display_class", MONITORED)
def test_an_estimator_that_did_not_watch_is_told_how(display_class):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="monitor=True"):
        display_class.from_estimator(MLPClassifier((4,), tol=10.0, n_iter_no_change=1).fit(X, y), ax=axes())


def test_an_estimator_of_another_library_is_refused_where_the_objective_is_needed():
    X, y = load_iris(return_X_y=True)
    other = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match=r"Got LogisticRegression\(\) as the last step of the Pipeline"):
        LossSurfaceDisplay.from_estimator(other, X, y, ax=axes())


# ---------------------------------------------------------------------- what they take from an estimator


def test_the_last_step_of_a_pipeline_is_drawn(watched):
    monitor, history = watched[-1].monitor_, watched[-1].history_
    assert HistoryDisplay.from_estimator(watched, ax=axes()).history is history
    for display_class in MONITORED:
        drawn = display_class.from_estimator(watched, ax=axes()).monitor
        assert drawn.keys() == monitor.keys()
        np.testing.assert_array_equal(drawn["gradient_norm"], monitor["gradient_norm"])


def test_a_real_training_is_drawn_by_every_display(watched):
    X, y = load_iris(return_X_y=True)
    drawn = [
        *(display_class.from_estimator(watched, ax=axes()) for display_class in (HistoryDisplay, *MONITORED)),
        ActivationDisplay.from_estimator(watched, statistic="gradient", ax=axes()),
        DecisionBoundaryDisplay.from_estimator(watched, X, y, grid_resolution=10, ax=axes()),
        LossSurfaceDisplay.from_estimator(watched, X, y, resolution=3, ax=axes()),
        HiddenUnitsDisplay.from_estimator(watched, ax=axes()),
    ]
    for display in drawn:
        display.figure_.canvas.draw()
    assert len(drawn[2].lines_) == len(drawn[3].axes_) == len(watched[-1].coefs_) == 3


# ---------------------------------------------------------------------- that everything can be read


def written(display: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return every text that is drawn, with its box in pixels."""
    found, draw = [], Text.draw

    def noting(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", noting)
        display.figure_.canvas.draw()
    return found


def assert_legible(display: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = written(display, monkeypatch)
    width, height = display.figure_.canvas.get_width_height()
    assert texts
    for index, (name, box) in enumerate(texts):
        assert box.height > 5.0, f"{name!r} is too small"
        inside = box.x0 >= -1.0 and box.y0 >= -1.0 and box.x1 <= width + 1.0 and box.y1 <= height + 1.0
        assert inside, f"{name!r} is cut off"
        for other, other_box in texts[:index]:
            across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            down = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert min(across, down) < 1.0, f"{name!r} overlaps {other!r}"


DRAWERS = {
    "flow": lambda monitor, ax: GradientFlowDisplay.from_history(monitor, ax=ax),
    "ratio": lambda monitor, ax: UpdateRatioDisplay.from_history(monitor, ax=ax),
    "activation": lambda monitor, ax: ActivationDisplay.from_history(monitor, ax=ax),
    "gradient": lambda monitor, ax: ActivationDisplay.from_history(monitor, statistic="gradient", ax=ax),
}


@pytest.mark.parametrize(
    ("n_layers", "constrained"),
    [(1, True), (3, False), (7, True), (10, False), (50, True)],
)
@pytest.mark.parametrize("draw", DRAWERS.values(), ids=DRAWERS)
def test_layers_can_be_read_however_many_they_are(draw, n_layers, constrained, monkeypatch):
    assert_legible(draw(observations(n_layers), axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize("last", [1, 20_000])
@pytest.mark.parametrize("draw", DRAWERS.values(), ids=DRAWERS)
def test_epochs_can_be_read_however_many_they_are(draw, last, monkeypatch):
    assert_legible(draw(observations(6, n_epochs=min(last, 20), last=last), axes(constrained=True)), monkeypatch)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("last", [1, 2, 30, 2000])
def test_a_history_can_be_read(last, constrained, monkeypatch):
    assert_legible(HistoryDisplay.from_history(record(last, last), ax=axes(constrained=constrained)), monkeypatch)


LONG = "a class with a name far longer than anyone would expect "


# Many long names take more room than the margin above axes that stay where they are.
@pytest.mark.parametrize(
    ("n_classes", "prefix", "constrained"),
    [
        *((n_classes, "", constrained) for n_classes in (2, 10, 26) for constrained in (True, False)),
        *((n_classes, LONG, True) for n_classes in (2, 26)),
        (3, LONG, False),
    ],
)
def test_classes_can_be_read_however_many_they_are(n_classes, prefix, constrained, monkeypatch):
    classes = [f"{prefix}{index}" for index in range(n_classes)]
    regions = np.arange(36).reshape(6, 6) % n_classes
    ticks = np.linspace(0.0, 1.0, 6)
    display = DecisionBoundaryDisplay(ticks, ticks, regions, probability=np.full((6, 6), 0.9), classes=classes)
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("high", [1.1, 5.0, 1e3, 1e12])
def test_a_loss_surface_can_be_read(high, constrained, monkeypatch):
    display = LossSurfaceDisplay(STEPS, np.geomspace(1.0, high, 25).reshape(5, 5), 1.0)
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize(
    ("image_shape", "constrained"), [((8, 8), True), ((28, 28), False), ((1, 12), True), ((12, 1), False)]
)
@pytest.mark.parametrize("n_units", [1, 16, 50])
def test_units_can_be_read_however_many_they_are(n_units, image_shape, constrained, monkeypatch):
    weights = np.random.default_rng(0).normal(size=(image_shape[0] * image_shape[1], n_units))
    display = HiddenUnitsDisplay(weights, image_shape, list(range(n_units)))
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)
