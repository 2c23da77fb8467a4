"""Scalings against scikit-learn's, their derivatives, and numbers far out."""

import json
import pickle
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from skmlp.tables import SCALINGS, MixedScaling, QuantileScaling, RobustScaling, Scaling, StandardScaling, learn_scaling

EVERY_SCALING = pytest.mark.parametrize("name", SCALINGS)


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal(200), rng.lognormal(2.0, 1.5, 200), rng.integers(0, 5, 200), rng.random(200) < 0.1]
    return np.column_stack(columns).astype(float)


def smooth_clip(t):
    return t / np.sqrt(1.0 + (t / 3.0) ** 2)


# --- reference values ---


def test_the_standard_scaling_is_scikit_learn_s(numbers):
    expected = StandardScaler().fit_transform(numbers)
    np.testing.assert_allclose(StandardScaling.learn(numbers).apply(numbers), expected, rtol=1e-12, atol=1e-13)


def test_the_robust_scaling_is_scikit_learn_s_with_a_smooth_clip(numbers):
    expected = smooth_clip(RobustScaler().fit_transform(numbers[:, :3]))
    np.testing.assert_allclose(RobustScaling.learn(numbers).apply(numbers)[:, :3], expected, rtol=1e-12, atol=1e-13)


def test_the_robust_scaling_of_a_column_with_equal_quartiles_goes_by_the_range():
    column = np.array([[0.0]] * 9 + [[4.0]])
    np.testing.assert_allclose(RobustScaling.learn(column).apply(column)[[0, 9], 0], [0.0, smooth_clip(2.0)])
    rounded = np.array([[0.3], [0.1 + 0.2]] * 5 + [[4.0]])
    scaled = RobustScaling.learn(rounded).apply(rounded)
    assert abs(scaled[:10]).max() < 1e-12


def test_the_quantile_scaling_is_close_to_scikit_learn_s_on_a_continuous_column():
    x = np.random.default_rng(0).lognormal(0.0, 1.0, (30_000, 1))
    reference = QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=None).fit(x)
    inner = np.quantile(x, np.linspace(0.005, 0.995, 200)).reshape(-1, 1)
    # One training value has a probability of 3e-5, knots are a probability of .001 apart.
    np.testing.assert_allclose(QuantileScaling.learn(x).apply(inner), reference.transform(inner), atol=2e-3)


def test_the_quantile_scaling_makes_a_normal_distribution_of_a_skewed_one():
    x = np.random.default_rng(0).lognormal(0.0, 2.0, (3000, 1))
    scaled = QuantileScaling.learn(x).apply(x)[:, 0]
    expected = [NormalDist().inv_cdf(fraction) for fraction in (0.01, 0.1, 0.5, 0.9, 0.99)]
    np.testing.assert_allclose(np.quantile(scaled, [0.01, 0.1, 0.5, 0.9, 0.99]), expected, atol=0.02)


def test_equal_values_get_the_middle_of_their_ranks():
    counts = np.repeat([0.0, 1.0, 2.0, 7.0], [60, 25, 10, 5]).reshape(-1, 1)
    expected = [NormalDist().inv_cdf(middle) for middle in (0.30, 0.725, 0.90, 0.975)]
    scaling = QuantileScaling.learn(counts)
    np.testing.assert_allclose(scaling.apply(np.array([[0.0], [1.0], [2.0], [7.0]]))[:, 0], expected, rtol=1e-12)
    # A straight line between training values, and nothing beyond them.
    np.testing.assert_allclose(scaling.apply(np.array([[1.5]]))[0, 0], (expected[1] + expected[2]) / 2, rtol=1e-12)
    np.testing.assert_allclose(scaling.apply(np.array([[-9.0], [99.0]]))[:, 0], [expected[0], expected[-1]])


@pytest.mark.parametrize(("n_samples", "n_knots"), [(5, 5), (100, 10), (900, 30), (40_000, 1000)])
def test_the_number_of_knots_grows_with_the_number_of_rows(n_samples, n_knots):
    x = np.random.default_rng(0).standard_normal((n_samples, 1))
    assert QuantileScaling.learn(x).counts.tolist() == [n_knots]


# --- what holds for each ---


@EVERY_SCALING
def test_the_derivative_equals_central_differences(name, numbers):
    scaling = learn_scaling(name, numbers)
    # The middle between training values: quantiles have kinks at some of them.
    x = np.array([np.unique(column)[:2].mean() for column in numbers.T])
    x = np.vstack([x, [0.123, 5.0, 2.5, 0.5], [-50.0, -50.0, -50.0, -50.0], [99.0, 9999.0, 99.0, 99.0]])
    step = 1e-6 * (1.0 + abs(x))
    differences = (scaling.apply(x + step) - scaling.apply(x - step)) / (2 * step)
    np.testing.assert_allclose(scaling.derivative(x), differences, rtol=1e-6, atol=1e-9)


@EVERY_SCALING
def test_the_order_of_the_training_rows_does_not_matter(name, numbers):
    shuffled = np.random.default_rng(1).permutation(numbers)
    found = [learn_scaling(name, rows).apply(numbers) for rows in (numbers, shuffled)]
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)


@EVERY_SCALING
def test_a_change_of_unit_does_not_matter(name, numbers):
    expected = learn_scaling(name, numbers).apply(numbers)
    for factor in (1e-12, 3.7, 1e12, 1e290, 1e-290):
        scaled = learn_scaling(name, numbers * factor).apply(numbers * factor)
        np.testing.assert_allclose(scaled, expected, rtol=1e-9, atol=1e-9)


@EVERY_SCALING
def test_a_column_that_is_constant_up_to_rounding_becomes_0(name):
    constant = np.array([[5.0, 0.3, 0.0], [5.0, 0.1 + 0.2, 0.0], [5.0, 0.3, 0.0]])
    scaling = learn_scaling(name, constant)
    later = np.array([[7.0, 100.0, -1e308], [5.0, 0.3, 1e308]])
    assert (scaling.apply(later) == 0.0).all()
    assert (scaling.derivative(later) == 0.0).all()


@EVERY_SCALING
@pytest.mark.parametrize("n", [0, 1, 2])
def test_any_number_of_columns_and_one_row(name, n):
    scaling = learn_scaling(name, np.ones((1, n)))
    assert scaling.apply(np.full((3, n), 2.0)).tolist() == [[0.0] * n] * 3
    assert scaling.derivative(np.ones((0, n))).shape == (0, n)


@EVERY_SCALING
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_far_out_stay_finite(name, dtype):
    largest, smallest = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    training = np.array(
        [[-largest, 0.0, 0.0], [0.0, smallest, 1.0], [largest, 2 * smallest, 2.0], [largest, smallest, 3.0]], dtype
    )
    scaling = learn_scaling(name, training)
    for rows in (training, np.full((1, 3), largest), np.full((1, 3), -largest), np.full((1, 3), smallest)):
        for result in (scaling.apply(rows.astype(dtype)), scaling.derivative(rows.astype(dtype))):
            assert result.dtype == dtype
            assert np.isfinite(result).all()


@EVERY_SCALING
def test_float32_numbers_are_scaled_as_in_float64_and_rounded(name, numbers):
    single = numbers.astype(np.float32)
    scaling = learn_scaling(name, single)
    expected = scaling.apply(single.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(scaling.apply(single), expected)


@EVERY_SCALING
def test_differences_that_float32_cannot_hold_survive_in_a_float32_result(name):
    seconds = 1.7e9 + np.arange(100.0).reshape(-1, 1)
    scaled = learn_scaling(name, seconds).apply(seconds, out=np.empty((100, 1), np.float32))
    assert scaled.dtype == np.float32
    assert len(np.unique(scaled)) == 100


@EVERY_SCALING
def test_the_result_may_overwrite_the_numbers_and_else_does_not(name, numbers):
    scaling, copy = learn_scaling(name, numbers), numbers.copy()
    expected = scaling.apply(copy)
    np.testing.assert_array_equal(copy, numbers)
    assert scaling.apply(copy, out=copy) is copy
    np.testing.assert_array_equal(copy, expected)


@EVERY_SCALING
def test_blocks_of_rows_do_not_show(name, numbers, monkeypatch):
    scaling = learn_scaling(name, numbers)
    expected = scaling.apply(numbers), scaling.derivative(numbers)
    monkeypatch.setattr("skmlp.tables.scaling.BLOCK", 30)
    np.testing.assert_array_equal(scaling.apply(numbers), expected[0])
    np.testing.assert_array_equal(scaling.derivative(numbers), expected[1])


@EVERY_SCALING
@pytest.mark.parametrize(
    "copied",
    [
        lambda plain: plain,
        lambda plain: pickle.loads(pickle.dumps(plain)),
        lambda plain: json.loads(json.dumps({name: np.asarray(value).tolist() for name, value in plain.items()})),
    ],
    ids=["plain", "pickle", "json"],
)
def test_a_restored_scaling_gives_equal_numbers(name, numbers, copied):
    scaling = learn_scaling(name, numbers)
    restored = Scaling.from_plain(copied(scaling.to_plain()))
    assert type(restored) is type(scaling)
    np.testing.assert_array_equal(restored.apply(numbers), scaling.apply(numbers))


def test_the_mixed_scaling_is_by_quantiles_where_most_values_are_equal_and_else_robust():
    rng = np.random.default_rng(0)
    amounts = np.where(np.arange(200) < 160, 0.0, 1e4 * rng.random(200))
    numbers = np.column_stack([rng.standard_normal(200), amounts])
    scaled = MixedScaling.learn(numbers).apply(numbers)
    np.testing.assert_array_equal(scaled[:, :1], RobustScaling.learn(numbers[:, :1]).apply(numbers[:, :1]))
    np.testing.assert_array_equal(scaled[:, 1:], QuantileScaling.learn(numbers[:, 1:]).apply(numbers[:, 1:]))


def test_an_unknown_scaling_is_an_error():
    with pytest.raises(ValueError, match=r"among {'standard', 'robust', 'quantile', 'mixed'}\. Got 'no' instead"):
        learn_scaling("no", np.ones((2, 1)))
