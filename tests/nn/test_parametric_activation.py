"""Parametric activations: a number for each unit between the identity and an activation."""

import numpy as np
import pytest
from sklearn.base import clone

from skmlp import MLPRegressor
from skmlp.inspection import trace
from skmlp.nn.activations import ACTIVATIONS, ELU, FunctionActivation, Parametric
from skmlp.nn.layers import ActivationLayer, ParametricActivation, activation_layer
from skmlp.nn.network import initialize, multilayer_perceptron

# One whose derivative comes from its output, one whose derivative needs its input and overwrites it.
KINDS = pytest.mark.parametrize("name", ["tanh", "silu"])


def _run(layer, z, upstream, kappa):
    """Return output, error signal of the input and gradient of kappa."""
    memory, views = layer.allocate(len(z), z.dtype, is_first=False), {"blend": kappa}
    output, grads = layer.forward(views, z, memory), {"blend": np.full_like(kappa, np.nan)}
    copied = output.copy()
    delta = layer.backward(views, grads, z, output, upstream.copy(), memory)
    return copied, delta, grads["blend"]


@KINDS
@pytest.mark.parametrize("consumes_input", [False, True])
def test_both_passes_equal_their_formulas(name, consumes_input):
    rng, sigma = np.random.default_rng(0), ACTIVATIONS[name]
    z, upstream, kappa = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)), np.array([1.0, 0.0, -0.7])
    layer = ParametricActivation(3, sigma, consumes_input=consumes_input)
    output, delta, d_kappa = _run(layer, z.copy(), upstream, kappa)
    np.testing.assert_allclose(output, z + kappa * (sigma(z) - z), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(delta, upstream * (1.0 + kappa * (sigma.gradient(z) - 1.0)), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(d_kappa, (upstream * (sigma(z) - z)).sum(axis=0), rtol=1e-13)


def test_it_starts_as_the_activation_itself():
    networks = [multilayer_perceptron([3, 5, 2], [each]) for each in (ACTIVATIONS["mish"], Parametric("mish"))]
    X, outputs = np.random.default_rng(1).standard_normal((6, 3)), []
    for network in networks:
        params = network.parameters(dtype=np.float64)
        initialize(network, params, np.random.default_rng(2))
        outputs.append(network.predict(params, X))
    np.testing.assert_allclose(*outputs, rtol=1e-13)


@KINDS
def test_numbers_are_scales_that_learn_at_a_tenth_of_the_rate(name):
    (spec,) = activation_layer(4, Parametric(name)).shapes
    assert (spec.role, spec.shape, spec.rate_factor) == ("scale", (4,), 0.1)
    params = multilayer_perceptron([2, 4, 1], [Parametric(name)]).parameters()
    assert params.n_weights == 2 * 4 + 4  # without the penalty


def test_the_layer_is_chosen_by_the_activation():
    assert type(activation_layer(3, ACTIVATIONS["selu"])) is ActivationLayer
    layer = activation_layer(3, Parametric("selu"), consumes_input=True)
    assert layer == ParametricActivation(3, Parametric("selu"), consumes_input=True)
    assert ParametricActivation(3, ACTIVATIONS["selu"]).activation == Parametric(ACTIVATIONS["selu"])


def test_initial_weights_are_those_for_the_inner_activation():
    drawn = []
    for activation in (ACTIVATIONS["selu"], Parametric("selu")):
        network = multilayer_perceptron([3, 5, 2], [activation])
        params = network.parameters()
        initialize(network, params, np.random.default_rng(3), "auto")
        drawn.append(params.weights[0])
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("activation", ["square", None, Parametric("selu")], ids=str)
def test_other_than_a_plain_activation_is_refused(activation):
    with pytest.raises(ValueError, match="The 'activation' parameter of Parametric must be a"):
        Parametric(activation)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).standard_normal((60, 3))
    return X, np.sin(2.0 * X[:, 0]) * X[:, 1]


def _fitted(data, activation, **params):
    return MLPRegressor(
        hidden_layer_sizes=(6, 5), activation=activation, max_iter=5, dtype="float64", random_state=0, **params
    ).fit(*data)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_an_estimator_trains_the_numbers(data):
    estimator = _fitted(data, Parametric("selu"))
    views = [layer["blend"] for layer in estimator._model.params.layers if "blend" in layer]
    assert [view.shape for view in views] == [(6,), (5,)]
    assert all((view != 1.0).all() for view in views)
    assert [weights.shape for weights in estimator.coefs_] == [(3, 6), (6, 5), (5, 1)]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_settings_of_the_inner_activation_can_be_set(data):
    estimator = clone(MLPRegressor(activation=Parametric(ELU(0.5)), random_state=0))
    estimator.set_params(activation__activation__alpha=0.25)
    assert estimator.activation == Parametric(ELU(0.25))
    with pytest.raises(ValueError, match=r"activation was .*Parametric.* and is now"):
        _fitted(data, Parametric("selu"), warm_start=True).set_params(activation=Parametric("mish")).fit(*data)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore::skmlp.diagnosis.TrainingHealthWarning")
@pytest.mark.parametrize("engine", ["0", "1"], ids=["numpy", "compiled"])
def test_the_monitor_sees_the_slopes_of_the_mixture(monkeypatch, data, engine):
    """An ELU of depth 0 is dead for negative inputs, its mixture with the identity is not."""
    if engine == "1":
        pytest.importorskip("numba", reason="compiled steps need numba")
    monkeypatch.setenv("SKMLP_COMPILED", engine)
    estimator = _fitted(data, Parametric(ELU(0.0)), monitor=1, bias_init=lambda rng, i, o, t: np.full((i, o), -9.0))
    dead = estimator.monitor_["dead_fraction"]
    assert (dead[0, :2] == 1.0).all()  # all of kappa are 1 in the first step
    assert (dead[-1, :2] == 0.0).all()
    assert np.isnan(estimator.monitor_["saturated_fraction"]).all()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_every_step_of_a_trace_equals_its_formula(data):
    estimator = _fitted(data, [Parametric("selu"), Parametric("tanh")])
    steps = trace(estimator, data[0][:7], data[1][:7])
    values = {step.name: step.value for step in steps.steps}
    for layer, name in ((1, "selu"), (2, "tanh")):
        sigma = ACTIVATIONS[name]
        z, kappa, signal = values[f"z_{layer}"], values[f"kappa_{layer}"], values[f"dL/da_{layer}"]
        for key, formula, expected in [
            (f"a_{layer}", f"z_{layer} + kappa_{layer} * ({name}(z_{layer}) - z_{layer})", z + kappa * (sigma(z) - z)),
            (
                f"sigma'_{layer}",
                f"1 + kappa_{layer} * ({name}'(z_{layer}) - 1)",
                1.0 + kappa * (sigma.gradient(z) - 1.0),
            ),
            (
                f"dL/dkappa_{layer}",
                f"1^T (dL/da_{layer} * ({name}(z_{layer}) - z_{layer}))",
                (signal * (sigma(z) - z)).sum(axis=0),
            ),
            (f"delta_{layer}", f"dL/da_{layer} * sigma'_{layer}", signal * values[f"sigma'_{layer}"]),
        ]:
            np.testing.assert_allclose(values[key], expected, rtol=1e-12, atol=1e-15, err_msg=key)
            assert next(step for step in steps.steps if step.name == key).formula == formula


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_an_activation_without_a_kernel_is_named(monkeypatch, data):
    def double(z, out):
        np.multiply(z, 2.0, out=out)

    def two(z, a, out):
        out.fill(2.0)

    pytest.importorskip("numba", reason="compiled steps need numba")
    monkeypatch.setenv("SKMLP_COMPILED", "1")
    estimator = _fitted(data, Parametric(FunctionActivation("double", double, two)))
    assert estimator.engine_ == "numpy: there are no compiled steps for FunctionActivation"
