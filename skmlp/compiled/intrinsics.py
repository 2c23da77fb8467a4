"""What compiled functions need and numba does not offer: rows of numbers in registers, and light views of memory.

A row is as many adjacent numbers as a cache line holds, as one value. Compilers find such rows in loops by themselves,
but do not keep the sums of a matrix product in registers.
"""

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np import arrayobj

__all__ = [
    "BYTES",
    "add_multiple",
    "element",
    "give_way",
    "load",
    "matrix",
    "multiple",
    "publish",
    "published",
    "store",
    "stretch",
    "width",
]

# Of a row: a cache line, which is one to four registers.
BYTES = 64


class _Lanes(types.Type):
    """The type of a row of adjacent numbers.

    Parameters
    ----------
    real : numba.types.Float
        Of the numbers.
    """

    def __init__(self, real: Any) -> None:
        self.real, self.count = real, 8 * BYTES // real.bitwidth
        super().__init__(f"Lanes({real})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        number = manager.lookup(lanes.real).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(number, lanes.count))  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _address_of_row(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    row = context.get_value_type(_Lanes(array_type.dtype)).as_pointer()
    return builder.bitcast(_address(context, builder, array_type, array, index), row)


def _everywhere(builder: Any, number: Any, row: Any) -> Any:
    """Return a row of equal numbers."""
    position = ir.IntType(32)
    undefined = ir.Constant(row, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(position, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(position, row.count), [0] * row.count))


def _build_width(typingctx: Any, array: Any) -> Any:
    """Return how many elements of an array are a row: a constant when it is compiled."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, _Lanes(array.dtype).count)

    return types.intp(array), build


def _view(context: Any, builder: Any, vector: Any, signature: Any, arguments: Any, shape: list[Any]) -> Any:
    """Return an array of that shape that begins at an element, the second argument, of a vector, the first.

    Numba's slices count their users, and its reshape is a call; both cost more than the product of two small matrices.
    A view made here must not outlive its vector, nor be returned to Python.
    """
    whole, bytes_of_one = shape[0].type, vector.dtype.bitwidth // 8
    view = context.make_array(signature.return_type)(context, builder)
    data = _address(context, builder, vector, *arguments[:2])
    strides = [ir.Constant(whole, bytes_of_one)]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    fill: Any = arrayobj.populate_array
    fill(view, data, shape=shape, strides=strides, itemsize=bytes_of_one, meminfo=None)
    return view._getvalue()


def _build_matrix(typingctx: Any, vector: Any, start: Any, n_rows: Any, n_columns: Any) -> Any:
    """Return the matrix that begins at an element of a vector."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _view(context, builder, vector, signature, arguments, list(arguments[2:]))

    return types.Array(vector.dtype, 2, "C")(vector, *[types.intp] * 3), build


def _build_stretch(typingctx: Any, vector: Any, begin: Any, end: Any) -> Any:
    """Return the elements of a vector from one to before another."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _view(context, builder, vector, signature, arguments, [builder.sub(arguments[2], arguments[1])])

    return types.Array(vector.dtype, 1, "C")(vector, *[types.intp] * 2), build


def _build_element(typingctx: Any, array: Any, index: Any) -> Any:
    """Return an element of a contiguous array, counted over all its axes; never from its end."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), build


def _build_load(typingctx: Any, array: Any, index: Any) -> Any:
    """Return the row of a contiguous array that begins at an element."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address_of_row(context, builder, signature.args[0], *arguments)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return _Lanes(array.dtype)(array, types.intp), build


def _build_store(typingctx: Any, array: Any, index: Any, row: Any) -> Any:
    """Write a row into a contiguous array, from an element on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address_of_row(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, row), build


def _build_multiple(typingctx: Any, number: Any, row: Any) -> Any:
    """Return a number times a row."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, row = arguments
        return builder.fmul(_everywhere(builder, number, row.type), row)

    return row(number, row), build


def _build_add_multiple(typingctx: Any, total: Any, number: Any, row: Any) -> Any:
    """Return a row plus a number times another row, in one operation where there is one."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, number, row = arguments
        product = builder.fmul(_everywhere(builder, number, row.type), row, flags=["contract"])
        return builder.fadd(total, product, flags=["contract"])

    return total(total, number, row), build


def _build_publish(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write an element; who sees it sees all that this thread has written before."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, array, *arguments[:2])
        builder.store_atomic(arguments[2], address, "release", array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), build


def _build_published(typingctx: Any, array: Any, index: Any) -> Any:
    """Return what was last published in an element."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, array, *arguments)
        return builder.load_atomic(address, "acquire", array.dtype.bitwidth // 8)

    return array.dtype(array, types.intp), build


def _build_give_way(typingctx: Any) -> Any:
    """Let another thread have this one's core, where the system has a call for it that is known here."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if os.name == "posix":
            of_the_system = ir.FunctionType(ir.IntType(32), [])
            find: Any = cgutils.get_or_insert_function
            builder.call(find(builder.module, of_the_system, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), build


width: Any = intrinsic(_build_width)
matrix: Any = intrinsic(_build_matrix)
element: Any = intrinsic(_build_element)
load: Any = intrinsic(_build_load)
store: Any = intrinsic(_build_store)
multiple: Any = intrinsic(_build_multiple)
add_multiple: Any = intrinsic(_build_add_multiple)
publish: Any = intrinsic(_build_publish)
published: Any = intrinsic(_build_published)
stretch: Any = intrinsic(_build_stretch)
give_way: Any = intrinsic(_build_give_way)
