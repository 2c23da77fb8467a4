"""Which engine takes the steps of a training: compiled functions or NumPy.

The choice depends on the training alone: on the network, the rows, the epochs asked for and those behind it. What is on
disk or in memory has no part in it, so that the same call gives the same bits in every process.
"""

from typing import TYPE_CHECKING

import numpy as np

from skmlp import compiled
from skmlp.nn.network import Network
from skmlp.training.batches import Batches
from skmlp.training.steps import Buffers, Steps

if TYPE_CHECKING:
    from skmlp.training.trainer import Trainer, TrainingState

__all__ = ["choose_steps"]

# Seconds to import numba and load the compiled steps from disk. A training that NumPy is done with sooner gains nothing
# by them.
LOADING = 0.75

# Seconds of a step with NumPy: for the calls in it, for each number that passes through (a unit's output for a row, or
# a weight with what the solver keeps of it), and for each multiplication in the matrix products.
PER_STEP, PER_NUMBER, PER_MULTIPLICATION = 5e-5, 1.5e-9, 1.5e-11


def choose_steps(
    trainer: "Trainer",
    state: "TrainingState",
    batches: Batches,
    buffers: Buffers,
    n_threads: int,
    n_epochs: int,
    max_seconds: float | None,
) -> tuple[Steps, str]:
    """Return what takes the steps of a training of at most so many epochs and seconds, and the engine in words.

    Compiled steps are taken by up to `n_threads` threads. ``state.is_long`` is set for a training that is long enough
    for them.
    """
    why_numpy = _why_numpy(state, batches, trainer.objective.network, n_epochs, max_seconds)
    if not why_numpy:
        try:
            return _compiled_steps(trainer, state, batches, buffers, n_threads), "compiled"
        except compiled.NotCompiledError as reason:
            why_numpy = str(reason)
    return Steps(trainer, state, batches, buffers), f"numpy: {why_numpy}"


def _compiled_steps(
    trainer: "Trainer", state: "TrainingState", batches: Batches, buffers: Buffers, n_threads: int
) -> Steps:
    """Return compiled steps that are ready to run; nothing of the training has changed when there are none."""
    with compiled.loading():
        from skmlp.training.compiled_steps import compiled_steps  # imports numba
    steps = compiled_steps(trainer, state, batches, buffers, n_threads)
    with compiled.loading():
        steps.make_ready()
    return steps


def _why_numpy(
    state: "TrainingState", batches: Batches, network: Network, n_epochs: int, max_seconds: float | None
) -> str:
    """Say why the training has no compiled steps; empty when it may have them."""
    state.is_long = state.is_long or _is_long(state, batches, network, n_epochs, max_seconds)
    X, weight, choice = batches.data.X, batches.data.sample_weight, compiled.choice()
    if choice != "0":
        if not isinstance(X, np.ndarray):
            return "sparse data"
        if X.dtype != state.params.vector.dtype or not X.flags.c_contiguous:
            return "data of another dtype or order than the weights"
        if weight is not None and weight.dtype != X.dtype:
            return f"sample weights that {X.dtype} cannot hold"
    if choice == "auto" and not state.is_long:
        return "the training takes less time than loading the compiled steps"
    return compiled.why_not(choice)


def _is_long(
    state: "TrainingState", batches: Batches, network: Network, n_epochs: int, max_seconds: float | None
) -> bool:
    """Tell whether NumPy takes longer for the steps behind and ahead of this training than loading compiled ones.

    Those behind count, because a long stream of short calls, or a fit that is resumed, is one long training.
    """
    n_rows, n_weights = batches.batch_size, state.params.n_weights
    numbers, multiplications = n_rows * network.n_numbers + n_weights, 3 * n_rows * n_weights
    seconds = PER_STEP + PER_NUMBER * numbers + PER_MULTIPLICATION * multiplications
    n_ahead: float = n_epochs * batches.n_batches
    if max_seconds is not None:
        n_ahead = min(n_ahead, max_seconds / seconds)
    return state.samples_seen // n_rows + n_ahead > LOADING / seconds
