"""Activations with a number for each unit that is trained."""

from dataclasses import dataclass
from typing import Any

from skmlp._typing import FloatArray
from skmlp.compiled.kernels import kernel_of
from skmlp.nn.activations.base import ACTIVATIONS, Activation

__all__ = ["Parametric"]


@dataclass
class Parametric(Activation):
    r"""``z + kappa (sigma(z) - z)``: each unit chooses between an activation, for kappa = 1, and the identity, for 0.

    The layer :class:`skmlp.nn.layers.ParametricActivation` has the numbers kappa and trains them. They start at 1,
    where all functions of this object are those of `activation`.

    Parameters
    ----------
    activation : str or Activation
        A name in :data:`~skmlp.nn.activations.ACTIVATIONS`, or an object.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", NeurIPS, arXiv 2407.04491.

    Examples
    --------
    >>> from skmlp import MLPRegressor
    >>> from skmlp.nn.activations import Parametric
    >>> est = MLPRegressor(activation=Parametric("mish"))
    >>> est.activation.initializer
    'he_normal'
    """

    activation: str | Activation

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.activation, str):
            self._check_choice("activation", ACTIVATIONS)
        elif isinstance(self.activation, Parametric) or not isinstance(self.activation, Activation):
            raise self._invalid("activation", "a str or an Activation that is not parametric")

    @property
    def inner(self) -> Activation:
        """The activation that is mixed with the identity."""
        return ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        return self.inner.in_place

    @property
    def initializer(self) -> str:  # type: ignore[override]
        return self.inner.initializer

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        self.inner.forward(z, out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        self.inner.derivative(z, a, out)

    @property
    def kernel_settings(self) -> tuple[float, ...]:
        return self.inner.kernel_settings

    @property
    def kernel(self) -> Any:
        return kernel_of(self.inner, "kernel", ("forward", "derivative"))
