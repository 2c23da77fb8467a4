"""How functions are compiled: once for each dtype, kept on disk if possible, without the interpreter's lock."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import event as events
from numba.core.caching import FunctionCache

__all__ = ["announced", "as_written", "exact", "inlined", "reordering"]

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set: numba compiles nothing until it is unset")

# The wrapper for callers in C, which there are none of, is left out: it costs time to compile.
_SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

# numba looks for a change in a function's own file only, but what it keeps holds the code of called functions, too.
# Kept under the name of the version of all files here, it is never out of date.
_VERSION = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


class _Cache(FunctionCache):
    """A function's machine code on disk."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for a signature; None, so that it is compiled and stored again, when the file is damaged."""
        files: Any = super()
        try:
            return files.load_overload(sig, target_context)
        except Exception:  # pickle may fail in any way
            files.flush()
            return None


def _compile(function: Callable[..., Any], fastmath: set[str]) -> Callable[..., Any]:
    function.__qualname__ += f"_{_VERSION}"
    compiled = njit(**_SETTINGS, fastmath=fastmath)(function)
    with suppress(RuntimeError):  # there is no folder that one may write to
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return compiled


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


def announced(function: Any, dtype: str) -> AbstractContextManager[Any]:
    """Log a message when `function` is compiled in this context, rather than found on disk."""
    context: AbstractContextManager[Any] = events.install_listener("numba:compile", _Announcement(function, dtype))
    return context


class _Announcement(events.Listener):
    def __init__(self, function: Any, dtype: str) -> None:
        self._function, self._dtype = function, dtype

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"] is self._function:
            folder = self._function.stats.cache_path
            logging.getLogger("skmlp").warning(
                "Compiling the training steps for %s, which takes half a minute or so. %s",
                self._dtype,
                "No folder can be written to that would keep them: set NUMBA_CACHE_DIR to one."
                if folder is None
                else f"Later processes find them in {folder}.",
            )

    def on_end(self, event: Any) -> None:
        pass
