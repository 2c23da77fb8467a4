"""What identifies a compiled function."""

from types import FunctionType
from typing import Any, NamedTuple

__all__ = ["UNUSED", "Entry"]

# numba links its code for reference counts into everything. It is never called: kernels own no memory.
UNUSED = ("NRT_MemInfo_call_dtor",)


class Entry(NamedTuple):
    """A function that other machine code, or Python, calls by its address.

    Attributes
    ----------
    name : str
        For messages and the file's name.
    adapter : str
        The function of :mod:`skmlp.compiled.adapters` that builds it.
    kernels : tuple of functions
        The plain functions it is built around.
    shape : tuple
        What else the adapter needs to know: numbers of arrays, their axes, numbers of settings.
    dtype : str
        Of the parameters.
    """

    name: str
    adapter: str
    kernels: tuple[FunctionType, ...]
    shape: tuple[Any, ...]
    dtype: str
