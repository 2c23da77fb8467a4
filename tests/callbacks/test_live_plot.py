import io
import math
import multiprocessing
import os
import pickle
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.callbacks import LivePlot, StopWhen, live_plot
from skmlp.optim import SGD

UP_AND_CLEAR = "\x1b[{}A\x1b[J"


class Terminal(io.StringIO):
    """A terminal that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 50 columns and 24 lines, on which every epoch is drawn."""
    monkeypatch.setattr(live_plot, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def plot_of(estimator: Any, data: Any, **params: Any) -> list[str]:
    stream = io.StringIO()
    estimator.set_callbacks(LivePlot(stream=stream, **params)).fit(*data)
    return stream.getvalue().splitlines()


def test_the_plot_is_printed_once_without_a_terminal(data: Any, small: Any) -> None:
    estimator = small(early_stopping=True)
    lines = plot_of(estimator, data, width=40, height=4)
    history = estimator.history_
    assert lines[0] == "MLPClassifier: epoch 6"
    assert len(lines) == 1 + 4 + 2 + 2
    assert all(len(line) <= 40 for line in lines[1:-2])
    assert lines[-3].split() == ["1", "6"]
    for line, mark, name in zip(lines[-2:], "*o", ["train_loss", "validation_loss"], strict=True):
        last, best = history[name][-1], min(history[name])
        words = f"{mark} {name}: {last:.4g}, best {best:.4g} in epoch {1 + history[name].index(best)}"
        assert line == words[:40]
    assert "\x1b" not in "".join(lines)


def test_the_default_stream_is_standard_output(data: Any, small: Any, capsys: Any) -> None:
    small().set_callbacks(LivePlot()).fit(*data)
    assert capsys.readouterr().out.startswith("MLPClassifier: epoch 6\n")


def test_each_plot_replaces_the_last_one_on_a_terminal(terminal: Terminal, data: Any, small: Any) -> None:
    small().set_callbacks(LivePlot(stream=terminal)).fit(*data)
    first, *others = terminal.writes
    n_lines = first.count("\n")
    assert first.startswith("MLPClassifier: epoch 1\n")
    assert n_lines == 1 + 8 + 2 + 1
    for epoch, text in enumerate(others[:-1], start=2):
        assert text.startswith(UP_AND_CLEAR.format(n_lines) + f"MLPClassifier: epoch {epoch}\n")
        assert text.count("\n") == n_lines
    assert len(others) == 6  # five more epochs, and the end
    assert others[-1] == others[-2]


def test_the_plot_of_a_second_fit_is_below_the_first(terminal: Terminal, data: Any, small: Any) -> None:
    estimator = small(warm_start=True).set_callbacks(LivePlot(stream=terminal)).fit(*data)
    n_writes = len(terminal.writes)
    estimator.fit(*data)
    assert terminal.writes[n_writes].startswith("MLPClassifier: epoch 7\n")
    assert terminal.writes[-1].splitlines()[-2].split() == ["1", "12"]  # all epochs in history_


def test_plots_are_drawn_at_intervals(terminal: Terminal, data: Any, small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(live_plot, "SECONDS_BETWEEN", 1e6)
    small().set_callbacks(LivePlot(stream=terminal)).fit(*data)
    assert len(terminal.writes) == 2  # the first epoch and the end


def test_the_size_is_limited_to_the_terminal(terminal: Terminal, data: Any, small: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("LINES", "10")
    small(early_stopping=True).set_callbacks(LivePlot(width=500, height=100, stream=terminal)).fit(*data)
    lines = terminal.writes[0].splitlines()
    assert max(map(len, lines)) == 50
    assert len(lines) < 10


@pytest.mark.parametrize("n_epochs", [1, 2, 200])
def test_the_curve_spans_all_columns(n_epochs: int, data: Any, small: Any) -> None:
    estimator = small(max_iter=n_epochs, n_iter_no_change=np.inf, batch_size="full")
    lines = plot_of(estimator, data, width=60)
    columns = {position for line in lines[1:9] for position, mark in enumerate(line.partition("|")[2]) if mark == "*"}
    n_columns = len(lines[9].partition("+")[2])
    expected = {1: {0}, 2: {0, n_columns - 1}, 200: set(range(n_columns))}
    assert columns == expected[n_epochs]


@pytest.mark.filterwarnings("ignore:Training diverged")
def test_a_diverged_epoch_is_a_gap(data: Any, small: Any) -> None:
    params = {"solver": "sgd", "learning_rate_init": 30.0, "batch_size": "full", "max_iter": 100}
    estimator = small(MLPRegressor, **params)
    lines = plot_of(estimator, data)
    losses = estimator.history_["train_loss"]
    assert math.isnan(losses[-1])
    assert lines[-1].startswith(f"* train_loss: nan, best {np.nanmin(losses):.4g} in epoch ")
    assert max(len(line) for line in lines[1:9]) < len(lines[9]) == 80  # nothing in the last column


def test_columns_are_those_given(data: Any, small: Any) -> None:
    estimator = small(early_stopping=True)
    lines = plot_of(estimator, data, columns=["validation_score", "gradient_norm"])
    scores = estimator.history_["validation_score"]
    best = 1 + scores.index(max(scores))  # higher scores are better
    assert lines[-2] == f"* validation_score: {scores[-1]:.4g}, best {max(scores):.4g} in epoch {best}"
    assert lines[-1].startswith("o gradient_norm: ")


@pytest.mark.parametrize("columns", [["train_loss", "lost"], ["validation_loss"]])
def test_unknown_columns_give_one_warning(columns: list[str], data: Any, small: Any) -> None:
    stream = io.StringIO()
    with pytest.warns(RuntimeWarning, match="'columns' parameter .* must be among .*Nothing is drawn") as caught:
        small().set_callbacks(LivePlot(columns, stream=stream)).fit(*data)
    assert len([warning for warning in caught if warning.category is RuntimeWarning]) == 1
    assert stream.getvalue() == ""


@pytest.mark.parametrize("inside", [False, True], ids=["outermost", "inside"])
def test_only_the_refit_of_a_search_is_drawn(inside: bool, data: Any, small: Any) -> None:
    stream = io.StringIO()
    plot = LivePlot(stream=stream)
    pipeline = make_pipeline(StandardScaler(), small().set_callbacks(*[plot] * inside))
    search = GridSearchCV(pipeline, {"mlpclassifier__max_iter": [2, 3]}, cv=2, scoring=lambda e, X, y: e[-1].max_iter)
    search.set_callbacks(*[plot] * (not inside)).fit(*data)
    assert stream.getvalue().count("MLPClassifier") == 1
    assert stream.getvalue().startswith("MLPClassifier: epoch 3\n")


def test_nothing_is_drawn_in_worker_processes(data: Any, small: Any, capsys: Any, monkeypatch: Any) -> None:
    in_workers = Parallel(n_jobs=2)(delayed(multiprocessing.parent_process)() for _ in range(2))
    assert None not in in_workers
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: in_workers[0])
    small().set_callbacks(LivePlot()).fit(*data)
    assert capsys.readouterr().out == ""


def test_independent_fits_are_drawn_one_after_the_other(data: Any, small: Any, capsys: Any) -> None:
    cross_val_score(small().set_callbacks(LivePlot()), *data, cv=2)
    assert capsys.readouterr().out.count("MLPClassifier: epoch 6\n") == 2


def test_the_axis_starts_with_the_first_epoch_in_the_history(data: Any, small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("skmlp.training.history.HISTORY_LIMIT", 4)
    lines = plot_of(small(), data)
    assert lines[0] == "MLPClassifier: epoch 6"
    assert lines[-2].split() == ["3", "6"]


def test_everything_but_the_stream_is_pickled(data: Any, small: Any) -> None:
    with open(os.devnull, "w") as stream:
        plot = LivePlot(["loss"], 40, 5, stream)
        copied = pickle.loads(pickle.dumps(plot))
        assert vars(copied) == {**vars(plot), "stream": None}
        assert plot.without_propagation().stream is stream


def test_a_failed_fit_is_drawn(data: Any, small: Any) -> None:

    def interrupt(history: Any) -> bool:
        if len(history["loss"]) == 3:
            raise KeyboardInterrupt
        return False

    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        small().set_callbacks(LivePlot(stream=stream), StopWhen(interrupt)).fit(*data)
    assert stream.getvalue().startswith("MLPClassifier: epoch 3\n")


def test_a_fit_that_fails_in_its_first_epoch_is_not_drawn(data: Any, small: Any) -> None:
    stream = io.StringIO()
    estimator = small(MLPRegressor, solver=SGD(), learning_rate_init=1e30, batch_size=5)
    with pytest.raises(ValueError, match="non-finite"):
        estimator.set_callbacks(LivePlot(stream=stream)).fit(*data)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns", ["loss", [], ["loss"] * 7])
def test_invalid_columns_raise(columns: Any) -> None:
    with pytest.raises(ValueError, match="The 'columns' parameter of LivePlot must be a list of 1 to 6 names"):
        LivePlot(columns)


@pytest.mark.parametrize(
    "params", [{"width": 29}, {"width": "wide"}, {"height": 1}, {"height": None}, {"height": True}], ids=str
)
def test_invalid_sizes_raise(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="parameter of LivePlot must be an int in the range"):
        LivePlot(**params)


def test_the_title_is_the_class_of_the_estimator(data: Any, small: Any) -> None:
    assert plot_of(small(MLPClassifier, max_iter=1), data)[0] == "MLPClassifier: epoch 1"
    assert plot_of(small(MLPRegressor, max_iter=1), data)[0] == "MLPRegressor: epoch 1"
