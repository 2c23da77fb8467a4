"""A forward and a backward pass, layer by layer as in the network, that records every intermediate value."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np
from scipy import sparse

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.layers import (
    ActivationLayer,
    BatchNormalization,
    Dense,
    LayerNormalization,
    Residual,
    TrainingPass,
)
from skmlp.nn.losses import (
    AbsoluteError,
    BinaryLogLoss,
    GammaDeviance,
    Hinge,
    Huber,
    LogCosh,
    Loss,
    MulticlassHinge,
    MultinomialLogLoss,
    PoissonDeviance,
    SquaredError,
)
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters

__all__ = ["Step", "record"]


@dataclass(frozen=True, eq=False)
class Step:
    """An intermediate value.

    Attributes
    ----------
    name : str
        The name in ``docs/derivation.md``, for example ``"delta_2"``.
    formula : str
        How it is computed from earlier steps; empty for data and parameters.
    meaning : str
        A description.
    value : ndarray or float
    layer : int or None
        The dense layer it belongs to, counted from 1; 0 for the data, None for the loss.
    part : {"Forward", "Loss", "Backward"}
    """

    name: str
    formula: str
    meaning: str
    value: Any
    layer: int | None
    part: Literal["Forward", "Loss", "Backward"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value; empty for a number."""
        return np.shape(self.value)

    def heading(self) -> str:
        """Return the heading under which the step is printed."""
        return self.part if self.layer is None else f"{self.part}, layer {self.layer}" if self.layer else "Data"


def record(
    objective: Objective, params: Parameters, X: Any, y: AnyArray, sample_weight: FloatArray | None
) -> list[Step]:
    """Return every step of :meth:`Objective.value_and_gradient` on a mini-batch without dropout, in order."""
    params = params.on(params.vector.copy())  # batch normalization updates its statistics
    grad = params.like()
    workspace = objective.workspace(X.shape[0], params.vector.dtype)
    value = objective.value_and_gradient(params, X, y, sample_weight, workspace, grad)
    passes = _Passes(objective, params, grad, X.shape[0])
    passes.forward(X, sample_weight)
    passes.loss(y, sample_weight, value.loss, value.penalty)
    passes.backward()
    return passes.steps


class _Passes:
    """The two passes. The gradients of the parameters, with their penalties, are those that `grad` holds."""

    def __init__(self, objective: Objective, params: Parameters, grad: Parameters, n_samples: int) -> None:
        self.objective, self.params, self.grad = objective, params, grad
        self.layers = objective.network.layers
        self.numbers = list(accumulate(int(isinstance(layer, Dense)) for layer in self.layers))
        self.memories = objective.network.workspace(n_samples, params.vector.dtype).rows(n_samples)
        self.activations: list[Any] = []
        self.names: list[str] = []  # of the activations
        self.delta: FloatArray = np.empty(0)
        self.steps: list[Step] = []
        self._part: Literal["Forward", "Loss", "Backward"] = "Forward"
        self._layer: int | None = 0

    def add(self, name: str, formula: str, meaning: str, value: Any) -> None:
        """Keep a step, with a copy of the value."""
        kept = value.copy() if isinstance(value, np.ndarray) else value
        self.steps.append(Step(name, formula, meaning, kept, self._layer, self._part))

    # ------------------------------------------------------------------ forward

    def forward(self, X: Any, sample_weight: FloatArray | None) -> None:
        total = _total(X, sample_weight)
        shares = None if sample_weight is None else sample_weight / total
        batch = TrainingPass(None, shares, total) if self.objective.network.has_modes else None
        self.add("a_0", "X", "the data", X.toarray() if sparse.issparse(X) else X)  # type: ignore[attr-defined]
        self.activations, self.names = [X], ["a_0"]
        for index, (layer, views, memory) in enumerate(
            zip(self.layers, self.params.layers, self.memories, strict=True)
        ):
            self._layer = number = self.numbers[index]
            source, x = self.names[-1], self.activations[-1]
            before = x.copy()  # normalizations may overwrite it
            if layer.span:
                x = (x, self.activations[index - layer.span])
            if batch is None:
                output = layer.forward(views, x, memory)
            else:
                output = layer.forward_training(views, x, memory, batch)
            name = source
            if isinstance(layer, Dense):
                name = f"z_{number}"
                self.add(f"W_{number}", "", "weights", views["weights"])
                self.add(f"b_{number}", "", "biases", views["biases"])
                self.add(name, f"{source} W_{number} + b_{number}", self._pre_activations(number), output)
            elif isinstance(layer, (BatchNormalization, LayerNormalization)):
                name = f"z'_{number}"
                self._normalization(layer, number, views, before, layer.z_hat(x, memory), output, shares)
            elif isinstance(layer, ActivationLayer):
                name = f"a_{number}"
                self.add(name, f"{_function(layer.activation)}({source})", "activations", output)
            elif isinstance(layer, Residual):
                name = f"a'_{number}"
                self.add(name, f"{source} + {self.names[index - layer.span]}", "with the block's input", output)
            self.activations.append(output)
            self.names.append(name)

    def _pre_activations(self, number: int) -> str:
        return "raw outputs" if number == self.numbers[-1] else "pre-activations"

    def _normalization(
        self,
        layer: BatchNormalization | LayerNormalization,
        number: int,
        views: Any,
        z: FloatArray,
        z_hat: FloatArray,
        output: FloatArray,
        shares: FloatArray | None,
    ) -> None:
        if isinstance(layer, BatchNormalization):
            over = "the rows" if shares is None else "the rows, by their weights"
            mean = np.average(z, axis=0, weights=shares)
            variance = np.average((z - mean) ** 2, axis=0, weights=shares)
        else:
            over = "the units of each row"
            mean, variance = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
        self.add(f"mu_{number}", f"mean of z_{number}", f"over {over}", mean)
        self.add(f"v_{number}", f"mean of (z_{number} - mu_{number})^2", f"over {over}", variance)
        formula = f"(z_{number} - mu_{number}) / sqrt(v_{number} + {layer.epsilon:g})"
        self.add(f"z_hat_{number}", formula, "normalized", z_hat)
        self.add(f"gamma_{number}", "", "scales", views["scale"])
        self.add(f"beta_{number}", "", "offsets", views["offset"])
        formula = f"gamma_{number} * z_hat_{number} + beta_{number}"
        self.add(f"z'_{number}", formula, "scaled and shifted", output)

    # ------------------------------------------------------------------ loss

    def loss(self, y: AnyArray, sample_weight: FloatArray | None, mean_loss: float, penalty: float) -> None:
        loss, raw = self.objective.loss, self.activations[-1]
        z, total = self.names[-1], _total(raw, sample_weight)
        self._part, self._layer = "Loss", None
        self.delta = np.empty_like(raw)
        losses = loss.loss_and_gradient(y, raw, self.delta)
        self.delta *= 1.0 / total if sample_weight is None else (sample_weight / total)[:, np.newaxis]
        formula, derivative = _loss_formulas(loss, z)
        self.add("prediction", _link_formula(loss, z), f"the {loss.link} link", loss.predict(raw))
        self.add("y", "", "targets, as the loss takes them", y)
        self.add("loss", formula, "loss of each row", losses)
        if sample_weight is not None:
            self.add("s", "", "sample weights", sample_weight)
        self.add("S", "n" if sample_weight is None else "sum_i s_i", "total weight", total)
        weighted = "loss_i" if sample_weight is None else "s_i loss_i"
        self.add("mean loss", f"sum_i {weighted} / S", "over the batch", mean_loss)
        self.add("penalty", self._penalty(), self._strengths(), penalty)
        self.add("objective", "mean loss + penalty", "what is minimised: L", mean_loss + penalty)
        self._part, self._layer = "Backward", self.numbers[-1]
        share = "/ S" if sample_weight is None else "* s / S"
        self.add(f"delta_{self.numbers[-1]}", f"{derivative} {share}", f"error signal dL/d{z}", self.delta)

    def _penalty(self) -> str:
        terms = [
            text
            for text, strength in (
                ("alpha / 2 sum_l |W_l|^2", self.objective.alpha),
                ("alpha_l1 sum_l |W_l|_1", self.objective.alpha_l1),
            )
            if strength
        ]
        return "" if not terms else f"({' + '.join(terms)}) / S"

    def _strengths(self) -> str:
        strengths = {"alpha": self.objective.alpha, "alpha_l1": self.objective.alpha_l1}
        return ", ".join(f"{name} = {strength:g}" for name, strength in strengths.items() if strength) or "none"

    # ------------------------------------------------------------------ backward

    def backward(self) -> None:
        unused = self.params.like()
        skipping: dict[int, tuple[FloatArray, str]] = {}  # what goes past a block, by where the block begins
        signal = f"delta_{self.numbers[-1]}"
        for index in range(len(self.layers) - 1, -1, -1):
            layer, memory = self.layers[index], self.memories[index]
            self._layer = number = self.numbers[index]
            x, output = self.activations[index], self.activations[index + 1]
            views = self.params.layers[index]
            self.delta = layer.backward(views, unused.layers[index], x, output, self.delta, memory, is_first=index == 0)
            if isinstance(layer, Residual):
                skipping[index - layer.span] = layer.skipped(memory).copy(), signal
            elif isinstance(layer, ActivationLayer):
                z = self.names[index]
                self.add(f"sigma'_{number}", f"{_function(layer.activation)}'({z})", "slopes", layer.slopes(memory))
                formula, signal = f"{signal} * sigma'_{number}", z.replace("z", "delta")
                self.add(signal, formula, f"error signal dL/d{z}", self.delta)
            elif isinstance(layer, (BatchNormalization, LayerNormalization)):
                signal = self._normalization_backward(layer, number, index)
            elif isinstance(layer, Dense):
                formula = f"{self.names[index]}^T {signal}{self._penalty_gradient(number)}"
                self.add(f"dL/dW_{number}", formula, "gradient of the weights", self.grad.layers[index]["weights"])
                self.add(
                    f"dL/db_{number}", f"1^T {signal}", "gradient of the biases", self.grad.layers[index]["biases"]
                )
                if index == 0:
                    return
                formula, signal = f"{signal} W_{number}^T", f"dL/d{self.names[index]}"
                if index in skipping:
                    passed, past = skipping[index]
                    self.delta += passed
                    formula += f" + {past}"
                self._layer = number - 1
                self.add(signal, formula, f"error signal of {self.names[index]}", self.delta)

    def _normalization_backward(self, layer: BatchNormalization | LayerNormalization, number: int, index: int) -> str:
        grads = self.grad.layers[index]
        given, normalized = f"delta'_{number}", f"z_hat_{number}"
        d_scale, d_offset = f"dL/dgamma_{number}", f"dL/dbeta_{number}"
        self.add(d_scale, f"1^T ({given} * {normalized})", "gradient of the scales", grads["scale"])
        self.add(d_offset, f"1^T {given}", "gradient of the offsets", grads["offset"])
        deviation = f"sqrt(v_{number} + {layer.epsilon:g})"
        if isinstance(layer, BatchNormalization):
            share = "(s / S)" if any(step.name == "s" for step in self.steps) else "1 / S"
            inner = f"{given} - {share} * ({d_offset} + {normalized} * {d_scale})"
            formula = f"gamma_{number} / {deviation} * ({inner})"
        else:
            formula = (
                f"(d - mean(d) - {normalized} * mean(d * {normalized})) / {deviation}, d = gamma_{number} * {given}"
            )
        self.add(f"delta_{number}", formula, f"error signal dL/dz_{number}", self.delta)
        return f"delta_{number}"

    def _penalty_gradient(self, number: int) -> str:
        terms = f" + alpha W_{number} / S" if self.objective.alpha else ""
        return terms + (f" + alpha_l1 sign(W_{number}) / S" if self.objective.alpha_l1 else "")


def _total(rows: Any, sample_weight: FloatArray | None) -> float:
    return float(rows.shape[0] if sample_weight is None else sample_weight.sum(dtype=np.float64))


def _function(activation: Activation) -> str:
    """Return the activation's name, or how it is made where it has none."""
    return next((name for name, known in ACTIVATIONS.items() if known == activation), repr(activation))


def _link_formula(loss: Loss, z: str) -> str:
    if type(loss).predict is not Loss.predict:
        return f"{loss!r}.predict({z})"
    return z if loss.link == "identity" else f"{loss.link}({z})"


# The loss of a row, and its derivative with respect to the raw outputs z.
_FORMULAS: dict[type[Loss], tuple[str, str]] = {
    SquaredError: ("1/2 sum_k (prediction - y)^2", "(prediction - y)"),
    AbsoluteError: ("sum_k |prediction - y|", "sign(prediction - y)"),
    Huber: ("sum_k c (prediction - y) - c^2 / 2, c = the residual, clipped to [-delta, delta]", "c"),
    LogCosh: ("sum_k log cosh(prediction - y)", "tanh(prediction - y)"),
    PoissonDeviance: ("sum_k y log(y / prediction) - y + prediction", "(prediction - y)"),
    GammaDeviance: ("sum_k log(prediction / y) + y / prediction - 1", "(1 - y / prediction)"),
    BinaryLogLoss: ("sum_k -y log(prediction) - (1 - y) log(1 - prediction)", "(prediction - y)"),
    MultinomialLogLoss: ("-log(prediction of class y)", "(prediction - onehot(y))"),
    Hinge: ("sum_k max(0, 1 - t z), t = 2 y - 1", "(-t where t z < 1, else 0)"),
    MulticlassHinge: (
        "max(0, 1 + strongest rival - z of class y)",
        "(1 for the rival, -1 for class y, inside the margin)",
    ),
}


def _loss_formulas(loss: Loss, z: str) -> tuple[str, str]:
    if type(loss) in _FORMULAS and not getattr(loss, "label_smoothing", 0.0):
        return _FORMULAS[type(loss)]
    return f"{loss!r}.loss(y, {z})", f"dloss/d{z}"
