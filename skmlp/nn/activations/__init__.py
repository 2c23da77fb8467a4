r"""Activation functions :math:`a = \sigma(z)` and their derivatives :math:`\sigma'(z)`.

An activation is one small class with two forms of the same formula. The NumPy form, `forward` and `derivative`, works
on whole arrays and writes into the arrays it is given, so that a training step allocates nothing. The `kernel` computes
both values for a single number; the compiled training steps use it.

To add an activation, write a subclass of :class:`Activation` in one of the modules here, list it in `__all__` there and
put an instance into :data:`ACTIVATIONS`. From outside the package, :func:`register_activation` makes a subclass, or a
:class:`FunctionActivation` made of two functions, available by name in every estimator.

At a kink the derivative is the one from the left (``relu'(0) = 0``), as in torch.
"""

from skmlp.nn.activations import base, custom, rectifiers, sigmoids, smooth
from skmlp.nn.activations.base import *  # noqa: F403 - each module's __all__ is the only list of its names
from skmlp.nn.activations.custom import *  # noqa: F403
from skmlp.nn.activations.rectifiers import *  # noqa: F403
from skmlp.nn.activations.sigmoids import *  # noqa: F403
from skmlp.nn.activations.smooth import *  # noqa: F403

__all__: list[str] = []
__all__ += base.__all__
__all__ += custom.__all__
__all__ += sigmoids.__all__
__all__ += rectifiers.__all__
__all__ += smooth.__all__
