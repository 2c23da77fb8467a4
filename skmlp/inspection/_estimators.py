"""Finding the network inside pipelines, searches and regressors with a transformed target."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.tabular import AnyMLP, BaseTabularMLP

# For error messages.
_ALSO = "also as the last step of a Pipeline, in a search or in a TransformedTargetRegressor"
ACCEPTED = f"an MLPClassifier or MLPRegressor of skmlp, {_ALSO}"
ACCEPTED_WITH_TABULAR = f"an MLPClassifier or MLPRegressor of skmlp, or a tabular estimator, {_ALSO}"


def nested_estimators(estimator: Any, *, fitted: bool = True) -> list[Any]:
    """Return the estimator, the estimator inside it, and so on to the innermost one.

    Inside a search is its best estimator, or the one it was created with if `fitted` is False and it is not fitted.
    """
    nested = [estimator]
    while (inner := _inner_estimator(nested[-1], fitted)) is not None:
        nested.append(inner)
    return nested


def _inner_estimator(estimator: Any, fitted: bool) -> Any:
    from sklearn.compose import TransformedTargetRegressor  # imported late to keep `import skmlp` fast
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        return estimator.steps[-1][1]
    if isinstance(estimator, AnyMLP | type):
        return None
    for name in ("best_estimator_", "regressor_"):  # also of searches of other packages
        if hasattr(estimator, name):
            return getattr(estimator, name)
    if not isinstance(estimator, BaseSearchCV | TransformedTargetRegressor):
        return None
    if not fitted:
        return estimator.estimator if isinstance(estimator, BaseSearchCV) else estimator.regressor
    check_is_fitted(estimator)
    raise ValueError(
        f"{type(estimator).__name__} has no best_estimator_, because it was created with refit={estimator.refit!r}. "
        "Use refit=True, or pass a fitted estimator."
    )


def fitted_mlp(estimator: Any, function: str, *, reads_data: bool = False) -> Any:
    """Return the fitted network in an estimator; raise TypeError if there is none, or several.

    A function that `reads_data` passes them to the network.
    """
    innermost = _fitted_innermost(estimator, function, ACCEPTED)
    if isinstance(innermost, BaseTabularMLP):
        instead = "estimator.estimators_[0]" + (", and estimator.encode(X) in place of X" if reads_data else "")
        raise TypeError(
            f"{function} is about a single network, and {type(innermost).__name__} averages "
            f"{len(innermost.estimators_)} of them. Pass a member: {instead}."
        )
    return innermost


def fitted_estimator(estimator: Any, function: str) -> Any:
    """Return the fitted network in an estimator, or the tabular estimator; raise TypeError if there is none."""
    return _fitted_innermost(estimator, function, ACCEPTED_WITH_TABULAR)


def _fitted_innermost(estimator: Any, function: str, accepted: str) -> Any:
    innermost = nested_estimators(estimator)[-1]
    if not isinstance(innermost, AnyMLP):
        outer = type(estimator).__name__
        where = " as the last step of the Pipeline" if outer == "Pipeline" else f" inside a {outer}"
        raise TypeError(f"{function} takes {accepted}. Got {innermost!r}{'' if innermost is estimator else where}.")
    check_is_fitted(innermost)
    return innermost


def fitted_attribute(estimator: Any, attribute: str, function: str) -> Any:
    """Return an attribute of the innermost estimator, which need not be a network if it has the attribute."""
    innermost = nested_estimators(estimator)[-1]
    return getattr(innermost if hasattr(innermost, attribute) else fitted_mlp(estimator, function), attribute)


def transform_data(estimator: Any, X: Any, y: Any = None) -> tuple[Any, Any]:
    """Return `X` and `y` as a fitted estimator passes them to the network inside it."""
    for outer in nested_estimators(estimator)[:-1]:
        if hasattr(outer, "steps"):
            X = outer[:-1].transform(X) if len(outer) > 1 else X
        elif hasattr(outer, "transformer_") and y is not None:
            y = _transform_target(outer.transformer_, y)
    return X, y


def unwrap_unfitted(estimator: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return an unfitted copy of the network in an estimator, and `X` and `y` as a fit would pass them to it."""
    *outers, innermost = nested_estimators(estimator, fitted=False)
    for outer in outers:
        if hasattr(outer, "steps"):
            X = clone(outer[:-1]).fit_transform(X, y) if len(outer) > 1 else X
        elif hasattr(outer, "transformer"):
            target = clone(outer)
            columns = np.asarray(y)
            target._fit_transformer(columns.reshape(-1, 1) if columns.ndim == 1 else columns)
            y = _transform_target(target.transformer_, y)
    return clone(innermost), X, y


def _transform_target(transformer: Any, y: Any) -> Any:
    """Return targets as a TransformedTargetRegressor passes them to its regressor."""
    y = np.asarray(y)
    changed = transformer.transform(y.reshape(-1, 1) if y.ndim == 1 else y)
    return changed[:, 0] if y.ndim == 1 and changed.ndim == 2 and changed.shape[1] == 1 else changed


def transformed_feature_names(estimator: Any) -> Any:
    """Return the feature names that the innermost Pipeline passes to the network, or None if they are unknown."""
    for outer in reversed(nested_estimators(estimator)):
        if hasattr(outer, "steps") and len(outer) > 1:
            try:
                return outer[:-1].get_feature_names_out()
            except (AttributeError, ValueError):  # a step without feature names
                return None
    return None
