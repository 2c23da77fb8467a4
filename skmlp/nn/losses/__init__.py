r"""Losses on raw outputs.

A loss takes the network's last pre-activations (`raw`) and owns the link that turns them into predictions:
identity, exponential, logistic or softmax. So the gradient with respect to `raw` is the error signal
:math:`\delta_L` that backpropagation starts from, for many losses simply `prediction - target`, and nothing is ever
clipped: log-probabilities come from `raw` directly and stay finite where probabilities round to 0 or 1.

To add a loss, subclass :class:`Loss` or wrap two functions in a :class:`FunctionLoss`, let :func:`check_loss` compare
its gradient with differences, and put an instance into :data:`LOSSES`.
"""

from skmlp.nn.losses.base import Loss
from skmlp.nn.losses.classification import (
    BinaryLogLoss,
    FocalLoss,
    Hinge,
    MulticlassHinge,
    MultinomialFocalLoss,
    MultinomialLogLoss,
)
from skmlp.nn.losses.custom import FunctionLoss, check_loss
from skmlp.nn.losses.regression import (
    AbsoluteError,
    GammaDeviance,
    GaussianNLL,
    Huber,
    LogCosh,
    PoissonDeviance,
    Quantile,
    SquaredError,
    TweedieDeviance,
)

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryLogLoss",
    "FocalLoss",
    "FunctionLoss",
    "GammaDeviance",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "MulticlassHinge",
    "MultinomialFocalLoss",
    "MultinomialLogLoss",
    "PoissonDeviance",
    "Quantile",
    "SquaredError",
    "TweedieDeviance",
    "check_loss",
]

LOSSES: dict[str, Loss] = {
    "squared_error": SquaredError(),
    "poisson": PoissonDeviance(),
    "binary_log_loss": BinaryLogLoss(),
    "log_loss": MultinomialLogLoss(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "log_cosh": LogCosh(),
    "quantile": Quantile(),
    "gamma": GammaDeviance(),
    "tweedie": TweedieDeviance(),
    "gaussian_nll": GaussianNLL(),
    "hinge": Hinge(),
    "multiclass_hinge": MulticlassHinge(),
    "focal": FocalLoss(),
    "multiclass_focal": MultinomialFocalLoss(),
}
