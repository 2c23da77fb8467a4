"""How functions are compiled: once for each dtype, kept on disk if possible, without the interpreter's lock."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import event as events
from numba.core.caching import FunctionCache

from skmlp import compiled

__all__ = ["announced", "as_written", "entry", "exact", "inlined", "reordering"]

if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set: numba compiles nothing until it is unset")

# The wrapper for callers in C, which there are none of, is left out: it costs time to compile.
_SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

# numba looks for a change in a function's own file only, but what it keeps holds the code of called functions, too.
# Kept under the name of the version of all files here, it is never out of date.
_VERSION = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


# Seconds after which the other process that compiles is given up.
TIMEOUT = 600.0


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


class _EntryCache(_Cache):
    """The machine code on disk of a function that Python calls.

    The process that compiles it links it with the functions it calls as they were compiled by themselves. The code on
    disk has copies of them, optimized for this caller, which may round in another way. So another process compiles and
    this one loads: its results are those of every later process, bit for bit.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for a signature, compiled by another process if need be; None if that one failed."""
        found = super().load_overload(sig, target_context)
        if found is None and not compiled.compiles_here:
            arguments = " ".join(map(str, sig))
            dtype = next(name for name in ("float32", "float64") if f"array({name}," in arguments)
            _announce(dtype, self.cache_path)
            _compile_in_another_process(dtype)
            found = super().load_overload(sig, target_context)
        return found


def _compile_in_another_process(dtype: str) -> None:
    """Run ``python -m skmlp.compile`` with this process's search path; when it fails, nothing is on disk."""
    command = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from skmlp.compile import main; main()"
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [sys.executable, "-c", command, json.dumps(sys.path), dtype],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )


def _compile(function: Callable[..., Any], fastmath: set[str], cache: type[_Cache] = _Cache) -> Callable[..., Any]:
    function.__qualname__ += f"_{_VERSION}"
    dispatcher = njit(**_SETTINGS, fastmath=fastmath)(function)
    with suppress(RuntimeError):  # there is no folder that one may write to
        dispatcher._cache = cache(function)
    return dispatcher


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile so that every operation rounds as in Python."""
    return _compile(function, set())


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as :func:`exact` does, in another process, which keeps the code on disk for this one."""
    return _compile(function, {"contract"}, _EntryCache)


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
            _announce(self._dtype, self._function.stats.cache_path)

    def on_end(self, event: Any) -> None:
        pass


def _announce(dtype: str, folder: str | None) -> None:
    logging.getLogger("skmlp").warning(
        "Compiling the training steps for %s, which takes half a minute or so. %s",
        dtype,
        "No folder can be written to that would keep them: set NUMBA_CACHE_DIR to one."
        if folder is None
        else f"Later processes find them in {folder}.",
    )
