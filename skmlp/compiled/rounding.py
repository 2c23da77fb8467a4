"""What the compiler may do to the floating-point operations of a kernel.

By default operations stay in the order they are written, and a product and a sum may become one fused multiply-add.
"""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["allow_reassociation", "flags_of", "strict_fp"]

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: dict[Callable[..., Any], frozenset[str]] = {}


def strict_fp(function: F) -> F:
    """Mark a function of which every operation rounds as in Python."""
    _FLAGS[function] = frozenset()
    return function


def allow_reassociation(function: F) -> F:
    """Mark a function whose sums may be taken in another order, which lets them run in several lanes."""
    _FLAGS[function] = frozenset({"contract", "reassoc", "nsz"})
    return function


def flags_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return LLVM's fast-math flags for a function."""
    return _FLAGS.get(function, frozenset({"contract"}))
