"""Random combinations of all parameters: a fit works, or it raises one of the known errors."""

import pickle
import re
import warnings
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.gradient_check import check_gradient
from skmlp.nn.layers import PBLD, BatchNorm, EmbedCategories, LayerNorm, PiecewiseLinear
from skmlp.nn.layers import Cosine as CosineEmbedding
from skmlp.nn.losses import FocalLoss, Huber
from skmlp.optim import (
    SCHEDULES,
    SGD,
    SOLVERS,
    Adam,
    AdamW,
    AdaptiveClip,
    ClipByGlobalNorm,
    Cosine,
    Exponential,
    FlatCosine,
    Linear,
    OneCycle,
    ReduceOnPlateau,
    RMSProp,
    Warmup,
    WithWeightDecay,
)

N_SAMPLES, N_FEATURES = 26, 3
_rng = np.random.default_rng(0)
X = _rng.standard_normal((N_SAMPLES, N_FEATURES))
LABELS = np.arange(N_SAMPLES) % 3
POSITIVE = np.exp(0.3 * X[:, 0]) + 0.1
# A table with categories: two of them, a few, many; and with missing values, which need missing="indicator".
CITIES = _rng.choice(list("pqrstuvw"), N_SAMPLES)
TABLE = pd.DataFrame(X, columns=["a", "b", "c"]).assign(d=LABELS > 1, e=CITIES, f=pd.Categorical(LABELS))
WITH_GAPS = TABLE.mask(_rng.random(TABLE.shape) < 0.1)
# The errors of combinations that are refused. Every other combination has to work.
KNOWN = re.compile(
    "|".join(
        [
            r"minimizes a fixed, smooth function of all data at once and does not support \w+=",
            r"minimizes a fixed function and does not support label_smoothing=",
            r"does not support normalization=\"batch\"",
            r"weight decay is set twice",
            r"label_smoothing=.* is only for the log loss",
            r"scoring=.* needs validation data",
            r"refit=True needs validation data",
            r"normalization=\"batch\" needs at least 2 rows in a batch",
            r"residual=True .* has no such pair",
            r"dropout must be one rate, or one for each hidden layer",
            r"activation must be one activation, or one for each hidden layer",
            r"class_weight is for targets with one class per row",
            r"validation set is too small",
            r"standardize_target=True shifts and scales y",
            r"partial_fit does not support|is not supported for partial_fit",
            r"depends on the progress of the whole training, which partial_fit does not know",
            r"weights are averaged twice",
            r"has \d+ missing values? \(NaN\): .*set missing=\"indicator\"",
            r"could not convert string to float: '[p-w]'. X must hold real numbers",
            r"Column 'e' of X holds text, such as '[p-w]': .*name it in categorical_features",
            r"categorical_features set as a boolean mask must have shape",
        ]
    )
)

SMOOTH = ["identity", "logistic", "tanh", "gelu", "gelu_tanh", "silu", "softplus", "mish"]


def _either(default: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw the default four times as often as the others together, so that most combinations are not refused."""
    return st.sampled_from([default] * 4 * len(others) + list(others))


COMMON: dict[str, st.SearchStrategy[Any]] = {
    "hidden_layer_sizes": st.sampled_from([(4, 4), (5, 5), (3, 5), (), 4, (3, 3, 2)]),
    "activation": _either("tanh", *SMOOTH, ["silu", "identity"]),
    "solver": st.one_of(
        st.sampled_from([*SOLVERS, "lbfgs"]),
        st.sampled_from(
            [
                SGD(momentum=0.9 * Linear(0.5, 1.0)),
                Adam(beta_2=0.9),
                AdamW(weight_decay=0.1 * Cosine()),
                RMSProp(centered=True, momentum=0.5),
                WithWeightDecay(SGD(0.0), 0.1),
            ]
        ),
    ),
    "alpha": st.sampled_from([0.0, 1e-4, 1.0]),
    "batch_size": st.sampled_from(["auto", "full", 1, 2, 5, 25]),
    "learning_rate": st.one_of(
        st.sampled_from(list(SCHEDULES)),
        st.sampled_from([Warmup("one_cycle"), Exponential(0.5, unit="step"), ReduceOnPlateau(patience=0), np.cos]),
    ),
    "learning_rate_init": st.sampled_from([1e-4, 1e-3, 1e-2]),
    "power_t": st.sampled_from([0.0, 0.5]),
    "max_iter": st.integers(1, 4),
    "shuffle": st.booleans(),
    "random_state": st.integers(0, 5),
    "tol": st.sampled_from([0.0, 1e-4, 10.0]),
    "warm_start": st.booleans(),
    "momentum": _either(0.9, 0.0, OneCycle.momentum()),
    "nesterovs_momentum": st.booleans(),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.1, 0.4]),
    "beta_1": _either(0.9, 0.0),
    "beta_2": st.sampled_from([0.9, 0.999]),
    "epsilon": st.sampled_from([1e-8, 1e-3]),
    "n_iter_no_change": st.sampled_from([1, 10, np.inf]),
    "max_fun": st.sampled_from([1, 15000]),
    "dtype": st.sampled_from(["float32", "float64", "input"]),
    "weight_init": st.sampled_from(["glorot_uniform", "auto", "orthogonal", "he_normal"]),
    "bias_init": st.sampled_from(["auto", "zeros", "lecun_uniform"]),
    "monitor": st.sampled_from([False, True, 2]),
    "normalization": _either(None, "batch", "layer", BatchNorm(0.5, 0.1), LayerNorm(0.1)),
    "dropout": _either(0.0, 0.3, [0.2, 0.0], 0.4 * FlatCosine(), [0.0, 0.2 * Exponential()]),
    "residual": _either(False, True),
    "alpha_l1": _either(0.0, 0.1),
    "weight_decay": _either(None, 0.1, 0.1 * Cosine()),
    "max_norm": _either(None, 0.5),
    "gradient_clip": _either(None, 0.1, "value", "norm", AdaptiveClip(0.1), ClipByGlobalNorm(1.0)),
    "averaging": _either(None, 0.5, 0.99),
    "validation_split": st.sampled_from([None, 0.3, ShuffleSplit(2, test_size=0.3, random_state=0)]),
    "scoring": _either(None, "loss", "neg_mean_squared_error"),
    "restore_best": st.sampled_from([None, True, False]),
    "refit": _either(False, True),
    "max_time": _either(None, 1000.0),
    "categorical_features": _either("from_dtype", None, [1], [True, False, True]),
    "max_categories": st.sampled_from([255, None, 3, 1]),
    "missing": st.sampled_from(["error", "indicator"]),
    "scaling": st.sampled_from([None, "robust", "standard", "quantile"]),
    "numeric_embedding": _either(
        None, "pbld", PBLD(sigma=0.5, n_frequencies=4), CosineEmbedding(), PiecewiseLinear(4, 3)
    ),
    "categorical_embedding": _either(None, EmbedCategories(2, 3), EmbedCategories()),
    "input_scale": _either(None, 6.0, 0.5),
    "parametrization": st.sampled_from(["standard", "ntk"]),
    "verbose": st.just(False),
}
CONFIGURATIONS: dict[type, st.SearchStrategy[dict[str, Any]]] = {
    MLPClassifier: st.fixed_dictionaries(
        {
            **COMMON,
            "loss": _either("log_loss", "focal", "hinge", FocalLoss(gamma=1.0)),
            "class_weight": _either(None, "balanced", {0: 2.0}),
            "label_smoothing": _either(0.0, 0.2, 0.3 * Cosine()),
        }
    ),
    MLPRegressor: st.fixed_dictionaries(
        {
            **COMMON,
            "loss": _either("squared_error", "poisson", "gamma", "log_cosh", "tweedie", "gaussian_nll", Huber(0.5)),
            "standardize_target": st.booleans(),
        }
    ),
}
KINDS = {MLPClassifier: ["multiclass", "binary", "multilabel"], MLPRegressor: ["one", "two"]}
Y = {
    "multiclass": LABELS,
    "binary": LABELS > 0,
    "multilabel": np.column_stack([LABELS == 0, X[:, 0] > 0.0]).astype(int),
    "one": POSITIVE,
    "two": np.column_stack([POSITIVE, POSITIVE[::-1]]),
}


def _output(estimator: Any, rows: Any) -> Any:
    for name in ("predict_proba", "decision_function"):
        if hasattr(estimator, name):
            return getattr(estimator, name)(rows)
    return estimator.predict(rows)


def _works(estimator: Any, rows: Any, y: Any, call: str = "fit") -> bool:
    """Train; False when that is refused for a reason that is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs
        try:
            getattr(estimator, call)(rows, y)
        except ValueError as error:
            if KNOWN.search(str(error)) is None:
                raise
            return False
    return True


def _check_gradient(estimator: Any, rows: Any, y: Any) -> None:
    """Compare ``loss_and_gradients`` with central differences in its loss, weight by weight along some directions."""
    views = [*estimator.coefs_, *estimator.intercepts_]
    start = np.concatenate([view.ravel() for view in views])

    def value_and_gradient(vector: Any) -> tuple[float, Any]:
        parts = np.split(vector, np.cumsum([view.size for view in views])[:-1])
        for view, part in zip(views, parts, strict=True):
            view[...] = part.reshape(view.shape)
        loss, coef_grads, intercept_grads = estimator.loss_and_gradients(rows, y)
        return loss, np.concatenate([grad.ravel() for grad in (*coef_grads, *intercept_grads)])

    check_gradient(value_and_gradient, start, tolerance=1e-6, n_directions=6)
    value_and_gradient(start)


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@hypothesis.settings(max_examples=70, print_blob=False)
@hypothesis.given(data=st.data())
@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger than sample size:UserWarning")
@pytest.mark.filterwarnings("ignore::skmlp.diagnosis.TrainingHealthWarning")
def test_random_configurations(cls: Any, data: Any) -> None:
    params = data.draw(CONFIGURATIONS[cls])
    y = Y[data.draw(st.sampled_from(KINDS[cls]))]
    rows = data.draw(st.sampled_from([X, X, TABLE, WITH_GAPS]))
    est = cls(**params)
    assert params.keys() == est.get_params(deep=False).keys()
    if not _works(est, rows, y):
        assert not hasattr(est, "coefs_")
        return
    output = _output(est, rows)
    assert np.isfinite(output).all()
    assert est.predict(rows).shape == y.shape
    assert all(len(column) == len(est.history_["loss"]) >= 1 for column in est.history_.values())
    stored = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(_output(stored, rows), output)
    if params["max_time"] is None:  # with it, schedules follow the clock
        again = clone(est)
        assert _works(again, rows, y)
        np.testing.assert_array_equal(_output(again, rows), output)
    if est._model.dtype == np.float64 and params["loss"] != "hinge":
        _check_gradient(est, rows, y)
    if hasattr(est, "partial_fit") and _works(est, rows, y, "partial_fit"):
        assert _works(stored, rows, y, "partial_fit")
        np.testing.assert_array_equal(_output(stored, rows), _output(est, rows))
        assert np.isfinite(_output(est, rows)).all()
