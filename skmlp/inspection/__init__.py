"""Looking at a training: displays of losses and gradients, drawn with matplotlib (``pip install "skmlp[plot]"``).

:func:`lr_find` looks before the training: at which learning rates the loss falls.
"""

from skmlp.inspection.displays import GradientFlowDisplay, HistoryDisplay
from skmlp.inspection.learning_rate import LearningRateDisplay, LearningRateSearch, lr_find

__all__ = ["GradientFlowDisplay", "HistoryDisplay", "LearningRateDisplay", "LearningRateSearch", "lr_find"]
