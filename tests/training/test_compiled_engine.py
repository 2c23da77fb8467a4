"""Training with compiled steps against training with NumPy, the reference: equal to rounding.

Every activation, loss, solver and layer is tested in float64, where an error is not hidden by rounding; what most
trainings use is tested in float32, too.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor, optim
from skmlp.estimators import fitting
from skmlp.nn.activations import ACTIVATIONS, Parametric
from skmlp.nn.data_initialization import learn_from_data
from skmlp.nn.layers import (
    ActivationLayer,
    BatchNorm,
    CategoryEmbedding,
    Columns,
    CosineEmbedding,
    Dense,
    LayerNorm,
    LayerNormalization,
    OneHot,
    Parallel,
    ParametricActivation,
    PBLDLayer,
    PiecewiseLinearEmbedding,
    Scale,
)
from skmlp.nn.losses import LOSSES, Quantile
from skmlp.nn.network import Network, initialize
from skmlp.nn.objective import Objective
from skmlp.optim import (
    SGD,
    Adam,
    AdamW,
    ClipByGlobalNorm,
    Linear,
    Muon,
    Piecewise,
    RMSProp,
    ScheduleFreeAdamW,
    WithWeightDecay,
)
from skmlp.optim.solvers import ScaleByLearningRate
from skmlp.optim.solvers.adam import ScaleByAdam
from skmlp.training.batches import Batches, Data
from skmlp.training.engine import Buffers, NumpyEngine
from skmlp.training.recipe import Recipe
from skmlp.training.state import Plateau, TrainingState

pytest.importorskip("numba", reason="compiled steps need numba")

from skmlp.training import compiled_engine

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
# All solvers by name, and other settings of some.
SOLVERS = {
    **{name: solver() for name, solver in optim.SOLVERS.items()},
    "sgd, plain": SGD(momentum=0.0),
    "sgd, momentum": SGD(nesterovs_momentum=False),
    "sgd, decay": WithWeightDecay(SGD(), 0.1),
    "rmsprop, root": RMSProp(epsilon=0.0, epsilon_root=1e-6),
    "rmsprop, momentum": RMSProp(momentum=0.5),
    "rmsprop, centered": RMSProp(centered=True),
    "adam, root": Adam(epsilon=0.0, epsilon_root=1e-6),
    "schedule-free, settings": ScheduleFreeAdamW(0.7, warmup_steps=6, weight_decay=0.1, r=1.0, weight_lr_power=0.5),
}
TARGETS = {"y >= 0": np.abs, "y > 0": lambda y: np.abs(y) + 0.1}


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
    monkeypatch.setattr(fitting, "threads_for", lambda *_: request.param)
    return request.param


def both(monkeypatch, estimator, *data, **fit_params):
    """Fit with NumPy and with compiled steps, and return both estimators."""
    fitted = []
    for choice in ("0", "1"):
        monkeypatch.setenv("SKMLP_COMPILED", choice)
        fitted.append(clone(estimator).fit(*data, **fit_params))
    assert [each.engine_ for each in fitted] == ["numpy: SKMLP_COMPILED=0", "compiled"]
    return fitted


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
    for name in ("loss", "train_loss", "penalty", "gradient_norm", "learning_rate", "clipped_fraction"):
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
def test_every_activation_trains_as_with_numpy(monkeypatch, data, activation):
    X, y, _ = data
    estimator = MLPRegressor(**settings("float64", activation=activation))
    assert_equal(*both(monkeypatch, estimator, X, y), "float64")


@pytest.mark.parametrize("activation", ["selu", "mish"])
def test_parametric_activations_train_as_with_numpy(monkeypatch, n_threads, data, activation):
    X, y, _ = data
    estimator = MLPRegressor(**settings("float64", activation=Parametric(activation)))
    assert_equal(*both(monkeypatch, estimator, X, y), "float64")


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_trains_as_with_numpy(monkeypatch, n_threads, data, solver):
    X, y, _ = data
    changes = {"activation": "tanh", "solver": SOLVERS[solver], "learning_rate_init": 0.005}
    assert_equal(*both(monkeypatch, MLPRegressor(**settings("float64", **changes)), X, y), "float64")


@pytest.fixture
def rate_factors(monkeypatch):
    """Have the arrays of dense layers learn at different rates."""
    factors, shapes = {6: 1.0, 7: 3.0, 5: 0.25}, Dense.shapes.fget

    def shapes_with_factors(layer):
        weights, biases = shapes(layer)
        return replace(weights, rate_factor=factors[layer.n_in]), replace(biases, rate_factor=0.5)

    monkeypatch.setattr(Dense, "shapes", property(shapes_with_factors))


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_trains_with_rate_factors_as_with_numpy(monkeypatch, rate_factors, n_threads, data, solver):
    X, y, _ = data
    changes = {"activation": "tanh", "solver": SOLVERS[solver], "learning_rate_init": 0.003, "max_iter": 2}
    reference, compiled = both(monkeypatch, MLPRegressor(**settings("float64", **changes)), X, y)
    assert_equal(reference, compiled, "float64")
    states = [each._model.state.solver_state["groups"] for each in (reference, compiled)]
    assert [group["factor"] for group in states[0]] == [1.0, 3.0, 0.25, 0.5]
    for ours, theirs in zip(*states, strict=True):
        assert ours["runs"] == theirs["runs"]
        assert ours["floats"] == [pytest.approx(floats, rel=1e-12) for floats in theirs["floats"]]


@pytest.mark.parametrize("loss", [*LOSSES.values(), Quantile((0.1, 0.5))], ids=str)
def test_every_loss_trains_as_with_numpy(monkeypatch, data, loss):
    X, y, codes = data
    changes = settings("float64", activation="tanh", loss=loss, solver="sgd", learning_rate_init=0.01)
    if not loss.is_classification:
        pair = both(monkeypatch, MLPRegressor(**changes), X, TARGETS.get(loss.domain, np.array)(y))
        assert_equal(*pair, "float64")
        return
    targets = [codes] if loss.takes_codes else [codes, (y > 0.0).astype(int)]  # several classes; several labels
    for target in targets:
        assert_equal(*both(monkeypatch, MLPClassifier(**changes), X, target), "float64")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_log_losses_train_as_with_numpy(monkeypatch, n_threads, data, dtype, kind, smoothing):
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
        {"residual": True, "hidden_layer_sizes": (6, 6, 6), "normalization": "layer", "dropout": 0.1},
        {"gradient_clip": 0.05, "averaging": 0.8, "learning_rate": "cosine", "dropout": 0.4 * Linear(1.0, 0.1)},
        {"gradient_clip": "adaptive"},
        {"solver": "muon", "gradient_clip": 0.1, "averaging": 0.9, "monitor": 3, "learning_rate": "cosine"},
        {"solver": Muon(momentum=0.95 * Linear(0.9, 1.0), adam_rate_factor=0.2, adjust="original"), "max_norm": 2.0},
    ],
    ids=str,
)
def test_settings_train_as_with_numpy(monkeypatch, n_threads, data, changes):
    X, y, _ = data
    dtype = "float64"
    estimator = MLPRegressor(**settings(dtype, **{"activation": "tanh", **changes}))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


def test_a_batch_without_weight_is_skipped_as_with_numpy(monkeypatch, n_threads, data, dtype):
    X, y, _ = data
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(X))
    weight[20:40] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False))
    assert_equal(*both(monkeypatch, estimator, X, y, sample_weight=weight), dtype)


def test_batch_normalization_with_adam_has_the_losses_of_numpy(monkeypatch, data):
    dtype = "float64"
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", normalization="batch"))
    reference, compiled = both(monkeypatch, estimator, X, y)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(compiled.loss_curve_, reference.loss_curve_, rtol=tolerance)
    for a, b in zip(reference.coefs_, compiled.coefs_, strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=10 * tolerance)


def test_batch_normalization_with_weights_trains_as_with_numpy(monkeypatch, data):
    dtype = "float64"
    X, y, _ = data
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(X))
    weight[20:40] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False, normalization="batch", **SGD_ONLY))
    assert_equal(*both(monkeypatch, estimator, X, y, sample_weight=weight), dtype)


def test_batch_normalization_of_more_rows_than_a_block_trains_as_with_numpy(monkeypatch):
    X = np.random.default_rng(0).normal(size=(3000, 3))
    estimator = MLPRegressor(**settings("float64", batch_size=2100, max_iter=2, normalization="batch", **SGD_ONLY))
    assert_equal(*both(monkeypatch, estimator, X, np.sin(X[:, 0])), "float64")


def test_batches_of_several_blocks_train_as_with_numpy(monkeypatch, n_threads, dtype):
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
        ({"gradient_clip": 1.0, "averaging": 0.9, "dropout": 0.5 * Linear(1.0, 0.0)}, 2),
        ({"gradient_clip": "adaptive"}, 1),
        ({"max_norm": 1.0}, 1),
        ({"solver": "muon"}, 1),
    ],
    ids=str,
)
def test_threads_share_rows_where_steps_are_fused_and_products_small(monkeypatch, data, changes, expected):
    X, y, _ = data
    sizes, original = [], compiled_engine.WorkerPool
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(fitting, "threads_for", lambda *_: 2)
    monkeypatch.setattr(
        compiled_engine, "WorkerPool", lambda kept, **options: sizes.append(1 + len(kept)) or original(kept, **options)
    )
    estimator = MLPRegressor(**settings("float64", **changes)).fit(X, y)
    monkeypatch.setattr(compiled_engine.products, "LARGE_ALONE", 20 * 7 * 6 // 2 - 1)  # 20 rows, 6 inputs, 7 units
    estimator.fit(X, y)  # half a product is too large
    assert sizes == [expected, 1]


def test_the_monitor_measures_what_it_does_with_numpy(monkeypatch, n_threads, data):
    X, y, _ = data
    estimator = MLPRegressor(**settings("float64", activation="tanh", monitor=3, dropout=0.2))
    reference, compiled = both(monkeypatch, estimator, X, y)
    assert reference.monitor_.keys() == compiled.monitor_.keys()
    for name, values in reference.monitor_.items():
        np.testing.assert_allclose(compiled.monitor_[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


FUSED = [
    {"dropout": 0.2},
    {"normalization": "batch", **SGD_ONLY},
    {"gradient_clip": 0.1, "averaging": 0.9, "solver": "nadam", "learning_rate": "cosine"},
    {"dropout": 0.4 * Linear(1.0, 0.1), "solver": SGD(momentum=0.9 * Linear(1.0, 0.5))},
    {
        "solver": ScheduleFreeAdamW(warmup_steps=7, r=1.0, weight_decay=0.1 * Linear(1.0, 0.0)),
        "learning_rate": "cosine",
    },
]


@pytest.mark.parametrize("factors", [False, True], ids=["one rate", "rate factors"])
@pytest.mark.parametrize("changes", FUSED, ids=str)
def test_many_steps_in_one_call_equal_the_same_steps_one_by_one(
    monkeypatch, request, n_threads, data, changes, factors
):
    X, y, _ = data
    if factors:
        request.getfixturevalue("rate_factors")
    run, calls, fitted = compiled_engine.CompiledEngine.run, [], []
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_engine.CompiledEngine, "run", lambda *args: calls.append(args) or run(*args))
    # An epoch has five steps: in one call, one by one, or as three and two.
    for n_fused, n_calls in ((100, 6), (1, 0), (3, 12)):
        calls.clear()
        monkeypatch.setattr(compiled_engine.CompiledEngine, "_n_fusable", lambda _, n=n_fused: n)
        estimator = MLPRegressor(**settings("float64", activation="tanh", max_iter=6, **changes)).fit(X, y)
        assert len(calls) == n_calls
        state = estimator._model.state
        rest = np.array([state.solver_state["count"], state.dropout_rng.random()])
        history = [estimator.history_[name] for name in ("loss", "penalty", "gradient_norm", "learning_rate")]
        fitted.append([state.params.vector, state.eval_params.vector, *history, rest])
    # Gradients are clipped and averages are moved by Python where steps are taken one by one, and rounded otherwise.
    is_exact = "averaging" not in changes
    for other in fitted[1:]:
        for a, b in zip(fitted[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0.0 if is_exact else 1e-12, atol=0.0 if is_exact else 1e-14)


@pytest.mark.parametrize("n_units", [1, 2, 900])
def test_one_call_does_a_bounded_amount_of_work(monkeypatch, n_units):
    engines, original = [], compiled_engine.CompiledEngine._n_fusable
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(
        compiled_engine.CompiledEngine, "_n_fusable", lambda engine: engines.append(original(engine)) or engines[-1]
    )
    X = np.zeros((200, 3), np.float32)
    MLPRegressor(**settings("float32", hidden_layer_sizes=(n_units,), max_iter=1, batch_size=100)).fit(X, X[:, 0])
    multiplications = 3 * 100 * 4 * n_units
    assert 1 <= engines[0] <= compiled_engine.WORK * 2 / multiplications


def test_random_numbers_of_batches_without_weight_are_not_drawn(monkeypatch, n_threads, data):
    dtype = "float64"
    X, y, _ = data
    weight = np.ones(len(X))
    weight[20:60] = 0.0
    estimator = MLPRegressor(**settings(dtype, activation="tanh", shuffle=False, dropout=0.4))
    fitted = both(monkeypatch, estimator, X, y, sample_weight=weight)
    assert_equal(*fitted, dtype)
    numbers = [each._model.state.dropout_rng.random() for each in fitted]
    assert numbers[0] == numbers[1]


def test_read_only_data_train_as_others(monkeypatch, data, dtype):
    X, y, _ = data
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    X = np.ascontiguousarray(X, dtype)
    expected = MLPRegressor(**settings(dtype)).fit(X, y)
    X.flags.writeable = False
    found = MLPRegressor(**settings(dtype)).fit(X, y)
    np.testing.assert_array_equal(expected.coefs_[0], found.coefs_[0])


@pytest.mark.parametrize("batch_size", [20, 45])
@pytest.mark.parametrize("weightless", [0, 20], ids=["all count", "the first batch does not"])
def test_the_place_of_a_non_finite_value_is_named_as_with_numpy(monkeypatch, n_threads, data, batch_size, weightless):
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
def test_the_monitor_measures_the_step_that_fails_among_many_in_one_call(monkeypatch, n_threads, data):
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


def test_a_subclass_of_a_link_with_its_own_rule_is_updated_by_numpy(monkeypatch, data):
    dtype = "float64"
    X, y, _ = data
    estimator = MLPRegressor(**settings(dtype, activation="tanh", solver=HalvedAdam()))
    assert_equal(*both(monkeypatch, estimator, X, y), dtype)


class Doubled(LayerNormalization):
    """A normalization of a user's own."""

    def forward(self, params, x, memory, batch=None):
        out = super().forward(params, x, memory, batch)
        out *= 2.0
        return out

    def backward(self, params, grads, x, output, delta, memory, batch=None, *, needs_input_delta=True):
        delta *= 2.0
        return super().backward(params, grads, x, output, delta, memory, batch)


class OwnNorm(LayerNorm):
    def layer(self, n_units):
        return Doubled(n_units, self.epsilon)


def test_a_subclass_of_a_layer_with_its_own_passes_trains_with_numpy(monkeypatch, data):
    X, y, _ = data
    fitted = []
    for choice in ("0", "1"):
        monkeypatch.setenv("SKMLP_COMPILED", choice)
        fitted.append(MLPRegressor(**settings("float32", normalization=OwnNorm())).fit(X, y))
    assert fitted[1].engine_ == "numpy: there are no compiled steps for Doubled"
    np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])


def test_steps_of_a_call_during_which_the_user_interrupts_are_counted(monkeypatch, data):
    """Python hears of Ctrl+C when the call is over."""
    X, y, _ = data
    call, calls = compiled_engine.WorkerPool.call, []

    def interrupted(self, run):
        call(self, run)
        calls.append(run)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_engine.WorkerPool, "call", interrupted)
    estimator = MLPRegressor(**settings("float64", max_iter=50, dropout=0.2, learning_rate="cosine"))
    with pytest.warns(UserWarning, match="interrupted"):
        estimator.fit(X, y)
    state = estimator._model.state
    assert len(calls) == 3
    assert state.step == state.solver_state["count"] == 15  # five steps an epoch


def test_an_interruption_ends_the_fit_between_two_calls(monkeypatch, data):
    X, y, _ = data
    run, calls = compiled_engine.CompiledEngine.run, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setenv("SKMLP_COMPILED", "1")
    monkeypatch.setattr(compiled_engine.CompiledEngine, "run", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        estimator = MLPRegressor(**settings("float64", max_iter=50)).fit(X, y)
    assert estimator.n_iter_ == 4


def test_the_time_to_compile_is_not_that_of_an_epoch(monkeypatch, data):
    """Functions are compiled or loaded before the first epoch: it is neither in the history nor in `max_time`."""
    X, y, _ = data
    order, make_ready = [], compiled_engine.CompiledEngine.make_ready
    begin_epoch = compiled_engine.CompiledEngine.begin_epoch
    for name, method in (("make_ready", make_ready), ("begin_epoch", begin_epoch)):

        def recorded(engine, name=name, method=method):
            order.append(name)
            return method(engine)

        monkeypatch.setattr(compiled_engine.CompiledEngine, name, recorded)
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    MLPRegressor(**settings("float64", max_iter=2)).fit(X, y)
    assert order == ["make_ready", "begin_epoch", "begin_epoch"]


def _branches():
    tanh = ACTIVATIONS["tanh"]
    branches = Parallel([Dense(6, 4), ActivationLayer(4, tanh, consumes_input=True)], [Dense(6, 3)], [])
    return [branches, Dense(13, 5), LayerNormalization(5), ActivationLayer(5, tanh), Dense(5, 2)]


def _front_of_a_table(after=()):
    """Return a network of every kind of front layer; with layers before them, their error signals are needed."""
    front = Parallel(
        [Columns(6, 0, 3), PBLDLayer(3, 5, 2, 0.7)],
        [Columns(6, 3, 4)],
        [Columns(6, 4, 5), OneHot(1, 4)],
        [Columns(6, 5, 6), CategoryEmbedding(1, 7, 3)],
    )
    return [*after, front, Scale(17), Dense(17, 5, 0.3), ActivationLayer(5, ACTIVATIONS["mish"]), Dense(5, 2, 0.4)]


def _embeddings(before=()):
    """Return a network of numeric embeddings; two of the columns have few distinct values."""
    front = Parallel(
        [Columns(6, 0, 3), CosineEmbedding(3, 4, 0.7)],
        [Columns(6, 1, 6), PiecewiseLinearEmbedding(5, 7, 3)],
    )
    return [*before, front, Dense(27, 5, 0.3), ParametricActivation(5, ACTIVATIONS["mish"]), Dense(5, 2)]


@pytest.mark.parametrize(
    "layers",
    [_branches(), _front_of_a_table(), _front_of_a_table([Scale(6)]), _embeddings(), _embeddings([Scale(6)])],
    ids=["branches", "table", "table after a layer", "embeddings", "embeddings after a layer"],
)
def test_a_network_trains_as_with_numpy(layers):
    rng = np.random.default_rng(0)
    network = Network(layers)
    recipe = Recipe(Objective(network, LOSSES["squared_error"], alpha=0.1), Adam(), optim.as_schedule("constant"), 0.01)
    start = network.parameters(dtype=np.float64)
    initialize(network, start, rng)
    X = np.hstack([rng.standard_normal((50, 4)), rng.integers(0, 5, (50, 1)), rng.integers(0, 8, (50, 1))])
    learn_from_data(network, start, X[::2])  # other rows lie beyond the edges
    start.trained[start.trained == 0.0] = 0.3  # else nothing would come from the cosines
    data = Data(X, rng.standard_normal((50, 2)))
    vectors = []
    for engine in (NumpyEngine, compiled_engine.compiled_engine):
        params = start.on(start.vector.copy())
        solver_state = recipe.solver.init(params.trained, params.n_weights, params.layout)
        state = TrainingState(params, solver_state, np.random.default_rng(1), 0.01, Plateau(0.0, 10))
        batches = Batches(data, 20, shuffle=True)
        steps = engine(recipe, state, batches, Buffers(recipe.objective, params, batches.largest))
        if engine is not NumpyEngine:
            steps.make_ready()
        steps.begin_epoch()
        while steps.n_left > 0:
            steps.evaluate(recipe.objective)
            steps.update(0.01, None)
        vectors.append(params.vector)
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=1e-12, atol=1e-13)
