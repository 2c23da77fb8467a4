"""What every activation provides, and the registry of activations by name."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from skmlp._configurable import Configurable
from skmlp._typing import AnyArray, FloatArray


class Activation(Configurable, ABC):
    """An elementwise function with its derivative.

    Attributes
    ----------
    in_place : bool
        True when the derivative can be computed from the output alone. Then `forward` is called with `out` being
        `z`, `derivative` receives the output as both `z` and `a`, and a layer keeps one array instead of two.
    initializer : str
        The name of the weight initializer that ``weight_init="auto"`` uses for the layer before this activation.
    steepest : float or None
        The largest slope of an activation that saturates on both sides, which defines when a unit counts as
        saturated; None for other activations.
    kernel : callable or None
        ``kernel(z, settings)`` returns ``(sigma(z), sigma'(z))`` for one number z, a float32 or float64 scalar.
        `settings` are the :attr:`kernel_settings` in the dtype of z. It is a static method in plain Python that numba
        can compile: arithmetic, comparisons, conditional expressions that let NaN through, and the functions of
        :mod:`skmlp.compiled.maths`. Constants are converted to the type of z, since a Python float would turn
        float32 arithmetic into float64. None where there is no such form; then training uses NumPy, as it does for a
        subclass that overrides `forward` or `derivative` but not the kernel.
    """

    in_place: ClassVar[bool] = False
    steepest: ClassVar[float | None] = None
    initializer: ClassVar[str] = "glorot_uniform"
    kernel: ClassVar[Any] = None

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        """The numbers that the kernel needs."""
        return ()

    @property
    def label(self) -> str:
        """The name in :data:`ACTIVATIONS`, or the representation of an activation that is not registered."""
        return next((name for name, known in ACTIVATIONS.items() if known == self), repr(self))

    @abstractmethod
    def forward(self, z: FloatArray, out: FloatArray) -> None:
        """Write ``sigma(z)`` into `out`; `z` is not modified unless it is `out`."""

    @abstractmethod
    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        """Write ``sigma'(z)`` into `out`, given ``a = sigma(z)``.

        `z` is scratch memory from here on and may be overwritten; `a` may not, because the weight gradient of the
        next layer reads it.
        """

    def __call__(self, z: AnyArray) -> FloatArray:
        """Return ``sigma(z)`` as a new array."""
        z = np.array(z, dtype=np.result_type(z, np.float32))
        out = np.empty_like(z)
        self.forward(z, out)
        return out

    def gradient(self, z: AnyArray) -> FloatArray:
        """Return ``sigma'(z)`` as a new array."""
        a = self(z)
        z = a if self.in_place else np.array(z, dtype=a.dtype)
        out = np.empty_like(a)
        self.derivative(z, a, out)
        return out


ACTIVATIONS: dict[str, Activation] = {}
