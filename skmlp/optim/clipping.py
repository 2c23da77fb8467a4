r"""Gradient clipping: rules that limit a gradient in place, before the solver uses it.

A clip holds settings only and knows nothing of layers: it gets the gradient as one flat vector and as the list of its
arrays, which are views of that vector. In the formulas :math:`g` is a gradient, :math:`w` are its parameters, and
:math:`c` is the limit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skmlp._configurable import Configurable, Positive
from skmlp._typing import FloatArray

__all__ = ["CLIPS", "AdaptiveClip", "Clip", "ClipByGlobalNorm", "ClipByNorm", "ClipByValue", "as_clip"]

# Added to a norm before division, as in torch.
NORM_EPSILON = 1e-6

CLIPS: "dict[str, type[Clip]]" = {}


class Clip(Configurable, ABC):
    """A gradient clipping rule. To add one, subclass this: ``class MyClip(Clip, name="my_clip")``."""

    registry = CLIPS

    @abstractmethod
    def clip(self, vector: FloatArray, grads: Sequence[FloatArray], params: Sequence[FloatArray], norm: float) -> bool:
        """Clip a gradient in place.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)
            The whole gradient, finite.
        grads : sequence of ndarray
            Views of `vector`: matrices of shape (n_in, n_out) and vectors.
        params : sequence of ndarray
            The parameters, in the shapes of `grads`. Not changed.
        norm : float
            The Euclidean norm of `vector`.

        Returns
        -------
        clipped : bool
            Whether anything was changed.
        """


@dataclass
class ClipByValue(Clip, name="value"):
    r"""Clip every entry to :math:`[-c, c]`. This changes the direction of the gradient.

    Parameters
    ----------
    limit : float, default=1.0
        :math:`c`, positive.

    References
    ----------
    torch's ``clip_grad_value_``; Keras's ``clipvalue``.
    """

    limit: Positive = 1.0

    def clip(self, vector: FloatArray, grads: Sequence[FloatArray], params: Sequence[FloatArray], norm: float) -> bool:
        # Reading costs less than writing, and in most steps there is nothing to clip.
        if -self.limit <= vector.min(initial=0.0) and vector.max(initial=0.0) <= self.limit:
            return False
        np.clip(vector, -self.limit, self.limit, out=vector)
        return True


@dataclass
class ClipByNorm(Clip, name="norm"):
    r"""Limit the norm of each array: :math:`g \leftarrow g \min(1, c / (\lVert g \rVert + 10^{-6}))`.

    Parameters
    ----------
    limit : float, default=1.0
        :math:`c`, positive.

    References
    ----------
    torch's ``clip_grad_norm_``, called for one tensor at a time; Keras's ``clipnorm``.
    """

    limit: Positive = 1.0

    def clip(self, vector: FloatArray, grads: Sequence[FloatArray], params: Sequence[FloatArray], norm: float) -> bool:
        clipped = [_scale_down(grad, _norm(grad), self.limit) for grad in grads]
        return any(clipped)


@dataclass
class ClipByGlobalNorm(Clip, name="global_norm"):
    r"""Limit the norm of the whole gradient: :math:`g \leftarrow g \min(1, c / (\lVert g \rVert + 10^{-6}))`.

    The direction does not change. This is the usual meaning of gradient clipping.

    Parameters
    ----------
    limit : float, default=1.0
        :math:`c`, positive. The ``gradient_norm`` in the history of a training without clipping shows usual values.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), arXiv 1211.5063; torch's ``clip_grad_norm_``; Keras's ``global_clipnorm``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.optim import ClipByGlobalNorm
    >>> grad = np.array([3.0, 4.0])
    >>> ClipByGlobalNorm(1.0).clip(grad, [grad], [np.zeros(2)], norm=5.0), grad.round(3)
    (True, array([0.6, 0.8]))
    """

    limit: Positive = 1.0

    def clip(self, vector: FloatArray, grads: Sequence[FloatArray], params: Sequence[FloatArray], norm: float) -> bool:
        return _scale_down(vector, norm, self.limit)


@dataclass
class AdaptiveClip(Clip, name="adaptive"):
    r"""Limit the gradient of each unit in proportion to the norm of its weights (adaptive gradient clipping, AGC).

    :math:`g \leftarrow g\, \min(1, c \max(\lVert w \rVert, floor) / \lVert g \rVert)` for each unit, that is each
    column of a weight matrix. A vector, or a matrix with one row or column, is one unit, as in the authors' code.

    The paper excludes the output layer; here every array is clipped. With plain gradient descent, weights that start at
    zero change slowly, as `floor` limits their steps.

    Parameters
    ----------
    limit : float, default=0.01
        :math:`c`, positive.
    floor : float, default=1e-3
        Lower bound on the norm of the weights in the formula, positive.

    References
    ----------
    Brock, De, Smith and Simonyan (2021), arXiv 2102.06171, section 4.1.
    """

    limit: Positive = 0.01
    floor: Positive = 1e-3

    def clip(self, vector: FloatArray, grads: Sequence[FloatArray], params: Sequence[FloatArray], norm: float) -> bool:
        clipped = [self._clip_units(grad, weights) for grad, weights in zip(grads, params, strict=True)]
        return any(clipped)

    def _clip_units(self, grad: FloatArray, weights: FloatArray) -> bool:
        if grad.ndim == 1 or 1 in grad.shape:
            grad, weights = grad.reshape(-1, 1), weights.reshape(-1, 1)
        norms = _column_norms(grad)
        largest = self.limit * np.maximum(_column_norms(weights), self.floor)
        if not (norms > largest).any():
            return False
        # Dividing only where the limit is exceeded gives all other units a factor of exactly 1, and avoids 0 / 0.
        factors = np.divide(largest, norms, out=np.ones_like(norms), where=norms > largest)
        grad *= factors.astype(grad.dtype)
        return True


def _scale_down(array: FloatArray, norm: float, limit: float) -> bool:
    """Scale an array with this norm in place to at most `limit`; return whether it changed."""
    factor = limit / (norm + NORM_EPSILON)
    if factor >= 1.0:
        return False
    array *= factor
    return True


def _norm(array: FloatArray) -> float:
    """Return the Euclidean norm, computed in float64 if squares overflow float32."""
    flat = array.reshape(-1)
    with np.errstate(over="ignore"):
        squared = float(np.dot(flat, flat))
    if math.isinf(squared):
        squared = float(np.einsum("i,i->", flat, flat, dtype=np.float64))
    return math.sqrt(squared)


def _column_norms(matrix: FloatArray) -> FloatArray:
    """Return the Euclidean norms of the columns in float64, without a temporary array of the size of the matrix."""
    squared: FloatArray = np.einsum("ij,ij->j", matrix, matrix).astype(np.float64)
    if np.isinf(squared).any():
        squared = np.einsum("ij,ij->j", matrix, matrix, dtype=np.float64)
    return np.sqrt(squared)


def as_clip(choice: Any) -> Clip | None:
    """Return the clip object for a number, a name or an object.

    Parameters
    ----------
    choice : None or float or str or Clip
        None for no clipping; a limit on the global norm; a name in :data:`CLIPS`, for its default settings; or an
        object.

    Returns
    -------
    clip : Clip or None

    Raises
    ------
    ValueError
        If `choice` is none of these.
    """
    if choice is None or isinstance(choice, Clip):
        return choice
    if isinstance(choice, Real) and not isinstance(choice, bool):
        return ClipByGlobalNorm(float(choice))
    if isinstance(choice, str) and choice in CLIPS:
        return CLIPS[choice]()
    raise ValueError(
        f"Gradient clipping must be None, a positive float (the limit on the global norm), a str among "
        f"{{{', '.join(map(repr, CLIPS))}}} or an instance of 'Clip'. Got {choice!r} instead."
    )
