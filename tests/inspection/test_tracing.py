"""The trace of a training step, compared with formulas and with the gradients of the estimator."""

import pickle
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skmlp import MLPClassifier, MLPRegressor
from skmlp.inspection import trace
from skmlp.nn.activations import ACTIVATIONS, FunctionActivation
from skmlp.nn.losses import LOSSES, Quantile

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 3))
CODES = np.array([0, 1, 2, 2, 1, 0, 2])
WEIGHT = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.0])


def _fit(estimator, y=CODES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def _classifier(hidden=(4, 4), **params):
    params = {"dtype": "float64", "max_iter": 3, "learning_rate_init": 0.05, "random_state": 0, **params}
    return MLPClassifier(hidden, params.pop("activation", "tanh"), **params)


def _assert_equal(steps, **expected):
    for name, value in expected.items():
        np.testing.assert_allclose(steps[name], value, rtol=1e-12, atol=1e-15, err_msg=name)


def _assert_gradients_of_the_estimator(steps, estimator, y, weight=None, data=X):
    value, coef_grads, intercept_grads = estimator.loss_and_gradients(data, y, weight)
    assert steps["objective"] == value
    for layer, (coefs, intercepts) in enumerate(zip(coef_grads, intercept_grads, strict=True), 1):
        np.testing.assert_array_equal(steps[f"dL/dW_{layer}"], coefs)
        np.testing.assert_array_equal(steps[f"dL/db_{layer}"], intercepts)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_step_of_a_plain_network_equals_its_formula(activation):
    estimator = _fit(_classifier(activation=activation, alpha=0.3, alpha_l1=0.2, class_weight={0: 2.0, 1: 1.0, 2: 0.5}))
    steps = trace(estimator, X, CODES, WEIGHT)
    sigma = ACTIVATIONS[activation]
    (W1, W2, W3), (b1, b2, b3) = estimator.coefs_, estimator.intercepts_
    s = WEIGHT * np.array([2.0, 1.0, 0.5])[CODES]
    S = s.sum()
    z1 = X @ W1 + b1
    a1 = sigma(z1)
    z2 = a1 @ W2 + b2
    a2 = sigma(z2)
    z3 = a2 @ W3 + b3
    losses = -log_softmax(z3, axis=1)[np.arange(7), CODES]
    penalty = sum(0.15 * (W**2).sum() + 0.2 * abs(W).sum() for W in (W1, W2, W3)) / S
    delta3 = (softmax(z3, axis=1) - np.eye(3)[CODES]) * (s / S)[:, np.newaxis]
    delta2 = delta3 @ W3.T * sigma.gradient(z2)
    delta1 = delta2 @ W2.T * sigma.gradient(z1)
    _assert_equal(steps, a_0=X, W_1=W1, b_1=b1, z_1=z1, a_1=a1, W_2=W2, b_2=b2, z_2=z2, a_2=a2, W_3=W3, b_3=b3, z_3=z3)
    _assert_equal(steps, prediction=softmax(z3, axis=1), y=CODES, loss=losses, s=s, S=S, penalty=penalty)
    _assert_equal(steps, **{"mean loss": s @ losses / S, "objective": s @ losses / S + penalty})
    _assert_equal(steps, delta_3=delta3, delta_2=delta2, delta_1=delta1)
    for layer, (a, delta, W) in enumerate([(X, delta1, W1), (a1, delta2, W2), (a2, delta3, W3)], 1):
        gradient = a.T @ delta + (0.3 * W + 0.2 * np.sign(W)) / S
        _assert_equal(steps, **{f"dL/dW_{layer}": gradient, f"dL/db_{layer}": delta.sum(axis=0)})
    _assert_equal(steps, **{"dL/da_2": delta3 @ W3.T, "sigma'_2": sigma.gradient(z2), "sigma'_1": sigma.gradient(z1)})
    assert len(steps.names) == len(set(steps.names)) == len(steps.steps)
    assert steps.names.index("a_1") < steps.names.index("z_2") < steps.names.index("loss")
    assert steps.names.index("loss") < steps.names.index("delta_3") < steps.names.index("delta_2")


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_every_step_with_batch_normalization_and_residual_connections_equals_its_formula(weight):
    estimator = _fit(_classifier(normalization="batch", residual=True, alpha=0.3, max_iter=20))
    steps = trace(estimator, X, CODES, weight)
    (W1, W2, W3), (b1, b2, b3) = estimator.coefs_, estimator.intercepts_
    w = (np.ones(7) if weight is None else weight)[:, np.newaxis] / (7 if weight is None else weight.sum())

    def normalize(z, layer):
        mu = (w * z).sum(axis=0)
        v = (w * (z - mu) ** 2).sum(axis=0)
        z_hat = (z - mu) / np.sqrt(v + 1e-5)
        scaled = steps[f"gamma_{layer}"] * z_hat + steps[f"beta_{layer}"]
        _assert_equal(steps, **{f"mu_{layer}": mu, f"v_{layer}": v, f"z_hat_{layer}": z_hat, f"z'_{layer}": scaled})
        return np.tanh(scaled), z_hat, np.sqrt(v + 1e-5)

    def back(delta, layer, z_hat, deviation):
        d_gamma, d_beta = (delta * z_hat).sum(axis=0), delta.sum(axis=0)
        _assert_equal(steps, **{f"delta'_{layer}": delta, f"dL/dgamma_{layer}": d_gamma, f"dL/dbeta_{layer}": d_beta})
        return steps[f"gamma_{layer}"] / deviation * (delta - w * d_beta - w * z_hat * d_gamma)

    assert not np.allclose(steps["gamma_1"], 1.0)
    a1, z_hat1, deviation1 = normalize(X @ W1 + b1, 1)
    a2, z_hat2, deviation2 = normalize(a1 @ W2 + b2, 2)
    z3 = (a1 + a2) @ W3 + b3
    _assert_equal(steps, z_1=X @ W1 + b1, a_1=a1, z_2=a1 @ W2 + b2, a_2=a2, z_3=z3, **{"a'_2": a1 + a2})
    delta3 = (softmax(z3, axis=1) - np.eye(3)[CODES]) * w
    delta2 = back(delta3 @ W3.T * (1 - a2**2), 2, z_hat2, deviation2)
    d_a1 = delta2 @ W2.T + delta3 @ W3.T
    delta1 = back(d_a1 * (1 - a1**2), 1, z_hat1, deviation1)
    _assert_equal(steps, delta_3=delta3, delta_2=delta2, delta_1=delta1)
    _assert_equal(steps, **{"dL/da'_2": delta3 @ W3.T, "dL/da_1": d_a1})
    _assert_gradients_of_the_estimator(steps, estimator, CODES, weight)


def test_every_step_with_layer_normalization_equals_its_formula():
    estimator = _fit(_classifier((4,), normalization="layer", max_iter=20))
    steps = trace(estimator, X, CODES)
    (W1, W2), (b1, b2) = estimator.coefs_, estimator.intercepts_
    z1 = X @ W1 + b1
    mu, v = z1.mean(axis=1, keepdims=True), z1.var(axis=1, keepdims=True)
    z_hat = (z1 - mu) / np.sqrt(v + 1e-5)
    scaled = steps["gamma_1"] * z_hat + steps["beta_1"]
    a1 = np.tanh(scaled)
    delta2 = (softmax(a1 @ W2 + b2, axis=1) - np.eye(3)[CODES]) / 7
    given = delta2 @ W2.T * (1 - a1**2)
    d = steps["gamma_1"] * given
    delta1 = (d - d.mean(1, keepdims=True) - z_hat * (d * z_hat).mean(1, keepdims=True)) / np.sqrt(v + 1e-5)
    _assert_equal(steps, z_1=z1, mu_1=mu, v_1=v, z_hat_1=z_hat, a_1=a1, delta_2=delta2, delta_1=delta1, S=7.0)
    _assert_equal(steps, **{"z'_1": scaled, "delta'_1": given, "dL/dgamma_1": (given * z_hat).sum(axis=0)})
    _assert_gradients_of_the_estimator(steps, estimator, CODES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (4, 4, 4), (3, 3, 2, 2)])
def test_gradients_equal_those_of_the_estimator_exactly(hidden, residual, normalization, dtype):
    estimator = _classifier(
        hidden,
        activation="gelu",
        normalization=normalization,
        residual=residual and len(hidden) > 1,
        dropout=0.4 if hidden else 0.0,
        alpha=0.5,
        alpha_l1=0.1,
        label_smoothing=0.1,
        dtype=dtype,
    )
    _fit(estimator)
    before, predictions = pickle.dumps(estimator), estimator.predict_proba(X)
    for weight in (None, WEIGHT):
        for data in (X, sparse.csr_matrix(X)):
            steps = trace(estimator, data, CODES, weight)
            _assert_gradients_of_the_estimator(steps, estimator, CODES, weight, data)
            assert all(type(step.value) in (np.ndarray, float) for step in steps.steps)
            assert steps["z_1"].dtype == dtype
    np.testing.assert_array_equal(estimator.predict_proba(X), predictions)
    assert pickle.dumps(estimator) == before


NUMBERS = [name for name, loss in LOSSES.items() if not loss.is_classification]


@pytest.mark.parametrize("loss", [*NUMBERS, Quantile((0.2, 0.6))], ids=str)
def test_trace_of_every_regression_loss(loss):
    y = np.exp(RNG.standard_normal((7, 2)))
    estimator = _fit(MLPRegressor(loss=loss, hidden_layer_sizes=(4,), dtype="float64", max_iter=3, random_state=0), y)
    steps = trace(estimator, X, y, WEIGHT)
    _assert_gradients_of_the_estimator(steps, estimator, y, WEIGHT)
    np.testing.assert_allclose(steps["prediction"], estimator.predict(X), rtol=1e-13)
    np.testing.assert_array_equal(steps["y"], y)
    np.testing.assert_allclose(steps["mean loss"], WEIGHT @ steps["loss"] / WEIGHT.sum(), rtol=1e-12)
    _assert_formula_of_the_error_signal(steps, WEIGHT)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("loss", ["log_loss", "focal", "hinge"])
def test_trace_of_every_classification_loss(loss, kind):
    y = {"binary": CODES > 0, "multiclass": CODES, "multilabel": RNG.integers(0, 2, (7, 3))}[kind]
    estimator = _fit(_classifier(loss=loss), y)
    steps = trace(estimator, X, y)
    _assert_gradients_of_the_estimator(steps, estimator, y)
    _assert_formula_of_the_error_signal(steps, np.ones(7))


def _assert_formula_of_the_error_signal(steps, weight):
    """Evaluate the printed formula of the error signal of the output if it is an expression."""
    step = next(step for step in steps.steps if step.part == "Backward")
    if any(words in step.formula for words in ("dloss/d", " rival", " where ", "c /", "c *")):
        return
    names = {"prediction": steps["prediction"], "y": steps["y"], "s": weight[:, np.newaxis], "S": weight.sum()}
    names |= {"sign": np.sign, "tanh": np.tanh, "onehot": lambda y: np.eye(3)[y]}
    np.testing.assert_allclose(step.value, eval(step.formula, names), rtol=1e-12, atol=1e-16)


def test_standardized_targets_are_recorded():
    y = 100.0 + 50.0 * X[:, 0]
    estimator = _fit(MLPRegressor(hidden_layer_sizes=(), standardize_target=True, dtype="float64", max_iter=3), y)
    steps = trace(estimator, X, y)
    np.testing.assert_allclose(steps["y"][:, 0], (y - y.mean()) / y.std(), rtol=1e-12)
    _assert_gradients_of_the_estimator(steps, estimator, y)


# ---------------------------------------------------------------------- in print


def _by_hand():
    rows, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([1.0, 2.0])
    estimator = MLPRegressor(hidden_layer_sizes=(), alpha=0.0, dtype="float64").partial_fit(rows, y)
    estimator.coefs_, estimator.intercepts_ = [[[0.5], [1.0]]], [[0.0]]
    return trace(estimator, rows, y)


PRINTED = """\
Forward and backward pass of 2 rows through a 2-1 network, in float64
Rows are samples; A B is a matrix product, A * B elementwise, 1^T A the column sums, S the total weight.

--- Data ---

a_0 = X   the data, 2 x 2
     1.0000   2.0000
     3.0000  -1.0000

--- Forward, layer 1 ---

W_1   weights, 2 x 1
    0.5000
    1.0000

b_1   biases, 1
    0.0000

z_1 = a_0 W_1 + b_1   raw outputs, 2 x 1
    2.5000
    0.5000

--- Loss ---

prediction = z_1   the identity link, 2 x 1
    2.5000
    0.5000

y   targets, as the loss takes them, 2 x 1
    1.0000
    2.0000

loss = 1/2 sum_k (prediction - y)^2   loss of each row, 2
    1.1250  1.1250

S = n = 2.0000   total weight

mean loss = sum_i loss_i / S = 1.1250   over the batch

penalty = 0.0000   none

objective = mean loss + penalty = 1.1250   what training minimizes: L

--- Backward, layer 1 ---

delta_1 = (prediction - y) / S   error signal dL/dz_1, 2 x 1
     0.7500
    -0.7500

dL/dW_1 = a_0^T delta_1   gradient of the weights, 2 x 1
    -1.5000
     2.2500

dL/db_1 = 1^T delta_1   gradient of the biases, 1
    0.0000"""


def test_a_printed_trace_has_every_formula_and_number():
    assert str(_by_hand()) == PRINTED


def test_repr_lists_the_names_of_the_steps():
    assert repr(_by_hand()).startswith("<Trace of 2 rows through a 2-1 network, in float64: a_0, W_1, b_1, z_1,")


def test_large_matrices_are_abbreviated_and_numbers_aligned():
    rows = RNG.standard_normal((30, 5)) * [1.0, 1000.0, 1.0, 1.0, -1.0]
    y = np.tile(np.arange(10), 3)
    estimator = MLPClassifier((60,), dtype="float32", random_state=0).partial_fit(rows, y, classes=np.arange(10))
    steps = trace(estimator, rows, y)
    assert steps["a_1"].shape == (30, 60)
    text = str(steps)
    assert max(map(len, text.splitlines())) < 140
    head, *lines = next(part for part in text.split("\n\n") if part.startswith("a_1 =")).splitlines()
    assert head.endswith("activations, 30 x 60")
    assert len(lines) == 7
    assert len({len(line) for line in lines}) == 1
    assert [len(line.split()) for line in lines] == [7] * 7
    assert lines[3].split() == ["..."] * 7
    assert float(lines[-1].split()[-1]) == pytest.approx(steps["a_1"][-1, -1], abs=5e-5)
    labels = next(part for part in text.split("\n\n") if part.startswith("y   ")).splitlines()[1]
    assert labels.split() == ["0", "1", "2", "...", "7", "8", "9"]


def test_small_and_large_numbers_keep_their_digits():
    steps = _by_hand()
    steps.steps[0].value[...] = [[1.23456e-7, -2e-7], [np.nan, np.inf]]
    text = str(steps)
    assert "1.235e-07  -2.000e-07" in text
    steps.steps[0].value[...] = -1e-9, 12345678.0
    assert "1.235e+07" in str(steps)


class _Tags(HTMLParser):
    """Checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.seen = [], "", set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_has_all_steps_without_colors_or_external_resources():
    steps = trace(_fit(_classifier(normalization="batch", residual=True)), X, CODES, WEIGHT)
    html = steps._repr_html_()
    page = _Tags()
    page.feed(html)
    assert page.open == []
    assert page.seen == {"div", "p", "b", "br", "h4", "code", "table", "tr", "td"}
    for step in steps.steps:
        assert step.name in page.text
        assert step.formula in page.text
    for resource in ("http", "url(", "src", "class=", "color: #", "black", "white"):
        assert resource not in html
    assert f"{steps['z_1'][0, 0]:.4f}" in page.text


def test_html_escapes_names_given_by_the_user():
    def double(z, out):
        np.multiply(z, 2.0, out=out)

    def two(z, a, out):
        out[...] = 2.0

    estimator = _classifier((3,), activation=FunctionActivation("<script>", double, two))
    html = trace(_fit(estimator), X, CODES)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


# ---------------------------------------------------------------------- what is refused


def test_the_error_for_an_unknown_step_lists_the_known_ones():
    steps = _by_hand()
    with pytest.raises(KeyError, match=r"Unknown step 'delta_7'\. The steps of this trace are: a_0, W_1"):
        steps["delta_7"]
    assert "delta_1" in steps.names


def test_feature_names_of_data_frames_are_checked():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    estimator = _classifier((3,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(frame, CODES)
    np.testing.assert_array_equal(trace(estimator, frame, CODES)["a_0"], X)
    with pytest.raises(ValueError, match="feature names should match"):
        trace(estimator, frame.rename(columns={"a": "d"}), CODES)


def test_invalid_input_is_rejected():
    with pytest.raises(NotFittedError):
        trace(_classifier(), X, CODES)
    estimator = _fit(_classifier())
    with pytest.raises(TypeError, match=r"trace takes an MLPClassifier or MLPRegressor.*Got LogisticRegression"):
        trace(make_pipeline(LogisticRegression()).fit(X, CODES), X, CODES)
    with pytest.raises(ValueError, match=r"at most 1000 samples\. Got 1400\."):
        trace(estimator, np.tile(X, (200, 1)), np.tile(CODES, 200))
    with pytest.raises(ValueError, match="classes not in"):
        trace(estimator, X, CODES + 1)
