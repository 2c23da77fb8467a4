"""Finding the network in what the user passes: in pipelines, searches and regressors that transform the target."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.base import BaseMLP

__all__ = ["TAKEN", "as_trained_on", "fit_around", "fitted_mlp", "fitted_part", "layers_around", "names_of_steps"]

# What all helpers take, for their errors.
TAKEN = (
    "an MLPClassifier or MLPRegressor of skmlp, also as the last step of a Pipeline, in a search or in a "
    "TransformedTargetRegressor"
)


def layers_around(estimator: Any, *, fitted: bool = True) -> list[Any]:
    """Return the estimator, what is inside of it, and so on; the last one has nothing inside.

    Of a search it is the best estimator, which needs a fit, unless `fitted` is False. Then it is the one to search for.
    """
    layers = [estimator]
    while (inner := _inside(layers[-1], fitted)) is not None:
        layers.append(inner)
    return layers


def _inside(estimator: Any, fitted: bool) -> Any:
    from sklearn.compose import TransformedTargetRegressor  # here, for `import skmlp` does without
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        return estimator.steps[-1][1]
    if isinstance(estimator, BaseMLP | type):
        return None
    for name in ("best_estimator_", "regressor_"):  # of searches of other packages, too
        if hasattr(estimator, name):
            return getattr(estimator, name)
    if not isinstance(estimator, BaseSearchCV | TransformedTargetRegressor):
        return None
    if not fitted:
        return estimator.estimator if isinstance(estimator, BaseSearchCV) else estimator.regressor
    check_is_fitted(estimator)
    raise ValueError(
        f"{type(estimator).__name__} has no best_estimator_, for it was made with refit={estimator.refit!r}. "
        "Make it with refit=True, or pass an estimator that is fitted."
    )


def fitted_mlp(estimator: Any, helper: str) -> Any:
    """Return the fitted network in an estimator, or raise an error that says what `helper` takes."""
    last = layers_around(estimator)[-1]
    if not isinstance(last, BaseMLP):
        raise TypeError(f"{helper} takes {TAKEN}. Got {last!r}{_where(estimator, last)}.")
    check_is_fitted(last)
    return last


def fitted_part(estimator: Any, attribute: str, helper: str) -> Any:
    """Return an attribute of the innermost estimator, a fitted network or another one that has it."""
    last = layers_around(estimator)[-1]
    return getattr(last if hasattr(last, attribute) else fitted_mlp(estimator, helper), attribute)


def _where(estimator: Any, last: Any) -> str:
    outer = type(estimator).__name__
    if last is estimator:
        return ""
    return " as the last step of the Pipeline" if outer == "Pipeline" else f" inside a {outer}"


def as_trained_on(estimator: Any, X: Any, y: Any = None) -> tuple[Any, Any]:
    """Return `X` and `y` as they arrive at the network in a fitted estimator."""
    for layer in layers_around(estimator)[:-1]:
        if hasattr(layer, "steps"):
            X = layer[:-1].transform(X) if len(layer) > 1 else X
        elif hasattr(layer, "transformer_") and y is not None:
            y = _transformed(layer.transformer_, y)
    return X, y


def fit_around(estimator: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return a copy of the network in an estimator, fitted or not, and `X` and `y` as a fit would bring them to it."""
    *around, last = layers_around(estimator, fitted=False)
    for layer in around:
        if hasattr(layer, "steps"):
            X = clone(layer[:-1]).fit_transform(X, y) if len(layer) > 1 else X
        elif hasattr(layer, "transformer"):
            target = clone(layer)
            columns = np.asarray(y)
            target._fit_transformer(columns.reshape(-1, 1) if columns.ndim == 1 else columns)
            y = _transformed(target.transformer_, y)
    return clone(last), X, y


def _transformed(transformer: Any, y: Any) -> Any:
    """Return targets as a TransformedTargetRegressor hands them down."""
    y = np.asarray(y)
    changed = transformer.transform(y.reshape(-1, 1) if y.ndim == 1 else y)
    return changed[:, 0] if y.ndim == 1 and changed.ndim == 2 and changed.shape[1] == 1 else changed


def names_of_steps(estimator: Any) -> Any:
    """Return the names of the columns that leave the steps of the innermost Pipeline, or None where they do not say."""
    for layer in reversed(layers_around(estimator)):
        if hasattr(layer, "steps") and len(layer) > 1:
            try:
                return layer[:-1].get_feature_names_out()
            except (AttributeError, ValueError):  # a step has no names, or has seen none
                return None
    return None
