"""Kernels to machine code: plain functions are compiled by numba, with everything they call.

Imported only when a kernel is not on disk. The result is the text of an object file, which
:mod:`skmlp.compiled.loader` loads without numba.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import CellType, FunctionType
from typing import Any
from unittest.mock import patch

from llvmlite import binding
from numba import config, njit
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.registry import cpu_target

from skmlp.compiled import fast_maths, fast_products, maths, products
from skmlp.compiled.entries import UNUSED
from skmlp.compiled.files import referred_globals
from skmlp.compiled.rounding import flags_of

__all__ = ["compiled_object", "jitted"]

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set: numba compiles nothing until it is unset")

# What takes the place of the plain functions that kernels call.
_REPLACED: dict[Any, Any] = {
    getattr(plain, name): getattr(fast, name)
    for plain, fast in ((maths, fast_maths), (products, fast_products))
    for name in fast.__all__
}


def compiled_object(function: Callable[..., Any], argument_types: tuple[Any, ...]) -> tuple[bytes, str]:
    """Compile a function for arguments of these types; return the object file and the function's name in it."""
    dispatcher: Any = _compile(function)
    machine = cpu_target.target_context.codegen()._tm
    with _front_end_only():
        dispatcher.compile(argument_types)
        result = dispatcher.overloads[argument_types]
        result.library._ensure_finalized()  # links what it calls
    result.library._optimize_final_module()
    module = result.library._final_module
    _check_calls(function, [each.name for each in module.functions if each.is_declaration])
    code: bytes = machine.emit_object(module)
    return code, result.fndesc.llvm_func_name


@contextmanager
def _front_end_only() -> Iterator[None]:
    """Let numba stop at LLVM's intermediate language.

    It would optimize every function by itself and turn it into machine code, though only the whole is used. No other
    thread compiles meanwhile.
    """
    level = config.OPT  # type: ignore[attr-defined]
    with (
        global_compiler_lock,
        patch.object(config, "OPT", type(level)(0)),
        patch.object(JITCPUCodegen, "_add_module", lambda codegen, module: None),
        patch.object(JITCodeLibrary, "_finalize_specific", lambda library: None),
        patch.object(CPUContext, "get_executable", lambda *_: [].append),  # a new function that is never called
    ):
        yield


def _check_calls(function: Callable[..., Any], names: Sequence[str]) -> None:
    """Raise TypeError when a function calls what a process without numba does not have; LLVM would end the process."""
    missing = [
        name
        for name in names
        if not name.startswith(("llvm.", "skmlp_"))
        and name not in UNUSED
        and (name.startswith(("numba_", "NRT_")) or binding.address_of_symbol(name) is None)
    ]
    if missing:
        raise TypeError(f"The kernel of {function.__qualname__} needs {', '.join(missing)}, which only numba has.")


@cache
def jitted(function: Callable[..., Any]) -> Any:
    """Return a function as part of those that call it, together with the plain functions that it calls."""
    # Copies would be separate functions of the same name in the object files of several kernels; inlined, none is left.
    return _compile(_REPLACED.get(function, function), forceinline=True)


def _compile(function: Any, **options: Any) -> Any:
    flags = set(flags_of(function))
    # Nothing in Python calls it, so that it needs no wrappers.
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compile_with: Any = njit
    return compile_with(error_model="numpy", fastmath=flags, **options)(_with_jitted_calls(function))


def _with_jitted_calls(function: FunctionType) -> FunctionType:
    """Return a copy of a function in which the plain functions it refers to are replaced by compiled ones."""
    replaced = {name: jitted(value) for name, value in referred_globals(function).items() if _is_plain(value)}
    cells = tuple(
        CellType(jitted(cell.cell_contents)) if _is_plain(cell.cell_contents) else cell
        for cell in function.__closure__ or ()
    )
    copied = FunctionType(
        function.__code__, {**function.__globals__, **replaced}, function.__name__, function.__defaults__, cells
    )
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    return copied


def _is_plain(value: Any) -> bool:
    if not isinstance(value, FunctionType) or value in fast_maths.OVERLOADED:
        return False
    return not value.__module__.startswith("numba.")
