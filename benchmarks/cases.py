"""The networks, data, initial weights and losses of the speed benchmark, the same for every peer."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
MOMENTUM = 0.9  # of SGD, Nesterov's
DROPOUT = 0.2
OPTIONS = ("dropout", "batch normalization", "monitor", "tracking")


class Case(NamedTuple):
    """A network and how it is trained."""

    n_features: int
    hidden: tuple[int, ...]
    n_outputs: int  # classes or targets
    batch_size: int
    n_samples: int  # a multiple of the batch size, since some peers compile for one shape
    epochs: int  # of a timed training
    solver: str = "adam"
    regression: bool = False
    option: str = ""  # one of OPTIONS; the case is then also timed without it

    @property
    def name(self) -> str:
        """Network, batch, solver and option."""
        network = "-".join(map(str, (self.n_features, *self.hidden, self.n_outputs)))
        batch = "full batch" if self.n_batches == 1 else f"batch {self.batch_size}"
        parts = (network + " regression" * self.regression, batch, self.solver, self.option)
        return ", ".join(part for part in parts if part)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of all layers; two classes are one logistic unit, as in scikit-learn."""
        return (self.n_features, *self.hidden, 1 if self.is_binary else self.n_outputs)

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes."""
        return not self.regression and self.n_outputs == 2

    @property
    def n_batches(self) -> int:
        """Steps per epoch."""
        return self.n_samples // self.batch_size

    @property
    def learning_rate(self) -> float:
        """The solver's learning rate."""
        return LEARNING_RATES[self.solver]


CASES = (
    # Batches of one row, small, usual and of all rows. Trainings are long enough that the checks at the start of a fit,
    # which only the estimators have, take a few percent at most.
    Case(8, (16,), 1, 1, 1_000, 20, regression=True),
    Case(8, (16,), 1, 32, 3_200, 60, regression=True),
    Case(8, (16,), 1, 200, 4_000, 200, regression=True),
    Case(8, (16,), 1, 4_000, 4_000, 300, regression=True),
    Case(30, (100,), 2, 1, 1_000, 20),
    Case(30, (100,), 2, 32, 3_200, 60),
    Case(30, (100,), 2, 200, 4_000, 150),
    Case(30, (100,), 2, 4_000, 4_000, 100),
    Case(30, (64, 64), 2, 32, 3_200, 50),
    *(
        Case(64, (100,), 10, batch_size, n_samples, epochs, solver)
        for solver in ("adam", "sgd")
        for batch_size, n_samples, epochs in (
            (32, 3_200, 15),
            (200, 4_000, 80),
            (512, 4_096, 80),
            (4_096, 4_096, 40),
        )
    ),
    Case(30, (100,), 5, 200, 4_000, 50, regression=True),
    Case(30, (128, 128), 1, 200, 4_000, 30, regression=True),
    Case(30, (256, 256, 256), 2, 256, 8_192, 4),
    Case(784, (100,), 10, 200, 6_000, 15),
    Case(784, (512, 512), 10, 128, 4_096, 4),
    Case(784, (512, 512), 10, 128, 4_096, 4, "sgd"),
    Case(784, (1024, 1024), 10, 512, 4_096, 4),
    *(Case(64, (100,), 10, 200, 4_000, 80, option=option) for option in OPTIONS),
    *(Case(30, (256, 256, 256), 2, 256, 8_192, 4, option=option) for option in OPTIONS),
)


class Data(NamedTuple):
    """Features, and class numbers or real targets."""

    X: Any
    y: np.ndarray


def make_data(case: Case, form: str = "float32") -> Data:
    """Return random features with targets that a network can learn; `form` is "float32", "float64" or "frame"."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.n_samples, case.n_features))
    raw = np.tanh(X @ rng.standard_normal((case.n_features, case.n_outputs)) / np.sqrt(case.n_features))
    if case.regression:
        y = (raw[:, 0] if case.n_outputs == 1 else raw).astype("float32" if form == "float32" else "float64")
    else:
        y = (raw[:, 0] > 0.0).astype(np.int64) if case.is_binary else raw.argmax(axis=1)
    if form == "frame":
        import pandas as pd

        return Data(pd.DataFrame(X, columns=[f"x{i}" for i in range(case.n_features)]), y)
    return Data(X.astype(form), y)


def targets(case: Case, y: np.ndarray) -> np.ndarray:
    """Return float32 targets with a column for each output unit: values, 0 and 1, or one-hot classes."""
    if case.regression or case.is_binary:
        return y.reshape(case.n_samples, -1).astype(np.float32)
    return np.eye(case.n_outputs, dtype=np.float32)[y]


def initial_weights(case: Case, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights (n_in, n_out) and biases of each layer: Glorot uniform, biases too, as in scikit-learn."""
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out in pairwise(case.sizes):
        bound = np.sqrt(6.0 / (n_in + n_out))
        shapes = ((n_in, n_out), (n_out,))
        layers.append(tuple(rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes))
    return layers


def predictions(case: Case, raw: np.ndarray) -> np.ndarray:
    """Apply the link to raw outputs: return values, or the probability of each class."""
    raw = raw.astype(np.float64)
    if case.regression:
        return raw
    if case.is_binary:
        raw = np.hstack([np.zeros_like(raw), raw])
    probabilities = np.exp(raw - raw.max(axis=1, keepdims=True))
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def final_loss(case: Case, y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean over rows of half the squared error, summed over outputs, or of the log loss."""
    if case.regression:
        difference = predicted.reshape(case.n_samples, -1) - y.reshape(case.n_samples, -1)
        return float(0.5 * np.square(difference, dtype=np.float64).sum() / case.n_samples)
    chosen = predicted[np.arange(case.n_samples), y].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())
