"""The base of the two estimators: parameters, fit and partial_fit, inspection."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import FloatArray
from skmlp.diagnosis import Diagnosis
from skmlp.estimators import fitting
from skmlp.estimators.builders import current_objective
from skmlp.estimators.callback_support import CallbackSupport
from skmlp.estimators.combinations import is_stochastic
from skmlp.estimators.documentation import CONTINUATION, documented
from skmlp.estimators.fitted import FittedAttributes
from skmlp.estimators.health import diagnose
from skmlp.estimators.input_checks import (
    FITTED,
    encode_rows,
    encode_rows_and_targets,
    learn_table,
    naming,
    table_parameter,
    validate_rows,
    validate_rows_and_targets,
    validate_weight,
)
from skmlp.estimators.model import Model
from skmlp.estimators.parameter_checks import check_argument
from skmlp.estimators.parameter_support import ParameterSupport
from skmlp.estimators.storing import restore_state, storable_state
from skmlp.estimators.table_inputs import TableInputs
from skmlp.estimators.targets import Targets
from skmlp.nn.front import TableLayout
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.losses.links import LINK_JACOBIANS
from skmlp.training.batches import Data
from skmlp.training.engine import Buffers
from skmlp.training.threads import limit_blas


class BaseMLP(FittedAttributes, CallbackSupport, ParameterSupport, ABC):
    """Base of the two estimators; not for direct use."""

    # Every cross-validation takes `groups` for its own splitter; fit gets them on set_fit_request(groups=True) only.
    __metadata_request__fit = {"groups": False}

    # What the two estimators define: whether y is numeric, and what y means.
    _y_numeric: ClassVar[bool]
    # What was learned about the user's table, and the columns of the array that the network reads; None where the
    # network reads X as it is.
    _table: TableInputs | None = None
    _layout: TableLayout | None = None

    @abstractmethod
    def _learn_targets(self, y: Any, sample_weight: FloatArray | None) -> Targets:
        """Return the meaning of `y`, learned from all of it at once."""

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Return the meaning of `y` from the fitted attributes."""

    @abstractmethod
    def _set_targets(self, targets: Any) -> None:
        """Set the fitted attributes that hold the meaning of `y`."""

    @abstractmethod
    def _check_continuation(self, targets: Any, y: Any = None) -> None:
        """Raise ValueError when training cannot continue with these targets; `y` must be complete if it is given."""

    def _weigh(self, data: Data, targets: Any) -> Data:
        """Return rows, whose targets are encoded, with the weights to train with."""
        return data

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Fit the network to data and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers; scale them to about unit size first, for example with a StandardScaler.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            For a classifier, labels that can be sorted, or a 0/1 indicator matrix for multilabel classification. For a
            regressor, numbers; if they are not of about unit size, see `standardize_target`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; a weight of 2 counts as the row twice.
        X_val, y_val : like X and y, default=None
            Validation data of your own, evaluated after every epoch; used by `early_stopping` and `restore_best`
            instead of held-out rows of X. In a Pipeline, ``transform_input=["X_val"]`` transforms `X_val` by the steps
            before.
        sample_weight_val : array-like, default=None
            Weights of the rows of X_val.
        groups : array-like of shape (n_samples,), default=None
            For a `validation_split` that keeps groups together. With scikit-learn's metadata routing, an outer
            estimator or cross-validation passes them on after ``set_fit_request(groups=True)``; otherwise it uses them
            for its own splitter only.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            When the input or a parameter is invalid, `y` is outside the domain of the loss, or the first epoch already
            diverges. The estimator is then as it was before the call.
        """
        fitting.fit(self, (X, y, sample_weight), (X_val, y_val, sample_weight_val), groups)
        return self

    @available_if(is_stochastic)
    @documented(continuation=CONTINUATION)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given data.

        {continuation}

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Numbers of about unit size.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            When the input or a parameter is invalid.
        """
        fitting.partial_fit(self, (X, y, sample_weight))
        return self

    def _validate(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        dtype: Any,
        *,
        fitted: Model | None,
        targets: Targets | None = None,
        partial: bool = False,
        weigh: bool = True,
        names: tuple[str, str, str] = FITTED,
    ) -> tuple[Data, Targets]:
        """Check and encode the arguments of the user; errors use their `names`.

        Without a `fitted` model to continue, the meaning of `y` is learned from it or given as `targets`. In a
        warm-started fit, but not in a `partial` one, `y` must have all classes. The weights include class weights only
        with `weigh`.
        """
        reset = fitted is None
        if reset:
            self._table = learn_table(self, X, sample_weight, names[0])
            self._layout = None if self._table is None else self._table.layout
        if self._table is None:
            X, y = validate_rows_and_targets(self, X, y, dtype, y_numeric=self._y_numeric, reset=reset, names=names)
        else:
            X, y = encode_rows_and_targets(
                self, self._table, X, y, dtype, y_numeric=self._y_numeric, reset=reset, names=names
            )
        if fitted is not None and targets is None:
            targets = self._fitted_targets()
            if not partial:
                self._check_continuation(targets, y)
        weight = validate_weight(sample_weight, X, names[2])
        with naming(names[1], y, "y"):
            if targets is None:
                targets = self._learn_targets(y, weight)
            data = Data(X, targets.encode(y, X.dtype), weight)
            return self._weigh(data, targets) if weigh else data, targets

    # ------------------------------------------------------------------ prediction and inspection

    def _raw_predict(self, X: Any) -> FloatArray:
        """Check `X` and return the raw outputs, of shape (n_samples, n_outputs).

        The prediction for a float32 array is computed in float32. For all other input it is computed in float64,
        whatever the network was trained in, so that other rows in `X` affect the prediction for a row only in the last
        digits of a float64.
        """
        check_is_fitted(self)
        model = self._model
        dtype: Any = np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
        X = self._validate_rows(X, dtype)
        params = model.params
        if params.vector.dtype != dtype:
            params = params.on(params.vector.astype(dtype))
        with limit_blas(model.network, X.shape[0]), np.errstate(over="ignore", invalid="ignore"):
            return model.network.predict(params, X)

    def loss_and_gradients(
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> tuple[float, list[FloatArray], list[FloatArray]]:
        """Return the objective on the given data at the current weights, and its gradient.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        loss : float
            Mean loss plus penalties, without dropout. Batch normalization uses the statistics of these data, as in a
            training step.
        coef_grads : list of ndarray
            ``d loss / d coefs_[l]``, of the shapes of ``coefs_``.
        intercept_grads : list of ndarray
            ``d loss / d intercepts_[l]``.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        """
        check_is_fitted(self)
        model = self._model
        data, _ = self._validate(X, y, sample_weight, model.dtype, fitted=model, partial=True)
        X, encoded, weight = data.in_one_type()
        objective = current_objective(self, model, dropout=False)
        params = model.params.on(model.params.vector.copy())  # batch normalization updates its statistics
        buffers = Buffers(objective, params, X.shape[0])
        value = objective.value_and_gradient(params, X, encoded, weight, buffers.workspace, buffers.grad)
        return value.loss + value.penalty, buffers.grad.weights, buffers.grad.biases

    def input_gradient(self, X: Any, *, of: Literal["prediction", "raw"] = "prediction") -> FloatArray:
        r"""Return the derivatives of what the network predicts with respect to the features, row by row.

        Entry (i, k, j) is :math:`\partial f_k(x_i) / \partial x_{ij}`: how much the k-th output for row i grows per
        unit of feature j, exactly and at this point. It is computed by backpropagation that does not stop at the
        first layer, :math:`\partial f / \partial X = \delta_1 W_1^T`, in prediction: without dropout, with batch
        normalization by its running averages.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            The points at which to compute the derivatives.
        of : {"prediction", "raw"}, default="prediction"
            The function f. ``"prediction"``: what ``predict_proba`` gives for a classifier (for a loss without
            probabilities ``decision_function``) and ``predict`` for a regressor. ``"raw"``: the outputs of the network
            before the link, such as log-odds. Where a classifier is confident, its probabilities hardly change with
            the features; its raw outputs do not saturate.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_outputs, n_features) or (n_samples, n_features)
            Always in float64 and dense. The outputs are the columns of ``predict_proba`` or ``predict`` (or of the raw
            outputs); a single output, as for two classes or one target, has no axis. For two classes it is the
            probability of ``classes_[1]``, whose gradient is minus that of the other.
            Of a table the features are the columns of X: NaN for categories, which have no derivative, and 0 for
            missing numbers and columns that were constant in training.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            When `of` or X is invalid.

        See Also
        --------
        skmlp.inspection.feature_importance : The gradients summarised for each feature.

        Examples
        --------
        >>> import numpy as np
        >>> from skmlp import MLPRegressor
        >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> est = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0).fit(X, 3 * X[:, 0] - X[:, 1])
        >>> est.input_gradient(X[:1]).round(2)
        array([[ 3., -1.]])
        """
        check_is_fitted(self)
        rows = self._validate_rows(X, np.float64)
        gradient = self._input_gradient(rows, of)
        return gradient if self._table is None else self._table.gradient(gradient, X)

    def _validate_rows(self, X: Any, dtype: Any) -> Any:
        """Return `X` as the array that the network reads."""
        if self._table is None:
            return validate_rows(self, X, dtype)
        return encode_rows(self, self._table, X, dtype)

    def _input_gradient(self, rows: Any, of: str = "prediction") -> FloatArray:
        """Return the derivatives at rows that are validated and in float64."""
        check_argument("input_gradient", "of", of, StrOptions({"prediction", "raw"}))
        model = self._model
        params = model.params.on(model.params.vector.astype(np.float64))
        jacobian = self._fitted_targets().decode_jacobian if of == "prediction" else LINK_JACOBIANS["identity"]
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = input_jacobian(model.network, params, rows, jacobian)
        return gradient[:, 0] if gradient.shape[1] == 1 else gradient

    def _values(self, rows: Any) -> FloatArray:
        """Return the predictions whose derivatives :meth:`input_gradient` returns, (n_samples, n_outputs).

        The rows are validated and in float64.
        """
        model = self._model
        params = model.params.on(model.params.vector.astype(np.float64))
        with limit_blas(model.network, rows.shape[0]), np.errstate(over="ignore", invalid="ignore"):
            return self._fitted_targets().decode_values(model.network.predict(params, rows))

    def diagnose(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> Diagnosis:
        """Diagnose problems of the training, with evidence and remedies.

        The diagnosis uses the records of the last fit, or of all calls of partial_fit. With ``monitor=True`` they
        include statistics from inside the network and a summary of the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The training data, or a sample of them, to examine their scale, the classes and the hidden units.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of :class:`~skmlp.diagnosis.Finding`, the most severe first, which prints as a report.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            When only one of X and y is given, or they are invalid.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skmlp import MLPClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> est = MLPClassifier(max_iter=50, tol=1.0, random_state=0).fit(X, y)
        >>> print(est.diagnose(X, y).find("unscaled_inputs"))
        [warning] Unscaled inputs: The sizes of the features range from 0.38 to 8.1e+02 (column 12); they should be
        about 1.
            evidence: largest 810, smallest 0.383
            try: Standardize the features: make_pipeline(StandardScaler(), ...)
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise ValueError("diagnose needs X and y together, or neither of them.")
        if X is None:
            return diagnose(self)
        data, _ = self._validate(X, y, sample_weight, self._model.dtype, fitted=self._model, partial=True)
        return diagnose(self, data)

    # ------------------------------------------------------------------ scikit-learn's and pickle's protocols

    def __getstate__(self) -> dict[str, Any]:
        return storable_state(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(restore_state(type(self), state))

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        reads_tables = table_parameter(self) is not None
        tags.input_tags.sparse = not reads_tables
        tags.input_tags.string = reads_tables and self.categorical_features is not None
        tags.input_tags.allow_nan = isinstance(self.missing, str) and self.missing == "indicator"
        return tags
