"""How functions are compiled: once for each dtype, kept on disk if possible, without the interpreter's lock."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

__all__ = ["as_written", "exact", "inlined", "reordering"]

# The wrapper for callers in C, which there are none of, is left out: it costs time to compile.
_SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

# numba looks for a change in a function's own file only, but what it keeps holds the code of called functions, too.
# Kept under the name of the version of all files here, it is never out of date.
_VERSION = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


def _compile(function: Callable[..., Any], fastmath: set[str]) -> Callable[..., Any]:
    function.__qualname__ += f"_{_VERSION}"
    try:
        return njit(**_SETTINGS, fastmath=fastmath, cache=True)(function)
    except RuntimeError:  # there is no folder that one may write to
        return njit(**_SETTINGS, fastmath=fastmath)(function)


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile so that every operation rounds as in Python."""
    return _compile(function, set())


def exact(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with operations in the order they are written; a product and a sum may be one operation."""
    return _compile(function, {"contract"})


def reordering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile so that sums may be taken in another order, which lets them run in several lanes."""
    return _compile(function, {"contract", "reassoc", "nsz"})


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as part of every function that calls it, so that functions among its arguments are known there."""
    return njit(inline="always")(function)
