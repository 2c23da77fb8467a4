"""The tabular classifier."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.documentation import TABULAR_ATTRIBUTES, documented
from skmlp.estimators.parameters import CLASSIFIER
from skmlp.estimators.tabular import BaseTabularMLP
from skmlp.estimators.tabular_parameters import TABULAR_CLASSIFIER
from skmlp.estimators.targets import Kind, LabelTargets, as_loss
from skmlp.nn.losses import Loss


@documented(parameters=TABULAR_CLASSIFIER.documentation, attributes=TABULAR_ATTRIBUTES)
class TabularMLPClassifier(ClassifierMixin, BaseTabularMLP):
    """Classification of tables as they come: several small networks whose probabilities are averaged.

    ``fit(frame, y)`` takes numbers, booleans, categories and missing values, and needs neither preprocessing nor
    tuning. The members are networks in the manner of RealMLP: robustly scaled numbers with a numeric embedding, a
    learned scale of every input, the neural tangent parametrization, a learning rate that rises and falls several
    times. Each has its own initial weights, batches, learning rate and frequency scale. They are trained at the same
    time, one in each thread.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; for multilabel targets the column numbers.
    {attributes}

    See Also
    --------
    TabularMLPRegressor : The same for regression.
    MLPClassifier : A single network with all its settings.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", arXiv 2407.04491.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmlp import TabularMLPClassifier
    >>> frame = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 10, "color": ["red", "blue", "red", "green"] * 10})
    >>> y = ["small", "small", "small", "large"] * 10
    >>> est = TabularMLPClassifier(n_members=2, max_iter=20, random_state=0).fit(frame, y)
    >>> est.predict(pd.DataFrame({"color": ["green", "red"], "size": [5.0, 1.0]}))
    array(['large', 'small'], dtype='<U5')
    """

    _y_numeric = False
    _parameters = TABULAR_CLASSIFIER
    _member_parameters = CLASSIFIER
    _learning_rate = 0.04
    _parameter_constraints = TABULAR_CLASSIFIER.constraints

    def __init__(
        self,
        n_members: int = 8,
        *,
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
        class_weight: Any = None,
    ) -> None:
        self._set_parameters(locals())

    def predict(self, X: Any) -> AnyArray:
        """Predict labels.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The class of the highest mean probability, or for multilabel targets a 0/1 matrix of the labels more likely
            than not.
        """
        raw = self._raw_of(self._mean_probabilities(X)[0])
        labels: AnyArray = self._fitted_targets().decode(raw)
        return labels

    def predict_proba(self, X: Any, *, return_std: bool = False) -> Any:
        """Predict probabilities: the means of the members'.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            The input data.
        return_std : bool, default=False
            Return the standard deviations over the members, too: how much they disagree.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes), float64
            Columns in the order of ``classes_``. Rows sum to 1, except for multilabel targets, where every column is
            the probability of one label. With a single class there is a second column of zeros, for any other class.
        std : ndarray of the shape of `p`
            Only with `return_std`.
        """
        mean, std = self._mean_probabilities(X)
        return (mean, std) if return_std else mean

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : {data frame, array-like} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``.
        """
        with np.errstate(divide="ignore"):
            return np.log(self._mean_probabilities(X)[0])

    def _mean_probabilities(self, X: Any) -> tuple[FloatArray, FloatArray]:
        def probabilities(member: MLPClassifier, rows: FloatArray) -> FloatArray:
            return member._probabilities(member._raw_log_odds(rows).astype(np.float64))  # in float64 they sum to 1

        return self._over_members(X, probabilities)

    def _raw_of(self, p: FloatArray) -> FloatArray:
        """Return raw outputs that have these probabilities."""
        tiny = np.finfo(np.float64).tiny
        log_p = np.log(np.maximum(p, tiny))
        if self._label_kind == "multiclass":
            return log_p
        if self._label_kind == "binary":
            return log_p[:, 1:] - log_p[:, :1]
        return log_p - np.log(np.maximum(1.0 - p, tiny))

    def _mean_raw(self, raws: list[FloatArray]) -> FloatArray:
        loss = self._loss_of_mean()
        p = np.mean([self._two_columns(loss, raw.astype(np.float64)) for raw in raws], axis=0)
        return self._raw_of(p)

    def _two_columns(self, loss: Loss, raw: FloatArray) -> FloatArray:
        p = loss.predict(raw)
        return np.hstack([1.0 - p, p]) if self._label_kind == "binary" else p

    def _loss_of_mean(self) -> Loss:
        return as_loss("log_loss", self._label_kind)

    def _new_member(self, settings: dict[str, Any]) -> MLPClassifier:
        member = MLPClassifier(activation="selu", class_weight=self.class_weight, **self._common_settings())
        return member.set_params(**settings)

    def _publish(self, template: Any, targets: LabelTargets) -> None:
        self.classes_ = targets.classes
        self._label_kind: Kind = targets.kind
        self._sparse_labels = targets.sparse_output

    def _fitted_targets(self) -> LabelTargets:
        return LabelTargets(self.classes_, self._label_kind, self._loss_name(), self._sparse_labels)

    def _loss_name(self) -> Any:
        return self.estimators_[0]._model.architecture.loss

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
