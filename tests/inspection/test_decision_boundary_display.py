"""What the display of regions draws: the predictions at every point of the grid, points in shapes and colours."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

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
    """Predicts "right" where the first feature is positive and keeps what it was asked."""

    def fit(self, X: Any, y: Any = None) -> "Rule":
        self.classes_ = np.array(["left", "right"])
        self.asked_ = None
        return self

    def predict(self, X: Any) -> Any:
        self.asked_ = X
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
    display = DecisionBoundaryDisplay.from_estimator(estimator, *args, **{"grid_resolution": 20, **options}, ax=axes())
    display.figure_.canvas.draw()
    return display


def names(display: DecisionBoundaryDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def at(display: DecisionBoundaryDisplay, *point: float) -> Any:
    """Return the colour of the picture at a point of the data, from 0 to 1."""
    column, row = display.ax_.transData.transform(point)
    pixels = np.asarray(display.figure_.canvas.buffer_rgba())
    return pixels[len(pixels) - 1 - int(row), int(column), :3] / 255.0


def test_the_picture_is_what_the_estimator_predicts_at_each_point():
    model = LogisticRegression(max_iter=1000).fit(X[:, :2], Y)
    display = regions(model, X[:, :2])
    for i, second in enumerate(display.x1):
        for j, first in enumerate(display.x0):
            label = model.predict([[first, second]])[0]
            assert display.classes[display.response[i, j]] == label
            assert display.probability[i, j] == pytest.approx(model.predict_proba([[first, second]]).max())


def test_the_grid_spans_the_data_and_a_little_more():
    display = regions(Rule().fit(X), np.array([[-1.0, 10.0], [3.0, 10.0]]))
    assert (display.x0[0], display.x0[-1]) == pytest.approx((-1.32, 3.32))
    assert (display.x1[0], display.x1[-1]) == pytest.approx((9.5, 10.5))  # all the same: half to each side
    assert display.im_.get_extent()[0] < -1.32


def test_other_features_are_at_their_medians():
    rows = np.array([[0.0, 1.0, 5.0, 7.0], [1.0, 2.0, 6.0, 9.0], [2.0, 9.0, 100.0, NAN]])
    model = Rule().fit(rows)
    regions(model, rows, features=(0, 2), grid_resolution=3)
    asked = model.asked_
    np.testing.assert_array_equal(asked[:, 1], np.full(9, 2.0))
    np.testing.assert_array_equal(asked[:, 3], np.full(9, 8.0))
    assert len(np.unique(asked[:, 0])) == len(np.unique(asked[:, 2])) == 3


def test_features_may_lie_in_any_order():
    rows = np.array([[-1.0, 0.0, 10.0], [1.0, 0.0, 20.0]])
    display = regions(Rule().fit(rows), rows, features=(2, 0))
    assert display.ax_.get_xlabel() == "Feature 2"
    assert display.ax_.get_ylabel() == "Feature 0"
    low, high = at(display, 15.0, -0.9), at(display, 15.0, 0.9)
    assert not np.allclose(low, high)
    np.testing.assert_allclose(at(display, 11.0, 0.9), high)


def test_points_have_shapes_and_colours_of_their_classes():
    display = regions(LogisticRegression(max_iter=1000).fit(X, Y), X, Y)
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


def test_ten_classes_have_ten_colours():
    display = DecisionBoundaryDisplay(
        np.arange(10.0), np.arange(2.0), np.tile(np.arange(10), (2, 1)), classes=list("abcdefghij")
    ).plot(axes())
    assert len(np.unique(display.im_.get_array()[0], axis=0)) == 10


def test_a_class_is_the_fainter_the_less_likely_it_is():
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


def test_without_probabilities_a_region_has_one_colour():
    display = regions(RidgeClassifier().fit(X[:, :2], Y), X[:, :2], Y)
    assert display.probability is None
    assert display.colorbar_ is None
    assert len(np.unique(display.im_.get_array().reshape(-1, 3), axis=0)) <= 3


def test_classes_are_what_predict_says_also_where_another_one_is_more_likely():
    two = Y != "setosa"
    model = FixedThresholdClassifier(LogisticRegression(max_iter=1000), threshold=0.9).fit(
        X[two][:, :2], Y[two] == "virginica"
    )
    display = regions(model, X[two][:, :2])
    grid = np.stack(np.meshgrid(display.x0, display.x1), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(display.response.ravel(), model.predict(grid).astype(int))
    assert display.probability.min() < 0.5


def test_the_line_lies_where_the_prediction_changes():
    display = regions(Rule().fit(X), np.array([[-1.0, -1.0], [1.0, 1.0]]))
    lines = [path.vertices for path in display.ax_.collections[0].get_paths()]
    assert np.concatenate(lines)[:, 0] == pytest.approx(0.0, abs=0.07)


def test_a_single_class_everywhere_has_no_line():
    display = regions(Rule().fit(X), np.array([[1.0, -1.0], [2.0, 1.0]]))
    assert not display.ax_.collections
    assert names(display) == ["right"]


def test_values_of_a_regressor_and_its_targets_have_one_scale():
    rows, y = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([-50.0, 3.0])
    display = regions(Sum().fit(rows), rows, y)
    np.testing.assert_allclose(display.response, np.add.outer(display.x1, display.x0))
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (-50.0, display.response.max())
    (scatter,) = display.scatters_
    assert scatter.norm is display.im_.norm
    assert scatter.get_array().tolist() == y.tolist()
    assert display.colorbar_.ax.get_ylabel() == "Predicted value"
    for point in ([0.2, 1.8], [0.8, 0.2]):
        np.testing.assert_allclose(at(display, *point), display.im_.to_rgba(sum(point))[:3], atol=0.02)


def test_predictions_that_are_no_numbers_are_drawn_too():
    response = np.array([[NAN, 1.0], [INF, 3.0]])
    display = DecisionBoundaryDisplay(np.arange(2.0), np.arange(2.0), response).plot(axes())
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (1.0, 3.0)
    DecisionBoundaryDisplay(np.arange(2.0), np.arange(2.0), np.full((2, 2), NAN)).plot(axes()).figure_.canvas.draw()


# ---------------------------------------------------------------------- forms of X and y


@pytest.mark.parametrize("features", [(2, 3), ("petal length (cm)", "petal width (cm)"), ("petal length (cm)", 3)])
def test_columns_of_a_frame_go_by_name_or_number(features):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, Y)
    display = regions(model, IRIS.data, Y, features=features)
    assert display.ax_.get_xlabel() == "petal length (cm)"
    assert display.ax_.get_ylabel() == "petal width (cm)"
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    np.testing.assert_array_equal(display.response, regions(plain, X, features=(2, 3)).response)


def test_other_columns_of_a_frame_need_not_be_numbers():
    frame = IRIS.data.iloc[:, :2].assign(
        origin=pd.Categorical(np.where(np.arange(150) % 3, "garden", "meadow")),
        wet=np.arange(150) % 4 > 0,
        n=range(150),
    )
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["origin", "wet"]), remainder="passthrough"),
        LogisticRegression(max_iter=5000),
    ).fit(frame, Y)
    display = regions(model, frame, Y, grid_resolution=5)
    row = {**frame.iloc[[0]], "origin": "garden", "wet": True, "n": 74.5}
    for i, second in enumerate(display.x1):
        for j, first in enumerate(display.x0):
            asked = pd.DataFrame({**row, frame.columns[0]: [first], frame.columns[1]: [second]})
            assert display.classes[display.response[i, j]] == model.predict(asked)[0]


@pytest.mark.parametrize("convert", [pl.from_pandas, csr_array, lambda frame: frame.to_numpy(dtype=np.float32), list])
def test_other_containers_give_the_same_picture(convert):
    data = convert(IRIS.data) if convert is not list else X.tolist()
    if convert is csr_array:
        data = csr_array(X)
    model = MLPClassifier((5,), solver="lbfgs", max_iter=300, random_state=0).fit(X, Y)
    expected = regions(model, X, Y)
    if convert is pl.from_pandas:
        model = MLPClassifier((5,), solver="lbfgs", max_iter=300, random_state=0).fit(data, Y)
    display = regions(model, data, Y)
    np.testing.assert_allclose(display.x0, expected.x0, rtol=1e-6)
    assert (display.response == expected.response).mean() > 0.99


@pytest.mark.parametrize("n_classes", [2, 3])
def test_networks_of_ours_are_drawn(n_classes):
    few = IRIS.target < n_classes
    model = make_pipeline(StandardScaler(), MLPClassifier((5,), solver="lbfgs", max_iter=300, random_state=0))
    display = regions(model.fit(X[few], Y[few]), X[few], Y[few], features=(2, 3))
    assert display.classes.tolist() == sorted(set(Y[few]))
    regressor = MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=300, random_state=0)
    assert regions(regressor.fit(X, IRIS.target), X, IRIS.target).classes is None


def test_targets_may_be_a_column():
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    assert len(regions(model, X, Y.reshape(-1, 1)).scatters_) == 3
    assert len(regions(model, X, pd.Series(Y)).scatters_) == 3


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "features", [(0,), (0, 0), (0, 4), (-1, 0), (0, 1, 2), "ab", ("a", "b"), (0, True), (0.0, 1.0), 3]
)
def test_features_that_are_not_two_columns_are_refused(features):
    with pytest.raises(ValueError, match=r"two different numbers of columns of X, from 0 to 3\. Got"):
        regions(Rule().fit(X), X, features=features)


def test_features_of_a_frame_that_are_no_numbers_are_refused():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ValueError, match=r"\('a', 'b'\) must be numbers"):
        regions(Rule().fit(frame), frame)
    with pytest.raises(ValueError, match="or names of its columns"):
        regions(Rule().fit(frame), frame, features=("a", "c"))


@pytest.mark.parametrize("resolution", [1, 0, 2.5, True, "many"])
def test_a_grid_of_less_than_two_points_is_refused(resolution):
    with pytest.raises(ValueError, match=r"grid_resolution must be an int in the range \[2, inf\)"):
        regions(Rule().fit(X), X, grid_resolution=resolution)


def test_a_single_feature_is_refused():
    with pytest.raises(ValueError, match=r"at least two features. Got the shape \(150, 1\)"):
        regions(Rule().fit(X), X[:, :1])


def test_several_targets_are_refused():
    model = LinearRegression().fit(X, X[:, :2])
    with pytest.raises(ValueError, match="predicts 2 targets at once"):
        regions(model, X)
    labels = MLPClassifier((3,), tol=10.0, n_iter_no_change=1).fit(X, X[:, :3] > X[:, :3].mean(axis=0))
    with pytest.raises(ValueError, match="predicts 3 targets at once"):
        regions(labels, X)


def test_targets_that_do_not_fit_are_refused():
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    with pytest.raises(ValueError, match="classes that the estimator does not know: rosa"):
        regions(model, X, ["rosa", *Y[1:]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        regions(model, X, Y[:-1])
    with pytest.raises(ValueError, match="one dimension"):
        regions(model, X, np.stack([Y, Y], axis=1))
