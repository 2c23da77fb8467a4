"""What monitoring costs: the time of a fit with ``monitor=True`` beside that of the same fit without, in turn.

    python -m benchmarks.monitoring [--repeats 25] [--threads 1]

The least time of each, since other work on the machine only adds to it. What is extra includes the look at the data and
the diagnosis at the end.
"""

import argparse
import warnings
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_classification
from threadpoolctl import threadpool_limits

from skmlp import MLPClassifier


def rows(load: Any) -> tuple[Any, Any]:
    """Return scaled rows in float32, and their labels."""
    X, y = load(return_X_y=True)
    deviation = X.std(axis=0)
    return ((X - X.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)).astype(np.float32), y


def networks() -> list[tuple[str, Any, dict[str, Any]]]:
    """Return what is fitted: name, data, parameters."""
    iris, cancer, digits = rows(load_iris), rows(load_breast_cancer), rows(load_digits)
    X, y = make_classification(20_000, 50, n_informative=20, random_state=0)
    large = X.astype(np.float32), y
    return [
        ("iris 4-100-3, full batch, 200 epochs", iris, {"max_iter": 200}),
        ("cancer 30-100-1, 200 epochs", cancer, {"max_iter": 200}),
        ("digits 64-100-10, 200 epochs", digits, {"max_iter": 200}),
        ("digits 64-64-64-64-10, tanh, 200 epochs", digits, {"hidden_layer_sizes": (64,) * 3, "activation": "tanh"}),
        ("digits, 10 layers of 32, 100 epochs", digits, {"hidden_layer_sizes": (32,) * 10, "max_iter": 100}),
        ("digits 64-100-10, batch 32, 60 epochs", digits, {"batch_size": 32, "max_iter": 60}),
        ("digits 64-512-512-10, 20 epochs", digits, {"hidden_layer_sizes": (512, 512), "max_iter": 20}),
        ("20,000 rows, 50-256-256-1, 6 epochs", large, {"hidden_layer_sizes": (256, 256), "max_iter": 6}),
    ]


def seconds(X: Any, y: Any, params: dict[str, Any], *, monitor: bool) -> float:
    """Return the time of a fit."""
    estimator = MLPClassifier(**params, monitor=monitor, random_state=0, tol=0.0, n_iter_no_change=10**6)
    started = perf_counter()
    estimator.fit(X, y)
    return perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| fit | off, ms | extra, ms | extra |\n|---|---|---|---|")
    with threadpool_limits(options.threads):
        for name, (X, y), params in networks():
            pairs = []
            for repeat in range(options.repeats):
                order = (False, True) if repeat % 2 else (True, False)  # whoever comes second finds warm caches
                times = {monitor: seconds(X, y, params, monitor=monitor) for monitor in order}
                pairs.append((times[False], times[True]))
            off, on = (min(times) for times in zip(*pairs, strict=True))
            extra = on - off
            print(f"| {name} | {1e3 * off:.1f} | {1e3 * extra:.1f} | {extra / off:.1%} |", flush=True)


if __name__ == "__main__":
    main()
