"""TabularMLPClassifier and TabularMLPRegressor: targets, weights, members, randomness, validation, records."""

import _thread
import math
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError, UndefinedMetricWarning
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, TimeSeriesSplit
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import TabularMLPClassifier, TabularMLPRegressor
from skmlp.diagnosis import DivergedError
from skmlp.nn.layers import PBLD, PiecewiseLinear
from skmlp.nn.losses import Huber, Quantile
from skmlp.training.events import NonFiniteError
from skmlp.training.loop import EpochRunner

BOTH = pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
THREADS = pytest.mark.parametrize("n_jobs", [1, 2])

N = 60
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "x": RNG.standard_normal(N),
    "city": RNG.choice(["Bari", "Como", "Lodi", "Pisa"], N),
    "z": 50.0 + 100.0 * RNG.standard_normal(N),
    "flag": RNG.choice(["no", "yes"], N),
}
TABLE = pd.DataFrame(COLUMNS)
NUMBERS = COLUMNS["x"] + (COLUMNS["city"] == "Bari") + COLUMNS["z"] / 100.0
LABELS = np.where(NUMBERS > 0.5, "high", "low")
Y: dict[Any, Any] = {TabularMLPClassifier: LABELS, TabularMLPRegressor: NUMBERS}
TABLE.loc[[3, 4], ["x", "city"]] = None
SMALL: dict[str, Any] = {"hidden_layer_sizes": [(8,)]}


def _estimator(cls: Any, **params: Any) -> Any:
    few = {"n_members": 2, "max_iter": 3, "members": SMALL, "early_stopping": False, "n_jobs": 1}
    return cls(**{**few, "random_state": 0, **params})


def _fit(cls: Any, rows: Any = TABLE, y: Any = None, **params: Any) -> Any:
    return _estimator(cls, **params).fit(rows, Y[cls] if y is None else y)


@cache
def _fitted(cls: Any) -> Any:
    return _fit(cls, validation_split=0.3)


def _output(estimator: Any, rows: Any = TABLE) -> Any:
    return estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else estimator.predict(rows)


# ---------------------------------------------------------------------- rows and targets

FRAMES: dict[str, Any] = {
    "polars": pl.DataFrame(COLUMNS),
    "pyarrow": pa.table(COLUMNS),
    "categories": pd.DataFrame(COLUMNS).astype({"city": "category", "flag": "category"}),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_of_every_library_give_the_same_predictions(kind: str) -> None:
    plain = pd.DataFrame(COLUMNS)
    expected, est = _fit(TabularMLPClassifier, plain), _fit(TabularMLPClassifier, FRAMES[kind])
    np.testing.assert_array_equal(est.predict_proba(plain), expected.predict_proba(FRAMES[kind]))
    np.testing.assert_array_equal(est.predict_proba(plain[["z", "flag", "x", "city"]]), expected.predict_proba(plain))
    assert list(est.feature_names_in_) == list(COLUMNS)
    assert est.n_features_in_ == 4


@BOTH
def test_arrays_and_lists_are_tables_without_names(cls: Any) -> None:
    numbers = TABLE[["x", "z"]].fillna(0.0).to_numpy(np.float32).astype(np.float64)
    expected = _fit(cls, numbers)
    for rows in (numbers.tolist(), numbers.astype(np.float32), numbers.astype(object)):
        est = _fit(cls, rows)
        assert not hasattr(est, "feature_names_in_")
        np.testing.assert_array_equal(_output(est, numbers), _output(expected, numbers))
        # A float32 array is predicted in float32, all else in float64; the mean of the members is in float64.
        np.testing.assert_allclose(_output(est, rows), _output(expected, numbers), rtol=1e-4)
        assert _output(est, rows).dtype == np.float64
    objects = TABLE.to_numpy(dtype=object)
    est = _fit(cls, objects, categorical_features=[1, 3])
    np.testing.assert_array_equal(_output(est, objects), _output(_fit(cls)))


def test_labels_of_two_and_several_classes() -> None:
    for labels in (LABELS, np.digitize(NUMBERS, [0.0, 1.0]) * 10):
        est = _fit(TabularMLPClassifier, y=labels)
        p = est.predict_proba(TABLE)
        np.testing.assert_array_equal(est.classes_, np.unique(labels))
        assert p.shape == (N, est.classes_.size)
        np.testing.assert_allclose(p.sum(axis=1), 1.0)
        np.testing.assert_array_equal(est.predict(TABLE), est.classes_[p.argmax(axis=1)])
        np.testing.assert_allclose(est.predict_log_proba(TABLE), np.log(p))
        assert est.score(TABLE, labels) == np.mean(est.predict(TABLE) == labels)


def test_multilabel_targets() -> None:
    y = np.column_stack([NUMBERS > 0.0, NUMBERS > 1.0, NUMBERS < 0.5]).astype(int)
    est = _fit(TabularMLPClassifier, y=y)
    p = est.predict_proba(TABLE)
    assert p.shape == (N, 3)
    np.testing.assert_array_equal(est.predict(TABLE), (p > 0.5).astype(int))
    of_sparse = _fit(TabularMLPClassifier, y=sparse.csr_matrix(y))
    assert sparse.issparse(of_sparse.predict(TABLE))
    np.testing.assert_array_equal(of_sparse.predict_proba(TABLE), p)
    with pytest.raises(ValueError, match="class_weight is for targets with one class per row"):
        _fit(TabularMLPClassifier, y=y, class_weight="balanced")


def test_a_single_class_is_certain() -> None:
    est = _fit(TabularMLPClassifier, y=["only"] * N)
    assert set(est.predict(TABLE)) == {"only"}
    np.testing.assert_array_equal(est.predict_proba(TABLE), [[1.0, 0.0]] * N)
    np.testing.assert_array_equal(est.input_gradient(TABLE)[:, [0, 2]], 0.0)


def test_numbers_of_one_and_several_outputs() -> None:
    est = _fit(TabularMLPRegressor)
    assert est.predict(TABLE).shape == (N,)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        column = _fit(TabularMLPRegressor, y=NUMBERS[:, np.newaxis])
    np.testing.assert_array_equal(column.predict(TABLE), est.predict(TABLE))
    several = _fit(TabularMLPRegressor, y=np.column_stack([NUMBERS, -NUMBERS]))
    mean, std = several.predict(TABLE, return_std=True)
    assert mean.shape == std.shape == (N, 2)
    assert several.n_outputs_ == 2


def test_the_unit_of_numbers_does_not_matter() -> None:
    mean, std = _fit(TabularMLPRegressor).predict(TABLE, return_std=True)
    other_mean, other_std = _fit(TabularMLPRegressor, y=1024.0 * NUMBERS + 2e5).predict(TABLE, return_std=True)
    np.testing.assert_allclose((other_mean - 2e5) / 1024.0, mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other_std / 1024.0, std, rtol=1e-2, atol=1e-3)


@BOTH
def test_the_prediction_is_the_mean_of_the_members_and_std_their_spread(cls: Any) -> None:
    est = _fit(cls, n_members=3)
    rows = est._rows(TABLE)
    if cls is TabularMLPClassifier:
        members = [member.predict_proba(rows) for member in est.estimators_]
        mean, std = est.predict_proba(TABLE, return_std=True)
    else:
        members = [member.predict(rows) for member in est.estimators_]
        mean, std = est.predict(TABLE, return_std=True)
    np.testing.assert_allclose(mean, np.mean(members, axis=0))
    np.testing.assert_allclose(std, np.std(members, axis=0))
    assert std.max() > 0.0


@BOTH
def test_rows_are_predicted_in_blocks(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    est = _fitted(cls)
    expected = _output(est)
    monkeypatch.setattr("skmlp.estimators.tabular.BLOCK_ROWS", 7)
    np.testing.assert_allclose(_output(est), expected, rtol=1e-12)


LOSSES: dict[str, Any] = {"poisson": "poisson", "huber": Huber(0.5), "nll": "gaussian_nll", "pair": "absolute_error"}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_the_regressor(loss: str) -> None:
    y = np.exp(0.3 * NUMBERS)
    est = _fit(TabularMLPRegressor, y=y, loss=LOSSES[loss], validation_split=0.3)
    predicted = est.predict(TABLE)
    assert predicted.shape == (N,)
    assert np.isfinite(predicted).all()
    assert est.__sklearn_tags__().target_tags.positive_only == (loss == "poisson")
    if loss == "poisson":
        assert predicted.min() > 0.0
        with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
            _fit(TabularMLPRegressor, y=-y, loss="poisson")


def test_quantiles_of_several_levels_do_not_cross() -> None:
    est = _fit(TabularMLPRegressor, loss=Quantile((0.1, 0.5, 0.9)))
    quantiles = est.predict(TABLE)
    assert quantiles.shape == (N, 3)
    assert (np.diff(quantiles, axis=1) > 0.0).all()
    assert est.score(TABLE, NUMBERS) == pytest.approx(est.score(TABLE, NUMBERS, np.full(N, 2.0)))
    assert est.score(TABLE, NUMBERS) < 1.0


@BOTH
def test_input_gradient_is_that_of_central_differences(cls: Any) -> None:
    est = _fitted(cls)
    gradient = est.input_gradient(TABLE)
    assert gradient.shape == TABLE.shape

    def predict(rows: Any) -> Any:
        return est.predict_proba(rows)[:, 1] if cls is TabularMLPClassifier else est.predict(rows)

    for column, name in ((0, "x"), (2, "z")):
        step = 1e-5 * TABLE[name].std()
        up, down = (predict(TABLE.assign(**{name: TABLE[name] + move})) for move in (step, -step))
        np.testing.assert_allclose(gradient[:, column], (up - down) / (2.0 * step), rtol=1e-4, atol=1e-8)
    assert np.isnan(gradient[:, [1, 3]]).all()
    assert np.abs(gradient[:, [0, 2]]).max() > 0.0


# ---------------------------------------------------------------------- weights

FULL: dict[str, Any] = {"hidden_layer_sizes": [(8,)], "dropout": [0.0], "batch_size": ["full"]}


@BOTH
def test_a_row_of_weight_zero_is_absent(cls: Any) -> None:
    kept = TABLE["city"] != "Bari"
    est = _estimator(cls, members=FULL).fit(TABLE, Y[cls], sample_weight=kept)
    expected = _estimator(cls, members=FULL).fit(TABLE[kept], Y[cls][kept])
    np.testing.assert_allclose(_output(est), _output(expected), rtol=1e-4)
    everything = _fit(cls, members=FULL)
    assert np.abs(_output(everything) - _output(expected)).max() > 1e-3


@BOTH
def test_only_the_ratios_of_weights_count(cls: Any) -> None:
    weight = RNG.uniform(0.5, 2.0, N)
    est, other = (_estimator(cls).fit(TABLE, Y[cls], sample_weight=factor * weight) for factor in (1.0, 1024.0))
    np.testing.assert_array_equal(_output(est), _output(other))
    assert np.abs(_output(est) - _output(_fit(cls))).max() > 1e-6


def test_class_weights_are_weights_of_rows() -> None:
    per_row = np.where(LABELS == "high", 4.0, 1.0)
    est = _fit(TabularMLPClassifier, class_weight={"high": 4.0})
    expected = _estimator(TabularMLPClassifier).fit(TABLE, LABELS, sample_weight=per_row)
    np.testing.assert_array_equal(est.predict_proba(TABLE), expected.predict_proba(TABLE))
    balanced = _fit(TabularMLPClassifier, class_weight="balanced")
    by_hand = _fit(TabularMLPClassifier, class_weight={label: N / 2 / np.sum(label == LABELS) for label in set(LABELS)})
    np.testing.assert_allclose(balanced.predict_proba(TABLE), by_hand.predict_proba(TABLE), rtol=1e-5)


@pytest.mark.parametrize("weight", [np.zeros(N), -np.ones(N), np.ones(7), np.full(N, np.nan)])
def test_invalid_weights_are_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight"):
        _estimator(TabularMLPClassifier).fit(TABLE, LABELS, sample_weight=weight)


# ---------------------------------------------------------------------- members


@BOTH
def test_by_default_members_differ_in_learning_rate_and_frequencies(cls: Any) -> None:
    est = _fit(cls, members=None, n_members=3, max_iter=1)
    frame, space = est.members_frame(), est._default_space()
    assert {"learning_rate_init", "numeric_embedding__sigma"} <= space.keys()
    assert list(frame.columns[: len(space)]) == list(space)
    assert frame.index.name == "member"
    assert len(frame) == len(est.estimators_) == len(est.members_) == 3
    for entry, member in zip(est.members_, est.estimators_, strict=True):
        params = member.get_params()
        for name in space:
            assert entry[name] == params[name]
    for name in ("learning_rate_init", "numeric_embedding__sigma"):
        assert frame[name].nunique() == 3
        assert frame[name].between(*space[name].support()).all()


def test_a_member_is_the_same_among_any_number() -> None:
    few, many = (_fit(TabularMLPRegressor, n_members=n, members=None, max_iter=2) for n in (2, 5))
    for one, other in zip(few.estimators_, many.estimators_, strict=False):
        np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    assert [entry["learning_rate_init"] for entry in many.members_[:2]] == [
        entry["learning_rate_init"] for entry in few.members_
    ]


def test_a_single_member_is_the_prediction() -> None:
    est = _fit(TabularMLPRegressor, n_members=1)
    mean, std = est.predict(TABLE, return_std=True)
    np.testing.assert_array_equal(mean, est.estimators_[0].predict(est._rows(TABLE)))
    np.testing.assert_array_equal(std, 0.0)


def test_settings_are_drawn_from_lists_and_distributions() -> None:
    space = {
        "hidden_layer_sizes": [(4,), (6, 3)],
        "dropout": np.array([0.1, 0.2]),
        "learning_rate_init": loguniform(0.01, 0.1),
        "numeric_embedding": [None, PBLD(4), PiecewiseLinear(4, 3)],
    }
    est = _fit(TabularMLPClassifier, n_members=6, members=space, max_iter=1)
    drawn = est.members_frame()
    assert set(drawn["hidden_layer_sizes"]) == {(4,), (6, 3)}
    assert set(drawn["dropout"]) == {0.1, 0.2}
    assert {type(value) for value in drawn["learning_rate_init"]} == {float}
    assert len(set(map(repr, drawn["numeric_embedding"]))) == 3
    for entry, member in zip(est.members_, est.estimators_, strict=True):
        assert member.hidden_layer_sizes == entry["hidden_layer_sizes"]
        assert len(member.coefs_) == len(entry["hidden_layer_sizes"]) + 1


def test_a_list_has_the_settings_of_each_member() -> None:
    settings = [{"hidden_layer_sizes": (3,)}, {"numeric_embedding": None}, {"numeric_embedding__sigma": 0.5}]
    est = _fit(TabularMLPRegressor, n_members=3, members=settings, max_iter=1)
    drawn = est.members_frame()[["hidden_layer_sizes", "numeric_embedding", "numeric_embedding__sigma"]]
    usual = est._new_member({}).hidden_layer_sizes
    assert drawn["hidden_layer_sizes"].tolist() == [(3,), usual, usual]
    assert est.members_[1]["numeric_embedding"] is est.members_[1]["numeric_embedding__sigma"] is None
    assert est.members_[2]["numeric_embedding__sigma"] == 0.5
    np.testing.assert_array_equal(
        _fit(TabularMLPRegressor, members={}).predict(TABLE), _fit(TabularMLPRegressor, members=[{}, {}]).predict(TABLE)
    )


BAD_MEMBERS: dict[str, tuple[Any, str]] = {
    "unknown parameter": ({"widths": [3]}, "members has 'widths', which is not a parameter of a member. Choose among"),
    "no name": ({3: [1]}, "members has 3, which is not a parameter of a member"),
    "common parameter": ({"max_iter": [3]}, "members cannot set 'max_iter', which is the same for all members"),
    "restore_best": ([{"restore_best": True}] * 2, "members cannot set 'restore_best'"),
    "value": ({"activation": "relu"}, r"members\['activation'\] must be a list .* got 'relu'. Write \['relu'\]"),
    "no values": ({"activation": []}, r"members\['activation'\] must be a list of values .* got \[\]"),
    "wrong number": ([{}], "a list with a dict of settings for each member: got 1 of them for n_members=2"),
    "empty list": ([], "a list with a dict of settings for each member: got 0 of them for n_members=2"),
    "no dicts": (["relu", {}], "a list with a dict of settings for each member: got 'relu' in the list"),
    "unknown setting": ({"numeric_embedding__width": [3]}, "members: Invalid parameter 'width' for PBLD"),
    "setting of nothing": (
        [{"numeric_embedding": None, "numeric_embedding__sigma": 1.0}, {}],
        "members: Invalid parameter 'numeric_embedding__sigma' .* numeric_embedding=None is not an object with",
    ),
    "invalid value": (
        {"learning_rate_init": [-1.0]},
        "members: The 'learning_rate_init' parameter of MLPClassifier must be a float in the range",
    ),
    "contradiction": ({"loss": ["hinge"]}, "members cannot set 'loss'"),
    "twice averaged": ({"solver": ["schedule_free_adamw"], "averaging": [0.9]}, "weights are averaged twice"),
    "lbfgs": ({"solver": ["lbfgs"]}, 'members cannot have solver="lbfgs", which has no epochs'),
    "layers": ({"hidden_layer_sizes": [(0,)]}, r"hidden_layer_sizes must be > 0, got \[0\]"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_invalid_members_are_refused(case: str) -> None:
    members, words = BAD_MEMBERS[case]
    est = _estimator(TabularMLPClassifier, members=members)
    with pytest.raises(ValueError, match=words):
        est.fit(TABLE, LABELS)
    assert not hasattr(est, "estimators_")


@pytest.mark.parametrize(("name", "value"), [("members", 3), ("n_members", 0), ("n_jobs", 0), ("max_iter", 0)])
def test_invalid_parameters_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of TabularMLPRegressor must be"):
        _fit(TabularMLPRegressor, **{name: value})


@pytest.mark.parametrize("batch_size", [7, "full", 1000])
def test_members_may_have_batches_of_any_size(batch_size: Any) -> None:
    est = _fit(TabularMLPRegressor, members={**SMALL, "batch_size": [batch_size]})
    n_steps = {7: 9, "full": 1, 1000: 1}[batch_size]
    assert est.estimators_[0]._model.state.step == 3 * n_steps


# ---------------------------------------------------------------------- randomness and threads


@BOTH
def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(cls: Any) -> None:
    params = {"n_members": 4, "members": None, "max_iter": 2}
    expected = _fit(cls, **params)
    for n_jobs in (2, 3, 9, -1, None):
        est = _fit(cls, **params, n_jobs=n_jobs)
        np.testing.assert_array_equal(_output(est), _output(expected))
    assert np.abs(_output(_fit(cls, **params, random_state=1)) - _output(expected)).max() > 1e-6


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_is_advanced(kind: Any) -> None:
    first, second = kind(0), kind(0)
    est = _estimator(TabularMLPRegressor, random_state=first)
    one, two = est.fit(TABLE, NUMBERS).predict(TABLE), est.fit(TABLE, NUMBERS).predict(TABLE)
    assert np.abs(one - two).max() > 1e-6
    np.testing.assert_array_equal(_fit(TabularMLPRegressor, random_state=second).predict(TABLE), one)


def test_without_a_seed_fits_differ() -> None:
    one, two = (_fit(TabularMLPRegressor, random_state=None).predict(TABLE) for _ in range(2))
    assert np.abs(one - two).max() > 1e-6


# ---------------------------------------------------------------------- validation


@BOTH
def test_the_validation_score_is_that_of_the_mean_on_the_held_out_rows(cls: Any) -> None:
    split = ShuffleSplit(1, test_size=20, random_state=0)
    ((_, held_out),) = split.split(TABLE)
    scoring = "neg_log_loss" if cls is TabularMLPClassifier else "neg_mean_absolute_error"
    for choice, name in ((None, None), (scoring, scoring), (get_scorer(scoring), scoring)):
        est = _fit(cls, validation_split=split, scoring=choice)
        rows, y = TABLE.iloc[held_out], Y[cls][held_out]
        score = est.score(rows, y) if name is None else get_scorer(name)(est, rows, y)
        # During training they are predicted in float32.
        assert est.history_["validation_score"][-1] == pytest.approx(score, rel=1e-5)
        assert est.validation_scores_ is est.history_["validation_score"]
        assert est.best_validation_score_ == max(est.validation_scores_)
        if name is None:
            rows = est._rows(rows)
            assert est.members_frame()["score"].tolist() == pytest.approx(
                [member.score(rows, y) for member in est.estimators_], rel=1e-5
            )
            assert est.history_["best_member_score"][-1] == est.members_frame()["score"].max()


def test_the_score_may_be_the_loss() -> None:
    est = _fit(TabularMLPClassifier, validation_split=0.3, scoring="loss")
    np.testing.assert_allclose(est.history_["validation_score"], -np.array(est.history_["validation_loss"]))
    assert est.history_["best_member_score"][-1] == est.members_frame()["score"].max() < 0.0


LINKS: dict[str, tuple[Any, float]] = {
    "exp": ("poisson", 1e-6),
    "levels": (Quantile((0.1, 0.5, 0.9)), 1e-6),
    "identity": ("squared_error", 1e-6),
}


@pytest.mark.parametrize("kind", LINKS)
def test_the_loss_and_score_of_the_mean_are_those_of_the_mean_prediction(kind: str) -> None:
    """Whatever the link: the mean of raw outputs predicts something else."""
    y = np.exp(NUMBERS)
    split = ShuffleSplit(1, test_size=20, random_state=0)
    ((_, held_out),) = split.split(TABLE)
    loss, _ = LINKS[kind]
    est = _fit(TabularMLPRegressor, y=y, loss=loss, validation_split=split, n_members=3)
    score = est.score(TABLE.iloc[held_out], y[held_out])
    assert est.history_["validation_score"][-1] == pytest.approx(score, rel=1e-4)
    raws = [RNG.standard_normal((5, 3)) for _ in range(4)]
    mean = est._loss_of_mean().predict(est._mean_raw(raws))
    np.testing.assert_allclose(mean, np.mean([est._loss_of_mean().predict(raw) for raw in raws], axis=0), rtol=1e-9)


def test_validation_data_of_the_user_have_weights() -> None:
    weight = np.where(LABELS == "high", 5.0, 1.0)
    est = _estimator(TabularMLPClassifier)
    est.fit(TABLE[:40], LABELS[:40], X_val=TABLE[40:], y_val=LABELS[40:], sample_weight_val=weight[40:])
    score = est.score(TABLE[40:], LABELS[40:], weight[40:])
    assert est.history_["validation_score"][-1] == pytest.approx(score)
    loss = log_loss(LABELS[40:], est.predict_proba(TABLE[40:]), sample_weight=weight[40:], labels=est.classes_)
    assert est.history_["validation_loss"][-1] == pytest.approx(loss, rel=1e-4)


def test_splitters_and_groups() -> None:
    groups = np.arange(N) // 6
    split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
    est = _estimator(TabularMLPRegressor, validation_split=split)
    est.fit(TABLE, NUMBERS, groups=groups)
    ((train, held_out),) = split.split(TABLE, groups=groups)
    expected = _estimator(TabularMLPRegressor).fit(
        TABLE.iloc[train], NUMBERS[train], X_val=TABLE.iloc[held_out], y_val=NUMBERS[held_out]
    )
    assert len(est.history_["validation_score"]) == len(expected.history_["validation_score"])
    words = r"keeps groups together, and fit got groups=None.*TabularMLPRegressor.set_fit_request\(groups=True\)"
    with pytest.raises(ValueError, match=words):
        est.fit(TABLE, NUMBERS)
    _fit(TabularMLPRegressor, validation_split=TimeSeriesSplit(3))


def test_a_score_that_fails_is_nan_with_one_warning() -> None:
    def failing(estimator: Any, rows: Any, y: Any) -> float:
        raise LookupError("no score today")

    with pytest.warns(UndefinedMetricWarning, match="could not be computed: it raised LookupError: no score") as caught:
        est = _fit(TabularMLPRegressor, validation_split=0.3, scoring=failing)
    assert len(caught) == 1
    assert np.isnan(est.history_["validation_score"]).all()
    assert math.isnan(est.best_validation_score_)
    assert np.isfinite(est.history_["validation_loss"]).all()


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "scoring of nothing": ({"scoring": "r2"}, {}, "needs validation data. Set validation_split, or pass X_val and"),
    "targets missing": ({}, {"X_val": TABLE}, "X_val and y_val belong together"),
    "weights of nothing": ({}, {"sample_weight_val": np.ones(N)}, "sample_weight_val needs X_val and y_val"),
    "both": ({"validation_split": 0.2}, {"X_val": TABLE, "y_val": NUMBERS}, "Set validation_split=None, or omit X_val"),
    "groups of nothing": ({}, {"groups": np.ones(N)}, "groups are only used by a splitter"),
    "columns of X_val": (
        {},
        {"X_val": TABLE[["x"]].to_numpy(), "y_val": NUMBERS},
        "X_val has 1 features, but TabularMLPRegressor is expecting 4 features",
    ),
    "dates in X_val": ({}, {"X_val": TABLE.assign(x=pd.Timestamp(0)), "y_val": NUMBERS}, "Column 'x' of X_val .*dates"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_what_is_said_about_validation_must_go_together(case: str) -> None:
    params, arguments, words = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=words):
        _estimator(TabularMLPRegressor, **params).fit(TABLE, NUMBERS, **arguments)


def test_too_few_rows_to_hold_out() -> None:
    with pytest.raises(ValueError, match=r"validation set is too small. Increase 'validation_split'"):
        _fit(TabularMLPRegressor, TABLE[:2], NUMBERS[:2], validation_split=0.5)


# ---------------------------------------------------------------------- the end of a training


@pytest.fixture
def _ticking_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the clock by one that is a hundredth of a second later at every look."""
    ticks = count()
    for module in (
        "skmlp.training.clock",
        "skmlp.training.loop",
        "skmlp.estimators.tabular_fitting",
        "skmlp.estimators.tabular_run",
    ):
        monkeypatch.setattr(f"{module}.perf_counter", lambda: 0.01 * next(ticks))


@pytest.mark.usefixtures("_ticking_clock")
def test_members_stop_when_their_time_is_over_at_the_end_of_their_schedule() -> None:
    est = _fit(TabularMLPRegressor, max_time=10.0, max_iter=100_000, n_members=3)
    assert est.stop_reason_ == "max_time"
    assert {entry["stop_reason"] for entry in est.members_} == {"max_time"}
    assert 5 < est.n_iter_ < 1000
    rates = est.history_["learning_rate"]
    assert rates[-1] < 0.1 * max(rates)
    own_seconds = [entry["seconds"] for entry in est.members_]
    assert max(own_seconds) < 10.0 / 3.0 + 0.2


def test_the_time_is_divided_among_members_that_take_turns() -> None:
    from skmlp.estimators.tabular_fitting import _seconds_of_a_member

    for n_members, n_jobs, turns in ((8, 1, 8), (8, 2, 4), (8, 3, 3), (2, 9, 1)):
        est = TabularMLPClassifier(n_members, n_jobs=n_jobs, max_time=24.0)
        assert _seconds_of_a_member(est, 0.0) == 24.0 / turns
    assert _seconds_of_a_member(TabularMLPClassifier(), 0.0) is None


class _Epochs:
    """What happens in the epochs of the members, which are counted in the order of their first epochs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, happen: Any) -> None:
        self.seen: dict[int, tuple[int, int]] = {}
        self.keep: list[Any] = []
        run = EpochRunner.run

        def replaced(runner: EpochRunner) -> Any:
            member, epoch = self.seen.get(id(runner), (len(self.seen), 0))
            self.keep.append(runner)
            self.seen[id(runner)] = (member, epoch + 1)
            happen(runner, member, epoch + 1)
            return run(runner)

        monkeypatch.setattr(EpochRunner, "run", replaced)


@THREADS
def test_an_interruption_keeps_the_members_as_they_are(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(runner: EpochRunner, member: int, epoch: int) -> None:
        if member == 1 and epoch == 3:
            if n_jobs == 1:
                raise KeyboardInterrupt
            _thread.interrupt_main()

    _Epochs(monkeypatch, interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        est = _fit(TabularMLPRegressor, n_jobs=n_jobs, max_iter=50, n_members=3)
    assert est.stop_reason_ == "interrupted"
    assert len(est.estimators_) == 3
    assert 2 <= est.n_iter_ == len(est.history_["loss"]) <= 4
    assert np.isfinite(est.predict(TABLE)).all()


@THREADS
def test_an_interruption_in_the_first_epoch_leaves_the_estimator_as_it_was(
    n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(runner: EpochRunner, member: int, epoch: int) -> None:
        if member == 1:
            if n_jobs == 1:
                raise KeyboardInterrupt
            _thread.interrupt_main()

    fitted = _fit(TabularMLPRegressor, max_iter=1)
    before, history = fitted.predict(TABLE), fitted.history_
    new = _estimator(TabularMLPRegressor, n_jobs=n_jobs, max_iter=50)
    for est in (new, fitted.set_params(n_jobs=n_jobs, max_iter=50)):
        with monkeypatch.context() as patch:
            _Epochs(patch, interrupt)
            with pytest.raises(KeyboardInterrupt):
                est.fit(TABLE, NUMBERS)
    with pytest.raises(NotFittedError):
        new.predict(TABLE)
    np.testing.assert_array_equal(fitted.predict(TABLE), before)
    assert fitted.history_ is history


WILD: dict[str, Any] = {**SMALL, "learning_rate_init": [1e30], "batch_size": [8]}


@THREADS
def test_a_member_that_diverges_in_its_first_epoch_is_left_out(n_jobs: int) -> None:
    members = [
        {"hidden_layer_sizes": (8,)},
        {"learning_rate_init": 1e30, "batch_size": 8},
        {"hidden_layer_sizes": (6,)},
    ]
    with pytest.warns(ConvergenceWarning, match=r"training of 1 of 3 members diverged: .*Lower learning_rate_init in"):
        est = _fit(TabularMLPClassifier, members=members, n_members=3, n_jobs=n_jobs)
    assert [member.hidden_layer_sizes for member in est.estimators_] == [(8,), (6,)]
    assert len(est.members_) == 2
    assert np.isfinite(est.predict_proba(TABLE)).all()
    assert np.isfinite(est.history_["loss"]).all()


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_a_member_that_diverges_later_keeps_its_last_good_weights(
    early_stopping: bool, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(runner: EpochRunner, member: int, epoch: int) -> None:
        if member == 1 and epoch == 2:
            runner._state.params.vector[...] = np.nan
            raise NonFiniteError("the loss became infinite or NaN at step 1")

    _Epochs(monkeypatch, diverge)
    rows = np.random.default_rng(0).standard_normal((450, 3))
    y = rows[:, 0] + 0.5 * rows[:, 1]
    data = {"X_val": rows[400:], "y_val": y[400:]} if own else {}
    est = _estimator(TabularMLPRegressor, n_members=4, max_iter=15, early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="training of 1 of 4 members diverged: the loss became infinite"):
        est.fit(rows[:400], y[:400], **data)
    assert [entry["stop_reason"] for entry in est.members_] == ["max_iter", "non_finite", "max_iter", "max_iter"]
    assert est.stop_reason_ == "max_iter"
    assert est.members_[1]["best_epoch"] <= 1
    assert est.best_n_iter_ > 2
    for member in est.estimators_:
        assert np.isfinite(member.coefs_[0]).all()
    for name in ("loss", *(["validation_loss", "validation_score"] if own else [])):
        assert np.isfinite(est.history_[name]).all()
        assert len(est.history_[name]) == 15


@BOTH
def test_the_divergence_of_all_members_is_an_error_that_leaves_the_estimator_as_it_was(cls: Any) -> None:
    fitted = _fit(cls)
    before = _output(fitted)
    for est in (_estimator(cls, members=WILD), fitted.set_params(members=WILD)):
        with pytest.raises(DivergedError, match="non-finite parameter weights") as caught:
            est.fit(TABLE, Y[cls])
        assert caught.value.diagnosis.find("diverged") is not None
    np.testing.assert_array_equal(_output(fitted), before)


FAILING: dict[str, tuple[Any, Any, Any, str]] = {
    "dates": (TABLE.assign(t=pd.Timestamp(0)), NUMBERS, TypeError, "Column 't' of X holds dates"),
    "infinity": (TABLE.assign(x=np.inf), NUMBERS, ValueError, "Column 'x' of X has 60 infinite values"),
    "no rows": (TABLE[:0], NUMBERS[:0], ValueError, r"0 sample\(s\)"),
    "too few targets": (TABLE, NUMBERS[:7], ValueError, "X and y: .*inconsistent numbers of samples"),
    "no targets": (TABLE, None, ValueError, "This TabularMLPRegressor estimator requires y to be passed"),
    "missing targets": (TABLE, np.full(N, np.nan), ValueError, "Input y contains NaN"),
    "sparse": (
        sparse.csr_matrix(np.eye(N)),
        NUMBERS,
        TypeError,
        r"Sparse data was passed for X, but TabularMLPRegressor needs dense data. Use '.toarray\(\)'",
    ),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_failed_fit_leaves_the_estimator_as_it_was(case: str) -> None:
    rows, y, error, words = FAILING[case]
    new, fitted = _estimator(TabularMLPRegressor), _fit(TabularMLPRegressor)
    before, kept = fitted.predict(TABLE), dict(vars(fitted))
    for est in (new, fitted):
        with pytest.raises(error, match=words):
            est.fit(rows, y)
    assert vars(fitted) == kept
    assert vars(new).keys() == vars(_estimator(TabularMLPRegressor)).keys()
    np.testing.assert_array_equal(fitted.predict(TABLE), before)


@BOTH
@pytest.mark.parametrize("method", ["predict", "input_gradient", "history_frame", "members_frame", "score"])
def test_nothing_is_available_before_fit(cls: Any, method: str) -> None:
    est = cls()
    arguments = {"predict": [TABLE], "input_gradient": [TABLE], "score": [TABLE, Y[cls]]}.get(method, [])
    with pytest.raises(NotFittedError):
        getattr(est, method)(*arguments)
    for name in ("loss_curve_", "validation_scores_", "best_validation_score_"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}' before fit"):
            getattr(est, name)


BAD_ROWS: dict[str, tuple[Any, str]] = {
    "no rows": (TABLE[:0], r"Found array with 0 sample\(s\) .* required by TabularMLPClassifier"),
    "columns": (TABLE[["x", "city"]], r"(?s)feature names should match.*missing:\n- flag\n- z"),
    "text": (TABLE.assign(x="many"), "Column 'x' of X held numbers in training and now holds text, such as 'many'"),
    "sparse": (sparse.csr_matrix(np.eye(4)), "Sparse data was passed for X, but dense data is required"),
    "None": (None, "X: Expected 2D array, got scalar array"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_rows_that_cannot_be_predicted_are_refused(case: str) -> None:
    rows, words = BAD_ROWS[case]
    for call in (_fitted(TabularMLPClassifier).predict_proba, _fitted(TabularMLPClassifier).input_gradient):
        with pytest.raises((ValueError, TypeError), match=words):
            call(rows)


# ---------------------------------------------------------------------- records


@BOTH
def test_the_history_has_an_entry_for_each_epoch(cls: Any) -> None:
    est = _fitted(cls)
    frame = est.history_frame()
    assert est.n_iter_ == len(frame) == 3
    assert frame.index.tolist() == [1, 2, 3]
    assert {"loss", "learning_rate", "seconds", "samples_per_second", "validation_loss", "best_member_score"} <= {
        *frame
    }
    assert frame.notna().all().all()
    assert est.loss_curve_ is est.history_["loss"]
    members = [member.history_["loss"] for member in est.estimators_]
    np.testing.assert_allclose(frame["loss"], np.mean(members, axis=0))
    assert est.stop_reason_ == "max_iter"
    assert isinstance(est.engine_, str)
    without = _fit(cls)
    assert without.validation_scores_ is without.best_validation_score_ is None
    assert np.isnan(without.members_frame()["score"]).all()


@pytest.mark.parametrize("validation_split", [None, 0.3])
def test_verbose_prints_a_line_for_each_epoch(validation_split: Any, capsys: pytest.CaptureFixture[str]) -> None:
    est = _fit(TabularMLPClassifier, verbose=True, validation_split=validation_split)
    lines = capsys.readouterr().out.strip().split("\n")
    assert len(lines) == 3
    scores = r", score of the mean [\d.]+, best member [\d.]+" if validation_split else ""
    for epoch, line in enumerate(lines, start=1):
        loss = est.history_["loss"][epoch - 1]
        assert pytest.approx(loss, abs=1e-6) == float(line.split("loss = ")[1].split(",")[0])
        assert line.startswith(f"Epoch {epoch}/3, loss = ")
        assert pd.Series([line]).str.fullmatch(rf"Epoch \d/3, loss = [\d.]+{scores}, \d+ s left").all()
    _fit(TabularMLPClassifier, verbose=True, validation_split=0.3, scoring="neg_log_loss")
    assert "best member" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["loss", "loss__delta"])
def test_settings_of_the_loss_can_be_set_without_a_change_to_other_estimators(name: str) -> None:
    shared = Huber(0.5)
    one, other = TabularMLPRegressor(loss=shared), TabularMLPRegressor(loss=shared)
    one.set_params(**{name: Huber(2.0) if name == "loss" else 2.0})
    assert (one.loss.delta, other.loss.delta, shared.delta) == (2.0, 0.5, 0.5)
