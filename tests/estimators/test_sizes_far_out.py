"""Weights, penalties and targets that are far larger or smaller than usual."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators.targets import RealTargets

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)
DIABETES = (DIABETES - DIABETES.mean(axis=0)) / DIABETES.std(axis=0)


def _net(**params):
    return MLPClassifier((8,), **{"random_state": 0, "learning_rate_init": 0.01, "max_iter": 20, **params})


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [2.0**-200, 2.0**-1030, 2.0**200])
def test_without_penalty_the_scale_of_sample_weights_has_no_effect(size, dtype, partial):
    weight = np.linspace(0.5, 1.5, 150)
    nets = [_net(alpha=0.0, dtype=dtype) for _ in range(2)]
    for net, unit in zip(nets, (1.0, size), strict=True):
        if partial:
            for _ in range(3):
                net.partial_fit(X, Y, sample_weight=weight * unit, classes=[0, 1, 2])
        else:
            net.fit(X, Y, sample_weight=weight * unit)
    np.testing.assert_allclose(nets[1].predict_proba(X), nets[0].predict_proba(X), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("params", [{}, {"normalization": "batch"}, {"batch_size": 20}, {"early_stopping": True}])
def test_tiny_class_weights_are_accepted(params):
    tiny = _net(class_weight={0: 1e-60, 1: 1e-60, 2: 2e-60}, alpha=0.0, **params).fit(X, Y)
    usual = _net(class_weight={0: 1.0, 1: 1.0, 2: 2.0}, alpha=0.0, **params).fit(X, Y)
    # The unbiased variance of batch normalization counts weights as numbers of rows.
    np.testing.assert_allclose(tiny.predict_proba(X), usual.predict_proba(X), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("alpha", "weight"), [(1e308, 1.0), (1e30, 1.0), (1e-4, 1e-60)], ids=["alpha=1e308", "alpha=1e30", "weight=1e-60"]
)
def test_an_extreme_penalty_gives_zero_weights_and_a_finite_loss(alpha, weight, dtype, solver):
    params = {"alpha": alpha, "dtype": dtype, "solver": solver, "max_iter": 300, "learning_rate": "linear"}
    if solver == "lbfgs":
        del params["learning_rate"]
    net = _net(**params).fit(X, Y, sample_weight=np.full(150, weight))
    assert np.isfinite(net.history_["loss"]).all()
    assert max(np.abs(W).max() for W in net.coefs_) < 1e-2


@pytest.mark.parametrize("weights", [np.full(150, 1e307), np.r_[1e308, 1e308, np.zeros(148)]])
def test_weights_whose_sum_is_infinite_are_refused(weights):
    with pytest.raises(ValueError, match="The sum of sample_weight must be finite"):
        _net().fit(X, Y, sample_weight=weights)
    with pytest.raises(ValueError, match=r"class_weight=.* must be finite"):
        _net(class_weight={0: 1e307, 1: 1e307, 2: 1e307}).fit(X, Y)


@pytest.mark.parametrize("size", [1e200, 1e30, 1e-30, 1e-200, 1e-300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardize_target_works_at_any_scale(size, dtype):
    settings = {"hidden_layer_sizes": (8,), "standardize_target": True, "random_state": 0, "max_iter": 30}
    rows = DIABETES.astype(dtype)
    expected = MLPRegressor(**settings).fit(rows, PROGRESSION).predict(rows)
    found = MLPRegressor(**settings).fit(rows, PROGRESSION * size).predict(rows)
    np.testing.assert_allclose(found / size, expected, rtol=1e-4)


@pytest.mark.parametrize("value", [3.0, 0.0, 0.1, 1e300, 1e-300])
def test_a_constant_target_is_shifted_and_keeps_its_scale(value):
    targets = RealTargets("squared_error", 1).standardized(np.full(7, value), None)
    np.testing.assert_allclose(targets.shift, value, rtol=1e-15)
    assert targets.scale == 1.0


def test_max_time_ends_after_a_batch_with_positive_weight():
    weight = np.r_[np.zeros(100), np.ones(50)]
    net = _net(max_time=1e-9, batch_size=10, shuffle=False).fit(X, Y, sample_weight=weight)
    assert net.stop_reason_ == "max_time"
    assert np.isfinite(net.loss_)


def test_a_divergence_with_a_huge_target_advises_to_standardize_it():
    settings = {"hidden_layer_sizes": (8,), "solver": "sgd", "learning_rate_init": 0.1, "random_state": 0}
    with pytest.raises(ValueError, match=r"The targets are as large as .*: set standardize_target=True"):
        MLPRegressor(**settings).fit(DIABETES, PROGRESSION * 1e15)
    with pytest.raises(ValueError, match="Solver produced non-finite") as caught:
        MLPRegressor(**settings | {"learning_rate_init": 1e30}).fit(DIABETES, PROGRESSION / 100.0)
    assert "standardize_target" not in str(caught.value)
    with pytest.raises(ValueError, match="Solver produced non-finite") as caught:  # a loss that takes no other scale
        MLPRegressor("poisson", **settings | {"learning_rate_init": 1e30}).fit(DIABETES, PROGRESSION * 1e15)
    assert "standardize_target" not in str(caught.value)
    good = MLPRegressor(**settings, warm_start=True).fit(DIABETES, PROGRESSION / 100.0)
    with pytest.warns(ConvergenceWarning, match="set standardize_target=True"):
        good.fit(DIABETES, PROGRESSION * 1e15)
