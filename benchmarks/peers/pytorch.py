"""PyTorch: a minimal training loop with fused optimizers.

The rows are shuffled once per epoch and split into views, which is faster than a gather for each batch.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.cases import DROPOUT, MOMENTUM, Case, Data, initial_weights, predictions, targets


class Peer:
    """A Sequential; `compiled` compiles it with the loss."""

    def __init__(self, case: Case, data: Data, *, compiled: bool = False) -> None:
        self.case = case
        self.network = build(case)
        self.loss = torch.compile(self._loss, dynamic=False) if compiled else self._loss
        self.X = torch.from_numpy(data.X)
        several_classes = not (case.regression or case.is_binary)
        self.y = torch.from_numpy(data.y if several_classes else targets(case, data.y))
        # mse_loss is a mean over outputs without the factor 1/2; the initial gradient corrects that at no cost.
        self.seed = torch.tensor(0.5 * case.n_outputs if case.regression else 1.0)

    def _loss(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        raw = self.network(X)
        if self.case.regression:
            return F.mse_loss(raw, y)
        return F.binary_cross_entropy_with_logits(raw, y) if self.case.is_binary else F.cross_entropy(raw, y)

    def start(self, seed: int) -> None:
        torch.manual_seed(seed)
        dense = [layer for layer in self.network if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer, (W, b) in zip(dense, initial_weights(self.case, seed), strict=True):
                layer.weight.copy_(torch.from_numpy(W.T))
                layer.bias.copy_(torch.from_numpy(b))
        for layer in self.network:
            if isinstance(layer, nn.BatchNorm1d):
                layer.reset_parameters()
        params, rate = self.network.parameters(), self.case.learning_rate
        if self.case.solver == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(params, rate, fused=True)
        else:
            self.optimizer = torch.optim.SGD(params, rate, momentum=MOMENTUM, nesterov=True, fused=True)
        self.network.train()

    def train(self, epochs: int) -> int:
        X, y, batch_size = self.X, self.y, self.case.batch_size
        for _ in range(epochs):
            if self.case.n_batches > 1:
                order = torch.randperm(self.case.n_samples)
                X, y = self.X[order], self.y[order]
            for rows, wanted in zip(X.split(batch_size), y.split(batch_size), strict=True):
                self.loss(rows, wanted).backward(self.seed)
                self.optimizer.step()
                self.optimizer.zero_grad()
        return epochs

    def predict(self) -> np.ndarray:
        with torch.no_grad():
            return predictions(self.case, self.network.eval()(self.X).numpy())


def build(case: Case) -> nn.Sequential:
    """Return the network of a case."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(case.sizes):
        layers.append(nn.Linear(n_in, n_out))
        if case.option == "batch normalization":
            layers.append(nn.BatchNorm1d(n_out))
        layers.append(nn.ReLU())
        if case.option == "dropout":
            layers.append(nn.Dropout(DROPOUT))
    # The output layer is linear.
    while not isinstance(layers[-1], nn.Linear):
        layers.pop()
    return nn.Sequential(*layers)
