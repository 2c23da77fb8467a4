"""Whole steps: gather a batch, evaluate the objective and its gradient, update; many of them in one call.

There is one entry, :func:`take_steps`, also for a part of a step: two copies of a formula may be rounded differently.
"""

from math import isfinite, sqrt
from typing import NamedTuple

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled import losses, solvers
from skmlp.compiled.intrinsics import matrix, stretch
from skmlp.compiled.jit import as_written, entry, exact, inlined, reordering
from skmlp.compiled.network import BIASES, DELTA, N_OUT, Layers, backward, forward, n_dropped
from skmlp.compiled.team import LINE, Team, share, wait

__all__ = ["EVALUATE", "N_BATCHES", "N_DRAWN", "N_SUMS", "UPDATE", "WHOLE", "Objective", "Rows", "Solver", "take_steps"]

WHOLE, EVALUATE, UPDATE = range(3)

# What is added up over steps, as entries of an array.
LOSS, PENALTY, WEIGHT, NORM, RATE, N_STEPS, N_ROWS, N_DRAWN, N_BATCHES = range(9)
N_SUMS = 9


class Rows(NamedTuple):
    """Samples: the data, or the block of a batch that is worked on.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
    targets : ndarray of shape (n_samples, n_outputs) or (0, 0)
    codes : ndarray of shape (n_samples,) or (0,), int64
    weights : ndarray of shape (n_samples,) or (0,)
        Of a block the shares in the batch's weight.
    """

    X: FloatArray
    targets: FloatArray
    codes: AnyArray
    weights: FloatArray


class Batch(NamedTuple):
    """The rows of a step.

    Attributes
    ----------
    rows : Rows
        The data.
    order : ndarray of shape (n_samples,) or (0,), int64
        Of the rows; the given one when it is empty.
    start, stop : int
        Where the batch begins and ends in that order.
    uniforms : ndarray of shape (n,)
        Random numbers in [0, 1) for dropout, from the batch's own on.
    """

    rows: Rows
    order: AnyArray
    start: int
    stop: int
    uniforms: FloatArray


class Objective(NamedTuple):
    """What is minimised, and memory for it.

    Attributes
    ----------
    layers : Layers
    loss : int
    smoothing, alpha, alpha_l1 : float
    strongest : float
        The largest factor of a penalty.
    n_weights : int
    block : Rows
    block_gradient : ndarray of shape (n_parameters,) or (0,)
        For batches of several blocks.
    """

    layers: Layers
    loss: int
    smoothing: float
    alpha: float
    alpha_l1: float
    strongest: float
    n_weights: int
    block: Rows
    block_gradient: FloatArray


class Solver(NamedTuple):
    """The update rule and its state.

    Attributes
    ----------
    number : int
    settings : ndarray of shape (4,), float64
    weight_decay : float
    first, second : ndarray of shape (n_parameters,) or (0,)
    """

    number: int
    settings: FloatArray
    weight_decay: float
    first: FloatArray
    second: FloatArray


@inlined
def _gather(batch: Batch, begin: int, end: int, total: float, block: Rows) -> None:
    """Copy the rows from position `begin` to `end`, and their shares in the weight of the batch, `total`."""
    rows, order, share = batch.rows, batch.order, block.weights.dtype.type(1.0 / total)
    for position in range(begin, end):
        row = order[position] if order.size > 0 else position
        to = position - begin
        for feature in range(rows.X.shape[1]):
            block.X[to, feature] = rows.X[row, feature]
        for output in range(rows.targets.shape[1]):
            block.targets[to, output] = rows.targets[row, output]
        if rows.codes.size > 0:
            block.codes[to] = rows.codes[row]
        block.weights[to] = rows.weights[row] * share if rows.weights.size > 0 else share


@inlined
def _weight(batch: Batch) -> float:
    """Return the weight of a batch."""
    weights, order = batch.rows.weights, batch.order
    if weights.size == 0:
        return float(batch.stop - batch.start)
    total = 0.0
    for position in range(batch.start, batch.stop):
        total += weights[order[position] if order.size > 0 else position]
    return total


@reordering
def _add_penalty(
    alpha: float, alpha_l1: float, n_weights: int, params: FloatArray, grad: FloatArray
) -> tuple[float, float]:
    """Add the penalty's gradient; return the penalty and the squared norm of the gradient."""
    real = params.dtype.type
    zero = real(0.0)
    l2, l1 = real(alpha), real(alpha_l1)
    squares, magnitudes, squared_norm = zero, zero, zero
    if alpha != 0.0:
        for i in range(n_weights):
            squares += params[i] * params[i]
            grad[i] += l2 * params[i]
    if alpha_l1 != 0.0:
        for i in range(n_weights):
            magnitudes += abs(params[i])
            grad[i] += l1 if params[i] > zero else (-l1 if params[i] < zero else zero)
    for i in range(grad.size):
        squared_norm += grad[i] * grad[i]
    return float(0.5 * l2 * squares + l1 * magnitudes), float(squared_norm)


@exact
def _norm(grad: FloatArray, squared: float) -> float:
    """Return the norm, also where its square is beyond what the format holds."""
    if squared > 1e-30 and isfinite(squared):
        return sqrt(squared)
    largest = 0.0
    for i in range(grad.size):
        magnitude = abs(float(grad[i]))
        if not isfinite(magnitude):
            return magnitude
        largest = max(largest, magnitude)
    if largest == 0.0:
        return 0.0
    total = 0.0
    for i in range(grad.size):
        total += (grad[i] / largest) ** 2
    return largest * sqrt(total)


@inlined
def _evaluate(
    objective: Objective, team: Team, params: FloatArray, grad: FloatArray, batch: Batch, evaluation: FloatArray
) -> None:
    """Write a batch's weight, loss, penalty and norm of the gradient into `evaluation`; its gradient into `grad`."""
    total = _weight(batch)
    evaluation[:] = 0.0
    if total > 0.0:
        mine = grad if team.number == 0 else team.gradients[team.number - 1]
        loss = _loss_and_gradient(objective, team, params, mine, batch, total)
        team.sums[team.number, 0] = loss
        wait(team)
        penalty, squared = _add_gradients(objective, team, params, grad, total)
        team.sums[team.number, 1], team.sums[team.number, 2] = penalty, squared
        wait(team)
        evaluation[0], all_squared = total, 0.0
        for number in range(team.size):
            evaluation[1] += team.sums[number, 0]
            evaluation[2] += team.sums[number, 1]
            all_squared += team.sums[number, 2]
        evaluation[3] = _norm(grad, all_squared)


@inlined
def _loss_and_gradient(
    objective: Objective, team: Team, params: FloatArray, grad: FloatArray, batch: Batch, total: float
) -> float:
    """Return what this thread's rows add to the loss of a batch, and write what they add to its gradient."""
    layers, block, start, loss = objective.layers, objective.block, batch.start, 0.0
    n_units, last, capacity = n_dropped(layers), layers.table[layers.table.shape[0] - 1], block.X.shape[0]
    first, behind = share(team, batch.stop - start, 1)
    if first == behind:
        grad[:] = 0.0
    for begin in range(start + first, start + behind, capacity):
        end = min(begin + capacity, start + behind)
        n = end - begin
        into = grad if begin == start + first else objective.block_gradient
        _gather(batch, begin, end, total, block)
        X = block.X[:n]
        shares = block.weights[:n]
        # NumPy draws for each block in turn. Threads that drop units have parts of a single one.
        n_before, n_drawn = (begin - start, n) if team.size == 1 else (0, batch.stop - start)
        drawn = batch.uniforms[n_before * n_units :]
        raw = forward(layers, params, X, shares, total, drawn, begin - start - n_before, n_drawn)
        delta = matrix(layers.memory, last[DELTA], n, last[N_OUT])
        bias_gradient = into[last[BIASES] : last[BIASES] + last[N_OUT]]
        loss += losses.loss_and_error_signal(
            objective.loss, objective.smoothing, block.targets[:n], block.codes[:n], shares, raw, delta, bias_gradient
        )
        backward(layers, params, X, shares, into)
        if begin > start + first:
            _add(grad, into)
    return loss


@inlined
def _add_gradients(
    objective: Objective, team: Team, params: FloatArray, grad: FloatArray, total: float
) -> tuple[float, float]:
    """Complete this thread's share of the gradient; return its penalty and its squared norm."""
    begin, end = share(team, params.size, LINE)
    mine = stretch(grad, begin, end)
    for number in range(team.size - 1):
        _add(mine, stretch(team.gradients[number], begin, end))
    n_weights = _among(objective.n_weights, begin, end)
    l2, l1 = min(objective.alpha / total, objective.strongest), min(objective.alpha_l1 / total, objective.strongest)
    return _add_penalty(l2, l1, n_weights, stretch(params, begin, end), mine)


@exact
def _add(total: FloatArray, part: FloatArray) -> None:
    for i in range(total.size):
        total[i] += part[i]


@inlined
def _among(n: int, begin: int, end: int) -> int:
    """Return how many of the first `n` numbers are among those from `begin` to `end`."""
    return max(0, min(n, end) - begin)


@inlined
def _update(
    solver: Solver, team: Team, count: int, rate: float, n_weights: int, params: FloatArray, grad: FloatArray
) -> None:
    """Take a step, after the weight decay, with this thread's share of the parameters."""
    begin, end = share(team, params.size, LINE)
    mine = stretch(params, begin, end)
    if solver.weight_decay != 0.0:
        kept = params.dtype.type(1.0 - rate * solver.weight_decay)
        for i in range(_among(n_weights, begin, end)):
            mine[i] *= kept
    # Solvers that need no state have empty vectors, and do not look at them.
    first, second = stretch(solver.first, begin, end), stretch(solver.second, begin, end)
    solvers.update(solver.number, solver.settings, count, rate, mine, stretch(grad, begin, end), first, second)
    wait(team)


@as_written
def _add_up(sums: FloatArray, evaluation: FloatArray, rate: float) -> None:
    """Add a step to the sums, with the rounding of a step that is added in Python."""
    weight = evaluation[0]
    sums[LOSS] += weight * evaluation[1]
    sums[PENALTY] += weight * evaluation[2]
    sums[WEIGHT] += weight
    sums[NORM] += evaluation[3]
    sums[RATE] += rate
    sums[N_STEPS] += 1.0


@entry
def take_steps(
    parts: int,
    objective: Objective,
    solver: Solver,
    team: Team,
    params: FloatArray,
    grad: FloatArray,
    rows: Rows,
    order: AnyArray,
    batch_size: int,
    smallest: int,
    first: int,
    rates: FloatArray,
    count: int,
    uniforms: FloatArray,
    evaluation: FloatArray,
    sums: FloatArray,
) -> None:
    """Take a step for each of `rates`, on the batches from the one of number `first` on.

    Parameters
    ----------
    parts : int
        WHOLE steps; or a single one of which only its first half, EVALUATE, or its second half, UPDATE, is done.
    objective : Objective
    solver : Solver
    team : Team
        The thread that calls. All of a team call with the same arguments, but with an `objective`, an `evaluation` and
        `sums` of their own.
    params, grad : ndarray of shape (n_parameters,)
        Changed in place.
    rows : Rows
        The data.
    order : ndarray of shape (n_samples,) or (0,), int64
        Of the rows; the given one when it is empty.
    batch_size, smallest, first : int
        A last batch with fewer rows than `smallest` joins the one before it.
    rates : ndarray of shape (n_steps,), float64
    count : int
        Steps taken before.
    uniforms : ndarray of shape (n,)
        Random numbers in [0, 1) for dropout. Batches without weight leave them for the next; N_DRAWN counts those used.
    evaluation : ndarray of shape (4,), float64
        Receives weight, loss, penalty and norm of the gradient of the last batch.
    sums : ndarray of shape (N_SUMS,), float64
        Receives what is added up over the steps. N_BATCHES counts the batches that are done with; there are fewer than
        rates when a loss or a gradient is not finite.
    """
    if not wait(team):
        return  # a thread did not come
    n_samples, n_units, drawn = rows.X.shape[0], n_dropped(objective.layers), 0
    for step in range(rates.size):
        if parts != UPDATE:
            start = (first + step) * batch_size
            stop = start + batch_size
            if n_samples - stop < smallest:
                stop = n_samples
            batch = Batch(rows, order, start, stop, uniforms[drawn:])
            _evaluate(objective, team, params, grad, batch, evaluation)
            sums[N_ROWS] += stop - start
            if evaluation[0] == 0.0:
                sums[N_BATCHES] += 1.0
                continue
            drawn += (stop - start) * n_units
            sums[N_DRAWN] = drawn
            if parts == EVALUATE:
                continue
            if not isfinite(evaluation[1] + evaluation[2] + evaluation[3]):
                return
        count += 1
        _update(solver, team, count, rates[step], objective.n_weights, params, grad)
        if parts == WHOLE:
            _add_up(sums, evaluation, rates[step])
            sums[N_BATCHES] += 1.0
