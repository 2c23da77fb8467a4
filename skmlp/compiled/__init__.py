"""The training step in machine code, for those who install numba (``pip install skmlp[fast]``).

NumPy is the reference: :mod:`skmlp.nn` and :mod:`skmlp.optim` say what is computed, and the functions here compute the
same, equal to rounding, in fewer passes and without the interpreter between them. They know arrays only. What they do
not cover is left to NumPy.

The environment variable ``SKMLP_COMPILED`` decides: ``"auto"`` (the default) uses them when numba is installed and the
training is long enough (:mod:`skmlp.training.engine_choice`), ``"0"`` never, ``"1"`` wherever there are any, and
raises an error when numba is missing or fails.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

__all__ = ["NotCompiledError", "choice", "loading", "why_not"]

# What went wrong when this process loaded or compiled them.
_failure = ""


class NotCompiledError(Exception):
    """There are no compiled steps for a training; the message says why."""


def choice() -> str:
    """Return the value of the environment variable ``SKMLP_COMPILED``.

    Raises
    ------
    ValueError
        When it is none of the three.
    """
    value = os.environ.get("SKMLP_COMPILED", "auto")
    if value not in ("auto", "0", "1"):
        raise ValueError(f"The environment variable SKMLP_COMPILED must be 'auto', '0' or '1'. Got {value!r} instead.")
    return value


def why_not(chosen: str | None = None) -> str:
    """Say why this process trains without compiled steps; empty when it can have them.

    Parameters
    ----------
    chosen : str, optional
        What :func:`choice` returned.

    Raises
    ------
    ImportError
        When ``SKMLP_COMPILED=1`` and numba is not installed.
    ValueError
        When ``SKMLP_COMPILED`` is none of the three.
    """
    chosen = chosen or choice()
    if chosen == "0":
        return "SKMLP_COMPILED=0"
    if not _has_numba():
        if chosen == "1":
            raise ImportError("SKMLP_COMPILED=1 needs numba: pip install 'skmlp[fast]', or set SKMLP_COMPILED=auto.")
        return "numba is not installed"
    return "" if chosen == "1" else _failure


@contextmanager
def loading() -> Iterator[None]:
    """Do without compiled steps from here on, with a warning, when the body cannot load or compile them.

    Raises
    ------
    NotCompiledError
        After that warning.
    RuntimeError
        Instead, with ``SKMLP_COMPILED=1``.
    """
    global _failure
    try:
        yield
    except Exception as error:  # numba or its files may be damaged or too new, the disk full, ...
        first_line = str(error).strip().partition("\n")[0]
        what = f"{type(error).__name__}: {first_line}"
        way_out = (
            "Make room on the disk, or set NUMBA_CACHE_DIR to another folder."
            if isinstance(error, OSError)
            else "If numba is damaged or of an unknown version, pip install 'skmlp[fast]'."
        )
        if choice() == "1":
            raise RuntimeError(
                f"The compiled steps cannot be loaded. {what}. {way_out} SKMLP_COMPILED=0 trains without them."
            ) from error
        _failure = f"the compiled steps cannot be loaded ({what})"
        warnings.warn(
            f"Training uses NumPy in this process from here on: the compiled steps cannot be loaded. {what}. {way_out} "
            "SKMLP_COMPILED=0 trains without them and without this warning, SKMLP_COMPILED=1 shows the whole error.",
            RuntimeWarning,
            stacklevel=3,
        )
        raise NotCompiledError(_failure) from error


@cache  # finding out takes as long as a short training
def _has_numba() -> bool:
    return find_spec("numba") is not None
