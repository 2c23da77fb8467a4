"""Looking at a training: displays of losses and gradients, drawn with matplotlib (``pip install "skmlp[plot]"``)."""

from skmlp.inspection.displays import GradientFlowDisplay, HistoryDisplay

__all__ = ["GradientFlowDisplay", "HistoryDisplay"]
