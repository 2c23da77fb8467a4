"""scikit-learn's own checks of what an estimator is, over a spread of configurations.

What a configuration cannot do by its nature is an expected failure, each with its reason; a check that passes all the
same is an error.
"""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.losses import Huber, Quantile
from skmlp.optim import SOLVERS

# Updates of adagrad and adadelta shrink. Adadelta's start at sqrt(epsilon), and the checks allow few of them.
RATES = {"adagrad": 0.1, "adadelta": 1.0}
# As scikit-learn's own MLPs in its test suite: enough epochs for the scores the checks ask for, no more.
EPOCHS = 60
SHORT: dict[str, Any] = {"learning_rate_init": 0.01, "max_iter": EPOCHS}
# Without regularisation L-BFGS separates the checks' data so well that probabilities underflow to 0. A check then
# expects predict_log_proba to be log(0) = -inf, where skmlp gives the true finite logarithm.
LBFGS: dict[str, Any] = {"solver": "lbfgs", "alpha": 0.1, "max_iter": EPOCHS}

# What both estimators have from the same code, all at once but for what excludes each other: a set for each of them.
SETTINGS: list[dict[str, Any]] = [
    {"normalization": "batch", "dropout": 0.1, "averaging": 0.9, "gradient_clip": 1.0, "weight_decay": 0.01}
    | {"residual": True, "hidden_layer_sizes": (20, 20)},
    {"normalization": "layer", "alpha_l1": 0.001, "max_norm": 3.0, "restore_best": True},
]

POSITIVE_LOSSES = ("poisson", "gamma", "tweedie")
# A loss as an object, and one of positive targets. Others differ in numbers only.
REGRESSION_LOSSES = (Huber(0.5), "tweedie")
LEVELS = Quantile((0.1, 0.5, 0.9))


def _configurations() -> list[Any]:
    """Return the spread; settings that have nothing to do with each other share a configuration."""
    estimators: list[Any] = []
    for number, cls in enumerate((MLPClassifier, MLPRegressor)):
        own_solvers = list(SOLVERS)[number + 2 :: 6]  # theirs is the same code, too
        beside = ({"dtype": "float64", "activation": "tanh"}, {"dtype": "input", "activation": "gelu"})
        estimators += [
            cls(),
            *(
                cls(solver=solver, learning_rate_init=RATES.get(solver, 0.01), max_iter=EPOCHS, **other)
                for solver, other in zip(own_solvers, beside, strict=True)
            ),
            cls(early_stopping=True),
            # One check fits twice and expects equal predictions: the first fit must already be at the only optimum.
            cls(warm_start=True, solver="lbfgs", hidden_layer_sizes=(), alpha=1.0),
            cls(**SETTINGS[number], **SHORT),
        ]
    return [
        *estimators,
        MLPClassifier(**LBFGS),
        MLPRegressor(normalization="layer", **LBFGS),
        MLPRegressor(solver="lbfgs", max_iter=EPOCHS),
        # A loss is checked with one kind of solver; both kinds evaluate the same objective.
        *(MLPClassifier(loss=loss, **params) for loss, params in (("hinge", SHORT), ("focal", LBFGS))),
        MLPClassifier(class_weight="balanced", label_smoothing=0.1, **SHORT),
        MLPClassifier(class_weight="balanced", **LBFGS),
        *(MLPRegressor(loss=loss, **(SHORT, LBFGS)[number % 2]) for number, loss in enumerate(REGRESSION_LOSSES)),
        MLPRegressor(loss=LEVELS, **SHORT),
        MLPRegressor(standardize_target=True, **LBFGS),
        MLPRegressor(loss="gaussian_nll", standardize_target=True, **SHORT),
    ]


SIGNED_TARGETS = "The check's targets have both signs, whatever the tags say; this loss is for positive ones."
A_COLUMN_FOR_EACH_LEVEL = "Predictions have a column for each level of a target, the check expects one for each target."
SEVERAL_CLASSES_A_ROW = "The check's rows have several labels each, so that there is no class to weigh them by."
ROWS_BY_CHANCE = "Chance decides row by row, and two copies of a row are two: {}."


def _expected_failures(estimator: Any) -> dict[str, str]:
    """Return the checks that contradict the configuration, each with the reason."""
    return _of_chance(estimator) | _of_targets(estimator)


def _of_chance(estimator: Any) -> dict[str, str]:
    if not estimator.early_stopping and not estimator.dropout:
        return {}
    what = "which are validated on" if estimator.early_stopping else "which units dropout leaves out"
    checks = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
    return dict.fromkeys(checks, ROWS_BY_CHANCE.format(what))


def _of_targets(estimator: Any) -> dict[str, str]:
    if isinstance(estimator, MLPClassifier):
        if estimator.class_weight is None:
            return {}
        outputs = ("predict", "predict_proba", "decision_function")
        checks = ["representation_invariance", *(f"output_format_{name}" for name in outputs)]
        return {f"check_classifiers_multilabel_{name}": SEVERAL_CLASSES_A_ROW for name in checks}
    if estimator.loss in POSITIVE_LOSSES:
        return {"check_regressor_multioutput": SIGNED_TARGETS}
    if estimator.loss == LEVELS:
        checks = ["regressors_train", "regressor_multioutput", "estimator_sparse_array", "estimator_sparse_matrix"]
        return {f"check_{name}": A_COLUMN_FOR_EACH_LEVEL for name in checks}
    return {}


# The checks train on tiny data for a few epochs; that this has not converged is not what they are about.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Some checks have unscaled rows of mean 100, and noise for a target: some networks end far worse than a constant.
@pytest.mark.filterwarnings("ignore::skmlp.diagnosis.TrainingHealthWarning")
@parametrize_with_checks(_configurations(), expected_failed_checks=_expected_failures, xfail_strict=True)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)
