"""The classifier."""

from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skmlp._typing import AnyArray, FloatArray
from skmlp.estimators import fitting
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.class_weights import weigh_classes
from skmlp.estimators.combinations import is_stochastic
from skmlp.estimators.documentation import ATTRIBUTES, CONTINUATION, documented
from skmlp.estimators.input_checks import naming
from skmlp.estimators.parameter_checks import LossChoice
from skmlp.estimators.parameters import CLASSIFIER
from skmlp.estimators.targets import Kind, LabelTargets, all_labels, as_loss, choose_loss
from skmlp.training.batches import Data

_LOSS = LossChoice(classification=True)
# Log-odds of an impossible class: the probability is 0 in every type, its logarithm is finite.
_IMPOSSIBLE = -10_000.0


def _has_probabilities(estimator: Any) -> bool:
    """Tell whether the fitted loss, or before fit the chosen one, learns probabilities.

    An invalid loss counts as the default, because fit reports it.
    """
    if "_model" in vars(estimator):
        return bool(estimator._model.loss.has_probabilities)
    chosen = estimator.loss
    return isinstance(chosen, tuple) or not _LOSS.is_satisfied_by(chosen) or as_loss(chosen).has_probabilities


def _loss_in_use(estimator: Any) -> Any:
    """Return what :func:`_has_probabilities` judges by."""
    return estimator._model.architecture.loss if "_model" in vars(estimator) else estimator.loss


def _learns_probabilities(estimator: Any) -> bool:
    """Return True, or raise the AttributeError that says why there are no probabilities."""
    if _has_probabilities(estimator):
        return True
    raise AttributeError(
        f"The loss {_loss_in_use(estimator)!r} does not learn probabilities: predict_proba and predict_log_proba are "
        'available for "log_loss" and "focal". Use decision_function, or fit with another loss.'
    )


def _has_decision_function(estimator: Any) -> bool:
    """Return True, or raise the AttributeError that says why there is no decision function."""
    if not _has_probabilities(estimator):
        return True
    raise AttributeError(
        f"The loss {_loss_in_use(estimator)!r} learns probabilities: use predict_proba. decision_function is available "
        'for losses without probabilities, such as "hinge".'
    )


@documented(parameters=CLASSIFIER.documentation, attributes=ATTRIBUTES)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron for classification.

    A drop-in superset of :class:`sklearn.neural_network.MLPClassifier`: binary, multiclass and multilabel.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels; for multilabel targets the column numbers.
    {attributes}
    out_activation_ : str
        The link: ``"softmax"`` (multiclass), ``"logistic"`` (binary, multilabel) or, for the hinge loss,
        ``"identity"``.

    See Also
    --------
    MLPRegressor : The same network for regression.
    skmlp.optim : The solvers.
    skmlp.nn.gradient_check.check_gradient : Verify a gradient.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS.
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv 1502.01852.
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(solver="lbfgs", alpha=1.0, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    _y_numeric = False
    _parameters = CLASSIFIER
    _parameter_constraints = CLASSIFIER.constraints

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: Any = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dtype: str = "float32",
        weight_init: Any = "glorot_uniform",
        bias_init: Any = "auto",
        monitor: bool | int = False,
        normalization: Any = None,
        dropout: Any = 0.0,
        residual: bool = False,
        alpha_l1: float = 0.0,
        weight_decay: Any = None,
        max_norm: float | None = None,
        gradient_clip: Any = None,
        averaging: float | None = None,
        validation_split: Any = None,
        scoring: Any = None,
        restore_best: bool | None = None,
        refit: bool = False,
        max_time: float | None = None,
        categorical_features: Any = "from_dtype",
        max_categories: int | None = 255,
        missing: str = "error",
        scaling: str | None = None,
        numeric_embedding: Any = None,
        categorical_embedding: Any = None,
        input_scale: float | None = None,
        parametrization: str = "standard",
        loss: Any = "log_loss",
        class_weight: Any = None,
        label_smoothing: Any = 0.0,
    ) -> None:
        self._set_parameters(locals())

    @available_if(is_stochastic)
    @documented(continuation=CONTINUATION)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on the given data.

        {continuation}

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers of about unit size.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels among `classes`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.
        classes : array-like of shape (n_classes,) or set, default=None
            All labels that will ever occur, in any order; required in the first call, optional later.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        ValueError
            When the input or a parameter is invalid, `classes` is missing in the first call or differs from it later,
            or `y` has other labels.
        """
        is_told = classes is not None or not hasattr(self, "_model")
        targets = partial(self._targets_from_classes, y, classes) if is_told else None
        fitting.partial_fit(self, (X, y, sample_weight), targets)
        return self

    def predict(self, X: Any) -> AnyArray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class, or for multilabel targets a 0/1 matrix of the labels more likely than not.
        """
        raw = self._raw_predict(X)
        labels: AnyArray = self._fitted_targets().decode(raw)
        return labels

    @available_if(_learns_probabilities)
    def predict_proba(self, X: Any) -> FloatArray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; float64, or float32 when X is a float32 array. Rows sum to 1,
            except for multilabel targets, where every column is the probability of one label. With a single class
            there is a second column of zeros, for any other class, as in scikit-learn's MLP.
        """
        return self._probabilities(self._raw_log_odds(X))

    @available_if(_learns_probabilities)
    def predict_log_proba(self, X: Any) -> FloatArray:
        """Predict logarithms of probabilities, finite also where a probability rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``; where a probability is too small for its type, its logarithm comes from the
            raw output.
        """
        raw = self._raw_log_odds(X)
        loss = self._model.loss
        log_p = loss.log_predict(raw)
        if self._label_kind != "multiclass":
            log_no, log_yes = log_p
            log_p = np.hstack([log_no, log_yes]) if self._label_kind == "binary" else log_yes
        p = self._probabilities(raw)
        np.log(p, out=log_p, where=p > np.finfo(p.dtype).tiny)
        return log_p

    @available_if(_has_decision_function)
    def decision_function(self, X: Any) -> FloatArray:
        """Return the raw outputs of a loss without probabilities, such as the hinge loss.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        raw : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Larger values mean higher confidence. For two classes there is one column, positive for ``classes_[1]``.
        """
        raw = self._raw_predict(X)
        return raw[:, 0] if self._label_kind == "binary" else raw

    def _raw_log_odds(self, X: Any) -> FloatArray:
        """Return the raw outputs that the probabilities come from; a single class is certain."""
        raw = self._raw_predict(X)
        return np.full_like(raw, _IMPOSSIBLE) if len(self.classes_) == 1 and self._label_kind == "binary" else raw

    def _probabilities(self, raw: FloatArray) -> FloatArray:
        """Turn raw outputs into probabilities: a column for each class, two if there are fewer."""
        loss = self._model.loss
        if self._label_kind != "binary":
            return loss.predict(raw)
        return np.hstack([loss.predict(-raw), loss.predict(raw)])

    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> LabelTargets:
        return LabelTargets.from_labels(y, self.loss)

    def _fitted_targets(self) -> LabelTargets:
        kind: Kind = self._label_kind
        return LabelTargets(self.classes_, kind, self._model.architecture.loss, self._sparse_labels)

    def _set_targets(self, targets: LabelTargets) -> None:
        self.classes_ = targets.classes
        self._label_kind = targets.kind
        self._sparse_labels = targets.sparse_output

    def _check_continuation(self, targets: LabelTargets, y: Any = None) -> None:
        if y is None or targets.kind == "multilabel":
            return
        check_classification_targets(y)
        classes = np.unique(y)
        if not np.array_equal(classes, targets.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {targets.classes}, `y` has {classes}. "
                "Use partial_fit for batches that lack some classes, or fit from scratch with warm_start=False."
            )

    def _targets_from_classes(self, y: Any, classes: Any) -> LabelTargets:
        """Return what `classes` says about `y` in partial_fit."""
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = all_labels(classes)
        if hasattr(self, "_model"):
            if not np.array_equal(known, self.classes_):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
            return self._fitted_targets()
        with naming("y", y), np.errstate(invalid="ignore"):  # scikit-learn looks for fractions by a cast
            y_type = type_of_target(y, input_name="y")
        if y_type == "multilabel-indicator":
            return LabelTargets(known, "multilabel", choose_loss(self.loss, "multilabel"))
        return LabelTargets.from_classes(known, self.loss)

    def _weigh(self, data: Data, targets: LabelTargets) -> Data:
        if self.class_weight is None:
            return data
        return data._replace(sample_weight=weigh_classes(self.class_weight, data.y, data.sample_weight, targets))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
