"""The training step in machine code, for those who install numba (``pip install skmlp[fast]``).

NumPy is the reference: :mod:`skmlp.nn` and :mod:`skmlp.optim` say what is computed, and the functions here compute the
same, equal to rounding, in fewer passes and without the interpreter between them. They know arrays only. What they do
not cover is left to NumPy.

The environment variable ``SKMLP_COMPILED`` decides: ``"auto"`` (the default) uses them when numba is installed,
``"0"`` never, ``"1"`` raises an error when numba is missing.
"""

import os
import warnings
from importlib.util import find_spec

__all__ = ["is_wanted", "leave_out"]

_left_out = False


def is_wanted() -> bool:
    """Tell whether training may use compiled steps.

    Raises
    ------
    ImportError
        When ``SKMLP_COMPILED=1`` and numba is not installed.
    ValueError
        When ``SKMLP_COMPILED`` is none of the three.
    """
    choice = os.environ.get("SKMLP_COMPILED", "auto")
    if choice == "0":
        return False
    if choice not in ("auto", "1"):
        raise ValueError(f"The environment variable SKMLP_COMPILED must be 'auto', '0' or '1'. Got {choice!r} instead.")
    if choice == "1" and not _has_numba():
        raise ImportError("SKMLP_COMPILED=1 needs numba: pip install 'skmlp[fast]', or set SKMLP_COMPILED=auto.")
    return not _left_out and _has_numba()


def leave_out(error: ImportError) -> None:
    """Do without compiled steps from here on, with a warning, because numba cannot be imported.

    Raises
    ------
    ImportError
        With ``SKMLP_COMPILED=1``.
    """
    global _left_out
    if os.environ.get("SKMLP_COMPILED") == "1":
        raise error
    _left_out = True
    warnings.warn(
        f"Training runs without compiled steps, because numba is installed but cannot be imported: {error} "
        "Set SKMLP_COMPILED=0 to be told no more.",
        RuntimeWarning,
        stacklevel=2,
    )


def _has_numba() -> bool:
    return find_spec("numba") is not None
