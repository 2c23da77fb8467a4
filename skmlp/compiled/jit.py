"""How functions are compiled: once for each dtype, kept on disk, without the interpreter's lock."""

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["exact", "inlined", "reordering"]

_SETTINGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def exact(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with operations in the order they are written."""
    return njit(**_SETTINGS, fastmath={"contract"})(function)  # type: ignore[no-any-return]


def reordering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile so that sums may be taken in another order, which lets them run in several lanes."""
    return njit(**_SETTINGS, fastmath={"contract", "reassoc", "nsz"})(function)  # type: ignore[no-any-return]


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as part of every function that calls it, so that functions among its arguments are known there."""
    return njit(inline="always")(function)  # type: ignore[no-any-return]
