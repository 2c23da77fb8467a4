"""The process of one training: it loads the set, fits the method, predicts the test rows and scores them.

    python -m benchmarks.tables.worker PIECE

The piece is the JSON of benchmarks.tables.running.Piece. The last line of standard output is the JSON of the result, or
``{"failed": reason}``.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.tables import methods, scores, sets
from benchmarks.tables.splitting import split
from benchmarks.worker import STATUS, busy_seconds, forget_peak, resident, restrict_to_cores

LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "numba", "torch", "lightgbm", "catboost", "pytabkit")


def timed(work: Callable[[], Any]) -> tuple[Any, float, float | None]:
    """Return the result, the seconds, and the number of cores that other processes kept busy meanwhile."""
    busy, own, started = busy_seconds(), sum(os.times()[:4]), perf_counter()
    result = work()
    seconds = perf_counter() - started
    others = (busy_seconds() - busy - (sum(os.times()[:4]) - own)) / seconds
    return result, seconds, max(0.0, others) if others == others else None


def run(piece: dict[str, Any]) -> dict[str, Any]:
    """Return scores, times and memory of a training."""
    restrict_to_cores(piece["cores"])
    table, method = sets.BY_NAME[piece["set"]], methods.find(piece["method"])
    data = table.load(Path(piece["data"]))
    train, test = split(data, piece["seed"], piece["max_rows"])
    n_classes = len(data.classes)
    X, y = data.X.iloc[train].reset_index(drop=True), data.y[train]
    X_test, y_test = data.X.iloc[test].reset_index(drop=True), data.y[test]
    importlib.import_module(method.imports)
    model = method.build(table.task, piece["seed"], piece["cores"])
    before = forget_peak()
    _, fit_seconds, others = timed(lambda: model.fit(X, y))
    predicted, predict_seconds, _ = timed(lambda: (model.predict_proba if n_classes else model.predict)(X_test))
    memory = None if before is None or not STATUS.exists() else resident("VmHWM") - before
    if n_classes:
        predicted = scores.in_all_classes(predicted, model.classes_, n_classes)
    return {
        "task": table.task,
        "n_train": len(train),
        "n_test": len(test),
        "n_features": X.shape[1],
        "n_classes": n_classes,
        "scores": scores.score(y_test, predicted, n_classes),
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "memory": memory,
        "others": others,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Run the piece of the command line."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print
    try:
        reply = run(json.loads(sys.argv[1]))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        reply = {"failed": f"{type(error).__name__}: {first}"[:300]}
    replies.write(json.dumps(reply) + "\n")
    replies.close()


if __name__ == "__main__":
    main()
