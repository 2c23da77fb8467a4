"""The training step in machine code, for those who install numba (``pip install skmlp[fast]``).

NumPy is the reference: :mod:`skmlp.nn` and :mod:`skmlp.optim` say what is computed, and the functions here compute the
same, equal to rounding, in fewer passes and without the interpreter between them. They know arrays only. What they do
not cover is left to NumPy.

The environment variable ``SKMLP_COMPILED`` decides: ``"auto"`` (the default) uses them when numba is installed,
``"0"`` never, ``"1"`` raises an error when numba is missing.
"""

import os
from functools import cache
from importlib.util import find_spec

__all__ = ["is_wanted"]


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
    return _has_numba()


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
