"""Which parameters go together, in words when they do not; and that searches reach every one of them."""

import inspect
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, ShuffleSplit
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.layers import PBLD, BatchNorm, EmbedCategories, LayerNorm, PiecewiseLinear
from skmlp.nn.losses import FocalLoss, Huber, MultinomialLogLoss
from skmlp.optim import (
    SGD,
    Adam,
    AdamW,
    AdaptiveClip,
    ClipByGlobalNorm,
    Cosine,
    Exponential,
    FlatCosine,
    Linear,
    Lion,
    ScheduleFreeAdamW,
    WithWeightDecay,
)

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose, also in worker processes.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(Stochastic Optimizer|lbfgs failed):sklearn.exceptions.ConvergenceWarning"
)
X = np.random.default_rng(0).standard_normal((30, 4))
Y = np.arange(30) % 3


@dataclass
class Halves:
    """A splitter; unlike scikit-learn's, equal ones are equal."""

    n: int = 2

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        rows = np.arange(len(X))
        yield rows[:: self.n], rows[1 :: self.n]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return 1


def _data(cls: type) -> tuple[Any, Any]:
    if cls is MLPClassifier:
        return make_classification(60, n_features=5, n_informative=3, n_redundant=0, random_state=0)
    X, y = make_regression(60, n_features=5, random_state=0)
    return X, y / y.std()


# ---------------------------------------------------------------------- refused by fit

LBFGS = 'solver="lbfgs" minimizes a fixed, smooth function of all data at once and does not support {}. Set {}'
REFUSED_BY_FIT: dict[str, tuple[dict[str, Any], str]] = {
    **{
        f"lbfgs and {name}={value!r}": (
            {"solver": "lbfgs", name: value, "hidden_layer_sizes": (5, 5)},
            re.escape(LBFGS.format(f"{name}={value!r}", f"{name}={nothing!r}"))
            + ', or use a stochastic solver, for example solver="adam"',
        )
        for name, value, nothing in (
            ("dropout", 0.2, 0.0),
            ("dropout", [0.0, 0.1], 0.0),
            ("dropout", 0.2 * FlatCosine(), 0.0),
            ("alpha_l1", 0.1, 0.0),
            ("weight_decay", 0.1, None),
            ("weight_decay", 0.1 * Cosine(), None),
            ("max_norm", 1.0, None),
            ("gradient_clip", 1.0, None),
            ("gradient_clip", "value", None),
            ("gradient_clip", AdaptiveClip(), None),
            ("averaging", 0.9, None),
        )
    },
    **{
        f"lbfgs and {choice!r}": (
            {"solver": "lbfgs", "normalization": choice},
            'solver="lbfgs" has no mini-batches and does not support normalization="batch". '
            'Use normalization="layer", or a stochastic solver',
        )
        for choice in ("batch", BatchNorm(momentum=0.2))
    },
    "a decay twice: adamw": (
        {"solver": AdamW(weight_decay=0.1), "weight_decay": 0.2},
        r"weight decay is set twice: weight_decay=0.2, and solver=AdamW\(.*weight_decay=0.1\). "
        "Set weight_decay=None, or choose the solver by name",
    ),
    "a decay twice: lion": ({"solver": Lion(), "weight_decay": 0.2}, "set twice: weight_decay=0.2, and solver=Lion"),
    "a decay twice: with": (
        {"solver": WithWeightDecay(SGD(), 0.1), "weight_decay": 0.1 * Cosine()},
        r"set twice: weight_decay=Scheduled\(.*, and solver=WithWeightDecay",
    ),
    "an average twice": (
        {"solver": "schedule_free_adamw", "averaging": 0.9},
        "weights are averaged twice: averaging=0.9, and solver='schedule_free_adamw' averages by itself. "
        "Set averaging=None, or choose another solver",
    ),
    "an average twice: with": (
        {"solver": WithWeightDecay(ScheduleFreeAdamW(), 0.1), "averaging": 0.9},
        r"averaged twice: averaging=0.9, and solver=WithWeightDecay\(",
    ),
    "scoring of nothing": (
        {"scoring": "loss"},
        "scoring='loss' needs validation data. Set early_stopping=True or validation_split, or "
        "pass X_val and y_val to fit",
    ),
    "refit without validation": (
        {"refit": True},
        "refit=True needs validation data .* Set early_stopping=True or validation_split",
    ),
    "lbfgs holds out no rows unless validation_split is set": (
        {"solver": "lbfgs", "early_stopping": True, "scoring": "loss"},
        "scoring='loss' needs validation data",
    ),
    "one row a batch": (
        {"normalization": "batch", "batch_size": 1},
        'normalization="batch" needs at least 2 rows in a batch, got one. Use larger batches',
    ),
    "no equal neighbours": (
        {"residual": True, "hidden_layer_sizes": (5, 4)},
        r"residual=True .*: hidden_layer_sizes=\(5, 4\) has no such pair. Give two consecutive layers the same size",
    ),
    "too many rates": (
        {"dropout": [0.1, 0.2]},
        r"dropout must be one rate, or one for each hidden layer: got 2 of them for hidden_layer_sizes=\(5,\)",
    ),
    "no rates": ({"dropout": []}, "dropout must be one rate, or one for each hidden layer: got 0 of them"),
    **{
        f"a rate of {rate!r}": (
            {"dropout": [rate]},
            re.escape(f"Every rate in dropout must be a float in the range [0.0, 1.0), got {rate!r}."),
        )
        for rate in (1.0, -0.1, np.nan, "a", None, True, [0.1], 1.5 * Cosine())
    },
}


@BOTH
@pytest.mark.parametrize("case", REFUSED_BY_FIT)
def test_combinations_that_fit_refuses(cls: Any, case: str, assert_refuses: Any) -> None:
    params, words = REFUSED_BY_FIT[case]
    assert_refuses(cls, ValueError, words, lambda est: est.fit(X, Y), warm=False, **params)


def test_scheduled_settings_of_a_loss_are_refused(assert_refuses: Any) -> None:
    loss = MultinomialLogLoss(0.1 * Cosine())
    words = r"The settings of a loss cannot follow a schedule, got loss=.*Use numbers. To schedule the smoothing of"
    assert_refuses(MLPClassifier, ValueError, words, lambda est: est.fit(X, Y), warm=False, loss=loss)


@BOTH
@pytest.mark.parametrize(
    ("params", "arguments", "words"),
    [
        ({}, {"X_val": X}, "X_val and y_val belong together: pass both to fit, or neither"),
        ({}, {"y_val": Y}, "X_val and y_val belong together: pass both to fit, or neither"),
        ({}, {"sample_weight_val": np.ones(30)}, "sample_weight_val needs X_val and y_val: pass them to fit"),
        (
            {"validation_split": 0.5},
            {"X_val": X, "y_val": Y},
            "fit got X_val, and validation_split=0.5. Set validation_split=None, or omit X_val",
        ),
        (
            {"validation_split": Halves()},
            {"X_val": X, "y_val": Y},
            r"fit got X_val, and validation_split=Halves\(.*Set validation_split=None, or omit X_val",
        ),
        (
            {},
            {"groups": Y},
            r"groups are only used by a splitter, got validation_split=None. Set for example .*GroupShuffleS",
        ),
        ({"validation_split": 0.5}, {"groups": Y}, "groups are only used by a splitter, got validation_split=0.5"),
    ],
)
def test_arguments_that_fit_refuses(
    cls: Any, params: dict[str, Any], arguments: dict[str, Any], words: str, assert_refuses: Any
) -> None:
    assert_refuses(cls, ValueError, words, lambda est: est.fit(X, Y, **arguments), warm=False, **params)
    # Without what is wrong the same parameters are right.
    fine = cls(hidden_layer_sizes=(5,), max_iter=2).set_params(**params)
    fine.fit(X, Y)
    if not params:
        fine.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=np.ones(30))
        fine.set_params(validation_split=GroupShuffleSplit(1, random_state=0)).fit(X, Y, groups=Y)


# ---------------------------------------------------------------------- refused by partial_fit

# Parameters of trainings that last several epochs.
ONLY_FIT: dict[str, Any] = {
    "early_stopping": True,
    "max_time": 3.0,
    "validation_split": 0.2,
    "scoring": "loss",
    "refit": True,
    "restore_best": True,
}
REFUSED_BY_PARTIAL_FIT: dict[str, tuple[dict[str, Any], str]] = {
    **{
        name: ({name: value}, f"does not support {name}={value!r}, .* Set {name}=(None|False), or use fit")
        for name, value in ONLY_FIT.items()
    },
    "decay twice": ({"solver": AdamW(), "weight_decay": 0.2}, "weight decay is set twice: weight_decay=0.2"),
    "schedule": ({"learning_rate": "cosine"}, "learning_rate depends on the progress of the whole training"),
    "residual": ({"residual": True}, r"residual=True adds .* hidden_layer_sizes=\(5,\) has no such pair"),
    "rates": ({"dropout": [0.1, 0.2]}, "dropout must be one rate, or one for each hidden layer: got 2 of them"),
    "rate": ({"dropout": [1.1]}, r"Every rate in dropout must be a float in the range \[0.0, 1.0\), got 1.1"),
}


@BOTH
@pytest.mark.parametrize("case", REFUSED_BY_PARTIAL_FIT)
def test_combinations_that_partial_fit_refuses(cls: Any, case: str, assert_refuses: Any, everything_of: Any) -> None:
    params, words = REFUSED_BY_PARTIAL_FIT[case]
    classes = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    assert_refuses(cls, ValueError, words, lambda est: est.partial_fit(X, Y, **classes), warm=False, **params)
    # In a later call, too.
    started = cls(hidden_layer_sizes=(5,), random_state=0).partial_fit(X, Y, **classes).partial_fit(X, Y)
    before = everything_of(started.set_params(**params))
    for _ in range(2):
        with pytest.raises(ValueError, match=words):
            started.partial_fit(X, Y)
        np.testing.assert_equal(everything_of(started), before)


@BOTH
def test_partial_fit_works_after_resetting_the_parameters_of_fit(cls: Any, everything_of: Any) -> None:
    est = cls(hidden_layer_sizes=(5,), max_iter=2, random_state=0, validation_split=0.2, scoring="loss").fit(X, Y)
    before = everything_of(est)
    for name in ("validation_split", "scoring"):
        with pytest.raises(ValueError, match=f"partial_fit does not support {name}="):
            est.partial_fit(X, Y)
        np.testing.assert_equal(everything_of(est), before)
        before[name] = None
        est.set_params(**{name: None})
    est.set_params(restore_best=False).partial_fit(X, Y)


@BOTH
def test_parameters_are_checked_when_they_change_between_calls(cls: Any) -> None:
    est = cls(hidden_layer_sizes=(5,), random_state=0)
    est.partial_fit(X, Y, **({"classes": [0, 1, 2]} if cls is MLPClassifier else {}))
    for name, value in (("averaging", 2.0), ("max_norm", 0.0), ("alpha_l1", -1.0), ("gradient_clip", "hard")):
        good = est.get_params()[name]
        with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {cls.__name__} must be"):
            est.set_params(**{name: value}).partial_fit(X, Y)
        est.set_params(**{name: good}).partial_fit(X, Y)


# ---------------------------------------------------------------------- every new parameter, right and wrong


def _linear(rng: Any, n_in: int, n_out: int, dtype: Any) -> Any:
    return np.linspace(-1.0, 1.0, n_in * n_out).reshape(n_in, n_out).astype(dtype)


NEW: dict[str, list[Any]] = {
    "dtype": ["float32", "float64"],
    "weight_init": ["orthogonal", _linear],
    "bias_init": ["zeros", "lecun_normal"],
    "monitor": [True, 2],
    "normalization": ["batch", LayerNorm(0.1)],
    "dropout": [[0.1, 0.2], 0.5 * FlatCosine()],
    "residual": [True, False],
    "alpha_l1": [0.0, 3.0],
    "weight_decay": [3.0, 2.0 * Cosine()],
    "max_norm": [0.3, 0.6],
    "gradient_clip": [0.01, "adaptive"],
    "averaging": [0.5, 0.9],
    "validation_split": [0.3, ShuffleSplit(1, random_state=0)],
    "scoring": ["loss", "neg_mean_squared_error"],
    "restore_best": [True, False],
    "refit": [True, False],
    "max_time": [50.0, None],
    "categorical_features": [[0], [True, False, False, True, False]],
    "max_categories": [3, None],
    "missing": ["indicator", "error"],
    "scaling": ["robust", "quantile"],
    "numeric_embedding": ["pbld", PiecewiseLinear(n_bins=4)],
    "categorical_embedding": [EmbedCategories(min_categories=4, dimension=2), None],
    "input_scale": [1.0, 6.0],
    "parametrization": ["ntk", "standard"],
}
# What else a parameter needs to have an effect.
COMPANIONS: dict[str, dict[str, list[Any]]] = {
    "scoring": {"validation_split": [0.3]},
    "refit": {"validation_split": [0.3]},
    "max_categories": {"categorical_features": [[0]]},
    "categorical_embedding": {"categorical_features": [[0]]},
}
OWN: dict[type, dict[str, list[Any]]] = {
    MLPClassifier: {
        "loss": ["focal", FocalLoss(gamma=4.0)],
        "class_weight": ["balanced", {0: 9.0}],
        "label_smoothing": [0.2, 0.5 * Cosine()],
        "scoring": ["loss", "neg_log_loss"],
    },
    MLPRegressor: {"standardize_target": [True, False]},
}


@BOTH
def test_grid_search_over_every_added_parameter_changes_the_scores(cls: Any) -> None:
    X, y = _data(cls)
    choices = {**NEW, **OWN[cls]}
    theirs = getattr(neural_network, cls.__name__)
    added = inspect.signature(cls).parameters.keys() - inspect.signature(theirs).parameters.keys()
    assert added == choices.keys()
    est = cls(hidden_layer_sizes=(6, 6), max_iter=6, batch_size=10, learning_rate_init=0.02, random_state=0)
    split = ShuffleSplit(1, test_size=0.5, random_state=0)
    scoring = "neg_log_loss" if cls is MLPClassifier else "r2"

    def scores_of(grid: dict[str, list[Any]]) -> Any:
        search = GridSearchCV(est, grid, cv=split, scoring=scoring).fit(X, y)
        return search.cv_results_["mean_test_score"]

    bases: dict[str, float] = {}
    # These do not change the trained network: they have the default value here, or only observe.
    silent = {"dtype", "monitor", "max_time", "scoring", "missing"}
    for name, values in choices.items():
        companions = COMPANIONS.get(name, {})
        if repr(companions) not in bases:
            (bases[repr(companions)],) = scores_of({"alpha": [est.alpha], **companions})
        scores = scores_of({name: values, **companions})
        assert np.isfinite(scores).all()
        assert len(scores) == 2
        changes = np.abs(scores - bases[repr(companions)]) > 1e-4
        assert changes.any() == (name not in silent), name


# Parameters with their rule and values that break it.
BAD: dict[str, tuple[str, list[Any]]] = {
    "monitor": ("must be an instance of 'bool'.* or an int in the range", [0, 1.5]),
    "normalization": (
        r"must be a str among \{'batch', 'layer'\} or an instance of 'Normalization' or None",
        ["group", True, BatchNorm],
    ),
    "dropout": (
        r"must be a float in the range \[0.0, 1.0\), an array-like or an instance of .*Scheduled'",
        [1.0, -0.1, np.nan, "half", None],
    ),
    "residual": ("must be an instance of 'bool'", [1, None]),
    "alpha_l1": (r"must be a float in the range \[0.0, inf\)", [-1e-9, np.nan, np.inf, None, 0.1 * Cosine()]),
    "weight_decay": (
        r"must be a float in the range \[0.0, inf\), an instance of .*Scheduled' or None",
        [-0.1, np.nan, np.inf, "auto"],
    ),
    "max_norm": (r"must be a float in the range \(0.0, inf\) or None", [0.0, -1.0, np.nan, np.inf]),
    "gradient_clip": (
        r"must be a float in the range \(0.0, inf\), a str among \{'adaptive', .*\}",
        [0.0, np.nan, "hard", ClipByGlobalNorm],
    ),
    "averaging": (r"must be a float in the range \(0.0, 1.0\) or None", [0.0, 1.0, np.nan, "ema"]),
    "validation_split": (
        r"must be a float in the range \(0.0, 1.0\), an object implementing 'split' or None",
        [0.0, 1.0, np.nan, 5],
    ),
    "scoring": ("must be a str among .*'loss'.*, a callable .*make_scorer.* or None", ["best", 3]),
    "restore_best": ("must be an instance of 'bool'.* or None", ["yes", 1]),
    "refit": ("must be an instance of 'bool'", [None, 1]),
    "max_time": (r"must be a float in the range \(0.0, inf\) or None", [0.0, np.nan, "1h"]),
    "categorical_features": (r"must be an array-like, a str among \{'from_dtype'\} or None", ["auto", 3]),
    "max_categories": (r"must be an int in the range \[1, inf\) or None", [0, 2.5, "all"]),
    "missing": (r"must be a str among \{'(error|indicator)', '(error|indicator)'\}", ["mean", None]),
    "scaling": (r"must be a str among \{'.*', '.*', '.*'\} or None", ["minmax", True]),
    "numeric_embedding": (
        r"must be a str among \{.*'pbld'.*\} or an instance of 'NumericEmbedding' or None",
        ["fourier", PBLD, 3],
    ),
    "categorical_embedding": ("must be an instance of .*EmbedCategories' or None", [8, "learned", EmbedCategories]),
    "input_scale": (r"must be a float in the range \(0.0, inf\) or None", [0.0, -1.0, np.nan, "auto"]),
    "parametrization": (r"must be a str among \{'(ntk|standard)', '(ntk|standard)'\}", ["mup", None]),
    "momentum": (r"must be a float in the range \[0.0, 1.0\] or an instance of .*Scheduled'", [np.nan]),
    "beta_1": (r"must be a float in the range \[0.0, 1.0\)", ["fast"]),
    "learning_rate": (
        r"must be a str among \{.*'cosine'.*\} or an instance of 'Schedule' or a callable",
        [0.1, 0.1 * Cosine(), None],
    ),
}
BAD_OWN: dict[type, dict[str, tuple[str, list[Any]]]] = {
    MLPClassifier: {
        "label_smoothing": (
            r"must be a float in the range \[0.0, 1.0\) or an instance of .*Scheduled'",
            [1.0, -0.1, np.nan, None],
        ),
        "class_weight": ("must be a str among {'balanced'}, an instance of 'dict' or None", ["equal"]),
        "loss": ("must be a str among .*'log_loss'", ["squared_error", Huber()]),
    },
    MLPRegressor: {
        "standardize_target": ("must be an instance of 'bool'", [1, "yes"]),
        "loss": ("must be a str among .*'squared_error'", ["log_loss", FocalLoss(), "huge"]),
    },
}


@BOTH
def test_invalid_values_of_every_added_parameter_are_refused(cls: Any, assert_refuses: Any) -> None:
    bad = {**BAD, **BAD_OWN[cls]}
    assert bad.keys() >= {**NEW, **OWN[cls]}.keys() - {
        "dtype",
        "weight_init",
        "bias_init",
    }  # in test_bad_parameters.py
    for name, (rule, values) in bad.items():
        for value in values:
            words = rf"The '{name}' parameter of {cls.__name__} {rule}.* Got {re.escape(repr(value))} instead"
            assert_refuses(cls, InvalidParameterError, words, lambda est: est.fit(X, Y), warm=False, **{name: value})


@BOTH
def test_numpy_and_python_numbers_train_the_same_network(cls: Any) -> None:
    """float64 values, as a search over np.linspace passes them, do not change the float32 computation."""
    numbers = {
        "dropout": 0.25,
        "alpha_l1": 0.5,
        "weight_decay": 0.5,
        "max_norm": 0.5,
        "gradient_clip": 0.5,
        "averaging": 0.5,
        "momentum": 0.5,
    }
    plain, numpys = (
        cls(hidden_layer_sizes=(5,), solver="sgd", max_iter=3, random_state=0)
        .set_params(**{name: make(value) for name, value in numbers.items()})
        .fit(X, Y)
        for make in (float, np.float64)
    )
    for mine, other in zip(plain.coefs_, numpys.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
        assert other.dtype == np.float32


# ---------------------------------------------------------------------- everything at once


@BOTH
def test_a_monitored_search_with_many_options_records_every_epoch_of_every_fold(cls: Any) -> None:
    X, y = _data(cls)
    scoring = "neg_log_loss" if cls is MLPClassifier else "r2"
    monitor = ScoringMonitor(scoring=scoring)
    n_epochs = 5
    est = cls(
        hidden_layer_sizes=(6, 6),
        max_iter=n_epochs,
        batch_size=20,
        random_state=0,
        solver=SGD(momentum=0.9 * Linear(0.5, 1.0)),
        learning_rate="one_cycle",
        learning_rate_init=0.05,
        normalization="batch",
        residual=True,
        dropout=0.2 * FlatCosine(),
        alpha_l1=0.01,
        weight_decay=None,
        max_norm=2.0,
        gradient_clip="adaptive",
        averaging=0.8,
        validation_split=0.2,
        scoring="loss",
        monitor=1,
    ).set_callbacks(monitor)
    grid = {"averaging": [0.5, None], "dropout__value": [0.1, 0.4]}
    search = GridSearchCV(est, grid, cv=2, scoring=scoring).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    n_fits = 2 * 2 * 2 + 1
    assert len(rows) == n_fits * n_epochs
    assert len({row["parent_task_id_path"] for row in rows}) == n_fits
    assert {row["task_id"] for row in rows} == set(range(n_epochs))
    assert all(np.isfinite(row[scoring]) for row in rows)
    # The last epoch of the refit was scored as the result predicts: with the average, without dropout.
    best = search.best_estimator_
    final = [row[scoring] for row in rows if row["task_id"] == n_epochs - 1]
    assert min(abs(score - get_scorer(scoring)(best, X, y)) for score in final) < 1e-12
    assert len(best.history_["validation_score"]) == len(best.monitor_["epoch"]) == n_epochs


@BOTH
def test_unusual_combinations_train_without_error(cls: Any) -> None:
    X, y = _data(cls)
    for params in (
        {"solver": "lbfgs", "normalization": "layer", "residual": True, "learning_rate": "cosine"},
        {"solver": "lbfgs", "validation_split": 0.2, "scoring": "loss", "restore_best": True, "refit": True},
        {"solver": "lbfgs", "momentum": 0.9 * Cosine(), "alpha_l1": 0, "dropout": 0},
        {"hidden_layer_sizes": (), "normalization": "batch", "dropout": 0.5},
        {"normalization": "batch", "batch_size": 2, "dropout": 0.5},
        {"solver": Adam(), "weight_decay": 0.1, "alpha": 1.0, "alpha_l1": 1.0, "max_norm": 1.0},
        {"averaging": 0.9, "early_stopping": True, "refit": True, "learning_rate": Exponential(0.9)},
        {"restore_best": True, "averaging": 0.9, "normalization": "batch"},
    ):
        est = cls(**{"hidden_layer_sizes": (4, 4), "max_iter": 5, "random_state": 0, **params}).fit(X, y)
        assert np.isfinite(est.predict(X)).all()
        assert np.isfinite(est.history_["loss"]).all()


@pytest.mark.parametrize("name", ["early_stopping", "refit", "monitor"])
def test_numpys_false_is_false(name):
    X, y = np.eye(6), np.arange(6.0)
    model = MLPRegressor(hidden_layer_sizes=(2,), **{name: np.False_}).partial_fit(X, y)
    assert len(model.monitor_["epoch"]) == 0
