"""Finding the network in what the user passes."""

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.base import BaseMLP

__all__ = ["before_last", "fitted_mlp", "last_step"]


def last_step(estimator: Any) -> Any:
    """Return the last step of a Pipeline, or the estimator if it is none."""
    from sklearn.pipeline import Pipeline  # here, for `import skmlp` does without

    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def before_last(estimator: Any, X: Any) -> Any:
    """Return `X` as it arrives at the last step of a Pipeline."""
    from sklearn.pipeline import Pipeline

    while isinstance(estimator, Pipeline):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = estimator.steps[-1][1]
    return X


def fitted_mlp(estimator: Any, display: str) -> BaseMLP:
    """Return the fitted network, or raise an error that says what `display` takes."""
    last = last_step(estimator)
    if not isinstance(last, BaseMLP):
        where = "" if last is estimator else " as the last step of the Pipeline"
        raise TypeError(
            f"{display} takes a fitted MLPClassifier or MLPRegressor of skmlp, or a Pipeline that ends with one. "
            f"Got {last!r}{where}. For one inside a search or another wrapper, pass the inner estimator, for example "
            "search.best_estimator_."
        )
    check_is_fitted(last)
    return last
