"""Whole steps: gather a batch, evaluate the objective and its gradient, clip, update, average; many in one call.

Network, loss and solver are functions called by address, so that this loop is compiled once for each dtype. It serves
for a part of a step, too: two copies of a formula may be rounded differently.
"""

from math import isfinite, sqrt
from typing import Any

import numpy as np

from skmlp._typing import AnyArray, FloatArray
from skmlp.compiled.intrinsics import array_at, call
from skmlp.compiled.program import (
    BACKWARD,
    DELTA,
    EVALUATE,
    EXTRA,
    FORWARD,
    LINE,
    LOSS,
    MASK,
    N_BATCHES,
    N_CLIPPED,
    N_COLUMNS,
    N_DRAWN,
    N_EXTRA,
    N_OUT,
    N_ROWS,
    N_STEPS,
    N_SUMS,
    NORM,
    PENALTY,
    RATE,
    SETTINGS,
    TABLE,
    UPDATE,
    WEIGHT,
    WHOLE,
)
from skmlp.compiled.rounding import allow_reassociation, strict_fp
from skmlp.compiled.team import barrier, partition

__all__ = ["step_loop"]


def step_loop(program: Any, real: Any) -> float:
    """Run a program, see :mod:`skmlp.compiled.program`; each thread runs one of its own.

    It ends early at a batch whose loss or gradient is not finite; fewer batches are counted then.
    """
    if not barrier(program):
        return 0.0  # a thread did not come
    evaluation, sums = array_at(np.float64, program.evaluation, (4,)), array_at(np.float64, program.sums, (N_SUMS,))
    drawn = 0
    for step in range(program.n_steps):
        factor = 1.0
        if program.parts != UPDATE:
            start = (program.first + step) * program.batch_size
            stop = start + program.batch_size
            if program.n_samples - stop < program.smallest:
                stop = program.n_samples
            _set_scheduled(program, step)
            _evaluate(program, real, start, stop, drawn, evaluation)
            sums[N_ROWS] += stop - start
            if evaluation[0] == 0.0:
                sums[N_BATCHES] += 1.0
                continue
            drawn += (stop - start) * program.n_dropped
            sums[N_DRAWN] = drawn
            if program.parts == EVALUATE:
                continue
            if not isfinite(evaluation[1] + evaluation[2] + evaluation[3]):
                return 0.0
            factor = min(1.0, program.max_gradient_norm / (evaluation[3] + program.norm_epsilon))
        _update(program, real, step, factor)
        if program.parts == WHOLE:
            _add_up(sums, evaluation, array_at(np.float64, program.rates, (program.n_steps,))[step])
            sums[N_CLIPPED] += factor < 1.0
            sums[N_BATCHES] += 1.0
    return 0.0


def _set_scheduled(program: Any, step: int) -> None:
    """Give the settings that follow a schedule their values of a step."""
    n = program.n_scheduled
    values = array_at(np.float64, program.scheduled, (program.n_steps, n))
    slots = array_at(np.int64, program.slots, (n,))
    for i in range(n):
        array_at(np.float64, slots[i], (1,))[0] = values[step, i]


def _evaluate(program: Any, real: Any, start: int, stop: int, drawn: int, evaluation: FloatArray) -> None:
    """Write a batch's weight, loss, penalty and norm of the gradient into `evaluation`, and its gradient."""
    total = _weight(program, real, start, stop)
    evaluation[:] = 0.0
    if total > 0.0:
        sums = array_at(np.float64, program.thread_sums, (program.n_threads, 3))
        sums[program.thread, 0] = _loss_and_gradient(program, real, start, stop, drawn, total)
        barrier(program)
        penalty, squared = _complete_gradient(program, real, total)
        sums[program.thread, 1], sums[program.thread, 2] = penalty, squared
        barrier(program)
        evaluation[0], all_squared = total, 0.0
        for thread in range(program.n_threads):
            evaluation[1] += sums[thread, 0]
            evaluation[2] += sums[thread, 1]
            all_squared += sums[thread, 2]
        evaluation[3] = _norm(array_at(real, program.grad, (program.n_trained,)), all_squared)


def _order(program: Any) -> AnyArray:
    """Return the order of the rows in this epoch; empty for the given one."""
    return array_at(np.int64, program.order, (program.n_order,))


def _weight(program: Any, real: Any, start: int, stop: int) -> float:
    """Return the weight of a batch."""
    if program.weights == 0:
        return float(stop - start)
    weights, order, total = array_at(real, program.weights, (program.n_samples,)), _order(program), 0.0
    for position in range(start, stop):
        total += weights[order[position] if order.size > 0 else position]
    return total


def _loss_and_gradient(program: Any, real: Any, start: int, stop: int, drawn: int, total: float) -> float:
    """Return what this thread's rows add to the loss of a batch, and write what they add to its gradient."""
    first, behind = partition(program, stop - start, 1)
    n_trained, capacity, loss = program.n_trained, program.capacity, 0.0
    itemsize = array_at(real, program.params, (1,)).itemsize
    own = program.grad
    if program.thread > 0:
        own = program.thread_gradients + (program.thread - 1) * n_trained * itemsize
    if first == behind:
        array_at(real, own, (n_trained,))[:] = 0.0
    for begin in range(start + first, start + behind, capacity):
        n = min(begin + capacity, start + behind) - begin
        into = own if begin == start + first else program.block_gradient
        _gather(program, real, begin, n, total)
        # NumPy draws for each block in turn. Threads with dropout have parts of a single block.
        n_before, n_drawn = (begin - start, n) if program.n_threads == 1 else (0, stop - start)
        uniforms = program.uniforms + (drawn + n_before * program.n_dropped) * itemsize
        _forward(program, uniforms, begin - start - n_before, n_drawn, n, total, itemsize)
        weights = program.block_weights
        loss += call(program.loss, (program.loss_table, program.loss_settings, weights, total, into, n))
        _backward(program, real, n, total, into)
        if begin > start + first:
            _add(array_at(real, own, (n_trained,)), array_at(real, into, (n_trained,)))
    return loss


def _gather(program: Any, real: Any, begin: int, n: int, total: float) -> None:
    """Copy `n` rows into the block, from a position of the order on, with their weights divided by the total."""
    # Whatever is read from the program is kept in variables: it might change with every number that is written.
    n_samples, n_features, n_targets = program.n_samples, program.n_features, program.n_targets
    X, block_X = array_at(real, program.X, (n_samples, n_features)), array_at(real, program.block_X, (n, n_features))
    weights = array_at(real, program.weights, (0 if program.weights == 0 else n_samples,))
    block_weights, order = array_at(real, program.block_weights, (n,)), _order(program)
    y, block_y = array_at(real, program.y, (n_samples, n_targets)), array_at(real, program.block_y, (n, n_targets))
    codes, block_codes = array_at(np.int64, program.y, (n_samples,)), array_at(np.int64, program.block_y, (n,))
    unit = block_weights.dtype.type(1.0 / total)
    for to in range(n):
        position = begin + to
        row = order[position] if order.size > 0 else position
        for feature in range(n_features):
            block_X[to, feature] = X[row, feature]
        for target in range(n_targets):
            block_y[to, target] = y[row, target]
        if n_targets == 0:
            block_codes[to] = codes[row]
        block_weights[to] = weights[row] * unit if weights.size > 0 else unit


def _layers(program: Any) -> AnyArray:
    return array_at(np.int64, program.layers, (program.n_layers, N_COLUMNS))


def _forward(program: Any, uniforms: int, first: int, n_drawn: int, n: int, total: float, itemsize: int) -> None:
    """Push the block through all layers.

    `uniforms` is where the random numbers of dropout begin: layer by layer for `n_drawn` rows, as NumPy draws them.
    Those of the block begin with row `first`.
    """
    layers, drawn = _layers(program), 0
    for index in range(program.n_layers):
        layer = layers[index]
        if layer[MASK] != 0:
            array_at(np.int64, layer[MASK], (1,))[0] = uniforms + (drawn + first * layer[N_OUT]) * itemsize
            drawn += n_drawn * layer[N_OUT]
        call(layer[FORWARD], (layer[TABLE], layer[SETTINGS], program.block_weights, total, 0, n))


def _backward(program: Any, real: Any, n: int, total: float, grad: int) -> None:
    """Push the error signal of the raw outputs back through all layers, and write the gradient."""
    layers = _layers(program)
    for index in range(program.n_layers - 1, -1, -1):
        layer = layers[index]
        size = n * layer[N_OUT]
        extra = array_at(np.int64, layer[EXTRA], (layer[N_EXTRA],))
        for other in range(layer[N_EXTRA]):
            _add(array_at(real, layer[DELTA], (size,)), array_at(real, extra[other], (size,)))
        call(layer[BACKWARD], (layer[TABLE], layer[SETTINGS], program.block_weights, total, grad, n))


def _part(program: Any, real: Any, place: int, begin: int, end: int) -> FloatArray:
    """Return the numbers from `begin` to `end` of the vector at an address."""
    return array_at(real, place + begin * array_at(real, program.params, (1,)).itemsize, (end - begin,))


def _complete_gradient(program: Any, real: Any, total: float) -> tuple[float, float]:
    """Complete this thread's part of the gradient; return its penalty and its squared norm."""
    n_trained = program.n_trained
    begin, end = partition(program, n_trained, LINE)
    grad = _part(program, real, program.grad, begin, end)
    for other in range(program.n_threads - 1):
        first = other * n_trained
        _add(grad, _part(program, real, program.thread_gradients, first + begin, first + end))
    l2, l1 = min(program.alpha / total, program.largest_alpha), min(program.alpha_l1 / total, program.largest_alpha)
    n_weights = max(0, min(program.n_weights, end) - begin)
    return _add_penalty(l2, l1, n_weights, _part(program, real, program.params, begin, end), grad)


@allow_reassociation
def _add_penalty(
    alpha: float, alpha_l1: float, n_weights: int, params: FloatArray, grad: FloatArray
) -> tuple[float, float]:
    """Add the penalty's gradient for the first `n_weights`; return the penalty and the squared norm of the gradient."""
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


def _add(total: FloatArray, part: FloatArray) -> None:
    for i in range(total.size):
        total[i] += part[i]


def _update(program: Any, real: Any, step: int, factor: float) -> None:
    """Take a step with this thread's part of the parameters, for the gradient times a factor; then average.

    `runs` has for each run of parameters with one learning rate where it starts and stops, and which of the numbers of
    a step is the first of its own.
    """
    begin, end = partition(program, program.n_trained, LINE)
    numbers = program.numbers + 8 * step * program.n_numbers
    runs = array_at(np.int64, program.runs, (program.n_runs, 3))
    for run in range(program.n_runs):
        first, last = max(begin, runs[run, 0]), min(end, runs[run, 1])
        if first < last:
            where = (program.solver_table, numbers + 8 * runs[run, 2], program.params, program.grad)
            call(program.solver, (*where, first, last, program.n_weights, factor))
    if program.average != 0:
        last = program.n_params if program.thread == program.n_threads - 1 else end  # with what is not trained
        params = _part(program, real, program.params, begin, last)
        average = _part(program, real, program.average, begin, last)
        if program.average_is_new:
            program.average_is_new = 0
            for i in range(params.size):
                average[i] = params[i]
        else:
            rest = params.dtype.type(1.0 - program.decay)
            for i in range(params.size):
                average[i] += rest * (params[i] - average[i])
    barrier(program)


@strict_fp
def _add_up(sums: FloatArray, evaluation: FloatArray, rate: float) -> None:
    """Add a step to the sums, with the rounding of a step that is added in Python."""
    weight = evaluation[0]
    sums[LOSS] += weight * evaluation[1]
    sums[PENALTY] += weight * evaluation[2]
    sums[WEIGHT] += weight
    sums[NORM] += evaluation[3]
    sums[RATE] += rate
    sums[N_STEPS] += 1.0
