"""What a fit records, when it ends, and what it leaves behind when it ends early."""

from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.activations import Tanh, check_derivative
from skmlp.training import history as history_module

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
MAY_END = pytest.mark.filterwarnings("ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning")
COLUMNS = [
    "loss", "train_loss", "penalty", "learning_rate", "gradient_norm", "clipped_fraction", "seconds",
    "samples_per_second",
]  # fmt: skip
WITH_VALIDATION = [*COLUMNS, "validation_loss", "validation_score"]


def _data(cls: type, n_samples: int = 100) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(n_samples, n_features=6, n_informative=4, n_classes=3, random_state=0)
    X, y = make_regression(n_samples, n_features=6, random_state=0)
    return X, y / y.std()


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (8,), "batch_size": 32, "max_iter": 4, "random_state": 0, **params})


@BOTH
@pytest.mark.parametrize(
    ("params", "columns"),
    [({}, COLUMNS), ({"early_stopping": True}, WITH_VALIDATION), ({"solver": "lbfgs"}, COLUMNS)],
    ids=["adam", "early_stopping", "lbfgs"],
)
@MAY_END
def test_history_has_a_row_for_every_epoch(cls: Any, params: dict[str, Any], columns: list[str]) -> None:
    X, y = _data(cls)
    est = _small(cls, **params).fit(X, y)
    assert list(est.history_) == columns
    assert {len(column) for column in est.history_.values()} == {4} == {est.n_iter_}
    assert all(type(value) is float for column in est.history_.values() for value in column)
    assert min(est.history_["seconds"]) >= 0.0
    assert min(est.history_["gradient_norm"]) > 0.0
    assert min(est.history_["penalty"]) > 0.0
    frame = est.history_frame()
    assert list(frame.columns) == columns
    assert frame.index.tolist() == [1, 2, 3, 4]
    assert frame.index.name == "epoch"
    assert frame["loss"].tolist() == est.loss_curve_ == est.history_["loss"]
    assert est.loss_ == est.loss_curve_[-1]
    if params.get("early_stopping"):
        assert est.best_loss_ is None
        assert est.best_validation_score_ == max(est.validation_scores_)
    else:
        assert est.best_loss_ == min(est.loss_curve_)
        assert est.validation_scores_ is None
        assert est.best_validation_score_ is None


@BOTH
@MAY_END
def test_recorded_gradient_norm_is_the_norm_of_the_whole_gradient(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, batch_size="full", max_iter=1, solver="sgd", learning_rate_init=1e-30, dtype="float64").fit(X, y)
    _, coef_grads, intercept_grads = est.loss_and_gradients(X, y)  # the weights have not moved
    norm = np.sqrt(sum((g**2).sum() for g in (*coef_grads, *intercept_grads)))
    assert est.history_["gradient_norm"][0] == pytest.approx(norm, rel=1e-12)
    assert est.loss_ == pytest.approx(est.loss_and_gradients(X, y)[0], rel=1e-12)


@BOTH
@MAY_END
def test_counters_add_up_over_calls(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, warm_start=True).fit(X, y)
    assert (est.n_iter_, est.t_, len(est.loss_curve_)) == (4, 400, 4)
    est.set_params(max_iter=3).fit(X, y)
    assert (est.n_iter_, est.t_, len(est.loss_curve_)) == (3, 700, 7)
    est.partial_fit(X[:40], y[:40])
    assert (est.n_iter_, est.t_, len(est.loss_curve_)) == (1, 740, 8)
    est.set_params(warm_start=False).fit(X, y)
    assert (est.n_iter_, est.t_, len(est.loss_curve_)) == (3, 300, 3)


@BOTH
@pytest.mark.parametrize("patience", [1, 3, 10])
def test_training_ends_after_more_than_n_iter_no_change_epochs_without_progress(cls: Any, patience: int) -> None:
    """As in scikit-learn: the first epoch improves on infinity, and one more than `patience` bad ones are the end."""
    X, y = _data(cls)
    settings: dict[str, Any] = {"tol": 1e9, "n_iter_no_change": patience, "max_iter": 50}
    est = _small(cls, **settings).fit(X, y)  # without a warning: it has converged
    assert est.n_iter_ == 1 + patience + 1
    peer = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}[cls]
    assert peer(batch_size=32, random_state=0, **settings).fit(X, y).n_iter_ == est.n_iter_
    assert _small(cls, **settings, early_stopping=True).fit(X, y).n_iter_ == est.n_iter_


@BOTH
def test_endless_patience_ends_at_max_iter_with_a_warning_at_the_callers_line(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, tol=1e9, n_iter_no_change=np.inf, max_iter=20)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(20\) reached") as caught:
        est.fit(X, y)
    assert est.n_iter_ == 20
    assert [warning.filename for warning in caught] == [__file__]


@BOTH
def test_early_stopping_keeps_the_best_weights(cls: Any) -> None:
    X, y = _data(cls, n_samples=300)
    # Noise to overfit to: training loss falls long after the validation score has turned.
    noise = np.random.default_rng(0).standard_normal(len(y))
    y = y + 2.0 * noise if cls is MLPRegressor else np.where(noise > 1.0, 0, y)
    est = _small(cls, early_stopping=True, learning_rate_init=0.03, hidden_layer_sizes=(50,), max_iter=300).fit(X, y)
    best = int(np.argmax(est.validation_scores_))
    assert best < est.n_iter_ - 5
    # A fit that ends at the best epoch is the same one.
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        short = _small(
            cls, early_stopping=True, learning_rate_init=0.03, hidden_layer_sizes=(50,), max_iter=best + 1
        ).fit(X, y)
    np.testing.assert_array_equal(est.coefs_[0], short.coefs_[0])
    np.testing.assert_array_equal(est.intercepts_[-1], short.intercepts_[-1])
    assert est.best_validation_score_ == short.validation_scores_[-1]


@BOTH
@MAY_END
def test_history_of_many_partial_fits_is_bounded(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert history_module.HISTORY_LIMIT == 10_000
    X, y = _data(cls)
    classes = {"classes": np.unique(y)} if cls is MLPClassifier else {}
    whole, bounded = _small(cls), _small(cls)
    for _ in range(12):
        whole.partial_fit(X, y, **classes)
    monkeypatch.setattr(history_module, "HISTORY_LIMIT", 5)
    for _ in range(12):
        bounded.partial_fit(X, y, **classes)
    assert len(whole.loss_curve_) == 12
    assert bounded.loss_curve_ == whole.loss_curve_[-5:]
    assert {len(column) for column in bounded.history_.values()} == {5}
    np.testing.assert_array_equal(bounded.coefs_[0], whole.coefs_[0])


class _Interrupting(Tanh):
    """Tanh, until a user presses Ctrl+C in the given forward pass."""

    calls = 0
    last = 0

    def forward(self, z: Any, out: Any) -> None:
        type(self).calls += 1
        if type(self).calls == type(self).last:
            raise KeyboardInterrupt
        super().forward(z, out)


@BOTH
@pytest.mark.parametrize(("solver", "last"), [("adam", 4 * 3 + 2), ("lbfgs", 9)])
def test_keyboard_interrupt_keeps_the_trained_weights(cls: Any, solver: str, last: int) -> None:
    X, y = _data(cls)
    _Interrupting.calls, _Interrupting.last = 0, 0
    check_derivative(_Interrupting())  # as fit does before the first epoch
    _Interrupting.calls, _Interrupting.last = -_Interrupting.calls, last
    est = _small(cls, activation=_Interrupting(), solver=solver, max_iter=100)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        est.fit(X, y)
    assert len(est.loss_curve_) == est.n_iter_
    assert est.n_iter_ == 3 if solver == "adam" else 1 < est.n_iter_ < 9
    assert np.isfinite(est.predict(X)).all()
    if solver == "lbfgs":
        assert est.loss_and_gradients(X, y)[0] == pytest.approx(est.loss_, rel=1e-12)


@BOTH
@MAY_END
def test_partial_fit_after_early_stopping(cls: Any) -> None:
    X, y = _data(cls)
    est = _small(cls, early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        est.partial_fit(X, y)
    est.set_params(early_stopping=False).partial_fit(X, y)
    assert est.n_iter_ == 1
    assert {len(column) for column in est.history_.values()} == {len(est.loss_curve_)}
    assert est.loss_ == est.loss_curve_[-1] == est.history_["loss"][-1]


@BOTH
@pytest.mark.parametrize("first", [{"early_stopping": True}, {"learning_rate_init": 0.1, "max_iter": 60}], ids=str)
@MAY_END
def test_best_loss_is_right_after_changing_the_solver(cls: Any, first: dict[str, Any]) -> None:
    """What another solver reached is not the best loss of a warm-started L-BFGS."""
    X, y = _data(cls)
    est = _small(cls, warm_start=True, **first).fit(X, y)
    est.set_params(solver="lbfgs", alpha=20.0, max_iter=3).fit(X, y)
    assert est.n_iter_ == 3
    assert est.best_loss_ == min(est.loss_curve_[-3:])
    assert est.best_validation_score_ is None


@BOTH
@MAY_END
def test_verbose_prints_a_line_per_epoch(cls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = _data(cls)
    _small(cls).fit(X, y)
    assert capsys.readouterr().out == ""
    est = _small(cls, verbose=True, early_stopping=True, tol=1e9, n_iter_no_change=2, max_iter=9).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for i in range(4):
        expected += [f"Iteration {i + 1}, loss = {est.loss_curve_[i]:.8f}"]
        expected += [f"Validation score: {est.validation_scores_[i]:f}"]
    assert lines[:-1] == expected
    assert "did not improve more than tol=1000000000.000000 for 2 consecutive epochs. Stopping." in lines[-1]
