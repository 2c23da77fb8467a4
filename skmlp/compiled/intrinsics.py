"""What compiled functions need and numba does not offer: views of memory, calls by address, vectors in registers.

A row of lanes is as many adjacent numbers as a cache line holds, as one value. Compilers vectorize loops by themselves,
but do not keep the sums of a matrix product in registers.
"""

import os
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np import arrayobj

from skmlp.compiled.products import BYTES

__all__ = [
    "add",
    "add_multiple",
    "array_at",
    "call",
    "element",
    "gemm",
    "load",
    "load_all",
    "matrix",
    "numbers",
    "publish",
    "published",
    "store",
    "store_all",
    "stretch",
    "views",
    "width",
    "yield_thread",
    "zeros",
]


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
        super().__init__(manager, lanes, ir.VectorType(number, lanes.count))


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
    return _array(context, builder, signature.return_type, _address(context, builder, vector, *arguments[:2]), shape)


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


def _build_add(typingctx: Any, left: Any, right: Any) -> Any:
    """Return the sum of two rows."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return left(left, right), build


def _build_zeros(typingctx: Any, array: Any) -> Any:
    """Return a row of zeros of the dtype of an array."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(_Lanes(array.dtype)), None)

    return _Lanes(array.dtype)(array), build


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


def _build_yield_thread(typingctx: Any) -> Any:
    """Let another thread have this core, where the operating system has a call for it that is known here."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if os.name == "posix":
            _external(builder, "sched_yield", ir.IntType(32), [])
        return context.get_dummy_value()

    return types.void(), build


def _external(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Call a function of the process by its name."""
    find: Any = cgutils.get_or_insert_function
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(find(builder.module, function, name), arguments)


def _build_gemm(
    typingctx: Any,
    left_transposed: Any,
    right_transposed: Any,
    n_rows: Any,
    n_columns: Any,
    n_k: Any,
    left: Any,
    left_width: Any,
    right: Any,
    right_width: Any,
    out: Any,
) -> Any:
    """Let BLAS write a product of two matrices in C order, or of their transposes, into `out`.

    The loader gives BLAS's function the name ``skmlp_sgemm`` or ``skmlp_dgemm``. BLAS expects columns that lie
    together; so it computes the transpose of the product, from the right matrix and the left one.
    """
    name = "skmlp_sgemm" if out.dtype == types.float32 else "skmlp_dgemm"

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real, whole, letter = context.get_value_type(out.dtype), ir.IntType(32), ir.IntType(8)
        (left_t, right_t, rows, columns, k, a, a_width, b, b_width, c) = arguments

        def data(kind: Any, array: Any) -> Any:
            return context.make_array(kind)(context, builder, array).data

        def at(value: Any) -> Any:
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return place

        def flag(is_transposed: Any) -> Any:
            letters = ir.Constant(letter, ord("T")), ir.Constant(letter, ord("N"))
            return at(builder.select(cgutils.as_bool_bit(builder, is_transposed), *letters))

        def size(number: Any) -> Any:
            return at(builder.trunc(number, whole))

        passed = [flag(right_t), flag(left_t), size(columns), size(rows), size(k)]
        passed += [at(ir.Constant(real, 1.0)), data(right, b), size(b_width), data(left, a), size(a_width)]
        passed += [at(ir.Constant(real, 0.0)), data(out, c), size(columns)]
        _external(builder, name, ir.VoidType(), passed)
        return context.get_dummy_value()

    arguments = left_transposed, right_transposed, n_rows, n_columns, n_k, left, left_width, right, right_width, out
    return types.void(*arguments), build


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _array(context: Any, builder: Any, kind: Any, data: Any, shape: list[Any]) -> Any:
    """Return an array of a numba array type in C order on the memory that begins at a pointer."""
    view = context.make_array(kind)(context, builder)
    itemsize = ir.Constant(shape[0].type, kind.dtype.bitwidth // 8)
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    fill: Any = arrayobj.populate_array
    fill(view, data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return view._getvalue()


def _build_array_at(typingctx: Any, dtype: Any, address: Any, shape: Any) -> Any:
    """Return an array of a dtype and a shape, a tuple, on the memory that begins at an address, an int64."""
    kind = types.Array(dtype.dtype, len(shape), "C")

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lengths = [
            context.cast(builder, each, one, types.intp)
            for each, one in zip(cgutils.unpack_tuple(builder, arguments[2]), signature.args[2], strict=True)
        ]
        data = _pointer(builder, arguments[1], context.get_data_type(kind.dtype))
        return _array(context, builder, kind, data, lengths)

    return kind(dtype, address, shape), build


def views(groups: Sequence[Sequence[tuple[Any, int]]]) -> Any:
    """Return a function of a table, a base address and a number of rows that returns a tuple of tuples of arrays.

    `groups` has the dtype and the number of axes of each array. The table, an address, has three int64 numbers for each
    of them, one array after the other: its address, which counts from the base; its rows, -1 for the given number of
    rows; and its columns, of which arrays with one axis have none.
    """
    kinds = [[types.Array(dtype, n_axes, "C") for dtype, n_axes in group] for group in groups]

    def views(typingctx: Any, table: Any, base: Any, n_rows: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            table, start, rows = arguments
            words = _pointer(builder, table, ir.IntType(64))
            place, found = 0, []
            for group, returned in zip(kinds, signature.return_type, strict=True):
                arrays = []
                for kind in group:
                    cells = [builder.load(builder.gep(words, [_whole(place + cell)])) for cell in range(1 + kind.ndim)]
                    is_open = builder.icmp_signed("<", cells[1], _whole(0))
                    shape = [builder.select(is_open, rows, cells[1]), *cells[2:]]
                    data = _pointer(builder, builder.add(start, cells[0]), context.get_data_type(kind.dtype))
                    arrays.append(_array(context, builder, kind, data, shape))
                    place += 3
                found.append(context.make_tuple(builder, returned, arrays))
            return context.make_tuple(builder, signature.return_type, found)

        return types.Tuple([types.Tuple(group) for group in kinds])(table, base, n_rows), build

    return intrinsic(views)


def numbers(dtype: Any, counts: Sequence[int]) -> Any:
    """Return a function of the address of float64 numbers that returns them as a tuple of tuples, in a dtype."""
    result = types.Tuple([types.UniTuple(dtype, count) for count in counts])

    def numbers(typingctx: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            cells, place, found = _pointer(builder, arguments[0], ir.DoubleType()), 0, []
            for count, group in zip(counts, result, strict=True):
                values = [builder.load(builder.gep(cells, [_whole(place + each)])) for each in range(count)]
                cast = [context.cast(builder, value, types.float64, dtype) for value in values]
                found.append(context.make_tuple(builder, group, cast))
                place += count
            return context.make_tuple(builder, result, found)

        return result(address), build

    return intrinsic(numbers)


def _whole(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def _build_load_all(typingctx: Any, arrays: Any, index: Any) -> Any:
    """Return the element at an index of each array of a tuple, as a tuple."""
    result = types.Tuple([array.dtype for array in arrays])

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = [
            builder.load(_address(context, builder, kind, array, arguments[1]))
            for kind, array in zip(arrays, cgutils.unpack_tuple(builder, arguments[0]), strict=True)
        ]
        return context.make_tuple(builder, result, found)

    return result(arrays, index), build


def _build_store_all(typingctx: Any, arrays: Any, index: Any, values: Any) -> Any:
    """Write the values of a tuple at an index of each array of a tuple."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        unpacked = [cgutils.unpack_tuple(builder, each) for each in (arguments[0], arguments[2])]
        for kind, given, array, value in zip(arrays, values, *unpacked, strict=True):
            cast = context.cast(builder, value, given, kind.dtype)
            builder.store(cast, _address(context, builder, kind, array, arguments[1]))
        return context.get_dummy_value()

    return types.void(arrays, index, values), build


def _build_call(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call a compiled function by its address with the arguments of a tuple, and return its float64."""

    def build(context: Any, builder: Any, signature: Any, passed: Any) -> Any:
        # numba's calling convention: the result and an exception go through the first two pointers.
        result = cgutils.alloca_once(builder, ir.DoubleType())
        exception = cgutils.alloca_once(builder, ir.IntType(8).as_pointer())
        given = [result, exception, *cgutils.unpack_tuple(builder, passed[1])]
        kind = ir.FunctionType(ir.IntType(32), [each.type for each in given])
        builder.call(_pointer(builder, passed[0], kind), given)
        return builder.load(result)

    return types.float64(address, arguments), build


width: Any = intrinsic(_build_width)
matrix: Any = intrinsic(_build_matrix)
element: Any = intrinsic(_build_element)
load: Any = intrinsic(_build_load)
store: Any = intrinsic(_build_store)
add: Any = intrinsic(_build_add)
zeros: Any = intrinsic(_build_zeros)
add_multiple: Any = intrinsic(_build_add_multiple)
publish: Any = intrinsic(_build_publish)
published: Any = intrinsic(_build_published)
stretch: Any = intrinsic(_build_stretch)
yield_thread: Any = intrinsic(_build_yield_thread)
gemm: Any = intrinsic(_build_gemm)
array_at: Any = intrinsic(_build_array_at)
load_all: Any = intrinsic(_build_load_all)
store_all: Any = intrinsic(_build_store_all)
call: Any = intrinsic(_build_call)
