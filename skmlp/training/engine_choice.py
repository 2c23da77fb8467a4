"""The choice of the engine that computes the steps: compiled functions or NumPy.

It depends on the training alone: the network, the number of rows, and the epochs done and planned. What is in memory or
on disk does not matter, so that the same call gives the same bits in every process.
"""

import numpy as np

from skmlp import compiled
from skmlp.nn.network import Network
from skmlp.training.batches import Batches
from skmlp.training.compiled_engine import compiled_engine
from skmlp.training.engine import Buffers, NumpyEngine
from skmlp.training.plan import Plan
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState

__all__ = ["choose_engine"]

# Seconds with NumPy from which on a training is worth compiling for. To load compiled functions takes a few hundredths
# of a second; but the first training of a kind of network waits some seconds until they are compiled.
WORTH_COMPILING = 0.75

# Seconds of a step with NumPy: for the function calls, of the step and of each layer, for each number that is processed
# (the output of a unit for a row, or a weight with its solver state), and for each multiplication in the matrix
# products.
PER_STEP, PER_LAYER, PER_NUMBER, PER_MULTIPLICATION = 2e-5, 1e-5, 1.5e-9, 1.5e-11


def choose_engine(
    recipe: Recipe,
    state: TrainingState,
    batches: Batches,
    buffers: Buffers,
    plan: Plan,
    n_threads: int = 1,
) -> NumpyEngine:
    """Return the engine of a training; the compiled one uses up to `n_threads` threads.

    ``state.is_long`` is set if the training is long enough for the compiled engine.
    """
    state.is_long = state.is_long or _is_long(state, batches, recipe.objective.network, plan)
    why_numpy = _why_numpy(state, batches)
    if not why_numpy:
        try:
            engine = compiled_engine(recipe, state, batches, buffers, n_threads)
            with compiled.loading():
                engine.make_ready()
            return engine
        except compiled.NotCompiledError as reason:  # nothing of the training has changed
            why_numpy = str(reason)
    return NumpyEngine(recipe, state, batches, buffers, f"numpy: {why_numpy}")


def _why_numpy(state: TrainingState, batches: Batches) -> str:
    """Return why the steps are not compiled; empty if they may be."""
    X, weight, choice = batches.data.X, batches.data.sample_weight, compiled.choice()
    if choice != "0":
        if not isinstance(X, np.ndarray):
            return "sparse data"
        if X.dtype != state.params.vector.dtype or not X.flags.c_contiguous:
            return "data of another dtype or order than the weights"
        if weight is not None and weight.dtype != X.dtype:
            return f"sample weights that {X.dtype} cannot hold"
    if choice == "auto" and not state.is_long:
        return "the training is too short to be worth compiling"
    return compiled.why_not(choice)


def _is_long(state: TrainingState, batches: Batches, network: Network, plan: Plan) -> bool:
    """Tell whether all steps, done and planned, take NumPy so long that compiling is worth it.

    Those done count, because many short calls, or a fit that is resumed, are one long training.
    """
    n_rows, n_weights = batches.batch_size, state.params.n_weights
    numbers, multiplications = n_rows * network.n_numbers + n_weights, 3 * n_rows * n_weights
    calls = PER_STEP + PER_LAYER * len(network.layers)
    seconds = calls + PER_NUMBER * numbers + PER_MULTIPLICATION * multiplications
    n_planned: float = (plan.length or plan.max_epochs) * batches.n_batches
    if plan.max_seconds is not None:
        n_planned = min(n_planned, plan.max_seconds / seconds)
    return state.samples_seen // n_rows + n_planned > WORTH_COMPILING / seconds
