"""Which kernel an operation has."""

from collections.abc import Sequence
from typing import Any

__all__ = ["kernel_of"]


def kernel_of(operation: Any, name: str, methods: Sequence[str]) -> Any:
    """Return an operation's attribute `name`, its compiled form; None when it does not compute what the methods do.

    A subclass that overrides one of the methods computes something else than the kernel that it inherits.
    """
    owner = _owner(operation, name)
    if owner is None or not all(issubclass(owner, _owner(operation, method) or object) for method in methods):
        return None
    return getattr(operation, name)


def _owner(operation: Any, name: str) -> type | None:
    return next((base for base in type(operation).__mro__ if name in vars(base)), None)
