"""Compile the training steps ahead, so that no training has to: while the image of a machine is built, for example.

python -m skmlp.compile [float32] [float64]
"""

import argparse
import os
import warnings
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPRegressor, compiled

__all__ = ["DTYPES", "main", "make_ready"]

DTYPES = ("float32", "float64")


def make_ready(dtype: str) -> str:
    """Compile the steps for a dtype, unless they are kept on disk; return in words what was done."""
    started = perf_counter()
    with compiled.loading():
        from skmlp.compiled.steps import take_steps  # imports numba

    steps: Any = take_steps
    n_compiled = sum(steps.stats.cache_misses.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPRegressor(hidden_layer_sizes=(1,), dtype=dtype, max_iter=1).fit([[0.0], [1.0]], [0.0, 1.0])
    seconds = perf_counter() - started
    done = "compiled" if sum(steps.stats.cache_misses.values()) > n_compiled else "loaded"
    return (
        f"{dtype}: {done} in {seconds:.1f} s, kept in {steps.stats.cache_path or 'no folder: none can be written to'}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the steps of some dtypes ready, all by default."""
    parser = argparse.ArgumentParser(prog="python -m skmlp.compile", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "dtypes", nargs="*", metavar="dtype", help=f"of the networks: {' or '.join(DTYPES)}; all of them"
    )
    dtypes = parser.parse_args(arguments).dtypes or DTYPES
    if unknown := sorted(set(dtypes).difference(DTYPES)):
        parser.error(f"a dtype must be one of {', '.join(DTYPES)}; got {', '.join(unknown)}")
    os.environ["SKMLP_COMPILED"] = "1"
    compiled.compiles_here = True
    try:
        compiled.why_not()  # without numba an error that says what to install
        for dtype in dtypes:
            print(make_ready(dtype), flush=True)
    except (ImportError, RuntimeError) as error:
        parser.exit(1, f"Nothing is compiled, or not all of it. {error}\n")


if __name__ == "__main__":
    main()
