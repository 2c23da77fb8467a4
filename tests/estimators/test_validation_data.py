"""Validation data of the user's own, splitters, scorers, the best epoch, refit and a limit on time."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss, make_scorer, mean_absolute_error, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    TimeSeriesSplit,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.diagnosis import DivergedError
from skmlp.estimators import fitting, holdout
from skmlp.optim import Adam

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def labels():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)


@pytest.fixture(scope="module")
def numbers():
    X, y = load_diabetes(return_X_y=True)
    return train_test_split(StandardScaler().fit_transform(X), y / 50.0, test_size=0.3, random_state=0)


def _classifier(**params):
    return MLPClassifier((8,), **{"max_iter": 15, "random_state": 0, "learning_rate_init": 0.01, **params})


def _regressor(**params):
    return MLPRegressor(
        hidden_layer_sizes=(8,), **{"max_iter": 15, "random_state": 0, "learning_rate_init": 0.01, **params}
    )


def test_validation_data_alone_do_not_change_training(labels):
    X, X_val, y, y_val = labels
    plain = _classifier().fit(X, y)
    watched = _classifier().fit(X, y, X_val=X_val, y_val=y_val)
    for mine, other in zip(watched.coefs_, plain.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert "validation_loss" not in plain.history_
    assert len(watched.history_["validation_loss"]) == watched.n_iter_ == 15
    # The last epoch's weights are those kept: their loss and accuracy are the recorded ones.
    p = watched.predict_proba(X_val.astype(np.float32))
    assert watched.history_["validation_loss"][-1] == pytest.approx(log_loss(y_val, p), rel=1e-5)
    assert watched.history_["validation_score"][-1] == watched.score(X_val.astype(np.float32), y_val)
    assert watched.best_validation_score_ == max(watched.validation_scores_)


def test_early_stopping_with_x_val_trains_on_all_rows(labels, monkeypatch):
    X, X_val, y, y_val = labels
    seen = []
    run = fitting.train
    monkeypatch.setattr(
        fitting,
        "train",
        lambda est, model, data, *a, **o: seen.append(data.n_samples) or run(est, model, data, *a, **o),
    )
    model = _classifier(early_stopping=True, n_iter_no_change=3, max_iter=100, tol=0.0)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert seen == [len(X)]
    assert model.stop_reason_ == "converged"
    assert model.score(X_val, y_val) == model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_n_iter_ == 1 + int(np.argmax(model.validation_scores_))


def test_sample_weight_val_is_used(numbers):
    X, X_val, y, y_val = numbers
    weight = np.random.default_rng(0).integers(0, 3, len(y_val)).astype(float)
    weighted = _regressor().fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    rows = np.repeat(np.arange(len(y_val)), weight.astype(int))
    repeated = _regressor().fit(X, y, X_val=X_val[rows], y_val=y_val[rows])
    for name in ("validation_loss", "validation_score"):
        np.testing.assert_allclose(weighted.history_[name], repeated.history_[name], rtol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_solver_records_validation_data(numbers, solver):
    X, X_val, y, y_val = numbers
    model = _regressor(solver=solver, early_stopping=True, n_iter_no_change=2, tol=0.0, max_iter=60)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.score(X_val, y_val) == pytest.approx(max(model.validation_scores_), rel=1e-5)
    assert model.n_iter_ < 60
    assert list(model.history_frame().columns[-4:]) == [
        "seconds",
        "samples_per_second",
        "validation_loss",
        "validation_score",
    ]


def test_validation_data_may_be_frames_or_sparse(labels):
    X, X_val, y, y_val = labels
    dense = _classifier().fit(X, y, X_val=X_val, y_val=y_val).history_["validation_loss"]
    names = [f"f{i}" for i in range(X.shape[1])]
    frame = _classifier().fit(
        pd.DataFrame(X, columns=names), pd.Series(y), X_val=pd.DataFrame(X_val, columns=names), y_val=pd.Series(y_val)
    )
    assert frame.history_["validation_loss"] == dense
    scored = _classifier(scoring="roc_auc").fit(
        pd.DataFrame(X, columns=names), y, X_val=pd.DataFrame(X_val, columns=names), y_val=y_val
    )
    assert scored.best_validation_score_ > 0.9
    matrices = _classifier().fit(sparse.csr_matrix(X), y, X_val=sparse.csr_matrix(X_val), y_val=y_val)
    np.testing.assert_allclose(matrices.history_["validation_loss"], dense, rtol=1e-3)


@pytest.mark.parametrize("refit", [False, True])
def test_a_pipeline_transforms_x_val(labels, refit):
    X, X_val, y, y_val = (100.0 * each + 7.0 if each.ndim == 2 else each for each in labels)
    with sklearn.config_context(enable_metadata_routing=True):
        final = _classifier(early_stopping=True, refit=refit).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), final, transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X_val, y_val=y_val)
    scaler = StandardScaler().fit(X)
    by_hand = _classifier(early_stopping=True, refit=refit).fit(
        scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val
    )
    assert pipeline[-1].history_["validation_loss"] == by_hand.history_["validation_loss"]
    np.testing.assert_array_equal(pipeline.predict_proba(X_val), by_hand.predict_proba(scaler.transform(X_val)))


SCALERS = pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()], ids=repr)
RAW = load_wine(return_X_y=True)


@SCALERS
def test_unscaled_validation_data_give_one_warning(scaler):
    rows = slice(None, None, 3)
    pipeline = make_pipeline(scaler, _classifier(max_iter=3))
    with pytest.warns(
        UserWarning, match=r'(?s)X_val is on another scale than X.*transform_input=\["X_val"\]'
    ) as caught:
        pipeline.fit(*RAW, mlpclassifier__X_val=RAW[0][rows], mlpclassifier__y_val=RAW[1][rows])
    assert [each.category for each in caught if "scale" in str(each.message)] == [UserWarning]


@SCALERS
def test_scaled_validation_data_give_no_warning(scaler):
    X, y = RAW
    scaler.fit(X[::2])
    _classifier(max_iter=3).fit(scaler.transform(X[::2]), y[::2], X_val=scaler.transform(X[1::2]), y_val=y[1::2])


def test_shrunken_validation_data_give_a_warning(numbers):
    X, X_val, y, y_val = numbers
    with pytest.warns(UserWarning, match="X_val is on another scale than X: it differs in 9 of 9 columns"):
        _regressor(max_iter=3).fit(X, y, X_val=X_val / 20.0, y_val=y_val)


def test_the_warning_names_the_column_of_a_frame(labels):
    X, X_val, y, y_val = labels
    names = [f"feature {index}" for index in range(30)]
    far = X_val * 10.0 + 100.0
    far[:, 7] += 1e6
    with pytest.warns(
        UserWarning, match=r"it differs in 30 of 30 columns, most of all in column 'feature 7', which is"
    ):
        _classifier(max_iter=3).fit(
            pd.DataFrame(X, columns=names), y, X_val=pd.DataFrame(far, columns=names), y_val=y_val
        )


def test_unscaled_validation_targets_give_a_warning(numbers):
    X, X_val, y, y_val = numbers
    model = TransformedTargetRegressor(_regressor(max_iter=3), transformer=StandardScaler())
    with pytest.warns(UserWarning, match="y_val is on another scale than y.*standardize_target=True"):
        model.fit(X, 1000.0 * y, X_val=X_val, y_val=1000.0 * y_val)
    _regressor(max_iter=3, standardize_target=True).fit(X, 1000.0 * y, X_val=X_val, y_val=1000.0 * y_val)


@pytest.mark.parametrize(
    "other",
    {
        "single columns drift": lambda X: X + 100.0 * (np.arange(8) < 2),
        "the mean moves": lambda X: X + 1.5,
        "the spread doubles": lambda X: 2.0 * X,
        "a narrow part": lambda X: 0.05 * X + 1.0,
        "outliers": lambda X: np.where(np.arange(len(X)) % 3 == 0, 1e6, 1.0)[:, np.newaxis] * X,
        "heavy tails": lambda X: np.exp(3.0 * X),
        "a few rows": lambda X: 100.0 + X[:5],
    }.items(),
    ids=lambda item: item[0],
)
def test_ordinary_differences_of_validation_data_give_no_warning(other):
    name, change = other
    X = np.random.default_rng(0).standard_normal((300, 8))
    training = np.exp(3.0 * X[:200]) if name == "heavy tails" else X[:200]
    own = change(X[200:])
    _regressor(max_iter=3, batch_size=32, learning_rate_init=1e-9).fit(
        training, X[:200, 0], X_val=own, y_val=X[200 : 200 + len(own), 0]
    )


def test_mostly_zero_columns_are_not_compared():
    X = np.eye(40)[np.arange(200) % 40]
    y = np.arange(200) % 2
    _classifier(max_iter=3).fit(sparse.csr_matrix(X), y, X_val=sparse.csr_matrix(X[:30] * 100.0), y_val=y[:30])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": [[1.0] * 30]}, "X_val and y_val belong together"),
        ({"y_val": [1]}, "X_val and y_val belong together"),
        ({"sample_weight_val": [1.0]}, "sample_weight_val needs X_val"),
        ({"X_val": [[1.0] * 29], "y_val": [1]}, "X has 29 features"),
        ({"X_val": [[np.nan] * 30], "y_val": [1]}, "contains NaN"),
        ({"X_val": [[1.0] * 30], "y_val": [2]}, "classes not in `self.classes_`"),
        ({"X_val": [[1.0] * 30], "y_val": [1, 1]}, "inconsistent numbers of samples"),
        ({"X_val": [[1.0] * 30], "y_val": [1], "sample_weight_val": [0.0]}, "at least one non-zero"),
        ({"groups": np.zeros(398)}, "groups are only used by a splitter"),
    ],
)
def test_invalid_validation_arguments_leave_the_estimator_unchanged(labels, arguments, message):
    X, _, y, _ = labels
    model = _classifier().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, **arguments)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    ("params", "with_own", "message"),
    [
        ({"validation_split": 0.2}, True, "Validation data are either X_val or held out from X"),
        ({"scoring": "accuracy"}, False, "scoring='accuracy' needs validation data"),
        ({"refit": True}, False, "refit=True needs validation data"),
        ({"validation_split": KFold(1000)}, False, "could not split the data"),
    ],
)
def test_contradictory_validation_settings_are_refused(labels, params, with_own, message):
    X, X_val, y, y_val = labels
    own = {"X_val": X_val, "y_val": y_val} if with_own else {}
    with pytest.raises(ValueError, match=message):
        _classifier(**params).fit(X, y, **own)


def _parts(monkeypatch):
    """Record the rows that fits train and validate on."""
    seen = []
    take = holdout.take_rows
    monkeypatch.setattr(
        holdout,
        "take_rows",
        lambda data, train, held_out: seen.append((train, held_out)) or take(data, train, held_out),
    )
    return seen


def test_a_splitter_keeps_groups_together(labels, monkeypatch):
    X, _, y, _ = labels
    groups = np.arange(len(y)) // 7
    seen = _parts(monkeypatch)
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=3)
    model = _classifier(validation_split=splitter).fit(X, y, groups=groups)
    ((train, held_out),) = seen
    assert not set(groups[train]) & set(groups[held_out])
    assert len(train) + len(held_out) == len(y)
    assert len(model.validation_scores_) == 15


def _pipeline(model):
    return make_pipeline(StandardScaler(), model)


def _search(model):
    return GridSearchCV(_pipeline(model), {"mlpclassifier__alpha": [0.01, 0.1]}, cv=GroupKFold(2))


NESTINGS = pytest.mark.parametrize(
    "nest", [lambda model: model, _pipeline, _search], ids=["alone", "pipeline", "search"]
)


@NESTINGS
def test_unrequested_groups_stay_with_the_cross_validation(labels, nest):
    X, _, y, _ = labels
    groups = np.arange(len(y)) // 40
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(
            nest(_classifier(max_iter=2)), X, y, params={"groups": groups}, cv=GroupKFold(2), error_score="raise"
        )
    assert len(found["test_score"]) == 2


@NESTINGS
def test_requested_groups_reach_the_validation_split(labels, nest, monkeypatch):
    X, _, y, _ = labels
    groups, seen = np.arange(len(y)) // 40, []
    split = GroupShuffleSplit.split
    monkeypatch.setattr(
        GroupShuffleSplit,
        "split",
        lambda self, X, y, groups: seen.append(np.unique(groups).tolist()) or split(self, X, y, groups),
    )
    model = _classifier(max_iter=2, validation_split=GroupShuffleSplit(1, test_size=0.3, random_state=0))
    with sklearn.config_context(enable_metadata_routing=True):
        wrapped = nest(model.set_fit_request(groups=True))
        cross_validate(wrapped, X, y, params={"groups": groups}, cv=GroupKFold(2), error_score="raise")
    first, last = seen[0], seen[-1]
    assert not set(first) & set(last)
    assert set(first + last) <= set(range(10))


def test_groups_reach_the_validation_split_of_a_step_by_its_name(labels, monkeypatch):
    X, _, y, _ = labels
    groups = np.arange(len(y)) // 40
    seen = _parts(monkeypatch)
    model = _classifier(max_iter=2, validation_split=GroupShuffleSplit(1, test_size=0.3, random_state=0))
    _search(model).fit(X, y, mlpclassifier__groups=groups, groups=groups)
    train, held_out = seen[-1]  # of the refit
    assert not set(groups[train]) & set(groups[held_out])


def test_error_of_a_group_splitter_says_how_to_pass_groups(labels):
    X, _, y, _ = labels
    model = _classifier(validation_split=GroupShuffleSplit(1))
    with pytest.raises(ValueError, match=r"(?s)validation_split=GroupShuffleSplit\(.*set_fit_request\(groups=True\)"):
        model.fit(X, y)


def test_time_series_split_holds_out_the_last_rows(numbers, monkeypatch):
    X, _, y, _ = numbers
    seen = _parts(monkeypatch)
    _regressor(validation_split=TimeSeriesSplit(4)).fit(X, y)
    ((train, held_out),) = seen
    assert held_out[-1] == len(y) - 1
    assert train.max() < held_out.min()


def test_a_splitter_sees_all_rows_with_full_batches(numbers, monkeypatch):
    X, _, y, _ = numbers
    X, y = np.vstack([X, X[:50]]), np.concatenate([y, y[:50]])  # equal rows are merged, after the split
    fold = np.where(np.arange(len(y)) < 40, 0, -1)
    seen = _parts(monkeypatch)
    model = _regressor(validation_split=PredefinedSplit(fold), batch_size="full").fit(X, y)
    np.testing.assert_array_equal(seen[0][1], np.arange(40))
    own = _regressor(batch_size="full").fit(X[40:], y[40:], X_val=X[:40], y_val=y[:40])
    # The same rows to train on, in the same order, and to validate on.
    assert model.history_["validation_loss"] == own.history_["validation_loss"]


def test_a_fraction_holds_rows_out_without_early_stopping(labels, monkeypatch):
    X, _, y, _ = labels
    seen = _parts(monkeypatch)
    model = _classifier(validation_split=0.25, n_iter_no_change=100).fit(X, y)
    assert len(seen[0][1]) == int(np.ceil(0.25 * len(y)))
    assert model.stop_reason_ == "max_iter"
    assert len(model.validation_scores_) == 15


@pytest.mark.parametrize("name", ["roc_auc", "neg_log_loss", "balanced_accuracy"])
def test_scikit_learns_scorers_work_by_name(labels, name):
    X, X_val, y, y_val = labels
    model = _classifier(scoring=name, early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val)
    scorer = sklearn.metrics.get_scorer(name)
    # The rows are scored in float32, the type of training.
    assert model.best_validation_score_ == pytest.approx(scorer(model, X_val.astype(np.float32), y_val), rel=1e-5)


def test_a_callable_scorer_sees_labels_and_weights(labels):
    X, X_val, y, y_val = labels
    names = np.array(["benign", "malignant"])
    calls = []

    def score(estimator, X_seen, y_seen, sample_weight):
        calls.append((set(y_seen), sample_weight.sum()))
        return roc_auc_score(y_seen == "malignant", estimator.predict_proba(X_seen)[:, 1], sample_weight=sample_weight)

    model = _classifier(scoring=score).fit(
        X, names[y], X_val=X_val, y_val=names[y_val], sample_weight_val=np.full(len(y_val), 0.5)
    )
    assert calls == [({"benign", "malignant"}, 0.5 * len(y_val))] * 15
    assert len(model.validation_scores_) == 15


def test_a_scorer_gets_targets_in_the_unit_of_y(numbers):
    X, X_val, y, y_val = numbers
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    model = _regressor(scoring=scorer, standardize_target=True).fit(X, 1000.0 * y, X_val=X_val, y_val=1000.0 * y_val)
    error = mean_absolute_error(1000.0 * y_val, model.predict(X_val.astype(np.float32)))
    assert model.validation_scores_[-1] == pytest.approx(-error, rel=1e-5)


def test_scoring_loss_is_minus_the_validation_loss(labels):
    X, X_val, y, y_val = labels
    model = _classifier(scoring="loss", early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(model.history_["validation_score"], np.negative(model.history_["validation_loss"]))
    assert model.best_n_iter_ == 1 + int(np.argmin(model.history_["validation_loss"]))


def test_label_smoothing_is_not_in_the_recorded_validation_loss(labels):
    X, X_val, y, y_val = labels
    model = _classifier(label_smoothing=0.2).fit(X, y, X_val=X_val, y_val=y_val)
    p = model.predict_proba(X_val.astype(np.float32))
    assert model.history_["validation_loss"][-1] == pytest.approx(log_loss(y_val, p), rel=1e-5)


def test_restore_best_works_without_early_stopping(numbers):
    X, X_val, y, y_val = numbers
    model = _regressor(restore_best=True, max_iter=150, learning_rate_init=0.03, n_iter_no_change=150).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    assert model.stop_reason_ == "max_iter"
    assert model.best_n_iter_ < 150
    assert model.score(X_val, y_val) == pytest.approx(max(model.validation_scores_), rel=1e-5)


def test_restore_best_uses_training_loss_without_validation_data(numbers):
    X, _, y, _ = numbers
    settings = {
        "solver": "sgd",
        "learning_rate_init": 0.3,
        "momentum": 0.95,
        "batch_size": "full",
        "dtype": "float64",
        "alpha": 0.0,
    }
    model = _regressor(restore_best=True, **settings, n_iter_no_change=100).fit(X, y)
    losses = model.history_["loss"]
    assert min(losses) < losses[-1]
    assert model.loss_and_gradients(X, y)[0] == pytest.approx(min(losses), rel=1e-12)


def test_restore_best_false_keeps_the_last_epoch(labels):
    X, X_val, y, y_val = labels
    model = _classifier(early_stopping=True, restore_best=False, learning_rate_init=0.1)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.score(X_val, y_val) == model.validation_scores_[-1] < max(model.validation_scores_)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_refit_equals_training_on_all_rows_for_the_best_epochs(numbers, solver):
    X, X_val, y, y_val = numbers
    model = _regressor(
        early_stopping=True, refit=True, solver=solver, max_iter=40, weight_init=_start, bias_init="zeros"
    )
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert len(model.validation_scores_) == model.n_iter_
    all_rows = np.vstack([X, X_val]), np.concatenate([y, y_val])
    by_hand = _regressor(solver=solver, max_iter=model.best_n_iter_, weight_init=_start, bias_init="zeros").fit(
        *all_rows
    )
    for mine, other in zip(model.coefs_, by_hand.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def _start(rng, n_in, n_out, dtype):
    return np.random.default_rng(1).standard_normal((n_in, n_out)).astype(dtype) / n_in


def test_refit_uses_the_schedule_of_the_first_training(numbers):
    X, X_val, y, y_val = numbers
    settings = {"learning_rate": "cosine", "weight_init": _start, "bias_init": "zeros", "max_iter": 60}
    model = _regressor(early_stopping=True, refit=True, n_iter_no_change=3, **settings)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    assert model.best_n_iter_ < 60
    stopped = _regressor(**settings)
    stopped.set_callbacks(_Stop(model.best_n_iter_))
    stopped.fit(np.vstack([X, X_val]), np.concatenate([y, y_val]))
    for mine, other in zip(model.coefs_, stopped.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


class _Stop:
    """Ends a fit after some epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and len(estimator.history_["loss"]) >= self.n_epochs


class _Interrupting(Adam):
    """Interrupted at a step after a first training of so many steps, as by the keyboard."""

    armed = False

    def update(self, params, grad, state, learning_rate):
        if self.armed and state["count"] == 3:
            raise KeyboardInterrupt
        super().update(params, grad, state, learning_rate)


def test_an_interrupted_refit_keeps_the_first_training(numbers, monkeypatch):
    X, X_val, y, y_val = numbers
    settings = {"early_stopping": True, "solver": _Interrupting(), "max_iter": 10}
    first = _regressor(**settings).fit(X, y, X_val=X_val, y_val=y_val)
    refit = fitting._refit
    monkeypatch.setattr(fitting, "_refit", lambda *a, **o: setattr(_Interrupting, "armed", True) or refit(*a, **o))
    monkeypatch.setattr(_Interrupting, "armed", False)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = _regressor(refit=True, **settings).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.stop_reason_ == "interrupted"
    for mine, other in zip(model.coefs_, first.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("batch_size", [50, "full"])
def test_samples_seen_are_those_of_the_refit(numbers, batch_size):
    X, X_val, y, y_val = numbers
    twice = np.vstack([X, X]), np.concatenate([y, y])  # merged again with full batches
    model = _regressor(early_stopping=True, refit=True, batch_size=batch_size).fit(*twice, X_val=X_val, y_val=y_val)
    assert model.t_ == model.best_n_iter_ * (2 * len(X) + len(X_val))
    model.set_params(validation_split=0.2).fit(*twice)
    assert model.t_ == model.best_n_iter_ * 2 * len(X)


def test_max_time_ends_training_and_the_schedule_fits_into_it(labels, monkeypatch):
    X, _, y, _ = labels
    clock = iter(np.arange(0.0, 1e6, 0.03))
    monkeypatch.setattr("skmlp.training.clock.perf_counter", lambda: float(next(clock)))
    model = _classifier(max_time=3.0, max_iter=10_000, learning_rate="linear", n_iter_no_change=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.stop_reason_ == "max_time"
    rates = model.history_["learning_rate"]
    assert 10 < model.n_iter_ < 1000
    assert rates[0] > 0.95 * 0.01
    assert rates[-1] < 0.05 * 0.01
    np.testing.assert_allclose(np.diff(rates, 2), 0.0, atol=0.002 * 0.01)  # a straight line down to zero


def test_without_max_time_the_clock_is_not_read(labels, monkeypatch):
    X, _, y, _ = labels
    asked = []
    monkeypatch.setattr("skmlp.training.clock.perf_counter", lambda: asked.append(1) or 0.0)
    _classifier().fit(X, y)
    assert asked == []


def test_higher_verbose_prints_more_per_epoch(labels, capsys):
    X, X_val, y, y_val = labels
    _classifier(verbose=1, max_iter=2).fit(X, y, X_val=X_val, y_val=y_val)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["Iteration", "Validation"] * 2
    _classifier(verbose=2, max_iter=2).fit(X, y, X_val=X_val, y_val=y_val)
    more = capsys.readouterr().out
    assert more.count("gradient_norm") == more.count("validation_loss") == 2


def test_a_refit_that_diverges_raises(monkeypatch):
    X, y = load_diabetes(return_X_y=True)
    train, results = fitting.train, iter(["max_iter", "non_finite"])
    monkeypatch.setattr(
        fitting, "train", lambda *args, **options: replace(train(*args, **options), reason=next(results), detail="NaN")
    )
    est = MLPRegressor(hidden_layer_sizes=(4,), validation_split=0.2, refit=True, scoring="loss", max_iter=3)
    with pytest.raises(DivergedError, match="in the refit on all rows: NaN"):
        est.fit(X, y)
    assert not hasattr(est, "coefs_")
