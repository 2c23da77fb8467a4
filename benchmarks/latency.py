"""Microseconds of small calls: predict_proba for one row, partial_fit for 32 rows.

    python -m benchmarks.latency [--calls 500]

Medians, measured in turn with scikit-learn's MLP and its input validation (``validate_data``) on the same input. Ratios
are relative to the validation.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from time import perf_counter

import numpy as np
import pandas as pd
import sklearn.neural_network as peer
from sklearn.datasets import load_digits
from sklearn.utils.validation import validate_data

import skmlp

SPARSE = ["csr", "csc"]


def medians(functions: list[Callable[[], object]], calls: int) -> list[float]:
    """Return the median microseconds of each function; they are called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(calls):
        for function, collected in zip(functions, times, strict=True):
            started = perf_counter()
            function()
            collected.append(perf_counter() - started)
    return [1e6 * statistics.median(collected) for collected in times]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    inputs = {
        "float64": X,
        "float32": X.astype(np.float32),
        "DataFrame": pd.DataFrame(X, columns=[f"pixel_{i}" for i in range(X.shape[1])]),
    }
    print(f"{'input':11}{'call':22}{'validation':>11}{'skmlp':>8}{'ratio':>7}{'sklearn':>9}{'ratio':>7}")
    warnings.simplefilter("ignore")
    for name, data in inputs.items():
        ours = skmlp.MLPClassifier(max_iter=2, random_state=0).fit(data, y)
        theirs = peer.MLPClassifier(max_iter=2, random_state=0).fit(data, y)
        row, rows, labels = data[:1], data[:32], y[:32]
        calls_of = {
            "predict_proba, 1 row": (
                lambda e=ours, r=row: validate_data(e, r, accept_sparse=SPARSE, reset=False),
                lambda e=ours, r=row: e.predict_proba(r),
                lambda e=theirs, r=row: e.predict_proba(r),
            ),
            "partial_fit, 32 rows": (
                lambda e=ours, r=rows, t=labels: validate_data(
                    e, r, t, accept_sparse=SPARSE, multi_output=True, dtype=(np.float64, np.float32), reset=False
                ),
                lambda e=ours, r=rows, t=labels: e.partial_fit(r, t),
                lambda e=theirs, r=rows, t=labels: e.partial_fit(r, t),
            ),
        }
        for call, functions in calls_of.items():
            medians(list(functions), 20)
            validation, our, their = medians(list(functions), calls)
            print(
                f"{name:11}{call:22}{validation:11.0f}{our:8.0f}{our / validation:7.2f}{their:9.0f}"
                f"{their / validation:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
