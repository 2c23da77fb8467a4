"""Update rules on one flat vector. They know nothing of networks."""

from skmlp.optim.lbfgs import LBFGSResult, minimize_lbfgs
from skmlp.optim.schedules import SCHEDULES, Adaptive, ConstantRate, InverseScaling, Schedule
from skmlp.optim.solvers import (
    SGD,
    SOLVERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Lion,
    NAdam,
    RAdam,
    RMSProp,
    Solver,
)

__all__ = [
    "SCHEDULES",
    "SGD",
    "SOLVERS",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adaptive",
    "ConstantRate",
    "InverseScaling",
    "LBFGSResult",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSProp",
    "Schedule",
    "Solver",
    "minimize_lbfgs",
]
