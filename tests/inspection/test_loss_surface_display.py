"""LossSurfaceDisplay: the objective on a plane through the weights; the estimator is not modified."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.inspection import LossSurfaceDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
WEIGHT = np.random.default_rng(0).uniform(0.1, 2.0, len(X))
STEPS = np.linspace(-1.0, 1.0, 5)
BOWL = 0.1 + np.add.outer(STEPS**2, STEPS**2)


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def classifier(**params: Any) -> MLPClassifier:
    return MLPClassifier((6, 5), **{"alpha": 0.1, "tol": 10.0, "n_iter_no_change": 3, "random_state": 0, **params})


def surface(estimator: Any, *data: Any, **options: Any) -> LossSurfaceDisplay:
    return LossSurfaceDisplay.from_estimator(estimator, *data, **{"resolution": 3, **options}, ax=axes())


def drawn(losses: Any) -> LossSurfaceDisplay:
    losses = np.asarray(losses)
    return LossSurfaceDisplay(np.linspace(-1.0, 1.0, len(losses)), losses, 0.5).plot(axes())


@pytest.fixture(scope="module")
def fitted() -> MLPClassifier:
    return classifier().fit(X, Y)


def moved(estimator: Any, a: float, b: float, seed: int = 0) -> Any:
    """Return a copy whose weights are moved by a and b along the two directions, unit by unit."""
    copy = pickle.loads(pickle.dumps(estimator))
    rng = np.random.RandomState(seed)
    for length in (a, b):
        for weights, own in zip(copy.coefs_, estimator.coefs_, strict=True):
            direction = rng.normal(size=own.shape)
            for unit in range(own.shape[1]):
                scale = np.sqrt((own[:, unit] ** 2).sum() / (direction[:, unit] ** 2).sum())
                weights[:, unit] += length * scale * direction[:, unit]
    return copy


@pytest.mark.parametrize("params", [{}, {"alpha_l1": 0.05}, {"label_smoothing": 0.1}, {"class_weight": "balanced"}])
def test_losses_are_the_objective_of_networks_moved_along_both_directions(params):
    est = classifier(dtype="float64", **params).fit(X, Y)
    display = surface(est, X, Y, span=0.5, random_state=3)
    assert display.steps.tolist() == [-0.5, 0.0, 0.5]
    for i, b in enumerate(display.steps):
        for j, a in enumerate(display.steps):
            expected = moved(est, a, b, seed=3).loss_and_gradients(X, Y)[0]
            assert display.losses[i, j] == pytest.approx(expected, rel=1e-9)
    assert display.trained_loss == pytest.approx(est.loss_and_gradients(X, Y)[0], rel=1e-12)
    assert display.losses[1, 1] == display.trained_loss


def test_sample_weights_are_used():
    est = classifier(dtype="float64").fit(X, Y, WEIGHT)
    display = surface(est, X, Y, WEIGHT)
    assert display.trained_loss == pytest.approx(est.loss_and_gradients(X, Y, WEIGHT)[0], rel=1e-12)
    assert display.trained_loss != pytest.approx(est.loss_and_gradients(X, Y)[0], rel=1e-6)


def test_float32_weights_are_evaluated_in_float64(fitted):
    display = surface(fitted, X, Y)
    assert fitted.coefs_[0].dtype == np.float32
    assert display.trained_loss == pytest.approx(fitted.loss_and_gradients(X, Y)[0], rel=1e-5)
    near = surface(fitted, X, Y, span=1e-9).losses
    assert len(np.unique(near)) > 3  # in float32 all would be equal


def test_a_regressor_and_a_pipeline_are_drawn():
    rows, y = load_diabetes(return_X_y=True)
    mlp = MLPRegressor(hidden_layer_sizes=(4,), alpha=0.1, dtype="float64", tol=1e9, n_iter_no_change=2)
    model = make_pipeline(StandardScaler(), mlp).fit(rows, y)
    display = surface(model, rows, y)
    expected = model[-1].loss_and_gradients(model[0].transform(rows), y)[0]
    assert display.trained_loss == pytest.approx(expected, rel=1e-12)


def test_the_estimator_is_not_modified():
    est = classifier(normalization="batch", dropout=0.3).fit(X, Y)
    before = pickle.dumps(est)
    surface(est, X, Y)
    assert pickle.dumps(est) == before
    est.partial_fit(X, Y)


def test_dropout_is_disabled_and_batch_normalization_uses_running_averages():
    est = classifier(normalization="batch", dropout=0.3, alpha=0.0, dtype="float64").fit(X, Y)
    expected = -np.log(est.predict_proba(X)[np.arange(len(Y)), Y]).mean()
    assert surface(est, X, Y).trained_loss == pytest.approx(expected, rel=1e-9)


def test_units_with_zero_weights_do_not_move():
    est = classifier(dtype="float64").fit(X, Y)
    est.coefs_[0][:] = est.coefs_[1][:] = est.coefs_[2][:] = 0.0
    losses = surface(est, X, Y).losses
    np.testing.assert_array_equal(losses, np.full((3, 3), losses[0, 0]))


def test_random_state_determines_the_directions(fitted):
    first = surface(fitted, X, Y, random_state=1).losses
    np.testing.assert_array_equal(surface(fitted, X, Y, random_state=1).losses, first)
    assert not np.allclose(surface(fitted, X, Y, random_state=2).losses, first)


# ---------------------------------------------------------------------- the picture


def test_contours_have_a_log_scale_between_the_extremes():
    display = drawn(BOWL)
    assert isinstance(display.surface_.norm, LogNorm)
    levels = display.surface_.levels
    assert (levels[0], levels[-1]) == pytest.approx((0.1, 2.1))
    np.testing.assert_allclose(levels[1:] / levels[:-1], levels[1] / levels[0])
    assert display.colorbar_.norm is display.surface_.norm
    assert display.colorbar_.ax.get_ylabel() == "Objective: loss and penalties"


def test_the_first_direction_points_right_and_the_second_up():
    losses = np.ones((5, 5))
    losses[4, 0] = 100.0  # b = 1, a = -1
    display = drawn(losses)
    highest = display.surface_.get_paths()[-1].vertices
    assert highest[:, 0].max() < 0.0 < highest[:, 1].min()


def test_the_trained_weights_are_marked_at_the_origin():
    display = drawn(BOWL)
    assert (display.point_.get_xdata().tolist(), display.point_.get_ydata().tolist()) == ([0.0], [0.0])
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["trained weights: 0.5"]


def test_a_non_positive_objective_has_a_linear_scale():
    display = drawn(BOWL - 1.0)
    assert not isinstance(display.surface_.norm, LogNorm)
    np.testing.assert_allclose(np.diff(display.surface_.levels), 2.0 / 15.0)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0, 1e-30])
def test_a_constant_surface_is_drawn(value):
    display = drawn(np.full((3, 3), value))
    display.figure_.canvas.draw()
    levels = display.surface_.levels
    assert levels[0] <= value <= levels[-1]
    assert all(np.diff(levels) > 0.0)


@pytest.mark.parametrize("bad", [NAN, INF])
def test_non_finite_values_are_not_drawn(bad):
    losses = BOWL.copy()
    losses[0, 0] = bad
    display = drawn(losses)
    assert display.surface_.levels[-1] == pytest.approx(2.1)
    assert not any(path.contains_point((-0.95, -0.95)) for path in display.surface_.get_paths())


def test_a_surface_without_finite_values_is_rejected():
    ax = axes()
    with pytest.raises(ValueError, match=r"no loss surface to draw.*smaller span"):
        LossSurfaceDisplay(STEPS, np.full((5, 5), INF), INF).plot(ax)
    assert not ax.has_data()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"span": 0.0}, r"\'span\' parameter .* must be a float in the range \(0.0, inf\). Got 0.0"),
        ({"span": -1.0}, "'span' parameter"),
        ({"span": NAN}, "'span' parameter"),
        ({"span": INF}, "'span' parameter"),
        ({"span": "wide"}, "'span' parameter"),
        ({"span": True}, "'span' parameter"),
        ({"resolution": 1}, r"\'resolution\' parameter .* must be an int in the range \[2, inf\). Got 1"),
        ({"resolution": 2.5}, "'resolution' parameter"),
        ({"resolution": True}, "'resolution' parameter"),
    ],
)
def test_invalid_parameters_are_named(options, message, fitted):
    with pytest.raises(ValueError, match=message):
        surface(fitted, X, Y, **options)
