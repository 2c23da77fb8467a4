"""The quality of the suggestions of ``lr_find`` and of searches over ``search_space``.

    python -m benchmarks.tuning [--seeds 3] [--candidates 20]

First table: the validation loss after 30 epochs at a constant rate, relative to that of the best rate of a grid of half
decades from 1e-5 to 1, for the suggestion of ``lr_find`` and for the rates 1e-3 and 1e-2. Means over seeds.

Second table: the test score (accuracy or R squared) of the default estimator, and of the best candidate of a randomized
search over ``search_space("small")`` with 60 epochs, one row per split.
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_friedman1
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor, lr_find, search_space

GRID = [10.0 ** (-5 + step / 2) for step in range(11)]
FIXED = (1e-3, 1e-2)
NETWORKS = [(solver, sizes) for solver in ("adam", "sgd") for sizes in ((100,), (64, 64, 64))]


def data_sets() -> Iterator[tuple[str, Any, Any, type]]:
    """Yield name, rows, targets and estimator."""
    yield "diabetes", *load_diabetes(return_X_y=True), MLPRegressor
    yield "friedman", *make_friedman1(1500, noise=1.0, random_state=0), MLPRegressor
    yield "cancer", *load_breast_cancer(return_X_y=True), MLPClassifier
    yield "wine", *load_wine(return_X_y=True), MLPClassifier
    yield "digits", *load_digits(return_X_y=True), MLPClassifier


def parts(X: Any, y: Any, cls: type, seed: int) -> Any:
    """Return scaled training and test sets."""
    stratify = y if cls is MLPClassifier else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def settings(cls: type) -> dict[str, Any]:
    """Return the settings for regression."""
    return {"standardize_target": True} if cls is MLPRegressor else {}


def learning_rates(n_seeds: int) -> None:
    """Print the first table."""
    print(f"{'data':10}{'solver':8}{'layers':14}{'suggestion':>12}{'of the best':>13}{'1e-3':>8}{'1e-2':>8}")
    ratios = []
    for name, X, y, cls in data_sets():
        for solver, sizes in NETWORKS:
            losses, suggestions = [], []
            for seed in range(n_seeds):
                X_train, X_val, y_train, y_val = parts(X, y, cls, seed)
                model = cls(
                    hidden_layer_sizes=sizes,
                    solver=solver,
                    max_iter=30,
                    n_iter_no_change=1000,
                    random_state=seed,
                    **settings(cls),
                )
                suggestions.append(lr_find(model, X_train, y_train).suggestion)
                losses.append([])
                for rate in (*GRID, suggestions[-1], *FIXED):
                    try:
                        model.set_params(learning_rate_init=rate).fit(X_train, y_train, X_val=X_val, y_val=y_val)
                        losses[-1].append(model.history_["validation_loss"][-1])
                    except ValueError:  # it diverged
                        losses[-1].append(np.inf)
            mean = np.mean(losses, axis=0)
            ratio = mean[len(GRID) :] / np.nanmin(mean[: len(GRID)])
            ratios.append(ratio)
            rate = f"{np.median(suggestions):.1e}"
            columns = f"{rate:>12}{ratio[0]:>13.2f}{ratio[1]:>8.2f}{ratio[2]:>8.2f}"
            print(f"{name:10}{solver:8}{'-'.join(map(str, sizes)):14}{columns}", flush=True)
    for label, summary in (("median", np.median(ratios, axis=0)), ("largest", np.max(ratios, axis=0))):
        print(f"{label:32}{'':>12}{summary[0]:>13.2f}{summary[1]:>8.2f}{summary[2]:>8.2f}")


def searches(n_seeds: int, n_candidates: int) -> None:
    """Print the second table."""
    print(f"\n{'data':10}{'split':>6}{'default':>10}{'search':>10}")
    for name, X, y, cls in data_sets():
        for seed in range(n_seeds):
            X_train, X_test, y_train, y_test = parts(X, y, cls, seed)
            default = cls(random_state=seed, **settings(cls)).fit(X_train, y_train).score(X_test, y_test)
            network = cls(max_iter=60, random_state=seed, **settings(cls))
            search = RandomizedSearchCV(
                make_pipeline(StandardScaler(), network),
                search_space("small", prefix=f"{cls.__name__.lower()}__"),
                n_iter=n_candidates,
                cv=3,
                n_jobs=2,
                random_state=seed,
            )
            found = search.fit(X_train, y_train).score(X_test, y_test)
            print(f"{name:10}{seed:>6}{default:>10.3f}{found:>10.3f}", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    learning_rates(arguments.seeds)
    searches(arguments.seeds, arguments.candidates)


if __name__ == "__main__":
    main()
