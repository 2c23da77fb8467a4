"""Link functions: from raw outputs to predictions, with their derivatives and logarithms."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from skmlp._typing import FloatArray
from skmlp.nn.activations import Logistic, Softplus

LOGISTIC = Logistic()
SOFTPLUS = Softplus()


# The output activations by name. The predictions have the shape of the raw outputs.
LINKS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda raw: raw,
    "exp": np.exp,
    "logistic": LOGISTIC,
    "softmax": partial(special.softmax, axis=1),
}

# The logarithms of those that are probabilities, finite wherever `raw` is: log(1 - p) and log p, or log p.
LOG_LINKS: dict[str, Callable[[FloatArray], Any]] = {
    "logistic": lambda raw: (-SOFTPLUS(raw), -SOFTPLUS(-raw)),
    "softmax": partial(special.log_softmax, axis=1),
}


def diagonal(derivatives: FloatArray) -> FloatArray:
    """Return the Jacobian of an elementwise function: a diagonal matrix for each row of `derivatives`."""
    jacobian = np.zeros((*derivatives.shape, derivatives.shape[1]), derivatives.dtype)
    np.einsum("ikk->ik", jacobian)[...] = derivatives
    return jacobian


def _softmax_jacobian(raw: FloatArray) -> FloatArray:
    """Return ``p_k ([k = j] - p_j)`` for each row."""
    p = special.softmax(raw, axis=1)
    jacobian: FloatArray = -p[:, :, np.newaxis] * p[:, np.newaxis, :]
    on_diagonal = np.einsum("ikk->ik", jacobian)
    on_diagonal[...] = 0.0
    on_diagonal -= jacobian.sum(axis=2)  # p (1 - p) as p times the other probabilities: exact where p rounds to 1
    return jacobian


# Their derivatives d prediction / d raw, of shape (n_samples, n_predictions, n_raw).
LINK_JACOBIANS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda raw: diagonal(np.ones_like(raw)),
    "exp": lambda raw: diagonal(np.exp(raw)),
    "logistic": lambda raw: diagonal(LOGISTIC(raw) * LOGISTIC(-raw)),  # p (1 - p), exact where p rounds to 1
    "softmax": _softmax_jacobian,
}
