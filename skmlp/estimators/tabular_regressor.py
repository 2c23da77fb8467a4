"""The tabular regressor."""

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import FloatArray
from skmlp.estimators.documentation import TABULAR_ATTRIBUTES, documented
from skmlp.estimators.parameters import REGRESSOR
from skmlp.estimators.regressor import MLPRegressor, is_for_positive_targets, score_quantiles
from skmlp.estimators.tabular import BaseTabularMLP
from skmlp.estimators.tabular_parameters import TABULAR_REGRESSOR
from skmlp.estimators.targets import RealTargets, choose_loss, loss_object
from skmlp.nn.losses import Loss, Quantile


@documented(parameters=TABULAR_REGRESSOR.documentation, attributes=TABULAR_ATTRIBUTES)
class TabularMLPRegressor(RegressorMixin, BaseTabularMLP):
    """Regression on tables as they come: several small networks whose predictions are averaged.

    ``fit(frame, y)`` takes numbers, booleans, categories and missing values, and needs neither preprocessing nor
    tuning. See :class:`TabularMLPClassifier` for the members.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    TabularMLPClassifier : The same for classification.
    MLPRegressor : A single network with all its settings.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", arXiv 2407.04491.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmlp import TabularMLPRegressor
    >>> frame = pd.DataFrame({"area": [30.0, 50.0, None, 90.0] * 10, "city": ["Rome", "Oslo", "Rome", "Oslo"] * 10})
    >>> y = [300.0, 800.0, 350.0, 1400.0] * 10
    >>> est = TabularMLPRegressor(n_members=2, max_iter=50, random_state=0).fit(frame, y)
    >>> mean, std = est.predict(frame, return_std=True)
    >>> mean.shape, std.shape
    ((40,), (40,))
    """

    _y_numeric = True
    _parameters = TABULAR_REGRESSOR
    _member_parameters = REGRESSOR
    _learning_rate = 0.07
    _parameter_constraints = TABULAR_REGRESSOR.constraints

    def __init__(
        self,
        n_members: int = 8,
        *,
        loss: Any = "squared_error",
        categorical_features: Any = "from_dtype",
        max_categories: int | None = 255,
        members: Any = None,
        max_iter: int = 90,
        max_time: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
        validation_split: Any = None,
        scoring: Any = None,
        early_stopping: bool = True,
        monitor: bool | int = False,
    ) -> None:
        self._set_parameters(locals())

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Predict targets: the means of the members' predictions.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            The input data.
        return_std : bool, default=False
            Return the standard deviations over the members, too: how much they disagree. It is large where the
            training data say little; the noise of the targets is not in it.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64
        y_std : ndarray of the shape of `y`
            Only with `return_std`.
        """
        mean, std = self._over_members(X, lambda member, rows: member.predict(rows))
        return (mean, std) if return_std else mean

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R squared; for several levels of a quantile the mean of D squared with the pinball loss.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            1 is perfect; 0 is as good as the best constant.
        """
        check_is_fitted(self)
        targets = self.estimators_[0]._fitted_targets()
        if _has_levels(targets.loss_object):
            return score_quantiles(targets, self.predict(X), y, sample_weight)
        return float(super().score(X, y, sample_weight))

    def _mean_raw(self, raws: list[FloatArray]) -> FloatArray:
        loss, raw = self._loss_of_mean(), np.array(raws, np.float64)
        if loss.link == "exp":
            mean: FloatArray = logsumexp(raw, axis=0) - math.log(len(raw))
            return mean
        if not _has_levels(loss):
            return raw.mean(axis=0)
        quantiles = np.mean([loss.predict(each) for each in raw], axis=0)
        by_level = quantiles.reshape(len(quantiles), -1, loss.n_levels)  # type: ignore[attr-defined]
        increments = np.maximum(np.diff(by_level, axis=2), np.finfo(np.float64).tiny)
        # The inverse of the softplus, log(exp(d) - 1), without overflow.
        by_level[:, :, 1:] = increments + np.log(-np.expm1(-increments))
        return quantiles

    def _loss_of_mean(self) -> Loss:
        return loss_object(choose_loss(self.loss)).eval_loss()

    def _new_member(self, settings: dict[str, Any]) -> MLPRegressor:
        is_equivariant = loss_object(choose_loss(self.loss)).is_equivariant
        member = MLPRegressor(
            self.loss, activation="mish", standardize_target=is_equivariant, **self._common_settings()
        )
        return member.set_params(**settings)

    def _publish(self, template: Any, targets: RealTargets) -> None:
        self.n_outputs_ = targets.n_targets

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = is_for_positive_targets(self.loss)
        return tags


def _has_levels(loss: Loss) -> bool:
    """Tell whether the loss predicts several quantiles of each target."""
    return isinstance(loss, Quantile) and loss.n_levels > 1
