"""The main job in under a minute: tune a network on real data and judge it on data it has not seen.

python -m skmlp.quickstart
"""

import math
import shlex
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from time import perf_counter

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, __version__
from skmlp.tracking import MLflowCallback

__all__ = ["draw_curve", "main", "tune"]

EXPERIMENT = "skmlp quickstart"
GRID = {
    "mlp__hidden_layer_sizes": [(16,), (64,), (32, 32)],
    "mlp__alpha": [1e-4, 1.0],
    "mlp__learning_rate_init": [0.001, 0.01],
}


def tune(X: pd.DataFrame, y: pd.Series, *, n_jobs: int = 2) -> GridSearchCV:
    """Return a fitted grid search over a pipeline of a scaler and a network.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    y : Series of shape (n_samples,)
    n_jobs : int, default=2
        Worker processes.

    Returns
    -------
    search : GridSearchCV
        Scored by log loss, refitted on all rows with the best parameters. Tracked where MLflow is installed.
    """
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", MLPClassifier(max_iter=60, random_state=0))])
    search = GridSearchCV(pipeline, GRID, scoring="neg_log_loss", cv=4, n_jobs=n_jobs)
    if find_spec("mlflow") is not None:
        # Storing all statistics of an epoch takes MLflow longer than such an epoch itself.
        search.set_callbacks(MLflowCallback(EXPERIMENT, every_n_epochs=5))
    # 60 epochs are a budget, not an accident: the search compares what the candidates do with it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(X, y)


def candidates_table(search: GridSearchCV) -> str:
    """Return the candidates as text, best first."""
    results = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
    table = results[[f"param_{name}" for name in GRID]].rename(columns=lambda name: name.removeprefix("param_mlp__"))
    table["log loss"] = [
        f"{-mean:.4f} ± {std:.4f}"
        for mean, std in zip(results["mean_test_score"], results["std_test_score"], strict=True)
    ]
    table["seconds a fit"] = results["mean_fit_time"].round(2)
    return table.to_string(index=False)


def draw_curve(values: Sequence[float], *, width: int = 60, height: int = 10) -> str:
    """Return positive values over their index as a text plot with a logarithmic axis.

    Parameters
    ----------
    values : sequence of float
        Positive.
    width, height : int
        Of the plot area in characters.

    Returns
    -------
    plot : str
    """
    columns = min(width, len(values))
    sampled = [math.log10(values[index * (len(values) - 1) // max(1, columns - 1)]) for index in range(columns)]
    low, high = min(sampled), max(sampled)
    span = (high - low) or 1.0
    rows = [round((value - low) / span * (height - 1)) for value in sampled]
    lines = []
    for level in reversed(range(height)):
        label = f"{10 ** (low + span * level / (height - 1)):9.4f}" if level in (0, height - 1) else " " * 9
        lines.append(f"{label} │{''.join('•' if row == level else ' ' for row in rows)}".rstrip())
    lines.append(" " * 10 + "└" + "─" * columns)
    lines.append(" " * 11 + f"1{len(values):>{max(1, columns - 1)}}  epoch")
    return "\n".join(lines)


def where_to_look() -> str:
    """Return how to see the training in MLflow, or how to get there."""
    if find_spec("mlflow") is None:
        return "With pip install 'skmlp[mlflow]' every epoch of every fit is in MLflow, too."
    command = shlex.join([sys.executable, "-m", "skmlp.tracking", "dashboard", EXPERIMENT])
    return f"Every epoch of every fit is in MLflow. One command opens the dashboard:\n  {command}"


def main() -> None:
    """Load, tune, evaluate, print."""
    started = perf_counter()
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    print(f"skmlp {__version__}: breast cancer (Wisconsin), {len(X)} patients, {X.shape[1]} measurements, a DataFrame")
    print(f"\nTuning a pipeline of StandardScaler and MLPClassifier on {len(X_train)} of them, 4 folds, 2 processes\n")
    search = tune(X_train, y_train)
    print(candidates_table(search))

    network = search.best_estimator_["mlp"]
    print(f"\nThe best candidate on the {len(X_test)} patients set aside:")
    print(f"  accuracy {search.best_estimator_.score(X_test, y_test):.3f}")
    print(f"  log loss {log_loss(y_test, search.predict_proba(X_test)):.4f}")
    print(f"\nIts training loss over {network.n_iter_} epochs (history_frame() has this as a DataFrame):\n")
    print(draw_curve(network.history_["loss"]))

    history = network.history_frame()[["loss", "gradient_norm", "learning_rate", "seconds"]]
    print(f"\n{history.iloc[[0, len(history) // 2, -1]].to_string(float_format=lambda value: f'{value:.4g}')}")
    print(f"\nAll of it took {perf_counter() - started:.0f} seconds. What next:")
    print("  from skmlp import MLPClassifier, MLPRegressor   drop-in for sklearn.neural_network's two classes")
    print('  MLPClassifier(activation="gelu", solver="adamw", early_stopping=True)')
    print("  docs/guide.md shows more; docs/derivation.md derives every equation beside its function")
    print(f"\n{where_to_look()}")


if __name__ == "__main__":
    main()
