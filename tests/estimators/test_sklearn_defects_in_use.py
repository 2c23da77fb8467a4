"""Defects of scikit-learn's MLPs in memory, types, extremes and records, each with skmlp's behaviour (D12 to D22)."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import holdout
from skmlp.optim import SOLVERS

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run a fixed number of epochs on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed to converge):sklearn.exceptions.ConvergenceWarning"
)


def _labels(n_samples: int = 150, n_classes: int = 3) -> tuple[Any, Any]:
    return make_classification(
        n_samples, n_features=6, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
    )


def _peak(work: Callable[[], Any]) -> int:
    """Return the most bytes that were allocated at a time while working, beyond what there was before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class _EpochPeaks:
    """A callback that notes how much memory each epoch took at its peak beyond what its start had."""

    def __init__(self) -> None:
        self.peaks: list[int] = []

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        tracemalloc.reset_peak()
        self.start = tracemalloc.get_traced_memory()[0]

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        self.peaks.append(tracemalloc.get_traced_memory()[1] - self.start)


@pytest.mark.parametrize("solver", SOLVERS)
def test_d12_d13_a_step_allocates_no_array_of_the_size_of_the_weights(solver: str) -> None:
    """Gradient, penalty and solver work in place, and the recorded learning rate is the nominal one."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 600)).astype(np.float32), rng.standard_normal(80).astype(np.float32)
    est = MLPRegressor(
        hidden_layer_sizes=(600,), solver=solver, learning_rate_init=1e-4, batch_size=20, max_iter=6, random_state=0
    )
    callback = _EpochPeaks()
    tracemalloc.start()
    try:
        est.set_callbacks(callback).fit(X, y)
    finally:
        tracemalloc.stop()
    # The first epoch allocates working memory, the last task is the fit itself.
    assert max(callback.peaks[1:-1]) < est.coefs_[0].nbytes / 8
    assert est.history_["learning_rate"] == [1e-4] * 6


def _arrays_in(nested: Any) -> list[Any]:
    if isinstance(nested, dict):
        nested = list(nested.values())
    if isinstance(nested, (list, tuple)):
        return [array for each in nested for array in _arrays_in(each)]
    return [nested] if isinstance(nested, np.ndarray) else []


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "input"])
def test_d14_float32_stays_float32_whatever_y_is(cls: Any, dtype: str) -> None:
    """A float64 target does not turn parameters or optimizer state into float64."""
    X, y = _labels()
    est = cls(dtype=dtype, max_iter=3, alpha=0.1, random_state=0)
    est.fit(X.astype(np.float32), y.astype(np.float64), sample_weight=np.linspace(1, 2, len(y)))
    moments = _arrays_in(est._model.state.solver_state)
    assert len(moments) >= 2
    assert {a.dtype for a in (*est.coefs_, *est.intercepts_, *moments)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("scale", "shift"), [(1e4, 0.0), (1e-4, 0.0), (1.0, 1000.0)])
def test_d15_a_scaled_target_trains_well_at_any_scale(scale: float, shift: float) -> None:
    """Targets far from unit size belong into a TransformedTargetRegressor, as the documentation says."""
    X, y = make_regression(300, n_features=5, n_informative=5, random_state=0)
    y = scale * y / y.std() + shift
    model = TransformedTargetRegressor(
        MLPRegressor(learning_rate_init=0.01, random_state=0), transformer=StandardScaler()
    )
    assert model.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_d16_log_probabilities_are_finite_where_probabilities_round_to_zero(kind: str, dtype: type) -> None:
    """Neither the logarithm nor the training loss is cut off where a probability is too small for its type."""
    if kind == "multilabel":
        X, y = make_multilabel_classification(60, n_features=6, n_classes=3, random_state=0)
    else:
        X, y = _labels(60, n_classes=2 if kind == "binary" else 3)
    X = (X / np.abs(X).max()).astype(dtype)
    est = MLPClassifier(hidden_layer_sizes=(), dtype="input", max_iter=20, random_state=0).fit(X, y)
    est.coefs_[0][...] *= 1e4
    p, log_p = est.predict_proba(X), est.predict_log_proba(X)
    assert p.dtype == log_p.dtype == dtype
    assert (p == 0.0).any()
    assert np.isfinite(log_p).all()
    assert log_p.min() < -750.0  # exp of this is 0 in either type
    visible = p > np.finfo(dtype).tiny
    np.testing.assert_allclose(log_p[visible], np.log(p[visible]), rtol=1e-6, atol=1e-6)
    loss, grads, _ = est.loss_and_gradients(X, y)
    # The mean log loss, from the log-probabilities of what was observed.
    if kind == "multilabel":
        raw = X @ est.coefs_[0] + est.intercepts_[0]
        exact = np.where(y, np.logaddexp(0, -raw), np.logaddexp(0, raw)).sum(axis=1).mean()
    else:
        exact = -log_p[np.arange(len(y)), y].mean()
    penalty = est.alpha * sum(float((W.astype(np.float64) ** 2).sum()) for W in est.coefs_) / (2 * len(y))
    assert loss > 100.0
    assert loss == pytest.approx(exact + penalty, rel=1e-5)
    assert np.isfinite(grads[0]).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_d17_poisson_refuses_negative_targets(method: str) -> None:
    """A target outside the loss's domain is an error that names the loss and the domain."""
    X, y = np.eye(4), np.array([0.0, 1.0, 2.0, -0.5])
    with pytest.raises(ValueError, match=r"out of the valid range of the loss 'poisson'.*y >= 0.*-0.5"):
        getattr(MLPRegressor(loss="poisson", max_iter=2), method)(X, y)
    est = MLPRegressor(loss="poisson", max_iter=2, random_state=0).fit(X, np.abs(y))
    with pytest.raises(ValueError, match="poisson"):
        est.loss_and_gradients(X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_d18_early_stopping_stratifies_and_records_score_and_loss(
    n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out data keep the class proportions; their score and loss agree with scikit-learn's metrics."""
    held_out: list[Any] = []
    split = holdout.train_test_split

    def recording_split(*args: Any, **kwargs: Any) -> Any:
        parts = split(*args, **kwargs)
        held_out.append(parts[1])
        return parts

    monkeypatch.setattr(holdout, "train_test_split", recording_split)
    X, y = _labels(600, n_classes)
    chosen = np.concatenate([np.flatnonzero(y == k)[: 90 // (k + 1)] for k in range(n_classes)])
    X, y = X[chosen], np.array(["a", "b", "c"])[y[chosen]]
    est = MLPClassifier(
        early_stopping=True, validation_fraction=0.3, learning_rate_init=0.01, batch_size=32, random_state=0
    )
    est.fit(X, y)
    (rows,) = held_out
    for label in np.unique(y):
        assert abs((y[rows] == label).sum() - 0.3 * (y == label).sum()) < 1.0
    scores, losses = est.validation_scores_, est.history_["validation_loss"]
    assert scores == est.history_["validation_score"]
    assert len(scores) == len(losses) == est.n_iter_
    best = int(np.argmax(scores))
    assert est.best_validation_score_ == scores[best] == accuracy_score(y[rows], est.predict(X[rows]))
    assert losses[best] == pytest.approx(log_loss(y[rows], est.predict_proba(X[rows])), rel=1e-5)


def test_d18_the_regressor_records_r2_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score on held-out rows is r2_score, weights and several outputs included."""
    held_out: list[Any] = []
    split = holdout.train_test_split
    monkeypatch.setattr(holdout, "train_test_split", lambda *a, **k: held_out.append(p := split(*a, **k)) or p)
    X, y = make_regression(200, n_features=5, n_targets=2, random_state=0)
    y, weight = y / 100.0, np.linspace(0.5, 2.0, 200)
    est = MLPRegressor(early_stopping=True, batch_size=50, max_iter=20, random_state=0, dtype="float64")
    est.fit(X, y, sample_weight=weight)
    rows = held_out[0][1]
    expected = r2_score(y[rows], est.predict(X[rows]), sample_weight=weight[rows])
    assert est.best_validation_score_ == pytest.approx(expected, rel=1e-10)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_d19_sparse_formats_and_dense_agree(cls: Any, solver: str) -> None:
    """CSR and CSC give the same bits, and dense the same numbers."""
    X = sparse.random(80, 30, density=0.2, format="csr", random_state=0)
    y = (np.asarray(X.sum(axis=1)).ravel() > 2.5).astype(int)
    assert 20 < y.sum() < 60
    ests = [
        cls(hidden_layer_sizes=(8,), solver=solver, dtype="float64", max_iter=15, batch_size=20, random_state=0)
        for _ in range(3)
    ]
    for est, data in zip(ests, (X, X.tocsc(), X.toarray()), strict=True):
        est.fit(data, y)
    csr, csc, dense = ests
    for a, b, c in zip(csr.coefs_, csc.coefs_, dense.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
        # Sums of 20 products in another order, over 60 steps.
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)
    for data in (X, X.tocsc(), X.tocoo()):
        np.testing.assert_allclose(csr.predict(data), csr.predict(X.toarray()), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"batch_size": "full"}])
def test_d19_wide_sparse_data_are_never_made_dense(options: dict[str, Any]) -> None:
    """Fitting and predicting take memory for the non-zeros and the weights, not for the whole matrix."""
    X = sparse.random(1000, 4_000, density=1e-3, format="csr", dtype=np.float32, random_state=0)
    y = np.arange(1000) % 2
    est = MLPClassifier(hidden_layer_sizes=(4,), max_iter=2, random_state=0, **options)
    dense_bytes = 1000 * 4_000 * 4
    assert _peak(lambda: est.fit(X, y)) < dense_bytes / 8
    assert _peak(lambda: est.predict_proba(X)) < dense_bytes / 8


@BOTH
def test_d20_prediction_takes_bounded_memory(cls: Any) -> None:
    """Rows go through the network block by block: memory does not grow with rows times width."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 8)).astype(np.float32)
    y = np.arange(100) % 3
    est = cls(hidden_layer_sizes=(512, 256), max_iter=1, random_state=0).fit(X[:100], y)
    whole_layer = len(X) * 512 * 4
    assert _peak(lambda: est.predict(X)) < whole_layer / 8


def test_d21_history_separates_loss_and_penalty() -> None:
    """The penalty is not mixed into the training loss: the history has both, and their sum is what is minimized."""
    X, y = _labels(n_classes=2)

    def halves(rng: np.random.Generator, n_in: int, n_out: int, dtype: Any) -> Any:
        return np.full((n_in, n_out), 0.5, dtype)

    est = MLPClassifier(
        hidden_layer_sizes=(3,), alpha=5.0, batch_size="full", weight_init=halves, bias_init="zeros", dtype="float64",
        max_iter=4,
    )  # fmt: skip
    history = est.fit(X, y).history_
    np.testing.assert_allclose(history["loss"], np.add(history["train_loss"], history["penalty"]), rtol=1e-15)
    assert history["loss"] == est.loss_curve_
    # Before the first step all weights are 0.5 and all biases 0.
    raw = 1.5 * np.maximum(0.5 * X.sum(axis=1), 0.0)
    assert history["train_loss"][0] == pytest.approx(log_loss(y, 1.0 / (1.0 + np.exp(-raw))), rel=1e-12)
    assert history["penalty"][0] == pytest.approx(5.0 * 0.25 * (6 * 3 + 3) / (2 * len(y)), rel=1e-12)


@BOTH
def test_d22_lbfgs_records_and_prints_every_iteration(cls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """L-BFGS has a loss curve and a history, and verbose prints a line for each iteration."""
    X, y = _labels()
    est = cls(hidden_layer_sizes=(5,), solver="lbfgs", alpha=1.0, verbose=True, max_iter=5000, random_state=0).fit(X, y)
    assert len(est.loss_curve_) == est.n_iter_ > 5
    assert {len(column) for column in est.history_.values()} == {est.n_iter_}
    assert np.all(np.diff(est.loss_curve_) <= 0.0)
    assert est.best_loss_ == est.loss_ == est.loss_curve_[-1]
    assert est.loss_ == pytest.approx(est.loss_and_gradients(X, y)[0], rel=1e-12)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"Iteration {i + 1}, loss = {loss:.8f}" for i, loss in enumerate(est.loss_curve_)]
