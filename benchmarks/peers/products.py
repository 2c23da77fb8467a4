"""The matrix products of a training step alone, by NumPy: a lower limit for steps built on these products."""

from itertools import pairwise

import numpy as np

from benchmarks.cases import Case, Data, initial_weights


class Peer:
    """Forward pass, weight gradients and error signals, written to existing arrays."""

    def __init__(self, case: Case, data: Data) -> None:
        self.steps = []
        weights = [W for W, _ in initial_weights(case, 0)]
        gradients = [np.empty(shape, np.float32) for shape in pairwise(case.sizes)]
        outputs, deltas = ([np.ones((case.batch_size, n), np.float32) for n in case.sizes[1:]] for _ in range(2))
        for X in np.split(data.X, case.n_batches):
            inputs = [X, *outputs[:-1]]
            self.steps.append(
                [
                    *zip(inputs, weights, outputs, strict=True),
                    *((delta, W.T, below) for below, delta, W in zip(deltas, deltas[1:], weights[1:], strict=False)),
                    *((rows.T, delta, grad) for rows, delta, grad in zip(inputs, deltas, gradients, strict=True)),
                ]
            )

    def start(self, seed: int) -> None: ...

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            for products in self.steps:
                for left, right, product in products:
                    np.dot(left, right, out=product)
        return epochs

    def predict(self) -> None: ...
