"""The engine that runs compiled steps, many in one call."""

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from skmlp._threads import available_threads
from skmlp._typing import AnyArray, BoolArray, FloatArray, IntArray
from skmlp.compiled import NotCompiledError, loader, products, program
from skmlp.compiled.entries import Entry
from skmlp.compiled.program import address
from skmlp.nn.losses import Loss
from skmlp.nn.network import LayerOutput, Network
from skmlp.nn.objective import BLOCK_ROWS, Objective
from skmlp.nn.parameters import Parameters
from skmlp.optim.clipping import NORM_EPSILON, ClipByGlobalNorm
from skmlp.optim.schedules import Time
from skmlp.training.batches import Batches, Data
from skmlp.training.clock import StepClock
from skmlp.training.compiled_layers import needs_blas
from skmlp.training.compiled_program import ThreadProgram
from skmlp.training.compiled_solver import CompiledSolver, compiled_solver, has_kernels
from skmlp.training.engine import Buffers, Evaluation, NumpyEngine, Sums
from skmlp.training.recipe import Recipe
from skmlp.training.state import TrainingState
from skmlp.training.worker_pool import WorkerPool

__all__ = ["STEPS", "CompiledEngine", "compiled_engine"]

# Multiplications that a thread may do in one call: a tenth of a second at most or so, so that a fit can be interrupted
# and keeps a limit on its time. Other work costs as much as so many of them, for each number that passes through a
# layer, and for each step.
WORK, WORK_PER_NUMBER, WORK_PER_STEP = 1_000_000_000, 30, 50_000

# Random numbers for dropout that are drawn at a time, so that memory stays bounded.
DRAWN = 1_000_000

# The loop over steps.
STEPS = Entry("steps", "steps", (), (), "float32")


def compiled_engine(
    recipe: Recipe, state: TrainingState, batches: Batches, buffers: Buffers, n_threads: int = 1
) -> "CompiledEngine":
    """Return the compiled engine of a training.

    It uses `n_threads` threads if each can have rows of its own, and a call takes more than one step: to wake the
    threads costs as much as a small step.

    Raises
    ------
    NotCompiledError
        When the objective has no compiled form.
    """
    objective, params = recipe.objective, state.params
    n_rows = max(batches.largest, buffers.n_samples)
    is_shared = (
        n_threads > 1
        and batches.n_batches > 1
        and _can_fuse_steps(recipe)
        and has_kernels(recipe.solver)
        and _can_share(objective.network, n_rows, n_threads)
    )
    size = n_threads if is_shared else 1
    large = products.LARGE if size < n_threads else products.LARGE_ALONE
    kept: _Memory | NotCompiledError = buffers.keep(
        f"memory of {size} threads",
        (objective, params.vector),
        lambda: _make_memory(objective, params, batches.data, -(-n_rows // size), size, large),
    )
    if isinstance(kept, NotCompiledError):
        raise kept
    return CompiledEngine(recipe, state, batches, buffers, kept)


def _can_fuse_steps(recipe: Recipe) -> bool:
    """Tell whether one call can take several steps: whether it does all that happens in a step."""
    return recipe.max_norm is None and (recipe.clip is None or type(recipe.clip) is ClipByGlobalNorm)


def _can_share(network: Network, n_rows: int, n_threads: int) -> bool:
    """Tell whether threads can evaluate parts of a batch, and none needs BLAS for its products.

    BLAS shares large products better by itself. With dropout the batch has to be a single block for NumPy, so that the
    threads use the random numbers that it would draw.
    """
    draws = any(layer.draws for layer in network.layers)
    largest = n_rows * max(network.weight_sizes)
    is_possible = not network.couples_rows and not (draws and n_rows > BLOCK_ROWS)
    return is_possible and largest <= n_threads * products.LARGE_ALONE


@dataclass
class _Memory:
    """What the next training with the same buffers uses again.

    Attributes
    ----------
    workers : list of ThreadProgram
        One for each thread.
    pool : WorkerPool
    is_linked : bool
        Whether the programs have the addresses of their functions.
    """

    workers: "list[ThreadProgram]"
    pool: WorkerPool
    is_linked: bool = False


def _make_memory(
    objective: Objective, params: Parameters, data: Data, n_rows: int, size: int, large: int
) -> _Memory | NotCompiledError:
    """Return what `size` threads need, each for `n_rows` rows of a batch."""
    try:
        n_targets = 0 if objective.loss.takes_codes else data.y.shape[1]
        workers = [ThreadProgram(objective, params, n_targets, n_rows, large) for _ in range(size)]
    except NotCompiledError as reason:
        return reason
    gradients = np.empty((size - 1, params.n_trained), params.vector.dtype)
    has_large_products = needs_blas(objective.network, workers[0].capacity, large)
    pool = WorkerPool(gradients, blas_shares=has_large_products and available_threads() > 1)
    return _Memory(workers, pool)


class CompiledEngine(NumpyEngine):
    """Runs compiled steps. What a step needs that is not compiled is left to NumPy.

    Parameters
    ----------
    recipe : Recipe
    state : TrainingState
    batches : Batches
    buffers : Buffers
    memory : _Memory
    """

    def __init__(
        self, recipe: Recipe, state: TrainingState, batches: Batches, buffers: Buffers, memory: _Memory
    ) -> None:
        super().__init__(recipe, state, batches, buffers, "compiled")
        self._memory, self._workers, self._pool = memory, memory.workers, memory.pool
        self._now = recipe.objective
        self._dtype = state.params.vector.dtype
        self._data = _arrays_of(batches.data, recipe.objective.loss)
        self._solver: CompiledSolver | None = buffers.keep(
            "compiled solver",
            (recipe, state.params.vector, state.solver_state),
            lambda: compiled_solver(recipe.solver, state.solver_state, state.params.trained),
        )
        self._order: IntArray = np.empty(0, np.int64)
        self._n_dropped = self._workers[0].program.n_dropped
        self._last = 0, 0
        if self._solver is not None and _can_fuse_steps(recipe):
            self.max_fused_steps = self._n_fusable()

    def _n_fusable(self) -> int:
        """Return how many steps one call should take, for its time and its memory."""
        network, batch_size = self._recipe.objective.network, self._batches.batch_size
        per_row = 3 * self._state.params.n_weights + WORK_PER_NUMBER * network.n_numbers
        work = batch_size * per_row + WORK_PER_STEP
        n_steps: int = min(self._pool.size * WORK // work, DRAWN // max(1, batch_size * self._n_dropped))
        return max(1, n_steps)

    def make_ready(self) -> None:
        """Load the functions, or compile those that are not on disk."""
        memory, solver = self._memory, self._solver
        if not memory.is_linked:
            entries = [STEPS._replace(dtype=self._dtype.name), *self._workers[0].entries]
            addresses = loader.addresses(entries)
            for worker in self._workers:
                worker.link(addresses)
            self._pool.set_up([worker.program for worker in self._workers])
            memory.is_linked = True
        if solver is not None and solver.address == 0:
            (solver.address,) = loader.addresses([solver.entry])
        X, y, weights = self._data
        data = {"n_samples": self._batches.n_samples, "X": address(X), "y": address(y), "weights": address(weights)}
        for worker in self._workers:
            worker.program.fill(
                **data,
                batch_size=self._batches.batch_size,
                smallest=self._batches.smallest,
                grad=self.grad.vector,
            )
            if solver is not None:
                worker.program.fill(solver=solver.address, solver_table=solver.table)
                worker.program.fill(n_numbers=solver.n_numbers, runs=solver.runs, n_runs=len(solver.runs))

    def begin_epoch(self) -> None:
        self._order, self.n_left = self._batches.order(self._state.rng), self._batches.n_batches

    def evaluate(self, objective: Objective) -> Evaluation:
        if objective is not self._now:  # settings that follow a schedule
            for worker in self._workers:
                worker.set_objective(objective)
            self._now = objective
        start, stop = self._last = self._next_batch()
        before, uniforms = self._draw(stop - start)
        sums = np.zeros(program.N_SUMS)
        self._call(sums, parts=program.EVALUATE, n_steps=1, uniforms=uniforms, n_scheduled=0)
        self._rewind(before, uniforms, sums)
        self.n_left -= 1
        return self._last_evaluation()

    def update(self, learning_rate: float, time: Time | None) -> None:
        if self._solver is None:
            super().update(learning_rate, time)
            return
        numbers = self._solver.numbers(np.array([learning_rate]), () if time is None else (time,))
        self._call(np.zeros(program.N_SUMS), parts=program.UPDATE, n_steps=1, numbers=numbers, average=0)
        self._state.solver_state["count"] += 1

    def run(self, clock: StepClock, n_steps: int, sums: Sums) -> Evaluation:
        recipe, state, solver = self._recipe, self._state, self._solver
        assert solver is not None
        scheduled = recipe.scheduled_settings
        rates = clock.next_learning_rates(n_steps)
        times = clock.next_times(n_steps) if scheduled else []
        n_before, start = sums.n_steps, self._next_batch()[0]
        before, uniforms = self._draw(self._next_batch(n_steps - 1)[1] - start)
        settings = np.zeros((n_steps, 0))
        if "objective" in scheduled:
            objectives = [recipe.objective.at(time) for time in times]
            settings = np.array([self._workers[0].settings_of(objective) for objective in objectives])
        is_new = recipe.averaging is not None and state.average is None
        if is_new:
            state.average = state.params.like()
        numbers = np.zeros((n_steps, solver.n_numbers))
        counts = self._have_weight(n_steps)  # the solver does not count the other batches
        numbers[counts] = solver.numbers(
            rates[counts], [times[step] for step in np.flatnonzero(counts)] if "solver" in scheduled else ()
        )
        values = np.zeros(program.N_SUMS)
        values[: program.N_DRAWN] = astuple(sums)
        try:
            self._call(
                values,
                parts=program.WHOLE,
                n_steps=n_steps,
                uniforms=uniforms,
                rates=rates,
                numbers=numbers,
                n_scheduled=settings.shape[1],
                scheduled=settings,
                max_gradient_norm=math.inf if recipe.clip is None else recipe.clip.limit,  # type: ignore[attr-defined]
                norm_epsilon=NORM_EPSILON,
                average=0 if recipe.averaging is None else state.eval_params.vector,
                average_is_new=is_new,
                decay=recipe.averaging or 0.0,
            )
        finally:  # also when the user interrupts, of which Python hears when the call is over
            self._rewind(before, uniforms, values)
            sums.set(values[: program.N_DRAWN])
            n_taken = sums.n_steps - n_before
            state.solver_state["count"] += n_taken
            if is_new and n_taken == 0:
                state.average = None
            n_done = int(values[program.N_BATCHES])
            self.n_left -= n_done
            state.step += n_done
            state.learning_rate = float(rates[min(n_done, n_steps - 1)])
        self._last = self._next_batch(0 if n_done < n_steps else -1)
        return self._last_evaluation()

    def _call(self, sums: FloatArray, **fields: Any) -> None:
        """Run the programs from the next batch on, and add to `sums`."""
        first = self._batches.n_batches - self.n_left
        for worker in self._workers:
            worker.sums[:] = sums
            worker.program.fill(first=first, order=self._order, n_order=self._order.size, **fields)
        try:
            self._pool.call(lambda thread: self._workers[thread].run())
        finally:
            sums[:] = self._workers[0].sums

    def _last_evaluation(self) -> Evaluation:
        weight, loss, penalty, norm = self._workers[0].evaluation.tolist()
        return Evaluation(self._last[1] - self._last[0], weight, loss, penalty, norm)

    def _next_batch(self, ahead: int = 0) -> tuple[int, int]:
        return self._batches.rows(self._batches.n_batches - self.n_left + ahead)

    def _have_weight(self, n_steps: int) -> BoolArray:
        """Tell of each of the next batches whether the weights of its rows are not all zero."""
        weights = self._data[2]
        if weights is None:
            return np.ones(n_steps, bool)
        starts = [self._next_batch(ahead)[0] for ahead in range(n_steps)]
        rows = slice(starts[0], self._next_batch(n_steps - 1)[1])
        positive = weights[self._order[rows] if self._order.size else rows] > 0.0
        return np.logical_or.reduceat(positive, np.subtract(starts, starts[0]))

    def _draw(self, n_rows: int) -> tuple[Any, FloatArray]:
        """Draw the random numbers of dropout for that many rows; return them and the state of the stream before."""
        n_numbers, dtype = n_rows * self._n_dropped, self._dtype
        if n_numbers == 0:
            return None, np.empty(0, dtype)
        rng = self._state.dropout_rng
        return rng.bit_generator.state, rng.random(n_numbers, dtype=dtype.type)

    def _rewind(self, before: Any, uniforms: FloatArray, sums: FloatArray) -> None:
        """Leave the stream of dropout as if only the numbers that were used had been drawn."""
        n_used = int(sums[program.N_DRAWN])
        if n_used < uniforms.size:
            rng = self._state.dropout_rng
            rng.bit_generator.state = before
            rng.random(n_used, dtype=self._dtype.type)

    def layer_outputs(self) -> list[LayerOutput]:
        n_rows = self._last[1] - self._last[0]
        parts = []  # of each thread, for the last block of its rows
        for worker, n in zip(self._workers, self._pool.partition(n_rows), strict=True):
            parts.append(worker.layers.layer_outputs(n and (n - 1) % worker.capacity + 1))
        return parts[0] if len(parts) == 1 else [LayerOutput.concatenate(layer) for layer in zip(*parts, strict=True)]

    def find_non_finite(self, objective: Objective, value: float) -> str:
        rows = self._order[slice(*self._last)] if self._order.size else slice(*self._last)
        self._X = self._batches.data.X[rows]
        return super().find_non_finite(objective, value)


def _arrays_of(data: Data, loss: Loss) -> tuple[FloatArray, AnyArray, FloatArray | None]:
    """Return the data as the programs expect them."""
    X, y, weight = data
    y = np.ascontiguousarray(y, np.int64 if loss.takes_codes else X.dtype)
    return X, y, None if weight is None else np.ascontiguousarray(weight, X.dtype)
