"""What a fitted estimator carries: stored, copied, resumed, edited and inspected, nothing is lost and nothing leaks."""

import copy
import io
import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import builders
from skmlp.nn.activations import GELU, LeakyReLU
from skmlp.optim import SOLVERS, Adam, InverseScaling

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)


def _data(cls: type, n_samples: int = 90) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(n_samples, n_features=6, n_informative=4, n_classes=3, random_state=0)
    X, y = make_regression(n_samples, n_features=6, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (8, 5), "batch_size": 32, "max_iter": 3, "random_state": 0, **params})


def _vector(estimator: Any) -> Any:
    return np.concatenate([a.ravel() for a in (*estimator.coefs_, *estimator.intercepts_)])


def _by_pickle(estimator: Any) -> Any:
    return pickle.loads(pickle.dumps(estimator))


def _by_joblib(estimator: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def _by_skops(estimator: Any) -> Any:
    stored = skops.io.dumps(estimator)
    unknown = skops.io.get_untrusted_types(data=stored)
    # Nothing but the estimators themselves needs trust: the rest are arrays, numbers, strings, lists and dicts.
    assert unknown
    assert all(name.startswith("skmlp.estimators.") for name in unknown), unknown
    return skops.io.loads(stored, trusted=unknown)


COPIES = {"pickle": _by_pickle, "joblib": _by_joblib, "deepcopy": copy.deepcopy, "skops": _by_skops}


@BOTH
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "radam", "schedule_free_adamw", "muon", "lbfgs"])
def test_a_copy_predicts_and_continues_like_the_original(cls: Any, way: str, solver: str) -> None:
    X, y = _data(cls)
    original = _small(cls, solver=solver, warm_start=True).fit(X, y)
    other = COPIES[way](original)
    np.testing.assert_array_equal(other.predict(X), original.predict(X))
    np.testing.assert_equal(other.history_, original.history_)
    assert other.get_params() == original.get_params()
    for name in ("loss_", "best_loss_", "n_iter_", "t_", "n_outputs_", "n_layers_", "out_activation_"):
        assert getattr(other, name) == getattr(original, name)
    before = _vector(original)
    other.fit(X, y)
    if solver != "lbfgs":
        other.partial_fit(X, y)
    assert np.abs(_vector(other) - before).max() > 0.0
    np.testing.assert_array_equal(_vector(original), before)  # a copy is independent
    original.fit(X, y)
    if solver != "lbfgs":
        original.partial_fit(X, y)
    np.testing.assert_array_equal(_vector(other), _vector(original))
    without_clock = [
        {k: v for k, v in each.history_.items() if not k.startswith(("seconds", "samples_per"))}
        for each in (other, original)
    ]
    np.testing.assert_equal(*without_clock)


@BOTH
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}], ids=str)
def test_a_shallow_copy_predicts_like_the_original(cls: Any, params: dict[str, Any]) -> None:
    X, y = _data(cls)
    est = _small(cls, **params).fit(X, y)
    np.testing.assert_array_equal(copy.copy(est).predict(X), est.predict(X))


@BOTH
def test_early_stopping_continues_after_storing(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, early_stopping=True, warm_start=True).fit(X, y)
    other = _by_pickle(est)
    assert other.best_validation_score_ == est.best_validation_score_
    np.testing.assert_array_equal(_vector(other.fit(X, y)), _vector(est.fit(X, y)))
    assert other.validation_scores_ == est.validation_scores_


@BOTH
def test_clone_copies_only_the_parameters(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, solver=Adam(beta_2=0.95), activation=LeakyReLU(), learning_rate=InverseScaling(0.1)).fit(X, y)
    other = clone(est)
    assert not hasattr(other, "coefs_")
    assert other.solver == est.solver
    assert other.solver is not est.solver
    np.testing.assert_array_equal(_vector(other.fit(X, y)), _vector(est))
    assert clone(est).set_params(solver__beta_2=0.5).solver.beta_2 == 0.5
    assert est.solver.beta_2 == 0.95


@BOTH
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_stored_size_is_that_of_weights_and_optimizer_state(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    est = _small(cls, solver=solver, hidden_layer_sizes=(200, 200)).fit(X, y)
    n_bytes = _vector(est).nbytes
    vectors = {"sgd": 2, "adam": 3, "lbfgs": 1}[solver]
    assert vectors * n_bytes < len(pickle.dumps(est)) < vectors * n_bytes + 10_000
    est.predict(X)
    est.loss_and_gradients(X, y)
    assert len(pickle.dumps(est)) < vectors * n_bytes + 10_000
    if solver != "lbfgs":
        for _ in range(5):
            est.partial_fit(X, y)
        assert len(pickle.dumps(est)) < vectors * n_bytes + 10_000


@BOTH
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_the_same_seed_gives_the_same_bits(cls: Any, params: dict[str, Any]) -> None:
    X, y = _data(cls)
    one, same, other = (_small(cls, **{**params, "random_state": seed}).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(_vector(one), _vector(same))
    assert one.loss_curve_ == same.loss_curve_
    assert np.abs(_vector(one) - _vector(other)).max() > 0.01
    np.testing.assert_array_equal(_vector(one.fit(X, y)), _vector(same))  # fit starts from scratch


def _fixed(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
    return np.linspace(-1.0, 1.0, n_in * n_out).reshape(n_in, n_out).astype(dtype)


@BOTH
def test_the_seed_determines_order_and_split(cls: Any) -> None:
    X, y = _data(cls)

    def trained(**params: Any) -> Any:
        return _vector(_small(cls, weight_init=_fixed, **params).fit(X, y))

    in_order = [trained(shuffle=False, random_state=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(*in_order)  # nothing random is left
    shuffled = [trained(random_state=seed) for seed in (0, 1)]
    assert np.abs(shuffled[0] - shuffled[1]).max() > 1e-5
    split = [trained(shuffle=False, early_stopping=True, random_state=seed) for seed in (0, 1)]
    assert np.abs(split[0] - split[1]).max() > 1e-5


@BOTH
@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_as_random_state_advances(cls: Any, make: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, random_state=make(0))
    first, second = (_vector(est.fit(X, y)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(_vector(_small(cls, random_state=make(0)).fit(X, y)), first)


@BOTH
def test_without_a_seed_fits_differ_and_global_numpy_state_is_unused(cls: Any) -> None:
    X, y = _data(cls)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (_vector(_small(cls, random_state=None).fit(X, y)) for _ in range(2))
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@BOTH
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integer_weights_equal_repeated_rows(cls: Any, solver: str, dtype: str) -> None:
    """In full batch a weight of 2 is the row twice and a weight of 0 no row, bit for bit, in any order."""
    X, y = _data(cls)
    weight = np.arange(len(y)) % 3
    settings = {"solver": solver, "dtype": dtype, "batch_size": "full", "max_iter": 10}
    weighted = _small(cls, **settings).fit(X, y, sample_weight=weight)
    repeated = np.random.default_rng(0).permutation(np.repeat(np.arange(len(y)), weight))
    plain = _small(cls, **settings).fit(X[repeated], y[repeated])
    np.testing.assert_array_equal(_vector(weighted), _vector(plain))
    assert weighted.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(weighted.predict(X), plain.predict(X))


@BOTH
def test_scaling_the_weights_changes_only_the_penalty(cls: Any) -> None:
    X, y = _data(cls)
    weight = np.linspace(0.5, 2.0, len(y))
    one, other = (
        _small(cls, alpha=0.0, dtype="float64").fit(X, y, sample_weight=factor * weight) for factor in (1, 1024)
    )
    np.testing.assert_array_equal(_vector(one), _vector(other))


@BOTH
def test_coefs_are_views(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, solver="sgd", momentum=0.0).fit(X, y)
    for array in (*est.coefs_, *est.intercepts_):
        array[...] = 0.0
    est.intercepts_[-1][:] = 1.5
    if cls is MLPRegressor:
        np.testing.assert_array_equal(est.predict(X), np.full(len(X), 1.5))
    else:
        np.testing.assert_allclose(est.predict_proba(X), 1.0 / 3.0, rtol=1e-15)
    est.partial_fit(X, y)
    assert 0.0 < np.abs(est.intercepts_[-1] - 1.5).max() < 0.1  # training continues from the written weights
    assert (est.coefs_[0] == 0.0).all()  # no gradient passes weights of zero


@BOTH
@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_assigning_coefs_writes_into_the_network(cls: Any, name: str) -> None:
    X, y = _data(cls)
    est = _small(cls).fit(X, y)
    values = [np.full_like(a, 0.25) for a in getattr(est, name)]
    view = getattr(est, name)[0]
    setattr(est, name, values)
    assert (view == 0.25).all()
    before = est.predict(X)
    for wrong in (values[:-1], [*values[:-1], values[-1][:-1]], [a.T for a in values[::-1]]):
        with pytest.raises(ValueError, match=rf"{name} must have the shapes of the fitted network"):
            setattr(est, name, wrong)
    np.testing.assert_array_equal(est.predict(X), before)


@BOTH
@pytest.mark.parametrize("solver", SOLVERS)
def test_loss_and_gradients_agrees_with_finite_differences(cls: Any, solver: str) -> None:
    X, y = _data(cls)
    X, y = X[:20], y[:20]
    weight = np.linspace(0.5, 2.0, 20)
    est = _small(cls, solver=solver, activation=["tanh", GELU()], alpha=0.7, batch_size=10, dtype="float64").fit(X, y)
    before = _vector(est)
    loss, coef_grads, intercept_grads = est.loss_and_gradients(X, y, sample_weight=weight)
    again = est.loss_and_gradients(X, y, sample_weight=weight)
    assert again[0] == loss
    np.testing.assert_array_equal(again[1][0], coef_grads[0])
    assert [g.shape for g in coef_grads] == [w.shape for w in est.coefs_]
    direction = [
        np.random.default_rng(i).standard_normal(a.shape) for i, a in enumerate([*est.coefs_, *est.intercepts_])
    ]
    slope = sum(float((d * g).sum()) for d, g in zip(direction, (*coef_grads, *intercept_grads), strict=True))
    step, values = 1e-5, []
    for sign in (1, -1):
        moved = copy.deepcopy(est)
        for array, d in zip((*moved.coefs_, *moved.intercepts_), direction, strict=True):
            array[...] += sign * step * d
        values.append(moved.loss_and_gradients(X, y, sample_weight=weight)[0])
    # Central differences: truncation of order step**2 = 1e-10, rounding of order 1e-16 / step = 1e-11.
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-7)
    penalty = 0.7 * sum((W**2).sum() for W in est.coefs_) / (2 * weight.sum())
    assert est.set_params(alpha=0.0).loss_and_gradients(X, y, sample_weight=weight)[0] == pytest.approx(
        loss - penalty, rel=1e-12
    )
    np.testing.assert_array_equal(_vector(est), before)


@BOTH
def test_weights_row_order_validation_split_and_dropout_have_streams_of_their_own(cls, monkeypatch):
    seeds, default_rng = [], np.random.default_rng
    monkeypatch.setattr(builders.np.random, "default_rng", lambda seed: seeds.append(seed) or default_rng(seed))
    X, y = np.eye(40), np.arange(40) % 2
    cls(hidden_layer_sizes=(4,), dropout=0.2, early_stopping=True, max_iter=1, random_state=0).fit(X, y)
    keys = [seed.spawn_key for seed in seeds if isinstance(seed, np.random.SeedSequence)]
    assert len(keys) == len(set(keys)) == 3
