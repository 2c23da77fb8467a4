"""Checks of parameters."""

from numbers import Integral
from typing import Any

__all__ = ["check_whole_number"]


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Raise ValueError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
