import math
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.callbacks import Checkpoint, StopWhen, TargetLoss
from skmlp.optim import Exponential

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same_network(a: Any, b: Any) -> None:
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_each_file_equals_a_fit_of_that_many_epochs(
    cls: Any, solver: str, tmp_path: Path, data: Any, small: Any
) -> None:
    small(cls, solver=solver).set_callbacks(Checkpoint(tmp_path / "{epoch:02d}.joblib", every=2)).fit(*data)
    assert names(tmp_path) == ["02.joblib", "04.joblib", "06.joblib"]
    for path in tmp_path.iterdir():
        stored = joblib.load(path)
        reference = small(cls, solver=solver, max_iter=int(path.stem)).fit(*data)
        np.testing.assert_array_equal(stored.predict(data[0]), reference.predict(data[0]))
        assert_same_network(stored, reference)
        assert stored.loss_curve_ == reference.loss_curve_
        assert stored.n_iter_ == reference.n_iter_
        assert stored.get_params() == {**reference.get_params(), "max_iter": 6}


# All kinds of state: momentum, moments, a decaying rate, the order of the rows, validation rows.
RESUMED = [
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "adam"},
    {"solver": "nadam", "dtype": "float64"},
    {"solver": "sgd", "learning_rate": "invscaling"},
    {"early_stopping": True, "tol": 0.0},
    {"batch_size": "full"},
    {"dropout": 0.3, "normalization": "batch"},
    {"validation_split": 0.2, "gradient_clip": 0.1},
    # Many weights and large steps: some would be rounded if they were moved to the average and back.
    {"solver": "schedule_free_adamw", "hidden_layer_sizes": (300,), "learning_rate_init": 0.03},
]


@pytest.mark.parametrize(
    ("cls", "params"),
    [*((MLPClassifier, params) for params in RESUMED), (MLPRegressor, RESUMED[1]), (MLPRegressor, RESUMED[4])],
    ids=str,
)
def test_a_warm_started_fit_from_a_file_equals_an_uninterrupted_one(
    cls: Any, params: dict[str, Any], tmp_path: Path, data: Any, small: Any
) -> None:
    uninterrupted = small(cls, **params).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    resumed = joblib.load(tmp_path / "2.joblib").set_params(warm_start=True, max_iter=4).fit(*data)
    if params.get("early_stopping"):  # then the best epoch's weights are kept, of all
        assert resumed.validation_scores_ == uninterrupted.validation_scores_
    assert resumed.loss_curve_ == uninterrupted.loss_curve_
    assert_same_network(resumed, uninterrupted)
    assert resumed.t_ == uninterrupted.t_


PARTIAL = [
    *(RESUMED[i] for i in (0, 1, 3, 6, 8)),
    {"averaging": 0.9},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1},
]


@pytest.mark.parametrize("params", PARTIAL, ids=str)
def test_partial_fit_continues_from_a_file(params: dict[str, Any], tmp_path: Path, data: Any, small: Any) -> None:
    uninterrupted = small(**params).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    resumed = joblib.load(tmp_path / "2.joblib")
    for _ in range(4):
        resumed.partial_fit(*data)
    assert_same_network(resumed, uninterrupted)
    assert resumed.history_["loss"] == uninterrupted.history_["loss"]


def test_lbfgs_continues_from_the_stored_weights_with_an_empty_history(tmp_path: Path, data: Any, small: Any) -> None:
    uninterrupted = small(solver="lbfgs").set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    resumed = joblib.load(tmp_path / "3.joblib").set_params(warm_start=True, max_iter=3).fit(*data)
    assert resumed.loss_curve_[:3] == uninterrupted.loss_curve_[:3]
    assert resumed.loss_curve_[3] != uninterrupted.loss_curve_[3]
    assert resumed.loss_ < uninterrupted.loss_curve_[2]


def test_a_warm_start_restarts_the_count_of_epochs_without_improvement(tmp_path: Path, data: Any, small: Any) -> None:
    params = {"tol": 1e3, "n_iter_no_change": 3, "max_iter": 50}  # only the first epoch is an improvement
    uninterrupted = small(**params).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    assert uninterrupted.n_iter_ == 5
    assert joblib.load(tmp_path / "3.joblib").set_params(warm_start=True).fit(*data).n_iter_ == 5


@pytest.mark.parametrize(
    ("monitor", "params", "is_better"),
    [
        ("loss", {"learning_rate_init": 0.5}, lambda value, best: value < best),
        ("validation_loss", {"early_stopping": True, "learning_rate_init": 0.1}, lambda value, best: value < best),
        ("validation_score", {"early_stopping": True, "learning_rate_init": 0.1}, lambda value, best: value > best),
    ],
)
@pytest.mark.parametrize("every", [1, 2])
def test_save_best_only_stores_improvements(
    monitor: str, params: dict[str, Any], is_better: Any, every: int, tmp_path: Path, data: Any, small: Any
) -> None:
    keep = Checkpoint(tmp_path / "{epoch}.joblib", every, save_best_only=True, monitor=monitor)
    estimator = small(max_iter=12, n_iter_no_change=np.inf, **params).set_callbacks(keep).fit(*data)
    values = estimator.history_[monitor]
    bests: list[int] = []
    for epoch in range(every, 13, every):
        if not bests or is_better(values[epoch - 1], values[bests[-1] - 1]):
            bests.append(epoch)
    assert 0 < len(bests) < 12 // every
    assert {path.stem for path in tmp_path.iterdir()} == {str(epoch) for epoch in bests}


def test_save_best_only_stores_the_weights_that_early_stopping_keeps(tmp_path: Path, data: Any, small: Any) -> None:
    keep = Checkpoint(tmp_path / "best.joblib", save_best_only=True, monitor="validation_score")
    estimator = small(max_iter=12, early_stopping=True, learning_rate_init=0.1).set_callbacks(keep).fit(*data)
    assert_same_network(joblib.load(tmp_path / "best.joblib"), estimator)


def test_save_best_only_compares_with_earlier_warm_started_fits(tmp_path: Path, data: Any, small: Any) -> None:
    estimator = small(warm_start=True).fit(*data)
    best = min(estimator.history_["loss"])
    estimator.set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib", save_best_only=True))
    estimator.set_params(learning_rate_init=100.0).fit(*data)  # far too large
    assert min(estimator.history_["loss"][6:]) > best
    assert names(tmp_path) == []


def test_save_best_only_ignores_nan_in_earlier_fits(tmp_path: Path, data: Any, small: Any) -> None:
    estimator = small(warm_start=True).fit(*data)
    estimator.history_["loss"][0] = math.nan  # as a user-defined score may be
    estimator.set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib", save_best_only=True)).fit(*data)
    assert "12.joblib" in names(tmp_path)


def test_epochs_continue_with_warm_start(tmp_path: Path, data: Any, small: Any) -> None:
    keep = Checkpoint(tmp_path / "{epoch}.joblib", every=4)
    estimator = small(warm_start=True).set_callbacks(keep).fit(*data)
    assert names(tmp_path) == ["4.joblib"]
    estimator.fit(*data)
    assert names(tmp_path) == ["12.joblib", "4.joblib", "8.joblib"]
    assert len(joblib.load(tmp_path / "8.joblib").loss_curve_) == 8


def test_the_path_is_formatted_with_the_fields(tmp_path: Path, data: Any, small: Any) -> None:
    estimator = small(max_iter=1).set_callbacks(Checkpoint(tmp_path / "{fit}" / "{{{epoch:03d}}}-{loss:.3f}.joblib"))
    estimator.fit(*data)
    assert (tmp_path / "fit" / f"{{001}}-{estimator.loss_:.3f}.joblib").exists()


def test_the_field_run_differs_between_outermost_fits(tmp_path: Path, data: Any, small: Any) -> None:
    estimator = small(max_iter=2).set_callbacks(Checkpoint(tmp_path / "{run}-{epoch}.joblib"))
    estimator.fit(*data).fit(*data)
    runs = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert len(runs) == 2
    assert {len(run) for run in runs} == {8}
    assert len(names(tmp_path)) == 4


@pytest.mark.parametrize(("inside", "n_jobs"), [(False, 2), (True, None)], ids=["outermost", "inside"])
def test_fits_of_a_search_have_different_files(
    inside: bool, n_jobs: int | None, tmp_path: Path, data: Any, small: Any
) -> None:
    keep = Checkpoint(tmp_path / "at.joblib")
    pipeline = make_pipeline(StandardScaler(), small(max_iter=2).set_callbacks(*[keep] * inside))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(*[keep] * (not inside)).fit(*data)
    assert names(tmp_path) == [*(f"at-cv{i}.joblib" for i in range(4)), "at-refit.joblib"]
    assert_same_network(joblib.load(tmp_path / "at-refit.joblib"), search.best_estimator_[-1])
    for i in range(4):  # the number of a fit is candidate * n_splits + split
        assert joblib.load(tmp_path / f"at-cv{i}.joblib").alpha == [0.1, 1.0][i // 2]


def test_the_field_fit_may_be_a_folder(tmp_path: Path, data: Any, small: Any) -> None:
    keep = Checkpoint(tmp_path / "{fit}" / "at.joblib")
    GridSearchCV(small(max_iter=1), {"alpha": [0.1, 1.0]}, cv=2).set_callbacks(keep).fit(*data)
    assert names(tmp_path) == ["cv0", "cv1", "cv2", "cv3", "refit"]


def test_the_field_fit_names_halving_iterations_and_nested_searches(tmp_path: Path, data: Any, small: Any) -> None:
    keep = Checkpoint(tmp_path / "{fit}.joblib")
    network = small(batch_size=10, max_iter=2)
    halving = HalvingGridSearchCV(network, {"alpha": [0.1, 1.0]}, cv=2, factor=2, min_resources=30, random_state=0)
    halving.set_callbacks(keep).fit(*data)
    first, second = ([f"iteration{i}-cv{k}.joblib" for k in range(n)] for i, n in enumerate([4, 2]))
    assert names(tmp_path) == [*first, *second, "refit.joblib"]
    for path in tmp_path.iterdir():
        path.unlink()
    inner = GridSearchCV(network, {"alpha": [0.1]}, cv=2)
    GridSearchCV(inner, {"estimator__tol": [0.1]}, cv=2).set_callbacks(keep).fit(*data)
    ends = ["cv0", "cv1", "refit"]
    assert names(tmp_path) == [f"{outer}-{end}.joblib" for outer in ends for end in ends]


def test_the_file_has_no_callbacks_and_no_state_of_the_running_fit(tmp_path: Path, data: Any, small: Any) -> None:
    """Other callbacks may not be picklable, and the tree of tasks refers to the whole search."""
    keep, stop = Checkpoint(tmp_path / "at.joblib"), StopWhen(lambda history: False)
    plain = small().fit(*data)
    small().set_callbacks(keep, stop).fit(*data)
    assert vars(joblib.load(tmp_path / "at.joblib")).keys() == vars(plain).keys() - {
        "stop_reason_",
        "stop_message_",
        "engine_",
        "best_n_iter_",
    }


def test_other_callbacks_get_the_whole_estimator(tmp_path: Path, data: Any, small: Any) -> None:
    """scikit-learn makes one copy for all callbacks, from which nothing may be removed."""
    seen: list[Any] = []

    class Looking(Checkpoint):
        def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
            seen.append(list(vars(fitted_estimator)))
            return super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)

    small(max_iter=1).set_callbacks(*(Looking(tmp_path / f"{i}.joblib") for i in range(2))).fit(*data)
    assert seen[0] == seen[1]
    assert "_skl_callbacks" in seen[0]


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    keep = Checkpoint(tmp_path / "at.joblib")
    small(max_iter=1).set_callbacks(keep).fit(*data)
    before = (tmp_path / "at.joblib").read_bytes()

    def fails_half_way(value: Any, name: str) -> None:
        Path(name).write_bytes(b"half")
        assert (tmp_path / "at.joblib").read_bytes() == before
        raise OSError("no space left")

    monkeypatch.setattr(joblib, "dump", fails_half_way)
    with pytest.warns(RuntimeWarning, match="no space left"):
        small(max_iter=1).set_callbacks(keep).fit(*data)
    assert names(tmp_path) == ["at.joblib"]
    assert (tmp_path / "at.joblib").read_bytes() == before


def test_an_epoch_that_was_not_stored_is_not_the_best(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    """A full disk in the best epoch must not prevent later, worse ones from being stored."""
    dump, calls = joblib.dump, []

    def fails_once(value: Any, name: str) -> Any:
        calls.append(name)
        if len(calls) == 1:
            raise OSError("no space left")
        return dump(value, name)

    monkeypatch.setattr(joblib, "dump", fails_once)
    keep = Checkpoint(tmp_path / "{epoch}.joblib", save_best_only=True)
    with pytest.warns(RuntimeWarning, match="no space left"):
        small(max_iter=2).set_callbacks(keep).fit(*data)
    assert names(tmp_path) == ["2.joblib"]


@pytest.mark.filterwarnings("ignore:Training diverged")
def test_a_diverged_epoch_is_not_stored(tmp_path: Path, data: Any, small: Any) -> None:
    params = {"solver": "sgd", "learning_rate_init": 30.0, "batch_size": "full", "max_iter": 100}
    estimator = small(MLPRegressor, **params).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    assert estimator.stop_reason_ == "non_finite"
    assert math.isnan(estimator.history_["loss"][-1])
    assert len(names(tmp_path)) == estimator.n_iter_ - 1 >= 1


def test_a_relative_path_starts_in_the_first_folder(tmp_path: Path, data: Any, small: Any, monkeypatch: Any) -> None:
    folder = tmp_path / "{with} braces"
    folder.mkdir()
    monkeypatch.chdir(folder)
    keep = Checkpoint("kept/{epoch}.joblib")
    monkeypatch.chdir(tmp_path)
    small(max_iter=1).set_callbacks(keep).fit(*data)
    assert names(folder / "kept") == ["1.joblib"]


def test_files_have_the_usual_permissions(tmp_path: Path, data: Any, small: Any) -> None:
    small(max_iter=1).set_callbacks(Checkpoint(tmp_path / "at.joblib")).fit(*data)
    (tmp_path / "other").touch()
    assert os.stat(tmp_path / "at.joblib").st_mode == os.stat(tmp_path / "other").st_mode


@pytest.mark.parametrize(
    ("arguments", "unknown"),
    [
        ({"path": "{epoch}-{lost}.joblib"}, "lost"),
        ({"path": "{}.joblib"}, ""),
        ({"path": "at.joblib", "save_best_only": True, "monitor": "validation_loss"}, "validation_loss"),
    ],
)
def test_unknown_names_warn_once(
    arguments: dict[str, Any], unknown: str, tmp_path: Path, data: Any, small: Any
) -> None:
    keep = Checkpoint(**{**arguments, "path": tmp_path / arguments["path"]})
    with pytest.warns(RuntimeWarning, match=rf"Got \['{unknown}'\] instead\. Nothing is stored") as caught:
        estimator = small().set_callbacks(keep).fit(*data)
    assert len([warning for warning in caught if warning.category is RuntimeWarning]) == 1
    assert names(tmp_path) == []
    assert_same_network(estimator, small().fit(*data))


@pytest.mark.parametrize("every", [0, 1.5, "2", True])
def test_an_invalid_every_raises(every: Any) -> None:
    with pytest.raises(ValueError, match=rf"'every' parameter of Checkpoint must be an int .* Got {every!r} instead"):
        Checkpoint("at.joblib", every=every)


@pytest.mark.parametrize("path", ["{epoch.joblib", "epoch}.joblib"])
def test_a_path_that_is_no_template_raises(path: str) -> None:
    with pytest.raises(ValueError, match=r"The 'path' parameter of Checkpoint must be a template for str\.format"):
        Checkpoint(path)


def test_the_file_of_the_last_epoch_is_the_fitted_estimator(tmp_path: Path, data: Any, small: Any) -> None:
    stop = StopWhen(TargetLoss(small().fit(*data).history_["train_loss"][3]))
    estimator = small().set_callbacks(stop, Checkpoint(tmp_path / "at.joblib")).fit(*data)
    assert estimator.n_iter_ == 4
    assert_same_network(joblib.load(tmp_path / "at.joblib"), estimator)


def test_a_checkpoint_has_the_number_of_samples_seen(tmp_path: Path, data: Any, small: Any) -> None:
    small(max_iter=3).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    assert [joblib.load(tmp_path / f"{epoch}.joblib").t_ for epoch in (1, 2, 3)] == [
        len(data[0]) * i for i in (1, 2, 3)
    ]


@BOTH
def test_a_checkpoint_continues_monitoring_at_the_same_steps(cls: Any, tmp_path: Path, data: Any, small: Any) -> None:
    uninterrupted = small(cls, monitor=4).set_callbacks(Checkpoint(tmp_path / "{epoch}.joblib")).fit(*data)
    resumed = joblib.load(tmp_path / "2.joblib")
    for _ in range(4):
        resumed.partial_fit(*data)
    np.testing.assert_equal(resumed.monitor_, uninterrupted.monitor_)


def test_a_checkpoint_continues_its_schedule_unless_it_is_changed(tmp_path: Path, data: Any, small: Any) -> None:
    keep = Checkpoint(tmp_path / "{epoch}.joblib")
    small(learning_rate=Exponential(0.5), learning_rate_init=0.008).set_callbacks(keep).fit(*data)
    same, other = (joblib.load(tmp_path / "2.joblib") for _ in range(2))
    same.partial_fit(*data)
    other.set_params(learning_rate=Exponential(0.25)).partial_fit(*data)
    rates = [each.history_["learning_rate"][-1] for each in (same, other)]
    means = [np.mean(decay ** (np.arange(3) / 3)) for decay in (0.5, 0.25)]
    np.testing.assert_allclose(rates, [0.002 * means[0], 0.008 * means[1]], rtol=1e-12)
