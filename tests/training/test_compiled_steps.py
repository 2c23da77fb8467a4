"""Compiled steps against NumPy's, which are the reference: equal to rounding, and in everything that Python decides."""

from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import training
from skmlp.nn.layers import BatchNorm, LayerNorm, LayerNormalization
from skmlp.optim import SGD, Adam, AdamW, ClipByGlobalNorm, Linear, Piecewise, RMSProp, WithWeightDecay
from skmlp.optim.solvers import ScaleByLearningRate
from skmlp.optim.solvers.adam import ScaleByAdam

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.training import clock, compiled_steps, loop

ORIGINAL = compiled_steps.compiled_engine
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
ACTIVATIONS = [
    "identity",
    "logistic",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "mish",
]
SOLVERS = {
    "plain": SGD(momentum=0.0),
    "momentum": SGD(nesterovs_momentum=False),
    "nesterov": SGD(),
    "rmsprop": RMSProp(),
    "rmsprop, root": RMSProp(epsilon=0.0, epsilon_root=1e-6),
    "adam": Adam(beta_1=0.8, beta_2=0.99),
    "adam, root": Adam(epsilon=0.0, epsilon_root=1e-6),
    "adamw": AdamW(weight_decay=0.1),
    "sgd, decay": WithWeightDecay(SGD(), 0.1),
    "lion": "lion",
    "rmsprop, momentum": RMSProp(momentum=0.5),
}


# Biases before a batch normalization have no effect: their gradients are rounding errors, of which Adam makes steps.
SGD_ONLY = {"solver": "sgd", "learning_rate_init": 0.01}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6))
    y = np.column_stack([X[:, 0] * X[:, 1], np.sin(2.0 * X[:, 2])])
    return X, y, X[:, :3].argmax(axis=1)


@pytest.fixture(params=[1, 2], ids=["alone", "two threads"])
def n_threads(monkeypatch, request):
    """Have batches shared by so many threads, however small they are."""
    monkeypatch.setattr(training, "threads_for", lambda *_: nullcontext(request.param))
    return request.param


def both(monkeypatch, estimator, *data, **fit_params):
    """Fit with NumPy and with compiled steps, and return both estimators."""
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    reference = clone(estimator).fit(*data, **fit_params)
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    made = []
    monkeypatch.setattr(compiled_steps, "compiled_engine", lambda *args: made.append(ORIGINAL(*args)) or made[-1])
    compiled = clone(estimator).fit(*data, **fit_params)
    assert isinstance(made[0], compiled_steps.CompiledEngine)
    return reference, compiled


def assert_equal(reference, compiled, dtype):
    """Assert that parameters and history are equal to rounding."""
    tolerance = TOLERANCE[dtype]
    assert reference.n_iter_ == compiled.n_iter_
    for a, b in zip(
        [*reference.coefs_, *reference.intercepts_], [*compiled.coefs_, *compiled.intercepts_], strict=True
    ):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    vectors = [each._model.state.params.vector for each in (reference, compiled)]  # running averages, too
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=tolerance, atol=tolerance)
    for name in ("loss", "train_loss", "penalty", "gradient_norm", "learning_rate", "clipped_share"):
        np.testing.assert_allclose(compiled.history_[name], reference.history_[name], rtol=tolerance, atol=tolerance)


def settings(dtype, **changes):
    return {
        "hidden_layer_sizes": (7, 5),
        "batch_size": 20,
        "max_iter": 4,
        "dtype": dtype,
        "random_state": 0,
        "tol": 0.0,
        **changes,
    }


pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(monkeypatch, data, dtype, activation):
    X, y, _ = data
    assert_equal(*both(monkeypatch, MLPRegressor(**settings(dtype, activation=activation)), X, y), dtype)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(monkeypatch, n_threads, data, dtype, solver):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", solver=SOLVERS[solver], learning_rate_init=0.005))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_losses_of_classifiers(monkeypatch, n_threads, data, dtype, kind, smoothing):
    X, y, codes = data
    target = {"binary": codes == 1, "multiclass": codes, "multilabel": (y > 0.0).astype(int)}[kind]
    estimator = MLPClassifier(**settings(dtype, activation="tanh", label_smoothing=smoothing))
    assert_equal(*both(monkeypatch, estimator, X, target), dtype)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.0},
        {"alpha": 0.1, "alpha_l1": 0.05},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (4, 4, 4, 4)},
        {"batch_size": 1, "max_iter": 2},
        {"batch_size": "full"},
        {"batch_size": 80},
        {"batch_size": 89},  # the last batch is one row: a thread has none
        {"shuffle": False},
        {"dropout": 0.3},
        {"dropout": (0.0, 0.5)},
        {**SGD_ONLY, "normalization": "batch"},
        {**SGD_ONLY, "normalization": BatchNorm(momentum=0.3, epsilon=0.01)},
        {**SGD_ONLY, "normalization": "batch", "batch_size": 89},  # the last row joins the batch before it
        {**SGD_ONLY, "normalization": "batch", "batch_size": "full"},
        {**SGD_ONLY, "normalization": "batch", "dropout": 0.3, "gradient_clip": ClipByGlobalNorm(0.1), "monitor": 3},
        {"normalization": "layer"},
        {"normalization": LayerNorm(epsilon=0.01), "dropout": 0.3, "averaging": 0.9, "solver": AdamW(0.1)},
        {"gradient_clip": ClipByGlobalNorm(0.1)},
        {"max_norm": 0.5},
        {"averaging": 0.9},
        {"learning_rate": "cosine"},
        {"learning_rate": "one_cycle"},
        {"monitor": 3},
        {"solver": SGD(momentum=0.9 * Linear(1.0, 0.5))},
        {"dropout": 0.5 * Piecewise((2,), (1.0, 0.0))},
        {"solver": AdamW(weight_decay=0.1 * Linear(1.0, 0.0)), "learning_rate": "cosine"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_options(monkeypatch, n_threads, data, dtype, changes):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, **{"activation": "tanh", **changes}))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


def test_weights_of_which_a_whole_batch_has_none(monkeypatch, n_threads, data, dtype):
    X, y, _ = data
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(X))
    weight[20:40] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False))
    assert_equal(*both(monkeypatch, estimator, X, y, sample_weight=weight), dtype)


def test_batch_normalization_with_adam(monkeypatch, data, dtype):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", normalization="batch"))
    reference, compiled = both(monkeypatch, estimator, X, y)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(compiled.loss_curve_, reference.loss_curve_, rtol=tolerance)
    for a, b in zip(reference.coefs_, compiled.coefs_, strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=10 * tolerance)


def test_batch_normalization_with_weights(monkeypatch, data, dtype):
    X, y, _ = data
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(X))
    weight[20:40] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False, normalization="batch", **SGD_ONLY))
    assert_equal(*both(monkeypatch, estimator, X, y, sample_weight=weight), dtype)


def test_batch_normalization_of_more_rows_than_a_block(monkeypatch, dtype):
    X = np.random.default_rng(0).normal(size=(3000, 3))
    estimator = MLPRegressor(**settings(dtype, batch_size=2100, max_iter=2, normalization="batch", **SGD_ONLY))
    assert_equal(*both(monkeypatch, estimator, X, np.sin(X[:, 0])), dtype)


def test_batches_of_several_blocks(monkeypatch, n_threads, dtype):
    X = np.random.default_rng(0).normal(size=(5000, 3))
    for dropout in (0.0, 0.3):
        estimator = MLPRegressor(**settings(dtype, batch_size=2100, max_iter=2, dropout=dropout))
        assert_equal(*both(monkeypatch, estimator, X, np.sin(X[:, 0])), dtype)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2),
        ({"monitor": 3}, 2),
        ({"batch_size": "full"}, 1),
        ({"normalization": "layer"}, 2),
        ({"normalization": "batch"}, 1),
        ({"gradient_clip": 1.0}, 1),
        ({"max_norm": 1.0}, 1),
        ({"dropout": 0.5 * Linear(1.0, 0.0)}, 1),
    ],
    ids=str,
)
def test_which_steps_threads_share(monkeypatch, data, changes, expected):
    X, y, _ = data
    sizes, original = [], compiled_steps.Teamwork
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(training, "threads_for", lambda *_: nullcontext(2))
    monkeypatch.setattr(
        compiled_steps, "Teamwork", lambda kept, **options: sizes.append(1 + len(kept)) or original(kept, **options)
    )
    estimator = MLPRegressor(**settings("float32", **changes)).fit(X, y)
    monkeypatch.setattr(compiled_steps.products, "LARGE_ALONE", 20 * 7 * 6 // 2 - 1)  # 20 rows, 6 inputs, 7 units
    estimator.fit(X, y)  # half a product is too large
    assert sizes == [expected, 1]


def test_what_is_measured_of_a_step(monkeypatch, n_threads, data):
    X, y, _ = data
    estimator = MLPRegressor(**settings("float64", activation="tanh", monitor=3, dropout=0.2))
    reference, compiled = both(monkeypatch, estimator, X, y)
    assert reference.monitor_.keys() == compiled.monitor_.keys()
    for name, values in reference.monitor_.items():
        np.testing.assert_allclose(compiled.monitor_[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_many_steps_in_one_call_are_the_same_steps_one_by_one(monkeypatch, n_threads, data, dtype, normalization):
    X, y, _ = data
    run, calls, fitted = compiled_steps.CompiledEngine.run, [], []
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_steps.CompiledEngine, "run", lambda *args: calls.append(args) or run(*args))
    monkeypatch.setattr(compiled_steps, "WORK_PER_NUMBER", 0)
    size = 1 if normalization == "batch" else n_threads  # its rows are not shared
    work_of_a_step = (3 * 20 * 87 + compiled_steps.WORK_PER_STEP) // size  # 20 rows, 87 weights
    # An epoch has five steps: in one call, one by one, or as three and two.
    for n_together, n_calls in ((100, 6), (1, 0), (3, 12)):
        calls.clear()
        monkeypatch.setattr(compiled_steps, "WORK", n_together * work_of_a_step)
        changes = {"dropout": 0.2, "max_iter": 6, "normalization": normalization}
        estimator = MLPRegressor(**settings(dtype, activation="tanh", **changes)).fit(X, y)
        assert len(calls) == n_calls
        state = estimator._model.state
        rest = np.array([state.solver_state["count"], state.dropout_rng.random()])
        history = [estimator.history_[name] for name in ("loss", "penalty", "gradient_norm", "learning_rate")]
        fitted.append([state.params.vector, *history, rest])
    for other in fitted[1:]:
        for a, b in zip(fitted[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_random_numbers_of_batches_without_weight_are_not_drawn(monkeypatch, n_threads, data, dtype):
    X, y, _ = data
    weight = np.ones(len(X))
    weight[20:60] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False, dropout=0.4))
    fitted = both(monkeypatch, estimator, X, y, sample_weight=weight)
    assert_equal(*fitted, dtype)
    numbers = [each._model.state.dropout_rng.random() for each in fitted]
    assert numbers[0] == numbers[1]


def test_data_that_must_not_be_written_to(monkeypatch, data, dtype):
    X, y, _ = data
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    X = np.ascontiguousarray(X, dtype)
    expected = MLPRegressor(**settings(dtype)).fit(X, y)
    X.flags.writeable = False
    found = MLPRegressor(**settings(dtype)).fit(X, y)
    np.testing.assert_array_equal(expected.coefs_[0], found.coefs_[0])


def test_what_is_not_compiled_is_left_to_numpy(monkeypatch, data):
    X, y, _ = data
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    for changes in ({"residual": True, "hidden_layer_sizes": (5, 5)}, {"loss": "huber"}):
        estimator = MLPRegressor(**settings("float32", **changes))
        compiled = clone(estimator).fit(X, y)
        monkeypatch.setenv("SKMLP_COMPILED", "0")
        reference = estimator.fit(X, y)
        monkeypatch.setenv("SKMLP_COMPILED", "1")
        np.testing.assert_array_equal(reference.coefs_[0], compiled.coefs_[0])


@pytest.mark.parametrize("batch_size", [20, 45])
@pytest.mark.parametrize("weightless", [0, 20], ids=["all count", "the first batch does not"])
def test_what_breaks_down_is_named_alike(monkeypatch, n_threads, data, batch_size, weightless):
    X, y, _ = data
    weight = np.ones(len(X))
    weight[:weightless] = 0.0
    messages = []
    for choice in ("0", "1"):
        monkeypatch.setenv("SKMLP_COMPILED", choice)
        changes = {"batch_size": batch_size, "solver": "sgd", "learning_rate_init": 1e4, "shuffle": False}
        with pytest.raises((ValueError, ConvergenceWarning), match="became infinite or NaN at step") as error:
            MLPRegressor(**settings("float32", **changes)).fit(X, y, sample_weight=weight)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.filterwarnings("ignore:Training diverged")
@pytest.mark.filterwarnings("ignore::skmlp.diagnosis.TrainingHealthWarning")
def test_the_step_that_is_lost_is_measured_among_many_in_one_call(monkeypatch, n_threads, data):
    X, y, _ = data
    changes = {"batch_size": 10, "solver": "sgd", "learning_rate_init": 2.5, "monitor": 1000, "max_iter": 20}
    fitted = both(monkeypatch, MLPRegressor(**settings("float32", **changes)), X, y)
    reference, compiled = fitted
    assert reference.stop_reason_ == compiled.stop_reason_ == "non_finite"
    assert reference.n_iter_ == compiled.n_iter_ > 1
    for name in ("epoch", "gradient_nonfinite"):
        np.testing.assert_array_equal(compiled.monitor_[name], reference.monitor_[name])
    assert compiled.monitor_["epoch"].tolist() == [compiled.n_iter_]
    assert [each._model.state.step for each in fitted] == [reference._model.state.step] * 2


class Halved(ScaleByAdam):
    """A link of a user's own."""

    def apply(self, updates, params, state, scratch, numbers):
        super().apply(updates, params, state, scratch, numbers)
        updates *= 0.5


class HalvedAdam(Adam):
    @property
    def links(self):
        return Halved(self.beta_1, self.beta_2), ScaleByLearningRate()


def test_a_relative_of_a_link_is_not_taken_for_it(monkeypatch, data, dtype):
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", solver=HalvedAdam()))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


class Doubled(LayerNormalization):
    """A normalization of a user's own."""

    def forward(self, params, x, memory):
        out = super().forward(params, x, memory)
        out *= 2.0
        return out

    def backward(self, params, grads, x, output, delta, memory, *, is_first):
        delta *= 2.0
        return super().backward(params, grads, x, output, delta, memory, is_first=is_first)


class OwnNorm(LayerNorm):
    def layer(self, n_units):
        return Doubled(n_units, self.epsilon)


def test_a_relative_of_a_layer_is_not_taken_for_it(monkeypatch, data):
    X, y, _ = data
    fitted = []
    for choice in ("0", "1"):
        monkeypatch.setenv("SKMLP_COMPILED", choice)
        fitted.append(MLPRegressor(**settings("float32", normalization=OwnNorm())).fit(X, y))
    np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])


def test_an_interruption_loses_no_count(monkeypatch, data):
    """Python hears of Ctrl+C when a call is over: the steps in it were taken, and are counted."""
    X, y, _ = data
    take_steps, calls = compiled_steps.steps.take_steps, []

    def interrupted(*args):
        take_steps(*args)
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_steps.steps, "take_steps", interrupted)
    estimator = MLPRegressor(**settings("float32", max_iter=50, dropout=0.2, learning_rate="cosine"))
    with pytest.warns(UserWarning, match="interrupted"):
        estimator.fit(X, y)
    state = estimator._model.state
    assert len(calls) == 3
    assert state.step == state.solver_state["count"] == 15  # five steps an epoch


def test_an_interruption_ends_the_fit_between_two_calls(monkeypatch, data):
    X, y, _ = data
    run, calls = compiled_steps.CompiledEngine.run, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_steps.CompiledEngine, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        estimator = MLPRegressor(**settings("float32", max_iter=50)).fit(X, y)
    assert estimator.n_iter_ == 4


def test_compiling_is_in_no_steps_time(monkeypatch, data):
    """Neither in the history nor in what `max_time` allows."""
    take_steps, now = compiled_steps.steps.take_steps, 0.0

    def compile_first(parts, *arguments):
        nonlocal now
        n_steps = arguments[10].size
        now += 1.0 if n_steps else 100.0
        take_steps(parts, *arguments)

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_steps, "_ready_dtypes", set())
    monkeypatch.setattr(compiled_steps.steps, "take_steps", compile_first)
    monkeypatch.setattr(loop, "perf_counter", lambda: now)
    monkeypatch.setattr(clock, "perf_counter", lambda: now)
    X, y, _ = data
    network = MLPRegressor(max_iter=30, max_time=20.0, tol=0.0, batch_size=90).fit(X, y)
    assert now == 120.0
    assert (network.stop_reason_, network.history_["seconds"]) == ("max_time", [2.0] * 10)  # two calls an epoch
    MLPRegressor(max_iter=3, batch_size=90).fit(X, y)
    assert now == 126.0
