"""Losses made of functions, and check_loss: every built-in loss passes, losses wrong in any way fail."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmlp.nn.losses import LOSSES, FunctionLoss, Loss, MultinomialLogLoss, check_loss

Y = np.linspace(-1.0, 1.0, 60).reshape(30, 2)


def _fourth_power(y, raw):
    return ((raw - y) ** 4).sum(axis=1)


def _its_derivative(y, raw):
    return 4.0 * (raw - y) ** 3


def _wrong_sign(y, raw):
    return -_its_derivative(y, raw)


def _wrong_factor(y, raw):
    return 1.001 * _its_derivative(y, raw)


def _wrong_in_one_place(y, raw):
    gradient = _its_derivative(y, raw)
    gradient[3, 1] += 1e-3
    return gradient


def _wrong_column(y, raw):
    return _its_derivative(y, raw)[:, ::-1]


def _not_finite(y, raw):
    gradient = _its_derivative(y, raw)
    gradient[4, 0] = np.inf
    return gradient


def _of_one_column(y, raw):
    return _its_derivative(y, raw)[:, :1]


def _mean(y, raw):
    return _fourth_power(y, raw).mean()


def _of_every_output(y, raw):
    return (raw - y) ** 4


def _not_a_number(y, raw):
    loss = _fourth_power(y, raw)
    loss[2] = np.nan
    return loss


def _log_loss(y, raw):
    return MultinomialLogLoss().loss(y, raw)


def _log_loss_derivative(y, raw):
    return MultinomialLogLoss().gradient(y, raw)


@pytest.mark.parametrize("n_samples", [1, 50])
def test_every_built_in_loss_passes(draw_targets, any_loss, n_samples):
    y = draw_targets(any_loss, np.random.default_rng(0), n_samples, 3)
    assert check_loss(any_loss, y if n_samples == 1 or y.ndim == 1 else y.astype(np.float32)) <= 1e-6


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_tolerance_allows_for_the_rounding_of_large_values(size):
    # Values of size 1e12 are rounded to 1e-4, a hundred times the step.
    assert check_loss(LOSSES["squared_error"], size * Y) <= 1e-6
    with pytest.raises(ValueError, match="is wrong"):
        check_loss(FunctionLoss(_fourth_power, _wrong_sign), size * Y)


@pytest.mark.parametrize("name", ["absolute_error", "quantile", "hinge"])
def test_any_value_between_both_slopes_passes_at_a_kink(name):
    y = np.array([[1.0], [1.0]])
    assert check_loss(LOSSES[name], y, y.copy()) == 0.0
    assert check_loss(LOSSES[name], y, y + 3e-7) < 1e-9  # between the points that are compared


def test_value_outside_both_slopes_fails_at_a_kink():
    def absolute(y, raw):
        return np.abs(raw - y).sum(axis=1)

    loss = FunctionLoss(absolute, lambda y, raw: np.full_like(raw, 1.1))
    with pytest.raises(ValueError, match=r"is wrong.*it gives 1\.1"):
        check_loss(loss, np.array([[1.0]]), np.array([[1.0]]))


def test_right_derivative_passes():
    assert check_loss(FunctionLoss(_fourth_power, _its_derivative), Y) < 1e-6


@pytest.mark.parametrize("derivative", [_wrong_sign, _wrong_factor, _wrong_in_one_place, _wrong_column])
def test_wrong_derivative_fails(derivative):
    with pytest.raises(ValueError, match=r"The gradient of FunctionLoss.* is wrong.*central differences"):
        check_loss(FunctionLoss(_fourth_power, derivative), Y)


def test_message_names_the_row_the_column_and_both_values():
    # 20 of the 30 rows are checked; the fourth of them is row 4.
    raw = np.zeros((30, 2))
    with pytest.raises(ValueError, match=r"row 4, column 1: at raw = 0 it gives") as raised:
        check_loss(FunctionLoss(_fourth_power, _wrong_in_one_place), Y, raw)
    words = str(raised.value).replace(",", " ").split()
    given, numeric = float(words[words.index("gives") + 1]), float(words[words.index("give") + 1].rstrip("."))
    assert numeric == pytest.approx(4.0 * (0.0 - Y[4, 1]) ** 3, abs=1e-8)
    assert given - numeric == pytest.approx(1e-3, abs=1e-7)


def test_tolerance_is_a_parameter():
    loss = FunctionLoss(_fourth_power, _wrong_in_one_place)
    assert check_loss(loss, Y, tolerance=1e-2) == pytest.approx(1e-3, rel=0.99)
    with pytest.raises(ValueError, match="is wrong"):
        check_loss(loss, Y, tolerance=1e-5)


@pytest.mark.parametrize(
    ("function", "derivative", "match"),
    [
        (_mean, _its_derivative, r"'function' of a FunctionLoss must return an array of shape \(20,\).*shape \(\)"),
        (_of_every_output, _its_derivative, r"'function'.*shape \(20,\); it returned shape \(20, 2\)"),
        (_fourth_power, _of_one_column, r"'derivative'.*shape \(20, 2\); it returned shape \(20, 1\)"),
    ],
)
def test_wrong_shapes_raise_an_error_that_names_them(function, derivative, match):
    loss = FunctionLoss(function, derivative)
    with pytest.raises(ValueError, match=match):
        check_loss(loss, Y)
    with pytest.raises(ValueError, match=r"FunctionLoss must return an array of shape"):
        loss.loss_and_gradient(Y, np.zeros_like(Y), np.empty_like(Y))


@pytest.mark.parametrize(
    ("function", "derivative", "match"),
    [
        (_fourth_power, _not_finite, r"The gradient of .* must be finite; in row 6 it is inf"),
        (_not_a_number, _its_derivative, r"The value of .* must be finite; in row 3 it is nan"),
    ],
)
def test_non_finite_values_raise_an_error_that_names_the_row(function, derivative, match):
    # Rows 0, 1, 3, 4, 6 ... of the 30 are checked.
    with pytest.raises(ValueError, match=match):
        check_loss(FunctionLoss(function, derivative), Y)


class _Careless(Loss):
    """Half squared error with a mistake in how it uses its arguments."""

    link = "identity"

    def __init__(self, mistake):
        self.mistake = mistake

    def __repr__(self):
        return "Careless"

    def loss_and_gradient(self, y, raw, out):
        if self.mistake == "overwrites":
            raw -= y
            out[...] = raw
            return 0.5 * (raw**2).sum(axis=1)
        residual = raw - y
        if self.mistake == "forgets":
            out[:, 0] = residual[:, 0]
        else:
            out[...] = residual
        return 0.5 * residual**2 if self.mistake == "does not sum" else 0.5 * (residual**2).sum(axis=1)


@pytest.mark.parametrize(
    ("mistake", "match"),
    [
        ("overwrites", "Careless modifies raw"),
        ("forgets", r"The gradient of Careless must be finite; in row 0 it is nan \(NaN also where nothing was"),
        ("does not sum", r"Careless must return one number for each sample, an array of shape \(20,\).*\(20, 2\)"),
    ],
)
def test_misuse_of_the_arguments_raises_an_error_that_names_it(mistake, match):
    assert check_loss(_Careless("none"), Y) < 1e-6
    with pytest.raises(ValueError, match=match):
        check_loss(_Careless(mistake), Y)


def test_targets_outside_the_domain_raise_an_error():
    with pytest.raises(ValueError, match=r"not in the domain of PoissonDeviance\(\), which is: y >= 0"):
        check_loss(LOSSES["poisson"], Y)


def test_raw_outputs_of_another_length_raise_an_error():
    with pytest.raises(ValueError, match=r"raw must have a row for each of the 30 targets; it has shape \(29, 2\)"):
        check_loss(LOSSES["squared_error"], Y, Y[:29])


def test_check_loss_does_not_modify_its_arguments():
    y, raw = Y.copy(), 2.0 * Y
    check_loss(_Careless("none"), y, raw)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(raw, 2.0 * Y)


def test_function_loss_preserves_float32():
    y, raw = Y.astype(np.float32), np.ones((30, 2), np.float32)
    out = np.empty_like(raw)
    # Even when the function itself computes in float64.
    loss = FunctionLoss(lambda y, raw: _fourth_power(y, raw.astype(float)), _its_derivative)
    assert loss.loss_and_gradient(y, raw, out).dtype == loss.loss(y, raw).dtype == np.float32
    np.testing.assert_array_equal(out, _its_derivative(y, raw))
    np.testing.assert_array_equal(loss.gradient(y, raw), out)
    np.testing.assert_allclose(loss.loss(y, raw), _fourth_power(y, raw), rtol=1e-6)


@pytest.mark.parametrize("link", ["identity", "exp", "logistic", "softmax"])
def test_links_of_function_losses(link):
    same = {"identity": "squared_error", "exp": "poisson", "logistic": "binary_log_loss", "softmax": "log_loss"}[link]
    loss, reference = FunctionLoss(_fourth_power, _its_derivative, link), LOSSES[same]
    raw = np.array([[-2.0, 0.5, 3.0], [1e3, 0.0, -1e3]])[: 1 if link == "exp" else 2]
    np.testing.assert_array_equal(loss.predict(raw), reference.predict(raw))
    assert loss.link == link
    assert loss.has_probabilities is reference.has_probabilities
    assert loss.is_classification is reference.is_classification
    if loss.has_probabilities:
        np.testing.assert_array_equal(loss.log_predict(raw), reference.log_predict(raw))
    else:
        with pytest.raises(ValueError, match=f"{link!r} has no probabilities"):
            loss.log_predict(raw)


def test_unknown_link_raises_an_error():
    with pytest.raises(ValueError, match=r"'link' parameter of FunctionLoss.*'identity', 'exp', .*Got 'log' instead"):
        FunctionLoss(_fourth_power, _its_derivative, link="log")


def test_function_loss_takes_any_kind_of_target():
    loss = FunctionLoss(_fourth_power, _its_derivative)
    assert loss.multiclass() is loss
    np.testing.assert_array_equal(loss.fit_intercept_only(Y), [0.0, 0.0])
    codes = FunctionLoss(_log_loss, _log_loss_derivative, "softmax")
    assert check_loss(codes, np.array([0, 2, 1, 2])) < 1e-6
    np.testing.assert_array_equal(codes.fit_intercept_only(np.array([0, 1]), n_raw=3), np.zeros(3))


def test_function_loss_can_be_cloned_and_pickled():
    loss = FunctionLoss(_fourth_power, _its_derivative, "exp")
    assert clone(loss) == loss == pickle.loads(pickle.dumps(loss))
    assert set(loss.get_params()) == {"function", "derivative", "link"}


def test_n_raw_gives_the_number_of_classes_when_codes_lack_the_highest():
    weights = np.array([1.0, 2.0, 3.0, 4.0])

    def loss(y, raw):
        return 0.5 * (raw**2 * weights).sum(axis=1)

    own = FunctionLoss(loss, lambda y, raw: raw * weights, "softmax")
    assert check_loss(own, np.array([0, 1, 1]), n_raw=4) < 1e-6
    with pytest.raises(ValueError, match="broadcast"):
        check_loss(own, np.array([0, 1, 1]))
