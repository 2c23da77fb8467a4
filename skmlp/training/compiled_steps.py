"""The steps of an epoch in machine code: what :mod:`skmlp.compiled` computes, of what comes next and with what."""

from typing import Any, NamedTuple

import numpy as np

from skmlp._threads import available_threads
from skmlp._typing import FloatArray, IntArray
from skmlp.compiled import NotCompiledError, products, steps
from skmlp.compiled import network as columns
from skmlp.compiled.jit import announced
from skmlp.compiled.team import Team
from skmlp.nn.activations import Activation
from skmlp.nn.layers import ActivationLayer, Dense, Dropout
from skmlp.nn.network import Network, Units
from skmlp.nn.objective import BLOCK_ROWS, Objective
from skmlp.nn.parameters import Parameters
from skmlp.optim.schedules import Time
from skmlp.training.batches import Batches
from skmlp.training.clock import StepClock
from skmlp.training.compiled_arrays import (
    at_this_time,
    no_solver,
    objective_as_arrays,
    rows_as_arrays,
    solver_as_arrays,
    units_dropped,
)
from skmlp.training.engine import Buffers, Evaluation, Sums
from skmlp.training.numpy_engine import NumpyEngine
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState
from skmlp.training.teamwork import Teamwork

__all__ = ["CompiledEngine", "compiled_engine"]

# Multiplications that a thread may do in one call: a tenth of a second at most or so, that a fit can be interrupted and
# a limit on its time is kept. Other work costs as much as so many of them, for each number that passes through a layer,
# and for each step.
WORK, WORK_PER_NUMBER, WORK_PER_STEP = 1_000_000_000, 30, 50_000

# Random numbers for dropout that are drawn at a time, so that memory stays bounded.
DRAWN = 1_000_000

_NO_STEPS, _ONE_STEP = np.zeros(0), np.zeros(1)

_SUMS = ("loss", "penalty", "weight", "norm", "learning_rate", "n_steps", "n_rows")

# The dtypes for which this process has them compiled.
_ready_dtypes: set[np.dtype] = set()


def compiled_engine(
    recipe: Recipe, state: TrainingState, batches: Batches, buffers: Buffers, n_threads: int = 1
) -> "CompiledEngine":
    """Return the compiled engine of a training.

    They are taken by `n_threads` threads, if each can have rows of its own, and a call takes more than one step: to
    wake the threads costs as much as a small one.

    Raises
    ------
    NotCompiledError
        When there are none for its objective.
    """
    params = state.params
    n_rows = max(batches.largest, buffers.n_samples)
    is_run = _can_fuse_steps(recipe) and batches.n_batches > 1
    size = n_threads if is_run and _can_share(recipe.objective.network, n_rows, n_threads) else 1
    large = products.LARGE if size < n_threads else products.LARGE_ALONE
    kept: _Kept = buffers.keep(
        f"compiled arrays of {size} threads",
        (recipe.objective, params.vector),
        lambda: _keep(recipe.objective, params, -(-n_rows // size), size, large),
    )
    if kept.why_not:
        raise NotCompiledError(kept.why_not)
    return CompiledEngine(recipe, state, batches, buffers, kept)


def _can_fuse_steps(recipe: Recipe) -> bool:
    """Tell whether a step is a gradient and the solver's update, and nothing else."""
    return (
        recipe.clip is None and recipe.max_norm is None and recipe.averaging is None and not recipe.scheduled_settings
    )


def _can_share(network: Network, n_rows: int, n_threads: int) -> bool:
    """Tell whether threads can evaluate parts of a batch, and none needs BLAS for its products.

    BLAS shares large products better by itself. With dropout the batch has to be a single block for NumPy, so that the
    threads use the random numbers that it would draw.
    """
    drops = any(isinstance(layer, Dropout) for layer in network.layers)
    largest = n_rows * max(layer.n_in * layer.n_out for layer in network.layers if isinstance(layer, Dense))
    is_known = not network.couples_rows and not (drops and n_rows > BLOCK_ROWS)
    return is_known and largest <= n_threads * products.LARGE_ALONE


def _blas_shares(network: Network, objective: steps.Objective) -> bool:
    """Tell whether there are products so large that BLAS computes them, and threads that it may share them between."""
    largest = len(objective.block.X) * max(
        layer.n_in * layer.n_out for layer in network.layers if isinstance(layer, Dense)
    )
    return largest > objective.layers.large and available_threads() > 1


class _Kept(NamedTuple):
    """What is used again by the next training with the same buffers.

    Attributes
    ----------
    objectives : list of steps.Objective
        As arrays, one for each thread, with memory of its own; empty when it is not known there.
    gradients : ndarray of shape (n_helpers, n_parameters)
    why_not : str
        Why it is not known.
    """

    objectives: list[steps.Objective]
    gradients: FloatArray
    why_not: str


def _keep(objective: Objective, params: Parameters, n_rows: int, size: int, large: int) -> _Kept:
    """Return what `size` threads need, each for `n_rows` rows."""
    objectives, why_not = [], ""
    try:
        objectives = [objective_as_arrays(objective, params, n_rows, large) for _ in range(size)]
    except NotCompiledError as error:
        why_not = str(error)
    gradients = np.empty((size - 1, params.n_trained), params.vector.dtype)
    return _Kept(objectives, gradients, why_not)


class CompiledEngine(NumpyEngine):
    """The steps of an epoch in machine code.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
    batches : Batches
    buffers : Buffers
    kept : _Kept
    """

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        batches: Batches,
        buffers: Buffers,
        kept: _Kept,
    ) -> None:
        super().__init__(recipe, state, batches, buffers, "compiled")
        self._network, self._solver = recipe.objective.network, recipe.solver
        self._objectives, self._now = kept.objectives, recipe.objective
        self._teamwork = Teamwork(kept.gradients, blas_shares=_blas_shares(self._network, kept.objectives[0]))
        self._dtype = state.params.vector.dtype
        self._n_dropped = units_dropped(kept.objectives[0])
        self._rows = rows_as_arrays(batches.data, kept.objectives[0].loss)
        solver = buffers.keep(
            "compiled solver",
            (recipe, state.params.vector, state.solver_state),
            lambda: solver_as_arrays(recipe.solver, state.solver_state, self._dtype),
        )
        self._updates = solver is not None
        self._compiled_solver = solver or no_solver(self._dtype)
        self._evaluation = np.zeros(4)
        self._order: IntArray = np.empty(0, np.int64)
        if self._updates and _can_fuse_steps(recipe):
            numbers = sum(layer.n_out for layer in self._network.layers) + self._network.n_in
            a_row = 3 * state.params.n_weights + WORK_PER_NUMBER * numbers
            work = batches.batch_size * a_row + WORK_PER_STEP
            drawn = max(1, batches.batch_size * self._n_dropped)
            self.max_fused_steps = max(1, min(self._teamwork.size * WORK // work, DRAWN // drawn))

    def make_ready(self) -> None:
        """Compile, or load what is kept on disk, if this process has not: so that no step's time has it."""
        if self._dtype not in _ready_dtypes:
            with announced(steps.take_steps, self._dtype.name):
                self._take(steps.WHOLE, _NO_STEPS, np.empty(0, self._dtype), np.zeros(steps.N_SUMS))
            _ready_dtypes.add(self._dtype)

    def begin_epoch(self) -> None:
        self._order, self.n_left = self._batches.order(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        if objective is not self._now:  # settings that follow a schedule
            self._objectives, self._now = [at_this_time(each, objective) for each in self._objectives], objective
            self._n_dropped = units_dropped(self._objectives[0])
        start, stop = self._last = self._next_batch()
        before, uniforms = self._draw(stop - start)
        sums = np.zeros(steps.N_SUMS)
        self._take(steps.EVALUATE, _ONE_STEP, uniforms, sums)
        self._go_back(before, uniforms, sums)
        self.n_left -= 1
        return self._last_evaluation()

    def update(self, learning_rate: float, time: Time | None) -> None:
        if not self._updates:
            super().update(learning_rate, time)
            return
        if time is not None:
            solver = solver_as_arrays(self._solver.at(time), self._state.solver_state, self._dtype)
            assert solver is not None
            self._compiled_solver = solver
        nothing = np.empty(0, self._dtype)
        self._take(steps.UPDATE, np.array([learning_rate]), nothing, np.zeros(steps.N_SUMS))
        self._state.solver_state["count"] += 1

    def run(self, clock: StepClock, n_steps: int, sums: Sums) -> Evaluation:
        learning_rates = clock.next_learning_rates(n_steps)
        n_before, start = sums.n_steps, self._next_batch()[0]
        before, uniforms = self._draw(self._next_batch(len(learning_rates) - 1)[1] - start)
        values = np.append([getattr(sums, name) for name in _SUMS], [0.0, 0.0])
        try:
            self._take(steps.WHOLE, learning_rates, uniforms, values)
        finally:  # also when the user interrupts, of which Python hears when the call is over
            self._go_back(before, uniforms, values)
            for name, value in zip(_SUMS, values[: steps.N_DRAWN].tolist(), strict=True):
                setattr(sums, name, int(value) if name.startswith("n_") else value)
            self._state.solver_state["count"] += sums.n_steps - n_before
            self.n_left -= int(values[steps.N_BATCHES])
            clock.end_steps(int(values[steps.N_BATCHES]), learning_rates)
        is_lost = values[steps.N_BATCHES] < len(learning_rates)
        self._last = self._next_batch(0 if is_lost else -1)
        return self._last_evaluation()

    def _last_evaluation(self) -> Evaluation:
        weight, loss, penalty, norm = self._evaluation.tolist()
        return Evaluation(self._last[1] - self._last[0], weight, loss, penalty, norm)

    def _take(self, parts: int, rates: FloatArray, uniforms: FloatArray, sums: FloatArray) -> None:
        """Take steps, or a part of one, from the next batch on."""
        state, batches, first = self._state, self._batches, self._batches.n_batches - self.n_left

        def take_share(team: Team) -> None:
            is_this_thread = team.number == 0
            steps.take_steps(
                parts,
                self._objectives[team.number],
                self._compiled_solver,
                team,
                state.params.trained,
                self.grad.trained,
                self._rows,
                self._order,
                batches.batch_size,
                batches.smallest,
                first,
                rates,
                state.solver_state["count"],
                uniforms,
                self._evaluation if is_this_thread else np.zeros_like(self._evaluation),
                sums if is_this_thread else np.zeros_like(sums),
            )

        self._teamwork.call(take_share)

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

    def layer_outputs(self) -> list[Units]:
        layers = [layer.activation for layer in self._network.layers if isinstance(layer, ActivationLayer)]
        functions: list[Activation | None] = [*layers, None]
        return [
            Units(
                self._left(index, columns.OUTPUT),
                function,
                None if function is None else self._left(index, columns.SLOPES),
            )
            for index, function in enumerate(functions)
        ]

    def _left(self, index: int, column: int) -> FloatArray:
        """Return what the last evaluation left in a layer's array, of each thread's last block."""
        blocks = []
        for objective, n_rows in zip(
            self._objectives, self._teamwork.shares(self._last[1] - self._last[0]), strict=True
        ):
            layer, capacity = objective.layers.table[index], objective.block.X.shape[0]
            n_units, n_left = layer[columns.N_OUT], n_rows and (n_rows - 1) % capacity + 1
            begin = layer[column]
            blocks.append(objective.layers.memory[begin : begin + n_left * n_units].reshape(n_left, n_units))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def find_non_finite(self, objective: Objective, value: float) -> str:
        rows = self._order[slice(*self._last)] if self._order.size else slice(*self._last)
        self._X = self._batches.data.X[rows]
        return super().find_non_finite(objective, value)
