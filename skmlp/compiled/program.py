"""What the compiled steps are told: a record of numbers and addresses, and tables that it refers to.

A program is all that :func:`skmlp.compiled.steps.step_loop` gets. It can do any training, since what differs between
networks, losses and solvers is called by address.
"""

import ctypes
from typing import Any

import numpy as np

from skmlp._typing import AnyArray

__all__ = [
    "BACKWARD",
    "DELTA",
    "EVALUATE",
    "EXTRA",
    "FORWARD",
    "LINE",
    "LOSS",
    "MASK",
    "NORM",
    "N_BATCHES",
    "N_CLIPPED",
    "N_COLUMNS",
    "N_DRAWN",
    "N_EXTRA",
    "N_OUT",
    "N_ROWS",
    "N_STEPS",
    "N_SUMS",
    "PENALTY",
    "PROGRAM",
    "RATE",
    "SETTINGS",
    "TABLE",
    "UPDATE",
    "WEIGHT",
    "WHOLE",
    "Program",
    "address",
]

# A program takes whole steps, or does a part of a single one.
WHOLE, EVALUATE, UPDATE = range(3)

# What is added up over steps.
LOSS, PENALTY, WEIGHT, NORM, RATE, N_STEPS, N_CLIPPED, N_ROWS, N_DRAWN, N_BATCHES = range(10)
N_SUMS = 10

# The columns of the table of layers: the addresses of the two kernels, of the table of their arrays and of their
# settings; where the address of the mask stands, 0 without; the number of outputs; the address of the error signal, and
# how many others are to be added to it, whose addresses stand at EXTRA.
FORWARD, BACKWARD, TABLE, SETTINGS, MASK, N_OUT, DELTA, N_EXTRA, EXTRA = range(9)
N_COLUMNS = 9

# Parts of a vector, and numbers that threads watch, begin at multiples of so many elements: one cache line of float32,
# two of float64.
LINE = 16

_WHOLE_NUMBERS = (
    # what is done
    "parts", "n_steps", "first", "batch_size", "smallest",
    # data: the addresses of arrays, 0 where there are none
    "n_samples", "n_features", "n_targets", "X", "y", "weights", "order", "n_order",
    # the block of rows that is worked on
    "capacity", "block_X", "block_y", "block_weights", "block_gradient",
    # network and loss
    "n_layers", "layers", "loss", "loss_table", "loss_settings",
    # random numbers for dropout
    "uniforms", "n_dropped",
    # parameters
    "params", "grad", "n_params", "n_trained", "n_weights", "average", "average_is_new",
    # solver
    "solver", "solver_table", "numbers", "n_numbers", "runs", "n_runs", "rates",
    # settings that change from step to step: their values, and the addresses of where they are read
    "n_scheduled", "scheduled", "slots",
    # results
    "evaluation", "sums",
    # threads
    "thread", "n_threads", "thread_gradients", "thread_sums", "arrivals",
)  # fmt: skip
_REAL_NUMBERS = ("alpha", "alpha_l1", "largest_alpha", "max_gradient_norm", "norm_epsilon", "decay")


class Program(ctypes.Structure):
    """The record; a field per name above."""

    _fields_ = [(name, ctypes.c_int64) for name in _WHOLE_NUMBERS] + [(name, ctypes.c_double) for name in _REAL_NUMBERS]

    def fill(self, **fields: Any) -> None:
        """Set fields: numbers, or for arrays their addresses."""
        for name, value in fields.items():
            setattr(self, name, address(value) if isinstance(value, np.ndarray) else value)


# The same record for numba.
PROGRAM = np.dtype([(name, np.int64) for name in _WHOLE_NUMBERS] + [(name, np.float64) for name in _REAL_NUMBERS])


def address(array: AnyArray | None) -> int:
    """Return where an array begins; 0 for none."""
    return 0 if array is None else int(array.__array_interface__["data"][0])
