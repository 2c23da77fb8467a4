"""Schedules: what the learning rate, or another setting, is at a time of the training."""

# Schedules register themselves when their file is imported. This is the order of their names.
# isort: off
from skmlp.optim.schedules.base import SCHEDULES, Schedule, Scheduled, Time
from skmlp.optim.schedules.over_time import (
    ConstantRate,
    CosineRestarts,
    Cyclic,
    Exponential,
    InverseScaling,
    InverseTime,
    Piecewise,
    StepDecay,
)
from skmlp.optim.schedules.over_training import Cosine, CosineLog, FlatCosine, Linear, OneCycle, Polynomial
from skmlp.optim.schedules.metric_driven import Adaptive, ReduceOnPlateau
from skmlp.optim.schedules.registry import FunctionSchedule, Warmup, as_schedule

# isort: on

__all__ = [
    "Adaptive",
    "ConstantRate",
    "Cosine",
    "CosineLog",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "FlatCosine",
    "FunctionSchedule",
    "InverseScaling",
    "InverseTime",
    "Linear",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "ReduceOnPlateau",
    "SCHEDULES",
    "Schedule",
    "Scheduled",
    "StepDecay",
    "Time",
    "Warmup",
    "as_schedule",
]
