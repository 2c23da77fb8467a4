"""Packages whose names are imported when they are first asked for."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["on_demand"]


def on_demand(
    package: str, homes: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package that imports its names when first asked for (PEP 562).

    A process that needs one module of a package, as the one that sends to MLflow, is spared all the others and
    scikit-learn with them.

    Parameters
    ----------
    package : str
        Its `__name__`.
    homes : mapping of str to str
        The module in which each of its names is defined.
    modules : iterable of str
        Those of its modules that are there without an import of their own.
    """
    modules = tuple(modules)

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # not asked for again
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return get, names
