"""`monitor` and `monitor_` of the estimators, and who may ask for them."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.statistics import BANDS
from skmlp.training.monitor import EPOCH_STATISTICS, LAYER_STATISTICS, QUANTILE_STATISTICS

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "lbfgs"])
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
X, Y = make_classification(60, n_features=5, random_state=0)


def _small(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (6, 4), "batch_size": 20, "max_iter": 5, "random_state": 0, **params})


class Asking:
    """A callback that asks for the statistics, and reads them after each epoch."""

    requests_monitor = True

    def __init__(self) -> None:
        self.seen: list[int] = []

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch":
            self.seen.append(int(estimator.monitor_["epoch"][-1]))


@BOTH
@SOLVERS
def test_monitor_has_a_row_per_epoch_and_a_number_per_layer(cls: Any, solver: str) -> None:
    est = _small(cls, solver=solver, monitor=1).fit(X, Y)
    assert est.monitor_["epoch"].tolist() == list(range(1, est.n_iter_ + 1))
    assert est.monitor_.keys() == {"epoch", *LAYER_STATISTICS, *QUANTILE_STATISTICS}
    for name, column in est.monitor_.items():
        shape = {"epoch": (5,), "gradient_quantiles": (5, 3, 9), "activation_quantiles": (5, 3, 9)}.get(name, (5, 3))
        assert column.shape == shape, name
    assert np.all(est.monitor_["update_ratio"] > 0.0)
    assert np.all(np.diff(est.monitor_["gradient_quantiles"], axis=2) >= 0.0)


@BOTH
def test_monitor_true_measures_few_steps(cls: Any) -> None:
    est = _small(cls, monitor=True, max_iter=10).fit(X, Y)  # three steps per epoch
    assert est.monitor_["epoch"].tolist() == [1, 3, 9]


@BOTH
def test_history_has_the_statistics_of_the_whole_network(cls: Any) -> None:
    est = _small(cls, monitor=4).fit(X, Y)
    assert est.monitor_["epoch"].tolist() == [2, 3, 4]
    for name in EPOCH_STATISTICS:
        assert np.isfinite(est.history_[name]).tolist() == [False, True, True, True, False], name
        assert name not in _small(cls).fit(X, Y).history_
    norms = est.monitor_["gradient_norm"]
    np.testing.assert_allclose(est.history_["gradient_ratio"][1:4], norms[:, 0] / norms[:, -1])


@BOTH
def test_monitor_frame_is_tidy(cls: Any) -> None:
    est = _small(cls, monitor=1).fit(X, Y)
    frame = est.monitor_frame()
    assert frame.columns.tolist() == ["epoch", "layer", "statistic", "value"]
    assert frame["value"].notna().all()
    names = {name for name in LAYER_STATISTICS if name != "saturated_fraction"}  # relu has none
    bands = {f"{kind}_quantile_{level:g}" for kind in ("gradient", "activation") for level in BANDS}
    assert set(frame["statistic"]) == names | bands
    table = frame.set_index(["statistic", "epoch", "layer"])["value"]
    assert table["gradient_norm", 3, 2] == est.monitor_["gradient_norm"][2, 1]
    assert table["activation_quantile_0.5", 5, 3] == est.monitor_["activation_quantiles"][4, 2, 4]
    assert ("dead_fraction", 1, 3) not in table.index
    assert len(table) == len(table.index.unique())
    assert _small(cls).fit(X, Y).monitor_frame().empty


@BOTH
def test_monitor_is_stored_with_the_estimator(cls: Any) -> None:
    est = _small(cls, monitor=1).fit(X, Y)
    for copied in (pickle.loads(pickle.dumps(est)), copy.deepcopy(est)):
        for name, column in est.monitor_.items():
            np.testing.assert_array_equal(copied.monitor_[name], column)
        copied.partial_fit(X, Y)
        assert copied.monitor_["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert len(est.monitor_["epoch"]) == 5


@BOTH
@SOLVERS
def test_monitor_does_not_change_the_weights(cls: Any, solver: str) -> None:
    plain = _small(cls, solver=solver).fit(X, Y)
    for monitor in (True, 1, 3):
        watched = _small(cls, solver=solver, monitor=monitor).fit(X, Y)
        for a, b in zip(watched.coefs_ + watched.intercepts_, plain.coefs_ + plain.intercepts_, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(len(column) == 0 for column in plain.monitor_.values())


def test_a_callback_may_request_a_monitor() -> None:
    callback = Asking()
    est = _small(MLPClassifier).set_callbacks(callback).fit(X, Y)
    assert callback.seen == est.monitor_["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert np.isfinite(est.monitor_["gradient_cosine"]).all()


def test_monitor_continues_with_warm_start_and_partial_fit() -> None:
    est = _small(MLPClassifier, monitor=1, warm_start=True).fit(X, Y)
    est.fit(X, Y)
    assert est.monitor_["epoch"].tolist() == list(range(1, 11))
    for _ in range(2):
        est.partial_fit(X, Y)
    assert est.monitor_["epoch"].tolist() == list(range(1, 13))
    assert len(est.history_["loss"]) == 12
    est.set_params(monitor=False).partial_fit(X, Y)
    assert est.monitor_["epoch"].tolist() == list(range(1, 13))
    assert np.isnan(est.history_["noise_scale"][-1])
    est.set_params(warm_start=False, monitor=1).fit(X, Y)
    assert est.monitor_["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_a_failed_fit_keeps_the_observations() -> None:
    est = _small(MLPClassifier, monitor=1).fit(X, Y)
    before = est.monitor_
    with pytest.raises(ValueError, match="NaN"):
        est.fit(np.full_like(X, np.nan), Y)
    assert est.monitor_["epoch"].tolist() == before["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_monitor_works_with_sparse_rows_and_large_batches() -> None:
    from scipy.sparse import csr_matrix

    sparse = _small(MLPClassifier, monitor=True).fit(csr_matrix(X), Y)
    dense = _small(MLPClassifier, monitor=True).fit(X, Y)
    np.testing.assert_allclose(sparse.monitor_["gradient_norm"], dense.monitor_["gradient_norm"], rtol=1e-4)
    rows = np.tile(X, (40, 1)) + np.random.default_rng(0).normal(0.0, 0.1, (2400, 5))
    large = _small(MLPClassifier, monitor=True, batch_size="full").fit(rows, np.tile(Y, 40))
    assert np.isfinite(large.monitor_["gradient_norm"]).all()


@pytest.mark.parametrize("monitor", [0, -1, 1.5, "yes", None])
def test_invalid_values_of_monitor_are_refused(monitor: Any) -> None:
    with pytest.raises(ValueError, match="The 'monitor' parameter of MLPClassifier must be"):
        _small(MLPClassifier, monitor=monitor).fit(X, Y)


@BOTH
def test_stop_reason_is_set(cls: Any) -> None:
    assert _small(cls).fit(X, Y).stop_reason_ == "max_iter"
    converged = _small(cls, max_iter=500, tol=0.1).fit(X, Y)
    assert converged.stop_reason_ == "converged"
    diverged = _small(cls, solver="sgd", warm_start=True).fit(X, Y).set_params(learning_rate_init=1e30)
    with pytest.warns(Warning, match="diverged"):
        diverged.fit(X, Y)
    assert diverged.stop_reason_ == "non_finite"
    assert "layer" in diverged.stop_message_
