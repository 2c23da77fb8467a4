"""A forward and a backward pass, layer by layer as in the network, that records every intermediate value."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.nn.layers import Batch, LayerTrace, Quantity
from skmlp.nn.nodes import Node
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters

__all__ = ["Step", "record"]

Part = Literal["Forward", "Loss", "Backward"]


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
    part: Part

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
    recorder = _Recorder(objective, params, X, y, sample_weight)
    recorder.record()
    return recorder.steps


class _Recorder:
    """Watches the passes of a network. Layers and losses describe what they compute."""

    def __init__(
        self, objective: Objective, params: Parameters, X: Any, y: AnyArray, sample_weight: FloatArray | None
    ) -> None:
        self.objective, self.params, self.grad = objective, params, params.like()
        self.X, self.y, self.weight = X, y, sample_weight
        self.total = float(X.shape[0] if sample_weight is None else sample_weight.sum(dtype=np.float64))
        weights = None if sample_weight is None else sample_weight / self.total
        self.batch = Batch(None, weights, self.total) if objective.network.has_modes else None
        self.numbers = params.layer_numbers
        self.steps: list[Step] = []
        self.names, self.values = ["a_0"], [X]  # of the data and of the layers' outputs
        # Of each value: how its error signal comes from those of its readers, and what it is called.
        self.formulas: defaultdict[int, list[str]] = defaultdict(list)
        self.signals: dict[int, str] = {}

    def record(self) -> None:
        """Do both passes."""
        objective, network = self.objective, self.objective.network
        workspace = objective.workspace(self.X.shape[0], self.params.vector.dtype)
        start = self.params.on(self.params.vector.copy())
        loss, penalty = objective.value_and_gradient(start, self.X, self.y, self.weight, workspace, self.grad)
        data = self.X if isinstance(self.X, np.ndarray) else self.X.toarray()
        self._add("Forward", 0, [Quantity("a_0", "X", "the data", data)])
        memories = workspace.rows(self.X.shape[0])

        def watch_forward(node: Node, output: FloatArray) -> None:
            self._forward(node, output, memories[node.index])

        activations = network.forward(self.params, self.X, workspace, self.batch, watch_forward)
        delta = self._loss(activations[-1], loss, penalty)
        scratch, before = self.params.like(), list[Node]()

        def watch_backward(node: Node, signal: FloatArray) -> None:
            if before:
                self._backward(before.pop(), memories)
            self._signal(node.index + 1, signal)
            before.append(node)

        network.backward(self.params, activations, delta, workspace, scratch, self.batch, watch=watch_backward)
        self._backward(before.pop(), memories)

    def _add(self, part: Part, layer: int | None, quantities: Iterable[Quantity]) -> None:
        """Keep steps, with copies of the values."""
        for name, formula, meaning, value in quantities:
            kept = value.copy() if isinstance(value, np.ndarray) else value
            self.steps.append(Step(name, formula, meaning, kept, layer, part))

    def _trace(self, node: Node, output: FloatArray, memory: tuple[FloatArray, ...]) -> LayerTrace:
        x = tuple(self.values[value] for value in node.inputs)
        params, grads = self.params.layers[node.index], self.grad.layers[node.index]
        return LayerTrace(params, grads, x, output, memory, self.batch, self._penalty_gradient)

    def _sources(self, node: Node) -> tuple[str, ...]:
        return tuple(self.names[value] for value in node.inputs)

    def _forward(self, node: Node, output: FloatArray, memory: tuple[FloatArray, ...]) -> None:
        number, trace = self.numbers[node.index], self._trace(node, output, memory)
        quantities = node.layer.describe_forward(number, self._sources(node), trace)
        if node.index == len(self.numbers) - 1:
            quantities[-1] = quantities[-1]._replace(meaning="raw outputs")
        self._add("Forward", number, quantities)
        self.names.append(quantities[-1].name)
        self.values.append(output.copy())

    def _loss(self, raw: FloatArray, mean_loss: float, penalty: float) -> FloatArray:
        """Record the loss and return the error signal of the raw outputs."""
        loss, z, last = self.objective.loss, self.names[-1], len(self.numbers)
        delta = np.empty_like(raw)
        losses = loss.loss_and_gradient(self.y, raw, delta)
        delta *= 1.0 / self.total if self.weight is None else (self.weight / self.total)[:, np.newaxis]
        weighted, of_weights = ("loss_i", "/ S") if self.weight is None else ("s_i loss_i", "* s / S")
        weights = [] if self.weight is None else [Quantity("s", "", "sample weights", self.weight)]
        self._add(
            "Loss",
            None,
            [
                Quantity("prediction", loss.link_formula(z), f"the {loss.link} link", loss.predict(raw)),
                Quantity("y", "", "targets, as the loss takes them", self.y),
                Quantity("loss", loss.formula or f"{loss!r}.loss(y, {z})", "loss of each row", losses),
                *weights,
                Quantity("S", "n" if self.weight is None else "sum_i s_i", "total weight", self.total),
                Quantity("mean loss", f"sum_i {weighted} / S", "over the batch", mean_loss),
                Quantity("penalty", self._penalty(), self._strengths(), penalty),
                Quantity("objective", "mean loss + penalty", "what training minimizes: L", mean_loss + penalty),
            ],
        )
        self.formulas[last].append(f"{loss.derivative_formula or f'dloss/d{z}'} {of_weights}")
        return delta

    def _signal(self, value: int, signal: FloatArray) -> None:
        """Record the error signal of a value."""
        name, formulas = self.names[value], self.formulas[value]
        if value in self.signals and len(formulas) == 1:
            return  # it is that of its only reader's output
        is_pre_activation = name.startswith("z")
        self.signals[value] = name.replace("z", "delta") if is_pre_activation else f"dL/d{name}"
        meaning = f"error signal dL/d{name}" if is_pre_activation else f"error signal of {name}"
        number = self.numbers[value - 1]
        self._add("Backward", number, [Quantity(self.signals[value], " + ".join(formulas), meaning, signal)])

    def _backward(self, node: Node, memories: list[tuple[FloatArray, ...]]) -> None:
        """Record what the backward pass of a layer computed besides error signals."""
        trace = self._trace(node, self.values[node.index + 1], memories[node.index])
        number, signal = self.numbers[node.index], self.signals[node.index + 1]
        quantities, formulas = node.layer.describe_backward(number, self._sources(node), signal, trace)
        self._add("Backward", number, quantities)
        for value, formula in zip(node.inputs, formulas, strict=True):
            # The last formula is that of the first reader, whose sum with the others is the error signal.
            self.formulas[value].insert(0, formula or signal)
            if formula is None:
                self.signals[value] = signal

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

    def _penalty_gradient(self, weight: str) -> str:
        terms = f" + alpha {weight} / S" if self.objective.alpha else ""
        return terms + (f" + alpha_l1 sign({weight}) / S" if self.objective.alpha_l1 else "")
