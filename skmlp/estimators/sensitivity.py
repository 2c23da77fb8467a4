"""How a fitted network's predictions respond to the features."""

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp._typing import FloatArray
from skmlp.estimators.state import Model
from skmlp.estimators.targets import RealTargets, Targets
from skmlp.estimators.validation import validate_rows
from skmlp.nn.losses.links import LINK_JACOBIANS
from skmlp.nn.sensitivity import input_jacobian

__all__ = ["InputGradient"]


class InputGradient:
    """Gives the two estimators :meth:`input_gradient`."""

    _model: Model

    def input_gradient(self, X: Any, *, of: Literal["prediction", "raw"] = "prediction") -> FloatArray:
        r"""Return the derivatives of what the network predicts with respect to the features, row by row.

        Entry (i, k, j) is :math:`\partial f_k(x_i) / \partial x_{ij}`: how much the k-th output for row i grows per
        unit of feature j, exactly and at this point. It is computed by backpropagation that does not stop at the
        first layer, :math:`\partial f / \partial X = \delta_1 W_1^T`, in prediction: without dropout, with batch
        normalization by its running averages.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Where to take the derivatives.
        of : {"prediction", "raw"}, default="prediction"
            The function f. ``"prediction"``: what ``predict_proba`` gives for a classifier (for a loss without
            probabilities ``decision_function``) and ``predict`` for a regressor. ``"raw"``: the outputs of the network
            before the link, such as log-odds. Where a classifier is sure, its probabilities hardly move, whatever the
            features do; its raw outputs do not level off.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_outputs, n_features) or (n_samples, n_features)
            In float64, whatever X and the network are in; dense also for a sparse X. The outputs are the columns of
            ``predict_proba`` or ``predict`` (of the raw outputs); with a single one, as for two classes or one target,
            they have no axis. For two classes it is the probability of ``classes_[1]``, whose gradient is minus that of
            the other.

        Raises
        ------
        NotFittedError
            Before the first fit or partial_fit.
        ValueError
            For another `of`, and when X is invalid.

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
        return self._input_gradient(validate_rows(self, X, np.float64), of)

    def _input_gradient(self, rows: Any, of: str) -> FloatArray:
        """Do it for rows that are validated, in float64."""
        if of not in ("prediction", "raw"):
            raise ValueError(
                f"The 'of' parameter of input_gradient must be a str among {{'prediction', 'raw'}}. Got {of!r} instead."
            )
        model = self._model
        params = model.params.on(model.params.vector.astype(np.float64))
        link_jacobian = self._prediction_jacobian if of == "prediction" else LINK_JACOBIANS["identity"]
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = input_jacobian(model.network, params, rows, link_jacobian)
        return gradient[:, 0] if gradient.shape[1] == 1 else gradient

    def _prediction_jacobian(self, raw: FloatArray) -> FloatArray:
        """Return the derivatives of the predictions with respect to `raw`, of shape (n_samples, n_outputs, n_raw)."""
        loss, targets = self._model.loss, self._fitted_targets()
        jacobian = loss.predict_jacobian(raw)
        if not isinstance(targets, RealTargets):
            single_class = targets.kind == "binary" and len(targets.classes) == 1  # its probability is always 1
            return jacobian * 0.0 if single_class and loss.has_probabilities else jacobian
        if targets.scale is not None:
            # Several levels of a quantile share their target's unit.
            jacobian *= np.repeat(targets.scale, jacobian.shape[1] // targets.n_targets)[:, np.newaxis]
        return jacobian

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Return the meaning of `y` from the fitted attributes."""
