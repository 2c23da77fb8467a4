"""The compiled functions that are called by address: each makes arrays from addresses for the kernel of an operation.

A function here returns, for an entry of :mod:`skmlp.compiled.loader`, the function to compile and the types of its
arguments.
"""

from collections.abc import Callable
from typing import Any

from numba import from_dtype, types
from numba.np.numpy_support import carray

from skmlp.compiled.build import jitted
from skmlp.compiled.entries import Entry
from skmlp.compiled.intrinsics import array_at, load_all, numbers, store_all, views
from skmlp.compiled.program import PROGRAM
from skmlp.compiled.steps import step_loop

__all__ = ["layer_backward", "layer_forward", "loss_of_rows", "loss_of_targets", "solver", "steps"]

Built = tuple[Callable[..., Any], tuple[Any, ...]]

# The addresses of a table, of settings and of the weights of the rows; their total; a gradient; the number of rows.
_KERNEL = (types.int64, types.int64, types.int64, types.float64, types.int64, types.int64)


def layer_forward(entry: Entry) -> Built:
    """Build the forward pass of a layer.

    The entry's shape: the number of inputs, the numbers of axes of parameters and memory, the number of settings,
    whether the output overwrites the input, and the error signal of the input that of the output.
    """
    (kernel,), real = map(jitted, entry.kernels), getattr(types, entry.dtype)
    arrays, settings_of = _layer_arrays(entry, real)
    inputs_of = _first_is(entry.shape[4])

    def forward(table, settings, weights, total, grad, n_rows):  # type: ignore[no-untyped-def]
        inputs, (out,), _, _, params, memory = arrays(table, 0, n_rows)
        row_weights, (values,) = array_at(real, weights, (n_rows,)), settings_of(settings)
        kernel(inputs_of(out, inputs), out, params, memory, values, row_weights, total)
        return 0.0

    return forward, _KERNEL


def layer_backward(entry: Entry) -> Built:
    """Build the backward pass of a layer."""
    (kernel,), real = map(jitted, entry.kernels), getattr(types, entry.dtype)
    arrays, settings_of = _layer_arrays(entry, real)
    n_inputs, axes_of_params, axes_of_memory, _, consumes_input, writes_in_place = entry.shape
    gradients = views([[(real, n_axes) for n_axes in axes_of_params]])
    behind = 3 * 8 * (2 * n_inputs + 2 + len(axes_of_params) + len(axes_of_memory))
    inputs_of, input_deltas_of = _first_is(consumes_input), _first_is(writes_in_place)

    def backward(table, settings, weights, total, grad, n_rows):  # type: ignore[no-untyped-def]
        inputs, (out,), (delta,), input_deltas, params, memory = arrays(table, 0, n_rows)
        (grads,) = gradients(table + behind, grad, n_rows)
        row_weights, (values,) = array_at(real, weights, (n_rows,)), settings_of(settings)
        inputs, input_deltas = inputs_of(out, inputs), input_deltas_of(delta, input_deltas)
        kernel(inputs, out, delta, input_deltas, params, grads, memory, values, row_weights, total)
        return 0.0

    return backward, _KERNEL


def _first_is(replaces: bool) -> Any:
    """Return a function of an array and a tuple of arrays: the tuple, with the array in the first place if asked.

    Two arrays on the same memory would keep LLVM from vectorizing loops over both.
    """

    def with_first(array, arrays):  # type: ignore[no-untyped-def]
        return (array, *arrays[1:])

    def unchanged(array, arrays):  # type: ignore[no-untyped-def]
        return arrays

    return jitted(with_first if replaces else unchanged)


def _layer_arrays(entry: Entry, real: Any) -> tuple[Any, Any]:
    n_inputs, axes_of_params, axes_of_memory, n_settings, _, _ = entry.shape
    groups = [(2,) * n_inputs, (2,), (2,), (2,) * n_inputs, axes_of_params, axes_of_memory]
    return views([[(real, n_axes) for n_axes in group] for group in groups]), numbers(real, [n_settings])


def loss_of_rows(entry: Entry) -> Built:
    """Build a loss that works on whole rows. The entry's shape: whether targets are codes, the number of settings."""
    (kernel,) = map(jitted, entry.kernels)
    return _loss(entry, kernel, types.float64)


def loss_of_targets(entry: Entry) -> Built:
    """Build a loss that works on each target by itself."""
    (kernel,) = map(jitted, entry.kernels)

    def rows(y, raw, weights, delta, settings):  # type: ignore[no-untyped-def]
        total = 0.0
        for row in range(raw.shape[0]):
            loss = weights[row] - weights[row]
            for k in range(raw.shape[1]):
                own, derivative = kernel(y[row, k], raw[row, k], settings)
                loss += own
                delta[row, k] = weights[row] * derivative
            total += weights[row] * loss
        return total

    return _loss(entry, jitted(rows), getattr(types, entry.dtype))


def _loss(entry: Entry, kernel: Any, dtype_of_settings: Any) -> Built:
    real, (takes_codes, n_settings) = getattr(types, entry.dtype), entry.shape
    arrays = views([[(types.int64, 1) if takes_codes else (real, 2), (real, 2), (real, 2)]])
    settings_of = numbers(dtype_of_settings, [n_settings])

    def loss(table, settings, weights, total, grad, n_rows):  # type: ignore[no-untyped-def]
        ((y, raw, delta),), (values,) = arrays(table, 0, n_rows), settings_of(settings)
        return kernel(y, raw, array_at(real, weights, (n_rows,)), delta, values)

    return loss, _KERNEL


def solver(entry: Entry) -> Built:
    """Build a chain of links on a part of the parameters.

    The entry's shape: for each link how many arrays its state has, how many numbers it is given, and whether it acts on
    weights only.
    """
    real = getattr(types, entry.dtype)
    states = views([[(real, 1)] * n_arrays for n_arrays, _, _ in entry.shape])
    numbers_of = numbers(real, [n_numbers for _, n_numbers, _ in entry.shape])
    on_weights, on_others = _unchanged, _unchanged
    for place, (kernel, (_, _, weights_only)) in enumerate(zip(map(jitted, entry.kernels), entry.shape, strict=True)):
        on_weights = _append(on_weights, kernel, place)
        on_others = on_others if weights_only else _append(on_others, kernel, place)
    update_weight, update_other = jitted(on_weights), jitted(on_others)
    itemsize = real.bitwidth // 8

    def update(table, numbers, params, grad, begin, end, n_weights, factor):  # type: ignore[no-untyped-def]
        n, start = end - begin, begin * itemsize
        p, g = array_at(real, params + start, (n,)), array_at(real, grad + start, (n,))
        arrays, given, scale = states(table, start, n), numbers_of(numbers), real(factor)
        n_first = max(0, min(n_weights - begin, n))
        for i in range(n_first):
            change, value = update_weight(scale * g[i], p[i], arrays, i, given)
            p[i] = value + change
        for i in range(n_first, n):
            change, value = update_other(scale * g[i], p[i], arrays, i, given)
            p[i] = value + change
        return 0.0

    return update, (*[types.int64] * 7, types.float64)


def _unchanged(g: Any, p: Any, arrays: Any, i: int, given: Any) -> Any:
    return g, p


def _append(before: Any, kernel: Any, place: int) -> Any:
    """Return a chain with one more link, the one at a place among all of the solver."""

    def chain(g, p, arrays, i, given):  # type: ignore[no-untyped-def]
        g, p = before(g, p, arrays, i, given)
        g, p, state = kernel(g, p, load_all(arrays[place], i), given[place])
        store_all(arrays[place], i, state)
        return g, p

    return chain


def steps(entry: Entry) -> Built:
    """Build the loop over steps."""
    loop, real = jitted(step_loop), getattr(types, entry.dtype)

    def take_steps(pointer):  # type: ignore[no-untyped-def]
        return loop(carray(pointer, 1)[0], real)

    return take_steps, (types.CPointer(from_dtype(PROGRAM)),)
