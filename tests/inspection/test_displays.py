"""What all displays have in common: axes, errors, sources of their data, and legible labels."""

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
STANDARD_QUANTILES = np.array([-3.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0])


def monitor_records(n_layers: int, n_epochs: int = 30, last: int = 30) -> dict[str, Any]:
    """Return the monitor of a network with vanishing gradients, with epochs up to `last`."""
    rng = np.random.default_rng(0)
    sizes = 0.6 ** np.arange(n_layers, 0, -1) * np.exp(0.3 * rng.normal(size=(n_epochs, n_layers)))
    return {
        "epoch": np.linspace(last if n_epochs == 1 else 1, last, n_epochs).astype(int),
        "gradient_norm": sizes,
        "update_ratio": 0.01 * sizes,
        "gradient_quantiles": sizes[..., np.newaxis] * STANDARD_QUANTILES,
        "activation_quantiles": np.tanh(rng.uniform(0.3, 2.0, size=(n_epochs, n_layers, 1)) * STANDARD_QUANTILES),
    }


def history_records(n_epochs: int = 30, last: int = 30) -> dict[str, Any]:
    epochs = np.arange(1.0, last + 1.0)[-n_epochs:]
    return {
        "train_loss": 3.0 / epochs,
        "validation_loss": 3.5 / epochs,
        "validation_score": 1.0 - 0.9 / epochs,
        "learning_rate": 0.01 * 0.5 ** (epochs // 7),
    }


HISTORY = history_records(4)
STEPS = np.linspace(-1.0, 1.0, 5)
BOWL = 0.1 + np.add.outer(STEPS**2, STEPS**2)
# Each display, ready to be drawn.
READY = {
    "history": lambda: HistoryDisplay(HISTORY),
    "flow": lambda: GradientFlowDisplay(monitor_records(3)),
    "ratio": lambda: UpdateRatioDisplay(monitor_records(3)),
    "many ratios": lambda: UpdateRatioDisplay(monitor_records(9)),
    "activation": lambda: ActivationDisplay(monitor_records(3)),
    "boundary": lambda: DecisionBoundaryDisplay(
        STEPS, STEPS, (BOWL > 1.0).astype(int), probability=np.full((5, 5), 0.8), classes=["in", "out"]
    ),
    "surface": lambda: LossSurfaceDisplay(STEPS, BOWL, 0.1),
    "units": lambda: HiddenUnitsDisplay(np.linspace(-1.0, 1.0, 12).reshape(4, 3), (2, 2), [2, 0, 1]),
}
MONITORED = (GradientFlowDisplay, UpdateRatioDisplay, ActivationDisplay)


@pytest.fixture(scope="module")
def monitored() -> Any:
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((4, 4), tol=10.0, n_iter_no_change=3, monitor=1))
    return model.fit(X, y)


def axes(*, constrained: bool = False) -> Any:
    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained" if constrained else None)
    return FigureCanvasAgg(figure).figure.subplots()


# ---------------------------------------------------------------------- axes

PANELS = pytest.mark.parametrize("kind", ["history", "flow", "activation"])


@pytest.mark.parametrize("kind", READY)
def test_plot_draws_on_the_given_axes_without_pyplot(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises an error
    display = READY[kind]()
    for ax in (axes(), axes()):
        assert display.plot(ax) is display
        assert display.ax_ is ax
        assert display.figure_ is ax.figure


@pytest.mark.parametrize("kind", ["history", "flow"])
def test_plot_without_axes_opens_one_pyplot_figure(kind):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before = plt.get_fignums()
    display = READY[kind]().plot()
    try:
        assert len(plt.get_fignums()) == len(before) + 1
        assert plt.gcf() is display.figure_
        display.figure_.canvas.draw()
    finally:
        plt.close(display.figure_)


def test_plot_without_matplotlib_raises_an_error_that_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skmlp\[plot\]"):
        READY["flow"]().plot()


@PANELS
def test_plot_draws_in_a_subfigure(kind):
    figure = FigureCanvasAgg(Figure(layout="constrained")).figure
    left, right = figure.subfigures(1, 2)
    display = READY[kind]().plot(right.subplots())
    figure.canvas.draw()
    assert display.figure_ is right
    assert not left.axes


@PANELS
@pytest.mark.parametrize("in_a_grid", [True, False])
def test_panels_and_color_bars_stay_within_the_given_axes(kind, in_a_grid):
    figure = FigureCanvasAgg(Figure()).figure
    ax = figure.subplots(2, 2)[1, 0] if in_a_grid else figure.add_axes((0.2, 0.3, 0.5, 0.5))
    others = [other for other in figure.axes if other is not ax]
    area = ax.get_position()
    READY[kind]().plot(ax)
    for panel in figure.axes:
        if panel not in others:
            box = panel.get_position()
            assert box.x0 >= area.x0 - 1e-6
            assert box.x1 <= area.x1 + 1e-6
            assert box.y0 >= area.y0 - 1e-6
            assert box.y1 <= area.y1 + 1e-6


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize("display_class", [HistoryDisplay, *MONITORED, HiddenUnitsDisplay])
def test_an_unfitted_estimator_is_rejected(display_class):
    for estimator in (MLPClassifier(), make_pipeline(StandardScaler(), MLPClassifier())):
        with pytest.raises(NotFittedError):
            display_class.from_estimator(estimator, ax=axes())


@pytest.mark.parametrize("display_class", [LossSurfaceDisplay, DecisionBoundaryDisplay])
def test_an_unfitted_estimator_with_data_is_rejected(display_class):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError):
        display_class.from_estimator(MLPClassifier(), X, y, ax=axes())


@pytest.mark.parametrize("display_class", MONITORED)
@pytest.mark.parametrize("monitor", [{}, {"epoch": np.array([], dtype=int)}])
def test_without_a_monitored_epoch_nothing_is_drawn(display_class, monitor):
    import matplotlib.pyplot as plt

    before, ax = plt.get_fignums(), axes()
    for target in (ax, None):
        with pytest.raises(ValueError, match=r"no epoch of the training was monitored.*monitor=True"):
            display_class.from_history(monitor, ax=target)
    assert not ax.has_data()
    assert plt.get_fignums() == before


@pytest.mark.parametrize("display_class", MONITORED)
def test_a_monitor_without_the_statistic_is_rejected(display_class):
    with pytest.raises(ValueError, match="monitor has epoch, weight_norm only"):
        display_class.from_history({"epoch": [1], "weight_norm": [[1.0]]}, ax=axes())


def test_an_estimator_fitted_without_monitor_is_rejected():
    X, y = load_iris(return_X_y=True)
    estimator = MLPClassifier((4,), tol=10.0, n_iter_no_change=1).fit(X, y)
    for display_class in MONITORED:
        with pytest.raises(ValueError, match="monitor=True"):
            display_class.from_estimator(estimator, ax=axes())


def test_loss_surface_rejects_estimators_of_other_libraries():
    X, y = load_iris(return_X_y=True)
    other = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match=r"Got LogisticRegression\(\) as the last step of the Pipeline"):
        LossSurfaceDisplay.from_estimator(other, X, y, ax=axes())


# ---------------------------------------------------------------------- data from an estimator


def test_every_display_draws_the_training_of_a_pipeline(monitored):
    X, y = load_iris(return_X_y=True)
    network = monitored[-1]
    history = HistoryDisplay.from_estimator(monitored, ax=axes())
    assert history.history is network.history_
    drawn = [display_class.from_estimator(monitored, ax=axes()) for display_class in MONITORED]
    for display in drawn:
        assert display.monitor.keys() == network.monitor_.keys()
        np.testing.assert_array_equal(display.monitor["gradient_norm"], network.monitor_["gradient_norm"])
    assert len(drawn[1].lines_) == len(drawn[2].axes_) == len(network.coefs_) == 3
    drawn += [
        history,
        ActivationDisplay.from_estimator(monitored, statistic="gradient", ax=axes()),
        DecisionBoundaryDisplay.from_estimator(monitored, X, y, grid_resolution=5, ax=axes()),
        LossSurfaceDisplay.from_estimator(monitored, X, y, resolution=3, ax=axes()),
        HiddenUnitsDisplay.from_estimator(monitored, ax=axes()),
    ]
    for display in drawn:
        display.figure_.canvas.draw()


# ---------------------------------------------------------------------- legible labels


def drawn_texts(display: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return every text that is drawn, with its box in pixels."""
    found, draw = [], Text.draw

    def recording(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", recording)
        display.figure_.canvas.draw()
    return found


def assert_legible(display: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(display, monkeypatch)
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
    ("kind", "n_layers", "constrained"),
    [
        ("flow", 10, False),
        ("flow", 50, True),
        ("ratio", 3, False),
        ("ratio", 6, True),
        ("ratio", 50, True),
        ("activation", 3, False),
        ("activation", 7, True),
        ("gradient", 7, False),
        ("gradient", 50, True),
    ],
)
def test_layer_labels_are_legible_for_any_number_of_layers(kind, n_layers, constrained, monkeypatch):
    assert_legible(DRAWERS[kind](monitor_records(n_layers), axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize(
    ("kind", "last"), [("activation", 1), ("gradient", 20_000), ("flow", 1), ("flow", 20_000), ("ratio", 20_000)]
)
def test_epoch_labels_are_legible_for_any_number_of_epochs(kind, last, monkeypatch):
    records = monitor_records(6, n_epochs=min(last, 20), last=last)
    assert_legible(DRAWERS[kind](records, axes(constrained=True)), monkeypatch)


@pytest.mark.parametrize(("last", "constrained"), [(1, True), (2, False), (2000, True)])
def test_a_history_is_legible(last, constrained, monkeypatch):
    records = history_records(last, last)
    assert_legible(HistoryDisplay.from_history(records, ax=axes(constrained=constrained)), monkeypatch)


LONG = "a class with a name far longer than anyone would expect "


# Without a layout engine, many long names take more space than there is above the axes.
@pytest.mark.parametrize(("n_classes", "prefix", "constrained"), [(10, "", False), (26, LONG, True), (3, LONG, False)])
def test_class_names_are_legible_however_many_and_long(n_classes, prefix, constrained, monkeypatch):
    classes = [f"{prefix}{index}" for index in range(n_classes)]
    regions = np.arange(36).reshape(6, 6) % n_classes
    ticks = np.linspace(0.0, 1.0, 6)
    display = DecisionBoundaryDisplay(ticks, ticks, regions, probability=np.full((6, 6), 0.9), classes=classes)
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize(("high", "constrained"), [(1.1, True), (5.0, False), (1e12, True)])
def test_a_loss_surface_is_legible(high, constrained, monkeypatch):
    display = LossSurfaceDisplay(STEPS, np.geomspace(1.0, high, 25).reshape(5, 5), 1.0)
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)


@pytest.mark.parametrize(
    ("n_units", "image_shape", "constrained"),
    [(1, (8, 8), True), (50, (28, 28), False), (16, (1, 12), True), (50, (12, 1), False)],
)
def test_unit_numbers_are_legible(n_units, image_shape, constrained, monkeypatch):
    weights = np.random.default_rng(0).normal(size=(image_shape[0] * image_shape[1], n_units))
    display = HiddenUnitsDisplay(weights, image_shape, list(range(n_units)))
    assert_legible(display.plot(axes(constrained=constrained)), monkeypatch)
