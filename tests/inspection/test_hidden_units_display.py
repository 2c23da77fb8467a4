"""HiddenUnitsDisplay: the weights of each unit, in order, on one scale centered at zero."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skmlp import MLPClassifier
from skmlp.inspection import HiddenUnitsDisplay

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

NAN, INF = float("nan"), float("inf")


class Fitted(BaseEstimator):
    """A fitted estimator with the given weights."""

    def __init__(self, *coefs: Any) -> None:
        self.coefs_ = [np.asarray(weights, dtype=float) for weights in coefs]

    def fit(self, X: Any, y: Any = None) -> "Fitted":
        return self


def axes() -> Any:
    return FigureCanvasAgg(Figure()).figure.subplots()


def units(*coefs: Any, **options: Any) -> HiddenUnitsDisplay:
    return HiddenUnitsDisplay.from_estimator(Fitted(*coefs), ax=axes(), **options)


def images(display: HiddenUnitsDisplay) -> list[Any]:
    return [np.ma.filled(image.get_array(), NAN).tolist() for image in display.images_]


def numbers(display: HiddenUnitsDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.texts]


def test_an_image_shows_the_weights_of_its_unit_row_by_row():
    weights = np.arange(12.0).reshape(6, 2)  # of unit 1: 1, 3, 5, ...
    display = units(weights, image_shape=(2, 3), order="index")
    assert images(display) == [[[0, 2, 4], [6, 8, 10]], [[1, 3, 5], [7, 9, 11]]]
    assert display.images_[0].origin == "upper"
    assert numbers(display) == ["0", "1"]


def test_units_are_sorted_by_decreasing_norm():
    weights = np.ones((4, 5)) * [1.0, -3.0, 2.0, 0.0, 2.5]
    display = units(weights, n_units=3)
    assert display.unit_numbers == [1, 4, 2]
    assert numbers(display) == ["1", "4", "2"]
    assert images(display)[0] == [[-3.0, -3.0], [-3.0, -3.0]]


def test_units_with_nan_come_last_and_have_a_color_of_their_own():
    weights = np.ones((4, 3)) * [1.0, NAN, 2.0]
    weights[0, 0] = 3.0
    display = units(weights)
    assert display.unit_numbers == [2, 0, 1]
    image = display.images_[2]
    assert to_rgb(image.to_rgba(image.get_array())[0, 0]) == to_rgb("#d9d9d9")
    assert image.norm.vmax == 3.0


def test_all_units_have_the_same_scale_centered_at_zero_in_white():
    display = units(np.ones((4, 3)) * [1.0, -5.0, 2.0])
    for image in display.images_:
        assert (image.norm.vmin, image.norm.vmax) == (-5.0, 5.0)
    assert display.colorbar_.vmin == -5.0
    red, _, blue = to_rgb(image.to_rgba(np.array([[5.0]]))[0, 0])
    assert red > 2.0 * blue
    assert min(to_rgb(image.to_rgba(np.array([[0.0]]))[0, 0])) > 0.95


def test_only_the_drawn_units_determine_the_scale():
    display = units(np.ones((4, 3)) * [1.0, 2.0, 5.0], order="index", n_units=2)
    assert display.images_[0].norm.vmax == 2.0


@pytest.mark.parametrize("value", [0.0, NAN, INF])
def test_zero_and_non_finite_weights_are_drawn(value):
    norm = units(np.full((4, 2), value)).images_[0].norm
    assert (norm.vmin, norm.vmax) == (-1.0, 1.0)


@pytest.mark.parametrize("n_units", [1, 5, 16])
@pytest.mark.parametrize("image_shape", [(4, 4), (1, 16), (16, 1), (2, 8)])
def test_images_do_not_overlap_and_lie_within_the_axes(n_units, image_shape):
    display = units(np.random.default_rng(0).normal(size=(16, 16)), n_units=n_units, image_shape=image_shape)
    assert len(display.images_) == n_units
    (left, right), (bottom, top) = display.ax_.get_xlim(), display.ax_.get_ylim()
    boxes = [image.get_extent() for image in display.images_]
    for index, (x0, x1, y1, y0) in enumerate(boxes):
        assert (x1 - x0, y1 - y0) == pytest.approx(image_shape[::-1])
        assert left - 1e-9 <= x0 < x1 <= right + 1e-9
        assert top - 1e-9 <= y0 < y1 <= bottom + 1e-9
        for a0, a1, b1, b0 in boxes[:index]:
            assert x0 > a1 or a0 > x1 or y0 > b1 or b0 > y1


def test_sixteen_square_images_are_arranged_in_four_columns():
    corners = {image.get_extent()[0] for image in units(np.random.default_rng(0).normal(size=(16, 16))).images_}
    assert len(corners) == 4


def test_a_later_layer_is_drawn_with_its_own_weights():
    display = units(np.ones((6, 9)), np.full((9, 2), 0.5), layer=1)
    assert images(display) == [np.full((3, 3), 0.5).tolist()] * 2


def test_image_shape_is_required_if_the_number_of_inputs_is_not_a_square():
    with pytest.raises(ValueError, match=r"have 6 inputs, .* Pass image_shape=\(height, width\)"):
        units(np.ones((6, 2)))


@pytest.mark.parametrize("image_shape", [(2, 2), (3, 2, 1), (6,), 6, (-2, -3), (1.5, 4), "23"])
def test_an_image_shape_of_the_wrong_size_is_rejected(image_shape):
    with pytest.raises(ValueError, match=r"height \* width = 6"):
        units(np.ones((6, 2)), image_shape=image_shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 2}, r"\'layer\' parameter .* must be an int in the range \[0, 2\)\. Got 2"),
        ({"layer": -1}, "'layer' parameter"),
        ({"layer": True}, "'layer' parameter"),
        ({"n_units": 0}, r"\'n_units\' parameter .* must be an int in the range \[1, inf\)\. Got 0"),
        ({"n_units": 2.5}, "'n_units' parameter"),
        ({"order": "size"}, "'order' parameter .* Got 'size'"),
    ],
)
def test_invalid_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        units(np.ones((4, 4)), np.ones((4, 2)), **options)


def test_further_training_does_not_change_the_display():
    X, y = load_digits(return_X_y=True)
    est = MLPClassifier((20,), random_state=0).partial_fit(X, y, classes=range(10))
    display = HiddenUnitsDisplay.from_estimator(est, ax=axes())
    before = images(display)
    weights = display.weights.copy()
    est.coefs_[0][:] = 0.0
    est.partial_fit(X, y)
    display.plot(axes())
    assert images(display) == before
    np.testing.assert_array_equal(display.weights, weights)
    norms = np.linalg.norm(weights, axis=0)
    assert display.unit_numbers == sorted(range(20), key=lambda unit: -norms[unit])[:16]


def test_pipelines_and_estimators_of_scikit_learn_are_drawn():
    X, y = load_digits(return_X_y=True)
    theirs = TheirClassifier((4,), random_state=0).partial_fit(X, y, classes=range(10))
    assert len(HiddenUnitsDisplay.from_estimator(theirs, ax=axes()).images_) == 4
    ours = make_pipeline(MinMaxScaler(), MLPClassifier((4,), tol=10.0, n_iter_no_change=1)).fit(X, y)
    display = HiddenUnitsDisplay.from_estimator(ours, ax=axes())
    np.testing.assert_array_equal(display.weights, ours[-1].coefs_[0])
