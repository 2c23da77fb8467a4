"""Regularisation in the estimators: what each option does to a fit, that it is stored, and that off is off."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_moons, make_regression
from sklearn.metrics import log_loss

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import TrainingHealthWarning
from skmlp.nn.layers import BatchNorm, Dropout, LayerNorm
from skmlp.optim import (
    SGD,
    SOLVERS,
    Adam,
    AdamW,
    AdaptiveClip,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    FlatCosine,
    Linear,
    Time,
    WithWeightDecay,
)

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
N_SAMPLES, BATCH = 90, 32  # two whole batches and one of 26 rows
STANDING_STILL = {"solver": "sgd", "learning_rate_init": 1e-30}  # weights keep their initial values to the last bit


def _data(cls: type, n_samples: int = N_SAMPLES) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(n_samples, n_features=6, n_informative=4, n_classes=3, random_state=0)
    X, y = make_regression(n_samples, n_features=6, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (8, 5), "batch_size": BATCH, "max_iter": 3, "random_state": 0, **params})


def _vector(estimator: Any) -> Any:
    return np.concatenate([a.ravel() for a in (*estimator.coefs_, *estimator.intercepts_)])


def _first(cls: type) -> dict[str, Any]:
    """Return what the first call of partial_fit needs besides the data."""
    return {"classes": [0, 1, 2]} if cls is MLPClassifier else {}


def _passes(cls: type, estimator: Any, n_passes: int) -> Any:
    X, y = _data(cls)
    for _ in range(n_passes):
        estimator.partial_fit(X, y, **_first(cls))
    return estimator


def _by_pickle(estimator: Any) -> Any:
    return pickle.loads(pickle.dumps(estimator))


EVERYTHING: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.3},
    "dropout by layer": {"dropout": [0.0, 0.5]},
    "scheduled dropout": {"dropout": 0.3 * FlatCosine(horizon=50)},
    "batch": {"normalization": "batch"},
    "batch object": {"normalization": BatchNorm(momentum=0.3, epsilon=1e-3)},
    "layer": {"normalization": "layer"},
    "layer object": {"normalization": LayerNorm(epsilon=1e-2)},
    "residual": {"hidden_layer_sizes": (8, 8, 8), "residual": True},
    "all of it": {
        "hidden_layer_sizes": (8, 8),
        "residual": True,
        "normalization": "batch",
        "dropout": [0.2, 0.1],
        "alpha_l1": 0.01,
        "weight_decay": 0.1,
        "max_norm": 1.0,
        "gradient_clip": 0.5,
        "averaging": 0.9,
    },
}


@BOTH
@pytest.mark.parametrize("case", EVERYTHING)
def test_partial_fit_calls_equal_one_fit_bit_for_bit(cls: Any, case: str) -> None:
    X, y = _data(cls)
    fitted = _small(cls, **EVERYTHING[case]).fit(X, y)
    by_parts = _passes(cls, _small(cls, **EVERYTHING[case]), 3)
    np.testing.assert_array_equal(_vector(by_parts), _vector(fitted))
    np.testing.assert_array_equal(by_parts.predict(X), fitted.predict(X))
    for name in ("loss", "penalty", "learning_rate", "gradient_norm", "clipped_fraction"):
        np.testing.assert_array_equal(by_parts.history_[name], fitted.history_[name])


@BOTH
@pytest.mark.parametrize("case", EVERYTHING)
def test_the_same_seed_gives_the_same_bits_and_prediction_is_deterministic(cls: Any, case: str) -> None:
    X, y = _data(cls)
    one, same, other = (_small(cls, **{**EVERYTHING[case], "random_state": seed}).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(_vector(one), _vector(same))
    assert np.abs(_vector(one) - _vector(other)).max() > 0.01
    predict = one.predict_proba if cls is MLPClassifier else one.predict
    first = predict(X)
    np.testing.assert_array_equal(predict(X), first)
    # A row's prediction does not depend on its company: not on a batch's statistics, not on masks.
    np.testing.assert_allclose(predict(X[:1]), first[:1], rtol=1e-12)


@BOTH
def test_default_values_train_the_plain_network(cls: Any) -> None:
    """Named one by one, the defaults give the bits of a plain fit, and a network and a recipe without any of it."""
    X, y = _data(cls)
    off: dict[str, Any] = {
        "normalization": None,
        "dropout": 0.0,
        "residual": False,
        "alpha_l1": 0.0,
        "weight_decay": None,
        "max_norm": None,
        "gradient_clip": None,
        "averaging": None,
        "validation_split": None,
        "scoring": None,
        "restore_best": None,
        "refit": False,
        "max_time": None,
    }
    plain = _small(cls).fit(X, y)
    for settings in (off, {**off, "dropout": [0, 0.0]}, {**off, "gradient_clip": 1e30}, {**off, "max_norm": 1e30}):
        explicit = _small(cls, **settings).fit(X, y)
        np.testing.assert_array_equal(_vector(explicit), _vector(plain))
        assert explicit.history_["loss"] == plain.history_["loss"]
        assert explicit.history_["clipped_fraction"] == [0.0] * 3
    recipe, network = plain._model.recipe, plain._model.network
    assert [type(layer).__name__ for layer in network.layers] == ["Dense", "ActivationLayer"] * 2 + ["Dense"]
    assert (recipe.clip, recipe.max_norm, recipe.averaging) == (None, None, None)
    assert [network.has_modes, network.couples_rows, network.is_scheduled] == [False] * 3
    assert plain._model.state.average is None


# ---------------------------------------------------------------------- dropout


@BOTH
def test_dropout_rate_and_layer_change_training(cls: Any) -> None:
    X, y = _data(cls)
    rates = [0.0, 0.3, 0.31, [0.3, 0.3], [0.3, 0.0], [0.0, 0.3], np.array([0.0, 0.3]), (0.5, 0.5)]
    vectors = [_vector(_small(cls, dropout=rate).fit(X, y)) for rate in rates]
    equal = [(i, j) for i in range(len(rates)) for j in range(i) if np.array_equal(vectors[i], vectors[j])]
    assert equal == [(3, 1), (6, 5)]  # 0.3 for all is 0.3 for each, and an array is a list


@BOTH
def test_dropout_has_its_own_random_stream(cls: Any) -> None:
    """The order of the rows and the initial weights do not depend on it."""
    X, y = _data(cls)
    still = [_vector(_small(cls, dropout=rate, **STANDING_STILL).fit(X, y)) for rate in (0.0, 0.5)]
    np.testing.assert_allclose(*still, rtol=0, atol=1e-25)
    streams = [_small(cls, dropout=rate).fit(X, y)._model.state.rng.bit_generator.state for rate in (0.0, 0.5)]
    assert streams[0] == streams[1]


@BOTH
def test_scheduled_dropout_uses_the_rate_of_every_step(cls: Any) -> None:
    X, y = _data(cls)
    n_epochs, n_batches = 4, 3
    over_the_training = _small(cls, dropout=0.4 * FlatCosine(), max_iter=n_epochs).fit(X, y)
    horizon = n_epochs * n_batches
    by_parts = _passes(cls, _small(cls, dropout=0.4 * FlatCosine(horizon=horizon)), n_epochs)
    np.testing.assert_array_equal(_vector(by_parts), _vector(over_the_training))
    # With one step per epoch, the rate can be set by hand.
    rule = 0.4 * FlatCosine(horizon=5)
    by_rule = _passes(cls, _small(cls, batch_size="full", dropout=rule), 5)
    by_hand = _small(cls, batch_size="full")
    for step in range(5):
        _passes(cls, by_hand.set_params(dropout=rule.at(Time(step=step))), 1)
    np.testing.assert_array_equal(_vector(by_hand), _vector(by_rule))


@BOTH
def test_dropout_rate_may_change_between_trainings(cls: Any) -> None:
    X, y = _data(cls)
    without = _small(cls, warm_start=True).fit(X, y)
    with_it = _by_pickle(without).set_params(dropout=0.5).fit(X, y)
    assert np.abs(_vector(with_it) - _vector(_by_pickle(without).fit(X, y))).max() > 1e-4
    # Back to none it trains as if it had never been there, from where it is.
    back = _by_pickle(with_it).set_params(dropout=[0.0, 0.0])
    assert not any(isinstance(layer, Dropout) for layer in back.fit(X, y)._model.network.layers)
    by_parts = _passes(cls, _small(cls), 1)
    before = _vector(by_parts).copy()
    _passes(cls, by_parts.set_params(dropout=0.2), 1)
    _passes(cls, by_parts.set_params(dropout=[0.9, 0.0]), 1)
    assert np.abs(_vector(by_parts) - before).max() > 1e-4
    assert [layer.rate for layer in by_parts._model.network.layers if isinstance(layer, Dropout)] == [0.9]


@BOTH
def test_lbfgs_continues_a_network_trained_with_dropout(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, dropout=0.5, warm_start=True).fit(X, y)
    est.set_params(solver="lbfgs", dropout=0.0, max_iter=20).fit(X, y)
    assert est.loss_ < est.history_["loss"][2]


@BOTH
def test_refit_restarts_the_random_stream_of_dropout(cls: Any) -> None:
    X, y = _data(cls)
    settings: dict[str, Any] = {"dropout": 0.5, "bias_init": "zeros"}
    est = _small(cls, refit=True, **settings).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert est.best_n_iter_ > 0
    again = _small(cls, **{**settings, "max_iter": est.best_n_iter_}).fit(X, y)
    np.testing.assert_array_equal(_vector(est), _vector(again))


def test_dropout_disables_the_given_fraction() -> None:
    """Training towards 0 from outputs of 1: the loss of standing still is that of the masks, known in closed form."""

    def ones(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
        return np.full((n_in, n_out), 1.0 / n_in, dtype)

    n_samples, n_units, rate = 2000, 50, 0.4
    X, y = np.ones((n_samples, 1)), np.zeros(n_samples)
    est = MLPRegressor(
        hidden_layer_sizes=(n_units,),
        activation="identity",
        weight_init=ones,
        dropout=rate,
        alpha=0.0,
        batch_size="full",
        max_iter=1,
        random_state=0,
        dtype="float64",
        **STANDING_STILL,
    ).fit(X, y + np.arange(n_samples) * 1e-9)  # no two rows are equal, so none are merged
    # The output is the mean of n units, each 1 / (1 - p) with probability 1 - p: E[z^2] = 1 + p / (1 - p) / n.
    expected = 0.5 * (1.0 + rate / (1.0 - rate) / n_units)
    # z^2 has a standard deviation of about 2 * sqrt(0.67 / 50) = 0.23; over 2000 rows that is 0.005 for the mean.
    assert est.loss_ == pytest.approx(expected, abs=4 * 0.5 * 0.005)
    np.testing.assert_allclose(est.predict(X[:3]), 1.0, atol=1e-5)  # the output bias is the mean of y


# ---------------------------------------------------------------------- normalization


def _normalized_by_hand(est: Any, X: Any, batches: list[Any], momentum: float, epsilon: float) -> Any:
    """Return predictions for `X` by running statistics over `batches`, for weights that stay as they are."""
    hidden, rows = [np.asarray(batch) for batch in batches], np.asarray(X)
    for weights, biases in zip(est.coefs_[:-1], est.intercepts_[:-1], strict=True):
        mean, variance = np.zeros(len(biases)), np.ones(len(biases))
        normalized = []
        for batch in hidden:
            z = batch @ weights + biases
            normalized.append(np.maximum((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + epsilon), 0.0))
            mean += momentum * (z.mean(axis=0) - mean)
            variance += momentum * (z.var(axis=0, ddof=1) - variance)
        hidden = normalized
        rows = np.maximum((rows @ weights + biases - mean) / np.sqrt(variance + epsilon), 0.0)
    return (rows @ est.coefs_[-1] + est.intercepts_[-1]).ravel()


@pytest.mark.parametrize(("momentum", "epsilon"), [(0.1, 1e-5), (0.5, 0.1), (1.0, 1e-5)])
@pytest.mark.parametrize("n_samples", [90, 65], ids=["a last batch of 26 rows", "a last row that joins"])
def test_running_statistics_agree_with_a_plain_computation(momentum: float, epsilon: float, n_samples: int) -> None:
    X, y = _data(MLPRegressor, n_samples)
    est = _small(
        MLPRegressor,
        normalization=BatchNorm(momentum, epsilon),
        shuffle=False,
        dtype="float64",
        max_iter=2,
        **STANDING_STILL,
    ).fit(X, y)
    one_epoch = {90: [X[:32], X[32:64], X[64:]], 65: [X[:32], X[32:]]}[n_samples]
    by_hand = _normalized_by_hand(est, X, one_epoch * 2, momentum, epsilon)
    np.testing.assert_allclose(est.predict(X), by_hand, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_single_last_row_joins_the_previous_batch(shuffle: bool, kind: str) -> None:
    from scipy import sparse

    X, y = _data(MLPRegressor, 65)
    rows = X if kind == "dense" else sparse.csr_matrix(X)
    est = _small(MLPRegressor, normalization="batch", shuffle=shuffle).fit(rows, y)
    assert est._model.state.step == 3 * 2  # three epochs of two batches, where others have three
    assert _small(MLPRegressor, shuffle=shuffle).fit(rows, y)._model.state.step == 3 * 3
    assert np.isfinite(est.predict(X)).all()


@BOTH
def test_settings_of_normalization_are_parameters(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, normalization=BatchNorm())
    assert {"normalization__momentum", "normalization__epsilon"} <= est.get_params().keys()
    by_name = _vector(_small(cls, normalization="batch").fit(X, y))
    np.testing.assert_array_equal(_vector(est.fit(X, y)), by_name)
    changed = est.set_params(normalization__momentum=0.9, normalization__epsilon=0.5).fit(X, y)
    np.testing.assert_array_equal(_vector(changed), _vector(_small(cls, normalization=BatchNorm(0.9, 0.5)).fit(X, y)))
    assert np.abs(_vector(changed) - by_name).max() > 1e-4


@BOTH
def test_changed_settings_take_effect_in_the_next_fit(cls: Any) -> None:
    """Nor does storing bring it in: the fitted network keeps the settings it was trained with."""
    X, y = _data(cls)
    est = _small(cls, normalization=BatchNorm(), warm_start=True).fit(X, y)
    before = est.predict(X)
    est.set_params(normalization__epsilon=10.0)
    np.testing.assert_array_equal(est.predict(X), before)
    np.testing.assert_array_equal(_by_pickle(est).predict(X), before)
    with pytest.raises(ValueError, match=r"normalization was BatchNorm\(.*epsilon=1e-05\) and is now .*epsilon=10.0\)"):
        est.fit(X, y)


@BOTH
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_warm_start_continues_with_normalization(cls: Any, normalization: str) -> None:
    X, y = _data(cls)
    est = _small(cls, normalization=normalization, warm_start=True).fit(X, y).fit(X, y)
    by_parts = _passes(cls, _small(cls, normalization=normalization), 6)
    np.testing.assert_array_equal(_vector(est), _vector(by_parts))
    np.testing.assert_array_equal(est.predict(X), by_parts.predict(X))
    for other in (None, "layer" if normalization == "batch" else "batch"):
        with pytest.raises(ValueError, match=f"normalization was '{normalization}' and is now {other!r}"):
            est.set_params(normalization=other).fit(X, y)


@BOTH
def test_batches_of_one_row_are_refused(cls: Any, assert_refuses: Any) -> None:
    X, y = _data(cls)
    words = 'normalization="batch" needs at least 2 rows.*got one.*larger batches, or normalization="layer"'
    for choice in ("batch", BatchNorm()):
        assert_refuses(
            cls, ValueError, words, lambda est: est.fit(X, y), normalization=choice, batch_size=1, warm=False
        )
        new = _small(cls, normalization=choice, batch_size="auto")
        with pytest.raises(ValueError, match=words):
            new.partial_fit(X[:1], y[:1], **_first(cls))
        assert not hasattr(new, "coefs_")
        est = _passes(cls, new, 1)
        before = _vector(est).copy()
        with pytest.raises(ValueError, match=words):
            est.partial_fit(X[:1], y[:1])
        np.testing.assert_array_equal(_vector(est), before)
        est.partial_fit(X[:2], y[:2])
    with pytest.raises(ValueError, match=r"Batch normalization needs at least 2 rows.*more rows"):
        _small(cls, normalization="batch", batch_size="auto").fit(X[:1], y[:1])
    one_by_one = _small(cls, normalization="layer", batch_size=1).fit(X, y)
    one_by_one.partial_fit(X[:1], y[:1])
    assert np.isfinite(one_by_one.predict(X)).all()


@BOTH
def test_batch_normalization_works_with_merged_rows(cls: Any) -> None:
    """In full batch equal rows are merged into one, which still stands for all of them."""
    X, y = _data(cls)
    est = _small(cls, normalization="batch", batch_size="full").fit(X[[0] * 10], y[[0] * 10])
    assert np.isfinite(est.predict(X)).all()


def test_normalization_makes_a_deep_network_trainable() -> None:
    X, y = make_moons(400, noise=0.1, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)

    def score(**params: Any) -> float:
        # With larger steps so deep a training is chaotic: its score then hangs on the last digits.
        settings = {"learning_rate_init": 0.003, "batch_size": 50, "max_iter": 60, "n_iter_no_change": np.inf}
        return MLPClassifier((8,) * 20, random_state=1, **settings, **params).fit(X, y).score(X, y)

    assert score() < 0.6
    assert score(normalization="batch") > 0.95


# ---------------------------------------------------------------------- residual connections


def test_residual_connections_train_a_deep_network() -> None:
    X, y = make_moons(400, noise=0.1, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)

    def loss(**params: Any) -> float:
        est = MLPClassifier(
            (4,) * 20, "tanh", learning_rate_init=0.01, batch_size=50, max_iter=60, random_state=0, **params
        )
        return est.fit(X, y).history_["train_loss"][-1]

    assert loss() > 0.3
    assert loss(residual=True) < 0.1


def test_residual_connections_join_consecutive_layers_of_equal_width() -> None:
    X, y = _data(MLPRegressor)  # six features: the first hidden layer is as wide, and gets no connection
    est = _small(
        MLPRegressor, hidden_layer_sizes=(6, 6, 7, 7, 7), residual=True, activation="tanh", dtype="float64"
    ).fit(X, y)
    a = X
    for index, (weights, biases) in enumerate(zip(est.coefs_[:-1], est.intercepts_[:-1], strict=True)):
        a = np.tanh(a @ weights + biases) + (a if index in (1, 3, 4) else 0.0)
    by_hand = (a @ est.coefs_[-1] + est.intercepts_[-1]).ravel()
    np.testing.assert_allclose(est.predict(X), by_hand, rtol=1e-10, atol=1e-12)


@BOTH
@pytest.mark.parametrize("sizes", [(8, 5), (8,), (), (8, 5, 8)], ids=str)
def test_residual_without_layers_of_equal_width_is_refused(cls: Any, sizes: Any, assert_refuses: Any) -> None:
    X, y = _data(cls)
    words = r"residual=True .* hidden_layer_sizes=\(.*\) has no such pair. Give two consecutive layers the same size"
    assert_refuses(
        cls, ValueError, words, lambda est: est.fit(X, y), residual=True, hidden_layer_sizes=sizes, warm=False
    )


# ---------------------------------------------------------------------- penalties, decay, norms


def test_the_l1_penalty_drives_weights_of_useless_features_to_zero() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 10))
    y = X[:, 0] - 2.0 * X[:, 1] + 0.3 * rng.standard_normal(300)

    def weights(**params: Any) -> Any:
        est = MLPRegressor(
            hidden_layer_sizes=(), alpha=0.0, batch_size="full", learning_rate="linear", max_iter=600, **params
        )
        return np.abs(est.set_params(random_state=0, learning_rate_init=0.02).fit(X, y).coefs_[0][:, 0])

    plain, sparse = weights(), weights(alpha_l1=30.0)
    assert plain[2:].max() > 0.01
    # The last steps are small, and so is what is left: weights hover about 0 by the size of a step.
    assert sparse[2:].max() < 1e-3
    np.testing.assert_allclose(sparse[:2], plain[:2] - 0.1, atol=0.02)  # these shrink by alpha_l1 / n


@BOTH
def test_l1_penalty_is_recorded(cls: Any) -> None:
    X, y = _data(cls)
    settings: dict[str, Any] = {"batch_size": "full", "dtype": "float64", "max_iter": 2, **STANDING_STILL}
    est = _small(cls, alpha=0.5, alpha_l1=0.25, **settings).fit(X, y)
    weights = np.concatenate([w.ravel() for w in est.coefs_])
    penalty = (0.25 * (weights**2).sum() + 0.25 * np.abs(weights).sum()) / N_SAMPLES
    np.testing.assert_allclose(est.history_["penalty"], penalty, rtol=1e-12)
    np.testing.assert_allclose(est.history_["loss"], np.add(est.history_["train_loss"], penalty), rtol=1e-12)
    plain = _small(cls, alpha=0.0, **settings).fit(X, y)
    assert plain.history_["penalty"] == [0.0, 0.0]
    np.testing.assert_allclose(plain.history_["train_loss"], est.history_["train_loss"], rtol=1e-12)
    assert est.loss_and_gradients(X, y)[0] == pytest.approx(est.loss_, rel=1e-12)


@pytest.mark.parametrize("how", ["name", "object", "with"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weight_decay_is_decoupled_for_every_solver(solver: str, how: str) -> None:
    """Where the loss asks for nothing, a step shrinks the weights by 1 - learning_rate * weight_decay and no more."""
    if how == "object" and hasattr(SOLVERS[solver](), "weight_decay"):
        pytest.skip("an object with a decay of its own")
    if how == "name" and SOLVERS[solver]().averages:
        pytest.skip("its own decay acts on the steps that it averages")
    X, y = np.zeros((64, 3)), np.zeros(64)  # no gradient for any weight
    rate, decay = 0.1, 2.0
    choice: dict[str, Any] = {
        "name": {"solver": solver, "weight_decay": decay},
        "object": {"solver": SOLVERS[solver](), "weight_decay": decay},
        "with": {"solver": WithWeightDecay(SOLVERS[solver](), decay)},
    }[how]
    if how == "with" and getattr(SOLVERS[solver](), "weight_decay", 0.0) > 0.0:
        choice["solver"] = SOLVERS[solver](weight_decay=decay)  # the plain one decays by itself
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "alpha": 0.0, "dtype": "float64"}
    initial = _small(MLPRegressor, **settings, **STANDING_STILL).fit(X, y)
    est = _small(MLPRegressor, learning_rate_init=rate, **settings, **choice).fit(X, y)
    n_steps = 3 * 2
    for weights, before in zip(est.coefs_, initial.coefs_, strict=True):
        np.testing.assert_allclose(weights, before * (1.0 - rate * decay) ** n_steps, rtol=1e-12)
    np.testing.assert_array_equal(np.concatenate(est.intercepts_), 0.0)
    # It is no part of what is minimized.
    assert est.history_["penalty"] == [0.0] * 3


@BOTH
def test_weight_decay_by_name_equals_weight_decay_by_object(cls: Any) -> None:
    X, y = _data(cls)
    by_name = _vector(_small(cls, solver="adam", weight_decay=0.3).fit(X, y))
    for settings in (
        {"solver": "adamw", "weight_decay": 0.3},
        {"solver": AdamW(weight_decay=0.3)},
        {"solver": Adam(), "weight_decay": 0.3},
        {"solver": WithWeightDecay(Adam(), 0.3)},
    ):
        np.testing.assert_array_equal(_vector(_small(cls, **settings).fit(X, y)), by_name)
    default = _vector(_small(cls, solver="adamw").fit(X, y))
    np.testing.assert_array_equal(_vector(_small(cls, solver="adam", weight_decay=0.01).fit(X, y)), default)
    assert np.abs(by_name - _vector(_small(cls).fit(X, y))).max() > 1e-5


def test_scheduled_weight_decay_follows_its_schedule() -> None:
    X, y = np.zeros((64, 3)), np.zeros(64)
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "alpha": 0.0, "dtype": "float64"}
    initial = _small(MLPRegressor, **settings, **STANDING_STILL).fit(X, y)
    rule = 2.0 * Linear(0.2, 1.0)
    for solver in ({"solver": "sgd", "weight_decay": rule}, {"solver": AdamW(weight_decay=rule)}):
        est = _small(MLPRegressor, learning_rate_init=0.1, **settings, **solver).fit(X, y)
        factor = np.prod([1.0 - 0.1 * rule.at(Time(progress=step / 6)) for step in range(6)])
        np.testing.assert_allclose(est.coefs_[0], factor * initial.coefs_[0], rtol=1e-12)


@BOTH
@pytest.mark.parametrize("more", [{}, {"averaging": 0.9}, {"solver": "sgd", "learning_rate_init": 0.5}], ids=str)
def test_max_norm_limits_the_norm_of_every_unit(cls: Any, more: dict[str, Any]) -> None:
    X, y = _data(cls)
    free = _small(cls, **more).fit(X, y)
    est = _small(cls, max_norm=0.7, **more).fit(X, y)
    norms = np.concatenate([np.linalg.norm(w, axis=0) for w in est.coefs_])
    assert norms.max() <= 0.7 * (1.0 + 1e-6)  # shrunk in float32
    assert (norms > 0.6).sum() > 3
    assert max(np.linalg.norm(w, axis=0).max() for w in free.coefs_) > 0.75
    est.partial_fit(X, y)
    assert max(np.linalg.norm(w, axis=0).max() for w in est.coefs_) <= 0.7 * (1.0 + 1e-6)


# ---------------------------------------------------------------------- clipping


N_ENTRIES = 7 * 8 + 9 * 5 + 6 * 1  # of the network, weights and biases


@pytest.mark.parametrize(
    ("choice", "longest"),
    [
        (0.01, 0.01),
        ("value", np.sqrt(N_ENTRIES)),
        ("norm", np.sqrt(6)),  # three weight matrices and three bias vectors
        ("global_norm", 1.0),
        (ClipByValue(1e-4), 1e-4 * np.sqrt(N_ENTRIES)),
        (ClipByNorm(1e-3), 1e-3 * np.sqrt(6)),
        (ClipByGlobalNorm(1e-3), 1e-3),
        ("adaptive", None),
        (AdaptiveClip(0.001), None),
    ],
    ids=str,
)
def test_clipping_limits_the_length_of_a_step(choice: Any, longest: float | None) -> None:
    X, y = _data(MLPRegressor)
    settings: dict[str, Any] = {"batch_size": "full", "max_iter": 1, "dtype": "float64"}
    initial = _vector(_small(MLPRegressor, **settings, **STANDING_STILL).fit(X, 100.0 * y))
    moving = {**settings, "solver": SGD(momentum=0.0), "learning_rate_init": 0.01}
    free, est = (_small(MLPRegressor, gradient_clip=clip, **moving).fit(X, 100.0 * y) for clip in (None, choice))
    step = np.linalg.norm(_vector(est) - initial)
    # Unclipped the step is the learning rate times the recorded norm, which is that before clipping.
    free_step = np.linalg.norm(_vector(free) - initial)
    assert free_step == pytest.approx(0.01 * free.history_["gradient_norm"][0], rel=1e-10)
    assert est.history_["gradient_norm"] == free.history_["gradient_norm"]
    assert est.history_["clipped_fraction"] == [1.0]
    assert free.history_["clipped_fraction"] == [0.0]
    assert 0.0 < step < 0.5 * free_step
    if longest is not None:
        assert step <= 0.01 * longest * (1.0 + 1e-9)


@BOTH
def test_clipped_fraction_is_the_fraction_of_clipped_steps(cls: Any) -> None:
    X, y = _data(cls)
    norms = [_small(cls, max_iter=1, shuffle=False, gradient_clip=c).fit(X, y).history_ for c in (1e-6, 1e6)]
    assert [each["clipped_fraction"] for each in norms] == [[1.0], [0.0]]
    middle = norms[1]["gradient_norm"][0]  # the mean over the three steps
    clipped = _small(cls, max_iter=20, gradient_clip=middle).fit(X, y).history_["clipped_fraction"]
    assert all(0.0 <= each <= 1.0 and (3 * each) % 1 == pytest.approx(0.0, abs=1e-12) for each in clipped)
    assert 0.0 < np.mean(clipped) < 1.0


def test_clipping_prevents_divergence() -> None:
    X, y = _data(MLPRegressor)
    settings: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 0.05, "max_iter": 100}
    with pytest.warns(TrainingHealthWarning, match="times that of a constant prediction"):
        unclipped = _small(MLPRegressor, **settings).fit(X, 100.0 * y)
    assert unclipped.score(X, 100.0 * y) < -1000.0
    for choice in (1.0, "global_norm", ClipByNorm(1.0)):
        assert _small(MLPRegressor, gradient_clip=choice, **settings).fit(X, 100.0 * y).score(X, 100.0 * y) > 0.99


# ---------------------------------------------------------------------- averaging


@BOTH
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_averaged_weights_agree_with_the_formula(cls: Any, normalization: Any) -> None:
    X, y = _data(cls)
    settings: dict[str, Any] = {"batch_size": "full", "dtype": "float64", "normalization": normalization}
    raw = _small(cls, **settings)  # with one step a call, these are the parameters after each step
    averaged = _small(cls, averaging=0.7, **settings)
    expected = _vector(_passes(cls, _small(cls, **settings), 1))
    for _ in range(5):
        params = _vector(_passes(cls, raw, 1)).copy()
        expected = 0.7 * expected + 0.3 * params
        np.testing.assert_allclose(_vector(_passes(cls, averaged, 1)), expected, rtol=1e-12, atol=1e-14)
    # Averaging watches the training and does not change it.
    np.testing.assert_array_equal(averaged.history_["loss"], raw.history_["loss"])


@BOTH
def test_validation_and_prediction_use_the_average(cls: Any) -> None:
    X, y = _data(cls)
    settings: dict[str, Any] = {"dtype": "float64", "learning_rate_init": 0.05}
    fits = [_small(cls, averaging=d, **settings).fit(X, y, X_val=X, y_val=y) for d in (0.95, None)]
    for est in fits:
        if cls is MLPClassifier:
            loss = log_loss(y, est.predict_proba(X))
        else:
            loss = 0.5 * np.mean((est.predict(X) - y) ** 2)
        assert est.history_["validation_loss"][-1] == pytest.approx(loss, rel=1e-10)
        assert est.validation_scores_[-1] == pytest.approx(est.score(X, y), rel=1e-10)
    assert fits[0].history_["loss"] == fits[1].history_["loss"]
    assert fits[0].history_["validation_loss"] != fits[1].history_["validation_loss"]


@BOTH
def test_restore_best_works_with_averaging(cls: Any) -> None:
    X, y = _data(cls)
    settings: dict[str, Any] = {"dtype": "float64", "learning_rate_init": 0.3, "averaging": 0.5, "max_iter": 13}
    est = _small(cls, restore_best=True, scoring="loss", **settings).fit(X[:45], y[:45], X_val=X[45:], y_val=y[45:])
    best = int(np.argmin(est.history_["validation_loss"]))
    again = _small(cls, **{**settings, "max_iter": best + 1}).fit(X[:45], y[:45])
    assert best + 1 == est.best_n_iter_ < 13
    np.testing.assert_array_equal(_vector(est), _vector(again))


@BOTH
def test_averaging_can_be_turned_off_and_on_between_calls(cls: Any) -> None:
    """Without averaging, training continues from the average, which was what the user saw as weights."""
    est = _passes(cls, _small(cls, averaging=0.9), 2)
    before = _vector(est).copy()
    _passes(cls, est.set_params(averaging=None), 1)
    off = _vector(est).copy()
    assert np.abs(off - before).max() > 1e-5
    _passes(cls, est, 1)
    assert np.abs(_vector(est) - off).max() > 1e-5
    _passes(cls, est.set_params(averaging=0.5), 2)
    assert est._model.state.average is not None
    # A warm start begins a new average where the last training left the weights.
    X, y = _data(cls)
    warm = _small(cls, averaging=0.9, warm_start=True).fit(X, y)
    assert warm._model.state.average is None
    twice = _vector(warm.fit(X, y))
    assert np.isfinite(twice).all()
