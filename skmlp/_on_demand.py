"""Packages that import a name when it is first used."""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["on_demand"]


def on_demand(
    package: str, homes: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` (PEP 562) of a package that imports a name when it is first used.

    A process that needs one module of a package, such as the one that sends to MLflow, does not import the others, nor
    scikit-learn.

    Parameters
    ----------
    package : str
        Its `__name__`.
    homes : mapping of str to str
        The module that defines each name.
    modules : iterable of str
        Submodules that are attributes of the package.
    """
    modules = tuple(modules)

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # so that it is found without this function
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return get, names
