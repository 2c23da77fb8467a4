r"""Losses on raw outputs.

A loss takes the network's last pre-activations (`raw`) and owns the link that turns them into predictions:
identity, exponential, logistic or softmax. So the gradient with respect to `raw` is the error signal
:math:`\delta_L` that backpropagation starts from, for many losses simply `prediction - target`, and nothing is ever
clipped: log-probabilities come from `raw` directly and stay finite where probabilities round to 0 or 1.

Like an activation, a loss has two forms of the same formula in one class: `loss_and_gradient` for NumPy, and a `kernel`
or `rows_kernel` for the compiled training steps.

To add a loss, write a subclass of :class:`Loss` in one of the modules here and put an instance into :data:`LOSSES`.
From outside the package, pass such an object, or a :class:`FunctionLoss` made of two functions, to an estimator.
:func:`check_loss` compares the gradient with central differences.
"""

from skmlp.nn.losses.base import LOSSES, Loss
from skmlp.nn.losses.custom import FunctionLoss, check_loss
from skmlp.nn.losses.deviances import GammaDeviance, PoissonDeviance, TweedieDeviance
from skmlp.nn.losses.errors import AbsoluteError, Huber, LogCosh, SquaredError
from skmlp.nn.losses.focal import FocalLoss, MultinomialFocalLoss
from skmlp.nn.losses.hinge import Hinge, MulticlassHinge
from skmlp.nn.losses.likelihoods import GaussianNLL
from skmlp.nn.losses.log_losses import BinaryLogLoss, MultinomialLogLoss
from skmlp.nn.losses.quantiles import Quantile

__all__ = ["LOSSES", "FunctionLoss", "Loss", "check_loss"]
__all__ += ["AbsoluteError", "GaussianNLL", "Huber", "LogCosh", "Quantile", "SquaredError"]
__all__ += ["GammaDeviance", "PoissonDeviance", "TweedieDeviance"]
__all__ += ["BinaryLogLoss", "FocalLoss", "Hinge", "MulticlassHinge", "MultinomialFocalLoss", "MultinomialLogLoss"]
