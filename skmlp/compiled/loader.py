"""Compiled functions by address: from memory, from disk, or compiled now.

Loading needs llvmlite alone, which is imported in a tenth of numba's time. A function that was just compiled goes
through an object file like one from disk, so that the first process has the same results as every later one.
"""

import ctypes
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from threading import Lock
from typing import Any

from skmlp.compiled import files
from skmlp.compiled.entries import UNUSED, Entry

__all__ = ["addresses", "n_missing"]


_loaded: dict[Entry, int] = {}
_lock = Lock()


def addresses(entries: Sequence[Entry]) -> list[int]:
    """Return the address of each entry; load or compile what this process does not have yet."""
    with _lock:
        wanted = dict.fromkeys(entry for entry in entries if entry not in _loaded)
        on_disk = {entry: files.read(_file_name(entry)) for entry in wanted}
        if missing := [entry for entry in wanted if on_disk[entry] is None]:
            _announce(len(missing))
        for entry, found in on_disk.items():
            _loaded[entry] = _load(*(found or _compile(entry)))
    return [_loaded[entry] for entry in entries]


def n_missing(entries: Sequence[Entry]) -> int:
    """Return how many of the entries are neither in this process nor on disk."""
    return sum(entry not in _loaded and files.read(_file_name(entry)) is None for entry in entries)


def _file_name(entry: Entry) -> str:
    kernels = [files.fingerprint(kernel) for kernel in entry.kernels]
    text = repr((files.version(), entry.adapter, kernels, entry.shape, entry.dtype))
    return f"{entry.name}-{entry.dtype}-{sha256(text.encode()).hexdigest()[:16]}.o"


def _compile(entry: Entry) -> tuple[bytes, str]:
    from skmlp.compiled import adapters
    from skmlp.compiled.build import compiled_object

    _engine()  # numba loads the function, too, and needs the symbols
    function, argument_types = getattr(adapters, entry.adapter)(entry)
    code, symbol = compiled_object(function, argument_types)
    files.write(_file_name(entry), code, symbol)
    return code, symbol


def _load(code: bytes, symbol: str) -> int:
    from llvmlite import binding

    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(symbol)
    return address


@cache
def _engine() -> Any:
    """Return LLVM's loader of object files, which knows BLAS's functions by our names."""
    from llvmlite import binding
    from scipy.linalg import cython_blas

    with suppress(RuntimeError):  # newer versions initialize themselves, and say so
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    machine = target.create_target_machine(
        jit=True, cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten()
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    for name in ("sgemm", "dgemm"):
        binding.add_symbol(f"skmlp_{name}", _pointer(cython_blas.__pyx_capi__[name]))
    for name in UNUSED:
        binding.add_symbol(name, binding.address_of_symbol("Py_DecRef"))
    return engine


def _pointer(capsule: Any) -> int:
    """Return the address in a capsule of Python's C interface."""
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = pointer_of(capsule, name_of(capsule))
    return address


def _announce(n_functions: int) -> None:
    logging.getLogger("skmlp").warning(
        "Compiling %d of the functions of the training steps, which takes a second or two for each. %s",
        n_functions,
        "No folder can be written to that would keep them: set NUMBA_CACHE_DIR to one."
        if files.folder() is None
        else f"Later processes find them in {files.folder()}.",
    )
