"""scikit-learn's own checks of what an estimator is, over a spread of configurations, with no expected failure."""

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import MLPClassifier, MLPRegressor
from skmlp.optim import SOLVERS

# Updates of lion have the size of the learning rate, those of adagrad and adadelta shrink: each has its own usual rate.
USUAL_RATE = {"adagrad": 0.1, "lion": 0.003}
# Adadelta's steps start at sqrt(epsilon) and the checks allow few of them.
ADADELTA_RATE = {MLPClassifier: 20.0, MLPRegressor: 1.0}
# As scikit-learn's own MLPs in its test suite: enough epochs for the scores the checks ask for, no more.
EPOCHS = 60


def _rate(cls: type, solver: str) -> float:
    return ADADELTA_RATE[cls] if solver == "adadelta" else USUAL_RATE.get(solver, 0.01)


def _configurations() -> list[Any]:
    estimators: list[Any] = []
    for cls in (MLPClassifier, MLPRegressor):
        estimators += [
            cls(),
            *(cls(solver=solver, learning_rate_init=_rate(cls, solver), max_iter=EPOCHS) for solver in SOLVERS),
            cls(hidden_layer_sizes=(20, 10)),
            cls(early_stopping=True),
            # One check fits twice and expects equal predictions: the first fit must already be at the only optimum.
            cls(warm_start=True, solver="lbfgs", hidden_layer_sizes=(), alpha=1.0),
            *(
                cls(dtype=dtype, learning_rate_init=0.01, max_iter=EPOCHS) for dtype in ("float64", "input")
            ),  # else float32
            cls(batch_size="full", learning_rate_init=0.01, max_iter=EPOCHS),
            *(
                cls(activation=activation, learning_rate_init=0.01, max_iter=EPOCHS)
                for activation in ("tanh", "gelu", "selu")
            ),
        ]
    # Without regularisation L-BFGS separates the checks' data so well that probabilities underflow to 0. A check then
    # expects predict_log_proba to be log(0) = -inf, where skmlp gives the true finite logarithm.
    return [
        *estimators,
        MLPClassifier(solver="lbfgs", alpha=0.1, max_iter=EPOCHS),
        MLPRegressor(solver="lbfgs", max_iter=EPOCHS),
    ]


# The checks train on tiny data for a few epochs; that this has not converged is not what they are about.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(_configurations())
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)
