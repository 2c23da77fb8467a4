"""The situations: each function measures one for one package, in a process that does nothing else.

They return the seconds, the number of rows (0 if it means nothing) and the growth of memory in bytes (None if it is not
measured).
"""

import importlib
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from joblib.externals.loky import get_reusable_executor
from scipy import sparse

from benchmarks.latency import medians
from benchmarks.worker import forget_peak, resident

PACKAGES = {"skmlp": "skmlp", "scikit-learn": "sklearn.neural_network"}
CALLS = 500  # of what takes microseconds
AT_LEAST = 0.2  # seconds of anything else
WARM_UP_ROWS = 400
BLOCK_ROWS = 10_000  # written to disk at a time
WATCHING = 0.005  # seconds between two looks at the memory


class Case(NamedTuple):
    """A situation and how it is measured."""

    name: str
    measure: Callable[..., dict[str, Any]]  # called with the package and the arguments
    arguments: dict[str, Any]
    rounds: int = 3  # processes of each package
    free_bytes: int = 0  # memory without which the case is skipped
    in_quick: bool = True


def predict_rows(package: str, n_rows: int, hidden: tuple[int, ...]) -> dict[str, Any]:
    """Measure probabilities for many rows; the memory excludes input and output."""
    X, y = make_data(n_rows, 30)
    model = network(package, hidden).fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
    model.predict_proba(X[:WARM_UP_ROWS])
    found, probabilities = measured(lambda: model.predict_proba(X), n_rows)
    return found if found["memory"] is None else {**found, "memory": found["memory"] - probabilities.nbytes}


def call(package: str, method: str, n_rows: int, form: str) -> dict[str, Any]:
    """Measure many small calls of "predict_proba" or "partial_fit"."""
    X, y = make_data(WARM_UP_ROWS, 30)
    if form == "DataFrame":
        import pandas as pd

        X = pd.DataFrame(X.astype(np.float64), columns=[f"x{i}" for i in range(X.shape[1])])
    model = network(package).fit(X, y)
    arguments = (X[:n_rows], y[:n_rows])[: 2 if method == "partial_fit" else 1]
    function = getattr(model, method)
    medians([lambda: function(*arguments)], 20)
    (microseconds,) = medians([lambda: function(*arguments)], CALLS)
    return {"seconds": 1e-6 * microseconds, "rows": n_rows, "memory": None}


def fit_rows(package: str, n_rows: int) -> dict[str, Any]:
    """Measure one epoch."""
    X, y = make_data(n_rows, 10)
    network(package).fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
    return measured(lambda: network(package).fit(X, y), n_rows)[0]


def fit_mapped(package: str, n_rows: int, n_features: int, limit: int) -> dict[str, Any]:
    """Measure one shuffled epoch on an array on disk that is larger than the memory the process may use."""
    import resource  # which not every system has

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.npy")
        X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_features))
        block, labels = make_data(BLOCK_ROWS, n_features)
        for start in range(0, n_rows, BLOCK_ROWS):
            X[start : start + BLOCK_ROWS] = block[: n_rows - start]
        X.flush()
        del block
        X, y = np.load(path, mmap_mode="r"), np.resize(labels, n_rows)
        network(package, (32,)).fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        ensure_limit(X)
        # The peak of the resident memory would include pages of the file.
        with anonymous_peak() as peak:
            found, _ = measured(lambda: network(package, (32,)).fit(X, y), n_rows)
        return {**found, "memory": peak["growth"]}


def fit_sparse(package: str, n_rows: int, n_features: int, per_row: int, epochs: int) -> dict[str, Any]:
    """Measure an epoch on rows with few nonzero values, such as word counts."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n_rows)
    # Low column numbers are frequent, like common words.
    columns = (n_features * rng.random(n_rows * per_row) ** 3).astype(np.int32)
    starts = np.arange(0, n_rows * per_row + 1, per_row, dtype=np.int32)
    X = sparse.csr_matrix((np.ones(columns.size, np.float32), columns, starts), (n_rows, n_features))
    X.sum_duplicates()
    network(package, (64,)).fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
    found, _ = measured(lambda: network(package, (64,), max_iter=epochs).fit(X, y), n_rows)
    return {**found, "seconds": found["seconds"] / epochs}


def search(package: str, n_jobs: int, *, again: bool) -> dict[str, Any]:
    """Measure a cross-validated search over 8 networks, the first one or `again` with running worker processes."""
    from sklearn.model_selection import GridSearchCV

    X, y = make_data(5_000, 30)
    network(package).fit(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
    grid = {"hidden_layer_sizes": [(32,), (64,), (32, 32), (64, 64)], "alpha": [1e-4, 1e-2]}
    task = GridSearchCV(network(package, max_iter=10), grid, cv=3, n_jobs=n_jobs)
    if again:
        task.fit(X, y)
    found, _ = measured(lambda: task.fit(X, y), 0)
    if n_jobs > 1:
        # joblib keeps its workers for the next search, and this process would wait for them at its end.
        get_reusable_executor(reuse=True).shutdown()
    return {**found, "memory": None}


def make_data(n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 features and two classes that a network can learn."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.float32)
    return X, (X[:, 0] + X[:, 1] > 0.0).astype(np.int64)


def network(package: str, hidden: tuple[int, ...] = (100,), *, max_iter: int = 1) -> Any:
    """Return a classifier that does not stop early."""
    module = importlib.import_module(PACKAGES[package])
    return module.MLPClassifier(hidden, max_iter=max_iter, tol=0.0, n_iter_no_change=np.inf, random_state=0)


def measured(action: Callable[[], Any], n_rows: int) -> tuple[dict[str, Any], Any]:
    """Return the measurements of an action and its result; a short one is repeated, for a median."""
    before = forget_peak()
    seconds: list[float] = []
    while sum(seconds) < AT_LEAST:
        started = perf_counter()
        result = action()
        seconds.append(perf_counter() - started)
        if len(seconds) == 1:
            memory = None if before is None else resident("VmHWM") - before
    return {"seconds": statistics.median(seconds), "rows": n_rows, "memory": memory}, result


def ensure_limit(X: np.ndarray) -> None:
    """Raise RuntimeError when a copy of `X` fits into the memory that the process may take."""
    try:
        np.array(X)
    except MemoryError:
        return
    raise RuntimeError("the limit on memory has no effect here")


@contextmanager
def anonymous_peak() -> Iterator[dict[str, int]]:
    """Measure the growth of memory that belongs to no file, by sampling."""
    start = resident("RssAnon")
    peak, is_over = {"growth": 0}, threading.Event()

    def watch() -> None:
        while not is_over.wait(WATCHING):
            peak["growth"] = max(peak["growth"], resident("RssAnon") - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


CASES = (
    Case("predict 1 row, 30-100-1", call, {"method": "predict_proba", "n_rows": 1, "form": "float32"}),
    *(
        Case(f"predict 1M rows, 30-{units}-1", predict_rows, {"n_rows": 1_000_000, "hidden": (units,)})
        for units in (100, 512)
    ),
    *(
        Case(f"partial_fit 32 rows, {form}", call, {"method": "partial_fit", "n_rows": 32, "form": form})
        for form in ("float32", "DataFrame")
    ),
    *(
        Case(f"fit {size} rows, 1 epoch", fit_rows, {"n_rows": n_rows})
        for size, n_rows in (("1k", 1_000), ("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000))
    ),
    Case("fit 10M rows, 1 epoch", fit_rows, {"n_rows": 10_000_000}, rounds=1, free_bytes=8 * 10**9, in_quick=False),
    Case(
        "fit 1.5 GB from disk in 0.7 GB, 1 epoch",
        fit_mapped,
        {"n_rows": 937_500, "n_features": 400, "limit": 700 * 10**6},
        rounds=1,
    ),
    Case(
        "fit sparse 5k x 50k, an epoch",
        fit_sparse,
        {"n_rows": 5_000, "n_features": 50_000, "per_row": 60, "epochs": 4},
    ),
    *(
        Case(f"search, 24 fits, n_jobs={n_jobs}{', again' * again}", search, {"n_jobs": n_jobs, "again": again})
        for n_jobs, again in ((1, False), (2, False), (2, True))
    ),
)
