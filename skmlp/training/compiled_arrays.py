"""Networks, losses, solvers and data as arrays for :mod:`skmlp.compiled`.

Nothing is computed here. What the compiled functions do not know is left to NumPy: layers other than dense ones with
normalization, activation and dropout, most losses, and sparse data as a whole; of solvers only the update. A subclass
of something known may compute something else, and is not known.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skmlp._typing import FloatArray
from skmlp.compiled import NotCompiledError, activations, losses, network, normalization, products, solvers, steps
from skmlp.compiled.intrinsics import BYTES
from skmlp.compiled.team import LINE
from skmlp.nn import activations as reference
from skmlp.nn.layers import ActivationLayer, BatchNormalization, Dense, Dropout, Layer, LayerNormalization
from skmlp.nn.losses import BinaryLogLoss, MultinomialLogLoss, SquaredError
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS, Objective, strongest_penalty
from skmlp.nn.parameters import Parameters
from skmlp.optim.schedules import Scheduled
from skmlp.optim.solvers import Solver
from skmlp.optim.solvers.adam import ScaleByAdam
from skmlp.optim.solvers.base import ScaleByLearningRate
from skmlp.optim.solvers.rmsprop import ScaleByRMS
from skmlp.optim.solvers.sgd import Trace
from skmlp.optim.solvers.weight_decay import DecayWeights
from skmlp.training.batches import Data

__all__ = [
    "at_this_time",
    "no_solver",
    "objective_as_arrays",
    "rows_as_arrays",
    "solver_as_arrays",
    "units_dropped",
]

_LAYERS = (Dense, BatchNormalization, LayerNormalization, ActivationLayer, Dropout)
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


def objective_as_arrays(objective: Objective, params: Parameters, n_rows: int, large: int) -> steps.Objective:
    """Return an objective for batches of `n_rows` rows as arrays.

    BLAS computes products of more than `large` multiplications.

    Raises
    ------
    NotCompiledError
        When the compiled functions do not know it.
    """
    for each, known in ((objective, Objective), (objective.network, Network)):
        if type(each) is not known:  # it may compute something else
            raise NotCompiledError(f"there are no compiled steps for {type(each).__name__}")
    number = _LOSSES.get(type(objective.loss))
    if number is None:
        raise NotCompiledError(f"there are no compiled steps for the loss {type(objective.loss).__name__}")
    capacity = n_rows if objective.network.couples_rows else min(n_rows, BLOCK_ROWS)
    layers = _layers(objective.network, params, capacity, large)
    dtype, n_raw = params.vector.dtype, objective.network.n_out
    block = steps.Rows(
        np.empty((capacity, objective.network.n_in), dtype),
        np.empty((0, 0) if number == losses.MULTINOMIAL_LOG_LOSS else (capacity, n_raw), dtype),
        np.empty(capacity if number == losses.MULTINOMIAL_LOG_LOSS else 0, np.int64),
        np.empty(capacity, dtype),
    )
    block_gradient = np.empty(params.n_trained if n_rows > capacity else 0, dtype)
    alphas = float(objective.alpha), float(objective.alpha_l1), strongest_penalty(dtype)
    found = steps.Objective(layers, number, 0.0, *alphas, params.n_weights, block, block_gradient)
    return found if objective.is_scheduled else at_this_time(found, objective)


def at_this_time(arrays: steps.Objective, objective: Objective) -> steps.Objective:
    """Return the arrays with the settings of `objective` that may follow a schedule."""
    rates = np.zeros(len(arrays.layers.table))
    index = -1
    for layer in objective.network.layers:
        index += isinstance(layer, Dense)
        if isinstance(layer, Dropout):
            rates[index] = layer.rate
    smoothing = float(getattr(objective.loss, "label_smoothing", 0.0))
    return arrays._replace(layers=arrays.layers._replace(dropout=rates), smoothing=smoothing)


def units_dropped(objective: steps.Objective) -> int:
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
    return no_solver(dtype)._replace(
        number=number,
        settings=np.array([_number(each) for each in settings]),
        weight_decay=_number(weight_decay),
        **{name: each for name, each in (("first", first), ("second", second)) if each is not None},
    )


def no_solver(dtype: DTypeLike) -> steps.Solver:
    """Return a solver without settings and state."""
    return steps.Solver(solvers.PLAIN, np.zeros(4), 0.0, np.empty(0, dtype), np.empty(0, dtype))


def _number(setting: Any) -> float:
    """Return a setting; NaN for one that follows a schedule, of which every step has its own value."""
    return math.nan if isinstance(setting, Scheduled) else float(setting)


def rows_as_arrays(data: Data, loss: int) -> steps.Rows:
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


def _layers(dense_network: Network, params: Parameters, n_rows: int, large: int) -> network.Layers:
    """Return the table of a network, with memory for `n_rows` rows."""
    table = _Table(params, n_rows)
    for layer, views in zip(dense_network.layers, params.layers, strict=True):
        if not table.add(layer, views):
            part = layer.activation if isinstance(layer, ActivationLayer) else layer
            raise NotCompiledError(f"there are no compiled steps for {type(part).__name__} in this network")
    if not table.is_plain:
        raise NotCompiledError("there are no compiled steps for a last layer with an activation or a normalization")
    dtype, rows = params.vector.dtype, np.array(table.rows)
    longest = max(n_rows, *rows[:, [network.N_IN, network.N_OUT]].ravel().tolist())
    return network.Layers(
        rows,
        np.array(table.constants, dtype),
        np.array(table.settings),
        np.zeros(len(rows)),
        params.statistics,
        _aligned(table.size, dtype),
        _aligned(products.panel_size(longest, dtype.itemsize), dtype),
        large,
    )


class _Table:
    """The table of a network in the making.

    Parameters
    ----------
    params : Parameters
    n_rows : int
        Of a batch, for which places in the memory are found.

    Attributes
    ----------
    rows : list of list of int
        One for each dense layer, with what follows it.
    constants, settings : list of tuple
        Of the activations and the normalizations.
    size : int
        Of the memory.
    """

    def __init__(self, params: Parameters, n_rows: int) -> None:
        self._params, self._n_rows = params, n_rows
        self.rows: list[list[int]] = []
        self.constants: list[tuple[float, ...]] = []
        self.settings: list[tuple[float, float]] = []
        self.size = 0

    @property
    def is_linear(self) -> bool:
        """Whether the last dense layer has no activation yet."""
        return bool(self.rows) and self.rows[-1][network.ACTIVATION] == network.NONE

    @property
    def is_plain(self) -> bool:
        """Whether it has no normalization either."""
        return self.is_linear and self.rows[-1][network.NORMALIZATION] == normalization.NONE

    def add(self, layer: Layer, views: Mapping[str, FloatArray]) -> bool:
        """Add a layer; tell whether it is known and has a place here."""
        if type(layer) not in _LAYERS:
            return False
        match layer:
            case Dense() if not self.is_linear:
                self._add_dense(layer, views)
            case BatchNormalization() | LayerNormalization() if self.is_plain:
                self._add_normalization(layer, views)
            case ActivationLayer() if self.is_linear and (known := _activation(layer.activation)) is not None:
                self.rows[-1][network.ACTIVATION], self.constants[-1] = known
                self.rows[-1][network.SLOPES] = self._place_units()
            case Dropout() if self.rows and not self.is_linear and self.rows[-1][network.MASK] == network.NONE:
                for column in (network.MASK, network.DROPPED):
                    self.rows[-1][column] = self._place_units()
            case _:
                return False
        return True

    def _add_dense(self, layer: Dense, views: Mapping[str, FloatArray]) -> None:
        row = [0] * network.N_COLUMNS
        row[network.N_IN], row[network.N_OUT] = layer.n_in, layer.n_out
        row[network.ACTIVATION] = row[network.MASK] = network.NONE
        row[network.NORMALIZATION] = normalization.NONE
        self.rows.append(row)
        self.constants.append((0.0,) * activations.N_CONSTANTS)
        self.settings.append((0.0, 0.0))
        for column, name in ((network.WEIGHTS, "weights"), (network.BIASES, "biases")):
            row[column] = _offset(self._params.vector, views[name])
        for column in (network.OUTPUT, network.DELTA):
            row[column] = self._place_units()

    def _add_normalization(
        self, layer: BatchNormalization | LayerNormalization, views: Mapping[str, FloatArray]
    ) -> None:
        row = self.rows[-1]
        for column, name in ((network.SCALE, "scale"), (network.OFFSET, "offset")):
            row[column] = _offset(self._params.vector, views[name])
        row[network.NORMALIZED] = self._place_units()
        if isinstance(layer, LayerNormalization):
            row[network.NORMALIZATION], self.settings[-1] = normalization.LAYER, (layer.epsilon, 0.0)
            row[network.DEVIATION] = self._place(self._n_rows)
            return
        row[network.NORMALIZATION], self.settings[-1] = normalization.BATCH, (layer.epsilon, layer.momentum)
        row[network.DEVIATION] = self._place(2 * layer.n_out)
        for column, name in ((network.RUNNING_MEAN, "running_mean"), (network.RUNNING_VARIANCE, "running_variance")):
            row[column] = _offset(self._params.statistics, views[name])

    def _place_units(self) -> int:
        """Find a place for a number for each unit of the last dense layer and each row."""
        return self._place(self._n_rows * self.rows[-1][network.N_OUT])

    def _place(self, n_numbers: int) -> int:
        start = self.size
        self.size += -(-n_numbers // LINE) * LINE
        return start


def _aligned(size: int, dtype: np.dtype) -> FloatArray:
    """Return an array that begins where a line of the cache does."""
    vector = np.empty(size + LINE, dtype)
    start = -vector.__array_interface__["data"][0] % BYTES // dtype.itemsize
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
