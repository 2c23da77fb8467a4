"""Draw the pictures of the displays in this folder, from small networks on the data sets of scikit-learn.

Run it with ``python docs/images/make_displays.py [folder]``; by default it writes to its own folder. It takes about
half a minute and needs matplotlib.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skmlp import MLPClassifier, TabularMLPClassifier
from skmlp.inspection import (
    ActivationDisplay,
    DecisionBoundaryDisplay,
    GradientFlowDisplay,
    HiddenUnitsDisplay,
    HistoryDisplay,
    LossSurfaceDisplay,
    UpdateRatioDisplay,
)


def digits_model(**parameters: Any) -> Any:
    """Train on the digits; every third step is measured, so that every epoch has one."""
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(MinMaxScaler(clip=True), MLPClassifier(random_state=0, monitor=3, **parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as many epochs as the picture needs
        return model.fit(X, y)


def history(ax: Any) -> None:
    model = digits_model(
        hidden_layer_sizes=(64, 32),
        learning_rate="cosine",
        learning_rate_init=0.005,
        validation_split=0.2,
        max_iter=60,
    )
    HistoryDisplay.from_estimator(model, ax=ax)


def gradient_flow(ax: Any) -> None:
    """Ten hidden layers of logistic units: gradients vanish from the output to the input."""
    model = digits_model(hidden_layer_sizes=(32,) * 10, activation="logistic", max_iter=40)
    GradientFlowDisplay.from_estimator(model, ax=ax)


def update_ratios(ax: Any) -> None:
    model = digits_model(hidden_layer_sizes=(64, 64, 32), learning_rate_init=0.003, max_iter=60)
    UpdateRatioDisplay.from_estimator(model, ax=ax)


def activations(ax: Any) -> None:
    """Large weights saturate tanh."""
    model = digits_model(hidden_layer_sizes=(64,) * 5, activation="tanh", learning_rate_init=0.003, max_iter=40)
    ActivationDisplay.from_estimator(model, ax=ax)


def decision_boundary(ax: Any) -> None:
    iris = load_iris(as_frame=True)
    X, y = iris.data[["petal length (cm)", "petal width (cm)"]], iris.target_names[iris.target]
    mlp = MLPClassifier((10,), solver="lbfgs", alpha=0.1, max_iter=500, random_state=0)
    DecisionBoundaryDisplay.from_estimator(make_pipeline(StandardScaler(), mlp).fit(X, y), X, y, ax=ax)


def loss_surface(ax: Any) -> None:
    X, y = load_digits(return_X_y=True)
    model = digits_model(hidden_layer_sizes=(64, 32), max_iter=60)
    LossSurfaceDisplay.from_estimator(model, X, y, resolution=41, ax=ax)


def hidden_units(ax: Any) -> None:
    """Penalize the weights, so that their images are smooth."""
    model = digits_model(hidden_layer_sizes=(40,), alpha=3.0, max_iter=150)
    HiddenUnitsDisplay.from_estimator(model, n_units=20, ax=ax)


def members(ax: Any) -> None:
    """Compare the members of a tabular estimator with their mean on validation data."""
    X, y = load_digits(return_X_y=True)
    est = TabularMLPClassifier(validation_split=0.2, max_iter=45, random_state=0).fit(X, y)
    HistoryDisplay.from_estimator(est, ax=ax)


PICTURES: dict[str, Callable[[Any], None]] = {
    "history": history,
    "gradient-flow": gradient_flow,
    "update-ratios": update_ratios,
    "activations": activations,
    "decision-boundary": decision_boundary,
    "loss-surface": loss_surface,
    "hidden-units": hidden_units,
    "members": members,
}


def main(folder: Path = Path(__file__).parent) -> None:
    for name, draw in PICTURES.items():
        figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
        draw(figure.subplots())
        figure.savefig(folder / f"display-{name}.png", metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
