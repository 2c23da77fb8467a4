"""Looking at a training: displays of it and of the network, drawn with matplotlib (``pip install "skmlp[plot]"``).

:func:`lr_find` looks before the training: at which learning rates the loss falls. :func:`diagnose` says what went
wrong in it. :func:`feature_importance` looks at what a network depends on, :func:`trace` at every number of one step.
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
