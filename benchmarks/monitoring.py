"""The cost of ``monitor=True``: time spent on monitoring, relative to the rest of the fit.

    python -m benchmarks.monitoring [--repeats 9] [--threads 1]

The measurements, their summary, the summary of the data and the diagnosis are timed inside the fit, so that other work
on the machine affects both parts. A call and two comparisons for each step that is not measured are not included.
Medians over the repeats.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_classification
from threadpoolctl import threadpool_limits

from skmlp import MLPClassifier
from skmlp.estimators import fitting
from skmlp.training import monitor
from skmlp.training.monitor import Monitor

# All functions of the monitoring, by where they are called from.
PARTS: tuple[tuple[Any, str], ...] = (
    (Monitor, "_measure"),
    (monitor, "_compare"),
    (Monitor, "after_update"),
    (Monitor, "end_epoch"),
    (fitting, "summarize_data"),
    (fitting, "warn_about_health"),
)


class Stopwatch:
    """Sums the time spent in functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with time measurement."""

        def timed(*args: Any, **options: Any) -> Any:
            started = perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += perf_counter() - started

        return timed


def rows(load: Any) -> tuple[Any, Any]:
    """Return scaled rows in float32, and their labels."""
    X, y = load(return_X_y=True)
    deviation = X.std(axis=0)
    return ((X - X.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)).astype(np.float32), y


def networks() -> list[tuple[str, Any, dict[str, Any]]]:
    """Return name, data and parameters of each fit."""
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    stopwatch = Stopwatch()
    for owner, name in PARTS:
        setattr(owner, name, stopwatch.watch(getattr(owner, name)))
    print("| fit | steps | measured epochs | ms | of it monitoring, ms | relative to the rest |")
    print("|---|---|---|---|---|---|")
    with threadpool_limits(options.threads):
        for name, (X, y), params in networks():
            fits = []
            for _ in range(options.repeats):
                estimator = MLPClassifier(**params, monitor=True, random_state=0, tol=0.0, n_iter_no_change=10**6)
                stopwatch.seconds, started = 0.0, perf_counter()
                estimator.fit(X, y)
                fits.append((perf_counter() - started, stopwatch.seconds))
            whole, part = (1e3 * statistics.median(column) for column in zip(*fits, strict=True))
            fraction = statistics.median(spent / (total - spent) for total, spent in fits)
            steps, observed = estimator._model.state.step, len(estimator.monitor_["epoch"])
            print(f"| {name} | {steps} | {observed} | {whole:.0f} | {part:.1f} | {fraction:.1%} |", flush=True)


if __name__ == "__main__":
    main()
