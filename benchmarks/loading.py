"""Seconds from the start of a process to the end of its first fit: when it compiles, when it loads, and with NumPy.

    python -m benchmarks.loading [--repeats 5] [--compilations 1] [--dtype float32]

A classifier of 64-100-10 trains for one epoch. ``NUMBA_CACHE_DIR`` is a temporary folder, empty for each compilation.
Processes that load the compiled code and processes with ``SKMLP_COMPILED=0`` take turns. Medians, with the range.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

FIT = """
import sys, time, warnings
import numpy as np
from skmlp import MLPClassifier
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((400, 64)).astype(sys.argv[1])
MLPClassifier(dtype=sys.argv[1], max_iter=1, random_state=0).fit(X, np.arange(400) % 10)
print(time.time())
"""


def first_fit(compiled: str, cache: str, dtype: str) -> float:
    """Return the seconds of a new process with these settings, up to the end of the fit."""
    environment = {**os.environ, "SKMLP_COMPILED": compiled, "NUMBA_CACHE_DIR": cache}
    started = time.time()
    done = subprocess.run([sys.executable, "-c", FIT, dtype], env=environment, stdout=subprocess.PIPE, check=True)
    return float(done.stdout) - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compilations", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"compile": [], "load": [], "NumPy": []}
    for _ in range(options.compilations):
        with tempfile.TemporaryDirectory() as cache:
            seconds["compile"].append(first_fit("1", cache, options.dtype))
            for _ in range(options.repeats):
                seconds["load"].append(first_fit("1", cache, options.dtype))
                seconds["NumPy"].append(first_fit("0", cache, options.dtype))
    print("| process | n | seconds to the end of the first fit | least | most |\n|---|---|---|---|---|")
    for name, found in seconds.items():
        print(f"| {name} | {len(found)} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")


if __name__ == "__main__":
    main()
