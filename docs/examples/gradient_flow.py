"""Vanishing and exploding gradients, measured at the start of training and compared with theory.

Networks of 20 hidden layers of 64 units are initialized with every activation and every initializer. Backpropagation
multiplies the error signal by a weight matrix and a derivative in every layer, so its size changes by about the same
factor each time:

    factor = sqrt(n v E[sigma'(z)^2]),    z ~ N(0, q),    q -> n v E[sigma(z)^2] from layer to layer,

with n units and weights of variance v. A factor of 0.2 gives 1e-14 after 20 layers, a factor of 2 a million.
The gradient of a weight matrix is the layer's input times its error signal. If the activations grow in the forward pass
as the error does in the backward pass (relu with large weights), the gradients of all layers are equally large.
The last table trains a network of five hidden layers with every solver.

Run it with ``python docs/examples/gradient_flow.py``.
"""

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.initializers import INITIALIZERS, Initializer, VarianceScaling
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.optim import SOLVERS

DEPTH, WIDTH, ROWS = 20, 64, 32

# Too small and too large on purpose: standard deviations of 0.1 and 5 over sqrt(n).
SMALL = VarianceScaling(scale=0.01, mode="fan_in", distribution="normal")
LARGE = VarianceScaling(scale=25.0, mode="fan_in", distribution="normal")

# The cases of the first table.
SHOWN = (
    ("logistic", "glorot_uniform"),
    ("logistic", "small"),
    ("tanh", "small"),
    ("tanh", "glorot_uniform"),
    ("tanh", "large"),
    ("relu", "glorot_uniform"),
    ("relu", "he_normal"),
    ("relu", "large"),
    ("selu", "lecun_normal"),
    ("relu", "zeros"),
)

# Rates that suit each solver; Adadelta scales its steps itself.
LEARNING_RATES = {
    "sgd": 0.02,
    "rmsprop": 0.001,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "lion": 0.0005,
}


class Flow(NamedTuple):
    """The gradients of one network before training.

    Attributes
    ----------
    norms : list of float
        Norm of the weight gradient of each hidden layer, first to last, averaged over rows.
    factor : float
        Mean factor by which a layer multiplies the size of the error signal in the backward pass.
    theory : float
        The factor according to theory.
    """

    norms: list[float]
    factor: float
    theory: float


def initializers() -> dict[str, Initializer]:
    return {**INITIALIZERS, "small": SMALL, "large": LARGE}


def gradient_flow(activation: str, initializer: str, *, depth: int = DEPTH, width: int = WIDTH, seed: int = 0) -> Flow:
    """Initialize a network and measure its gradients."""
    rng = np.random.default_rng(seed)
    sigma = ACTIVATIONS[activation]
    network = multilayer_perceptron([width] * (depth + 1) + [1], [sigma] * depth)
    params = network.parameters(dtype=np.float64)
    initialize(network, params, rng, initializers()[initializer])
    if not params.weights[-1].any():
        params.weights[-1][...] = 1.0  # "zeros": so that the last layer at least has an error signal
    *weights, last = params.weights  # biases start at 0
    X, y = rng.standard_normal((ROWS, width)), rng.standard_normal((ROWS, 1))

    inputs, z = [X], []
    for W in weights:
        z.append(inputs[-1] @ W)
        inputs.append(sigma(z[-1]))
    signal = (inputs[-1] @ last - y) @ last.T  # dL/da of the squared error, for each row
    squared_norms, squared_deltas = [], []
    for W, a, pre_activation in reversed(list(zip(weights, inputs, z, strict=False))):
        delta = signal * sigma.gradient(pre_activation)
        signal = delta @ W.T
        # The weight gradient of a row is the outer product of a and delta.
        squared_norms.insert(0, np.mean((a**2).sum(axis=1) * (delta**2).sum(axis=1)))
        squared_deltas.insert(0, np.mean((delta**2).sum(axis=1)))
    passed = squared_deltas[0] / squared_deltas[-1] if squared_deltas[-1] > 0.0 else 0.0
    factor = passed ** (0.5 / (depth - 1))
    scale = width * float(np.mean([np.var(W) for W in weights]))
    return Flow(np.sqrt(squared_norms).tolist(), float(factor), theoretical_factor(sigma, scale, depth))


def theoretical_factor(sigma: Activation, scale: float, depth: int) -> float:
    """Return the geometric mean over layers of ``sqrt(scale E[sigma'(z)^2])``, with ``scale = n v``.

    The pre-activations are normal with variance q; the first layer sees inputs of variance 1.
    """
    if scale == 0.0:
        return 0.0
    t = np.linspace(-8.0, 8.0, 4001)
    density = np.exp(-0.5 * t**2)
    density /= density.sum()
    q, log_factor = scale, 0.0
    for _ in range(depth - 1):
        z = np.sqrt(q) * t
        log_factor += 0.5 * math.log(scale * float(density @ sigma.gradient(z) ** 2))
        q = scale * float(density @ sigma(z) ** 2)
    return math.exp(log_factor / (depth - 1))


def flow_table() -> dict[tuple[str, str], Flow]:
    """Measure every activation with every initializer."""
    return {(a, i): gradient_flow(a, i) for a in ACTIVATIONS for i in initializers()}


class Training(NamedTuple):
    """First and last loss and gradient norm of a short training."""

    first_loss: float
    last_loss: float
    first_norm: float
    last_norm: float


def train_with(solver: str, *, epochs: int = 10) -> Training:
    """Train five hidden layers of 32 units on the digits."""
    X, y = load_digits(return_X_y=True)
    model = MLPClassifier(
        (32,) * 5,
        "relu",
        solver=solver,
        learning_rate_init=LEARNING_RATES.get(solver, 0.002),
        batch_size=64,
        max_iter=epochs,
        weight_init="he_normal",
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten epochs are short on purpose
        model.fit(StandardScaler().fit_transform(X), y)
    loss, norm = model.history_["loss"], model.history_["gradient_norm"]
    return Training(loss[0], loss[-1], norm[0], norm[-1])


def training_table() -> dict[str, Training]:
    """Train with every solver."""
    return {solver: train_with(solver) for solver in SOLVERS}


def verdict(flow: Flow, depth: int = DEPTH) -> str:
    """Classify how the error signal changes from the last hidden layer to the first."""
    passed = flow.factor ** (depth - 1)
    if passed == 0.0:
        return "dead"
    if passed < 0.01:
        return "vanishing"
    return "exploding" if passed > 100.0 else "healthy"


def print_flow(flows: Mapping[tuple[str, str], Flow]) -> None:
    layers = [1, *(round(DEPTH * part / 4) for part in (1, 2, 3, 4))]
    print(f"Gradient norm by layer at the start: {DEPTH} hidden layers of {WIDTH} units")
    header = "".join(f"{f'layer {layer}':>11}" for layer in layers)
    print(f"{'activation':<11}{'initializer':<16}{header}{'factor':>9}{'theory':>9}  verdict")
    for activation, initializer in SHOWN:
        flow = flows[activation, initializer]
        norms = "".join(f"{flow.norms[layer - 1]:>11.2e}" for layer in layers)
        print(f"{activation:<11}{initializer:<16}{norms}{flow.factor:>9.3f}{flow.theory:>9.3f}  {verdict(flow)}")
    print()
    names = list(dict.fromkeys(initializer for _, initializer in flows))
    print("Factor per layer of the error signal in the backward pass, measured / theory; below 1 it vanishes")
    print(f"{'':<11}" + "".join(f"{name:>16}" for name in names))
    for activation in dict.fromkeys(activation for activation, _ in flows):
        cells = (flows[activation, name] for name in names)
        print(f"{activation:<11}" + "".join(f"{f'{cell.factor:.3f} / {cell.theory:.3f}':>16}" for cell in cells))


def print_training(rows: Mapping[str, Training]) -> None:
    print("Ten epochs of five hidden layers (relu, He) on the digits, by solver")
    print(f"{'solver':<11}{'rate':>8}{'first loss':>12}{'last loss':>12}{'first norm':>12}{'last norm':>12}")
    for solver, row in rows.items():
        rate = LEARNING_RATES.get(solver, 0.002)
        print(f"{solver:<11}{rate:>8g}" + "".join(f"{number:>12.4f}" for number in row))


def main() -> None:
    print_flow(flow_table())
    print()
    print_training(training_table())


if __name__ == "__main__":
    main()
