"""The choice of the engine, and training when numba fails."""

import errno
import pickle
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from skmlp import MLPClassifier, MLPRegressor, compiled
from skmlp.callbacks import Checkpoint
from skmlp.nn.activations import Tanh
from skmlp.nn.losses import SquaredError
from skmlp.training import compiled_engine, engine_choice
from skmlp.training.batches import Batches, Data
from skmlp.training.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed to converge")

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="compiled steps need numba")
SHORT = "numpy: the training is too short to be worth compiling"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4))
Y = X[:, 0] * X[:, 1]


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "auto")


@pytest.fixture
def ten_epochs_are_long(monkeypatch):
    """Make training of ten epochs with `network` long enough for the compiled engine, but not of nine."""
    monkeypatch.setattr(engine_choice, "PER_STEP", 1.0)
    monkeypatch.setattr(engine_choice, "PER_NUMBER", 0.0)
    monkeypatch.setattr(engine_choice, "PER_MULTIPLICATION", 0.0)
    monkeypatch.setattr(engine_choice, "WORTH_COMPILING", 29.0)


def network(**changes):
    return MLPRegressor(**{"hidden_layer_sizes": (5,), "batch_size": 32, "random_state": 0, "tol": 0.0, **changes})


@pytest.mark.parametrize(
    ("n_rows", "n_features", "hidden", "batch_size", "n_epochs", "max_seconds", "expected"),
    [
        (150, 4, (100,), 150, 200, None, False),  # iris
        (569, 30, (100,), 200, 200, None, False),  # breast cancer
        (32, 20, (50,), 32, 1, None, False),  # a call of partial_fit
        (20_000, 20, (50,), 32, 200, None, True),
        (20_000, 20, (50,), 32, 200, 0.5, False),
        (20_000, 20, (50,), 32, 200, 5.0, True),
        (1000, 784, (512, 512), 200, 200, None, True),  # few steps, but large ones
        (150, 4, (100,), 150, 10**400, None, True),
    ],
)
def test_a_training_is_long_if_numpy_takes_longer_than_loading(
    n_rows, n_features, hidden, batch_size, n_epochs, max_seconds, expected
):
    rows = np.zeros((n_rows, n_features), np.float32)
    model = MLPRegressor(hidden_layer_sizes=hidden, solver="sgd").partial_fit(rows[:2], [0.0, 1.0])._model
    model.state.samples_seen = 0
    batches = Batches(Data(rows, rows[:, :1]), batch_size, shuffle=True)
    plan = Plan(batch_size=batch_size, max_epochs=n_epochs, max_seconds=max_seconds)
    assert engine_choice._is_long(model.state, batches, model.network, plan) is expected


@needs_numba
def test_the_choice_does_not_depend_on_what_is_loaded(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    assert network(max_iter=9).fit(X, Y).engine_ == "compiled"
    monkeypatch.setenv("SKMLP_COMPILED", "auto")
    short = network(max_iter=9).fit(X, Y)
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    by_numpy = network(max_iter=9).fit(X, Y)
    assert (short.engine_, by_numpy.engine_) == (SHORT, "numpy: SKMLP_COMPILED=0")
    np.testing.assert_array_equal(short.coefs_[0], by_numpy.coefs_[0])


@needs_numba
def test_the_choice_depends_on_max_iter_not_on_the_epochs_done(ten_epochs_are_long):
    assert network(max_iter=9).fit(X, Y).engine_ == SHORT
    stopped = network(max_iter=10, tol=1e9, n_iter_no_change=1).fit(X, Y)
    assert stopped.n_iter_ < 9
    assert stopped.engine_ == "compiled"


@needs_numba
def test_many_calls_of_partial_fit_switch_to_the_compiled_engine(ten_epochs_are_long):
    model, engines = network(), []
    for _ in range(12):
        model = pickle.loads(pickle.dumps(model.partial_fit(X, Y)))  # as in a new process
        engines.append(model.engine_)
    assert engines == [SHORT] * 9 + ["compiled"] * 3


@needs_numba
@pytest.mark.parametrize("how", ["warm start", "partial_fit"])
def test_a_resumed_training_keeps_its_engine(ten_epochs_are_long, tmp_path, how):
    whole = network(max_iter=10).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(X, Y)
    resumed = joblib.load(tmp_path / "4.joblib")
    assert whole.engine_ == "compiled"
    if how == "warm start":
        resumed.set_params(warm_start=True, max_iter=6).fit(X, Y)
    else:
        for _ in range(6):
            resumed.partial_fit(X, Y)
    assert resumed.engine_ == "compiled"
    np.testing.assert_array_equal(whole._model.params.vector, resumed._model.params.vector)


@needs_numba
def test_a_refit_keeps_the_engine(ten_epochs_are_long):
    model = network(max_iter=15, early_stopping=True, refit=True, validation_fraction=0.3, n_iter_no_change=2, tol=0.1)
    assert 0 < model.fit(X, Y).best_n_iter_ < 9
    assert model.engine_ == "compiled"


class OwnTanh(Tanh):
    def forward(self, z, out):
        np.tanh(z, out=out)


class OwnError(SquaredError):
    def loss_and_gradient(self, y, raw, out):
        return super().loss_and_gradient(y, raw, out)


@needs_numba
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"solver": "lbfgs"}, "solver='lbfgs'"),
        ({"loss": OwnError()}, "there are no compiled steps for the loss OwnError"),
        ({"activation": OwnTanh()}, "there are no compiled steps for OwnTanh"),
    ],
    ids=["solver", "loss", "activation"],
)
def test_engine_names_what_has_no_compiled_steps(monkeypatch, changes, reason):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    model = network(max_iter=2, **changes).fit(X, Y)
    assert model.engine_ == f"numpy: {reason}"
    assert pickle.loads(pickle.dumps(model)).engine_ == model.engine_
    if "solver" not in changes:
        assert model.partial_fit(X, Y).partial_fit(X, Y).engine_ == f"numpy: {reason}"


def test_engine_names_sparse_data(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    assert network(max_iter=2).fit(sparse.csr_array(X), Y).engine_ == "numpy: sparse data"


def test_engine_names_weights_that_overflow_the_dtype(monkeypatch):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    model = network(max_iter=2).fit(X, Y, sample_weight=np.full(len(Y), 1e-60))
    assert model.engine_ == "numpy: sample weights that float32 cannot hold"


def test_engine_says_that_numba_is_not_installed(monkeypatch, ten_epochs_are_long):
    monkeypatch.setattr(compiled, "_has_numba", lambda: False)
    assert network(max_iter=10).fit(X, Y).engine_ == "numpy: numba is not installed"


# ------------------------------------------------------------------ numba fails


@pytest.fixture(params=["full disk", "compiler"])
def failing(monkeypatch, request):
    """Make loading of the compiled steps fail, and return the error message."""
    error = {
        "full disk": OSError(errno.ENOSPC, "No space left on device"),
        "compiler": TypeError("Failed in nopython mode pipeline (step: nopython frontend)\nmore of it\nand more"),
    }[request.param]

    def fail(*_):
        raise error

    monkeypatch.setattr(compiled, "_failure", "")
    monkeypatch.setattr(compiled_engine.loader, "addresses", fail)
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"


@needs_numba
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("partial", [False, True], ids=["fit", "partial_fit"])
def test_a_failure_of_numba_is_one_warning_and_gives_the_results_of_numpy(
    monkeypatch, ten_epochs_are_long, failing, partial
):
    def trained():
        model = MLPClassifier((5,), batch_size=32, max_iter=12, dropout=0.3, random_state=0, early_stopping=not partial)
        if not partial:
            return model.fit(X, Y > 0.0)
        for _ in range(12):
            model.partial_fit(X, Y > 0.0, classes=[False, True])
        return model

    with pytest.warns(RuntimeWarning, match="Training uses NumPy in this process") as caught:
        found = trained()
    again = trained()
    monkeypatch.setenv("SKMLP_COMPILED", "0")
    expected = trained()
    (message,) = (str(each.message) for each in caught if each.category is RuntimeWarning)
    assert failing in message
    assert ("set NUMBA_CACHE_DIR" if "OSError" in failing else "pip install 'skmlp[fast]'") in message
    assert again.engine_ == found.engine_ == f"numpy: the compiled steps cannot be loaded ({failing})"
    for name in ("loss", "train_loss", "gradient_norm"):
        assert found.history_[name] == expected.history_[name]
    for model in (found, again):
        plain, reference = (each._model.to_plain() for each in (model, expected))
        np.testing.assert_array_equal(plain["params"], reference["params"])
        for name in ("shuffle_stream", "dropout_stream", "samples_seen", "step", "plateau"):
            assert plain[name] == reference[name]


@needs_numba
def test_a_failure_of_numba_raises_if_compiled_steps_are_required(monkeypatch, failing):
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    model = network(max_iter=2)
    before = clone(model)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="The compiled steps cannot be loaded") as raised:
            model.fit(X, Y)
        assert failing in str(raised.value)
    assert vars(model).keys() == vars(before).keys()
