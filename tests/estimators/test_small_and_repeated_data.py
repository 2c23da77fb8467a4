"""Data of few rows, or of few patterns that occur many times, are trained and validated on as in scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import fitting

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PATTERNS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SETTINGS = {"learning_rate_init": 0.05, "n_iter_no_change": 20}


def _exclusive_or(n_rows):
    X = np.resize(PATTERNS, (n_rows, 2))
    return X, X[:, 0] != X[:, 1]


def _survey():
    """Return answers to two questions as dummy variables: 18 cells, with the rate of yes in each of them."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 18, 180)
    X = np.eye(18)[cells]
    return X, (rng.permutation(18)[cells] % 2).astype(int)


def _mean_score(cls, X, y, **params):
    return np.mean([cls((16,), random_state=seed, **SETTINGS, **params).fit(X, y).score(X, y) for seed in range(6)])


@pytest.mark.parametrize("n_rows", [200, 201])
def test_exclusive_or_is_learned_around_the_full_batch_size(n_rows):
    X, y = _exclusive_or(n_rows)
    expected = _mean_score(SklearnClassifier, X, y, early_stopping=True)
    assert _mean_score(MLPClassifier, X, y, early_stopping=True) >= expected - 0.05


@pytest.mark.parametrize("params", [{"batch_size": "full"}, {"dropout": 0.05}, {"solver": "lbfgs"}])
def test_every_solver_trains_on_all_patterns(params):
    X, y = _exclusive_or(200)
    split = {"validation_split": 0.1} if params.get("solver") == "lbfgs" else {"early_stopping": True}
    scores = [
        MLPClassifier((16,), random_state=seed, **SETTINGS, **split, **params).fit(X, y).score(X, y)
        for seed in range(3)
    ]
    assert max(scores) == 1.0


def test_categorical_survey_data_are_learned():
    X, y = _survey()
    expected = _mean_score(SklearnClassifier, X, y, early_stopping=True)
    assert _mean_score(MLPClassifier, X, y, early_stopping=True) >= expected - 0.05


def test_cross_validation_scores_match_scikit_learn():
    X, y = _survey()
    params = {"early_stopping": True, "random_state": 0, **SETTINGS}
    mine, theirs = (cross_val_score(cls((16,), **params), X, y).mean() for cls in (MLPClassifier, SklearnClassifier))
    assert mine >= theirs - 0.05


def test_a_repeated_design_is_learned_by_the_regressor():
    rng = np.random.default_rng(1)
    design = rng.standard_normal((10, 3))
    X, y = np.tile(design, (15, 1)), np.tile(np.sin(3.0 * design[:, 0]), 15)
    scores = [
        np.mean(
            [
                cls(hidden_layer_sizes=(32,), random_state=seed, early_stopping=True, **SETTINGS).fit(X, y).score(X, y)
                for seed in range(3)
            ]
        )
        for cls in (MLPRegressor, SklearnRegressor)
    ]
    assert scores[0] >= scores[1] - 0.05


# ---------------------------------------------------------------------- merging equal rows is not seen


def test_without_validation_two_copies_equal_a_weight_of_two():
    X, y = load_iris(return_X_y=True)
    net = {"hidden_layer_sizes": (8,), "batch_size": "full", "max_iter": 30, "random_state": 0}
    repeated = MLPClassifier(**net).fit(np.vstack([X, X[:50]]), np.concatenate([y, y[:50]]))
    weighted = MLPClassifier(**net).fit(X, y, sample_weight=np.repeat([2.0, 1.0], [50, 100]))
    for mine, other in zip(repeated.coefs_, weighted.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_dropout_keeps_copies_of_a_row_apart(monkeypatch):
    X, y = _exclusive_or(40)
    seen = []
    run = fitting._run_solver
    monkeypatch.setattr(
        fitting,
        "_run_solver",
        lambda est, model, data, *rest, **options: (
            seen.append(data.n_samples) or run(est, model, data, *rest, **options)
        ),
    )
    for dropout in (0.0, 0.5):
        MLPClassifier((4,), dropout=dropout, max_iter=2).fit(X, y)
    assert seen == [4, 40]


def test_monitor_statistics_count_all_copies():
    """A pattern that is nine of ten rows has nine tenths of the mean output."""
    X, y = np.repeat([[1.0], [-1.0]], [90, 10], axis=0), np.repeat([1.0, 0.0], [90, 10])
    net = {"hidden_layer_sizes": (4,), "monitor": True, "max_iter": 1, "batch_size": "full", "random_state": 0}
    repeated = MLPRegressor(**net).fit(X, y).monitor_
    spread = MLPRegressor(**net).fit(X + 1e-7 * np.arange(100)[:, None], y).monitor_  # nothing to merge
    for name in ("activation_mean", "activation_std", "activation_quantiles"):
        np.testing.assert_allclose(repeated[name], spread[name], rtol=1e-4, atol=1e-6)


def test_samples_seen_count_all_copies():
    X, y = _exclusive_or(40)
    est = MLPClassifier((4,), max_iter=3).fit(X, y)
    assert est.t_ == 3 * 40


# ---------------------------------------------------------------------- fits that scikit-learn does


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.repeat([[0.0], [1.0]], 30, axis=0), np.repeat([0, 1], 30)),
        (np.vstack([np.zeros((60, 2)), np.ones((6, 2))]), np.repeat([0, 1], [60, 6])),
        (np.vstack([np.random.default_rng(0).standard_normal((40, 2)), [[5.0, 5.0]]]), np.repeat(["a", "b"], [40, 1])),
        (np.random.default_rng(0).standard_normal((41, 2)), np.append(np.arange(40) % 2, 2)),
    ],
    ids=["one binary feature", "one pattern of a class", "a class of one row", "a class of one row among three"],
)
def test_early_stopping_works_with_few_patterns_and_rare_classes(X, y):
    est = MLPClassifier((4,), early_stopping=True, max_iter=5, random_state=0).fit(X, y)
    assert len(est.validation_scores_) == est.n_iter_


def test_early_stopping_on_tiny_data_names_the_class_with_one_row():
    with pytest.raises(ValueError, match=r"are: \['True'\] The two classes are \['no', 'yes'\]"):
        MLPClassifier(early_stopping=True).fit([[1, 2], [2, 3], [3, 4], [4, 5]], ["no", "no", "no", "yes"])


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_rows_of_weight_zero_are_not_held_out(cls):
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = (X[:, 0] > 0.0).astype(int)
    weight = np.repeat([1.0, 0.0], [10, 50])
    for seed in range(10):
        est = cls(hidden_layer_sizes=(4,), early_stopping=True, max_iter=2, random_state=seed)
        est.fit(X, y, sample_weight=weight)
        assert np.isfinite(est.history_["validation_loss"]).all()


def test_error_for_too_few_weighted_rows_counts_them():
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    with pytest.raises(ValueError, match=r"n_samples = 2 with a positive weight and validation_fraction=0.1"):
        MLPClassifier(early_stopping=True).fit(X, y, sample_weight=np.repeat([1.0, 0.0], [2, 8]))


# ---------------------------------------------------------------------- weights reach scorers that take them


def _accuracy(y_true, y_pred):
    return float(np.mean(y_true == y_pred))


@pytest.mark.parametrize(
    "fit_params", [{}, {"sample_weight": np.linspace(0.5, 1.5, 150)}], ids=["no weights", "weights"]
)
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_scorer_without_weights_works_with_repeated_rows_and_weights(class_weight, fit_params):
    X, y = load_iris(return_X_y=True)  # which has a repeated row
    est = MLPClassifier(
        (4,), early_stopping=True, scoring=make_scorer(_accuracy), class_weight=class_weight, max_iter=3, random_state=0
    )
    assert np.isfinite(est.fit(X, y, **fit_params).validation_scores_).all()


def test_a_scorer_gets_only_the_weights_passed_by_the_user():
    X, y = load_iris(return_X_y=True)
    seen = []

    def score(estimator, X, y, sample_weight=None):
        seen.append(sample_weight)
        return estimator.score(X, y, sample_weight)

    est = MLPClassifier((4,), early_stopping=True, scoring=score, class_weight="balanced", max_iter=1, random_state=0)
    est.fit(X, y)
    est.fit(X, y, sample_weight=np.full(150, 3.0))
    assert seen[0] is None
    np.testing.assert_array_equal(seen[1], np.full(15, 3.0))


def test_a_scorer_without_sample_weight_works_with_weights():
    X, y = load_diabetes(return_X_y=True)
    scorer = make_scorer(lambda y_true, y_pred: -np.abs(y_true - y_pred).max())
    est = MLPRegressor(hidden_layer_sizes=(4,), validation_split=0.2, scoring=scorer, max_iter=2, random_state=0)
    assert np.isfinite(est.fit(X, y, sample_weight=np.ones(len(y))).validation_scores_).all()
