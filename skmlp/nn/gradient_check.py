r"""Check a gradient against central differences.

For any function f with gradient g,

.. math:: \frac{f(x + \epsilon v) - f(x - \epsilon v)}{2 \epsilon} = g(x) \cdot v + O(\epsilon^2),

so comparing both sides reveals a wrong sign, factor or index.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp._typing import FloatArray


class GradientCheck(NamedTuple):
    """The result of :func:`check_gradient`."""

    error: float
    analytic: FloatArray
    numeric: FloatArray


def numerical_gradient(f: Callable[[FloatArray], float], x: FloatArray, *, epsilon: float = 1e-6) -> FloatArray:
    """Return the gradient of `f` at `x` by central differences, one coordinate at a time.

    Parameters
    ----------
    f : callable
        ``f(x) -> float``.
    x : ndarray of shape (n,)
        Converted to float64: differences of float32 values consist mostly of rounding errors.
    epsilon : float, default=1e-6
        Half the distance of the two points.

    Returns
    -------
    gradient : ndarray of shape (n,), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.gradient_check import numerical_gradient
    >>> numerical_gradient(lambda x: float(x @ x), np.array([1.0, -3.0])).round(6)
    array([ 2., -6.])
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in range(x.size):
        step = np.zeros_like(x)
        step[index] = epsilon
        gradient[index] = (f(x + step) - f(x - step)) / (2.0 * epsilon)
    return gradient


def check_gradient(
    value_and_gradient: Callable[[FloatArray], tuple[float, FloatArray]],
    x: FloatArray,
    *,
    tolerance: float = 1e-6,
    epsilon: float = 1e-6,
    n_directions: int | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compare a gradient with central differences and raise an error when they disagree.

    Parameters
    ----------
    value_and_gradient : callable
        ``value_and_gradient(x) -> (value, gradient)``, for a float64 vector of any length.
    x : ndarray of shape (n,)
        The point where to check. It should not be a kink, such as 0 for relu, where the two one-sided slopes differ.
    tolerance : float, default=1e-6
        The largest norm of the difference allowed, relative to the larger of both norms.
    epsilon : float, default=1e-6
        Half the distance of the two points that are compared.
    n_directions : int, optional
        Check along this many random directions instead of every coordinate, with two evaluations per direction.
    seed : int, default=0
        For the directions.

    Returns
    -------
    result : GradientCheck
        ``error``, and both gradients (or directional derivatives).

    Raises
    ------
    AssertionError
        When the error exceeds `tolerance`. The message names the worst entry and both values.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.gradient_check import check_gradient
    >>> check_gradient(lambda x: (float(np.sin(x).sum()), np.cos(x)), np.array([0.3, 2.0])).error < 1e-9
    True
    """

    def value(point: FloatArray) -> float:
        return value_and_gradient(point)[0]

    x = np.array(x, dtype=np.float64)
    gradient = np.array(value_and_gradient(x)[1], dtype=np.float64)
    if n_directions is None:
        analytic = gradient
        numeric = numerical_gradient(value, x, epsilon=epsilon)
    else:
        directions = np.random.default_rng(seed).standard_normal((n_directions, x.size))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        analytic = directions @ gradient
        numeric = np.array([(value(x + epsilon * v) - value(x - epsilon * v)) / (2.0 * epsilon) for v in directions])
    difference = np.abs(analytic - numeric)
    scale = max(float(np.linalg.norm(analytic)), float(np.linalg.norm(numeric)), np.finfo(np.float64).tiny)
    error = float(np.linalg.norm(difference)) / scale
    if not error <= tolerance:
        worst = int(np.argmax(difference))
        raise AssertionError(
            f"Gradient check failed: relative error {error:.3g} exceeds {tolerance:.3g}. Worst entry {worst}: "
            f"analytic {analytic[worst]:.9g}, numeric {numeric[worst]:.9g}."
        )
    return GradientCheck(error, analytic, numeric)
