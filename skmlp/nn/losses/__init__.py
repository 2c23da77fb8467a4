r"""Losses on raw outputs.

A loss takes the network's last pre-activations (`raw`) and owns the link that turns them into predictions:
identity, exponential, logistic or softmax. So the gradient with respect to `raw` is the error signal
:math:`\delta_L` that backpropagation starts from, for many losses simply `prediction - target`, and nothing is ever
clipped: log-probabilities come from `raw` directly and stay finite where probabilities round to 0 or 1.

Like an activation, a loss has two forms of the same formula in one class: `loss_and_gradient` for NumPy, and a `kernel`
or `rows_kernel` for the compiled training steps.

To add a loss, write a subclass of :class:`Loss` in one of the modules here, list it in `__all__` there and put an
instance into :data:`LOSSES`. From outside the package, pass such an object, or a :class:`FunctionLoss` made of two
functions, to an estimator. :func:`check_loss` compares the gradient with central differences.
"""

from skmlp.nn.losses import base, custom, deviances, errors, focal, hinge, likelihoods, log_losses, quantiles
from skmlp.nn.losses.base import *  # noqa: F403 - each module's __all__ is the only list of its names
from skmlp.nn.losses.custom import *  # noqa: F403
from skmlp.nn.losses.deviances import *  # noqa: F403
from skmlp.nn.losses.errors import *  # noqa: F403
from skmlp.nn.losses.focal import *  # noqa: F403
from skmlp.nn.losses.hinge import *  # noqa: F403
from skmlp.nn.losses.likelihoods import *  # noqa: F403
from skmlp.nn.losses.log_losses import *  # noqa: F403
from skmlp.nn.losses.quantiles import *  # noqa: F403

__all__: list[str] = []
__all__ += base.__all__
__all__ += custom.__all__
__all__ += deviances.__all__
__all__ += errors.__all__
__all__ += focal.__all__
__all__ += hinge.__all__
__all__ += likelihoods.__all__
__all__ += log_losses.__all__
__all__ += quantiles.__all__
