"""The cost of tracking with MLflow.

python -m benchmarks.tracking [--repeats N]

Each row is a network. Fits with and without tracking alternate in one process, with a new SQLite store in a temporary
folder. All figures are medians over the repeats. "epochs" is the time from the first epoch to the end of the last,
"extra" what tracking adds to it. "hook" is the time in the callback after an epoch. "begin" and "end" are the times
before the first and after the last epoch: describing the run; drawing pictures, writing files, waiting for the store.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback

# Rows, features, hidden layers, epochs.
CASES = [
    (1_000, 20, (100,), 200),
    (1_000, 20, (64, 64, 64), 200),
    (1_000, 20, (100,), 2_000),
    (20_000, 50, (256, 256), 40),
    (60_000, 784, (100,), 10),
]


class Timed(MLflowCallback):
    """The callback with timed hooks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.hooks: list[float] = []
        self.began = self.first_epoch = self.last_epoch = self.ended = 0.0

    def setup(self, estimator: Any, context: Any) -> None:
        self.began = perf_counter()
        super().setup(estimator, context)

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any = None, y: Any = None) -> None:
        if context.task_name == "epoch" and not self.hooks:
            self.first_epoch = perf_counter()
        super().on_fit_task_begin(estimator, context, X=X, y=y)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        started = perf_counter()
        super().on_fit_task_end(estimator, context)
        if context.task_name == "epoch":
            self.last_epoch = perf_counter()
            self.hooks.append(self.last_epoch - started)

    def without_propagation(self) -> Any:
        return self

    def teardown(self, estimator: Any, context: Any) -> None:
        super().teardown(estimator, context)
        self.ended = perf_counter()


class Plain:
    """A callback that records times only."""

    def __init__(self) -> None:
        self.first_epoch = self.last_epoch = 0.0

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch" and context.task_id == 0:
            self.first_epoch = perf_counter()

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "epoch":
            self.last_epoch = perf_counter()


def measure(case: tuple[int, int, tuple[int, ...], int], uri: str, repeats: int) -> str:
    """Return the table's row of a case."""
    n_rows, n_features, hidden, n_epochs = case
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0.0).astype(int)
    plain, tracked, hooks, begins, ends = [], [], [], [], []
    for _ in range(repeats):
        network = MLPClassifier(hidden, max_iter=n_epochs, n_iter_no_change=np.inf, random_state=0)
        watch = Plain()
        network.set_callbacks(watch).fit(X, y)
        plain.append(watch.last_epoch - watch.first_epoch)
        timed = Timed(tracking_uri=uri)
        network.set_callbacks(timed).fit(X, y)
        tracked.append(timed.last_epoch - timed.first_epoch)
        hooks.append(sum(timed.hooks) / len(timed.hooks))
        begins.append(timed.first_epoch - timed.began)
        ends.append(timed.ended - timed.last_epoch)
    extra = median(b - a for a, b in zip(plain, tracked, strict=True))
    sizes = "-".join(map(str, (n_features, *hidden, 1)))
    return (
        f"| {sizes}, {n_rows} rows, {n_epochs} epochs | {median(plain):.3f} | {1e3 * extra:.0f} | "
        f"{100 * extra / median(plain):.1f} | {1e6 * extra / n_epochs:.0f} | {1e6 * median(hooks):.0f} | "
        f"{1e3 * median(begins):.0f} | {1e3 * median(ends):.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tracking-uri", help="by default a new SQLite store")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        os.chdir(folder)
        uri = options.tracking_uri or f"sqlite:///{Path(folder, 'mlflow.db')}"
        # Importing MLflow and creating the tables of a store happen once, not in each fit.
        MLPClassifier(max_iter=1).set_callbacks(MLflowCallback(tracking_uri=uri)).fit([[0.0], [1.0]], [0, 1])
        print("| network | epochs, s | extra, ms | extra, % | extra, us/epoch | hook, us/epoch | begin, ms | end, ms |")
        print("|---|---|---|---|---|---|---|---|")
        for case in CASES:
            print(measure(case, uri, options.repeats), flush=True)


if __name__ == "__main__":
    main()
