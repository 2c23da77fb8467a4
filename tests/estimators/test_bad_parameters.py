"""Bad parameters: errors that name the parameter, the rule and the value, before anything else happens."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.initializers import Orthogonal

BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
# Fits here run few epochs on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).standard_normal((30, 4))
Y = np.arange(30) % 3


def _estimator(cls: Any, **params: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **params})


def _three_ones(rng: np.random.Generator, n_in: int, n_out: int, dtype: Any) -> Any:
    return np.ones(3, dtype)


def _of_nothing() -> float:
    return 1.0


BAD_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"activation": "sigmoid"}, r"must be a str among \{.*'logistic'.*\} or an instance of 'Activation'"),
    ({"activation": 3}, "must be a str among"),
    ({"activation": ["relu", "sigmoid"]}, "must be .*, or a list with one of these for each hidden layer"),
    ({"solver": "newton"}, r"must be a str among \{.*'lbfgs'.*\} or an instance of 'Solver'"),
    ({"learning_rate": "cosine-ish"}, r"must be a str among \{.*'invscaling'.*\} or an instance of 'Schedule'"),
    ({"alpha": -1}, r"must be a float in the range \[0.0, inf\)"),
    ({"alpha": "small"}, r"must be a float in the range \[0.0, inf\)"),
    ({"alpha": np.nan}, r"must be a float in the range \[0.0, inf\)"),
    ({"batch_size": 0}, r"must be a str among .*'auto'.* or an int in the range \[1, inf\)"),
    ({"batch_size": 2.5}, "must be a str among"),
    ({"hidden_layer_sizes": 0}, r"must be an array-like or an int in the range \[1, inf\)"),
    ({"hidden_layer_sizes": "wide"}, "must be an array-like or an int"),
    ({"learning_rate_init": 0.0}, r"must be a float in the range \(0.0, inf\)"),
    ({"learning_rate_init": np.inf}, r"must be a float in the range \(0.0, inf\)"),
    ({"power_t": -1.0}, "must be a float in the range"),
    ({"max_iter": 0}, r"must be an int in the range \[1, inf\)"),
    ({"max_iter": 10.0}, r"must be an int in the range \[1, inf\)"),
    ({"max_fun": 0}, r"must be an int in the range \[1, inf\)"),
    ({"shuffle": "yes"}, "must be an instance of 'bool'"),
    ({"warm_start": 3}, "must be an instance of 'bool'"),
    ({"early_stopping": None}, "must be an instance of 'bool'"),
    ({"nesterovs_momentum": "x"}, "must be an instance of 'bool'"),
    ({"verbose": -1}, "must be an int in the range"),
    ({"random_state": "today"}, "must be an int in the range .*'numpy.random.*Generator'"),
    ({"tol": -1e-3}, "must be a float in the range"),
    ({"momentum": 1.5}, r"must be a float in the range \[0.0, 1.0\]"),
    ({"beta_1": 1.0}, r"must be a float in the range \[0.0, 1.0\)"),
    ({"beta_2": -0.1}, r"must be a float in the range \[0.0, 1.0\)"),
    ({"epsilon": 0.0}, r"must be a float in the range \(0.0, inf\)"),
    ({"validation_fraction": 1.0}, r"must be a float in the range \[0.0, 1.0\)"),
    ({"n_iter_no_change": 0}, r"must be an int in the range \[1, inf\) or a float among \{inf\}"),
    ({"n_iter_no_change": 2.5}, "must be an int in the range"),
    ({"dtype": "float16"}, "must be a str among .*'float32'"),
    ({"weight_init": "xavier"}, r"must be a str among \{.*'glorot_uniform'.*\} or a callable"),
    ({"bias_init": 1.0}, "must be a str among"),
    # Classes can be called, and so can functions of other arguments.
    ({"weight_init": int}, r"must be a str among .* or a callable f\(rng, n_in, n_out, dtype\)"),
    ({"weight_init": np.zeros}, r"must be a str among .* or a callable f\(rng, n_in, n_out, dtype\)"),
    ({"bias_init": Orthogonal}, r"must be a str among .* or a callable f\(rng, n_in, n_out, dtype\)"),
    ({"scoring": f1_score}, r"must be .*callable scorer\(estimator, X, y\) \(sklearn.metrics.make_scorer makes one"),
    ({"scoring": int}, r"must be a str among .* a callable scorer\(estimator, X, y\)"),
    ({"validation_split": KFold}, "must be a float in the range .* an object implementing 'split'"),
    ({"loss": (int, float)}, r"must be a str among .* a tuple of two functions \(loss, gradient\)"),
    ({"loss": (_of_nothing, _of_nothing)}, r"must be a str among .* a tuple of two functions"),
    ({"learning_rate": _of_nothing}, r"must be a str among .* or a callable f\(progress\)"),
]


@pytest.mark.parametrize("number", range(len(BAD_PARAMETERS)))
def test_invalid_parameters_are_refused_by_fit(number: int, assert_refuses: Any) -> None:
    cls = (MLPClassifier, MLPRegressor)[number % 2]  # with rules from one table
    params, rule = BAD_PARAMETERS[number]
    ((name, value),) = params.items()
    words = rf"The '{name}' parameter of {cls.__name__} {rule}.* Got {re.escape(repr(value))} instead"
    assert_refuses(cls, InvalidParameterError, words, lambda est: est.fit(X, Y), warm=False, **params)


@BOTH
@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({"alpha": -1}, r"float in the range \[0"),
        ({"batch_size": 0}, "str among"),
        ({"solver": "newton"}, "str among"),
        ({"loss": 1e308}, "str among"),
        ({"loss": [5]}, "str among"),
    ],
    ids=str,
)
def test_invalid_parameters_are_refused_by_partial_fit(
    cls: Any, params: dict[str, Any], rule: str, assert_refuses: Any
) -> None:
    ((name, value),) = params.items()
    words = rf"The '{name}' parameter of {cls.__name__} must be a {rule}.* Got {re.escape(repr(value))} instead"
    classes = {"classes": [0, 1, 2]} if cls is MLPClassifier else {}
    assert_refuses(
        cls, InvalidParameterError, words, lambda est: est.partial_fit(X, Y, **classes), warm=False, **params
    )


@BOTH
@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"hidden_layer_sizes": (5, -1)}, r"hidden_layer_sizes must be > 0, got \[5, -1\]"),
        ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be > 0, got \[5, 0\]"),
        ({"hidden_layer_sizes": (5.5,)}, r"hidden_layer_sizes must be whole numbers, got \[5.5\]"),
        ({"hidden_layer_sizes": {5, 3}}, r"hidden_layer_sizes must be a list or tuple .*, got \{.*\}"),
        ({"dropout": {0.1}}, r"dropout must be a list or tuple in the order of the layers, got \{0.1\}"),
        ({"hidden_layer_sizes": (True,)}, r"hidden_layer_sizes must be whole numbers, got \[True\]"),
        ({"activation": ["relu", "tanh"]}, r"one for each hidden layer: got 2 of them for hidden_layer_sizes=\(5,\)"),
        ({"weight_init": _three_ones}, r"must return finite values of shape \(4, 5\); it returned shape"),
        ({"early_stopping": True, "validation_fraction": 0.95}, "The validation set is too small.*validation_fraction"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_invalid_combinations_are_refused(cls: Any, params: dict[str, Any], words: str, assert_refuses: Any) -> None:
    assert_refuses(cls, ValueError, words, lambda est: est.fit(X[:12], Y[:12]), warm=False, **params)


@BOTH
def test_methods_and_attributes_are_unavailable_before_fit(cls: Any) -> None:
    est = _estimator(cls)
    for call in (est.predict, lambda rows: est.loss_and_gradients(rows, Y), lambda rows: est.history_frame()):
        with pytest.raises(NotFittedError, match=r"instance is not fitted yet. Call 'fit'"):
            call(X)
    for name in ("coefs_", "intercepts_", "loss_", "loss_curve_", "best_loss_", "validation_scores_"):
        with pytest.raises(AttributeError, match=name):
            getattr(est, name)
