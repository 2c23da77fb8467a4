r"""Activation functions :math:`a = \sigma(z)` and their derivatives :math:`\sigma'(z)`.

An activation is one small class with two forms of the same formula. The NumPy form, `forward` and `derivative`, works
on whole arrays and writes into the arrays it is given, so that a training step allocates nothing. The `kernel` computes
both values for a single number; the compiled training steps use it.

To add an activation, write a subclass of :class:`Activation` in one of the modules here and put an instance into
:data:`ACTIVATIONS`. From outside the package, :func:`register_activation` makes a subclass, or a
:class:`FunctionActivation` made of two functions, available by name in every estimator.

At a kink the derivative is the one from the left (``relu'(0) = 0``), as in torch.
"""

from skmlp.nn.activations.base import ACTIVATIONS, Activation
from skmlp.nn.activations.custom import FunctionActivation, check_derivative, register_activation
from skmlp.nn.activations.parametric import Parametric
from skmlp.nn.activations.rectifiers import ELU, SELU, LeakyReLU, ReLU
from skmlp.nn.activations.sigmoids import Identity, Logistic, Tanh
from skmlp.nn.activations.smooth import GELU, Mish, SiLU, Softplus

__all__ = ["ACTIVATIONS", "Activation", "FunctionActivation", "Parametric", "check_derivative", "register_activation"]
__all__ += ["Identity", "Logistic", "Tanh", "ELU", "LeakyReLU", "ReLU", "SELU", "GELU", "Mish", "SiLU", "Softplus"]
