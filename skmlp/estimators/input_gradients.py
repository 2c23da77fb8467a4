"""Gradients of a fitted network's predictions with respect to the features."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints

from skmlp._typing import FloatArray
from skmlp.estimators.targets import RealTargets
from skmlp.nn.input_gradient import input_jacobian
from skmlp.nn.losses.links import LINK_JACOBIANS

__all__ = ["input_gradient"]


def input_gradient(estimator: Any, rows: Any, of: str) -> FloatArray:
    """Return the derivatives of what a fitted estimator predicts with respect to the features.

    Parameters
    ----------
    estimator : BaseMLP
    rows : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Validated, in float64.
    of : {"prediction", "raw"}

    Returns
    -------
    gradient : ndarray of shape (n_samples, n_outputs, n_features) or (n_samples, n_features)
    """
    validate_parameter_constraints({"of": [StrOptions({"prediction", "raw"})]}, {"of": of}, "input_gradient")
    model = estimator._model
    params = model.params.on(model.params.vector.astype(np.float64))
    link_jacobian = partial(_prediction_jacobian, estimator) if of == "prediction" else LINK_JACOBIANS["identity"]
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = input_jacobian(model.network, params, rows, link_jacobian)
    return gradient[:, 0] if gradient.shape[1] == 1 else gradient


def _prediction_jacobian(estimator: Any, raw: FloatArray) -> FloatArray:
    """Return the derivatives of the predictions with respect to `raw`, of shape (n_samples, n_outputs, n_raw)."""
    loss, targets = estimator._model.loss, estimator._fitted_targets()
    jacobian = loss.predict_jacobian(raw)
    if not isinstance(targets, RealTargets):
        single_class = targets.kind == "binary" and len(targets.classes) == 1  # whose probability is always 1
        return jacobian * 0.0 if single_class and loss.has_probabilities else jacobian
    if targets.scale is not None:
        # All quantile levels of a target have its unit.
        jacobian *= np.repeat(targets.scale, jacobian.shape[1] // targets.n_targets)[:, np.newaxis]
    return jacobian
