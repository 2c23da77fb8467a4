"""What compiled functions need and numba does not offer: rows of numbers in registers, and light views of memory.

A row is as many adjacent numbers as a cache line holds, as one value. Compilers find such rows in loops by themselves,
but do not keep the sums of a matrix product in registers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numba.np import arrayobj

__all__ = ["BYTES", "add_multiple", "element", "load", "matrix", "multiple", "store", "width"]

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


def _build_matrix(typingctx: Any, vector: Any, start: Any, n_rows: Any, n_columns: Any) -> Any:
    """Return the matrix that begins at an element of a vector.

    Numba's slices count their users, and its reshape is a call; both cost more than the product of two small matrices.
    A view made here must not outlive its vector, nor be returned to Python.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, start, n_rows, n_columns = arguments
        size = vector.dtype.bitwidth // 8
        view = context.make_array(signature.return_type)(context, builder)
        data = _address(context, builder, vector, values, start)
        strides = [builder.mul(n_columns, ir.Constant(n_columns.type, size)), ir.Constant(n_columns.type, size)]
        fill: Any = arrayobj.populate_array
        fill(view, data, shape=[n_rows, n_columns], strides=strides, itemsize=size, meminfo=None)
        return view._getvalue()

    return types.Array(vector.dtype, 2, "C")(vector, *[types.intp] * 3), build


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


width: Any = intrinsic(_build_width)
matrix: Any = intrinsic(_build_matrix)
element: Any = intrinsic(_build_element)
load: Any = intrinsic(_build_load)
store: Any = intrinsic(_build_store)
multiple: Any = intrinsic(_build_multiple)
add_multiple: Any = intrinsic(_build_add_multiple)
