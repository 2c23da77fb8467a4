"""The classic two-layer classifier, written out by hand and compared with the library.

One hidden layer of sigmoid units, a softmax output, cross-entropy, plain gradient descent:

    Z1 = X W1 + b1      A1 = s(Z1)            s(z) = 1 / (1 + exp(-z))
    Z2 = A1 W2 + b2     A2 = softmax(Z2)      L = -1/m sum_i log A2[i, y_i]

    dZ2 = (A2 - Y) / m                        dW2 = A1^T dZ2      db2 = column sums of dZ2
    dZ1 = dZ2 W2^T * s'(Z1)                   dW1 = X^T dZ1       db1 = column sums of dZ1

The script compares these closed forms with ``MLPClassifier.loss_and_gradients``, then steps of both. Finally it trains
and prints the accuracy.

The data are Fashion-MNIST if it is installed (on Debian the package ``dataset-fashion-mnist``), otherwise the digits of
scikit-learn. To use other files, set SKMLP_FASHION_MNIST or SKMLP_MNIST to a folder with the four IDX files
(``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-...``; plain or with .gz).

Run it with ``python docs/examples/two_layer_classifier.py``.
"""

import gzip
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skmlp import MLPClassifier

Array = NDArray[Any]

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
HIDDEN, LEARNING_RATE, EPOCHS = 64, 0.5, 160


class Images(NamedTuple):
    """Images in rows, pixels in [0, 1], with labels 0 to 9."""

    name: str
    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array


def load_images(*, n_train: int = 5000, n_test: int = 2000) -> Images:
    """Return the first rows of Fashion-MNIST or MNIST if installed, otherwise the digits."""
    for name, folder in (
        ("Fashion-MNIST", os.environ.get("SKMLP_FASHION_MNIST")),
        ("MNIST", os.environ.get("SKMLP_MNIST")),
        ("Fashion-MNIST", DEBIAN_FOLDER),
    ):
        if folder and find_idx(Path(folder), "train-images-idx3-ubyte"):
            X_train, y_train = load_part(Path(folder), "train", n_train)
            X_test, y_test = load_part(Path(folder), "t10k", n_test)
            return Images(name, X_train, y_train, X_test, y_test)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=500, random_state=0, stratify=y)
    return Images("digits", X_train, y_train, X_test, y_test)


def load_part(folder: Path, part: str, n_rows: int) -> tuple[Array, Array]:
    """Read the first rows of the training or the test part."""
    images, labels = (find_idx(folder, f"{part}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    if images is None or labels is None:
        raise FileNotFoundError(f"{folder} lacks the IDX files of the part {part!r}.")
    pixels = read_idx(images)[:n_rows]
    return pixels.reshape(len(pixels), -1) / 255.0, read_idx(labels)[:n_rows].astype(int)


def find_idx(folder: Path, name: str) -> Path | None:
    """Return the path of an IDX file, plain or compressed, or None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path) -> Array:
    """Read an IDX file of bytes: two zeros, a type code, the number of axes, their lengths, then the values."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes.")
    n_axes = data[3]
    shape = np.frombuffer(data, ">u4", n_axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


# ---------------------------------------------------------------------- by hand


class Weights(NamedTuple):
    """The four arrays of the network, or their gradients."""

    W1: Array
    b1: Array
    W2: Array
    b2: Array


def sigmoid(z: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-z))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def one_hot(y: Array, n_classes: int) -> Array:
    return np.eye(n_classes)[y]


def loss_and_gradients(weights: Weights, X: Array, Y: Array) -> tuple[float, Weights]:
    """Return the cross-entropy and its gradient by the closed forms."""
    W1, b1, W2, b2 = weights
    m = len(X)
    Z1 = X @ W1 + b1
    A1 = sigmoid(Z1)
    Z2 = A1 @ W2 + b2
    A2 = softmax(Z2)
    loss = -np.log((A2 * Y).sum(axis=1)).mean()

    dZ2 = (A2 - Y) / m
    dW2 = A1.T @ dZ2
    db2 = dZ2.sum(axis=0)
    dZ1 = dZ2 @ W2.T * (A1 * (1.0 - A1))
    dW1 = X.T @ dZ1
    db1 = dZ1.sum(axis=0)
    return float(loss), Weights(dW1, db1, dW2, db2)


def step(weights: Weights, X: Array, Y: Array, learning_rate: float) -> Weights:
    """Take one step of gradient descent."""
    gradients = loss_and_gradients(weights, X, Y)[1]
    return Weights(*(w - learning_rate * g for w, g in zip(weights, gradients, strict=True)))


# ---------------------------------------------------------------------- by the library


def build_classifier(**params: Any) -> MLPClassifier:
    """Return the same network and solver: all rows in every step, no momentum, no penalty."""
    settings = {
        "hidden_layer_sizes": (HIDDEN,),
        "activation": "logistic",
        "solver": "sgd",
        "momentum": 0.0,
        "alpha": 0.0,
        "batch_size": "full",
        "learning_rate_init": LEARNING_RATE,
        "random_state": 0,
        "dtype": "float64",
    }
    return MLPClassifier(**{**settings, **params})


def weights_of(classifier: MLPClassifier) -> Weights:
    """Copy the four arrays out of a fitted classifier."""
    (W1, W2), (b1, b2) = classifier.coefs_, classifier.intercepts_
    return Weights(W1.copy(), b1.copy(), W2.copy(), b2.copy())


def relative_difference(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def compare(images: Images, *, n_rows: int = 500, n_steps: int = 20) -> dict[str, float]:
    """Return the largest difference between hand and library, relative to the largest entry, for each array.

    ``loss``, ``dW1``, ``db1``, ``dW2``, ``db2`` are compared at the same weights, ``one step`` and ``20 steps`` are the
    weights after as many steps.
    """
    X, y = images.X_train[:n_rows], images.y_train[:n_rows]
    Y = one_hot(y, 10)
    classifier = build_classifier().partial_fit(X, y, classes=np.arange(10))
    by_hand = weights_of(classifier)

    loss, gradients = loss_and_gradients(by_hand, X, Y)
    library_loss, (dW1, dW2), (db1, db2) = classifier.loss_and_gradients(X, y)
    report = {"loss": abs(loss - library_loss) / loss}
    for name, mine, library in zip(gradients._fields, gradients, (dW1, db1, dW2, db2), strict=True):
        report[f"d{name}"] = relative_difference(library, mine)
    for count in range(1, n_steps + 1):
        by_hand = step(by_hand, X, Y, LEARNING_RATE)
        classifier.partial_fit(X, y)
        if count in (1, n_steps):
            differences = map(relative_difference, weights_of(classifier), by_hand)
            report["one step" if count == 1 else f"{n_steps} steps"] = max(differences)
    return report


class Outcome(NamedTuple):
    """A finished training."""

    loss: list[float]
    train_accuracy: float
    test_accuracy: float


def train(images: Images, *, epochs: int = EPOCHS) -> Outcome:
    """Train by plain gradient descent on all rows, in float32."""
    classifier = build_classifier(dtype="float32", max_iter=epochs, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few steps of gradient descent
        classifier.fit(images.X_train, images.y_train)
    return Outcome(
        classifier.loss_curve_,
        classifier.score(images.X_train, images.y_train),
        classifier.score(images.X_test, images.y_test),
    )


def main() -> None:
    images = load_images()
    n_features = images.X_train.shape[1]
    print(f"{images.name}: {len(images.X_train)} rows to train on, {len(images.X_test)} to test on")
    print(f"Network {n_features}-{HIDDEN}-10, sigmoid and softmax, plain gradient descent, rate {LEARNING_RATE}")
    print()
    print("Closed forms by hand and the library: largest difference, relative")
    for name, difference in compare(images).items():
        print(f"  {name:<10}{difference:>10.1e}")
    print()
    outcome = train(images)
    print(f"{'step':>6}{'loss':>10}")
    for epoch in sorted({1, EPOCHS // 8, EPOCHS // 4, EPOCHS // 2, EPOCHS}):
        print(f"{epoch:>6}{outcome.loss[epoch - 1]:>10.4f}")
    print(f"accuracy: {outcome.train_accuracy:.3f} on the training rows, {outcome.test_accuracy:.3f} on the test rows")


if __name__ == "__main__":
    main()
