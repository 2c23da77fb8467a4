"""What a thread of the compiled engine runs: the record that the compiled steps get, and what it refers to."""

import ctypes
from collections.abc import Sequence

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled import NotCompiledError, program
from skmlp.compiled.entries import Entry
from skmlp.compiled.kernels import kernel_of
from skmlp.compiled.program import address
from skmlp.nn.losses import Loss
from skmlp.nn.network import Network
from skmlp.nn.objective import BLOCK_ROWS, Objective, strongest_penalty
from skmlp.nn.parameters import Parameters
from skmlp.training.compiled_layers import LayerTables, aligned

__all__ = ["ThreadProgram", "loss_kernel"]

# In numba's calling convention the result and an exception go through the first two pointers.
_STEPS = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)


class ThreadProgram:
    """What one thread runs, with the memory for its rows.

    Attributes
    ----------
    program : Program
        See :mod:`skmlp.compiled.program`.
    layers : LayerTables
    capacity : int
        Rows of a block.
    """

    def __init__(self, objective: Objective, params: Parameters, n_targets: int, n_rows: int, large: int) -> None:
        _check_compiled(objective)
        network, loss, dtype = objective.network, objective.loss, params.vector.dtype
        self.capacity = n_rows if network.couples_rows else min(n_rows, BLOCK_ROWS)
        self.layers = LayerTables(network, params, self.capacity, large)
        self.loss = loss_kernel(loss, dtype.name)
        y_type, y_shape = (np.int64, ()) if loss.takes_codes else (dtype, (n_targets,))
        self._y, self._weights = aligned((self.capacity, *y_shape), y_type), aligned((self.capacity,), dtype)
        self._gradient = np.empty(params.n_trained if n_rows > self.capacity else 0, dtype)
        columns = (self._y, n_targets), (self.layers.raw, network.n_out), (self.layers.delta, network.n_out)
        self._loss_table = np.array([(address(array), -1, n) for array, n in columns])
        self._loss_settings = np.array(loss.unscheduled().kernel_settings, np.float64)
        self.evaluation, self.sums = np.zeros(4), np.zeros(program.N_SUMS)
        slots = [
            address(settings) + settings.itemsize * np.arange(settings.size)
            for settings in (self.layers.settings, self._loss_settings)
        ]
        self._slots = np.concatenate(slots).astype(np.int64)
        self.program = program.Program()
        self.program.fill(
            capacity=self.capacity,
            n_features=network.n_in,
            n_targets=n_targets,
            block_X=self.layers.X,
            block_y=self._y,
            block_weights=self._weights,
            block_gradient=self._gradient,
            n_layers=len(network.layers),
            layers=self.layers.columns,
            loss_table=self._loss_table,
            loss_settings=self._loss_settings,
            n_dropped=sum(layer.n_out for layer in network.layers if layer.draws),
            params=params.vector,
            n_params=params.vector.size,
            n_trained=params.n_trained,
            n_weights=params.n_weights,
            alpha=objective.alpha,
            alpha_l1=objective.alpha_l1,
            largest_alpha=strongest_penalty(dtype),
            slots=self._slots,
            evaluation=self.evaluation,
            sums=self.sums,
        )
        # What numba's calling convention writes to, a number and an exception; and the argument.
        self._result = np.zeros(2)
        self._arguments = address(self._result), address(self._result) + 8, ctypes.addressof(self.program)

    @property
    def entries(self) -> list[Entry]:
        """The functions that the program calls, but for the solver: the loss, then those of the layers."""
        return [self.loss, *self.layers.entries]

    def set_objective(self, objective: Objective) -> None:
        """Take over the settings of the objective, which may follow a schedule."""
        self.layers.settings[:] = self.layers.settings_at(objective.network)
        self._loss_settings[:] = objective.loss.kernel_settings

    def settings_of(self, objective: Objective) -> FloatArray:
        """Return the settings of the objective in the order of the slots."""
        return np.concatenate([self.layers.settings_at(objective.network), objective.loss.kernel_settings])

    def link(self, addresses: Sequence[int]) -> None:
        """Enter the addresses of the steps, the loss and the layers."""
        steps, self.program.loss, *layers = addresses
        self._steps = _STEPS(steps)
        self.layers.link(layers)

    def run(self) -> None:
        """Run the program, without Python's lock."""
        self._steps(*self._arguments)


def loss_kernel(loss: Loss, dtype: str) -> Entry:
    """Return the compiled form of a loss.

    Raises
    ------
    NotCompiledError
        When it has none.
    """
    loss = loss.unscheduled()
    shape = loss.takes_codes, len(loss.kernel_settings)
    for name, adapter in (("rows_kernel", "loss_of_rows"), ("kernel", "loss_of_targets")):
        kernel = kernel_of(loss, name, ("loss_and_gradient",))
        if kernel is not None:
            return Entry(type(loss).__name__, adapter, (kernel,), shape, dtype)
    raise NotCompiledError(f"there are no compiled steps for the loss {type(loss).__name__}")


def _check_compiled(objective: Objective) -> None:
    """Raise NotCompiledError when an objective has no compiled form: a subclass may compute something else."""
    for each, known in ((objective, Objective), (objective.network, Network)):
        if type(each) is not known:
            raise NotCompiledError(f"there are no compiled steps for {type(each).__name__}")
