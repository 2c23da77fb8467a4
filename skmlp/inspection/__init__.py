"""Inspection of a training and of the trained network. Plots need matplotlib (``pip install "skmlp[plot]"``).

:func:`lr_find` finds a learning rate before a training, :func:`diagnose` tells afterwards what went wrong.
:func:`feature_importance` tells which features the predictions depend on, and :func:`trace` computes a single training
step with all its intermediate values.
"""

from skmlp.inspection.diagnosing import diagnose
from skmlp.inspection.displays import (
    ActivationDisplay,
    DecisionBoundaryDisplay,
    GradientFlowDisplay,
    HiddenUnitsDisplay,
    HistoryDisplay,
    LossSurfaceDisplay,
    UpdateRatioDisplay,
)
from skmlp.inspection.importance import feature_importance
from skmlp.inspection.learning_rate import LearningRateDisplay, LearningRateSearch, lr_find
from skmlp.inspection.tracing import Trace, trace

__all__ = [
    "ActivationDisplay",
    "DecisionBoundaryDisplay",
    "GradientFlowDisplay",
    "HiddenUnitsDisplay",
    "HistoryDisplay",
    "LearningRateDisplay",
    "LearningRateSearch",
    "LossSurfaceDisplay",
    "Trace",
    "UpdateRatioDisplay",
    "diagnose",
    "feature_importance",
    "lr_find",
    "trace",
]
