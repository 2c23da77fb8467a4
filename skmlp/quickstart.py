"""Tune a network on real data and evaluate it, then fit a table with categories and missing values: under a minute.

python -m skmlp.quickstart
"""

import shlex
import sys
import warnings
from importlib.util import find_spec
from time import perf_counter

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, TabularMLPRegressor, __version__
from skmlp.callbacks._text_plot import text_plot
from skmlp.tracking import MLflowCallback

__all__ = ["fit_table", "main", "tune"]

EXPERIMENT = "skmlp quickstart"
GRID = {
    "mlp__hidden_layer_sizes": [(16,), (64,), (32, 32)],
    "mlp__alpha": [1e-4, 1.0],
    "mlp__learning_rate_init": [0.001, 0.01],
}


def tune(X: pd.DataFrame, y: pd.Series, *, n_jobs: int = 2) -> GridSearchCV:
    """Fit a grid search over a pipeline of a scaler and a network; track it if MLflow is installed."""
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", MLPClassifier(max_iter=60, random_state=0))])
    search = GridSearchCV(pipeline, GRID, scoring="neg_log_loss", cv=4, n_jobs=n_jobs)
    if find_spec("mlflow") is not None:
        # Epochs are short here: storing every one would take longer than training.
        search.set_callbacks(MLflowCallback(EXPERIMENT, every_n_epochs=5))
    # The candidates are compared after 60 epochs, converged or not.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(X, y)


def fit_table() -> str:
    """Fit a table as it comes, and return what there is to say about it.

    scikit-learn brings no table with categories and missing values. So the numbers of the two sexes become text, and
    some of the blood pressures are left out.
    """
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    X["sex"] = X["sex"].map({1.0: "one", 2.0: "two"})
    X.loc[::9, "bp"] = float("nan")
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    model = TabularMLPRegressor(random_state=0).fit(X_train, y_train)
    mean, std = model.predict(X_test.iloc[:3], return_std=True)
    first = X_test.iloc[:3][["age", "sex", "bmi", "bp"]].assign(
        predicted=mean.round(), members_differ_by=std.round(), measured=y_test.iloc[:3]
    )
    lines = [
        f"Diabetes data, {len(X)} patients, with text and missing values: TabularMLPRegressor().fit(frame, y)",
        f"  {len(model.estimators_)} networks, {model.n_iter_} epochs, R squared on the test set"
        f" {model.score(X_test, y_test):.3f}",
        first.to_string(index=False),
    ]
    return "\n".join(lines)


def candidates_table(search: GridSearchCV) -> str:
    """Return the candidates as text, best first."""
    results = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
    table = results[[f"param_{name}" for name in GRID]].rename(columns=lambda name: name.removeprefix("param_mlp__"))
    table["log loss"] = [
        f"{-mean:.4f} ± {std:.4f}"
        for mean, std in zip(results["mean_test_score"], results["std_test_score"], strict=True)
    ]
    table["seconds per fit"] = results["mean_fit_time"].round(2)
    return table.to_string(index=False)


def where_to_look() -> str:
    """Return how to open the dashboard, or how to install MLflow."""
    if find_spec("mlflow") is None:
        return "To log every fit to MLflow: pip install 'skmlp[mlflow]'"
    command = shlex.join([sys.executable, "-m", "skmlp.tracking", "dashboard", EXPERIMENT])
    return f"All fits are in MLflow. This command opens the dashboard:\n  {command}"


def main() -> None:
    """Load the data, tune, evaluate and print the results."""
    started = perf_counter()
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    print(f"skmlp {__version__}: Wisconsin breast cancer data, {len(X)} patients, {X.shape[1]} measurements\n")
    print(f"Grid search over StandardScaler and MLPClassifier on {len(X_train)} patients, 4 folds, 2 processes\n")
    search = tune(X_train, y_train)
    print(candidates_table(search))

    network = search.best_estimator_["mlp"]
    print(f"\nThe best candidate on the {len(X_test)} patients of the test set:")
    print(f"  accuracy {search.best_estimator_.score(X_test, y_test):.3f}")
    print(f"  log loss {log_loss(y_test, search.predict_proba(X_test)):.4f}")
    print(f"\nIts training loss over {network.n_iter_} epochs:\n")
    print(*text_plot({"loss": network.history_["loss"]}, width=72, height=10), sep="\n")

    history = network.history_frame()[["loss", "gradient_norm", "learning_rate", "seconds"]]
    print("\nFrom history_frame():")
    print(history.iloc[[0, len(history) // 2, -1]].to_string(float_format=lambda value: f"{value:.4g}"))
    print(f"\n{fit_table()}")
    print(f"\nThis took {perf_counter() - started:.0f} seconds. Read on in docs/guide.md.")
    print(f"\n{where_to_look()}")


if __name__ == "__main__":
    main()
