"""Activations made of two functions, the check of a derivative, and registration by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.activations.base import ACTIVATIONS, Activation


@dataclass
class FunctionActivation(Activation):
    """An activation made of two functions, for :func:`register_activation` or directly for ``activation=``.

    Parameters
    ----------
    name : str
        A short name for representations and error messages.
    function : callable
        ``function(z, out)`` writes ``sigma(z)`` into `out`.
    function_derivative : callable
        ``function_derivative(z, a, out)`` writes ``sigma'(z)`` into `out`, given ``a = sigma(z)``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp.nn.activations import FunctionActivation, check_derivative
    >>> def sine(z, out): np.sin(z, out=out)
    >>> def cosine(z, a, out): np.cos(z, out=out)
    >>> activation = FunctionActivation("sine", sine, cosine)
    >>> check_derivative(activation) < 1e-6
    True
    """

    name: str
    function: Callable[[FloatArray, FloatArray], object]
    function_derivative: Callable[[FloatArray, FloatArray, FloatArray], object]

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        self.function(z, out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        self.function_derivative(z, a, out)


def check_derivative(activation: Activation, *, tolerance: float = 1e-6) -> float:
    """Compare an activation's derivative with central differences of its forward function.

    Parameters
    ----------
    activation : Activation
        The activation to check, at 401 points of [-6, 6] that avoid kinks at whole numbers.
    tolerance : float, default=1e-6
        The largest difference allowed, relative to ``1 + |derivative|``.

    Returns
    -------
    error : float
        The largest difference found.

    Raises
    ------
    ValueError
        When the difference exceeds `tolerance` or is not a number. The message names the point and both values.
    """
    z = np.linspace(-6.0, 6.0, 401) + 0.0123
    step = 1e-5
    numeric = (activation(z + step) - activation(z - step)) / (2.0 * step)
    analytic = activation.gradient(z)
    error = np.abs(analytic - numeric) / (1.0 + np.abs(numeric))
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    if not error[worst] <= tolerance:
        raise ValueError(
            f"The derivative of {activation!r} is wrong: at z = {z[worst]:.6g} it gives {analytic[worst]:.9g}, "
            f"central differences of the function give {numeric[worst]:.9g}."
        )
    return float(error[worst])


def register_activation(name: str, activation: Activation) -> Activation:
    """Make `activation` available by `name` in every estimator of this process, after checking its derivative.

    Parameters
    ----------
    name : str
        The name to use for ``activation=``. Existing names cannot be replaced.
    activation : Activation
        For example a :class:`FunctionActivation`. Worker processes of a search import their own registry: register
        when a module is imported, or pass the object itself as ``activation=``.

    Returns
    -------
    activation : Activation

    Raises
    ------
    ValueError
        When the name is taken or :func:`check_derivative` fails.
    """
    if name in ACTIVATIONS:
        raise ValueError(f"An activation named {name!r} exists already; choose another name.")
    check_derivative(activation)
    ACTIVATIONS[name] = activation
    return activation
