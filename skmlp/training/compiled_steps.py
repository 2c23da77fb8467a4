"""Networks, losses and solvers as arrays for :mod:`skmlp.compiled`, and the steps it computes with them.

Nothing is computed here. What the compiled functions do not know is left to NumPy: layers other than dense ones with
normalization, activation and dropout, most losses, and sparse data as a whole; of solvers only the update.
"""

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray, IntArray
from skmlp.compiled import activations, losses, network, normalization, products, solvers, steps
from skmlp.nn import activations as reference
from skmlp.nn.layers import ActivationLayer, BatchNormalization, Dense, Dropout, LayerNormalization
from skmlp.nn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skmlp.nn.network import Network, Units
from skmlp.nn.objective import BLOCK_ROWS, Objective
from skmlp.nn.parameters import Parameters
from skmlp.optim.schedules import Scheduled, Time
from skmlp.optim.solvers import Solver
from skmlp.optim.transforms import DecayWeights, ScaleByAdam, ScaleByLearningRate, ScaleByRMS, Trace
from skmlp.training.batches import Batches, Data
from skmlp.training.steps import Buffers, Evaluation, Steps, Sums

if TYPE_CHECKING:
    from skmlp.training.trainer import Trainer, TrainingState

__all__ = ["CompiledSteps", "compiled_steps"]

# Multiplications that one call may take: a tenth of a second at most or so, that a fit can be interrupted and a limit
# on its time is kept. Other work costs as much as so many of them, for each number that passes through a layer, and for
# each step.
WORK, WORK_PER_NUMBER, WORK_PER_STEP = 500_000_000, 30, 50_000

# Random numbers for dropout that are drawn at a time, so that memory stays bounded.
DRAWN = 1_000_000

# Bytes, and so many elements of float32, that arrays in the memory are aligned to.
CACHE_LINE, ALIGNMENT = 64, 16

_ONE_STEP = np.zeros(1)

_LOSSES: dict[type, int] = {
    SquaredError: losses.SQUARED_ERROR,
    BinaryLogLoss: losses.BINARY_LOG_LOSS,
    MultinomialLogLoss: losses.MULTINOMIAL_LOG_LOSS,
}
_LINKS = (DecayWeights, ScaleByAdam, ScaleByLearningRate, ScaleByRMS, Trace)
# The number of each activation, and the two constants of its own.
_ACTIVATIONS: dict[type, tuple[int, Callable[[Any], tuple[float, float]]]] = {
    reference.Identity: (activations.IDENTITY, lambda function: (0.0, 0.0)),
    reference.Logistic: (activations.LOGISTIC, lambda function: (0.0, 0.0)),
    reference.Tanh: (activations.TANH, lambda function: (0.0, 0.0)),
    reference.ReLU: (activations.RELU, lambda function: (0.0, 0.0)),
    reference.LeakyReLU: (activations.LEAKY_RELU, lambda function: (function.negative_slope, 0.0)),
    reference.ELU: (activations.SCALED_ELU, lambda function: (1.0, function.alpha)),
    reference.SELU: (activations.SCALED_ELU, lambda function: (function.scale, function.scale * function.alpha)),
    reference.SiLU: (activations.SILU, lambda function: (0.0, 0.0)),
    reference.Softplus: (activations.SOFTPLUS, lambda function: (0.0, 0.0)),
    reference.Mish: (activations.MISH, lambda function: (0.0, 0.0)),
}
# Of GELU by its form.
_GELU: dict[str, tuple[int, tuple[float, float]]] = {
    "none": (activations.GELU, (math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi))),
    "tanh": (activations.GELU_TANH, (math.sqrt(2.0 / math.pi), 0.044715)),
}


def compiled_steps(
    trainer: "Trainer", state: "TrainingState", batches: Batches, buffers: Buffers
) -> "CompiledSteps | None":
    """Return the compiled steps of a training; None where there are none for its objective or its data."""
    params, data = state.params, batches.data
    if not isinstance(data.X, np.ndarray) or data.X.dtype != params.vector.dtype or not data.X.flags.c_contiguous:
        return None
    kept = buffers.compiled
    if kept is None or kept.objective is not trainer.objective or kept.vector is not params.vector:
        n_rows = max(batches.largest, buffers.n_samples)
        arrays = objective_as_arrays(trainer.objective, params, n_rows)
        kept = buffers.compiled = _Kept(trainer.objective, params.vector, arrays)
    return None if kept.arrays is None else CompiledSteps(trainer, state, batches, buffers, kept.arrays)


class _Kept(NamedTuple):
    """What is used again by the next training with the same buffers."""

    objective: Objective
    vector: FloatArray
    arrays: steps.Objective | None


class CompiledSteps(Steps):
    """The steps of an epoch in machine code.

    Parameters
    ----------
    trainer : Trainer
    state : TrainingState
    batches : Batches
    buffers : Buffers
    objective : steps.Objective
    """

    def __init__(
        self,
        trainer: "Trainer",
        state: "TrainingState",
        batches: Batches,
        buffers: Buffers,
        objective: steps.Objective,
    ) -> None:
        super().__init__(trainer, state, batches, buffers)
        self._objective, self._now = objective, trainer.objective
        self._dtype = state.params.vector.dtype
        self._n_dropped = _n_dropped(objective)
        self._rows = _rows(batches.data, objective.loss)
        solver = solver_as_arrays(trainer.solver, state.solver_state, self._dtype)
        self._updates = solver is not None
        self._compiled_solver = solver or _no_solver(self._dtype)
        self._evaluation = np.zeros(4)
        self._order: IntArray = np.empty(0, np.int64)
        if self._updates:
            numbers = sum(layer.n_out for layer in self._network.layers) + self._network.n_in
            a_row = 3 * state.params.n_weights + WORK_PER_NUMBER * numbers
            work = batches.batch_size * a_row + WORK_PER_STEP
            drawn = max(1, batches.batch_size * self._n_dropped)
            self.n_together = max(1, min(WORK // work, DRAWN // drawn))

    def begin_epoch(self) -> None:
        self._order, self.n_left = self._batches.order(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        if objective is not self._now:  # settings that follow a schedule
            self._objective, self._now = _at_this_time(self._objective, objective), objective
            self._n_dropped = _n_dropped(self._objective)
        start, stop = self._last = self._next_batch()
        before, uniforms = self._draw(stop - start)
        sums = np.zeros(steps.N_SUMS)
        self._take(steps.EVALUATE, _ONE_STEP, uniforms, sums)
        self._go_back(before, uniforms, sums)
        self.n_left -= 1
        return self._last_evaluation()

    def update(self, learning_rate: float, time: tuple[()] | tuple[Time]) -> None:
        if not self._updates:
            super().update(learning_rate, time)
            return
        if time:
            solver = solver_as_arrays(self._solver.at(*time), self._state.solver_state, self._dtype)
            assert solver is not None
            self._compiled_solver = solver
        nothing = np.empty(0, self._dtype)
        self._take(steps.UPDATE, np.array([learning_rate]), nothing, np.zeros(steps.N_SUMS))
        self._state.solver_state["count"] += 1

    def run(self, learning_rates: FloatArray, sums: Sums) -> Evaluation:
        n_before, start = sums.n_steps, self._next_batch()[0]
        before, uniforms = self._draw(self._next_batch(len(learning_rates) - 1)[1] - start)
        values = np.append(sums.as_array(), [0.0, 0.0])
        try:
            self._take(steps.WHOLE, learning_rates, uniforms, values)
        finally:  # also when the user interrupts, of which Python hears when the call is over
            self._go_back(before, uniforms, values)
            sums.set(values[: steps.N_DRAWN])
            self._state.solver_state["count"] += sums.n_steps - n_before
            self.n_left -= int(values[steps.N_BATCHES])
        is_lost = values[steps.N_BATCHES] < len(learning_rates)
        self._last = self._next_batch(0 if is_lost else -1)
        return self._last_evaluation()

    def _last_evaluation(self) -> Evaluation:
        weight, loss, penalty, norm = self._evaluation.tolist()
        return Evaluation(self._last[1] - self._last[0], weight, loss, penalty, norm)

    def _take(self, parts: int, rates: FloatArray, uniforms: FloatArray, sums: FloatArray) -> None:
        """Take steps, or a part of one, from the next batch on."""
        state, batches = self._state, self._batches
        steps.take_steps(
            parts,
            self._objective,
            self._compiled_solver,
            state.params.trained,
            self.grad.trained,
            self._rows,
            self._order,
            batches.batch_size,
            batches.smallest,
            batches.n_batches - self.n_left,
            rates,
            state.solver_state["count"],
            uniforms,
            self._evaluation,
            sums,
        )

    def _next_batch(self, ahead: int = 0) -> tuple[int, int]:
        return self._batches.rows(self._batches.n_batches - self.n_left + ahead)

    def _draw(self, n_rows: int) -> tuple[Any, FloatArray]:
        """Draw the random numbers of dropout for that many rows; return them and the state of the stream before."""
        n_numbers, dtype = n_rows * self._n_dropped, self._dtype
        if n_numbers == 0:
            return None, np.empty(0, dtype)
        rng = self._state.dropout_rng
        return rng.bit_generator.state, rng.random(n_numbers, dtype=dtype.type)

    def _go_back(self, before: Any, uniforms: FloatArray, sums: FloatArray) -> None:
        """Leave the stream of dropout as if only the numbers that were used had been drawn."""
        n_used = int(sums[steps.N_DRAWN])
        if n_used < uniforms.size:
            rng = self._state.dropout_rng
            rng.bit_generator.state = before
            rng.random(n_used, dtype=self._dtype.type)

    def units(self) -> list[Units]:
        layers = self._objective.layers
        capacity = self._objective.block.X.shape[0]
        n_rows = (self._last[1] - self._last[0] - 1) % capacity + 1  # of the last block
        functions = [layer.activation for layer in self._network.layers if isinstance(layer, ActivationLayer)]
        units: list[Units] = []
        for row, function in zip(layers.table, [*functions, None], strict=True):
            n_units = row[network.N_OUT]
            output, slopes = (
                layers.memory[row[column] : row[column] + n_rows * n_units].reshape(n_rows, n_units)
                for column in (network.OUTPUT, network.SLOPES)
            )
            units.append(Units(output, function, None if function is None else slopes))
        return units

    def find_non_finite(self, objective: Objective, value: float) -> str:
        rows = self._order[slice(*self._last)] if self._order.size else slice(*self._last)
        self._X = self._batches.data.X[rows]
        return super().find_non_finite(objective, value)


def objective_as_arrays(objective: Objective, params: Parameters, n_rows: int) -> steps.Objective | None:
    """Return an objective for batches of `n_rows` rows as arrays; None when the compiled functions do not know it."""
    if type(objective) is not Objective or type(objective.network) is not Network:
        return None  # they may compute something else
    number = _LOSSES.get(type(objective.loss))
    capacity = n_rows if objective.network.couples_rows else min(n_rows, BLOCK_ROWS)
    layers = _layers(objective.network, params, capacity)
    if number is None or layers is None:
        return None
    dtype, n_raw = params.vector.dtype, objective.network.n_out
    block = steps.Rows(
        np.empty((capacity, objective.network.n_in), dtype),
        np.empty((0, 0) if number == losses.MULTINOMIAL_LOG_LOSS else (capacity, n_raw), dtype),
        np.empty(capacity if number == losses.MULTINOMIAL_LOG_LOSS else 0, np.int64),
        np.empty(capacity, dtype),
    )
    block_gradient = np.empty(params.n_trained if n_rows > capacity else 0, dtype)
    alphas = float(objective.alpha), float(objective.alpha_l1)
    found = steps.Objective(layers, number, 0.0, *alphas, params.n_weights, block, block_gradient)
    return found if objective.is_scheduled else _at_this_time(found, objective)


def _at_this_time(arrays: steps.Objective, objective: Objective) -> steps.Objective:
    """Return the arrays with the settings of `objective` that may follow a schedule."""
    rates = np.zeros(len(arrays.layers.table))
    index = -1
    for layer in objective.network.layers:
        index += isinstance(layer, Dense)
        if isinstance(layer, Dropout):
            rates[index] = layer.rate
    smoothing = float(getattr(objective.loss, "label_smoothing", 0.0))
    return arrays._replace(layers=arrays.layers._replace(dropout=rates), smoothing=smoothing)


def _n_dropped(objective: steps.Objective) -> int:
    """Return how many random numbers dropout needs for a row."""
    layers = objective.layers
    return int(layers.table[layers.dropout > 0.0, network.N_OUT].sum())


def solver_as_arrays(solver: Solver, state: dict[str, Any], dtype: DTypeLike) -> steps.Solver | None:
    """Return a solver on its state as arrays; None when the compiled functions do not know it."""
    if type(solver).update is not Solver.update:
        return None  # it takes its steps in a way of its own
    links, states = list(solver.links), state["links"]
    if any(type(link) not in _LINKS for link in links):
        return None
    weight_decay: Any = 0.0
    if isinstance(links[0], DecayWeights):
        weight_decay, links, states = links[0].weight_decay, links[1:], states[1:]
    settings, first, second = [0.0] * 4, None, None
    match links:
        case [ScaleByLearningRate()]:
            number = solvers.PLAIN
        case [ScaleByLearningRate(), Trace() as trace]:
            number = solvers.NESTEROV if trace.nesterov else solvers.MOMENTUM
            settings[0], first = trace.momentum, states[1]["velocity"]
        case [ScaleByRMS() as link, ScaleByLearningRate()]:
            number, second = solvers.RMSPROP, states[0]["nu"]
            settings = [0.0, link.decay, link.epsilon, link.epsilon_root]
        case [ScaleByAdam() as link, ScaleByLearningRate()]:
            number, first, second = solvers.ADAM, states[0]["mu"], states[0]["nu"]
            settings = [link.beta_1, link.beta_2, link.epsilon, link.epsilon_root]
        case _:
            return None
    return _no_solver(dtype)._replace(
        number=number,
        settings=np.array([_number(each) for each in settings]),
        weight_decay=_number(weight_decay),
        **{name: each for name, each in (("first", first), ("second", second)) if each is not None},
    )


def _no_solver(dtype: DTypeLike) -> steps.Solver:
    """Return a solver without settings and state."""
    return steps.Solver(solvers.PLAIN, np.zeros(4), 0.0, np.empty(0, dtype), np.empty(0, dtype))


def _number(setting: Any) -> float:
    """Return a setting; NaN for one that follows a schedule, of which every step has its own value."""
    return math.nan if isinstance(setting, Scheduled) else float(setting)


def _rows(data: Data, loss: int) -> steps.Rows:
    """Return the data for the compiled functions."""
    X, y, weight = data
    # numba would compile once more for data that must not be written to, such as a memory-mapped file.
    X = X.view()
    X.flags.writeable = False
    codes = loss == losses.MULTINOMIAL_LOG_LOSS
    return steps.Rows(
        X,
        np.empty((0, 0), X.dtype) if codes else np.ascontiguousarray(y, X.dtype),
        np.ascontiguousarray(y, np.int64) if codes else np.empty(0, np.int64),
        np.empty(0, X.dtype) if weight is None else np.ascontiguousarray(weight, X.dtype),
    )


def _layers(dense_network: Network, params: Parameters, n_rows: int) -> network.Layers | None:
    """Return the table of a network, with memory for `n_rows` rows."""
    table: list[list[int]] = []
    constants: list[tuple[float, ...]] = []
    settings: list[tuple[float, float]] = []
    size = 0

    def place(n_numbers: int) -> int:
        nonlocal size
        start = size
        size += -(-n_numbers // ALIGNMENT) * ALIGNMENT
        return start

    for layer, views in zip(dense_network.layers, params.layers, strict=True):
        row = table[-1] if table else []
        is_linear = bool(row) and row[network.ACTIVATION] == network.NONE
        if isinstance(layer, Dense):
            if is_linear:
                return None
            row = [0] * network.N_COLUMNS
            row[network.N_IN], row[network.N_OUT] = layer.n_in, layer.n_out
            row[network.ACTIVATION] = row[network.MASK] = network.NONE
            row[network.NORMALIZATION] = normalization.NONE
            row[network.WEIGHTS] = _offset(params.vector, views["weights"])
            row[network.BIASES] = _offset(params.vector, views["biases"])
            row[network.OUTPUT], row[network.DELTA] = place(n_rows * layer.n_out), place(n_rows * layer.n_out)
            table.append(row)
            constants.append((0.0,) * activations.N_CONSTANTS)
            settings.append((0.0, 0.0))
        elif (
            isinstance(layer, BatchNormalization | LayerNormalization)
            and is_linear
            and row[network.NORMALIZATION] == normalization.NONE
        ):
            row[network.NORMALIZATION] = normalization.LAYER
            settings[-1] = layer.epsilon, 0.0
            row[network.SCALE] = _offset(params.vector, views["scale"])
            row[network.OFFSET] = _offset(params.vector, views["offset"])
            row[network.NORMALIZED], row[network.DEVIATION] = place(n_rows * layer.n_out), place(n_rows)
            if isinstance(layer, BatchNormalization):
                row[network.NORMALIZATION] = normalization.BATCH
                settings[-1] = layer.epsilon, layer.momentum
                row[network.DEVIATION] = place(2 * layer.n_out)
                row[network.RUNNING_MEAN] = _offset(params.statistics, views["running_mean"])
                row[network.RUNNING_VARIANCE] = _offset(params.statistics, views["running_variance"])
        elif isinstance(layer, ActivationLayer) and is_linear:
            known = _activation(layer.activation)
            if known is None:
                return None
            row[network.ACTIVATION], constants[-1] = known
            row[network.SLOPES] = place(n_rows * layer.n_out)
        elif isinstance(layer, Dropout) and row and not is_linear and row[network.MASK] == network.NONE:
            row[network.MASK], row[network.DROPPED] = place(n_rows * layer.n_out), place(n_rows * layer.n_out)
        else:
            return None
    last = table[-1]
    if last[network.ACTIVATION] != network.NONE or last[network.NORMALIZATION] != normalization.NONE:
        return None
    dtype = params.vector.dtype
    longest = max(n_rows, *(row[column] for row in table for column in (network.N_IN, network.N_OUT)))
    return network.Layers(
        np.array(table),
        np.array(constants, dtype),
        np.array(settings),
        np.zeros(len(table)),
        params.statistics,
        _aligned(size, dtype),
        _aligned(products.panel_size(longest, dtype.itemsize), dtype),
        products.LARGE if _n_cores() > 1 else products.LARGE_ALONE,
    )


def _n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _aligned(size: int, dtype: np.dtype) -> FloatArray:
    """Return an array that begins where a line of the cache does."""
    vector = np.empty(size + ALIGNMENT, dtype)
    start = -vector.__array_interface__["data"][0] % CACHE_LINE // dtype.itemsize
    return vector[start : start + size]


def _activation(function: reference.Activation) -> tuple[int, tuple[float, ...]] | None:
    """Return the number and the constants of an activation; None when it is none of the built-in ones."""
    if type(function) is reference.GELU:
        number, own = _GELU[function.approximate]
    elif type(function) in _ACTIVATIONS:
        number, constants = _ACTIVATIONS[type(function)]
        own = constants(function)
    else:
        return None
    return number, (0.0, 0.5, 1.0, *own)


def _offset(vector: FloatArray, view: FloatArray) -> int:
    """Return where in `vector` a view of it begins."""
    begins = [array.__array_interface__["data"][0] for array in (vector, view)]
    return int(begins[1] - begins[0]) // vector.itemsize
