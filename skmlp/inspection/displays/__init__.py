"""Plots of a training and of the trained network, one class per file.

All follow scikit-learn's displays: ``from_estimator`` draws at once and returns the display, ``plot`` draws it again,
for example on other axes. matplotlib is imported when something is drawn, pyplot only if no axes are given.
"""

from skmlp.inspection.displays.activation_distributions import ActivationDisplay
from skmlp.inspection.displays.decision_boundary import DecisionBoundaryDisplay
from skmlp.inspection.displays.gradient_flow import GradientFlowDisplay
from skmlp.inspection.displays.hidden_units import HiddenUnitsDisplay
from skmlp.inspection.displays.history import HistoryDisplay
from skmlp.inspection.displays.loss_surface import LossSurfaceDisplay
from skmlp.inspection.displays.update_ratio import UpdateRatioDisplay

__all__ = [
    "ActivationDisplay",
    "DecisionBoundaryDisplay",
    "GradientFlowDisplay",
    "HiddenUnitsDisplay",
    "HistoryDisplay",
    "LossSurfaceDisplay",
    "UpdateRatioDisplay",
]
