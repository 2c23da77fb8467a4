"""Every function and display for an estimator of a table: it works, or says what to pass instead."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmlp import MLPClassifier, TabularMLPClassifier, inspection
from skmlp.inspection import (
    ActivationDisplay,
    DecisionBoundaryDisplay,
    GradientFlowDisplay,
    HiddenUnitsDisplay,
    HistoryDisplay,
    LearningRateDisplay,
    LossSurfaceDisplay,
    UpdateRatioDisplay,
    diagnose,
    feature_importance,
    lr_find,
    trace,
)

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RNG = np.random.default_rng(0)
N = 80
X = pd.DataFrame(
    {
        "size": RNG.normal(500.0, 100.0, N),
        "count": pd.array(RNG.integers(0, 9, N), dtype="Int64"),
        "color": pd.Categorical(RNG.choice(["red", "blue", "green"], N)),
        "kind": RNG.choice(["a", "b"], N),
    }
)
X.loc[::7, "size"] = np.nan
X.loc[::9, "count"] = pd.NA
X.loc[::11, "color"] = None
Y = np.where(X["color"] == "red", "yes", "no")
SMALL = {"hidden_layer_sizes": [(6, 4)]}
MEMBER = r"is about a single network, and TabularMLPClassifier averages 2 of them\. Pass a member: estimator\.est"


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


class Case(NamedTuple):
    """What is called, and the words of the error for a tabular estimator; None if there is none."""

    call: Callable[[Any], Any]
    tabular: str | None = None


def drawn(display: Any, *data: Any, **options: Any) -> Callable[[Any], Any]:
    def draw(est: Any) -> Any:
        made = display.from_estimator(est, *data, ax=axes(), **options)
        made.figure_.canvas.draw()
        return made

    return draw


SHORT = {"n_steps": 40, "low": 1e-5, "high": 1.0}
CASES: dict[str, Case] = {
    "ActivationDisplay": Case(drawn(ActivationDisplay)),
    "DecisionBoundaryDisplay": Case(
        drawn(DecisionBoundaryDisplay, X, Y, features=("size", "count"), grid_resolution=3)
    ),
    "GradientFlowDisplay": Case(drawn(GradientFlowDisplay)),
    "HiddenUnitsDisplay": Case(drawn(HiddenUnitsDisplay, layer=1, image_shape=(2, 3)), rf"{MEMBER}imators_\[0\]\.$"),
    "HistoryDisplay": Case(drawn(HistoryDisplay)),
    "LearningRateDisplay": Case(drawn(LearningRateDisplay, X, Y, **SHORT)),
    "LossSurfaceDisplay": Case(
        drawn(LossSurfaceDisplay, X, Y, resolution=2), rf"{MEMBER}imators_\[0\], and estimator\.encode\(X\) in place"
    ),
    "UpdateRatioDisplay": Case(drawn(UpdateRatioDisplay)),
    "diagnose": Case(lambda est: diagnose(est, X, Y)),
    "feature_importance": Case(lambda est: feature_importance(est, X)),
    "lr_find": Case(lambda est: lr_find(est, X, Y, **SHORT)),
    "trace": Case(
        lambda est: str(trace(est, X[:3], Y[:3])), rf"{MEMBER}imators_\[0\], and estimator\.encode\(X\) in place"
    ),
}
EACH = pytest.mark.parametrize("name", CASES)
RESULTS = {"LearningRateSearch", "Trace"}


def plain() -> Any:
    settings = {"missing": "indicator", "scaling": "robust", "monitor": 1, "random_state": 0}
    return MLPClassifier((6, 4), max_iter=3, **settings)


def tabular() -> Any:
    return TabularMLPClassifier(2, max_iter=3, members=SMALL, monitor=1, validation_split=0.2, random_state=0)


def fit(est: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return est.fit(X, Y)


@pytest.fixture(scope="module")
def fitted() -> Any:
    return {"plain": fit(plain()), "tabular": fit(tabular())}


def test_all_public_names_have_a_case() -> None:
    assert CASES.keys() | RESULTS == set(inspection.__all__)


@EACH
def test_a_plain_estimator_of_a_table_works(name: str, fitted: Any) -> None:
    assert CASES[name].call(fitted["plain"]) is not None


@EACH
def test_a_tabular_estimator_works_or_is_told_what_to_pass(name: str, fitted: Any) -> None:
    case = CASES[name]
    if case.tabular is None:
        assert case.call(fitted["tabular"]) is not None
    else:
        with pytest.raises(TypeError, match=case.tabular):
            case.call(fitted["tabular"])


def test_what_the_errors_advise_works(fitted: Any) -> None:
    est = fitted["tabular"]
    member, rows = est.estimators_[0], est.encode(X)
    assert len(drawn(HiddenUnitsDisplay, layer=1, image_shape=(2, 3))(member).images_) == 4
    assert np.isfinite(drawn(LossSurfaceDisplay, rows, Y, resolution=2)(member).losses).all()
    assert trace(member, rows[:3], Y[:3])["prediction"].ravel() == pytest.approx(
        member.predict_proba(rows[:3])[:, 1], abs=1e-6
    )


@EACH
def test_an_unfitted_tabular_estimator_is_refused(name: str) -> None:
    if name in ("lr_find", "LearningRateDisplay"):
        CASES[name].call(tabular())
    else:
        with pytest.raises(NotFittedError):
            CASES[name].call(tabular())


@EACH
def test_tabular_estimators_are_found_in_pipelines_and_searches(name: str) -> None:
    case = CASES[name]
    if case.tabular is None:
        search = GridSearchCV(tabular(), {"max_iter": [2]}, cv=2)
        assert case.call(fit(make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), search))) is not None


def test_displays_of_a_training_draw_means_over_the_members(fitted: Any) -> None:
    est = fitted["tabular"]
    norms = UpdateRatioDisplay.from_estimator(est, ax=axes()).monitor["gradient_norm"]
    np.testing.assert_allclose(norms, np.mean([each.monitor_["gradient_norm"] for each in est.estimators_], axis=0))
    assert HistoryDisplay.from_estimator(est, ax=axes()).history is est.history_


def test_a_history_has_thin_lines_for_the_members(fitted: Any) -> None:
    est = fitted["tabular"]
    display = HistoryDisplay.from_estimator(est, ax=axes())
    *losses, best = display.member_lines_
    wanted = [each.history_[name] for name in ("train_loss", "validation_loss") for each in est.estimators_]
    assert [line.get_ydata().tolist() for line in losses] == wanted
    assert {line.axes for line in losses} == {display.ax_}
    assert best.get_ydata().tolist() == est.history_["best_member_score"]
    assert best.axes is display.score_ax_
    assert all(line.get_linewidth() < display.lines_[0].get_linewidth() for line in display.member_lines_)
    labels = [text.get_text() for text in display.score_ax_.get_legend().get_texts()]
    assert labels == ["mean", "best member"]
    alone = HistoryDisplay.from_estimator(fitted["plain"], ax=axes())
    assert alone.member_lines_ == []
    again = HistoryDisplay.from_history(est.history_, members=[est.estimators_[0].history_], ax=axes())
    assert len(again.member_lines_) == 3


def test_losses_of_samples_that_members_hold_out_are_points_in_the_panel_of_losses() -> None:
    losses = {"train_loss": [3.0, 2.0, 1.0, 0.5], "held_out_loss": [np.nan, 2.5, np.nan, 0.8]}
    line = HistoryDisplay.from_history(losses, ax=axes()).lines_[1]
    np.testing.assert_array_equal(line.get_ydata(), losses["held_out_loss"])
    assert line.get_marker() == "o"
    assert line.get_label() == "held out by the members"


def test_lr_find_trains_the_first_member(fitted: Any) -> None:
    est = tabular().set_params(members={**SMALL, "learning_rate_init": [0.1, 0.2], "dropout": [0.0, 0.5]})
    member = est._first_member()
    assert member.dropout == fit(est).estimators_[0].dropout
    assert member.random_state == est.estimators_[0].random_state
    np.testing.assert_array_equal(lr_find(est, X, Y, **SHORT).losses, lr_find(member, X, Y, **SHORT).losses)


def test_a_boundary_can_be_drawn_over_nullable_numbers_but_not_over_categories(fitted: Any) -> None:
    display = DecisionBoundaryDisplay.from_estimator(
        fitted["tabular"], X, Y, features=("count", "size"), grid_resolution=3, ax=axes()
    )
    assert np.isnan(display.points[0]).all()
    with pytest.raises(ValueError, match=r"\('size', 'color'\) must be numerical"):
        DecisionBoundaryDisplay.from_estimator(fitted["tabular"], X, features=("size", "color"), ax=axes())
