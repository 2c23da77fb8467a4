"""Inspection of a training and of the trained network. Plots need matplotlib (``pip install "skmlp[plot]"``).

:func:`lr_find` finds a learning rate before a training, :func:`diagnose` tells afterwards what went wrong.
:func:`feature_importance` tells which features the predictions depend on, and :func:`trace` computes a single training
step with all its intermediate values.
"""

from skmlp.inspection.diagnosing import diagnose
from skmlp.inspection.displays.activation_distributions import ActivationDisplay
from skmlp.inspection.displays.decision_boundary import DecisionBoundaryDisplay
from skmlp.inspection.displays.gradient_flow import GradientFlowDisplay
from skmlp.inspection.displays.hidden_units import HiddenUnitsDisplay
from skmlp.inspection.displays.history import HistoryDisplay
from skmlp.inspection.displays.loss_surface import LossSurfaceDisplay
from skmlp.inspection.displays.update_ratio import UpdateRatioDisplay
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
