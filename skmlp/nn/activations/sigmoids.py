"""The identity and the two classic activations that saturate on both sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.compiled.maths import logistic, tanh
from skmlp.nn.activations.base import ACTIVATIONS, Activation


@dataclass
class Identity(Activation):
    """``sigma(z) = z``: a linear layer."""

    in_place = True

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        if out is not z:
            out[...] = z

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        out[...] = 1.0

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        return z, type(z)(1.0)


@dataclass
class Logistic(Activation):
    """``sigma(z) = 1 / (1 + exp(-z))``, ``sigma' = a (1 - a) <= 1/4``: the sigmoid."""

    in_place = True
    steepest = 0.25

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        # exp(-z) overflows to infinity for very negative z, where 1 / (1 + inf) = 0 is the right value.
        with np.errstate(over="ignore"):
            np.negative(z, out=out)
            np.exp(out, out=out)
            out += 1.0
            np.reciprocal(out, out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.subtract(1.0, a, out=out)
        out *= a

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        a = logistic(z)
        return a, a * (type(z)(1.0) - a)


@dataclass
class Tanh(Activation):
    """``sigma(z) = tanh(z)``, ``sigma' = 1 - a^2``."""

    in_place = True
    steepest = 1.0

    def forward(self, z: FloatArray, out: FloatArray) -> None:
        np.tanh(z, out=out)

    def derivative(self, z: FloatArray, a: FloatArray, out: FloatArray) -> None:
        np.multiply(a, a, out=out)
        np.subtract(1.0, out, out=out)

    @staticmethod
    def kernel(z: Any, settings: Any) -> tuple[Any, Any]:
        a = tanh(z)
        return a, type(z)(1.0) - a * a


ACTIVATIONS |= {"identity": Identity(), "logistic": Logistic(), "tanh": Tanh()}
