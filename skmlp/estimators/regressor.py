"""The regressor."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from skmlp._typing import FloatArray
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.documentation import ATTRIBUTES, documented
from skmlp.estimators.parameter_checks import LossChoice
from skmlp.estimators.parameters import REGRESSOR
from skmlp.estimators.targets import RealTargets, as_loss, choose_loss, loss_object, quantile_score
from skmlp.nn.losses import GaussianNLL, Quantile

_LOSS = LossChoice(classification=False)


def _looks_like_layers(loss: Any) -> bool:
    """Tell whether `loss` was meant as `hidden_layer_sizes`, which comes first in the classifier."""
    return isinstance(loss, Integral) or (
        isinstance(loss, list | tuple | np.ndarray) and all(isinstance(size, Integral) for size in loss)
    )


@documented(parameters=REGRESSOR.documentation, attributes=ATTRIBUTES)
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron for regression.

    A drop-in superset of :class:`sklearn.neural_network.MLPRegressor`, with one or several outputs.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
    out_activation_ : str
        The link: ``"identity"`` or, for the Poisson, gamma and Tweedie deviance, ``"exp"``.
    target_mean_, target_scale_ : ndarray of shape (n_targets,) or None
        What `standardize_target` subtracts and divides by; None without it.

    See Also
    --------
    MLPClassifier : The same network for classification.
    skmlp.optim : The solvers.
    skmlp.nn.gradient_check.check_gradient : Verify a gradient.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", AISTATS.
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv 1502.01852.
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmlp import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = MLPRegressor(standardize_target=True, early_stopping=True, learning_rate_init=0.01, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net)
    >>> bool(model.fit(X, y).score(X, y) > 0.4)
    True
    """

    _y_numeric = True
    _parameters = REGRESSOR
    _parameter_constraints = REGRESSOR.constraints

    def __init__(
        self,
        loss: Any = "squared_error",
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
        standardize_target: bool = False,
    ) -> None:
        self._set_parameters(locals())

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The input data.
        return_std : bool, default=False
            Return the predicted standard deviation, too; only with ``loss="gaussian_nll"``, which learns it.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float64, or float32 when X is a float32 array. For several levels of a quantile a column for each level
            (of the first output, then of the second, ...).
        y_std : ndarray of the shape of `y`
            Only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when the loss does not learn a standard deviation.
        """
        raw = self._raw_predict(X)
        targets, loss = self._fitted_targets(), self._model.loss
        mean = targets.decode(raw)
        if not return_std:
            return mean
        if not isinstance(loss, GaussianNLL):
            raise ValueError(
                f"return_std=True needs a loss that learns a standard deviation, got loss={self.loss!r}. "
                'Use loss="gaussian_nll".'
            )
        return mean, targets.decode_std(loss.predict_std(raw))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R squared; for several levels of a quantile the mean of D squared with the pinball loss.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
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
        loss = self._model.loss
        if not (isinstance(loss, Quantile) and loss.n_levels > 1):
            return float(super().score(X, y, sample_weight))
        return score_quantiles(self._fitted_targets(), self.predict(X), y, sample_weight)

    def _validate_params(self) -> None:
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            if "'loss'" not in str(error) or not _looks_like_layers(self.loss):
                raise
            # As in scikit-learn `loss` comes first, which few expect.
            raise InvalidParameterError(
                f"{error} The first positional parameter is the loss; for the layers write "
                f"MLPRegressor(hidden_layer_sizes={self.loss!r})."
            ) from None

    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> RealTargets:
        targets = RealTargets(choose_loss(self.loss), 1 if y.ndim == 1 else y.shape[1])
        if not self.standardize_target:
            return targets
        loss = targets.loss_object
        if not loss.is_equivariant:
            start = ': with bias_init="auto" the network starts at the mean of y anyway' if loss.link == "exp" else ""
            raise ValueError(
                f"standardize_target=True shifts and scales y, and loss={self.loss!r} depends on its zero and unit. "
                f"Set standardize_target=False{start}."
            )
        return targets.standardized(y, sample_weight)

    def _check_continuation(self, targets: RealTargets, y: Any = None) -> None:
        was = targets.shift is not None
        if was != self.standardize_target:
            raise ValueError(
                f"standardize_target was {was} when training started and is now {self.standardize_target}: training "
                "cannot continue with targets in another unit. Set it back, or fit from scratch with warm_start=False."
            )

    def _fitted_targets(self) -> RealTargets:
        loss = self._model.architecture.loss
        n_targets = self._model.network.n_out // loss_object(loss).n_raw(1)
        return RealTargets(loss, n_targets, self.target_mean_, self.target_scale_)

    def _set_targets(self, targets: RealTargets) -> None:
        self.target_mean_, self.target_scale_ = targets.shift, targets.scale

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = is_for_positive_targets(self.loss)
        return tags


def is_for_positive_targets(loss: Any) -> bool:
    """Tell whether a user's choice of the loss is defined for positive targets only; fit refuses an invalid one."""
    return _LOSS.is_satisfied_by(loss) and not as_loss(loss).in_domain(np.array([[-1.0]]))


def score_quantiles(targets: RealTargets, predicted: FloatArray, y: Any, sample_weight: Any) -> float:
    """Return the score of predictions that have a column for each of several levels."""
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    check_consistent_length(predicted, y, sample_weight)
    loss: Any = targets.loss_object
    return quantile_score(targets.columns(y), predicted, loss, sample_weight)
