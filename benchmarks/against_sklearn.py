"""Fit scikit-learn's MLP and skmlp in turn with the same settings, and print how many times faster skmlp is.

    python -m benchmarks.against_sklearn [--repeats 5] [--threads N] [--only TEXT]

Both get the same data and do the same number of epochs from the same kind of start. Every pair of fits runs back to
back, so that a change of the machine's speed hits both; the ratio is the median over the pairs. The last column tells
whether the training losses after these epochs agree: the optimizer must not be cheaper by being worse.
"""

import argparse
import statistics
import sys
import warnings
from contextlib import nullcontext
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import sklearn
import sklearn.neural_network as peer

import skmlp


class Case(NamedTuple):
    """A network on data of a shape."""

    name: str
    n_samples: int
    n_features: int
    hidden: tuple[int, ...]
    n_outputs: int
    batch_size: int
    epochs: int
    params: dict[str, Any] = {}
    regression: bool = False

    @property
    def layers(self) -> str:
        return "-".join(map(str, (self.n_features, *self.hidden, self.n_outputs)))


CASES = (
    Case("tiny regression", 2_000, 8, (16,), 1, 32, 10, regression=True),
    Case("tiny, stochastic", 1_000, 8, (16,), 2, 1, 2),
    Case("small", 4_000, 30, (100,), 2, 200, 25),
    Case("small, batch 32", 4_000, 30, (64,), 2, 32, 5),
    Case("two layers, batch 32", 4_000, 30, (64, 64), 2, 32, 5),
    Case("digits-like", 4_000, 64, (100,), 10, 200, 20),
    Case("digits-like, sgd", 4_000, 64, (100,), 10, 200, 20, {"solver": "sgd"}),
    Case("digits-like, tanh", 4_000, 64, (100,), 10, 200, 20, {"activation": "tanh"}),
    Case("digits-like, logistic", 4_000, 64, (100,), 10, 200, 20, {"activation": "logistic"}),
    Case("digits-like, full batch", 4_000, 64, (100,), 10, 4_000, 20),
    Case("digits-like, lbfgs", 4_000, 64, (100,), 10, 4_000, 30, {"solver": "lbfgs"}),
    Case("regression", 4_000, 30, (100,), 1, 200, 25, regression=True),
    Case("regression, 5 outputs", 4_000, 30, (100,), 5, 200, 25, regression=True),
    Case("three layers of 256", 8_000, 30, (256, 256, 256), 2, 256, 4),
    Case("images", 6_000, 784, (100,), 10, 200, 4),
    Case("images, wide", 4_000, 784, (512, 512), 10, 128, 2),
    Case("images, very wide", 2_048, 784, (1024, 1024), 10, 512, 2),
)


def make_data(case: Case, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return random features with targets that a network can learn."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.n_samples, case.n_features))
    raw = np.tanh(X @ rng.standard_normal((case.n_features, case.n_outputs)) / np.sqrt(case.n_features))
    if case.regression:
        return X.astype(dtype), raw[:, 0] if case.n_outputs == 1 else raw
    return X.astype(dtype), raw.argmax(axis=1) if case.n_outputs > 2 else (raw[:, 0] > 0).astype(int)


def fit_seconds(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Return the wall-clock time of a fit."""
    started = perf_counter()
    estimator.fit(X, y)
    return perf_counter() - started


def measure(case: Case, dtype: type, repeats: int) -> tuple[float, float, float, float]:
    """Return the median seconds of scikit-learn and skmlp, the median ratio, and the relative difference in loss."""
    X, y = make_data(case, dtype)
    settings = {
        "hidden_layer_sizes": case.hidden,
        "batch_size": case.batch_size,
        "max_iter": case.epochs,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "random_state": 0,
        **case.params,
    }
    kind = "MLPRegressor" if case.regression else "MLPClassifier"
    theirs, ours = getattr(peer, kind)(**settings), getattr(skmlp, kind)(**settings)
    fit_seconds(theirs.set_params(max_iter=1), X, y)
    fit_seconds(ours.set_params(max_iter=1), X, y)
    theirs.set_params(max_iter=case.epochs)
    ours.set_params(max_iter=case.epochs)
    pairs = [(fit_seconds(theirs, X, y), fit_seconds(ours, X, y)) for _ in range(repeats)]
    # scikit-learn reports the mean of a regression's loss over outputs, skmlp the sum.
    difference = ours.loss_ / (theirs.loss_ * (case.n_outputs if case.regression else 1)) - 1.0
    times = zip(*pairs, strict=True)
    return (*map(statistics.median, times), statistics.median(a / b for a, b in pairs), difference)


def main() -> int:
    """Print the table; exit with 1 when skmlp is behind in any row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="pairs of fits in each row")
    parser.add_argument("--threads", type=int, help="limit on BLAS threads (needs threadpoolctl)")
    parser.add_argument("--only", default="", help="run only the rows whose name contains this")
    options = parser.parse_args()

    limit: Any = nullcontext()
    if options.threads:
        from threadpoolctl import threadpool_limits

        limit = threadpool_limits(options.threads)
    print(f"skmlp {skmlp.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    print(f"median of {options.repeats} pairs; seconds a fit; ratio = scikit-learn / skmlp\n")
    print(f"{'row':26}{'network':22}{'batch':>6} {'input':8}{'sklearn':>9}{'skmlp':>9}{'ratio':>7}{'loss':>8}")
    behind = []
    with limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in CASES:
            if options.only not in case.name:
                continue
            for dtype in (np.float32, np.float64):
                theirs, ours, ratio, difference = measure(case, dtype, options.repeats)
                label = np.dtype(dtype).name
                print(
                    f"{case.name:26}{case.layers:22}{case.batch_size:6} {label:8}{theirs:9.3f}{ours:9.3f}{ratio:7.2f}"
                    f"{difference:+8.0%}",
                    flush=True,
                )
                if ratio <= 1.0:
                    behind.append(f"{case.name} ({label})")
    print(f"\nbehind in: {', '.join(behind)}" if behind else "\nahead in every row")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
