"""Parameters and results of a search, and names of its folds."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.model_selection._search import BaseSearchCV

from skmlp.callbacks.tasks import Place
from skmlp.tracking.describe import flat_params, readable
from skmlp.tracking.journal import Artifact, Log, LogChildren, now
from skmlp.tracking.store import CHILD_TAG

__all__ = ["fold_name_and_tags", "params_of", "search_results", "searched_names", "searches_in"]


def _grids(search: Any) -> list[Mapping[str, Any]]:
    grid = getattr(search, "param_grid", None) or getattr(search, "param_distributions", None) or {}
    return list(grid) if isinstance(grid, list | tuple) else [grid]


def searched_names(search: Any) -> list[str]:
    """Return the names of the parameters that a search varies."""
    names = dict.fromkeys(name for grid in _grids(search) for name in grid)
    resource = getattr(search, "resource", "n_samples")  # a halving search increases it in each iteration
    return [*names, *([] if resource == "n_samples" else [resource])]


def child_key(iteration: int | None, split: int) -> str:
    """Return the key of a fold among the children of the run of its search."""
    return f"{'' if iteration is None else iteration}.{split}"


def search_results(run: str, search: Any) -> Iterator[Log | Artifact | LogChildren]:
    """Yield the records with the best candidate, the table of all candidates, and the scores of the folds."""
    import pandas as pd

    results = search.cv_results_
    metrics: dict[str, float] = {"n_candidates": len(results["params"])}
    params: dict[str, str] = {}
    if hasattr(search, "best_params_"):
        params = {f"best_{name}": readable(value) for name, value in search.best_params_.items()}
    if isinstance(getattr(search, "best_score_", None), float | np.floating):
        metrics["best_cv_score"] = float(search.best_score_)
    if hasattr(search, "refit_time_"):
        metrics["refit_seconds"] = float(search.refit_time_)
    metrics["n_failed_fits"] = max(_failures(results).values(), default=0)
    time = now()
    yield Log(run, [[name, float(value), time, 0] for name, value in metrics.items()], params)
    yield Artifact(run, "cv_results.csv", pd.DataFrame(results).to_csv(index=False))
    yield _split_scores(run, search)


def _split_scores(run: str, search: Any) -> LogChildren:
    """Return the record that logs ``score/test``, the score on the test rows, to the run of every fold."""
    results, time = search.cv_results_, now()
    iterations = results.get("iter")
    metrics: dict[str, list[list[Any]]] = {}
    first_of: dict[int, int] = {}
    for candidate in range(len(results["params"])):
        iteration = None if iterations is None else int(iterations[candidate])
        # A halving search numbers its fits from 0 in each iteration.
        number = candidate - first_of.setdefault(-1 if iteration is None else iteration, candidate)
        for name, values in results.items():
            if _is_split_score(name) and math.isfinite(values[candidate]):
                split, _, scorer = name.removeprefix("split").partition("_test_")
                metric = "score/test" if scorer == "score" else f"score/test_{scorer}"
                key = child_key(iteration, number * search.n_splits_ + int(split))
                metrics.setdefault(key, []).append([metric, float(values[candidate]), time, 0])
    return LogChildren(run, metrics)


def _failures(results: Mapping[str, Any]) -> Counter[str]:
    """Return the number of fits without a score for each scorer."""
    failures: Counter[str] = Counter()
    for name, scores in results.items():
        if _is_split_score(name):
            failures[name.partition("_test_")[2]] += int(np.isnan(scores).sum())
    return failures


def _is_split_score(name: str) -> bool:
    return name.startswith("split") and "_test_" in name


def searches_in(estimator: Any) -> list[BaseSearchCV]:
    """Return the searches in an estimator, including itself."""
    nested = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    return [each for each in (estimator, *nested) if isinstance(each, BaseSearchCV)]


_SHORT = {"candidate": "cand", "iteration": "iter"}


def fold_name_and_tags(place: Place, n_splits: int | None) -> tuple[str, dict[str, str]]:
    """Return the name of a fold's run, and tags with candidate, split and iteration."""
    if place.split is None:
        return place.role, {}
    numbers: dict[str, int] = {"fit": place.split}
    if n_splits:
        numbers = {"candidate": place.split // n_splits, "split": place.split % n_splits}
    if place.iteration is not None:
        numbers = {"iteration": place.iteration, **numbers}
    tags = {f"skmlp.{name}": str(number) for name, number in numbers.items()}
    tags[CHILD_TAG] = child_key(place.iteration, place.split)
    # Short, for a narrow column of MLflow's table.
    return ", ".join(f"{_SHORT.get(name, name)} {number}" for name, number in numbers.items()), tags


def params_of(estimator: Any, searches: list[BaseSearchCV]) -> dict[str, str]:
    """Return the parameters of the outermost estimator, with searched values as ``grid.<parameter>``.

    For several grids they are ``grid.<number>.<parameter>``.
    """
    params = flat_params(estimator, exclude=("param_grid", "param_distributions"))
    for grids in map(_grids, searches):
        for number, grid in enumerate(grids):
            prefix = "grid" if len(grids) == 1 else f"grid.{number}"
            params |= {f"{prefix}.{name}": readable(values) for name, values in grid.items()}
    return params
