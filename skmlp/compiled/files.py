"""Where machine code is kept on disk, and under which name."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dis import get_instructions
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

__all__ = ["fingerprint", "folder", "read", "referred_globals", "version", "write"]


@cache
def folder() -> Path | None:
    """Return the first folder that can be written to; None when there is none.

    ``NUMBA_CACHE_DIR`` if it is set; else beside this file, or the user's folder for caches.
    """
    for candidate in _candidates():
        with suppress(OSError):
            candidate.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=candidate):
                return candidate
    return None


def _candidates() -> Iterator[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen) / "skmlp"
        return
    yield Path(__file__).parent / "__pycache__"
    with suppress(RuntimeError):  # a user without a home
        home = Path.home()
        caches = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or home / ".cache"
        yield Path(caches) / "skmlp"


def read(name: str) -> tuple[bytes, str] | None:
    """Return the object file kept under a name, and the function's name in it; None when there is no whole one."""
    place = folder()
    if place is None:
        return None
    try:
        checksum, symbol, code = (place / name).read_bytes().split(b"\n", 2)
    except (OSError, ValueError):
        return None
    return (code, symbol.decode()) if _checksum(symbol, code) == checksum else None


def write(name: str, code: bytes, symbol: str) -> None:
    """Keep an object file under a name, all at once: another process reads the whole file or none.

    Raises
    ------
    OSError
        When it cannot be written: the disk is full, for example.
    """
    place = folder()
    if place is None:
        return
    handle, temporary = tempfile.mkstemp(dir=place)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"\n".join([_checksum(symbol.encode(), code), symbol.encode(), code]))
        os.chmod(temporary, 0o644)  # other users of this installation may read it
        os.replace(temporary, place / name)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _checksum(symbol: bytes, code: bytes) -> bytes:
    return sha256(symbol + b"\n" + code).hexdigest().encode()


@cache
def fingerprint(function: FunctionType) -> str:
    """Return a text that changes when a plain function, or one that it calls, is written differently."""
    return sha256(repr(list(_written(function, set()))).encode()).hexdigest()


def _written(function: FunctionType, seen: set[Any]) -> Iterator[Any]:
    """Yield what a function consists of: its code, and the functions and constants that it refers to."""
    if function in seen:
        return
    seen.add(function)
    yield from _code(function.__code__)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    for value in [*referred_globals(function).values(), *cells]:
        if isinstance(value, FunctionType):
            yield from _written(value, seen)
        elif isinstance(value, bool | int | float | str | tuple):
            yield value


def referred_globals(function: FunctionType) -> dict[str, Any]:
    """Return the global variables that a function refers to, by name."""
    names = {each.argval for each in get_instructions(function.__code__) if each.opname == "LOAD_GLOBAL"}
    return {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}


def _code(code: CodeType) -> Iterator[Any]:
    yield code.co_code, code.co_names, code.co_varnames
    has_docstring = isinstance(next(iter(code.co_consts), None), str)
    for constant in code.co_consts[has_docstring:]:
        yield from _code(constant) if isinstance(constant, CodeType) else [constant]


@cache
def version() -> str:
    """Return a text for what machine code depends on besides the kernel: this package, Python, numba, LLVM, the CPU."""
    import llvmlite
    from llvmlite import binding

    versions = sys.version_info[:2], metadata.version("numba"), llvmlite.__version__
    digest = sha256(repr((*versions, binding.get_process_triple())).encode())
    digest.update(binding.get_host_cpu_name().encode() + binding.get_host_cpu_features().flatten().encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
