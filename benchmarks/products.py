"""Microseconds of the three matrix products of a layer, by the functions of the compiled steps and by BLAS.

    python -m benchmarks.products [--dtype float32] [--repeats 9]

The minimum over repeats, which take turns, on one BLAS thread; all arrays stay in the cache. For large products the
compiled steps call BLAS themselves, and both columns are the same.
"""

import argparse
from time import perf_counter
from typing import Any

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from skmlp.compiled import products

# Samples, inputs and outputs of a layer.
SHAPES = (
    (1, 8, 16),
    (32, 8, 16),
    (32, 30, 100),
    (32, 64, 64),
    (200, 8, 16),
    (200, 30, 100),
    (200, 64, 100),
    (200, 100, 1),
    (200, 100, 10),
    (200, 128, 128),
    (512, 64, 100),
    (256, 256, 256),
    (200, 784, 100),
)
NAMES = ("x @ W", "x.T @ delta", "delta @ W.T")
SECONDS = 0.003  # of a repeat


@njit
def own(times: int, number: int, left: Any, right: Any, out: Any, panel: Any) -> None:
    """Compute a product by the functions of the compiled steps."""
    for _ in range(times):
        if number == 0:
            products.forward(left, right, out, panel, products.LARGE_ALONE)
        elif number == 1:
            products.weight_gradient(left, right, out, panel, products.LARGE_ALONE)
        else:
            products.error_signal(left, right, out, panel, products.LARGE_ALONE)


@njit
def blas(times: int, number: int, left: Any, right: Any, out: Any, panel: Any) -> None:
    """Compute a product by BLAS."""
    for _ in range(times):
        if number == 0:
            np.dot(left, right, out)
        elif number == 1:
            np.dot(left.T, right, out)
        else:
            np.dot(left, right.T, out)


def measure(shape: tuple[int, int, int], dtype: str, repeats: int) -> list[tuple[float, float]]:
    """Return the microseconds of each product by both."""
    n_samples, n_in, n_out = shape
    rng = np.random.default_rng(0)
    x, W, delta = (
        rng.standard_normal(sides).astype(dtype) for sides in ((n_samples, n_in), (n_in, n_out), (n_samples, n_out))
    )
    panel = np.empty(products.panel_size(max(shape), x.itemsize), dtype)
    found = []
    for number, (left, right, sides) in enumerate(((x, W, delta), (x, delta, W), (delta, W, x))):
        out = np.empty_like(sides)
        best = {own: np.inf, blas: np.inf}
        times = 1
        for function in best:
            function(1, number, left, right, out, panel)
        while (seconds := _time(blas, times, number, left, right, out, panel)) < SECONDS:
            times = max(times + 1, int(1.2 * times * SECONDS / seconds)) if seconds > 0.0 else 10 * times
        for _ in range(repeats):
            for function in best:
                best[function] = min(best[function], _time(function, times, number, left, right, out, panel) / times)
        found.append((1e6 * best[own], 1e6 * best[blas]))
    return found


def _time(function: Any, *arguments: Any) -> float:
    started = perf_counter()
    function(*arguments)
    return perf_counter() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(f"{'samples, inputs, outputs':>26}" + "".join(f"{name:>15} {'BLAS':>9} {'ratio':>6}" for name in NAMES))
    with threadpool_limits(1):
        for shape in SHAPES:
            cells = [f"{a:>15.2f} {b:>9.2f} {b / a:>6.2f}" for a, b in measure(shape, options.dtype, options.repeats)]
            print(f"{', '.join(map(str, shape)):>26}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
