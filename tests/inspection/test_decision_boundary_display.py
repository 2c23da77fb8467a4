"""DecisionBoundaryDisplay: predictions at every point of the grid, points with markers and colors of their classes."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.inspection import DecisionBoundaryDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")
IRIS = load_iris(as_frame=True)
X, Y = IRIS.data.to_numpy(), IRIS.target_names[IRIS.target]


class Rule(ClassifierMixin, BaseEstimator):
    """Predicts "right" if the first feature is positive, and records the samples."""

    def fit(self, X: Any, y: Any = None) -> "Rule":
        self.classes_ = np.array(["left", "right"])
        self.samples_ = None
        return self

    def predict(self, X: Any) -> Any:
        self.samples_ = X
        return np.where(np.asarray(X)[:, 0] > 0.0, "right", "left")


class Sum(RegressorMixin, BaseEstimator):
    """Predicts the sum of the features."""

    def fit(self, X: Any, y: Any = None) -> "Sum":
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.asarray(X).sum(axis=1)


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def regions(estimator: Any, *args: Any, **options: Any) -> DecisionBoundaryDisplay:
    return DecisionBoundaryDisplay.from_estimator(estimator, *args, **{"grid_resolution": 8, **options}, ax=axes())


@pytest.fixture(scope="module")
def logistic() -> LogisticRegression:
    """Return a classifier of all features."""
    return LogisticRegression(max_iter=1000).fit(X, Y)


@pytest.fixture(scope="module")
def network() -> MLPClassifier:
    return MLPClassifier((5,), solver="lbfgs", max_iter=100, random_state=0).fit(X, Y)


def names(display: DecisionBoundaryDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def at(display: DecisionBoundaryDisplay, *point: float) -> Any:
    """Return the color of the picture at a point of the data, from 0 to 1."""
    display.figure_.canvas.draw()
    column, row = display.ax_.transData.transform(point)
    pixels = np.asarray(display.figure_.canvas.buffer_rgba())
    return pixels[len(pixels) - 1 - int(row), int(column), :3] / 255.0


def test_response_and_probability_are_the_predictions_at_each_grid_point():
    model = LogisticRegression(max_iter=1000).fit(X[:, :2], Y)
    display = regions(model, X[:, :2], grid_resolution=6)
    for i, second in enumerate(display.x1):
        for j, first in enumerate(display.x0):
            label = model.predict([[first, second]])[0]
            assert display.classes[display.response[i, j]] == label
            assert display.probability[i, j] == pytest.approx(model.predict_proba([[first, second]]).max())


def test_the_grid_covers_the_data_with_a_margin():
    display = regions(Rule().fit(X), np.array([[-1.0, 10.0], [3.0, 10.0]]))
    assert (display.x0[0], display.x0[-1]) == pytest.approx((-1.32, 3.32))
    assert (display.x1[0], display.x1[-1]) == pytest.approx((9.5, 10.5))  # a constant feature has a margin of 0.5
    assert display.im_.get_extent()[0] < -1.32


def test_other_features_have_their_medians():
    rows = np.array([[0.0, 1.0, 5.0, 7.0], [1.0, 2.0, 6.0, 9.0], [2.0, 9.0, 100.0, NAN]])
    model = Rule().fit(rows)
    regions(model, rows, features=(0, 2), grid_resolution=3)
    samples = model.samples_
    np.testing.assert_array_equal(samples[:, 1], np.full(9, 2.0))
    np.testing.assert_array_equal(samples[:, 3], np.full(9, 8.0))
    assert len(np.unique(samples[:, 0])) == len(np.unique(samples[:, 2])) == 3


def test_features_may_be_in_any_order():
    rows = np.array([[-1.0, 0.0, 10.0], [1.0, 0.0, 20.0]])
    display = regions(Rule().fit(rows), rows, features=(2, 0), grid_resolution=20)
    assert display.ax_.get_xlabel() == "Feature 2"
    assert display.ax_.get_ylabel() == "Feature 0"
    low, high = at(display, 15.0, -0.9), at(display, 15.0, 0.9)
    assert not np.allclose(low, high)
    np.testing.assert_allclose(at(display, 11.0, 0.9), high)


def test_points_have_the_marker_and_color_of_their_class(logistic):
    display = regions(logistic, X, Y)
    assert names(display) == ["setosa", "versicolor", "virginica"]
    paths = [scatter.get_paths()[0].vertices for scatter in display.scatters_]
    assert len({path.tobytes() for path in paths}) == 3
    colors = [to_hex(scatter.get_facecolor()[0]) for scatter in display.scatters_]
    assert len(set(colors)) == 3
    for scatter, name, handle in zip(
        display.scatters_, IRIS.target_names, display.ax_.get_legend().legend_handles, strict=True
    ):
        np.testing.assert_array_equal(scatter.get_offsets(), X[name == Y][:, :2])
        assert to_hex(handle.get_color()) == to_hex(scatter.get_facecolor()[0])


def test_ten_classes_have_ten_different_colors():
    display = DecisionBoundaryDisplay(
        np.arange(10.0), np.arange(2.0), np.tile(np.arange(10), (2, 1)), classes=list("abcdefghij")
    ).plot(axes())
    assert len(np.unique(display.im_.get_array()[0], axis=0)) == 10


def test_colors_are_fainter_for_lower_probabilities():
    display = DecisionBoundaryDisplay(
        np.arange(4.0),
        np.arange(2.0),
        np.zeros((2, 4), dtype=int),
        probability=np.tile([1.0, 0.8, 0.5, NAN], (2, 1)),
        classes=["no", "yes"],
    ).plot(axes())
    lightness = display.im_.get_array()[0].sum(axis=-1)
    assert all(np.diff(lightness[:3]) > 0.1)
    assert lightness[2] < 3.0  # not white
    assert display.colorbar_.ax.get_ylabel() == "Probability of the predicted class"
    assert (display.colorbar_.vmin, display.colorbar_.vmax) == (0.5, 1.0)


def test_without_probabilities_each_region_has_one_color():
    display = regions(RidgeClassifier().fit(X[:, :2], Y), X[:, :2], Y)
    assert display.probability is None
    assert display.colorbar_ is None
    assert len(np.unique(display.im_.get_array().reshape(-1, 3), axis=0)) <= 3


def test_regions_follow_predict_even_if_another_class_is_more_probable():
    two = Y != "setosa"
    model = FixedThresholdClassifier(LogisticRegression(max_iter=1000), threshold=0.9).fit(
        X[two][:, :2], Y[two] == "virginica"
    )
    display = regions(model, X[two][:, :2], grid_resolution=20)
    grid = np.stack(np.meshgrid(display.x0, display.x1), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(display.response.ravel(), model.predict(grid).astype(int))
    assert display.probability.min() < 0.5


def test_a_line_is_drawn_where_the_prediction_changes():
    display = regions(Rule().fit(X), np.array([[-1.0, -1.0], [1.0, 1.0]]), grid_resolution=20)
    lines = [path.vertices for path in display.ax_.collections[0].get_paths()]
    assert np.concatenate(lines)[:, 0] == pytest.approx(0.0, abs=0.07)


def test_no_line_is_drawn_if_only_one_class_is_predicted():
    display = regions(Rule().fit(X), np.array([[1.0, -1.0], [2.0, 1.0]]))
    assert not display.ax_.collections
    assert names(display) == ["right"]


def test_predicted_values_and_targets_of_a_regressor_have_the_same_scale():
    rows, y = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([-50.0, 3.0])
    display = regions(Sum().fit(rows), rows, y, grid_resolution=20)
    np.testing.assert_allclose(display.response, np.add.outer(display.x1, display.x0))
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (-50.0, display.response.max())
    (scatter,) = display.scatters_
    assert scatter.norm is display.im_.norm
    assert scatter.get_array().tolist() == y.tolist()
    assert display.colorbar_.ax.get_ylabel() == "Predicted value"
    for point in ([0.2, 1.8], [0.8, 0.2]):
        np.testing.assert_allclose(at(display, *point), display.im_.to_rgba(sum(point))[:3], atol=0.02)


def test_non_finite_predictions_are_drawn():
    response = np.array([[NAN, 1.0], [INF, 3.0]])
    display = DecisionBoundaryDisplay(np.arange(2.0), np.arange(2.0), response).plot(axes())
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (1.0, 3.0)
    DecisionBoundaryDisplay(np.arange(2.0), np.arange(2.0), np.full((2, 2), NAN)).plot(axes()).figure_.canvas.draw()


# ---------------------------------------------------------------------- forms of X and y


@pytest.mark.parametrize("features", [(2, 3), ("petal length (cm)", "petal width (cm)"), ("petal length (cm)", 3)])
def test_columns_of_a_frame_are_chosen_by_name_or_index(features):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, Y)
    display = regions(model, IRIS.data, Y, features=features)
    assert display.ax_.get_xlabel() == "petal length (cm)"
    assert display.ax_.get_ylabel() == "petal width (cm)"
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    np.testing.assert_array_equal(display.response, regions(plain, X, features=(2, 3)).response)


def test_other_columns_of_a_frame_have_their_median_or_most_frequent_value():
    inner = np.arange(150) % 149 > 0  # all but the first and the last row
    origin = pd.Categorical(np.where(inner, "garden", "meadow"))
    frame = IRIS.data.iloc[:, :2].assign(origin=origin, wet=inner, n=range(150))
    model = Rule().fit(frame)
    regions(model, frame, grid_resolution=3)
    samples = model.samples_
    assert samples.columns.equals(frame.columns)
    assert samples[["origin", "wet"]].dtypes.equals(frame[["origin", "wet"]].dtypes)
    assert samples["origin"].tolist() == ["garden"] * 9
    assert samples["wet"].tolist() == [True] * 9
    assert samples["n"].tolist() == [74.5] * 9
    assert samples.iloc[:, 0].nunique() == samples.iloc[:, 1].nunique() == 3


@pytest.mark.parametrize(
    "convert",
    [pl.from_pandas, lambda _: csr_array(X), lambda frame: frame.to_numpy(dtype=np.float32), lambda _: X.tolist()],
)
def test_other_containers_give_the_same_picture(convert, network):
    data = convert(IRIS.data)
    expected = regions(network, X, Y)
    model = clone(network).fit(data, Y) if convert is pl.from_pandas else network
    display = regions(model, data, Y)
    np.testing.assert_allclose(display.x0, expected.x0, rtol=1e-6)
    assert (display.response == expected.response).mean() > 0.98  # all but one of 64 grid points


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifiers_of_skmlp_are_drawn(n_classes, network):
    few = IRIS.target < n_classes
    model = make_pipeline(StandardScaler(), clone(network)).fit(X[few], Y[few])
    display = regions(model, X[few], Y[few], features=(2, 3))
    assert display.classes.tolist() == sorted(set(Y[few]))


def test_regressors_of_skmlp_are_drawn():
    regressor = MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=100, random_state=0)
    assert regions(regressor.fit(X, IRIS.target), X, IRIS.target).classes is None


def test_targets_may_be_a_column(logistic):
    assert len(regions(logistic, X, Y.reshape(-1, 1)).scatters_) == 3
    assert len(regions(logistic, X, pd.Series(Y)).scatters_) == 3


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "features", [(0,), (0, 0), (0, 4), (-1, 0), (0, 1, 2), "ab", ("a", "b"), (0, True), (0.0, 1.0), 3]
)
def test_features_other_than_two_columns_are_rejected(features):
    with pytest.raises(ValueError, match=r"two different column indices of X in the range \[0, 3\]\. Got"):
        regions(Rule().fit(X), X, features=features)


def test_features_that_are_not_numerical_are_rejected():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ValueError, match=r"\('a', 'b'\) must be numerical"):
        regions(Rule().fit(frame), frame)
    with pytest.raises(ValueError, match="or column names"):
        regions(Rule().fit(frame), frame, features=("a", "c"))


@pytest.mark.parametrize("resolution", [1, 0, 2.5, True, "many"])
def test_an_invalid_grid_resolution_is_rejected(resolution):
    with pytest.raises(ValueError, match=r"\'grid_resolution\' parameter of .* must be an int in the range \[2, inf\)"):
        regions(Rule().fit(X), X, grid_resolution=resolution)


def test_data_with_a_single_feature_are_rejected():
    with pytest.raises(ValueError, match=r"at least two features. Got an array of shape \(150, 1\)"):
        regions(Rule().fit(X), X[:, :1])


def test_predictions_of_several_targets_are_rejected():
    model = LinearRegression().fit(X, X[:, :2])
    with pytest.raises(ValueError, match="predicts 2 targets"):
        regions(model, X)
    labels = MLPClassifier((3,), tol=10.0, n_iter_no_change=1).fit(X, X[:, :3] > X[:, :3].mean(axis=0))
    with pytest.raises(ValueError, match="predicts 3 targets"):
        regions(labels, X)


def test_unsuitable_targets_are_rejected(logistic):
    with pytest.raises(ValueError, match="y has classes unknown to the estimator: rosa"):
        regions(logistic, X, ["rosa", *Y[1:]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        regions(logistic, X, Y[:-1])
    with pytest.raises(ValueError, match="should be a 1d array"):
        regions(logistic, X, np.stack([Y, Y], axis=1))
