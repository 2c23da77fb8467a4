"""Three small experiments: backpropagation in a regression network, XOR, and why initial weights are random.

1. Backpropagation written out in NumPy, for a network with linear output and squared error, gives the gradient of
   ``MLPRegressor.loss_and_gradients``.
2. No line separates the classes of XOR; a network with one hidden layer does.
3. Hidden units that start equal get equal gradients and stay equal. Such a layer is worth a single unit, and cannot
   learn XOR.

Run it with ``python docs/examples/regression_and_symmetry.py``.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.initializers import Constant

Array = NDArray[Any]

XOR_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = np.array([0, 1, 1, 0])


# ---------------------------------------------------------------------- the recursion


def gradients_by_recursion(
    weights: list[Array], biases: list[Array], X: Array, y: Array, alpha: float
) -> tuple[float, list[Array], list[Array], list[Array]]:
    """Return loss, deltas and gradients of a tanh network with linear output and squared error.

    With rows as samples, n of them, and layers l = 1, ..., L:

        z_l = a_{l-1} W_l + b_l,  a_l = tanh(z_l) for l < L,  a_L = z_L
        delta_L = (a_L - y) / n,  delta_l = (delta_{l+1} W_{l+1}^T) * (1 - a_l^2)
        dW_l = a_{l-1}^T delta_l + alpha W_l / n,  db_l = column sums of delta_l
    """
    n, n_layers = len(X), len(weights)
    a = [X]
    for number, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
        z = a[-1] @ W + b
        a.append(z if number == n_layers else np.tanh(z))
    penalty = alpha / (2 * n) * sum(float((W**2).sum()) for W in weights)
    loss = float(((a[-1] - y) ** 2).sum()) / (2 * n) + penalty

    delta = (a[-1] - y) / n
    deltas = [delta]
    for number in range(n_layers - 1, 0, -1):
        delta = (delta @ weights[number].T) * (1.0 - a[number] ** 2)
        deltas.insert(0, delta)
    dW = [a[index].T @ deltas[index] + alpha * weights[index] / n for index in range(n_layers)]
    db = [delta.sum(axis=0) for delta in deltas]
    return loss, deltas, dW, db


class Recursion(NamedTuple):
    """Norm of each layer's error signal, and relative differences between the recursion and the library."""

    delta_norms: list[float]
    loss_difference: float
    weight_differences: list[float]
    bias_differences: list[float]


def compare_recursion(*, alpha: float = 0.5) -> Recursion:
    """Compare the recursion with the library on the diabetes data, two outputs, three hidden layers."""
    X, target = load_diabetes(return_X_y=True)
    X = scale(X)
    y = np.column_stack([target / 100.0, np.sin(X[:, 2])])
    model = MLPRegressor("squared_error", (16, 12, 8), "tanh", alpha=alpha, dtype="float64", random_state=0)
    model.partial_fit(X, y)
    loss, coef_grads, intercept_grads = model.loss_and_gradients(X, y)
    own_loss, deltas, dW, db = gradients_by_recursion(model.coefs_, model.intercepts_, X, y, alpha)

    def relative(mine: Array, library: Array) -> float:
        return float(np.abs(mine - library).max() / np.abs(mine).max())

    return Recursion(
        [float(np.linalg.norm(delta)) for delta in deltas],
        abs(loss - own_loss) / own_loss,
        list(map(relative, dW, coef_grads)),
        list(map(relative, db, intercept_grads)),
    )


# ---------------------------------------------------------------------- XOR


def solve_xor() -> MLPClassifier:
    """Fit four tanh units to XOR."""
    return MLPClassifier((4,), "tanh", solver="lbfgs", alpha=0.0, random_state=0).fit(XOR_X, XOR_Y)


def linear_xor() -> MLPClassifier:
    """Fit a network without hidden layers, whose decision boundary is a line."""
    return MLPClassifier((), solver="lbfgs", random_state=0).fit(XOR_X, XOR_Y)


# ---------------------------------------------------------------------- symmetry


def train_xor(weight_init: Any, *, epochs: int = 300) -> MLPClassifier:
    """Train four sigmoid units on XOR by gradient descent with momentum."""
    model = MLPClassifier(
        (4,),
        "logistic",
        solver="sgd",
        learning_rate_init=0.5,
        max_iter=epochs,
        tol=0.0,
        alpha=0.0,
        weight_init=weight_init,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(XOR_X, XOR_Y)


def hidden_units(model: MLPClassifier) -> Array:
    """Return one row per hidden unit: its incoming weights, its bias, its outgoing weight."""
    (W1, W2), b1 = model.coefs_, model.intercepts_[0]
    return np.column_stack([W1.T, b1, W2])


def units_are_equal(model: MLPClassifier) -> bool:
    """Return whether all hidden units are equal, bit for bit."""
    units = hidden_units(model)
    return bool((units == units[0]).all())


def main() -> None:
    result = compare_recursion()
    print("Regression by the recursion and by the library: largest difference, relative")
    print(f"{'layer':>7}{'norm of delta':>16}{'dW':>10}{'db':>10}")
    rows = zip(result.delta_norms, result.weight_differences, result.bias_differences, strict=True)
    for number, (norm, dW, db) in enumerate(rows, start=1):
        print(f"{number:>7}{norm:>16.6f}{dW:>10.1e}{db:>10.1e}")
    print(f"   loss{'':>16}{result.loss_difference:>10.1e}")
    print()

    model, line = solve_xor(), linear_xor()
    print("XOR: probability of 1, and the prediction")
    print(f"{'x1':>5}{'x2':>5}{'y':>5}{'4 tanh units':>16}{'no hidden layer':>18}")
    columns = (model.predict_proba(XOR_X)[:, 1], model.predict(XOR_X), line.predict_proba(XOR_X)[:, 1])
    for x, y, p, label, p_line in zip(XOR_X, XOR_Y, *columns, strict=True):
        print(f"{x[0]:>5.0f}{x[1]:>5.0f}{y:>5}{f'{p:.4f} -> {label}':>16}{p_line:>18.4f}")
    print(f"accuracy: {model.score(XOR_X, XOR_Y):.2f} with hidden units, {line.score(XOR_X, XOR_Y):.2f} without")
    print()

    print("Hidden units after training: weights from x1 and x2, bias, weight to the output")
    for name, weight_init in (("all weights start at 0.5", Constant(0.5)), ("random weights", "glorot_uniform")):
        trained = train_xor(weight_init)
        print(f"{name}: accuracy {trained.score(XOR_X, XOR_Y):.2f}, equal units: {units_are_equal(trained)}")
        for unit in hidden_units(trained):
            print("  " + "".join(f"{value:>10.5f}" for value in unit))


if __name__ == "__main__":
    main()
